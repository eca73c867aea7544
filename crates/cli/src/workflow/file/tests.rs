use std::io;
use std::path::Path;

use callboard::v1::{
    DependencyCondition, DependencyFailureAction, Priority, ResultComparison, TaskSpec, WorkflowTask, payload::Content,
};

use super::*;

fn now() -> Timestamp {
    "2026-01-01T12:00:00Z".parse().unwrap()
}

fn read_with(text: &str, set: &[(&str, &str)]) -> Result<WorkflowSpec, String> {
    let set: Vec<_> = set.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    read(Path::new("-"), text.as_bytes(), &set, now(), Purpose::Create).map_err(|error| error.to_string())
}

#[track_caller]
fn good(text: &str) -> WorkflowSpec {
    read_with(text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn bad(text: &str) -> String {
    read_with(text, &[]).expect_err("it was taken")
}

fn added(text: &str) -> Result<WorkflowSpec, String> {
    read(Path::new("-"), text.as_bytes(), &[], now(), Purpose::Add).map_err(|error| error.to_string())
}

#[test]
fn a_file_that_is_added_has_no_name_and_waits_for_what_there_is() {
    let spec = added("tasks: [{name: b, type: t, depends_on: [a]}]").unwrap();
    assert_eq!((spec.name.as_str(), names_of(&spec.tasks[0])), ("", vec!["a"]));
    assert_eq!(added("name: w\nsteps: [{name: b, type: t}, {name: c, type: t}]").unwrap().tasks.len(), 2);
    for (text, fault) in [
        ("description: d\ntasks: [{name: b, type: t}]", "description: is what the workflow has already"),
        ("headers: {a: b}\ntasks: [{name: b, type: t}]", "headers: is what the workflow has already"),
        ("tasks: [{name: b, type: t, depends_on: [b]}]", "waits for itself"),
        ("tasks: [{name: b, type: t, depends_on: ['no name']}]", "may have letters"),
    ] {
        let told = added(text).unwrap_err();
        assert!(told.contains(fault), "{told}");
    }
}

fn names_of(task: &WorkflowTask) -> Vec<&str> {
    task.depends_on.iter().map(|other| other.task.as_str()).collect()
}

fn spec(task: &WorkflowTask) -> &TaskSpec {
    task.task.as_ref().unwrap()
}

fn input(task: &WorkflowTask) -> (&str, &str) {
    match spec(task).input.as_ref() {
        Some(payload) => match &payload.content {
            Some(Content::Text(text)) => (payload.content_type.as_str(), text.as_str()),
            other => panic!("{other:?}"),
        },
        None => ("", ""),
    }
}

const ALL: &str = r#"
name: report
description: All that a file can say
tags: [nightly, "2026"]
metadata: {team: blue}
headers: {traceparent: "00"}
defaults:
  type: research
  priority: 9
  timeout: 2m
  retry_policy: {max_attempts: 7}
tasks:
  - name: north
    input: plain words
  - name: south
    type: survey
    description: the south
    input: {n: 12345678901234567890.10, list: [1, no, ~]}
    priority: low
    timeout: 90s
    timeouts: {schedule_to_start: 1h, schedule_to_close: 1d, heartbeat: 30s}
    retry_policy: {backoff: 2s, multiplier: 1.5, max_backoff: 1m, non_retryable_types: [Bad]}
    deadline: 2h
    start_at: 2026-01-02T00:00:00Z
    hold: true
    skills: [maps]
    tools: [browser]
    role: scout
    assignee: ann
    preferred_agent: bob
    affinity: {zone: b}
    fallbacks: [{after: 30s, role: lead, skills: [maps]}, {after: 5m}]
    tags: [x]
    metadata: {a: b}
    headers: {h: v}
    fairness_key: tenant-a
    limit_keys: [api, tenant/a]
    allow_failure: true
    weight: 5
    depends_on:
      - task_id: 01989b0e-3c1a-7000-8000-0000aabbccdd
        name: before
        condition: ended
  - name: join
    depends_on:
      - north
      - {task: south, condition: completed, on_failure: fail, result: {pointer: /score, comparison: greater_or_equal, value: 0.80}}
  - name: undo
    depends_on: [{task: join, condition: not_completed}]
"#;

#[test]
fn everything_that_a_file_can_say_arrives() {
    let workflow = good(ALL);
    assert_eq!(
        (workflow.name.as_str(), workflow.tags.len(), workflow.metadata["team"].as_str()),
        ("report", 2, "blue")
    );
    assert_eq!(
        (workflow.description.as_str(), workflow.headers["traceparent"].as_str()),
        ("All that a file can say", "00")
    );
    let [north, south, join, undo] = workflow.tasks.as_slice() else { panic!("{workflow:?}") };
    assert_eq!((spec(north).r#type.as_str(), spec(north).priority()), ("research", Priority::Urgent));
    assert_eq!(input(north), ("text/plain", "plain words"));
    assert_eq!(spec(north).timeouts.unwrap().start_to_close.unwrap().seconds, 120);
    assert_eq!(spec(north).retry_policy.as_ref().unwrap().max_attempts, 7);

    let of_south = spec(south);
    assert_eq!((of_south.r#type.as_str(), of_south.priority(), of_south.hold), ("survey", Priority::Low, true));
    assert_eq!(input(south), ("application/json", r#"{"list":[1,"no",null],"n":12345678901234567890.10}"#));
    let timeouts = of_south.timeouts.unwrap();
    assert_eq!((timeouts.start_to_close.unwrap().seconds, timeouts.schedule_to_start.unwrap().seconds), (90, 3_600));
    assert_eq!((timeouts.schedule_to_close.unwrap().seconds, timeouts.heartbeat.unwrap().seconds), (86_400, 30));
    let policy = of_south.retry_policy.clone().unwrap();
    assert_eq!((policy.max_attempts, policy.initial_backoff.unwrap().seconds, policy.multiplier), (0, 2, 1.5));
    assert_eq!((policy.max_backoff.unwrap().seconds, policy.non_retryable_types.len()), (60, 1));
    assert_eq!(of_south.deadline.unwrap().seconds, now().as_second() + 7_200);
    assert_eq!(of_south.start_at.unwrap().seconds, now().as_second() + 43_200);
    let requirements = of_south.requirements.clone().unwrap();
    assert_eq!((requirements.skills.len(), requirements.tools.len(), requirements.role.as_str()), (1, 1, "scout"));
    assert_eq!((requirements.assignee.as_str(), requirements.preferred_agent.as_str()), ("ann", "bob"));
    assert_eq!((requirements.affinity["zone"].as_str(), of_south.headers["h"].as_str()), ("b", "v"));
    assert_eq!(
        (of_south.fairness_key.as_str(), of_south.limit_keys.join(" ")),
        ("tenant-a", "api tenant/a".to_owned())
    );
    let fallbacks = requirements.fallbacks;
    assert_eq!((fallbacks[0].role.as_str(), fallbacks[0].skills.len(), fallbacks.len()), ("lead", 1, 2));
    assert_eq!(fallbacks[1].after.unwrap().seconds, 300);
    assert_eq!((south.allow_failure, south.weight, of_south.metadata["a"].as_str()), (true, 5, "b"));
    let outside = &of_south.dependencies[0];
    assert_eq!((outside.name.as_str(), outside.condition()), ("before", DependencyCondition::Ended));
    assert!(south.depends_on.is_empty());

    assert_eq!(names_of(join), ["north", "south"]);
    assert_eq!(join.depends_on[1].on_failure(), DependencyFailureAction::Fail);
    let result = join.depends_on[1].result.clone().unwrap();
    assert_eq!((result.comparison(), result.value.as_str()), (ResultComparison::GreaterOrEqual, "0.80"));
    assert_eq!(undo.depends_on[0].condition(), DependencyCondition::NotCompleted);
}

#[test]
fn json_says_the_same() {
    let yaml = good("name: x\ntasks:\n  - {name: a, type: t, input: {n: 1.50, s: \"\\u00e4\"}}\n");
    let json = good(r#"{"name": "x", "tasks": [{"name": "a", "type": "t", "input": {"n": 1.50, "s": "\u00e4"}}]}"#);
    assert_eq!(yaml, json);
    // An escape that JSON has and YAML does not.
    let json = good(r#"{"name": "x", "tasks": [{"name": "a", "type": "t", "input": "\ud83d\ude00\/"}]}"#);
    assert_eq!(input(&json.tasks[0]).1, "😀/");
}

#[test]
fn steps_wait_for_the_one_before_or_for_all_parallel_ones() {
    let workflow = good(
        "
name: x
defaults: {type: t}
steps:
  - name: a
  - {name: b, parallel: true}
  - {name: c, parallel: true}
  - name: d
  - {name: e, parallel: true}
  - name: f
    depends_on: [a, {task: e, condition: failed}]
",
    );
    let waits: Vec<(&str, Vec<&str>)> =
        workflow.tasks.iter().map(|task| (task.name.as_str(), names_of(task))).collect();
    let expected = [
        ("a", vec![]),
        ("b", vec!["a"]),
        ("c", vec!["a"]),
        ("d", vec!["b", "c"]),
        ("e", vec!["d"]),
        ("f", vec!["a", "e"]),
    ];
    assert_eq!(waits, expected);
    assert_eq!(workflow.tasks[5].depends_on[1].condition(), DependencyCondition::Failed, "what a step says stands");
    let first_parallel = good(
        "{\"name\": \"x\", \"steps\": [{\"name\": \"a\", \"type\": \"t\", \"parallel\": true}, {\"name\": \"b\", \"type\": \"t\"}]}",
    );
    assert_eq!(names_of(&first_parallel.tasks[1]), ["a"]);
}

#[test]
fn parameters_are_put_in_before_anything_is_read() {
    let text = "
name: survey-${{ region }}
parameters:
  region: {description: where}
  depth: {default: 3}
  careful: {default: false}
tasks:
  - {name: a, type: t, input: {depth: '${{ depth }}'}, allow_failure: '${{ careful }}', weight: '${{ depth }}'}
";
    let workflow = read_with(text, &[("region", "north"), ("careful", "true")]).unwrap();
    let task = &workflow.tasks[0];
    assert_eq!(
        (workflow.name.as_str(), input(task).1, task.allow_failure, task.weight),
        ("survey-north", r#"{"depth":3}"#, true, 3)
    );
    let missing = bad(text);
    assert_eq!(missing, "standard input: line 4: parameters.region: has no value: give it one with --set region=…");
    let unknown = read_with("name: x\ntasks: [{name: a, type: t}]", &[("who", "me")]).unwrap_err();
    assert_eq!(
        unknown,
        "standard input: --set who: there is no such parameter; the file declares none under `parameters`"
    );
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_its_path() {
    let with = |task: &str| format!("name: x\ntasks:\n  - name: a\n    type: t\n    {task}\n");
    for (text, told) in [
        ("", "is empty: write a workflow"),
        ("- a", "is no mapping"),
        ("name: x", "has no tasks: write `tasks`, or `steps`"),
        ("name: x\ntasks: []", "line 2: tasks: has 0 entries; give 1 to 10000"),
        ("name: x\ntasks: [{name: a, type: t}]\nsteps: []", "line 3: steps: stands beside `tasks`"),
        ("tasks: [{name: a, type: t}]", "missing field `name`"),
        ("name: x\nfoo: 1\ntasks: [{name: a, type: t}]", "line 2: foo: unknown field `foo`, expected one of `name`"),
        ("name: x\ntasks: [{name: a}]", "line 2: tasks[0].type: is missing: say what kind of work it is"),
        ("name: x\ndefaults: {type: t, name: a}\ntasks: [{name: a}]", "line 2: defaults.name: unknown field `name`"),
        ("name: x\ndefaults: {priority: hgh}\ntasks: [{name: a}]", "line 2: defaults.priority: \"hgh\" is no priority"),
        ("name: x\nname: y\ntasks: []", "line 2: not valid YAML:"),
        ("name: [x\n", "not valid YAML"),
        (
            "{\"name\": \"x\", \"tasks\": [], \"name\": \"y\"}",
            "line 1: not valid JSON: the key `name` stands here twice",
        ),
        ("{\"name\":\n \"x\",}", "line 2: not valid JSON"),
        ("name: x\n---\nname: y\n", "not valid YAML"),
        (&with("color: red"), "line 5: tasks[0].color: unknown field `color`, expected one of"),
        (&with("timeout: 5"), "line 5: tasks[0].timeout: invalid type: "),
        (&with("timeout: soon"), "line 5: tasks[0].timeout: `soon`: write a duration like `90s`"),
        (&with("deadline: tomorrow"), "line 5: tasks[0].deadline: `tomorrow`: write a time"),
        (&with("priority: 11"), "line 5: tasks[0].priority: 11 is no priority: write low"),
        (&with("weight: 0"), "line 5: tasks[0].weight: must be 1 to 1000000"),
        (&with("weight: 1.5"), "line 5: tasks[0].weight: "),
        (&with("retry_policy: {max_attempts: 0}"), "line 5: tasks[0].retry_policy.max_attempts: must be 1"),
        (
            &with("retry_policy: {backoff: exponential}"),
            "line 5: tasks[0].retry_policy.backoff: `exponential`: write a duration",
        ),
        (&with("retry_policy: {multiplier: 0.5}"), "line 5: tasks[0].retry_policy.multiplier: must be"),
        (&with("parallel: true"), "line 5: tasks[0].parallel: unknown field `parallel`"),
        (&with("metadata: {a: 1}"), "line 5: tasks[0].metadata.a: invalid type"),
        (&with("depends_on: [b]"), "line 5: tasks[0].depends_on[0].task: there is no task \"b\" in this workflow"),
        (&with("depends_on: [a]"), "line 5: tasks[0].depends_on[0].task: task \"a\" waits for itself"),
        (&with("depends_on: [3]"), "line 5: tasks[0].depends_on[0]: invalid type: "),
        (&with("depends_on: [{}]"), "line 5: tasks[0].depends_on[0]: missing field `task`"),
        (&with("depends_on: [{task: b, task_id: c}]"), "has both `task` and `task_id`"),
        (&with("depends_on: [{task: b, name: c}]"), "`name` is for a `task_id`"),
        (
            &with("depends_on: [{task: b, condition: done}]"),
            "unknown variant `done`, expected one of `completed`, `failed`",
        ),
        (&with("depends_on: [{task: b, result: {comparison: less}}]"), "depends_on[0].result.value: is missing"),
        (
            &with("depends_on: [{task: b, result: {comparison: exists, value: 1}}]"),
            "result.value: stands beside `exists`",
        ),
        (&with("input: .nan"), "line 5: not valid YAML: non-finite float `.nan` rejected"),
        (&with("input: !!python/object {}"), "not valid YAML"),
        (&with("description: ${{ who }}"), "line 5: tasks[0].description: `${{ who }}`: there is no such parameter"),
        (
            "name: x\ntasks:\n  - {name: a, type: t}\n  - {name: a, type: t}",
            "line 4: tasks[1].name: \"a\" is the name of tasks[0] already",
        ),
        ("name: x\ntasks:\n  - {name: a b, type: t}", "line 3: tasks[0].name: may have letters, digits and -_./: only"),
    ] {
        let error = bad(text);
        assert!(error.starts_with("standard input: ") && error.contains(told), "{text}\n{error}\n{told}");
    }
}

#[test]
fn a_cycle_is_told_by_its_names() {
    let error = bad("
name: x
defaults: {type: t}
tasks:
  - {name: a, depends_on: [c]}
  - {name: b, depends_on: [a]}
  - {name: c, depends_on: [b]}
");
    assert!(error.contains("line 5: tasks[0].depends_on: is a cycle: a -> c -> b -> a"), "{error}");
}

#[test]
fn several_faults_are_told_at_once() {
    let error = bad("name: x\ntasks:\n  - {name: a, depends_on: [b]}\n  - {name: c}\n");
    assert!(error.starts_with("standard input: 3 faults\n  line 3: tasks[0].type"), "{error}");
    assert_eq!(error.lines().count(), 4, "{error}");
}

#[test]
fn what_would_fill_the_memory_is_refused_in_time() {
    let laughs: String = (1..30)
        .map(|level| {
            format!("a{level}: &a{level} [*a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}]\n", level - 1)
        })
        .collect();
    let told = bad(&format!("a0: &a0 lol\n{laughs}"));
    assert!(told.contains("larger or deeper than a workflow file may be, with what its aliases repeat"), "{told}");
    let large = "x".repeat(1 << 20);
    let repeated = "  - *a\n".repeat(400);
    let error = bad(&format!("a: &a {large}\nb:\n{repeated}"));
    assert!(error.contains("larger or deeper") && error.len() < 1_000, "{}", error.len());
    let deep = "[".repeat(100_000);
    assert!(bad(&format!("name: x\ntasks: {deep}")).len() < 1_000);
    assert!(bad(&format!("{{\"a\": {deep}")).len() < 1_000);
    let error = bad(&format!("name: x\ntasks: [{{name: {large}, type: t, depends_on: [{large}y]}}]"));
    assert!(error.contains("has 1048576 characters; at most 128") && error.len() < 2_000, "{}", error.len());
    assert!(bad(&format!("{large}: 1")).len() < 1_000);
}

#[test]
fn a_file_has_a_limit_and_must_be_text() {
    let read = |bytes: &[u8]| read(Path::new("-"), bytes, &[], now(), Purpose::Create).unwrap_err().to_string();
    assert!(read(b"\xff\xfe").contains("is not UTF-8"));
    let endless = super::read(Path::new("-"), io::repeat(b' '), &[], now(), Purpose::Create).unwrap_err().to_string();
    assert!(endless.contains("more than 4 MiB"), "{endless}");
    let missing =
        super::read(Path::new("/no/such/file.yaml"), io::empty(), &[], now(), Purpose::Create).unwrap_err().to_string();
    assert!(missing.starts_with("/no/such/file.yaml: cannot be read: "), "{missing}");
}

#[test]
fn yaml_is_that_of_1_2_and_aliases_work() {
    let workflow = good(
        "
name: x
tasks:
  - &first {name: a, type: t, metadata: {lang: no, on: yes, at: 1_000}}
  - <<: *first
    name: b
",
    );
    assert_eq!(workflow.tasks[0].task.as_ref().unwrap().metadata["lang"], "no");
    assert_eq!(workflow.tasks[1].task, workflow.tasks[0].task);
}
