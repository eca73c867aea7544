//! Mailboxes and messages: what rules want and change, and reads. A batch without messages runs none of these statements.

use super::convert::Values;
use super::events::before;
use super::save::check;
use super::store::{Shared, Sql, rows_at_most};
use super::timeline::floor;
use super::transaction::{PgTransaction, Table};
use super::{horizon, own_token, shown};
use crate::codec::metadata_json;
use crate::columns::Columns;
use crate::rows::{self, message_columns};
use crate::{Cursor, Error, MailPage, NewMail, Result};
use callboard_core::model::{Mailbox, Message, MessageId, NamespaceId, Timestamp};
use callboard_core::working_set::{ChangeSet, Changed, MailboxRef, Rows, Want};
use std::collections::HashSet;
use std::sync::Arc;

/// New places are beyond all that were given before a promotion.
const MAILBOXES: &str = concat!(
    "SELECT b.namespace, b.agent, b.version, greatest(b.last_sequence, ",
    floor!(),
    "), b.messages, b.bytes, b.closed, b.format \
     FROM mailboxes AS b WHERE b.namespace = ANY($2) AND b.agent = ANY($3) ORDER BY b.namespace, b.agent FOR UPDATE"
);
const FLOOR: &str = concat!("SELECT ", floor!());
/// Locked too: what another transaction takes out must not be taken out twice.
const STUBS: &str = "SELECT m.namespace, m.agent, m.sequence, m.id, m.bytes, m.expires_at FROM messages AS m \
     WHERE m.namespace = ANY($1) AND m.id = ANY($2) ORDER BY m.namespace, m.id FOR UPDATE";
const NEW_MAILBOXES: &str = "INSERT INTO mailboxes (namespace, agent, version, last_sequence, messages, bytes, closed) \
     SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bool[])";
const CHANGED_MAILBOXES: &str = "UPDATE mailboxes AS b SET version = v.version, last_sequence = v.last_sequence, \
     messages = v.messages, bytes = v.bytes, closed = v.closed, format = 1 FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], \
     $4::bigint[], $5::bigint[], $6::bigint[], $7::bool[], $8::bigint[]) \
     AS v (namespace, agent, version, last_sequence, messages, bytes, closed, expected) \
     WHERE b.namespace = v.namespace AND b.agent = v.agent AND b.version = v.expected";
const NEW_MESSAGES: &str = concat!(
    "INSERT INTO messages (token, namespace, agent, sequence, id, bytes, principal, sender, headers, sent_at, expires_at, \
     content_type, metadata, content, is_text) SELECT ",
    own_token!(),
    ", v.* FROM unnest($2::bigint[], $3::uuid[], $4::bigint[], $5::uuid[], $6::bigint[], $7::text[], $8::text[], $9::text[], \
     $10::bigint[], $11::bigint[], $12::text[], $13::text[], $14::bytea[], $15::bool[]) AS v"
);
const OLD_MESSAGES: &str = "DELETE FROM messages AS m USING unnest($1::bigint[], $2::uuid[], $3::bigint[]) \
     AS v (namespace, agent, sequence) WHERE m.namespace = v.namespace AND m.agent = v.agent AND m.sequence = v.sequence";

/// One message more than fits the limit, and as many as fit the bytes, or one. The sizes are added up first; what is said is
/// read of the rest alone.
const PAGE: &str = concat!(
    "WITH b AS MATERIALIZED (SELECT last_sequence FROM mailboxes WHERE namespace = $1 AND agent = $2 AND NOT closed), \
     s AS MATERIALIZED (SELECT sequence AS place, sum(bytes) OVER w AS up_to, row_number() OVER w AS nth \
     FROM (SELECT sequence, bytes FROM messages WHERE namespace = $1 AND agent = $2 AND sequence > $3 AND expires_at > $4 \
     ORDER BY sequence LIMIT $5 + 1) AS m WINDOW w AS (ORDER BY sequence)), \
     fit AS MATERIALIZED (SELECT place FROM s WHERE nth <= $5 AND (nth = 1 OR up_to <= $6)) \
     SELECT ",
    message_columns!(),
    ", is_text, b.last_sequence, (SELECT count(*) FROM s) > (SELECT count(*) FROM fit) FROM b LEFT JOIN messages AS m \
     ON m.namespace = $1 AND m.agent = $2 AND m.sequence IN (SELECT place FROM fit) ORDER BY m.sequence"
);
/// The columns behind those of a message.
const LAST_SEQUENCE: usize = 12;
const NEW_MAIL: &str = concat!(
    "WITH h AS MATERIALIZED (SELECT ",
    horizon!(),
    " AS horizon), ends AS MATERIALIZED (SELECT h.horizon, ",
    shown!("messages", "h.horizon"),
    " AS shown FROM h) SELECT m.token, m.position, m.namespace, m.agent, m.sequence, e.shown FROM ends AS e LEFT JOIN LATERAL \
     (SELECT token, position, namespace, agent, sequence FROM messages WHERE (token, position) > ($2, $3) \
     AND token < e.horizon ORDER BY token, position LIMIT $4) AS m ON true ORDER BY m.token, m.position"
);
const END: &str =
    concat!("SELECT ", shown!("messages", "h.horizon"), " FROM (SELECT ", horizon!(), " AS horizon) AS h");
