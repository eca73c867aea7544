-- The first schema. Immutable once released: a change is a new file beside this one.
--
-- Every row, key and index starts with the namespace, but for those that are read across namespaces (due times, live sessions,
-- the order of commits). Times are microseconds. `format` is the version of the row's own data. What is free text sorts by its
-- bytes, as in SQLite, and is escaped: PostgreSQL's text has no NUL. JSON has none by itself.
--
-- Hot tables have settings of their own. By default a table is vacuumed when a fifth of it is dead: with a million finished
-- tasks that would be far too late for the few that live, whose index entries all claims walk over.

-- 'schema': which migrations ran. 'min_version': the oldest schema version whose programs may use this database.
-- 'token_offset': see `events`.
CREATE TABLE callboard_meta (
    name  text   PRIMARY KEY,
    value bigint NOT NULL
);

INSERT INTO callboard_meta (name, value) VALUES ('schema', 0), ('min_version', 1), ('token_offset', 0);

CREATE TABLE namespaces (
    id         bigint PRIMARY KEY,
    name       text COLLATE "C" NOT NULL UNIQUE,
    version    bigint NOT NULL,
    created_at bigint NOT NULL,
    settings   text   NOT NULL,
    format     smallint NOT NULL DEFAULT 1
);

-- How many tasks live, in shards: a counter that all replicas changed would have them commit one after the other. Each has one
-- of 64, and the sum counts. Rewritten with almost every commit, in place: it must find room on its page.
CREATE TABLE live_counts (
    namespace bigint   NOT NULL,
    shard     smallint NOT NULL,
    live      bigint   NOT NULL,
    PRIMARY KEY (namespace, shard)
) WITH (fillfactor = 20, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);

CREATE SEQUENCE shards MINVALUE 0 MAXVALUE 63 CYCLE;

CREATE TABLE lanes (
    namespace bigint NOT NULL,
    id        bigint NOT NULL,
    key       text   NOT NULL,
    format    smallint NOT NULL DEFAULT 1,
    PRIMARY KEY (namespace, id)
);

-- Counters change with every task that ends, and no index has them: with room on its page such an update touches no index.
CREATE TABLE agents (
    namespace   bigint NOT NULL,
    id          uuid   NOT NULL,
    version     bigint NOT NULL,
    epoch       bigint NOT NULL,
    completed   bigint NOT NULL,
    failed      bigint NOT NULL,
    created_at  bigint NOT NULL,
    attached_at bigint NOT NULL,
    detached_at bigint,
    cordoned    boolean NOT NULL,
    format      smallint NOT NULL DEFAULT 1,
    name        text COLLATE "C" NOT NULL,
    agent_type  text COLLATE "C" NOT NULL,
    principal   text COLLATE "C" NOT NULL,
    session     text,
    profile     text NOT NULL,
    PRIMARY KEY (namespace, id)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05);

CREATE UNIQUE INDEX agents_name ON agents (namespace, name);
CREATE INDEX agents_live ON agents (id) WHERE session IS NOT NULL;
CREATE INDEX agents_gone ON agents (detached_at, id) WHERE session IS NULL;

-- Hot and narrow: rewritten with every step of a task's life. What is written once is in task_specs. A step changes what
-- indexes have (the rank, the agent, the time), so it is a new entry in each whose condition holds; those are few, since all but
-- the first are partial. A fifth of each page is left for it: then it dirties one page, not two.
CREATE TABLE tasks (
    namespace    bigint   NOT NULL,
    id           uuid     NOT NULL,
    version      bigint   NOT NULL,
    spec_version bigint   NOT NULL, -- the version at which the spec was written last: what task_specs must have
    token        bigint   NOT NULL, -- see `events`
    lane         bigint   NOT NULL,
    created_at   bigint   NOT NULL,
    rank         bigint,            -- when ready
    wake_at      bigint,
    agent        uuid,              -- when leased
    state        smallint NOT NULL,
    format       smallint NOT NULL DEFAULT 1,
    live         boolean  NOT NULL, -- until it ends
    key          text COLLATE "C",
    agent_name   text COLLATE "C",
    data         text     NOT NULL,
    PRIMARY KEY (namespace, id)
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_analyze_threshold = 2000, autovacuum_analyze_scale_factor = 0.05,
    autovacuum_vacuum_cost_delay = 0
);

CREATE INDEX tasks_live ON tasks (namespace, id, lane) WHERE live;
CREATE UNIQUE INDEX tasks_live_key ON tasks (namespace, key) WHERE live AND key IS NOT NULL;
CREATE INDEX tasks_key ON tasks (namespace, key, id) WHERE key IS NOT NULL;
CREATE INDEX tasks_ready ON tasks (namespace, lane, rank, id) WHERE rank IS NOT NULL;
CREATE INDEX tasks_leased ON tasks (namespace, agent, id) WHERE agent IS NOT NULL;
CREATE INDEX tasks_due ON tasks (wake_at, id) WHERE wake_at IS NOT NULL;
-- FAILED, CANCELLED and SKIPPED.
CREATE INDEX tasks_unsuccessful ON tasks (namespace, id) WHERE state > 4;

CREATE TABLE task_specs (
    namespace      bigint NOT NULL,
    task           uuid   NOT NULL,
    version        bigint NOT NULL, -- the task's, when it was written
    format         smallint NOT NULL DEFAULT 1,
    input_is_text  boolean NOT NULL,
    task_type      text COLLATE "C" NOT NULL,
    created_by     text COLLATE "C" NOT NULL,
    spec           text NOT NULL,
    input_type     text COLLATE "C" NOT NULL,
    input_metadata text,
    input          bytea NOT NULL,
    PRIMARY KEY (namespace, task)
);

