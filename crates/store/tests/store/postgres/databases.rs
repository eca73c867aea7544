//! What a database must be, and how it becomes ours.

use super::*;
use crate::conformance::placement::{lane_with_gpus, with_gpus};
use crate::conformance::workflows::{held, workflow, written};
use callboard_core::model::{Condition, Edge, Terms};
use callboard_store::Error;
use sqlx::AssertSqlSafe;
use tokio::task::JoinSet;

fn refused(result: Result<PostgresStore>, why: &[&str]) {
    let Err(Error::Unusable(text)) = result else { panic!("it was opened, or failed otherwise") };
    assert!(why.iter().all(|why| text.contains(why)), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_replicas_migrate_at_once() {
    let database = Database::new().await;
    let mut replicas = JoinSet::new();
    for _ in 0..10 {
        let url = database.url.clone();
        replicas.spawn(async move { PostgresStore::open(&url, PostgresOptions::default()).await });
    }
    let opened: Vec<_> = replicas.join_all().await.into_iter().map(Result::unwrap).collect();
    let fixture = Fixture::new(Arc::new(opened.into_iter().next().unwrap()));
    fixture.save(new_tasks([&task(1)])).await;
    assert_eq!(database.fixture().await.task(task_id(1)).await, Some(task(1)));
}

/// A migration may take long, and so may the wait for it: longer than the locks of batches are waited for.
#[tokio::test]
async fn a_replica_waits_for_another_that_migrates() {
    let database = Database::new().await;
    database.open().await.unwrap().close().await;
    let mut other = PgConnection::connect(&database.url).await.unwrap();
    // The lock of whoever changes the schema.
    sqlx::raw_sql("BEGIN; SELECT pg_advisory_xact_lock(1128352834)").execute(&mut other).await.unwrap();
    let migrating = async {
        sqlx::raw_sql("SELECT pg_sleep(6); COMMIT").execute(&mut other).await.unwrap();
    };
    let (opened, ()) = tokio::join!(database.open(), migrating);
    opened.unwrap().close().await;
}

/// The schema before floors.
const BEFORE_FLOORS: &str = "DROP TRIGGER agent_counts_forgotten ON agents; DROP FUNCTION forget_agent_counts; DROP TABLE agent_counts; \
     DROP INDEX tasks_entered; DROP INDEX tasks_leased; CREATE INDEX tasks_leased ON tasks (namespace, agent, id) WHERE agent IS NOT NULL; \
     ALTER TABLE live_counts ALTER COLUMN shard TYPE smallint; ALTER TABLE registrations DROP COLUMN address; UPDATE callboard_meta SET value = 12 WHERE name = 'schema'";

/// Servers of the version before go on meanwhile, and use tables in any order: whoever migrates must not have one and wait for another.
#[tokio::test]
async fn who_migrates_meets_nobody_in_a_deadlock() {
    let database = Database::new().await;
    database.open().await.unwrap().close().await;
    let tables = ["tasks", "agents", "live_counts"];
    for (first, others) in [(0, [1, 2]), (1, [0, 2]), (2, [0, 1])] {
        database.run(BEFORE_FLOORS).await;
        let mut older = PgConnection::connect(&database.url).await.unwrap();
        let uses = |table: usize| AssertSqlSafe(format!("LOCK TABLE {} IN ROW EXCLUSIVE MODE", tables[table]));
        sqlx::raw_sql("BEGIN").execute(&mut older).await.unwrap();
        sqlx::raw_sql(uses(first)).execute(&mut older).await.unwrap();
        let goes_on = async {
            database.somebody_waits().await;
            for other in others {
                sqlx::raw_sql(uses(other)).execute(&mut older).await.unwrap();
            }
            sqlx::raw_sql("COMMIT").execute(&mut older).await.unwrap();
        };
        let (opened, ()) = tokio::join!(database.open(), goes_on);
        opened.unwrap().close().await;
    }
}

/// Whoever waits for a whole table has everybody else behind it: behind a `pg_dump` of an hour, all servers that run.
#[tokio::test]
async fn who_migrates_behind_a_long_reader_gives_way_to_servers_that_run() {
    let database = Database::new().await;
    database.open().await.unwrap().close().await;
    database
        .run(
            "ALTER TABLE registrations DROP COLUMN address; UPDATE callboard_meta SET value = 16 WHERE name = 'schema'",
        )
        .await;
    let mut dump = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE registrations IN ACCESS SHARE MODE").execute(&mut dump).await.unwrap();
    let others = async {
        database.somebody_waits().await;
        let mut server = PgConnection::connect(&database.url).await.unwrap();
        let reads = "SET statement_timeout = '5s'; SELECT count(*) FROM registrations";
        let read = sqlx::raw_sql(reads).execute(&mut server).await;
        sqlx::raw_sql("COMMIT").execute(&mut dump).await.unwrap();
        read
    };
    let (opened, read) = tokio::join!(database.open(), others);
    assert!(read.is_ok(), "{read:?}");
    opened.unwrap().close().await;
}

/// Why text is escaped.
#[tokio::test]
async fn text_of_postgres_takes_no_nul_byte() {
    let database = Database::new().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let bound = sqlx::query("SELECT $1::text").bind("Broken: a\0b").execute(&mut connection).await;
    assert!(bound.unwrap_err().to_string().contains("0x00"));
}

/// Tables whose rows change are vacuumed when a little of them is dead, not when a fifth of the table is.
#[tokio::test]
async fn tables_whose_rows_change_say_when_they_are_vacuumed() {
    let database = Database::new().await;
    database.open().await.unwrap().close().await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let by_default = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace \
         AND NOT coalesce(array_to_string(reloptions, ','), '') LIKE '%autovacuum_vacuum_threshold%' ORDER BY relname";
    let tables: Vec<String> = sqlx::query_scalar(by_default).fetch_all(&mut connection).await.unwrap();
    let written_once_or_rarely = [
        "callboard_meta",
        "children",
        "forgotten_events",
        "lanes",
        "namespaces",
        "output",
        "steps",
        "task_specs",
        "task_tags",
        "workflow_tasks",
    ];
    assert_eq!(tables, written_once_or_rarely);
}

/// The newest schema.
const KNOWN: i64 = 17;

#[tokio::test]
async fn a_database_that_needs_a_newer_version_is_refused_and_one_that_does_not_is_used() {
    let database = Database::new().await;
    database.fixture().await.save(new_tasks([&task(1)])).await;
    database.run("UPDATE callboard_meta SET value = 99 WHERE name = 'schema'").await;
    assert_eq!(database.fixture().await.task(task_id(1)).await, Some(task(1)));
    let found = PostgresStore::inspect(&database.url).await.unwrap();
    assert_eq!((found.schema, found.known), (99, KNOWN));
    database.run("UPDATE callboard_meta SET value = 99 WHERE name = 'min_version'").await;
    refused(database.open().await, &["99", "newer version"]);
    assert!(matches!(PostgresStore::inspect(&database.url).await, Err(Error::Unusable(_))));
    database.run("DELETE FROM callboard_meta WHERE name = 'min_version'").await;
    assert!(matches!(database.open().await, Err(Error::Corrupt(_))));
}

#[tokio::test]
async fn a_replica_learns_that_the_database_needs_a_newer_version_by_now() {
    let database = Database::new().await;
    let store = database.open().await.unwrap();
    let cluster = store.cluster().unwrap();
    cluster.register("a").await.unwrap();
    database.run("UPDATE callboard_meta SET value = 99 WHERE name = 'schema'").await;
    assert!(cluster.renew("a").await.unwrap());
    database.run("UPDATE callboard_meta SET value = 99 WHERE name = 'min_version'").await;
    let renewed = cluster.renew("a").await;
    assert!(matches!(&renewed, Err(Error::Unusable(text)) if text.contains("newer version")), "{renewed:?}");
}

#[tokio::test]
async fn the_first_condition_makes_older_versions_refuse_the_database() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    let needed = "SELECT value FROM callboard_meta WHERE name = 'min_version'";
    let plain = edge(1, 2, 0);
    fixture.save(ChangeSet { edges: vec![plain], ..new_tasks([&task(1), &task(2)]) }).await;
    assert!(database.number(needed).await < 6, "an edge that older versions know");
    let terms = Terms { condition: Condition::Ended, ..Terms::default() };
    let edges = vec![Edge { terms, ..edge(3, 4, 0) }];
    fixture.save(ChangeSet { edges, ..new_tasks([&task(3), &task(4)]) }).await;
    assert_eq!(database.number(needed).await, 6);
}

#[tokio::test]
async fn the_first_hold_makes_older_versions_refuse_the_database() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    let needed = "SELECT value FROM callboard_meta WHERE name = 'min_version'";
    let row = workflow(1, "report", 1);
    fixture.save(written(&row)).await;
    assert_eq!(database.number(needed).await, 7);
    fixture.save(written(&held(&row))).await;
    assert_eq!(database.number(needed).await, 8);
}

