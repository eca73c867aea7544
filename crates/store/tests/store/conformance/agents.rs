//! Agents, their sessions and leases; remembered answers.

use super::samples::*;
use callboard_core::model::{Agent, NamespaceId, RequestKey, RequestRecord, Slot, Span, Task, Timestamp};
use callboard_core::working_set::{ChangeSet, Changed, Want};
use callboard_store::{AgentFilter, Error};
use std::sync::Arc;

/// An agent comes with the ids of every task leased to it.
pub async fn with_their_leases(fixture: Fixture) {
    fixture.save(new_agents([&agent(1, "a"), &agent(2, "b")])).await;
    let mut rows: Vec<Task> = (1..=6).map(|n| Task { state: running(1 + n % 2), ..task(n) }).collect();
    rows.push(task(7));
    fixture.save(new_tasks(&rows)).await;
    let lane = rows[0].lane;
    let leased = |n: u32, tasks: [u32; 3]| tasks.map(|task| (agent_id(n), task_id(task), Slot::Taken, lane));
    let by_name = Want { agents: [(NAMESPACE, "a".into()), (NAMESPACE, "x".into())].into(), ..Want::default() };
    let found = fixture.load(by_name).await;
    assert_eq!(found.agents, [agent(1, "a")]);
    assert_eq!(found.leases, leased(1, [2, 4, 6]));
    let by_id = Want { agents_by_id: [(NAMESPACE, agent_id(2))].into(), ..Want::default() };
    assert_eq!(fixture.load(by_id).await.leases, leased(2, [1, 3, 5]));
    assert_eq!(fixture.store.agent(NAMESPACE, "a").await.unwrap().unwrap().1, 3);
    fixture.save(tasks([changed(&step(&rows[1], completed(9)))])).await;
    assert_eq!(fixture.store.agent(NAMESPACE, "a").await.unwrap().unwrap().1, 2);
}

/// By name; of one type.
pub async fn in_pages_by_name(fixture: Fixture) {
    let mut rows: Vec<Agent> = (0..10).map(|n| agent(10 - n, &format!("agent-{n}"))).collect();
    for row in &mut rows[5..] {
        let mut profile = (*row.profile).clone();
        profile.agent_type = "writer".into();
        row.profile = Arc::new(profile);
    }
    fixture.save(new_agents(&rows)).await;
    fixture.save(new_tasks(&[Task { state: running(7), ..task(1) }])).await;
    let all = async |filter: &AgentFilter, limit| {
        let mut found: Vec<(Agent, usize)> = Vec::new();
        loop {
            let after = found.last().map(|(agent, _)| agent.name.clone());
            let page = fixture.store.agents(NAMESPACE, filter, after.as_deref(), limit).await.unwrap();
            assert!(page.agents.len() == limit || !page.more);
            found.extend(page.agents);
            if !page.more {
                return found;
            }
        }
    };
    for limit in [1, 3, 10, 11] {
        let found = all(&AgentFilter::default(), limit).await;
        let expected: Vec<_> = rows.iter().map(|row| (row.clone(), usize::from(row.id == agent_id(7)))).collect();
        assert_eq!(found, expected);
        let writers = all(&AgentFilter { agent_type: Some("writer".into()) }, limit).await;
        assert_eq!(writers, expected[5..]);
    }
    assert!(fixture.store.agents(OTHER, &AgentFilter::default(), None, 5).await.unwrap().agents.is_empty());
}

/// Those with a session, of every namespace, by id.
pub async fn live_sessions_by_id(fixture: Fixture) {
    let mut rows: Vec<Agent> = (1..=9).map(|n| agent(n, &format!("agent-{}", 9 - n))).collect();
    for row in rows.iter_mut().step_by(2) {
        row.session = Some(session());
    }
    rows[4].namespace = OTHER;
    fixture.save(new_agents(&rows)).await;
    let live = async |after, limit| {
        let found = fixture.store.live_sessions(after, limit).await.unwrap();
        found.into_iter().map(|agent| agent.id).collect::<Vec<_>>()
    };
    assert_eq!(live(None, 100).await, [1, 3, 5, 7, 9].map(agent_id));
    assert_eq!(live(None, 2).await, [1, 3].map(agent_id));
    assert_eq!(live(Some(agent_id(3)), 2).await, [5, 7].map(agent_id));
    assert!(live(Some(agent_id(9)), 2).await.is_empty());
    let gone = Agent { session: None, version: 2, detached_at: Some(at(9)), ..rows[0].clone() };
    let agents = vec![Changed { row: gone, expected: 1 }];
    fixture.save(ChangeSet { agents, ..ChangeSet::default() }).await;
    assert_eq!(live(None, 1).await, [agent_id(3)]);
}

/// A name is free when its agent is removed, in the same save too.
pub async fn removed_agents_are_forgotten(fixture: Fixture) {
    fixture.save(new_agents([&agent(1, "a"), &agent(2, "b")])).await;
    let removed_agents = vec![(NAMESPACE, agent_id(1)), (OTHER, agent_id(2)), (NAMESPACE, agent_id(77))];
    let again = new_agents([&agent(3, "a")]);
    fixture.save(ChangeSet { removed_agents, ..again }).await;
    assert_eq!(fixture.store.agent(NAMESPACE, "a").await.unwrap(), Some((agent(3, "a"), 0)));
    assert!(fixture.store.agent(NAMESPACE, "b").await.unwrap().is_some());
}

/// Answers are forgotten when their time is over; before, their key can't be used again.
pub async fn forgotten_answers(fixture: Fixture) {
    let remember = fixture.settings.remember_requests;
    let record = |n: u32, expires_at: Timestamp| RequestRecord {
        key: RequestKey {
            namespace: NamespaceId(0),
            principal: "p".into(),
            method: "CreateTask".into(),
            request_id: format!("request-{n}"),
        },
        digest: vec![1],
        reply: format!("{{\"at\":{}}}", expires_at.0),
        expires_at,
    };
    let changes = |requests: Vec<RequestRecord>| ChangeSet { requests, ..ChangeSet::default() };
    let rows: Vec<_> = (0..10).map(|n| record(n, at(i64::from(n)) + remember)).collect();
    fixture.save(changes(rows)).await;
    // Not over yet when it is used again.
    let early =
        fixture.try_save(changes(vec![record(50, at(9)), record(1, at(1) + remember + remember - Span(1))])).await;
    assert!(matches!(early, Err(Error::Conflict(_))), "{early:?}");
    let again = record(1, at(1) + remember + remember);
    fixture.save(changes(vec![again.clone()])).await;
    assert_eq!(fixture.store.purge_requests(at(3) + remember, 2).await.unwrap(), 2);
    assert_eq!(fixture.store.purge_requests(at(3) + remember, 10).await.unwrap(), 1);
    assert_eq!(fixture.store.purge_requests(at(3) + remember, 10).await.unwrap(), 0);
    let requests = (0..10).map(|n| record(n, at(0)).key).collect();
    let found = fixture.load(Want { requests, ..Want::default() }).await.requests;
    let left: Vec<_> = found.iter().map(|row| row.key.request_id.as_str()).collect();
    assert_eq!(left, ["request-1", "request-4", "request-5", "request-6", "request-7", "request-8", "request-9"]);
    assert_eq!(found[0], again);
}
