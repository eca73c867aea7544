-- Output: what attempts gave to those who watch. Rows are written once, and go with their task. The last row of a run says what
-- its output has come to. Who adds some has the task's row locked.
CREATE TABLE output (
    namespace     bigint   NOT NULL,
    task          uuid     NOT NULL,
    run           bigint   NOT NULL,
    start         bigint   NOT NULL, -- the bytes of the run's output before it
    size          bigint   NOT NULL, -- its own
    ordinal       bigint   NOT NULL,
    attempt       bigint   NOT NULL,
    attempt_bytes bigint   NOT NULL, -- what its attempt gave with it
    given_at      bigint   NOT NULL,
    format        smallint NOT NULL DEFAULT 1,
    is_text       boolean  NOT NULL,
    content_type  text COLLATE "C" NOT NULL,
    metadata      text,
    content       bytea    NOT NULL,
    PRIMARY KEY (namespace, task, run, start)
);

-- A trigger, so that a replica of a version that knows no output leaves none behind when it forgets its task. A plan that was made
-- while the table was empty must not read it whole later.
CREATE FUNCTION forget_output() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM output WHERE namespace = old.namespace AND task = old.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER output_forgotten AFTER DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION forget_output();
