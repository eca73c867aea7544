//! What retention forgets is kept by the archive before, whole and for good, or it is not forgotten.

use super::create;
use super::store::FaultyStore;
use callboard_core::command::{Command, Envelope, Reply};
use callboard_core::model::{TaskId, Timestamp};
use callboard_engine::{Archive, Config, Engine, Piece, SystemClock, SystemEntropy};
use callboard_store::Store;
use callboard_store::memory::MemoryStore;
use callboard_store::sqlite::{SqliteOptions, SqliteStore};
use futures::future::{BoxFuture, FutureExt, join_all};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};

const PATIENCE: Duration = Duration::from_secs(30);

/// What the archive does.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Works,
    /// It doesn't even look at what comes.
    FailsAtOnce,
    /// When it has everything.
    FailsAtTheEnd,
    /// It says that all is well, and has but the first piece.
    EndsEarly,
    /// It works, and the first task lives again meanwhile.
    SeesARetry,
}

/// An archive in memory.
#[derive(Debug)]
struct Shelf {
    mode: Mutex<Mode>,
    engine: OnceLock<Engine>,
    /// One for each time that it was asked.
    asked: Semaphore,
    /// The numbers of the events that came with each task, and of those that the store had then.
    kept: Mutex<BTreeMap<TaskId, [Vec<i64>; 2]>>,
}

impl Archive for Shelf {
    fn keep(&self, _: Timestamp, pieces: mpsc::Receiver<Piece>) -> BoxFuture<'_, io::Result<()>> {
        let mode = *self.mode.lock().unwrap();
        async move {
            let kept = self.take(mode, pieces).await;
            self.asked.add_permits(1);
            kept
        }
        .boxed()
    }
}

