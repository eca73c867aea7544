-- The first schema. Immutable once released: a change is a new file beside this one.
--
-- Every row, key and index starts with the namespace, but for those that are read across namespaces (due times, live sessions,
-- the order of commits). Ids are UUIDs in 16 bytes, times are microseconds. `format` is the version of the row's own data.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The oldest schema version whose programs may use this file.
INSERT INTO meta (name, value) VALUES ('min_version', 1);

CREATE TABLE namespaces (
    id         INTEGER PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    settings   TEXT    NOT NULL,
    format     INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE TABLE lanes (
    namespace INTEGER NOT NULL,
    id        INTEGER NOT NULL,
    key       TEXT    NOT NULL,
    format    INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE agents (
    namespace  INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    version    INTEGER NOT NULL,
    name       TEXT    NOT NULL,
    agent_type TEXT    NOT NULL,
    principal  TEXT    NOT NULL,
    cordoned   INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    completed  INTEGER NOT NULL,
    failed     INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    attached_at INTEGER NOT NULL,
    detached_at INTEGER,
    session    TEXT,
    profile    TEXT    NOT NULL,
    format     INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX agents_name ON agents (namespace, name);
CREATE INDEX agents_live ON agents (id) WHERE session IS NOT NULL;

-- Hot and narrow: rewritten with every step of a task's life. What is written once is in task_specs.
CREATE TABLE tasks (
    namespace  INTEGER NOT NULL,
    id         BLOB    NOT NULL,
    version    INTEGER NOT NULL,
    state      INTEGER NOT NULL,
    live       INTEGER,             -- 1 until it ends, then NULL
    lane       INTEGER NOT NULL,
    rank       INTEGER,             -- when ready
    agent      BLOB,                -- when leased
    wake_at    INTEGER,
    key        TEXT,
    agent_name TEXT,
    created_at INTEGER NOT NULL,
    data       TEXT    NOT NULL,
    format     INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (namespace, id)
) STRICT, WITHOUT ROWID;

-- An update touches an index only when it names one of its columns: steps of a live task don't name `live`, `lane` and `key`.
CREATE INDEX tasks_live ON tasks (namespace, id, lane) WHERE live = 1;
CREATE UNIQUE INDEX tasks_live_key ON tasks (namespace, key) WHERE live = 1 AND key IS NOT NULL;
CREATE INDEX tasks_key ON tasks (namespace, key, id) WHERE key IS NOT NULL;
CREATE INDEX tasks_ready ON tasks (namespace, lane, rank, id) WHERE rank IS NOT NULL;
CREATE INDEX tasks_leased ON tasks (namespace, agent, id) WHERE agent IS NOT NULL;
CREATE INDEX tasks_due ON tasks (wake_at, id) WHERE wake_at IS NOT NULL;
-- FAILED, CANCELLED and SKIPPED.
CREATE INDEX tasks_unsuccessful ON tasks (namespace, id) WHERE state > 4;

-- With a rowid, since rows may be large: what does not fit into a page would spill from an index at a quarter of it.
CREATE TABLE task_specs (
    namespace      INTEGER NOT NULL,
    task           BLOB    NOT NULL,
    task_type      TEXT    NOT NULL,
    created_by     TEXT    NOT NULL,
    spec           TEXT    NOT NULL,
    format         INTEGER NOT NULL DEFAULT 1,
    input_type     TEXT    NOT NULL,
    input_metadata TEXT,
    input          ANY     NOT NULL, -- text or bytes
    UNIQUE (namespace, task)
) STRICT;

CREATE TABLE task_tags (
    namespace INTEGER NOT NULL,
    tag       TEXT    NOT NULL,
    task      BLOB    NOT NULL,
    PRIMARY KEY (namespace, tag, task)
) STRICT, WITHOUT ROWID;

-- Results (0), checkpoints (1) and failures (2); each replaces the one before.
CREATE TABLE payloads (
    namespace    INTEGER NOT NULL,
    task         BLOB    NOT NULL,
    kind         INTEGER NOT NULL,
    format       INTEGER NOT NULL DEFAULT 1,
    content_type TEXT    NOT NULL,
    metadata     TEXT,
    content      ANY     NOT NULL,
    UNIQUE (namespace, task, kind)
) STRICT;

CREATE TABLE edges (
    namespace  INTEGER NOT NULL,
    source     BLOB    NOT NULL,
    target     BLOB    NOT NULL,
    ordinal    INTEGER NOT NULL,
    on_failure INTEGER NOT NULL,
    resolved   INTEGER NOT NULL,
    format     INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (namespace, source, target)
) STRICT, WITHOUT ROWID;

CREATE INDEX edges_pending ON edges (namespace, source, target) WHERE resolved = 0;
CREATE INDEX edges_target ON edges (namespace, target, ordinal, source);

-- A row has the events of one task in one transaction; `sequence`, `at` and `state` are the last one's. The position is the order of commits: there
-- is one writer. AUTOINCREMENT, so that a position is never used again.
CREATE TABLE events (
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace INTEGER NOT NULL,
    task      BLOB    NOT NULL,
    sequence  INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    facts     TEXT    NOT NULL,
    format    INTEGER NOT NULL DEFAULT 1
) STRICT;

CREATE UNIQUE INDEX events_task ON events (namespace, task, sequence);

-- With a rowid, since answers may be large, and are purged by their age: it rises with the time at which they were given.
CREATE TABLE requests (
    namespace     INTEGER NOT NULL,
    principal     TEXT    NOT NULL,
    method        TEXT    NOT NULL,
    request_id    TEXT    NOT NULL,
    digest        BLOB    NOT NULL,
    reply         TEXT    NOT NULL,
    remembered_at INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    format        INTEGER NOT NULL DEFAULT 1,
    UNIQUE (namespace, principal, method, request_id)
) STRICT;

