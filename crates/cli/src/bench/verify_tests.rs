//! Histories, right and wrong.

use super::*;

const TASK: Uuid = Uuid::from_u128(7);

fn event(sequence: i64, kind: EventType, attempt: i32) -> Event {
    let mut event = Event { task_id: TASK.to_string(), sequence, run: 1, attempt, ..Event::default() };
    event.set_type(kind);
    event.set_state(if kind == EventType::Completed { TaskState::Completed } else { TaskState::Running });
    event
}

/// Numbers the events, and verifies them.
fn verify_after(failures: u8, events: &[(EventType, i32)]) -> Result<Verified, Violations> {
    let mut verifier = Verifier::default();
    verifier.expect_after(TASK, failures);
    for (index, (kind, attempt)) in events.iter().enumerate() {
        verifier.take(&event(index as i64 + 1, *kind, *attempt));
    }
    verifier.finish()
}

fn refusal(events: &[(EventType, i32)]) -> String {
    verify_after(0, events).unwrap_err().to_string()
}

use EventType::{
    Assigned, AttemptFailed, AttemptLost, Cancelled, Completed, Created, DependencyMet, Failed, Ready, RetryScheduled,
    Started,
};

const PLAIN: [(EventType, i32); 4] = [(Created, 0), (Assigned, 1), (Started, 1), (Completed, 1)];

#[test]
fn a_plain_life_is_right() {
    assert_eq!(verify_after(0, &PLAIN), Ok(Verified { tasks: 1, faults: 0 }));
    let dependent = [(Created, 0), (DependencyMet, 0), (Ready, 0), (Assigned, 1), (Started, 1), (Completed, 1)];
    assert_eq!(verify_after(0, &dependent), Ok(Verified { tasks: 1, faults: 0 }));
}

#[test]
fn a_lost_attempt_is_a_fault_and_no_violation() {
    let lost = [(Created, 0), (Assigned, 1), (AttemptLost, 1), (Ready, 0), (Assigned, 2), (Started, 2), (Completed, 2)];
    assert_eq!(verify_after(0, &lost), Ok(Verified { tasks: 1, faults: 1 }));
}

#[test]
fn a_failure_is_right_only_where_it_was_to_come() {
    let failing = [
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
    assert_eq!(verify_after(1, &failing), Ok(Verified { tasks: 1, faults: 0 }));
    assert!(refusal(&failing).contains("does not fit"));
    assert!(verify_after(1, &PLAIN).unwrap_err().to_string().contains("before it failed"));
}

#[test]
fn wrong_histories_are_found() {
    for (events, fault) in [
        (&[(Created, 0), (Assigned, 1), (Started, 1)][..], "has not completed"),
        (&[][..], "has not completed"),
        (&[(Created, 0), (Assigned, 1), (Started, 1), (Completed, 1), (Completed, 1)], "after its end"),
        (&[(Created, 0), (Created, 0)], "created twice"),
        (&[(Assigned, 1), (Started, 1)], "does not begin"),
        (&[(Created, 0), (Assigned, 1), (Assigned, 2)], "two agents at once"),
        (&[(Created, 0), (Assigned, 2)], "skips or repeats"),
        (&[(Created, 0), (Assigned, 1), (Started, 2)], "does not fit"),
        (&[(Created, 0), (Assigned, 1), (Completed, 1)], "does not fit"),
        (&[(Created, 0), (Assigned, 1), (Started, 1), (Failed, 1)], "does not fit"),
        (&[(Created, 0), (Cancelled, 0)], "does not fit"),
    ] {
        let text = refusal(events);
        assert!(text.contains(fault), "{events:?}: {text}");
    }
}

#[test]
fn gaps_other_runs_and_wrong_states_are_found() {
    let mut gap = Verifier::default();
    gap.expect(TASK);
    gap.take(&event(1, Created, 0));
    gap.take(&event(3, Assigned, 1));
    assert!(gap.finish().unwrap_err().to_string().contains("event 3 behind event 1"));

    let mut run = Verifier::default();
    run.expect(TASK);
    run.take(&Event { run: 2, ..event(1, Created, 0) });
    assert!(run.finish().unwrap_err().to_string().contains("another run"));

    let mut state = Verifier::default();
    state.expect(TASK);
    PLAIN[..3].iter().enumerate().for_each(|(at, (kind, attempt))| state.take(&event(at as i64 + 1, *kind, *attempt)));
    let mut ended = event(4, Completed, 1);
    ended.set_state(TaskState::Failed);
    state.take(&ended);
    assert!(state.finish().unwrap_err().to_string().contains("does not fit"));
}

#[test]
fn tasks_that_nobody_asked_for_and_ids_that_come_twice_are_found() {
    let mut stranger = Verifier::default();
    stranger.take(&event(1, Created, 0));
    assert!(stranger.finish().unwrap_err().to_string().contains("nobody was told"));

    let mut twice = Verifier::default();
    twice.expect(TASK);
    twice.expect(TASK);
    assert!(twice.finish().unwrap_err().to_string().contains("two submitters"));
}

#[test]
fn only_some_violations_are_told() {
    let mut verifier = Verifier::default();
    (0..100).for_each(|id| verifier.expect(Uuid::from_u128(id)));
    let violations = verifier.finish().unwrap_err();
    assert_eq!((violations.count, violations.told.len()), (100, TOLD));
    assert!(violations.to_string().ends_with('…'));
}
