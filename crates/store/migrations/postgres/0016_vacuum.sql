-- What dies in these tables with every step of a workflow, a limit or a checkpoint is vacuumed when it is a little, not when it is a fifth of the
-- table. Who reads and writes rows is not in the way of this, and it not in theirs: so one migration for all of them.
ALTER TABLE workflows SET (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE limit_uses SET (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE edges SET (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE payloads SET (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.02);