const EXPIRED: &str = "SELECT namespace, agent, id FROM messages AS m WHERE expires_at <= $1 AND NOT EXISTS (SELECT 1 \
     FROM mailboxes AS b WHERE b.namespace = m.namespace AND b.agent = m.agent AND b.closed) ORDER BY expires_at LIMIT $2";
const CLOSED_MESSAGES: &str = "DELETE FROM messages WHERE (token, position) IN (SELECT m.token, m.position FROM mailboxes AS b \
     JOIN messages AS m ON m.namespace = b.namespace AND m.agent = b.agent WHERE b.closed LIMIT $1 FOR UPDATE OF m SKIP LOCKED)";
const CLOSED_MAILBOXES: &str = "DELETE FROM mailboxes WHERE (namespace, agent) IN (SELECT b.namespace, b.agent FROM mailboxes AS b \
     WHERE b.closed AND NOT EXISTS (SELECT 1 FROM messages AS m WHERE m.namespace = b.namespace AND m.agent = b.agent) \
     LIMIT $1 FOR UPDATE SKIP LOCKED)";

/// The mailboxes and messages that are wanted and exist.
pub async fn load(transaction: &mut PgTransaction, want: &Want, rows: &mut Rows) -> Result<()> {
    if !want.mailboxes.is_empty() {
        let wanted: Vec<_> = want.mailboxes.iter().collect();
        transaction.will_lock(Table::Mailboxes, wanted.iter().map(|(namespace, agent)| (*namespace, agent.0))).await?;
        let order = Values::default().one(transaction.shared.order);
        let values = pairs(order, wanted.iter().map(|(namespace, agent)| (*namespace, agent.0)));
        let found = transaction.fetch(MAILBOXES, values).await?;
        let found = found.iter().map(rows::mailbox).collect::<Result<Vec<_>>>()?;
        rows.mailboxes = found.into_iter().filter(|row| want.mailboxes.contains(&(row.namespace, row.agent))).collect();
        if rows.mailboxes.len() < wanted.len() {
            add_lost(transaction, &wanted, rows).await?;
        }
    }
    if !want.messages.is_empty() {
        let wanted: Vec<_> = want.messages.iter().collect();
        transaction.will_lock(Table::Messages, wanted.iter().map(|(namespace, id)| (*namespace, id.0))).await?;
        let values = pairs(Values::default(), wanted.iter().map(|(namespace, id)| (*namespace, id.0)));
        let found = transaction.fetch(STUBS, values).await?;
        let found = found.iter().map(rows::stub).collect::<Result<Vec<_>>>()?;
        rows.messages = found.into_iter().filter(|stub| want.messages.contains(&(stub.namespace, stub.id))).collect();
    }
    Ok(())
}

/// Behind a promotion a mailbox that is not there may have been: an empty one, whose places are beyond those of then.
async fn add_lost(transaction: &mut PgTransaction, wanted: &[&MailboxRef], rows: &mut Rows) -> Result<()> {
    let values = Values::default().one(transaction.shared.order);
    let found = transaction.fetch(FLOOR, values).await?;
    let last_sequence = found.first().map(|row| row.number(0)).transpose()?.unwrap_or_default();
    if last_sequence > 0 {
        let known: HashSet<_> = rows.mailboxes.iter().map(|row| (row.namespace, row.agent)).collect();
        let lost = wanted.iter().filter(|at| !known.contains(**at));
        rows.mailboxes.extend(lost.map(|at| Mailbox { last_sequence, ..Mailbox::empty(at.0, at.1) }));
    }
    Ok(())
}

fn pairs(values: Values, wanted: impl Iterator<Item = (NamespaceId, uuid::Uuid)> + Clone) -> Values {
    let mut namespaces: Vec<i64> = wanted.clone().map(|(namespace, _)| namespace.0).collect();
    namespaces.dedup();
    values.one(namespaces).one(wanted.map(|(_, id)| id).collect::<Vec<_>>())
}

/// Saves mailboxes and messages: new ones, then those that go, since some may be both.
pub async fn save(transaction: &mut PgTransaction, changes: &ChangeSet) -> Result<()> {
    save_mailboxes(transaction, &changes.mailboxes).await?;
    let new = &changes.messages;
    if !new.is_empty() {
        let values = Values::default()
            .one(transaction.shared.order)
            .each(new, |message| message.namespace.0)
            .each(new, |message| message.recipient.0)
            .each(new, |message| message.sequence)
            .each(new, |message| message.id.0)
            .each(new, |message| message.bytes())
            .each_text(new, |message| &message.sender.principal)
            .each_text_or_null(new, |message| message.sender.agent.as_deref())
            .each_made(new, |message| metadata_json(&message.headers))
            .each(new, |message| message.sent_at.0)
            .each(new, |message| message.expires_at.0)
            .payloads(new, |message: &Arc<Message>| &message.payload);
        transaction.execute(NEW_MESSAGES, values).await?;
    }
    let old = &changes.removed_messages;
    if !old.is_empty() {
        let values = Values::default()
            .each(old, |(namespace, _, _)| namespace.0)
            .each(old, |(_, agent, _)| agent.0)
            .each(old, |(_, _, sequence)| *sequence);
        transaction.execute(OLD_MESSAGES, values).await?;
    }
    Ok(())
}

