//! The JSON Schemas that an agent lists of what it handles: given, or else those of its handlers' types.

use std::collections::HashMap;

use callboard_proto::v1::TaskHandler;

/// A server refuses an agent that lists a larger one.
const MAX_SCHEMA_BYTES: usize = 64 << 10;

/// The schemas of what a handler takes and gives.
#[cfg(feature = "schemars")]
pub(super) fn of_types<I: schemars::JsonSchema, O: schemars::JsonSchema>(task_type: &str) -> TaskHandler {
    use schemars::generate::SchemaSettings;

    let input = SchemaSettings::draft2020_12().for_deserialize().into_generator().into_root_schema_for::<I>();
    let output = SchemaSettings::draft2020_12().for_serialize().into_generator().into_root_schema_for::<O>();
    TaskHandler {
        r#type: task_type.to_owned(),
        input_schema: input.as_value().to_string(),
        output_schema: output.as_value().to_string(),
        ..TaskHandler::default()
    }
}

/// Schemas that are not given are those of the types, by task type. What is too large is left out.
pub(super) fn complete(handles: &mut [TaskHandler], mut of_types: HashMap<String, TaskHandler>) {
    for handler in handles {
        let known = of_types.remove(&handler.r#type).unwrap_or_default();
        let task_type = handler.r#type.as_str();
        for (what, given, known) in [
            ("input_schema", &mut handler.input_schema, known.input_schema),
            ("output_schema", &mut handler.output_schema, known.output_schema),
        ] {
            if given.is_empty() {
                *given = known;
            }
            if given.len() > MAX_SCHEMA_BYTES {
                tracing::warn!(
                    task_type,
                    bytes = given.len(),
                    most = MAX_SCHEMA_BYTES,
                    "{what} is too large: left out"
                );
                given.clear();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handler(input: &str, output: &str) -> TaskHandler {
        TaskHandler {
            r#type: "t".into(),
            input_schema: input.into(),
            output_schema: output.into(),
            ..TaskHandler::default()
        }
    }

    fn completed(given: TaskHandler, of_types: TaskHandler) -> TaskHandler {
        let mut handles = [given];
        complete(&mut handles, HashMap::from([("t".to_owned(), of_types)]));
        handles[0].clone()
    }

    #[test]
    fn given_ones_win() {
        assert_eq!(completed(handler("", ""), handler("i", "o")), handler("i", "o"));
        assert_eq!(completed(handler("mine", ""), handler("i", "o")), handler("mine", "o"));
        assert_eq!(completed(handler("", "mine"), handler("i", "o")), handler("i", "mine"));
    }

    #[test]
    fn too_large_ones_are_left_out() {
        let largest = "s".repeat(MAX_SCHEMA_BYTES);
        let larger = "s".repeat(MAX_SCHEMA_BYTES + 1);
        assert_eq!(completed(handler("", ""), handler(&larger, &largest)), handler("", &largest));
        assert_eq!(completed(handler(&largest, &larger), handler("i", "o")), handler(&largest, ""));
    }
}

#[cfg(test)]
#[cfg(feature = "schemars")]
mod type_tests;
