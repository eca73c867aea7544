//! Identifiers, each a type of its own so that one is never taken for another.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

uuid_id! {
    /// A task. A UUIDv7, so that new rows are neighbours in the index.
    TaskId
}
uuid_id! {
    /// An agent, as long as it is not removed. A UUIDv7.
    AgentId
}
uuid_id! {
    /// A workflow. A UUIDv7.
    WorkflowId
}
uuid_id! {
    /// A message. A UUIDv7.
    MessageId
}

/// A namespace, in keys and indexes: names are for people, and long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NamespaceId(pub i64);

/// The namespace that always exists.
pub const DEFAULT_NAMESPACE: &str = "default";

/// The principal of everybody who calls an open server.
pub const ANONYMOUS: &str = "anonymous";

/// The principal of what nobody asked for: timeouts, retries, dispatch.
pub const SYSTEM: &str = "system";

/// A lane within its namespace: the first eight bytes of the digest of its key, so that replicas that meet the same lane at the
/// same time give it the same id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LaneId(pub i64);

/// What proves that a reporter holds a lease. Random, never shown in logs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeaseToken(#[serde(with = "token_hex")] pub u128);

impl LeaseToken {
    /// As it stands in frames: 32 hexadecimal digits.
    pub fn to_hex(self) -> String {
        format!("{:032x}", self.0)
    }

    /// Reads what [`LeaseToken::to_hex`] wrote.
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        if !digits {
            return None;
        }
        u128::from_str_radix(text, 16).ok().map(Self)
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LeaseToken(..)")
    }
}

mod token_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(token: &u128, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&format!("{token:032x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<u128, D::Error> {
        let text = String::deserialize(d)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_token_reads_back_and_nothing_else_does() {
        let token = LeaseToken(0x1234);
        assert_eq!(LeaseToken::from_hex(&token.to_hex()), Some(token));
        for wrong in ["", "12", "+0000000000000000000000000001234", "zz000000000000000000000000001234"] {
            assert_eq!(LeaseToken::from_hex(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_lease_token_is_not_shown() {
        assert!(!format!("{:?}", LeaseToken(77)).contains("77"));
    }
}
