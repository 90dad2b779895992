CREATE TABLE IF NOT EXISTS units (id TEXT PRIMARY KEY, region TEXT NOT NULL, name TEXT NOT NULL, units BIGINT NOT NULL, owner TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS cases (id TEXT PRIMARY KEY, process TEXT NOT NULL, variables TEXT NOT NULL, started BIGINT NOT NULL, started_by TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS audit_event (id TEXT PRIMARY KEY, happened BIGINT NOT NULL, request_id TEXT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, user_id TEXT NOT NULL, user_name TEXT NOT NULL, user_drfo TEXT NOT NULL, result BIGINT NOT NULL);
INSERT INTO units (id, region, name, units, owner) VALUES ('1', '01', 'Alpha', 5, '0'), ('2', '01', 'Beta', 12, '1'), ('3', '02', 'Gamma', 7, '0'), ('4', '03', 'Delta', 3, '1') ON CONFLICT DO NOTHING;
