//! How a task must end for one that depends on it to go on.

use super::payload::{Content, Payload};
use super::task::StateName;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use std::cmp::Ordering;
use std::sync::Arc;

/// How a dependency must end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// With a result.
    #[default]
    Completed,
    /// Failed; not cancelled, not skipped.
    Failed,
    /// In any way but with a result.
    NotCompleted,
    /// In any way.
    Ended,
    /// With a result that is as it says.
    Result(Arc<ResultCondition>),
}

/// What a result must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResultCondition {
    /// Where in the result the value is: a JSON Pointer (RFC 6901).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub pointer: String,
    /// What it must be.
    #[serde(flatten)]
    pub test: Test,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "test", content = "value", rename_all = "snake_case")]
pub enum Test {
    /// There is one.
    Exists,
    /// There is none.
    NotExists,
    /// The same.
    Equal(JsonText),
    /// Another.
    NotEqual(JsonText),
    /// Less.
    Less(JsonText),
    /// Less, or the same.
    LessOrEqual(JsonText),
    /// Greater.
    Greater(JsonText),
    /// Greater, or the same.
    GreaterOrEqual(JsonText),
}

/// A JSON value, kept as the text that it came as: so every digit of its numbers stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JsonText {
    text: String,
    value: Value,
}

impl TryFrom<String> for JsonText {
    type Error = serde_json::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Ok(Self { value: serde_json::from_str(&text)?, text })
    }
}

impl From<JsonText> for String {
    fn from(json: JsonText) -> Self {
        json.text
    }
}

impl JsonText {
    /// As it came.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is less or greater than others.
    pub fn has_order(&self) -> bool {
        matches!(self.value, Value::Number(_) | Value::String(_))
    }
}

impl Test {
    /// What is compared with.
    pub fn value(&self) -> Option<&JsonText> {
        match self {
            Self::Exists | Self::NotExists => None,
            Self::Equal(value)
            | Self::NotEqual(value)
            | Self::Less(value)
            | Self::LessOrEqual(value)
            | Self::Greater(value)
            | Self::GreaterOrEqual(value) => Some(value),
        }
    }

    /// Whether it asks which of two comes first.
    pub fn is_ordering(&self) -> bool {
        matches!(self, Self::Less(_) | Self::LessOrEqual(_) | Self::Greater(_) | Self::GreaterOrEqual(_))
    }
}

/// How a task ended, as conditions see it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its state.
    pub state: StateName,
    /// What it gave, when a condition asks for it: see [`Condition::asks_for_result`].
    pub result: Option<Value>,
}

impl Condition {
    /// Whether it can only be told from the result, of a task that ended so.
    pub fn asks_for_result(&self, state: StateName) -> bool {
        matches!(self, Self::Result(_)) && state == StateName::Completed
    }

    /// Whether a task has ended so.
    pub fn holds(&self, outcome: &Outcome) -> bool {
        let completed = outcome.state == StateName::Completed;
        match self {
            Self::Completed => completed,
            Self::Failed => outcome.state == StateName::Failed,
            Self::NotCompleted => !completed,
            Self::Ended => true,
            Self::Result(condition) => completed && condition.holds(outcome.result.as_ref()),
        }
    }

    /// For people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Completed => "COMPLETED",
            Self::Failed => "FAILED",
            Self::NotCompleted => "NOT_COMPLETED",
            Self::Ended => "ENDED",
            Self::Result(_) => "COMPLETED, with a certain result",
        }
    }
}

impl ResultCondition {
    fn holds(&self, result: Option<&Value>) -> bool {
        let found = result.and_then(|result| result.pointer(&self.pointer));
        let is = |json: &JsonText, wanted: fn(Ordering) -> bool| {
            found.and_then(|value| order(value, &json.value)).is_some_and(wanted)
        };
        match &self.test {
            Test::Exists => found.is_some(),
            Test::NotExists => found.is_none(),
            Test::Equal(json) => found.is_some_and(|value| same(value, &json.value)),
            Test::NotEqual(json) => found.is_some_and(|value| !same(value, &json.value)),
            Test::Less(json) => is(json, Ordering::is_lt),
            Test::LessOrEqual(json) => is(json, Ordering::is_le),
            Test::Greater(json) => is(json, Ordering::is_gt),
            Test::GreaterOrEqual(json) => is(json, Ordering::is_ge),
        }
    }
}

