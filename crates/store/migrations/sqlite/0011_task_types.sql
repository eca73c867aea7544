-- The newest tasks of a type: how long they took is what forecasts are made of. Written once with each task, some 40 bytes of it.
-- Making it reads all specs: a second or two for each gigabyte of them.
CREATE INDEX task_specs_type ON task_specs (namespace, task_type, task);
