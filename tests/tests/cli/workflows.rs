//! `callboard workflow …`

use super::{Done, json, run, run_words, short};
use callboard::v1;
use callboard_tests::program::{self, Program};
use callboard_tests::server::Server;
use callboard_tests::{claim, wait};
use serde_json::{Value, json as value};

/// Two halves and what they make; a fourth task has to do with none of them.
const REPORT: &str = "
name: report
description: Two halves
tags: [nightly]
defaults: {type: part}
tasks:
  - {name: left, weight: 3}
  - {name: right, type: other, retry_policy: {max_attempts: 1}}
  - {name: whole, type: whole, depends_on: [left, right]}
  - {name: aside, type: aside, allow_failure: true}
";

/// Runs a workflow from standard input.
async fn run_file(server: &Server, text: &str, options: &str) -> Done {
    let words: Vec<&str> = "workflow run -".split(' ').chain(options.split_whitespace()).collect();
    run_words(server, &words, text).await
}

async fn created(server: &Server, text: &str) -> String {
    run_file(server, text, "").await.ok().trim().to_owned()
}

/// Takes the next task of this type, and ends it.
async fn complete(client: &callboard::Client, task_type: &str) {
    let lease = claim::lease(client, "ann", task_type).await;
    claim::complete(client, &lease, "done").await.unwrap();
}

async fn fail(client: &callboard::Client, task_type: &str) {
    let lease = claim::lease(client, "ann", task_type).await;
    claim::fail(client, &lease, claim::for_good("Boom")).await.unwrap();
}

fn states(document: &Value) -> Vec<(&str, &str)> {
    let tasks = document["tasks"].as_array().unwrap();
    tasks.iter().map(|task| (task["workflow"]["name"].as_str().unwrap(), task["state"].as_str().unwrap())).collect()
}

#[tokio::test]
async fn a_workflow_is_run_listed_shown_and_drawn() {
    let server = Server::start().await;
    let client = server.client();
    let receipts = run_file(&server, REPORT, "-o json").await.json();
    let id = receipts["workflow_id"].as_str().unwrap();
    let names: Vec<&Value> = receipts["receipts"].as_array().unwrap().iter().map(|receipt| &receipt["name"]).collect();
    assert_eq!(names, ["left", "right", "whole", "aside"]);
    complete(&client, "part").await;

    let list = json(&server, "workflow list --name report --state running --since 1h").await;
    let listed = &list["workflows"][0];
    assert_eq!((&listed["id"], &listed["tasks"], &listed["open_tasks"]), (&value!(id), &value!(4), &value!(3)));
    assert_eq!(
        (&listed["progress"], &listed["tags"], &list["more"]),
        (&value!(0.5), &value!(["nightly"]), &value!(false))
    );
    assert_eq!(json(&server, "workflow list --state failed").await["workflows"], value!([]));
    let table = run(&server, "workflow ls").await.ok();
    assert!(
        table.contains(&short(id)) && table.contains("running") && table.contains("50%") && table.contains("1/4"),
        "{table}"
    );

    // A short id can be pasted back.
    let shown = json(&server, &format!("workflow show {}", short(id))).await;
    assert_eq!(shown["workflow"]["id"], value!(id));
    assert_eq!(states(&shown), [("left", "completed"), ("right", "ready"), ("whole", "waiting"), ("aside", "ready")]);
    let shown = run(&server, &format!("workflow show {id}")).await.ok();
    assert!(shown.contains("50%") && shown.contains("4 tasks, 1 completed, 3 open"), "{shown}");
    let whole = shown.lines().find(|line| line.starts_with("whole")).unwrap();
    assert!(whole.contains("waiting (dependencies)") && whole.trim_end().ends_with("right"), "{shown}");

    let text = run(&server, &format!("workflow graph {}", short(id))).await.ok();
    assert!(text.contains("left: completed") && text.contains("whole: waiting (dependencies)"), "{text}");
    let mermaid = run(&server, &format!("workflow graph {id} --format mermaid")).await.ok();
    assert!(mermaid.contains("class n0 completed") && mermaid.contains("n0 --> n2"), "{mermaid}");
    let dot = run(&server, &format!("workflow graph {id} --format dot")).await.ok();
    assert!(dot.starts_with("digraph \"report\""), "{dot}");
    assert!(run(&server, &format!("workflow graph {id} --format svg")).await.ok().contains("<svg "));

    // What is expected: the half that is done has a history, the other types have none.
    let shown = json(&server, &format!("workflow show {id}")).await;
    let path: Vec<&Value> =
        shown["forecast"]["critical_path"].as_array().unwrap().iter().map(|task| &task["name"]).collect();
    assert_eq!(path, ["right", "whole"]);
    assert_eq!(shown["forecast"]["unknown_types"], value!(["aside", "other", "whole"]));
    assert!(shown["forecast"]["expected_end"].is_string(), "{shown}");
    assert_eq!(shown["waiting"][0]["name"], "whole");
    assert_eq!((&shown["waiting"][0]["dependencies"], &shown["waiting"][1]), (&value!(["right"]), &Value::Null));
    let shown = run(&server, &format!("workflow show {id}")).await.ok();
    assert!(shown.contains("right (?) → whole (?)") && shown.contains(" or later, at "), "{shown}");
    assert_eq!(shown.lines().last(), Some("whole waits for right"), "{shown}");
    let dot = run(&server, &format!("workflow graph {id} --format dot --critical")).await.ok();
    assert!(dot.contains("n1 -> n2 [style=solid, penwidth=3]"), "{dot}");

    // A task says what workflow it is of.
    let task = receipts["receipts"][2]["task_id"].as_str().unwrap();
    let shown = run(&server, &format!("task show {task}")).await.ok();
    assert!(shown.contains(&format!("{id} (as whole)")), "{shown}");
}

