//! Who asks, as handlers see it.

use super::{Grant, Role, Scoped};
use crate::pages::Refused;
use crate::{caller, status};
use callboard_core::rejection::{Reason, Rejection};
use callboard_proto::v1::ErrorReason;
use std::sync::Arc;
use tonic::{Code, Request, Status};

/// Who asks. The guard puts it among a request's extensions, after it has checked the role.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    grant: Arc<Grant>,
    refused: Refused,
}

impl Caller {
    pub(super) fn new(grant: Arc<Grant>, refused: Refused) -> Self {
        Self { grant, refused }
    }

    /// The caller of a request.
    pub fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        request.extensions().get().cloned().ok_or_else(|| {
            // Only a service that the guard doesn't stand before gets here: it must not answer.
            tracing::error!("a request came past the guard");
            status::plain(
                Code::Internal,
                ErrorReason::Internal,
                "something went wrong in the server; its log says what",
            )
        })
    }

    /// The principal.
    pub fn principal(&self) -> Arc<str> {
        self.grant.principal.clone()
    }

    /// Whether the caller may use a namespace.
    pub fn may_use(&self, namespace: &str) -> bool {
        self.grant.namespaces.contain(namespace)
    }

    /// Whether the caller looks after agents, also after those of other principals.
    pub fn is_operator(&self) -> bool {
        self.grant.roles.contains(&Role::Operator) || self.grant.roles.contains(&Role::Admin)
    }

    /// Refuses what asks for something of a namespace that is not the caller's. One that doesn't exist gets the same answer, before
    /// anything is looked up: names of others' namespaces can't be found out.
    pub fn check(&self, request: &impl Scoped) -> Result<(), Status> {
        let Some(name) = request.namespace() else { return Ok(()) };
        let name = caller::namespace(name);
        if self.may_use(&name) {
            return Ok(());
        }
        self.refused.count(ErrorReason::NamespaceNotFound);
        let message = format!(
            "namespace: {:?} does not exist, or is not one of yours; name another, or have it added to your identity",
            crate::convert::shorten(&name)
        );
        Err(status::of_rejection(Rejection::new(Reason::NamespaceNotFound, message)))
    }
}
