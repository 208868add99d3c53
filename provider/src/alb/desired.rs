//! What `codestream_alb` wants: its configuration as a graph of AWS objects.

use std::collections::{BTreeMap, BTreeSet};

use super::config::{Config, Protocol, Role};
use crate::aws::{Direction, ListenerInfo, Tags};
use crate::resource::LOAD_BALANCER;
use crate::resource::arguments::REDIRECT_PORT;
use crate::resource::config::{OnUnhealthy, group_attributes, normalised};
use crate::resource::names::{self, group_prefix, security_group_name};
use crate::resource::outputs::REDIRECT;
use crate::stack::observe::Roles;
use crate::stack::{
    Action, Desired, Listener, LoadBalancer, Node, NodeId, Record, Ref, Rule, SecurityGroup, Source, TargetGroup,
    attributes,
};

/// How the descriptions of the rules for the instances' own addresses start.
pub(crate) const HOST: &str = "The CodeStream host";

/// The starts of the names of the load balancer's attributes that arguments tell.
pub(crate) const TOLD_BY_ARGUMENTS: &[&str] = &[
    "access_logs.",
    "client_keep_alive.",
    "connection_logs.",
    "deletion_protection.",
    "idle_timeout.",
    "routing.http.desync_mitigation_mode",
    "routing.http.drop_invalid_header_fields.",
    "routing.http.preserve_host_header.",
    "routing.http.xff_header_processing.",
    "routing.http2.",
    "waf.",
];

/// The names of the target groups, by role.
pub(crate) type GroupNames = BTreeMap<Role, String>;

/// The role's part of a target group's name.
fn short(role: Role) -> &'static str {
    match role {
        Role::Api => "api",
        Role::Broadcaster => "ws",
    }
}

/// The name of the target group of a role. It differs whenever something does that AWS does not let change, so
/// that the new group can exist beside the old one, and whenever the stack's full name does.
pub(crate) fn group_name(stack: &str, role: Role, port: u16, protocol: Protocol) -> String {
    let immutable = format!("{stack}/{}/{}/{port}", role.name(), protocol.name());
    names::group_name(stack, short(role), &immutable)
}

/// The roles of a `codestream_alb`.
pub(crate) struct AlbRoles {
    stack: String,
    /// The start of its target groups' names.
    prefix: String,
}

impl AlbRoles {
    /// Those of a stack.
    pub(crate) fn of(stack: &str) -> Self {
        Self { stack: stack.to_owned(), prefix: group_prefix(stack) }
    }
}

impl Roles for AlbRoles {
    fn named(&self, name: &str) -> Option<&'static str> {
        let fixed = [LOAD_BALANCER, REDIRECT].into_iter().chain(Role::ALL.map(Role::name));
        fixed.into_iter().find(|role| *role == name)
    }

    fn of_listener(&self, listener: &ListenerInfo) -> Option<&'static str> {
        let port = listener.settings.port;
        if matches!(listener.settings.action, crate::aws::ActionInfo::Redirect { .. }) {
            return (port == REDIRECT_PORT).then_some(REDIRECT);
        }
        let role = Role::ALL
            .into_iter()
            .find(|role| [Protocol::Http, Protocol::Https].iter().any(|protocol| protocol.default_port(*role) == port));
        role.map(Role::name)
    }

    fn group_prefix(&self) -> String {
        self.prefix.clone()
    }

    fn security_groups(&self) -> BTreeMap<String, &'static str> {
        BTreeMap::from([(security_group_name(&self.stack, LOAD_BALANCER), LOAD_BALANCER)])
    }

    fn rules_description(&self) -> String {
        instance_rules_description(&self.stack)
    }

    fn is_group_name(&self, name: &str) -> bool {
        names::is_group_name(&self.prefix, &Role::ALL.map(short), name)
    }
}

