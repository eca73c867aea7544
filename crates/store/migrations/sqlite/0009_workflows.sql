-- Workflows: tasks that were created together, and what has become of them. A version that knows none would not tell a workflow of its
-- tasks' ends: with the first one `min_version` becomes 9.
CREATE TABLE workflows (
    namespace   INTEGER NOT NULL,
    id          BLOB    NOT NULL,
    version     INTEGER NOT NULL,
    state       INTEGER NOT NULL, -- 0: it runs, 1: completed, 2: failed, 3: cancelled
    name        TEXT    NOT NULL,
    created_by  TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    ended_at    INTEGER,          -- NULL while one of its tasks lives
    walk_next INTEGER,          -- the first task that a cancellation or a retry has still to reach
    spec        TEXT    NOT NULL,
    data        TEXT    NOT NULL,
    format      INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX workflows_name ON workflows (namespace, name, id);
CREATE INDEX workflows_walking ON workflows (id) WHERE walk_next IS NOT NULL;
CREATE INDEX workflows_ended ON workflows (ended_at, id) WHERE ended_at IS NOT NULL;

-- Written once, and gone with the task.
CREATE TABLE workflow_tasks (
    namespace INTEGER NOT NULL,
    workflow  BLOB    NOT NULL,
    ordinal   INTEGER NOT NULL,
    task      BLOB    NOT NULL,
    name      TEXT,             -- NULL: a child, which has none
    format    INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (namespace, workflow, ordinal)
) STRICT, WITHOUT ROWID;

CREATE INDEX workflow_tasks_task ON workflow_tasks (namespace, task);

CREATE TRIGGER workflow_tasks_forgotten AFTER DELETE ON tasks BEGIN
    DELETE FROM workflow_tasks WHERE namespace = old.namespace AND task = old.id;
END;
