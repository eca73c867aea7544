//! Any bytes as calls.

use crate::world::{World, blameless, method, methods, run};
use bytes::Bytes;
use callboard_proto::v1;
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, ReflectMessage, Value};

/// How many calls are made of one input.
const CALLS: usize = 8;

/// Bytes as calls, each as: the method's number, the length of the message (two bytes, the lower first), the message. There is a
/// task that is ready and one that an agent has claimed: what the corpus says of them is true, since the same ids come each time.
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

/// The inputs that fuzzing of requests begins with: one for each method, which makes sense, by its name.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let mut seeds = Vec::new();
    run(async |world| {
        let claimed = prepare(&world).await;
        for (number, method) in (0u8..).zip(methods()) {
            let mut message = DynamicMessage::new(method.input());
            fill(&mut message, &claimed, 0);
            let message = message.encode_to_vec();
            let length = u16::try_from(message.len()).expect("seeds are short").to_le_bytes();
            seeds.push((method.name().to_owned(), [&[number], length.as_slice(), &message].concat()));
        }
    });
    seeds
}

/// Fills a message with what exists.
fn fill(message: &mut DynamicMessage, claimed: &v1::Attempt, depth: usize) {
    for field in message.descriptor().fields().filter(|field| depth < 4 && !field.is_map()) {
        let value = match field.kind() {
            Kind::String => Value::String(match field.name() {
                "task_id" => claimed.task_id.clone(),
                "lease_token" => claimed.lease_token.clone(),
                "type" => "t".into(),
                "name" | "agent" | "agent_name" => "ann".into(),
                "text" | "reason" | "description" => "words".into(),
                // A run has no outcome without it.
                "request_id" if message.descriptor().name() == "TaskRun" => "run".into(),
                _ => continue,
            }),
            Kind::Int32 if matches!(field.name(), "attempt" | "max_tasks" | "slots") => Value::I32(1),
            Kind::Message(of) if !of.full_name().starts_with("google.") && of != message.descriptor() => {
                let mut inner = DynamicMessage::new(of);
                fill(&mut inner, claimed, depth + 1);
                Value::Message(inner)
            }
            _ => continue,
        };
        message.set_field(&field, if field.is_list() { Value::List(vec![value]) } else { value });
    }
}

async fn prepare(world: &World) -> v1::Attempt {
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
    claimed.assignments.into_iter().next().and_then(|assignment| assignment.attempt).expect("there is a task")
}
