//! `callboard message …`

use super::{json, run, run_words};
use callboard_tests::agent::RawAgent;
use callboard_tests::server::Server;
use serde_json::json as value;

#[tokio::test]
async fn messages_are_sent_listed_watched_and_acknowledged() {
    let server = Server::start().await;
    let _agent = RawAgent::start(&server, "ann", "t").await.beating();
    let id =
        run_words(&server, &["message", "send", "ann", "hello ann", "--header", "correlation_id=7"], "").await.ok();
    let second = json(&server, "message send ann --input {\"n\":1}").await;
    assert_eq!(second["sequence"], 2);
    run_words(&server, &["message", "send", "ann", "--input", "-", "--text"], "from a pipe").await.ok();
    let list = json(&server, "message list ann").await;
    let first = &list["messages"][0];
    assert_eq!((&first["id"], &first["payload"]["text"]), (&value!(id.trim()), &value!("hello ann")));
    assert_eq!((&first["to"], &first["headers"]), (&value!({"agent": "ann"}), &value!({"correlation_id": "7"})));
    assert_eq!(list["messages"][1]["payload"]["json"], value!({"n": 1}));
    assert_eq!(list["messages"][2]["payload"]["text"], "from a pipe");
    assert!(run(&server, "message list ann").await.ok().contains("hello ann"));
    assert_eq!(run(&server, &format!("message ack ann {}", id.trim())).await.ok(), "1 acknowledged\n");
    assert_eq!(run(&server, &format!("message ack ann {}", id.trim())).await.ok(), "0 acknowledged\n");
    let watched = run(&server, "message watch ann --count 2 --ack -o json").await.ok();
    let sequences: Vec<_> =
        watched.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).collect();
    assert_eq!((&sequences[0]["sequence"], &sequences[1]["sequence"]), (&value!(2), &value!(3)));
    assert_eq!(json(&server, "message list ann").await["messages"], value!([]));
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_exit_code() {
    let server = Server::start().await;
    for line in ["send nobody hello", "list nobody", "watch nobody", "ack nobody 01989b0e-3c1a-7000-8000-0000dddddddd"]
    {
        let error = run(&server, &format!("message {line}")).await.failed(3);
        assert!(error.contains("\"nobody\""), "{error}");
    }
    let both = run(&server, "message send ann hello --input 1").await;
    assert_eq!(both.code, Some(2), "{both:?}");
}
