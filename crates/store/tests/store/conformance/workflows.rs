//! Workflows and their tasks.

use super::samples::*;
use callboard_core::model::task::Cancelling;
use callboard_core::model::{
    Edge, Errand, Event, Held, Round, StateName, Tally, Task, TaskId, TaskSpec, Walk, Workflow, WorkflowId,
    WorkflowLink, WorkflowSpec, WorkflowState, WorkflowTask,
};
use callboard_core::working_set::{ChangeSet, Changed, Want, WorkflowRef};
use callboard_store::Error;
use std::sync::Arc;
use uuid::Uuid;

fn id(n: u32) -> WorkflowId {
    WorkflowId(Uuid::from_u128(u128::from(n)))
}

fn at_place(n: u32) -> WorkflowRef {
    (NAMESPACE, id(n))
}

/// A workflow that runs.
pub fn workflow(n: u32, name: &str, tasks: u32) -> Workflow {
    Workflow {
        namespace: NAMESPACE,
        id: id(n),
        spec: Arc::new(WorkflowSpec {
            name: name.into(),
            description: String::new(),
            tags: [].into(),
            metadata: [].into(),
            headers: [].into(),
        }),
        tally: Tally { tasks, weight: u64::from(tasks), ..Tally::default() },
        cancelling: None,
        held: None,
        walk: None,
        created_by: "anonymous".into(),
        created_at: at(i64::from(n)),
        ended_at: None,
        version: 1,
    }
}

/// It, held: its row's next version.
pub fn held(workflow: &Workflow) -> Workflow {
    let held = Some(Held { since: at(9), reason: String::new() });
    Workflow { held, version: workflow.version + 1, ..workflow.clone() }
}

fn ended(workflow: &Workflow, seconds: i64) -> Workflow {
    let tally = Tally { completed: workflow.tally.tasks, done: workflow.tally.weight, ..workflow.tally };
    Workflow { tally, ended_at: Some(at(seconds)), version: workflow.version + 1, ..workflow.clone() }
}

/// As a change.
pub fn written(row: &Workflow) -> ChangeSet {
    let workflows = vec![Changed { row: row.clone(), expected: row.version - 1 }];
    ChangeSet { workflows, ..ChangeSet::default() }
}

/// Tasks of a workflow in the order of their ordinals, called by their numbers.
fn places(workflow: u32, tasks: &[u32]) -> Vec<WorkflowTask> {
    let place = |(ordinal, n): (u32, &u32)| WorkflowTask {
        namespace: NAMESPACE,
        workflow: id(workflow),
        ordinal,
        task: task_id(*n),
        name: Some(format!("t{n}").into()),
    };
    (0..).zip(tasks).map(place).collect()
}

/// A workflow of these tasks, which live.
async fn create(fixture: &Fixture, n: u32, tasks: &[u32]) -> Workflow {
    let row = workflow(n, "report", u32::try_from(tasks.len()).unwrap());
    let rows: Vec<Task> = tasks.iter().map(|task| task_of(*task, n)).collect();
    let workflow_tasks = places(n, tasks);
    let workflows = written(&row).workflows;
    fixture.save(ChangeSet { workflows, workflow_tasks, ..new_tasks(&rows) }).await;
    row
}

fn task_of(n: u32, workflow: u32) -> Task {
    let link = WorkflowLink { name: Some(TEXT.into()), weight: 7, ..WorkflowLink::of_child(id(workflow)) };
    task_with(n, TaskSpec { workflow: Some(Box::new(link)), ..spec() })
}

async fn end_task(fixture: &Fixture, task: &Task, seconds: i64) {
    let over = step(task, completed(seconds));
    let number = u32::try_from(task.id.0.as_u128() & u128::from(u32::MAX)).unwrap();
    let last = Event { at: at(seconds), state: StateName::Completed, ..event(number, over.version) };
    fixture.save(ChangeSet { events: vec![last], ..tasks([changed(&over)]) }).await;
}

