//! Who is killed, and what is told of it.

use std::time::Duration;

use super::agents::PlannedGroup;
use super::crew::Role;
use super::language::Analyser;
use super::timeline::{self, Takeover, Told};
use crate::ids;

/// How long the victim would wait in its task: longer than it lives, so that it is surely killed at work.
pub const LINGER: Duration = Duration::from_secs(60);
/// How long the victim may take to get its task.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long the victim works before it is killed, so that a person sees it.
pub const MERCY: Duration = Duration::from_millis(700);

/// The agent to be killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Victim {
    /// What it is.
    pub role: Role,
    /// Its name.
    pub name: String,
}

impl Victim {
    /// An analyst that will have a task; the reviewer when there is nothing to analyse.
    pub fn choose(groups: &[PlannedGroup]) -> Self {
        let needed = |analyser: &Analyser| groups.iter().any(|group| group.task_type == analyser.task_type());
        let role = Analyser::ALL.into_iter().find(needed).map_or(Role::Reviewer, Role::of);
        Self { role, name: format!("{}-1", role.name()) }
    }
}

/// The kill and the takeover, plainly. `lived`: how long the victim had its task when it was killed.
pub fn story(task: &Told, takeover: &Takeover, lived: Duration) -> String {
    let Takeover { lost, completed } = takeover;
    let lived = i64::try_from(lived.as_micros()).unwrap_or(i64::MAX);
    format!(
        "{victim} was killed with `kill -9` in attempt {first} of task {task} ({task_type}, {what}).\n\
         The server took the task from it {after} later; {heir} had it {gap} after that, and completed it in attempt {second}.",
        victim = lost.agent,
        first = lost.attempt,
        task = ids::short(&task.id),
        task_type = task.task_type,
        what = task.description,
        after = timeline::seconds((lost.to - lost.from).saturating_sub(lived)),
        heir = completed.agent,
        gap = timeline::seconds(completed.from - lost.to),
        second = completed.attempt,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(analyser: Analyser) -> PlannedGroup {
        PlannedGroup { id: "1".into(), task_type: analyser.task_type().into(), description: String::new() }
    }

    #[test]
    fn the_victim_has_work_in_any_tree() {
        let chosen =
            |analysers: &[Analyser]| Victim::choose(&analysers.iter().copied().map(group).collect::<Vec<_>>()).name;
        assert_eq!(chosen(&[Analyser::Other, Analyser::Python, Analyser::Rust]), "rust-1");
        assert_eq!(chosen(&[Analyser::Other, Analyser::Python]), "python-1");
        assert_eq!(chosen(&[Analyser::Other]), "shell-1");
        assert_eq!(chosen(&[]), "reviewer-1");
    }
}
