//! Mailboxes and messages: what rules want and change, and reads. A batch without messages runs none of these statements.

use super::convert::get;
use super::error::sqlite_error;
use super::load::rows_at_most;
use super::many::{Binds, Many};
use super::save::bind_payload;
use super::schema::number;
use super::script::check;
use crate::codec::metadata_json;
use crate::columns::Columns;
use crate::rows::{self, message_columns};
use crate::{Cursor, MailPage, NewMail, Result};
use callboard_core::model::{AgentId, Mailbox, Message, MessageId, NamespaceId, Timestamp};
use callboard_core::working_set::{ChangeSet, Changed, MailboxRef, MessageRef, Rows, Want};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use std::sync::Arc;

static MAILBOXES: Many = Many::values(
    "SELECT b.namespace, b.agent, b.version, b.last_sequence, b.messages, b.bytes, b.closed, b.format FROM (VALUES ",
    "(?,?)",
    ") AS v CROSS JOIN mailboxes AS b ON b.namespace = v.column1 AND b.agent = v.column2",
);
static STUBS: Many = Many::values(
    "SELECT m.namespace, m.agent, m.sequence, m.id, m.bytes, m.expires_at FROM (VALUES ",
    "(?,?)",
    ") AS v CROSS JOIN messages AS m INDEXED BY messages_id ON m.namespace = v.column1 AND m.id = v.column2",
);
static NEW_MAILBOXES: Many = Many::values(
    "INSERT OR ROLLBACK INTO mailboxes (namespace, agent, version, last_sequence, messages, bytes, closed) \
     SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
static CHANGED_MAILBOXES: Many = Many::values(
    "UPDATE OR ROLLBACK mailboxes SET version = v.column4, last_sequence = v.column5, messages = v.column6, \
     bytes = v.column7, closed = v.column8, format = 1 FROM (VALUES ",
    "(?,?,?,?,?,?,?,?)",
    ") AS v WHERE mailboxes.namespace = v.column1 AND mailboxes.agent = v.column2 AND mailboxes.version = v.column3",
);
static NEW_MESSAGES: Many = Many::values(
    "INSERT OR ROLLBACK INTO messages (namespace, agent, sequence, id, bytes, principal, sender, headers, sent_at, expires_at, \
     content_type, metadata, content) SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
static OLD_MESSAGES: Many = Many::values(
    "DELETE FROM messages WHERE position IN (SELECT m.position FROM (VALUES ",
    "(?,?,?)",
    ") AS v CROSS JOIN messages AS m INDEXED BY messages_mailbox ON m.namespace = v.column1 AND m.agent = v.column2 \
     AND m.sequence = v.column3)",
);

const SIZES: &str = "SELECT b.last_sequence, m.sequence, m.bytes FROM mailboxes AS b \
     LEFT JOIN messages AS m INDEXED BY messages_mailbox ON m.namespace = b.namespace AND m.agent = b.agent \
     AND m.sequence > ? AND m.expires_at > ? WHERE b.namespace = ? AND b.agent = ? AND b.closed IS NULL \
     ORDER BY m.sequence LIMIT ?";
const PAGE: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM messages INDEXED BY messages_mailbox WHERE namespace = ? AND agent = ? AND sequence > ? AND sequence <= ? \
     AND expires_at > ? ORDER BY sequence"
);
const NEW_MAIL: &str =
    "SELECT position, namespace, agent, sequence FROM messages WHERE position > ? ORDER BY position LIMIT ?";
const EXPIRED: &str = "SELECT namespace, agent, id FROM messages INDEXED BY messages_expiry WHERE expires_at <= ? \
     AND NOT EXISTS (SELECT 1 FROM mailboxes AS b WHERE b.namespace = messages.namespace AND b.agent = messages.agent \
     AND b.closed = 1) ORDER BY expires_at LIMIT ?";
const CLOSED_MESSAGES: &str = "DELETE FROM messages WHERE position IN (SELECT m.position FROM mailboxes AS b INDEXED BY mailboxes_closed \
     CROSS JOIN messages AS m INDEXED BY messages_mailbox ON m.namespace = b.namespace AND m.agent = b.agent \
     WHERE b.closed = 1 LIMIT ?)";
const CLOSED_MAILBOXES: &str = "DELETE FROM mailboxes WHERE (namespace, agent) IN (SELECT b.namespace, b.agent FROM mailboxes AS b \
     INDEXED BY mailboxes_closed WHERE b.closed = 1 AND NOT EXISTS (SELECT 1 FROM messages AS m \
     INDEXED BY messages_mailbox WHERE m.namespace = b.namespace AND m.agent = b.agent) LIMIT ?)";

fn bind_mailbox(binds: &mut Binds, (namespace, agent): &MailboxRef) -> Result<()> {
    binds.add(namespace.0)?;
    binds.id(agent.0)
}

/// The mailboxes and messages that are wanted and exist.
pub async fn load(connection: &mut SqliteConnection, want: &Want, rows: &mut Rows) -> Result<()> {
    let wanted: Vec<MailboxRef> = want.mailboxes.iter().copied().collect();
    let mailboxes = &mut rows.mailboxes;
    MAILBOXES
        .fetch(connection, &wanted, bind_mailbox, |row| {
            mailboxes.push(rows::mailbox(row)?);
            Ok(())
        })
        .await?;
    let wanted: Vec<MessageRef> = want.messages.iter().copied().collect();
    let bind = |binds: &mut Binds, (namespace, id): &MessageRef| {
        binds.add(namespace.0)?;
        binds.id(id.0)
    };
    let messages = &mut rows.messages;
    STUBS
        .fetch(connection, &wanted, bind, |row| {
            messages.push(rows::stub(row)?);
            Ok(())
        })
        .await
}

/// Whether mailboxes changed.
pub fn has_mail(changes: &ChangeSet) -> bool {
    !changes.mailboxes.is_empty() || !changes.messages.is_empty() || !changes.removed_messages.is_empty()
}

/// Saves mailboxes and messages: new ones, then those that go, since some may be both.
pub async fn save(connection: &mut SqliteConnection, changes: &ChangeSet) -> Result<()> {
    save_mailboxes(connection, &changes.mailboxes).await?;
    NEW_MESSAGES.execute(connection, &changes.messages, bind_message).await?;
    let bind = |binds: &mut Binds, (namespace, agent, sequence): &(NamespaceId, AgentId, i64)| {
        bind_mailbox(binds, &(*namespace, *agent))?;
        binds.add(*sequence)
    };
    OLD_MESSAGES.execute(connection, &changes.removed_messages, bind).await?;
    Ok(())
}

async fn save_mailboxes(connection: &mut SqliteConnection, mailboxes: &[Changed<Mailbox>]) -> Result<()> {
    let (new, changed): (Vec<_>, Vec<_>) = mailboxes.iter().partition(|changed| changed.expected == 0);
    let columns = |binds: &mut Binds, row: &Mailbox| {
        binds.add(row.version)?;
        binds.add(row.last_sequence)?;
        binds.add(row.messages)?;
        binds.add(row.bytes)?;
        binds.add(row.closed.then_some(1_i64))
    };
    let bind = |binds: &mut Binds, changed: &&Changed<Mailbox>| {
        bind_mailbox(binds, &(changed.row.namespace, changed.row.agent))?;
        binds.add(changed.expected)?;
        columns(binds, &changed.row)
    };
    let updated = CHANGED_MAILBOXES.execute(connection, &changed, bind).await?;
    check(changed.len(), "mailboxes", updated)?;
    let bind = |binds: &mut Binds, changed: &&Changed<Mailbox>| {
        bind_mailbox(binds, &(changed.row.namespace, changed.row.agent))?;
        columns(binds, &changed.row)
    };
    NEW_MAILBOXES.execute(connection, &new, bind).await?;
    Ok(())
}

fn bind_message(binds: &mut Binds, message: &Arc<Message>) -> Result<()> {
    bind_mailbox(binds, &(message.namespace, message.recipient))?;
    binds.add(message.sequence)?;
    binds.id(message.id.0)?;
    binds.add(message.bytes())?;
    binds.add(message.sender.principal.clone())?;
    binds.add(message.sender.agent.clone())?;
    binds.add(metadata_json(&message.headers)?)?;
    binds.add(message.sent_at.0)?;
    binds.add(message.expires_at.0)?;
    bind_payload(binds, &message.payload)
}

/// A page of a mailbox. Needs a read transaction around it.
pub async fn page(
    connection: &mut SqliteConnection,
    mailbox: MailboxRef,
    now: Timestamp,
    after: i64,
    limit: usize,
    max_bytes: usize,
) -> Result<MailPage> {
    // The sizes alone first: they stand before the content.
    let query = sqlx::query(SIZES).bind(after).bind(now.0).bind(mailbox.0.0).bind(mailbox.1.0.as_bytes().to_vec());
    let query = query.bind(rows_at_most(limit.saturating_add(1)));
    let found = query.fetch_all(&mut *connection).await.map_err(sqlite_error)?;
    let mut page = MailPage { messages: Vec::new(), next: after, more: false };
    let (mut count, mut bytes) = (0, 0_i64);
    for row in &found {
        let Some(sequence) = get::<Option<i64>>(row, 1)? else { break };
        bytes = bytes.saturating_add(get(row, 2)?);
        if count == limit || (count > 0 && bytes > rows_at_most(max_bytes)) {
            page.more = true;
            break;
        }
        count += 1;
        page.next = sequence;
    }
    if count > 0 {
        page.messages = messages(connection, mailbox, now, after, page.next).await?;
    }
    if let Some(row) = found.first().filter(|_| !page.more) {
        page.next = after.max(get(row, 0)?);
    }
    Ok(page)
}

async fn messages(
    connection: &mut SqliteConnection,
    mailbox: MailboxRef,
    now: Timestamp,
    after: i64,
    last: i64,
) -> Result<Vec<Arc<Message>>> {
    let query = sqlx::query(PAGE).bind(mailbox.0.0).bind(mailbox.1.0.as_bytes().to_vec());
    let query = query.bind(after).bind(last).bind(now.0);
    let found = query.fetch_all(connection).await.map_err(sqlite_error)?;
    found.iter().map(|row| rows::message(row, mailbox).map(Arc::new)).collect()
}

/// Whose mailboxes got messages behind a place.
pub async fn new_mail(connection: &mut SqliteConnection, after: Cursor, limit: usize) -> Result<NewMail> {
    let query = sqlx::query(NEW_MAIL).bind(after.position).bind(rows_at_most(limit));
    let found = query.fetch_all(connection).await.map_err(sqlite_error)?;
    let mut new = NewMail { mailboxes: Default::default(), next: after, more: found.len() == limit };
    for row in &found {
        new.next.position = get(row, 0)?;
        // In the order of positions, places rise within a mailbox.
        new.mailboxes.insert((row.namespace_id(1)?, row.agent_id(2)?), get(row, 3)?);
    }
    Ok(new)
}

/// The place behind every message.
pub async fn end(connection: &mut SqliteConnection) -> Result<Cursor> {
    let position = number(connection, "SELECT ifnull(max(position), 0) FROM messages").await?;
    Ok(Cursor { transaction: 0, position })
}

/// Messages whose time is over, the oldest first.
pub async fn expired(
    connection: &mut SqliteConnection,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<(MailboxRef, MessageId)>> {
    let found = sqlx::query(EXPIRED).bind(now.0).bind(rows_at_most(limit)).fetch_all(connection).await;
    let read = |row: &SqliteRow| Ok(((row.namespace_id(0)?, row.agent_id(1)?), MessageId(row.uuid(2)?)));
    found.map_err(sqlite_error)?.iter().map(read).collect()
}

/// Throws away what is in closed mailboxes, and those that are empty.
pub async fn purge(connection: &mut SqliteConnection, limit: usize) -> Result<usize> {
    let done =
        sqlx::query(CLOSED_MESSAGES).bind(rows_at_most(limit)).execute(&mut *connection).await.map_err(sqlite_error)?;
    sqlx::query(CLOSED_MAILBOXES).bind(rows_at_most(limit)).execute(connection).await.map_err(sqlite_error)?;
    Ok(usize::try_from(done.rows_affected()).unwrap_or(limit))
}

/// Every statement, to look at its plan.
#[cfg(test)]
pub fn statements() -> Vec<&'static Many> {
    vec![&MAILBOXES, &STUBS, &NEW_MAILBOXES, &CHANGED_MAILBOXES, &NEW_MESSAGES, &OLD_MESSAGES]
}

/// Every query of one row of values, for the same.
#[cfg(test)]
pub const QUERIES: [&str; 6] = [SIZES, PAGE, NEW_MAIL, EXPIRED, CLOSED_MESSAGES, CLOSED_MAILBOXES];
