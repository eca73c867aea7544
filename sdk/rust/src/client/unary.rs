//! The unary calls, each with what the SDK fills in, checks and waits for.

use std::future::Future;
use std::time::Duration;

use callboard_proto::v1::admin_service_client::AdminServiceClient;
use callboard_proto::v1::agent_service_client::AgentServiceClient;
use callboard_proto::v1::message_service_client::MessageServiceClient;
use callboard_proto::v1::namespace_service_client::NamespaceServiceClient;
use callboard_proto::v1::task_service_client::TaskServiceClient;
use callboard_proto::v1::workflow_service_client::WorkflowServiceClient;
use callboard_proto::{MAX_MESSAGE_BYTES, v1};
use tonic::{Request, Response, Status};

use crate::transport::Connection;
use crate::{Result, payload, time};

/// How long RunTask, WaitTask and WaitWorkflow wait when the request doesn't say.
const SERVER_WAIT: Duration = Duration::from_secs(30);

/// What is filled in where a request leaves it empty.
#[derive(Debug)]
pub struct Defaults {
    pub(super) namespace: String,
    pub(super) request_id: String,
}

/// A request of a unary call, for [`crate::Client::call`]: every unary request in [`crate::v1`] is one.
pub trait Unary: prost::Message + Clone + sealed::Sealed + 'static {
    /// What the call answers.
    type Response: Send;

    #[doc(hidden)]
    fn fill(&mut self, defaults: &Defaults);
    #[doc(hidden)]
    fn check(&self) -> Result<()>;
    #[doc(hidden)]
    fn waits(&self) -> Duration;
    #[doc(hidden)]
    fn send(
        channel: Connection,
        request: Request<Self>,
    ) -> impl Future<Output = Result<Response<Self::Response>, Status>> + Send;
}

mod sealed {
    pub trait Sealed {}
}

/// One line a method: `method(Request) -> Response fills [fields] (checks function)? (waits function)?`.
macro_rules! unary {
    ($client:ident { $(
        $method:ident($request:ident) -> $response:ident fills [$($field:ident),*]
        $(checks $check:expr,)? $(waits $wait:expr,)? ;
    )* }) => { $(
        impl sealed::Sealed for v1::$request {}
        impl Unary for v1::$request {
            type Response = v1::$response;

            fn fill(&mut self, _defaults: &Defaults) {
                $(if self.$field.is_empty() { self.$field.clone_from(&_defaults.$field); })*
            }
            fn check(&self) -> Result<()> {
                $($check(self)?;)?
                Ok(())
            }
            fn waits(&self) -> Duration {
                let waits = Duration::ZERO;
                $(let waits = waits + $wait(self);)?
                waits
            }
            async fn send(channel: Connection, request: Request<Self>) -> Result<Response<v1::$response>, Status> {
                let mut client = $client::new(channel).max_decoding_message_size(MAX_MESSAGE_BYTES);
                client.$method(request).await
            }
        }
    )* };
}

unary!(TaskServiceClient {
    create_task(CreateTaskRequest) -> CreateTaskResponse fills [namespace, request_id]
        checks |r: &v1::CreateTaskRequest| check_spec("task", r.task.as_ref()),;
    batch_create_tasks(BatchCreateTasksRequest) -> BatchCreateTasksResponse fills [namespace, request_id]
        checks check_specs,;
    run_task(RunTaskRequest) -> RunTaskResponse fills [namespace, request_id]
        checks |r: &v1::RunTaskRequest| check_spec("task", r.task.as_ref()),
        waits |r: &v1::RunTaskRequest| given(r.wait.as_ref(), SERVER_WAIT),;
    get_task(GetTaskRequest) -> GetTaskResponse fills [namespace];
    list_tasks(ListTasksRequest) -> ListTasksResponse fills [namespace];
    wait_task(WaitTaskRequest) -> WaitTaskResponse fills [namespace]
        waits |r: &v1::WaitTaskRequest| given(r.wait.as_ref(), SERVER_WAIT),;
    cancel_task(CancelTaskRequest) -> CancelTaskResponse fills [namespace, request_id];
    retry_task(RetryTaskRequest) -> RetryTaskResponse fills [namespace, request_id];
    hold_task(HoldTaskRequest) -> HoldTaskResponse fills [namespace, request_id];
    release_task(ReleaseTaskRequest) -> ReleaseTaskResponse fills [namespace, request_id];
    explain_assignment(ExplainAssignmentRequest) -> ExplainAssignmentResponse fills [namespace];
    update_task(UpdateTaskRequest) -> UpdateTaskResponse fills [namespace, request_id];
    add_dependencies(AddDependenciesRequest) -> AddDependenciesResponse fills [namespace, request_id];
    list_task_events(ListTaskEventsRequest) -> ListTaskEventsResponse fills [namespace];
    list_dependency_results(ListDependencyResultsRequest) -> ListDependencyResultsResponse fills [namespace];
    list_steps(ListStepsRequest) -> ListStepsResponse fills [namespace];
    list_children(ListChildrenRequest) -> ListChildrenResponse fills [namespace];
    list_output(ListOutputRequest) -> ListOutputResponse fills [namespace];
});

