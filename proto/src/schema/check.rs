//! Checks: whether a configuration satisfies its schema, and what the user is told when it does not.

use super::{Attribute, Check, Kind, Mode, Nesting, Type};
use crate::diagnostics::Diagnostics;
use crate::path::Path;
use crate::value::Value;

impl Check {
    /// The sentence that documents it: ``One of `http`, `https`.``
    pub fn describe(&self) -> String {
        sentence(&self.rule())
    }

    fn rule(&self) -> String {
        match self {
            Self::OneOf(allowed) => {
                let allowed: Vec<_> = allowed.iter().map(|value| format!("`{value}`")).collect();
                format!("one of {}", allowed.join(", "))
            }
            Self::Range(min, max) => format!("must be between {min} and {max}"),
            Self::Length(min, max) => format!("must have {}", characters(*min, *max)),
            Self::Form(description, _) => (*description).to_owned(),
            Self::Each(check) => format!("each element: {}", check.rule()),
        }
    }

    /// What the user is told of a value that fails; nothing when it passes. A value of another type than the
    /// check is for passes: types are core's to check.
    fn failure(&self, value: &Value, sensitive: bool) -> Option<String> {
        let mut hint = None;
        let passes = match (self, value) {
            (Self::OneOf(allowed), Value::String(text)) => {
                hint = allowed
                    .iter()
                    .find(|option| option.eq_ignore_ascii_case(text))
                    .map(|option| format!("Write {option:?}."));
                allowed.contains(&text.as_str())
            }
            (Self::Range(min, max), Value::Number(number)) => {
                number.as_i64().is_some_and(|number| (*min..=*max).contains(&number))
            }
            (Self::Length(min, max), Value::String(text)) => (*min..=*max).contains(&text.chars().count()),
            (Self::Form(_, test), Value::String(text)) => {
                hint = test(text).err().map(|wrong| sentence(&wrong));
                hint.is_none()
            }
            _ => true,
        };
        if passes {
            return None;
        }
        // A hint may quote the value.
        let (given, hint) = if sensitive { ("a sensitive value".to_owned(), None) } else { (shown(value), hint) };
        let told = [Some(format!("Got {given}.")), hint, Some(self.describe())];
        Some(told.into_iter().flatten().collect::<Vec<_>>().join(" "))
    }
}

fn characters(min: usize, max: usize) -> String {
    match (min, max) {
        (min, usize::MAX) => format!("at least {}", count(min, "character")),
        (0, max) => format!("at most {}", count(max, "character")),
        (min, max) if min == max => format!("exactly {}", count(max, "character")),
        (min, max) => format!("between {min} and {}", count(max, "character")),
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// The words with a capital letter and a full stop.
fn sentence(words: &str) -> String {
    let words = words.trim();
    let mut letters = words.chars();
    let first = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    let stop = if words.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{first}{}{stop}", letters.as_str())
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Unknown => "an unknown value".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("{text:?}"),
        Value::List(elements) => count(elements.len(), "element"),
        Value::Map(entries) => count(entries.len(), "element"),
        Value::Dynamic(typed) => shown(&typed.1),
    }
}

/// Checks every attribute of an object; none when it is null or unknown.
pub(super) fn validate_object(attributes: &[Attribute], object: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    if object.as_map().is_none() {
        return;
    }
    for attribute in attributes {
        validate_attribute(attribute, object.get(attribute.name), &path.attribute(attribute.name), diagnostics);
    }
}

/// Checks one attribute, and those nested in it.
pub(super) fn validate_attribute(attribute: &Attribute, value: &Value, path: &Path, diagnostics: &mut Diagnostics) {
    // Core only sees to it that a required attribute is written down.
    if attribute.mode == Mode::Required && value.is_null() {
        let detail = format!("{path} is null, and it is required. Give it a value.");
        diagnostics.error_at(path.clone(), format!("Missing value for \"{path}\""), detail);
        return;
    }
    let r#type = attribute.r#type();
    for check in &attribute.checks {
        apply(check, value, &r#type, path, &mut |path, check, value| {
            if let Some(detail) = check.failure(value, attribute.sensitive) {
                diagnostics.error_at(path.clone(), format!("Invalid value for \"{path}\""), detail);
            }
        });
    }
    let Kind::Nested(nesting, attributes) = &attribute.kind else { return };
    match (nesting, value) {
        (Nesting::Single, object) => validate_object(attributes, object, path, diagnostics),
        (Nesting::List, Value::List(objects)) => {
            for (index, object) in objects.iter().enumerate() {
                validate_object(attributes, object, &path.index(index), diagnostics);
            }
        }
        _ => {}
    }
}

