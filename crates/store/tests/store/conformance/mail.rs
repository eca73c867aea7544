//! Mailboxes and the messages in them.

use super::samples::*;
use callboard_core::model::{Content, Mailbox, Message, MessageId, MessageStub, Payload, Sender, Timestamp};
use callboard_core::working_set::{ChangeSet, Changed, MailboxRef, Want};
use callboard_store::{Cursor, Error, MailDepth};
use std::sync::Arc;
use uuid::Uuid;

/// A message's id.
fn id(n: i64) -> MessageId {
    MessageId(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0000 + n as u128))
}

/// The message at a place of an agent's mailbox, of 100 bytes and some.
pub fn message(agent: u32, sequence: i64) -> Message {
    Message {
        namespace: NAMESPACE,
        id: id(1_000 * i64::from(agent) + sequence),
        recipient: agent_id(agent),
        sequence,
        sender: Sender { principal: "anonymous".into(), agent: None },
        payload: Arc::new(Payload::text(&"x".repeat(100))),
        headers: Default::default(),
        sent_at: at(sequence),
        expires_at: at(1_000 + sequence),
    }
}

/// A mailbox as it is with so many messages, at a version.
pub fn mailbox(agent: u32, messages: i64, version: i64) -> Mailbox {
    let empty = Mailbox::empty(NAMESPACE, agent_id(agent));
    Mailbox { last_sequence: messages, messages, bytes: 110 * messages, version, ..empty }
}

pub fn box_of(agent: u32) -> MailboxRef {
    (NAMESPACE, agent_id(agent))
}

/// A mailbox that is saved over that version, with new messages in it.
pub fn of(mailbox: Mailbox, expected: i64, messages: impl IntoIterator<Item = Message>) -> ChangeSet {
    let messages = messages.into_iter().map(Arc::new).collect();
    ChangeSet { mailboxes: vec![Changed { row: mailbox, expected }], messages, ..ChangeSet::default() }
}

/// A new mailbox with so many messages.
pub fn filled(agent: u32, messages: i64) -> ChangeSet {
    of(mailbox(agent, messages, 1), 0, (1..=messages).map(|n| message(agent, n)))
}

/// The places that a page has, where it goes on, and whether there are more.
async fn page(
    fixture: &Fixture,
    agent: u32,
    now: i64,
    after: i64,
    limit: usize,
    bytes: usize,
) -> (Vec<i64>, i64, bool) {
    let page = fixture.store.mail(box_of(agent), at(now), after, limit, bytes).await.unwrap();
    (page.messages.iter().map(|message| message.sequence).collect(), page.next, page.more)
}

/// To the last field, by every way of reading.
pub async fn every_field_of_a_message(fixture: Fixture) {
    let payload =
        |content| Payload { content_type: TEXT.into(), metadata: [(TEXT.into(), TEXT.into())].into(), content };
    let full = |sequence: i64, content: Content| Message {
        sender: Sender { principal: TEXT.into(), agent: Some(TEXT.into()) },
        payload: Arc::new(payload(content)),
        headers: [(TEXT.into(), TEXT.into()), ("reply_to".into(), "".into())].into(),
        sent_at: Timestamp(i64::MIN),
        expires_at: Timestamp(i64::MAX),
        ..message(1, sequence)
    };
    let binary: Arc<[u8]> = [0, 255, 128].repeat(100_000).into();
    let rows = [
        full(1, Content::Text(TEXT.into())),
        full(2, Content::Binary(binary)),
        Message { payload: Arc::new(Payload::default()), ..message(1, 3) },
    ];
    let box_row = Mailbox { bytes: i64::MAX, last_sequence: i64::MAX, ..mailbox(1, 3, 1) };
    fixture.save(of(box_row.clone(), 0, rows.clone())).await;
    let page = fixture.store.mail(box_of(1), at(0), 0, 10, 1 << 20).await.unwrap();
    assert_eq!(page.messages.iter().map(|row| (**row).clone()).collect::<Vec<_>>(), rows);
    assert_eq!((page.next, page.more), (i64::MAX, false));
    let messages = [1, 2, 3, 4].map(|n| (NAMESPACE, id(1_000 + n)));
    let want = Want {
        mailboxes: [box_of(1), box_of(2), (OTHER, agent_id(1))].into(),
        messages: messages.into_iter().chain([(OTHER, id(1_001))]).collect(),
        ..Want::default()
    };
    let found = fixture.load(want).await;
    assert_eq!(found.mailboxes, [box_row]);
    let mut stubs = found.messages;
    stubs.sort_by_key(|stub: &MessageStub| stub.sequence);
    assert_eq!(stubs, rows.each_ref().map(Message::stub));
}

