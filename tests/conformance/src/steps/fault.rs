//! What goes wrong: on the wire, with the server, with the driver's process.

use crate::proxy::Method;
use crate::proxy::rules::Rule;
use crate::stage::Host;
use crate::world::World;
use bytes::{BufMut, Bytes, BytesMut};
use callboard_proto::v1;
use callboard_proto::v1::attach_response::Frame;
use callboard_proto::v1::task_outcome::Outcome;
use callboard_tests::program;
use prost::Message;
use serde::Deserialize;

/// A fault.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Fault {
    /// Every connection through the first proxy, or the second, breaks.
    Cut(usize),
    /// New connections through it are broken at once.
    Refuse(usize),
    /// No longer.
    Accept(usize),
    /// Something is done to what passes.
    Rule(Rule),
    /// No longer: to the rule of this name, or to all.
    Heal(String),
    /// A frame that the server did not say.
    Inject(Inject),
    /// Something happens to the server.
    Server(ServerFate),
    /// Something happens to the second server.
    Server2(ServerFate),
    /// Something happens to a process of the SDK.
    Process(ProcessFate),
}

/// A frame that the server did not say.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Inject {
    /// Of a kind that nobody knows.
    UnknownFrame,
    /// A cancellation for a reason that nobody knows, of an attempt that nobody has.
    UnknownCancellation,
    /// A receipt of a report that nobody made.
    UnknownReceipt,
    /// A task of this type is assigned, which nobody has.
    Assignment(String),
    /// The server drains, and agents are to go there.
    Drain(Vec<String>),
    /// An outcome, on the streams of runs, of a run that nobody asked for, with a field that nobody knows.
    UnknownOutcome,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ServerFate {
    /// By SIGKILL.
    Kill,
    /// By SIGTERM: it drains.
    Terminate,
    /// Again, where it was.
    Start,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProcessFate {
    name: String,
    by: Signal,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Signal {
    Kill,
    Terminate,
    Pause,
    Resume,
}

impl Inject {
    fn method(&self) -> Method {
        if matches!(self, Self::UnknownOutcome) { Method::RunTasks } else { Method::Attach }
    }
}

impl ServerFate {
    async fn befall(self, host: &Host) {
        let mut server = host.server.lock().await;
        match self {
            Self::Kill => server.kill_9().await,
            Self::Terminate => drop(server.terminate().await),
            Self::Start => server.restart().await,
        }
    }
}

pub(super) async fn take(world: &mut World<'_>, fault: Fault) -> Result<(), String> {
    match fault {
        Fault::Cut(number) => proxy(world, number)?.cut(),
        Fault::Refuse(number) => proxy(world, number)?.refuse(true),
        Fault::Accept(number) => proxy(world, number)?.refuse(false),
        Fault::Rule(rule) => world.wire.rules.add(rule),
        Fault::Heal(name) => world.wire.rules.remove(&name),
        Fault::Inject(inject) => {
            let method = inject.method();
            if world.wire.inject(method, bytes(inject)).await == 0 {
                return Err("there is no stream to say it to".to_owned());
            }
        }
        Fault::Server(fate) => fate.befall(&world.hosts[0]).await,
        Fault::Server2(fate) => {
            fate.befall(world.hosts.get(1).ok_or("there is no second server: the scenario has no `servers: 2`")?).await;
        }
        Fault::Process(ProcessFate { name, by }) => {
            let driver = world.driver(&name).await?;
            match by {
                Signal::Kill => driver.kill().await,
                Signal::Terminate => program::terminate(driver.pid()),
                Signal::Pause => program::pause(driver.pid()),
                Signal::Resume => program::resume(driver.pid()),
            }
        }
    }
    Ok(())
}

fn proxy<'w>(world: &'w World<'_>, number: usize) -> Result<&'w crate::proxy::Proxy, String> {
    let found = number.checked_sub(1).and_then(|index| world.proxies.get(index));
    found.ok_or_else(|| format!("there is no proxy {number}: there are 1 and 2"))
}

fn bytes(inject: Inject) -> Bytes {
    let nobodys = v1::Attempt { task_id: "nobody".into(), attempt: 7, lease_token: "nobody".into() };
    let frame = match inject {
        Inject::UnknownFrame => return unknown_field(),
        Inject::UnknownOutcome => {
            let outcome =
                v1::TaskOutcome { request_id: "nobody's".into(), outcome: Some(Outcome::Task(v1::Task::default())) };
            return [v1::RunTasksResponse { outcomes: vec![outcome] }.encode_to_vec().into(), unknown_field()]
                .concat()
                .into();
        }
        Inject::UnknownCancellation => {
            let cancellation = v1::Cancellation { attempt: Some(nobodys), reason: 99, message: "unknown".into() };
            Frame::Cancellations(v1::CancellationBatch { cancellations: vec![cancellation] })
        }
        Inject::UnknownReceipt => {
            let receipt = v1::Receipt { report_id: 1 << 40, attempt: Some(nobodys), status: 1, ..Default::default() };
            Frame::Receipts(v1::ReceiptBatch { receipts: vec![receipt] })
        }
        Inject::Assignment(kind) => {
            let spec = v1::TaskSpec { r#type: kind, ..Default::default() };
            let assignment = v1::Assignment { attempt: Some(nobodys), spec: Some(spec), run: 1, ..Default::default() };
            Frame::Assignments(v1::AssignmentBatch { assignments: vec![assignment] })
        }
        Inject::Drain(endpoints) => Frame::Drain(v1::DrainNotice { endpoints, deadline: None }),
    };
    v1::AttachResponse { frame: Some(frame) }.encode_to_vec().into()
}

/// Field 1000 with a message in it: what a later version may say.
fn unknown_field() -> Bytes {
    let mut bytes = BytesMut::new();
    prost::encoding::encode_key(1000, prost::encoding::WireType::LengthDelimited, &mut bytes);
    bytes.put_slice(b"\x02\x08\x01");
    bytes.freeze()
}