/// What conditions see of a result: text is a JSON string, bytes have no value.
pub fn value_of(result: &Payload) -> Option<Value> {
    let Content::Text(text) = &result.content else { return None };
    let media = result.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media == "application/json" || media.ends_with("+json") {
        true => serde_json::from_str(text).ok(),
        false => Some(Value::String(text.to_string())),
    }
}

/// Two numbers, or two texts, in order.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => order_numbers(a, b),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

/// Whole numbers of up to 38 digits exactly, others as doubles.
fn order_numbers(a: &Number, b: &Number) -> Option<Ordering> {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => Some(a.cmp(&b)),
        _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
    }
}

/// The same JSON value: `1` and `1.0` are one number, and members of objects have no order.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => order_numbers(a, b) == Some(Ordering::Equal),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> JsonText {
        JsonText::try_from(text.to_owned()).expect(text)
    }

    fn holds(result: &str, pointer: &str, test: Test) -> bool {
        let condition = ResultCondition { pointer: pointer.into(), test };
        let payload = Payload {
            content_type: "application/json".into(),
            content: Content::Text(result.into()),
            ..Payload::default()
        };
        let outcome = Outcome { state: StateName::Completed, result: value_of(&payload) };
        Condition::Result(Arc::new(condition)).holds(&outcome)
    }

    #[test]
    fn each_end_releases_the_conditions_that_ask_for_it() {
        use StateName::{Cancelled, Completed, Failed, Skipped};
        let table = [
            (Condition::Completed, [true, false, false, false]),
            (Condition::Failed, [false, true, false, false]),
            (Condition::NotCompleted, [false, true, true, true]),
            (Condition::Ended, [true, true, true, true]),
        ];
        for (condition, expected) in table {
            let holds =
                [Completed, Failed, Cancelled, Skipped].map(|state| condition.holds(&Outcome { state, result: None }));
            assert_eq!(holds, expected, "{condition:?}");
        }
    }

    #[test]
    fn values_are_found_by_pointers_and_compared() {
        let result = r#"{"score": 0.8, "a/b": [1, {"c": null}], "id": 9007199254740993, "name": "é"}"#;
        for (pointer, test, expected) in [
            ("/score", Test::GreaterOrEqual(json("0.80")), true),
            ("/score", Test::Greater(json("0.8")), false),
            ("/score", Test::Less(json("1")), true),
            ("/score", Test::Less(json("\"1\"")), false),
            ("/score", Test::Equal(json("8e-1")), true),
            ("/score", Test::NotEqual(json("\"x\"")), true),
            ("/a~1b/0", Test::LessOrEqual(json("1.0")), true),
            ("/a~1b/1/c", Test::Exists, true),
            ("/a~1b/1/c", Test::Equal(json("null")), true),
            ("/a~1b/1/d", Test::NotExists, true),
            ("/a~1b/1/d", Test::NotEqual(json("1")), false),
            ("/a~1b", Test::Equal(json("[1.0, {\"c\": null}]")), true),
            // As doubles they would be the same.
            ("/id", Test::Greater(json("9007199254740992")), true),
            ("/id", Test::Equal(json("9007199254740992")), false),
            ("/name", Test::Greater(json("\"z\"")), true),
            ("", Test::Exists, true),
        ] {
            assert_eq!(holds(result, pointer, test.clone()), expected, "{pointer} {test:?}");
        }
    }

    #[test]
    fn text_is_a_string_and_what_can_not_be_read_is_no_value() {
        assert_eq!(value_of(&Payload::text("yes")), Some(Value::String("yes".into())));
        let bytes = Payload { content: Content::Binary(Arc::from(*b"1")), ..Payload::default() };
        assert_eq!(value_of(&bytes), None);
        assert!(holds("{", "", Test::NotExists));
        assert!(!holds("{", "", Test::NotEqual(json("1"))));
    }

    #[test]
    fn a_row_keeps_every_digit() {
        let condition = Condition::Result(Arc::new(ResultCondition {
            pointer: "/x".into(),
            test: Test::Equal(json("1.000000000000000000000000000001")),
        }));
        let row = serde_json::to_string(&condition).expect("a row");
        assert_eq!(row, r#"{"result":{"pointer":"/x","test":"equal","value":"1.000000000000000000000000000001"}}"#);
        assert_eq!(serde_json::from_str::<Condition>(&row).expect("a condition"), condition);
    }
}
