-- Claims stay fast while somebody holds a snapshot for long. PostgreSQL then keeps every row version and every index entry since, and whoever
-- reads an index from its beginning, or looks for a row that is changed in place again and again, walks over all of them. So the hot paths begin
-- behind what they know to be over (see `floors.rs`), by tokens, which rise with every change of a task; and what is counted with almost every
-- commit is added as rows of its own, which are summed up and put together now and then.

-- In the order in which batches use them.
LOCK TABLE agents, tasks, live_counts IN ACCESS EXCLUSIVE MODE;

-- What an agent has, from a token on.
DROP INDEX tasks_leased;
CREATE INDEX tasks_leased ON tasks (namespace, agent, token) WHERE agent IS NOT NULL;

-- What became ready in a lane since a token, before a rank: all others are found by their ranks.
CREATE INDEX tasks_entered ON tasks (namespace, lane, token, rank) WHERE rank IS NOT NULL;

-- What is to be added to an agent's row: attempts that it completed and failed, and by how much its version rises. The row itself, with its
-- profile, is not written each time. Who adds something has the agent's row locked; a version that knows nothing of this goes on adding
-- to the row.
CREATE TABLE agent_counts (
    namespace bigint NOT NULL,
    agent     uuid   NOT NULL,
    token     bigint NOT NULL, -- of the transaction that added it
    versions  bigint NOT NULL,
    completed bigint NOT NULL,
    failed    bigint NOT NULL,
    PRIMARY KEY (namespace, agent, token)
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);

-- A trigger, so that a replica of a version that knows no such rows leaves none behind when it removes their agent. A plan that was made
-- while the table was empty must not read it whole later.
CREATE FUNCTION forget_agent_counts() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM agent_counts WHERE namespace = old.namespace AND agent = old.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER agent_counts_forgotten AFTER DELETE ON agents FOR EACH ROW EXECUTE FUNCTION forget_agent_counts();

-- By how many a transaction changed the live tasks stands under its token; below 64 are the shards of versions before this. Nothing is changed in
-- place any more.
ALTER TABLE live_counts SET (fillfactor = 100);
ALTER TABLE live_counts ALTER COLUMN shard TYPE bigint;
