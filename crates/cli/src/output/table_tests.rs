use callboard::v1::{AgentProfile, EventType, Failure, PauseReason, TaskHandler, TaskSpec};

use super::*;
use crate::output::details;

const PLAIN: Style = Style { terminal: false, colour: false };

fn at(text: &str) -> prost_types::Timestamp {
    time::to_proto(text.parse().unwrap())
}

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn task(id: &str, state: TaskState, description: &str) -> Task {
    let spec =
        TaskSpec { r#type: "review".into(), description: description.into(), priority: 2, ..TaskSpec::default() };
    let mut task = Task {
        id: id.into(),
        spec: Some(spec),
        run: 1,
        created_at: Some(at("2026-01-01T11:58:30Z")),
        ..Task::default()
    };
    task.set_state(state);
    task
}

#[test]
fn a_list_of_tasks() {
    let mut running = task("01989b0e-3c1a-7000-8000-0000aabbccdd", TaskState::Running, "Look\nat \u{1b}[31mthis");
    (running.progress, running.phase, running.agent, running.attempt) = (0.45, "executing".into(), "ann".into(), 2);
    let mut waiting = task("01989b0e-3c1a-7000-8000-000011223344", TaskState::Waiting, "Later");
    waiting.waiting_for = vec![1, 2];
    let mut paused = task("01989b0e-3c1a-7000-8000-000011225566", TaskState::Paused, "Ask others");
    paused.set_paused_for(PauseReason::Children);
    let table = tasks(&[running, waiting, paused], PLAIN, now()).trim_fmt();
    let expected = [
        "ID        TYPE    STATE                         PRIORITY  AGENT  ATTEMPT  AGE     DESCRIPTION",
        "aabbccdd  review  running 45% executing         normal    ann    2        1m 30s  Look at \u{fffd}[31mthis",
        "11223344  review  waiting (dependencies, hold)  normal    -      0        1m 30s  Later",
        "11225566  review  paused (children)             normal    -      0        1m 30s  Ask others",
    ];
    assert_eq!(table.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn colours_only_when_wanted() {
    let list = [task("id", TaskState::Failed, "x")];
    assert!(!tasks(&list, PLAIN, now()).to_string().contains('\u{1b}'));
}

#[test]
fn a_list_of_agents() {
    let handles = ["research", "*"].map(|name| TaskHandler { r#type: name.into(), ..TaskHandler::default() }).to_vec();
    let profile = AgentProfile {
        name: "ann".into(),
        agent_type: "researcher".into(),
        slots: 4,
        handles,
        ..AgentProfile::default()
    };
    let mut agent = Agent {
        profile: Some(profile),
        cordoned: true,
        leased_tasks: 1,
        completed_attempts: 7,
        attached_at: Some(at("2026-01-01T11:59:48Z")),
        ..Agent::default()
    };
    agent.set_state(AgentState::Attached);
    let table = agents(&[agent], PLAIN, now()).trim_fmt();
    let expected = [
        "NAME  AGENT TYPE  STATE               TASKS  COMPLETED  FAILED  HANDLES     SINCE",
        "ann   researcher  attached, cordoned  1/4    7          0       research,*  12s",
    ];
    assert_eq!(table.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn an_event_is_a_line() {
    let failure = Failure { r#type: "Boom".into(), message: "it broke".into(), ..Failure::default() };
    let mut event = Event {
        task_id: "01989b0e-3c1a-7000-8000-0000aabbccdd".into(),
        at: Some(at("2026-01-01T12:00:00.25Z")),
        agent: "ann".into(),
        failure: Some(failure),
        ..Event::default()
    };
    event.set_type(EventType::AttemptFailed);
    event.set_state(TaskState::Waiting);
    assert_eq!(event_line(&event), "12:00:00.250  aabbccdd  attempt_failed     waiting    ann  Boom: it broke");
}

#[test]
fn a_task_in_full_leaves_out_what_is_not_there() {
    let mut task = task("01989b0e-3c1a-7000-8000-0000aabbccdd", TaskState::Ready, "Look");
    task.namespace = "default".into();
    let table = PLAIN.details(details::task(&task, now())).trim_fmt();
    let expected = [
        "id           01989b0e-3c1a-7000-8000-0000aabbccdd",
        "namespace    default",
        "type         review",
        "description  Look",
        "state        ready",
        "run          1",
        "attempt      0",
        "priority     normal",
        "created      2026-01-01 11:58:30Z (1m 30s ago)",
    ];
    assert_eq!(table.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn a_dependency_is_shown_as_it_is_said() {
    let mut task = task("id", TaskState::Waiting, "Look");
    let said = ["abc", "def,condition=failed,on-failure=fail", "ghi,name=draft,result=/score>=0.8"];
    let dependencies = said.iter().map(|text| crate::dependency::parse(text).unwrap()).collect();
    task.spec.get_or_insert_default().dependencies = dependencies;
    let (_, shown) = details::task(&task, now()).into_iter().find(|(name, _)| *name == "depends on").unwrap();
    assert_eq!(shown.lines().collect::<Vec<_>>(), said);
}

#[test]
fn the_steps_of_a_run() {
    let text = |text: &str| Some(Payload { content: Some(Content::Text(text.into())), ..Payload::default() });
    let bytes = Some(Payload { content: Some(Content::Binary(vec![0; 3].into())), ..Payload::default() });
    let step = |ordinal, occurrence, result| Step {
        name: "fe\u{1b}tch".into(),
        occurrence,
        ordinal,
        result,
        attempt: 2,
        recorded_at: Some(at("2026-01-01T11:58:30Z")),
    };
    let table = steps(&[step(1, 0, text("{\n1}")), step(2, 1, bytes)], PLAIN).trim_fmt();
    let expected = [
        "#  STEP        ATTEMPT  AT            RESULT",
        "1  fe\u{fffd}tch      2        11:58:30.000  { 1}",
        "2  fe\u{fffd}tch (1)  2        11:58:30.000  (3 bytes)",
    ];
    assert_eq!(table.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_children_of_a_run() {
    let task = Task {
        spec: Some(TaskSpec { r#type: "search".into(), ..TaskSpec::default() }),
        state: TaskState::Completed.into(),
        ..Task::default()
    };
    let child = |ordinal, occurrence, task| Child {
        name: "fe\u{1b}tch".into(),
        occurrence,
        ordinal,
        on_parent_end: 1 + occurrence,
        task,
        task_id: "0198c0de-0000-7000-8000-00000000000a".into(),
    };
    let table = children(&[child(1, 0, Some(task)), child(2, 1, None)], PLAIN).trim_fmt();
    let expected = [
        "#  CHILD       ID        TYPE    STATE      PARENT'S END",
        "1  fe\u{fffd}tch      0000000a  search  completed  cancel",
        "2  fe\u{fffd}tch (1)  0000000a  -       forgotten  detach",
    ];
    assert_eq!(table.lines().collect::<Vec<_>>(), expected);
}
