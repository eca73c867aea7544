//! Gates at which handlers wait, until the runner opens them.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use tokio::sync::watch;

static GATES: LazyLock<Mutex<HashMap<String, watch::Sender<bool>>>> = LazyLock::new(Mutex::default);

/// Opens one, for good.
pub fn open(name: &str) {
    let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
    gates.entry(name.to_owned()).or_default().send_replace(true);
}

/// Waits until it is open.
pub async fn pass(name: &str) {
    let mut gate = {
        let mut gates = GATES.lock().unwrap_or_else(PoisonError::into_inner);
        gates.entry(name.to_owned()).or_default().subscribe()
    };
    let _ = gate.wait_for(|open| *open).await;
}
