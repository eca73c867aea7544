//! `callboard agent …`

use super::{json, run};
use callboard_tests::agent::RawAgent;
use callboard_tests::server::Server;
use callboard_tests::wait;
use serde_json::json as value;

#[tokio::test]
async fn agents_are_listed_shown_and_looked_after() {
    let server = Server::start().await;
    let client = server.client();
    let _agent = RawAgent::start(&server, "ann", "t").await.beating();
    let list = json(&server, "agent list").await;
    let ann = &list["agents"][0];
    assert_eq!((&ann["profile"]["name"], &ann["state"]), (&value!("ann"), &value!("attached")));
    assert!(run(&server, "agent list --state attached --agent-type test").await.ok().contains("ann"));
    assert_eq!(json(&server, "agent list --state detached").await["agents"], value!([]));
    let shown = run(&server, "agent show ann").await.ok();
    assert!(shown.contains("ann") && shown.contains("attached"), "{shown}");
    assert_eq!(json(&server, "agent show ann").await["session_epoch"], 1);
    run(&server, "agent cordon ann").await.ok();
    assert!(client.get_agent("ann").await.unwrap().cordoned);
    run(&server, "agent uncordon ann").await.ok();
    assert!(!client.get_agent("ann").await.unwrap().cordoned);
    run(&server, "agent remove ann").await.ok();
    wait::look("the agent to be forgotten", || async { client.get_agent("ann").await.err() }).await;
    for verb in ["show", "cordon", "uncordon", "remove"] {
        let error = run(&server, &format!("agent {verb} ann")).await.failed(3);
        assert!(error.contains("\"ann\""), "{error}");
    }
}