async fn save_mailboxes(transaction: &mut PgTransaction, mailboxes: &[Changed<Mailbox>]) -> Result<()> {
    let (new, changed): (Vec<_>, Vec<_>) = mailboxes.iter().partition(|changed| changed.expected == 0);
    let columns = |rows: &[&Changed<Mailbox>]| {
        Values::default()
            .each(rows, |changed| changed.row.namespace.0)
            .each(rows, |changed| changed.row.agent.0)
            .each(rows, |changed| changed.row.version)
            .each(rows, |changed| changed.row.last_sequence)
            .each(rows, |changed| changed.row.messages)
            .each(rows, |changed| changed.row.bytes)
            .each(rows, |changed| changed.row.closed)
    };
    if !changed.is_empty() {
        let values = columns(&changed).each(&changed, |changed| changed.expected);
        let updated = transaction.execute(CHANGED_MAILBOXES, values).await?;
        check(changed.len(), "mailboxes", updated)?;
    }
    if !new.is_empty() {
        transaction.execute(NEW_MAILBOXES, columns(&new)).await?;
    }
    Ok(())
}

/// A page of a mailbox.
pub async fn page(
    shared: &Shared,
    mailbox: MailboxRef,
    now: Timestamp,
    after: i64,
    limit: usize,
    max_bytes: usize,
) -> Result<MailPage> {
    let most = rows_at_most(limit.min(1 << 30));
    let values = || {
        let values = Values::default().one(mailbox.0.0).one(mailbox.1.0).one(after).one(now.0);
        values.one(most).one(rows_at_most(max_bytes))
    };
    let found = shared.read(Sql::Fixed(PAGE), values).await?;
    let mut page = MailPage { messages: Vec::new(), next: after, more: false };
    // No row: there is no such mailbox, or it is closed.
    let Some(first) = found.first() else { return Ok(page) };
    page.more = first.flag(LAST_SEQUENCE + 1)?;
    for row in &found {
        if row.number_or_null(1)?.is_some() {
            page.messages.push(Arc::new(rows::message(row, mailbox)?));
        }
    }
    page.next = match page.messages.last() {
        Some(last) if page.more => last.sequence,
        _ if page.more => after,
        _ => after.max(first.number(LAST_SEQUENCE)?),
    };
    Ok(page)
}

/// Whose mailboxes got messages behind a place.
pub async fn new_mail(shared: &Shared, after: Cursor, limit: usize) -> Result<NewMail> {
    let values =
        || Values::default().one(shared.order).one(after.transaction).one(after.position).one(rows_at_most(limit));
    let found = shared.read(Sql::Fixed(NEW_MAIL), values).await?;
    let first = found.first().ok_or_else(|| Error::Corrupt("there is no horizon".into()))?;
    let end = before(first.number(5)?);
    let mut new = NewMail { mailboxes: Default::default(), next: after, more: false };
    let mut count = 0;
    for row in &found {
        let Some(transaction) = row.number_or_null(0)? else { break };
        count += 1;
        new.next = Cursor { transaction, position: row.number(1)? };
        let highest: &mut i64 = new.mailboxes.entry((row.namespace_id(2)?, row.agent_id(3)?)).or_default();
        *highest = row.number(4)?.max(*highest);
    }
    new.more = count == limit;
    if !new.more {
        new.next = end.max(after);
    }
    Ok(new)
}

/// The place behind every message that is shown now.
pub async fn end(shared: &Shared) -> Result<Cursor> {
    let found = shared.read(Sql::Fixed(END), || Values::default().one(shared.order)).await?;
    let end = found.first().ok_or_else(|| Error::Corrupt("there is no horizon".into()))?.number(0)?;
    Ok(before(end))
}

/// Messages whose time is over, the oldest first.
pub async fn expired(shared: &Shared, now: Timestamp, limit: usize) -> Result<Vec<(MailboxRef, MessageId)>> {
    let found = shared.read(Sql::Fixed(EXPIRED), || Values::default().one(now.0).one(rows_at_most(limit))).await?;
    found.iter().map(|row| Ok(((row.namespace_id(0)?, row.agent_id(1)?), MessageId(row.uuid(2)?)))).collect()
}

/// Throws away what is in closed mailboxes, and those that are empty.
pub async fn purge(shared: &Arc<Shared>, limit: usize) -> Result<usize> {
    let mut transaction = PgTransaction::begin(shared).await?;
    let most = || Values::default().one(rows_at_most(limit));
    let messages = transaction.execute(CLOSED_MESSAGES, most()).await?;
    transaction.execute(CLOSED_MAILBOXES, most()).await?;
    transaction.finish().await?;
    Ok(usize::try_from(messages).unwrap_or(limit))
}
