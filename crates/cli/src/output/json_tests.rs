use callboard::v1::{DependencyCondition, ResultComparison, TaskState};

use super::*;

fn text(content_type: &str, text: &str) -> Payload {
    Payload { content_type: content_type.into(), content: Some(Content::Text(text.into())), ..Payload::default() }
}

#[test]
fn a_payload_is_inline_by_its_content_type() {
    let parsed = payload(&text("application/json", r#"{"n": 1.50, "big": 123456789012345678901}"#));
    assert_eq!(
        parsed.to_string(),
        r#"{"content_type":"application/json","json":{"big":123456789012345678901,"n":1.50},"metadata":{}}"#
    );
    assert_eq!(payload(&text("application/vnd.x+json; charset=utf-8", "[1]"))["json"], json!([1]));
    assert_eq!(payload(&text("application/json", "{oops"))["text"], "{oops");
    assert_eq!(payload(&text("text/plain", "{}"))["text"], "{}");
    let binary = Payload { content: Some(Content::Binary(b"\xff\x00".to_vec().into())), ..Payload::default() };
    assert_eq!(payload(&binary)["base64"], "/wA=");
    assert_eq!(payload(&Payload::default())["text"], "");
}

#[test]
fn every_field_of_a_task_is_there() {
    let mut task = Task { id: "id".into(), run: 1, ..Task::default() };
    task.set_state(TaskState::Waiting);
    task.waiting_for = vec![2];
    task.created_at = Some(prost_types::Timestamp { seconds: 1_767_225_600, nanos: 500_000_000 });
    let value = super::task(&task);
    assert_eq!(value["state"], "waiting");
    assert_eq!(value["waiting_for"], json!(["hold"]));
    assert_eq!(value["paused_for"], "unspecified");
    assert_eq!(value["fallback"], 0);
    assert_eq!(value["created_at"], "2026-01-01T00:00:00.5Z");
    assert_eq!((&value["ended_at"], &value["result"], &value["spec"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(value.as_object().map(serde_json::Map::len), Some(27));
}

#[test]
fn a_dependency_has_its_condition_result_and_name() {
    let condition = ResultCondition {
        pointer: "/score".into(),
        comparison: ResultComparison::GreaterOrEqual.into(),
        value: "0.80".into(),
    };
    let given = Dependency {
        task_id: "id".into(),
        condition: DependencyCondition::NotCompleted.into(),
        result: Some(condition),
        name: "draft".into(),
        ..Dependency::default()
    };
    assert_eq!(
        dependency(&given).to_string(),
        r#"{"condition":"not_completed","name":"draft","on_failure":"unspecified","result":{"comparison":"greater_or_equal","pointer":"/score","value":0.80},"task_id":"id"}"#
    );
    assert_eq!(dependency(&Dependency::default())["result"], Value::Null);
    let exists = ResultCondition { comparison: ResultComparison::Exists.into(), ..ResultCondition::default() };
    assert_eq!(result_condition(&exists), json!({ "pointer": "", "comparison": "exists", "value": null }));
}

#[test]
fn causes_nest_and_retryable_defaults_to_true() {
    let cause = Failure { r#type: "Inner".into(), retryable: Some(false), ..Failure::default() };
    let outer = Failure { r#type: "Outer".into(), cause: Some(Box::new(cause)), ..Failure::default() };
    let value = failure(&outer);
    assert_eq!((&value["retryable"], &value["cause"]["retryable"]), (&json!(true), &json!(false)));
    assert_eq!(value["cause"]["cause"], Value::Null);
}
