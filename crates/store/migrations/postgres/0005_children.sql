-- Children: tasks that a run of another task created. Rows are written once, and go with the parent; a child that is forgotten before
-- it leaves its row behind. The ordinal counts a run's children, so that the last one's row says how many there are. Who creates one
-- has the parent's row locked.
CREATE TABLE children (
    namespace     bigint   NOT NULL,
    task          uuid     NOT NULL, -- the parent
    run           bigint   NOT NULL,
    ordinal       bigint   NOT NULL,
    occurrence    bigint   NOT NULL,
    child         uuid     NOT NULL,
    on_parent_end smallint NOT NULL, -- 0: it is cancelled, 1: it goes on
    format        smallint NOT NULL DEFAULT 1,
    name          text COLLATE "C" NOT NULL,
    PRIMARY KEY (namespace, task, run, ordinal)
);

CREATE UNIQUE INDEX children_key ON children (namespace, task, run, name, occurrence);
-- Whose child a task is, to keep it as long as its parent lives.
CREATE INDEX children_child ON children (namespace, child, task);

-- A trigger, so that a replica of a version that knows no children leaves none behind when it forgets their parent. A plan that was
-- made while the table was empty must not read it whole later.
CREATE FUNCTION forget_children() RETURNS trigger LANGUAGE plpgsql SET enable_seqscan = off AS $$
BEGIN
    DELETE FROM children WHERE namespace = old.namespace AND task = old.id;
    RETURN NULL;
END
$$;

CREATE TRIGGER children_forgotten AFTER DELETE ON tasks FOR EACH ROW EXECUTE FUNCTION forget_children();