#[tokio::test]
async fn a_watch_tells_what_becomes_of_it_and_its_exit_code_how_it_ended() {
    let server = Server::start().await;
    let client = server.client();
    let id = created(&server, REPORT).await;
    let still = run(&server, &format!("workflow watch {id} --for 100ms")).await.failed(7);
    assert!(
        still.contains("it is running") && still.contains(&format!("callboard workflow watch {}", short(&id))),
        "{still}"
    );

    let line = format!("workflow watch {}", short(&id));
    let (watched, ()) = tokio::join!(run(&server, &line), async {
        complete(&client, "part").await;
        complete(&client, "other").await;
        fail(&client, "aside").await;
        complete(&client, "whole").await;
    });
    let told = watched.ok();
    let of =
        |name: &str, state: &str| told.lines().any(|line| line.contains(&format!("  {name} ")) && line.contains(state));
    assert!(
        of("left", "completed") && of("whole", "completed") && of("aside", "failed") && told.contains("Boom"),
        "{told}"
    );
    let end = told.lines().last().unwrap();
    assert!(
        end.starts_with("workflow report completed in ") && end.ends_with(": 4 tasks, 3 completed, 1 failed"),
        "{told}"
    );

    // What it is told by then, in lines of JSON.
    let lines = run(&server, &format!("workflow watch {id} -o json")).await.ok();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().filter(|line| line["task"].is_object()).count(), 4);
    assert_eq!(lines.last().unwrap()["workflow"]["state"], "completed");
}

#[tokio::test]
async fn running_can_wait_for_the_end() {
    let server = Server::start().await;
    let client = server.client();
    let (done, ()) = tokio::join!(
        run_file(&server, "name: x\nsteps: [{name: a, type: t}, {name: b, type: t}]", "--wait -o json"),
        async {
            complete(&client, "t").await;
            complete(&client, "t").await;
        }
    );
    let ended = done.json();
    assert_eq!(
        (&ended["workflow"]["state"], states(&ended)),
        (&value!("completed"), vec![("a", "completed"), ("b", "completed")])
    );

    let (done, ()) = tokio::join!(
        run_file(&server, "name: x\nsteps: [{name: a, type: t}, {name: b, type: t}]", "--wait"),
        fail(&client, "t")
    );
    assert!(done.out.contains("workflow x failed in"), "{}", done.out);
    let error = done.failed(6);
    assert!(error.contains("failed: task a: Boom: Boom happened"), "{error}");
    run_file(&server, "name: x\ntasks: [{name: a, type: t}]", "--wait --for 100ms").await.failed(7);
}

