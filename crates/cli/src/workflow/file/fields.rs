//! Values of a file's fields that are more than a text or a number.

use std::fmt;
use std::time::Duration;

use callboard::v1::Priority;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

use crate::values::{self, Moment};

/// A length of time: `90s`, `5m`.
#[derive(Clone, Copy, Debug)]
pub struct Length(pub Duration);

/// A point in time: RFC 3339, or a length of time from now.
#[derive(Clone, Copy, Debug)]
pub struct When(pub Moment);

/// A priority: its name, or 1 to 10.
#[derive(Clone, Copy, Debug)]
pub struct Urgency(pub Priority);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Text("a duration like `90s`, `5m`, `1h30m` or `2d`", values::duration)).map(Self)
    }
}

impl<'de> Deserialize<'de> for When {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "a time like `2026-01-31T12:00:00Z`, or a duration from now like `2h`";
        deserializer.deserialize_any(Text(expected, values::moment)).map(Self)
    }
}

/// Reads a text by a function of the command line's.
struct Text<T>(&'static str, fn(&str) -> Result<T, String>);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.1)(text).map_err(|fault| E::custom(format_args!("`{text}`: {fault}")))
    }
}

impl<'de> Deserialize<'de> for Urgency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A number comes as an object where it keeps its digits: so it is read from a value.
        let value = serde_json::Value::deserialize(deserializer)?;
        let priority = match &value {
            serde_json::Value::String(name) => by_name(name),
            serde_json::Value::Number(number) => number.as_u64().and_then(by_number),
            _ => None,
        };
        priority.map(Self).ok_or_else(|| {
            D::Error::custom(format_args!(
                "{value} is no priority: write low, normal, high, urgent or critical, or 1 to 10"
            ))
        })
    }
}

fn by_name(name: &str) -> Option<Priority> {
    Some(match name {
        "low" => Priority::Low,
        "normal" => Priority::Normal,
        "high" => Priority::High,
        "urgent" => Priority::Urgent,
        "critical" => Priority::Critical,
        _ => return None,
    })
}

/// The scale that many other systems have, with its middle in ours.
fn by_number(number: u64) -> Option<Priority> {
    Some(match number {
        1..=3 => Priority::Low,
        4..=6 => Priority::Normal,
        7..=8 => Priority::High,
        9 => Priority::Urgent,
        10 => Priority::Critical,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn priorities_have_names_and_numbers() {
        let read = |value| serde_json::from_value::<Urgency>(value).map(|urgency| urgency.0);
        assert_eq!(read(json!("urgent")).unwrap(), Priority::Urgent);
        let scale: Vec<Priority> = (1..=10).map(|number| read(json!(number)).unwrap()).collect();
        use Priority::{Critical, High, Low, Normal, Urgent};
        assert_eq!(scale, [Low, Low, Low, Normal, Normal, Normal, High, High, Urgent, Critical]);
        for wrong in [json!(0), json!(11), json!(5.5), json!("URGENT"), json!(null), json!([])] {
            assert!(read(wrong).unwrap_err().to_string().contains("or 1 to 10"));
        }
    }
}