/// By place, within limits of count and bytes; what is over is left out; one message alone may be larger than the limit.
pub async fn pages_of_a_mailbox(fixture: Fixture) {
    fixture.save(filled(1, 6)).await;
    fixture.save(filled(2, 1)).await;
    assert_eq!(page(&fixture, 1, 0, 0, 10, 10_000).await, (vec![1, 2, 3, 4, 5, 6], 6, false));
    assert_eq!(page(&fixture, 1, 0, 0, 6, 660).await, (vec![1, 2, 3, 4, 5, 6], 6, false));
    assert_eq!(page(&fixture, 1, 0, 0, 4, 10_000).await, (vec![1, 2, 3, 4], 4, true));
    assert_eq!(page(&fixture, 1, 0, 4, 4, 10_000).await, (vec![5, 6], 6, false));
    assert_eq!(page(&fixture, 1, 0, 1, 10, 329).await, (vec![2, 3], 3, true));
    assert_eq!(page(&fixture, 1, 0, 1, 10, 0).await, (vec![2], 2, true));
    assert_eq!(page(&fixture, 1, 0, 6, 10, 10_000).await, (vec![], 6, false));
    assert_eq!(page(&fixture, 1, 0, 9, 10, 10_000).await, (vec![], 9, false));
    // The first three are over by then.
    assert_eq!(page(&fixture, 1, 1_003, 0, 10, 220).await, (vec![4, 5], 5, true));
    assert_eq!(page(&fixture, 1, 2_000, 2, 10, 10_000).await, (vec![], 6, false));
    assert_eq!(page(&fixture, 3, 0, 5, 10, 10_000).await, (vec![], 5, false));
}

/// What was taken out never comes again; a message may come and go in one save.
pub async fn what_goes_is_gone(fixture: Fixture) {
    fixture.save(filled(1, 3)).await;
    let mut changes = of(Mailbox { last_sequence: 4, ..mailbox(1, 2, 2) }, 1, [message(1, 4)]);
    changes.removed_messages = [1, 4, 77].map(|sequence| (NAMESPACE, agent_id(1), sequence)).into();
    changes.removed_messages.push((OTHER, agent_id(1), 2));
    changes.removed_messages.push((NAMESPACE, agent_id(2), 3));
    fixture.save(changes).await;
    assert_eq!(page(&fixture, 1, 0, 0, 10, 10_000).await, (vec![2, 3], 4, false));
    let want = Want { messages: [1, 2, 4].map(|n| (NAMESPACE, id(1_000 + n))).into(), ..Want::default() };
    assert_eq!(fixture.load(want).await.messages, [message(1, 2).stub()]);
}

/// A mailbox of another version than expected, and a place that is taken, are conflicts and change nothing.
pub async fn a_conflict_in_a_mailbox_changes_nothing(fixture: Fixture) {
    fixture.save(filled(1, 2)).await;
    for (row, expected) in [(mailbox(1, 3, 1), 0), (mailbox(1, 3, 3), 2), (mailbox(2, 3, 2), 1)] {
        let result = fixture.try_save(of(row, expected, [message(1, 3)])).await;
        assert!(matches!(result, Err(Error::Conflict(_))), "{result:?}");
    }
    let taken = fixture.try_save(of(mailbox(1, 3, 2), 1, [message(1, 2)])).await;
    assert!(taken.is_err());
    assert_eq!(page(&fixture, 1, 0, 0, 10, 10_000).await, (vec![1, 2], 2, false));
    let want = || Want { mailboxes: [box_of(1), box_of(2)].into(), ..Want::default() };
    assert_eq!(fixture.load(want()).await.mailboxes, [mailbox(1, 2, 1)]);
    // What is given up is gone, with what it took out.
    let mut transaction = fixture.store.begin().await.unwrap();
    let mut changes = of(mailbox(1, 3, 2), 1, [message(1, 3)]);
    changes.removed_messages = vec![(NAMESPACE, agent_id(1), 1)];
    transaction.save(&changes, &fixture.settings).await.unwrap();
    assert_eq!(page(&fixture, 1, 0, 0, 10, 10_000).await, (vec![1, 2], 2, false));
    transaction.roll_back().await;
    assert_eq!(fixture.load(want()).await.mailboxes, [mailbox(1, 2, 1)]);
    fixture.save(changes).await;
    assert_eq!(page(&fixture, 1, 0, 0, 10, 10_000).await, (vec![2, 3], 3, false));
}

