//! What `codestream_deepstream_cluster` wants: its configuration as a graph of AWS objects.

use std::collections::{BTreeMap, BTreeSet};

use super::config::{Cache as Redis, Config};
use super::user_data::CACHE_HOST;
use crate::aws::{ActionInfo, Attributes, CacheSettings, Direction, ListenerInfo, Tags, TransitEncryption};
use crate::resource::LOAD_BALANCER;
use crate::resource::config::{OnUnhealthy, group_attributes, normalised};
use crate::resource::names::{self, HASH_LENGTH, group_prefix, security_group_name};
use crate::resource::outputs::REDIRECT;
use crate::stack::cluster::{Cache, CacheSubnetGroup, ClusterNames, Instance, METADATA, Start, hash, parameter_group};
use crate::stack::observe::Roles;
use crate::stack::{
    Action, Desired, Listener, LoadBalancer, Node, NodeId, Ref, Rule, SecurityGroup, Source, TargetGroup, attributes,
};

/// The role of the nodes, their target group and their security group.
pub(crate) const NODE: &str = "node";
/// The role of the cache and what belongs to it.
pub(crate) const CACHE: &str = "cache";
/// The roles of the listeners.
pub(crate) const HTTP: &str = "http";
pub(crate) const HTTPS: &str = "https";
/// The ports of the listeners.
pub(crate) const HTTP_PORT: u16 = 80;
pub(crate) const HTTPS_PORT: u16 = 443;

/// The part of a target group's name that tells it from those of other resources.
const SHORT: &str = "ds";
/// What is left for the cluster's name in the id of a replication group, which has at most 40 characters.
const SLUG_LENGTH: usize = 27;
/// Where `ssh_cidr_blocks` are let in.
pub(crate) const SSH_PORT: u16 = 22;
/// The load balancer's attribute that an argument tells.
pub(crate) const IDLE_TIMEOUT: &str = "idle_timeout.timeout_seconds";
const DNS_PORT: u16 = 53;

/// The name of the target group.
pub(crate) fn group_name(stack: &str, port: u16) -> String {
    names::group_name(stack, SHORT, &format!("{stack}/{NODE}/HTTP/{port}"))
}

/// The cluster's name as ElastiCache takes it: lower case, single hyphens.
fn slug(stack: &str) -> String {
    let lower = stack.to_lowercase();
    let parts: Vec<&str> = lower.split('-').filter(|part| !part.is_empty()).collect();
    let cut: String = parts.join("-").chars().take(SLUG_LENGTH).collect();
    cut.trim_end_matches('-').to_owned()
}

/// The names of the cache's subnet group and, in part, of the cache.
pub(crate) fn cluster_names(stack: &str) -> ClusterNames {
    let cache_prefix = format!("{SHORT}-{}-", slug(stack));
    ClusterNames { subnet_group: format!("{cache_prefix}{}", hash(stack, HASH_LENGTH)), cache_prefix }
}

/// The id of the replication group that a configuration asks for; it differs whenever something does that AWS does not
/// let change.
pub(crate) fn cache_id(config: &Config) -> Option<String> {
    let Redis::New { at_rest_encryption, .. } = &config.cache else { return None };
    let immutable = format!(
        "{}/{}/{at_rest_encryption}/{:?}",
        config.name, config.transit_encryption, config.boot.auth_token_parameter
    );
    Some(format!("{}{}", cluster_names(&config.name).cache_prefix, hash(&immutable, HASH_LENGTH)))
}

/// The roles of a `codestream_deepstream_cluster`.
pub(crate) struct ClusterRoles(String);

impl ClusterRoles {
    /// Those of a stack.
    pub(crate) fn of(stack: &str) -> Self {
        Self(stack.to_owned())
    }
}

impl Roles for ClusterRoles {
    fn named(&self, name: &str) -> Option<&'static str> {
        [LOAD_BALANCER, NODE, CACHE, HTTP, HTTPS, REDIRECT].into_iter().find(|role| *role == name)
    }

    fn of_listener(&self, listener: &ListenerInfo) -> Option<&'static str> {
        match (listener.settings.port, &listener.settings.action) {
            (HTTP_PORT, ActionInfo::Redirect { .. }) => Some(REDIRECT),
            (HTTP_PORT, ActionInfo::Forward(_)) => Some(HTTP),
            (HTTPS_PORT, ActionInfo::Forward(_)) => Some(HTTPS),
            _ => None,
        }
    }

    fn group_prefix(&self) -> String {
        group_prefix(&self.0)
    }

    fn security_groups(&self) -> BTreeMap<String, &'static str> {
        [LOAD_BALANCER, NODE, CACHE].into_iter().map(|role| (security_group_name(&self.0, role), role)).collect()
    }

    fn is_group_name(&self, name: &str) -> bool {
        names::is_group_name(&group_prefix(&self.0), &[SHORT], name)
    }

    fn cluster(&self) -> Option<ClusterNames> {
        Some(cluster_names(&self.0))
    }
}

