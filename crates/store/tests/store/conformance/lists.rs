//! Pages of tasks.

use super::samples::*;
use callboard_core::model::task::TaskState;
use callboard_core::model::{Payload, StateName, Task, TaskSpec};
use callboard_core::working_set::PayloadValue;
use callboard_store::TaskFilter;
use std::sync::Arc;

/// Every task of a list, by pages of `limit`, as their numbers.
async fn list(fixture: &Fixture, filter: &TaskFilter, limit: usize) -> Vec<u32> {
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = fixture.store.tasks(NAMESPACE, filter, before, limit).await.unwrap();
        assert!(page.tasks.len() <= limit);
        found.extend(page.tasks.iter().map(|task| (task.id.0.as_u128() - task_id(0).0.as_u128()) as u32));
        match page.next {
            Some(next) => {
                assert!(before.is_none_or(|before| next < before), "a page goes on below the one before");
                before = Some(next);
            }
            None => return found,
        }
    }
}

async fn assert_list(fixture: &Fixture, filter: TaskFilter, expected: &[u32]) {
    for limit in [1, 2, 100] {
        assert_eq!(list(fixture, &filter, limit).await, expected, "{filter:?} in pages of {limit}");
    }
}

/// The highest id first; a page knows whether there is another.
pub async fn newest_first_in_pages(fixture: Fixture) {
    assert_list(&fixture, TaskFilter::default(), &[]).await;
    let rows: Vec<Task> = (1..=10).map(task).collect();
    fixture.save(new_tasks(&rows)).await;
    assert_list(&fixture, TaskFilter::default(), &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]).await;
    let page = fixture.store.tasks(NAMESPACE, &TaskFilter::default(), None, 10).await.unwrap();
    assert_eq!(page.next, None);
    assert_eq!(page.tasks[0], rows[9]);
    let page = fixture.store.tasks(NAMESPACE, &TaskFilter::default(), Some(task_id(3)), 1).await.unwrap();
    assert_eq!((page.tasks[0].id, page.next), (task_id(2), Some(task_id(2))));
}

async fn one_of_each_state(fixture: &Fixture) {
    let states = [
        waiting(),
        TaskState::Ready { since: at(1) },
        TaskState::Assigned { lease: lease(1), ready_since: at(1) },
        running(1),
        paused(1, None),
        completed(1),
        TaskState::Failed { at: at(1) },
        TaskState::Cancelled { at: at(1) },
        TaskState::Skipped { at: at(1) },
    ];
    let rows: Vec<Task> = (0..).zip(states).map(|(n, state)| Task { state, ..task(n) }).collect();
    fixture.save(new_tasks(&rows)).await;
}

/// One state, or any of several.
pub async fn by_state(fixture: Fixture) {
    one_of_each_state(&fixture).await;
    for (n, state) in (0..).zip(StateName::ALL) {
        assert_list(&fixture, TaskFilter { states: vec![state], ..TaskFilter::default() }, &[n]).await;
    }
    let states = |states: &[StateName]| TaskFilter { states: states.to_vec(), ..TaskFilter::default() };
    use StateName::*;
    assert_list(&fixture, states(&[Running, Waiting]), &[3, 0]).await;
    assert_list(&fixture, states(&[Paused, Running]), &[4, 3]).await;
    assert_list(&fixture, states(&[Skipped, Failed]), &[8, 6]).await;
    assert_list(&fixture, states(&[Completed, Failed, Ready]), &[6, 5, 1]).await;
    assert_list(&fixture, states(&[Failed, Paused]), &[6, 4]).await;
    assert_list(&fixture, states(&StateName::ALL), &[8, 7, 6, 5, 4, 3, 2, 1, 0]).await;
}

