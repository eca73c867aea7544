//! What a workflow file may say. The published schema says the same to editors; `schema_tests` holds them together.

use std::collections::BTreeMap;
use std::fmt;

use callboard::v1::{DependencyCondition, DependencyFailureAction, ResultComparison};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::fault::Fault;
use super::fields::{Length, Urgency, When};

/// A whole file; its parameters are put in already.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowFile {
    /// Left out only where the workflow is there already.
    pub name: Option<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// These two are taken out before; they are here to be named among the fields that there are.
    #[expect(dead_code)]
    parameters: Option<IgnoredAny>,
    #[expect(dead_code)]
    defaults: Option<IgnoredAny>,
    /// Tasks by what they depend on.
    pub tasks: Option<Vec<Task>>,
    /// Tasks in their order.
    pub steps: Option<Vec<Step>>,
}

/// What holds for each task that doesn't say otherwise.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is checked only: its fields go into the tasks before those are read")]
pub struct Defaults {
    r#type: Option<String>,
    priority: Option<Urgency>,
    timeout: Option<Length>,
    timeouts: Option<Timeouts>,
    retry_policy: Option<RetryPolicy>,
    deadline: Option<When>,
    skills: Option<Vec<String>>,
    tools: Option<Vec<String>>,
    role: Option<String>,
    assignee: Option<String>,
    preferred_agent: Option<String>,
    affinity: Option<BTreeMap<String, String>>,
    fallbacks: Option<Vec<Fallback>>,
    anti_affinity: Option<BTreeMap<String, String>>,
    resources: Option<BTreeMap<String, f64>>,
    fairness_key: Option<String>,
    limit_keys: Option<Vec<String>>,
    allow_failure: Option<bool>,
    weight: Option<i32>,
    tags: Option<Vec<String>>,
    metadata: Option<BTreeMap<String, String>>,
}

/// A task.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    pub name: String,
    #[serde(default)]
    pub r#type: String,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub input: Value,
    #[serde(default)]
    pub depends_on: Vec<Dependency>,
    pub priority: Option<Urgency>,
    /// Of an attempt: `start_to_close`.
    pub timeout: Option<Length>,
    #[serde(default)]
    pub timeouts: Timeouts,
    #[serde(default)]
    pub retry_policy: RetryPolicy,
    pub deadline: Option<When>,
    pub start_at: Option<When>,
    #[serde(default)]
    pub hold: bool,
    #[serde(default)]
    pub skills: Vec<String>,
    #[serde(default)]
    pub tools: Vec<String>,
    #[serde(default)]
    pub role: String,
    #[serde(default)]
    pub assignee: String,
    #[serde(default)]
    pub preferred_agent: String,
    #[serde(default)]
    pub affinity: BTreeMap<String, String>,
    #[serde(default)]
    pub fallbacks: Vec<Fallback>,
    #[serde(default)]
    pub anti_affinity: BTreeMap<String, String>,
    #[serde(default)]
    pub resources: BTreeMap<String, f64>,
    #[serde(default)]
    pub fairness_key: String,
    #[serde(default)]
    pub limit_keys: Vec<String>,
    #[serde(default)]
    pub near: Vec<String>,
    #[serde(default)]
    pub apart: Vec<String>,
    #[serde(default)]
    pub allow_failure: bool,
    pub weight: Option<i32>,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// A task that has its place in a row.
#[derive(Debug)]
pub struct Step {
    pub task: Task,
    /// It runs beside its neighbours that are parallel, too.
    pub parallel: bool,
}

impl<'de> Deserialize<'de> for Step {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(StepVisitor)
    }
}

struct StepVisitor;

impl<'de> Visitor<'de> for StepVisitor {
    type Value = Step;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a step: a mapping with `name` and `type`")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Step, A::Error> {
        let mut parallel = None;
        let task = Task::deserialize(MapAccessDeserializer::new(WithoutParallel { map, parallel: &mut parallel }))?;
        Ok(Step { task, parallel: parallel.unwrap_or_default() })
    }
}

/// The fields of a step, with the one that a task doesn't have taken out. (`flatten` would take any unknown field.)
struct WithoutParallel<'a, A> {
    map: A,
    parallel: &'a mut Option<bool>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithoutParallel<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: serde::de::DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.map.next_key::<String>()? {
            Some(key) if key == "parallel" => {
                *self.parallel = Some(self.map.next_value()?);
                self.next_key_seed(seed)
            }
            Some(key) => seed.deserialize(serde::de::value::StringDeserializer::new(key)).map(Some),
            None => Ok(None),
        }
    }

    fn next_value_seed<V: serde::de::DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// What a task waits for.
#[derive(Debug, Default)]
pub struct Dependency {
    pub on: Source,
    pub condition: Condition,
    pub result: Option<ResultTest>,
    pub on_failure: OnFailure,
    /// What the handler calls a task outside of the workflow.
    pub name: String,
}

/// Where a dependency's task is.
#[derive(Debug)]
pub enum Source {
    /// In this workflow, by its name.
    Task(String),
    /// Outside, by its id.
    Outside(String),
}

impl Default for Source {
    fn default() -> Self {
        Self::Task(String::new())
    }
}

