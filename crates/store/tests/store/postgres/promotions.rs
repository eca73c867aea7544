//! A standby that takes its primary's place without the last that the primary showed.

use super::*;
use crate::conformance::mail::{box_of, filled, mailbox, message, of};
use callboard_core::model::Event;
use callboard_core::working_set::MailboxRef;
use callboard_store::{Cursor, EventScope, MailPage};
use callboard_test_postgres::{Cluster, Settings};
use sqlx::AssertSqlSafe;

const HERE: EventScope = EventScope::Namespace(NAMESPACE);
const START: Cursor = Cursor { transaction: 0, position: 0 };
/// Transactions that take an id and leave nothing.
const ABORTED: &str = "BEGIN; SELECT pg_current_xact_id(); ROLLBACK;";
const NEEDED: &str = "SELECT value FROM callboard_meta WHERE name = 'min_version'";

async fn fixture(url: &str) -> Fixture {
    Fixture::new(Arc::new(PostgresStore::open(url, PostgresOptions::default()).await.unwrap()))
}

async fn read(fixture: &Fixture, scope: EventScope, after: Cursor) -> (Vec<Event>, Cursor) {
    let page = fixture.store.events(scope, Some(after), 10).await.unwrap();
    (page.events, page.next)
}

async fn mail(fixture: &Fixture, agent: u32, after: i64) -> MailPage {
    fixture.store.mail(box_of(agent), at(0), after, 10, 1 << 20).await.unwrap()
}

/// As rules do: behind the last place of the mailbox as it is loaded, if there is one.
async fn send(fixture: &Fixture, agent: u32) -> i64 {
    let mut transaction = Steps::begin(fixture).await;
    let mailboxes: [MailboxRef; 1] = [box_of(agent)];
    let loaded = transaction.load(Want { mailboxes: mailboxes.into(), ..Want::default() }).await.unwrap().mailboxes;
    let mut row = loaded.first().cloned().unwrap_or_else(|| mailbox(agent, 0, 0));
    let expected = row.version;
    row.version += 1;
    row.messages += 1;
    row.last_sequence += 1;
    let place = row.last_sequence;
    transaction.save(of(row, expected, [message(agent, place)])).await;
    transaction.commit().await;
    place
}

async fn number(url: &str, sql: &str) -> i64 {
    let mut connection = PgConnection::connect(url).await.unwrap();
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&mut connection).await.unwrap()
}

/// Whoever waits for the standby is told to wait no more: what it committed is seen, and the standby doesn't have it. Readers that
/// saw it miss nothing of what gets its numbers behind the promotion.
#[tokio::test(flavor = "multi_thread")]
async fn no_reader_misses_what_gets_the_numbers_of_what_a_standby_did_not_have() {
    let primary = Cluster::start(Settings::default());
    let url = primary.database().await;
    let name = url.rsplit('/').next().unwrap();
    let standby = primary.standby();
    primary.synchronous().await;
    let before = fixture(&url).await;
    before.save(ChangeSet { events: vec![event(1, 1)], ..new_tasks([&task(1)]) }).await;
    before.save(filled(1, 3)).await;
    let needed = number(&url, NEEDED).await;

    standby.lose_sight().await;
    primary.run("postgres", &ABORTED.repeat(50)).await;
    let second = step(&task(1), running(1));
    let lost = [
        ChangeSet { events: vec![event(1, 2)], ..tasks([changed(&second)]) },
        of(mailbox(1, 5, 2), 1, [message(1, 4), message(1, 5)]),
        // A mailbox of which the standby has nothing at all.
        filled(2, 2),
    ];
    for changes in lost {
        tokio::join!(before.save(changes), primary.show_what_waits());
    }
    let of_task = EventScope::Task(NAMESPACE, task_id(1));
    let (events, behind) = read(&before, HERE, START).await;
    assert_eq!(events, [event(1, 1), event(1, 2)], "it is shown");
    let places = [
        (HERE, behind),
        (HERE, before.store.end_of_events().await.unwrap()),
        (of_task, read(&before, of_task, START).await.1),
    ];
    let news = before.store.cluster().unwrap().news(START).await.unwrap().end;
    let mail_places = [before.store.end_of_mail().await.unwrap(), before.store.new_mail(START, 10).await.unwrap().next];
    let windows = [mail(&before, 1, 0).await.next, mail(&before, 2, 0).await.next];
    assert_eq!(windows, [5, 2]);

    primary.kill_all();
    standby.promote().await;
    let after = fixture(&standby.url(name)).await;
    assert_eq!(read(&after, HERE, START).await.0, [event(1, 1)], "the standby did not have it");
    let other = step(&task(1), running(1));
    after.save(ChangeSet { events: vec![event(1, 2)], ..tasks([changed(&other)]) }).await;
    for (scope, place) in places {
        assert_eq!(read(&after, scope, place).await.0, [event(1, 2)], "{scope:?} behind {place:?}");
    }
    assert!(after.store.cluster().unwrap().news(news).await.unwrap().any, "there is news behind {news:?}");
    let sent = [send(&after, 1).await, send(&after, 2).await];
    for (agent, (window, sent)) in (1..).zip(windows.into_iter().zip(sent)) {
        let found: Vec<_> = mail(&after, agent, window).await.messages.iter().map(|message| message.sequence).collect();
        assert_eq!(found, [sent], "mailbox {agent} behind {window}");
    }
    for place in mail_places {
        let found = after.store.new_mail(place, 10).await.unwrap().mailboxes;
        assert_eq!(found, [(box_of(1), sent[0]), (box_of(2), sent[1])].into(), "{place:?}");
    }
    // Numbers go on by ones.
    assert_eq!(send(&after, 1).await, sent[0] + 1);
    assert!(needed < 12 && number(&standby.url(name), NEEDED).await == 12, "older versions don't leap");
}

/// As most databases are used: by a role that may do nothing else.
#[tokio::test]
async fn an_ordinary_role_is_told_the_timeline() {
    let database = Database::new().await;
    database.run("DROP ROLE IF EXISTS plain").await;
    database.run("CREATE ROLE plain LOGIN; GRANT ALL ON SCHEMA public TO plain").await;
    let url = database.url.replacen("postgres@", "plain@", 1);
    let store = PostgresStore::open(&url, PostgresOptions::default()).await.unwrap();
    let settled = "SELECT value FROM callboard_meta WHERE name = 'token_timeline'";
    assert_eq!(database.number(settled).await, 1 + (1 << 32), "the first timeline, as it is stored");
    let cluster = store.cluster().unwrap();
    cluster.register("a").await.unwrap();
    assert!(cluster.renew("a").await.unwrap());
    database.run("DROP OWNED BY plain; DROP ROLE plain").await;
}
