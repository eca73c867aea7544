//! `AgentService`.

use super::{Answer, Host, attach, check, open, receipts, refuse, unexpected};
use crate::convert::agent::{self, Manner};
use crate::convert::{frame, output, payload, step, task, task_id, time};
use crate::{caller, digest, page, status};
use callboard_core::command::{Command, DirectReport, Fence, Reply, Report, Reporter, RequestToken};
use callboard_core::limits::MAX_CLAIM;
use callboard_core::model::{NamespaceId, Span, TaskId};
use callboard_core::rejection::Rejection;
use callboard_core::validate::Faults;
use callboard_engine::ClaimRequest;
use callboard_proto::v1;
use callboard_proto::v1::agent_service_server::AgentService;
use callboard_store::AgentFilter;
use std::sync::Arc;
use tonic::{Request, Response, Status, Streaming};

/// How long a claim or a heartbeat may ask for.
const MIN_LEASE: Span = Span::seconds(1);
const MAX_LEASE: Span = Span::seconds(24 * 3_600);
/// How long a claim may wait.
const MAX_WAIT: Span = Span::seconds(60);

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Agents(pub Host);

/// Which attempt a unary report is of.
enum Which {
    /// One that was claimed.
    Claimed(Fence),
    /// A task that nobody has.
    Nobodys(TaskId),
}

impl Agents {
    async fn agent(&self, namespace: &str, name: &str) -> Result<v1::Agent, Status> {
        let namespace = caller::namespace(namespace);
        let id = self.0.engine.namespace(&namespace).await.map_err(status::of_engine)?;
        let found = self.0.engine.store().agent(id, name).await.map_err(status::of_store)?;
        let (row, leased) = found.ok_or_else(|| status::of_rejection(Rejection::agent_not_found(name)))?;
        Ok(agent::to_agent(&row, leased, &namespace))
    }

    async fn set_cordon(
        &self,
        principal: Arc<str>,
        (namespace, name): (&str, &str),
        token: Option<RequestToken>,
        cordoned: bool,
    ) -> Result<Option<v1::Agent>, Status> {
        let command = Command::Cordon { name: name.into(), cordoned };
        self.0.command(principal, namespace, token, command).await?;
        self.agent(namespace, name).await.map(Some)
    }

    /// Applies the end of an attempt that was claimed, and gives the task's receipt.
    async fn report(
        &self,
        principal: Arc<str>,
        namespace: &str,
        token: Option<RequestToken>,
        fence: Fence,
        report: Report,
    ) -> Result<Option<v1::TaskReceipt>, Status> {
        let command = Command::Report { fence, reporter: Reporter::Token, report };
        let reply = self.0.command(principal, namespace, token, command).await?;
        Ok(receipts(reply)?.first().map(task::to_receipt))
    }

    async fn namespace(&self, name: &str) -> Result<NamespaceId, Status> {
        self.0.engine.namespace(&caller::namespace(name)).await.map_err(status::of_engine)
    }
}

/// Reads which attempt is meant: all three parts, or the task's id alone.
fn which(attempt: Option<v1::Attempt>, faults: &mut Faults) -> Which {
    match attempt {
        Some(attempt) if attempt.attempt == 0 && attempt.lease_token.is_empty() => {
            Which::Nobodys(task_id("attempt.task_id", &attempt.task_id, faults))
        }
        attempt => Which::Claimed(frame::fence("attempt", attempt, faults)),
    }
}

/// Refuses what no agent can be called.
fn agent_name(name: &str) -> Result<(), Status> {
    let mut faults = Faults::default();
    faults.name("name", name);
    check(faults)
}

/// Who ended a task that nobody had: the name that is given, else the principal.
fn passer_by(name: String, principal: &Arc<str>, faults: &mut Faults) -> Arc<str> {
    if name.is_empty() {
        return principal.clone();
    }
    faults.name("agent", &name);
    name.into()
}

#[tonic::async_trait]
impl AgentService for Agents {
    type AttachStream = attach::Frames;

    async fn attach(&self, request: Request<Streaming<v1::AttachRequest>>) -> Answer<Self::AttachStream> {
        attach::attach(&self.0, request).await
    }

