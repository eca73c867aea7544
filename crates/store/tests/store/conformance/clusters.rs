//! What replicas that share a store know of each other.

use super::samples::*;
use callboard_core::command::{Fence, StopReason};
use callboard_core::model::task::{Cancelling, TaskState};
use callboard_core::model::{LeaseToken, Task, Timestamp};
use callboard_core::working_set::ChangeSet;
use callboard_store::Cursor;
use callboard_store::cluster::{Cluster, Hint, ResumedHint, SessionNow, StopHint, StopPage};
use std::collections::BTreeSet;

fn cluster(fixture: &Fixture) -> &dyn Cluster {
    fixture.store.cluster().expect("a store for several replicas")
}

/// Of renewing and declaring dead, one succeeds; who is dead stays so.
pub async fn who_renews_is_not_declared_dead(fixture: Fixture) {
    let cluster = cluster(&fixture);
    cluster.register("a").await.unwrap();
    cluster.register("b").await.unwrap();
    assert!(cluster.register("a").await.is_err(), "a name is used once");
    let seen = cluster.registrations().await.unwrap();
    assert_eq!(seen.iter().map(|r| (&*r.name, r.dead)).collect::<Vec<_>>(), [("a", false), ("b", false)]);
    assert!(seen.iter().all(|registration| registration.current), "they are of this version");
    assert!(cluster.renew("a").await.unwrap());
    assert!(!cluster.declare_dead("a", seen[0].beat).await.unwrap(), "it renewed since");
    assert!(cluster.declare_dead("b", seen[1].beat).await.unwrap());
    assert!(!cluster.renew("b").await.unwrap());
    assert!(cluster.declare_dead("b", 0).await.unwrap(), "it is dead, whatever was seen");
    cluster.resign("a").await.unwrap();
    assert!(!cluster.renew("a").await.unwrap());
    assert!(!cluster.renew("c").await.unwrap(), "nobody");
    cluster.forget("a").await.unwrap();
    assert_eq!(cluster.registrations().await.unwrap().iter().map(|r| &*r.name).collect::<Vec<_>>(), ["b"]);
    cluster.register("c").await.unwrap();
    cluster.forget("c").await.unwrap();
    assert!(cluster.renew("c").await.unwrap(), "only the dead are forgotten");
}

/// Where agents find a replica is said by itself alone, and taken back.
pub async fn where_replicas_are(fixture: Fixture) {
    let cluster = cluster(&fixture);
    for name in ["a", "b"] {
        cluster.register(name).await.unwrap();
    }
    let addresses = async || -> Vec<Option<String>> {
        cluster.registrations().await.unwrap().into_iter().map(|registration| registration.address).collect()
    };
    assert_eq!(addresses().await, [None, None]);
    cluster.advertise("a", Some("https://a.example:7470")).await.unwrap();
    assert_eq!(addresses().await, [Some("https://a.example:7470".to_owned()), None]);
    assert!(cluster.renew("a").await.unwrap());
    assert_eq!(addresses().await[0].as_deref(), Some("https://a.example:7470"));
    cluster.advertise("a", None).await.unwrap();
    assert_eq!(addresses().await, [None, None]);
}

/// Leased to an agent, and to stop.
fn to_stop(agent: u32) -> TaskState {
    let cancelling = Some(Cancelling { since: at(9), reason: "not \"cancelling\":{ wanted".into() });
    TaskState::Running { lease: lease(agent), heard_at: at(60), cancelling }
}

/// Tasks that have ended, and those that are to stop.
pub async fn what_ended_and_what_is_to_stop(fixture: Fixture) {
    let cluster = cluster(&fixture);
    let rows = [task(1), task(2), task(3)];
    fixture.save(new_tasks(&rows)).await;
    let ended = step(&task(1), completed(4));
    let runs = step(&task(2), running(1));
    let stops = step(&task(3), to_stop(1));
    fixture.save(tasks([changed(&ended), changed(&runs), changed(&stops)])).await;
    let asked = [(NAMESPACE, task_id(1)), (NAMESPACE, task_id(2)), (OTHER, task_id(1)), (NAMESPACE, task_id(9))];
    assert_eq!(cluster.ended_of(&asked).await.unwrap(), [(NAMESPACE, task_id(1))]);
    assert_eq!(cluster.stopping(None, 10).await.unwrap(), StopPage { tasks: vec![stops], next: None });
    assert_eq!(cluster.stopping(None, 0).await.unwrap(), StopPage::default());
}

/// All that is to stop from a place on, by pages of so many.
async fn to_stop_in_pages_of(cluster: &dyn Cluster, limit: usize) -> Vec<Task> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = cluster.stopping(after, limit).await.unwrap();
        assert!(page.tasks.len() <= limit);
        found.extend(page.tasks);
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