/// The graph that a configuration asks for. `tags` are all the user's, the provider's defaults included.
pub(crate) fn desired(config: &Config, names: &GroupNames, vpc_id: &str, tags: &Tags) -> Desired {
    let mut nodes = BTreeMap::new();
    let own_group = config.security_group_ids.is_none();
    if own_group {
        nodes.insert(NodeId::SecurityGroup(LOAD_BALANCER), Node::SecurityGroup(security_group(config, vpc_id)));
    }
    for role in Role::ALL {
        let group = target_group(config, role, names, vpc_id);
        let listener = listener(config, role, &group.name);
        nodes.insert(NodeId::TargetGroup(group.name.clone()), Node::TargetGroup(group));
        nodes.insert(NodeId::Listener(listener.port), Node::Listener(listener));
    }
    if config.redirect_http {
        nodes.insert(NodeId::Listener(REDIRECT_PORT), Node::Listener(redirect(config)));
    }
    nodes.insert(NodeId::LoadBalancer, Node::LoadBalancer(load_balancer(config)));
    if let Some(group) = &config.instance_security_group_id {
        nodes.insert(NodeId::RulesIn(group.clone()), Node::RulesIn(instance_rules(config)));
    }
    for record in records(config) {
        nodes.insert(record.id(), Node::Record(record));
    }
    Desired {
        nodes,
        tags: tags.clone(),
        wait_for_healthy: config.wait_for_healthy,
        tolerates_unhealthy: config.on_unhealthy == OnUnhealthy::Warn,
    }
}

/// The security groups of the load balancer.
fn groups_of(config: &Config) -> BTreeSet<Ref> {
    match &config.security_group_ids {
        Some(ids) => ids.iter().cloned().map(Ref::Known).collect(),
        None => [Ref::Of(NodeId::SecurityGroup(LOAD_BALANCER))].into(),
    }
}

fn security_group(config: &Config, vpc_id: &str) -> SecurityGroup {
    SecurityGroup {
        name: security_group_name(&config.name, LOAD_BALANCER),
        description: format!("Load balancer of the CodeStream stack {}", config.name),
        vpc_id: vpc_id.to_owned(),
        rules: rules(config),
    }
}

/// Who may come in on which port, and where the load balancer may go.
fn rules(config: &Config) -> BTreeSet<Rule> {
    let cidrs = |blocks: &BTreeSet<String>| blocks.iter().cloned().map(Source::Cidr).collect::<Vec<_>>();
    let mut clients = cidrs(&config.client_cidr_blocks);
    clients.extend(cidrs(&config.client_ipv6_cidr_blocks));
    clients.extend(config.client_prefix_list_ids.iter().cloned().map(Source::PrefixList));
    let callers = [("Clients", clients), (HOST, cidrs(&config.instance_cidr_blocks))];

    let mut doors: Vec<(u16, &str)> =
        Role::ALL.iter().map(|role| (config.endpoint(*role).listener_port, title(*role))).collect();
    if config.redirect_http {
        doors.push((REDIRECT_PORT, "the redirect to HTTPS"));
    }
    let mut rules: BTreeSet<Rule> = BTreeSet::new();
    for (port, door) in doors {
        for (caller, sources) in &callers {
            for source in sources {
                let rule = Rule::tcp(Direction::Ingress, port, source.clone(), format!("{caller} to {door}"));
                // The host may be among the clients; to AWS that is one rule.
                if !rules.iter().any(|known| known.key() == rule.key()) {
                    rules.insert(rule);
                }
            }
        }
    }
    let targets: BTreeMap<u16, &str> =
        Role::ALL.iter().rev().map(|role| (config.endpoint(*role).target_port, title(*role))).collect();
    rules.extend(
        targets
            .into_iter()
            .map(|(port, door)| Rule::tcp(Direction::Egress, port, Source::Vpc, format!("Targets of {door}"))),
    );
    rules
}

fn title(role: Role) -> &'static str {
    match role {
        Role::Api => "the API",
        Role::Broadcaster => "the Broadcaster",
    }
}

/// The description of the rules that let the load balancer in: by it they are told from others.
pub(super) fn instance_rules_description(stack: &str) -> String {
    format!("CodeStream load balancer {stack}")
}

/// What lets the load balancer in at the instances' own security group.
fn instance_rules(config: &Config) -> BTreeSet<Rule> {
    let ports: BTreeSet<u16> = Role::ALL.iter().map(|role| config.endpoint(*role).target_port).collect();
    let description = instance_rules_description(&config.name);
    let sources = groups_of(config);
    let rule =
        |port: u16, group: &Ref| Rule::tcp(Direction::Ingress, port, Source::Group(group.clone()), description.clone());
    ports.iter().flat_map(|port| sources.iter().map(|group| rule(*port, group))).collect()
}

fn target_group(config: &Config, role: Role, names: &GroupNames, vpc_id: &str) -> TargetGroup {
    let endpoint = config.endpoint(role);
    let derived = || group_name(&config.name, role, endpoint.target_port, config.protocol);
    TargetGroup {
        role: role.name(),
        name: names.get(&role).cloned().unwrap_or_else(derived),
        port: endpoint.target_port,
        protocol: config.protocol.name().to_owned(),
        vpc_id: vpc_id.to_owned(),
        health_check: endpoint.health_check.clone(),
        attributes: group_attributes(endpoint.deregistration_delay, endpoint.stickiness.as_ref()),
        targets: config.instance_ids.iter().cloned().map(Ref::Known).collect(),
    }
}

