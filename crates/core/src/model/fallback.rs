//! Fallbacks: what a task asks for instead when nobody takes it.

use super::spec::Requirements;
use super::task::Task;
use super::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Requirements that take the place of a task's own when nobody has taken it for some time: all four of them, so that what is
/// unset here is not asked for any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// How long the task is ready before these count.
    pub after: Span,
    /// All of these skills.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub skills: BTreeSet<String>,
    /// All of these tools.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tools: BTreeSet<String>,
    /// This role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// This agent and no other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assignee: Option<String>,
}

impl Fallback {
    /// What it asks for, for people.
    pub fn asked(&self) -> String {
        let one = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!("{name} {value}"));
        let all = |name: &str, words: &BTreeSet<String>| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            (!words.is_empty()).then(|| format!("{name} {}", words.join(", ")))
        };
        let parts = [
            one("role", &self.role),
            one("assignee", &self.assignee),
            all("skills", &self.skills),
            all("tools", &self.tools),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "any agent that takes its type".into() } else { parts.join(", ") }
    }
}

impl Requirements {
    /// The fallback of a number: 1 is the first, 0 none.
    pub fn fallback(&self, number: u32) -> Option<&Fallback> {
        self.fallbacks.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }
}

impl Task {
    /// The fallback that its run has come to, which counts in place of its own requirements.
    pub fn fallback_in_force(&self) -> Option<&Fallback> {
        self.spec.requirements.fallback(self.fallback)
    }

    /// Whether it asks for a role, as its requirements in force have it.
    pub fn asks_for_role(&self) -> bool {
        self.fallback_in_force().map_or(&self.spec.requirements.role, |fallback| &fallback.role).is_some()
    }

    /// When the next fallback counts, if nobody takes the task until then.
    pub fn falls_back_at(&self, ready_since: Timestamp) -> Option<Timestamp> {
        let next = self.spec.requirements.fallback(self.fallback.saturating_add(1))?;
        Some(self.fallbacks_from(ready_since) + next.after)
    }

    /// The number of the fallback that counts now, if it is another than before: the last whose time has come.
    pub fn fallback_due(&self, ready_since: Timestamp, now: Timestamp) -> Option<u32> {
        let from = self.fallbacks_from(ready_since);
        let numbered = (1..).zip(&self.spec.requirements.fallbacks);
        let due = numbered.filter(|(number, fallback)| *number > self.fallback && from + fallback.after <= now);
        due.map(|(number, _)| number).last()
    }

    /// Where the times of fallbacks are counted from: from when it became ready, or later if they were begun anew.
    fn fallbacks_from(&self, ready_since: Timestamp) -> Timestamp {
        self.fallbacks_anew.map_or(ready_since, |anew| anew.max(ready_since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_asks_for_is_told_in_words() {
        let lead = Fallback { role: Some("lead".into()), ..Fallback::default() };
        assert_eq!(lead.asked(), "role lead");
        let skilled = Fallback { skills: ["go".to_owned(), "sql".to_owned()].into(), ..lead };
        assert_eq!(skilled.asked(), "role lead, skills go, sql");
        assert_eq!(Fallback::default().asked(), "any agent that takes its type");
    }
}
