//! `callboard serve --check`.

use callboard::NewTask;
use callboard_tests::program;
use callboard_tests::server::Server;
use std::path::Path;

fn check(database: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = program::command(program::callboard());
    command.args(["serve", "--check", "--database", &database.display().to_string()]).args(args);
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_check_says_what_a_start_would_find_and_changes_nothing() {
    let mut server = Server::start().await;
    server.client().create(NewTask::new("t")).await.unwrap();
    let database = server.database();
    let (code, out, _) = check(&database, &[]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("settings: ok") && out.contains("a server uses this file now"), "{out}");
    server.terminate().await;
    let before = std::fs::read(&database).unwrap();
    let (code, out, _) = check(&database, &[]);
    assert!(code == 0 && out.contains("without damage") && !out.contains("uses this file"), "{out}");
    assert_eq!(std::fs::read(&database).unwrap(), before);

    let missing = server.directory().join("new.db");
    let (code, out, _) = check(&missing, &[]);
    assert!(code == 0 && out.contains("not there yet") && !missing.exists(), "{out}");
    let text = server.directory().join("text.db");
    std::fs::write(&text, "The quick brown fox jumps over the lazy dog").unwrap();
    let (code, _, error) = check(&text, &[]);
    assert!(code != 0 && error.contains("text.db") && error.contains("restore a backup"), "{error}");
    for (args, field) in
        [(["--retention", "soon"], "retention"), (["--log", "a=b=c"], "log"), (["--listen", "0.0.0.0:1"], "listen")]
    {
        let (code, _, error) = check(&database, &args);
        assert!(code != 0 && error.contains(field), "{error}");
    }
}
