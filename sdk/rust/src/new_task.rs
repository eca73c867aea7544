//! Describing a task to be created.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use callboard_proto::v1;
use serde::Serialize;

use crate::time::{proto_duration, proto_timestamp};
use crate::{NewDependency, NewFallback, Result, payload};

/// A task to be created. Everything but the type is optional.
#[derive(Debug, Clone, Default)]
pub struct NewTask {
    pub(crate) spec: v1::TaskSpec,
    pub(crate) request_id: String,
}

impl NewTask {
    /// A task of this type, which agents say they handle: 1 to 128 letters, digits and `-_./:`.
    pub fn new(task_type: impl Into<String>) -> Self {
        let spec = v1::TaskSpec { r#type: task_type.into(), ..v1::TaskSpec::default() };
        Self { spec, request_id: String::new() }
    }

    /// What the handler is given: a string, [`crate::Bytes`], or anything that can be JSON.
    ///
    /// # Errors
    ///
    /// [`crate::Error::InvalidArgument`] when the value can't be a payload: see [`crate::to_payload`].
    pub fn input<T: Serialize + ?Sized>(self, input: &T) -> Result<Self> {
        Ok(self.input_payload(payload::to_payload(input)?))
    }

    /// The input as a payload, made by the caller.
    #[must_use]
    pub fn input_payload(mut self, input: v1::Payload) -> Self {
        self.spec.input = Some(input);
        self
    }

    /// What the task is about, for people. At most 4 KiB.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.spec.description = description.into();
        self
    }

