//! What is used of limit keys.

use super::samples::*;
use callboard_core::model::{LimitUse, NamespaceId};
use callboard_core::working_set::{ChangeSet, Changed, LimitRef, Want};
use callboard_store::Error;

fn limit(namespace: NamespaceId, key: &str) -> LimitRef {
    (namespace, key.into())
}

/// The first version of a row.
pub fn used(key: &str, in_use: u32, due_at: i64) -> LimitUse {
    LimitUse { in_use, due_at: at(due_at), version: 1, ..LimitUse::none(NAMESPACE, key.into()) }
}

/// Rows as they are to be, each behind the version before.
pub fn saving(rows: &[LimitUse]) -> ChangeSet {
    let changed = |row: &LimitUse| Changed { row: row.clone(), expected: row.version - 1 };
    ChangeSet { limits: rows.iter().map(changed).collect(), ..ChangeSet::default() }
}

async fn load(fixture: &Fixture, limits: &[LimitRef]) -> Vec<LimitUse> {
    let want = Want { limits: limits.iter().cloned().collect(), ..Want::default() };
    let mut found = fixture.load(want).await.limits;
    found.sort_by(|a, b| (a.namespace, &a.key).cmp(&(b.namespace, &b.key)));
    found
}

/// Rows by namespace and key, changed and gone again; for rules and for readers.
pub async fn uses_are_what_was_saved(fixture: Fixture) {
    let other = LimitUse { namespace: OTHER, ..used("model", 7, 7) };
    let rows = [used("model", 1, 0), used(TEXT, u32::MAX, 1 << 40), other.clone()];
    fixture.save(saving(&rows)).await;
    let all = [limit(NAMESPACE, "model"), limit(NAMESPACE, TEXT), limit(NAMESPACE, "none"), limit(OTHER, "model")];
    let mut expected = rows.to_vec();
    expected.sort_by(|a, b| (a.namespace, &a.key).cmp(&(b.namespace, &b.key)));
    assert_eq!(load(&fixture, &all).await, expected);
    assert_eq!(
        load(&fixture, &all[2..]).await,
        [other.clone()],
        "of namespaces and keys only the pairs that are meant"
    );
    let mut read = fixture.store.limit_uses(&all).await.unwrap();
    read.sort_by(|a, b| (a.namespace, &a.key).cmp(&(b.namespace, &b.key)));
    assert_eq!(read, expected);
    assert!(fixture.store.limit_uses(&[]).await.unwrap().is_empty());
    let next = LimitUse { version: 2, in_use: 0, ..rows[0].clone() };
    let removed_limits = vec![(limit(NAMESPACE, TEXT), 1)];
    fixture.save(ChangeSet { removed_limits, ..saving(&[next.clone()]) }).await;
    assert_eq!(load(&fixture, &all[..3]).await, [next]);
}

/// Whoever changes or forgets a row knows it as it is.
pub async fn a_row_of_another_version_is_a_conflict(fixture: Fixture) {
    fixture.save(saving(&[used("model", 1, 0)])).await;
    let late = LimitUse { version: 3, ..used("model", 2, 0) };
    let gone =
        |version| ChangeSet { removed_limits: vec![(limit(NAMESPACE, "model"), version)], ..ChangeSet::default() };
    for changes in [saving(&[used("model", 2, 0)]), saving(&[late]), gone(2)] {
        let mut transaction = fixture.store.begin().await.unwrap();
        let refused = transaction.save(&changes, &fixture.settings).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        transaction.roll_back().await;
    }
    assert_eq!(load(&fixture, &[limit(NAMESPACE, "model")]).await, [used("model", 1, 0)]);
    fixture.save(gone(1)).await;
    assert!(load(&fixture, &[limit(NAMESPACE, "model")]).await.is_empty());
}

/// Those that nothing holds and whose time has come.
pub async fn idle_ones_come_by_their_time(fixture: Fixture) {
    fixture.save(saving(&[used("c", 0, 3), used("a", 0, 5), used("held", 1, 0), used("b", 0, 9)])).await;
    let keys = |found: Vec<LimitRef>| found.into_iter().map(|(_, key)| key.to_string()).collect::<Vec<_>>();
    assert_eq!(keys(fixture.store.idle_limits(at(5), 10).await.unwrap()), ["c", "a"]);
    assert_eq!(keys(fixture.store.idle_limits(at(9), 1).await.unwrap()), ["c"]);
    assert!(fixture.store.idle_limits(at(2), 10).await.unwrap().is_empty());
}
