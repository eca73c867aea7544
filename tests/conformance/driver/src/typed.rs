//! The handler whose types say their schemas: see DRIVER.md.

use callboard::{Context, TaskError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize, JsonSchema)]
pub struct Order {
    item: String,
    count: i64,
    // Only its schema is looked at.
    #[serde(rename = "tags")]
    _tags: Vec<String>,
    to: Place,
    #[serde(rename = "note")]
    _note: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Place {
    city: String,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Bill {
    item: String,
    count: i64,
    city: String,
}

/// Makes the bill of an order.
pub async fn bill(_: Context, order: Order) -> Result<Bill, TaskError> {
    Ok(Bill { item: order.item, count: order.count, city: order.to.city })
}
