//! Histories, right and wrong.

use EventType::{
    Assigned, AttemptFailed, AttemptLost, Cancelled, Completed, Created, DependencyMet, Failed, Ready, RetryScheduled,
    Started,
};

use super::*;

const TASK: Uuid = Uuid::from_u128(7);

fn event(sequence: i64, kind: EventType, attempt: i32) -> Event {
    let mut event = Event { task_id: TASK.to_string(), sequence, run: 1, attempt, ..Event::default() };
    event.set_type(kind);
    event.set_state(match kind {
        Completed => TaskState::Completed,
        Cancelled => TaskState::Cancelled,
        _ => TaskState::Running,
    });
    event
}

/// Numbers the events, and verifies them; what is expected is said before them, and then behind them.
fn verify_expecting(expected: Expected, events: &[(EventType, i32)]) -> Result<Verified, Violations> {
    let take = |verifier: &mut Verifier| {
        for (number, (kind, attempt)) in (1..).zip(events) {
            verifier.take(&event(number, *kind, *attempt));
        }
    };
    let (mut before, mut behind) = (Verifier::default(), Verifier::default());
    before.expect(TASK, expected);
    take(&mut before);
    take(&mut behind);
    behind.expect(TASK, expected);
    let outcome = before.finish();
    assert_eq!(outcome.is_ok(), behind.finish().is_ok(), "the order makes no difference: {events:?}");
    outcome
}

fn verify(events: &[(EventType, i32)]) -> Result<Verified, Violations> {
    verify_expecting(Expected::AT_ONCE, events)
}

fn refusal(events: &[(EventType, i32)]) -> String {
    verify(events).unwrap_err().to_string()
}

const PLAIN: [(EventType, i32); 4] = [(Created, 0), (Assigned, 1), (Started, 1), (Completed, 1)];
const FAILING: [(EventType, i32); 9] = [
    (Created, 0),
    (Assigned, 1),
    (Started, 1),
    (AttemptFailed, 1),
    (RetryScheduled, 1),
    (Ready, 0),
    (Assigned, 2),
    (Started, 2),
    (Completed, 2),
];
const ONE: Result<Verified, Violations> = Ok(Verified { tasks: 1, faults: 0 });

#[test]
fn a_plain_life_is_right() {
    assert_eq!(verify(&PLAIN), ONE);
    assert_eq!(
        verify(&[(Created, 0), (DependencyMet, 0), (Ready, 0), (Assigned, 1), (Started, 1), (Completed, 1)]),
        ONE
    );
}

#[test]
fn a_lost_attempt_is_a_fault_and_no_violation() {
    let lost = [(Created, 0), (Assigned, 1), (AttemptLost, 1), (Ready, 0), (Assigned, 2), (Started, 2), (Completed, 2)];
    assert_eq!(verify(&lost), Ok(Verified { tasks: 1, faults: 1 }));
}

#[test]
fn an_end_is_right_only_where_it_was_expected() {
    let failing = Expected::Completed { failures: 1 };
    let cancelled = [(Created, 0), (Cancelled, 0)];
    assert_eq!(verify_expecting(failing, &FAILING), ONE);
    assert_eq!(verify_expecting(Expected::Cancelled, &cancelled), ONE);
    for (expected, events) in [
        (Expected::AT_ONCE, &FAILING[..]),
        (Expected::AT_ONCE, &cancelled),
        (failing, &PLAIN),
        (Expected::Cancelled, &PLAIN),
    ] {
        let violations = verify_expecting(expected, events).unwrap_err().to_string();
        assert!(violations.contains("instead of"), "{violations}");
    }
}

#[test]
fn wrong_histories_are_found() {
    for (events, fault) in [
        (&[(Created, 0), (Assigned, 1), (Started, 1)][..], "has not ended"),
        (&[][..], "has not ended"),
        (&[(Created, 0), (Created, 0)], "created twice"),
        (&[(Assigned, 1), (Started, 1)], "does not begin"),
        (&[(Created, 0), (Assigned, 1), (Assigned, 2)], "two agents at once"),
        (&[(Created, 0), (Assigned, 2)], "skips or repeats"),
        (&[(Created, 0), (Assigned, 1), (Started, 2)], "not its own"),
        (&[(Created, 0), (Assigned, 1), (Completed, 1)], "does not fit"),
        (&[(Created, 0), (Assigned, 1), (Started, 1), (Failed, 1)], "does not fit"),
    ] {
        let text = refusal(events);
        assert!(text.contains(fault), "{events:?}: {text}");
    }
}

#[test]
fn a_second_end_is_found() {
    let twice = [(Created, 0), (Assigned, 1), (Started, 1), (Completed, 1), (Completed, 1)];
    let mut open = Verifier::default();
    (1..).zip(twice).for_each(|(number, (kind, attempt))| open.take(&event(number, kind, attempt)));
    assert!(open.finish().unwrap_err().to_string().contains("after its end"));
    // When the task was done with, and so forgotten, before.
    assert!(refusal(&twice).contains("has event 5 behind event 0"));
}

#[test]
fn gaps_other_runs_and_wrong_states_are_found() {
    let mut gap = Verifier::default();
    gap.take(&event(1, Created, 0));
    gap.take(&event(3, Assigned, 1));
    assert!(gap.is_done(), "nothing can mend it");
    assert!(gap.finish().unwrap_err().to_string().contains("event 3 behind event 1"));

    let mut run = Verifier::default();
    run.take(&Event { run: 2, ..event(1, Created, 0) });
    assert!(run.finish().unwrap_err().to_string().contains("another run"));

    let mut state = Verifier::default();
    (1..).zip(&PLAIN[..3]).for_each(|(number, (kind, attempt))| state.take(&event(number, *kind, *attempt)));
    let mut ended = event(4, Completed, 1);
    ended.set_state(TaskState::Failed);
    state.take(&ended);
    assert!(state.finish().unwrap_err().to_string().contains("does not fit"));
}

#[test]
fn tasks_that_nobody_asked_for_and_ids_that_come_twice_are_found() {
    let mut stranger = Verifier::default();
    stranger.take(&event(1, Created, 0));
    assert_eq!((stranger.open(), stranger.is_done()), (1, false));
    assert!(stranger.finish().unwrap_err().to_string().contains("nobody was told"));

    let mut twice = Verifier::default();
    twice.expect(TASK, Expected::AT_ONCE);
    twice.expect(TASK, Expected::AT_ONCE);
    assert!(twice.so_far().unwrap_err().to_string().contains("two submitters"));
}

#[test]
fn what_is_done_with_is_forgotten() {
    let mut verifier = Verifier::default();
    (1..).zip(PLAIN).for_each(|(number, (kind, attempt))| verifier.take(&event(number, kind, attempt)));
    assert_eq!(verifier.open(), 1);
    verifier.expect(TASK, Expected::AT_ONCE);
    assert_eq!((verifier.open(), verifier.is_done()), (0, true));
    assert_eq!(verifier.so_far(), ONE);
}

#[test]
fn only_some_violations_are_told() {
    let mut verifier = Verifier::default();
    (0..100).for_each(|id| verifier.expect(Uuid::from_u128(id), Expected::AT_ONCE));
    let violations = verifier.finish().unwrap_err();
    assert_eq!((violations.count, violations.told.len()), (100, TOLD));
    assert!(violations.to_string().ends_with('…'));
}
