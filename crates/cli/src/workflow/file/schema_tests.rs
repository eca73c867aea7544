//! The published schema says what the code takes: both judge the same files, and know the same fields.

use std::collections::BTreeSet;
use std::path::Path;

use jsonschema::Validator;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::format::{
    Defaults, Dependency, DependencyFields, Fallback, ResultTest, RetryPolicy, Step, Task, Timeouts, WorkflowFile,
};
use super::{Purpose, SCHEMA, document, parse};

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft202012::new(&schema()).unwrap()
}

fn document(text: &str) -> Value {
    document::parse(text).unwrap().value
}

#[test]
fn it_is_a_schema_of_its_draft() {
    jsonschema::draft202012::meta::validate(&schema()).unwrap();
}

#[test]
fn what_the_code_takes_the_schema_takes() {
    let validator = validator();
    for text in [
        "name: x\ntasks: [{name: a, type: t}]",
        "name: x\nparameters: {p: {default: 3}, q: }\ndefaults: {type: t, priority: 10, timeout: 1h 30m, deadline: 2d}\nsteps: [{name: a, parallel: true}, {name: 'a-${{ p }}', weight: '${{ p }}', priority: high, depends_on: [a]}]",
        "name: x\ntasks: [{name: a, type: t, input: [1, {b: ~}], allow_failure: true, timeouts: {heartbeat: 250ms}}, {name: b, type: t, depends_on: [{task: a, condition: not_completed, on_failure: fail}, {task_id: 01989b0e-3c1a-7000-8000-0000aabbccdd, name: c}]}]",
        "name: x\ndefaults: {fallbacks: [{after: 5m}]}\ntasks: [{name: a, type: t, role: expert, fallbacks: [{after: 30s, role: lead}, {after: 1m, skills: [a], tools: [b], assignee: c}]}]",
        "name: x\ndefaults: {type: t, fairness_key: one, limit_keys: [api]}\ntasks: [{name: a, fairness_key: two, limit_keys: []}]",
        "name: x\ntasks: [{name: a, type: t, retry_policy: {max_attempts: 3, backoff: 2s, multiplier: 1.5}}, {name: b, type: t, depends_on: [{task: a, result: {pointer: /x, comparison: exists}}]}]",
    ] {
        let faults: Vec<String> = validator
            .iter_errors(&document(text))
            .map(|error| format!("{error} at {}", error.instance_path()))
            .collect();
        assert!(faults.is_empty(), "{text}\n{faults:#?}");
        let taken = parse(&text.replace(", q: }", "}"), &[], jiff::Timestamp::UNIX_EPOCH, Purpose::Create);
        assert!(taken.is_ok(), "{text}\n{taken:?}");
    }
}

#[test]
fn both_take_the_examples() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/workflows");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    assert!(files.len() >= 4, "{files:?}");
    let validator = validator();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let faults: Vec<String> = validator.iter_errors(&document(&text)).map(|error| error.to_string()).collect();
        assert!(faults.is_empty(), "{}: {faults:#?}", file.display());
        let taken = parse(&text, &[], jiff::Timestamp::UNIX_EPOCH, Purpose::Create);
        assert!(taken.is_ok(), "{}: {taken:?}", file.display());
    }
}

#[test]
fn what_the_schema_refuses_the_code_refuses() {
    let validator = validator();
    for text in [
        "name: x",
        "tasks: [{name: a, type: t}]",
        "name: x\ntasks: []",
        "name: x\ntasks: [{name: a, type: t}]\nsteps: [{name: a, type: t}]",
        "name: x\ntasks: [{name: a, type: t, parallel: true}]",
        "name: x\nsteps: [{name: a, type: t, colour: red}]",
        "name: x\ntasks: [{name: a b, type: t}]",
        "name: x\ntasks: [{name: a, type: t, priority: 11}]",
        "name: x\ntasks: [{name: a, type: t, priority: hgh}]",
        "name: x\ntasks: [{name: a, type: t, timeout: 5}]",
        "name: x\ntasks: [{name: a, type: t, timeout: soon}]",
        "name: x\ntasks: [{name: a, type: t, weight: 0}]",
        "name: x\ntasks: [{name: a, type: t, fallbacks: [{role: lead}]}]",
        "name: x\ntasks: [{name: a, type: t, fallbacks: [{after: 30s, rolle: lead}]}]",
        "name: x\ntasks: [{name: a, type: t, retry_policy: {max_attempts: 0}}]",
        "name: x\ntasks: [{name: a, type: t, metadata: {a: 1}}]",
        "name: x\ntasks: [{name: a, type: t, depends_on: [{condition: failed}]}]",
        "name: x\ntasks: [{name: a, type: t, depends_on: [{task: b, task_id: c}]}]",
        "name: x\ntasks: [{name: a, type: t, depends_on: [{task: b, condition: done}]}]",
        "name: x\ntasks: [{name: a, type: t, depends_on: [{task: b, result: {comparison: like}}]}]",
        "name: x\ndefaults: {input: 1}\ntasks: [{name: a, type: t}]",
        "name: x\nparameters: {1x: {default: 1}}\ntasks: [{name: a, type: t}]",
        "name: x\nparameters: {p: {defualt: 1}}\ntasks: [{name: a, type: t}]",
    ] {
        assert!(!validator.is_valid(&document(text)), "{text}");
        assert!(parse(text, &[], jiff::Timestamp::UNIX_EPOCH, Purpose::Create).is_err(), "{text}");
    }
}

