//! Configurations for tests, written as JSON.

use serde_json::{Value as Json, json};
use tfplugin::value::Value;

use super::schema::schema;
use crate::resource::samples;

pub(crate) use crate::resource::samples::{UNKNOWN_VALUE, change, known_part, many_tags, unknowns};

/// A small good configuration.
pub(crate) fn small() -> Json {
    json!({
        "name": "realtime",
        "subnet_ids": ["subnet-0a", "subnet-0b"],
        "client_cidr_blocks": ["198.51.100.0/24"],
    })
}

/// The configuration as it comes from core: every attribute there, sets in order.
pub(crate) fn configuration(json: &Json) -> Value {
    samples::configuration(schema(), json)
}
