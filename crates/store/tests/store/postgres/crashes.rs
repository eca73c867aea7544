//! A cluster whose processes are all killed: what was committed is there, and ids of transactions that left nothing on the disk are
//! given once more.

use super::*;
use crate::conformance::mail::{box_of, filled};
use callboard_core::model::Event;
use callboard_store::{Cursor, EventScope};
use callboard_test_postgres::{Cluster, Settings};

const HERE: EventScope = EventScope::Namespace(NAMESPACE);
/// Transactions that take an id and leave nothing, not even in time.
const ABORTED: &str = "BEGIN; SELECT pg_current_xact_id(); ROLLBACK;";

async fn fixture(url: &str) -> Fixture {
    Fixture::new(Arc::new(PostgresStore::open(url, PostgresOptions::default()).await.unwrap()))
}

async fn read(fixture: &Fixture, scope: EventScope, after: Cursor) -> (Vec<Event>, Cursor) {
    let page = fixture.store.events(scope, Some(after), 10).await.unwrap();
    (page.events, page.next)
}

/// Places are told to clients, and kept for long: what comes behind a crash must come behind them.
#[tokio::test]
async fn no_reader_misses_what_is_committed_behind_a_crash() {
    let cluster = Cluster::start(Settings { fsync: true, autovacuum: false });
    let url = cluster.database().await;
    cluster.run("postgres", "ALTER SYSTEM SET wal_writer_delay = '10s'").await;
    cluster.run("postgres", "SELECT pg_reload_conf()").await;
    let before = fixture(&url).await;
    before.save(ChangeSet { events: vec![event(1, 1)], ..new_tasks([&task(1)]) }).await;
    before.save(filled(1, 3)).await;
    cluster.run("postgres", &ABORTED.repeat(50)).await;
    let store = &before.store;
    let start = Cursor { transaction: 0, position: 0 };
    let of_task = EventScope::Task(NAMESPACE, task_id(1));
    let places = [
        (HERE, store.end_of_events().await.unwrap()),
        (HERE, read(&before, HERE, start).await.1),
        (of_task, read(&before, of_task, start).await.1),
    ];
    let news = store.cluster().unwrap().news(start).await.unwrap().end;
    let mail = [store.end_of_mail().await.unwrap(), store.new_mail(start, 10).await.unwrap().next];
    cluster.kill_all();
    cluster.start_again();
    let after = fixture(&url).await;
    let second = step(&task(1), running(1));
    after.save(ChangeSet { events: vec![event(1, 2)], ..tasks([changed(&second)]) }).await;
    after.save(filled(2, 1)).await;
    for (scope, place) in places {
        assert_eq!(read(&after, scope, place).await.0, [event(1, 2)], "{scope:?} behind {place:?}");
    }
    assert!(after.store.cluster().unwrap().news(news).await.unwrap().any, "there is news behind {news:?}");
    for place in mail {
        assert_eq!(after.store.new_mail(place, 10).await.unwrap().mailboxes, [(box_of(2), 1)].into(), "{place:?}");
    }
}