impl Shelf {
    async fn take(&self, mode: Mode, mut pieces: mpsc::Receiver<Piece>) -> io::Result<()> {
        if mode == Mode::FailsAtOnce {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let (mut taken, mut open): (Vec<(TaskId, Vec<i64>)>, _) = (Vec::new(), None);
        while let Some(piece) = pieces.recv().await {
            match (piece, &mut open) {
                (Piece::Task(task), None) => open = Some((task.view.task.id, Vec::new())),
                (Piece::Events(events), Some(open)) => open.1.extend(events.iter().map(|event| event.sequence)),
                (Piece::End, Some(_)) => taken.extend(open.take()),
                (piece, open) => return Err(io::Error::other(format!("{piece:?} in {open:?}"))),
            }
            if mode == Mode::EndsEarly {
                return Ok(());
            }
        }
        if mode == Mode::FailsAtTheEnd || open.is_some() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let engine = self.engine.get().unwrap();
        if mode == Mode::SeesARetry {
            ask(engine, Command::RetryTask { task: taken[0].0 }).await;
        }
        for (task, events) in taken {
            let there = sequences(engine, task).await;
            self.kept.lock().unwrap().insert(task, [events, there]);
        }
        Ok(())
    }

    /// From now on; waits until it was asked so often that it has done so.
    async fn now(&self, mode: Mode) {
        *self.mode.lock().unwrap() = mode;
        self.asked.forget_permits(usize::MAX >> 3);
        tokio::time::timeout(PATIENCE, self.asked.acquire_many(3)).await.expect("it is asked").unwrap().forget();
    }

    fn kept(&self) -> BTreeMap<TaskId, [Vec<i64>; 2]> {
        self.kept.lock().unwrap().clone()
    }
}

async fn start(store: Arc<dyn Store>, mode: Mode) -> (Engine, Arc<Shelf>) {
    let (engine, asked, kept) = (OnceLock::new(), Semaphore::new(0), Mutex::default());
    let shelf = Arc::new(Shelf { mode: Mutex::new(mode), engine, asked, kept });
    let retention = Some(Duration::from_millis(1));
    let config = Config { retention, archive: Some(shelf.clone()), ..Config::default() };
    let clock = Arc::new(SystemClock::start());
    let engine = Engine::start(store, config, clock, Box::new(SystemEntropy::new())).await.unwrap();
    shelf.engine.set(engine.clone()).unwrap();
    (engine, shelf)
}

async fn ask(engine: &Engine, command: Command) -> Reply {
    engine.submit(envelope(command)).await.unwrap()
}

fn envelope(command: Command) -> Envelope {
    Envelope { namespace: "default".into(), principal: "anonymous".into(), request: None, command }
}

async fn create_some(engine: &Engine, count: usize) -> Vec<TaskId> {
    let created = join_all((0..count).map(|_| engine.submit(create("one", None)))).await;
    let task = |reply| match reply {
        Reply::Tasks(created) => created[0].task,
        other => panic!("{other:?}"),
    };
    created.into_iter().map(|reply| task(reply.unwrap())).collect()
}

async fn cancel(engine: &Engine, tasks: &[TaskId]) {
    let cancel = |task| ask(engine, Command::CancelTask { task, reason: String::new() });
    join_all(tasks.iter().copied().map(cancel)).await;
}

async fn sequences(engine: &Engine, task: TaskId) -> Vec<i64> {
    let namespace = engine.namespace("default").await.unwrap();
    let events = engine.store().task_events((namespace, task), 0, 100_000).await.unwrap();
    events.iter().map(|event| event.sequence).collect()
}

async fn is_known(engine: &Engine, task: TaskId) -> bool {
    let namespace = engine.namespace("default").await.unwrap();
    engine.store().task((namespace, task)).await.unwrap().is_some()
}

async fn until_gone(engine: &Engine, tasks: &[TaskId]) {
    let gone = async {
        for task in tasks {
            while is_known(engine, *task).await {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("they are forgotten in time");
}

#[tokio::test]
async fn what_is_not_archived_is_not_forgotten() {
    let (engine, shelf) = start(Arc::new(MemoryStore::new()), Mode::FailsAtOnce).await;
    let tasks = create_some(&engine, 70).await;
    cancel(&engine, &tasks).await;
    for mode in [Mode::FailsAtOnce, Mode::FailsAtTheEnd, Mode::EndsEarly] {
        shelf.now(mode).await;
        for task in &tasks {
            assert!(is_known(&engine, *task).await, "{mode:?}");
        }
    }
    let text = engine.metrics().await;
    assert!(text.contains("callboard_retention_archived_total 0\n"), "{text}");
    assert!(!text.contains("callboard_retention_archive_failures_total 0\n"), "{text}");
    *shelf.mode.lock().unwrap() = Mode::Works;
    until_gone(&engine, &tasks).await;
    let kept = shelf.kept();
    assert_eq!(kept.len(), 70);
    for task in &tasks {
        assert_eq!(kept[task], [vec![1, 2], vec![1, 2]], "it was kept whole, and still there");
    }
    assert!(engine.metrics().await.contains("callboard_retention_archived_total 70\n"));
    engine.stop().await;
}

/// It goes in steps, and not the first is taken before the archive has all of it.
#[tokio::test]
async fn a_task_with_very_many_events_is_archived_before_the_first_of_them_goes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = SqliteStore::open(&path.to_string_lossy(), SqliteOptions::default()).await.unwrap();
    let (engine, shelf) = start(Arc::new(store), Mode::FailsAtTheEnd).await;
    let task = create_some(&engine, 1).await[0];
    let steps = (0..700)
        .flat_map(|_| [Command::HoldTask { task, reason: String::new() }, Command::ReleaseTask { task }].map(envelope));
    for answer in join_all(steps.map(|step| engine.submit(step))).await {
        answer.unwrap();
    }
    cancel(&engine, &[task]).await;
    let all = sequences(&engine, task).await;
    assert!(all.len() > 1_400 && all.iter().copied().eq(1..=all.len() as i64));
    shelf.now(Mode::FailsAtTheEnd).await;
    assert_eq!(sequences(&engine, task).await, all, "it is not trimmed");
    *shelf.mode.lock().unwrap() = Mode::Works;
    until_gone(&engine, &[task]).await;
    assert_eq!(shelf.kept().remove(&task), Some([all.clone(), all]));
    engine.stop().await;
}

/// One that can't be read is kept, and keeps nobody else.
#[tokio::test]
async fn a_damaged_task_does_not_keep_the_others() {
    let (store, plan) = FaultyStore::new();
    let (engine, shelf) = start(store, Mode::FailsAtOnce).await;
    let tasks = create_some(&engine, 40).await;
    *plan.damaged.lock().unwrap() = Some(tasks[3]);
    cancel(&engine, &tasks).await;
    *shelf.mode.lock().unwrap() = Mode::Works;
    let others = [&tasks[..3], &tasks[4..]].concat();
    until_gone(&engine, &others).await;
    assert_eq!(shelf.kept().len(), 39);
    *plan.damaged.lock().unwrap() = None;
    assert!(is_known(&engine, tasks[3]).await);
    until_gone(&engine, &tasks).await;
    assert_eq!(shelf.kept().len(), 40);
    engine.stop().await;
}

#[tokio::test]
async fn a_task_that_is_retried_while_it_is_archived_stays() {
    let (engine, shelf) = start(Arc::new(MemoryStore::new()), Mode::FailsAtOnce).await;
    let tasks = create_some(&engine, 2).await;
    cancel(&engine, &tasks).await;
    *shelf.mode.lock().unwrap() = Mode::SeesARetry;
    // Both were in one batch.
    until_gone(&engine, &tasks[1..]).await;
    assert!(is_known(&engine, tasks[0]).await);
    assert_eq!(sequences(&engine, tasks[0]).await, [1, 2, 3, 4]);
    engine.stop().await;
}
