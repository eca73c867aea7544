//! What scenarios say in JSON: values that are made, filled in, and compared.

use serde_json::{Map, Number, Value};

/// More than any scenario needs.
const MOST_ITEMS: u64 = 2000;

/// Fills in what a value leaves open: `"$name.path"` is looked up; `{"$times": N, "item": …}` is a list of so many, in which `#` stands
/// for the number, `{"$text": "é", "times": N}` a long text, `{"$json": "…"}` JSON whose digits are kept, `{"$join": […]}` texts put
/// together, `{"$flat": […]}` lists put together.
///
/// # Errors
///
/// What is not known, or not as it may be.
pub fn fill(value: &Value, look_up: &dyn Fn(&str) -> Option<Value>) -> Result<Value, String> {
    match value {
        Value::String(text) => match text.strip_prefix('$') {
            Some(path) => look_up(path).ok_or_else(|| format!("there is no `${path}`")),
            None => Ok(value.clone()),
        },
        Value::Array(items) => items.iter().map(|item| fill(item, look_up)).collect::<Result<_, _>>().map(Value::Array),
        Value::Object(fields) => fill_object(fields, look_up),
        _ => Ok(value.clone()),
    }
}

fn fill_object(fields: &Map<String, Value>, look_up: &dyn Fn(&str) -> Option<Value>) -> Result<Value, String> {
    let times = |count: &Value| match count.as_u64() {
        Some(count) => Ok(count),
        None => Err(format!("{count} is no number of times")),
    };
    if let (Some(count), Some(item)) = (fields.get("$times"), fields.get("item")) {
        let count = times(count)?.min(MOST_ITEMS);
        let items = (0..count).map(|number| fill(&numbered(item, number), look_up));
        return items.collect::<Result<_, _>>().map(Value::Array);
    }
    if let (Some(text), Some(count)) = (fields.get("$text"), fields.get("times")) {
        // YAML reads `y` as true.
        let text = text.as_str().ok_or_else(|| format!("$text is of a text, not of {text}"))?;
        return Ok(Value::String(text.repeat(times(count)?.min(4 << 20) as usize)));
    }
    if let Some(Value::String(text)) = fields.get("$json") {
        return serde_json::from_str(text).map_err(|error| format!("$json {text}: {error}"));
    }
    if let Some(parts) = fields.get("$join") {
        let text = |part: Value| part.as_str().map_or_else(|| part.to_string(), str::to_owned);
        return Ok(Value::String(list("$join", parts, look_up)?.into_iter().map(text).collect()));
    }
    if let Some(lists) = fields.get("$flat") {
        let lists = list("$flat", lists, look_up)?;
        return Ok(lists.iter().filter_map(Value::as_array).flatten().cloned().collect());
    }
    let filled = fields.iter().map(|(name, value)| Ok((name.clone(), fill(value, look_up)?)));
    filled.collect::<Result<Map<_, _>, String>>().map(Value::Object)
}

fn list(name: &str, value: &Value, look_up: &dyn Fn(&str) -> Option<Value>) -> Result<Vec<Value>, String> {
    match fill(value, look_up)? {
        Value::Array(items) => Ok(items),
        other => Err(format!("{name} is of a list, not of {}", short(&other))),
    }
}

fn numbered(item: &Value, number: u64) -> Value {
    match item {
        Value::String(text) if text == "#" => number.into(),
        Value::String(text) => text.replace('#', &number.to_string()).into(),
        Value::Array(items) => items.iter().map(|item| numbered(item, number)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), numbered(value, number))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// What a path leads to: `receipts.3.task_id`.
pub fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    path.split('.').filter(|part| !part.is_empty()).try_fold(value, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        _ => value.get(part),
    })
}

/// Whether a value is as expected: an object has the fields that are named, as they are said; a list has so many items; the rest is
/// equal. `{"$gte": n}`, `{"$lte": n}`, `{"$contains": "…"}`, `{"$not": …}`, `{"$len": n}`, `{"$any": […]}` ask for other things.
///
/// # Errors
///
/// Where it is otherwise.
pub fn matches(found: &Value, expected: &Value) -> Result<(), String> {
    if let Some(outcome) = special(found, expected) {
        return if outcome { Ok(()) } else { Err(format!("is {}, not {expected}", short(found))) };
    }
    match (found, expected) {
        (Value::Object(found), Value::Object(expected)) => {
            for (name, expected) in expected {
                let value = found.get(name).ok_or_else(|| format!("`{name}` is missing"))?;
                matches(value, expected).map_err(|fault| format!("`{name}` {fault}"))?;
            }
            Ok(())
        }
        (Value::Array(found), Value::Array(expected)) if found.len() == expected.len() => {
            for (number, (found, expected)) in found.iter().zip(expected).enumerate() {
                matches(found, expected).map_err(|fault| format!("item {number} {fault}"))?;
            }
            Ok(())
        }
        (Value::Number(found), Value::Number(expected)) if is_same(found, expected) => Ok(()),
        _ if found == expected => Ok(()),
        _ => Err(format!("is {}, not {}", short(found), short(expected))),
    }
}

