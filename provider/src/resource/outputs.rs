//! The parts of planned states and of states that all resources have.

use tfplugin::value::Value;

use super::LOAD_BALANCER;
use super::private::Applied;
use crate::aws::{Attributes, HealthCheck, Tags};
use crate::stack::ownership::{OWNERSHIP, PROVISIONING, RECORDS, ROLE, STACK, instance_name, role, user_tags};
use crate::stack::{Action, Listener, Node, NodeId, Observed, Record, Ref, TargetGroup};

/// The role of the listener that answers in cleartext with a redirect.
pub(crate) const REDIRECT: &str = "redirect";

/// The last value of an output; unknown when there is none.
pub(crate) fn kept(prior: Option<&Value>, output: &str) -> Value {
    prior.map(|prior| prior.get(output)).filter(|value| !value.is_null()).cloned().unwrap_or(Value::Unknown)
}

/// Plans what every resource tells of its load balancer. `vpc_id` is the VPC of its subnets, when that is known.
pub(crate) fn plan_balancer(planned: &mut Value, prior: Option<&Value>, tags_all: &Value, vpc_id: Option<&str>) {
    planned.put("tags_all", tags_all.clone());
    for output in ["id", "arn", "dns_name", "hosted_zone_id"] {
        planned.put(output, kept(prior, output));
    }
    if planned.get("hostname").is_null() {
        planned.put("hostname", in_lower_case(&kept(prior, "dns_name")));
    }
    if planned.get("vpc_id").is_null() {
        planned.put("vpc_id", vpc_id.map_or_else(|| kept(prior, "vpc_id"), Value::from));
    }
}

/// `ready` is as of the last apply or refresh, and never a change of its own.
pub(crate) fn settle_ready(mut planned: Value, prior: Option<&Value>) -> Value {
    let last = prior.map(|prior| prior.get("ready").clone());
    planned.put("ready", last.unwrap_or(Value::Unknown));
    if prior != Some(&planned) {
        planned.put("ready", Value::Unknown);
    }
    planned
}

/// All the tags of a resource: its own over the provider's default ones.
pub(crate) fn tags_all(resolved: &Value, defaults: &Tags) -> Value {
    let own = resolved.get("tags");
    if own.is_unknown() {
        return Value::Unknown;
    }
    let mut all: std::collections::BTreeMap<String, Value> =
        defaults.iter().map(|(key, value)| (key.clone(), Value::from(value))).collect();
    all.extend(own.as_map().cloned().unwrap_or_default());
    Value::Map(all)
}

/// What the observed graph says, in the terms of the arguments. Where the objects disagree, an argument keeps its last
/// value, and `topology` shows which object differs.
pub(crate) struct View<'a> {
    pub(crate) base: &'a Value,
    pub(crate) observed: &'a Observed,
    pub(crate) applied: Option<&'a Applied>,
    /// The roles that a listener shares with the target group that it forwards to.
    pub(crate) shared_roles: &'a [&'static str],
}

