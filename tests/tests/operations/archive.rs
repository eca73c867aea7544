//! Finished tasks are lines of JSON on the disk before they are forgotten.

use callboard::v1::UpdateTaskRequest;
use callboard::{Client, Error, NewTask};
use callboard_test_postgres::{Cluster, Settings};
use callboard_tests::server::{Server, ServerBuilder};
use callboard_tests::{claim, http, program, wait};
use futures::future::join_all;
use prost_types::FieldMask;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Each makes an event: more than a task may lose in one transaction of retention.
const CHANGES: usize = 600;

/// What is in an archive.
#[derive(Default)]
struct Found {
    /// By task, in the order of files and lines.
    lines: BTreeMap<String, Vec<Value>>,
    /// Lines that can't be read.
    torn: usize,
}

fn read(archive: &Path) -> Found {
    let mut found = Found::default();
    for path in files(archive) {
        for line in std::fs::read_to_string(path).unwrap().lines() {
            match serde_json::from_str::<Value>(line) {
                Ok(line) => {
                    let id = line["task"]["id"].as_str().unwrap().to_owned();
                    found.lines.entry(id).or_default().push(line);
                }
                Err(_) => found.torn += 1,
            }
        }
    }
    found
}

fn files(archive: &Path) -> Vec<PathBuf> {
    let Ok(folder) = std::fs::read_dir(archive) else { return Vec::new() };
    folder.map(|entry| entry.unwrap().path()).collect()
}

/// As docs/operations.md says: the task of the latest version, with the events of all its lines.
fn merged(lines: &[Value]) -> Value {
    let latest = lines.iter().max_by_key(|line| line["task"]["version"].as_i64()).unwrap();
    let events = lines.iter().flat_map(|line| line["events"].as_array().unwrap());
    let events: BTreeMap<i64, &Value> = events.map(|event| (event["sequence"].as_i64().unwrap(), event)).collect();
    json!({ "task": latest["task"], "events": events.into_values().collect::<Vec<_>>() })
}

/// What `callboard task WORD ID -o json` prints.
async fn printed(server: &Server, word: &'static str, id: &str) -> Value {
    let mut command = program::command(program::callboard());
    command.args(["task", word, id, "-o", "json"]).env("CALLBOARD_ADDRESS", server.address());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn until_gone(client: &Client, task: &str) {
    let gone = || async { matches!(client.get(task).await, Err(Error::NotFound(_))).then_some(()) };
    wait::look("the task to be forgotten", gone).await;
}

/// A server that forgets nothing.
fn keeping(database: &str) -> ServerBuilder {
    Server::builder().database(database).args("--retention off")
}

fn archiving(database: &str, archive: &Path) -> ServerBuilder {
    let args = ["--retention", "1s", "--archive"].map(str::to_owned);
    let archive = archive.display().to_string();
    args.into_iter().chain([archive]).fold(Server::builder().database(database), ServerBuilder::arg)
}

/// Tasks that have ended in every way, by id: what the archive is to have of each.
async fn finish(server: &Server) -> BTreeMap<String, Value> {
    let client = server.client();
    let mut ended = Vec::new();
    let spec = || NewTask::new("t").input(&json!({ "n": 1.50, "text": "two\nlines \u{2028}" })).unwrap();
    let first = client.create(spec().key("k").tag("red")).await.unwrap().task_id;
    claim::complete(&client, &claim::lease(&client, "bob", "t").await, "result").await.unwrap();
    let behind = client.create(spec().depends_on(&first)).await.unwrap().task_id;
    claim::fail(&client, &claim::lease(&client, "bob", "t").await, claim::for_good("Boom")).await.unwrap();
    client.retry(&behind).await.unwrap();
    claim::complete(&client, &claim::lease(&client, "bob", "t").await, "again").await.unwrap();
    let failed = client.create(spec()).await.unwrap().task_id;
    claim::fail(&client, &claim::lease(&client, "bob", "t").await, claim::for_good("Boom")).await.unwrap();
    let changed = client.create(spec().hold()).await.unwrap().task_id;
    let changes = (0..CHANGES).map(|n| client.update(retagged(&changed, n)));
    join_all(changes).await.into_iter().for_each(|change| drop(change.unwrap()));
    client.cancel(&changed, "enough").await.unwrap();
    ended.extend([first, behind, failed, changed]);
    let mut expected = BTreeMap::new();
    for id in ended {
        let (task, history) = (printed(server, "show", &id).await, printed(server, "history", &id).await);
        expected.insert(id, json!({ "task": task, "events": history["events"] }));
    }
    assert!(expected.values().any(|line| line["events"].as_array().unwrap().len() > CHANGES));
    expected
}

fn retagged(task: &str, n: usize) -> UpdateTaskRequest {
    let update_mask = Some(FieldMask { paths: vec!["tags".into()] });
    UpdateTaskRequest { task_id: task.to_owned(), tags: vec![format!("{n}")], update_mask, ..Default::default() }
}

/// A dependency may have been forgotten in an earlier batch; then it is not named any more.
fn without_dependencies(mut line: Value) -> Value {
    line["task"]["spec"]["dependencies"] = json!(null);
    line
}

async fn archived(servers: &[&Server], archive: &Path, expected: &BTreeMap<String, Value>, needed: &str) -> Found {
    for id in expected.keys() {
        until_gone(&servers[0].client(), id).await;
    }
    let found = read(archive);
    assert_eq!(found.torn, 0);
    assert_eq!(found.lines.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{needed} is needed");
    for (id, expected) in expected {
        let line = without_dependencies(merged(&found.lines[id]));
        assert_eq!(line, without_dependencies(expected.clone()));
        assert!(line["events"].as_array().unwrap().len() >= 4);
    }
    found
}

#[tokio::test]
async fn each_forgotten_task_is_a_line_with_all_its_events() {
    let folder = tempfile::tempdir().unwrap();
    let (database, archive) = (format!("sqlite://{}/a.db", folder.path().display()), folder.path().join("archive"));
    let mut server = keeping(&database).start().await;
    let client = server.client();
    let expected = finish(&server).await;
    let needed = client.create(NewTask::new("t")).await.unwrap().task_id;
    claim::complete(&client, &claim::lease(&client, "bob", "t").await, "").await.unwrap();
    let waits = client.create(NewTask::new("later").depends_on(&needed).hold()).await.unwrap().task_id;
    assert!(server.terminate().await.success());

    let server = archiving(&database, &archive).start().await;
    let found = archived(&[&server], &archive, &expected, &needed).await;
    assert!(found.lines.values().all(|lines| lines.len() == 1), "one server writes each once");
    let [file] = &files(&archive)[..] else { panic!("a file a day") };
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&archive), mode(file)), (0o700, 0o600));
    let text = http::get(&server, "/metrics").await.body;
    assert!(text.contains(&format!("callboard_retention_archived_total {}\n", expected.len())), "{text}");

    server.client().cancel(&waits, "").await.unwrap();
    for id in [&needed, &waits] {
        until_gone(&server.client(), id).await;
        assert_eq!(read(&archive).lines[id].len(), 1);
    }
}

