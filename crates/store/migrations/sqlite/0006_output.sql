-- Output: what attempts gave to those who watch. Rows are written once, and go with their task. The last row of a run says what
-- its output has come to.
--
-- With a rowid: chunks are larger than an index wants.
CREATE TABLE output (
    namespace     INTEGER NOT NULL,
    task          BLOB    NOT NULL,
    run           INTEGER NOT NULL,
    start         INTEGER NOT NULL, -- the bytes of the run's output before it
    size          INTEGER NOT NULL, -- its own
    ordinal       INTEGER NOT NULL,
    attempt       INTEGER NOT NULL,
    attempt_bytes INTEGER NOT NULL, -- what its attempt gave with it
    given_at      INTEGER NOT NULL,
    format        INTEGER NOT NULL DEFAULT 1,
    content_type  TEXT    NOT NULL,
    metadata      TEXT,
    content       ANY     NOT NULL  -- text or bytes
) STRICT;

CREATE UNIQUE INDEX output_run ON output (namespace, task, run, start);

-- A trigger, so that a version that knows no output leaves none behind when it forgets its task.
CREATE TRIGGER output_forgotten AFTER DELETE ON tasks BEGIN
    DELETE FROM output WHERE namespace = old.namespace AND task = old.id;
END;