fn listener(config: &Config, role: Role, group: &str) -> Listener {
    let tls = config.protocol == Protocol::Https;
    Listener {
        role: role.name(),
        port: config.endpoint(role).listener_port,
        protocol: config.protocol.name().to_owned(),
        ssl_policy: tls.then(|| config.ssl_policy.clone()),
        certificate_arn: config.certificate_arn.clone().filter(|_| tls),
        additional_certificate_arns: if tls { config.additional_certificate_arns.clone() } else { BTreeSet::new() },
        mutual_authentication: None,
        action: Action::forward(Ref::Of(NodeId::TargetGroup(group.to_owned()))),
    }
}

fn redirect(config: &Config) -> Listener {
    Listener {
        role: REDIRECT,
        port: REDIRECT_PORT,
        protocol: Protocol::Http.name().to_owned(),
        ssl_policy: None,
        certificate_arn: None,
        additional_certificate_arns: BTreeSet::new(),
        mutual_authentication: None,
        action: Action::RedirectToHttps(config.api.listener_port),
    }
}

fn load_balancer(config: &Config) -> LoadBalancer {
    let mut given = vec![
        ("idle_timeout.timeout_seconds", config.idle_timeout.to_string()),
        ("client_keep_alive.seconds", config.client_keep_alive.to_string()),
        ("routing.http2.enabled", config.enable_http2.to_string()),
        ("routing.http.drop_invalid_header_fields.enabled", config.drop_invalid_header_fields.to_string()),
        ("routing.http.desync_mitigation_mode", config.desync_mitigation_mode.clone()),
        ("routing.http.xff_header_processing.mode", config.xff_header_processing_mode.clone()),
        ("routing.http.preserve_host_header.enabled", config.preserve_host_header.to_string()),
        ("waf.fail_open.enabled", config.enable_waf_fail_open.to_string()),
        ("deletion_protection.enabled", config.enable_deletion_protection.to_string()),
    ];
    if let Some(logs) = &config.access_logs {
        given.extend([
            ("access_logs.s3.enabled", "true".to_owned()),
            ("access_logs.s3.bucket", logs.bucket.clone()),
            ("access_logs.s3.prefix", logs.prefix.clone()),
        ]);
    }
    if let Some(logs) = &config.connection_logs {
        given.extend([
            ("connection_logs.s3.enabled", "true".to_owned()),
            ("connection_logs.s3.bucket", logs.bucket.clone()),
            ("connection_logs.s3.prefix", logs.prefix.clone()),
        ]);
    }
    LoadBalancer {
        name: config.name.clone(),
        scheme: config.scheme.clone(),
        ip_address_type: config.ip_address_type.clone(),
        subnet_ids: config.subnet_ids.clone(),
        security_groups: groups_of(config),
        attributes: normalised(attributes::LOAD_BALANCER, given),
    }
}

/// The alias records.
pub(crate) fn records(config: &Config) -> Vec<Record> {
    config.dns_record.as_ref().map(|wanted| wanted.records(&config.ip_address_type)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_group_name_fits_whatever_the_stack_is_called() {
        let longest = "a-name-of-thirty-two-characters-";
        for stack in ["x", "codestream-alb", longest] {
            for role in Role::ALL {
                let name = group_name(stack, role, 12443, Protocol::Https);
                assert!(name.len() <= 32, "{name}");
                assert!(!name.contains("--"), "{name}");
                assert!(AlbRoles::of(stack).is_group_name(&name), "{name}");
            }
        }
    }

    #[test]
    fn a_target_group_name_changes_with_what_aws_does_not_let_change() {
        let name = group_name("web", Role::Api, 80, Protocol::Http);
        assert_ne!(name, group_name("web", Role::Api, 80, Protocol::Https));
        assert_ne!(name, group_name("web", Role::Api, 81, Protocol::Http));
        assert_eq!(name, group_name("web", Role::Api, 80, Protocol::Http));
    }

    #[test]
    fn two_long_names_with_one_start_have_different_groups() {
        let one = group_name("a-rather-long-name-for-stack-one", Role::Api, 80, Protocol::Http);
        assert_ne!(one, group_name("a-rather-long-name-for-stack-two", Role::Api, 80, Protocol::Http));
    }
}
