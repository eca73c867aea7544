//! What a stream was sent of its agent's mailbox, and what it may be sent.
//!
//! Its agent's acknowledgements are its credits: a slow agent's mail waits in the store, not in memory.

use callboard_core::model::{Message, MessageId};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// How many bytes of messages may be on their way to an agent; one message may always.
const BYTES: i64 = 4 << 20;
/// How many acknowledgements are remembered while a page is read. If there are more, the page is read again.
const REMEMBERED: usize = 10_000;

/// One stream's window on its agent's mailbox.
#[derive(Debug)]
pub(crate) struct Window {
    /// How many messages may be delivered without an acknowledgement.
    most: usize,
    /// Up to this place everything was pushed, or is over.
    up_to: i64,
    /// The highest place that is known to have been given.
    known: i64,
    /// The store may have something behind `up_to` that is not known here.
    unread: bool,
    /// That came up since a page was begun to be read, which may not have it.
    doubted: bool,
    /// Pushed and not acknowledged, each with its size.
    in_flight: HashMap<MessageId, i64>,
    bytes: i64,
    /// Went out of the mailbox while a page of it is being read, which may still have it.
    gone: Option<HashSet<MessageId>>,
    /// Its agent drains, and takes nothing new.
    closed: bool,
}

/// Where a window goes on, and how much it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub after: i64,
    pub messages: usize,
    pub bytes: usize,
}

impl Window {
    /// On a mailbox of which nothing is known yet.
    pub fn new(most: usize) -> Self {
        let (most, in_flight) = (most.max(1), HashMap::new());
        Self { most, up_to: 0, known: 0, unread: true, doubted: false, in_flight, bytes: 0, gone: None, closed: false }
    }

    /// Its agent takes nothing new.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// What is to be read for it; none when it is full, or there is nothing.
    pub fn room(&self) -> Option<Room> {
        let behind = self.unread || self.known > self.up_to;
        let messages = self.most.saturating_sub(self.in_flight.len());
        if self.closed || !behind || messages == 0 || self.bytes >= BYTES {
            return None;
        }
        let bytes = usize::try_from(BYTES - self.bytes).unwrap_or(0);
        Some(Room { after: self.up_to, messages, bytes })
    }

    /// The same, to be read now: what goes out of the mailbox meanwhile is not pushed when it was found.
    pub fn begin_to_read(&mut self) -> Option<Room> {
        let room = self.room();
        self.doubted = false;
        self.gone = room.map(|_| HashSet::new());
        room
    }

    /// A place was given in the mailbox.
    pub fn expect(&mut self, sequence: i64) {
        self.known = self.known.max(sequence);
    }

    /// Something may have been given that is not known here.
    pub fn doubt(&mut self) {
        (self.unread, self.doubted) = (true, true);
    }

    /// What is to be pushed of messages that were just committed: those that follow on what was pushed before, as far as
    /// there is room. The others are to be read when there is.
    pub fn take_new(&mut self, messages: &[Arc<Message>]) -> Vec<Arc<Message>> {
        let mut taken = Vec::new();
        for message in messages {
            self.expect(message.sequence);
            let follows = !self.unread && message.sequence == self.up_to + 1;
            if follows && !self.closed && self.fits(message) {
                self.push(message);
                taken.push(message.clone());
            }
        }
        taken
    }

    /// What is to be pushed of a page of the mailbox that was read behind `after`: it ends at `next`, and `more` says that
    /// there was something behind it.
    pub fn take_page(&mut self, after: i64, messages: &[Arc<Message>], next: i64, more: bool) -> Vec<Arc<Message>> {
        let mut taken = Vec::new();
        let gone = self.gone.take().unwrap_or_default();
        // Of a page that was read behind another place nothing is known now.
        if self.closed || after != self.up_to || gone.len() > REMEMBERED {
            return taken;
        }
        for message in messages.iter().filter(|message| !gone.contains(&message.id)) {
            if !self.fits(message) {
                self.unread = true;
                return taken;
            }
            self.push(message);
            taken.push(message.clone());
        }
        self.up_to = next;
        self.unread = more || self.doubted;
        taken
    }

    /// Messages went out of the mailbox, and make room for others.
    pub fn release(&mut self, messages: &[MessageId]) {
        if let Some(gone) = self.gone.as_mut().filter(|gone| gone.len() <= REMEMBERED) {
            gone.extend(messages);
        }
        for message in messages {
            self.bytes -= self.in_flight.remove(message).unwrap_or(0);
        }
    }

    fn fits(&self, message: &Message) -> bool {
        self.in_flight.is_empty() || (self.in_flight.len() < self.most && self.bytes + message.bytes() <= BYTES)
    }

