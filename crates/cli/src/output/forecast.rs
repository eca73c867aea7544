//! What is expected of a workflow, and what its tasks wait for, for people and for programs.

use std::collections::HashMap;

use callboard::v1::{ForecastTask, Task, TaskState, WaitReason, WorkflowForecast};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::details::Rows;
use super::table::has_ended;
use super::text::one_line;
use super::{names, time};
use crate::ids;
use crate::workflow::graph::name_of;

/// How many tasks of a path, and how many of those that one waits for, are named.
const ON_PATH: usize = 12;
const DEPENDENCIES: usize = 4;

/// How many that wait have a line.
const WAITING: usize = 20;

/// The longest name.
const MAX_NAME: usize = 40;

/// Rows of a workflow's details.
pub fn rows(forecast: &WorkflowForecast, now: Timestamp) -> Rows {
    vec![
        ("expected end", expected_end(forecast, now)),
        ("critical path", path(&forecast.critical_path)),
        ("unknown types", unknown(&forecast.unknown_types)),
    ]
}

/// `in 3m 20s, at 14:02:10Z`; nothing when nobody knows.
pub fn expected_end(forecast: &WorkflowForecast, now: Timestamp) -> String {
    let Some(end) = &forecast.expected_end else { return String::new() };
    let (left, at) = (time::between(&time::to_proto(now), end), time::near(end, now));
    match forecast.unknown_types.is_empty() {
        true => format!("in {left}, at {at}"),
        false => format!("in {left} or later, at {at}"),
    }
}

/// `fetch (2m) → merge (30s) → publish (?)`
fn path(tasks: &[ForecastTask]) -> String {
    let mut named: Vec<String> = tasks.iter().take(ON_PATH).map(on_path).collect();
    if let Some(more) = tasks.len().checked_sub(ON_PATH).filter(|more| *more > 0) {
        named.push(format!("… and {more} more"));
    }
    named.join(" → ")
}

fn on_path(task: &ForecastTask) -> String {
    let takes = task.expected_duration.as_ref().map_or_else(|| "?".to_owned(), time::brief);
    format!("{} ({takes})", path_name(task))
}

fn path_name(task: &ForecastTask) -> String {
    if task.name.is_empty() { ids::short(&task.task_id).to_owned() } else { one_line(&task.name, MAX_NAME) }
}

fn unknown(types: &[String]) -> String {
    if types.is_empty() {
        return String::new();
    }
    let mut named: Vec<String> = types.iter().take(ON_PATH).map(|name| one_line(name, MAX_NAME)).collect();
    if types.len() > ON_PATH {
        named.push(format!("{} more", types.len() - ON_PATH));
    }
    format!("{} (none has completed yet: counted as no time)", named.join(", "))
}

/// A line for each task that waits, and what for; of many the first.
pub fn waiting(tasks: &[Task]) -> Vec<String> {
    let by_id = by_id(tasks);
    let waiting: Vec<&Task> = tasks.iter().filter(|task| task.state() == TaskState::Waiting).collect();
    let mut lines: Vec<String> = waiting.iter().take(WAITING).map(|task| waiting_line(task, &by_id)).collect();
    if let Some(more) = waiting.len().checked_sub(WAITING).filter(|more| *more > 0) {
        lines.push(format!("and {more} more"));
    }
    lines
}

fn by_id(tasks: &[Task]) -> HashMap<&str, &Task> {
    tasks.iter().map(|task| (task.id.as_str(), task)).collect()
}

/// `publish waits for its release; for left, right and 3 more; until 14:02:10Z`
fn waiting_line(task: &Task, by_id: &HashMap<&str, &Task>) -> String {
    let at = || task.next_at.as_ref().map_or_else(|| "a time".to_owned(), time::to_the_second);
    let reasons = task.waiting_for.iter().map(|&reason| match WaitReason::try_from(reason) {
        Ok(WaitReason::Hold) => "to be released".to_owned(),
        Ok(WaitReason::Dependencies) => format!("for {}", unmet(task, by_id)),
        Ok(WaitReason::StartTime) => format!("for its start at {}", at()),
        Ok(WaitReason::RetryDelay) => format!("for its next attempt at {}", at()),
        _ => format!("for {}", names::wait_reason(reason)),
    });
    format!("{} waits {}", name_of(task), reasons.collect::<Vec<_>>().join(", and "))
}

fn unmet(task: &Task, by_id: &HashMap<&str, &Task>) -> String {
    let names = unmet_names(task, by_id);
    match names.len().checked_sub(DEPENDENCIES).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", names[..DEPENDENCIES].join(", ")),
        None => names.join(", "),
    }
}

/// Those that have not ended; those outside of the workflow, of which that is not known, by their ids.
pub fn unmet_names(task: &Task, by_id: &HashMap<&str, &Task>) -> Vec<String> {
    let dependencies = task.spec.as_ref().map(|spec| spec.dependencies.as_slice()).unwrap_or_default();
    let names = dependencies.iter().filter_map(|dependency| match by_id.get(dependency.task_id.as_str()) {
        Some(source) => (!has_ended(source.state())).then(|| name_of(source)),
        None => Some(ids::short(&dependency.task_id).to_owned()),
    });
    names.collect()
}

