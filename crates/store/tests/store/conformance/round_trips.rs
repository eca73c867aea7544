//! What is saved comes back as it was, to the last field.

use super::samples::*;
use callboard_core::limits::SMALL_INPUT;
use callboard_core::model::task::TaskState;
use callboard_core::model::{
    AgentProfile, Chosen, Content, EventKind, KeptScore, Limit, Link, NamespaceId, NamespaceSettings, NotBefore,
    OnFailure, PauseTurn, Payload, RequestKey, RequestRecord, RetryPolicy, RunnerUp, Session, Span, StateName, StepKey,
    Task, TaskHandler, TaskSpec, Timestamp, Waiting,
};
use callboard_core::working_set::{ChangeSet, Changed, PayloadValue, Want};
use std::sync::Arc;

/// A task with something in every field.
pub async fn every_field_of_a_task(fixture: Fixture) {
    let row = full_task(1);
    fixture.save(new_tasks([&row])).await;
    assert_eq!(fixture.task(row.id).await, Some(row.clone()));
    let view = fixture.store.task((NAMESPACE, row.id)).await.unwrap().unwrap();
    assert_eq!(view.task, row);
    assert_eq!(*view.input, Payload::text(&row.id.to_string()));
    assert_eq!(view.saved, Default::default());
    assert_eq!(fixture.store.task((OTHER, row.id)).await.unwrap(), None);
    // And again by an update, every field another.
    let plain = task_with(1, TaskSpec { key: row.spec.key.clone(), ..spec() });
    let next = Task { version: 2, created_by: row.created_by, created_at: row.created_at, run: 2, ..plain };
    let mut change = changed(&next);
    change.spec_changed = true;
    fixture.save(tasks([change])).await;
    assert_eq!(fixture.task(next.id).await, Some(next));
}

/// A task in every state, by creation and by update.
pub async fn every_state_of_a_task(fixture: Fixture) {
    let states = || {
        let lease = lease(1);
        let start = NotBefore::Start(Timestamp(i64::MAX));
        [
            waiting(),
            TaskState::Waiting(Waiting { not_before: Some(start), ..Waiting::default() }),
            TaskState::Waiting(Waiting::default()),
            TaskState::Ready { since: Timestamp(-1) },
            TaskState::Assigned { lease: lease.clone(), ready_since: at(3) },
            running(2),
            paused(2, None),
            paused(2, Some(at(70))),
            completed(9),
            TaskState::Failed { at: at(9) },
            TaskState::Cancelled { at: at(9) },
            TaskState::Skipped { at: Timestamp(0) },
        ]
    };
    for (n, state) in (0..).zip(states()) {
        let row = Task { state, ..task(n) };
        fixture.save(new_tasks([&row])).await;
        assert_eq!(fixture.task(row.id).await, Some(row));
        let first = task(100 + n);
        fixture.save(new_tasks([&first])).await;
        let next = step(&first, states()[n as usize].clone());
        fixture.save(tasks([changed(&next)])).await;
        assert_eq!(fixture.task(next.id).await, Some(next));
    }
}

/// Valid UTF-8 of any kind, also where rows are found by it.
pub async fn text_of_any_kind(fixture: Fixture) {
    for (n, text) in
        (1..).zip([TEXT, "", "\0", "\0\0", "a\0", "a", "A", "ä", "a ", " a", "a\u{300}", "NULL", "1", "1.0"])
    {
        let key = Some(text.to_owned());
        let with_text = TaskSpec { key, task_type: text.into(), tags: [text.into()].into(), ..spec() };
        let row = Task { agent_name: Some(text.into()), ..task_with(n, with_text) };
        fixture.save(new_tasks([&row])).await;
        let wanted = (NAMESPACE, text.to_owned());
        let rows = fixture.load(Want { keys: [wanted.clone()].into(), ..Want::default() }).await;
        assert_eq!(rows.keys, [(wanted, row.id)], "{text:?}");
        assert_eq!(rows.tasks, [row.clone()]);
        let filters = [
            callboard_store::TaskFilter { key: Some(text.into()), ..Default::default() },
            callboard_store::TaskFilter { task_type: Some(text.into()), ..Default::default() },
            callboard_store::TaskFilter { agent: Some(text.into()), ..Default::default() },
            callboard_store::TaskFilter { tags: vec![text.into()], ..Default::default() },
        ];
        for filter in filters {
            let page = fixture.store.tasks(NAMESPACE, &filter, None, 10).await.unwrap();
            assert_eq!(page.tasks, [row.clone()], "{filter:?}");
        }
        let named = agent(n, text);
        fixture.save(new_agents([&named])).await;
        assert_eq!(fixture.store.agent(NAMESPACE, text).await.unwrap(), Some((named, 0)));
    }
}

