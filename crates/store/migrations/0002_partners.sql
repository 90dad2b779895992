-- Issuers of assertions and brokers of logins. secret: sealed, what the provider knows this server by.
CREATE TABLE identity_providers (
    id TEXT PRIMARY KEY,
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    alias TEXT NOT NULL,
    secret BYTEA,
    document TEXT NOT NULL,
    UNIQUE (realm_id, alias)
);

-- Which user of ours a provider means by a subject of its own.
CREATE TABLE federated_identities (
    provider_id TEXT NOT NULL REFERENCES identity_providers (id) ON DELETE CASCADE,
    subject TEXT NOT NULL,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    username TEXT NOT NULL,
    PRIMARY KEY (provider_id, subject),
    UNIQUE (provider_id, user_id)
);

CREATE INDEX federated_identities_user ON federated_identities (user_id);

-- The last good key set of each URL that others publish theirs at. fetched: milliseconds.
CREATE TABLE key_sets (
    url TEXT PRIMARY KEY,
    body BYTEA NOT NULL,
    fetched BIGINT NOT NULL
);

-- How often each secret of a client was used, and when last. used: milliseconds.
CREATE TABLE client_secret_uses (
    id TEXT PRIMARY KEY,
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    used BIGINT NOT NULL,
    uses BIGINT NOT NULL
);

-- Access and refresh tokens that say nothing themselves. id: hexadecimal, begins with the time, so that tokens of one
-- moment lie together; hash: SHA-256 of the token. One grant may bring several: they end together. issued and until:
-- milliseconds.
CREATE TABLE opaque_tokens (
    id TEXT PRIMARY KEY,
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    hash BYTEA NOT NULL,
    kind TEXT NOT NULL,
    client_id TEXT NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    grant_id TEXT NOT NULL,
    spent BOOLEAN NOT NULL,
    issued BIGINT NOT NULL,
    until BIGINT NOT NULL,
    document TEXT NOT NULL
);

CREATE INDEX opaque_tokens_grant ON opaque_tokens (grant_id);

CREATE INDEX opaque_tokens_client ON opaque_tokens (client_id);

CREATE INDEX opaque_tokens_until ON opaque_tokens (until);