/// Tasks that are to stop come by namespace, agent and id, each once, wherever a page ends.
pub async fn what_is_to_stop_in_pages(fixture: Fixture) {
    let cluster = cluster(&fixture);
    let leased = |n: u32| {
        let namespace = if n.is_multiple_of(5) { OTHER } else { NAMESPACE };
        let agent = 1 + n % 3;
        let state = if n.is_multiple_of(4) { running(agent) } else { to_stop(agent) };
        Task { namespace, state, ..task(n) }
    };
    let rows: Vec<Task> = (0..40).map(leased).collect();
    fixture.save(new_tasks(&rows)).await;
    let mut stops: Vec<Task> = rows.into_iter().filter(|row| row.state.cancelling().is_some()).collect();
    stops.sort_by_key(|row| (row.namespace, row.state.lease().map(|lease| lease.agent), row.id));
    assert_eq!(stops.len(), 30);
    for limit in [1, 4, 7, 30, 100] {
        assert_eq!(to_stop_in_pages_of(cluster, limit).await, stops, "{limit} at a time");
    }
    // A place is one also when its task has ended.
    let first = cluster.stopping(None, 7).await.unwrap();
    assert_eq!(first.tasks, stops[..7]);
    fixture.save(tasks([changed(&step(&stops[6], completed(9)))])).await;
    let others = cluster.stopping(first.next, 100).await.unwrap();
    assert_eq!(others, StopPage { tasks: stops[7..].to_vec(), next: None });
}

/// Sessions by their agents' ids.
pub async fn sessions_as_they_are_now(fixture: Fixture) {
    let cluster = cluster(&fixture);
    let row = agent(1, "ann");
    let agents = vec![callboard_core::working_set::Changed { row: row.clone(), expected: 0 }];
    fixture.save(ChangeSet { agents, ..ChangeSet::default() }).await;
    let asked = [(NAMESPACE, agent_id(1)), (NAMESPACE, agent_id(2)), (OTHER, agent_id(1))];
    let now = SessionNow { agent: row.id, epoch: row.epoch, session: row.session };
    assert_eq!(cluster.sessions_of(&asked).await.unwrap(), [now]);
}

/// New events are told of until a look began behind them; then there is nothing new, however often one looks.
pub async fn news_of_events(fixture: Fixture) {
    let cluster = cluster(&fixture);
    let before = cluster.news(Cursor::default()).await.unwrap().end;
    fixture.save(ChangeSet { events: vec![event(1, 1)], ..new_tasks(&[task(1)]) }).await;
    let after = cluster.news(before).await.unwrap();
    assert!(after.any, "something happened to a task");
    // Other transactions of the same PostgreSQL may hold the horizon for a moment.
    let mut quiet = cluster.news(after.end).await.unwrap();
    while quiet.any {
        quiet = cluster.news(quiet.end).await.unwrap();
    }
    assert_eq!(cluster.registrations().await.unwrap(), []);
    cluster.register("a").await.unwrap();
    assert!(cluster.renew("a").await.unwrap());
    assert!(!cluster.news(quiet.end).await.unwrap().any, "a renewal is no event");
}

/// The store's own clock, if it has one, goes on.
pub async fn time_of_day(fixture: Fixture) {
    let cluster = cluster(&fixture);
    let Some(before) = cluster.now().await.unwrap() else { return };
    let year_2026 = Timestamp(1_767_225_600_000_000);
    assert!(before > year_2026);
    while cluster.now().await.unwrap() == Some(before) {}
    assert!(cluster.now().await.unwrap() > Some(before));
}

/// A hint comes as it was told, in parts, to everyone.
pub async fn hints_are_heard(fixture: Fixture) {
    let cluster = cluster(&fixture);
    let mut listeners = [cluster.listen().await.unwrap(), cluster.listen().await.unwrap()];
    let stop = StopHint {
        agent: agent_id(1),
        fence: Fence { task: task_id(1), attempt: 3, token: LeaseToken(u128::MAX) },
        reason: StopReason::LeaseLost,
        message: TEXT.into(),
    };
    let tasks: BTreeSet<_> = (0..500).map(|n| (NAMESPACE, task_id(n))).collect();
    let hint = Hint {
        from: "a".into(),
        tasks: tasks.clone(),
        agents: [(NAMESPACE, agent_id(1))].into(),
        stops: vec![stop.clone()],
        resumed: [ResumedHint { agent: agent_id(1), task: (NAMESPACE, task_id(2)) }].into(),
        ..Hint::default()
    };
    for listener in &mut listeners {
        let mut heard = Hint { from: "a".into(), ..Hint::default() };
        // A listener that is not there yet hears nothing: it is told again until it is.
        while heard.tasks != tasks {
            cluster.tell(&hint).await.unwrap();
            let more = tokio::time::timeout(std::time::Duration::from_millis(100), listener.recv()).await;
            heard.merge(more.ok().flatten().unwrap_or_default());
            heard.everything = false;
            while let Ok(more) = listener.try_recv() {
                heard.merge(more);
            }
        }
        assert_eq!((&heard.agents, &heard.resumed), (&hint.agents, &hint.resumed));
        assert_eq!(heard.stops.first(), Some(&stop));
    }
}
