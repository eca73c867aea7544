//! Messages through the Rust SDK: handlers that receive, fail, answer, and outlive the server.

use callboard::{Agent, AgentBuilder, Context, Message, NewMessage, NewTask, TaskError};
use callboard_tests::server::Server;
use callboard_tests::{refused, wait};
use tokio::sync::mpsc;
use tonic::Code;

fn agent(server: &Server, name: &str) -> AgentBuilder {
    Agent::builder("test").client(&server.client()).name(name)
}

/// An agent that tells what its messages say.
fn telling(server: &Server, name: &str) -> (AgentBuilder, mpsc::UnboundedReceiver<String>) {
    let (tell, told) = mpsc::unbounded_channel();
    let builder = agent(server, name).handle("idle", |_: Context, (): ()| async { Ok::<_, TaskError>(()) });
    let builder = builder.on_message(move |message: Message| {
        let tell = tell.clone();
        async move {
            let text: String = message.body()?;
            tell.send(format!("{} from {:?}", text, message.agent())).unwrap();
            Ok::<_, TaskError>(())
        }
    });
    (builder, told)
}

async fn next(told: &mut mpsc::UnboundedReceiver<String>) -> String {
    wait::soon("a message", told.recv()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn agents_and_clients_write_to_an_agent_which_handles_one_after_the_other() {
    let server = Server::start().await;
    let client = server.client();
    let (builder, mut told) = telling(&server, "ann");
    let mut ann = builder.spawn().unwrap();
    ann.attached().await.unwrap();
    let bob = agent(&server, "bob").handle("tell", |context: Context, to: String| async move {
        for n in 0..3 {
            context.send(NewMessage::to(&to).body(&format!("hello {n}"))?).await?;
        }
        Ok::<_, TaskError>(())
    });
    let bob = bob.spawn().unwrap();
    client.run::<()>(NewTask::new("tell").input("ann").unwrap()).await.unwrap();
    client.send_message(NewMessage::to("ann").body("bye").unwrap()).await.unwrap();
    for expected in ["hello 0 from \"bob\"", "hello 1 from \"bob\"", "hello 2 from \"bob\"", "bye from \"\""] {
        assert_eq!(next(&mut told).await, expected);
    }
    ann.drain();
    ann.join().await.unwrap();
    assert!(server.messages().await.waiting("ann").await.is_empty(), "all are acknowledged");
    bob.drain();
    bob.join().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_hears_why_its_message_was_refused() {
    let server = Server::start().await;
    let failing = agent(&server, "bob").handle("tell", |context: Context, to: String| async move {
        let error = context.send(NewMessage::to(&to)).await.unwrap_err();
        refused(&error, Code::NotFound, "AGENT_NOT_FOUND");
        Ok::<_, TaskError>(())
    });
    let bob = failing.spawn().unwrap();
    server.client().run::<()>(NewTask::new("tell").input("nobody").unwrap()).await.unwrap();
    drop(bob);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_whose_handler_failed_comes_again() {
    let server = Server::start().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let tries = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let builder = agent(&server, "ann").handle("idle", |_: Context, (): ()| async { Ok::<_, TaskError>(()) });
    let builder = builder.on_message(move |message: Message| {
        let (tell, tries) = (tell.clone(), tries.clone());
        async move {
            if tries.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                return Err(TaskError::new("not yet"));
            }
            tell.send(message.body::<String>()?).unwrap();
            Ok(())
        }
    });
    let mut ann = builder.spawn().unwrap();
    ann.attached().await.unwrap();
    let client = server.client();
    client.send_message(NewMessage::to("ann").body("first").unwrap()).await.unwrap();
    client.send_message(NewMessage::to("ann").body("second").unwrap()).await.unwrap();
    assert_eq!([next(&mut told).await, next(&mut told).await], ["first", "second"], "its sender's order holds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_handled_twice_by_an_agent_that_outlives_the_server() {
    let mut server = Server::start().await;
    let (builder, mut told) = telling(&server, "ann");
    let mut ann = builder.spawn().unwrap();
    ann.attached().await.unwrap();
    let client = server.client();
    let mut expected = Vec::new();
    for n in 0..30 {
        client.send_message(NewMessage::to("ann").body(&n.to_string()).unwrap()).await.unwrap();
        expected.push(format!("{n} from \"\""));
        if n % 10 == 4 {
            server.restart().await;
        }
    }
    let mut heard = Vec::new();
    for _ in 0..30 {
        heard.push(next(&mut told).await);
    }
    assert_eq!(heard, expected);
    ann.drain();
    ann.join().await.unwrap();
    assert!(told.recv().await.is_none(), "none was handled twice by this agent");
    assert!(server.messages().await.waiting("ann").await.is_empty());
}
