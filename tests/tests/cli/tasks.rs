//! `callboard task …`

use super::{json, run, run_words, short};
use callboard::{NewTask, v1};
use callboard_tests::server::Server;
use callboard_tests::{claim, wait};
use serde_json::{Value, json as value};

#[tokio::test]
async fn a_task_is_created_listed_shown_and_waited_for() {
    let server = Server::start().await;
    let client = server.client();
    let words = [
        "task",
        "create",
        "Look at it",
        "--type",
        "t",
        "--input",
        r#"{"n":1.50}"#,
        "--tag",
        "red",
        "--priority",
        "high",
        "--metadata",
        "a=b",
    ];
    let id = run_words(&server, &words, "").await.ok().trim().to_owned();
    let task = client.get(&id).await.unwrap();
    let spec = task.spec.unwrap();
    assert_eq!((spec.description.as_str(), spec.priority().as_str_name()), ("Look at it", "PRIORITY_HIGH"));
    assert_eq!(callboard_tests::text_of(spec.input.as_ref()), r#"{"n":1.50}"#, "no number loses a digit");

    let table = run(&server, "task list").await.ok();
    assert!(table.contains(&short(&id)) && table.contains("ready"), "{table}");
    let list = json(&server, "task list --type t --tag red --state ready").await;
    assert_eq!((&list["tasks"][0]["id"], &list["more"]), (&value!(id), &value!(false)));
    assert_eq!(json(&server, "task list --state completed").await["tasks"], value!([]));

    // A short id can be pasted back.
    let shown = json(&server, &format!("task show {}", short(&id))).await;
    assert_eq!(
        (&shown["id"], &shown["state"], &shown["spec"]["metadata"]["a"]),
        (&value!(id), &value!("ready"), &value!("b"))
    );
    let shown = run(&server, &format!("task show {}", short(&id))).await.ok();
    assert!(shown.contains(&id) && shown.contains("Look at it"), "{shown}");

    let timed_out = run(&server, &format!("task wait {id} --for 100ms")).await.failed(7);
    assert!(timed_out.contains("it is ready"), "{timed_out}");
    let lease = claim::lease(&client, "ann", "t").await;
    claim::complete(&client, &lease, "done").await.unwrap();
    let waited = json(&server, &format!("task wait {id}")).await;
    assert_eq!(
        (&waited["tasks"][0]["state"], &waited["tasks"][0]["result"]["text"]),
        (&value!("completed"), &value!("done"))
    );
    assert_eq!(run(&server, &format!("task show {id} --result")).await.ok().trim_end(), "done");

    let history = json(&server, &format!("task history {id}")).await;
    let kinds: Vec<&Value> = history["events"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["created", "assigned", "started", "completed"]);
    let history = run(&server, &format!("task history {id}")).await.ok();
    assert!(history.contains("completed") && history.contains("ann"), "{history}");
}

#[tokio::test]
async fn creating_can_wait_for_the_result() {
    let server = Server::start().await;
    let client = server.client();
    let work = async |outcome: &str| {
        let lease = claim::lease(&client, "ann", "t").await;
        match outcome {
            "completes" => claim::complete(&client, &lease, "[1.50]").await.unwrap(),
            _ => claim::fail(&client, &lease, claim::for_good("Boom")).await.unwrap(),
        };
    };
    let line = "task create x --type t --wait";
    let (done, ()) = tokio::join!(run(&server, line), work("completes"));
    assert_eq!(done.ok().trim_end(), "[1.50]");
    let (done, ()) = tokio::join!(run(&server, line), work("fails"));
    let error = done.failed(6);
    assert!(error.contains("Boom happened"), "{error}");
    run(&server, "task create x --type u --wait --for 200ms").await.failed(7);
}

#[tokio::test]
async fn inputs_come_from_arguments_files_and_standard_input() {
    let server = Server::start().await;
    let client = server.client();
    std::fs::write(server.directory().join("in.bin"), [0, 255]).unwrap();
    std::fs::write(server.directory().join("in.json"), "[1, 2.50]").unwrap();
    let input = async |args: &str, stdin: &str| {
        let words: Vec<&str> = "task create x --type t".split(' ').chain(args.split(' ')).collect();
        let id = run_words(&server, &words, stdin).await.ok();
        client.get(id.trim()).await.unwrap().spec.unwrap().input.unwrap()
    };
    let payload = input("--input @in.json", "").await;
    assert_eq!(
        (payload.content_type.as_str(), callboard_tests::text_of(Some(&payload)).as_str()),
        ("application/json", "[1, 2.50]")
    );
    let payload = input("--input - --text", "from a pipe\n").await;
    assert_eq!(
        (payload.content_type.as_str(), callboard_tests::text_of(Some(&payload)).as_str()),
        ("text/plain", "from a pipe\n")
    );
    let payload = input("--input @in.bin --binary", "").await;
    assert_eq!(callboard::from_payload::<callboard::Bytes>(&payload).unwrap().0, [0, 255]);
    run(&server, "task create x --type t --input {nonsense").await.failed(2);
    run(&server, "task create x --type t --input @missing").await.failed(2);
}

#[tokio::test]
async fn a_task_is_made_to_wait_for_more() {
    let server = Server::start().await;
    let create = async |line: &str| run(&server, line).await.ok().trim().to_owned();
    let (one, two) = (create("task create x --type t").await, create("task create x --type t").await);
    let target = create("task create x --type t --hold").await;
    let line = format!(
        "task depend {} --depends-on {} --depends-on {two},name=draft,condition=ended",
        short(&target),
        short(&one)
    );
    assert_eq!(json(&server, &line).await["receipts"][0]["state"], "waiting");
    let spec = server.client().get(&target).await.unwrap().spec.unwrap();
    let told: Vec<_> = spec.dependencies.iter().map(|dependency| (&dependency.task_id, &*dependency.name)).collect();
    assert_eq!(told, [(&one, ""), (&two, "draft")]);
    run(&server, &format!("task depend {target}")).await.failed(2);
    run(&server, &format!("task depend {one} --depends-on {two}")).await.failed(4);
    let history = run(&server, &format!("task history {target}")).await.ok();
    assert!(history.contains("dependencies (2 more)"), "{history}");
}

#[tokio::test]
async fn tasks_are_steered() {
    let server = Server::start().await;
    let client = server.client();
    let id = run(&server, "task create x --type t --hold").await.ok().trim().to_owned();
    let state = async |line: &str| json(&server, &line.replace("ID", &short(&id))).await;
    assert_eq!(state("task release ID").await["receipts"][0]["state"], "ready");
    assert_eq!(state("task hold ID --reason later").await["receipts"][0]["state"], "waiting");
    let updated = state("task update ID --priority urgent --assignee ann --tag a --tag b --deadline 1h").await;
    let task = client.get(&id).await.unwrap();
    let spec = task.spec.unwrap();
    assert_eq!(
        (spec.priority().as_str_name(), spec.tags),
        ("PRIORITY_URGENT", vec!["a".to_owned(), "b".to_owned()]),
        "{updated}"
    );
    assert!(spec.deadline.is_some());
    state("task update ID --deadline none").await;
    assert!(client.get(&id).await.unwrap().spec.unwrap().deadline.is_none());
    assert_eq!(state("task cancel ID").await["receipts"][0]["state"], "cancelled");
    let again = run(&server, &format!("task hold {id}")).await;
    again.failed(4);
    let table = run(&server, &format!("task retry {id}")).await.ok();
    assert!(table.contains(&short(&id)) && table.contains("ready"), "{table}");
    run(&server, &format!("task retry {id}")).await.failed(4);
    run(&server, &format!("task update {id}")).await.failed(2);
    let unknown = run(&server, "task cancel 0123456789ab").await.failed(3);
    assert!(unknown.contains("0123456789ab"), "{unknown}");
}

#[tokio::test]
async fn requirements_dependencies_and_limits_can_be_said() {
    let server = Server::start().await;
    let client = server.client();
    let first = run(&server, "task create first --type t --key k").await.ok().trim().to_owned();
    let line = format!(
        "task create x --type t --depends-on {} --skill s --tool u --role r --assignee ann --prefer bob --affinity zone=b \
         --fallback after=30s,role=lead --fallback after=5m \
         --max-attempts 5 --backoff 2s --max-backoff 20s --non-retryable Bad --start-to-close 1m --schedule-to-start 2m \
         --schedule-to-close 3m --heartbeat 4s --deadline 1h --start-at 1m --header traceparent=00",
        short(&first)
    );
    let id = run(&server, &line).await.ok().trim().to_owned();
    let shown = json(&server, &format!("task show {id}")).await;
    let spec = &shown["spec"];
    assert_eq!(spec["dependencies"][0]["task_id"], value!(first));
    assert_eq!(spec["requirements"]["skills"], value!(["s"]));
    assert_eq!(
        (&spec["requirements"]["preferred_agent"], &spec["requirements"]["affinity"]["zone"]),
        (&value!("bob"), &value!("b"))
    );
    let fallbacks = &spec["requirements"]["fallbacks"];
    assert_eq!((&fallbacks[0]["role"], &fallbacks[1]["after"]), (&value!("lead"), &value!("300s")));
    assert_eq!(shown["fallback"], value!(0));
    assert_eq!(
        (&spec["retry_policy"]["max_attempts"], &spec["retry_policy"]["initial_backoff"]),
        (&value!(5), &value!("2s"))
    );
    assert_eq!(
        (&spec["timeouts"]["heartbeat"], &spec["timeouts"]["schedule_to_close"]),
        (&value!("4s"), &value!("180s"))
    );
    assert_eq!((&shown["state"], &spec["headers"]["traceparent"]), (&value!("waiting"), &value!("00")));
    let failing = run(&server, &format!("task create y --type t --depends-on {first}:fail")).await.ok();
    client.cancel(&first, "").await.unwrap();
    assert_eq!(wait::ended(&client, failing.trim()).await.state().as_str_name(), "TASK_STATE_FAILED");
    run(&server, "task create x --type t --key k").await.ok();
    let taken = run(&server, "task create x --type t --key k --on-conflict fail").await.failed(4);
    assert!(taken.contains("\"k\""), "{taken}");
}

#[tokio::test]
async fn a_watch_follows_a_task_to_its_end_and_goes_on_behind_a_cursor() {
    let server = Server::start().await;
    let client = server.client();
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let line = format!("task watch {} -o json", short(&id));
    let (done, ()) = tokio::join!(run(&server, &line), async {
        let lease = claim::lease(&client, "ann", "t").await;
        claim::complete(&client, &lease, "").await.unwrap();
    });
    let events: Vec<Value> = done.ok().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let kinds: Vec<&Value> = events.iter().map(|event| &event["type"]).collect();
    assert_eq!(kinds, ["created", "assigned", "started", "completed"]);
    let cursor = events[3]["cursor"].as_str().unwrap();
    let rest = run(&server, &format!("task watch {id} --cursor {cursor} -o json")).await.ok();
    assert_eq!(rest, "", "nothing is behind the last event's cursor");
}

#[tokio::test]
async fn lists_have_limits_and_namespaces_are_apart() {
    let server = Server::start().await;
    let client = server.client();
    client.create_all((0..60).map(|_| NewTask::new("t"))).await.unwrap();
    let some = json(&server, "task list").await;
    assert_eq!((some["tasks"].as_array().unwrap().len(), &some["more"]), (50, &value!(true)));
    let all = json(&server, "task list --all").await;
    assert_eq!((all["tasks"].as_array().unwrap().len(), &all["more"]), (60, &value!(false)));
    assert_eq!(json(&server, "task list --since 1h --until 1s").await["tasks"], value!([]));

    assert_eq!(json(&server, "namespace create other --max-lanes 7").await["settings"]["max_lanes"], 7);
    run(&server, "namespace create other").await.failed(4);
    assert_eq!(json(&server, "task list -n other").await["tasks"], value!([]));
    let names = json(&server, "namespace list").await;
    assert_eq!(
        (&names["namespaces"][0]["name"], &names["namespaces"][1]["name"]),
        (&value!("default"), &value!("other"))
    );
    assert!(run(&server, "namespace list").await.ok().contains("other"));
    assert_eq!(json(&server, "namespace update other --max-lanes 8").await["settings"]["max_lanes"], 8);
    assert_eq!(json(&server, "namespace show other").await["settings"]["max_lanes"], 8);
    run(&server, "task list -n nowhere").await.failed(3);
}

#[tokio::test]
async fn output_is_written_as_it_is_and_followed_to_its_end() {
    let server = Server::start().await;
    let client = server.client();
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let lease = claim::lease(&client, "ann", "t").await;
    let json = |text: &str| v1::Payload { content_type: "application/json".into(), ..callboard_tests::text(text) };
    let give = async |offset, chunks| {
        let output = Some(v1::OutputBatch { offset, chunks });
        let said = v1::HeartbeatTaskRequest { attempt: Some(lease.clone()), output, ..Default::default() };
        client.heartbeat(said).await.unwrap();
    };
    let text = callboard_tests::text;
    give(0, vec![text("Once"), text(" upon"), json(r#"{"n":1}"#), json("[2]"), text("a time")]).await;
    let written = "Once upon\n{\"n\":1}\n[2]\na time";
    assert_eq!(run(&server, &format!("task output {}", short(&id))).await.ok(), written);
    assert_eq!(run(&server, &format!("task output {id} --offset 16")).await.ok(), "[2]\na time");
    let lines = run(&server, &format!("task output {id} -o json")).await.ok();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["offset"], &first["attempt"], &first["data"]["text"]),
        (&value!(0), &value!(1), &value!("Once"))
    );
    assert_eq!(lines.lines().count(), 5);

    let line = format!("task output {id} --follow --run 1");
    let end = async {
        give(25, vec![text(" there was")]).await;
        claim::complete(&client, &lease, "done").await.unwrap();
    };
    let (followed, ()) = tokio::join!(run(&server, &line), end);
    assert_eq!(followed.ok(), format!("{written} there was"));
    run(&server, &format!("task output {id} --follow --run 2")).await.failed(4);
}
