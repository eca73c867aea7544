//! What a JSON Schema says of a value, without how a library says it: so that the schemas of four languages can be compared.

use serde_json::{Map, Value, json};

/// More than any schema of a scenario has; a schema may refer to itself.
const DEEPEST: usize = 16;

/// The shape of a schema: `"string"`, `"integer"`, …; `{"list": shape}`; `{"fields": {name: shape}, "required": [names, sorted]}`;
/// `{"or_null": shape}`. Titles, descriptions, limits and formats are left out.
///
/// # Errors
///
/// When the schema says it otherwise than this knows.
pub fn of(schema: &Value) -> Result<Value, String> {
    inner(schema, schema, 0)
}

fn inner(schema: &Value, root: &Value, depth: usize) -> Result<Value, String> {
    if depth > DEEPEST {
        return Err("the schema is too deep".to_owned());
    }
    if let Some(path) = schema["$ref"].as_str() {
        let found = path.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return inner(found.ok_or_else(|| format!("there is no {path}"))?, root, depth + 1);
    }
    if let Some(kinds) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
        return or_null(kinds.iter().filter(|kind| kind["type"] != "null"), kinds.len(), root, depth);
    }
    if let Some(names) = schema["type"].as_array() {
        let others =
            names.iter().filter(|name| *name != "null").map(|name| with_type(schema, name)).collect::<Vec<_>>();
        return or_null(others.iter(), names.len(), root, depth);
    }
    match schema["type"].as_str() {
        Some("object") => object(schema, root, depth),
        Some("array") => Ok(json!({ "list": inner(&schema["items"], root, depth + 1)? })),
        Some(name) => Ok(name.into()),
        None => Err(format!("{schema} has no type")),
    }
}

/// One kind, which may be null when there was another.
fn or_null<'s>(
    mut others: impl Iterator<Item = &'s Value>,
    count: usize,
    root: &Value,
    depth: usize,
) -> Result<Value, String> {
    match (others.next(), others.next(), count) {
        (Some(one), None, 1) => inner(one, root, depth + 1),
        (Some(one), None, 2) => Ok(json!({ "or_null": inner(one, root, depth + 1)? })),
        _ => Err("a choice of other things than one and null".to_owned()),
    }
}

fn with_type(schema: &Value, name: &Value) -> Value {
    let mut one = schema.clone();
    one["type"] = name.clone();
    one
}

fn object(schema: &Value, root: &Value, depth: usize) -> Result<Value, String> {
    let mut fields = Map::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        fields.insert(name.clone(), inner(field, root, depth + 1)?);
    }
    let mut required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    required.sort_unstable();
    Ok(json!({ "fields": fields, "required": required }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libraries_say_in_their_own_ways_is_the_same() {
        let schemars = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Order", "type": "object",
            "properties": { "to": { "$ref": "#/$defs/Place" }, "note": { "type": ["string", "null"] } },
            "required": ["to"],
            "$defs": { "Place": { "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] } },
        });
        let pydantic = json!({
            "type": "object", "required": ["to"],
            "properties": {
                "to": { "title": "Place", "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] },
                "note": { "anyOf": [{ "type": "string" }, { "type": "null" }], "default": null },
            },
        });
        let place = json!({ "fields": { "city": "string" }, "required": ["city"] });
        let shape = json!({ "fields": { "to": place, "note": { "or_null": "string" } }, "required": ["to"] });
        assert_eq!((of(&schemars), of(&pydantic)), (Ok(shape.clone()), Ok(shape)));
    }

    #[test]
    fn what_is_not_known_is_an_error_and_not_a_guess() {
        assert!(of(&json!({})).is_err());
        assert!(of(&json!({ "anyOf": [{ "type": "string" }, { "type": "integer" }] })).is_err());
        assert!(of(&json!({ "$ref": "#" })).is_err());
        assert_eq!(of(&json!({ "type": "array", "items": { "type": "integer" } })), Ok(json!({ "list": "integer" })));
    }
}