/// The nodes that a configuration asks for: round the subnets, so that all have as many as the others, or one more.
pub(crate) fn instances(config: &Config) -> Vec<Instance> {
    let subnets: Vec<&String> = config.node_subnet_ids.iter().collect();
    let start = Start {
        user_data: config.boot.user_data(),
        cache_host: CACHE_HOST,
        cache: cache_id(config).map(NodeId::Cache),
        root_volume_size: config.root_volume_size,
    };
    let spec = start.spec();
    let slots = 1..=u32::from(config.node_count);
    let round = subnets.iter().cycle();
    slots
        .zip(round)
        .map(|(slot, subnet)| Instance {
            slot,
            image_id: config.ami_id.clone(),
            instance_type: config.instance_type.clone(),
            subnet_id: (*subnet).clone(),
            key_name: config.key_name.clone(),
            instance_profile: config.iam_instance_profile.clone(),
            security_groups: own(NODE),
            spec: spec.clone(),
            sound: true,
            metadata: METADATA,
            start: Some(start.clone()),
        })
        .collect()
}

fn own(role: &'static str) -> BTreeSet<Ref> {
    [Ref::Of(NodeId::SecurityGroup(role))].into()
}

/// The graph that a configuration asks for. `tags` are all the user's, the provider's defaults included.
pub(crate) fn desired(config: &Config, group: &str, vpc_id: &str, tags: &Tags) -> Desired {
    let mut nodes = BTreeMap::new();
    let mut security_group = |role: &'static str, what: &str, rules| {
        let group = SecurityGroup {
            name: security_group_name(&config.name, role),
            description: format!("{what} of the deepstream cluster {}", config.name),
            vpc_id: vpc_id.to_owned(),
            rules,
        };
        nodes.insert(NodeId::SecurityGroup(role), Node::SecurityGroup(group));
    };
    security_group(LOAD_BALANCER, "Load balancer", balancer_rules(config));
    security_group(NODE, "Nodes", node_rules(config));
    if cache_id(config).is_some() {
        security_group(CACHE, "Cache", cache_rules());
    }
    if let Some((subnets, cache)) = cache(config) {
        nodes.insert(NodeId::CacheSubnetGroup(subnets.name.clone()), Node::CacheSubnetGroup(subnets));
        nodes.insert(NodeId::Cache(cache.id.clone()), Node::Cache(cache));
    }
    let instances = instances(config);
    let targets = instances.iter().map(|instance| Ref::Of(instance.id())).collect();
    nodes.extend(instances.into_iter().map(|instance| (instance.id(), Node::Instance(instance))));
    let target_group = target_group(config, group, vpc_id, targets);
    nodes.insert(NodeId::TargetGroup(group.to_owned()), Node::TargetGroup(target_group));
    for listener in listeners(config, group) {
        nodes.insert(NodeId::Listener(listener.port), Node::Listener(listener));
    }
    nodes.insert(NodeId::LoadBalancer, Node::LoadBalancer(load_balancer(config)));
    let records = config.dns_record.iter().flat_map(|record| record.records(&config.ip_address_type));
    nodes.extend(records.map(|record| (record.id(), Node::Record(record))));
    Desired {
        nodes,
        tags: tags.clone(),
        wait_for_healthy: config.wait_for_healthy,
        tolerates_unhealthy: config.on_unhealthy == OnUnhealthy::Warn,
    }
}