/// Whoever goes on behind a place meets every mailbox that got a message since, also when others were taken out.
pub async fn new_mail_never_skips(fixture: Fixture) {
    let store = &fixture.store;
    let first = store.end_of_mail().await.unwrap();
    assert_eq!(store.new_mail(first, 10).await.unwrap().mailboxes, [].into());
    fixture.save(filled(1, 3)).await;
    fixture.save(filled(2, 1)).await;
    let new = store.new_mail(first, 10).await.unwrap();
    assert_eq!((new.mailboxes, new.more), ([(box_of(1), 3), (box_of(2), 1)].into(), false));
    assert_eq!(new.next, store.end_of_mail().await.unwrap());
    let few = store.new_mail(first, 2).await.unwrap();
    assert_eq!((&few.mailboxes, few.more), (&[(box_of(1), 2)].into(), true));
    let rest = store.new_mail(few.next, 10).await.unwrap();
    assert_eq!((rest.mailboxes, rest.next), ([(box_of(1), 3), (box_of(2), 1)].into(), new.next));
    // The latest goes, and another comes: not at the same place.
    let removed_messages = vec![(NAMESPACE, agent_id(2), 1)];
    fixture.save(ChangeSet { removed_messages, ..ChangeSet::default() }).await;
    fixture.save(of(mailbox(2, 2, 2), 1, [message(2, 2)])).await;
    let again: Cursor = new.next;
    assert_eq!(store.new_mail(again, 10).await.unwrap().mailboxes, [(box_of(2), 2)].into());
}

/// Messages whose time is over, the oldest first.
pub async fn expired_messages(fixture: Fixture) {
    fixture.save(filled(1, 3)).await;
    fixture.save(filled(2, 2)).await;
    let over = async |now, limit| fixture.store.expired_messages(at(now), limit).await.unwrap();
    assert!(over(1_000, 10).await.is_empty());
    let mut both = over(1_001, 10).await;
    both.sort();
    assert_eq!(both, [(box_of(1), id(1_001)), (box_of(2), id(2_001))]);
    assert_eq!(over(1_003, 10).await.last(), Some(&(box_of(1), id(1_003))));
    assert_eq!(over(1_003, 2).await.len(), 2);
    fixture.save(of(Mailbox { closed: true, ..mailbox(1, 3, 2) }, 1, [])).await;
    assert_eq!(over(2_000, 10).await, [(box_of(2), id(2_001)), (box_of(2), id(2_002))]);
}

/// Step by step, and nothing of other mailboxes.
pub async fn closed_mailboxes_are_thrown_away(fixture: Fixture) {
    fixture.save(filled(1, 5)).await;
    fixture.save(filled(2, 2)).await;
    assert_eq!(fixture.store.purge_mailboxes(10).await.unwrap(), 0);
    fixture.save(of(Mailbox { closed: true, ..mailbox(1, 5, 2) }, 1, [])).await;
    assert_eq!(page(&fixture, 1, 0, 0, 10, 10_000).await, (vec![], 0, false), "nobody reads it any more");
    for thrown_away in [2, 2, 1] {
        let want = Want { mailboxes: [box_of(1)].into(), ..Want::default() };
        assert_eq!(fixture.load(want).await.mailboxes.len(), 1, "it goes with its last message");
        assert_eq!(fixture.store.purge_mailboxes(2).await.unwrap(), thrown_away);
    }
    let want = Want { mailboxes: [box_of(1)].into(), ..Want::default() };
    assert!(fixture.load(want).await.mailboxes.is_empty());
    assert_eq!(page(&fixture, 2, 0, 0, 10, 10_000).await, (vec![1, 2], 2, false));
    assert_eq!(fixture.store.purge_mailboxes(10).await.unwrap(), 0);
    let want = Want { messages: (1..6).map(|n| (NAMESPACE, id(1_000 + n))).collect(), ..Want::default() };
    assert!(fixture.load(want).await.messages.is_empty());
}

pub async fn what_waits_is_counted(fixture: Fixture) {
    let depth = async || fixture.store.sample().await.unwrap().mail;
    assert_eq!(depth().await, MailDepth::default());
    fixture.save(filled(1, 2)).await;
    fixture.save(filled(2, 3)).await;
    let all = MailDepth { messages: 5, bytes: 550, most_messages: 3, most_bytes: 330 };
    assert_eq!(depth().await, all);
    // Nobody waits for what is in a closed mailbox.
    let closed = Mailbox { closed: true, ..mailbox(2, 3, 2) };
    fixture.save(of(closed, 1, [])).await;
    assert_eq!(depth().await, MailDepth { messages: 2, bytes: 220, most_messages: 2, most_bytes: 220 });
}
