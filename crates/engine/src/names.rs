//! Namespaces by name and by id, for reads.

use crate::error::Result;
use callboard_core::Rejection;
use callboard_core::model::{Namespace, NamespaceId, NamespaceSettings};
use callboard_store::Store;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// What is known of namespaces. They are never removed, and few.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: RwLock<Known>,
}

#[derive(Debug, Default)]
struct Known {
    ids: HashMap<Arc<str>, NamespaceId>,
    names: HashMap<NamespaceId, Arc<str>>,
    settings: HashMap<NamespaceId, NamespaceSettings>,
}

impl Names {
    /// The id of a namespace; reads the store when it isn't known yet.
    pub async fn id(&self, store: &dyn Store, name: &str) -> Result<NamespaceId> {
        if let Some(id) = self.read().ids.get(name) {
            return Ok(*id);
        }
        self.refresh(store).await?;
        let id = self.read().ids.get(name).copied();
        id.ok_or_else(|| Rejection::namespace_not_found(name).into())
    }

    /// The id of a namespace that was met.
    pub fn met(&self, name: &str) -> Option<NamespaceId> {
        self.read().ids.get(name).copied()
    }

    /// The settings of a namespace.
    pub async fn settings(&self, store: &dyn Store, name: &str) -> Result<NamespaceSettings> {
        let id = self.id(store, name).await?;
        Ok(self.read().settings.get(&id).cloned().unwrap_or_default())
    }

    /// The name of a namespace that was met.
    pub fn name(&self, id: NamespaceId) -> Option<Arc<str>> {
        self.read().names.get(&id).cloned()
    }

    /// Reads all of them.
    pub async fn refresh(&self, store: &dyn Store) -> Result<()> {
        let namespaces = store.namespaces().await?;
        namespaces.iter().for_each(|namespace| self.add(namespace));
        Ok(())
    }

    /// Takes one in.
    pub fn add(&self, namespace: &Namespace) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.ids.insert(namespace.name.clone(), namespace.id);
        known.names.insert(namespace.id, namespace.name.clone());
        known.settings.insert(namespace.id, namespace.settings.clone());
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }
}
