//! All stores pass the suite.

mod memory {
    use callboard_store::{Store, memory::MemoryStore};
    use std::sync::Arc;

    crate::conformance::conformance!(async || (Arc::new(MemoryStore::new()) as Arc<dyn Store>, ()));
    crate::conformance::conformance_of_clusters!(async || (Arc::new(MemoryStore::shared()) as Arc<dyn Store>, ()));
}

mod sqlite {
    use callboard_store::Store;
    use callboard_store::sqlite::{SqliteOptions, SqliteStore};
    use std::sync::Arc;

    crate::conformance::conformance!(async || {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let store = SqliteStore::open(path.to_str().unwrap(), SqliteOptions::default()).await.unwrap();
        (Arc::new(store) as Arc<dyn Store>, folder)
    });
}

mod postgres {
    crate::conformance::conformance!(crate::postgres::new_store);
    crate::conformance::conformance_of_clusters!(crate::postgres::new_store);
}
