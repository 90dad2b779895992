-- Failed logins since the last one that went well. subject: the user's key, or a mark that stands for names that nobody has.
-- last, locked_until and forgotten: milliseconds; forgotten: when the row says nothing any more.
CREATE TABLE login_failures (
    realm_id TEXT NOT NULL REFERENCES realms (id) ON DELETE CASCADE,
    subject TEXT NOT NULL,
    failures BIGINT NOT NULL,
    second_factor BIGINT NOT NULL,
    lockouts BIGINT NOT NULL,
    last BIGINT NOT NULL,
    locked_until BIGINT,
    for_good BOOLEAN NOT NULL,
    address TEXT NOT NULL,
    forgotten BIGINT,
    revision BIGINT NOT NULL,
    PRIMARY KEY (realm_id, subject)
);

CREATE INDEX login_failures_forgotten ON login_failures (forgotten);
