//! Forecasts of workflows.

use super::{task, time};
use callboard_core::forecast::{Expected, Forecast, Known};
use callboard_core::model::{Span, StateName};
use callboard_proto::v1;
use std::collections::HashMap;
use std::sync::Arc;

/// The longest critical path that is told: as deep as a plan may be.
const MAX_PATH: usize = 1_000;

/// What a forecast is made of: tasks by their ordinals.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    /// What is known of them.
    pub known: Vec<Known>,
    /// What they are called in the workflow; empty for a child.
    pub names: Vec<Arc<str>>,
}

/// Writes a forecast. Of a workflow that is held nobody knows when those begin that have not begun.
pub(crate) fn to_forecast(
    forecast: &Forecast,
    tasks: &Tasks,
    durations: &HashMap<Arc<str>, Span>,
    held: bool,
) -> v1::WorkflowForecast {
    let path = forecast.critical_path.iter().take(MAX_PATH).filter_map(|place| {
        let (known, name) = (tasks.known.get(*place)?, tasks.names.get(*place)?);
        let expected = forecast.tasks.get(*place).copied().flatten()?;
        let has_begun = matches!(known.state, StateName::Running | StateName::Paused);
        let takes = durations.get(&known.task_type).copied();
        Some(to_task(known, name, (!held || has_begun).then_some(expected), takes))
    });
    v1::WorkflowForecast {
        expected_end: forecast.end.filter(|_| !held).map(time::to_timestamp),
        critical_path: path.collect(),
        unknown_types: forecast.unknown_types.iter().map(|name| name.to_string()).collect(),
    }
}

fn to_task(known: &Known, name: &str, expected: Option<Expected>, takes: Option<Span>) -> v1::ForecastTask {
    v1::ForecastTask {
        task_id: known.task.to_string(),
        name: name.to_owned(),
        r#type: known.task_type.to_string(),
        state: task::to_state(known.state).into(),
        expected_duration: takes.map(time::to_duration),
        expected_start: expected.map(|expected| time::to_timestamp(expected.start)),
        expected_end: expected.map(|expected| time::to_timestamp(expected.end)),
    }
}
