//! Watching events: in order, none skipped, none repeated, over crashes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use callboard::v1::{self, EventType, WatchEventsRequest};
use callboard::{Client, NewTask, Watch};
use callboard_tests::server::Server;
use callboard_tests::watchers::Watchers;
use callboard_tests::{claim, refusal, wait};
use std::collections::BTreeMap;
use tonic::Code;

/// Creates a task and completes it.
async fn one_life(client: &Client) -> String {
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let lease = claim::lease(client, "ann", "t").await;
    claim::complete(client, &lease, "").await.unwrap();
    id
}

#[tokio::test]
async fn a_task_is_watched_from_its_first_event_to_its_end() {
    let server = Server::start().await;
    let client = server.client();
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let mut events = client.watch(Watch::task(&id).until_ended());
    let watch = async {
        let mut seen = Vec::new();
        while let Some(event) = wait::soon("an event", events.next()).await.unwrap() {
            seen.push((event.sequence, event.r#type()));
        }
        seen
    };
    let (seen, ()) = tokio::join!(watch, async {
        let lease = claim::lease(&client, "ann", "t").await;
        claim::complete(&client, &lease, "").await.unwrap();
    });
    use EventType::*;
    assert_eq!(seen, [(1, Created), (2, Assigned), (3, Started), (4, Completed)]);
    // Of one that has ended already, all at once.
    let mut again = client.watch(Watch::task(&id).until_ended());
    let mut count = 0;
    while wait::soon("an event", again.next()).await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 4);
}

#[tokio::test]
async fn a_namespace_is_watched_from_now() {
    let server = Server::start().await;
    let (client, mut tasks) = (server.client(), server.tasks().await);
    one_life(&client).await;
    let mut events = tasks.watch_events(WatchEventsRequest::default()).await.unwrap().into_inner();
    let first = wait::soon("the first frame", events.message()).await.unwrap().unwrap();
    assert!(first.events.is_empty() && !first.cursor.is_empty(), "a cursor comes at once: {first:?}");
    let id = one_life(&client).await;
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let frame = wait::soon("events", events.message()).await.unwrap().unwrap();
        seen.extend(frame.events);
    }
    assert!(seen.iter().all(|event| event.task_id == id), "what was before is not told");
    assert_eq!(seen.iter().map(|event| event.sequence).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_cursor_resumes_without_a_gap_or_a_repetition_over_a_kill() {
    let mut server = Server::start().await;
    let client = server.client();
    let mut tasks = server.tasks().await;
    let mut frames = tasks.watch_events(WatchEventsRequest::default()).await.unwrap().into_inner();
    let mut seen: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut cursor = wait::soon("the first cursor", frames.message()).await.unwrap().unwrap().cursor;
    let mut ids = Vec::new();
    for round in 0..3 {
        for _ in 0..5 {
            ids.push(one_life(&client).await);
        }
        // Of the first round nothing is read, of the second a part, before the server is killed.
        for _ in 0..round {
            let frame = wait::soon("events", frames.message()).await.unwrap().unwrap();
            take(&mut seen, frame, &mut cursor);
        }
        server.restart().await;
        tasks = server.tasks().await;
        let request = WatchEventsRequest { cursor: cursor.clone(), ..Default::default() };
        frames = tasks.watch_events(request).await.unwrap().into_inner();
    }
    while seen.values().map(Vec::len).sum::<usize>() < ids.len() * 4 {
        let frame = wait::soon("events", frames.message()).await.unwrap().unwrap();
        take(&mut seen, frame, &mut cursor);
    }
    assert_eq!(seen.len(), ids.len());
    assert!(seen.values().all(|sequence| *sequence == [1, 2, 3, 4]), "{seen:?}");
}

fn take(seen: &mut BTreeMap<String, Vec<i64>>, frame: v1::WatchEventsResponse, cursor: &mut String) {
    for event in frame.events {
        seen.entry(event.task_id).or_default().push(event.sequence);
    }
    *cursor = frame.cursor;
}

#[tokio::test]
async fn the_sdks_watch_goes_on_by_itself_over_a_kill() {
    let mut server = Server::start().await;
    let client = server.client();
    let id = client.create(NewTask::new("t")).await.unwrap().task_id;
    let mut events = client.watch(Watch::task(&id).until_ended());
    assert_eq!(wait::soon("an event", events.next()).await.unwrap().unwrap().sequence, 1);
    server.restart().await;
    let lease = claim::lease(&client, "ann", "t").await;
    claim::complete(&client, &lease, "").await.unwrap();
    let mut seen = vec![1];
    while let Some(event) = wait::soon("an event", events.next()).await.unwrap() {
        seen.push(event.sequence);
    }
    assert_eq!(seen, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_cursor_is_of_its_query_alone() {
    let server = Server::start().await;
    let (client, mut tasks) = (server.client(), server.tasks().await);
    let (a, b) = (one_life(&client).await, one_life(&client).await);
    let of = |task_id: &str, cursor: &str| WatchEventsRequest {
        task_id: task_id.into(),
        cursor: cursor.into(),
        ..Default::default()
    };
    let mut frames = tasks.watch_events(of(&a, "")).await.unwrap().into_inner();
    let cursor = frames.message().await.unwrap().unwrap().cursor;
    for foreign in [of(&b, &cursor), of("", &cursor), of(&a, "nonsense")] {
        let status = tasks.watch_events(foreign).await.unwrap_err();
        let details = refusal(&status, Code::InvalidArgument, "INVALID_CURSOR");
        assert_eq!(details.bad_request().unwrap().field_violations[0].field, "cursor");
    }
    let endless = WatchEventsRequest { until_ended: true, ..Default::default() };
    refusal(&tasks.watch_events(endless).await.unwrap_err(), Code::InvalidArgument, "INVALID_FIELD");
}

#[tokio::test]
async fn many_watchers_all_see_everything() {
    const WATCHERS: usize = 100;
    const LIVES: usize = 20;
    let server = Server::start().await;
    let client = server.client();
    let mut tasks = server.tasks().await;
    let mut watchers = Vec::new();
    for _ in 0..WATCHERS {
        let mut frames = tasks.watch_events(WatchEventsRequest::default()).await.unwrap().into_inner();
        frames.message().await.unwrap().unwrap();
        watchers.push(async move {
            let mut seen: BTreeMap<String, Vec<i64>> = BTreeMap::new();
            while seen.values().map(Vec::len).sum::<usize>() < LIVES * 4 {
                let frame = wait::soon("events", frames.message()).await.unwrap().unwrap();
                take(&mut seen, frame, &mut String::new());
            }
            seen
        });
    }
    let work = async {
        for _ in 0..LIVES {
            one_life(&client).await;
        }
    };
    let (all, ()) = tokio::join!(futures::future::join_all(watchers), work);
    assert!(all.iter().all(|seen| *seen == all[0]));
    assert!(all[0].values().all(|sequence| *sequence == [1, 2, 3, 4]));
}

#[tokio::test]
async fn watches_that_nobody_reads_hold_up_nobody() {
    let server = Server::start().await;
    let client = server.client();
    // Many more than the store has connections to read with.
    let watchers = Watchers::start(&[server.address()], 50);
    let feed = async {
        loop {
            // A few at a time: what a watch reads at once then fits what the transport gathers before it sends, and it asks for more.
            client.create_all((0..20).map(|_| NewTask::new("t"))).await.unwrap();
        }
    };
    tokio::select! {
        stalled = watchers.all_stalled() => assert!(stalled, "all windows are full"),
        () = feed => {}
    }
    let page = client.list_page(v1::ListTasksRequest { page_size: 1, ..Default::default() });
    assert_eq!(wait::soon("a page of tasks", page).await.unwrap().tasks.len(), 1);
    let id = client.create(NewTask::new("u")).await.unwrap().task_id;
    let event = wait::soon("an event of a watch that reads", client.watch(Watch::task(&id)).next()).await.unwrap();
    assert_eq!(event.map(|event| event.sequence), Some(1));
}