    async fn claim_tasks(&self, request: Request<v1::ClaimTasksRequest>) -> Answer<v1::ClaimTasksResponse> {
        let (principal, mut request) = open(request)?;
        let mut faults = Faults::default();
        let wait = time::span("wait", request.wait.take(), &mut faults).unwrap_or_default();
        faults.span("wait", wait, Span(0), MAX_WAIT);
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("ClaimTasks", &request_id, &request)?;
        let (name, profile) = agent::profile("profile", request.profile, Manner::Claims, &mut faults);
        let lease = time::span("lease", request.lease, &mut faults);
        let lease = lease.unwrap_or(self.0.engine.config().rules.claim_lease);
        faults.span("lease", lease, MIN_LEASE, MAX_LEASE);
        let max = match usize::try_from(request.max_tasks) {
            Ok(0) => 1,
            Ok(max) if max <= MAX_CLAIM => max,
            _ => {
                faults.add("max_tasks", format!("is {}; must be 0 (one) to {MAX_CLAIM}", request.max_tasks));
                1
            }
        };
        check(faults)?;
        let claim = ClaimRequest {
            namespace: caller::namespace(&request.namespace),
            principal,
            request: token,
            name,
            profile,
            max,
            lease,
            wait: wait.to_std(),
        };
        // A server that goes away answers a waiting claim with nothing rather than losing what it may just have leased.
        let claimed = self.0.engine.claim(claim, self.0.drain.begun.cancelled()).await.map_err(status::of_engine)?;
        let assignments = claimed.iter().map(frame::to_assignment).collect();
        Ok(Response::new(v1::ClaimTasksResponse { assignments }))
    }

    async fn heartbeat_task(&self, request: Request<v1::HeartbeatTaskRequest>) -> Answer<v1::HeartbeatTaskResponse> {
        let (principal, request) = open(request)?;
        let mut faults = Faults::default();
        let fence = frame::fence("attempt", request.attempt, &mut faults);
        let lease = time::span("lease", request.lease, &mut faults);
        if let Some(lease) = lease {
            faults.span("lease", lease, MIN_LEASE, MAX_LEASE);
        }
        let progress = request.progress.map(|said| frame::progress("progress", said, &mut faults));
        let checkpoint = request.checkpoint.map(|saved| payload::checkpoint("checkpoint", Some(saved), &mut faults));
        let steps = step::new_steps(request.steps, &mut faults);
        let output = request.output.map(|given| output::batch("output", given, &mut faults));
        check(faults)?;
        let command = Command::Heartbeat { fence, lease, progress, checkpoint, steps, output };
        match self.0.command(principal, &request.namespace, None, command).await? {
            Reply::Extended { until, cancel_requested } => Ok(Response::new(v1::HeartbeatTaskResponse {
                lease_expires_at: Some(time::to_timestamp(until)),
                cancel_requested,
            })),
            other => Err(unexpected(&other)),
        }
    }

