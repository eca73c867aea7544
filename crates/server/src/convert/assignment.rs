//! Who could have a task, and why not; and who was chosen.

use super::{limit, task, time};
use callboard_core::dispatch::{Candidate, LimitTold, Obstacle, ObstacleKind};
use callboard_core::model::{RunnerUp, TaskState};
use callboard_engine::{Explained, PastAssignment};
use callboard_proto::v1;

/// Writes an explanation.
pub(crate) fn to_explanation(explained: &Explained) -> v1::AssignmentExplanation {
    let Explained { task: row, ahead, explanation, past } = explained;
    let waiting_for = match &row.state {
        TaskState::Waiting(waiting) => task::to_wait_reasons(waiting),
        _ => Vec::new(),
    };
    v1::AssignmentExplanation {
        task_id: row.id.to_string(),
        state: task::to_state(row.state.name()).into(),
        waiting_for,
        agent: row.agent_name.as_deref().unwrap_or_default().to_owned(),
        ahead: count(*ahead),
        agents: count(explanation.agents),
        fitting: count(explanation.fitting),
        candidates: explanation.candidates.iter().map(to_candidate).collect(),
        limits: explanation.limits.iter().map(to_limit_use).collect(),
        past: past.iter().map(to_choice).collect(),
    }
}

fn to_candidate(candidate: &Candidate) -> v1::AssignmentCandidate {
    let parts = candidate.score;
    v1::AssignmentCandidate {
        agent: candidate.agent.to_string(),
        fits: parts.is_some(),
        obstacles: candidate.obstacles.iter().map(to_obstacle).collect(),
        score: parts.map_or(0.0, |score| score.total()),
        success: parts.map_or(0.0, |score| score.success),
        idle: parts.map_or(0.0, |score| score.idle),
        affinity: parts.map_or(0.0, |score| score.affinity),
        role: parts.map_or(0.0, |score| score.role),
    }
}

fn to_choice(past: &PastAssignment) -> v1::AssignmentChoice {
    let chosen = past.chosen.as_ref();
    v1::AssignmentChoice {
        attempt: task::number(past.attempt),
        at: Some(time::to_timestamp(past.at)),
        agent: past.agent.to_string(),
        claimed: chosen.is_none(),
        score: chosen.map_or(0.0, |chosen| chosen.score.score()),
        compared: chosen.map_or(0, |chosen| task::number(chosen.compared)),
        runners_up: chosen.map(|chosen| chosen.runners_up.iter().map(to_runner_up).collect()).unwrap_or_default(),
    }
}

fn to_runner_up(other: &RunnerUp) -> v1::AssignmentRunnerUp {
    v1::AssignmentRunnerUp { agent: other.agent.to_string(), score: other.score.score() }
}

fn to_obstacle(obstacle: &Obstacle) -> v1::AssignmentObstacle {
    use v1::AssignmentObstacleType as Type;
    let kind = match obstacle.kind {
        ObstacleKind::TaskType => Type::TaskType,
        ObstacleKind::Assignee => Type::Assignee,
        ObstacleKind::Role => Type::Role,
        ObstacleKind::Skill => Type::Skill,
        ObstacleKind::Tool => Type::Tool,
        ObstacleKind::Resource => Type::Resource,
        ObstacleKind::Detached => Type::Detached,
        ObstacleKind::Cordoned => Type::Cordoned,
        ObstacleKind::Draining => Type::Draining,
        ObstacleKind::Claims => Type::Claims,
        ObstacleKind::Slots => Type::Slots,
        ObstacleKind::ResourceTaken => Type::ResourceTaken,
        ObstacleKind::Preferred => Type::Preferred,
        ObstacleKind::FailedThere => Type::FailedThere,
        ObstacleKind::Limit => Type::Limit,
    };
    v1::AssignmentObstacle { r#type: kind.into(), detail: obstacle.detail.clone() }
}

fn to_limit_use(told: &LimitTold) -> v1::LimitUse {
    let used = &told.restraint.used;
    v1::LimitUse {
        key: used.key.to_string(),
        limit: Some(limit::to_limit(&told.restraint.limit)),
        in_use: i32::try_from(used.in_use).unwrap_or(i32::MAX),
        reached: told.reached,
        next_at: told.next_at.map(time::to_timestamp),
    }
}

fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
