//! Lengths of time in settings, as people write them.

use crate::values;
use serde::{Deserialize, Deserializer, Serializer};
use std::time::Duration;

pub fn serialize<S: Serializer>(length: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format!("{}ms", length.as_millis()))
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    values::duration(&text).map_err(serde::de::Error::custom)
}

/// The same, or `off`.
pub mod or_off {
    use super::*;

    const OFF: &str = "off";

    pub fn serialize<S: Serializer>(length: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match length {
            Some(length) => super::serialize(length, serializer),
            None => serializer.serialize_str(OFF),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.trim() == OFF {
            return Ok(None);
        }
        let length = values::duration(&text).map_err(|fault| format!("{fault}, or `off`"));
        length.map(Some).map_err(serde::de::Error::custom)
    }
}
