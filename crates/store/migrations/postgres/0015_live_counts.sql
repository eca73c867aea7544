-- By how many a transaction changed the live tasks stands under its token; below 64 are the shards of versions before this. Nothing is changed in
-- place any more. The sequence of shards is theirs.
ALTER TABLE live_counts SET (fillfactor = 100);
ALTER TABLE live_counts ALTER COLUMN shard TYPE bigint;
