//! One command against the loaded rows: an outcome, a refusal that changes nothing, or a wish for more rows.

use crate::command::{Envelope, Outcome, Reply};
use crate::dispatch::Board;
use crate::entropy::Entropy;
use crate::model::{NamespaceId, RequestKey, RequestRecord, Timestamp};
use crate::rejection::{Reason, Rejection};
use crate::rules;
use crate::settings::Settings;
use crate::working_set::{Want, WorkingSet};

/// How often a command may ask for more rows. Each wish brings it further; more than this is a bug in a rule.
pub const MOST_ROUNDS: usize = 256;

/// What a decision depends on besides the rows: all of it passed in.
pub struct Context<'a> {
    /// The time.
    pub now: Timestamp,
    /// Until then nobody's silence counts: we were not listening long enough.
    pub grace_until: Timestamp,
    /// The replica that decides. It speaks for the streams alone that it has: others may know better about theirs.
    pub replica: &'a str,
    /// Every replica that shares the store knows what this version knows, so that rows may say it.
    pub all_current: bool,
    /// Chance.
    pub entropy: &'a mut dyn Entropy,
    /// What the operator chose.
    pub settings: &'a Settings,
    /// Which agents fit which lanes, and whose turn it is.
    pub board: &'a mut Board,
}

/// What became of a command.
#[derive(Debug)]
pub enum Decision {
    /// It is decided; the changes are in the working set.
    Done(Outcome),
    /// It is refused, and changed nothing.
    Rejected(Rejection),
    /// Rows are missing; load them and decide again. It changed nothing.
    NeedMore(Box<Want>),
}

/// Why a rule stopped before it was done.
#[derive(Debug)]
pub enum Stop {
    /// It refuses.
    Reject(Rejection),
    /// It must see more rows.
    NeedMore(Box<Want>),
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Self {
        Self::Reject(rejection)
    }
}

/// Decides a command.
pub fn decide(ws: &mut WorkingSet, envelope: &Envelope, cx: &mut Context<'_>) -> Decision {
    match once(ws, envelope, cx) {
        Ok(outcome) => {
            ws.keep();
            cx.board.keep_turns();
            Decision::Done(outcome)
        }
        Err(stop) => {
            ws.roll_back();
            cx.board.roll_back_turns();
            match stop {
                Stop::Reject(rejection) => Decision::Rejected(rejection),
                Stop::NeedMore(want) => Decision::NeedMore(want),
            }
        }
    }
}

/// What a command would want, given the rows as they are. Changes nothing: it serves to load for a whole batch at once.
pub fn foresee(ws: &mut WorkingSet, envelope: &Envelope, cx: &mut Context<'_>) -> Option<Want> {
    let foreseen = once(ws, envelope, cx);
    ws.roll_back();
    cx.board.roll_back_turns();
    match foreseen {
        Err(Stop::NeedMore(want)) => Some(*want),
        Ok(_) | Err(Stop::Reject(_)) => None,
    }
}

/// Decides a command unless its request id already has an answer; remembers the answer.
fn once(ws: &mut WorkingSet, envelope: &Envelope, cx: &mut Context<'_>) -> Result<Outcome, Stop> {
    let Some(request) = &envelope.request else {
        return rules::apply(ws, envelope, cx);
    };
    let namespace = match ws.namespace(&envelope.namespace)? {
        Some(namespace) => namespace.id,
        // Creating a namespace: its name stands in the digest.
        None => NamespaceId(0),
    };
    let global = matches!(envelope.command, crate::Command::CreateNamespace { .. });
    let key = RequestKey {
        namespace: if global { NamespaceId(0) } else { namespace },
        principal: envelope.principal.to_string(),
        method: request.method.to_owned(),
        request_id: request.id.clone(),
    };
    if let Some(record) = ws.request(&key)?.filter(|record| record.expires_at > cx.now) {
        return replay(record, &request.digest);
    }
    let outcome = match rules::apply(ws, envelope, cx) {
        // Nothing will be saved under the id, so that the store can't tell whether it was new.
        Err(Stop::Reject(rejection)) => {
            ws.make_sure_of(&key)?;
            return Err(rejection.into());
        }
        other => other?,
    };
    if matches!(&outcome.reply, Reply::Claimed(leases) if leases.is_empty()) {
        ws.make_sure_of(&key)?;
    } else {
        let reply = serde_json::to_string(&outcome.reply).map_err(|error| unreadable(&error))?;
        let expires_at = cx.now + cx.settings.remember_requests;
        ws.add_request(RequestRecord { key, digest: request.digest.clone(), reply, expires_at });
    }
    Ok(outcome)
}

fn replay(record: &RequestRecord, digest: &[u8]) -> Result<Outcome, Stop> {
    if record.digest != digest {
        let message = format!(
            "request_id: {:?} was used for a different {} request in the last 24 h; choose another",
            record.key.request_id, record.key.method
        );
        return Err(Rejection::new(Reason::RequestIdReused, message).into());
    }
    let reply = serde_json::from_str(&record.reply).map_err(|error| unreadable(&error))?;
    Ok(Outcome { reply, effects: Vec::new(), replayed: true })
}

fn unreadable(error: &serde_json::Error) -> Rejection {
    let message = format!("request_id: the remembered answer can't be used ({error}); choose another");
    Rejection::new(Reason::RequestIdReused, message)
}
