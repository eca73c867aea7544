//! Who could have a task, and why not.

use super::{limit, task, time};
use callboard_core::dispatch::{Candidate, LimitTold, Obstacle, ObstacleKind};
use callboard_core::model::TaskState;
use callboard_engine::Explained;
use callboard_proto::v1;

/// Writes an explanation.
pub(crate) fn to_explanation(explained: &Explained) -> v1::AssignmentExplanation {
    let Explained { task: row, ahead, explanation } = explained;
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
        past: Vec::new(),
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
