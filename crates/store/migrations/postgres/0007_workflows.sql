-- Workflows: tasks that were created together, and what has become of them. A version that knows none would not tell a workflow of its
-- tasks' ends: with the first one `min_version` becomes 7.
CREATE TABLE workflows (
    namespace   bigint   NOT NULL,
    id          uuid     NOT NULL,
    version     bigint   NOT NULL,
    state       smallint NOT NULL, -- 0: it runs, 1: completed, 2: failed, 3: cancelled
    created_at  bigint   NOT NULL,
    ended_at    bigint,            -- NULL while one of its tasks lives
    walk_next bigint,            -- the first task that a cancellation or a retry has still to reach
    format      smallint NOT NULL DEFAULT 1,
    name        text COLLATE "C" NOT NULL,
    created_by  text COLLATE "C" NOT NULL,
    spec        text COLLATE "C" NOT NULL,
    data        text COLLATE "C" NOT NULL,
    PRIMARY KEY (namespace, id)
) WITH (fillfactor = 50);

CREATE INDEX workflows_name ON workflows (namespace, name, id);
CREATE INDEX workflows_walking ON workflows (id) WHERE walk_next IS NOT NULL;
CREATE INDEX workflows_ended ON workflows (ended_at, id) WHERE ended_at IS NOT NULL;

-- Written once, and gone with the task.
CREATE TABLE workflow_tasks (
    namespace bigint   NOT NULL,
    workflow  uuid     NOT NULL,
    ordinal   bigint   NOT NULL,
    task      uuid     NOT NULL,
    format    smallint NOT NULL DEFAULT 1,
    name      text COLLATE "C",   -- NULL: a child, which has none
    PRIMARY KEY (namespace, workflow, ordinal)
);

CREATE INDEX workflow_tasks_task ON workflow_tasks (namespace, task);

CREATE FUNCTION forget_workflow_tasks() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM workflow_tasks WHERE namespace = old.namespace AND task = old.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER workflow_tasks_forgotten AFTER DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION forget_workflow_tasks();
