//! Who asks, and what they may do.
//!
//! - `token`: secrets of 256 random bits, known to the server by their digest alone.
//! - `file`: the file with the identities: tokens and client certificates, each with a principal, roles and namespaces.
//! - `access`: the one table of what each role may call, and how a request names its namespace.
//! - `caller`: who asks, as handlers see it.
//! - `guard`: stands before every service; what the table doesn't know is not served.

mod access;
mod caller;
mod file;
mod guard;
mod revocation;
mod token;

pub(crate) use access::Scoped;
pub(crate) use caller::Caller;
pub use file::{Entry, Identities, IdentityFile, check_principal};
pub(crate) use guard::{Access, Guard, Guarded, before_pages};
pub use token::{Token, TokenDigest};

use callboard_core::model::Timestamp;
use callboard_core::model::id::ANONYMOUS;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a principal is for. Each may do what stands in the table of `access`; `docs/identity.md` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Looks, and changes nothing.
    Viewer,
    /// Submits tasks and steers them.
    Submitter,
    /// Works: attaches or claims, and reports.
    Agent,
    /// Looks after tasks and agents.
    Operator,
    /// Everything, also namespaces and the server itself.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Viewer, Self::Submitter, Self::Agent, Self::Operator, Self::Admin];

    /// As it stands in the file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Agent => "agent",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Of its name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == name)
    }
}

/// Which namespaces a principal may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Namespaces {
    /// All, also those that come.
    All,
    /// These.
    These(BTreeSet<String>),
}

impl Namespaces {
    /// Whether this one is among them.
    pub fn contain(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(names) => names.contains(namespace),
        }
    }
}

/// What a token or a certificate stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who it is.
    pub principal: Arc<str>,
    /// What it may do.
    pub roles: BTreeSet<Role>,
    /// Where.
    pub namespaces: Namespaces,
    /// Until when; none: until it is revoked.
    pub expires: Option<Timestamp>,
}

impl Grant {
    /// What everybody has on an open server.
    fn anonymous() -> Self {
        Self { principal: ANONYMOUS.into(), roles: Role::ALL.into(), namespaces: Namespaces::All, expires: None }
    }

    fn has_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}
