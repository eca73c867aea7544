-- Who is registered. A replica raises its counter every second; a name is never used again.
CREATE TABLE registrations (
    name          text COLLATE "C" PRIMARY KEY,
    beat          bigint  NOT NULL,
    dead          boolean NOT NULL,
    registered_at timestamptz NOT NULL DEFAULT now() -- for people: nothing is decided by it
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 100, autovacuum_vacuum_scale_factor = 0);

-- Attempts that are to stop. They are few, and each is looked at until it has: `data` is JSON, and what else of it looks so is
-- sorted out when it is read.
CREATE INDEX tasks_stopping ON tasks (namespace, agent) WHERE agent IS NOT NULL AND strpos(data, '"cancelling":{') > 0;
