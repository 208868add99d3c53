//! What a plan changes, as far as it is known.

use std::collections::BTreeSet;

use tfplugin::value::Value;

use crate::alb::config::Role;
use crate::resource::private::Private;

/// What a plan changes.
pub(super) struct Change<'a> {
    resolved: &'a Value,
    /// What there is; `None` when all is made anew.
    prior: Option<&'a Value>,
    /// What is kept beside the state of what there is, or was.
    pub(super) private: &'a Private,
}

impl<'a> Change<'a> {
    pub(super) fn new(resolved: &'a Value, prior: Option<&'a Value>, private: &'a Private) -> Self {
        // These cannot change in place: the load balancer is made anew, so all is to be checked.
        let stays = |prior: &&Value| {
            ["name", "scheme", "vpc_id"].iter().all(|argument| {
                let (given, last) = (resolved.get(argument), prior.get(argument));
                given.is_null() || last.is_null() || given == last
            })
        };
        Self { resolved, prior: prior.filter(stays), private }
    }

    /// Whether all is made anew.
    pub(super) fn is_create(&self) -> bool {
        self.prior.is_none()
    }

    /// An argument, known or not.
    pub(super) fn value(&self, argument: &str) -> &'a Value {
        self.resolved.get(argument)
    }

    /// A known string.
    pub(super) fn text(&self, argument: &str) -> Option<&'a str> {
        self.resolved.get(argument).as_str()
    }

    /// The elements of a set; none when it is not given, `None` when one of them is unknown.
    pub(super) fn set(&self, argument: &str) -> Option<BTreeSet<String>> {
        strings(self.resolved.get(argument))
    }

    /// The elements of a known set that it did not have before.
    pub(super) fn added(&self, argument: &str) -> BTreeSet<String> {
        let last = self.prior.and_then(|prior| strings(prior.get(argument))).unwrap_or_default();
        self.set(argument).unwrap_or_default().difference(&last).cloned().collect()
    }

    /// The last value of an argument or output that is a string.
    pub(super) fn last(&self, name: &str) -> Option<&'a str> {
        self.prior.and_then(|prior| prior.get(name).as_str())
    }

    /// Whether any of the arguments is new or changed.
    pub(super) fn touches(&self, arguments: &[&str]) -> bool {
        self.prior.is_none_or(|prior| arguments.iter().any(|argument| prior.get(argument) != self.value(argument)))
    }

    /// Whether the hostname is new or changed. The state of one that is not given is the load balancer's own name.
    pub(super) fn touches_hostname(&self) -> bool {
        self.prior.is_none_or(|prior| match self.value("hostname") {
            Value::Null => prior.get("hostname") != prior.get("dns_name"),
            given => given != prior.get("hostname"),
        })
    }

    /// Both endpoints' ports of a kind, `listener_port` or `target_port`; `None` when one of them is unknown.
    pub(super) fn ports(&self, kind: &str) -> Option<BTreeSet<i64>> {
        Role::ALL.iter().map(|role| self.value(role.name()).get(kind).as_i64()).collect()
    }

    /// Whether a port of a kind is new or changed.
    pub(super) fn touches_ports(&self, kind: &str) -> bool {
        let port = |value: &Value, role: Role| value.get(role.name()).get(kind).clone();
        self.prior.is_none_or(|prior| Role::ALL.iter().any(|role| port(prior, *role) != port(self.resolved, *role)))
    }
}

fn strings(value: &Value) -> Option<BTreeSet<String>> {
    match value {
        Value::Null => Some(BTreeSet::new()),
        Value::List(elements) => elements.iter().map(|element| element.as_str().map(str::to_owned)).collect(),
        _ => None,
    }
}
