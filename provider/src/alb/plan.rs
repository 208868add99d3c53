//! Planning `codestream_alb`: the state after apply, as far as it can be known now.

use tfplugin::value::Value;

use super::config::{Config, Role};
use super::desired::{GroupNames, TOLD_BY_ARGUMENTS, desired, group_name};
use super::services_config;
use crate::aws::{Attributes, Tags};
use crate::resource::config::UNKNOWN;
use crate::resource::outputs::{kept, nodes, plan_balancer, settle_ready, without_argument};
use crate::resource::topology::{port_and_protocol, text, topology};
use crate::stack::attributes;

/// The planned state for a resolved configuration. `vpc_id` is the VPC of its subnets, when that is known.
pub(crate) fn planned(resolved: &Value, prior: Option<&Value>, tags_all: &Value, vpc_id: Option<&str>) -> Value {
    let mut planned = resolved.clone();
    plan_balancer(&mut planned, prior, tags_all, vpc_id);
    let group = match planned.get("security_group_ids") {
        Value::Null => kept(prior, "security_group_id"),
        Value::Unknown => Value::Unknown,
        _ => Value::Null,
    };
    planned.put("security_group_id", group);
    let defaults = attributes::normalise(attributes::LOAD_BALANCER, &Attributes::new());
    planned.put("load_balancer_attributes", without_argument(&defaults, TOLD_BY_ARGUMENTS));
    let names = group_names(&planned, prior);
    for role in Role::ALL {
        let mut endpoint = planned.get(role.name()).clone();
        let listener = same_in(prior, "listener_port", endpoint.get("listener_port"), "listener_arn");
        endpoint.put("listener_arn", listener);
        let name = names.as_ref().and_then(|names| names.get(&role)).map_or(Value::Unknown, |name| text(name));
        endpoint.put("target_group_arn", same_in(prior, "target_group_name", &name, "target_group_arn"));
        endpoint.put("target_group_name", name);
        planned.put(role.name(), endpoint);
    }
    services_config::put_urls(&mut planned);
    planned.put("topology", planned_topology(&planned, names.as_ref()));
    settle_ready(planned, prior)
}

/// The `output` of whichever endpoint had this value of `key` before: a listener keeps its ARN when the other
/// endpoint takes its port over.
fn same_in(prior: Option<&Value>, key: &str, value: &Value, output: &str) -> Value {
    let endpoints = prior.into_iter().flat_map(|prior| Role::ALL.map(|role| prior.get(role.name())));
    let mut same = endpoints.filter(|endpoint| !value.is_null() && endpoint.get(key) == value);
    same.next().map(|endpoint| endpoint.get(output)).filter(|value| !value.is_null()).cloned().unwrap_or(Value::Unknown)
}

/// The names of the target groups: the last ones as long as nothing changes that AWS does not let change.
fn group_names(planned: &Value, prior: Option<&Value>) -> Option<GroupNames> {
    let config = Config::parse(planned)?;
    let name = |role: Role| {
        let port = config.endpoint(role).target_port;
        let last = prior.and_then(|prior| {
            let name = prior.get(role.name()).get("target_group_name").as_str()?;
            let same = port_and_protocol(prior, name) == Some((i64::from(port), config.protocol.name().to_owned()));
            same.then(|| name.to_owned())
        });
        let derived = || {
            if config.name.starts_with(UNKNOWN) {
                // Two groups all the same.
                format!("{UNKNOWN} {}", role.name())
            } else {
                group_name(&config.name, role, port, config.protocol)
            }
        };
        (role, last.unwrap_or_else(derived))
    };
    Some(Role::ALL.into_iter().map(name).collect())
}

/// The topology that a planned state describes; unknown while what decides it is.
pub(crate) fn planned_topology(planned: &Value, names: Option<&GroupNames>) -> Value {
    let (Some(config), Some(names)) = (Config::parse(planned), names) else { return Value::Unknown };
    let graph = desired(&config, names, planned.get("vpc_id").as_str().unwrap_or(UNKNOWN), &Tags::new());
    topology(nodes(&graph), false)
}

/// The names that a planned state settled.
pub(crate) fn planned_names(planned: &Value) -> GroupNames {
    let name = |role: Role| Some((role, planned.get(role.name()).get("target_group_name").as_str()?.to_owned()));
    Role::ALL.into_iter().filter_map(name).collect()
}