#[tokio::test]
async fn two_servers_on_postgres_archive_what_they_forget() {
    let cluster = Cluster::start(Settings { fsync: true, autovacuum: true });
    let (database, folder) = (cluster.database().await, tempfile::tempdir().unwrap());
    let mut server = keeping(&database).start().await;
    let expected = finish(&server).await;
    assert!(server.terminate().await.success());
    let (one, two) =
        tokio::join!(archiving(&database, folder.path()).start(), archiving(&database, folder.path()).start());
    archived(&[&one, &two], folder.path(), &expected, "nothing").await;
}

/// At least once, whatever happens: a line may be torn, or there twice, and never missing.
#[tokio::test]
async fn a_server_that_is_killed_while_it_archives_loses_no_task() {
    let folder = tempfile::tempdir().unwrap();
    let (database, archive) = (format!("sqlite://{}/a.db", folder.path().display()), folder.path().join("archive"));
    let mut server = keeping(&database).start().await;
    let client = server.client();
    let created = client.create_all((0..600).map(|n| NewTask::new("t").input(&n).unwrap().hold())).await.unwrap();
    let ids: Vec<String> = created.into_iter().map(|receipt| receipt.task_id).collect();
    join_all(ids.iter().map(|id| client.cancel(id, ""))).await.into_iter().for_each(|done| drop(done.unwrap()));
    assert!(server.terminate().await.success());
    let mut server = archiving(&database, &archive).start().await;
    for starts in 1..=4 {
        // Where all of it takes no time, there is nothing left for the later ones.
        let client = server.client();
        let all_gone = async || matches!(client.get(&ids[ids.len() - 1]).await, Err(Error::NotFound(_)));
        let written = || async { (files(&archive).len() == starts || all_gone().await).then_some(()) };
        wait::look("a file of this process", written).await;
        server.restart().await;
    }
    for id in &ids {
        until_gone(&server.client(), id).await;
    }
    let found = read(&archive);
    for (n, id) in ids.iter().enumerate() {
        let line = merged(&found.lines[id]);
        assert_eq!(line["task"]["spec"]["input"]["json"], json!(n));
        let sequences: Vec<&Value> =
            line["events"].as_array().unwrap().iter().map(|event| &event["sequence"]).collect();
        assert_eq!(sequences, [&json!(1), &json!(2)]);
    }
}

#[tokio::test]
async fn while_it_cannot_be_written_nothing_is_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (database, archive) = (format!("sqlite://{}/a.db", folder.path().display()), folder.path().join("archive"));
    let server = archiving(&database, &archive).start().await;
    let client = server.client();
    std::fs::remove_dir(&archive).unwrap();
    let id = client.create(NewTask::new("t").hold()).await.unwrap().task_id;
    client.cancel(&id, "").await.unwrap();
    let told = || async { server.logs().contains("finished tasks can't be archived").then_some(()) };
    wait::look("a warning", told).await;
    client.get(&id).await.expect("it is kept");
    let text = http::get(&server, "/metrics").await.body;
    assert!(!text.contains("callboard_retention_archive_failures_total 0\n"), "{text}");
    std::fs::create_dir(&archive).unwrap();
    until_gone(&client, &id).await;
    assert_eq!(read(&archive).lines[&id].len(), 1);
}

#[tokio::test]
async fn a_place_that_is_no_directory_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let (file, new) = (folder.path().join("file"), folder.path().join("new"));
    std::fs::write(&file, "").unwrap();
    let refused = Server::builder().args("--retention 1s --archive").arg(file.display().to_string()).try_start().await;
    let said = refused.unwrap_err();
    assert!(said.contains("archive: ") && said.contains("may write to"), "{said}");
    let off = Server::builder().args("--retention off --archive").arg(new.display().to_string()).try_start().await;
    assert!(off.unwrap_err().contains("retention is `off`"));
    let check = |archive: &Path| {
        let mut command = program::command(program::callboard());
        command.args(["serve", "--check", "--archive"]).arg(archive).current_dir(folder.path());
        command.output().unwrap()
    };
    let output = check(&new);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("archive: ok"), "{output:?}");
    assert!(!new.exists(), "a check makes nothing");
    let output = check(&file);
    assert!(!output.status.success() && String::from_utf8_lossy(&output.stderr).contains("archive: "), "{output:?}");
}