    /// Your own id for the task, unique among the live tasks of the namespace. By default a live task of the same key is
    /// used instead of creating one.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.spec.key = key.into();
        self
    }

    /// What to do when a live task has the key.
    #[must_use]
    pub fn on_key_conflict(mut self, policy: v1::KeyConflictPolicy) -> Self {
        self.spec.key_conflict_policy = policy.into();
        self
    }

    /// How urgent it is.
    #[must_use]
    pub fn priority(mut self, priority: v1::Priority) -> Self {
        self.spec.priority = priority.into();
        self
    }

    /// A skill that the agent must have. Call it once for each.
    #[must_use]
    pub fn skill(mut self, skill: impl Into<String>) -> Self {
        self.requirements().skills.push(skill.into());
        self
    }

    /// A tool that the agent must have. Call it once for each.
    #[must_use]
    pub fn tool(mut self, tool: impl Into<String>) -> Self {
        self.requirements().tools.push(tool.into());
        self
    }

    /// The role that the agent must have.
    #[must_use]
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.requirements().role = role.into();
        self
    }

    /// The only agent that may have it, by name. It need not exist yet.
    #[must_use]
    pub fn assignee(mut self, agent: impl Into<String>) -> Self {
        self.requirements().assignee = agent.into();
        self
    }

    /// The agent that should have it, by name.
    #[must_use]
    pub fn preferred_agent(mut self, agent: impl Into<String>) -> Self {
        self.requirements().preferred_agent = agent.into();
        self
    }

    /// A label that the agent should have. Call it once for each.
    #[must_use]
    pub fn affinity(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.requirements().affinity.insert(label.into(), value.into());
        self
    }

    /// A label that the agent should not have. Call it once for each.
    #[must_use]
    pub fn anti_affinity(mut self, label: impl Into<String>, value: impl Into<String>) -> Self {
        self.requirements().anti_affinity.insert(label.into(), value.into());
        self
    }

    /// How much of a resource (`gpu`) it takes of its agent's while it holds a slot: see [`crate::AgentBuilder::resource`]. Call it
    /// once for each. An agent that has less never gets the task, and none is given more at once than it has.
    #[must_use]
    pub fn resource(mut self, resource: impl Into<String>, amount: f64) -> Self {
        self.requirements().resources.insert(resource.into(), amount);
        self
    }

    /// The agent that had the dependency of this name should have it, too: see [`NewDependency::named`]. Call it once for each.
    #[must_use]
    pub fn near(mut self, dependency: impl Into<String>) -> Self {
        self.requirements().near.push(dependency.into());
        self
    }

    /// The agent that had the dependency of this name should not have it: to have a work reviewed by another. Call it once for
    /// each.
    #[must_use]
    pub fn apart(mut self, dependency: impl Into<String>) -> Self {
        self.requirements().apart.push(dependency.into());
        self
    }

    /// What it asks for instead when nobody has taken it for some time. Call it once for each, each with a longer time than the
    /// one before.
    #[must_use]
    pub fn fallback(mut self, fallback: impl Into<NewFallback>) -> Self {
        self.requirements().fallbacks.push(fallback.into().fallback);
        self
    }

    /// Whose turn it is: tasks of different fairness keys take turns, one task each, whatever their priorities and ages. All tasks
    /// without one share a turn. At most 128 bytes.
    #[must_use]
    pub fn fairness_key(mut self, key: impl Into<String>) -> Self {
        self.spec.fairness_key = key.into();
        self
    }

    /// A key whose limit the task is under: see [`crate::NewLimit`]. Call it once for each, at most four times. A key without a
    /// limit holds nothing up.
    #[must_use]
    pub fn limit_key(mut self, key: impl Into<String>) -> Self {
        self.spec.limit_keys.push(key.into());
        self
    }

    /// A task that must end first: an id, a receipt or a task, or a [`NewDependency`] that says more. If it does not
    /// complete (or end as the dependency says), this one is skipped.
    #[must_use]
    pub fn depends_on(mut self, dependency: impl Into<NewDependency>) -> Self {
        self.spec.dependencies.push(dependency.into().dependency);
        self
    }

    /// The same; if it does not complete, this one fails.
    #[must_use]
    pub fn depends_on_or_fail(self, dependency: impl Into<NewDependency>) -> Self {
        self.depends_on(dependency.into().or_fail())
    }

    /// Attempts in a run, the first included.
    #[must_use]
    pub fn max_attempts(mut self, attempts: i32) -> Self {
        self.spec.retry_policy.get_or_insert_default().max_attempts = attempts;
        self
    }

    /// When and how often a failed attempt is followed by another. Replaces what [`NewTask::max_attempts`] said.
    #[must_use]
    pub fn retry_policy(mut self, policy: v1::RetryPolicy) -> Self {
        self.spec.retry_policy = Some(policy);
        self
    }

    /// The longest time from READY to accepted by an agent.
    #[must_use]
    pub fn schedule_to_start(mut self, limit: Duration) -> Self {
        self.timeouts().schedule_to_start = Some(proto_duration(limit));
        self
    }

    /// The longest time for each attempt, from assigned to ended.
    #[must_use]
    pub fn start_to_close(mut self, limit: Duration) -> Self {
        self.timeouts().start_to_close = Some(proto_duration(limit));
        self
    }

    /// The longest time from creation to the end, over all attempts.
    #[must_use]
    pub fn schedule_to_close(mut self, limit: Duration) -> Self {
        self.timeouts().schedule_to_close = Some(proto_duration(limit));
        self
    }

    /// The longest silence of the handler between two progress reports or checkpoints.
    #[must_use]
    pub fn heartbeat(mut self, limit: Duration) -> Self {
        self.timeouts().heartbeat = Some(proto_duration(limit));
        self
    }

    /// When the task fails if it has not ended.
    #[must_use]
    pub fn deadline(mut self, at: SystemTime) -> Self {
        self.spec.deadline = Some(proto_timestamp(at));
        self
    }

    /// Not before this time.
    #[must_use]
    pub fn start_at(mut self, at: SystemTime) -> Self {
        self.spec.start_at = Some(proto_timestamp(at));
        self
    }

    /// Keep it waiting until [`crate::Client::release`].
    #[must_use]
    pub fn hold(mut self) -> Self {
        self.spec.hold = true;
        self
    }

    /// A tag to find it by. Call it once for each.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.spec.tags.push(tag.into());
        self
    }

    /// Something that an application wants to keep with it. Call it once for each.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.metadata.insert(key.into(), value.into());
        self
    }

    /// Something that is carried to every attempt: trace context (`traceparent`). Call it once for each.
    #[must_use]
    pub fn header(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.headers.insert(key.into(), value.into());
        self
    }

    /// All headers at once.
    #[must_use]
    pub fn headers(mut self, headers: BTreeMap<String, String>) -> Self {
        self.spec.headers = headers;
        self
    }

    /// Your own id of this creation: repeating it with the same id creates nothing more, for 24 hours. By default a
    /// random one is made for each call.
    #[must_use]
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = request_id.into();
        self
    }

    /// The specification as the protocol has it.
    pub fn spec(&self) -> &v1::TaskSpec {
        &self.spec
    }

    fn requirements(&mut self) -> &mut v1::Requirements {
        self.spec.requirements.get_or_insert_default()
    }

    fn timeouts(&mut self) -> &mut v1::Timeouts {
        self.spec.timeouts.get_or_insert_default()
    }
}

