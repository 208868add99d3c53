//! Judges where a load balancer is: its subnets, and their routes.

use std::collections::BTreeMap;

use tfplugin::diagnostics::{Diagnostic, Diagnostics, Severity};
use tfplugin::path::Path;

use super::change::Change;
use super::look_ups::Answers;
use super::{judge_existence, listed};
use crate::aws::{RouteTableInfo, SubnetInfo};

/// Addresses that a load balancer needs in each of its subnets (Application Load Balancers guide, "Subnets for your
/// load balancer").
pub(crate) const FREE_ADDRESSES: i64 = 8;

/// The VPC of subnets, when they are all of one.
pub(super) fn common_vpc(subnets: &[SubnetInfo]) -> Option<&str> {
    let first = subnets.first()?;
    subnets.iter().all(|subnet| subnet.vpc_id == first.vpc_id).then_some(first.vpc_id.as_str())
}

/// Those of the subnets that a set names; none while it is unknown.
pub(crate) fn named<'a>(change: &Change<'_>, argument: &str, subnets: &'a [SubnetInfo]) -> Vec<&'a SubnetInfo> {
    let ids = change.set(argument).unwrap_or_default();
    subnets.iter().filter(|subnet| ids.contains(&subnet.id)).collect()
}

pub(super) fn judge(change: &Change<'_>, answers: &Answers, found: &mut Diagnostics) {
    let Some(all) = &answers.subnets else { return };
    let subnets = named(change, "subnet_ids", all);
    judge_existence("Subnets", "subnet_ids", &change.added("subnet_ids"), all.iter().map(|subnet| &subnet.id), found);
    judge_vpc(change, all, found);
    judge_zones(change, "subnet_ids", &subnets, found);
    judge_space(change, &subnets, found);
    judge_families(change, &subnets, found);
    if let Some(tables) = &answers.route_tables {
        judge_routes(change, &subnets, tables, found);
    }
}

fn judge_vpc(change: &Change<'_>, subnets: &[SubnetInfo], found: &mut Diagnostics) {
    if !change.touches(&["subnet_ids", "node_subnet_ids"]) {
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
                "The subnets are {}. A load balancer and the instances behind it are in one VPC: keep the subnets of \
                 the instances' VPC.",
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

/// Of the subnets that a set names, no two may be in one zone.
pub(crate) fn judge_zones(change: &Change<'_>, argument: &str, subnets: &[&SubnetInfo], found: &mut Diagnostics) {
    let mut by_zone: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for subnet in subnets {
        by_zone.entry(&subnet.availability_zone).or_default().push(&subnet.id);
    }
    for (zone, ids) in by_zone.iter().filter(|(_, ids)| ids.len() > 1 && change.touches(&[argument])) {
        found.error_at(
            Path::of(argument),
            "Two subnets in one availability zone",
            format!(
                "{} are all in {zone}, and {argument} takes one subnet of each zone. Keep one of them; at least two \
                 zones are needed.",
                listed(ids)
            ),
        );
    }
}

fn judge_space(change: &Change<'_>, subnets: &[&SubnetInfo], found: &mut Diagnostics) {
    let added = change.added("subnet_ids");
    for subnet in subnets.iter().filter(|subnet| added.contains(&subnet.id) && subnet.free_addresses < FREE_ADDRESSES) {
        found.error_at(
            Path::of("subnet_ids"),
            "A subnet is nearly full",
            format!(
                "{} has {} free addresses, and a load balancer needs {FREE_ADDRESSES} in each of its subnets. Free \
                 some, or choose another subnet of {}.",
                subnet.id, subnet.free_addresses, subnet.availability_zone
            ),
        );
    }
}

fn judge_families(change: &Change<'_>, subnets: &[&SubnetInfo], found: &mut Diagnostics) {
    let Some(kind) = change.text("ip_address_type").filter(|kind| kind.starts_with("dualstack")) else { return };
    let without: Vec<&str> =
        subnets.iter().filter(|subnet| !subnet.has_ipv6).map(|subnet| subnet.id.as_str()).collect();
    if !without.is_empty() && change.touches(&["subnet_ids", "ip_address_type"]) {
        found.error_at(
            Path::of("ip_address_type"),
            "Subnets have no IPv6 addresses",
            format!(
                "ip_address_type is {kind:?}, and {} has no IPv6 block. Associate an IPv6 block with each subnet, or \
                 set ip_address_type = \"ipv4\".",
                listed(without)
            ),
        );
    }
}

/// Clients reach a public load balancer only where its subnets have a route to an internet gateway. A subnet without a
/// table of its own may be about to get one: Terraform makes that beside the load balancer.
fn judge_routes(change: &Change<'_>, subnets: &[&SubnetInfo], tables: &[RouteTableInfo], found: &mut Diagnostics) {
    if change.text("scheme") != Some("internet-facing") {
        return;
    }
    let added = change.added("subnet_ids");
    let is_private =
        |subnet: &&&SubnetInfo| RouteTableInfo::of(&subnet.id, tables).is_some_and(|table| !table.may_answer_clients());
    let private = subnets.iter().filter(|subnet| added.contains(&subnet.id)).filter(is_private);
    let has_own = |id: &&str| tables.iter().any(|table| table.subnet_ids.contains(*id));
    let (own, by_main): (Vec<&str>, Vec<&str>) = private.map(|subnet| subnet.id.as_str()).partition(has_own);
    for (severity, ids) in [(Severity::Error, own), (Severity::Warning, by_main)] {
        if ids.is_empty() {
            continue;
        }
        let detail = format!(
            "scheme is \"internet-facing\", and the route table of {} has no route to an internet gateway, so clients \
             cannot reach the load balancer there. Choose public subnets, add a route for 0.0.0.0/0 to an internet \
             gateway, or set scheme = \"internal\".",
            listed(ids)
        );
        let (summary, path) = ("Subnets without a route to the internet".to_owned(), Path::of("subnet_ids"));
        found.push(Diagnostic { severity, summary, detail, path });
    }
}
