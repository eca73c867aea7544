//! What is read from a floor on: nothing that came before it later is missed, and the work does not grow while a snapshot is held.

use super::*;
use callboard_core::model::{Agent, Event, Task, TaskId, TaskSpec};
use callboard_core::working_set::Changed;
use callboard_test_postgres::{Cluster, Settings};

/// Ready tasks, as many as these: locked, and in the order of their ids.
async fn ready(transaction: &mut Steps, most: usize) -> Vec<Task> {
    let ready = [((NAMESPACE, plain_lane()), most)].into();
    transaction.load(Want { ready, ..Want::default() }).await.unwrap().tasks
}

/// Gives ready tasks to an agent: which they are.
async fn give(fixture: &Fixture, agent: u32, most: usize) -> Vec<TaskId> {
    let mut transaction = Steps::begin(fixture).await;
    let found = ready(&mut transaction, most).await;
    let leased: Vec<Task> = found.iter().map(|row| step(row, running(agent))).collect();
    transaction.save(tasks(leased.iter().map(changed))).await;
    transaction.commit().await;
    leased.into_iter().map(|row| row.id).collect()
}

/// An agent as it is loaded, and what it has.
async fn holder(transaction: &mut Steps, number: u32) -> (Agent, Vec<TaskId>) {
    let agents_by_id = [(NAMESPACE, agent_id(number))].into();
    let mut rows = transaction.load(Want { agents_by_id, ..Want::default() }).await.unwrap();
    (rows.agents.remove(0), rows.leases.into_iter().map(|(_, task, ..)| task).collect())
}

/// A lane whose floor is behind a task that was taken, and those that are left.
async fn with_a_floor(fixture: &Fixture, left: impl Iterator<Item = u32>) {
    let rows: Vec<Task> = std::iter::once(10).chain(left).map(task).collect();
    fixture.save(ChangeSet { lanes: vec![lane("research")], ..new_tasks(&rows) }).await;
    assert_eq!(give(fixture, 1, 1).await, [task_id(10)]);
    // It is seen to be gone.
    assert_eq!(give(fixture, 1, 1).await.len(), 1);
}

#[tokio::test]
async fn what_becomes_ready_before_the_floor_comes_first() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    with_a_floor(&fixture, 11..20).await;
    fixture.save(new_tasks([&task(5), &task(30)])).await;
    assert_eq!(give(&fixture, 1, 2).await, [task_id(5), task_id(12)]);
    // One that had been given away comes back to its place.
    let back = Task { state: task(10).state, ..fixture.task(task_id(10)).await.unwrap() };
    fixture.save(tasks([changed(&step(&back, back.state.clone()))])).await;
    assert_eq!(give(&fixture, 1, 1).await, [task_id(10)]);
    assert_eq!(give(&fixture, 1, 100).await.len(), 8);
    assert!(give(&fixture, 1, 1).await.is_empty());
    fixture.save(new_tasks([&task(1)])).await;
    assert_eq!(fixture.store.ready_lanes(10).await.unwrap(), [(NAMESPACE, plain_lane())]);
    assert_eq!(give(&fixture, 1, 1).await, [task_id(1)]);
}

/// Who has taken tasks may give them back without a word: then they are as they were, their tokens as well.
#[tokio::test]
async fn what_another_had_locked_is_not_behind_the_floor() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    with_a_floor(&fixture, 11..20).await;
    let mut other = Steps::begin(&fixture).await;
    assert_eq!(ready(&mut other, 3).await.len(), 3);
    for _ in 0..3 {
        assert_eq!(give(&fixture, 1, 1).await.len(), 1);
    }
    other.0.roll_back().await;
    assert_eq!(give(&fixture, 1, 3).await, [12, 13, 14].map(task_id));
}

