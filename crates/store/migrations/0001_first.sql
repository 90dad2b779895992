-- Realms and what belongs to them. Every write that a running server has to notice raises realms.version and
-- changes.number; a node reads one row of `changes` to know whether anything is new.
CREATE TABLE changes (one BIGINT PRIMARY KEY, number BIGINT NOT NULL);

INSERT INTO changes (one, number) VALUES (1, 0);

CREATE TABLE realms (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    version BIGINT NOT NULL,
    document TEXT NOT NULL,
    kept BYTEA NOT NULL
);

CREATE TABLE clients (
    id TEXT PRIMARY KEY,
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    client_id TEXT NOT NULL,
    secret BYTEA,
    document TEXT NOT NULL,
    UNIQUE (realm_id, client_id)
);

CREATE TABLE client_scopes (
    id TEXT PRIMARY KEY,
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (realm_id, name)
);

-- owner: the client whose role it is, or '' for a realm role.
CREATE TABLE roles (
    id TEXT PRIMARY KEY,
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (realm_id, owner, name)
);

CREATE TABLE role_composites (
    role_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    member_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (role_id, member_id)
);

-- holder: a client or a client scope that may put the role into tokens although full scope is off.
CREATE TABLE scope_roles (
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    holder_id TEXT NOT NULL,
    role_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (holder_id, role_id)
);

CREATE TABLE groups (
    id TEXT PRIMARY KEY,
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    parent_id TEXT REFERENCES groups (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    document TEXT NOT NULL
);

CREATE INDEX groups_realm ON groups (realm_id);

CREATE TABLE group_roles (
    group_id TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    role_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (group_id, role_id)
);

-- published_until: milliseconds; a retired key stays in the key set until the last token it signed has expired.
CREATE TABLE realm_keys (
    id TEXT PRIMARY KEY,
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    material BYTEA NOT NULL,
    published_until BIGINT
);

CREATE INDEX realm_keys_realm ON realm_keys (realm_id);

CREATE TABLE users (
    id TEXT PRIMARY KEY,
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    username TEXT NOT NULL,
    email TEXT,
    enabled BOOLEAN NOT NULL,
    service_client TEXT,
    not_before BIGINT NOT NULL,
    document TEXT NOT NULL,
    kept BYTEA,
    UNIQUE (realm_id, username)
);

CREATE INDEX users_email ON users (realm_id, email);

CREATE INDEX users_service_client ON users (realm_id, service_client);

CREATE TABLE user_roles (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    role_id TEXT NOT NULL REFERENCES roles (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, role_id)
);

CREATE TABLE user_groups (
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    group_id TEXT NOT NULL REFERENCES groups (id) ON DELETE CASCADE,
    PRIMARY KEY (user_id, group_id)
);

-- secret: sealed. Passwords are hashed inside, one-time keys are what they are.
CREATE TABLE credentials (
    id TEXT PRIMARY KEY,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    position BIGINT NOT NULL,
    document TEXT NOT NULL,
    secret BYTEA NOT NULL
);

CREATE INDEX credentials_user ON credentials (user_id);

-- Sessions: offline ones live beside the others and may share their id.
CREATE TABLE sessions (
    id TEXT NOT NULL,
    offline BOOLEAN NOT NULL,
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    started BIGINT NOT NULL,
    used BIGINT NOT NULL,
    ends BIGINT NOT NULL,
    PRIMARY KEY (id, offline)
);

CREATE INDEX sessions_user ON sessions (user_id);

CREATE INDEX sessions_ends ON sessions (ends);

CREATE TABLE client_sessions (
    session_id TEXT NOT NULL,
    offline BOOLEAN NOT NULL,
    client_id TEXT NOT NULL,
    started BIGINT NOT NULL,
    used BIGINT NOT NULL,
    PRIMARY KEY (session_id, offline, client_id),
    FOREIGN KEY (session_id, offline) REFERENCES sessions (id, offline) ON DELETE CASCADE
);

-- One row for each chain of rotated refresh tokens: which was used last, how often, and what was given out for it.
CREATE TABLE refresh_chains (
    id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    offline BOOLEAN NOT NULL,
    client_id TEXT NOT NULL,
    used TEXT NOT NULL,
    uses BIGINT NOT NULL,
    successors TEXT NOT NULL,
    revision BIGINT NOT NULL,
    FOREIGN KEY (session_id, offline, client_id)
        REFERENCES client_sessions (session_id, offline, client_id) ON DELETE CASCADE
);

CREATE INDEX refresh_chains_session ON refresh_chains (session_id, offline, client_id);

-- What may be used once: assertions by issuer and jti, one-time codes. until: milliseconds.
CREATE TABLE seen (
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    issuer TEXT NOT NULL,
    jti TEXT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (realm_id, issuer, jti)
);

CREATE INDEX seen_until ON seen (until);

CREATE TABLE revoked_tokens (
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    jti TEXT NOT NULL,
    until BIGINT NOT NULL,
    PRIMARY KEY (realm_id, jti)
);

CREATE INDEX revoked_tokens_until ON revoked_tokens (until);

CREATE TABLE decisions (
    id TEXT PRIMARY KEY,
    made BIGINT NOT NULL,
    body TEXT NOT NULL
);

CREATE INDEX decisions_made ON decisions (made);

-- Links that work once, such as the first administrator's: only the hash is kept.
CREATE TABLE one_time_links (
    hash BYTEA PRIMARY KEY,
    purpose TEXT NOT NULL,
    until BIGINT NOT NULL
);
