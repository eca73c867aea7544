//! Saving tasks. This is the hot path: an update names only the columns, and so touches only the indexes, that its kind of
//! step can change.

use crate::Result;
use crate::codec::{column_code, from_json, metadata_json, task_data, to_json};
use crate::columns::Columns;
use crate::sqlite::convert::get;
use crate::sqlite::load::bind_task;
use crate::sqlite::many::{Binds, Many};
use crate::sqlite::script::{Script, check};
use callboard_core::Settings;
use callboard_core::model::{Content, Payload, Task, TaskSpec};
use callboard_core::working_set::{ChangedTask, TaskRef};
use sqlx::SqliteConnection;

static NEW_TASKS: Many = Many::values(
    "INSERT OR ROLLBACK INTO tasks (namespace, id, version, state, live, lane, rank, agent, wake_at, key, agent_name, created_at, data) \
     SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
static NEW_SPECS: Many = Many::values(
    "INSERT OR ROLLBACK INTO task_specs (namespace, task, task_type, created_by, spec, input_type, input_metadata, input) \
     SELECT * FROM (VALUES ",
    "(?,?,?,?,?,?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
static NEW_TAGS: Many = Many::values(
    "INSERT OR ROLLBACK INTO task_tags (namespace, tag, task) SELECT * FROM (VALUES ",
    "(?,?,?)",
    ") WHERE column1 IS NOT NULL",
);
/// A step of a task that was live and stays so, in its lane. The plus keeps SQLite from reading all live tasks by their index.
static STEPS: Many = Many::values(
    "UPDATE OR ROLLBACK tasks SET version = v.column4, state = v.column5, rank = v.column6, agent = v.column7, wake_at = v.column8, \
     agent_name = v.column9, data = v.column10, format = 1 FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?)",
    ") AS v WHERE tasks.namespace = v.column1 AND tasks.id = v.column2 AND tasks.version = v.column3 AND +tasks.live = 1",
);
/// An end, a new run, or another lane.
static CHANGES: Many = Many::values(
    "UPDATE OR ROLLBACK tasks SET version = v.column4, state = v.column5, rank = v.column6, agent = v.column7, wake_at = v.column8, \
     agent_name = v.column9, data = v.column10, live = v.column11, lane = v.column12, format = 1 FROM (VALUES ",
    "(?,?,?,?,?,?,?,?,?,?,?,?)",
    ") AS v WHERE tasks.namespace = v.column1 AND tasks.id = v.column2 AND tasks.version = v.column3",
);
static SPECS: Many = Many::values(
    "UPDATE OR ROLLBACK task_specs SET task_type = v.column3, spec = v.column4, format = 1 FROM (VALUES ",
    "(?,?,?,?)",
    ") AS v WHERE task_specs.namespace = v.column1 AND task_specs.task = v.column2",
);
static STORED_SPECS: Many = Many::values(
    "SELECT s.namespace, s.task, s.spec FROM (VALUES ",
    "(?,?)",
    ") AS v CROSS JOIN task_specs AS s ON s.namespace = v.column1 AND s.task = v.column2",
);
static OLD_TAG: Many = Many::single("DELETE FROM task_tags WHERE namespace = ? AND tag = ? AND task = ?");

/// Tasks by what happened to them.
pub struct Sorted<'a> {
    ended: Vec<&'a ChangedTask>,
    /// With a new run or another lane.
    back: Vec<&'a ChangedTask>,
    steps: Vec<&'a ChangedTask>,
    new: Vec<&'a ChangedTask>,
}

impl<'a> Sorted<'a> {
    pub fn of(tasks: &'a [ChangedTask]) -> Self {
        let (new, changed): (Vec<_>, Vec<_>) = tasks.iter().partition(|task| task.expected == 0);
        let (steps, others): (Vec<_>, Vec<_>) = changed.into_iter().partition(|task| is_step(task));
        let (back, ended): (Vec<_>, Vec<_>) = others.into_iter().partition(|task| task.row.is_live());
        Self { ended, back, steps, new }
    }

    /// How many rows a statement has at most.
    pub fn most(&self) -> usize {
        [&self.ended, &self.back, &self.steps, &self.new].into_iter().map(Vec::len).max().unwrap_or_default()
    }

    /// Saves them: those that end first, since they give their keys free, and new ones last.
    pub fn save<'s>(&'s self, script: &mut Script<'s>, settings: &'s Settings) {
        for changed in [&self.ended, &self.back] {
            script.add(&CHANGES, changed, |binds, task| bind_change(binds, task, settings), Some("tasks"));
        }
        script.add(&STEPS, &self.steps, |binds, task| bind_step(binds, task, settings), Some("tasks"));
        insert(script, &self.new, settings);
    }
}

/// Whether its spec was changed after it was created.
pub fn has_other_spec(task: &ChangedTask) -> bool {
    task.spec_changed && task.expected != 0
}

/// A task that has ended lives again only with a new run, and its lane changes only with its spec. (Should that ever not hold,
/// the statement finds no live row, which is a conflict.)
fn is_step(task: &ChangedTask) -> bool {
    task.row.is_live() && task.row.run == 1 && !task.spec_changed
}

fn bind_step(binds: &mut Binds, changed: &ChangedTask, settings: &Settings) -> Result<()> {
    let task = &changed.row;
    binds.add(task.namespace.0)?;
    binds.id(task.id.0)?;
    binds.add(changed.expected)?;
    binds.add(task.version)?;
    binds.add(column_code(&task.state))?;
    binds.add(task.rank())?;
    binds.add(task.state.lease().map(|lease| lease.agent.0.as_bytes().to_vec()))?;
    binds.add(task.wake_at(settings).map(|at| at.0))?;
    binds.add(task.agent_name.clone())?;
    binds.add(task_data(task)?)
}