    async fn complete_task(&self, request: Request<v1::CompleteTaskRequest>) -> Answer<v1::CompleteTaskResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("CompleteTask", &request_id, &request)?;
        let mut faults = Faults::default();
        let which = which(request.attempt, &mut faults);
        let result = payload::payload("result", request.result, &mut faults);
        let agent = passer_by(request.agent, &principal, &mut faults);
        check(faults)?;
        let receipt = match which {
            Which::Claimed(fence) => {
                let report = Report::Completed { digest: payload::digest(&result), result };
                self.report(principal, &request.namespace, token, fence, report).await?
            }
            Which::Nobodys(task) => {
                let command = Command::DirectReport { task, agent, report: DirectReport::Completed(result) };
                let reply = self.0.command(principal, &request.namespace, token, command).await?;
                receipts(reply)?.first().map(task::to_receipt)
            }
        };
        Ok(Response::new(v1::CompleteTaskResponse { receipt }))
    }

    async fn fail_task(&self, request: Request<v1::FailTaskRequest>) -> Answer<v1::FailTaskResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("FailTask", &request_id, &request)?;
        let mut faults = Faults::default();
        let which = which(request.attempt, &mut faults);
        let failure = Arc::new(payload::failure("failure", request.failure, &mut faults));
        let agent = passer_by(request.agent, &principal, &mut faults);
        check(faults)?;
        let receipt = match which {
            Which::Claimed(fence) => {
                let report = Report::Failed { digest: payload::failure_digest(&failure), failure };
                self.report(principal, &request.namespace, token, fence, report).await?
            }
            Which::Nobodys(task) => {
                let command = Command::DirectReport { task, agent, report: DirectReport::Failed(failure) };
                let reply = self.0.command(principal, &request.namespace, token, command).await?;
                receipts(reply)?.first().map(task::to_receipt)
            }
        };
        Ok(Response::new(v1::FailTaskResponse { receipt }))
    }

    async fn get_agent(&self, request: Request<v1::GetAgentRequest>) -> Answer<v1::GetAgentResponse> {
        let (_, request) = open(request)?;
        agent_name(&request.name)?;
        let agent = Some(self.agent(&request.namespace, &request.name).await?);
        Ok(Response::new(v1::GetAgentResponse { agent }))
    }

    async fn list_agents(&self, request: Request<v1::ListAgentsRequest>) -> Answer<v1::ListAgentsResponse> {
        let (_, mut request) = open(request)?;
        let size = page::size(std::mem::take(&mut request.page_size))?;
        let token = std::mem::take(&mut request.page_token);
        let query = page::Query::of("ListAgents", &request);
        let mut after: Option<String> = query.place("page_token", &token)?;
        let name = caller::namespace(&request.namespace);
        let namespace = self.namespace(&request.namespace).await?;
        for state in &request.states {
            if v1::AgentState::try_from(*state).map_or(true, |state| state == v1::AgentState::Unspecified) {
                return refuse("states", format!("{state} is not an agent state; use ATTACHED (1) to CLAIMING (5)"));
            }
        }
        let filter = AgentFilter { agent_type: crate::convert::some(request.agent_type) };
        let (mut agents, mut more) = (Vec::new(), true);
        let mut room = page::Room::new();
        'reads: while more && agents.len() < size {
            let left = size - agents.len();
            let store = self.0.engine.store();
            let page = store.agents(namespace, &filter, after.as_deref(), left).await.map_err(status::of_store)?;
            for (row, leased) in &page.agents {
                if request.states.is_empty() || request.states.contains(&agent::state(row).into()) {
                    let message = agent::to_agent(row, *leased, &name);
                    if !room.takes(&message) {
                        more = true;
                        break 'reads;
                    }
                    agents.push(message);
                }
                after = Some(row.name.to_string());
            }
            more = page.more;
        }
        let next = after.filter(|_| more).map(|after| query.token(&after));
        Ok(Response::new(v1::ListAgentsResponse { agents, next_page_token: next.unwrap_or_default() }))
    }

    async fn cordon_agent(&self, request: Request<v1::CordonAgentRequest>) -> Answer<v1::CordonAgentResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("CordonAgent", &request_id, &request)?;
        agent_name(&request.name)?;
        let agent = self.set_cordon(principal, (&request.namespace, &request.name), token, true).await?;
        Ok(Response::new(v1::CordonAgentResponse { agent }))
    }

    async fn uncordon_agent(&self, request: Request<v1::UncordonAgentRequest>) -> Answer<v1::UncordonAgentResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("UncordonAgent", &request_id, &request)?;
        agent_name(&request.name)?;
        let agent = self.set_cordon(principal, (&request.namespace, &request.name), token, false).await?;
        Ok(Response::new(v1::UncordonAgentResponse { agent }))
    }

    async fn remove_agent(&self, request: Request<v1::RemoveAgentRequest>) -> Answer<v1::RemoveAgentResponse> {
        let (principal, mut request) = open(request)?;
        let request_id = std::mem::take(&mut request.request_id);
        let token = digest::token("RemoveAgent", &request_id, &request)?;
        agent_name(&request.name)?;
        let command = Command::RemoveAgent { name: request.name.into() };
        self.0.command(principal, &request.namespace, token, command).await?;
        Ok(Response::new(v1::RemoveAgentResponse {}))
    }

    async fn create_child(&self, request: Request<v1::CreateChildRequest>) -> Answer<v1::CreateChildResponse> {
        let (principal, request) = open(request)?;
        super::children::create(&self.0, principal, request).await.map(Response::new)
    }
}
