//! Mailboxes beside a model: a list of what was sent and is not taken out, for each agent.

use crate::support::make::*;
use crate::support::{Mode, World};
use callboard_core::model::{AgentId, MessageId, NewMessage, Span, Timestamp};
use callboard_core::{Command, Reason, Reply};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const AGENTS: [&str; 3] = ["north", "south", "east"];
const ROOM: i64 = 5;

/// What happens. Numbers choose among what there is.
#[derive(Clone, Debug)]
pub enum Step {
    Attach(usize),
    Send { from: Option<usize>, to: usize, seconds: i64 },
    Acknowledge { whose: usize, which: BTreeSet<usize>, others: bool },
    Again,
    Remove(usize),
    Sleep(i64),
    Expire,
}

/// Any of them.
pub fn step() -> impl Strategy<Value = Step> {
    let agent = 0..AGENTS.len();
    prop_oneof![
        3 => agent.clone().prop_map(Step::Attach),
        12 => (prop::option::weighted(0.8, agent.clone()), agent.clone(), 1..60i64)
            .prop_map(|(from, to, seconds)| Step::Send { from, to, seconds }),
        6 => (agent.clone(), prop::collection::btree_set(0..6usize, 0..4), any::<bool>())
            .prop_map(|(whose, which, others)| Step::Acknowledge { whose, which, others }),
        2 => Just(Step::Again),
        1 => agent.prop_map(Step::Remove),
        2 => (1..30i64).prop_map(Step::Sleep),
        2 => Just(Step::Expire),
    ]
}

/// A message, as the model has it.
#[derive(Clone, Debug, PartialEq)]
struct Sent {
    id: MessageId,
    text: String,
    sender: Option<String>,
    expires_at: Timestamp,
}

#[derive(Default)]
struct Model {
    mail: BTreeMap<AgentId, Vec<Sent>>,
    gone: BTreeSet<MessageId>,
    acknowledged: Vec<(AgentId, Vec<MessageId>)>,
    count: usize,
}

/// Runs the steps beside the model.
pub fn check(mode: Mode, steps: &[Step]) {
    let mut world = World::new(mode);
    world.settings.mailbox_messages = ROOM;
    let mut model = Model::default();
    for step in steps {
        model.take(&mut world, step);
        model.compare(&world);
    }
}

impl Model {
    fn take(&mut self, w: &mut World, step: &Step) {
        match step {
            Step::Attach(who) => {
                w.attach(AGENTS[*who], 1);
            }
            Step::Send { from, to, seconds } => self.send(w, *from, *to, *seconds),
            Step::Acknowledge { whose, which, others } => {
                let Some(agent) = w.tables.agent(AGENTS[*whose]).map(|agent| agent.id) else { return };
                let mail = self.mail.get(&agent).into_iter().flatten();
                let mut ids: Vec<MessageId> =
                    mail.enumerate().filter(|(n, _)| which.contains(n)).map(|(_, sent)| sent.id).collect();
                if *others {
                    ids.extend(self.mail.values().flatten().map(|sent| sent.id).take(2));
                }
                self.acknowledge(w, agent, ids);
            }
            Step::Again => {
                if let Some((agent, ids)) = self.acknowledged.last().cloned() {
                    self.acknowledge(w, agent, ids);
                }
            }
            Step::Remove(who) => {
                if let Some(agent) = w.tables.agent(AGENTS[*who]).map(|agent| agent.id) {
                    w.run(Command::RemoveAgent { name: AGENTS[*who].into() }).expect("it is known");
                    // Its messages stay where they are, and nobody gets them any more.
                    self.gone.extend(self.mail.remove(&agent).into_iter().flatten().map(|sent| sent.id));
                }
            }
            Step::Sleep(seconds) => w.sleep(Span::seconds(*seconds)),
            Step::Expire => self.expire(w),
        }
    }

    fn send(&mut self, w: &mut World, from: Option<usize>, to: usize, seconds: i64) {
        let sender = from.map(|from| AGENTS[from]).filter(|name| w.tables.agent(name).is_some());
        let session = sender.map(|name| (w.agent(name).id, w.agent(name).epoch));
        let text = self.count.to_string();
        self.count += 1;
        let message = NewMessage { ttl: Some(Span::seconds(seconds)), ..message(AGENTS[to], &text) };
        let recipient = w.tables.agent(AGENTS[to]).map(|agent| agent.id);
        let result = w.run(Command::SendMessage { from: session, message });
        let Some(recipient) = recipient else {
            assert_eq!(result.expect_err("nobody has this name").reason, Reason::AgentNotFound);
            return;
        };
        let mail = self.mail.entry(recipient).or_default();
        if mail.len() as i64 == ROOM {
            assert_eq!(result.expect_err("the mailbox is full").reason, Reason::LimitReached);
            return;
        }
        let Reply::Sent(receipt) = result.expect("there is room").reply else { panic!("a message has a receipt") };
        let expires_at = w.now + Span::seconds(seconds);
        mail.push(Sent { id: receipt.message, text, sender: sender.map(str::to_owned), expires_at });
    }

    fn acknowledge(&mut self, w: &mut World, agent: AgentId, ids: Vec<MessageId>) {
        let mut taken = 0;
        if let Some(mail) = self.mail.get_mut(&agent) {
            let before = mail.len();
            self.gone.extend(mail.iter().map(|sent| sent.id).filter(|id| ids.contains(id)));
            mail.retain(|sent| !ids.contains(&sent.id));
            taken = before - mail.len();
        }
        assert_eq!(w.acknowledge(agent, &ids), taken);
        self.acknowledged.push((agent, ids));
    }

    fn expire(&mut self, w: &mut World) {
        for (agent, mail) in &mut self.mail {
            let messages = mail.iter().map(|sent| sent.id).collect();
            w.run(Command::ExpireMessages { agent: *agent, messages }).expect("never refused");
            self.gone.extend(mail.iter().filter(|sent| sent.expires_at <= w.now).map(|sent| sent.id));
            mail.retain(|sent| sent.expires_at > w.now);
        }
    }

    /// The mailboxes hold what the model says, in its order; what went never comes again; the counts are true.
    fn compare(&self, w: &World) {
        for agent in w.tables.agents.values() {
            let here = w.tables.mail(agent.id).into_iter().map(|message| Sent {
                id: message.id,
                text: String::from_utf8(message.payload.content.bytes().to_vec()).expect("text"),
                sender: message.sender.agent.as_deref().map(str::to_owned),
                expires_at: message.expires_at,
            });
            let here: Vec<Sent> = here.collect();
            assert_eq!(&here, self.mail.get(&agent.id).unwrap_or(&Vec::new()));
            assert!(here.iter().all(|sent| !self.gone.contains(&sent.id)), "what went comes again");
        }
        for mailbox in w.tables.mailboxes.values() {
            let mail = w.tables.mail(mailbox.agent);
            assert_eq!(mailbox.messages, mail.len() as i64);
            assert_eq!(mailbox.bytes, mail.iter().map(|message| message.bytes()).sum::<i64>());
            assert!(mail.iter().all(|message| message.sequence <= mailbox.last_sequence));
            assert!(mailbox.messages <= ROOM);
        }
    }
}
