//! No statement reads a whole table: SQLite's plans, as text.

use super::{
    SqliteOptions, SqliteStore, children, durations, events, forget, limits, load, mail, output, reads, results, save,
    steps, workflows,
};
use crate::Store;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

/// Lines of plans that read a whole table, an index of it, or a namespace of it.
fn reads_too_much(line: &str) -> bool {
    let whole = line.starts_with("SCAN ") && !line.contains("CONSTANT ROW") && !line.contains("VALUES CLAUSE");
    // Rows that stand in the statement, the members of one value, and what a limit has made few.
    let of_values = ["SCAN v", "SCAN j VIRTUAL", "SCAN (subquery", "SCAN (join", "SCAN few"];
    let of_values = of_values.iter().any(|start| line.starts_with(start));
    (whole && !of_values) || (line.contains("(namespace=?)") && !line.contains(" l "))
}

#[tokio::test]
async fn no_statement_over_many_rows_reads_a_whole_table() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let store = SqliteStore::open(&path.to_string_lossy(), SqliteOptions::default()).await.unwrap();
    store.close().await;
    let mut connection = SqliteConnectOptions::new().filename(&path).read_only(true).connect().await.unwrap();
    let all = [
        load::statements(),
        reads::statements(),
        save::statements(),
        mail::statements(),
        steps::statements(),
        output::statements(),
        results::statements(),
        children::statements(),
        forget::statements(),
        workflows::statements(),
        durations::statements(),
        limits::statements(),
    ]
    .concat();
    assert!(all.len() > 30);
    for (statement, rows) in all.iter().flat_map(|statement| [1, 16, 256].map(|rows| (statement, rows))) {
        let sql = statement.sql(rows.min(statement.largest));
        // These are asked for a whole namespace.
        if sql.contains("DISTINCT") || sql.contains("count(*)") {
            continue;
        }
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let plan = sqlx::query(AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
        let lines: Vec<String> = plan.iter().map(|row| row.get(3)).collect();
        assert!(!lines.iter().any(|line| reads_too_much(line)), "{sql}\n{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("TEMP B-TREE")), "{sql}\n{lines:#?}");
    }
    for sql in mail::QUERIES
        .into_iter()
        .chain(steps::QUERIES)
        .chain(output::QUERIES)
        .chain(children::QUERIES)
        .chain(workflows::QUERIES)
        .chain(limits::QUERIES)
        .chain(events::queries())
    {
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let plan = sqlx::query(AssertSqlSafe(explain)).fetch_all(&mut connection).await.unwrap();
        let lines: Vec<String> = plan.iter().map(|row| row.get(3)).collect();
        // Indexes of just what is still to be done.
        let to_do = |line: &str| {
            ["mailboxes_closed", "workflows_walking", "limit_uses_idle"].iter().any(|index| line.contains(index))
        };
        assert!(!lines.iter().any(|line| reads_too_much(line) && !to_do(line)), "{sql}\n{lines:#?}");
        assert!(!lines.iter().any(|line| line.contains("TEMP B-TREE")), "{sql}\n{lines:#?}");
    }
}

#[test]
fn inputs_are_small_up_to_the_size_that_core_says() {
    let sql = load::statements().into_iter().map(|statement| statement.sql(1)).find(|sql| sql.contains("s.input_type"));
    let parts: Vec<String> =
        sql.expect("inputs come with tasks").split("octet_length(s.input) <= ").skip(1).map(str::to_owned).collect();
    assert_eq!(parts.len(), 3);
    assert!(
        parts.iter().all(|part| part.starts_with(&format!("{} THEN", callboard_core::limits::SMALL_INPUT))),
        "{parts:?}"
    );
}