fn balancer_rules(config: &Config) -> BTreeSet<Rule> {
    let blocks = config.client_cidr_blocks.iter().chain(&config.client_ipv6_cidr_blocks).cloned().map(Source::Cidr);
    let lists = config.client_prefix_list_ids.iter().cloned().map(Source::PrefixList);
    let sources: Vec<Source> = blocks.chain(lists).collect();
    let opened = listeners(config, "").into_iter().map(|listener| match listener.role {
        HTTPS => (listener.port, "Clients, encrypted"),
        REDIRECT => (listener.port, "Clients to the redirect to HTTPS"),
        _ => (listener.port, "Clients, in cleartext"),
    });
    let mut rules: BTreeSet<Rule> = opened
        .flat_map(|(port, what)| {
            sources.iter().map(move |source| Rule::tcp(Direction::Ingress, port, source.clone(), what))
        })
        .collect();
    rules.insert(Rule::tcp(Direction::Egress, config.boot.server.port, Source::Vpc, "The nodes"));
    rules
}

/// The nodes fetch packages, parameters and what is in Redis, wherever that is.
fn node_rules(config: &Config) -> BTreeSet<Rule> {
    let balancer = Source::Group(Ref::Of(NodeId::SecurityGroup(LOAD_BALANCER)));
    let mut rules: BTreeSet<Rule> = config
        .ssh_cidr_blocks
        .iter()
        .map(|block| Rule::tcp(Direction::Ingress, SSH_PORT, Source::Cidr(block.clone()), "SSH"))
        .collect();
    rules.insert(Rule::tcp(Direction::Ingress, config.boot.server.port, balancer, "The load balancer"));
    let anywhere = Source::Cidr("0.0.0.0/0".to_owned());
    let out = Rule::tcp(Direction::Egress, 0, anywhere, "Packages, parameters and Redis");
    rules.insert(Rule { to_port: i64::from(u16::MAX), ..out });
    let names = Rule::tcp(Direction::Egress, DNS_PORT, Source::Vpc, "Name servers of the VPC");
    rules.insert(Rule { protocol: "udp".to_owned(), ..names });
    rules
}

fn cache_rules() -> BTreeSet<Rule> {
    let nodes = Source::Group(Ref::Of(NodeId::SecurityGroup(NODE)));
    [Rule::tcp(Direction::Ingress, super::config_yaml::DEFAULT_REDIS_PORT, nodes, "The nodes")].into()
}

fn cache(config: &Config) -> Option<(CacheSubnetGroup, Cache)> {
    let Redis::New { node_type, engine_version, replica_count, automatic_failover, at_rest_encryption } = &config.cache
    else {
        return None;
    };
    let names = cluster_names(&config.name);
    let cache = Cache {
        id: cache_id(config)?,
        description: format!("deepstream cluster {}", config.name),
        settings: CacheSettings {
            node_type: node_type.clone(),
            engine_version: Some(engine_version.clone()),
            replica_count: *replica_count,
            automatic_failover: *automatic_failover,
            // A replica in the primary's own zone would go with it.
            multi_az: *automatic_failover,
            parameter_group: Some(parameter_group(engine_version)),
        },
        transit_encryption: TransitEncryption::created(config.transit_encryption),
        at_rest_encryption: *at_rest_encryption,
        auth_token_parameter: config.boot.auth_token_parameter.clone(),
        subnet_group: names.subnet_group.clone(),
        security_groups: own(CACHE),
    };
    Some((CacheSubnetGroup { name: names.subnet_group, subnet_ids: config.node_subnet_ids.clone() }, cache))
}

fn target_group(config: &Config, name: &str, vpc_id: &str, targets: BTreeSet<Ref>) -> TargetGroup {
    TargetGroup {
        role: NODE,
        name: name.to_owned(),
        port: config.boot.server.port,
        protocol: "HTTP".to_owned(),
        vpc_id: vpc_id.to_owned(),
        health_check: config.health_check.clone(),
        attributes: group_attributes(config.deregistration_delay, config.stickiness.as_ref()),
        targets,
    }
}

fn listeners(config: &Config, group: &str) -> Vec<Listener> {
    let forward = || Action::forward(Ref::Of(NodeId::TargetGroup(group.to_owned())));
    let cleartext = |role, action| Listener {
        role,
        port: HTTP_PORT,
        protocol: "HTTP".to_owned(),
        ssl_policy: None,
        certificate_arn: None,
        additional_certificate_arns: BTreeSet::new(),
        mutual_authentication: None,
        action,
    };
    let mut listeners = Vec::new();
    if config.listeners.redirect_http {
        listeners.push(cleartext(REDIRECT, Action::RedirectToHttps(HTTPS_PORT)));
    } else if config.listeners.http {
        listeners.push(cleartext(HTTP, forward()));
    }
    if config.listeners.https {
        listeners.push(Listener {
            role: HTTPS,
            port: HTTPS_PORT,
            protocol: "HTTPS".to_owned(),
            ssl_policy: Some(config.ssl_policy.clone()),
            certificate_arn: config.certificate_arn.clone(),
            additional_certificate_arns: BTreeSet::new(),
            mutual_authentication: None,
            action: forward(),
        });
    }
    listeners
}

