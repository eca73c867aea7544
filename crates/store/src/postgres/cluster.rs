//! What replicas know of each other: registrations, and hints by LISTEN and NOTIFY.

use super::convert::Values;
use super::error::pg_error;
use super::store::{PostgresStore, Sql, rows_at_most};
use super::{events, horizon, schema, shown, timeline};
use crate::cluster::{Cluster, Hint, News, Registration, SessionNow, StopPage, StopPlace};
use crate::codec::{from_json, to_json};
use crate::columns::Columns;
use crate::rows::{self, task_columns};
use crate::{Cursor, Error, Result};
use async_trait::async_trait;
use callboard_core::model::{AgentId, NamespaceId, Timestamp};
use callboard_core::working_set::TaskRef;
use sqlx::Executor as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions, PgRow};
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

/// The channel of notifications.
const CHANNEL: &str = "callboard";
/// PostgreSQL's limit for a notification is 8,000 bytes.
const NOTIFICATION: usize = 7_900;
/// How many entries a notification has at first.
const ENTRIES: usize = 128;
/// How many hints may wait to be heard; what is more is heard as one that says everything.
const HEARD: usize = 256;
/// How long to wait before LISTEN is tried again.
const AGAIN: Duration = Duration::from_millis(500);
/// So long behind the last notification the server is asked whether it is there, and how long it may take to say so. A way that
/// is cut off without a word looks as if nothing were said, for ever.
const ASK: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(5);

const REGISTER: &str = "INSERT INTO registrations (name, beat, dead, schema) VALUES ($1, 1, false, $2)";
const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint";
const REGISTRATIONS: &str =
    "SELECT name, beat, dead, coalesce(schema, 0) >= $1, address FROM registrations ORDER BY name";
const ADVERTISE: &str = "UPDATE registrations SET address = $2 WHERE name = $1";
const DECLARE_DEAD: &str =
    "UPDATE registrations SET dead = true WHERE name = $1 AND (dead OR beat = $2) RETURNING beat";
const RESIGN: &str = "UPDATE registrations SET dead = true WHERE name = $1";
const FORGET: &str = "DELETE FROM registrations WHERE name = $1 AND dead";
const SESSIONS: &str = "SELECT a.id, a.epoch, a.session FROM agents AS a \
     JOIN unnest($1::bigint[], $2::uuid[]) AS v (namespace, id) USING (namespace, id)";
/// What was committed below the horizon of then was shown then; what is at it, or beyond, may not have been. (A later commit may have
/// an earlier token: that is why the last token alone says nothing.)
const NEWS: &str = concat!(
    "SELECT ",
    shown!("events", "h.horizon"),
    ", coalesce((SELECT e.token FROM events AS e ORDER BY e.token DESC LIMIT 1) >= $2, false) FROM (SELECT ",
    horizon!(),
    " AS horizon) AS h"
);
const ENDED: &str = "SELECT t.namespace, t.id FROM tasks AS t \
     JOIN unnest($1::bigint[], $2::uuid[]) AS v (namespace, id) USING (namespace, id) WHERE NOT t.live";
const STOPPING: &str = concat!(
    "SELECT ",
    task_columns!(),
    " FROM tasks AS t JOIN task_specs AS s ON s.namespace = t.namespace AND s.task = t.id \
     WHERE t.agent IS NOT NULL AND strpos(t.data, '\"cancelling\":{') > 0 \
     AND (t.namespace, t.agent, t.id) > ($1, $2, $3) ORDER BY t.namespace, t.agent, t.id LIMIT $4"
);
const NOTIFY: &str = "SELECT pg_notify($1, p) FROM unnest($2::text[]) AS p";

#[async_trait]
impl Cluster for PostgresStore {
    async fn register(&self, name: &str) -> Result<()> {
        self.change(REGISTER, || Values::default().text(name).one(schema::SCHEMA_VERSION)).await.map(drop)
    }

    async fn renew(&self, name: &str) -> Result<bool> {
        let values = || Values::default().one(self.shared.order).text(name).one(timeline::LEAPS);
        let renewed = self.shared.read_write(Sql::Fixed(timeline::RENEW), values).await?;
        let Some(row) = renewed.first() else { return Ok(false) };
        schema::is_known(row.number(0)?)?;
        if let Some(now) = row.number_or_null(1)? {
            timeline::follow(&self.shared.timeline, now)?;
        }
        Ok(true)
    }

