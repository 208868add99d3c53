//! Configurations for tests, written as JSON.

use serde_json::{Value as Json, json};
use tfplugin::value::Value;

use super::schema::schema;
use crate::resource::samples;

pub(crate) use crate::resource::samples::{UNKNOWN_VALUE, change, known_part, many_tags, unknowns};

/// A small good configuration with HTTPS.
pub(crate) fn https() -> Json {
    json!({
        "subnet_ids": ["subnet-0a", "subnet-0b"],
        "certificate_arn": "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012",
        "hostname": "codestream.example.com",
        "instance_ids": ["i-0123456789abcdef0"],
        "client_cidr_blocks": ["198.51.100.0/24"],
        "instance_cidr_blocks": ["203.0.113.7/32"],
    })
}

/// A small good configuration with HTTP.
pub(crate) fn http() -> Json {
    json!({
        "protocol": "HTTP",
        "subnet_ids": ["subnet-0a", "subnet-0b"],
        "instance_ids": ["i-0123456789abcdef0"],
        "client_cidr_blocks": ["198.51.100.0/24"],
    })
}

/// The configuration as it comes from core: every attribute there, sets in order.
pub(crate) fn configuration(json: &Json) -> Value {
    samples::configuration(schema(), json)
}
