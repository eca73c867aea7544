//! The ops `child`, `join` and `wait_children`.

use crate::program::{Seen, driver_fault};
use crate::shown;
use crate::spec::{Refused, Spec};
use crate::value::Any;
use callboard::{Child, Context, Error, NewChild, TaskError, v1};
use serde::Deserialize;
use serde_json::{Value, json};

/// Starts or runs a child.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildOf {
    task: Value,
    r#as: String,
    name: Option<String>,
    on_parent_end: Option<OnParentEnd>,
    #[serde(default)]
    keep: bool,
    #[serde(default)]
    catch: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum OnParentEnd {
    Cancel,
    Detach,
}

/// Waits for children that were kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Joining {
    children: Vec<String>,
    r#as: String,
    #[serde(default)]
    catch: bool,
}

/// Waits for some of the children that were kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitingForSome {
    children: Vec<String>,
    r#as: String,
    count: Option<i64>,
    rest: Option<Rest>,
    #[serde(default)]
    catch: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Rest {
    Keep,
    Cancel,
}

impl ChildOf {
    /// Starts or runs it, and puts what it gave into what was seen.
    pub async fn take(&self, context: &Context, seen: &mut Seen) -> Result<(), TaskError> {
        let child = match self.child() {
            Ok(child) => child,
            Err(Refused::Fault(fault)) => return Err(driver_fault(fault)),
            Err(Refused::Error(error)) => return self.put(seen, Err(error)),
        };
        if !self.keep {
            let result = context.run_child::<Any>(child).await;
            return self.put(seen, result.map(|value| value.line()));
        }
        let started = context.start_child(child).await;
        let line = started.map(|child| {
            let line = json!({ "task_id": child.id(), "existing": child.existing() });
            seen.children.insert(self.r#as.clone(), child);
            line
        });
        self.put(seen, line)
    }

    fn child(&self) -> Result<NewChild, Refused> {
        let spec: Spec =
            serde_json::from_value(self.task.clone()).map_err(|error| Refused::Fault(error.to_string()))?;
        let mut child = NewChild::new(spec.task()?);
        if let Some(name) = &self.name {
            child = child.name(name);
        }
        Ok(match self.on_parent_end {
            Some(OnParentEnd::Detach) => child.detached(),
            Some(OnParentEnd::Cancel) | None => child,
        })
    }

    fn put(&self, seen: &mut Seen, given: Result<Value, Error>) -> Result<(), TaskError> {
        put(seen, &self.r#as, self.catch, given)
    }
}

impl Joining {
    /// Waits for all of them, and puts their results into what was seen.
    pub async fn take(&self, seen: &mut Seen) -> Result<(), TaskError> {
        let children = kept(seen, &self.children)?;
        let results = futures::future::try_join_all(children.iter().map(Child::result::<Any>)).await;
        let given = results.map(|values| values.iter().map(Any::line).collect());
        put(seen, &self.r#as, self.catch, given)
    }
}

impl WaitingForSome {
    /// Waits, and puts the names of those that completed into what was seen.
    pub async fn take(&self, context: &Context, seen: &mut Seen) -> Result<(), TaskError> {
        let children = kept(seen, &self.children)?;
        let mut wait = context.wait_children(&children);
        if let Some(count) = self.count {
            // One below 0 can't be said in Rust; 0 is as wrong.
            wait = wait.count(usize::try_from(count).unwrap_or(0));
        }
        let done = match self.rest {
            Some(Rest::Cancel) => wait.cancel_rest().await,
            Some(Rest::Keep) | None => wait.await,
        };
        let name_of = |task: v1::Task| {
            let at = children.iter().position(|child| child.id() == task.id);
            at.map_or(Value::Null, |at| self.children[at].clone().into())
        };
        let given = done.map(|tasks| tasks.into_iter().map(name_of).collect());
        put(seen, &self.r#as, self.catch, given)
    }
}

fn kept(seen: &Seen, names: &[String]) -> Result<Vec<Child>, TaskError> {
    let named = |name: &String| {
        let child = seen.children.get(name).cloned();
        child.ok_or_else(|| driver_fault(format!("no child was kept as `{name}`")))
    };
    names.iter().map(named).collect()
}

fn put(seen: &mut Seen, name: &str, catch: bool, given: Result<Value, Error>) -> Result<(), TaskError> {
    let line = match given {
        Ok(line) => line,
        Err(error) if catch => json!({ "error": shown::error(&error) }),
        Err(error) => return Err(error.into()),
    };
    seen.values.insert(name.to_owned(), line);
    Ok(())
}