CREATE TABLE task_tags (
    namespace bigint NOT NULL,
    tag       text COLLATE "C" NOT NULL,
    task      uuid   NOT NULL,
    PRIMARY KEY (namespace, tag, task)
);

-- Results (0), checkpoints (1) and failures (2); each replaces the one before.
CREATE TABLE payloads (
    namespace    bigint   NOT NULL,
    task         uuid     NOT NULL,
    kind         smallint NOT NULL,
    format       smallint NOT NULL DEFAULT 1,
    is_text      boolean  NOT NULL,
    content_type text COLLATE "C" NOT NULL,
    metadata     text,
    content      bytea    NOT NULL,
    PRIMARY KEY (namespace, task, kind)
);

CREATE TABLE edges (
    namespace  bigint   NOT NULL,
    source     uuid     NOT NULL,
    target     uuid     NOT NULL,
    ordinal    bigint   NOT NULL,
    on_failure smallint NOT NULL,
    format     smallint NOT NULL DEFAULT 1,
    resolved   boolean  NOT NULL,
    PRIMARY KEY (namespace, source, target)
);

CREATE INDEX edges_pending ON edges (namespace, source, target) WHERE NOT resolved;
CREATE INDEX edges_target ON edges (namespace, target, ordinal, source);

-- A row has the events of one task in one transaction; `sequence`, `at` and `state` are the last one's.
--
-- The order of commits is (token, position). The token is the transaction's id (pg_current_xact_id), or that of the task's last
-- change if it is higher: a transaction may have got its id, waited for the task's lock, and so come behind one with a higher
-- id; with the higher token, and a position taken while the task is locked, a task's events are in order. A token is never below
-- its transaction's id, so what is below pg_snapshot_xmin has all been committed or given up: that is what readers are shown.
-- A dump that is restored in another cluster begins anew with transaction ids: 'token_offset' is added to them.
--
-- Rows are never changed, and go in the order in which they came. The vacuum that only follows insertions keeps the map of
-- what is visible to all, which index-only scans need.
CREATE TABLE events (
    token     bigint   NOT NULL,
    position  bigint   GENERATED ALWAYS AS IDENTITY,
    namespace bigint   NOT NULL,
    task      uuid     NOT NULL,
    sequence  bigint   NOT NULL,
    at        bigint   NOT NULL,
    state     smallint NOT NULL,
    format    smallint NOT NULL DEFAULT 1,
    facts     text     NOT NULL,
    PRIMARY KEY (token, position)
) WITH (
    autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0.05,
    autovacuum_vacuum_insert_threshold = 50000, autovacuum_vacuum_insert_scale_factor = 0.05
);

CREATE UNIQUE INDEX events_task ON events (namespace, task, sequence);

-- Up to this place some of the namespace's events may have been forgotten: a reader from further back is told.
CREATE TABLE forgotten_events (
    namespace bigint PRIMARY KEY,
    token     bigint NOT NULL,
    position  bigint NOT NULL
) WITH (fillfactor = 20);

-- Answers, purged by their age.
CREATE TABLE requests (
    namespace     bigint   NOT NULL,
    remembered_at bigint   NOT NULL,
    expires_at    bigint   NOT NULL,
    format        smallint NOT NULL DEFAULT 1,
    principal     text COLLATE "C" NOT NULL,
    method        text COLLATE "C" NOT NULL,
    request_id    text COLLATE "C" NOT NULL,
    digest        bytea    NOT NULL,
    reply         text COLLATE "C" NOT NULL,
    PRIMARY KEY (namespace, principal, method, request_id)
) WITH (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX requests_expiry ON requests (expires_at);

-- Rewritten with every message: what is counted, and nothing else. In place, with room on its page.
CREATE TABLE mailboxes (
    namespace     bigint   NOT NULL,
    agent         uuid     NOT NULL,
    version       bigint   NOT NULL,
    last_sequence bigint   NOT NULL,
    messages      bigint   NOT NULL,
    bytes         bigint   NOT NULL,
    format        smallint NOT NULL DEFAULT 1,
    closed        boolean  NOT NULL, -- its agent was removed
    PRIMARY KEY (namespace, agent)
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05);

CREATE INDEX mailboxes_closed ON mailboxes (namespace, agent) WHERE closed;

-- The order of commits is (token, position), as in `events`; the token is the transaction's id: whoever looks for new messages
-- takes the highest place of a mailbox, whatever their order.
CREATE TABLE messages (
    token        bigint   NOT NULL,
    position     bigint   GENERATED ALWAYS AS IDENTITY,
    namespace    bigint   NOT NULL,
    agent        uuid     NOT NULL,
    sequence     bigint   NOT NULL,
    id           uuid     NOT NULL,
    bytes        bigint   NOT NULL,
    sent_at      bigint   NOT NULL,
    expires_at   bigint   NOT NULL,
    format       smallint NOT NULL DEFAULT 1,
    is_text      boolean  NOT NULL,
    principal    text COLLATE "C" NOT NULL,
    sender       text COLLATE "C",  -- the agent that sent it, by name
    headers      text,
    content_type text COLLATE "C" NOT NULL,
    metadata     text,
    content      bytea    NOT NULL,
    PRIMARY KEY (token, position)
) WITH (autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_scale_factor = 0.05);

CREATE UNIQUE INDEX messages_mailbox ON messages (namespace, agent, sequence);
CREATE UNIQUE INDEX messages_id ON messages (namespace, id);
CREATE INDEX messages_expiry ON messages (expires_at);
