//! Rules on tasks that ask for less when nobody takes them.

use super::{Findings, Observed, Rule, Seen};
use crate::load::work::NOBODY;
use callboard::v1::EventType as E;

pub(super) fn check(observed: &Observed, findings: &mut Findings) {
    for (id, seen) in &observed.tasks {
        let asked = seen.task.spec.as_ref().and_then(|spec| spec.requirements.as_ref());
        if asked.is_some_and(|asked| asked.role == NOBODY) {
            given_out_behind_its_fallback(id, seen, findings);
        }
    }
}

/// Nobody has what it asks for itself, and anybody what its one fallback asks for.
fn given_out_behind_its_fallback(id: &str, seen: &Seen, findings: &mut Findings) {
    let mut moves = 0;
    for event in &seen.events {
        match event.r#type() {
            E::RunOpened => moves = 0,
            E::FellBack => {
                moves += 1;
                findings
                    .demand(moves == 1, Rule::FallsBack, id, || format!("run {} fell back {moves} times", event.run));
            }
            E::Assigned => findings.demand(moves > 0, Rule::FallsBack, id, || {
                format!("attempt {} was given to {}, which has not the role {NOBODY}", event.attempt, event.agent)
            }),
            _ => {}
        }
    }
    findings.demand(seen.task.fallback == moves, Rule::FallsBack, id, || {
        format!("it shows fallback {}, and its run has come to {moves}", seen.task.fallback)
    });
}
