//! Judges security groups: those of the load balancer, and those of the instances behind it.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::IpNet;
use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;

use super::look_ups::Hosts;
use super::{ports, touches_ports};
use crate::alb::desired::instance_rules_description;
use crate::aws::{Direction, InstanceInfo, Peer, RuleSettings, SecurityGroupInfo, VpcInfo};
use crate::resource::arguments::REDIRECT_PORT;
use crate::resource::preflight::change::Change;
use crate::resource::preflight::look_ups::Answers;
use crate::resource::preflight::quotas::{self, RULES};
use crate::resource::preflight::{judge_existence, listed};

const SOURCES: [&str; 4] =
    ["client_cidr_blocks", "client_ipv6_cidr_blocks", "client_prefix_list_ids", "instance_cidr_blocks"];

pub(super) fn judge(change: &Change<'_>, answers: &Answers, hosts: &Hosts, found: &mut Diagnostics) {
    judge_rule_count(change, found);
    let Some(groups) = &hosts.security_groups else { return };
    let vpc_id = answers.vpc_id(change);
    judge_groups("security_group_ids", &change.added("security_group_ids"), groups, vpc_id.as_deref(), found);
    let argument = "instance_security_group_id";
    let managed = change.text(argument).filter(|_| change.touches(&[argument])).map(str::to_owned);
    judge_groups(argument, &managed.into_iter().collect(), groups, vpc_id.as_deref(), found);
    judge_rules_of_others(change, groups, found);
    judge_room(change, groups, found);
    if let (Some(instances), Some(vpc)) = (&hosts.instances, &hosts.vpc) {
        judge_walls(change, instances, groups, vpc, found);
    }
}

fn judge_groups(
    argument: &str,
    wanted: &BTreeSet<String>,
    groups: &[SecurityGroupInfo],
    vpc_id: Option<&str>,
    found: &mut Diagnostics,
) {
    judge_existence("Security groups", argument, wanted, groups.iter().map(|group| &group.id), found);
    let Some(vpc_id) = vpc_id else { return };
    for group in groups.iter().filter(|group| wanted.contains(&group.id) && group.vpc_id != vpc_id) {
        found.error_at(
            Path::of(argument),
            "A security group is of another VPC",
            format!(
                "{} is of {}, and the load balancer is in {vpc_id}. Name a security group of {vpc_id}.",
                group.id, group.vpc_id
            ),
        );
    }
}

/// The instances' security group, when what is in it matters: it is new, or the rules that the provider keeps there
/// change and are for groups that the user brings along.
pub(super) fn managed<'a>(change: &Change<'a>) -> Option<&'a str> {
    let argument = "instance_security_group_id";
    let brought = change.set("security_group_ids").is_some_and(|ids| !ids.is_empty());
    let moved = || change.touches(&["security_group_ids"]) || touches_ports(change, "target_port");
    change.text(argument).filter(|_| change.touches(&[argument]) || brought && moved())
}

/// A rule as the provider would make it must not be there of somebody else's making: AWS takes no second one, and what
/// tells rules of the stack for other groups than its own is how they are described.
fn judge_rules_of_others(change: &Change<'_>, groups: &[SecurityGroupInfo], found: &mut Diagnostics) {
    let group = managed(change).and_then(|id| groups.iter().find(|group| group.id == id));
    let (Some(group), Some(name)) = (group, change.text("name")) else { return };
    let (Some(own), Some(ports)) = (change.set("security_group_ids"), ports(change, "target_port")) else { return };
    // Those of the stack that this one replaces are described by its name, and go before.
    if change.is_create() && change.private.rules_in.contains(&group.id) {
        return;
    }
    let description = instance_rules_description(name);
    let in_the_way = |rule: &&RuleSettings| {
        (rule.direction, rule.protocol.as_str()) == (Direction::Ingress, "tcp")
            && rule.from_port == rule.to_port
            && ports.contains(&rule.from_port)
            && matches!(&rule.peer, Peer::Group(id) if own.contains(id))
            && rule.description != description
    };
    let each: Vec<String> = group
        .rules
        .iter()
        .filter(in_the_way)
        .map(|rule| format!("tcp {} from {}", rule.from_port, rule.peer))
        .collect();
    if !each.is_empty() {
        found.error_at(
            Path::of("instance_security_group_id"),
            "Another rule lets the load balancer in already",
            format!(
                "{} has ingress rules as instance_security_group_id would make them, but under other descriptions: \
                 AWS takes no second ones. Where this resource made them, give them their description back: \
                 {description:?}. Where somebody else did, leave instance_security_group_id out:\n- {}",
                group.id,
                each.join("\n- ")
            ),
        );
    }
}