    async fn advertise(&self, name: &str, address: Option<&str>) -> Result<()> {
        self.change(ADVERTISE, || Values::default().text(name).text_or_null(address)).await.map(drop)
    }

    async fn now(&self) -> Result<Option<Timestamp>> {
        let found = self.shared.read(Sql::Fixed(NOW), Values::default).await?;
        found.first().map(|row| Ok(Timestamp(row.number(0)?))).transpose()
    }

    async fn registrations(&self) -> Result<Vec<Registration>> {
        let found =
            self.shared.read(Sql::Fixed(REGISTRATIONS), || Values::default().one(schema::SCHEMA_VERSION)).await?;
        let read = |row: &PgRow| {
            let (name, beat) = (row.text(0)?.into_owned(), row.number(1)?);
            let address = row.text_or_null(4)?.map(Into::into);
            Ok(Registration { name, beat, dead: row.flag(2)?, current: row.flag(3)?, address })
        };
        found.iter().map(read).collect()
    }

    async fn declare_dead(&self, name: &str, beat: i64) -> Result<bool> {
        self.change(DECLARE_DEAD, || Values::default().text(name).one(beat)).await
    }

    async fn resign(&self, name: &str) -> Result<()> {
        self.change(RESIGN, || Values::default().text(name)).await.map(drop)
    }

    async fn forget(&self, name: &str) -> Result<()> {
        self.change(FORGET, || Values::default().text(name)).await.map(drop)
    }

    async fn sessions_of(&self, agents: &[(NamespaceId, AgentId)]) -> Result<Vec<SessionNow>> {
        let values = || Values::default().each(agents, |(namespace, _)| namespace.0).each(agents, |(_, id)| id.0);
        let found = self.shared.read(Sql::Fixed(SESSIONS), values).await?;
        let now = |row: &PgRow| {
            let session = row.json_or_null(2)?.map(|text| from_json(text, "an agent's session")).transpose()?;
            Ok(SessionNow { agent: row.agent_id(0)?, epoch: row.number(1)?, session })
        };
        found.iter().map(now).collect()
    }

    async fn news(&self, after: Cursor) -> Result<News> {
        let values = || Values::default().one(self.shared.order).one(after.transaction);
        let found = self.shared.read(Sql::Fixed(NEWS), values).await?;
        let row = found.first().ok_or_else(|| Error::Corrupt("there is no horizon".into()))?;
        Ok(News { end: events::before(row.number(0)?), any: row.flag(1)? })
    }

    async fn ended_of(&self, tasks: &[TaskRef]) -> Result<Vec<TaskRef>> {
        let values = || Values::default().each(tasks, |(namespace, _)| namespace.0).each(tasks, |(_, id)| id.0);
        let found = self.shared.read(Sql::Fixed(ENDED), values).await?;
        found.iter().map(|row| Ok((row.namespace_id(0)?, row.task_id(1)?))).collect()
    }

    async fn stopping(&self, after: Option<StopPlace>, limit: usize) -> Result<StopPage> {
        // No namespace has the lowest number of all.
        let lowest = (i64::MIN, Uuid::nil(), Uuid::nil());
        let (namespace, agent, task) = after.map_or(lowest, |(namespace, agent, task)| (namespace.0, agent.0, task.0));
        let values = || Values::default().one(namespace).one(agent).one(task).one(rows_at_most(limit));
        let found = self.shared.read(Sql::Fixed(STOPPING), values).await?;
        let tasks = found.iter().map(rows::task).collect::<Result<_>>()?;
        Ok(StopPage::of(tasks, limit))
    }

    async fn tell(&self, hint: &Hint) -> Result<()> {
        let payloads = payloads(hint.clone())?;
        let values = || Values::default().one(CHANNEL).each(&payloads, |payload| payload.as_str());
        self.change(NOTIFY, values).await.map(drop)
    }

    async fn listen(&self) -> Result<mpsc::Receiver<Hint>> {
        let (heard, hints) = mpsc::channel(HEARD);
        let options = self.shared.listen.clone();
        let mut beside = self.shared.beside.lock().unwrap_or_else(PoisonError::into_inner);
        beside.spawn(async move {
            match options {
                Some(options) => listen(options, heard).await,
                // What others commit is found by looking.
                None => heard.closed().await,
            }
        });
        Ok(hints)
    }
}