/// The fields that serde names when it is given one that is not there.
fn fields<T: DeserializeOwned>(mut value: Value) -> BTreeSet<String> {
    value["no_such_field"] = json!(1);
    let error = serde_json::from_value::<T>(value).err().map(|error| error.to_string()).unwrap();
    let (_, listed) = error.split_once("expected ").unwrap_or_else(|| panic!("{error}"));
    listed.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn properties(schema: &Value, at: &str) -> BTreeSet<String> {
    schema.pointer(at).and_then(Value::as_object).unwrap_or_else(|| panic!("{at}")).keys().cloned().collect()
}

#[test]
fn both_know_the_same_fields() {
    let schema = schema();
    assert_eq!(fields::<WorkflowFile>(json!({})), properties(&schema, "/properties"));
    assert_eq!(fields::<Task>(json!({})), properties(&schema, "/$defs/task_fields/properties"));
    assert_eq!(fields::<Step>(json!({})), properties(&schema, "/$defs/task_fields/properties"));
    assert_eq!(fields::<Defaults>(json!({})), properties(&schema, "/$defs/defaults/properties"));
    assert_eq!(fields::<Timeouts>(json!({})), properties(&schema, "/$defs/timeouts/anyOf/1/properties"));
    assert_eq!(fields::<RetryPolicy>(json!({})), properties(&schema, "/$defs/retry_policy/anyOf/1/properties"));
    assert_eq!(fields::<Fallback>(json!({})), properties(&schema, "/$defs/fallback/properties"));
    assert_eq!(fields::<ResultTest>(json!({})), properties(&schema, "/$defs/result_test/properties"));
    assert_eq!(fields::<Dependency>(json!({})), properties(&schema, "/$defs/dependency/anyOf/1/properties"));
    assert_eq!(fields::<DependencyFields>(json!({})), fields::<Dependency>(json!({})));
}

#[test]
fn every_field_is_described() {
    fn look(schema: &Value, path: &str, bare: &mut Vec<String>) {
        let Some(fields) = schema.as_object() else { return };
        for (name, property) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
            let of_reference = property["$ref"].as_str().map(|reference| reference.trim_start_matches('#'));
            let root = self::schema();
            let described = |schema: &Value| schema["description"].is_string();
            if !described(property) && !of_reference.and_then(|at| root.pointer(at)).is_some_and(described) {
                bare.push(format!("{path}.{name}"));
            }
        }
        fields.iter().for_each(|(key, value)| look(value, &format!("{path}/{key}"), bare));
    }
    let mut bare = Vec::new();
    look(&schema(), "", &mut bare);
    assert!(bare.is_empty(), "{bare:?}");
}

#[derive(Deserialize)]
struct Words {
    #[serde(rename = "enum")]
    words: Vec<String>,
}

#[test]
fn both_know_the_same_words() {
    let schema = schema();
    let words = |at: &str| -> Vec<String> {
        serde_json::from_value::<Words>(schema.pointer(at).cloned().unwrap_or_else(|| panic!("{at}"))).unwrap().words
    };
    let condition = |field: &str, word: &str| json!({"task": "a", field: word});
    for word in words("/$defs/dependency/anyOf/1/properties/condition/anyOf/0") {
        serde_json::from_value::<Dependency>(condition("condition", &word)).unwrap();
    }
    for word in words("/$defs/dependency/anyOf/1/properties/on_failure/anyOf/0") {
        serde_json::from_value::<Dependency>(condition("on_failure", &word)).unwrap();
    }
    for word in words("/$defs/result_test/properties/comparison/anyOf/0") {
        serde_json::from_value::<ResultTest>(json!({"comparison": word})).unwrap();
    }
}
