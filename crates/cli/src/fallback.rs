//! A fallback of requirements as the command line says it, `after=30s,role=lead,skill=review`, and as `task show` writes it.

use callboard::v1::{RequirementsFallback, Task};

use crate::output::time::{self, duration_to_proto};
use crate::values;

/// What `--help` says of it, in lines that an indentation of ten leaves whole.
pub const HELP: &str = "\
What is asked for instead when nobody has taken the task for some time. May be repeated,
each later than the one before.

  after=DURATION   how long the task is ready before
  role=ROLE        the role that the agent must have then
  skill=SKILL      a skill that it must have then; may be repeated
  tool=TOOL        a tool that it must have then; may be repeated
  assignee=AGENT   the only agent that may have it then

What is not said here is not asked for any more: `after=5m` alone lets any agent have it
that takes its type.

  --role expert --fallback after=30s,role=lead --fallback after=5m";

const PARTS: &str = "`after=…`, `role=…`, `skill=…`, `tool=…` or `assignee=…`";

/// Parses it.
pub fn parse(text: &str) -> Result<RequirementsFallback, String> {
    let mut fallback = RequirementsFallback::default();
    for part in text.split(',') {
        let (part, value) =
            part.split_once('=').ok_or_else(|| format!("`{part}` is none of the parts: write {PARTS}"))?;
        take(&mut fallback, part.trim(), value.trim())?;
    }
    match fallback.after {
        None => Err("`after` is missing: write after how long, as in `after=30s,role=lead`".to_owned()),
        Some(_) => Ok(fallback),
    }
}

fn take(fallback: &mut RequirementsFallback, part: &str, value: &str) -> Result<(), String> {
    if value.is_empty() {
        return Err(format!("`{part}` is empty: give a value, or leave it out"));
    }
    let said_before = match part {
        "after" => fallback.after.is_some(),
        "role" => !fallback.role.is_empty(),
        "assignee" => !fallback.assignee.is_empty(),
        "skill" | "tool" => false,
        _ => return Err(format!("there is no `{part}`: write {PARTS}")),
    };
    if said_before {
        return Err(format!("`{part}` is said twice: say it once"));
    }
    match part {
        "after" => fallback.after = Some(duration_to_proto(values::duration(value)?)),
        "role" => value.clone_into(&mut fallback.role),
        "assignee" => value.clone_into(&mut fallback.assignee),
        "skill" => fallback.skills.push(value.to_owned()),
        _ => fallback.tools.push(value.to_owned()),
    }
    Ok(())
}

/// Which fallback a task has come to, for people; empty when it has come to none.
pub fn come_to(task: &Task) -> String {
    let requirements = task.spec.as_ref().and_then(|spec| spec.requirements.as_ref());
    let fallbacks = requirements.map_or(&[][..], |requirements| &requirements.fallbacks);
    let number = usize::try_from(task.fallback).unwrap_or(0);
    match number.checked_sub(1).map(|index| fallbacks.get(index)) {
        None => String::new(),
        Some(None) => format!("fell back to {number}"),
        Some(Some(fallback)) => format!("fell back to {number} of {}: {}", fallbacks.len(), asked(fallback)),
    }
}

/// A fallback, for people.
pub fn written(fallback: &RequirementsFallback) -> String {
    let after = fallback.after.as_ref().map(time::human).unwrap_or_default();
    format!("after {after}: {}", asked(fallback))
}

fn asked(fallback: &RequirementsFallback) -> String {
    let parts = [
        ("role", fallback.role.clone()),
        ("assignee", fallback.assignee.clone()),
        ("skills", fallback.skills.join(", ")),
        ("tools", fallback.tools.join(", ")),
    ];
    let parts = parts.into_iter().filter(|(_, value)| !value.is_empty());
    let parts: Vec<String> = parts.map(|(name, value)| format!("{name} {value}")).collect();
    if parts.is_empty() { "any agent that takes its type".to_owned() } else { parts.join(", ") }
}

#[cfg(test)]
mod tests {
    use callboard::v1::{Requirements, TaskSpec};

    use super::*;

    #[test]
    fn the_help_is_not_wrapped() {
        assert!(HELP.lines().all(|line| line.chars().count() <= 90), "{HELP}");
    }

    #[test]
    fn all_of_it_can_be_said_in_any_order() {
        let said = parse("role=lead, after=1m30s, skill=a, skill=b, tool=git, assignee=ann").unwrap();
        assert_eq!(said.after.unwrap().seconds, 90);
        assert_eq!((said.role.as_str(), said.assignee.as_str()), ("lead", "ann"));
        assert_eq!((said.skills, said.tools), (vec!["a".to_owned(), "b".to_owned()], vec!["git".to_owned()]));
        assert_eq!(parse("after=5m").unwrap().skills.len(), 0);
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_right() {
        for (text, told) in [
            ("", "`` is none of the parts: write `after=…`"),
            ("role=lead", "`after` is missing: write after how long"),
            ("after=30s,lead", "`lead` is none of the parts"),
            ("after=30s,rolle=lead", "there is no `rolle`: write `after=…`"),
            ("after=30s,after=40s", "`after` is said twice"),
            ("after=30s,role=", "`role` is empty"),
            ("after=soon", "write a duration like `90s`"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn what_a_task_has_come_to_is_told() {
        let fallbacks = vec![parse("after=30s,role=lead").unwrap(), parse("after=5m").unwrap()];
        let requirements = Some(Requirements { fallbacks, ..Requirements::default() });
        let spec = Some(TaskSpec { requirements, ..TaskSpec::default() });
        let task = |fallback| Task { spec: spec.clone(), fallback, ..Task::default() };
        assert_eq!(come_to(&task(0)), "");
        assert_eq!(come_to(&task(1)), "fell back to 1 of 2: role lead");
        assert_eq!(come_to(&task(2)), "fell back to 2 of 2: any agent that takes its type");
        assert_eq!(come_to(&task(3)), "fell back to 3");
        assert_eq!(come_to(&task(-1)), "");
        assert_eq!(written(&parse("after=30s,role=lead").unwrap()), "after 30s: role lead");
    }
}
