-- Workflows grow: whose name is whose in a workflow. A version that knows no holds would give out what is held: with the first held
-- workflow `min_version` becomes 8.
CREATE INDEX workflow_tasks_name ON workflow_tasks (namespace, workflow, name);
