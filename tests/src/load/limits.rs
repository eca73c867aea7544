//! The limits that some tasks of a load are under.

use super::answer::{Answer, until_answered};
use super::{Size, Worker, submit};
use callboard::v1;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use std::collections::BTreeSet;
use tokio_util::sync::CancellationToken;

/// What few may use at once.
const MODEL: &str = "load.model";
/// What is asked no faster than so.
const CALLS: &str = "load.calls";
/// Of each so many at once.
const TENANTS: [&str; 2] = ["load.tenant/one", "load.tenant/two"];
const EVERY_TENANT: &str = "load.tenant/*";
const KEYS: [&str; 4] = [MODEL, CALLS, TENANTS[0], TENANTS[1]];

/// They are reached now and then, and what is under them is done within seconds when everything is well.
fn limits() -> Vec<v1::Limit> {
    let at_once = |key: &str, max| v1::Limit { key: key.to_owned(), max_concurrent: Some(max), ..Default::default() };
    let in_a_second = |key: &str, rate| v1::Limit { key: key.to_owned(), rate: Some(rate), ..Default::default() };
    vec![at_once(MODEL, 3), at_once(EVERY_TENANT, 2), in_a_second(CALLS, 10)]
}

/// The limit keys of a random task of a load: mostly none, else one or two.
pub(super) fn random_keys(random: &mut StdRng, size: &Size) -> Vec<String> {
    let mut keys: BTreeSet<&str> = BTreeSet::new();
    if size.limits > 0 && random.random_ratio(size.limits, 100) {
        keys.extend(KEYS.choose(random));
        if random.random_bool(0.25) {
            keys.extend(KEYS.choose(random));
        }
    }
    keys.into_iter().map(str::to_owned).collect()
}

/// Gives the namespace the load's limits, as often as it takes; the other settings stay. Tells when they stand.
pub(super) async fn set(worker: Worker, limited: CancellationToken) {
    let Worker { recorder, client, give_up, name, .. } = &worker;
    let asked = v1::GetNamespaceRequest::default();
    let Answer::Done(known) = until_answered(recorder, client, asked, &[], give_up).await else { return };
    let settings = known.namespace.and_then(|namespace| namespace.settings).unwrap_or_default();
    let settings = Some(v1::NamespaceSettings { limits: limits(), ..settings });
    let update = v1::UpdateNamespaceRequest { settings, request_id: name.clone(), ..Default::default() };
    if let Answer::Done(_) = until_answered(recorder, client, update, &[], give_up).await {
        recorder.history().limits = limits();
        limited.cancel();
    }
}

/// Asks for tasks, as soon as their limits stand: what begins before a limit is set is not held up by it.
pub(super) async fn submit_behind(limited: Option<CancellationToken>, worker: Worker) {
    if let Some(limited) = limited {
        tokio::select! { () = limited.cancelled() => {}, () = worker.stop.cancelled() => {} }
    }
    submit::submit(worker).await;
}
