-- The newest tasks of a type: how long they took is what forecasts are made of. Written once with each task, some 60 bytes of it.
-- Making it reads all specs, and nobody creates tasks meanwhile: some seconds for each million of them.
CREATE INDEX task_specs_type ON task_specs (namespace, task_type, task);