#[tokio::test]
async fn the_first_task_that_takes_resources_makes_older_versions_refuse_the_database() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    let needed = "SELECT value FROM callboard_meta WHERE name = 'min_version'";
    fixture.save(ChangeSet { lanes: vec![lane("plain")], ..ChangeSet::default() }).await;
    assert!(database.number(needed).await < 10, "a lane that older versions know");
    fixture.save(ChangeSet { lanes: vec![lane_with_gpus(1)], ..new_tasks([&with_gpus(1, 1)]) }).await;
    assert_eq!(database.number(needed).await, 10);
}

#[tokio::test]
async fn a_replica_of_a_version_before_conditions_is_known_as_one() {
    let database = Database::new().await;
    let store = database.open().await.unwrap();
    let cluster = store.cluster().unwrap();
    cluster.register("new").await.unwrap();
    // As that version registers.
    database.run("INSERT INTO registrations (name, beat, dead) VALUES ('old', 1, false)").await;
    let seen = cluster.registrations().await.unwrap();
    let seen: Vec<_> = seen.iter().map(|registration| (&*registration.name, registration.current)).collect();
    assert_eq!(seen, [("new", true), ("old", false)]);
}

#[tokio::test]
async fn a_row_that_a_newer_version_wrote_is_not_guessed_at() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    fixture.save(new_tasks([&task(5)])).await;
    database.run("UPDATE tasks SET format = 2").await;
    let found = fixture.store.task((NAMESPACE, task_id(5))).await;
    assert!(matches!(&found, Err(Error::Corrupt(text)) if text.contains("newer")), "{found:?}");
}