/// Calls `test` with every known value the check is for, and where that is.
fn apply(check: &Check, value: &Value, r#type: &Type, path: &Path, test: &mut dyn FnMut(&Path, &Check, &Value)) {
    match (check, r#type, value) {
        (_, _, Value::Null | Value::Unknown) => {}
        (Check::Each(check), Type::List(element), Value::List(values)) => {
            for (index, value) in values.iter().enumerate() {
                apply(check, value, element, &path.index(index), test);
            }
        }
        (Check::Each(check), Type::Set(element), Value::List(values)) => {
            for value in values {
                apply(check, value, element, path, test);
            }
        }
        (Check::Each(check), Type::Map(element), Value::Map(values)) => {
            for (key, value) in values {
                apply(check, value, element, &path.key(key), test);
            }
        }
        _ => test(path, check, value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    fn even_length(text: &str) -> Result<(), String> {
        if text.len().is_multiple_of(2) { Ok(()) } else { Err(format!("write \"{text}{text}\"")) }
    }

    /// The path, summary and detail of every message on `value`.
    fn messages(attribute: Attribute, value: impl Into<Value>) -> Vec<(String, String, String)> {
        let config = Value::object([(attribute.name, value.into())]);
        let found = Schema::new("", vec![attribute]).validate(&config);
        found.into_iter().map(|found| (found.path.to_string(), found.summary, found.detail)).collect()
    }

    fn details(attribute: Attribute, value: impl Into<Value>) -> Vec<String> {
        messages(attribute, value).into_iter().map(|(_, _, detail)| detail).collect()
    }

    #[test]
    fn a_failure_says_what_was_given_and_what_is_allowed() {
        let wrong = messages(Attribute::number("idle_timeout").range(1, 4000), 5000);
        let expected = ("idle_timeout", "Invalid value for \"idle_timeout\"", "Got 5000. Must be between 1 and 4000.");
        assert_eq!(wrong, [(expected.0.to_owned(), expected.1.to_owned(), expected.2.to_owned())]);

        let protocol = Attribute::string("protocol").one_of(&["http", "https"]);
        assert_eq!(details(protocol.clone(), "tcp"), ["Got \"tcp\". One of `http`, `https`."]);
        assert_eq!(details(protocol, "HTTPS"), ["Got \"HTTPS\". Write \"https\". One of `http`, `https`."]);

        let form = Attribute::string("name").check(Check::Form("must have an even length", even_length));
        assert_eq!(details(form, "abc"), ["Got \"abc\". Write \"abcabc\". Must have an even length."]);
        let length = Attribute::string("name").check(Check::Length(1, 2));
        assert_eq!(details(length, "äöü"), ["Got \"äöü\". Must have between 1 and 2 characters."]);
    }

    #[test]
    fn both_ends_of_a_range_are_allowed_and_fractions_are_not() {
        let attribute = Attribute::number("weight").range(1, 5);
        for allowed in [1, 5] {
            assert!(messages(attribute.clone(), allowed).is_empty());
        }
        for wrong in ["0", "6", "1.5"] {
            let wrong = crate::value::Number::parse(wrong).map_or(Value::Null, Value::Number);
            assert_eq!(messages(attribute.clone(), wrong).len(), 1);
        }
    }

    #[test]
    fn unknown_and_null_values_pass_at_every_level() {
        let each = || Check::Each(Box::new(Check::OneOf(&["a"])));
        for value in [Value::Null, Value::Unknown, Value::List(vec![Value::Unknown, Value::Null])] {
            assert!(messages(Attribute::string_list("list").check(each()), value).is_empty());
        }
        let nested = || Attribute::object("nested", vec![Attribute::string("name").one_of(&["a"])]);
        for value in [Value::Null, Value::Unknown, Value::object([("name", Value::Unknown)])] {
            assert!(messages(nested(), value).is_empty());
        }
    }

    #[test]
    fn a_required_attribute_may_be_unknown_and_not_null() {
        let zone = || Attribute::string("zone").required().one_of(&["a"]);
        assert!(messages(zone(), Value::Unknown).is_empty());
        let missing = messages(zone(), Value::Null);
        let expected = ("zone", "Missing value for \"zone\"", "zone is null, and it is required. Give it a value.");
        assert_eq!(missing, [(expected.0.to_owned(), expected.1.to_owned(), expected.2.to_owned())]);

        let record = || Attribute::object("record", vec![zone()]);
        for value in [Value::Null, Value::Unknown, Value::object([("zone", "a".into())])] {
            assert!(messages(record(), value).is_empty());
        }
        assert_eq!(messages(record(), Value::object([("zone", Value::Null)]))[0].0, "record.zone");
    }

    #[test]
    fn the_path_is_that_of_the_element_but_of_a_set_that_of_the_set() {
        let each = || Check::Each(Box::new(Check::OneOf(&["a"])));
        let paths = |attribute, value: Value| -> Vec<String> {
            messages(attribute, value).into_iter().map(|(path, ..)| path).collect()
        };
        assert_eq!(paths(Attribute::string_list("list").check(each()), vec!["a", "b"].into()), ["list[1]"]);
        let map = Value::object([("k", "b".into())]);
        assert_eq!(paths(Attribute::string_map("map").check(each()), map), ["map[\"k\"]"]);
        let set = messages(Attribute::string_set("set").check(each()), Value::set(["a", "b"]));
        let expected = ("set", "Invalid value for \"set\"", "Got \"b\". One of `a`.");
        assert_eq!(set, [(expected.0.to_owned(), expected.1.to_owned(), expected.2.to_owned())]);
    }

    #[test]
    fn nested_attributes_are_checked_in_every_nesting() {
        let attributes = || vec![Attribute::number("port").range(1, 65535)];
        let wrong = || Value::object([("port", 0.into())]);
        let cases =
            [(Nesting::Single, wrong(), "nested.port"), (Nesting::List, Value::List(vec![wrong()]), "nested[0].port")];
        for (nesting, value, path) in cases {
            let found = messages(Attribute::new("nested", Kind::Nested(nesting, attributes())), value);
            assert_eq!(found.len(), 1, "{nesting:?}");
            assert_eq!(found[0].0, path);
            assert_eq!(found[0].1, format!("Invalid value for \"{path}\""));
            assert!(found[0].2.ends_with("Got 0. Must be between 1 and 65535."), "{}", found[0].2);
        }
    }

    #[test]
    fn a_sensitive_value_is_not_told() {
        let secret = Attribute::string("token").check(Check::Form("must have an even length", even_length)).sensitive();
        assert_eq!(details(secret, "abc"), ["Got a sensitive value. Must have an even length."]);
    }

    #[test]
    fn each_check_documents_itself() {
        let documented = [
            (Check::OneOf(&["a", "b"]), "One of `a`, `b`."),
            (Check::Range(1, 4000), "Must be between 1 and 4000."),
            (Check::Length(1, usize::MAX), "Must have at least 1 character."),
            (Check::Length(0, 5), "Must have at most 5 characters."),
            (Check::Length(32, 32), "Must have exactly 32 characters."),
            (Check::Form("an ARN", even_length), "An ARN."),
            (Check::Each(Box::new(Check::Range(1, 2))), "Each element: must be between 1 and 2."),
        ];
        for (check, text) in documented {
            assert_eq!(check.describe(), text);
        }
    }
}
