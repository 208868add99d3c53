//! Schemas: the one definition of every attribute, from which validation, defaults, the wire form and
//! the documentation are all derived.

mod check;
mod rules;

use std::collections::BTreeMap;

use crate::diagnostics::Diagnostics;
use crate::path::Path;
use crate::value::Value;

/// A type of the Terraform language.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Type {
    /// `bool`
    Bool,
    /// `number`
    Number,
    /// `string`
    String,
    /// Any type; the value carries its own.
    Dynamic,
    /// `list(...)`
    List(Box<Type>),
    /// `set(...)`
    Set(Box<Type>),
    /// `map(...)`
    Map(Box<Type>),
    /// `object({...})`
    Object(BTreeMap<String, Type>),
    /// `tuple([...])`
    Tuple(Vec<Type>),
}

impl Type {
    /// `list(string)`
    pub fn strings() -> Self {
        Self::List(Box::new(Self::String))
    }
}

/// How a nested attribute repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nesting {
    /// One object.
    Single,
    /// A list of objects.
    List,
}

/// What an attribute holds.
#[derive(Clone, Debug)]
pub enum Kind {
    /// A value of a plain type.
    Plain(Type),
    /// An object with attributes of its own.
    Nested(Nesting, Vec<Attribute>),
}

/// Who gives an attribute its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The user must.
    Required,
    /// The user may.
    Optional,
    /// The provider does.
    Computed,
    /// The user may; else the provider does.
    OptionalComputed,
}

/// What a value must satisfy. Each check is also the sentence that documents it.
#[derive(Clone, Debug)]
pub enum Check {
    /// One of these strings.
    OneOf(&'static [&'static str]),
    /// A whole number in this range, both ends included.
    Range(i64, i64),
    /// A string with this many characters, both ends included.
    Length(usize, usize),
    /// A string with a form that words describe: the description for the documentation, and the test, which
    /// answers what is wrong and, where it can, the corrected value.
    Form(&'static str, fn(&str) -> Result<(), String>),
    /// Every element of a collection satisfies this.
    Each(Box<Check>),
}

/// One attribute.
#[derive(Clone, Debug)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Who gives it its value.
    pub mode: Mode,
    /// What it is, in Markdown.
    pub description: String,
    /// Whether core must hide it.
    pub sensitive: bool,
    /// The value when the configuration gives none; resolved at plan time.
    pub default: Option<Value>,
    /// What a given value must satisfy.
    pub checks: Vec<Check>,
}

/// The attributes of a provider, resource, data source or identity.
#[derive(Clone, Debug)]
pub struct Schema {
    /// Raised when a state of an older form needs upgrading.
    pub version: i64,
    /// What it is, in Markdown.
    pub description: String,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
}

impl Attribute {
    fn new(name: &'static str, kind: Kind) -> Self {
        Self {
            name,
            kind,
            mode: Mode::Optional,
            description: String::new(),
            sensitive: false,
            default: None,
            checks: Vec::new(),
        }
    }

