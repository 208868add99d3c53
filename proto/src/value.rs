//! Values as Terraform has them: known, null or unknown at every level.

use std::collections::BTreeMap;
use std::fmt;

use crate::schema::Type;

/// A value of the Terraform language.
///
/// Which collection a `List` or `Map` stands for is the schema's to say; a decoded set is sorted and
/// free of duplicates, so that two equal sets compare equal.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// No value.
    #[default]
    Null,
    /// A value that only apply will tell.
    Unknown,
    /// `true` or `false`.
    Bool(bool),
    /// A number of any size and precision.
    Number(Number),
    /// A string.
    String(String),
    /// A list, set or tuple.
    List(Vec<Value>),
    /// A map or object.
    Map(BTreeMap<String, Value>),
    /// A value whose type travels with it, for attributes of type [`Type::Dynamic`].
    Dynamic(Box<(Type, Value)>),
}

/// A decimal number, kept as canonical text so that no precision is lost and equal numbers are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Number(String);

impl Number {
    /// Reads a decimal number: `12`, `-0.5`, `1e3`.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (unsigned, 0),
        };
        // Beyond this no cty number exists (its precision is 512 bits), and expanding it would cost memory.
        if exponent.unsigned_abs() > 2000 {
            return None;
        }
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits: String = [whole, fraction].concat();
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        Some(Self(canonical(negative, &digits, i64::try_from(whole.len()).ok()? + i64::from(exponent))))
    }

    /// The number as a whole one, when it is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The canonical decimal text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `digits` with the decimal point before position `point`, without needless zeros.
fn canonical(negative: bool, digits: &str, point: i64) -> String {
    let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    let padded = if point <= 0 {
        format!("{}{digits}", "0".repeat(usize::try_from(1 - point).unwrap_or(0)))
    } else if point > length {
        format!("{digits}{}", "0".repeat(usize::try_from(point - length).unwrap_or(0)))
    } else {
        digits.to_owned()
    };
    let (whole, fraction) = padded.split_at(usize::try_from(point.max(1)).unwrap_or(padded.len()));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let sign = if negative && !(whole.is_empty() && fraction.is_empty()) { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") }
}

impl From<i64> for Number {
    fn from(value: i64) -> Self {
        Self(value.to_string())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What [`Value::get`] answers for an attribute that is not there.
static ABSENT: Value = Value::Null;

impl Value {
    /// An object or map of these entries.
    pub fn object<K: Into<String>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// A set of these elements: sorted, without duplicates among those that are known.
    pub fn set<V: Into<Self>>(elements: impl IntoIterator<Item = V>) -> Self {
        let mut elements: Vec<Self> = elements.into_iter().map(Into::into).collect();
        elements.sort();
        // Two unknown elements may turn out to differ.
        elements.dedup_by(|next, kept| next == kept && kept.is_wholly_known());
        Self::List(elements)
    }

    /// The attribute or map element `key`; null when this has none, unknown when this is unknown.
    pub fn get(&self, key: &str) -> &Self {
        match self {
            Self::Map(entries) => entries.get(key).unwrap_or(&ABSENT),
            Self::Unknown => self,
            _ => &ABSENT,
        }
    }

    /// Puts an attribute or map element; does nothing when this is no object or map.
    pub fn put(&mut self, key: &str, value: impl Into<Self>) {
        if let Self::Map(entries) = self {
            entries.insert(key.to_owned(), value.into());
        }
    }

    /// Whether this is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether this, as a whole, is unknown.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown)
    }

    /// Whether nothing in this is unknown.
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Self::Unknown => false,
            Self::List(elements) => elements.iter().all(Self::is_wholly_known),
            Self::Map(entries) => entries.values().all(Self::is_wholly_known),
            Self::Dynamic(typed) => typed.1.is_wholly_known(),
            _ => true,
        }
    }

    /// The same value with every unknown in it turned to null.
    #[must_use]
    pub fn unknown_as_null(self) -> Self {
        match self {
            Self::Unknown => Self::Null,
            Self::List(elements) => Self::List(elements.into_iter().map(Self::unknown_as_null).collect()),
            Self::Map(entries) => {
                Self::Map(entries.into_iter().map(|(key, value)| (key, value.unknown_as_null())).collect())
            }
            Self::Dynamic(typed) => Self::Dynamic(Box::new((typed.0, typed.1.unknown_as_null()))),
            known => known,
        }
    }

    /// The string, when this is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The boolean, when this is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// The whole number, when this is one and fits.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// The elements, when this is a list, set or tuple.
    pub fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(elements) => Some(elements),
            _ => None,
        }
    }

    /// The entries, when this is a map or object.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Self>> {
        match self {
            Self::Map(entries) => Some(entries),
            _ => None,
        }
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Self {
        Self::String(value.clone())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Number(value.into())
    }
}

impl<V: Into<Value>> From<Vec<V>> for Value {
    fn from(values: Vec<V>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

impl<V: Into<Value>> From<Option<V>> for Value {
    fn from(value: Option<V>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_have_one_spelling() {
        for (given, canonical) in [
            ("0", "0"),
            ("-0", "0"),
            ("007", "7"),
            ("1e3", "1000"),
            ("1.50", "1.5"),
            ("-0.10", "-0.1"),
            ("12.5e-3", "0.0125"),
            (".5", "0.5"),
            ("5.", "5"),
            ("0.1e1", "1"),
        ] {
            assert_eq!(Number::parse(given).map(|number| number.to_string()).as_deref(), Some(canonical), "{given}");
        }
        for wrong in ["", "-", "1x", "e5", "1e9999999", "0x10", "1_000"] {
            assert_eq!(Number::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_attribute_of_an_unknown_object_is_unknown_and_of_a_null_one_null() {
        assert!(Value::Unknown.get("a").is_unknown());
        assert!(Value::Null.get("a").is_null());
    }
}
