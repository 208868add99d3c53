//! What a plan changes, as far as it is known.

use std::collections::BTreeSet;

use tfplugin::value::Value;

use crate::resource::REPLACING;
use crate::resource::outputs::in_lower_case;
use crate::resource::private::Private;

/// What a plan changes. An argument that a resource does not have is null, and never changes.
pub(crate) struct Change<'a> {
    resolved: &'a Value,
    /// What there is; `None` when all is made anew.
    prior: Option<&'a Value>,
    /// What is kept beside the state of what there is, or was.
    pub(crate) private: &'a Private,
}

impl<'a> Change<'a> {
    pub(crate) fn new(resolved: &'a Value, prior: Option<&'a Value>, private: &'a Private) -> Self {
        // These cannot change in place: the load balancer is made anew, so all is to be checked.
        let stays = |prior: &&Value| {
            REPLACING.iter().all(|argument| {
                let (given, last) = (resolved.get(argument), prior.get(argument));
                given.is_null() || last.is_null() || given == last
            })
        };
        Self { resolved, prior: prior.filter(stays), private }
    }

    /// Whether all is made anew.
    pub(crate) fn is_create(&self) -> bool {
        self.prior.is_none()
    }

    /// An argument, known or not.
    pub(crate) fn value(&self, argument: &str) -> &'a Value {
        self.resolved.get(argument)
    }

    /// A known string.
    pub(crate) fn text(&self, argument: &str) -> Option<&'a str> {
        self.resolved.get(argument).as_str()
    }

    /// The elements of a set; none when it is not given, `None` when one of them is unknown.
    pub(crate) fn set(&self, argument: &str) -> Option<BTreeSet<String>> {
        strings(self.resolved.get(argument))
    }

    /// The elements of a known set that it did not have before.
    pub(crate) fn added(&self, argument: &str) -> BTreeSet<String> {
        let last = self.prior.and_then(|prior| strings(prior.get(argument))).unwrap_or_default();
        self.set(argument).unwrap_or_default().difference(&last).cloned().collect()
    }

    /// The last value of an argument or output that is a string.
    pub(crate) fn last(&self, name: &str) -> Option<&'a str> {
        self.last_value(name).as_str()
    }

    /// The last value of an argument or output; null when all is made anew.
    pub(crate) fn last_value(&self, name: &str) -> &'a Value {
        self.prior.map_or(&Value::Null, |prior| prior.get(name))
    }

    /// Whether any of the arguments is new or changed.
    pub(crate) fn touches(&self, arguments: &[&str]) -> bool {
        self.prior.is_none_or(|prior| arguments.iter().any(|argument| prior.get(argument) != self.value(argument)))
    }

    /// Whether an attribute of an argument that is an object is new or changed.
    pub(crate) fn touches_within(&self, object: &str, attribute: &str) -> bool {
        self.prior.is_none_or(|prior| prior.get(object).get(attribute) != self.value(object).get(attribute))
    }

    /// Whether the hostname is new or changed. The state of one that is not given is the load balancer's own name.
    pub(crate) fn touches_hostname(&self) -> bool {
        self.prior.is_none_or(|prior| match self.value("hostname") {
            Value::Null => *prior.get("hostname") != in_lower_case(prior.get("dns_name")),
            given => given != prior.get("hostname"),
        })
    }
}

fn strings(value: &Value) -> Option<BTreeSet<String>> {
    match value {
        Value::Null => Some(BTreeSet::new()),
        Value::List(elements) => elements.iter().map(|element| element.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}
