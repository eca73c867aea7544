//! Any bytes as calls.

use crate::world::{World, blameless, method, methods, run};
use bytes::Bytes;
use callboard_proto::v1;
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, ReflectMessage, Value};

/// How many calls are made of one input.
const CALLS: usize = 8;

/// Bytes as calls, each as: the method's number, the length of the message (two bytes, the lower first), the message. There is a
/// task that is ready, one that an agent has claimed and a workflow: what the corpus says of them is true, since the same ids come each time.
pub fn requests(data: &[u8]) {
    run(async |world| {
        prepare(&world).await;
        let mut rest = data;
        for _ in 0..CALLS {
            let Some((header, body)) = rest.split_at_checked(3) else { return };
            let length = usize::from(u16::from_le_bytes([header[1], header[2]])).min(body.len());
            let (message, behind) = body.split_at(length);
            rest = behind;
            let method = &methods()[usize::from(header[0]) % methods().len()];
            match world.call(method, Bytes::copy_from_slice(message)).await {
                Ok(answers) => answers.into_iter().for_each(|answer| {
                    DynamicMessage::decode(method.output(), answer).expect("an answer can be read");
                }),
                Err(status) => blameless(&status),
            }
        }
    });
}

/// The inputs that fuzzing of requests begins with: one for each method, which makes sense, by its name; and one with every field of a
/// dependency and every value of each, which no single one can have, a workflow of tasks that depend on each other, and tasks that take
/// resources and fall back, with an agent that has some.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    run(async |world| {
        let there_is = prepare(&world).await;
        for method in methods() {
            let mut message = DynamicMessage::new(method.input());
            fill(&mut message, &there_is, 0);
            seeds.push((method.name().to_owned(), input(method.name(), &message.encode_to_vec())));
        }
        let conditions = conditions(&there_is.claimed).encode_to_vec();
        world.call(method("BatchCreateTasks"), conditions.clone().into()).await.expect("the conditions are taken");
        seeds.push(("BatchCreateTasks_conditions".to_owned(), input("BatchCreateTasks", &conditions)));
        let graph = graph("fuzzed").encode_to_vec();
        world.call(method("CreateWorkflow"), graph.clone().into()).await.expect("the graph is taken");
        seeds.push(("CreateWorkflow_graph".to_owned(), input("CreateWorkflow", &graph)));
        let grown = grown(&there_is.workflow_id).encode_to_vec();
        world.call(method("AddWorkflowTasks"), grown.clone().into()).await.expect("the tasks are added");
        seeds.push(("AddWorkflowTasks_behind".to_owned(), input("AddWorkflowTasks", &grown)));
        let (wanting, having) = (wanting().encode_to_vec(), having().encode_to_vec());
        world.call(method("BatchCreateTasks"), wanting.clone().into()).await.expect("the tasks are taken");
        world.call(method("ClaimTasks"), having.clone().into()).await.expect("an agent may have resources");
        let placed = [input("BatchCreateTasks", &wanting), input("ClaimTasks", &having)].concat();
        seeds.push(("BatchCreateTasks_placed".to_owned(), placed));
    });
    seeds
}

/// A call as [`requests`] reads it.
fn input(name: &str, message: &[u8]) -> Vec<u8> {
    let number = methods().iter().position(|method| method.name() == name).expect("there is the method");
    let number = u8::try_from(number).expect("there are fewer methods");
    let length = u16::try_from(message.len()).expect("seeds are short").to_le_bytes();
    [&[number], length.as_slice(), message].concat()
}