/// By type; by the agent that has it, or had it last.
pub async fn by_type_and_agent(fixture: Fixture) {
    let of = |n, task_type: &str, agent: Option<&str>| {
        let spec = TaskSpec { task_type: task_type.into(), ..spec() };
        Task { agent_name: agent.map(Into::into), ..task_with(n, spec) }
    };
    let rows = [of(1, "a", None), of(2, "b", Some("x")), of(3, "a", Some("x")), of(4, "a", Some("y"))];
    fixture.save(new_tasks(&rows)).await;
    let types = |name: &str| TaskFilter { task_type: Some(name.into()), ..TaskFilter::default() };
    assert_list(&fixture, types("a"), &[4, 3, 1]).await;
    assert_list(&fixture, types("A"), &[]).await;
    let agent = |name: &str| TaskFilter { agent: Some(name.into()), ..TaskFilter::default() };
    assert_list(&fixture, agent("x"), &[3, 2]).await;
    let both = TaskFilter { task_type: Some("a".into()), ..agent("x") };
    assert_list(&fixture, both, &[3]).await;
}

/// Every task that has or had the key.
pub async fn by_key(fixture: Fixture) {
    let keyed = |n, key: Option<&str>| task_with(n, TaskSpec { key: key.map(Into::into), ..spec() });
    let ended = |row: Task| Task { state: completed(1), ..row };
    let rows = [
        ended(keyed(1, Some("k"))),
        ended(keyed(2, Some("k"))),
        keyed(3, Some("k")),
        keyed(4, None),
        keyed(5, Some("l")),
    ];
    fixture.save(new_tasks(&rows)).await;
    let key = |key: &str| TaskFilter { key: Some(key.into()), ..TaskFilter::default() };
    assert_list(&fixture, key("k"), &[3, 2, 1]).await;
    assert_list(&fixture, key("none"), &[]).await;
    assert_list(&fixture, TaskFilter { states: vec![StateName::Completed], ..key("k") }, &[2, 1]).await;
}

/// All of the tags.
pub async fn by_tags(fixture: Fixture) {
    let tagged = |n, tags: &[&str]| {
        task_with(n, TaskSpec { tags: tags.iter().map(|tag| (*tag).to_owned()).collect(), ..spec() })
    };
    let rows =
        [tagged(1, &["a"]), tagged(2, &["a", "b"]), tagged(3, &["b"]), tagged(4, &["a", "b", "c"]), tagged(5, &[])];
    fixture.save(new_tasks(&rows)).await;
    let tags = |tags: &[&str]| TaskFilter {
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        ..TaskFilter::default()
    };
    assert_list(&fixture, tags(&["a"]), &[4, 2, 1]).await;
    assert_list(&fixture, tags(&["b", "a"]), &[4, 2]).await;
    assert_list(&fixture, tags(&["c", "a", "b"]), &[4]).await;
    assert_list(&fixture, tags(&["a", "a"]), &[4, 2, 1]).await;
    assert_list(&fixture, tags(&["d"]), &[]).await;
}

/// From a time on, and up to before one.
pub async fn by_time(fixture: Fixture) {
    fixture.save(new_tasks(&(1..=5).map(task).collect::<Vec<_>>())).await;
    let time = |from: Option<i64>, before: Option<i64>| TaskFilter {
        created_from: from.map(at),
        created_before: before.map(at),
        ..TaskFilter::default()
    };
    assert_list(&fixture, time(Some(4), None), &[5, 4]).await;
    assert_list(&fixture, time(None, Some(3)), &[2, 1]).await;
    assert_list(&fixture, time(Some(2), Some(4)), &[3, 2]).await;
    assert_list(&fixture, time(Some(4), Some(2)), &[]).await;
}

