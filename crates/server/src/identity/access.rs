//! The table: who may call what, and where a request names its namespace. One line for each method.
//!
//! A method without a line is not served, and its handler doesn't compile: `open` wants to know the namespace. What the table
//! says is checked from outside, by calls of every method of the descriptors with every role.

use super::Role::{self, Admin, Agent, Operator, Submitter, Viewer};
use callboard_proto::v1;
use std::collections::HashMap;
use std::sync::LazyLock;

/// Who gets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Anybody: it tells nothing of anybody's tasks, and those who ask have no token.
    Open,
    /// Anybody with a name: it tells the public protocol and nothing else.
    Named,
    /// These roles, in the namespaces that they have.
    Roles(&'static [Role]),
    /// These roles, if they have all namespaces: it is about all of them.
    Everywhere(&'static [Role]),
}

/// Who looks.
const LOOK: &[Role] = &[Viewer, Submitter, Agent, Operator, Admin];
/// Who submits tasks and steers them.
const SUBMIT: &[Role] = &[Submitter, Operator, Admin];
/// Who works.
const WORK: &[Role] = &[Agent, Admin];
/// Who writes to agents.
const TALK: &[Role] = &[Submitter, Agent, Operator, Admin];
/// Who sees what waits in mailboxes: agents in their own, those who look after agents in all.
const READ_MAIL: &[Role] = &[Agent, Operator, Admin];
/// Who looks after agents.
const OPERATE: &[Role] = &[Operator, Admin];
/// Who changes what holds for everybody: namespaces, and the process itself.
const ADMINISTER: &[Role] = &[Admin];

/// A message that says in which namespace it asks for something.
pub(crate) trait Scoped {
    /// The namespace as it stands in the message; `None`: it asks for nothing of a namespace.
    fn namespace(&self) -> Option<&str>;
}

/// `Service { Method(Message.field) => ROLES, }`; a message without a namespace stands without a field, and its handler shows
/// only what the caller may see. `ROLES everywhere`: these roles, if they have all namespaces.
macro_rules! table {
    ($($service:ident { $($method:ident($message:ident $(. $field:ident)?) => $roles:ident $($everywhere:ident)?,)* })*) => {
        const TABLE: &[(&str, Place)] = &[$($(
            (
                concat!("/callboard.v1.", stringify!($service), "/", stringify!($method)),
                table!(@place $roles $($everywhere)?),
            ),
        )*)*];
        $($(
            impl Scoped for v1::$message {
                fn namespace(&self) -> Option<&str> {
                    table!(@namespace self $($field)?)
                }
            }
        )*)*
    };
    (@place $roles:ident) => { Place::Roles($roles) };
    (@place $roles:ident everywhere) => { Place::Everywhere($roles) };
    (@namespace $request:ident $field:ident) => { Some(&$request.$field) };
    (@namespace $request:ident) => { None };
}

table! {
    TaskService {
        CreateTask(CreateTaskRequest.namespace) => SUBMIT,
        BatchCreateTasks(BatchCreateTasksRequest.namespace) => SUBMIT,
        RunTask(RunTaskRequest.namespace) => SUBMIT,
        RunTasks(RunTasksRequest.namespace) => SUBMIT,
        GetTask(GetTaskRequest.namespace) => LOOK,
        ListTasks(ListTasksRequest.namespace) => LOOK,
        WaitTask(WaitTaskRequest.namespace) => LOOK,
        CancelTask(CancelTaskRequest.namespace) => SUBMIT,
        RetryTask(RetryTaskRequest.namespace) => SUBMIT,
        HoldTask(HoldTaskRequest.namespace) => SUBMIT,
        ReleaseTask(ReleaseTaskRequest.namespace) => SUBMIT,
        ExplainAssignment(ExplainAssignmentRequest.namespace) => LOOK,
        UpdateTask(UpdateTaskRequest.namespace) => SUBMIT,
        AddDependencies(AddDependenciesRequest.namespace) => SUBMIT,
        ListTaskEvents(ListTaskEventsRequest.namespace) => LOOK,
        ListDependencyResults(ListDependencyResultsRequest.namespace) => LOOK,
        ListSteps(ListStepsRequest.namespace) => LOOK,
        ListChildren(ListChildrenRequest.namespace) => LOOK,
        ListOutput(ListOutputRequest.namespace) => LOOK,
        WatchOutput(WatchOutputRequest.namespace) => LOOK,
        WatchEvents(WatchEventsRequest.namespace) => LOOK,
    }
    AgentService {
        Attach(Hello.namespace) => WORK,
        ClaimTasks(ClaimTasksRequest.namespace) => WORK,
        HeartbeatTask(HeartbeatTaskRequest.namespace) => WORK,
        CompleteTask(CompleteTaskRequest.namespace) => WORK,
        FailTask(FailTaskRequest.namespace) => WORK,
        CreateChild(CreateChildRequest.namespace) => WORK,
        GetAgent(GetAgentRequest.namespace) => LOOK,
        ListAgents(ListAgentsRequest.namespace) => LOOK,
        CordonAgent(CordonAgentRequest.namespace) => OPERATE,
        UncordonAgent(UncordonAgentRequest.namespace) => OPERATE,
        RemoveAgent(RemoveAgentRequest.namespace) => OPERATE,
    }
    WorkflowService {
        CreateWorkflow(CreateWorkflowRequest.namespace) => SUBMIT,
        GetWorkflow(GetWorkflowRequest.namespace) => LOOK,
        ListWorkflows(ListWorkflowsRequest.namespace) => LOOK,
        ListWorkflowTasks(ListWorkflowTasksRequest.namespace) => LOOK,
        WaitWorkflow(WaitWorkflowRequest.namespace) => LOOK,
        CancelWorkflow(CancelWorkflowRequest.namespace) => SUBMIT,
        RetryWorkflow(RetryWorkflowRequest.namespace) => SUBMIT,
        AddWorkflowTasks(AddWorkflowTasksRequest.namespace) => SUBMIT,
        HoldWorkflow(HoldWorkflowRequest.namespace) => SUBMIT,
        ReleaseWorkflow(ReleaseWorkflowRequest.namespace) => SUBMIT,
        ForecastWorkflow(ForecastWorkflowRequest.namespace) => LOOK,
    }
    MessageService {
        SendMessage(SendMessageRequest.namespace) => TALK,
        FetchMessages(FetchMessagesRequest.namespace) => READ_MAIL,
        AcknowledgeMessages(AcknowledgeMessagesRequest.namespace) => WORK,
    }
    NamespaceService {
        CreateNamespace(CreateNamespaceRequest.name) => ADMINISTER,
        GetNamespace(GetNamespaceRequest.name) => LOOK,
        ListNamespaces(ListNamespacesRequest) => LOOK,
        UpdateNamespace(UpdateNamespaceRequest.name) => ADMINISTER,
    }
    AdminService {
        GetLogFilter(GetLogFilterRequest) => OPERATE everywhere,
        SetLogFilter(SetLogFilterRequest) => ADMINISTER everywhere,
    }
}

/// Beside our own methods: the standard services, and pages.
const BESIDE: &[(&str, Place)] = &[
    ("/grpc.health.v1.Health/Check", Place::Open),
    ("/grpc.health.v1.Health/Watch", Place::Open),
    ("/grpc.health.v1.Health/List", Place::Open),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Place::Named),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Place::Named),
    ("/healthz", Place::Open),
    ("/readyz", Place::Open),
    ("/metrics", Place::Everywhere(LOOK)),
];

/// Who may ask for a path; `None`: nobody, it is not served.
pub(super) fn place(path: &str) -> Option<Place> {
    static PLACES: LazyLock<HashMap<&str, Place>> = LazyLock::new(|| TABLE.iter().chain(BESIDE).copied().collect());
    PLACES.get(path).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_line_is_not_served() {
        assert_eq!(place("/callboard.v1.TaskService/CreateTask"), Some(Place::Roles(SUBMIT)));
        for unknown in ["/callboard.v1.TaskService/DropTasks", "/callboard.v1.TaskService", "/", "", "/healthz/"] {
            assert_eq!(place(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_request_says_where_it_asks() {
        let request = v1::GetNamespaceRequest { name: "team".into() };
        assert_eq!(request.namespace(), Some("team"));
        assert_eq!(v1::ListNamespacesRequest::default().namespace(), None);
    }
}
