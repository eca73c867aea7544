//! Mailboxes and messages in memory.

use super::tables::conflict;
use crate::{Cursor, MailDepth, MailPage, NewMail, Result};
use callboard_core::model::{AgentId, Mailbox, Message, MessageId, NamespaceId, Timestamp};
use callboard_core::working_set::{ChangeSet, MailboxRef, MessageRef, Rows, Want};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A message's key: its mailbox and its place there.
type Place = (NamespaceId, AgentId, i64);

/// All mailboxes.
#[derive(Debug, Default)]
pub(super) struct Mail {
    mailboxes: BTreeMap<MailboxRef, Mailbox>,
    messages: BTreeMap<Place, Entry>,
    ids: BTreeMap<MessageRef, Place>,
    /// By their place in the order of commits.
    positions: BTreeMap<i64, Place>,
    last_position: i64,
}

#[derive(Clone, Debug)]
struct Entry {
    position: i64,
    message: Arc<Message>,
}

impl Mail {
    /// Whether anything waits in a mailbox.
    pub fn has_messages(&self, mailbox: MailboxRef) -> bool {
        self.mailboxes.get(&mailbox).is_some_and(|mailbox| mailbox.messages > 0)
    }

    /// What waits.
    pub fn depth(&self) -> MailDepth {
        let mut depth = MailDepth::default();
        for mailbox in self.mailboxes.values().filter(|mailbox| !mailbox.closed) {
            depth.messages += mailbox.messages;
            depth.bytes += mailbox.bytes;
            depth.most_messages = depth.most_messages.max(mailbox.messages);
            depth.most_bytes = depth.most_bytes.max(mailbox.bytes);
        }
        depth
    }

    /// What is wanted and exists.
    pub fn load(&self, want: &Want, rows: &mut Rows) {
        rows.mailboxes = want.mailboxes.iter().filter_map(|at| self.mailboxes.get(at).cloned()).collect();
        let places = want.messages.iter().filter_map(|at| self.ids.get(at));
        rows.messages = places.filter_map(|place| self.messages.get(place)).map(|e| e.message.stub()).collect();
    }

    /// Applies changes: new messages, then those that go, since some may be both.
    pub fn apply(&mut self, changes: &ChangeSet) -> Result<()> {
        for changed in &changes.mailboxes {
            let at = (changed.row.namespace, changed.row.agent);
            if self.mailboxes.get(&at).map_or(0, |row| row.version) != changed.expected {
                return Err(conflict("the mailbox of agent", at.1));
            }
            self.mailboxes.insert(at, changed.row.clone());
        }
        for message in &changes.messages {
            let place = (message.namespace, message.recipient, message.sequence);
            if self.messages.contains_key(&place) || self.ids.contains_key(&(message.namespace, message.id)) {
                return Err(conflict("message", message.id));
            }
            self.last_position += 1;
            self.set(place, Some(Entry { position: self.last_position, message: message.clone() }));
        }
        for place in &changes.removed_messages {
            self.set(*place, None);
        }
        Ok(())
    }

    /// Makes every row that the changes touch what it is in `committed`.
    pub fn restore(&mut self, committed: &Mail, changes: &ChangeSet) {
        for changed in &changes.mailboxes {
            let at = (changed.row.namespace, changed.row.agent);
            match committed.mailboxes.get(&at) {
                Some(row) => self.mailboxes.insert(at, row.clone()),
                None => self.mailboxes.remove(&at),
            };
        }
        let new = changes.messages.iter().map(|m| (m.namespace, m.recipient, m.sequence));
        for place in new.chain(changes.removed_messages.iter().copied()) {
            self.set(place, committed.messages.get(&place).cloned());
        }
        self.last_position = committed.last_position;
    }

    fn set(&mut self, place: Place, entry: Option<Entry>) {
        if let Some(old) = self.messages.remove(&place) {
            self.ids.remove(&(place.0, old.message.id));
            self.positions.remove(&old.position);
        }
        if let Some(entry) = entry {
            self.ids.insert((place.0, entry.message.id), place);
            self.positions.insert(entry.position, place);
            self.messages.insert(place, entry);
        }
    }

    fn of(&self, at: MailboxRef, after: i64) -> impl Iterator<Item = &Entry> {
        let from = self.messages.range((at.0, at.1, after.saturating_add(1))..);
        from.take_while(move |(place, _)| (place.0, place.1) == at).map(|(_, entry)| entry)
    }

    /// A page of a mailbox.
    pub fn page(&self, at: MailboxRef, now: Timestamp, after: i64, limit: usize, max_bytes: usize) -> MailPage {
        let mut page = MailPage { messages: Vec::new(), next: after, more: false };
        let Some(mailbox) = self.mailboxes.get(&at).filter(|mailbox| !mailbox.closed) else { return page };
        let mut bytes = 0_i64;
        for entry in self.of(at, after).filter(|entry| entry.message.expires_at > now) {
            bytes = bytes.saturating_add(entry.message.bytes());
            let too_large = !page.messages.is_empty() && bytes > i64::try_from(max_bytes).unwrap_or(i64::MAX);
            if page.messages.len() == limit || too_large {
                page.more = true;
                return page;
            }
            page.next = entry.message.sequence;
            page.messages.push(entry.message.clone());
        }
        page.next = after.max(mailbox.last_sequence);
        page
    }

    /// Whose mailboxes got messages behind a place.
    pub fn new_mail(&self, after: Cursor, limit: usize) -> NewMail {
        let behind: Vec<_> = self.positions.range(after.position.saturating_add(1)..).take(limit).collect();
        let position = behind.last().map_or(after.position, |(position, _)| **position);
        let mailboxes = behind.iter().map(|(_, place)| ((place.0, place.1), place.2)).collect();
        NewMail { mailboxes, next: Cursor { transaction: 0, position }, more: behind.len() == limit }
    }

    /// The place behind every message.
    pub fn end(&self) -> Cursor {
        Cursor { transaction: 0, position: self.positions.last_key_value().map_or(0, |(position, _)| *position) }
    }

    /// Messages whose time is over, the oldest first.
    pub fn expired(&self, now: Timestamp, limit: usize) -> Vec<(MailboxRef, MessageId)> {
        let all = self.messages.values().map(|entry| &entry.message);
        let closed = |m: &Message| self.mailboxes.get(&(m.namespace, m.recipient)).is_some_and(|row| row.closed);
        let mut over: Vec<&Arc<Message>> = all.filter(|m| m.expires_at <= now && !closed(m)).collect();
        over.sort_by_key(|message| message.expires_at);
        over.into_iter().take(limit).map(|m| ((m.namespace, m.recipient), m.id)).collect()
    }

    /// Throws away what is in closed mailboxes, and those that are empty.
    pub fn purge(&mut self, limit: usize) -> usize {
        let closed: Vec<MailboxRef> = self.mailboxes.iter().filter(|(_, row)| row.closed).map(|(at, _)| *at).collect();
        let places = closed.iter().flat_map(|at| self.of(*at, i64::MIN).map(|e| (at.0, at.1, e.message.sequence)));
        let places: Vec<Place> = places.take(limit).collect();
        for place in &places {
            self.set(*place, None);
        }
        let empty: Vec<_> =
            closed.into_iter().filter(|at| self.of(*at, i64::MIN).next().is_none()).take(limit).collect();
        for at in empty {
            self.mailboxes.remove(&at);
        }
        places.len()
    }
}
