//! What the tasks of a load ask of their handlers: it stands in their input, so that every attempt of a task does the same.

use super::{Size, limits};
use callboard::v1;
use prost_types::Duration as ProtoDuration;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The task types of a load, each for another kind of agent.
pub const SDK: &str = "load.sdk";
/// For the agent that speaks frames.
pub const FRAMES: &str = "load.frames";
/// For those that claim by unary calls.
pub const CLAIMS: &str = "load.claims";

/// The failure that handlers give when they are asked to fail.
pub const ASKED_TO_FAIL: &str = "AskedToFail";

/// The role that no agent of a load has.
pub const NOBODY: &str = "load.nobody";

/// The resource that agents of a load have, and how much of it each; and what tasks take of it. Some can be done beside each other by one
/// agent, and others not.
const RESOURCE: &str = "load.gpu";
const HAS: f64 = 2.0;
const TAKEN: [f64; 4] = [0.5, 1.0, 1.5, 2.0];

/// The fairness keys of a load.
const TENANTS: [&str; 2] = ["load.one", "load.two"];

/// What a handler is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// How long it takes.
    pub millis: u64,
    /// How many attempts of a run fail before one completes.
    pub failures: u32,
    /// It saves a checkpoint on its way.
    pub checkpoint: bool,
    /// It stops when it is told to.
    pub obeys: bool,
    /// How many children it creates and waits for.
    pub children: u32,
    /// How many pieces of output it gives.
    pub output: u32,
}

impl Work {
    /// Mostly short; some of it longer than a server is away.
    pub fn random(random: &mut StdRng, longest: u64) -> Self {
        let millis = match random.random_range(0..10) {
            0..=5 => random.random_range(0..30),
            6..=8 => random.random_range(30..250),
            _ => random.random_range(250..longest),
        };
        let failures = match random.random_range(0..20) {
            0..=2 => 1,
            3 => 5,
            _ => 0,
        };
        let (checkpoint, obeys) = (random.random_bool(0.1), random.random_bool(0.5));
        Self { millis, failures, checkpoint, obeys, children: 0, output: 0 }
    }

    /// With children and output, some of it.
    fn with_family(self, random: &mut StdRng) -> Self {
        let children = if random.random_bool(0.25) { random.random_range(1..4) } else { 0 };
        let output = if random.random_bool(0.25) { random.random_range(1..6) } else { 0 };
        Self { children, output, ..self }
    }

    /// What one of its children is to do: short, now and then failing, and giving output.
    pub fn of_child(self, occurrence: u32) -> Self {
        let failures = u32::from(occurrence == 2);
        Self { millis: self.millis / 4 + 10, failures, children: 0, output: occurrence, ..self }
    }

    /// As an input.
    pub fn to_input(self) -> v1::Payload {
        let Self { millis, failures, checkpoint, obeys, children, output } = self;
        let mut value = json!({"millis": millis, "failures": failures, "checkpoint": checkpoint, "obeys": obeys});
        for (name, count) in [("children", children), ("output", output)].into_iter().filter(|(_, count)| *count > 0) {
            value[name] = count.into();
        }
        payload("application/json", value.to_string())
    }

    /// From an input. What is not there is nothing to do.
    pub fn read(value: &Value) -> Self {
        let count = |name: &str| value[name].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default();
        Self {
            millis: value["millis"].as_u64().unwrap_or_default(),
            failures: count("failures"),
            checkpoint: value["checkpoint"].as_bool().unwrap_or_default(),
            obeys: value["obeys"].as_bool().unwrap_or_default(),
            children: count("children"),
            output: count("output"),
        }
    }

    /// From an assignment.
    pub fn of(assignment: &v1::Assignment) -> Self {
        Self::asked(assignment.spec.as_ref())
    }

    /// From what was asked.
    pub fn asked(spec: Option<&v1::TaskSpec>) -> Self {
        let input = spec.and_then(|spec| spec.input.as_ref());
        Self::read(&serde_json::from_str(text_of(input)).unwrap_or_default())
    }

    /// How long it takes.
    pub fn length(self) -> Duration {
        Duration::from_millis(self.millis)
    }