fn bind_change(binds: &mut Binds, changed: &ChangedTask, settings: &Settings) -> Result<()> {
    bind_step(binds, changed, settings)?;
    binds.add(live(&changed.row))?;
    binds.add(changed.row.lane.0)
}

fn live(task: &Task) -> Option<i64> {
    task.is_live().then_some(1)
}

fn insert<'a>(script: &mut Script<'a>, new: &'a [&'a ChangedTask], settings: &'a Settings) {
    let bind = move |binds: &mut Binds, changed: &&ChangedTask| {
        let task = &changed.row;
        binds.add(task.namespace.0)?;
        binds.id(task.id.0)?;
        binds.add(task.version)?;
        binds.add(column_code(&task.state))?;
        binds.add(live(task))?;
        binds.add(task.lane.0)?;
        binds.add(task.rank())?;
        binds.add(task.state.lease().map(|lease| lease.agent.0.as_bytes().to_vec()))?;
        binds.add(task.wake_at(settings).map(|at| at.0))?;
        binds.add(task.spec.key.as_deref())?;
        binds.add(task.agent_name.clone())?;
        binds.add(task.created_at.0)?;
        binds.add(task_data(task)?)
    };
    script.add(&NEW_TASKS, new, bind, None);
    let bind = |binds: &mut Binds, changed: &&ChangedTask| {
        let task = &changed.row;
        binds.add(task.namespace.0)?;
        binds.id(task.id.0)?;
        binds.add(task.spec.task_type.clone())?;
        binds.add(task.created_by.clone())?;
        binds.add(to_json(&*task.spec)?)?;
        match &changed.input {
            Some(input) => bind_payload(binds, input),
            None => bind_payload(binds, &Payload::default()),
        }
    };
    script.add(&NEW_SPECS, new, bind, None);
}

/// A payload's three columns.
pub(in crate::sqlite) fn bind_payload(binds: &mut Binds, payload: &Payload) -> Result<()> {
    binds.add(payload.content_type.as_str())?;
    binds.add(metadata_json(&payload.metadata)?)?;
    match &payload.content {
        Content::Text(text) => binds.add(text.clone()),
        Content::Binary(bytes) => binds.add(bytes.to_vec()),
    }
}

/// Whether new tasks have tags.
pub fn has_tags(tasks: &[ChangedTask]) -> bool {
    tasks.iter().any(|task| task.expected == 0 && !task.row.spec.tags.is_empty())
}

/// The tags of new tasks.
pub async fn save_tags(connection: &mut SqliteConnection, tasks: &[ChangedTask]) -> Result<()> {
    insert_tags(connection, tasks.iter().filter(|task| task.expected == 0)).await
}

async fn insert_tags(connection: &mut SqliteConnection, tasks: impl Iterator<Item = &ChangedTask>) -> Result<()> {
    let of = |task: &'_ ChangedTask| (task.row.namespace, task.row.id);
    let tags = tasks.flat_map(|task| task.row.spec.tags.iter().map(move |tag| (of(task), tag.as_str())));
    let tags: Vec<(TaskRef, &str)> = tags.collect();
    NEW_TAGS.execute(connection, &tags, |binds, (task, tag)| bind_tag(binds, *task, tag)).await?;
    Ok(())
}

fn bind_tag(binds: &mut Binds, (namespace, task): TaskRef, tag: &str) -> Result<()> {
    binds.add(namespace.0)?;
    binds.add(tag)?;
    binds.id(task.0)
}

/// Specs that their owners changed, with their tags.
pub async fn save_specs(connection: &mut SqliteConnection, tasks: &[ChangedTask]) -> Result<()> {
    let changed: Vec<&ChangedTask> = tasks.iter().filter(|task| has_other_spec(task)).collect();
    if changed.is_empty() {
        return Ok(());
    }
    let refs: Vec<TaskRef> = changed.iter().map(|task| (task.row.namespace, task.row.id)).collect();
    let mut old: Vec<(TaskRef, String)> = Vec::new();
    STORED_SPECS
        .fetch(connection, &refs, bind_task, |row| {
            let spec: TaskSpec = from_json(get(row, 2)?, "a task's spec")?;
            let task = (row.namespace_id(0)?, row.task_id(1)?);
            old.extend(spec.tags.into_iter().map(|tag| (task, tag)));
            Ok(())
        })
        .await?;
    OLD_TAG.execute(connection, &old, |binds, (task, tag)| bind_tag(binds, *task, tag)).await?;
    let bind = |binds: &mut Binds, changed: &&ChangedTask| {
        bind_task(binds, &(changed.row.namespace, changed.row.id))?;
        binds.add(changed.row.spec.task_type.clone())?;
        binds.add(to_json(&*changed.row.spec)?)
    };
    let updated = SPECS.execute(connection, &changed, bind).await?;
    check(changed.len(), "specs", updated)?;
    insert_tags(connection, changed.into_iter()).await
}

/// Every statement, to look at its plan.
#[cfg(test)]
pub fn statements() -> Vec<&'static Many> {
    vec![&NEW_TASKS, &NEW_SPECS, &NEW_TAGS, &STEPS, &CHANGES, &SPECS, &STORED_SPECS, &OLD_TAG]
}