    /// An attribute of a plain type.
    pub fn plain(name: &'static str, r#type: Type) -> Self {
        Self::new(name, Kind::Plain(r#type))
    }

    /// A string.
    pub fn string(name: &'static str) -> Self {
        Self::plain(name, Type::String)
    }

    /// A number.
    pub fn number(name: &'static str) -> Self {
        Self::plain(name, Type::Number)
    }

    /// A boolean.
    pub fn bool(name: &'static str) -> Self {
        Self::plain(name, Type::Bool)
    }

    /// A set of strings.
    pub fn string_set(name: &'static str) -> Self {
        Self::plain(name, Type::Set(Box::new(Type::String)))
    }

    /// A list of strings.
    pub fn string_list(name: &'static str) -> Self {
        Self::plain(name, Type::strings())
    }

    /// A map of strings.
    pub fn string_map(name: &'static str) -> Self {
        Self::plain(name, Type::Map(Box::new(Type::String)))
    }

    /// One nested object.
    pub fn object(name: &'static str, attributes: Vec<Attribute>) -> Self {
        Self::new(name, Kind::Nested(Nesting::Single, attributes))
    }

    /// A list of nested objects.
    pub fn object_list(name: &'static str, attributes: Vec<Attribute>) -> Self {
        Self::new(name, Kind::Nested(Nesting::List, attributes))
    }

    /// The user must give it.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.mode = Mode::Required;
        self
    }

    /// Only the provider gives it.
    #[must_use]
    pub fn computed(mut self) -> Self {
        self.mode = Mode::Computed;
        self
    }

    /// The user may give it, else the provider does.
    #[must_use]
    pub fn optional_computed(mut self) -> Self {
        self.mode = Mode::OptionalComputed;
        self
    }

    /// Gives it a default, and with it the mode that Terraform wants of an attribute with one.
    #[must_use]
    pub fn default(mut self, value: impl Into<Value>) -> Self {
        self.default = Some(value.into());
        self.optional_computed()
    }

    /// Documents it, in Markdown.
    #[must_use]
    pub fn describe(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// Hides it in what core shows.
    #[must_use]
    pub fn sensitive(mut self) -> Self {
        self.sensitive = true;
        self
    }

    /// Adds a check.
    #[must_use]
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// Allows only these strings.
    #[must_use]
    pub fn one_of(self, allowed: &'static [&'static str]) -> Self {
        self.check(Check::OneOf(allowed))
    }

    /// Allows only whole numbers in this range, both ends included.
    #[must_use]
    pub fn range(self, min: i64, max: i64) -> Self {
        self.check(Check::Range(min, max))
    }

    /// The plain type of its values.
    pub fn r#type(&self) -> Type {
        match &self.kind {
            Kind::Plain(r#type) => r#type.clone(),
            Kind::Nested(nesting, attributes) => {
                let object = object_type(attributes);
                match nesting {
                    Nesting::Single => object,
                    Nesting::List => Type::List(Box::new(object)),
                }
            }
        }
    }

    /// What users are told of it: the description, then the default and what a value must satisfy, unless the
    /// description has explained every allowed value.
    pub fn documentation(&self) -> String {
        let mut sentences: Vec<String> = Vec::new();
        sentences.extend((!self.description.is_empty()).then(|| self.description.clone()));
        let default = match &self.default {
            Some(Value::Bool(value)) => Some(format!("`{value}`")),
            Some(Value::Number(value)) => Some(format!("`{value}`")),
            Some(Value::String(value)) => Some(format!("`{value:?}`")),
            _ => None,
        };
        sentences.extend(default.map(|default| format!("Default: {default}.")));
        let explained = |value: &&str| self.description.contains(&format!("`{value}`"));
        let rules = self.checks.iter().filter(|check| match check {
            Check::OneOf(allowed) => !allowed.iter().all(explained),
            _ => true,
        });
        sentences.extend(rules.map(Check::describe));
        sentences.join(" ")
    }

    /// The attributes of a nested attribute; none of a plain one.
    pub fn nested(&self) -> &[Attribute] {
        match &self.kind {
            Kind::Plain(_) => &[],
            Kind::Nested(_, attributes) => attributes,
        }
    }
}

fn object_type(attributes: &[Attribute]) -> Type {
    Type::Object(attributes.iter().map(|attribute| (attribute.name.to_owned(), attribute.r#type())).collect())
}

impl Schema {
    /// A first version.
    pub fn new(description: impl Into<String>, attributes: Vec<Attribute>) -> Self {
        Self { version: 0, description: description.into(), attributes }
    }

    /// The type of a whole object of this schema.
    pub fn r#type(&self) -> Type {
        object_type(&self.attributes)
    }

    /// The attribute of this name.
    pub fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// An object in which every attribute is null.
    pub fn null_object(&self) -> Value {
        Value::object(self.attributes.iter().map(|attribute| (attribute.name, Value::Null)))
    }

    /// Checks a configuration against every attribute's checks. Unknown values pass, and null ones where none is
    /// required.
    pub fn validate(&self, config: &Value) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        check::validate_object(&self.attributes, config, &Path::root(), &mut diagnostics);
        diagnostics
    }

    /// The configuration with every default put where it gives no value. A nested object that is not given
    /// but has a default, or whose attributes have, becomes an object of those defaults when it is
    /// optional and computed.
    pub fn with_defaults(&self, config: &Value) -> Value {
        object_with_defaults(&self.attributes, config)
    }
}

fn object_with_defaults(attributes: &[Attribute], object: &Value) -> Value {
    if object.as_map().is_none() {
        return object.clone();
    }
    Value::object(
        attributes.iter().map(|attribute| (attribute.name, attribute.with_default(object.get(attribute.name)))),
    )
}

impl Attribute {
    fn with_default(&self, value: &Value) -> Value {
        match (value, &self.kind) {
            (Value::Null, _) => self.resolved_default(),
            (Value::Map(_), Kind::Nested(Nesting::Single, attributes)) => object_with_defaults(attributes, value),
            (Value::List(elements), Kind::Nested(Nesting::List, attributes)) => {
                Value::List(elements.iter().map(|object| object_with_defaults(attributes, object)).collect())
            }
            (given, _) => given.clone(),
        }
    }

    /// The value when none is given.
    fn resolved_default(&self) -> Value {
        match (&self.default, &self.kind) {
            (Some(default), _) if !default.is_null() => self.with_default(default),
            (None, Kind::Nested(Nesting::Single, attributes)) if self.mode == Mode::OptionalComputed => {
                let defaults = object_with_defaults(attributes, &Value::object::<&str>([]));
                let any = defaults.as_map().is_some_and(|entries| entries.values().any(|value| !value.is_null()));
                if any { defaults } else { Value::Null }
            }
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::new(
            "A thing.",
            vec![
                Attribute::string("name").required(),
                Attribute::string("id").computed(),
                Attribute::number("timeout").default(60),
                Attribute::object(
                    "health",
                    vec![
                        Attribute::string("path").default("/"),
                        Attribute::string("port").optional_computed(),
                        Attribute::string("arn").computed(),
                        Attribute::object("retry", vec![Attribute::number("count").default(3)]).optional_computed(),
                    ],
                )
                .optional_computed(),
                Attribute::object("logs", vec![Attribute::bool("enabled").default(true)]),
                Attribute::object("made", vec![Attribute::string("arn").computed()]).optional_computed(),
                Attribute::object_list("targets", vec![Attribute::number("port").default(443)]),
            ],
        )
    }

    /// The null object of the schema with these attributes instead.
    fn config(given: &[(&str, Value)]) -> Value {
        let mut config = schema().null_object();
        for (name, value) in given {
            config.put(name, value.clone());
        }
        config
    }

    fn retry(count: i64) -> Value {
        Value::object([("count", count.into())])
    }

    #[test]
    fn what_is_not_given_gets_its_default() {
        let planned = schema().with_defaults(&config(&[("name", "a".into())]));
        let health =
            Value::object([("path", "/".into()), ("port", Value::Null), ("arn", Value::Null), ("retry", retry(3))]);
        assert_eq!(planned, config(&[("name", "a".into()), ("timeout", 60.into()), ("health", health)]));
    }

    #[test]
    fn what_is_given_or_unknown_stays() {
        let given = config(&[("timeout", 5.into()), ("health", Value::Unknown), ("logs", Value::Unknown)]);
        assert_eq!(schema().with_defaults(&given), given);
        assert_eq!(schema().with_defaults(&Value::Unknown), Value::Unknown);
        assert_eq!(schema().with_defaults(&Value::Null), Value::Null);
    }

    #[test]
    fn a_given_object_gets_the_defaults_of_its_attributes() {
        let health = Value::object([("path", "/live".into()), ("port", Value::Unknown), ("retry", retry(1))]);
        let logs = Value::object([("enabled", Value::Null)]);
        let targets = vec![Value::object([("port", Value::Null)]), Value::object([("port", 80.into())])];
        let planned =
            schema().with_defaults(&config(&[("health", health.clone()), ("logs", logs), ("targets", targets.into())]));
        let mut expected_health = health;
        expected_health.put("arn", Value::Null);
        assert_eq!(planned.get("health"), &expected_health);
        assert_eq!(planned.get("logs").get("enabled"), &Value::Bool(true));
        let targets = [443, 80].map(|port| Value::object([("port", port.into())]));
        assert_eq!(planned.get("targets"), &Value::List(targets.into()));
    }

    #[test]
    fn an_object_without_any_default_in_it_stays_null() {
        assert_eq!(schema().with_defaults(&config(&[])).get("made"), &Value::Null);
    }

    #[test]
    fn an_attribute_is_documented_with_its_default_and_its_rules() {
        let port = Attribute::number("port").default(443).range(1, 65_535).describe("The port.");
        assert_eq!(port.documentation(), "The port. Default: `443`. Must be between 1 and 65535.");
        let kind = || Attribute::string("kind").default("a").one_of(&["a", "b"]);
        assert_eq!(kind().describe("Its kind.").documentation(), "Its kind. Default: `\"a\"`. One of `a`, `b`.");
        let explained = kind().describe("Either old (`a`) or new (`b`).");
        assert_eq!(explained.documentation(), "Either old (`a`) or new (`b`). Default: `\"a\"`.");
        assert_eq!(Attribute::string("name").required().documentation(), "");
    }

    #[test]
    fn a_default_object_gets_the_defaults_of_its_attributes() {
        let attributes = vec![Attribute::number("weight").default(1), Attribute::string("name").optional_computed()];
        let schema =
            Schema::new("", vec![Attribute::object("rule", attributes).default(Value::object([("name", "a".into())]))]);
        let rule = Value::object([("weight", 1.into()), ("name", "a".into())]);
        assert_eq!(schema.with_defaults(&schema.null_object()).get("rule"), &rule);
    }
}
