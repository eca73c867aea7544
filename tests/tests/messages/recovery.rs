//! What outlives a server that is killed.

use callboard_tests::agent::RawAgent;
use callboard_tests::mail::{mail_hello, message, texts};
use callboard_tests::server::Server;

#[tokio::test]
async fn what_was_delivered_and_not_acknowledged_comes_again_after_kill_9() {
    let mut server = Server::start().await;
    let mut mail = server.messages().await;
    let mut ann = RawAgent::attach(&server, mail_hello("ann")).await.unwrap();
    for n in 0..6 {
        mail.send(message("ann", &n.to_string())).await.unwrap();
    }
    let heard = ann.messages(6).await;
    ann.acknowledged(&heard[0]).await;
    ann.acknowledged(&heard[3]).await;
    server.kill_9().await;
    server.restart().await;
    let mut mail = server.messages().await;
    assert_eq!(texts(&mail.waiting("ann").await), ["1", "2", "4", "5"]);
    let again = RawAgent::attach(&server, callboard::v1::Hello { previous_epoch: 1, ..mail_hello("ann") }).await;
    let mut ann = again.unwrap();
    let again = ann.messages(4).await;
    assert_eq!(texts(&again), ["1", "2", "4", "5"]);
    assert_eq!(again[0].id, heard[1].id);
    // Places go on where they were, and ids of messages sent before the end are remembered.
    assert_eq!(mail.send(message("ann", "6")).await.unwrap().sequence, 7);
    assert_eq!(texts(&ann.messages(1).await), ["6"]);
}

#[tokio::test]
async fn a_message_that_is_sent_again_after_kill_9_is_there_once() {
    let mut server = Server::start().await;
    let mut ann = RawAgent::attach(&server, mail_hello("ann")).await.unwrap();
    let first = ann.send("r1", message("ann", "hello")).await;
    server.kill_9().await;
    server.restart().await;
    let mut ann = RawAgent::attach(&server, mail_hello("ann")).await.unwrap();
    assert_eq!(ann.send("r1", message("ann", "hello")).await, first);
    assert_eq!(server.messages().await.waiting("ann").await.len(), 1);
}
