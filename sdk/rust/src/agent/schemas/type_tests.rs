use callboard_proto::v1::TaskHandler;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::agent::builder::AgentBuilder;
use crate::{Agent, Context, TaskError};

/// Where to look.
#[derive(Deserialize, JsonSchema)]
struct Query {
    text: String,
    #[serde(default)]
    limit: u32,
}

#[derive(Serialize, JsonSchema)]
struct Found {
    pages: Vec<String>,
    #[serde(default)]
    complete: bool,
}

async fn find(_: Context, query: Query) -> Result<Found, TaskError> {
    Ok(Found { pages: vec![query.text], complete: query.limit == 0 })
}

fn builder() -> AgentBuilder {
    Agent::builder("t").handle_with_schemas("find", find)
}

fn listed(builder: AgentBuilder) -> TaskHandler {
    builder.plan().unwrap().profile.handles.remove(0)
}

fn parsed(schema: &str) -> Value {
    serde_json::from_str(schema).unwrap()
}

#[test]
fn they_say_what_is_taken_and_what_is_given() {
    let handler = listed(builder());
    assert_eq!(handler.r#type, "find");
    let input = parsed(&handler.input_schema);
    assert_eq!(input["description"], "Where to look.");
    assert_eq!(input["properties"]["text"], json!({ "type": "string" }));
    assert_eq!(input["required"], json!(["text"]), "what has a default need not be sent");
    let output = parsed(&handler.output_schema);
    assert_eq!(output["properties"]["pages"], json!({ "type": "array", "items": { "type": "string" } }));
    assert_eq!(output["required"], json!(["pages", "complete"]), "all of it is there");
}

#[test]
fn a_description_keeps_them_and_its_own_win() {
    let described = |input_schema: &str| TaskHandler {
        r#type: "find".into(),
        description: "Finds pages.".into(),
        input_schema: input_schema.into(),
        ..TaskHandler::default()
    };
    let of_types = listed(builder());
    for described_first in [true, false] {
        let both = |description| {
            listed(if described_first {
                Agent::builder("t").describe(description).handle_with_schemas("find", find)
            } else {
                builder().describe(description)
            })
        };
        let handler = both(described(""));
        assert_eq!(handler.description, "Finds pages.");
        assert_eq!(handler.input_schema, of_types.input_schema);
        let handler = both(described("true"));
        assert_eq!((handler.input_schema.as_str(), handler.output_schema), ("true", of_types.output_schema.clone()));
    }
}

#[test]
fn those_of_a_handler_that_was_replaced_are_gone() {
    let handler = listed(builder().handle("find", |_: Context, (): ()| async { Ok::<_, TaskError>(()) }));
    assert_eq!((handler.input_schema.as_str(), handler.output_schema.as_str()), ("", ""));
}