/// Payloads of a mebibyte, text and bytes, of every content.
pub async fn large_payloads(fixture: Fixture) {
    let bytes: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let text: String = TEXT.chars().cycle().take(200_000).collect();
    let contents = [
        Content::Text("x".repeat(1 << 20).into()),
        Content::Text(text.into()),
        Content::Binary(bytes.into()),
        Content::Binary(vec![0; 1 << 20].into()),
        Content::Text("".into()),
        Content::Binary(Vec::new().into()),
        Content::Binary(TEXT.as_bytes().into()),
    ];
    for (n, content) in (1..).zip(contents) {
        let metadata = [(TEXT.to_owned(), TEXT.to_owned())].into();
        let payload = Arc::new(Payload { content_type: TEXT.into(), metadata, content });
        let row = task(n);
        let mut change = new(&row);
        let small = (payload.len() <= SMALL_INPUT).then(|| (row.id, payload.clone()));
        change.input = Some(payload.clone());
        let at = (NAMESPACE, row.id);
        let payloads = vec![
            write(at, PayloadValue::Result(payload.clone())),
            write(at, PayloadValue::Checkpoint(payload.clone())),
        ];
        fixture.save(ChangeSet { tasks: vec![change], payloads, ..ChangeSet::default() }).await;
        let view = fixture.store.task(at).await.unwrap().unwrap();
        // Not `assert_eq`, which would print megabytes.
        assert!(view.input == payload, "input {n}");
        assert!(view.saved.result == Some(payload.clone()), "result {n}");
        assert!(view.saved.checkpoint == Some(payload.clone()), "checkpoint {n}");
        let hydrated = fixture.store.hydrate(&[at]).await.unwrap();
        assert!(hydrated[0].input == payload && hydrated[0].checkpoint == Some(payload), "hydrated {n}");
        // A store that others write to as well gives none: what it would be kept for is asked for again in the next batch.
        let rows = fixture.load(Want { tasks: [at].into(), ..Want::default() }).await;
        let along = small.filter(|_| fixture.store.is_exclusive());
        assert!(rows.inputs == Vec::from_iter(along), "along with the task {n}");
    }
}

/// Result, checkpoint and failure are apart, and each replaces the one before.
pub async fn every_kind_of_payload(fixture: Fixture) {
    let row = task(1);
    fixture.save(new_tasks([&row])).await;
    let at = (NAMESPACE, row.id);
    let text = |text: &str| Arc::new(Payload::text(text));
    let first = vec![
        write(at, PayloadValue::Result(text("first"))),
        write(at, PayloadValue::Result(text("result"))),
        write(at, PayloadValue::Failure(Arc::new(failure(0)))),
    ];
    fixture.save(ChangeSet { payloads: first, ..ChangeSet::default() }).await;
    let saved = fixture.store.task(at).await.unwrap().unwrap().saved;
    assert_eq!(saved.result, Some(text("result")));
    assert_eq!(saved.failure, Some(Arc::new(failure(0))));
    assert_eq!(saved.checkpoint, None);
    let second = vec![
        write(at, PayloadValue::Failure(Arc::new(failure(8)))),
        write(at, PayloadValue::Checkpoint(text("checkpoint"))),
    ];
    fixture.save(ChangeSet { payloads: second, ..ChangeSet::default() }).await;
    let saved = fixture.store.task(at).await.unwrap().unwrap().saved;
    assert_eq!(saved.result, Some(text("result")));
    assert_eq!(saved.failure, Some(Arc::new(failure(8))));
    assert_eq!(saved.checkpoint, Some(text("checkpoint")));
    let hydrated = fixture.store.hydrate(&[at]).await.unwrap();
    assert_eq!(hydrated[0].checkpoint, Some(text("checkpoint")));
}

/// Namespaces by name and by all.
pub async fn namespaces(fixture: Fixture) {
    let mut odd = namespace(i64::MAX, TEXT);
    odd.settings = NamespaceSettings {
        max_lanes: u32::MAX,
        max_live_tasks: i64::MAX,
        retry_policy: RetryPolicy { multiplier: 0.1 + 0.2, ..RetryPolicy::default() },
        start_to_close: Span(i64::MAX),
        limits: [Limit { key: TEXT.into(), max_concurrent: Some(u32::MAX), rate: None }].into_iter().collect(),
    };
    let rows = [namespace(1, "default"), odd, namespace(-5, "a")];
    let changed = |row: &callboard_core::model::Namespace, expected| Changed { row: row.clone(), expected };
    let namespaces = rows.iter().map(|row| changed(row, 0)).collect();
    fixture.save(ChangeSet { namespaces, ..ChangeSet::default() }).await;
    let all = fixture.store.namespaces().await.unwrap();
    assert_eq!(all, [rows[2].clone(), rows[1].clone(), rows[0].clone()]);
    let want = Want { namespaces: [TEXT.into(), "missing".into(), "default".into()].into(), ..Want::default() };
    assert_eq!(fixture.load(want).await.namespaces, [rows[0].clone(), rows[1].clone()]);
    let want = Want { all_namespaces: true, ..Want::default() };
    assert_eq!(fixture.load(want).await.namespaces.len(), 3);
    let mut next = rows[0].clone();
    next.version = 2;
    next.settings.max_lanes = 0;
    fixture.save(ChangeSet { namespaces: vec![changed(&next, 1)], ..ChangeSet::default() }).await;
    let want = Want { namespaces: ["default".into()].into(), ..Want::default() };
    assert_eq!(fixture.load(want).await.namespaces, [next]);
}