/// The load balancer's attributes: there is an argument for the idle timeout only.
pub(crate) fn balancer_attributes(idle_timeout: i64) -> Attributes {
    let given = vec![
        (IDLE_TIMEOUT, idle_timeout.to_string()),
        ("routing.http.drop_invalid_header_fields.enabled", "true".to_owned()),
    ];
    normalised(attributes::LOAD_BALANCER, given)
}

fn load_balancer(config: &Config) -> LoadBalancer {
    LoadBalancer {
        name: config.name.clone(),
        scheme: config.scheme.clone(),
        ip_address_type: config.ip_address_type.clone(),
        subnet_ids: config.subnet_ids.clone(),
        security_groups: own(LOAD_BALANCER),
        attributes: balancer_attributes(config.idle_timeout),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::resolve::resolve;
    use super::super::samples::{change, configuration, small};
    use super::*;

    fn config(change_: &serde_json::Value) -> Config {
        Config::parse(&resolve(&configuration(&change(small(), change_)))).unwrap()
    }

    #[test]
    fn the_names_fit_whatever_the_cluster_is_called() {
        for name in ["x", "Realtime", "a--b", "a-name-of-thirty-two-characters-x", "9-lives"] {
            let config = config(&json!({"name": name}));
            let id = cache_id(&config).unwrap();
            assert!(id.len() <= 40 && !id.contains("--") && id == id.to_lowercase(), "{id}");
            assert!(group_name(name, 6020).len() <= 32);
            assert!(ClusterRoles::of(name).is_group_name(&group_name(name, 6020)));
        }
    }

    #[test]
    fn the_nodes_are_spread_evenly_and_keep_their_places() {
        let subnets = |count: u32| -> Vec<String> {
            let config = config(&json!({"node_count": count, "node_subnet_ids": ["subnet-0a", "subnet-0b"]}));
            instances(&config).into_iter().map(|instance| instance.subnet_id).collect()
        };
        assert_eq!(subnets(3), ["subnet-0a", "subnet-0b", "subnet-0a"]);
        assert_eq!(subnets(4), ["subnet-0a", "subnet-0b", "subnet-0a", "subnet-0b"]);
    }

    #[test]
    fn what_is_on_the_nodes_makes_them_others_and_what_is_not_does_not() {
        let ids = |change_: &serde_json::Value| -> Vec<NodeId> {
            instances(&config(change_)).iter().map(Instance::id).collect()
        };
        let before = ids(&json!({}));
        for other in [
            json!({"deepstream_version": "7.0.1"}),
            json!({"deepstream_config": {"logLevel": 2}}),
            json!({"instance_type": "t3.small"}),
            json!({"ami_id": "ami-0c"}),
            json!({"root_volume_size": 9}),
            json!({"cache": {"at_rest_encryption": false}}),
        ] {
            assert!(ids(&other).iter().all(|id| !before.contains(id)), "{other}");
        }
        for same in [
            json!({"idle_timeout": 120}),
            json!({"cache": {"node_type": "cache.t3.small"}}),
            json!({"tags": {"a": "b"}}),
        ] {
            assert_eq!(ids(&same), before, "{same}");
        }
        assert_eq!(ids(&json!({"node_count": 3}))[..2], before);
    }

    #[test]
    fn nodes_take_deepstream_from_the_load_balancer_only_and_redis_takes_the_nodes_only() {
        let graph = desired(&config(&json!({"ssh_cidr_blocks": ["192.0.2.0/24"]})), "group", "vpc-1", &Tags::new());
        let ingress = |role| match graph.nodes.get(&NodeId::SecurityGroup(role)) {
            Some(Node::SecurityGroup(group)) => {
                let rules = group.rules.iter().filter(|rule| rule.direction == Direction::Ingress);
                rules.map(ToString::to_string).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(ingress(NODE), ["ingress tcp 22 192.0.2.0/24", "ingress tcp 6020 load-balancer security group"]);
        assert_eq!(ingress(CACHE), ["ingress tcp 6379 node security group"]);
    }
}
