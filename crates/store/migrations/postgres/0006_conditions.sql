-- Dependencies have conditions and names. A row with a condition has format 2, so that a version that knows none doesn't take it for one
-- that asks for completion; with the first one `min_version` becomes 6.
ALTER TABLE edges ADD COLUMN condition text COLLATE "C"; -- JSON; NULL: it must complete
ALTER TABLE edges ADD COLUMN name text COLLATE "C";

-- Which schema a replica knows; NULL: one before this. What an older one would not understand is not written while it lives.
ALTER TABLE registrations ADD COLUMN schema bigint;
