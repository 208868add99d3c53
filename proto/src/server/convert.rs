//! Our values, schemas and messages to and from the generated wire types.

use serde_json::Value as Json;

use crate::codec::{self, CodecError};
use crate::diagnostics::{Diagnostic, Diagnostics, Severity};
use crate::log;
use crate::path::{Path, PathStep};
use crate::provider::Function;
use crate::schema::{Attribute, Kind, Mode, Nesting, Schema, Type};
use crate::value::Value;
use crate::wire;

/// Reads a value that core sent; one that it did not send is null. `what` names it in an error.
pub(super) fn decode(value: Option<&wire::DynamicValue>, r#type: &Type, what: &str) -> Result<Value, Diagnostics> {
    let decoded = match value {
        Some(value) if !value.msgpack.is_empty() => codec::decode_msgpack(&value.msgpack, r#type),
        Some(value) if !value.json.is_empty() => {
            let json: Json =
                serde_json::from_slice(&value.json).map_err(|error| unreadable(what, &error.to_string()))?;
            codec::decode_json(&json, r#type)
        }
        _ => return Ok(Value::Null),
    };
    decoded.map_err(|error| unreadable(what, &error.to_string()))
}

/// Reads an object that core sent; one that it did not send, or that is null, is `None`.
pub(super) fn decode_object(
    value: Option<&wire::DynamicValue>,
    r#type: &Type,
    what: &str,
) -> Result<Option<Value>, Diagnostics> {
    let value = decode(value, r#type, what)?;
    Ok((!value.is_null()).then_some(value))
}

/// Reads the JSON of a state file.
pub(super) fn stored_json(state: Option<&wire::RawState>, what: &str) -> Result<Json, Diagnostics> {
    match state {
        Some(state) if !state.json.is_empty() => {
            serde_json::from_slice(&state.json).map_err(|error| unreadable(what, &error.to_string()))
        }
        Some(state) if !state.flatmap.is_empty() => {
            Err(unreadable(what, "it was written by Terraform 0.11 or older, before this provider existed"))
        }
        _ => Err(unreadable(what, "it is empty")),
    }
}

/// Reads a value out of the JSON of a state file.
pub(super) fn decode_stored(json: &Json, r#type: &Type, what: &str) -> Result<Value, Diagnostics> {
    codec::decode_json(json, r#type).map_err(|error| unreadable(what, &error.to_string()))
}

fn unreadable(what: &str, why: &str) -> Diagnostics {
    Diagnostics::of_error(
        format!("Cannot read the {what}"),
        format!("The provider does not understand the {what} that it was sent: {why}."),
    )
}

/// Writes a value.
pub(super) fn encode(value: &Value, r#type: &Type) -> Result<wire::DynamicValue, Diagnostics> {
    match codec::encode_msgpack(value, r#type) {
        Ok(msgpack) => Ok(dynamic_value(msgpack)),
        Err(error) => {
            let mut diagnostics = Diagnostics::new();
            report_misfit(&error, &mut diagnostics);
            Err(diagnostics)
        }
    }
}

/// Writes what fits of a value, and reports the rest.
pub(super) fn encode_salvaging(value: &Value, r#type: &Type, diagnostics: &mut Diagnostics) -> wire::DynamicValue {
    let (msgpack, errors) = codec::salvage_msgpack(value, r#type);
    for error in &errors {
        report_misfit(error, diagnostics);
    }
    dynamic_value(msgpack)
}

fn dynamic_value(msgpack: Vec<u8>) -> wire::DynamicValue {
    wire::DynamicValue { msgpack, json: Vec::new() }
}

fn report_misfit(error: &CodecError, diagnostics: &mut Diagnostics) {
    diagnostics.error_at(
        error.path(),
        "The provider answered with a wrong value",
        format!("{error}. This is a bug in the provider; please report it."),
    );
}

pub(super) fn diagnostics(diagnostics: Diagnostics) -> Vec<wire::Diagnostic> {
    diagnostics.into_iter().map(diagnostic).collect()
}

fn diagnostic(diagnostic: Diagnostic) -> wire::Diagnostic {
    let severity = match diagnostic.severity {
        Severity::Error => wire::diagnostic::Severity::Error,
        Severity::Warning => wire::diagnostic::Severity::Warning,
    };
    wire::Diagnostic {
        severity: severity.into(),
        // A service's words may repeat a request, token included.
        summary: log::redact(&diagnostic.summary).into_owned(),
        detail: log::redact(&diagnostic.detail).into_owned(),
        attribute: (!diagnostic.path.is_root()).then(|| path(&diagnostic.path)),
    }
}

pub(super) fn path(path: &Path) -> wire::AttributePath {
    use wire::attribute_path::Step;
    use wire::attribute_path::step::Selector;

    let selectors = path.steps().iter().map(|step| match step {
        PathStep::Attribute(name) => Selector::AttributeName(name.clone()),
        PathStep::Key(key) => Selector::ElementKeyString(key.clone()),
        PathStep::Index(index) => Selector::ElementKeyInt(*index),
    });
    wire::AttributePath { steps: selectors.map(|selector| Step { selector: Some(selector) }).collect() }
}

pub(super) fn schema(schema: &Schema) -> wire::Schema {
    wire::Schema {
        version: schema.version,
        block: Some(wire::schema::Block {
            version: schema.version,
            attributes: schema.attributes.iter().map(attribute).collect(),
            description: schema.description.clone(),
            description_kind: wire::StringKind::Markdown.into(),
            ..Default::default()
        }),
    }
}

fn attribute(attribute: &Attribute) -> wire::schema::Attribute {
    // One of the two, never both: OpenTofu and older Terraform refuse a schema that gives the type twice.
    let (r#type, nested_type) = match &attribute.kind {
        Kind::Plain(r#type) => (codec::type_to_json(r#type), None),
        Kind::Nested(nesting, attributes) => (Vec::new(), Some(nested(*nesting, attributes))),
    };
    wire::schema::Attribute {
        name: attribute.name.to_owned(),
        r#type,
        nested_type,
        description: attribute.documentation(),
        description_kind: wire::StringKind::Markdown.into(),
        required: attribute.mode == Mode::Required,
        optional: matches!(attribute.mode, Mode::Optional | Mode::OptionalComputed),
        computed: matches!(attribute.mode, Mode::Computed | Mode::OptionalComputed),
        sensitive: attribute.sensitive,
        ..Default::default()
    }
}

fn nested(nesting: Nesting, attributes: &[Attribute]) -> wire::schema::Object {
    use wire::schema::object::NestingMode;

    let nesting = match nesting {
        Nesting::Single => NestingMode::Single,
        Nesting::List => NestingMode::List,
    };
    wire::schema::Object { attributes: attributes.iter().map(attribute).collect(), nesting: nesting.into() }
}

pub(super) fn identity_schema(schema: &Schema) -> wire::ResourceIdentitySchema {
    let attributes = schema.attributes.iter().map(|attribute| wire::resource_identity_schema::IdentityAttribute {
        name: attribute.name.to_owned(),
        r#type: codec::type_to_json(&attribute.r#type()),
        required_for_import: attribute.mode == Mode::Required,
        optional_for_import: attribute.mode != Mode::Required,
        description: attribute.description.clone(),
    });
    wire::ResourceIdentitySchema { version: schema.version, identity_attributes: attributes.collect() }
}

pub(super) fn function(function: &dyn Function) -> wire::Function {
    let parameters = function.parameters().iter().map(|parameter| wire::function::Parameter {
        name: parameter.name.to_owned(),
        r#type: codec::type_to_json(&parameter.r#type),
        description: parameter.description.to_owned(),
        description_kind: wire::StringKind::Markdown.into(),
        ..Default::default()
    });
    wire::Function {
        parameters: parameters.collect(),
        r#return: Some(wire::function::Return { r#type: codec::type_to_json(&function.result()) }),
        summary: function.summary().to_owned(),
        description: function.description().to_owned(),
        description_kind: wire::StringKind::Markdown.into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attribute_has_a_type_or_a_nested_type_never_both() {
        let nested = Attribute::object_list("targets", vec![Attribute::string_set("zones").computed()]);
        let schema = schema(&Schema::new("", vec![nested, Attribute::number("port").required()]));
        let attributes = schema.block.map(|block| block.attributes).unwrap_or_default();
        let [targets, port] = attributes.as_slice() else { unreachable!("two attributes went in") };
        assert!(targets.r#type.is_empty());
        let inner = targets.nested_type.as_ref().map(|object| object.attributes.as_slice()).unwrap_or_default();
        assert_eq!(inner[0].r#type, br#"["set","string"]"#);
        assert_eq!(port.r#type, br#""number""#);
        assert!(port.nested_type.is_none());
    }

    #[test]
    fn each_mode_sets_the_flags_core_wants() {
        let flags = |wanted: Attribute| {
            let sent = attribute(&wanted);
            (sent.required, sent.optional, sent.computed)
        };
        assert_eq!(flags(Attribute::bool("a").required()), (true, false, false));
        assert_eq!(flags(Attribute::bool("a")), (false, true, false));
        assert_eq!(flags(Attribute::bool("a").computed()), (false, false, true));
        assert_eq!(flags(Attribute::bool("a").default(true)), (false, true, true));
    }

    #[test]
    fn a_secret_is_in_no_message() {
        log::add_secret("secret-of-a-diagnostic");
        let told = diagnostics(Diagnostics::of_error(
            "No secret-of-a-diagnostic",
            "x-amz-security-token:secret-of-a-diagnostic, it said",
        ));
        assert_eq!(
            (told[0].summary.as_str(), told[0].detail.as_str()),
            ("No ***", "x-amz-security-token:***, it said")
        );
    }

    #[test]
    fn a_value_is_read_from_msgpack_or_json_and_is_null_when_there_is_neither() {
        let read = |msgpack: &[u8], json: &[u8]| {
            let value = wire::DynamicValue { msgpack: msgpack.to_vec(), json: json.to_vec() };
            decode(Some(&value), &Type::String, "value")
        };
        assert_eq!(read(b"\xa1x", b""), Ok("x".into()));
        assert_eq!(read(b"", b"\"x\""), Ok("x".into()));
        assert_eq!(read(b"", b""), Ok(Value::Null));
        assert_eq!(decode(None, &Type::String, "value"), Ok(Value::Null));
        assert!(read(b"\xc3", b"").is_err());
        assert!(read(b"", b"{").is_err());
    }
}
