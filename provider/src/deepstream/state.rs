//! The state of `codestream_deepstream_cluster`: what the observed graph says, in the terms of the arguments.
//!
//! Used after a read and after an apply, whatever its end, so that the state always tells what exists. What AWS does not
//! tell of a node, the node's name does: it changes with everything that the node is made of.

use std::collections::{BTreeMap, BTreeSet};

use tfplugin::value::Value;

use super::config::Config;
use super::desired::{CACHE, HTTP_PORT, HTTPS_PORT, IDLE_TIMEOUT, NODE, SSH_PORT};
use super::plan::{node_name, put_texts, put_url};
use super::resolve::resolve;
use crate::aws::CacheSettings;
use crate::resource::LOAD_BALANCER;
use crate::resource::outputs::{self, agreed, health_check, number, stickiness, without_argument};
use crate::resource::private::Applied;
use crate::resource::sources::{self, ingress, served_ports};
use crate::resource::topology::topology;
use crate::stack::cluster::{Cache, Instance, parameter_group};
use crate::stack::{Action, Existing, Listener, Node, NodeId, Observed, Ref, TargetGroup};

/// The state for a graph. `base` is the last state, or the planned one: what it says holds where the graph says
/// nothing.
pub(crate) fn state(base: &Value, observed: &Observed, applied: Option<&Applied>) -> Value {
    let mut state = base.clone().unknown_as_null();
    let common = outputs::View { base, observed, applied, shared_roles: &[] };
    common.balancer(&mut state);
    if let Some(balancer) = observed.balancer(&NodeId::LoadBalancer) {
        state.put("idle_timeout", number(&balancer.attributes, IDLE_TIMEOUT));
        state.put("load_balancer_attributes", without_argument(&balancer.attributes, &[IDLE_TIMEOUT]));
    }
    put_listeners(&mut state, observed);
    put_group(&mut state, observed);
    put_cache(&mut state, observed);
    put_instances(&mut state, observed);
    common.records(&mut state);
    common.tags(&mut state);
    state.put("ready", outputs::serves(observed, group(&state, observed)));
    state.put("topology", topology(resolved(&state, observed).iter(), true));
    put_url(&mut state);
    let config = Config::parse(&state);
    put_texts(&mut state, config.as_ref());
    state.unknown_as_null()
}

/// The graph with the instances of target groups by their ids. AWS tells the parameter group of a cache by its nodes
/// only: without one it counts as right.
fn resolved(state: &Value, observed: &Observed) -> BTreeMap<NodeId, Node> {
    let version = state.get("cache").get("engine_version").as_str();
    let known = |target: &Ref| observed.resolve(target).map_or_else(|| target.clone(), Ref::Known);
    let node = |existing: &Existing| match &existing.node {
        Node::TargetGroup(group) => {
            let targets = group.targets.iter().map(known).collect();
            Node::TargetGroup(TargetGroup { targets, ..group.clone() })
        }
        Node::Cache(cache) if cache.settings.parameter_group.is_none() => {
            let settings = CacheSettings { parameter_group: version.map(parameter_group), ..cache.settings.clone() };
            Node::Cache(Cache { settings, ..cache.clone() })
        }
        other => other.clone(),
    };
    observed.nodes.iter().map(|(id, existing)| (id.clone(), node(existing))).collect()
}

fn listener(observed: &Observed, port: u16) -> Option<&Listener> {
    observed.listener(&NodeId::Listener(port))
}

fn put_listeners(state: &mut Value, observed: &Observed) {
    let mut listeners = state.get("listeners").clone();
    match listener(observed, HTTP_PORT).map(|listener| &listener.action) {
        Some(Action::RedirectToHttps(_)) => listeners.put("redirect_http", true),
        Some(_) => {
            listeners.put("http", true);
            listeners.put("redirect_http", false);
        }
        None if listeners.get("redirect_http").as_bool() == Some(true) => listeners.put("redirect_http", false),
        None => listeners.put("http", false),
    }
    let encrypted = listener(observed, HTTPS_PORT);
    listeners.put("https", encrypted.is_some());
    state.put("listeners", listeners);
    if let Some(encrypted) = encrypted {
        state.put("certificate_arn", encrypted.certificate_arn.as_ref());
        state.put("ssl_policy", encrypted.ssl_policy.as_ref());
    }
    state.put("http_listener_arn", observed.id(&NodeId::Listener(HTTP_PORT)));
    state.put("https_listener_arn", observed.id(&NodeId::Listener(HTTPS_PORT)));
}

/// The target group: one that a listener sends traffic to, else the one of the last state.
fn group<'a>(state: &Value, observed: &'a Observed) -> Option<(&'a NodeId, &'a TargetGroup)> {
    let weight = |id: &NodeId| {
        let weights = observed.listeners().filter_map(|(_, listener)| match &listener.action {
            Action::Forward(weights) | Action::Other(_, weights) => weights.get(&Ref::Of(id.clone())).copied(),
            Action::RedirectToHttps(_) => None,
        });
        weights.max().unwrap_or(-1)
    };
    let last = state.get("target_group_name").as_str();
    observed.target_groups().max_by_key(|(id, group)| (weight(id), Some(group.name.as_str()) == last))
}

