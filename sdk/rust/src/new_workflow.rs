//! Describing a workflow to be created.

use std::collections::BTreeMap;

use callboard_proto::v1;

use crate::{NewTask, ResultCondition};

/// A workflow to be created: tasks that are created together, and what they wait for among each other. At most 10,000
/// tasks, together at most 3 MiB, with at most 50,000 dependencies in all, at most 1,000 of them behind each other.
///
/// ```
/// use callboard::v1::DependencyCondition;
/// use callboard::{NewTask, NewWorkflow, NewWorkflowDependency, NewWorkflowTask};
///
/// # fn example() -> callboard::Result<()> {
/// let report = NewWorkflow::new("report")
///     .task(NewWorkflowTask::new("north", NewTask::new("survey").input("north")?))
///     .task(NewWorkflowTask::new("south", NewTask::new("survey").input("south")?))
///     // Runs when both have completed, and finds their results by their names.
///     .task(NewWorkflowTask::new("summary", NewTask::new("summarize")).depends_on("north").depends_on("south").weight(3))
///     .task(NewWorkflowTask::new("alarm", NewTask::new("call")).depends_on(
///         NewWorkflowDependency::on("summary").condition(DependencyCondition::Failed),
///     ));
/// # Ok(())
/// # }
/// ```
///
/// Nothing of it is checked here: the server says what is wrong, all at once, when the workflow is created.
#[derive(Debug, Clone, Default)]
pub struct NewWorkflow {
    pub(crate) spec: v1::WorkflowSpec,
    pub(crate) request_id: String,
}

impl NewWorkflow {
    /// A workflow of this name, which others may have, too: 1 to 128 letters, digits and `-_./:`.
    pub fn new(name: impl Into<String>) -> Self {
        v1::WorkflowSpec { name: name.into(), ..v1::WorkflowSpec::default() }.into()
    }

    /// One of its tasks. Call it once for each; they stand in any order.
    #[must_use]
    pub fn task(mut self, task: impl Into<NewWorkflowTask>) -> Self {
        self.spec.tasks.push(task.into().task);
        self
    }

    /// Several of its tasks.
    #[must_use]
    pub fn tasks<T: Into<NewWorkflowTask>>(self, tasks: impl IntoIterator<Item = T>) -> Self {
        tasks.into_iter().fold(self, Self::task)
    }

    /// What it is about, for people. At most 4 KiB.
    #[must_use]
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.spec.description = description.into();
        self
    }

    /// A tag to find it by. Call it once for each; at most 32, of 1 to 128 bytes.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.spec.tags.push(tag.into());
        self
    }

    /// Something that an application wants to keep with it. Call it once for each; at most 64, and 16 KiB in all.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.spec.metadata.insert(key.into(), value.into());
        self
    }

    /// A header for each of its tasks that has none of this name. Call it once for each; at most 32, and 8 KiB in all.
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

    /// Your own id of this creation, at most 128 characters: repeating it with the same id creates nothing more, for 24
    /// hours. By default a random one is made for each call.
    #[must_use]
    pub fn request_id(mut self, request_id: impl Into<String>) -> Self {
        self.request_id = request_id.into();
        self
    }

    /// The specification as the protocol has it.
    pub fn spec(&self) -> &v1::WorkflowSpec {
        &self.spec
    }
}

impl From<v1::WorkflowSpec> for NewWorkflow {
    fn from(spec: v1::WorkflowSpec) -> Self {
        Self { spec, request_id: String::new() }
    }
}

/// A task of a workflow to be created, or of one that runs and grows ([`crate::Client::add_workflow_tasks`]). Everything but the
/// name and the task is optional.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWorkflowTask {
    pub(crate) task: v1::WorkflowTask,
}

impl NewWorkflowTask {
    /// This task, by its name within the workflow: 1 to 128 letters, digits and `-_./:`, each name once. The task has no
    /// key, and its request id is not used: the workflow has one. What the [`NewTask`] itself depends on are tasks outside
    /// of the workflow.
    pub fn new(name: impl Into<String>, task: NewTask) -> Self {
        v1::WorkflowTask { name: name.into(), task: Some(task.spec), ..v1::WorkflowTask::default() }.into()
    }

    /// A task of the workflow that must end first: its name, or a [`NewWorkflowDependency`] that says more. If it does not
    /// complete (or end as the dependency says), this one is skipped. The handler finds its result by that name: see
    /// [`crate::Context::dependency`].
    #[must_use]
    pub fn depends_on(mut self, dependency: impl Into<NewWorkflowDependency>) -> Self {
        self.task.depends_on.push(dependency.into().dependency);
        self
    }

    /// The workflow may complete although this task failed: it is an attempt of something that has a fallback, or matters
    /// little.
    #[must_use]
    pub fn allow_failure(mut self) -> Self {
        self.task.allow_failure = true;
        self
    }

