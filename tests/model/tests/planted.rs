//! Each guard matters: with any one taken out, the check finds the property that it holds, and shows the shortest way to it.

use callboard_core::planted::Bug;
use callboard_model::model::{Protocol, Size};
use callboard_model::properties::{ALIVE, ALWAYS, CANCELLED, KEPT, OTHERS, PROVES, PUSHED, STALE};
use stateright::{Checker, HasDiscoveries, Model};

fn size(faults: u8, cancels: u8) -> Size {
    Size { replicas: 2, agents: 2, tasks: 1, max_attempts: 2, faults, cancels }
}

/// Checks with a guard taken out until the property is broken, and shows the way there.
#[track_caller]
fn breaks(bug: Bug, property: &'static str, size: Size) {
    let model = Protocol::with(size, &[bug]).checker();
    let checker = model.finish_when(HasDiscoveries::AnyOf([property].into())).spawn_bfs().join();
    let way = checker.assert_any_discovery(property).into_actions();
    println!("{bug}: not {property:?}, by {way:?}; {} states", checker.unique_state_count());
}

#[test]
fn without_the_attempt_check_a_stale_report_has_an_effect() {
    breaks(Bug::SkipAttemptCheck, STALE, size(2, 0));
}

#[test]
fn without_the_epoch_check_a_superseded_session_reports() {
    breaks(Bug::SkipEpochCheck, STALE, size(1, 0));
}

#[test]
fn with_one_token_for_all_attempts_a_token_proves_nothing() {
    breaks(Bug::ReuseLeaseToken, PROVES, size(1, 0));
}

#[test]
fn without_the_watch_a_live_replica_is_taken_for_dead() {
    breaks(Bug::AdoptLiveSession, ALIVE, size(1, 0));
}

#[test]
fn without_silence_while_cut_off_an_attempt_of_another_is_pushed() {
    breaks(Bug::PushWhileCutOff, PUSHED, size(1, 0));
}

#[test]
fn without_the_name_of_the_replica_a_session_of_another_is_ended() {
    breaks(Bug::SpeakForOthers, OTHERS, size(2, 0));
}

#[test]
fn an_answer_before_the_commit_is_a_lost_result() {
    breaks(Bug::AnswerBeforeCommit, KEPT, size(1, 0));
}

#[test]
fn a_result_behind_a_cancellation_does_not_complete() {
    breaks(Bug::CompleteAfterCancel, CANCELLED, size(0, 1));
}

#[test]
fn nothing_is_found_where_nothing_is_planted() {
    let checker = Protocol::new(size(1, 0)).checker().spawn_bfs().join();
    for property in ALWAYS {
        checker.assert_no_discovery(property);
    }
}
