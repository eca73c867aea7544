-- Durable steps: what handlers recorded of their work. Rows are written once, and go with their task. The ordinal counts a run's
-- steps, so that the last one's row says how many there are. What is large stands last: what stands before it is read without it.
CREATE TABLE steps (
    namespace    INTEGER NOT NULL,
    task         BLOB    NOT NULL,
    run          INTEGER NOT NULL,
    ordinal      INTEGER NOT NULL,
    name         TEXT    NOT NULL,
    occurrence   INTEGER NOT NULL,
    attempt      INTEGER NOT NULL,
    recorded_at  INTEGER NOT NULL,
    digest       INTEGER NOT NULL,
    bytes_so_far INTEGER NOT NULL, -- of the run's results, this one's included
    format       INTEGER NOT NULL DEFAULT 1,
    content_type TEXT    NOT NULL,
    metadata     TEXT,
    content      ANY     NOT NULL  -- text or bytes
) STRICT;

CREATE UNIQUE INDEX steps_run ON steps (namespace, task, run, ordinal);
CREATE UNIQUE INDEX steps_key ON steps (namespace, task, run, name, occurrence);

-- A trigger, so that a version that knows no steps leaves none behind when it forgets their task.
CREATE TRIGGER steps_forgotten AFTER DELETE ON tasks BEGIN
    DELETE FROM steps WHERE namespace = old.namespace AND task = old.id;
END;