    /// Whether an attempt is to fail, when so many of its run were used up before it.
    pub fn fails(self, attempts_used: i32) -> bool {
        i64::from(attempts_used) < i64::from(self.failures)
    }
}

/// A random task that a load of a size can do.
pub fn random_spec(random: &mut StdRng, size: &Size) -> v1::TaskSpec {
    let millis = |millis: i32| Some(ProtoDuration { seconds: 0, nanos: millis * 1_000_000 });
    let task_type = random_type(random, size);
    let mut work = Work::random(random, size.longest);
    if size.families && task_type == SDK {
        work = work.with_family(random);
    }
    let falls_back = size.fallbacks && random.random_bool(0.1);
    let mut requirements = falls_back.then(|| of_nobody(millis(random.random_range(1..800))));
    if size.resources && random.random_bool(0.2) {
        let amount = TAKEN.choose(random).copied().unwrap_or(HAS);
        requirements.get_or_insert_default().resources.insert(RESOURCE.to_owned(), amount);
    }
    let has_turns = size.turns && random.random_bool(0.3);
    let fairness_key =
        if has_turns { TENANTS[random.random_range(0..TENANTS.len())].to_owned() } else { String::new() };
    let limit_keys = limits::random_keys(random, size);
    v1::TaskSpec {
        limit_keys,
        r#type: task_type.to_owned(),
        fairness_key,
        requirements,
        description: "a task of the load".to_owned(),
        input: Some(work.to_input()),
        priority: random.random_range(0..6),
        retry_policy: Some(v1::RetryPolicy {
            max_attempts: size.max_attempts,
            initial_backoff: millis(20),
            max_backoff: millis(200),
            ..v1::RetryPolicy::default()
        }),
        ..v1::TaskSpec::default()
    }
}

/// What each agent of a load of a size says it has.
pub fn resources(size: &Size) -> BTreeMap<String, f64> {
    if size.resources { [(RESOURCE.to_owned(), HAS)].into() } else { BTreeMap::new() }
}

/// What nobody has, until anybody will do.
fn of_nobody(after: Option<ProtoDuration>) -> v1::Requirements {
    let fallbacks = vec![v1::RequirementsFallback { after, ..v1::RequirementsFallback::default() }];
    v1::Requirements { role: NOBODY.to_owned(), fallbacks, ..v1::Requirements::default() }
}

/// A random type of task: most go to the SDK's agents.
fn random_type(random: &mut StdRng, size: &Size) -> &'static str {
    match random.random_range(0..20) {
        0..=3 if size.speakers > 0 => FRAMES,
        4 if size.claimers > 0 => CLAIMS,
        _ => SDK,
    }
}

/// A payload of text.
pub fn payload(content_type: &str, text: impl Into<String>) -> v1::Payload {
    v1::Payload {
        content_type: content_type.to_owned(),
        content: Some(v1::payload::Content::Text(text.into())),
        ..v1::Payload::default()
    }
}

/// The text of a payload; empty when it has none.
pub fn text_of(payload: Option<&v1::Payload>) -> &str {
    match payload.and_then(|payload| payload.content.as_ref()) {
        Some(v1::payload::Content::Text(text)) => text,
        _ => "",
    }
}

/// A result that tells which handler gave it.
pub fn result_of(task_id: &str, attempt: i32, agent: &str) -> String {
    format!("{task_id} attempt {attempt} by {agent}")
}

/// The failure of a handler that was asked to fail.
pub fn asked_to_fail() -> v1::Failure {
    v1::Failure { r#type: ASKED_TO_FAIL.to_owned(), message: "as asked".to_owned(), ..v1::Failure::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn work_comes_through_an_input() {
        let mut random = StdRng::seed_from_u64(1);
        let work = Work { children: 2, output: 3, ..Work::random(&mut random, 1_000) };
        let spec = Some(v1::TaskSpec { input: Some(work.to_input()), ..v1::TaskSpec::default() });
        assert_eq!(Work::of(&v1::Assignment { spec, ..v1::Assignment::default() }), work);
    }
}
