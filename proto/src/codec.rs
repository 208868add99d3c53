//! The wire form of values and types: msgpack both ways, and JSON as states are stored. The type drives
//! both directions, since msgpack alone cannot tell a set from a list or a map from an object.

use std::collections::BTreeMap;
use std::fmt;

use rmpv::decode::read_value_with_max_depth;
use rmpv::encode::write_value;
use rmpv::{Utf8String, Value as Msgpack};
use serde_json::{Value as Json, json};

use crate::path::{Path, PathStep};
use crate::schema::Type;
use crate::value::{Number, Value};

/// How deep a message may nest, so that no message can exhaust the stack. A level of a value takes two.
/// Terraform's own types end at 128 levels, where its JSON parser stops.
const MAX_DEPTH: usize = 256;

/// The extension type of a value that is unknown, and of which nothing else is said.
const UNKNOWN: i8 = 0;

/// A value that does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecError {
    /// From the misfit outwards.
    steps: Vec<PathStep>,
    message: String,
}

impl CodecError {
    fn new(message: impl Into<String>) -> Self {
        Self { steps: Vec::new(), message: message.into() }
    }

    fn mismatch(r#type: &Type, found: &str) -> Self {
        Self::new(format!("expected {}, found {found}", noun(r#type)))
    }

    fn inside(mut self, step: PathStep) -> Self {
        self.steps.push(step);
        self
    }

    /// Where the misfit is.
    pub(crate) fn path(&self) -> Path {
        self.steps.iter().rev().fold(Path::root(), |path, step| match step {
            PathStep::Attribute(name) => path.attribute(name),
            PathStep::Key(key) => path.key(key),
            PathStep::Index(index) => path.index(usize::try_from(*index).unwrap_or(usize::MAX)),
        })
    }
}

/// `listeners[0].port: expected a number, found a string`
impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        if path.is_root() { f.write_str(&self.message) } else { write!(f, "{path}: {}", self.message) }
    }
}

impl std::error::Error for CodecError {}

/// Reads a value. Objects must have exactly the attributes of their type.
///
/// # Errors
///
/// When the bytes are no value of this type.
pub fn decode_msgpack(bytes: &[u8], r#type: &Type) -> Result<Value, CodecError> {
    let mut rest = bytes;
    let message = read_value_with_max_depth(&mut rest, MAX_DEPTH)
        .map_err(|error| CodecError::new(format!("broken msgpack: {error}")))?;
    if !rest.is_empty() {
        return Err(CodecError::new(format!("{} bytes too many after the value", rest.len())));
    }
    from_msgpack(message, r#type)
}

fn from_msgpack(message: Msgpack, r#type: &Type) -> Result<Value, CodecError> {
    match (message, r#type) {
        (Msgpack::Nil, _) => Ok(Value::Null),
        // Core may refine an unknown value with what is already known of it; no extension has another use.
        (Msgpack::Ext(..), _) => Ok(Value::Unknown),
        (Msgpack::Boolean(value), Type::Bool) => Ok(Value::Bool(value)),
        (Msgpack::String(value), Type::String) => Ok(Value::String(text(value)?)),
        (Msgpack::Integer(value), Type::Number) => number(&value.to_string()),
        (Msgpack::F32(value), Type::Number) => float(f64::from(value)),
        (Msgpack::F64(value), Type::Number) => float(value),
        (Msgpack::String(value), Type::Number) => number(&text(value)?),
        (Msgpack::Array(elements), Type::List(element)) => {
            let decoded = elements.into_iter().enumerate().map(|(index, value)| at_index(index, value, element));
            Ok(Value::List(decoded.collect::<Result<_, _>>()?))
        }
        (Msgpack::Array(elements), Type::Set(element)) => {
            let decoded = elements.into_iter().map(|value| from_msgpack(value, element));
            Ok(Value::set(decoded.collect::<Result<Vec<_>, _>>()?))
        }
        (Msgpack::Array(elements), Type::Tuple(types)) if elements.len() == types.len() => {
            let decoded = elements.into_iter().zip(types).enumerate();
            let decoded = decoded.map(|(index, (value, r#type))| at_index(index, value, r#type));
            Ok(Value::List(decoded.collect::<Result<_, _>>()?))
        }
        (Msgpack::Array(pair), Type::Dynamic) => dynamic(pair),
        (Msgpack::Map(entries), Type::Map(element)) => {
            Ok(Value::Map(decode_entries(entries, PathStep::Key, |_| Some(&**element))?))
        }
        (Msgpack::Map(entries), Type::Object(types)) => {
            let decoded = decode_entries(entries, PathStep::Attribute, |name| types.get(name))?;
            match types.keys().find(|name| !decoded.contains_key(*name)) {
                Some(missing) => Err(CodecError::new("is missing").inside(PathStep::Attribute(missing.clone()))),
                None => Ok(Value::Map(decoded)),
            }
        }
        (other, r#type) => Err(CodecError::mismatch(r#type, msgpack_noun(&other))),
    }
}

fn at_index(index: usize, message: Msgpack, r#type: &Type) -> Result<Value, CodecError> {
    from_msgpack(message, r#type).map_err(|error| error.inside(index_step(index)))
}

fn decode_entries<'t>(
    entries: Vec<(Msgpack, Msgpack)>,
    step: fn(String) -> PathStep,
    type_of: impl Fn(&str) -> Option<&'t Type>,
) -> Result<BTreeMap<String, Value>, CodecError> {
    let mut decoded = BTreeMap::new();
    for (key, message) in entries {
        let Msgpack::String(key) = key else {
            return Err(CodecError::new(format!("expected a string as key, found {}", msgpack_noun(&key))));
        };
        let key = text(key)?;
        let Some(r#type) = type_of(&key) else {
            return Err(CodecError::new("is not in the schema").inside(step(key)));
        };
        let value = from_msgpack(message, r#type).map_err(|error| error.inside(step(key.clone())))?;
        if decoded.insert(key.clone(), value).is_some() {
            return Err(CodecError::new("is there twice").inside(step(key)));
        }
    }
    Ok(decoded)
}

/// Reads a value that comes with its type.
fn dynamic(pair: Vec<Msgpack>) -> Result<Value, CodecError> {
    let [r#type, message] = <[Msgpack; 2]>::try_from(pair)
        .map_err(|_| CodecError::new("expected a pair of a type and a value, found another array"))?;
    let r#type = match &r#type {
        Msgpack::Binary(json) => type_from_json(json)?,
        Msgpack::String(json) => type_from_json(json.as_bytes())?,
        other => return Err(CodecError::new(format!("expected a type, found {}", msgpack_noun(other)))),
    };
    let value = from_msgpack(message, &r#type)?;
    Ok(Value::Dynamic(Box::new((r#type, value))))
}

fn text(text: Utf8String) -> Result<String, CodecError> {
    text.into_str().ok_or_else(|| CodecError::new("this string is not UTF-8"))
}

fn number(text: &str) -> Result<Value, CodecError> {
    Number::parse(text).map(Value::Number).ok_or_else(|| CodecError::new("expected a number, found another string"))
}

fn float(value: f64) -> Result<Value, CodecError> {
    if !value.is_finite() {
        return Err(CodecError::new("expected a finite number"));
    }
    // Core sends a float only for a number that is exactly that float, so what matters is not the shortest
    // spelling of it but its exact one. No float has more than 1074 decimal places.
    number(&format!("{value:.1074}"))
}

/// Writes a value, of every object all the attributes of its type: one that the value lacks is null.
///
/// # Errors
///
/// When the value is not of this type.
pub fn encode_msgpack(value: &Value, r#type: &Type) -> Result<Vec<u8>, CodecError> {
    let (bytes, errors) = salvage_msgpack(value, r#type);
    errors.into_iter().next().map_or(Ok(bytes), Err)
}

/// Writes what can be written of a value: what does not fit its type becomes null and an error. For the
/// state after an apply, of which one wrong attribute must not lose the rest.
pub(crate) fn salvage_msgpack(value: &Value, r#type: &Type) -> (Vec<u8>, Vec<CodecError>) {
    let mut errors = Vec::new();
    let message = to_msgpack(value, r#type, &mut errors);
    let mut bytes = Vec::new();
    if let Err(error) = write_value(&mut bytes, &message) {
        errors.push(CodecError::new(error.to_string()));
    }
    (bytes, errors)
}

fn to_msgpack(value: &Value, r#type: &Type, errors: &mut Vec<CodecError>) -> Msgpack {
    match (value, r#type) {
        (Value::Null, _) => Msgpack::Nil,
        (Value::Unknown, _) => Msgpack::Ext(UNKNOWN, vec![0]),
        (Value::Dynamic(typed), Type::Dynamic) => typed_pair(&typed.1, &typed.0, errors),
        (untyped, Type::Dynamic) => typed_pair(untyped, &inferred(untyped), errors),
        (Value::Bool(value), Type::Bool) => Msgpack::Boolean(*value),
        (Value::Number(value), Type::Number) => {
            value.as_i64().map_or_else(|| Msgpack::from(value.as_str()), Msgpack::from)
        }
        (Value::String(value), Type::String) => Msgpack::from(value.as_str()),
        (Value::List(elements), Type::List(element)) => Msgpack::Array(
            elements
                .iter()
                .enumerate()
                .map(|(index, value)| inside(value, element, errors, index_step(index)))
                .collect(),
        ),
        (Value::List(elements), Type::Set(element)) => {
            Msgpack::Array(elements.iter().map(|value| to_msgpack(value, element, errors)).collect())
        }
        (Value::List(elements), Type::Tuple(types)) if elements.len() == types.len() => {
            let encoded = elements.iter().zip(types).enumerate();
            Msgpack::Array(
                encoded.map(|(index, (value, r#type))| inside(value, r#type, errors, index_step(index))).collect(),
            )
        }
        (Value::Map(entries), Type::Map(element)) => {
            let encoded = entries.iter().map(|(key, value)| {
                (Msgpack::from(key.as_str()), inside(value, element, errors, PathStep::Key(key.clone())))
            });
            Msgpack::Map(encoded.collect())
        }
        (Value::Map(entries), Type::Object(types)) => {
            let extra = entries.keys().filter(|name| !types.contains_key(*name));
            errors.extend(
                extra.map(|name| CodecError::new("is not in the schema").inside(PathStep::Attribute(name.clone()))),
            );
            let encoded = types.iter().map(|(name, r#type)| {
                let encoded = inside(value.get(name), r#type, errors, PathStep::Attribute(name.clone()));
                (Msgpack::from(name.as_str()), encoded)
            });
            Msgpack::Map(encoded.collect())
        }
        (other, r#type) => {
            errors.push(CodecError::mismatch(r#type, value_noun(other)));
            Msgpack::Nil
        }
    }
}

fn inside(value: &Value, r#type: &Type, errors: &mut Vec<CodecError>, step: PathStep) -> Msgpack {
    let before = errors.len();
    let message = to_msgpack(value, r#type, errors);
    for error in errors.iter_mut().skip(before) {
        error.steps.push(step.clone());
    }
    message
}

fn typed_pair(value: &Value, r#type: &Type, errors: &mut Vec<CodecError>) -> Msgpack {
    Msgpack::Array(vec![Msgpack::Binary(type_to_json(r#type)), to_msgpack(value, r#type, errors)])
}

/// The type of a value that says none: a list or set is a tuple, a map is an object, since only those can
/// hold whatever it holds.
fn inferred(value: &Value) -> Type {
    match value {
        Value::Null | Value::Unknown | Value::Dynamic(_) => Type::Dynamic,
        Value::Bool(_) => Type::Bool,
        Value::Number(_) => Type::Number,
        Value::String(_) => Type::String,
        Value::List(elements) => Type::Tuple(elements.iter().map(inferred).collect()),
        Value::Map(entries) => {
            Type::Object(entries.iter().map(|(name, value)| (name.clone(), inferred(value))).collect())
        }
    }
}

/// Reads a value as a state file has it. Attributes that are not there are null, and those that are not in
/// the type are dropped: the state may have been written by another version of the provider.
pub(crate) fn decode_json(json: &Json, r#type: &Type) -> Result<Value, CodecError> {
    let element = |index: usize, json: &Json, r#type: &Type| {
        decode_json(json, r#type).map_err(|error| error.inside(index_step(index)))
    };
    match (json, r#type) {
        (Json::Null, _) => Ok(Value::Null),
        (Json::Bool(value), Type::Bool) => Ok(Value::Bool(*value)),
        (Json::String(value), Type::String) => Ok(Value::String(value.clone())),
        (Json::Number(value), Type::Number) => number(&value.to_string()),
        (Json::String(value), Type::Number) => number(value),
        (Json::Array(elements), Type::List(of)) => {
            let decoded = elements.iter().enumerate().map(|(index, json)| element(index, json, of));
            Ok(Value::List(decoded.collect::<Result<_, _>>()?))
        }
        (Json::Array(elements), Type::Set(of)) => {
            let decoded = elements.iter().map(|json| decode_json(json, of));
            Ok(Value::set(decoded.collect::<Result<Vec<_>, _>>()?))
        }
        (Json::Array(elements), Type::Tuple(types)) if elements.len() == types.len() => {
            let decoded = elements.iter().zip(types).enumerate();
            let decoded = decoded.map(|(index, (json, r#type))| element(index, json, r#type));
            Ok(Value::List(decoded.collect::<Result<_, _>>()?))
        }
        (Json::Object(entries), Type::Map(of)) => {
            let decoded = entries.iter().map(|(key, json)| json_entry(key, json, of, PathStep::Key));
            Ok(Value::Map(decoded.collect::<Result<_, _>>()?))
        }
        (Json::Object(entries), Type::Object(types)) => {
            let decoded = types.iter().map(|(name, r#type)| {
                json_entry(name, entries.get(name).unwrap_or(&Json::Null), r#type, PathStep::Attribute)
            });
            Ok(Value::Map(decoded.collect::<Result<_, _>>()?))
        }
        (Json::Object(entries), Type::Dynamic) => match (entries.get("type"), entries.get("value")) {
            (Some(r#type), Some(value)) => {
                let r#type = type_of_json(r#type)?;
                let value = decode_json(value, &r#type)?;
                Ok(Value::Dynamic(Box::new((r#type, value))))
            }
            _ => Err(CodecError::new("expected an object of a `type` and a `value`, found another object")),
        },
        (other, r#type) => Err(CodecError::mismatch(r#type, json_noun(other))),
    }
}

fn json_entry(
    key: &str,
    json: &Json,
    r#type: &Type,
    step: fn(String) -> PathStep,
) -> Result<(String, Value), CodecError> {
    let value = decode_json(json, r#type).map_err(|error| error.inside(step(key.to_owned())))?;
    Ok((key.to_owned(), value))
}

/// The JSON form of a type, in which schemas and dynamic values carry theirs: `["list","string"]`.
pub(crate) fn type_to_json(r#type: &Type) -> Vec<u8> {
    json_of_type(r#type).to_string().into_bytes()
}

fn json_of_type(r#type: &Type) -> Json {
    match r#type {
        Type::Bool => json!("bool"),
        Type::Number => json!("number"),
        Type::String => json!("string"),
        Type::Dynamic => json!("dynamic"),
        Type::List(element) => json!(["list", json_of_type(element)]),
        Type::Set(element) => json!(["set", json_of_type(element)]),
        Type::Map(element) => json!(["map", json_of_type(element)]),
        Type::Object(types) => {
            let types: BTreeMap<_, _> = types.iter().map(|(name, r#type)| (name, json_of_type(r#type))).collect();
            json!(["object", types])
        }
        Type::Tuple(types) => json!(["tuple", types.iter().map(json_of_type).collect::<Vec<_>>()]),
    }
}

/// Reads the JSON form of a type.
pub(crate) fn type_from_json(bytes: &[u8]) -> Result<Type, CodecError> {
    let json = serde_json::from_slice(bytes).map_err(|error| CodecError::new(format!("broken type: {error}")))?;
    type_of_json(&json)
}

fn type_of_json(json: &Json) -> Result<Type, CodecError> {
    let unknown = || CodecError::new(format!("`{json}` is not a type"));
    let parts = match json {
        Json::String(name) => {
            return match name.as_str() {
                "bool" => Ok(Type::Bool),
                "number" => Ok(Type::Number),
                "string" => Ok(Type::String),
                "dynamic" => Ok(Type::Dynamic),
                _ => Err(unknown()),
            };
        }
        Json::Array(parts) => parts.as_slice(),
        _ => return Err(unknown()),
    };
    match parts {
        [Json::String(kind), of] if kind == "list" => Ok(Type::List(Box::new(type_of_json(of)?))),
        [Json::String(kind), of] if kind == "set" => Ok(Type::Set(Box::new(type_of_json(of)?))),
        [Json::String(kind), of] if kind == "map" => Ok(Type::Map(Box::new(type_of_json(of)?))),
        [Json::String(kind), Json::Array(types)] if kind == "tuple" => {
            Ok(Type::Tuple(types.iter().map(type_of_json).collect::<Result<_, _>>()?))
        }
        // A third part names the optional attributes of a type constraint; a value has them all.
        [Json::String(kind), Json::Object(types), ..] if kind == "object" => {
            let types = types.iter().map(|(name, json)| Ok((name.clone(), type_of_json(json)?)));
            Ok(Type::Object(types.collect::<Result<_, CodecError>>()?))
        }
        _ => Err(unknown()),
    }
}

fn index_step(index: usize) -> PathStep {
    PathStep::Index(i64::try_from(index).unwrap_or(i64::MAX))
}

fn noun(r#type: &Type) -> &'static str {
    match r#type {
        Type::Bool => "a bool",
        Type::Number => "a number",
        Type::String => "a string",
        Type::Dynamic => "a value with its type",
        Type::List(_) => "a list",
        Type::Set(_) => "a set",
        Type::Map(_) => "a map",
        Type::Object(_) => "an object",
        Type::Tuple(_) => "a tuple of the right length",
    }
}

fn value_noun(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Unknown => "an unknown value",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Dynamic(_) => "a value with its type",
    }
}

fn msgpack_noun(message: &Msgpack) -> &'static str {
    match message {
        Msgpack::Nil => "null",
        Msgpack::Boolean(_) => "a bool",
        Msgpack::Integer(_) | Msgpack::F32(_) | Msgpack::F64(_) => "a number",
        Msgpack::String(_) => "a string",
        Msgpack::Binary(_) => "bytes",
        Msgpack::Array(_) => "an array",
        Msgpack::Map(_) => "a map",
        Msgpack::Ext(..) => "an unknown value",
    }
}

fn json_noun(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a bool",
        Json::Number(_) => "a number",
        Json::String(_) => "a string",
        Json::Array(_) => "an array",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests;