/// The last digits of the id.
pub async fn by_the_end_of_the_id(fixture: Fixture) {
    fixture.save(new_tasks(&[task(0x1a), task(0x2a), task(0x1b), task(0x11a)])).await;
    let suffix = |suffix: &str| TaskFilter { id_suffix: Some(suffix.into()), ..TaskFilter::default() };
    assert_list(&fixture, suffix("a"), &[0x11a, 0x2a, 0x1a]).await;
    assert_list(&fixture, suffix("1a"), &[0x11a, 0x1a]).await;
    assert_list(&fixture, suffix("11a"), &[0x11a]).await;
    let whole = task_id(0x2a).0.simple().to_string();
    assert_list(&fixture, suffix(&whole), &[0x2a]).await;
    assert_list(&fixture, suffix(&format!("0{whole}")), &[]).await;
    assert_list(&fixture, suffix("%a"), &[]).await;
    assert_list(&fixture, suffix(""), &[0x11a, 0x2a, 0x1b, 0x1a]).await;
}

/// All conditions at once.
pub async fn conditions_hold_together(fixture: Fixture) {
    let tags: std::collections::BTreeSet<String> = ["t".into(), "u".into()].into();
    let spec = TaskSpec { key: Some("k".into()), tags, ..spec() };
    let row = Task { agent_name: Some("x".into()), state: running(1), ..task_with(7, spec) };
    let others: Vec<Task> = (1..=5).map(task).collect();
    fixture.save(new_tasks(others.iter().chain([&row]))).await;
    let all = TaskFilter {
        states: vec![StateName::Running, StateName::Ready],
        task_type: Some("research".into()),
        agent: Some("x".into()),
        key: Some("k".into()),
        tags: vec!["t".into(), "u".into()],
        created_from: Some(at(7)),
        created_before: Some(at(8)),
        id_suffix: Some("7".into()),
    };
    assert_list(&fixture, all.clone(), &[7]).await;
    let but_one = [
        TaskFilter { states: vec![StateName::Failed], ..all.clone() },
        TaskFilter { task_type: Some("x".into()), ..all.clone() },
        TaskFilter { agent: Some("y".into()), ..all.clone() },
        TaskFilter { key: Some("l".into()), ..all.clone() },
        TaskFilter { tags: vec!["t".into(), "v".into()], ..all.clone() },
        TaskFilter { created_from: Some(at(8)), ..all.clone() },
        TaskFilter { created_before: Some(at(7)), ..all.clone() },
        TaskFilter { id_suffix: Some("8".into()), ..all },
    ];
    for filter in but_one {
        assert_list(&fixture, filter, &[]).await;
    }
}

/// Tags that were taken off or added by an update.
pub async fn tags_follow_the_spec(fixture: Fixture) {
    let tagged = |version, tags: &[&str]| {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        Task { version, ..task_with(1, TaskSpec { tags, ..spec() }) }
    };
    fixture.save(new_tasks(&[tagged(1, &["a", "b"])])).await;
    let mut change = changed(&tagged(2, &["b", "c"]));
    change.spec_changed = true;
    fixture.save(tasks([change])).await;
    for (tag, expected) in [("a", &[] as &[u32]), ("b", &[1]), ("c", &[1])] {
        assert_list(&fixture, TaskFilter { tags: vec![tag.into()], ..TaskFilter::default() }, expected).await;
    }
}

/// In the order asked for, without those that don't exist.
pub async fn hydrated_tasks_come_as_asked(fixture: Fixture) {
    fixture.save(new_tasks(&[task(1), task(2), task(3)])).await;
    let checkpoint = Arc::new(Payload::text("half-way"));
    let payloads = vec![write((NAMESPACE, task_id(2)), PayloadValue::Checkpoint(checkpoint.clone()))];
    fixture.save(callboard_core::ChangeSet { payloads, ..Default::default() }).await;
    let asked = [3, 9, 2, 1].map(|n| (NAMESPACE, task_id(n)));
    let found = fixture.store.hydrate(&asked).await.unwrap();
    assert_eq!(found.iter().map(|hydrated| hydrated.task).collect::<Vec<_>>(), [3, 2, 1].map(task_id));
    assert_eq!(found[1].checkpoint, Some(checkpoint));
    assert_eq!((&*found[0].input, &found[0].checkpoint), (&Payload::text(&task_id(3).to_string()), &None));
    assert!(fixture.store.hydrate(&[]).await.unwrap().is_empty());
}