impl PostgresStore {
    /// One statement, outside of any transaction of the engine's; says whether it gave rows.
    async fn change(&self, sql: &'static str, values: impl Fn() -> Values) -> Result<bool> {
        self.shared.read_write(Sql::Fixed(sql), values).await.map(|rows| !rows.is_empty())
    }
}

/// A hint as notifications: JSON that is short enough.
fn payloads(hint: Hint) -> Result<Vec<String>> {
    let mut payloads = Vec::new();
    let mut left = if hint.everything { vec![hint] } else { hint.parts(ENTRIES) };
    while let Some(part) = left.pop() {
        let payload = to_json(&part)?;
        if payload.len() <= NOTIFICATION {
            payloads.push(payload);
        } else if part.len() > 1 {
            let half = part.len().div_ceil(2);
            left.extend(part.parts(half));
        } else {
            let everything = Hint { from: part.from, everything: true, ..Hint::default() };
            return Ok(vec![to_json(&everything)?]);
        }
    }
    Ok(payloads)
}

/// Listens, whatever becomes of the connection, until nobody wants to hear any more.
async fn listen(options: PgConnectOptions, heard: mpsc::Sender<Hint>) {
    while !heard.is_closed() {
        if let Err(error) = hear(&options, &heard).await {
            tracing::debug!(%error, "notifications are not heard; what others commit is found by looking until they are");
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = heard.closed() => return,
        }
    }
}

async fn hear(options: &PgConnectOptions, heard: &mpsc::Sender<Hint>) -> Result<()> {
    let pool = PgPoolOptions::new().max_connections(1).connect_lazy_with(options.clone());
    let mut listener = PgListener::connect_with(&pool).await.map_err(pg_error)?;
    listener.listen(CHANNEL).await.map_err(pg_error)?;
    // Before it listened something may have been said.
    let mut missed = true;
    loop {
        if missed && heard.try_send(Hint { everything: true, ..Hint::default() }).is_ok() {
            missed = false;
        }
        let notification = tokio::select! {
            notification = listener.try_recv() => notification.map_err(pg_error)?,
            () = heard.closed() => return Ok(()),
            () = tokio::time::sleep(ASK) => {
                ask(&mut listener).await?;
                continue;
            }
        };
        let Some(notification) = notification else {
            return Err(Error::Unavailable("the connection broke".into()));
        };
        match from_json::<Hint>(notification.payload(), "a hint") {
            Ok(hint) => missed |= heard.try_send(hint).is_err(),
            // A newer version may say something that we don't know.
            Err(_) => missed = true,
        }
    }
}

/// Whether the server still is at the other end. What it tells meanwhile is kept.
async fn ask(listener: &mut PgListener) -> Result<()> {
    match timeout(ANSWER, listener.execute("SELECT 1")).await {
        Ok(answered) => answered.map(drop).map_err(pg_error),
        Err(_) => Err(Error::Unavailable(format!("PostgreSQL did not answer within {} s", ANSWER.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{ResumedHint, StopHint};
    use callboard_core::command::{Fence, StopReason};
    use callboard_core::model::{LeaseToken, TaskId};
    use uuid::Uuid;

    #[test]
    fn a_notification_is_never_too_long() {
        let task = |n| TaskId(Uuid::from_u128(n));
        let stop = |n| StopHint {
            agent: AgentId(Uuid::from_u128(n)),
            fence: Fence { task: task(n), attempt: 1, token: LeaseToken(u128::MAX) },
            reason: StopReason::Requested,
            message: "\u{1F600}".repeat(100),
        };
        let resumed = |n| ResumedHint { agent: AgentId(Uuid::from_u128(n)), task: (NamespaceId(i64::MAX), task(n)) };
        let hint = Hint {
            from: "replica".into(),
            resumed: (0..200).map(resumed).collect(),
            tasks: (0..1_000).map(|n| (NamespaceId(i64::MAX), task(n))).collect(),
            stops: (0..200).map(stop).collect(),
            ..Hint::default()
        };
        let payloads = payloads(hint.clone()).unwrap();
        assert!(payloads.iter().all(|payload| payload.len() <= NOTIFICATION));
        let mut all = Hint { from: "replica".into(), ..Hint::default() };
        payloads.iter().for_each(|payload| all.merge(from_json(payload, "a hint").unwrap()));
        assert!(all.tasks == hint.tasks && all.stops.len() == 200 && all.resumed == hint.resumed);
    }
}