unary!(WorkflowServiceClient {
    create_workflow(CreateWorkflowRequest) -> CreateWorkflowResponse fills [namespace, request_id]
        checks |r: &v1::CreateWorkflowRequest| check_workflow(r.workflow.as_ref()),;
    get_workflow(GetWorkflowRequest) -> GetWorkflowResponse fills [namespace];
    list_workflows(ListWorkflowsRequest) -> ListWorkflowsResponse fills [namespace];
    list_workflow_tasks(ListWorkflowTasksRequest) -> ListWorkflowTasksResponse fills [namespace];
    wait_workflow(WaitWorkflowRequest) -> WaitWorkflowResponse fills [namespace]
        waits |r: &v1::WaitWorkflowRequest| given(r.wait.as_ref(), SERVER_WAIT),;
    cancel_workflow(CancelWorkflowRequest) -> CancelWorkflowResponse fills [namespace, request_id];
    retry_workflow(RetryWorkflowRequest) -> RetryWorkflowResponse fills [namespace, request_id];
    add_workflow_tasks(AddWorkflowTasksRequest) -> AddWorkflowTasksResponse fills [namespace, request_id]
        checks |r: &v1::AddWorkflowTasksRequest| check_workflow_tasks("tasks", &r.tasks),;
    hold_workflow(HoldWorkflowRequest) -> HoldWorkflowResponse fills [namespace, request_id];
    release_workflow(ReleaseWorkflowRequest) -> ReleaseWorkflowResponse fills [namespace, request_id];
    forecast_workflow(ForecastWorkflowRequest) -> ForecastWorkflowResponse fills [namespace];
});

unary!(AgentServiceClient {
    claim_tasks(ClaimTasksRequest) -> ClaimTasksResponse fills [namespace, request_id]
        waits |r: &v1::ClaimTasksRequest| given(r.wait.as_ref(), Duration::ZERO),;
    heartbeat_task(HeartbeatTaskRequest) -> HeartbeatTaskResponse fills [namespace]
        checks check_heartbeat,;
    complete_task(CompleteTaskRequest) -> CompleteTaskResponse fills [namespace, request_id]
        checks |r: &v1::CompleteTaskRequest| check_payload("result", r.result.as_ref()),;
    fail_task(FailTaskRequest) -> FailTaskResponse fills [namespace, request_id]
        checks check_failure,;
    create_child(CreateChildRequest) -> CreateChildResponse fills [namespace, request_id]
        checks |r: &v1::CreateChildRequest| check_spec("task", r.task.as_ref()),;
    get_agent(GetAgentRequest) -> GetAgentResponse fills [namespace];
    list_agents(ListAgentsRequest) -> ListAgentsResponse fills [namespace];
    cordon_agent(CordonAgentRequest) -> CordonAgentResponse fills [namespace, request_id];
    uncordon_agent(UncordonAgentRequest) -> UncordonAgentResponse fills [namespace, request_id];
    remove_agent(RemoveAgentRequest) -> RemoveAgentResponse fills [namespace, request_id];
});

unary!(MessageServiceClient {
    send_message(SendMessageRequest) -> SendMessageResponse fills [namespace, request_id]
        checks |r: &v1::SendMessageRequest| check_message(r.message.as_ref()),;
    fetch_messages(FetchMessagesRequest) -> FetchMessagesResponse fills [namespace]
        waits |r: &v1::FetchMessagesRequest| given(r.wait.as_ref(), Duration::ZERO),;
    acknowledge_messages(AcknowledgeMessagesRequest) -> AcknowledgeMessagesResponse fills [namespace];
});

unary!(NamespaceServiceClient {
    create_namespace(CreateNamespaceRequest) -> CreateNamespaceResponse fills [request_id];
    get_namespace(GetNamespaceRequest) -> GetNamespaceResponse fills [];
    list_namespaces(ListNamespacesRequest) -> ListNamespacesResponse fills [];
    update_namespace(UpdateNamespaceRequest) -> UpdateNamespaceResponse fills [request_id];
});

unary!(AdminServiceClient {
    get_log_filter(GetLogFilterRequest) -> GetLogFilterResponse fills [];
    set_log_filter(SetLogFilterRequest) -> SetLogFilterResponse fills [];
});