/// Whatever a workflow's row holds comes back as it was, new and changed; so does what its tasks' specs say of it.
pub async fn every_field_of_a_workflow(fixture: Fixture) {
    let spec = WorkflowSpec {
        name: TEXT.into(),
        description: TEXT.repeat(50),
        tags: [TEXT.to_owned(), "b".to_owned()].into(),
        metadata: [(TEXT.to_owned(), TEXT.to_owned())].into(),
        headers: [(TEXT.to_owned(), TEXT.to_owned())].into(),
    };
    let tally = Tally {
        tasks: u32::MAX,
        completed: 1,
        failed: 2,
        cancelled: 3,
        skipped: 4,
        faults: 5,
        weight: u64::MAX,
        done: 6,
    };
    let row = Workflow { spec: Arc::new(spec), tally, created_by: TEXT.into(), ..workflow(1, "", 1) };
    fixture.save(written(&row)).await;
    assert_eq!(fixture.store.workflow(at_place(1)).await.unwrap(), Some(row.clone()));
    let rounds = [(true, None), (false, Some(Round::first(at(7))))];
    let retries = rounds.map(|(cancelled, round)| Errand::Retry { cancelled, round });
    for errand in [Errand::Cancel, Errand::Hold, Errand::Release].into_iter().chain(retries) {
        let now = fixture.store.workflow(at_place(1)).await.unwrap().unwrap();
        let changed = Workflow {
            cancelling: Some(Cancelling { since: at(9), reason: TEXT.into() }),
            held: (errand == Errand::Hold).then(|| Held { since: at(8), reason: TEXT.into() }),
            walk: Some(Walk { errand, next: u32::MAX }),
            ended_at: Some(at(10)),
            tally: Tally { completed: now.tally.completed + 1, ..now.tally },
            version: now.version + 1,
            ..now
        };
        fixture.save(written(&changed)).await;
        assert_eq!(fixture.store.workflow(at_place(1)).await.unwrap(), Some(changed.clone()));
        let want = Want { workflows: [at_place(1), at_place(2)].into(), ..Want::default() };
        assert_eq!(fixture.load(want).await.workflows, [changed]);
    }
    let task = task_of(11, 1);
    fixture.save(new_tasks([&task])).await;
    let found = fixture.load(Want { tasks: [(NAMESPACE, task.id)].into(), ..Want::default() }).await;
    assert_eq!(found.tasks[0].spec.workflow, task.spec.workflow);
    assert_eq!(fixture.store.workflow((OTHER, id(1))).await.unwrap(), None);
}

/// Tasks are wanted by a range of ordinals, and come with their rows.
pub async fn tasks_of_a_workflow_as_wanted(fixture: Fixture) {
    create(&fixture, 1, &[13, 11, 12]).await;
    create(&fixture, 2, &[21]).await;
    let want = Want { workflow_tasks: [(at_place(1), 1..3), (at_place(2), 0..9)].into(), ..Want::default() };
    let mut found = fixture.load(want).await;
    found.workflow_tasks.sort_by_key(|row| (row.workflow, row.ordinal));
    assert_eq!(found.workflow_tasks, [places(1, &[13, 11, 12])[1..].to_vec(), places(2, &[21])].concat());
    found.tasks.sort_by_key(|task| task.id);
    let rows: Vec<_> = found.tasks.iter().map(|task| task.id).collect();
    assert_eq!(rows, [task_id(11), task_id(12), task_id(21)]);
}

/// Tasks are wanted by their names, and their rows don't come with them. A child has no name.
pub async fn tasks_of_a_workflow_by_their_names(fixture: Fixture) {
    create(&fixture, 1, &[11, 12, 13]).await;
    create(&fixture, 2, &[21, 22]).await;
    let child = WorkflowTask { ordinal: 3, name: None, ..places(1, &[14])[0].clone() };
    fixture.save(ChangeSet { workflow_tasks: vec![child], ..new_tasks([&task_of(14, 1)]) }).await;
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
    let wanted = [(at_place(1), names(&["t13", "t11", "t21", "nobody"])), (at_place(2), names(&["t12", "t22"]))];
    let mut found = fixture.load(Want { workflow_names: wanted.into(), ..Want::default() }).await;
    found.workflow_names.sort_by_key(|row| (row.workflow, row.ordinal));
    let (one, two) = (places(1, &[11, 12, 13]), places(2, &[21, 22]));
    assert_eq!(found.workflow_names, [one[0].clone(), one[2].clone(), two[1].clone()]);
    assert!(found.tasks.is_empty() && found.workflow_tasks.is_empty());
    let many = (0..10_000).map(|n| Arc::from(format!("t{n}"))).collect();
    let found = fixture.load(Want { workflow_names: [(at_place(1), many)].into(), ..Want::default() }).await;
    assert_eq!(found.workflow_names.len(), 3);
}

