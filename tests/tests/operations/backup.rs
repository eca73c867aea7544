//! A backup of a running server's store, made and restored as docs/operations.md says.

use callboard::v1::TaskState;
use callboard::{Client, NewTask};
use callboard_tests::server::Server;
use callboard_tests::{claim, program, wait};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const BEFORE: usize = 300;
const COMPLETED: usize = 20;

/// By Python's SQLite, which is not the server's.
async fn vacuum_into(database: &Path, backup: &Path) {
    let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('VACUUM INTO ?', (sys.argv[2],))";
    let mut command = program::command(program::python());
    command.args(["-c", script]).args([database, backup]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Submits until it is told to stop, and gives what was acknowledged.
async fn submit(client: &Client, stop: &AtomicBool) -> Vec<String> {
    let mut ids = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        ids.push(client.create(NewTask::new("during").input(&ids.len()).unwrap()).await.unwrap().task_id);
    }
    ids
}

async fn exists(client: &Client, id: &str) -> bool {
    client.get(id).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_a_running_server_has_every_acknowledged_task() {
    let mut server = Server::start().await;
    let client = server.client();
    let mut before = Vec::new();
    for n in 0..BEFORE {
        before.push(client.create(NewTask::new("before").input(&n).unwrap()).await.unwrap().task_id);
    }
    for n in 0..COMPLETED {
        let lease = claim::lease(&client, "bob", "before").await;
        claim::complete(&client, &lease, &format!("result {n}")).await.unwrap();
    }

    let stop = AtomicBool::new(false);
    let backup = server.directory().join("backup.db");
    let copy = async {
        vacuum_into(&server.database(), &backup).await;
        stop.store(true, Ordering::Relaxed);
    };
    let (during, ()) = wait::soon("the backup", async { tokio::join!(submit(&client, &stop), copy) }).await;
    assert!(!during.is_empty());
    let mut tasks = Vec::new();
    for id in &before {
        tasks.push(client.get(id).await.unwrap());
    }
    assert_eq!(tasks.iter().filter(|task| task.state() == TaskState::Completed).count(), COMPLETED);

    assert!(server.terminate().await.success());
    let database = server.database();
    std::fs::rename(&backup, &database).unwrap();
    for log in ["callboard.db-wal", "callboard.db-shm"] {
        let _ = std::fs::remove_file(server.directory().join(log));
    }
    let mut check = program::command(program::callboard());
    check.args(["serve", "--check", "--database", &database.display().to_string()]);
    let checked = check.output().unwrap();
    assert!(checked.status.success(), "{checked:?}");
    server.restart().await;

    let client = server.client();
    for task in &tasks {
        let restored = client.get(&task.id).await.unwrap();
        assert_eq!(&restored, task);
    }
    // Of what came meanwhile it has all up to some moment.
    let mut there = Vec::new();
    for id in &during {
        there.push(exists(&client, id).await);
    }
    assert!(there.is_sorted_by(|earlier, later| earlier >= later), "{there:?}");
    let lease = claim::lease(&client, "bob", "before").await;
    claim::complete(&client, &lease, "").await.unwrap();
}
