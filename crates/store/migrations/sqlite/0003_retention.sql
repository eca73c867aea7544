-- What retention needs. There is no index over the ends of tasks: their terminal events stand in the order of commits already.

-- Up to this position of `events` some of the namespace's may have been forgotten: a reader from further back is told.
ALTER TABLE namespaces ADD COLUMN forgotten_through INTEGER NOT NULL DEFAULT 0;

-- Agents that are gone, the longest first. Agents with a session are not in it.
CREATE INDEX agents_gone ON agents (detached_at, id) WHERE session IS NULL;