#[tokio::test]
async fn what_is_not_ours_or_could_lose_commits_is_refused_and_left_alone() {
    let database = Database::new().await;
    database.run("CREATE TABLE songs (name text)").await;
    refused(database.open().await, &["another application"]);
    database.run("DROP TABLE songs; CREATE EXTENSION pg_trgm; CREATE VIEW v AS SELECT 1").await;
    let settings = |setting: &str| format!("ALTER DATABASE {} SET {setting}", database.name());
    database.run(&settings("synchronous_commit = off")).await;
    refused(database.open().await, &["synchronous_commit"]);
    database.run(&settings("synchronous_commit = on")).await;
    database.run(&settings("search_path = nowhere")).await;
    refused(database.open().await, &["search path"]);
    database.run(&settings("search_path = public")).await;
    database.open().await.unwrap();
    let cluster = callboard_test_postgres::shared();
    cluster.run("postgres", "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0").await;
    refused(PostgresStore::open(&cluster.url("latin"), PostgresOptions::default()).await, &["UTF8"]);
    refused(PostgresStore::open(&cluster.url("missing"), PostgresOptions::default()).await, &["missing", "not exist"]);
}

#[tokio::test]
async fn a_database_can_be_looked_at_without_being_changed() {
    let database = Database::new().await;
    let found = PostgresStore::inspect(&database.url).await.unwrap();
    assert_eq!((found.schema, found.known, found.url.as_str()), (0, KNOWN, database.url.as_str()));
    assert!(found.server >= 140_000 && found.bytes > 0);
    assert_eq!(PostgresStore::inspect(&database.url).await.unwrap().schema, 0);
    database.open().await.unwrap().close().await;
    assert_eq!(PostgresStore::inspect(&database.url).await.unwrap().schema, KNOWN);
}

/// Text sorts as in the other stores, whatever the database's own order is.
#[tokio::test]
async fn text_sorts_by_its_bytes_in_every_database() {
    let turn = alone().await;
    let cluster = callboard_test_postgres::shared();
    let locale = "LOCALE_PROVIDER icu ICU_LOCALE 'en' LOCALE 'C'";
    cluster.run("postgres", &format!("CREATE DATABASE sorted {locale} TEMPLATE template0")).await;
    let database = Database { url: cluster.url("sorted"), turn };
    let fixture = database.fixture().await;
    let names = ["", "\0", "\0a", "\u{1}", "A", "B", "_", "a", "a ", "a\0", "b", "ä", "👩"];
    let agents: Vec<_> = (0..).zip(names).map(|(n, name)| agent(n, name)).collect();
    fixture.save(new_agents(&agents)).await;
    let page = fixture.store.agents(NAMESPACE, &Default::default(), None, 100).await.unwrap();
    let found: Vec<_> = page.agents.iter().map(|(agent, _)| agent.name.to_string()).collect();
    let mut expected = names.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
    let behind = fixture.store.agents(NAMESPACE, &Default::default(), Some("a"), 3).await.unwrap();
    let behind: Vec<_> = behind.agents.iter().map(|(agent, _)| agent.name.to_string()).collect();
    assert_eq!(behind, ["a\0", "a ", "b"]);
}