    fn push(&mut self, message: &Message) {
        let bytes = message.bytes();
        self.in_flight.insert(message.id, bytes);
        self.bytes += bytes;
        self.up_to = message.sequence;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_core::model::{AgentId, NamespaceId, Payload, Sender, Timestamp};
    use uuid::Uuid;

    fn message(sequence: i64, bytes: usize) -> Arc<Message> {
        Arc::new(Message {
            namespace: NamespaceId(1),
            id: MessageId(Uuid::from_u128(sequence as u128)),
            recipient: AgentId(Uuid::nil()),
            sequence,
            sender: Sender { principal: "anonymous".into(), agent: None },
            payload: Arc::new(Payload::text(&"x".repeat(bytes))),
            headers: Default::default(),
            sent_at: Timestamp(0),
            expires_at: Timestamp(1),
        })
    }

    fn places(messages: &[Arc<Message>]) -> Vec<i64> {
        messages.iter().map(|message| message.sequence).collect()
    }

    /// A window that knows that the mailbox is empty, at a place.
    fn read(most: usize, at: i64) -> Window {
        let mut window = Window::new(most);
        window.take_page(0, &[], at, false);
        window
    }

    #[test]
    fn new_messages_go_at_once_when_everything_before_them_went() {
        let mut window = Window::new(10);
        assert!(window.take_new(&[message(1, 1)]).is_empty(), "older ones may wait in the store");
        let mut window = read(10, 4);
        assert_eq!(window.room(), None);
        assert_eq!(places(&window.take_new(&[message(5, 1), message(6, 1)])), [5, 6]);
        assert!(window.take_new(&[message(6, 1)]).is_empty(), "once");
        assert!(window.take_new(&[message(8, 1)]).is_empty(), "the one before it was not seen");
        assert_eq!(window.room().map(|room| room.after), Some(6));
    }

    #[test]
    fn a_full_window_waits_for_acknowledgements() {
        let mut window = read(2, 0);
        assert_eq!(places(&window.take_new(&[message(1, 1), message(2, 1), message(3, 1)])), [1, 2]);
        assert_eq!(window.room(), None);
        window.release(&[message(9, 1).id]);
        assert_eq!(window.room(), None);
        window.release(&[message(1, 1).id, message(1, 1).id]);
        assert_eq!(window.room(), Some(Room { after: 2, messages: 1, bytes: (4 << 20) - 11 }));
        let page = [message(3, 1), message(4, 1)];
        assert_eq!(places(&window.take_page(2, &page, 4, false)), [3]);
        window.release(&[message(2, 1).id]);
        assert_eq!(window.room().map(|room| room.after), Some(3));
    }

    /// An agent that is back acknowledges what it got before, while the first page is on its way: it must not get that again.
    #[test]
    fn what_is_acknowledged_while_a_page_is_read_is_not_pushed() {
        let mut window = Window::new(10);
        assert_eq!(window.begin_to_read().map(|room| room.after), Some(0));
        window.release(&[message(1, 1).id, message(3, 1).id]);
        let page = [message(1, 1), message(2, 1), message(3, 1)];
        assert_eq!(places(&window.take_page(0, &page, 3, false)), [2]);
        assert_eq!(window.room(), None);
        assert_eq!(places(&window.take_new(&[message(4, 1)])), [4]);
    }

    #[test]
    fn a_page_that_too_much_went_out_of_is_read_again() {
        let mut window = Window::new(10);
        window.begin_to_read();
        for sequence in 1..=2 * REMEMBERED as i64 {
            window.release(&[message(sequence, 1).id]);
        }
        assert!(window.take_page(0, &[message(20_001, 1)], 20_001, false).is_empty());
        assert_eq!(window.begin_to_read().map(|room| room.after), Some(0));
        assert_eq!(places(&window.take_page(0, &[message(20_001, 1)], 20_001, false)), [20_001]);
    }

    #[test]
    fn large_messages_fill_it_and_one_always_fits() {
        let mut window = read(10, 0);
        assert_eq!(places(&window.take_new(&[message(1, 5 << 20)])), [1]);
        assert!(window.take_new(&[message(2, 1)]).is_empty());
        window.release(&[message(1, 1).id]);
        let page: Vec<_> = (2..=6).map(|n| message(n, 1 << 20)).collect();
        assert_eq!(places(&window.take_page(1, &page, 6, false)), [2, 3, 4]);
    }

    #[test]
    fn what_comes_while_the_mailbox_is_read_is_read_next() {
        let mut window = Window::new(10);
        let room = window.room().unwrap();
        assert!(window.take_new(&[message(3, 1)]).is_empty());
        assert_eq!(places(&window.take_page(room.after, &[message(2, 1)], 2, false)), [2]);
        assert_eq!(window.room().map(|room| room.after), Some(2));
        assert!(window.take_page(0, &[message(2, 1)], 2, false).is_empty(), "a page from before is of no use");
    }

    #[test]
    fn a_closed_window_takes_nothing() {
        let mut window = read(10, 0);
        window.close();
        assert!(window.take_new(&[message(1, 1)]).is_empty());
        assert!(window.take_page(0, &[message(1, 1)], 1, false).is_empty());
        assert_eq!(window.room(), None);
    }

    #[test]
    fn a_doubt_outlives_a_page_that_was_being_read() {
        let mut window = Window::new(10);
        assert!(window.begin_to_read().is_some());
        window.doubt();
        window.take_page(0, &[message(1, 1)], 1, false);
        assert!(window.begin_to_read().is_some(), "the page may be older than what the doubt is about");
        window.take_page(1, &[], 1, false);
        assert!(window.room().is_none());
    }
}