fn put_group(state: &mut Value, observed: &Observed) {
    let found = group(state, observed);
    state.put("target_group_arn", found.and_then(|(id, _)| observed.id(id)));
    let Some((_, group)) = found else { return };
    state.put("target_group_name", &group.name);
    state.put("port", i64::from(group.port));
    state.put("health_check", health_check(&group.health_check));
    state.put("deregistration_delay", number(&group.attributes, "deregistration_delay.timeout_seconds"));
    let last = state.get("stickiness").clone();
    state.put("stickiness", stickiness(&group.attributes, &last));
}

/// The cache. Where there are two, the one that is wanted is the one of the last state's configuration.
fn put_cache(state: &mut Value, observed: &Observed) {
    state.put("node_security_group_id", observed.id(&NodeId::SecurityGroup(NODE)));
    state.put("cache_security_group_id", observed.id(&NodeId::SecurityGroup(CACHE)));
    if !state.get("cache").get("endpoint").is_null() {
        let left = observed.all_caches().next().and_then(|(id, _)| observed.id(id));
        state.put("cache_arn", left);
        state.put("cache_endpoint", state.get("cache").get("endpoint").clone());
        return;
    }
    let wanted = Config::parse(state).and_then(|config| super::desired::cache_id(&config)).map(NodeId::Cache);
    let found = wanted
        .as_ref()
        .and_then(|id| observed.cache(id).map(|cache| (id, cache)))
        .or_else(|| observed.all_caches().next());
    // One that is left of a replacement shows in its place, so that the next plan has something to do.
    let left = observed.all_caches().find(|(id, _)| found.is_some_and(|(found, _)| found != *id));
    // One that somebody deletes, or that could not be set up, is as good as gone.
    let stays = |id: &&NodeId| observed.caches.get(*id).is_none_or(|facts| !facts.deleting && !facts.failed);
    let shown = left.or(found).map(|(id, _)| id).filter(stays);
    state.put("cache_arn", shown.and_then(|id| observed.id(id)));
    let endpoint = shown.and_then(|id| observed.caches.get(id)).and_then(|facts| facts.endpoint.as_ref());
    state.put("cache_endpoint", endpoint.map(|(host, port)| format!("{host}:{port}")));
    let Some((_, there)) = found else { return };
    let mut cache = state.get("cache").clone();
    cache.put("node_type", &there.settings.node_type);
    if let Some(version) = &there.settings.engine_version {
        cache.put("engine_version", version);
    }
    cache.put("replica_count", there.settings.replica_count);
    cache.put("automatic_failover", there.settings.automatic_failover);
    cache.put("transit_encryption", there.transit_encryption.is_on());
    cache.put("at_rest_encryption", there.at_rest_encryption);
    state.put("cache", cache);
    let subnets = observed.subnet_groups().next().map(|(_, group)| &group.subnet_ids);
    let wanted = state.get("node_subnet_ids").clone();
    if let (Some(subnets), Some(wanted)) = (subnets, wanted.as_list()) {
        // Those that the cache does not know yet are still to be added.
        let known = wanted.iter().filter_map(Value::as_str).filter(|id| subnets.contains(*id));
        state.put("node_subnet_ids", Value::set(known));
    }
}

/// The nodes. An argument about all of them keeps its last value where they differ.
fn put_instances(state: &mut Value, observed: &Observed) {
    let mut all: Vec<(&NodeId, &Instance)> = observed.all_instances().collect();
    all.sort_by_key(|(id, instance)| (instance.slot, (*id).clone()));
    let nodes = all.iter().map(|(id, _)| {
        let facts = observed.instances.get(*id);
        Value::object([
            ("name", Value::from(node_name(id))),
            ("instance_id", Value::from(observed.id(id))),
            ("availability_zone", Value::from(facts.map(|facts| facts.availability_zone.as_str()))),
            ("private_ip", Value::from(facts.and_then(|facts| facts.private_ip.as_deref()))),
        ])
    });
    state.put("nodes", Value::List(nodes.collect()));
    state.put("node_count", i64::try_from(all.len()).unwrap_or(i64::MAX));
    let instances = || all.iter().map(|(_, instance)| instance);
    if let Some(id) = agreed(instances().map(|instance| Some(&instance.image_id))).flatten() {
        state.put("ami_id", id);
    }
    if let Some(kind) = agreed(instances().map(|instance| Some(&instance.instance_type))).flatten() {
        state.put("instance_type", kind);
    }
    if let Some(key) = agreed(instances().map(|instance| instance.key_name.as_ref())) {
        state.put("key_name", key);
    }
    if let Some(profile) = agreed(instances().map(|instance| instance.instance_profile.as_ref())) {
        state.put("iam_instance_profile", profile);
    }
}

/// Completes the little that an import knows: arguments that AWS does not tell take their defaults, and the sources of
/// traffic are read off the security groups' rules. The rest is `state`'s to fill in.
pub(crate) fn imported(state: &Value, observed: &Observed) -> Value {
    let mut given = state.clone();
    given.put("tags", outputs::imported_tags(observed));
    let subnets: BTreeSet<&String> = observed.all_instances().map(|(_, instance)| &instance.subnet_id).collect();
    if !subnets.is_empty() {
        given.put("node_subnet_ids", Value::set(subnets));
    }
    if let Some(balancer) = observed.balancer(&NodeId::LoadBalancer) {
        given.put("subnet_ids", Value::set(&balancer.subnet_ids));
    }
    sources::put_clients(&mut given, ingress(observed, LOAD_BALANCER, &served_ports(observed)));
    sources::put_blocks(&mut given, "ssh_cidr_blocks", ingress(observed, NODE, &[i64::from(SSH_PORT)].into()));
    resolve(&given)
}
