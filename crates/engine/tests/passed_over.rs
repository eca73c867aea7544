//! Ready tasks that another replica has locked at the moment at which they are looked for, on PostgreSQL: when it leaves them they are
//! given out soon, not only when the sweep looks at all lanes.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard_core::Want;
use callboard_core::command::{Command, Envelope, Fence, Reply, Report};
use callboard_core::model::{
    AgentProfile, Limit, NamespaceSettings, NewTask, Payload, Span, TaskHandler, TaskId, TaskSpec,
};
use callboard_engine::{
    AttachRequest, ClaimRequest, Config, Engine, Push, ReportItem, Stream, SystemClock, SystemEntropy,
};
use callboard_store::postgres::{PostgresOptions, PostgresStore};
use callboard_store::{Store, Transaction};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// It is at most 200 ms on a machine that does nothing else. What else would find the task are the sweeps at attempts' timeouts, ten
/// seconds away.
const SOON: Duration = Duration::from_secs(3);

/// What a replica has, and its way to the store.
struct Replica {
    engine: Engine,
    store: Arc<dyn Store>,
}

async fn store(url: &str) -> Arc<dyn Store> {
    Arc::new(PostgresStore::open(url, PostgresOptions::default()).await.unwrap())
}

/// Its sweep, which finds everything, is so far off that a test ends first.
async fn replica(url: &str) -> Replica {
    let store = store(url).await;
    let config = Config { sweep: Duration::from_secs(3_600), ..Config::default() };
    let clock = Arc::new(SystemClock::start());
    let engine = Engine::start(store.clone(), config, clock, Box::new(SystemEntropy::new())).await.unwrap();
    Replica { engine, store }
}

fn envelope(command: Command) -> Envelope {
    Envelope { namespace: "default".into(), principal: "anonymous".into(), request: None, command }
}

async fn one_at_once(engine: &Engine) {
    let limit = Limit { key: "model".into(), max_concurrent: Some(1), rate: None };
    let settings = NamespaceSettings { limits: [limit].into_iter().collect(), ..NamespaceSettings::default() };
    engine.submit(envelope(Command::UpdateNamespace { settings })).await.unwrap();
}

async fn create(engine: &Engine) -> TaskId {
    let spec = TaskSpec { limit_keys: ["model".to_owned()].into(), ..TaskSpec::of_type("work") };
    match engine.submit(envelope(Command::CreateTasks { tasks: vec![NewTask::from(spec)] })).await.unwrap() {
        Reply::Tasks(receipts) => receipts[0].task,
        other => panic!("{other:?}"),
    }
}

/// Locks a task as another replica does that looks at it.
async fn lock(replica: &Replica, task: TaskId) -> Box<dyn Transaction> {
    let namespace = replica.engine.namespace("default").await.unwrap();
    let mut transaction = replica.store.begin().await.unwrap();
    let want = Want { tasks: [(namespace, task)].into(), ..Want::default() };
    assert_eq!(transaction.load(&want).await.unwrap().tasks.len(), 1);
    transaction
}

fn profile() -> Arc<AgentProfile> {
    Arc::new(AgentProfile { slots: 5, handles: vec![TaskHandler::named("work")], ..AgentProfile::default() })
}

struct Agent {
    stream: Stream,
    pushes: mpsc::Receiver<Push>,
    reports: i64,
}

impl Agent {
    async fn attach(engine: &Engine, name: &str) -> Self {
        let request = AttachRequest {
            namespace: "default".into(),
            principal: "anonymous".into(),
            name: name.into(),
            profile: profile(),
            held: Vec::new(),
            previous_epoch: 0,
            instance: name.into(),
            takes_drain: true,
            takes_cancellation: true,
            takes_message_receipts: false,
            takes_children: true,
            message_window: Some(10),
        };
        let (stream, pushes) = engine.attach(request).await.unwrap();
        Self { stream, pushes, reports: 0 }
    }

    async fn assigned(&mut self) -> Fence {
        loop {
            match soon(self.pushes.recv()).await.expect("the stream is open") {
                Push::Assign(assignments) => return assignments[0].fence,
                _ => continue,
            }
        }
    }

    /// Completes an attempt, and waits for the receipt: by then it was looked what its slot is for.
    async fn complete(&mut self, fence: Fence) {
        let result = Arc::new(Payload::text("done"));
        for report in [Report::Accepted, Report::Completed { result, digest: 1 }] {
            self.reports += 1;
            self.stream.report(vec![ReportItem { report_id: self.reports, fence, report }]).await.unwrap();
        }
        loop {
            match soon(self.pushes.recv()).await.expect("the stream is open") {
                Push::Receipts(receipts) if receipts.iter().any(|receipt| receipt.report_id == self.reports) => return,
                Push::Assign(_) => panic!("nothing can be given out"),
                _ => continue,
            }
        }
    }
}

