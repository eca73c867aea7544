-- Durable steps: what handlers recorded of their work. Rows are written once, and go with their task. The ordinal counts a run's
-- steps, so that the last one's row says how many there are. Who records one has the task's row locked.
CREATE TABLE steps (
    namespace    bigint   NOT NULL,
    task         uuid     NOT NULL,
    run          bigint   NOT NULL,
    ordinal      bigint   NOT NULL,
    occurrence   bigint   NOT NULL,
    attempt      bigint   NOT NULL,
    recorded_at  bigint   NOT NULL,
    digest       bigint   NOT NULL,
    bytes_so_far bigint   NOT NULL, -- of the run's results, this one's included
    format       smallint NOT NULL DEFAULT 1,
    is_text      boolean  NOT NULL,
    name         text COLLATE "C" NOT NULL,
    content_type text COLLATE "C" NOT NULL,
    metadata     text,
    content      bytea    NOT NULL,
    PRIMARY KEY (namespace, task, run, ordinal)
);

CREATE UNIQUE INDEX steps_key ON steps (namespace, task, run, name, occurrence);

-- A trigger, so that a replica of a version that knows no steps leaves none behind when it forgets their task. A plan that was made
-- while the table was empty must not read it whole later.
CREATE FUNCTION forget_steps() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM steps WHERE namespace = old.namespace AND task = old.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER steps_forgotten AFTER DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION forget_steps();
