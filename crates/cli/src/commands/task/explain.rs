//! `callboard task explain`

use callboard::v1::{
    AssignmentCandidate, AssignmentExplanation, AssignmentObstacle, ExplainAssignmentRequest, LimitUse,
};
use comfy_table::{Cell, Table};
use serde_json::{Value, json};

use super::{Session, past};
use crate::error::Error;
use crate::ids;
use crate::output::table::{MAX_DESCRIPTION, MAX_NAME, Style};
use crate::output::text::one_line;
use crate::output::{details, json, names, note};

/// Shows who could have a task, and who was given it.
pub async fn run(session: &Session, id: &str) -> Result<(), Error> {
    let task_id = ids::resolve(&session.client, id).await?;
    let request = ExplainAssignmentRequest { task_id, ..ExplainAssignmentRequest::default() };
    let explanation = session.client.call(request).await?.explanation.unwrap_or_default();
    if session.output.is_json() {
        return session.output.document(&document(&explanation));
    }
    note(&summary(&explanation));
    explanation.limits.iter().for_each(|limit| note(&limit_told(limit)));
    session.output.table(&table(&explanation.candidates, session.output.style))?;
    if explanation.past.is_empty() {
        return Ok(());
    }
    session.output.line("")?;
    session.output.table(&past::table(&explanation.past, session.output.style))
}

/// Where the task is, and how many could have it.
fn summary(explanation: &AssignmentExplanation) -> String {
    let AssignmentExplanation { agents, fitting, ahead, .. } = explanation;
    let mut parts =
        vec![format!("task {} is {}", ids::short(&explanation.task_id), names::task_state(explanation.state))];
    if !explanation.waiting_for.is_empty() {
        let reasons: Vec<String> = explanation.waiting_for.iter().map(|reason| names::wait_reason(*reason)).collect();
        parts.push(format!("waits for {}", reasons.join(", ")));
    }
    if !explanation.agent.is_empty() {
        parts.push(format!("its agent is, or was, {}", one_line(&explanation.agent, MAX_NAME)));
    }
    if *ahead > 0 {
        parts.push(format!("{ahead} of its kind are before it"));
    }
    parts.push(format!("{fitting} of {agents} agents fit"));
    parts.join("; ")
}

/// `limit openai (max:3): 3 hold a slot; reached`.
fn limit_told(told: &LimitUse) -> String {
    let limit = told.limit.as_ref().map(details::limit_in_words).unwrap_or_default();
    let reached = if told.reached { "; reached" } else { "" };
    format!("limit {} ({limit}): {} hold a slot{reached}", one_line(&told.key, MAX_NAME), told.in_use)
}

fn table(candidates: &[AssignmentCandidate], style: Style) -> Table {
    let header = ["AGENT", "FITS", "SCORE", "SUCCESS", "IDLE", "AFFINITY", "ROLE", "OBSTACLES"];
    let mut table = style.list(&header);
    for candidate in candidates {
        let part = |part: f64| if candidate.fits { format!("{part:.2}") } else { "-".to_owned() };
        let obstacles: Vec<String> = candidate.obstacles.iter().map(told).collect();
        table.add_row([
            Cell::new(one_line(&candidate.agent, MAX_NAME)),
            Cell::new(if candidate.fits { "yes" } else { "no" }),
            Cell::new(part(candidate.score)),
            Cell::new(part(candidate.success)),
            Cell::new(part(candidate.idle)),
            Cell::new(part(candidate.affinity)),
            Cell::new(part(candidate.role)),
            Cell::new(if obstacles.is_empty() { "-".to_owned() } else { obstacles.join("\n") }),
        ]);
    }
    style.finish(&mut table);
    table
}

/// `slots (2 of 2)`.
fn told(obstacle: &AssignmentObstacle) -> String {
    let name = names::obstacle_type(obstacle.r#type);
    match obstacle.detail.is_empty() {
        true => name,
        false => format!("{name} ({})", one_line(&obstacle.detail, MAX_DESCRIPTION)),
    }
}

fn document(explanation: &AssignmentExplanation) -> Value {
    json!({
        "task_id": explanation.task_id,
        "state": names::task_state(explanation.state),
        "waiting_for": explanation.waiting_for.iter().map(|reason| names::wait_reason(*reason)).collect::<Vec<_>>(),
        "agent": explanation.agent,
        "ahead": explanation.ahead,
        "agents": explanation.agents,
        "fitting": explanation.fitting,
        "candidates": explanation.candidates.iter().map(candidate).collect::<Vec<_>>(),
        "limits": explanation.limits.iter().map(json::limit_use).collect::<Vec<_>>(),
        "past": explanation.past.iter().map(past::document).collect::<Vec<_>>(),
    })
}

fn candidate(candidate: &AssignmentCandidate) -> Value {
    let obstacle = |obstacle: &AssignmentObstacle| json!({ "type": names::obstacle_type(obstacle.r#type), "detail": obstacle.detail });
    json!({
        "agent": candidate.agent,
        "fits": candidate.fits,
        "obstacles": candidate.obstacles.iter().map(obstacle).collect::<Vec<_>>(),
        "score": candidate.score,
        "success": candidate.success,
        "idle": candidate.idle,
        "affinity": candidate.affinity,
        "role": candidate.role,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard::v1::{AssignmentObstacleType, TaskState, WaitReason};

    #[test]
    fn an_agent_is_told_with_its_score_or_with_what_it_lacks() {
        let good =
            AssignmentCandidate { agent: "ann".into(), fits: true, score: 0.875, idle: 1.0, ..Default::default() };
        let obstacle = |kind: AssignmentObstacleType, detail: &str| AssignmentObstacle {
            r#type: kind.into(),
            detail: detail.into(),
        };
        let lacking = AssignmentCandidate {
            agent: "bob".into(),
            obstacles: vec![
                obstacle(AssignmentObstacleType::Skill, "rust"),
                obstacle(AssignmentObstacleType::Detached, ""),
            ],
            ..Default::default()
        };
        let shown = table(&[good, lacking], Style::default()).to_string();
        assert!(shown.contains("0.88") && shown.contains("skill (rust)") && shown.contains("detached"), "{shown}");
        let bob = shown.lines().find(|line| line.contains("bob")).unwrap();
        assert!(bob.contains("no") && !bob.contains("0.00"), "{bob}");
    }

    #[test]
    fn a_limit_is_told_as_the_option_takes_it() {
        let limit = callboard::v1::Limit { max_concurrent: Some(3), rate: Some(60), ..Default::default() };
        let told =
            LimitUse { key: "openai".into(), limit: Some(limit), in_use: 3, reached: true, ..Default::default() };
        assert_eq!(limit_told(&told), "limit openai (max:3,rate:60): 3 hold a slot; reached");
    }

    #[test]
    fn the_summary_says_where_the_task_is() {
        let explanation = AssignmentExplanation {
            task_id: "00000000-0000-0000-0000-0000000000ab".into(),
            state: TaskState::Waiting.into(),
            waiting_for: vec![WaitReason::Hold.into()],
            agents: 3,
            fitting: 1,
            ..Default::default()
        };
        let told = summary(&explanation);
        assert!(told.contains("is waiting; waits for hold; 1 of 3 agents fit"), "{told}");
    }
}