/// A workflow is written by who saw its last version; a place is taken once. What is refused changes nothing.
pub async fn a_conflict_in_a_workflow_changes_nothing(fixture: Fixture) {
    let row = create(&fixture, 1, &[11]).await;
    let next = ended(&row, 5);
    fixture.save(written(&next)).await;
    for stale in [written(&next), written(&row), written(&Workflow { version: 9, ..row.clone() })] {
        let refused = fixture.try_save(stale).await.unwrap_err();
        assert!(matches!(refused, Error::Conflict(_) | Error::Data(_)), "{refused:?}");
        assert_eq!(fixture.store.workflow(at_place(1)).await.unwrap(), Some(next.clone()));
    }
    let taken = ChangeSet { workflow_tasks: places(1, &[12]), ..ChangeSet::default() };
    assert!(fixture.try_save(taken).await.is_err());
    let mut transaction = fixture.store.begin().await.unwrap();
    transaction.save(&written(&workflow(2, "gone", 1)), &fixture.settings).await.unwrap();
    transaction.roll_back().await;
    assert_eq!(fixture.store.workflow(at_place(2)).await.unwrap(), None);
}

/// Newest first, in pages, of a name or of any.
pub async fn workflows_newest_first_in_pages(fixture: Fixture) {
    for (n, name) in [(1, "a"), (2, "b"), (3, "a"), (4, "ab")] {
        fixture.save(written(&workflow(n, name, 1))).await;
    }
    for (name, before, limit, expected) in [
        (None, None, 10, vec![4, 3, 2, 1]),
        (None, None, 2, vec![4, 3]),
        (None, Some(3), 10, vec![2, 1]),
        (Some("a"), None, 10, vec![3, 1]),
        (Some("a"), Some(3), 10, vec![1]),
        (Some("c"), None, 10, vec![]),
    ] {
        let found = fixture.store.workflows(NAMESPACE, name, before.map(id), limit).await.unwrap();
        let found: Vec<_> = found.iter().map(|row| row.id).collect();
        assert_eq!(found, expected.into_iter().map(id).collect::<Vec<_>>(), "{name:?} {before:?} {limit}");
    }
    assert!(fixture.store.workflows(OTHER, None, None, 10).await.unwrap().is_empty());
}

/// By ordinal, with all edges to them, from inside and outside of the workflow.
pub async fn pages_of_a_workflows_tasks(fixture: Fixture) {
    create(&fixture, 1, &[11, 12, 13]).await;
    fixture.save(new_tasks([&task(1)])).await;
    let edges = vec![edge(11, 12, 1), edge(11, 13, 1), edge(1, 13, 0)];
    fixture.save(ChangeSet { edges: edges.clone(), ..ChangeSet::default() }).await;
    for (from, limit, expected, next, of_edges) in [
        (0, 2, vec![11, 12], Some(2), vec![0]),
        (2, 2, vec![13], None, vec![2, 1]),
        (0, 3, vec![11, 12, 13], None, vec![0, 2, 1]),
        (3, 3, vec![], None, vec![]),
    ] {
        let page = fixture.store.workflow_page(at_place(1), from, limit).await.unwrap();
        let found: Vec<_> = page.tasks.iter().map(|(place, row)| (place.task, row.id)).collect();
        let expected: Vec<_> = expected.into_iter().map(|n| (task_id(n), task_id(n))).collect();
        assert_eq!((found, page.next), (expected, next), "{from} {limit}");
        let expected: Vec<_> = of_edges.into_iter().map(|n: usize| (edges[n].source, edges[n].target)).collect();
        assert_eq!(page.edges.iter().map(|edge| (edge.source, edge.target)).collect::<Vec<_>>(), expected);
    }
}

/// Those of which something is still to be carried out.
pub async fn workflows_that_are_walked_over(fixture: Fixture) {
    fixture.save(written(&workflow(1, "a", 1))).await;
    for n in [3, 2] {
        let walk = Some(Walk { errand: Errand::Cancel, next: n });
        fixture.save(written(&Workflow { walk, ..workflow(n, "a", 1) })).await;
    }
    assert_eq!(fixture.store.walking_workflows(1).await.unwrap(), [at_place(2)]);
    assert_eq!(fixture.store.walking_workflows(9).await.unwrap(), [at_place(2), at_place(3)]);
    let done = Workflow { version: 2, ..workflow(2, "a", 1) };
    fixture.save(written(&done)).await;
    assert_eq!(fixture.store.walking_workflows(9).await.unwrap(), [at_place(3)]);
}

