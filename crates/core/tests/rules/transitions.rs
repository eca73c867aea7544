//! Every state with every move, against a table that is written out: a change of the rules must change it.

use crate::support::make::second;
use callboard_core::model::task::{Cancelling, ClaimLease};
use callboard_core::model::{AgentId, Lease, LeaseToken, Pause, Span, TaskState, Timestamp, Waiting};
use callboard_core::rules::transition::{Move, next};
use uuid::Uuid;

/// A row for each state, a column for each move; `-` is refused.
const TABLE: &str = "
                Wait    Ready Assign   Accept  Hear    Renew    Extend   Stop     Pause  Await  Resume  Complete  Fail   Cancel    Skip    Reopen
WAITING         WAITING READY -        -       -       -        -        -        -      -      -       -         FAILED CANCELLED SKIPPED -
READY           WAITING -     ASSIGNED -       -       -        -        -        -      -      -       -         FAILED CANCELLED -       -
ASSIGNED        WAITING READY -        RUNNING -       ASSIGNED ASSIGNED -        -      -      -       -         FAILED CANCELLED -       -
RUNNING         WAITING READY -        -       RUNNING RUNNING  RUNNING  STOPPING PAUSED -      -       COMPLETED FAILED CANCELLED -       -
STOPPING        -       -     -        -       STOPPING STOPPING STOPPING -       PAUSED-STOPPING - -   -         -      CANCELLED -       -
PAUSED          WAITING READY -        -       PAUSED  PAUSED   -        PAUSED-STOPPING PAUSED PAUSED-AWAITING RUNNING COMPLETED FAILED CANCELLED - -
PAUSED-AWAITING WAITING READY -        -       PAUSED-AWAITING PAUSED-AWAITING - PAUSED-STOPPING PAUSED PAUSED-AWAITING RUNNING COMPLETED FAILED CANCELLED - -
PAUSED-STOPPING -       -     -        -       PAUSED-STOPPING PAUSED-STOPPING - -  PAUSED-STOPPING PAUSED-STOPPING STOPPING - - CANCELLED - -
COMPLETED       -       -     -        -       -       -        -        -        -      -      -       -         -      -         -       -
FAILED          -       -     -        -       -       -        -        -        -      -      -       -         -      -         -       WAITING
CANCELLED       -       -     -        -       -       -        -        -        -      -      -       -         -      -         -       WAITING
SKIPPED         -       -     -        -       -       -        -        -        -      -      -       -         -      -         -       WAITING
";

fn lease() -> Lease {
    Lease { agent: AgentId(Uuid::from_u128(1)), epoch: 1, token: LeaseToken(1), assigned_at: second(1), claim: None }
}

fn cancelling() -> Cancelling {
    Cancelling { since: second(3), reason: "not wanted".into() }
}

fn pause(resuming: Option<Timestamp>) -> Pause {
    Pause { since: second(4), resuming }
}

fn states() -> Vec<TaskState> {
    let at = second(4);
    vec![
        TaskState::Waiting(Waiting { unmet: 1, ..Waiting::default() }),
        TaskState::Ready { since: second(0) },
        TaskState::Assigned { lease: lease(), ready_since: second(0) },
        TaskState::Running { lease: lease(), heard_at: second(2), cancelling: None },
        TaskState::Running { lease: lease(), heard_at: second(2), cancelling: Some(cancelling()) },
        TaskState::Paused { lease: lease(), cancelling: None, pause: pause(None) },
        TaskState::Paused { lease: lease(), cancelling: None, pause: pause(Some(second(6))) },
        TaskState::Paused { lease: lease(), cancelling: Some(cancelling()), pause: pause(None) },
        TaskState::Completed { at },
        TaskState::Failed { at },
        TaskState::Cancelled { at },
        TaskState::Skipped { at },
    ]
}

fn moves() -> Vec<(&'static str, Move)> {
    let at = second(9);
    vec![
        ("Wait", Move::Wait(Waiting::default())),
        ("Ready", Move::Ready(at)),
        ("Assign", Move::Assign(lease())),
        ("Accept", Move::Accept(at)),
        ("Hear", Move::Hear(at)),
        ("Renew", Move::Renew { epoch: 2 }),
        ("Extend", Move::Extend(ClaimLease { until: at, span: Span::seconds(1) })),
        ("Stop", Move::RequestCancel(cancelling())),
        ("Pause", Move::Pause(at)),
        ("Await", Move::AwaitSlot(at)),
        ("Resume", Move::Resume(at)),
        ("Complete", Move::Complete(at)),
        ("Fail", Move::Fail(at)),
        ("Cancel", Move::Cancel(at)),
        ("Skip", Move::Skip(at)),
        ("Reopen", Move::Reopen(Waiting::default())),
    ]
}

/// The state's name; one whose cancellation was asked for stands apart.
fn name(state: &TaskState) -> &'static str {
    match state {
        TaskState::Running { cancelling: Some(_), .. } => "STOPPING",
        TaskState::Paused { cancelling: Some(_), .. } => "PAUSED-STOPPING",
        TaskState::Paused { pause: Pause { resuming: Some(_), .. }, .. } => "PAUSED-AWAITING",
        other => other.name().as_str(),
    }
}

#[test]
fn every_state_with_every_move_is_as_the_table_says() {
    let mut rows = TABLE.trim().lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let head = rows.next().expect("a head");
    assert_eq!(head, moves().iter().map(|(name, _)| *name).collect::<Vec<_>>());
    for state in states() {
        let row = rows.next().expect("a row for each state");
        assert_eq!(row[0], name(&state));
        for ((column, to), expected) in moves().into_iter().zip(&row[1..]) {
            let found = next(&state, to).map_or("-", |next| name(&next));
            assert_eq!(found, *expected, "{} by {column}", row[0]);
        }
    }
    assert_eq!(rows.next(), None);
}

#[test]
fn a_lease_stays_the_same_but_for_what_is_renewed() {
    let running = &states()[3];
    let renewed = next(running, Move::Renew { epoch: 2 }).unwrap();
    assert_eq!(renewed.lease(), Some(&Lease { epoch: 2, ..lease() }));
    let claim = ClaimLease { until: second(60), span: Span::seconds(50) };
    let extended = next(&states()[4], Move::Extend(claim)).unwrap();
    assert_eq!(extended.lease(), Some(&Lease { claim: Some(claim), ..lease() }));
    assert!(matches!(extended, TaskState::Running { cancelling: Some(_), .. }));
    let accepted = next(&states()[2], Move::Accept(second(9))).unwrap();
    assert_eq!(accepted.lease(), Some(&lease()));
    let assigned = next(&states()[1], Move::Assign(lease())).unwrap();
    assert!(matches!(assigned, TaskState::Assigned { ready_since, .. } if ready_since == second(0)));
}

#[test]
fn the_time_of_a_pause_is_none_of_the_attempts() {
    let resumed = next(&states()[6], Move::Resume(second(9))).unwrap();
    // Paused from second 4 to second 9.
    assert_eq!(resumed.lease(), Some(&Lease { assigned_at: second(6), ..lease() }));
    assert!(matches!(resumed, TaskState::Running { heard_at, .. } if heard_at == second(9)));
    let asked_twice = next(&states()[6], Move::AwaitSlot(second(9))).unwrap();
    assert_eq!(asked_twice.pause(), Some(pause(Some(second(6)))), "its place in the queue stays");
}

#[test]
fn a_refusal_says_what_was_tried() {
    let refused = next(&states()[8], Move::Fail(second(9))).unwrap_err();
    assert_eq!((refused.from.as_str(), refused.attempted), ("COMPLETED", "failed"));
}
