//! Judges where the load balancer and its targets are: subnets, their routes, and instances.

use std::collections::{BTreeMap, BTreeSet};

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;

use super::change::Change;
use super::listed;
use super::look_ups::Answers;
use crate::aws::{InstanceInfo, RouteTableInfo, SubnetInfo};

/// Addresses that a load balancer needs in each of its subnets (Application Load Balancers guide, "Subnets for your
/// load balancer").
const FREE_ADDRESSES: i64 = 8;

/// The VPC of subnets, when they are all of one.
pub(super) fn common_vpc(subnets: &[SubnetInfo]) -> Option<&str> {
    let first = subnets.first()?;
    subnets.iter().all(|subnet| subnet.vpc_id == first.vpc_id).then_some(first.vpc_id.as_str())
}

pub(super) fn judge(change: &Change<'_>, answers: &Answers, found: &mut Diagnostics) {
    if let Some(subnets) = &answers.subnets {
        judge_subnets(change, subnets, found);
        if let Some(tables) = &answers.route_tables {
            judge_routes(change, subnets, tables, found);
        }
    }
    if let Some(instances) = &answers.instances {
        judge_instances(change, instances, found);
        judge_places(change, answers, instances, found);
    }
}

fn judge_subnets(change: &Change<'_>, subnets: &[SubnetInfo], found: &mut Diagnostics) {
    let path = || Path::of("subnet_ids");
    let existing: BTreeSet<String> = subnets.iter().map(|subnet| subnet.id.clone()).collect();
    let added = change.added("subnet_ids");
    let missing: Vec<&String> = added.difference(&existing).collect();
    if !missing.is_empty() {
        found.error_at(
            path(),
            "Subnets do not exist",
            format!(
                "There is no {} in this account and region. Correct subnet_ids, or the provider's region and \
                 credentials.",
                listed(missing)
            ),
        );
    }
    judge_vpc(change, subnets, found);
    judge_zones(change, subnets, found);
    for subnet in subnets.iter().filter(|subnet| added.contains(&subnet.id) && subnet.free_addresses < FREE_ADDRESSES) {
        found.error_at(
            path(),
            "A subnet is nearly full",
            format!(
                "{} has {} free addresses, and a load balancer needs {FREE_ADDRESSES} in each of its subnets. Free \
                 some, or choose another subnet of {}.",
                subnet.id, subnet.free_addresses, subnet.availability_zone
            ),
        );
    }
    let dualstack = change.text("ip_address_type").is_some_and(|kind| kind.starts_with("dualstack"));
    let without: Vec<&str> =
        subnets.iter().filter(|subnet| !subnet.has_ipv6).map(|subnet| subnet.id.as_str()).collect();
    if dualstack && !without.is_empty() && change.touches(&["subnet_ids", "ip_address_type"]) {
        found.error_at(
            Path::of("ip_address_type"),
            "Subnets have no IPv6 addresses",
            format!(
                "ip_address_type is {:?}, and {} has no IPv6 block. Associate an IPv6 block with each subnet, or set \
                 ip_address_type = \"ipv4\".",
                change.text("ip_address_type").unwrap_or_default(),
                listed(without)
            ),
        );
    }
}

fn judge_vpc(change: &Change<'_>, subnets: &[SubnetInfo], found: &mut Diagnostics) {
    if !change.touches(&["subnet_ids"]) {
        return;
    }
    let mut by_vpc: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for subnet in subnets {
        by_vpc.entry(&subnet.vpc_id).or_default().push(&subnet.id);
    }
    if by_vpc.len() > 1 {
        let each = by_vpc.iter().map(|(vpc, ids)| format!("{} of {vpc}", listed(ids)));
        found.error_at(
            Path::of("subnet_ids"),
            "Subnets of different VPCs",
            format!(
                "subnet_ids names {}. A load balancer is in one VPC: keep the subnets of the instances' VPC.",
                each.collect::<Vec<_>>().join(" and ")
            ),
        );
    } else if let (Some(given), Some(actual)) = (change.text("vpc_id"), common_vpc(subnets))
        && given != actual
    {
        found.error_at(
            Path::of("vpc_id"),
            "The subnets are of another VPC",
            format!(
                "vpc_id is {given:?}, and the subnets are of {actual}. Remove vpc_id, or choose subnets of that VPC."
            ),
        );
    }
}