    /// How much of the workflow's work it is, compared with the others: 1 to 1,000,000. Default 1.
    #[must_use]
    pub fn weight(mut self, weight: i32) -> Self {
        self.task.weight = weight;
        self
    }
}

impl From<v1::WorkflowTask> for NewWorkflowTask {
    fn from(task: v1::WorkflowTask) -> Self {
        Self { task }
    }
}

/// A task of a workflow that must end before another is eligible, how it must end, and what becomes of the other if it
/// ends otherwise. A task's name is one by itself: it must complete.
#[derive(Debug, Clone, PartialEq)]
pub struct NewWorkflowDependency {
    dependency: v1::WorkflowDependency,
}

impl NewWorkflowDependency {
    /// On the task of this name. Unless more is said it must complete, and if it does not, the dependent is skipped.
    pub fn on(task: impl Into<Self>) -> Self {
        task.into()
    }

    /// How it must end: see [`crate::NewDependency::condition`].
    #[must_use]
    pub fn condition(mut self, condition: v1::DependencyCondition) -> Self {
        self.dependency.condition = condition.into();
        self
    }

    /// What its result must be, besides. Only when it must complete.
    #[must_use]
    pub fn result(mut self, condition: ResultCondition) -> Self {
        self.dependency.result = Some(condition.condition);
        self
    }

    /// When it ends otherwise, the dependent fails. Else it is skipped.
    #[must_use]
    pub fn or_fail(mut self) -> Self {
        self.dependency.on_failure = v1::DependencyFailureAction::Fail.into();
        self
    }
}

impl From<v1::WorkflowDependency> for NewWorkflowDependency {
    fn from(dependency: v1::WorkflowDependency) -> Self {
        Self { dependency }
    }
}

impl From<String> for NewWorkflowDependency {
    fn from(task: String) -> Self {
        v1::WorkflowDependency { task, ..v1::WorkflowDependency::default() }.into()
    }
}

impl From<&String> for NewWorkflowDependency {
    fn from(task: &String) -> Self {
        task.clone().into()
    }
}

impl From<&str> for NewWorkflowDependency {
    fn from(task: &str) -> Self {
        task.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use v1::{DependencyCondition, DependencyFailureAction, ResultComparison};

    use super::*;

    #[test]
    fn what_is_said_arrives() {
        let good = ResultCondition::new("/score", ResultComparison::Greater, &0.5).unwrap();
        let workflow = NewWorkflow::new("report")
            .description("about trees")
            .tag("nightly")
            .metadata("team", "blue")
            .header("traceparent", "00-1")
            .request_id("r1")
            .tasks(["a", "b"].map(|name| NewWorkflowTask::new(name, NewTask::new("survey")).allow_failure()))
            .task(
                NewWorkflowTask::new("c", NewTask::new("summarize").depends_on("outside"))
                    .depends_on("a")
                    .depends_on(NewWorkflowDependency::on("b").result(good).or_fail())
                    .depends_on(NewWorkflowDependency::on("d").condition(DependencyCondition::Ended))
                    .weight(3),
            );
        let spec = workflow.spec();
        assert_eq!((spec.name.as_str(), spec.description.as_str()), ("report", "about trees"));
        assert_eq!((spec.tags.as_slice(), spec.metadata["team"].as_str()), (["nightly".to_owned()].as_slice(), "blue"));
        assert_eq!((spec.headers["traceparent"].as_str(), workflow.request_id.as_str()), ("00-1", "r1"));
        let names: Vec<_> =
            spec.tasks.iter().map(|task| (task.name.as_str(), task.allow_failure, task.weight)).collect();
        assert_eq!(names, [("a", true, 0), ("b", true, 0), ("c", false, 3)]);
        let whole = &spec.tasks[2];
        assert_eq!(whole.task.as_ref().unwrap().dependencies[0].task_id, "outside");
        let [a, b, d] = whole.depends_on.as_slice() else { panic!("{whole:?}") };
        assert_eq!((a.task.as_str(), a.on_failure(), &a.result), ("a", DependencyFailureAction::Unspecified, &None));
        assert_eq!((b.task.as_str(), b.on_failure()), ("b", DependencyFailureAction::Fail));
        assert_eq!(b.result.as_ref().unwrap().value, "0.5");
        assert_eq!((d.task.as_str(), d.condition()), ("d", DependencyCondition::Ended));
    }

    #[test]
    fn a_bare_task_asks_for_nothing() {
        let task = NewWorkflowTask::new("a", NewTask::new("t")).task;
        let spec = v1::TaskSpec { r#type: "t".into(), ..Default::default() };
        assert_eq!(task, v1::WorkflowTask { name: "a".into(), task: Some(spec), ..Default::default() });
    }
}
