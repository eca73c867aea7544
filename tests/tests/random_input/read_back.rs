//! What was accepted can be read back as it was said.

use callboard_tests::descriptors;
use callboard_tests::wire::RawClient;
use prost_reflect::prost::Message;
use prost_reflect::{DynamicMessage, MethodDescriptor, ReflectMessage, Value};

/// Where what a call took in can be read: the method, the field of the request that it takes, what asks for it, and where it
/// stands in the answer.
const READERS: [(&str, &str, &str, &str); 5] = [
    ("CreateTask", "task", "GetTask", "task.spec"),
    ("RunTask", "task", "GetTask", "task.spec"),
    ("ClaimTasks", "profile", "GetAgent", "agent.profile"),
    ("CreateNamespace", "settings", "GetNamespace", "namespace.settings"),
    ("UpdateNamespace", "settings", "GetNamespace", "namespace.settings"),
];
/// Fields that say what to do, and are not kept.
const NOT_KEPT: [&str; 2] = ["key_conflict_policy", "hold"];

/// Reads back what a call took in, if it is known where.
pub async fn read_back(
    client: &RawClient,
    method: &MethodDescriptor,
    request: &DynamicMessage,
    answer: &DynamicMessage,
) -> Result<(), String> {
    let Some((_, taken, reader, place)) = READERS.iter().find(|reader| reader.0 == method.name()) else {
        return Ok(());
    };
    // A repetition gets the first one's answer, and what it did may have been changed since.
    if said(request, "request_id").is_some() {
        return Ok(());
    }
    let receipt = at(answer, "receipt");
    if receipt.as_ref().is_some_and(|receipt| said(receipt, "existing") == Some(Value::Bool(true))) {
        return Ok(());
    }
    let reader = descriptors::method(reader);
    let mut ask = DynamicMessage::new(reader.input());
    for field in reader.input().fields() {
        let value = match field.name() {
            "task_id" => receipt.as_ref().and_then(|r| said(r, "task_id")).or_else(|| said(&at(answer, "task")?, "id")),
            "name" => said(request, "name").or_else(|| said(&at(request, "profile")?, "name")),
            name => said(request, name),
        };
        if let Some(value) = value {
            ask.set_field(&field, value);
        }
    }
    // A task that was created may exist already under its key, which RunTask doesn't say.
    if method.name() == "RunTask" && at(request, "task").is_some_and(|task| said(&task, "key").is_some()) {
        return Ok(());
    }
    let got =
        client.call(&reader, ask.encode_to_vec().into()).await.map_err(|s| format!("can't be read back: {s:?}"))?;
    let got = DynamicMessage::decode(reader.output(), got).map_err(|error| error.to_string())?;
    let got = at(&got, place).ok_or_else(|| format!("there is no {place} in the answer"))?;
    match at(request, taken) {
        Some(sent) => covers(taken, &sent, &got),
        None => Ok(()),
    }
}

/// The message at a path, if it is set.
fn at(message: &DynamicMessage, path: &str) -> Option<DynamicMessage> {
    path.split('.').try_fold(message.clone(), |message, name| match said(&message, name)? {
        Value::Message(inner) => Some(inner),
        _ => None,
    })
}

fn said(message: &DynamicMessage, name: &str) -> Option<Value> {
    let field = message.descriptor().get_field_by_name(name)?;
    message.has_field(&field).then(|| message.get_field(&field).into_owned())
}

/// Whether everything that was said stands in what was read. What was left out may have its default there.
fn covers(path: &str, sent: &DynamicMessage, got: &DynamicMessage) -> Result<(), String> {
    if sent.descriptor().full_name().starts_with("google.protobuf.") {
        let micros = |time: &DynamicMessage| {
            let part = |name| said(time, name).and_then(|v| v.as_i64().or(v.as_i32().map(i64::from))).unwrap_or(0);
            part("seconds") * 1_000_000 + part("nanos") / 1_000
        };
        let same = micros(sent) == micros(got);
        return same.then_some(()).ok_or_else(|| format!("{path}: sent {sent:?}, read {got:?}"));
    }
    for (field, value) in sent.fields().filter(|(field, _)| !NOT_KEPT.contains(&field.name())) {
        let path = format!("{path}.{}", field.name());
        let read = got.get_field_by_name(field.name()).ok_or_else(|| format!("{path}: is not in the answer"))?;
        let same = match (value, &*read) {
            (Value::Message(sent), Value::Message(got)) => {
                covers(&path, sent, got)?;
                true
            }
            // Of messages only how many; texts as sets.
            (Value::List(sent), Value::List(got)) if sent.iter().any(|one| one.as_message().is_some()) => {
                sent.len() == got.len()
            }
            (Value::List(sent), Value::List(got)) => {
                let has = |all: &[Value], one: &Value| all.contains(one);
                sent.iter().all(|one| has(got, one)) && got.iter().all(|one| has(sent, one))
            }
            // Zero is the default.
            (Value::EnumNumber(0) | Value::I32(0) | Value::I64(0), _) => true,
            (Value::F64(zero), _) if *zero == 0.0 => true,
            (sent, got) => sent == got,
        };
        if !same {
            return Err(format!("{path}: sent {value:.300?}, read {read:.300?}"));
        }
    }
    Ok(())
}