impl View<'_> {
    /// The load balancer, and where it is.
    pub(crate) fn balancer(&self, state: &mut Value) {
        let id = NodeId::LoadBalancer;
        let arn = self.observed.id(&id);
        state.put("id", arn);
        state.put("arn", arn);
        let facts = self.observed.load_balancer.as_ref();
        state.put("dns_name", facts.map(|facts| facts.dns_name.as_str()));
        state.put("hosted_zone_id", facts.map(|facts| facts.hosted_zone_id.as_str()));
        if state.get("hostname").is_null() || *self.base.get("hostname") == in_lower_case(self.base.get("dns_name")) {
            state.put("hostname", facts.map(|facts| facts.dns_name.to_lowercase()));
        }
        state.put("security_group_id", self.observed.id(&NodeId::SecurityGroup(LOAD_BALANCER)));
        if !self.observed.vpc.id.is_empty() {
            state.put("vpc_id", &self.observed.vpc.id);
        }
        let Some(balancer) = self.observed.balancer(&id) else { return };
        state.put("name", &balancer.name);
        state.put("scheme", &balancer.scheme);
        state.put("ip_address_type", &balancer.ip_address_type);
        state.put("subnet_ids", Value::set(&balancer.subnet_ids));
    }

    /// The alias record: what is left of one that was to go shows as an argument still set.
    pub(crate) fn records(&self, state: &mut Value) {
        let wanted = state.get("dns_record").clone();
        let kinds: &[&'static str] =
            if state.get("ip_address_type").as_str() == Some("ipv4") { &["A"] } else { &["A", "AAAA"] };
        let last =
            (wanted.get("zone_id").as_str().map(str::to_owned), wanted.get("name").as_str().map(str::to_lowercase));
        let (zone_id, name) = self.applied.map_or(last, |applied| applied.dns_record.clone().unzip());
        let is_wanted = |record: &Record| {
            kinds.contains(&record.kind)
                && (Some(&record.zone_id), Some(&record.name)) == (zone_id.as_ref(), name.as_ref())
        };
        let pointing = self.observed.records().filter(|(_, record)| record.target == Ref::Of(NodeId::LoadBalancer));
        let (found, left): (Vec<&Record>, Vec<&Record>) =
            pointing.map(|(_, record)| record).partition(|record| is_wanted(record));
        let complete = found.len() == kinds.len();
        let evaluates = agreed(found.iter().map(|record| Some(&record.evaluate_target_health))).flatten();
        let shown = match left.first() {
            Some(left) => as_argument(left),
            None if !complete => Value::Null,
            None if wanted.is_null() => found.first().map_or(Value::Null, |record| as_argument(record)),
            None => {
                let mut record = wanted;
                record.put("evaluate_target_health", evaluates.copied());
                record
            }
        };
        state.put("dns_record", shown);
    }

    /// The tags: `tags_all` as the objects have them, and in `tags` the values of the keys that were given.
    pub(crate) fn tags(&self, state: &mut Value) {
        let tagged: Vec<Tags> = self
            .observed
            .nodes
            .iter()
            .filter(|(id, _)| !matches!(id, NodeId::Record(_) | NodeId::RulesIn(_)))
            .map(|(id, existing)| self.given_tags(id, &existing.tags))
            .collect();
        if !self.is_marked() {
            state.put("tags_all", Value::Null);
            return;
        }
        // An object whose tags are not those applied stands for all: a difference must show.
        let last = self.applied.map_or_else(|| self.base.get("tags_all").clone(), |applied| as_value(&applied.tags));
        let differing = tagged.iter().find(|tags| as_value(tags) != last).or(tagged.first());
        let Some(all) = differing else { return };
        if self.applied.is_none() && tagged.iter().any(|tags| tags != all) {
            state.put("tags_all", Value::Null);
            return;
        }
        state.put("tags_all", as_value(all));
        let given = state.get("tags").as_map().cloned().unwrap_or_default();
        if !given.is_empty() {
            let kept = given.keys().filter_map(|key| all.get(key).map(|value| (key.clone(), Value::from(value))));
            state.put("tags", Value::object(kept));
        }
    }

    /// The user's tags of an object. An instance has a name of ours when the user gives it none.
    fn given_tags(&self, id: &NodeId, tags: &Tags) -> Tags {
        let mut given = user_tags(tags);
        let stack = self.base.get("name").as_str().unwrap_or_default();
        if instance_name(stack, id).is_some_and(|name| given.get("Name") == Some(&name)) {
            given.remove("Name");
        }
        given
    }

    /// Whether every object carries the tags that say whose it is, and none that is left of a create or an update that broke
    /// off. After an import none does, until the first apply.
    fn is_marked(&self) -> bool {
        let mut tagged =
            self.observed.nodes.iter().filter(|(id, _)| !matches!(id, NodeId::Record(_) | NodeId::RulesIn(_)));
        tagged.all(|(id, existing)| {
            let role = match &existing.node {
                Node::Listener(listener) => self.plays(listener),
                node => Some(role(id, node)),
            };
            OWNERSHIP.iter().all(|key| existing.tags.contains_key(*key))
                && existing.tags.get(STACK).map(String::as_str) == self.base.get("name").as_str()
                && role.is_none_or(|role| existing.tags.get(ROLE).is_some_and(|tag| tag == role))
                && ![PROVISIONING, RECORDS].iter().any(|key| existing.tags.contains_key(*key))
        })
    }

    /// The role of what a listener does.
    fn plays(&self, listener: &Listener) -> Option<&'static str> {
        match &listener.action {
            Action::RedirectToHttps(_) => Some(REDIRECT),
            Action::Forward(weights) if weights.len() == 1 => {
                let group = weights.keys().next()?;
                let (_, group) = self.observed.target_groups().find(|(id, _)| *group == Ref::Of((*id).clone()))?;
                self.shared_roles.contains(&group.role).then_some(group.role)
            }
            _ => None,
        }
    }
}

