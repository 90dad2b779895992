-- APIs behind the gateway. A name is unique among all realms, since a gateway serves all.
CREATE TABLE apis (
    id TEXT PRIMARY KEY,
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    name TEXT NOT NULL UNIQUE,
    document TEXT NOT NULL
);

CREATE INDEX apis_realm ON apis (realm_id);

-- The log of revocations, in the order in which they were committed. before: a second; until: milliseconds.
CREATE TABLE revocations (
    position BIGINT PRIMARY KEY,
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    what TEXT NOT NULL,
    subject TEXT NOT NULL,
    before BIGINT NOT NULL,
    until BIGINT NOT NULL
);

CREATE INDEX revocations_until ON revocations (until);

-- The last position. Whoever revokes raises it in the same transaction and so waits for who did before.
CREATE TABLE revocation_log (one BIGINT PRIMARY KEY, position BIGINT NOT NULL);

INSERT INTO revocation_log (one, position) VALUES (1, 0);

-- How far each gateway has applied the log, and which change of the routes it uses. seen: milliseconds.
CREATE TABLE gateways (
    name TEXT PRIMARY KEY,
    position BIGINT NOT NULL,
    change BIGINT NOT NULL,
    seen BIGINT NOT NULL
);
