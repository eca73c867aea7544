//! The sessions' windows on their agents' mailboxes.

use super::{Entry, Link, Named, Sessions};
use crate::push::Push;
use crate::window::{Room, Window};
use callboard_core::model::{AgentId, Message, MessageId, Span};
use callboard_store::MailPage;
use std::sync::Arc;

/// What became of a try to push messages to a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// How many were pushed.
    pub messages: usize,
    /// The mailbox is to be looked at: there may be more, and there is room for it.
    pub look: bool,
}

impl Sessions {
    /// Pushes messages that were just committed, as far as they follow on what was pushed before.
    pub fn deliver_new(&self, agent: AgentId, messages: &[Arc<Message>], now: Span) -> Delivered {
        self.on_entry(agent, None, |entry| {
            let Some(window) = entry.window() else { return Delivered::default() };
            let taken = window.take_new(messages);
            let look = window.room().is_some();
            entry.push_messages(taken, look, now)
        })
    }

    /// Pushes a page of a mailbox that was read behind `after`.
    pub fn deliver_page(&self, session: &Named, after: i64, page: &MailPage, now: Span) -> Delivered {
        self.on_entry(session.agent, Some(session.epoch), |entry| {
            let Some(window) = entry.window() else { return Delivered::default() };
            let taken = window.take_page(after, &page.messages, page.next, page.more);
            // What doesn't fit waits for acknowledgements, which look again.
            let moved = window.room().is_some_and(|room| room.after != after);
            entry.push_messages(taken, moved, now)
        })
    }

    /// An agent's session, and what is to be read for it; none when it takes nothing now.
    pub fn room_for_mail(&self, agent: AgentId) -> Option<(Named, Room)> {
        let mut by_agent = self.lock();
        let entry = by_agent.get_mut(&agent)?;
        let room = entry.window()?.begin_to_read()?;
        Some((Named { namespace: entry.namespace.clone(), agent, epoch: entry.epoch }, room))
    }

    /// A place was given in an agent's mailbox. True when the mailbox is to be looked at.
    pub fn expect_mail(&self, agent: AgentId, sequence: i64) -> bool {
        self.on_window(agent, |window| window.expect(sequence))
    }

    /// There may be something new in an agent's mailbox. True when it is to be looked at.
    pub fn doubt_mail(&self, agent: AgentId) -> bool {
        self.on_window(agent, Window::doubt)
    }

    /// Messages went out of an agent's mailbox. True when there is room for others that wait.
    pub fn release_mail(&self, agent: AgentId, messages: &[MessageId]) -> bool {
        self.on_window(agent, |window| window.release(messages))
    }

    /// An agent drains: it is sent no new messages.
    pub fn stop_mail(&self, agent: AgentId, epoch: i64) {
        self.on_entry(agent, Some(epoch), |entry| entry.window().into_iter().for_each(Window::close));
    }

    fn on_window(&self, agent: AgentId, change: impl FnOnce(&mut Window)) -> bool {
        self.on_entry(agent, None, |entry| {
            let Some(window) = entry.window() else { return false };
            change(window);
            window.room().is_some()
        })
    }

    fn on_entry<T: Default>(&self, agent: AgentId, epoch: Option<i64>, change: impl FnOnce(&mut Entry) -> T) -> T {
        let mut by_agent = self.lock();
        let entry = by_agent.get_mut(&agent).filter(|entry| epoch.is_none_or(|epoch| epoch == entry.epoch));
        entry.map(change).unwrap_or_default()
    }
}

impl Entry {
    fn push_messages(&mut self, messages: Vec<Arc<Message>>, look: bool, now: Span) -> Delivered {
        let count = messages.len();
        match count == 0 || self.push(Push::Messages(messages), now) {
            true => Delivered { messages: count, look },
            false => Delivered::default(),
        }
    }

    /// The window of an open stream whose agent takes messages.
    fn window(&mut self) -> Option<&mut Window> {
        match &mut self.link {
            Link::Open(live) => live.mail.as_mut(),
            Link::Broken { .. } => None,
        }
    }
}