/// A transaction that had begun when the floor was found, and is committed behind it.
#[tokio::test]
async fn what_was_on_its_way_when_the_floor_was_found_is_not_missed() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    with_a_floor(&fixture, 11..20).await;
    let mut slow = Steps::begin(&fixture).await;
    slow.save(new_tasks([&task(3)])).await;
    let mut slower = Steps::begin(&fixture).await;
    slower.save(new_tasks([&task(4)])).await;
    for _ in 0..3 {
        assert_eq!(give(&fixture, 1, 1).await.len(), 1);
    }
    slow.commit().await;
    assert_eq!(give(&fixture, 1, 1).await, [task_id(3)]);
    assert_eq!(give(&fixture, 1, 1).await, [task_id(15)]);
    slower.commit().await;
    assert_eq!(fixture.store.ready_lanes(10).await.unwrap().len(), 1);
    assert_eq!(give(&fixture, 1, 1).await, [task_id(4)]);
}

/// The sweep's floor is no transaction's: others are at work meanwhile.
#[tokio::test]
async fn what_a_sweep_did_not_see_is_not_behind_its_floor() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    with_a_floor(&fixture, 11..20).await;
    let mut slow = Steps::begin(&fixture).await;
    slow.save(new_tasks([&task(3)])).await;
    for _ in 0..3 {
        assert_eq!(fixture.store.ready_lanes(10).await.unwrap(), [(NAMESPACE, plain_lane())]);
    }
    slow.commit().await;
    assert_eq!(give(&fixture, 1, 2).await, [3, 12].map(task_id));
}

/// What a primary showed and its standby doesn't have was never given: behind the promotion it is ready again, before the floor.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_standby_did_not_have_is_not_behind_the_floor() {
    let primary = Cluster::start(Settings::default());
    let url = primary.database().await;
    let name = url.rsplit('/').next().unwrap();
    let standby = primary.standby();
    primary.synchronous().await;
    // An address that leads to whoever is the primary, as that of a service does.
    let place = tempfile::tempdir().unwrap();
    let address = place.path().join("now");
    std::os::unix::fs::symlink(primary.socket(), &address).unwrap();
    let url = format!("postgres://postgres@{}/{name}", address.display().to_string().replace('/', "%2F"));
    let store = PostgresStore::open(&url, PostgresOptions::default()).await.unwrap();
    let fixture = Fixture::new(Arc::new(store));
    with_a_floor(&fixture, 11..20).await;

    standby.lose_sight().await;
    for lost in [12, 13, 14] {
        let (given, ()) = tokio::join!(give(&fixture, 1, 1), primary.show_what_waits());
        assert_eq!(given, [task_id(lost)]);
    }
    primary.kill_all();
    standby.promote().await;
    std::fs::remove_file(&address).unwrap();
    std::os::unix::fs::symlink(standby.socket(), &address).unwrap();
    for again in [12, 13, 14, 15] {
        assert_eq!(give(&fixture, 1, 1).await, [task_id(again)]);
    }
}

#[tokio::test]
async fn an_agent_has_what_it_was_given_whatever_the_tasks_age() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    fixture.save(new_agents([&agent(1, "researcher")])).await;
    fixture.save(new_tasks(&(1..=4).map(task).collect::<Vec<_>>())).await;
    let replica = Fixture::new(database.store().await);
    // Looked at and given by turns, here and elsewhere.
    for (given, fixture) in [(4, &fixture), (2, &replica), (1, &fixture), (3, &replica)] {
        let mut transaction = Steps::begin(fixture).await;
        let (_, before) = holder(&mut transaction, 1).await;
        let row = transaction.load(want([given])).await.unwrap().tasks.remove(0);
        transaction.save(tasks([changed(&step(&row, running(1)))])).await;
        transaction.commit().await;
        let (_, after) = holder(&mut Steps::begin(fixture).await, 1).await;
        assert_eq!(after.len(), before.len() + 1, "{after:?}");
        assert!(after.contains(&task_id(given)));
    }
}

async fn count(fixture: &Fixture, completed: i64, failed: i64) -> Agent {
    let mut transaction = Steps::begin(fixture).await;
    let (before, _) = holder(&mut transaction, 1).await;
    let row = Agent {
        completed: before.completed + completed,
        failed: before.failed + failed,
        version: before.version + 1,
        ..before.clone()
    };
    let changed = Changed { row: row.clone(), expected: before.version };
    transaction.save(ChangeSet { agents: vec![changed], ..ChangeSet::default() }).await;
    transaction.commit().await;
    row
}