/// Languages write 1.0 as `1.0` or as `1`. A whole number that no float holds must have all its digits.
fn is_same(found: &Number, expected: &Number) -> bool {
    const FLOATS_HOLD_ALL_BELOW: f64 = 9_007_199_254_740_992.0;
    let values = found.as_f64().zip(expected.as_f64());
    let is_near = values.is_some_and(|(found, expected)| found == expected);
    match (found.as_i128(), expected.as_i128()) {
        (Some(found), Some(expected)) => found == expected,
        (None, None) => is_near,
        _ => is_near && values.is_some_and(|(found, _)| found.abs() < FLOATS_HOLD_ALL_BELOW),
    }
}

fn special(found: &Value, expected: &Value) -> Option<bool> {
    let fields = expected.as_object().filter(|fields| fields.len() == 1)?;
    let (name, asked) = fields.iter().next()?;
    match name.as_str() {
        "$gte" => Some(found.as_f64()? >= asked.as_f64()?),
        "$lte" => Some(found.as_f64()? <= asked.as_f64()?),
        "$contains" => Some(match found {
            Value::Array(items) => items.iter().any(|item| matches(item, asked).is_ok()),
            _ => found.as_str()?.contains(asked.as_str()?),
        }),
        "$len" => {
            let length = found.as_array().map(Vec::len).or_else(|| found.as_str().map(str::len));
            Some(length? as u64 == asked.as_u64()?)
        }
        "$not" => Some(matches(found, asked).is_err()),
        "$any" => Some(asked.as_array()?.iter().any(|one| matches(found, one).is_ok())),
        _ => None,
    }
}

/// A value as it is shown: not all of what is long.
pub fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(400) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_left_open_is_filled_in() {
        let known = json!({ "t": { "receipts": [{ "task_id": "x" }] } });
        let look_up = |path: &str| at(&known, path).cloned();
        let value = json!({ "a": "$t.receipts.0.task_id", "b": { "$times": 2, "item": { "n": "#", "k": "k-#" } },
                            "c": { "$text": "ab", "times": 3 }, "d": { "$join": ["<", "$t.receipts.0.task_id", ">"] } });
        let filled = fill(&value, &look_up).unwrap();
        assert_eq!(
            filled,
            json!({ "a": "x", "b": [{ "n": 0, "k": "k-0" }, { "n": 1, "k": "k-1" }], "c": "ababab", "d": "<x>" })
        );
        assert!(fill(&json!("$u"), &look_up).is_err());
        let digits = fill(&json!({ "$json": "12345678901234567890123" }), &look_up).unwrap();
        assert_eq!(digits.to_string(), "12345678901234567890123");
        let lines = fill(&json!({ "$join": { "$times": 3, "item": "line #;" } }), &look_up).unwrap();
        assert_eq!(lines, json!("line 0;line 1;line 2;"));
        let flat = fill(&json!({ "$flat": { "$times": 2, "item": ["a", "#"] } }), &look_up).unwrap();
        assert_eq!(flat, json!(["a", 0, "a", 1]));
        assert!(fill(&json!({ "$flat": "a" }), &look_up).is_err());
    }

    #[test]
    fn an_expectation_says_what_is_otherwise() {
        let found = json!({ "state": "FAILED", "tags": ["a", "b"], "attempt": 2, "failure": { "type": "Boom" } });
        assert!(matches(&found, &json!({ "state": "FAILED", "failure": {} })).is_ok());
        assert!(matches(&found, &json!({ "attempt": { "$gte": 2 }, "tags": { "$contains": "b" } })).is_ok());
        assert!(matches(&found, &json!({ "attempt": { "$gte": 3 } })).is_err());
        assert!(matches(&found, &json!({ "tags": ["a"] })).is_err());
        let fault = matches(&found, &json!({ "failure": { "type": "Bang" } })).unwrap_err();
        assert_eq!(fault, "`failure` `type` is \"Boom\", not \"Bang\"");
        assert!(matches(&found, &json!({ "nothing": 1 })).is_err());
    }

    #[test]
    fn a_number_is_the_same_however_it_is_written_but_for_digits_that_a_float_loses() {
        let is_same = |found: &str, expected: &str| {
            let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            matches(&number(found), &number(expected)).is_ok()
        };
        assert!(is_same("1.0", "1") && is_same("0", "0.0") && is_same("0.5", "5e-1") && is_same("-3.0", "-3"));
        assert!(!is_same("1.5", "1") && !is_same("1", "2"));
        assert!(is_same("12345678901234567890", "12345678901234567890"));
        assert!(!is_same("12345678901234567000", "12345678901234567890"));
        assert!(!is_same("1.2345678901234567e19", "12345678901234567890"));
    }
}
