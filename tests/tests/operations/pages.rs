//! Health and metrics, on the port of gRPC.

use callboard::NewTask;
use callboard::v1::NewMessage;
use callboard_tests::http::sample;
use callboard_tests::mail::{mail_hello, message};
use callboard_tests::server::Server;
use callboard_tests::{agent, claim, http, program, seconds, wait};
use std::collections::BTreeSet;

/// Names of metrics with what a sample of them ends with.
fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let named = types.map(|line| {
        let (name, kind) = line.split_once(' ').expect("a name and a type");
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        format!("{name}{suffix}")
    });
    named.collect()
}

#[tokio::test]
async fn metrics_count_what_happened_and_the_manual_lists_each() {
    let server = Server::start().await;
    let client = server.client();
    client.create(NewTask::new("done")).await.unwrap();
    let lease = claim::lease(&client, "bob", "done").await;
    claim::complete(&client, &lease, "").await.unwrap();
    claim::complete(&client, &lease, "something else").await.unwrap_err();
    for _ in 0..3 {
        client.create(NewTask::new("left")).await.unwrap();
    }
    let _agent = agent::RawAgent::start(&server, "ann", "none").await;

    let page = http::get(&server, "/metrics").await;
    assert_eq!(page.status, 200);
    assert!(page.headers.contains("content-type: application/openmetrics-text"), "{}", page.headers);
    let text = &page.body;
    assert!(text.ends_with("# EOF\n"));
    assert_eq!(sample(text, "callboard_tasks_created_total"), 4.0);
    assert_eq!(sample(text, "callboard_tasks_ended_total{state=\"completed\"}"), 1.0);
    assert_eq!(sample(text, "callboard_attempts_total{outcome=\"started\"}"), 1.0);
    assert_eq!(sample(text, "callboard_attempts_total{outcome=\"completed\"}"), 1.0);
    assert_eq!(sample(text, "callboard_tasks_ready{namespace=\"default\",task_type=\"left\"}"), 3.0);
    assert_eq!(sample(text, "callboard_tasks_leased"), 0.0);
    assert_eq!(sample(text, "callboard_sessions{state=\"open\"}"), 1.0);
    assert_eq!(sample(text, "callboard_stream_frames_total{direction=\"received\"}"), 1.0);
    let of_done = |name: &str| format!("callboard_{name}_count{{namespace=\"default\",task_type=\"done\"}}");
    assert_eq!(sample(text, &of_done("schedule_to_start_seconds")), 1.0);
    assert_eq!(sample(text, &of_done("task_run_seconds")), 1.0);
    assert!(sample(text, "callboard_commit_seconds_count") >= 6.0);
    assert!(sample(text, "callboard_store_size_bytes") > 0.0);
    assert!(sample(text, "callboard_store_wal_bytes") > 0.0);
    let version = format!("callboard_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert_eq!(sample(text, &version), 1.0);

    let manual = std::fs::read_to_string(program::root().join("docs/operations.md")).unwrap();
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `callboard_"));
    let listed: BTreeSet<String> =
        rows.map(|row| format!("callboard_{}", row.split('`').next().unwrap_or_default())).collect();
    assert_eq!(families(text), listed, "/metrics and the table in docs/operations.md");
}

#[tokio::test]
async fn metrics_tell_what_becomes_of_messages() {
    let server = Server::with("--mailbox-messages 4").await;
    let mut mail = server.messages().await;
    let mut ann = agent::RawAgent::attach(&server, mail_hello("ann")).await.unwrap();
    for n in 0..3 {
        mail.send(message("ann", &n.to_string())).await.unwrap();
    }
    let heard = ann.messages(3).await;
    ann.acknowledged(&heard[0]).await;
    ann.acknowledged(&heard[0]).await;
    assert_eq!(mail.waiting("ann").await.len(), 2);
    let over_soon = NewMessage { ttl: seconds(0.001), ..message("ann", "late") };
    mail.send(over_soon.clone()).await.unwrap();
    mail.send(over_soon).await.ok();
    let expired = async || {
        let text = http::get(&server, "/metrics").await.body;
        let sent = sample(&text, "callboard_messages_sent_total");
        let expired = sample(&text, "callboard_messages_expired_total") == sent - 3.0;
        // What waits was counted a moment before: they may have been there still.
        (expired && sample(&text, "callboard_messages_waiting") == 2.0).then_some((text, sent))
    };
    let (text, sent) = wait::look("the expired messages", expired).await;
    assert!(sent >= 4.0, "{sent}");
    assert_eq!(sample(&text, "callboard_messages_acknowledged_total"), 1.0, "a second time counts nothing");
    // One whose time was over at once may not have gone out.
    assert!(sample(&text, "callboard_messages_delivered_total{way=\"stream\"}") >= 3.0);
    assert_eq!(sample(&text, "callboard_messages_delivered_total{way=\"fetch\"}"), 2.0);
    assert!(sample(&text, "callboard_messages_waiting_bytes") > 0.0);
    assert_eq!(sample(&text, "callboard_mailbox_fullest_ratio"), 0.5);
    assert_eq!(sample(&text, "callboard_messages_mailbox_full_total"), 0.0);
    for _ in 0..2 {
        mail.send(message("ann", "more")).await.unwrap();
    }
    mail.send(message("ann", "too much")).await.unwrap_err();
    mail.send(message("nobody", "lost")).await.unwrap_err();
    let text = http::get(&server, "/metrics").await.body;
    assert_eq!(sample(&text, "callboard_messages_mailbox_full_total"), 1.0);
    assert_eq!(sample(&text, "callboard_mailbox_fullest_ratio"), 1.0);
}

#[tokio::test]
async fn task_types_without_end_make_a_bounded_number_of_series() {
    let server = Server::start().await;
    let client = server.client();
    for n in 0..150 {
        client.create(NewTask::new(format!("t{n}"))).await.unwrap();
        let lease = claim::lease(&client, "bob", &format!("t{n}")).await;
        claim::complete(&client, &lease, "").await.unwrap();
        client.create(NewTask::new(format!("t{n}"))).await.unwrap();
    }
    let text = http::get(&server, "/metrics").await.body;
    let counts = |name: &str| text.lines().filter(|line| line.starts_with(&format!("callboard_{name}{{"))).count();
    assert_eq!(counts("task_run_seconds_count"), 101);
    assert_eq!(sample(&text, "callboard_task_run_seconds_count{namespace=\"other\",task_type=\"other\"}"), 50.0);
    assert_eq!(counts("tasks_ready"), 101);
    assert_eq!(sample(&text, "callboard_tasks_ready{namespace=\"other\",task_type=\"other\"}"), 50.0);
}

#[tokio::test]
async fn health_is_told_by_http_1_and_grpc_web_still_works() {
    let server = Server::start().await;
    for page in ["/healthz", "/readyz"] {
        let answer = http::get(&server, page).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"), "{page}");
    }
    let nowhere = http::get(&server, "/healthy").await;
    assert_eq!(nowhere.status, 400);
    // An empty message, framed: the type is missing.
    let web = "POST /callboard.v1.TaskService/CreateTask HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
               content-type: application/grpc-web+proto\r\ncontent-length: 5\r\n\r\n\0\0\0\0\0";
    let answer = http::request(&server, web).await;
    assert_eq!(answer.status, 200);
    assert!(format!("{}{}", answer.headers, answer.body).contains("grpc-status"), "{answer:?}");
}
