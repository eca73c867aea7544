//! The stream against a server that does what the test says. Time stands still while anything happens, and goes on when all wait.

mod server;

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::join_all;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::{Client, Credentials, Error, NewTask, Result};
use server::{Server, Stream};

/// Runs a task of this request id, and gives the task's id.
async fn run(client: Client, id: String, timeout: Option<Duration>) -> Result<String> {
    Ok(client.run_until_ended(NewTask::new("t").request_id(id), timeout).await?.id)
}

/// Begins runs of these ids.
fn begin(server: &Server, ids: &[&str]) -> JoinSet<Result<String>> {
    ids.iter().map(|id| run(server.client.clone(), (*id).to_owned(), None)).collect()
}

/// What became of them, in order.
async fn ended(runs: JoinSet<Result<String>>) -> Vec<String> {
    let mut ids: Vec<String> = runs.join_all().await.into_iter().map(Result::unwrap).collect();
    ids.sort();
    ids
}

fn strings(ids: &[&str]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Completes all runs of the next frame.
async fn complete_next(stream: &mut Stream) {
    let runs = stream.runs().await;
    stream.complete(&runs).await;
}

fn retry_after(seconds: u64) -> Status {
    let mut details = ErrorDetails::new();
    details.set_retry_info(Some(Duration::from_secs(seconds)));
    Status::with_error_details(Code::ResourceExhausted, "full", details)
}

#[tokio::test(start_paused = true)]
async fn runs_that_are_asked_together_go_in_one_frame() {
    let mut server = Server::start();
    let runs = begin(&server, &["a", "b", "c"]);
    let mut stream = server.opened().await;
    let first = stream.frame().await.unwrap();
    assert_eq!((first.namespace.as_str(), first.runs.len()), ("n", 3));
    stream.complete(&strings(&["c", "a", "b"])).await;
    assert_eq!(ended(runs).await, ["task of a", "task of b", "task of c"]);

    let more = begin(&server, &["d", "e"]);
    let second = stream.frame().await.unwrap();
    assert_eq!((second.namespace.as_str(), second.runs.len()), ("", 2), "the same stream");
    stream.complete(&strings(&["d", "e"])).await;
    ended(more).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_breaks_a_stream_its_runs_go_on_another() {
    for code in [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::Internal] {
        let mut server = Server::start();
        let runs = begin(&server, &["a", "b"]);
        let mut stream = server.opened().await;
        assert_eq!(stream.runs().await, ["a", "b"]);
        stream.complete(&strings(&["b"])).await;
        stream.end_with(Status::new(code, "gone")).await;
        let mut stream = server.opened().await;
        assert_eq!(stream.runs().await, ["a"], "what has its outcome is not asked again");
        stream.complete(&strings(&["a"])).await;
        assert_eq!(ended(runs).await, ["task of a", "task of b"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_has_broken_the_stream_and_signs_of_life_keep_it() {
    let mut server = Server::start();
    let runs = begin(&server, &["a"]);
    let mut stream = server.opened().await;
    stream.runs().await;
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_secs(20)).await;
        stream.say(vec![]).await;
    }
    assert!(!server.has_opened());
    let silent_since = Instant::now();
    let mut again = server.opened().await;
    assert!((30..31).contains(&silent_since.elapsed().as_secs()), "{:?}", silent_since.elapsed());
    assert_eq!(again.runs().await, ["a"]);
    // One that is silent from its first frame on was opened: no timeout but the run's own ends that.
    let mut again = server.opened().await;
    assert_eq!(again.runs().await, ["a"]);
    again.complete(&strings(&["a"])).await;
    ended(runs).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_the_runs_alone_and_says_what_a_calls_does() {
    let mut server = Server::start();
    let mut refused = begin(&server, &["a"]);
    let other = begin(&server, &["b"]);
    let mut stream = server.opened().await;
    stream.runs().await;
    let details = ErrorDetails::with_bad_request_violation("task.type", "is empty: name a task type");
    stream.refuse("a", &Status::with_error_details(Code::InvalidArgument, "task.type is empty", details)).await;
    let error = refused.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, Error::InvalidArgument(_)), "{error:?}");
    assert_eq!((error.to_string().as_str(), error.violations()[0].field.as_str()), ("task.type is empty", "task.type"));
    stream.complete(&strings(&["b"])).await;
    ended(other).await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_with_retry_info_is_asked_again_until_the_clients_timeout() {
    let mut server = Server::start();
    let mut runs = begin(&server, &["a"]);
    let mut stream = server.opened().await;
    stream.runs().await;
    let began = Instant::now();
    stream.refuse("a", &retry_after(4)).await;
    assert_eq!(stream.runs().await, ["a"]);
    assert!((2..=4).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    stream.refuse("a", &retry_after(100)).await;
    let error = runs.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(matches!(error, Error::ResourceExhausted(_)), "{error:?}");
    assert!(began.elapsed() <= Duration::from_secs(4), "what comes too late is not waited for");
}

#[tokio::test(start_paused = true)]
async fn a_server_without_streams_is_called_and_asked_again_when_the_client_goes_on() {
    let mut server = Server::start();
    server.has_streams.store(false, Ordering::SeqCst);
    assert_eq!(ended(begin(&server, &["a", "b"])).await, ["called a", "called b"]);
    server.has_streams.store(true, Ordering::SeqCst);
    assert_eq!(ended(begin(&server, &["c"])).await, ["called c"]);
    assert!(!server.has_opened(), "the same server is not asked again");

    server.client.leave(server.client.turn());
    let runs = begin(&server, &["d"]);
    let mut stream = server.opened().await;
    complete_next(&mut stream).await;
    assert_eq!(ended(runs).await, ["task of d"]);
}

#[tokio::test(start_paused = true)]
async fn a_server_without_streams_is_asked_again_when_its_connection_was_made_anew() {
    let mut server = Server::start();
    server.has_streams.store(false, Ordering::SeqCst);
    assert_eq!(ended(begin(&server, &["a"])).await, ["called a"]);
    server.has_streams.store(true, Ordering::SeqCst);
    let turn = server.client.turn();
    server.hang_up().await;
    // While the client asks nothing, it does not connect. Nothing fails either: only the connection tells.
    while server.client.connection_in_use(turn).connected < 2 {
        let _ = server.client.get("t").await;
    }
    let runs = begin(&server, &["b"]);
    let mut stream = server.opened().await;
    complete_next(&mut stream).await;
    assert_eq!(ended(runs).await, ["task of b"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_refused_for_a_token_that_was_changed_goes_again_with_the_new_one() {
    let file = std::env::temp_dir().join(format!("callboard-runs-token-{}", std::process::id()));
    std::fs::write(&file, "old").unwrap();
    let mut server = Server::start_for(Client::builder().credentials(Credentials::new().token_file(&file)));
    let (mut refused, others) = (begin(&server, &["a"]), begin(&server, &["b"]));
    let mut stream = server.opened().await;
    assert_eq!(stream.authorization, "Bearer old");
    stream.runs().await;
    std::fs::write(&file, "new").unwrap();
    let unauthenticated = Status::with_error_details(Code::Unauthenticated, "who is it?", ErrorDetails::new());
    stream.refuse("a", &unauthenticated).await;
    let mut again = server.opened().await;
    assert_eq!(again.authorization, "Bearer new");
    let mut asked = again.runs().await;
    asked.sort();
    assert_eq!(asked, ["a", "b"]);
    again.complete(&strings(&["b"])).await;
    assert_eq!(ended(others).await, ["task of b"]);
    // That one is no good either, and there is no other.
    again.refuse("a", &unauthenticated).await;
    let error = refused.join_next().await.unwrap().unwrap().unwrap_err();
    assert!(error.to_string().contains("who is it?"), "{error:?}");
    std::fs::remove_file(&file).unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_can_not_have_goes_by_calls() {
    let mut server = Server::start();
    let long = "x".repeat(129);
    assert_eq!(ended(begin(&server, &[&long])).await, [format!("called {long}")]);
    let first = begin(&server, &["a"]);
    let mut stream = server.opened().await;
    stream.runs().await;
    assert_eq!(ended(begin(&server, &["a"])).await, ["called a"], "the same request, while the first is on the stream");
    stream.complete(&strings(&["a"])).await;
    ended(first).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_time_is_over_is_forgotten_and_so_is_one_that_is_dropped() {
    let mut server = Server::start();
    let timed = run(server.client.clone(), "a".into(), Some(Duration::from_secs(3)));
    let mut others = begin(&server, &["b", "c"]);
    let served = async {
        let mut stream = server.opened().await;
        let mut asked = stream.runs().await;
        asked.sort();
        assert_eq!(asked, ["a", "b", "c"]);
        (stream.frame().await.unwrap().forgotten_ids, stream)
    };
    let began = Instant::now();
    let (timed, (forgotten, mut stream)) = tokio::join!(timed, served);
    assert!(matches!(timed, Err(Error::DeadlineExceeded(_))), "{timed:?}");
    assert_eq!((forgotten, began.elapsed().as_secs()), (strings(&["a"]), 3));
    others.abort_all();
    while others.join_next().await.is_some() {}
    let mut forgotten = stream.frame().await.unwrap().forgotten_ids;
    forgotten.sort();
    assert_eq!(forgotten, ["b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_stream_is_ended_and_the_next_run_opens_another() {
    let mut server = Server::start();
    for id in ["a", "b"] {
        let runs = begin(&server, &[id]);
        let mut stream = server.opened().await;
        complete_next(&mut stream).await;
        ended(runs).await;
        let idle_since = Instant::now();
        assert_eq!(stream.frame().await, None, "the client ends its side");
        assert!((10..11).contains(&idle_since.elapsed().as_secs()), "{:?}", idle_since.elapsed());
        drop(stream);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_gone_ends_its_stream() {
    let mut server = Server::start();
    let runs = begin(&server, &["a"]);
    let mut stream = server.opened().await;
    complete_next(&mut stream).await;
    ended(runs).await;
    let gone_since = Instant::now();
    server.client = Client::connect("http://127.0.0.1:1").unwrap();
    assert!(!matches!(stream.heard().await, Ok(Some(_))));
    assert!(gone_since.elapsed() < Duration::from_secs(1), "not when it was idle for long");
}

#[tokio::test(start_paused = true)]
async fn without_a_stream_for_the_clients_timeout_runs_end_with_the_last_status() {
    let client = Client::builder().address("http://one,http://two").connector(crate::Connector::new(|_| async {
        Err::<tokio::net::TcpStream, _>(std::io::ErrorKind::ConnectionRefused.into())
    }));
    let client = client.timeout(Duration::from_secs(30)).build().unwrap();
    let began = Instant::now();
    let later = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        run(client.clone(), "b".into(), None).await.map_err(|error| (error, began.elapsed()))
    };
    let first = async { run(client.clone(), "a".into(), None).await.map_err(|error| (error, began.elapsed())) };
    let (first, later) = tokio::join!(first, later);
    for (ended, asked_at) in [(first, 0), (later, 10)] {
        let (error, took) = ended.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
        assert!((asked_at + 24..=asked_at + 30).contains(&took.as_secs()), "each has its time: {took:?}");
    }
    assert!(client.turn() > 4, "it went round the addresses");
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_of_the_asker_ends_all_runs() {
    let mut server = Server::start();
    let runs = begin(&server, &["a", "b"]);
    let stream = server.opened().await;
    stream.end_with(Status::permission_denied("not yours")).await;
    for ended in runs.join_all().await {
        assert!(matches!(ended, Err(Error::PermissionDenied(_))), "{ended:?}");
    }
    assert!(!server.has_opened());
}

#[tokio::test(start_paused = true)]
async fn thousands_are_run_though_a_stream_has_room_for_4096() {
    let mut server = Server::start();
    let ids: Vec<String> = (0..5_000).map(|n| format!("r{n}")).collect();
    let runs = join_all(ids.iter().map(|id| run(server.client.clone(), id.clone(), None)));
    let serving = async {
        let mut stream = server.opened().await;
        let mut under_way = Vec::new();
        while under_way.len() < 4_096 {
            under_way.extend(stream.runs().await);
        }
        stream.complete(&under_way).await;
        assert_eq!(under_way.len(), 4_096);
        let rest = stream.runs().await;
        stream.complete(&rest).await;
    };
    let (ended, ()) = tokio::join!(runs, serving);
    assert!(ended.iter().zip(&ids).all(|(ended, id)| ended.as_ref().unwrap() == &format!("task of {id}")));
}
