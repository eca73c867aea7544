//! Behind PgBouncer in transaction mode: each transaction may have another connection of the server.

use super::*;

async fn store() -> (Arc<dyn Store>, Kept) {
    let database = Database::new().await;
    let pooler = callboard_test_postgres::shared().pooler();
    let url = format!("{}?pgbouncer=true", pooler.url(database.name()));
    let options = PostgresOptions { direct: Some(database.url.clone()), ..PostgresOptions::default() };
    let store = PostgresStore::open(&url, options).await.unwrap();
    (Arc::new(store), Kept { _pooler: pooler, _database: database })
}

struct Kept {
    _pooler: callboard_test_postgres::Pooler,
    _database: Database,
}

crate::conformance::conformance!(store);
crate::conformance::conformance_of_clusters!(store);

/// Without a direct URL the migrations run through it, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_migrates_and_serves_many_at_once() {
    let database = Database::new().await;
    let pooler = callboard_test_postgres::shared().pooler();
    let url = format!("{}?pgbouncer=true", pooler.url(database.name()));
    let store = Arc::new(PostgresStore::open(&url, PostgresOptions::default()).await.unwrap());
    let mut users = tokio::task::JoinSet::new();
    for user in 0..8_u32 {
        let fixture = Fixture::new(store.clone());
        users.spawn(async move {
            for n in 0..15 {
                let row = task(user * 100 + n);
                fixture.save(ChangeSet { events: vec![event(user * 100 + n, 1)], ..new_tasks([&row]) }).await;
                assert_eq!(fixture.task(row.id).await, Some(row.clone()));
                assert!(fixture.store.task((NAMESPACE, row.id)).await.unwrap().is_some());
            }
        });
    }
    users.join_all().await;
    let page = store.tasks(NAMESPACE, &Default::default(), None, 1_000).await.unwrap();
    assert_eq!(page.tasks.len(), 120);
}
