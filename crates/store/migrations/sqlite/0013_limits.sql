-- What is used of limit keys. A version that knows none would give out tasks beyond their limits, and not count them: with the first lane
-- whose tasks have limit keys `min_version` becomes 13.
CREATE TABLE limit_uses (
    namespace INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    version   INTEGER NOT NULL,
    in_use    INTEGER NOT NULL, -- how many tasks with the key hold a slot
    due_at    INTEGER NOT NULL, -- the theoretical arrival time of the next attempt; 0: no rate counts
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX limit_uses_idle ON limit_uses (due_at) WHERE in_use = 0;
