-- Dependencies have conditions and names. A row with a condition has format 2, so that a version that knows none doesn't take it for one
-- that asks for completion; with the first one `min_version` becomes 8.
ALTER TABLE edges ADD COLUMN condition TEXT; -- JSON; NULL: it must complete
ALTER TABLE edges ADD COLUMN name TEXT;