/// Agents with something in every field, and with every kind of session.
pub async fn agents(fixture: Fixture) {
    let mut row = agent(1, TEXT);
    row.principal = TEXT.into();
    row.cordoned = true;
    (row.epoch, row.completed, row.failed) = (i64::MAX, i64::MAX, i64::MIN);
    (row.created_at, row.attached_at, row.detached_at) = (Timestamp(i64::MIN), Timestamp(i64::MAX), Some(Timestamp(0)));
    row.profile = Arc::new(AgentProfile {
        agent_type: TEXT.into(),
        role: TEXT.into(),
        skills: [TEXT.into()].into(),
        tools: [TEXT.into()].into(),
        labels: [(TEXT.into(), TEXT.into())].into(),
        slots: u32::MAX,
        resources: [("gpu".into(), 0.1 + 0.2), ("tiny".into(), f64::MIN_POSITIVE), ("huge".into(), f64::MAX)].into(),
        handles: vec![TaskHandler {
            task_type: TEXT.into(),
            description: TEXT.into(),
            input_schema: TEXT.into(),
            output_schema: TEXT.into(),
        }],
        sdk: TEXT.into(),
        sdk_version: TEXT.into(),
        build_id: TEXT.into(),
    });
    fixture.save(new_agents([&row])).await;
    let links = [
        Link::Stream { replica: TEXT.into() },
        Link::Broken { replica: TEXT.into(), since: Timestamp(i64::MIN) },
        Link::Claims { until: Timestamp(i64::MAX) },
    ];
    let sessions = links.map(|link| Some(Session { link, instance: TEXT.into(), draining: true }));
    for session in sessions.into_iter().chain([None]) {
        let expected = row.version;
        row.version += 1;
        row.session = session;
        let agents = vec![Changed { row: row.clone(), expected }];
        fixture.save(ChangeSet { agents, ..ChangeSet::default() }).await;
        let want = Want { agents: [(NAMESPACE, TEXT.into())].into(), ..Want::default() };
        assert_eq!(fixture.load(want).await.agents, [row.clone()]);
        let want = Want { agents_by_id: [(NAMESPACE, row.id), (OTHER, row.id)].into(), ..Want::default() };
        assert_eq!(fixture.load(want).await.agents, [row.clone()]);
    }
}

/// Lanes of a namespace; one that exists is left as it is; removed ones are gone.
pub async fn lanes(fixture: Fixture) {
    let mut full = lane(TEXT);
    full.key.assignee = Some(TEXT.into());
    full.key.role = Some("".into());
    full.key.skills = [TEXT.into(), "".into()].into();
    full.key.tools = [TEXT.into()].into();
    full.id = full.key.id();
    let mut elsewhere = lane("x");
    elsewhere.namespace = OTHER;
    let lanes = vec![full.clone(), lane("a"), lane("b"), elsewhere];
    fixture.save(ChangeSet { lanes: lanes.clone(), ..ChangeSet::default() }).await;
    fixture.save(ChangeSet { lanes, ..ChangeSet::default() }).await;
    let want = Want { lanes: [NAMESPACE].into(), ..Want::default() };
    let mut expected = vec![full, lane("a"), lane("b")];
    expected.sort_by_key(|lane| lane.id);
    assert_eq!(fixture.load(want.clone()).await.lanes, expected);
    let gone = (NAMESPACE, lane("a").id);
    let again = (NAMESPACE, lane("b").id);
    let changes = ChangeSet { removed_lanes: vec![gone, again, gone], lanes: vec![lane("b")], ..ChangeSet::default() };
    fixture.save(changes).await;
    expected.retain(|lane| lane.id != gone.1);
    assert_eq!(fixture.load(want).await.lanes, expected);
}

