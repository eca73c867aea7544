//! Connections that break.

use super::*;
use callboard_store::Error;

/// Ends all connections to the database, as a restart of the server does.
const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
     AND pid <> pg_backend_pid()";

#[tokio::test]
async fn what_breaks_before_the_commit_is_unavailable_and_in_it_unknown() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    let mut cut = Steps::begin(&fixture).await;
    cut.save(new_tasks([&task(1)])).await;
    database.run(CUT).await;
    let loaded = cut.load(want([1])).await;
    assert!(matches!(loaded, Err(Error::Unavailable(_))), "{loaded:?}");
    assert!(cut.0.commit().await.is_err());

    let mut cut = Steps::begin(&fixture).await;
    cut.save(new_tasks([&task(1)])).await;
    database.run(CUT).await;
    let committed = cut.0.commit().await;
    assert!(matches!(committed, Err(Error::UnknownCommit(_))), "{committed:?}");
    // In truth it was not.
    assert_eq!(fixture.task(task_id(1)).await, None);
    fixture.save(new_tasks([&task(1)])).await;
}

/// Nobody hears of connections that broke while nobody used them.
#[tokio::test]
async fn idle_connections_that_broke_are_replaced() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    for round in 0..3 {
        // Several are idle.
        let open = [Steps::begin(&fixture).await, Steps::begin(&fixture).await, Steps::begin(&fixture).await];
        for transaction in open {
            transaction.commit().await;
        }
        database.run(CUT).await;
        if round % 2 == 0 {
            assert!(fixture.store.namespaces().await.unwrap().is_empty());
        }
        fixture.save(new_tasks([&task(round)])).await;
    }
    assert_eq!(fixture.task(task_id(2)).await, Some(task(2)));
}

/// Connections that are cut off without a word: their servers stand still. One statement waits for an answer, and not one for each
/// of those that are idle.
#[tokio::test]
async fn connections_that_stay_dumb_are_given_up_at_once() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    fixture.save(new_tasks([&task(1)])).await;
    let mut open = vec![Steps::begin(&fixture).await, Steps::begin(&fixture).await, Steps::begin(&fixture).await];
    let mut cut = open.pop().unwrap();
    for transaction in open {
        transaction.commit().await;
    }
    assert!(fixture.task(task_id(1)).await.is_some());
    database.run(&signal("STOP", "true")).await;
    let used = async {
        // In the middle of a transaction nobody can try again.
        let loaded = cut.load(want([1])).await;
        (loaded, fixture.store.namespaces().await, fixture.task(task_id(1)).await, Steps::begin(&fixture).await)
    };
    let used = tokio::time::timeout(std::time::Duration::from_secs(35), used).await;
    database.run(&signal("CONT", "true")).await;
    let (loaded, namespaces, found, _) = used.expect("they were tried one after the other");
    assert!(matches!(loaded, Err(Error::Unavailable(_))), "{loaded:?}");
    assert!(namespaces.unwrap().is_empty());
    assert_eq!(found, Some(task(1)));
}

/// Whoever listens hears nothing on such a connection, and there is nothing to notice: it asks.
#[tokio::test]
async fn who_listens_where_nobody_speaks_any_more_listens_anew() {
    let database = Database::new().await;
    let store = database.store().await;
    let mut hints = store.cluster().unwrap().listen().await.unwrap();
    let patience = std::time::Duration::from_secs(40);
    let mut heard = async || tokio::time::timeout(patience, hints.recv()).await.expect("it is heard").expect("a hint");
    assert!(heard().await.everything, "it begins to listen");
    database.run(&signal("STOP", "query = 'LISTEN \"callboard\"'")).await;
    assert!(heard().await.everything, "it listens anew, and may have missed something");
    database.run(&signal("CONT", "true")).await;
}

/// Sends a signal to the servers of some of the store's connections.
fn signal(name: &str, which: &str) -> String {
    let pids = format!(
        "(SELECT string_agg(pid::text, ' ') FROM pg_stat_activity WHERE datname = current_database() \
         AND application_name = 'callboard' AND {which})"
    );
    format!(
        "CREATE TEMP TABLE nothing (); DO $$ BEGIN EXECUTE format('COPY nothing FROM PROGRAM %L', 'kill -{name} ' || {pids} || ' || true'); END $$"
    )
}

/// A future that is dropped half-way leaves nothing open: not a transaction, and no locks.
#[tokio::test]
async fn a_future_dropped_half_way_leaves_nothing() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    let rows: Vec<_> = (0..200).map(task).collect();
    for micros in [0, 50, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000] {
        let save = async {
            let mut transaction = fixture.store.begin().await.unwrap();
            transaction.save(&new_tasks(&rows), &fixture.settings).await.unwrap();
            // Never committed.
            std::future::pending::<()>().await;
        };
        let _ = tokio::time::timeout(std::time::Duration::from_micros(micros), save).await;
        let _ = tokio::time::timeout(std::time::Duration::from_micros(micros), fixture.store.sample()).await;
        assert_eq!(fixture.task(task_id(3)).await, None);
    }
    fixture.save(new_tasks(&rows)).await;
    assert!(fixture.task(task_id(199)).await.is_some());
}

/// More wants than connections: they wait for one another.
#[tokio::test]
async fn connections_are_bounded() {
    let database = Database::new().await;
    let options = PostgresOptions { connections: 2, ..PostgresOptions::default() };
    let fixture = Fixture::new(Arc::new(PostgresStore::open(&database.url, options).await.unwrap()));
    let reads = (0..50).map(|_| fixture.store.namespaces());
    for read in futures_all(reads).await {
        assert!(read.unwrap().is_empty());
    }
    let store = &fixture.store;
    store.close().await;
    assert!(matches!(store.begin().await.map(|_| ()), Err(Error::Unavailable(_))));
    assert!(matches!(store.namespaces().await, Err(Error::Unavailable(_))));
}

/// All at once.
async fn futures_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<_> = futures.map(|future| (Some(Box::pin(future)), None)).collect();
    std::future::poll_fn(|cx| {
        for (future, done) in &mut running {
            if let Some(running) = future
                && let std::task::Poll::Ready(value) = running.as_mut().poll(cx)
            {
                (*future, *done) = (None, Some(value));
            }
        }
        let all = running.iter().all(|(future, _)| future.is_none());
        if all { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, done)| done).collect()
}