impl<'de> Deserialize<'de> for Dependency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DependencyVisitor)
    }
}

struct DependencyVisitor;

impl<'de> Visitor<'de> for DependencyVisitor {
    type Value = Dependency;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a task, or a mapping with `task`")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Dependency, E> {
        Ok(Dependency { on: Source::Task(name.to_owned()), ..Dependency::default() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Dependency, A::Error> {
        let said = DependencyFields::deserialize(MapAccessDeserializer::new(map))?;
        let on = match (said.task, said.task_id) {
            (Some(_), None) if said.name.is_some() => {
                return Err(Error::custom("`name` is for a `task_id`: a task of the workflow has its own name"));
            }
            (Some(name), None) => Source::Task(name),
            (None, Some(id)) => Source::Outside(id),
            (None, None) => {
                return Err(Error::custom("missing field `task`: the name of another task of this workflow"));
            }
            (Some(_), Some(_)) => return Err(Error::custom("has both `task` and `task_id`: give one of them")),
        };
        let name = said.name.unwrap_or_default();
        Ok(Dependency { on, condition: said.condition, result: said.result, on_failure: said.on_failure, name })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DependencyFields {
    task: Option<String>,
    task_id: Option<String>,
    name: Option<String>,
    #[serde(default)]
    condition: Condition,
    result: Option<ResultTest>,
    #[serde(default)]
    on_failure: OnFailure,
}

/// How the other task must end.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    #[default]
    Completed,
    Failed,
    NotCompleted,
    Ended,
}

/// What becomes of a task when the other one ends otherwise.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    #[default]
    Skip,
    Fail,
}

/// What the other task's result must be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultTest {
    #[serde(default)]
    pub pointer: String,
    pub comparison: Comparison,
    /// Nothing is not `null`: that can be compared with.
    #[serde(default, deserialize_with = "given")]
    pub value: Option<Value>,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// How a value is compared.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Exists,
    NotExists,
}

/// How failures are retried.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryPolicy {
    pub max_attempts: Option<i32>,
    pub backoff: Option<Length>,
    pub multiplier: Option<f64>,
    pub max_backoff: Option<Length>,
    #[serde(default)]
    pub non_retryable_types: Vec<String>,
}

/// What is asked for instead when nobody has taken a task for some time.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fallback {
    pub after: Length,
    #[serde(default)]
    pub skills: Vec<String>,
    #[serde(default)]
    pub tools: Vec<String>,
    #[serde(default)]
    pub role: String,
    #[serde(default)]
    pub assignee: String,
}

/// How long other things than an attempt may take.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    pub schedule_to_start: Option<Length>,
    pub schedule_to_close: Option<Length>,
    pub heartbeat: Option<Length>,
}

/// Reads a document whose parameters are put in. Its defaults go into its tasks.
pub fn read(mut document: Value) -> Result<WorkflowFile, Fault> {
    let Some(fields) = document.as_object_mut() else {
        return Err(Fault::whole("is no mapping: write `name: …` and `tasks: […]`"));
    };
    if let Some(defaults) = fields.remove("defaults").filter(|defaults| !defaults.is_null()) {
        checked::<Defaults>(&defaults, "defaults")?;
        if let Value::Object(defaults) = defaults {
            give_defaults(fields, &defaults);
        }
    }
    checked(&document, "")
}

fn give_defaults(fields: &mut Map<String, Value>, defaults: &Map<String, Value>) {
    let lists = ["tasks", "steps"];
    for (_, list) in fields.iter_mut().filter(|(key, _)| lists.contains(&key.as_str())) {
        for task in list.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            for (field, value) in defaults {
                if !task.contains_key(field) {
                    task.insert(field.clone(), value.clone());
                }
            }
        }
    }
}

/// Reads a value; the fault has the path of what can't be read.
fn checked<'de, T: Deserialize<'de>>(value: &'de Value, at: &str) -> Result<T, Fault> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let path = match (at, path.as_str()) {
            (at, ".") => at.to_owned(),
            ("", path) => path.to_owned(),
            (at, path) => format!("{at}.{path}"),
        };
        Fault::at(path, error.inner().to_string())
    })
}

impl From<Condition> for DependencyCondition {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::Completed => Self::Completed,
            Condition::Failed => Self::Failed,
            Condition::NotCompleted => Self::NotCompleted,
            Condition::Ended => Self::Ended,
        }
    }
}

impl From<OnFailure> for DependencyFailureAction {
    fn from(action: OnFailure) -> Self {
        match action {
            OnFailure::Skip => Self::Skip,
            OnFailure::Fail => Self::Fail,
        }
    }
}

impl From<Comparison> for ResultComparison {
    fn from(comparison: Comparison) -> Self {
        match comparison {
            Comparison::Equal => Self::Equal,
            Comparison::NotEqual => Self::NotEqual,
            Comparison::Less => Self::Less,
            Comparison::LessOrEqual => Self::LessOrEqual,
            Comparison::Greater => Self::Greater,
            Comparison::GreaterOrEqual => Self::GreaterOrEqual,
            Comparison::Exists => Self::Exists,
            Comparison::NotExists => Self::NotExists,
        }
    }
}
