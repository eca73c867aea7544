//! Two replicas, each with its own way to the store that they share: what both are about to do is done once, and what one tells the other
//! comes behind its commits, put together.

// Helpers of tests stand outside of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod hints;
mod record;
mod timers;
mod way;

use callboard_core::command::{Command, Envelope, Reply};
use callboard_core::entropy::Seeded;
use callboard_core::model::{NewTask, Span, TaskId, TaskSpec, Timestamp};
use callboard_engine::{Clock, Config, Engine, Error, SystemClock};
use callboard_store::Store;
use callboard_store::memory::MemoryStore;
use callboard_store::postgres::{PostgresOptions, PostgresStore};
use record::Record;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use way::{FarStore, Way};

/// A replica, and its way to the store.
struct Replica {
    engine: Engine,
    way: Arc<Way>,
}

/// What they share.
struct Ground {
    stores: [Arc<dyn Store>; 2],
    clock: Arc<dyn Clock>,
    /// What the other has loaded keeps nobody from asking for it, and waiting for it there.
    overlaps: bool,
}

impl Ground {
    /// Its time goes on when nothing is left to do: it is for tests whose time is paused.
    fn in_memory() -> Self {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::shared());
        Self { stores: [store.clone(), store], clock: Arc::new(Standing(Instant::now())), overlaps: false }
    }

    async fn on_postgresql() -> Self {
        let url = callboard_test_postgres::shared().database().await;
        let open = async || PostgresStore::open(&url, PostgresOptions::default()).await.unwrap();
        let stores: [Arc<dyn Store>; 2] = [Arc::new(open().await), Arc::new(open().await)];
        Self { stores, clock: Arc::new(SystemClock::start()), overlaps: true }
    }

    /// Two replicas on it, and what they do.
    async fn replicas(self, config: Config) -> ([Replica; 2], Arc<Record>) {
        let Self { stores: [first, second], clock, overlaps } = self;
        let record = Arc::new(Record::default());
        let start = async |name, seed, store| {
            let way = Arc::new(Way::new(name, store, record.clone(), overlaps));
            let far = Arc::new(FarStore(way.clone()));
            let engine = Engine::start(far, config.clone(), clock.clone(), Box::new(Seeded(seed))).await.unwrap();
            Replica { engine, way }
        };
        let replicas = [start("a", 1, first).await, start("b", 2, second).await];
        (replicas, record)
    }
}

/// A clock that is tokio's.
struct Standing(Instant);

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        Timestamp(1_750_000_000_000_000) + self.elapsed()
    }

    fn elapsed(&self) -> Span {
        Span::from_std(self.0.elapsed())
    }
}

async fn ask(engine: &Engine, command: Command) -> Result<Reply, Error> {
    let envelope = Envelope { namespace: "default".into(), principal: "anonymous".into(), request: None, command };
    engine.submit(envelope).await
}

async fn create(engine: &Engine, change: impl FnOnce(&mut NewTask)) -> TaskId {
    let mut task: NewTask = TaskSpec::of_type("work").into();
    change(&mut task);
    match ask(engine, Command::CreateTasks { tasks: vec![task] }).await.unwrap() {
        Reply::Tasks(receipts) => receipts[0].task,
        other => panic!("{other:?}"),
    }
}

async fn soon<T>(event: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), event).await.expect("it comes")
}

/// Waits until something holds.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    soon(async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}