impl From<v1::TaskSpec> for NewTask {
    fn from(spec: v1::TaskSpec) -> Self {
        Self { spec, request_id: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_in_the_spec() {
        let task = NewTask::new("research")
            .input(&["a", "b"])
            .unwrap()
            .skill("web")
            .skill("pdf")
            .role("lead")
            .depends_on("t1")
            .depends_on_or_fail("t2")
            .max_attempts(5)
            .start_to_close(Duration::from_millis(1500))
            .tag("x")
            .request_id("r1");
        let spec = task.spec();
        let requirements = spec.requirements.as_ref().unwrap();
        assert_eq!(requirements.skills, ["web", "pdf"]);
        assert_eq!(requirements.role, "lead");
        let dependencies: Vec<_> =
            spec.dependencies.iter().map(|one| (one.task_id.as_str(), one.on_failure())).collect();
        assert_eq!(
            dependencies,
            [("t1", v1::DependencyFailureAction::Unspecified), ("t2", v1::DependencyFailureAction::Fail)]
        );
        assert_eq!(spec.retry_policy.as_ref().unwrap().max_attempts, 5);
        let limit = spec.timeouts.as_ref().unwrap().start_to_close.unwrap();
        assert_eq!((limit.seconds, limit.nanos), (1, 500_000_000));
        assert_eq!(spec.input.as_ref().unwrap().content_type, "application/json");
        assert_eq!(task.request_id, "r1");
    }

    #[test]
    fn where_it_is_to_be_done_is_in_the_requirements() {
        let task = NewTask::new("review")
            .affinity("zone", "eu")
            .anti_affinity("spot", "yes")
            .resource("gpu", 0.5)
            .resource("memory", 2.0)
            .near("data")
            .apart("draft")
            .apart("polish")
            .fallback(NewFallback::after(Duration::from_millis(1500)).skill("rust").skill("sql").tool("git"))
            .fallback(NewFallback::after(Duration::from_secs(3)).role("leader").assignee("ada"));
        let requirements = task.spec().requirements.as_ref().unwrap();
        assert_eq!(requirements.affinity, BTreeMap::from([("zone".to_owned(), "eu".to_owned())]));
        assert_eq!(requirements.anti_affinity, BTreeMap::from([("spot".to_owned(), "yes".to_owned())]));
        assert_eq!(requirements.resources, BTreeMap::from([("gpu".to_owned(), 0.5), ("memory".to_owned(), 2.0)]));
        assert_eq!(
            (&requirements.near, &requirements.apart),
            (&vec!["data".into()], &vec!["draft".into(), "polish".into()])
        );
        let [first, second] = requirements.fallbacks.as_slice() else { panic!("{requirements:?}") };
        assert_eq!(first.after, Some(prost_types::Duration { seconds: 1, nanos: 500_000_000 }));
        assert_eq!((&first.skills, &first.tools), (&vec!["rust".into(), "sql".into()], &vec!["git".into()]));
        assert_eq!((first.role.as_str(), first.assignee.as_str()), ("", ""));
        assert_eq!((second.role.as_str(), second.assignee.as_str()), ("leader", "ada"));
    }

    #[test]
    fn whose_turn_it_is_and_what_limits_it_are_in_the_spec() {
        let task = NewTask::new("ask").fairness_key("ann").limit_key("model/large").limit_key("tenant/ann");
        assert_eq!(task.spec().fairness_key, "ann");
        assert_eq!(task.spec().limit_keys, ["model/large", "tenant/ann"]);
    }

    #[test]
    fn a_bare_task_asks_for_nothing() {
        let task = NewTask::new("t");
        assert_eq!(task.spec, v1::TaskSpec { r#type: "t".into(), ..v1::TaskSpec::default() });
    }
}
