//! The instructions of placement: `client.explain`, and what holds tasks back, `client.set_limits` and `client.add_dependencies`.

use crate::shown::{self, bare, instant_ms, span_ms, state};
use crate::spec::{DependsOn, Refused};
use callboard::{Client, NewLimit, v1};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// A call of the client.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Call {
    #[serde(rename = "client.explain")]
    Explain { task_id: String },
    #[serde(rename = "client.set_limits")]
    SetLimits { limits: Vec<Limit> },
    #[serde(rename = "client.add_dependencies")]
    AddDependencies { task_id: String, dependencies: Vec<DependsOn>, request_id: Option<String> },
}

/// A limit to set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    key: String,
    max_concurrent: Option<i32>,
    rate: Option<i32>,
    rate_period_ms: Option<u64>,
}

impl Call {
    /// Whether the instruction is of placement.
    pub fn is(verb: &str) -> bool {
        matches!(verb, "client.explain" | "client.set_limits" | "client.add_dependencies")
    }

    /// Carries it out, and gives what the line answers.
    pub async fn carry_out(self, client: &Client) -> Result<Value, Refused> {
        Ok(match self {
            Self::Explain { task_id } => explanation(&client.explain(&task_id).await?),
            Self::SetLimits { limits } => set_limits(client, &limits).await?,
            Self::AddDependencies { task_id, dependencies, request_id } => {
                let dependencies = dependencies.iter().map(DependsOn::dependency).collect::<Result<Vec<_>, _>>()?;
                let mut adding = client.add_dependencies(&task_id, dependencies);
                if let Some(request_id) = request_id {
                    adding = adding.request_id(request_id);
                }
                shown::receipt(&adding.await?)
            }
        })
    }
}

/// Of the client's own namespace, whose other settings are the defaults then.
async fn set_limits(client: &Client, limits: &[Limit]) -> Result<Value, Refused> {
    let limits = limits.iter().map(|one| one.limit().into()).collect();
    let settings = v1::NamespaceSettings { limits, ..Default::default() };
    let namespace = client.update_namespace(client.namespace(), settings).await?;
    let limits = namespace.settings.unwrap_or_default().limits;
    Ok(json!({ "limits": limits.iter().map(limit).collect::<Vec<_>>() }))
}

impl Limit {
    fn limit(&self) -> NewLimit {
        let mut limit = NewLimit::on(&self.key);
        if let Some(tasks) = self.max_concurrent {
            limit = limit.max_concurrent(tasks);
        }
        if let Some(attempts) = self.rate {
            limit = limit.rate(attempts);
        }
        match self.rate_period_ms {
            Some(period) => limit.rate_period(Duration::from_millis(period)),
            None => limit,
        }
    }
}

/// Who could have a task, and who had it.
fn explanation(explanation: &v1::AssignmentExplanation) -> Value {
    let waiting_for = explanation.waiting_for().map(|reason| bare(reason.as_str_name(), "WAIT_REASON_"));
    json!({
        "task_id": explanation.task_id, "state": state(explanation.state()),
        "waiting_for": waiting_for.collect::<Vec<_>>(), "agent": explanation.agent, "ahead": explanation.ahead,
        "agents": explanation.agents, "fitting": explanation.fitting,
        "candidates": explanation.candidates.iter().map(candidate).collect::<Vec<_>>(),
        "limits": explanation.limits.iter().map(limit_use).collect::<Vec<_>>(),
        "past": explanation.past.iter().map(choice).collect::<Vec<_>>(),
    })
}

fn candidate(candidate: &v1::AssignmentCandidate) -> Value {
    let obstacles = candidate.obstacles.iter().map(
        |one| json!({ "type": bare(one.r#type().as_str_name(), "ASSIGNMENT_OBSTACLE_TYPE_"), "detail": one.detail }),
    );
    json!({
        "agent": candidate.agent, "fits": candidate.fits, "obstacles": obstacles.collect::<Vec<_>>(),
        "score": candidate.score, "success": candidate.success, "idle": candidate.idle,
        "affinity": candidate.affinity, "role": candidate.role,
    })
}

fn limit_use(used: &v1::LimitUse) -> Value {
    json!({
        "key": used.key, "limit": used.limit.as_ref().map(limit), "in_use": used.in_use, "reached": used.reached,
        "next_at_ms": used.next_at.as_ref().map(instant_ms),
    })
}

/// As the namespace has it.
fn limit(limit: &v1::Limit) -> Value {
    json!({ "key": limit.key, "max_concurrent": limit.max_concurrent, "rate": limit.rate,
            "rate_period_ms": limit.rate_period.as_ref().map(span_ms) })
}

fn choice(choice: &v1::AssignmentChoice) -> Value {
    let runners_up = choice.runners_up.iter().map(|one| json!({ "agent": one.agent, "score": one.score }));
    json!({
        "attempt": choice.attempt, "agent": choice.agent, "claimed": choice.claimed, "score": choice.score,
        "compared": choice.compared, "runners_up": runners_up.collect::<Vec<_>>(),
    })
}