#[tokio::test]
async fn workflows_are_cancelled_and_retried() {
    let server = Server::start().await;
    let client = server.client();
    let id = created(&server, REPORT).await;
    run(&server, &format!("workflow retry {id}")).await.failed(4);
    complete(&client, "part").await;
    fail(&client, "other").await;
    complete(&client, "aside").await;
    let failed = run(&server, &format!("workflow watch {id}")).await.failed(6);
    assert!(failed.contains("task right: Boom"), "{failed}");

    let retried = json(&server, &format!("workflow retry {}", short(&id))).await;
    assert_eq!(retried["workflows"][0]["state"], "running");
    complete(&client, "other").await;
    let shown = wait::look("the retry", || async {
        let shown = json(&server, &format!("workflow show {id}")).await;
        (shown["tasks"][1]["state"] == "completed" && shown["tasks"][2]["state"] == "ready").then_some(shown)
    });
    let shown = shown.await;
    assert_eq!((&shown["tasks"][0]["run"], &shown["tasks"][1]["run"]), (&value!(1), &value!(2)), "{shown}");

    let other = created(&server, REPORT).await;
    let cancelled = json(&server, &format!("workflow cancel {id} {other} --reason enough")).await;
    let requested: Vec<&Value> =
        cancelled["workflows"].as_array().unwrap().iter().map(|workflow| &workflow["cancel_requested"]).collect();
    assert_eq!(requested, [true, true]);
    let error = run(&server, &format!("workflow watch {id}")).await.failed(6);
    assert!(error.contains("was cancelled"), "{error}");

    let unknown = run(&server, &format!("workflow cancel 0123456789ab {id}")).await.failed(3);
    assert!(
        unknown.contains("no workflow's id ends in `0123456789ab`") && unknown.contains("1 of 2 failed"),
        "{unknown}"
    );
    let unknown = run(&server, "workflow show 0123456789ab").await.failed(3);
    assert!(unknown.contains("`callboard workflow list` shows ids"), "{unknown}");
    run(&server, "workflow show xyz").await.failed(2);
}

#[tokio::test]
async fn what_is_wrong_is_told_and_nothing_is_created() {
    let server = Server::start().await;
    std::fs::write(
        server.directory().join("cycle.yaml"),
        "name: x\ntasks:\n  - {name: a, type: t, depends_on: [b]}\n  - {name: b, type: t, depends_on: [a]}\n",
    )
    .unwrap();
    let told = run(&server, "workflow run cycle.yaml").await.failed(2);
    assert!(told.starts_with("error: cycle.yaml: line 3: tasks[0].depends_on: is a cycle: a -> b -> a"), "{told}");
    let told = run_file(&server, REPORT, "--set who=me").await.failed(2);
    assert!(told.contains("--set who: there is no such parameter"), "{told}");
    let told = run(&server, "workflow run missing.yaml").await.failed(2);
    assert!(told.contains("missing.yaml: cannot be read"), "{told}");
    // What only the server can know is told by the tasks' names.
    let told =
        run_file(&server, "name: x\ntasks: [{name: a, type: t}, {name: b, type: 'no good', timeout: 99999d}]", "")
            .await
            .failed(2);
    assert!(told.contains("the workflow was refused, and nothing created:\n  task `b`: type: "), "{told}");
    assert!(told.contains("task `b`: timeouts.start_to_close: "), "{told}");
    let outside = "name: x\ntasks: [{name: a, type: t, depends_on: [{task_id: 01989b0e-3c1a-7000-8000-0000aabbccdd}]}]";
    let told = run_file(&server, outside, "").await;
    assert_ne!(told.code, Some(0), "{told:?}");
    assert_eq!(json(&server, "workflow list --all").await["workflows"], value!([]));
    assert_eq!(json(&server, "task list --all").await["tasks"], value!([]));
}

