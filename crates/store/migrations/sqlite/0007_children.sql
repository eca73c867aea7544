-- Children: tasks that a run of another task created. Rows are written once, and go with the parent; a child that is forgotten before
-- it leaves its row behind. The ordinal counts a run's children, so that the last one's row says how many there are.
CREATE TABLE children (
    namespace     INTEGER NOT NULL,
    task          BLOB    NOT NULL, -- the parent
    run           INTEGER NOT NULL,
    ordinal       INTEGER NOT NULL,
    name          TEXT    NOT NULL,
    occurrence    INTEGER NOT NULL,
    child         BLOB    NOT NULL,
    on_parent_end INTEGER NOT NULL, -- 0: it is cancelled, 1: it goes on
    format        INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE UNIQUE INDEX children_run ON children (namespace, task, run, ordinal);
CREATE UNIQUE INDEX children_key ON children (namespace, task, run, name, occurrence);
-- Whose child a task is, to keep it as long as its parent lives.
CREATE INDEX children_child ON children (namespace, child, task);

-- A trigger, so that a version that knows no children leaves none behind when it forgets their parent.
CREATE TRIGGER children_forgotten AFTER DELETE ON tasks BEGIN
    DELETE FROM children WHERE namespace = old.namespace AND task = old.id;
END;