/// Remembered answers by their whole key.
pub async fn requests(fixture: Fixture) {
    let key = |namespace, text: &str| RequestKey {
        namespace: NamespaceId(namespace),
        principal: text.into(),
        method: "CreateTask".into(),
        request_id: text.into(),
    };
    let record = |key: RequestKey, reply: &str| RequestRecord {
        key,
        digest: vec![1, 0, 255],
        reply: reply.into(),
        expires_at: Timestamp(i64::MAX),
    };
    let rows = vec![record(key(0, ""), "{}"), record(key(7, TEXT), &"x".repeat(100_000)), record(key(8, TEXT), TEXT)];
    fixture.save(ChangeSet { requests: rows.clone(), ..ChangeSet::default() }).await;
    let missing = RequestKey { method: "CancelTask".into(), ..key(7, TEXT) };
    let want = Want { requests: [key(7, TEXT), missing, key(0, "")].into(), ..Want::default() };
    assert_eq!(fixture.load(want).await.requests, rows[..2]);
}

/// Edges with every policy, resolved and not.
pub async fn edges(fixture: Fixture) {
    let target = task(9);
    let mut rows = [edge(1, 9, 0), edge(2, 9, 1), edge(3, 9, u32::MAX)];
    rows[1].terms.on_failure = OnFailure::Fail;
    rows[2].resolved = true;
    let changes = ChangeSet { edges: rows.to_vec(), ..new_tasks([&task(1), &task(2), &task(3), &target]) };
    fixture.save(changes).await;
    let want = Want { dependencies: [(NAMESPACE, target.id)].into(), ..Want::default() };
    assert_eq!(fixture.load(want).await.edges, rows);
}

/// An agent that was chosen among so many, before others.
fn chosen(compared: u32, others: &[&str]) -> Chosen {
    let runners_up = others.iter().map(|name| RunnerUp { agent: (*name).into(), score: KeptScore::of(1.0 / 3.0) });
    Chosen { score: KeptScore::of(1.0), compared, runners_up: runners_up.collect() }
}

/// Events of every kind.
pub async fn events_of_every_kind(fixture: Fixture) {
    let agent: Arc<str> = TEXT.into();
    let reason = TEXT.to_owned();
    let kinds = vec![
        EventKind::Created,
        EventKind::Ready,
        EventKind::Assigned { agent: agent.clone(), chosen: None },
        EventKind::Assigned { agent: agent.clone(), chosen: Some(chosen(1, &[])) },
        EventKind::Assigned { agent: agent.clone(), chosen: Some(chosen(64, &[TEXT, "", "bob"])) },
        EventKind::Started { agent: agent.clone(), pause: None },
        EventKind::Started { agent: agent.clone(), pause: Some(PauseTurn::Began) },
        EventKind::Started { agent: agent.clone(), pause: Some(PauseTurn::Ended) },
        EventKind::Checkpointed { step: None, child: None },
        EventKind::Checkpointed { step: Some(StepKey { name: TEXT.into(), occurrence: u32::MAX }), child: None },
        EventKind::Checkpointed { step: None, child: Some(task_id(9)) },
        EventKind::HandedBack { agent: agent.clone(), reason: reason.clone() },
        EventKind::AttemptFailed { agent: agent.clone(), failure: failure(3) },
        EventKind::AttemptTimedOut { agent: agent.clone(), failure: failure(0) },
        EventKind::AttemptLost { agent: agent.clone(), reason: reason.clone() },
        EventKind::RetryScheduled { at: Timestamp(i64::MAX) },
        EventKind::Held { reason: reason.clone() },
        EventKind::Released,
        EventKind::Updated { fields: reason.clone(), fallback: None },
        EventKind::Updated { fields: reason.clone(), fallback: Some(2) },
        EventKind::DependencyMet { dependency: task_id(3) },
        EventKind::CancelRequested { reason: reason.clone() },
        EventKind::Completed { agent },
        EventKind::Failed { failure: failure(1) },
        EventKind::Cancelled { reason },
        EventKind::Skipped { dependency: task_id(4) },
        EventKind::RunOpened,
    ];
    let rows: Vec<_> = (1..)
        .zip(kinds)
        .map(|(sequence, kind)| {
            let state = StateName::ALL[sequence as usize % StateName::ALL.len()];
            let at = Timestamp(i64::MAX - sequence);
            let mut row = event(1, sequence);
            (row.state, row.at, row.kind, row.principal) = (state, at, kind, TEXT.into());
            (row.run, row.attempt) = (u32::MAX, u32::MAX);
            row
        })
        .collect();
    fixture.save(ChangeSet { events: rows.clone(), ..ChangeSet::default() }).await;
    assert_eq!(fixture.store.task_events((NAMESPACE, task_id(1)), 0, 100).await.unwrap(), rows);
}
