//! The rules that core has for a schema. Current Terraform does not report a schema that breaks them; OpenTofu
//! and older Terraform refuse the whole provider.

use std::collections::BTreeSet;

use super::check::validate_attribute;
use super::{Attribute, Kind, Mode, Nesting, Schema, Type};
use crate::codec;
use crate::diagnostics::Diagnostics;
use crate::path::Path;

impl Schema {
    /// The rules this schema breaks, each with the attribute that does. For a unit test of the provider:
    /// nothing in here depends on a configuration.
    pub fn check_rules(&self) -> Vec<String> {
        let mut broken = Vec::new();
        check_attributes(&self.attributes, &Path::root(), Surroundings::default(), &mut broken);
        broken
    }

    /// The rules this schema breaks when it is the schema of an identity, which has more of them.
    pub fn check_identity_rules(&self) -> Vec<String> {
        let mut broken = self.check_rules();
        for attribute in &self.attributes {
            let simple = match attribute.r#type() {
                Type::List(element) => is_primitive(&element),
                other => is_primitive(&other),
            };
            if !simple {
                broken.push(format!(
                    "{}: an identity holds only strings, numbers, bools and lists of them",
                    attribute.name
                ));
            }
            if !matches!(attribute.mode, Mode::Required | Mode::Optional) {
                broken.push(format!("{}: is required or optional for an import, never computed", attribute.name));
            }
        }
        broken
    }
}

fn is_primitive(r#type: &Type) -> bool {
    matches!(r#type, Type::String | Type::Number | Type::Bool)
}

/// What an attribute is nested in.
#[derive(Clone, Copy, Default)]
struct Surroundings {
    computed: bool,
    collection: bool,
}

fn check_attributes(attributes: &[Attribute], path: &Path, around: Surroundings, broken: &mut Vec<String>) {
    let mut seen = BTreeSet::new();
    for attribute in attributes {
        let path = path.attribute(attribute.name);
        if !is_name(attribute.name) {
            broken.push(format!(
                "{path}: a name has only lower-case letters, digits and underscores, and starts with no digit"
            ));
        }
        if !seen.insert(attribute.name) {
            broken.push(format!("{path}: is there twice"));
        }
        if around.computed && attribute.mode != Mode::Computed {
            broken.push(format!("{path}: must be computed, as what it is nested in is"));
        }
        check_default(attribute, &path, broken);
        match &attribute.kind {
            Kind::Plain(r#type) if has_dynamic(r#type, around.collection) => {
                broken.push(format!("{path}: a dynamic value cannot be an element of a collection, nor inside one"));
            }
            Kind::Plain(_) => {}
            Kind::Nested(nesting, attributes) => {
                let around = Surroundings {
                    computed: attribute.mode == Mode::Computed,
                    collection: around.collection || *nesting != Nesting::Single,
                };
                check_attributes(attributes, &path, around, broken);
            }
        }
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|letter: char| letter.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Terraform must allow the provider to give a value where the user gave none, and the value must be one the
/// user could have given.
fn check_default(attribute: &Attribute, path: &Path, broken: &mut Vec<String>) {
    let Some(default) = &attribute.default else { return };
    if attribute.mode != Mode::OptionalComputed {
        broken.push(format!("{path}: has a default, so it must be optional and computed"));
    }
    if !default.is_wholly_known() {
        broken.push(format!("{path}: its default is unknown"));
    }
    if let Err(error) = codec::encode_msgpack(default, &attribute.r#type()) {
        broken.push(format!("{path}: its default is not of its type: {error}"));
    }
    let mut found = Diagnostics::new();
    validate_attribute(attribute, default, path, &mut found);
    broken.extend(
        found.into_iter().map(|found| format!("{}: its default fails its check: {}", found.path, found.detail)),
    );
}

fn has_dynamic(r#type: &Type, in_collection: bool) -> bool {
    match r#type {
        Type::Dynamic => in_collection,
        Type::Bool | Type::Number | Type::String => false,
        Type::List(element) | Type::Set(element) | Type::Map(element) => has_dynamic(element, true),
        Type::Object(types) => types.values().any(|r#type| has_dynamic(r#type, in_collection)),
        Type::Tuple(types) => types.iter().any(|r#type| has_dynamic(r#type, in_collection)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(attributes: Vec<Attribute>) -> Vec<String> {
        Schema::new("", attributes).check_rules()
    }

    #[test]
    fn a_schema_that_keeps_the_rules_breaks_none() {
        let attributes = vec![
            Attribute::string("name").required(),
            Attribute::plain("anything", Type::Dynamic),
            Attribute::number("port").default(443).range(1, 65535),
            Attribute::object("health", vec![Attribute::string("path").default("/")]).optional_computed(),
            Attribute::object_list("made", vec![Attribute::string("_arn2").computed()]).computed(),
        ];
        assert_eq!(broken(attributes), Vec::<String>::new());
    }

    #[test]
    fn each_rule_names_the_attribute_that_breaks_it() {
        let cases = [
            (Attribute::string("Name"), "Name: a name has"),
            (Attribute::string("2nd"), "2nd: a name has"),
            (Attribute::string(""), ": a name has"),
            (Attribute::object("o", vec![Attribute::bool("a"), Attribute::bool("a")]), "o.a: is there twice"),
            (Attribute::plain("s", Type::Set(Box::new(Type::Dynamic))), "s: a dynamic value"),
            (Attribute::object_list("l", vec![Attribute::plain("d", Type::Dynamic)]), "l.d: a dynamic value"),
            (Attribute::object("o", vec![Attribute::bool("a")]).computed(), "o.a: must be computed"),
            (Attribute::number("n").default(1).required(), "n: has a default"),
            (Attribute::number("n").default("x"), "n: its default is not of its type"),
            (Attribute::number("n").default(9).range(1, 5), "n: its default fails its check"),
            (Attribute::string("s").default(crate::value::Value::Unknown), "s: its default is unknown"),
        ];
        for (attribute, rule) in cases {
            let found = broken(vec![attribute]);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].starts_with(rule), "{found:?}");
        }
        assert_eq!(broken(vec![Attribute::bool("a"), Attribute::bool("a")]), ["a: is there twice"]);
    }

    #[test]
    fn an_identity_holds_only_primitives_and_lists_of_them() {
        let identity = Schema::new("", vec![Attribute::string("arn").required(), Attribute::string_list("zones")]);
        assert_eq!(identity.check_identity_rules(), Vec::<String>::new());
        for attribute in [Attribute::string_map("tags"), Attribute::string("arn").computed()] {
            assert_eq!(Schema::new("", vec![attribute]).check_identity_rules().len(), 1);
        }
    }
}