/// A name as `hostname` has it: AWS keeps the capitals of a load balancer's name in its DNS name.
pub(crate) fn in_lower_case(name: &Value) -> Value {
    name.as_str().map_or_else(|| name.clone(), |name| Value::from(name.to_lowercase()))
}

/// The tags that an import finds, as an argument.
pub(crate) fn imported_tags(observed: &Observed) -> Value {
    let tags = observed.nodes.get(&NodeId::LoadBalancer).map(|found| user_tags(&found.tags)).unwrap_or_default();
    if tags.is_empty() { Value::Null } else { as_value(&tags) }
}

/// Whether a group has targets, and all of them were healthy. Health alone does not tell: some may have come or left
/// since the last look at it.
pub(crate) fn serves(observed: &Observed, group: Option<(&NodeId, &TargetGroup)>) -> bool {
    group.is_some_and(|(id, group)| {
        !group.targets.is_empty() && group.targets.iter().all(|target| observed.is_healthy(id, target))
    })
}

/// The one value that all have; `None` when they differ, or there are none. A value may be absent itself.
pub(crate) fn agreed<'a, T: PartialEq + ?Sized>(values: impl Iterator<Item = Option<&'a T>>) -> Option<Option<&'a T>> {
    let values: Vec<_> = values.collect();
    let first = *values.first()?;
    values.iter().all(|value| *value == first).then_some(first)
}

/// An attribute that is a number.
pub(crate) fn number(attributes: &Attributes, key: &str) -> Option<i64> {
    attributes.get(key).and_then(|value| value.parse().ok())
}

/// The load balancer's attributes that no argument tells, so that a change of one shows. `told` are the starts of the
/// others' names.
pub(crate) fn without_argument(attributes: &Attributes, told: &[&str]) -> Value {
    let others = attributes.iter().filter(|(key, _)| !told.iter().any(|start| key.starts_with(start)));
    Value::object(others.map(|(key, value)| (key.clone(), Value::from(value))))
}

/// Whether an attribute is on.
pub(crate) fn is_on(attributes: &Attributes, key: &str) -> bool {
    attributes.get(key).is_some_and(|value| value == "true")
}

fn as_argument(record: &Record) -> Value {
    Value::object([
        ("zone_id", Value::from(&record.zone_id)),
        ("name", Value::from(&record.name)),
        ("evaluate_target_health", Value::from(record.evaluate_target_health)),
    ])
}

fn as_value(tags: &Tags) -> Value {
    Value::object(tags.iter().map(|(key, value)| (key.clone(), Value::from(value))))
}

/// A health check in the terms of the arguments.
pub(crate) fn health_check(check: &HealthCheck) -> Value {
    Value::object([
        ("path", Value::from(&check.path)),
        ("matcher", Value::from(&check.matcher)),
        ("interval", Value::from(check.interval)),
        ("timeout", Value::from(check.timeout)),
        ("healthy_threshold", Value::from(check.healthy_threshold)),
        ("unhealthy_threshold", Value::from(check.unhealthy_threshold)),
    ])
}

/// Stickiness in the terms of its argument.
pub(crate) fn stickiness(attributes: &Attributes, last: &Value) -> Value {
    if !is_on(attributes, "stickiness.enabled") {
        return Value::Null;
    }
    let kind = attributes.get("stickiness.type").map_or("lb_cookie", String::as_str);
    let duration = number(attributes, &format!("stickiness.{kind}.duration_seconds"));
    let cookie = attributes.get("stickiness.app_cookie.cookie_name").filter(|_| kind == "app_cookie");
    let mut sticky = if last.is_null() { Value::object::<&str>([]) } else { last.clone() };
    sticky.put("type", kind);
    sticky.put("duration", duration);
    sticky.put("cookie_name", cookie);
    sticky
}

/// The node of every entry, for a graph of desired nodes.
pub(crate) fn nodes(desired: &crate::stack::Desired) -> impl Iterator<Item = (&NodeId, &Node)> + Clone {
    desired.nodes.iter()
}