/// By several replicas, one of which knows nothing of it, and with all else that happens to an agent.
#[tokio::test]
async fn what_is_added_to_an_agent_counts_wherever_it_stands() {
    let database = Database::new().await;
    let (fixture, replica) = (database.fixture().await, Fixture::new(database.store().await));
    let first = agent(1, "researcher");
    fixture.save(new_agents([&first])).await;
    let mut expected = first.clone();
    for n in 0..600_i64 {
        let (completed, failed) = (i64::from(n % 3 != 0), i64::from(n % 3 == 0));
        let at = if n % 2 == 0 { &fixture } else { &replica };
        expected = Agent {
            completed: expected.completed + completed,
            failed: expected.failed + failed,
            version: expected.version + 1,
            ..expected
        };
        assert_eq!(count(at, completed, failed).await, expected);
        if n == 150 {
            // As a version before this does it.
            database.run("UPDATE agents SET completed = completed + 1, version = version + 1").await;
            expected = Agent { completed: expected.completed + 1, version: expected.version + 1, ..expected };
        }
        if n == 149 {
            // Put together, beside the agent's row.
            assert!((1..=128).contains(&database.number("SELECT count(*) FROM agent_counts").await));
            assert_eq!(database.number("SELECT version FROM agents").await, 1);
        }
        if n == 200 {
            let row = Agent { cordoned: true, version: expected.version + 1, ..expected.clone() };
            let changed = Changed { row: row.clone(), expected: expected.version };
            fixture.save(ChangeSet { agents: vec![changed], ..ChangeSet::default() }).await;
            expected = row;
        }
    }
    assert_eq!(replica.store.agent(NAMESPACE, "researcher").await.unwrap().unwrap().0, expected);
    assert_eq!(holder(&mut Steps::begin(&replica).await, 1).await.0, expected);
    assert!((1..=128).contains(&database.number("SELECT count(*) FROM agent_counts").await));
    // A version that knows nothing of it is not too far behind.
    database.run("UPDATE agent_counts SET versions = versions + 5000").await;
    expected.version += 5_000 * database.number("SELECT count(*) FROM agent_counts").await;
    expected = Agent { completed: expected.completed + 1, version: expected.version + 1, ..expected };
    assert_eq!(count(&fixture, 1, 0).await, expected);
    assert_eq!(database.number("SELECT version FROM agents").await, expected.version);
    assert_eq!(database.number("SELECT count(*) FROM agent_counts").await, 0);
    assert_eq!(count(&fixture, 0, 0).await.version, expected.version + 1);
    expected.version += 1;
    let stale = Changed { row: Agent { version: 9, ..expected.clone() }, expected: 8 };
    assert!(fixture.try_save(ChangeSet { agents: vec![stale], ..ChangeSet::default() }).await.is_err());
    let removed_agents = vec![(NAMESPACE, expected.id)];
    fixture.save(ChangeSet { removed_agents, ..ChangeSet::default() }).await;
    assert_eq!(database.number("SELECT count(*) FROM agent_counts").await, 0);
}

async fn live(fixture: &Fixture) -> i64 {
    let want = Want { live_counts: [NAMESPACE].into(), ..Want::default() };
    fixture.load(want).await.live_counts.first().map_or(0, |(_, live)| *live)
}

/// Whoever counts meanwhile, and however often it is put together.
#[tokio::test]
async fn live_tasks_are_counted_by_all() {
    let database = Database::new().await;
    let (fixture, replica) = (database.fixture().await, Fixture::new(database.store().await));
    // A shard of a version before this.
    database.run("INSERT INTO live_counts (namespace, shard, live) VALUES (7, 5, 2)").await;
    let (mut slow, mut hidden) = (None, 0);
    for n in 0..300 {
        // One is on its way while others put together.
        match n {
            120 => {
                let mut begun = Steps::begin(&fixture).await;
                begun.save(new_tasks([&task(1_000)])).await;
                slow = Some(begun);
            }
            140 => {
                slow.take().unwrap().commit().await;
                hidden = 1;
            }
            _ => {}
        }
        let at = if n % 2 == 0 { &fixture } else { &replica };
        let mut transaction = Steps::begin(at).await;
        let counted = Want { live_counts: [NAMESPACE].into(), ..Want::default() };
        let live = i64::from(n) + 2 + hidden;
        assert_eq!(transaction.load(counted).await.unwrap().live_counts, [(NAMESPACE, live)]);
        transaction.save(new_tasks([&task(n)])).await;
        transaction.commit().await;
    }
    assert_eq!((live(&fixture).await, live(&replica).await), (303, 303));
    assert!(database.number("SELECT count(*) FROM live_counts").await < 140);
}

