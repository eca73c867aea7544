//! The rules under random sequences of commands.
//!
//! A failing sequence is kept in `proptest-regressions/`, and tried first the next time.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by a panic")]

mod explained;
mod forecast;
mod invariants;
mod limits;
mod mail;
mod model;
mod operations;
mod output;
mod replay;
#[path = "../support/mod.rs"]
mod support;
mod turns;
mod workflows;

use operations::{Crowd, operations};
use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use support::{Mode, World};

/// How many sequences each property sees; `PROPTEST_CASES` says otherwise.
fn config(cases: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(cases);
    let kept = FileFailurePersistence::Direct("proptest-regressions/properties.txt");
    ProptestConfig { cases, failure_persistence: Some(Box::new(kept)), max_shrink_iters: 20_000, ..Default::default() }
}

proptest! {
    #![proptest_config(config(256))]

    /// Whatever is asked in whatever order: the invariants hold behind every command, and in the end, with an able agent and
    /// time, every task that nobody holds ends.
    #[test]
    fn invariants_hold_and_everything_ends(ops in operations(60)) {
        let mut world = World::new(Mode::Exclusive);
        world.settings.release_step = 3;
        limits::set(&mut world);
        world.watch = Some(invariants::check);
        let mut crowd = Crowd::default();
        for op in &ops {
            crowd.perform(&mut world, op);
        }
        crowd.heal(&mut world);
    }

    /// Whom an explanation names first is whom a task is given to.
    #[test]
    fn an_explanation_says_what_dispatch_does(ops in operations(60)) {
        let mut world = World::new(Mode::Exclusive);
        limits::set(&mut world);
        explained::check(&mut world, &ops);
    }

    /// What is kept in memory, and how commands are gathered, decides nothing: the same commands give the same rows.
    #[test]
    fn every_mode_decides_the_same(ops in operations(60), gathered in 2..9usize) {
        let mut world = World::new(Mode::Exclusive);
        world.settings.release_step = 3;
        limits::set(&mut world);
        let mut crowd = Crowd::default();
        for op in &ops {
            crowd.perform(&mut world, op);
        }
        for mode in [Mode::Exclusive, Mode::Shared, Mode::Tiny] {
            for gathered in [1, gathered] {
                replay::check_same(&world, mode, gathered);
            }
        }
    }
}

proptest! {
    #![proptest_config(config(512))]

    /// Mailboxes hold what was sent and not taken out, in the order in which it was sent, whatever memory keeps.
    #[test]
    fn mailboxes_are_as_the_model_says(steps in prop::collection::vec(mail::step(), 1..60)) {
        for mode in support::MODES {
            mail::check(mode, &steps);
        }
    }

    /// Output is what its agent gave, each byte once and in order, however often and from wherever it is repeated.
    #[test]
    fn output_is_given_once(gives in prop::collection::vec(output::give(), 1..40)) {
        for mode in support::MODES {
            output::check(mode, &gives);
        }
    }

    /// Keys that both have tasks are given as many, but for one, whatever their priorities, by streams and claims together.
    #[test]
    fn fairness_keys_take_turns(ops in turns::operations(), slots in 1..4u32) {
        for mode in support::MODES {
            turns::check(mode, slots, &ops);
        }
    }

    /// The state of a single task is what a simple model says.
    #[test]
    fn a_task_goes_as_the_model_says(steps in prop::collection::vec(model::step(), 1..60)) {
        model::check(&steps);
    }

    /// The end of a workflow is the longest way through what is left of it, and no task ends behind it.
    #[test]
    fn the_expected_end_is_the_longest_way(plan in forecast::plan()) {
        forecast::check_longest(&plan);
    }

    /// Those of the critical path wait for each other, without a gap, until the end.
    #[test]
    fn a_critical_path_leads_to_the_end(plan in forecast::plan()) {
        forecast::check_path(&plan);
    }

    /// What is not of the critical path could be left out: the end would be the same.
    #[test]
    fn slack_decides_nothing(plan in forecast::plan()) {
        forecast::check_slack(&plan);
    }
}
