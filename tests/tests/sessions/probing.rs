//! Probing the Rust SDK's agent.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};

use callboard::{Agent, AgentHandle, Client, Context, NewTask, TaskError};
use callboard_tests::server::Server;
use callboard_tests::wait;

/// The word that the path is answered with. Blocks the thread.
fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().last().unwrap_or_default().to_owned()
}

/// An agent whose handler finds out how its agent is: at once, or when it drains.
fn spawn(client: &Client) -> (AgentHandle, SocketAddr) {
    let address = Arc::new(OnceLock::new());
    let known = Arc::clone(&address);
    let agent = Agent::builder("probed").client(client).health("127.0.0.1:0");
    let agent = agent.handle("t", move |_: Context, wanted: String| {
        let address = *known.get().unwrap();
        async move {
            while get(address, "/readyz") != wanted {
                tokio::task::yield_now().await;
            }
            Ok::<_, TaskError>(get(address, "/healthz"))
        }
    });
    let agent = agent.spawn().unwrap();
    let listening = agent.health_address().unwrap();
    address.set(listening).unwrap();
    (agent, listening)
}

/// The test, and the handler with it, has one thread, which the handler blocks while it asks.
#[tokio::test]
async fn an_agent_is_ready_while_its_handler_blocks() {
    let server = Server::start().await;
    let client = server.client();
    let (agent, _) = spawn(&client);
    let new = NewTask::new("t").input("attached").unwrap();
    assert_eq!(wait::soon("the result", client.run::<String>(new)).await.unwrap(), "ok");
    agent.stop();
}

#[tokio::test]
async fn an_agent_that_drains_is_alive_and_not_ready() {
    let server = Server::start().await;
    let client = server.client();
    let (agent, address) = spawn(&client);
    let id = client.create(NewTask::new("t").input("draining").unwrap()).await.unwrap().task_id;
    wait::started(&client, &id).await;
    agent.drain();
    let result: String = wait::soon("the result", client.result(&id, None)).await.unwrap();
    assert_eq!(result, "ok");
    wait::soon("the agent's end", agent.join()).await.unwrap();
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}
