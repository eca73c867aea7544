//! How much of an agent's resources is free.

use crate::model::{AgentProfile, Amounts};

/// How many tasks that take these amounts each an agent can have beside what others take of it.
pub(crate) fn room_for(asked: &Amounts, profile: &AgentProfile, taken: &Amounts) -> usize {
    let times = |(name, parts): (&str, u64)| profile.has_of(name).saturating_sub(taken.get(name)) / parts.max(1);
    asked.iter().map(times).min().map_or(usize::MAX, |times| usize::try_from(times).unwrap_or(usize::MAX))
}

/// Whether a task that an agent has may go on beside what others take. One that takes more than the agent says it has by now goes on
/// when nothing else takes of that: else it would wait for ever.
pub(crate) fn may_go_on(asked: &Amounts, profile: &AgentProfile, taken: &Amounts) -> bool {
    asked.iter().all(|(name, parts)| taken.get(name).saturating_add(parts) <= profile.has_of(name).max(parts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amounts(all: &[(&str, u64)]) -> Amounts {
        Amounts::of(all.iter().map(|(name, parts)| ((*name).to_owned(), *parts)))
    }

    fn profile() -> AgentProfile {
        let resources = [("gpu".to_owned(), 4.0), ("memory".to_owned(), 10.0)];
        AgentProfile { resources: resources.into(), ..AgentProfile::default() }
    }

    #[test]
    fn the_scarcest_resource_says_how_many() {
        let room =
            |asked: &[(&str, u64)], taken: &[(&str, u64)]| room_for(&amounts(asked), &profile(), &amounts(taken));
        assert_eq!(room(&[("gpu", 1_000)], &[]), 4);
        assert_eq!(room(&[("gpu", 1_000), ("memory", 4_000)], &[]), 2);
        assert_eq!(room(&[("gpu", 500)], &[("gpu", 3_501)]), 0);
        assert_eq!(room(&[("gpu", 500)], &[("gpu", 5_000)]), 0, "it has less than it had");
        assert_eq!(room(&[("tpu", 1)], &[]), 0);
        assert_eq!(room(&[], &[("gpu", 4_000)]), usize::MAX);
    }

    #[test]
    fn what_takes_more_than_there_is_by_now_goes_on_alone() {
        let may = |parts, taken| may_go_on(&amounts(&[("gpu", parts)]), &profile(), &amounts(&[("gpu", taken)]));
        assert!(may(1_000, 3_000) && !may(1_001, 3_000));
        assert!(may(5_000, 0) && !may(5_000, 1));
    }
}