#[tokio::test]
async fn children_are_shown_by_what_their_parents_call_them() {
    let server = Server::start().await;
    let client = server.client();
    let id = created(&server, "name: family\ntasks: [{name: parent, type: parent}]").await;
    let lease = claim::lease(&client, "ann", "parent").await;
    let request = v1::CreateChildRequest {
        parent: Some(lease.clone()),
        name: "part".into(),
        task: Some(v1::TaskSpec { r#type: "child".into(), ..Default::default() }),
        ..Default::default()
    };
    client.create_child(request).await.unwrap();
    let shown = run(&server, &format!("workflow show {id}")).await.ok();
    assert!(shown.contains("2 tasks, 2 open") && shown.lines().any(|line| line.starts_with("part  ")), "{shown}");
    let drawn = run(&server, &format!("workflow graph {id}")).await.ok();
    assert!(drawn.contains("parent: running") && drawn.contains("part: ready"), "{drawn}");
    // The parent's agent has no slot left.
    let of_child = claim::lease(&client, "bob", "child").await;
    claim::complete(&client, &of_child, "done").await.unwrap();
    claim::complete(&client, &lease, "done").await.unwrap();
    let told = run(&server, &format!("workflow watch {id}")).await.ok();
    assert!(told.ends_with(": 2 tasks, 2 completed\n"), "{told}");
}

#[tokio::test]
async fn a_request_can_be_repeated() {
    let server = Server::start().await;
    let (first, again) =
        (run_file(&server, REPORT, "--request-id once").await, run_file(&server, REPORT, "--request-id once").await);
    assert_eq!(first.ok(), again.ok());
    assert_eq!(json(&server, "workflow list").await["workflows"].as_array().unwrap().len(), 1);
}

/// The examples' own worker.
fn worker(server: &Server) -> Program {
    let script = program::root().join("examples/workflows/work.sh");
    let mut command = program::command(program::callboard());
    command.args(["work", "--type", "work", "--type", "check", "--slots", "4", "--", "sh"]).arg(script);
    Program::start(server, &mut command)
}

#[tokio::test]
async fn the_examples_do_what_they_say() {
    let server = Server::start().await;
    let _worker = worker(&server);
    let example = async |name: &str, options: &str, code: i32| {
        let file = program::root().join("examples/workflows").join(name).display().to_string();
        let words: Vec<&str> =
            ["workflow", "run", &file, "--wait", "-o", "json"].into_iter().chain(options.split_whitespace()).collect();
        let done = run_words(&server, &words, "").await;
        assert_eq!(done.code, Some(code), "{name}: {}{}", done.out, done.err);
        let document: Value = serde_json::from_str(&done.out).unwrap();
        let states: std::collections::BTreeMap<String, String> =
            states(&document).into_iter().map(|(name, state)| (name.to_owned(), state.to_owned())).collect();
        (document, move |name: &str| states[name].clone())
    };
    let (digest, _) = example("sequential.yaml", "--set topic=opera", 0).await;
    let fetch = digest["tasks"][0]["id"].as_str().unwrap();
    assert_eq!(
        run(&server, &format!("task show {fetch} --result")).await.ok(),
        "done: {\"pages\":3,\"topic\":\"opera\"}\n"
    );

    let (report, _) = example("parallel.yaml", "", 0).await;
    assert_eq!(report["workflow"]["completed_tasks"], 5);

    let (_, state) = example("saga.yaml", "", 0).await;
    assert_eq!(
        (state("pay").as_str(), state("undo-hotel").as_str(), state("undo-flight").as_str()),
        ("completed", "skipped", "skipped")
    );
    let (trip, state) = example("saga.yaml", "--set payment=refused", 6).await;
    assert_eq!(
        (state("pay").as_str(), state("undo-hotel").as_str(), state("undo-flight").as_str()),
        ("failed", "completed", "completed")
    );
    assert_eq!(trip["workflow"]["state"], "failed");

    let (answer, state) = example("fallback.yaml", "", 0).await;
    assert_eq!((state("primary").as_str(), state("fallback").as_str()), ("failed", "completed"));
    assert_eq!((state("publish").as_str(), state("rework").as_str()), ("completed", "skipped"));
    assert_eq!(answer["workflow"]["state"], "completed");
    let (_, state) = example("fallback.yaml", "--set fast=accepted --set score=0.3", 0).await;
    assert_eq!((state("primary").as_str(), state("fallback").as_str()), ("completed", "skipped"));
    assert_eq!((state("publish").as_str(), state("rework").as_str()), ("skipped", "completed"));
}

#[tokio::test]
async fn a_graph_of_ten_thousand_tasks() {
    let server = Server::start().await;
    let tasks: String = (0..10_000)
        .map(|n| format!("  - {{name: t{n}, type: t{}}}\n", if n == 0 { "" } else { ", depends_on: [t0]" }))
        .collect();
    let id = created(&server, &format!("name: large\ntasks:\n{tasks}")).await;
    let refused = run(&server, &format!("workflow graph {id}")).await.failed(2);
    assert!(
        refused.contains("has 10000 tasks; text and svg draw at most 500: use --format dot or mermaid"),
        "{refused}"
    );
    let dot = run(&server, &format!("workflow graph {id} --format dot")).await.ok();
    assert_eq!(dot.matches("[label=\"t").count(), 10_000);
    let shown: v1::Workflow = server.client().get_workflow(&id).await.unwrap();
    assert_eq!(shown.tasks, 10_000);
}

#[tokio::test]
async fn a_workflow_grows_and_is_held_and_released() {
    let server = Server::start().await;
    let client = server.client();
    let id = created(&server, REPORT).await;
    let more = "name: report\ntasks: [{name: print, type: print, depends_on: [whole]}, {name: post, type: post, depends_on: [print]}]";
    let words = ["workflow", "add", &short(&id), "-", "-o", "json"];
    let added = run_words(&server, &words, more).await.json();
    let names: Vec<&Value> = added["receipts"].as_array().unwrap().iter().map(|receipt| &receipt["name"]).collect();
    assert_eq!(names, ["print", "post"]);
    assert_eq!(added["workflow_id"], value!(id));
    let shown = json(&server, &format!("workflow show {id}")).await;
    assert_eq!((&shown["workflow"]["tasks"], &shown["workflow"]["held"]), (&value!(6), &value!(false)));

    for (file, fault) in [
        (more, "task `print`: name: \"print\" is the name of task"),
        ("name: other\ntasks: [{name: z, type: t}]", "the file is of a workflow \"other\""),
        (
            "tasks: [{name: z, type: t, depends_on: [nobody]}]",
            "task `z`: depends_on[0].task: there is no task \"nobody\"",
        ),
    ] {
        let refused = run_words(&server, &["workflow", "add", &id, "-"], file).await;
        assert!(refused.err.contains(fault), "{}", refused.err);
    }

    let held = run(&server, &format!("workflow hold {id} --reason look")).await.ok();
    assert!(held.contains("running, held"), "{held}");
    assert!(run(&server, "workflow list").await.ok().contains("running, held"));
    let tasks = json(&server, &format!("workflow show {id}")).await;
    assert!(states(&tasks).iter().all(|(_, state)| *state == "waiting"), "{tasks}");
    assert!(!run(&server, &format!("workflow release {id}")).await.ok().contains("held"));
    for task_type in ["part", "other", "whole", "aside", "print", "post"] {
        complete(&client, task_type).await;
    }
    assert_eq!(json(&server, &format!("workflow show {id}")).await["workflow"]["state"], "completed");
}

#[tokio::test]
async fn a_timeline_has_every_attempt() {
    let server = Server::start().await;
    let client = server.client();
    let id = created(&server, REPORT).await;
    complete(&client, "part").await;
    fail(&client, "other").await;
    let _aside = claim::lease(&client, "bob", "aside").await;
    let told = json(&server, &format!("workflow timeline {}", short(&id))).await;
    let of = |name: &str| {
        let tasks = told["tasks"].as_array().unwrap();
        let task = tasks.iter().find(|task| task["name"] == name).unwrap();
        task["attempts"].as_array().unwrap().clone()
    };
    let ends: Vec<Vec<Value>> = ["left", "right", "whole", "aside"]
        .map(|name| of(name).iter().map(|attempt| attempt["end"].clone()).collect())
        .into();
    assert_eq!(ends, [vec![value!("completed")], vec![value!("attempt_failed")], vec![], vec![Value::Null]]);
    assert_eq!((&of("aside")[0]["agent"], &told["left_out"]), (&value!("bob"), &value!(0)));
    assert_eq!(run(&server, &format!("workflow timeline {id} --format json")).await.json(), told);
    let drawn = run(&server, &format!("workflow timeline {id} --width 100")).await.ok();
    let lines: Vec<&str> = drawn.lines().map(str::trim_end).collect();
    assert_eq!(lines.len(), 5, "{drawn}");
    assert!(lines[1].starts_with("left") && lines[1].ends_with("completed"), "{drawn}");
    assert!(lines[2].contains('✗') && lines[2].ends_with("failed"), "{drawn}");
    assert!(lines[3].ends_with("skipped") && lines[4].contains('▶'), "{drawn}");
    assert!(lines.iter().all(|line| line.chars().count() <= 100) && !drawn.contains('\u{1b}'), "{drawn}");
}

#[tokio::test]
async fn a_timeline_of_many_tasks_says_how_many_it_leaves_out() {
    let server = Server::start().await;
    let tasks: String = (0..203).map(|n| format!("  - {{name: t{n}, type: idle}}\n")).collect();
    let id = created(&server, &format!("name: many\ntasks:\n{tasks}")).await;
    let told = json(&server, &format!("workflow timeline {id}")).await;
    assert_eq!((told["tasks"].as_array().unwrap().len(), &told["left_out"]), (200, &value!(3)));
    let told = json(&server, &format!("workflow timeline {id} --all")).await;
    assert_eq!((told["tasks"].as_array().unwrap().len(), &told["left_out"]), (203, &value!(0)));
}