/// Pages that were looked at, since the database was made.
async fn pages(database: &Database) -> i64 {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    // What other connections counted is there when they are closed.
    let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() \
                  AND backend_xmin IS NULL";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut connection).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    let looked_at = "SELECT sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0))::bigint \
                     FROM pg_statio_user_tables";
    sqlx::query_scalar(looked_at).fetch_one(&mut connection).await.unwrap()
}

/// What an agent that claims does: it is given a task, ends it, and another one comes.
async fn lives(database: &Database, numbers: std::ops::Range<u32>) {
    let fixture = database.fixture().await;
    for n in numbers {
        let mut transaction = Steps::begin(&fixture).await;
        let (before, _) = holder(&mut transaction, 1).await;
        let row = ready(&mut transaction, 1).await.remove(0);
        transaction.save(tasks([changed(&step(&row, running(1)))])).await;
        transaction.commit().await;
        let mut transaction = Steps::begin(&fixture).await;
        let agents = [(NAMESPACE, "researcher".into())].into();
        let counted = Want { agents, live_counts: [NAMESPACE].into(), ..Want::default() };
        let loaded = transaction.load(counted).await.unwrap();
        assert_eq!(loaded.leases.len(), 1);
        let leased = transaction.load(Want { tasks: [(NAMESPACE, row.id)].into(), ..Want::default() }).await.unwrap();
        let ended = step(&leased.tasks[0], completed(i64::from(n)));
        let agent = Agent { completed: before.completed + 1, version: before.version + 1, ..before.clone() };
        let changes = ChangeSet {
            agents: vec![Changed { row: agent, expected: before.version }],
            events: vec![Event { task: row.id, ..event(n, 2) }],
            ..tasks([changed(&ended), new(&task_with(n, TaskSpec { description: "more".into(), ..spec() }))])
        };
        transaction.save(changes).await;
        transaction.commit().await;
        assert_eq!(fixture.store.ready_lanes(10).await.unwrap().len(), 1);
        assert!(fixture.store.due(at(2_000_000_000), None, 10).await.unwrap().tasks.is_empty());
    }
    fixture.store.close().await;
}

/// A row version and an index entry that a snapshot might still see stay for as long as it is held.
#[tokio::test]
async fn the_work_does_not_grow_while_a_snapshot_is_held() {
    let database = Database::new().await;
    let fixture = database.fixture().await;
    fixture.save(new_agents([&agent(1, "researcher")])).await;
    let first: Vec<Task> = (0..20).map(task).collect();
    fixture.save(ChangeSet { lanes: vec![lane("research")], ..new_tasks(&first) }).await;
    // So many that the planner knows what is few.
    let ended = |n| Task { state: completed(1), started_at: Some(at(0)), ..task(n) };
    fixture.save(new_tasks(&(10_000..14_000).map(ended).collect::<Vec<_>>())).await;
    fixture.store.close().await;
    database.run("ANALYZE").await;
    let pin = callboard_test_postgres::shared().pin(&database.url).await;
    let mut looked_at = vec![pages(&database).await];
    for numbers in [20..120, 120..220, 220..620, 620..720] {
        lives(&database, numbers).await;
        looked_at.push(pages(&database).await);
    }
    pin.release().await;
    let (early, late) = (looked_at[2] - looked_at[1], looked_at[4] - looked_at[3]);
    // A store that begins looks at everything once.
    assert!(late < early * 3 / 2, "{early} pages for 100 lives, and {late} when there had been 600");
}
