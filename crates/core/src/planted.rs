//! Bugs on purpose: guards that a test can take out, to show that somebody would notice.
//!
//! A check that never failed may check nothing. So the tests of the rules' guards, the model of the protocol and the checker of
//! the fault battery are each run with a guard taken out, and must find it. The guards are asked by name where they stand:
//!
//! ```text
//! if fence.attempt != task.attempt && !settings.planted.has(Bug::SkipAttemptCheck) { .. refuse .. }
//! ```
//!
//! Nothing can be taken out unless the feature `planted` is on, which tests alone turn on, and the build has debug assertions:
//! in every other build [`Planted::has`] is the constant `false`, and [`Planted`] takes no room.

use std::fmt;
use std::str::FromStr;

macro_rules! bugs {
    ($($(#[doc = $doc:literal])+ $bug:ident = $name:literal,)+) => {
        /// A guard that can be taken out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Bug {
            $($(#[doc = $doc])+ $bug,)+
        }

        impl Bug {
            /// All of them.
            pub const ALL: &[Bug] = &[$(Bug::$bug,)+];

            /// Its name on command lines and in ledgers.
            pub fn name(self) -> &'static str {
                match self { $(Bug::$bug => $name,)+ }
            }
        }
    };
}

bugs! {
    /// A report is not compared with the current attempt, neither its number nor its token.
    SkipAttemptCheck = "skip-attempt-check",
    /// A report of a superseded session is taken.
    SkipEpochCheck = "skip-epoch-check",
    /// All attempts of a task have the same lease token.
    ReuseLeaseToken = "reuse-lease-token",
    /// Those that wait for a task are not told of its end.
    ForgetDependents = "forget-dependents",
    /// A replica that was cut off from the store pushes what it still has to push.
    PushWhileCutOff = "push-while-cut-off",
    /// Sessions of a replica that is alive are adopted.
    AdoptLiveSession = "adopt-live-session",
    /// What is decided is answered before it is committed.
    AnswerBeforeCommit = "answer-before-commit",
    /// Replicas are not told of each other's commits.
    DropEveryNotify = "drop-every-notify",
    /// Nobody looks for what hints did not tell.
    NeverLook = "never-look",
    /// A replica speaks for sessions that another one adopted.
    SpeakForOthers = "speak-for-others",
    /// An assignment that is not accepted in time stays with its agent.
    LeaveUnaccepted = "leave-unaccepted",
    /// A claim is kept though its lease ran out.
    KeepLapsedClaims = "keep-lapsed-claims",
    /// A session ends, and what its agent had stays with it.
    KeepLostLeases = "keep-lost-leases",
    /// A priority is worth more than any time that a task waits.
    LetLowStarve = "let-low-starve",
    /// Attempts that failed together are tried again at the same moment.
    RetryInStep = "retry-in-step",
    /// The sweep looks at the first page of what is due, and no further.
    LookAtFirstPageAlone = "look-at-first-page-alone",
    /// The time in which we do not read counts as an agent's silence.
    CountOurDelays = "count-our-delays",
    /// A result that arrives behind a cancellation completes the task.
    CompleteAfterCancel = "complete-after-cancel",
    /// An attempt that begins is not counted for its limit keys.
    SkipLimitCount = "skip-limit-count",
}

impl fmt::Display for Bug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Bug {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || Bug::ALL.iter().map(|bug| bug.name()).collect::<Vec<_>>().join(", ");
        let found = Bug::ALL.iter().find(|bug| bug.name() == text).copied();
        found.ok_or_else(|| format!("there is no planted bug {text:?}; there are {}", known()))
    }
}

/// The guards that are taken out; none, as a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planted {
    #[cfg(all(feature = "planted", debug_assertions))]
    bugs: u64,
}

impl Planted {
    /// Whether a guard is taken out.
    #[cfg(all(feature = "planted", debug_assertions))]
    pub fn has(self, bug: Bug) -> bool {
        self.bugs & (1 << bug as u64) != 0
    }

    /// Whether a guard is taken out: not in this build.
    #[cfg(not(all(feature = "planted", debug_assertions)))]
    #[inline(always)]
    pub const fn has(self, _bug: Bug) -> bool {
        false
    }

    /// The guards with these names, separated by commas, are taken out. In a build that has no planted bugs every name is an error.
    #[cfg(all(feature = "planted", debug_assertions))]
    pub fn named(names: &str) -> Result<Self, String> {
        let mut names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.try_fold(Self::default(), |planted, name| Ok(planted.with(name.parse()?)))
    }

    /// The guards with these names are taken out: not in this build.
    #[cfg(not(all(feature = "planted", debug_assertions)))]
    pub fn named(names: &str) -> Result<Self, String> {
        if names.trim().is_empty() {
            return Ok(Self::default());
        }
        Err("this build has no planted bugs: they are for tests, and need debug assertions and the feature `planted`"
            .into())
    }

    /// With one more guard taken out.
    #[cfg(all(feature = "planted", debug_assertions))]
    #[must_use]
    pub fn with(self, bug: Bug) -> Self {
        Self { bugs: self.bugs | 1 << bug as u64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bug_has_a_name_of_its_own() {
        for bug in Bug::ALL {
            assert_eq!(bug.name().parse(), Ok(*bug));
            assert!(!Planted::default().has(*bug));
        }
        assert!("no-such-bug".parse::<Bug>().is_err_and(|error| error.contains("skip-attempt-check")));
        assert!(Bug::ALL.len() < 64, "each has a bit");
    }

    #[test]
    fn nothing_is_planted_by_no_name() {
        assert_eq!(Planted::named(" "), Ok(Planted::default()));
        assert!(Planted::named("no-such-bug").is_err());
    }

    #[test]
    #[cfg(all(feature = "planted", debug_assertions))]
    fn several_are_planted_at_once() {
        let planted = Planted::named("reuse-lease-token, forget-dependents").unwrap();
        assert!(planted.has(Bug::ReuseLeaseToken) && planted.has(Bug::ForgetDependents));
        assert!(!planted.has(Bug::SkipAttemptCheck));
    }
}
