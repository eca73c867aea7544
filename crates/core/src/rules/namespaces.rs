//! Namespaces.

use super::{Ruled, Step};
use crate::command::{Effect, Outcome, Reply};
use crate::decide::Context;
use crate::model::{Namespace, NamespaceId, NamespaceSettings};
use crate::rejection::{Reason, Rejection};
use crate::working_set::WorkingSet;
use std::sync::Arc;

/// Creates a namespace.
pub(super) fn create(
    ws: &mut WorkingSet,
    name: &Arc<str>,
    settings: &NamespaceSettings,
    cx: &Context<'_>,
) -> Ruled<Outcome> {
    let known = ws.all_namespaces()?;
    if known.iter().any(|namespace| namespace.name == *name) {
        let message = format!("name: namespace {name:?} exists; use it, or choose another name");
        return Err(Rejection::new(Reason::NamespaceExists, message).into());
    }
    if known.len() >= cx.settings.max_namespaces {
        return Err(Rejection::limit(
            "namespaces",
            cx.settings.max_namespaces,
            "use one that exists; tags and task types also keep work apart",
        )
        .into());
    }
    let last = known.iter().map(|namespace| namespace.id.0).max().unwrap_or(0);
    let mut namespace = Namespace {
        id: NamespaceId(last + 1),
        name: name.clone(),
        settings: settings.clone(),
        created_at: cx.now,
        version: 0,
    };
    ws.put_namespace(namespace.clone());
    namespace.version += 1;
    Ok(Outcome { reply: Reply::Namespace(namespace), effects: Vec::new(), replayed: false })
}

impl Step<'_, '_> {
    /// Replaces the settings of the namespace.
    pub(super) fn update_namespace(&mut self, settings: &NamespaceSettings) -> Reply {
        let mut namespace = self.namespace.clone();
        if namespace.settings.limits != settings.limits {
            self.effects.push(Effect::LimitsChanged { namespace: namespace.id });
        }
        namespace.settings = settings.clone();
        self.ws.put_namespace(namespace.clone());
        namespace.version += 1;
        Reply::Namespace(namespace)
    }
}