/// A task for each condition, of a task's end and of its result, with a name; each fails when it does not hold.
fn conditions(claimed: &v1::Attempt) -> v1::BatchCreateTasksRequest {
    use v1::{DependencyCondition as Condition, ResultComparison as Comparison};
    let ends = [Condition::Completed, Condition::Failed, Condition::NotCompleted, Condition::Ended];
    let of_result = (Comparison::Equal as i32..=Comparison::NotExists as i32).map(|comparison| v1::ResultCondition {
        pointer: "/a~1b/0".into(),
        comparison,
        value: if comparison < Comparison::Exists as i32 { "0.8" } else { "" }.into(),
    });
    let on = |condition: Condition, result: Option<v1::ResultCondition>| v1::Dependency {
        task_id: claimed.task_id.clone(),
        on_failure: v1::DependencyFailureAction::Fail.into(),
        condition: condition.into(),
        result,
        name: "draft".into(),
    };
    let dependencies = ends.map(|end| on(end, None)).into_iter();
    let dependencies = dependencies.chain(of_result.map(|result| on(Condition::Completed, Some(result))));
    let task =
        |dependency| v1::TaskSpec { r#type: "t".into(), dependencies: vec![dependency], ..v1::TaskSpec::default() };
    v1::BatchCreateTasksRequest { tasks: dependencies.map(task).collect(), ..v1::BatchCreateTasksRequest::default() }
}

/// Tasks that take resources: one of an agent's that has them, and one of what nobody has, which falls back to a lead and then to anybody.
fn wanting() -> v1::BatchCreateTasksRequest {
    let after = |seconds| Some(prost_types::Duration { seconds, nanos: 1_000_000 });
    let lead = v1::RequirementsFallback {
        after: after(0),
        skills: vec!["lead".into()],
        tools: vec!["git".into()],
        role: "lead".into(),
        assignee: "ann".into(),
    };
    let anybody = v1::RequirementsFallback { after: after(60), ..v1::RequirementsFallback::default() };
    let modest = v1::Requirements { resources: gpus(0.5), ..v1::Requirements::default() };
    let falling = v1::Requirements {
        resources: gpus(1.5),
        role: "nobody".into(),
        fallbacks: vec![lead, anybody],
        ..v1::Requirements::default()
    };
    let task =
        |requirements| v1::TaskSpec { r#type: "t".into(), requirements: Some(requirements), ..v1::TaskSpec::default() };
    let tasks = [modest, falling].map(task).into();
    v1::BatchCreateTasksRequest { tasks, ..v1::BatchCreateTasksRequest::default() }
}

/// An agent that has them claims.
fn having() -> v1::ClaimTasksRequest {
    let handles = vec![v1::TaskHandler { r#type: "t".into(), ..v1::TaskHandler::default() }];
    let profile = v1::AgentProfile {
        name: "bob".into(),
        agent_type: "trainer".into(),
        slots: 4,
        handles,
        resources: gpus(2.0),
        ..v1::AgentProfile::default()
    };
    v1::ClaimTasksRequest { profile: Some(profile), max_tasks: 4, ..v1::ClaimTasksRequest::default() }
}

fn gpus(amount: f64) -> std::collections::BTreeMap<String, f64> {
    [("gpu".to_owned(), amount)].into()
}

/// A workflow of three tasks: one, one behind it, and one that cleans up behind both.
fn graph(name: &str) -> v1::CreateWorkflowRequest {
    use v1::DependencyCondition::{Completed, Ended};
    let tasks = vec![
        task("a", vec![]),
        task("b", vec![on("a", Completed)]),
        task("c", vec![on("a", Completed), on("b", Ended)]),
    ];
    let workflow = v1::WorkflowSpec { name: name.into(), tasks, ..v1::WorkflowSpec::default() };
    v1::CreateWorkflowRequest { workflow: Some(workflow), ..v1::CreateWorkflowRequest::default() }
}

/// Two tasks for such a workflow: one behind what it has, and one behind both.
fn grown(workflow_id: &str) -> v1::AddWorkflowTasksRequest {
    use v1::DependencyCondition::{Completed, Ended};
    let tasks = vec![task("d", vec![on("c", Ended)]), task("e", vec![on("a", Completed), on("d", Completed)])];
    let workflow_id = workflow_id.to_owned();
    v1::AddWorkflowTasksRequest { workflow_id, tasks, ..v1::AddWorkflowTasksRequest::default() }
}

fn on(task: &str, condition: v1::DependencyCondition) -> v1::WorkflowDependency {
    v1::WorkflowDependency { task: task.into(), condition: condition.into(), ..v1::WorkflowDependency::default() }
}

fn task(name: &str, depends_on: Vec<v1::WorkflowDependency>) -> v1::WorkflowTask {
    v1::WorkflowTask {
        name: name.into(),
        task: Some(v1::TaskSpec { r#type: "t".into(), ..v1::TaskSpec::default() }),
        depends_on,
        ..v1::WorkflowTask::default()
    }
}

/// What is there when an input's calls begin.
struct Prepared {
    claimed: v1::Attempt,
    workflow_id: String,
}

/// Fills a message with what exists.
fn fill(message: &mut DynamicMessage, there_is: &Prepared, depth: usize) {
    for field in message.descriptor().fields().filter(|field| depth < 4 && !field.is_map()) {
        let value = match field.kind() {
            Kind::String => Value::String(match field.name() {
                "task_id" => there_is.claimed.task_id.clone(),
                "workflow_id" => there_is.workflow_id.clone(),
                "lease_token" => there_is.claimed.lease_token.clone(),
                "type" => "t".into(),
                "name" | "agent" | "agent_name" => "ann".into(),
                "text" | "reason" | "description" => "words".into(),
                "pointer" => "/score".into(),
                "value" if message.descriptor().name() == "ResultCondition" => "1".into(),
                // A run has no outcome without it.
                "request_id" if message.descriptor().name() == "TaskRun" => "run".into(),
                _ => continue,
            }),
            Kind::Int32 if matches!(field.name(), "attempt" | "max_tasks" | "slots") => Value::I32(1),
            // Equal: a result is compared somehow.
            Kind::Enum(_) if field.name() == "comparison" => Value::EnumNumber(1),
            Kind::Message(of) if !of.full_name().starts_with("google.") && of != message.descriptor() => {
                let mut inner = DynamicMessage::new(of);
                fill(&mut inner, there_is, depth + 1);
                Value::Message(inner)
            }
            _ => continue,
        };
        message.set_field(&field, if field.is_list() { Value::List(vec![value]) } else { value });
    }
}

async fn prepare(world: &World) -> Prepared {
    let spec = v1::TaskSpec { r#type: "t".into(), ..v1::TaskSpec::default() };
    for _ in 0..2 {
        let request = v1::CreateTaskRequest { task: Some(spec.clone()), ..v1::CreateTaskRequest::default() };
        world.call(method("CreateTask"), request.encode_to_vec().into()).await.expect("a task is created");
    }
    let profile = v1::AgentProfile {
        name: "ann".into(),
        agent_type: "worker".into(),
        slots: 1,
        handles: vec![v1::TaskHandler { r#type: "t".into(), ..v1::TaskHandler::default() }],
        ..v1::AgentProfile::default()
    };
    let request = v1::ClaimTasksRequest { profile: Some(profile), max_tasks: 1, ..v1::ClaimTasksRequest::default() };
    let claimed = world.call(method("ClaimTasks"), request.encode_to_vec().into()).await.expect("a task is claimed");
    let claimed = v1::ClaimTasksResponse::decode(claimed[0].clone()).expect("the claim can be read");
    let claimed = claimed.assignments.into_iter().next().and_then(|assignment| assignment.attempt);
    let created = world.call(method("CreateWorkflow"), graph("prepared").encode_to_vec().into()).await;
    let created = v1::CreateWorkflowResponse::decode(created.expect("a workflow is created")[0].clone());
    Prepared {
        claimed: claimed.expect("there is a task"),
        workflow_id: created.expect("the workflow can be read").workflow_id,
    }
}