fn given(wait: Option<&prost_types::Duration>, otherwise: Duration) -> Duration {
    wait.map_or(otherwise, time::duration)
}

fn check_payload(field: &str, payload: Option<&v1::Payload>) -> Result<()> {
    payload.map_or(Ok(()), |payload| payload::check(field, payload))
}

fn check_message(message: Option<&v1::NewMessage>) -> Result<()> {
    check_payload("message.payload", message.and_then(|message| message.payload.as_ref()))
}

pub(super) fn check_spec(field: &str, spec: Option<&v1::TaskSpec>) -> Result<()> {
    check_payload(&format!("{field}.input"), spec.and_then(|spec| spec.input.as_ref()))
}

fn check_specs(request: &v1::BatchCreateTasksRequest) -> Result<()> {
    let mut specs = request.tasks.iter().enumerate();
    specs.try_for_each(|(index, spec)| check_spec(&format!("tasks[{index}]"), Some(spec)))
}

fn check_workflow(workflow: Option<&v1::WorkflowSpec>) -> Result<()> {
    check_workflow_tasks("workflow.tasks", workflow.map(|workflow| workflow.tasks.as_slice()).unwrap_or_default())
}

fn check_workflow_tasks(field: &str, tasks: &[v1::WorkflowTask]) -> Result<()> {
    let mut tasks = tasks.iter().enumerate();
    tasks.try_for_each(|(index, task)| check_spec(&format!("{field}[{index}].task"), task.task.as_ref()))
}

fn check_heartbeat(request: &v1::HeartbeatTaskRequest) -> Result<()> {
    check_payload("checkpoint", request.checkpoint.as_ref())?;
    let mut steps = request.steps.iter().enumerate();
    steps.try_for_each(|(index, step)| check_payload(&format!("steps[{index}].result"), step.result.as_ref()))
}

fn check_failure(request: &v1::FailTaskRequest) -> Result<()> {
    let details = request.failure.as_ref().and_then(|failure| failure.details.as_ref());
    check_payload("failure.details", details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use callboard_proto::MAX_PAYLOAD_BYTES;

    fn defaults() -> Defaults {
        Defaults { namespace: "n".into(), request_id: "made".into() }
    }

    #[test]
    fn what_is_empty_is_filled_and_what_is_given_stays() {
        let mut request = v1::CancelTaskRequest::default();
        request.fill(&defaults());
        assert_eq!((request.namespace.as_str(), request.request_id.as_str()), ("n", "made"));

        let mut request = v1::CancelTaskRequest { request_id: "mine".into(), ..Default::default() };
        request.fill(&defaults());
        assert_eq!(request.request_id, "mine");
    }

    #[test]
    fn large_payloads_are_refused_by_field() {
        let input = v1::Payload {
            content: Some(v1::payload::Content::Text("x".repeat(MAX_PAYLOAD_BYTES + 1))),
            ..Default::default()
        };
        let large = v1::TaskSpec { input: Some(input), ..Default::default() };
        let tasks = vec![v1::TaskSpec::default(), large.clone()];
        let error = v1::BatchCreateTasksRequest { tasks, ..Default::default() }.check().unwrap_err();
        assert_eq!(error.reason(), "PAYLOAD_TOO_LARGE");
        assert!(error.to_string().starts_with("tasks[1].input"), "{error}");

        let task = v1::WorkflowTask { task: Some(large), ..Default::default() };
        let tasks = vec![v1::WorkflowTask::default(), task];
        let workflow = Some(v1::WorkflowSpec { tasks: tasks.clone(), ..Default::default() });
        let error = v1::CreateWorkflowRequest { workflow, ..Default::default() }.check().unwrap_err();
        assert!(error.to_string().starts_with("workflow.tasks[1].task.input"), "{error}");
        let error = v1::AddWorkflowTasksRequest { tasks, ..Default::default() }.check().unwrap_err();
        assert!(error.to_string().starts_with("tasks[1].task.input"), "{error}");
    }

    #[test]
    fn waits_are_added_to_the_timeout() {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        assert_eq!(v1::GetTaskRequest::default().waits(), Duration::ZERO);
        assert_eq!(v1::WaitTaskRequest::default().waits(), SERVER_WAIT);
        assert_eq!(v1::WaitWorkflowRequest::default().waits(), SERVER_WAIT);
        assert_eq!(v1::ClaimTasksRequest::default().waits(), Duration::ZERO);
        assert_eq!(v1::ClaimTasksRequest { wait: seconds(60), ..Default::default() }.waits(), Duration::from_secs(60));
    }
}