/// A forecast for programs.
pub fn forecast_json(forecast: &WorkflowForecast) -> Value {
    let time = |at: &Option<prost_types::Timestamp>| at.as_ref().map(time::rfc3339);
    let task = |task: &ForecastTask| {
        json!({
            "task_id": task.task_id,
            "name": task.name,
            "type": task.r#type,
            "state": names::task_state(task.state),
            "expected_duration": task.expected_duration.as_ref().map(time::seconds),
            "expected_start": time(&task.expected_start),
            "expected_end": time(&task.expected_end),
        })
    };
    json!({
        "expected_end": time(&forecast.expected_end),
        "critical_path": forecast.critical_path.iter().map(task).collect::<Vec<_>>(),
        "unknown_types": forecast.unknown_types,
    })
}

/// All tasks that wait, for programs.
pub fn waiting_json(tasks: &[Task]) -> Value {
    let by_id = by_id(tasks);
    let waiting = tasks.iter().filter(|task| task.state() == TaskState::Waiting);
    let waiting = waiting.map(|task| {
        json!({
            "task_id": task.id,
            "name": name_of(task),
            "waiting_for": task.waiting_for.iter().map(|&reason| names::wait_reason(reason)).collect::<Vec<_>>(),
            "dependencies": unmet_names(task, &by_id),
            "next_at": task.next_at.as_ref().map(time::rfc3339),
        })
    });
    waiting.collect()
}

#[cfg(test)]
mod tests {
    use callboard::v1::{Dependency, TaskSpec, WorkflowLink};

    use super::*;

    fn at(text: &str) -> Option<prost_types::Timestamp> {
        Some(time::to_proto(text.parse().unwrap()))
    }

    fn on_path(name: &str, millis: Option<i32>) -> ForecastTask {
        let takes = millis.map(|millis| prost_types::Duration {
            seconds: i64::from(millis / 1_000),
            nanos: millis % 1_000 * 1_000_000,
        });
        ForecastTask {
            task_id: "id-of-it".into(),
            name: name.into(),
            expected_duration: takes,
            ..ForecastTask::default()
        }
    }

    #[test]
    fn an_expected_end_and_its_path() {
        let now: Timestamp = "2026-01-01T14:00:00Z".parse().unwrap();
        let critical_path = vec![on_path("fetch", Some(120_000)), on_path("merge", Some(1_250)), on_path("", None)];
        let mut forecast =
            WorkflowForecast { expected_end: at("2026-01-01T14:03:20Z"), critical_path, ..WorkflowForecast::default() };
        assert_eq!(expected_end(&forecast, now), "in 3m 20s, at 14:03:20Z");
        assert_eq!(path(&forecast.critical_path), "fetch (2m) → merge (1s 250ms) → id-of-it (?)");
        forecast.expected_end = at("2026-01-02T14:00:00Z");
        forecast.unknown_types = vec!["ship".into()];
        assert_eq!(expected_end(&forecast, now), "in 1d or later, at 2026-01-02 14:00:00Z");
        assert!(rows(&forecast, now)[2].1.starts_with("ship (none has completed yet"));
        forecast.critical_path = vec![on_path("a", None); 15];
        assert!(path(&forecast.critical_path).ends_with("a (?) → … and 3 more"));
        let nothing = rows(&WorkflowForecast::default(), now);
        assert!(nothing.iter().all(|(_, value)| value.is_empty()), "{nothing:?}");
    }

    fn task(name: &str, state: TaskState, waiting_for: &[WaitReason], depends_on: &[&str]) -> Task {
        let dependency = |id: &&str| Dependency { task_id: (*id).into(), ..Dependency::default() };
        Task {
            id: name.into(),
            state: state.into(),
            spec: Some(TaskSpec { dependencies: depends_on.iter().map(dependency).collect(), ..TaskSpec::default() }),
            workflow: Some(WorkflowLink { name: name.into(), ..WorkflowLink::default() }),
            waiting_for: waiting_for.iter().map(|&reason| reason.into()).collect(),
            next_at: at("2026-01-01T14:00:00Z"),
            ..Task::default()
        }
    }

    #[test]
    fn each_that_waits_says_what_for() {
        use WaitReason::{Dependencies, Hold, RetryDelay, StartTime};
        let tasks = [
            task("a", TaskState::Completed, &[], &[]),
            task("b", TaskState::Running, &[], &["a"]),
            task("c", TaskState::Waiting, &[Hold, Dependencies], &["a", "b", "outside-x"]),
            task("d", TaskState::Waiting, &[StartTime], &[]),
            task("e", TaskState::Waiting, &[RetryDelay], &[]),
            task("f", TaskState::Waiting, &[Dependencies], &["b", "c", "d", "e", "x", "y"]),
        ];
        let expected = [
            "c waits to be released, and for b, utside-x",
            "d waits for its start at 2026-01-01 14:00:00Z",
            "e waits for its next attempt at 2026-01-01 14:00:00Z",
            "f waits for b, c, d, e and 2 more",
        ];
        assert_eq!(waiting(&tasks), expected);
        let documents = waiting_json(&tasks);
        assert_eq!(documents[0]["waiting_for"], json!(["hold", "dependencies"]));
        assert_eq!(documents[3]["dependencies"].as_array().map(Vec::len), Some(6));
        let many = vec![tasks[3].clone(); 25];
        assert_eq!(waiting(&many).last().map(String::as_str), Some("and 5 more"));
    }
}
