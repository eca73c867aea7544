//! What a request may say: sizes, forms, ranges. All faults are named at once.

mod limits;

use crate::command::TaskUpdate;
use crate::limits::{
    MAX_AMOUNT, MAX_CHILD_NAME, MAX_COMPARED, MAX_DELAY, MAX_DEPENDENCIES, MAX_DESCRIPTION, MAX_FALLBACKS,
    MAX_HEADER_BYTES, MAX_HEADERS, MAX_KEY, MAX_LIMIT_KEYS, MAX_MESSAGE_TTL, MAX_NAME, MAX_NEIGHBOURS, MAX_PAYLOAD,
    MAX_POINTER, MAX_PROFILE, MAX_RESOURCES, MAX_SLOTS, MAX_STEP_NAME, MAX_TIMEOUT, MAX_WORD,
};
use crate::model::{
    Address, AgentProfile, Condition, Fallback, NamespaceSettings, NewDependency, NewMessage, NewTask, Payload,
    Requirements, ResultCondition, RetryPolicy, Span, Timestamp, resources,
};
use crate::rejection::{Reason, Rejection, Violation};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};

/// A field within another. The path is joined only when there is a fault to tell: on the way of every task, there is none.
#[derive(Clone, Copy, Debug)]
pub struct Within<At>(pub At, pub &'static str);

impl<At: Display> Display for Within<At> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

/// What is wrong with a time that nobody will see.
const FAR_AHEAD: &str = "is more than ten years ahead; give an earlier time, or none";

/// Collects faults, each with the path of its field.
#[derive(Debug, Default)]
pub struct Faults {
    found: Vec<Violation>,
    too_large: bool,
}

impl Faults {
    /// A fault.
    pub fn add(&mut self, field: impl Display, description: impl Into<String>) {
        // A request with a million faults is answered with the first few, and how many there are.
        let fault = Violation { field: field.to_string(), description: description.into() };
        // What is checked twice, when it is read and by the rules, is told once.
        if self.found.len() < 1_000 && !self.found.contains(&fault) {
            self.found.push(fault);
        }
    }

    /// How many were found.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// A refusal if there is any fault.
    pub fn finish(self) -> Result<(), Rejection> {
        match (self.found.is_empty(), self.too_large) {
            (true, _) => Ok(()),
            (false, true) => Err(Rejection::of_fields(Reason::PayloadTooLarge, self.found)),
            (false, false) => Err(Rejection::invalid(self.found)),
        }
    }

    /// A fault of size. It alone is told: what else is wrong may come of how the request was put together.
    pub fn too_large(&mut self, field: impl Display, description: impl Into<String>) {
        if !self.too_large {
            self.found.clear();
            self.too_large = true;
        }
        let fault = Violation { field: field.to_string(), description: description.into() };
        if !self.found.contains(&fault) {
            self.found.push(fault);
        }
    }

    fn check(&mut self, ok: bool, field: impl Display + Copy, description: impl FnOnce() -> String) {
        if !ok {
            self.add(field, description());
        }
    }

    /// A name of a task type or an agent: letters, digits and `-_./:`.
    pub fn name(&mut self, field: impl Display + Copy, name: &str) {
        let form = |b: u8| b.is_ascii_alphanumeric() || b"-_./:".contains(&b);
        self.check(!name.is_empty(), field, || "is empty; give 1 to 128 characters".into());
        self.check(name.len() <= MAX_NAME, field, || format!("has {} characters; at most {MAX_NAME}", name.len()));
        self.check(name.bytes().all(form), field, || "may have letters, digits and -_./: only".into());
    }

    /// The name of a namespace: small letters, digits and `-`, a letter first.
    pub fn namespace(&mut self, field: impl Display + Copy, name: &str) {
        let form = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let ok = (1..=63).contains(&name.len())
            && name.bytes().all(form)
            && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        self.check(ok, field, || "must be 1 to 63 small letters, digits and '-', a letter first".into());
    }

    /// The name of a durable step: any text.
    pub fn step_name(&mut self, field: impl Display + Copy, name: &str) {
        let ok = (1..=MAX_STEP_NAME).contains(&name.len());
        self.check(ok, field, || format!("has {} bytes; give 1 to {MAX_STEP_NAME}", name.len()));
    }

    /// The name of a child: any text.
    pub fn child_name(&mut self, field: impl Display + Copy, name: &str) {
        let ok = (1..=MAX_CHILD_NAME).contains(&name.len());
        self.check(ok, field, || format!("has {} bytes; give 1 to {MAX_CHILD_NAME}", name.len()));
    }

    /// A text of bounded length.
    pub fn text(&mut self, field: impl Display + Copy, text: &str, max: usize) {
        self.check(text.len() <= max, field, || format!("has {} bytes; at most {max}", text.len()));
    }

    /// A set of words.
    pub fn words(&mut self, field: impl Display + Copy, words: &BTreeSet<String>, max: usize) {
        self.check(words.len() <= max, field, || format!("has {} entries; at most {max}", words.len()));
        let fits = |word: &String| (1..=MAX_WORD).contains(&word.len());
        if let Some(word) = words.iter().find(|word| !fits(word)) {
            self.add(field, format!("has an entry of {} bytes; each must have 1 to {MAX_WORD}", word.len()));
        }
    }

    /// A map of bounded size.
    pub fn map(&mut self, field: impl Display + Copy, map: &BTreeMap<String, String>, max: usize, max_bytes: usize) {
        self.check(map.len() <= max, field, || format!("has {} entries; at most {max}", map.len()));
        let bytes: usize = map.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.check(bytes <= max_bytes, field, || format!("has {bytes} bytes; at most {max_bytes}"));
        self.check(!map.contains_key(""), field, || "has an empty key; name it".into());
    }

    /// A length of time in a range.
    pub fn span(&mut self, field: impl Display + Copy, span: Span, min: Span, max: Span) {
        self.check(span >= min && span <= max, field, || {
            let seconds = |span: Span| span.0 as f64 / 1e6;
            let years = if max == MAX_TIMEOUT { " (ten years)" } else { "" };
            format!("is {} s; must be {} to {} s{years}", seconds(span), seconds(min), seconds(max))
        });
    }

    /// A payload.
    pub fn payload(&mut self, field: impl Display + Copy, payload: &Payload) {
        if payload.len() > MAX_PAYLOAD {
            let remedy = "store it elsewhere and pass where it is";
            self.too_large(field, format!("has {} bytes; at most {MAX_PAYLOAD} (1 MiB): {remedy}", payload.len()));
        }
        self.text(format_args!("{field}.content_type"), &payload.content_type, 256);
        self.map(format_args!("{field}.metadata"), &payload.metadata, 64, 16 << 10);
    }

    /// A task that is to be created.
    pub fn new_task(&mut self, at: impl Display + Copy, new: &NewTask, now: Timestamp) {
        let spec = &new.spec;
        let field = |name: &'static str| Within(at, name);
        self.name(field("type"), &spec.task_type);
        self.text(field("description"), &spec.description, MAX_DESCRIPTION);
        self.payload(field("input"), &new.input);
        if let Some(key) = &spec.key {
            self.text(field("key"), key, MAX_KEY);
        }
        let requirements = &spec.requirements;
        self.words(field("requirements.skills"), &requirements.skills, 32);
        self.words(field("requirements.tools"), &requirements.tools, 32);
        if let Some(role) = &requirements.role {
            self.text(field("requirements.role"), role, MAX_WORD);
        }
        if let Some(assignee) = &requirements.assignee {
            self.name(field("requirements.assignee"), assignee);
        }
        if let Some(preferred) = &requirements.preferred_agent {
            self.name(field("requirements.preferred_agent"), preferred);
        }
        self.map(field("requirements.affinity"), &requirements.affinity, 16, 4 << 10);
        self.fallbacks(field("requirements.fallbacks"), &requirements.fallbacks);
        self.placement(Within(at, "requirements"), requirements);
        let dependencies = new.dependencies.len();
        self.check(dependencies <= MAX_DEPENDENCIES, field("dependencies"), || {
            format!("has {dependencies} entries; at most {MAX_DEPENDENCIES}")
        });
        self.dependencies(field("dependencies"), &new.dependencies);
        self.retry_policy(field("retry_policy"), &spec.retry_policy);
        self.timeouts(at, new);
        self.deadline(field("deadline"), spec.deadline, now);
        if let Some(start_at) = new.start_at {
            self.check(start_at <= now + MAX_TIMEOUT, field("start_at"), || FAR_AHEAD.into());
        }
        self.tags(field("tags"), &spec.tags);
        self.map(field("metadata"), &spec.metadata, 64, 16 << 10);
        self.map(field("headers"), &spec.headers, MAX_HEADERS, MAX_HEADER_BYTES);
        if let Some(key) = &spec.fairness_key {
            self.text(field("fairness_key"), key, MAX_WORD);
        }
        self.words(field("limit_keys"), &spec.limit_keys, MAX_LIMIT_KEYS);
    }

    /// What a task asks for when nobody takes it.
    fn fallbacks(&mut self, at: impl Display + Copy, fallbacks: &[Fallback]) {
        let count = fallbacks.len();
        self.check(count <= MAX_FALLBACKS, at, || format!("has {count} entries; at most {MAX_FALLBACKS}"));
        let mut before = None;
        for (index, fallback) in fallbacks.iter().enumerate() {
            let at = format_args!("{at}[{index}]");
            let field = Within(at, "after");
            self.span(field, fallback.after, Span::millis(1), MAX_TIMEOUT);
            self.check(before.is_none_or(|before| before < fallback.after), field, || {
                "is not longer than that of the fallback before; each must be longer".into()
            });
            before = Some(fallback.after);
            self.words(Within(at, "skills"), &fallback.skills, 32);
            self.words(Within(at, "tools"), &fallback.tools, 32);
            if let Some(role) = &fallback.role {
                self.text(Within(at, "role"), role, MAX_WORD);
            }
            if let Some(assignee) = &fallback.assignee {
                self.name(Within(at, "assignee"), assignee);
            }
        }
    }

    /// Where a task should be done, and what it takes there.
    fn placement(&mut self, at: impl Display + Copy, requirements: &Requirements) {
        self.map(Within(at, "anti_affinity"), &requirements.anti_affinity, 16, 4 << 10);
        self.words(Within(at, "near"), &requirements.near, MAX_NEIGHBOURS);
        self.words(Within(at, "apart"), &requirements.apart, MAX_NEIGHBOURS);
        let resources = &requirements.resources;
        self.resource_names(Within(at, "resources"), resources.iter().map(|(name, _)| name));
    }

    /// Names of resources.
    fn resource_names<'n>(
        &mut self,
        field: impl Display + Copy,
        names: impl ExactSizeIterator<Item = &'n str> + Clone,
    ) {
        let count = names.len();
        self.check(count <= MAX_RESOURCES, field, || format!("has {count} entries; at most {MAX_RESOURCES}"));
        if let Some(name) = names.into_iter().find(|name| !(1..=MAX_WORD).contains(&name.len())) {
            self.add(field, format!("has a name of {} bytes; each must have 1 to {MAX_WORD}", name.len()));
        }
    }

    /// How much of a resource a task takes, in thousandths; none, and a fault, if that is no amount.
    pub fn amount(&mut self, field: impl Display + Copy, name: &str, amount: f64) -> Option<u64> {
        let parts = resources::exact(amount).filter(|parts| *parts > 0 && amount <= MAX_AMOUNT);
        self.check(parts.is_some(), field, || {
            let name = name.chars().take(32).collect::<String>();
            format!("has {name:?} as {amount}; an amount is more than 0, in steps of 0.001, and at most {MAX_AMOUNT}")
        });
        parts
    }

    /// The dependencies near to whose agents, or apart from them, a task should be done must be its own; these are the names of those.
    pub fn neighbours(&mut self, at: impl Display + Copy, requirements: &Requirements, names: &BTreeSet<&str>) {
        for (field, wanted) in [("near", &requirements.near), ("apart", &requirements.apart)] {
            // Of too many it was told how many there are.
            let wanted = wanted.iter().filter(|_| wanted.len() <= MAX_NEIGHBOURS);
            for name in wanted.filter(|name| !names.contains(name.as_str())) {
                let name = name.chars().take(MAX_WORD).collect::<String>();
                let remedy = "give the name of one, or leave it out";
                self.add(Within(at, field), format!("{name:?} is no name of a dependency of this task; {remedy}"));
            }
        }
    }

    /// What a new task asks of those that it depends on; whether they exist is seen by the rules.
    /// What a task is to wait for, and what it calls that.
    pub fn dependencies(&mut self, field: impl Display + Copy, dependencies: &[NewDependency]) {
        let mut names = BTreeSet::new();
        for (index, dependency) in dependencies.iter().enumerate() {
            if let Some(name) = &dependency.terms.name {
                let field = format_args!("{field}[{index}].name");
                self.name(field, name);
                self.check(names.insert(name), field, || format!("{name:?} is another one's; give each its own"));
            }
            self.condition(format_args!("{field}[{index}]"), &dependency.terms.condition);
        }
    }

    /// How a dependency must end.
    pub fn condition(&mut self, at: impl Display + Copy, condition: &Condition) {
        if let Condition::Result(condition) = condition {
            self.result_condition(Within(at, "result"), condition);
        }
    }

    fn result_condition(&mut self, at: impl Display + Copy, condition: &ResultCondition) {
        let (field, pointer) = (Within(at, "pointer"), &condition.pointer);
        self.text(field, pointer, MAX_POINTER);
        self.check(pointer.is_empty() || pointer.starts_with('/'), field, || {
            format!("is {pointer:?}; a JSON Pointer begins with '/', or is empty for the whole result")
        });
        let escapes_nothing = |part: &str| !part.starts_with(['0', '1']);
        self.check(!pointer.split('~').skip(1).any(escapes_nothing), field, || {
            "has a '~' that escapes nothing; write ~0 for '~', and ~1 for '/' in a name".into()
        });
        if let Some(value) = condition.test.value() {
            self.text(Within(at, "value"), value.as_str(), MAX_COMPARED);
            let ordered = !condition.test.is_ordering() || value.has_order();
            self.check(ordered, Within(at, "value"), || "has no order; give a number or a text".into());
        }
    }

    fn timeouts(&mut self, at: impl Display + Copy, new: &NewTask) {
        let timeouts = &new.spec.timeouts;
        let given = [
            ("schedule_to_start", timeouts.schedule_to_start),
            ("start_to_close", Some(timeouts.start_to_close)),
            ("schedule_to_close", timeouts.schedule_to_close),
            ("heartbeat", timeouts.heartbeat),
        ];
        for (name, span) in given {
            if let Some(span) = span {
                self.span(format_args!("{at}.timeouts.{name}"), span, Span::millis(1), MAX_TIMEOUT);
            }
        }
    }

    /// A deadline: in the future, and not absurdly far.
    pub fn deadline(&mut self, field: impl Display + Copy, deadline: Option<Timestamp>, now: Timestamp) {
        let Some(deadline) = deadline else { return };
        self.check(deadline > now, field, || {
            format!("passed {} s ago; it must be in the future", now.since(deadline).0 / 1_000_000)
        });
        self.check(deadline <= now + MAX_TIMEOUT, field, || FAR_AHEAD.into());
    }

    /// Tags.
    pub fn tags(&mut self, field: impl Display + Copy, tags: &BTreeSet<String>) {
        self.words(field, tags, 32);
    }

    /// A retry policy.
    pub fn retry_policy(&mut self, at: impl Display + Copy, policy: &RetryPolicy) {
        let attempts = policy.max_attempts;
        self.check((1..=1_000).contains(&attempts), format_args!("{at}.max_attempts"), || {
            format!("is {attempts}; must be 1 to 1000")
        });
        self.span(format_args!("{at}.initial_backoff"), policy.initial_backoff, Span::millis(1), MAX_DELAY);
        self.span(format_args!("{at}.max_backoff"), policy.max_backoff, Span::millis(1), MAX_DELAY);
        let multiplier = policy.multiplier;
        self.check((1.0..=100.0).contains(&multiplier), format_args!("{at}.multiplier"), || {
            format!("is {multiplier}; must be 1 to 100")
        });
        let types = &policy.non_retryable_types;
        let field = Within(at, "non_retryable_types");
        self.check(types.len() <= 64, field, || format!("has {} entries; at most 64", types.len()));
        if let Some(name) = types.iter().find(|name| !(1..=256).contains(&name.len())) {
            self.add(field, format!("has an entry of {} bytes; each must have 1 to 256", name.len()));
        }
    }

    /// Settings of a namespace.
    pub fn namespace_settings(&mut self, at: impl Display + Copy, settings: &NamespaceSettings) {
        let lanes = settings.max_lanes;
        self.check((1..=10_000).contains(&lanes), format_args!("{at}.max_lanes"), || {
            format!("is {lanes}; must be 1 to 10000")
        });
        let live = settings.max_live_tasks;
        self.check((1..=100_000_000).contains(&live), format_args!("{at}.max_live_tasks"), || {
            format!("is {live}; must be 1 to 100000000")
        });
        self.retry_policy(format_args!("{at}.retry_policy"), &settings.retry_policy);
        self.span(format_args!("{at}.start_to_close"), settings.start_to_close, Span::millis(1), MAX_TIMEOUT);
    }

    /// What an agent says of itself.
    pub fn profile(&mut self, at: impl Display + Copy, name: &str, profile: &AgentProfile) {
        let field = |name: &'static str| Within(at, name);
        self.name(field("name"), name);
        self.name(field("agent_type"), &profile.agent_type);
        self.text(field("role"), &profile.role, MAX_WORD);
        self.words(field("skills"), &profile.skills, 128);
        self.words(field("tools"), &profile.tools, 128);
        self.map(field("labels"), &profile.labels, 64, 16 << 10);
        let slots = profile.slots;
        self.check(slots <= MAX_SLOTS, field("slots"), || format!("is {slots}; must be 1 to {MAX_SLOTS}"));
        let resources = &profile.resources;
        self.resource_names(field("resources"), resources.keys().map(String::as_str));
        for (name, amount) in resources.iter().filter(|(_, amount)| !amount.is_finite() || **amount < 0.0) {
            let name = name.chars().take(32).collect::<String>();
            self.add(field("resources"), format!("has {name:?} as {amount}; an amount is 0 or more"));
        }
        let handled = profile.handles.len();
        self.check((1..=256).contains(&handled), field("handles"), || {
            format!("has {handled} entries; give 1 to 256 task types, or one '*'")
        });
        for (index, handler) in profile.handles.iter().enumerate() {
            let at = format_args!("{at}.handles[{index}]");
            if handler.task_type != "*" {
                self.name(format_args!("{at}.type"), &handler.task_type);
            }
            self.text(format_args!("{at}.description"), &handler.description, 1 << 10);
            self.text(format_args!("{at}.input_schema"), &handler.input_schema, 64 << 10);
            self.text(format_args!("{at}.output_schema"), &handler.output_schema, 64 << 10);
        }
        let schemas = profile.handles.iter().map(|handler| handler.input_schema.len() + handler.output_schema.len());
        let schemas: usize = schemas.sum();
        self.check(schemas <= MAX_PROFILE, field("handles"), || {
            format!("has schemas of {schemas} bytes; at most {MAX_PROFILE} in all: leave the large ones out")
        });
        self.text(field("sdk"), &profile.sdk, MAX_WORD);
        self.text(field("sdk_version"), &profile.sdk_version, MAX_WORD);
        self.text(field("build_id"), &profile.build_id, MAX_WORD);
    }

    /// A message that is to be sent.
    pub fn new_message(&mut self, at: impl Display + Copy, new: &NewMessage) {
        let Address::Agent(name) = &new.to;
        self.name(format_args!("{at}.to.agent"), name);
        self.payload(format_args!("{at}.payload"), &new.payload);
        let headers = Within(at, "headers");
        self.map(headers, &new.headers, 32, 8 << 10);
        let reserved = new.headers.keys().find(|name| name.starts_with("callboard."));
        self.check(reserved.is_none(), headers, || "names that begin with callboard. are reserved; rename it".into());
        if let Some(ttl) = new.ttl {
            self.span(format_args!("{at}.ttl"), ttl, Span::millis(1), MAX_MESSAGE_TTL);
        }
    }

    /// A change of a live task.
    pub fn update(&mut self, update: &TaskUpdate, now: Timestamp) {
        if let Some(Some(assignee)) = &update.assignee {
            self.name("assignee", assignee);
        }
        self.deadline("deadline", update.deadline.flatten(), now);
        if let Some(tags) = &update.tags {
            self.tags("tags", tags);
        }
    }
}
