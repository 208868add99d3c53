//! What AWS, and this provider, allow as tags of a user.

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::value::Value;

use crate::stack::ownership;

/// How many tags AWS allows on an object.
const MOST: usize = 50;

/// Checks a map of tags. Values may be unknown. The provider needs `own` tags of an object for itself.
pub(crate) fn validate(tags: &Value, path: &Path, own: usize) -> Diagnostics {
    let mut found = Diagnostics::new();
    let Some(entries) = tags.as_map() else { return found };
    if entries.len() > MOST - own {
        found.error_at(
            path.clone(),
            "Too many tags",
            format!(
                "{path} has {} tags. AWS allows {MOST} on an object, and the provider needs {own} of them: keep at \
                 most {}.",
                entries.len(),
                MOST - own,
            ),
        );
    }
    for (key, value) in entries {
        if let Some(wrong) = key_fault(key) {
            found.error_at(
                path.clone(),
                "Tag key not allowed",
                format!("The tag key {key:?} {wrong}. Rename it or remove it."),
            );
        }
        if let Some(wrong) = value_fault(value) {
            found.error_at(
                path.key(key),
                "Tag value not allowed",
                format!("The value of the tag {key:?} {wrong}. Change it or remove the tag."),
            );
        }
    }
    found
}

const NOT_ALLOWED: &str = "has a character other than letters, digits, spaces and + - = . _ : / @";

fn key_fault(key: &str) -> Option<&'static str> {
    if key.is_empty() {
        Some("is empty")
    } else if key.to_ascii_lowercase().starts_with("aws:") {
        Some("starts with aws:, which AWS keeps for itself")
    } else if key.starts_with(ownership::PREFIX) {
        Some("starts with codestream:, by which the provider knows what it made")
    } else if key.chars().count() > 128 {
        Some("is longer than 128 characters")
    } else {
        (!key.chars().all(is_allowed)).then_some(NOT_ALLOWED)
    }
}

fn value_fault(value: &Value) -> Option<&'static str> {
    if value.is_null() {
        return Some("is null");
    }
    let text = value.as_str()?;
    if text.chars().count() > 256 {
        return Some("is longer than 256 characters");
    }
    (!text.chars().all(is_allowed)).then_some(NOT_ALLOWED)
}

/// `[\p{L}\p{Z}\p{N}_.:/=+\-@]`, the pattern of `Tag` in the Elastic Load Balancing API.
fn is_allowed(c: char) -> bool {
    c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c)
}