/// A workflow that runs keeps its tasks; with the last of them it may go, when it ended long enough ago.
pub async fn a_workflow_is_forgotten_behind_its_tasks(fixture: Fixture) {
    let row = create(&fixture, 1, &[11, 12]).await;
    for n in [11, 12] {
        end_task(&fixture, &task_of(n, 1), 10).await;
    }
    let tasks = [(NAMESPACE, task_id(11)), (NAMESPACE, task_id(12))];
    assert!(fixture.store.forgettable_tasks(&tasks, at(50)).await.unwrap().is_empty());
    assert_eq!(fixture.store.forget_tasks(&tasks, at(50)).await.unwrap().tasks, 0, "the workflow runs");

    let over = ended(&row, 20);
    assert_eq!(over.state(), WorkflowState::Completed);
    fixture.save(written(&over)).await;
    assert_eq!(fixture.store.purge_workflows(at(50), 9).await.unwrap(), 0, "it has tasks");
    assert_eq!(fixture.store.forget_tasks(&tasks[..1], at(50)).await.unwrap().tasks, 1);
    let page = fixture.store.workflow_page(at_place(1), 0, 9).await.unwrap();
    assert_eq!(page.tasks.iter().map(|(place, _)| place.ordinal).collect::<Vec<_>>(), [1]);
    let want = Want { workflow_tasks: [(at_place(1), 0..2)].into(), ..Want::default() };
    assert_eq!(fixture.load(want).await.workflow_tasks, places(1, &[11, 12])[1..]);
    assert_eq!(fixture.store.purge_workflows(at(50), 9).await.unwrap(), 0, "it has one still");
    assert_eq!(fixture.store.forget_tasks(&tasks[1..], at(50)).await.unwrap().tasks, 1);
    assert_eq!(fixture.store.purge_workflows(at(19), 9).await.unwrap(), 0, "it ended lately");
    assert_eq!(fixture.store.purge_workflows(at(50), 9).await.unwrap(), 1);
    assert_eq!(fixture.store.workflow(at_place(1)).await.unwrap(), None);
}

/// Those of the tasks behind the first wanted one in its workflow, of each all or none, with the targets' tasks; what others write to as
/// well gives none.
pub async fn edges_ahead_are_all_of_their_sources(fixture: Fixture) {
    create(&fixture, 1, &[9, 1, 2, 3, 4, 5, 6]).await;
    create(&fixture, 2, &(11..40).chain([7]).collect::<Vec<_>>()).await;
    let mut edges: Vec<_> = [(1, 11), (2, 12), (3, 13), (3, 14), (5, 15), (7, 16)].map(|(a, b)| edge(a, b, 0)).to_vec();
    edges.extend((20..40).map(|target| edge(6, target, 0)));
    edges.push(Edge { resolved: true, ..edge(2, 19, 0) });
    fixture.save(ChangeSet { edges, ..ChangeSet::default() }).await;
    let is_exclusive = fixture.store.is_exclusive();
    for (source, most, found) in [
        (1, 0, vec![]),
        (1, 2, vec![(2, 12)]),
        (1, 3, vec![(2, 12)]),
        (1, 4, vec![(2, 12), (3, 13), (3, 14)]),
        (1, 20, vec![(2, 12), (3, 13), (3, 14), (5, 15)]),
        (4, 6, vec![(5, 15)]),
        (6, 9, vec![]),
        // As many tasks as edges are looked at: a workflow may have a million without any.
        (11, 5, vec![]),
        (11, 40, vec![(7, 16)]),
    ] {
        let pending_edges = [((NAMESPACE, task_id(source)), 1)].into();
        let rows = fixture.load(Want { pending_edges, edges_ahead: most, ..Want::default() }).await;
        let found = if is_exclusive { found } else { Vec::new() };
        let ahead = rows.edges_ahead.iter().map(|edge| (edge.source, edge.target)).collect::<Vec<_>>();
        assert_eq!(ahead, found.iter().map(|(a, b)| (task_id(*a), task_id(*b))).collect::<Vec<_>>(), "{source} {most}");
        let is_here = |target: TaskId| rows.tasks.iter().any(|task| task.id == target);
        assert!(ahead.iter().all(|(_, target)| is_here(*target)));
    }
}
