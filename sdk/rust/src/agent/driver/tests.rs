use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::*;
use crate::{Agent, AgentBuilder, TaskError};

/// Nothing listens at port 1.
fn builder() -> AgentBuilder {
    let agent = Agent::builder("t").address("http://127.0.0.1:1").name("a");
    agent.handle("work", |_: Context, (): ()| async move { Ok::<_, TaskError>(()) })
}

fn lonely() -> AgentHandle {
    builder().spawn().unwrap()
}

/// The last line of the answer. Blocks the thread, as a handler may.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().last().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn an_agent_without_a_server_drains() {
    let agent = lonely();
    assert_eq!((agent.name(), agent.is_attached(), agent.agent_id()), ("a", false, None));
    agent.drain();
    agent.join().await.unwrap();
}

#[tokio::test]
async fn an_agent_without_a_server_stops() {
    let mut agent = lonely();
    agent.stop();
    assert!(agent.attached().await.is_err(), "it has ended");
    agent.ended().await.unwrap();
    agent.ended().await.unwrap();
    agent.join().await.unwrap();
}

#[tokio::test]
async fn an_agent_whose_handle_is_dropped_ends() {
    let agent = lonely();
    let mut status = agent.status.clone();
    drop(agent);
    assert!(status.wait_for(|status| status.attached).await.is_err(), "its thread has ended");
}

#[test]
fn an_agent_outlives_no_runtime_and_needs_no_timers_of_it() {
    let bare = runtime::Builder::new_current_thread().build().unwrap();
    bare.block_on(async {
        let agent = lonely();
        agent.drain();
        agent.join().await.unwrap();
    });
}
#[tokio::test]
async fn probes_are_answered_while_the_programs_thread_is_blocked() {
    let agent = builder().health("127.0.0.1:0").spawn().unwrap();
    let address = agent.health_address().unwrap();
    assert_eq!((get(address, "/healthz"), get(address, "/readyz")), ("ok".to_owned(), "connecting".to_owned()));
    agent.drain();
    agent.join().await.unwrap();
    assert!(TcpStream::connect(address).is_err(), "it has ended");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn without_a_thread_of_its_own_it_answers_on_the_programs() {
    let agent = builder().own_thread(false).health("127.0.0.1:0").spawn().unwrap();
    assert_eq!(get(agent.health_address().unwrap(), "/readyz"), "connecting");
    agent.stop();
    agent.join().await.unwrap();
}

#[tokio::test]
async fn an_agent_that_can_not_be_probed_does_not_start() {
    let first = builder().health("127.0.0.1:0").spawn().unwrap();
    let taken = first.health_address().unwrap().to_string();
    let error = builder().health(&taken).spawn().unwrap_err();
    assert!(error.to_string().contains(&taken), "{error}");
    assert_eq!(lonely().health_address(), None);
}
