//! The table of what is allowed, checked by calls: every method of the descriptors, with every role, in its own namespace, in
//! another's and in one that doesn't exist. A method without a line here fails the test.

use super::call::{Method, call, methods};
use callboard::v1;
use callboard_tests::identity::Identities;
use callboard_tests::refusal;
use callboard_tests::server::Server;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt;

const ROLES: [&str; 5] = ["viewer", "submitter", "agent", "operator", "admin"];

const LOOK: &str = "viewer submitter agent operator admin";
const SUBMIT: &str = "submitter operator admin";
const WORK: &str = "agent admin";
const TALK: &str = "submitter agent operator admin";
const READ_MAIL: &str = "agent operator admin";
const OPERATE: &str = "operator admin";
const ADMINISTER: &str = "admin";

/// Who may call what. A new method gets its line here and in `crates/server/src/identity/access.rs`.
const TABLE: &[(&str, &str)] = &[
    ("TaskService/CreateTask", SUBMIT),
    ("TaskService/BatchCreateTasks", SUBMIT),
    ("TaskService/RunTask", SUBMIT),
    ("TaskService/RunTasks", SUBMIT),
    ("TaskService/GetTask", LOOK),
    ("TaskService/ListTasks", LOOK),
    ("TaskService/WaitTask", LOOK),
    ("TaskService/CancelTask", SUBMIT),
    ("TaskService/RetryTask", SUBMIT),
    ("TaskService/HoldTask", SUBMIT),
    ("TaskService/ReleaseTask", SUBMIT),
    ("TaskService/ExplainAssignment", LOOK),
    ("TaskService/UpdateTask", SUBMIT),
    ("TaskService/AddDependencies", SUBMIT),
    ("TaskService/ListTaskEvents", LOOK),
    ("TaskService/ListDependencyResults", LOOK),
    ("TaskService/ListSteps", LOOK),
    ("TaskService/ListChildren", LOOK),
    ("TaskService/ListOutput", LOOK),
    ("TaskService/WatchOutput", LOOK),
    ("TaskService/WatchEvents", LOOK),
    ("WorkflowService/CreateWorkflow", SUBMIT),
    ("WorkflowService/GetWorkflow", LOOK),
    ("WorkflowService/ListWorkflows", LOOK),
    ("WorkflowService/ListWorkflowTasks", LOOK),
    ("WorkflowService/WaitWorkflow", LOOK),
    ("WorkflowService/CancelWorkflow", SUBMIT),
    ("WorkflowService/RetryWorkflow", SUBMIT),
    ("WorkflowService/AddWorkflowTasks", SUBMIT),
    ("WorkflowService/HoldWorkflow", SUBMIT),
    ("WorkflowService/ReleaseWorkflow", SUBMIT),
    ("WorkflowService/ForecastWorkflow", LOOK),
    ("AgentService/Attach", WORK),
    ("AgentService/ClaimTasks", WORK),
    ("AgentService/HeartbeatTask", WORK),
    ("AgentService/CompleteTask", WORK),
    ("AgentService/FailTask", WORK),
    ("AgentService/CreateChild", WORK),
    ("AgentService/GetAgent", LOOK),
    ("AgentService/ListAgents", LOOK),
    ("AgentService/CordonAgent", OPERATE),
    ("AgentService/UncordonAgent", OPERATE),
    ("AgentService/RemoveAgent", OPERATE),
    ("MessageService/SendMessage", TALK),
    ("MessageService/FetchMessages", READ_MAIL),
    ("MessageService/AcknowledgeMessages", WORK),
    ("NamespaceService/CreateNamespace", ADMINISTER),
    ("NamespaceService/GetNamespace", LOOK),
    ("NamespaceService/ListNamespaces", LOOK),
    ("NamespaceService/UpdateNamespace", ADMINISTER),
    ("AdminService/GetLogFilter", OPERATE),
    ("AdminService/SetLogFilter", ADMINISTER),
];

/// Methods whose requests name no namespace; each needs a reason why nothing of others is shown.
const WITHOUT_NAMESPACE: &[&str] = &[
    // Lists those alone that the caller may use: see below.
    "NamespaceService/ListNamespaces",
    // Only for those who have all namespaces.
    "AdminService/GetLogFilter",
    "AdminService/SetLogFilter",
];

/// Methods that are about all namespaces: a role in some of them is not enough.
const EVERYWHERE: &[&str] = &["AdminService/GetLogFilter", "AdminService/SetLogFilter"];

fn path(name: &str) -> String {
    format!("/callboard.v1.{name}")
}

type Tokens = BTreeMap<&'static str, String>;

/// A server with a token for each role in the namespace `own`, one for each in all, and a namespace `theirs`.
async fn start() -> (Server, Channel, Tokens, Tokens) {
    let mut identities = Identities::default();
    let tokens = ROLES.map(|role| (role, identities.token(role, role, "own"))).into();
    let of_all: Tokens = ROLES.map(|role| (role, identities.token(&format!("all-{role}"), role, "*"))).into();
    let root = &of_all["admin"];
    let server = Server::builder().identities(identities).start().await;
    let channel = server.channel().await;
    for name in ["own", "theirs"] {
        let request = v1::CreateNamespaceRequest { name: name.into(), ..Default::default() };
        let path = path("NamespaceService/CreateNamespace");
        call(&channel, &path, request.encode_to_vec(), Some(root)).await.unwrap();
    }
    (server, channel, tokens, of_all)
}

fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// Let in: whatever came of it then.
fn let_in(answer: &Result<Vec<u8>, Status>) -> bool {
    match answer {
        Ok(_) => true,
        Err(status) => {
            !matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied | Code::Unimplemented)
                && reason(status) != "NAMESPACE_NOT_FOUND"
        }
    }
}

#[test]
fn every_method_has_its_line_and_every_line_its_method() {
    let methods: BTreeSet<String> = methods().into_iter().map(|method| method.name).collect();
    let lines: BTreeSet<String> = TABLE.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(methods, lines, "left: the descriptors; right: the table");
    assert_eq!(lines.len(), TABLE.len(), "a method has one line");
}

#[tokio::test]
async fn what_is_allowed_is_what_the_table_says() {
    let (_server, channel, tokens, of_all) = start().await;
    for method in methods() {
        let allowed = TABLE.iter().find(|(name, _)| *name == method.name).expect("a line in the table").1;
        let everywhere = EVERYWHERE.contains(&&*method.name);
        for (role, token) in &tokens {
            let allowed = allowed.split(' ').any(|allowed| allowed == *role);
            check(&channel, &method, role, token, allowed && !everywhere).await;
            if everywhere {
                check(&channel, &method, role, &of_all[role], allowed).await;
            }
        }
        without_credentials(&channel, &method).await;
    }
}

async fn check(channel: &Channel, method: &Method, role: &str, token: &str, allowed: bool) {
    let path = path(&method.name);
    let call = |namespace| call(channel, &path, method.request(namespace), Some(token));
    let own = call("own").await;
    let case = format!("{} as {role}: {own:?}", method.name);
    if !allowed {
        for status in [own, call("theirs").await, call("nobody").await].map(Result::unwrap_err) {
            refusal(&status, Code::PermissionDenied, "ROLE_NOT_ALLOWED");
            let remedies = ["one of these roles may: ", "needs an identity with namespaces = \"*\""];
            assert!(remedies.iter().any(|remedy| status.message().contains(remedy)), "{status:?}");
        }
        return;
    }
    assert!(let_in(&own), "{case}");
    if !method.has_namespace() {
        assert!(WITHOUT_NAMESPACE.contains(&&*method.name), "{case}: its request names no namespace");
        return;
    }
    let (theirs, nobody) = (call("theirs").await.unwrap_err(), call("nobody").await.unwrap_err());
    refusal(&theirs, Code::NotFound, "NAMESPACE_NOT_FOUND");
    let told = |status: &Status, name: &str| {
        let details = String::from_utf8_lossy(status.details()).replace(name, "NAME");
        (status.code(), status.message().replace(name, "NAME"), details)
    };
    assert_eq!(told(&theirs, "theirs"), told(&nobody, "nobody"), "{case}: others' namespaces must look like none");
    if role != "admin" || !method.name.starts_with("NamespaceService/") {
        let default = call("").await;
        assert!(!let_in(&default), "{case}: empty means `default`, which is not its own");
    }
}

async fn without_credentials(channel: &Channel, method: &Method) {
    let path = path(&method.name);
    let missing = call(channel, &path, method.request("own"), None).await.unwrap_err();
    refusal(&missing, Code::Unauthenticated, "CREDENTIALS_MISSING");
    let unknown = call(channel, &path, method.request("own"), Some("callboard_nobodys")).await.unwrap_err();
    refusal(&unknown, Code::Unauthenticated, "CREDENTIALS_INVALID");
}

#[tokio::test]
async fn only_ones_own_namespaces_are_listed() {
    let (_server, channel, tokens, of_all) = start().await;
    let path = path("NamespaceService/ListNamespaces");
    let names = async |token: &str| {
        let answer = call(&channel, &path, Vec::new(), Some(token)).await.unwrap();
        let answer = v1::ListNamespacesResponse::decode(&*answer).unwrap();
        answer.namespaces.into_iter().map(|namespace| namespace.name).collect::<Vec<_>>()
    };
    assert_eq!(names(&tokens["admin"]).await, ["own"]);
    assert_eq!(names(&of_all["admin"]).await, ["default", "own", "theirs"]);
}

#[tokio::test]
async fn what_has_no_line_is_not_served_health_is_open_and_reflection_is_not() {
    let (_server, channel, tokens, of_all) = start().await;
    let unknown =
        call(&channel, "/callboard.v1.TaskService/DropTasks", Vec::new(), Some(&of_all["admin"])).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented, "{unknown:?}");
    call(&channel, "/grpc.health.v1.Health/Check", Vec::new(), None).await.expect("balancers have no token");
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        // list_services: "".
        let list = vec![0x3a, 0];
        let status = call(&channel, &path, list.clone(), None).await.unwrap_err();
        refusal(&status, Code::Unauthenticated, "CREDENTIALS_MISSING");
        call(&channel, &path, list, Some(&tokens["viewer"])).await.expect("anybody with a name may read the protocol");
    }
}

#[tokio::test]
async fn an_open_server_lets_everybody_do_everything_and_serves_what_has_a_line() {
    let server = Server::start().await;
    let channel = server.channel().await;
    for method in methods() {
        let answer = call(&channel, &path(&method.name), method.request("default"), None).await;
        assert!(let_in(&answer), "{}: {answer:?}", method.name);
    }
    let unknown = call(&channel, "/callboard.v1.TaskService/DropTasks", Vec::new(), None).await.unwrap_err();
    assert_eq!(unknown.code(), Code::Unimplemented, "{unknown:?}");
}
