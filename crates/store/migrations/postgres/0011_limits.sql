-- What is used of limit keys. A version that knows none would give out tasks beyond their limits, and not count them: with the first lane
-- whose tasks have limit keys `min_version` becomes 11.
CREATE TABLE limit_uses (
    namespace bigint NOT NULL,
    key       text COLLATE "C" NOT NULL,
    version   bigint NOT NULL,
    in_use    bigint NOT NULL, -- how many tasks with the key hold a slot
    due_at    bigint NOT NULL, -- the theoretical arrival time of the next attempt; 0: no rate counts
    PRIMARY KEY (namespace, key)
) WITH (fillfactor = 50);

CREATE INDEX limit_uses_idle ON limit_uses (due_at) WHERE in_use = 0;
