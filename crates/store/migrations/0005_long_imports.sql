-- A realm whose import is under way, or was cut off: it is not there for anybody but the import that begins anew.
ALTER TABLE realms ADD COLUMN unfinished BIGINT NOT NULL DEFAULT 0;
