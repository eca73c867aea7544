-- Mailboxes and what waits in them.

-- Rewritten with every message: what is counted, and nothing else.
CREATE TABLE mailboxes (
    namespace     INTEGER NOT NULL,
    agent         BLOB    NOT NULL,
    version       INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL,
    messages      INTEGER NOT NULL,
    bytes         INTEGER NOT NULL,
    closed        INTEGER,             -- 1 when its agent was removed, else NULL
    format        INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (namespace, agent)
) STRICT, WITHOUT ROWID;

CREATE INDEX mailboxes_closed ON mailboxes (namespace, agent) WHERE closed = 1;

-- The position is the order of commits: there is one writer. AUTOINCREMENT, so that a position is never used again: whoever
-- looks for what came behind one would miss a message that took the place of an acknowledged one. What is large stands last:
-- what stands before it is read without it.
CREATE TABLE messages (
    position     INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace    INTEGER NOT NULL,
    agent        BLOB    NOT NULL,
    sequence     INTEGER NOT NULL,
    id           BLOB    NOT NULL,
    bytes        INTEGER NOT NULL,
    principal    TEXT    NOT NULL,
    sender       TEXT,                -- the agent that sent it, by name
    headers      TEXT,
    sent_at      INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    format       INTEGER NOT NULL DEFAULT 1,
    content_type TEXT    NOT NULL,
    metadata     TEXT,
    content      ANY     NOT NULL     -- text or bytes
) STRICT;

CREATE UNIQUE INDEX messages_mailbox ON messages (namespace, agent, sequence);
CREATE UNIQUE INDEX messages_id ON messages (namespace, id);
CREATE INDEX messages_expiry ON messages (expires_at);