/// The security groups, each combination with its instances, that must let the load balancer in by rules of their
/// own: the provider keeps none there. Nothing when that has not changed, or what decides it is not known.
pub(super) fn walls(change: &Change<'_>, instances: &[InstanceInfo]) -> BTreeMap<BTreeSet<String>, Vec<String>> {
    let touched = change.touches(&["instance_ids", "security_group_ids", "instance_security_group_id"])
        || touches_ports(change, "target_port");
    let known = change.set("security_group_ids").is_some()
        && !change.value("instance_security_group_id").is_unknown()
        && ports(change, "target_port").is_some();
    let mut walls: BTreeMap<BTreeSet<String>, Vec<String>> = BTreeMap::new();
    if touched && known {
        let managed = change.text("instance_security_group_id");
        let walled = instances.iter().filter(|instance| !instance.security_groups.is_empty());
        for instance in walled.filter(|instance| managed.is_none_or(|id| !instance.security_groups.contains(id))) {
            walls.entry(instance.security_groups.clone()).or_default().push(instance.id.clone());
        }
    }
    walls
}

fn judge_walls(
    change: &Change<'_>,
    instances: &[InstanceInfo],
    groups: &[SecurityGroupInfo],
    vpc: &VpcInfo,
    found: &mut Diagnostics,
) {
    let mut own = change.set("security_group_ids").unwrap_or_default();
    if own.is_empty() {
        own.extend(change.last("security_group_id").map(str::to_owned));
    }
    let source = own.first().cloned().unwrap_or_else(|| listed(&vpc.cidr_blocks));
    for (wall, behind) in walls(change, instances) {
        let rules = || groups.iter().filter(|group| wall.contains(&group.id)).flat_map(|group| &group.rules);
        let shut = ports(change, "target_port").unwrap_or_default();
        let shut = shut.into_iter().filter(|port| !rules().any(|rule| lets_in(rule, *port, vpc, &own)));
        let missing: Vec<String> = shut.map(|port| format!("tcp {port} from {source}")).collect();
        let Some(group) = wall.first().filter(|_| !missing.is_empty()) else { continue };
        found.warning_at(
            Path::of("instance_security_group_id"),
            "The instances do not let the load balancer in",
            format!(
                "No rule of {}, the security groups of {}, lets the load balancer in on every target port. Set \
                 instance_security_group_id = {group:?} to have the provider keep such rules there, or add to {group} \
                 these ingress rules:\n- {}",
                listed(&wall),
                listed(behind),
                missing.join("\n- ")
            ),
        );
    }
}

/// Whether a rule lets the load balancer in. It speaks IPv4 to instances, from addresses in its subnets: a rule for a
/// part of the VPC may be for just those. What is in a prefix list is its owner's to know.
fn lets_in(rule: &RuleSettings, port: i64, vpc: &VpcInfo, load_balancer: &BTreeSet<String>) -> bool {
    let on_port = rule.protocol == "-1" || rule.protocol == "tcp" && (rule.from_port..=rule.to_port).contains(&port);
    let from_there = match &rule.peer {
        Peer::Cidr(block) => vpc.cidr_blocks.iter().any(|own| overlap(block, own)),
        Peer::PrefixList(_) => true,
        Peer::Group(group) => load_balancer.contains(group),
    };
    rule.direction == Direction::Ingress && on_port && from_there
}

/// Whether one block is in the other.
fn overlap(one: &str, other: &str) -> bool {
    let (Ok(one), Ok(other)) = (one.parse::<IpNet>(), other.parse::<IpNet>()) else { return false };
    one.contains(&other) || other.contains(&one)
}

/// Every source needs a rule for every listener.
fn judge_rule_count(change: &Change<'_>, found: &mut Diagnostics) {
    let touched =
        change.touches(&SOURCES) || change.touches(&["redirect_http"]) || touches_ports(change, "listener_port");
    if !touched || !change.value("security_group_ids").is_null() {
        return;
    }
    let sources: Option<Vec<BTreeSet<String>>> = SOURCES.iter().map(|argument| change.set(argument)).collect();
    let (Some(sources), Some(mut ports)) = (sources, ports(change, "listener_port")) else { return };
    if change.value("redirect_http").as_bool() == Some(true) {
        ports.insert(i64::from(REDIRECT_PORT));
    }
    let sources: BTreeSet<String> = sources.into_iter().flatten().collect();
    quotas::judge_sources("client_cidr_blocks", &sources, ports.len(), found);
}

/// The rules that are kept in the instances' security group must fit beside its others.
fn judge_room(change: &Change<'_>, groups: &[SecurityGroupInfo], found: &mut Diagnostics) {
    let argument = "instance_security_group_id";
    let group = change.text(argument).filter(|_| change.touches(&[argument]));
    let group = group.and_then(|id| groups.iter().find(|group| group.id == id));
    let (Some(group), Some(ports)) = (group, ports(change, "target_port")) else { return };
    let ingress = group.rules.iter().filter(|rule| rule.direction == Direction::Ingress);
    let there = quotas::of_one_family(ingress.map(|rule| rule.peer.to_string()));
    let account = format!(
        "{} has {there} ingress rules of one address family and gets {} more from the provider",
        group.id,
        ports.len()
    );
    RULES.judge(argument, there + ports.len(), &account, "Remove rules that are not needed", found);
}