fn judge_zones(change: &Change<'_>, subnets: &[SubnetInfo], found: &mut Diagnostics) {
    let mut by_zone: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for subnet in subnets {
        by_zone.entry(&subnet.availability_zone).or_default().push(&subnet.id);
    }
    for (zone, ids) in by_zone.iter().filter(|(_, ids)| ids.len() > 1 && change.touches(&["subnet_ids"])) {
        found.error_at(
            Path::of("subnet_ids"),
            "Two subnets in one availability zone",
            format!(
                "{} are all in {zone}, and a load balancer has one subnet in each zone. Keep one of them; at least two \
                 zones are needed.",
                listed(ids)
            ),
        );
    }
}

/// Clients reach a public load balancer only where its subnets have a route to an internet gateway.
fn judge_routes(change: &Change<'_>, subnets: &[SubnetInfo], tables: &[RouteTableInfo], found: &mut Diagnostics) {
    let added = change.added("subnet_ids");
    let is_private =
        |subnet: &&SubnetInfo| RouteTableInfo::of(&subnet.id, tables).is_some_and(|table| !table.is_public());
    let private = subnets.iter().filter(|subnet| added.contains(&subnet.id)).filter(is_private);
    let private: Vec<&str> = private.map(|subnet| subnet.id.as_str()).collect();
    if !private.is_empty() {
        found.error_at(
            Path::of("subnet_ids"),
            "Subnets without a route to the internet",
            format!(
                "scheme is \"internet-facing\", and the route table of {} has no route to an internet gateway, so \
                 clients cannot reach the load balancer there. Choose public subnets, add a route for 0.0.0.0/0 to an \
                 internet gateway, or set scheme = \"internal\".",
                listed(private)
            ),
        );
    }
}

fn judge_instances(change: &Change<'_>, instances: &[InstanceInfo], found: &mut Diagnostics) {
    let added = change.added("instance_ids");
    let existing: BTreeSet<String> = instances.iter().map(|instance| instance.id.clone()).collect();
    let missing: Vec<&String> = added.difference(&existing).collect();
    if !missing.is_empty() {
        found.error_at(
            Path::of("instance_ids"),
            "Instances do not exist",
            format!(
                "There is no {} in this account and region. Correct instance_ids, or the provider's region and \
                 credentials.",
                listed(missing)
            ),
        );
    }
    for InstanceInfo { id, state, .. } in instances.iter().filter(|instance| added.contains(&instance.id)) {
        match state.as_str() {
            "running" => {}
            "pending" => found.warning_at(
                Path::of("instance_ids"),
                "An instance is still starting",
                format!("{id} is pending, and only a running instance can be registered. Apply once it runs."),
            ),
            _ => found.error_at(
                Path::of("instance_ids"),
                "An instance does not run",
                format!("{id} is {state}, and only a running instance can be registered. Start it, or name another."),
            ),
        }
    }
}

/// Instances must be where the load balancer is. One that is terminated is nowhere.
fn judge_places(change: &Change<'_>, answers: &Answers, instances: &[InstanceInfo], found: &mut Diagnostics) {
    if !change.touches(&["subnet_ids", "instance_ids"]) {
        return;
    }
    let vpc_id = answers.vpc_id(change);
    // Of a subnet that was not found, the zone is not known.
    let complete = answers
        .subnets
        .as_ref()
        .filter(|subnets| change.set("subnet_ids").is_some_and(|ids| ids.len() == subnets.len()));
    for instance in instances.iter().filter(|instance| !instance.vpc_id.is_empty()) {
        let InstanceInfo { id, availability_zone: zone, .. } = instance;
        if let Some(vpc_id) = vpc_id.as_ref().filter(|vpc_id| **vpc_id != instance.vpc_id) {
            found.error_at(
                Path::of("instance_ids"),
                "An instance is in another VPC",
                format!(
                    "{id} is in {}, and the load balancer is in {vpc_id}. Choose subnets of the instance's VPC, or an \
                     instance of {vpc_id}.",
                    instance.vpc_id
                ),
            );
        } else if let Some(subnets) = complete
            && !subnets.iter().any(|subnet| subnet.availability_zone == *zone)
        {
            found.error_at(
                Path::of("subnet_ids"),
                "The load balancer does not serve an instance's availability zone",
                format!(
                    "{id} is in {zone}, and no subnet of subnet_ids is, so it would get no traffic. Add a subnet of \
                     {zone} to subnet_ids."
                ),
            );
        }
    }
}
