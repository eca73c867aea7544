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