async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), event).await.expect("it comes")
}

/// Locks the next task at another replica while a slot comes back for it, and gives it up. Says how much later the task is given out.
async fn leave(a: &Replica, other: &Replica, ann: &mut Agent, held: Fence) -> (Fence, Duration) {
    let next = create(&a.engine).await;
    let locked = lock(other, next).await;
    ann.complete(held).await;
    locked.roll_back().await;
    let left = Instant::now();
    let held = ann.assigned().await;
    assert_eq!(held.task, next);
    (held, left.elapsed())
}

/// A slot of a limit comes back, and at this moment another replica looks at the next task. When it leaves it, nobody tells of that.
#[tokio::test]
async fn what_another_replica_leaves_is_given_out_soon() {
    let url = callboard_test_postgres::shared().database().await;
    let (a, other) = (replica(&url).await, replica(&url).await);
    one_at_once(&a.engine).await;
    let mut ann = Agent::attach(&a.engine, "ann").await;
    create(&a.engine).await;
    let mut held = ann.assigned().await;
    let mut late = Vec::new();
    for _ in 0..5 {
        let (next, after) = leave(&a, &other, &mut ann, held).await;
        held = next;
        late.push(after);
    }
    println!("given out {late:?} behind the end of the lock");
    assert!(late.iter().all(|late| *late < SOON), "{late:?}");
    a.engine.stop().await;
    other.engine.stop().await;
}

/// The same for claims: the one that found the task locked waits for nobody's word, and the next finds it.
#[tokio::test]
async fn what_another_replica_leaves_can_be_claimed() {
    let url = callboard_test_postgres::shared().database().await;
    let (a, other) = (replica(&url).await, replica(&url).await);
    let claim = |name: &str, wait| ClaimRequest {
        namespace: "default".into(),
        principal: "anonymous".into(),
        request: None,
        name: name.into(),
        profile: profile(),
        max: 2,
        lease: Span::seconds(60),
        wait,
    };
    let claim = async |name, wait| a.engine.claim(claim(name, wait), std::future::pending()).await.unwrap();
    let tasks = [create(&a.engine).await, create(&a.engine).await];
    let locked = [lock(&other, tasks[0]).await, lock(&other, tasks[1]).await];
    assert!(claim("ann", Duration::ZERO).await.is_empty());
    let [first, second] = locked;
    first.roll_back().await;
    let claimed = claim("ann", Duration::ZERO).await;
    assert_eq!(claimed.iter().map(|task| task.fence.task).collect::<Vec<_>>(), tasks[..1]);
    // And one that waits is woken. When the claim behind it has its answer it has found nothing, too.
    let waiting = claim("ben", Duration::from_secs(20));
    let leave = async {
        assert!(claim("carl", Duration::ZERO).await.is_empty());
        second.roll_back().await;
    };
    let (claimed, ()) = tokio::join!(waiting, leave);
    assert_eq!(claimed.iter().map(|task| task.fence.task).collect::<Vec<_>>(), tasks[1..]);
    a.engine.stop().await;
    other.engine.stop().await;
}

/// Two replicas that could both give a task out, which a third has locked, look again by themselves: they don't tell each other over and
/// over.
#[tokio::test]
async fn who_passes_a_task_over_tells_of_it_once() {
    let url = callboard_test_postgres::shared().database().await;
    let (a, b, other) = (replica(&url).await, replica(&url).await, store(&url).await);
    one_at_once(&a.engine).await;
    let mut ann = Agent::attach(&a.engine, "ann").await;
    let mut ben = Agent::attach(&b.engine, "ben").await;
    create(&a.engine).await;
    let held = soon(async {
        tokio::select! {
            held = ann.assigned() => (true, held),
            held = ben.assigned() => (false, held),
        }
    });
    let (at_ann, held) = held.await;
    let next = create(&a.engine).await;
    let locked = lock(&Replica { engine: a.engine.clone(), store: other.clone() }, next).await;
    let mut hints = other.cluster().unwrap().listen().await.unwrap();
    // From then on it hears.
    assert!(soon(hints.recv()).await.unwrap().everything);
    if at_ann {
        ann.complete(held).await
    } else {
        ben.complete(held).await
    }
    let mut told = 0;
    let listening = async {
        while let Some(hint) = hints.recv().await {
            told += hint.lanes.len();
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(1), listening).await;
    println!("told of {told} times");
    assert!((1..5).contains(&told), "told of {told} times");
    locked.roll_back().await;
    let again = tokio::select! {
        again = ann.assigned() => again,
        again = ben.assigned() => again,
    };
    assert_eq!(again.task, next);
    a.engine.stop().await;
    b.engine.stop().await;
}
