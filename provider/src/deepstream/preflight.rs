//! Plan-time checks of a `codestream_deepstream_cluster` against AWS, beside those that every resource has
//! (`resource/preflight`): where its nodes are.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::future::ready;
use std::time::SystemTime;

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::value::Value;

use super::DeepstreamCluster;
use crate::aws::{Aws, RouteTableInfo, SubnetInfo};
use crate::resource::Preflight;
use crate::resource::preflight::change::Change;
use crate::resource::preflight::look_ups::Answers;
use crate::resource::preflight::network::{self, FREE_ADDRESSES};
use crate::resource::preflight::{ended, judge, judge_existence, listed, quotas};
use crate::resource::private::Private;
use crate::resource::rules::CLIENTS;
use crate::settings::Preflight as Mode;

/// The nodes that a subnet has beyond its share while one is replaced.
const NEWCOMERS: i64 = 1;

/// Checks a resolved configuration, in at most two rounds of look-ups.
pub(crate) async fn check(
    aws: &dyn Aws,
    resolved: &Value,
    prior: Option<&Value>,
    private: &Private,
    mode: Mode,
    now: SystemTime,
) -> Preflight {
    if mode == Mode::Off {
        return Preflight::default();
    }
    let change = Change::new(resolved, prior, private);
    let mut answers = Answers::default();
    let moves = change.touches(&["subnet_ids", "node_subnet_ids"]);
    let subnet_ids = if moves || change.touches(&["ip_address_type"]) { places(&change) } else { BTreeSet::new() };
    answers.first_round(aws, &change, &subnet_ids, ready(())).await;
    answers.second_round(aws, &change, moves, ready(())).await;

    let mut found = judge::<DeepstreamCluster>(&change, &answers, now);
    judge_nodes(&change, &answers, &mut found);
    judge_rules(&change, &mut found);
    ended(&change, &answers, answers.routed_vpc(&change), mode, found)
}

/// The subnets of the load balancer and of the nodes, as far as they are known.
fn places(change: &Change<'_>) -> BTreeSet<String> {
    ["subnet_ids", "node_subnet_ids"].iter().filter_map(|argument| change.set(argument)).flatten().collect()
}

/// Every client needs a rule for every listener, and whoever may log in one for SSH.
fn judge_rules(change: &Change<'_>, found: &mut Diagnostics) {
    let listeners = change.value("listeners");
    let flag = |name: &str| listeners.get(name).as_bool();
    if change.touches(&CLIENTS) || change.touches(&["listeners"]) {
        let clients: Option<Vec<BTreeSet<String>>> = CLIENTS.iter().map(|argument| change.set(argument)).collect();
        let (http, https, redirect) = (flag("http"), flag("https"), flag("redirect_http"));
        if let (Some(clients), Some(http), Some(https), Some(redirect)) = (clients, http, https, redirect) {
            let clients = clients.into_iter().flatten().collect();
            let ports = usize::from(http || redirect) + usize::from(https);
            quotas::judge_sources("client_cidr_blocks", &clients, ports, found);
        }
    }
    if change.touches(&["ssh_cidr_blocks"]) {
        quotas::judge_sources("ssh_cidr_blocks", &change.set("ssh_cidr_blocks").unwrap_or_default(), 1, found);
    }
}

/// Judges where the nodes are, and whether they can get out.
fn judge_nodes(change: &Change<'_>, answers: &Answers, found: &mut Diagnostics) {
    let Some(all) = answers.subnets.as_deref() else { return };
    if !change.touches(&["subnet_ids", "node_subnet_ids"]) {
        return;
    }
    let [balancer, nodes] = ["subnet_ids", "node_subnet_ids"].map(|argument| network::named(change, argument, all));
    if change.value("node_subnet_ids") != change.value("subnet_ids") {
        let existing = all.iter().map(|subnet| &subnet.id);
        judge_existence("Subnets", "node_subnet_ids", &change.added("node_subnet_ids"), existing, found);
        network::judge_zones(change, "node_subnet_ids", &nodes, found);
        judge_zones_served(change, &balancer, &nodes, found);
    }
    judge_space(change, &balancer, &nodes, found);
    if let Some(tables) = answers.route_tables.as_deref() {
        judge_ways_out(change, &nodes, tables, found);
    }
}

/// The load balancer must be where the nodes are. Of a subnet that was not found, the zone is not known.
fn judge_zones_served(change: &Change<'_>, balancer: &[&SubnetInfo], nodes: &[&SubnetInfo], found: &mut Diagnostics) {
    if change.set("subnet_ids").is_none_or(|ids| ids.len() != balancer.len()) {
        return;
    }
    let zones = |subnets: &[&SubnetInfo]| {
        subnets.iter().map(|subnet| subnet.availability_zone.clone()).collect::<BTreeSet<_>>()
    };
    let (served, used) = (zones(balancer), zones(nodes));
    let unserved: Vec<&String> = used.difference(&served).collect();
    if !unserved.is_empty() {
        found.error_at(
            Path::of("node_subnet_ids"),
            "Nodes where the load balancer is not",
            format!(
                "The load balancer sends no traffic to nodes in {}, where it has no subnet. Add one to subnet_ids, or \
                 leave that zone out of node_subnet_ids.",
                listed(unserved)
            ),
        );
    }
}

/// Subnets must have addresses for the nodes, beside the load balancer's where that is in them as well.
fn judge_space(change: &Change<'_>, balancer: &[&SubnetInfo], nodes: &[&SubnetInfo], found: &mut Diagnostics) {
    let subnets = change.set("node_subnet_ids").map_or(0, |ids| ids.len());
    let (Some(count), Ok(subnets)) = (change.value("node_count").as_i64(), i64::try_from(subnets)) else { return };
    if subnets == 0 {
        return;
    }
    let share = (count + subnets - 1) / subnets + NEWCOMERS;
    let added = change.added("node_subnet_ids");
    for subnet in nodes.iter().filter(|subnet| added.contains(&subnet.id)) {
        let shared = balancer.iter().any(|other| other.id == subnet.id);
        let kept = if shared { FREE_ADDRESSES } else { 0 };
        // That there is no room for the load balancer has been said.
        if subnet.free_addresses < share + kept && subnet.free_addresses >= kept {
            let beside = if shared { format!(", and {FREE_ADDRESSES} for the load balancer") } else { String::new() };
            found.error_at(
                Path::of("node_subnet_ids"),
                "A subnet is nearly full",
                format!(
                    "{} has {} free addresses, and {share} are needed there for nodes, one of them while a node is \
                     replaced{beside}. Free some, or choose another subnet of {}.",
                    subnet.id, subnet.free_addresses, subnet.availability_zone
                ),
            );
        }
    }
}

/// Nodes install deepstream when they boot, from npm and from the repositories of Amazon Linux. A mirror within the VPC
/// would do, so this is no error.
fn judge_ways_out(change: &Change<'_>, nodes: &[&SubnetInfo], tables: &[RouteTableInfo], found: &mut Diagnostics) {
    let added = change.added("node_subnet_ids");
    let is_shut =
        |subnet: &&&SubnetInfo| RouteTableInfo::of(&subnet.id, tables).is_some_and(|table| !table.leads_out());
    let shut = nodes.iter().filter(|subnet| added.contains(&subnet.id)).filter(is_shut);
    let shut: Vec<&str> = shut.map(|subnet| subnet.id.as_str()).collect();
    if !shut.is_empty() {
        found.warning_at(
            Path::of("node_subnet_ids"),
            "Nodes have no way out",
            format!(
                "The route table of {} has no route for 0.0.0.0/0, and a node installs deepstream from npm when it boots. \
                 Add such a route to a NAT gateway, or to an internet gateway where instances get public addresses; \
                 unless there is a mirror within the VPC that ami_id or user_data_extra points npm and dnf to.",
                listed(shut)
            ),
        );
    }
    let unaddressed = |subnet: &&&SubnetInfo| {
        !subnet.gives_public_addresses && RouteTableInfo::of(&subnet.id, tables).is_some_and(RouteTableInfo::is_public)
    };
    let unaddressed = nodes.iter().filter(|subnet| added.contains(&subnet.id)).filter(unaddressed);
    let unaddressed: Vec<&str> = unaddressed.map(|subnet| subnet.id.as_str()).collect();
    if !unaddressed.is_empty() {
        found.warning_at(
            Path::of("node_subnet_ids"),
            "Nodes get no public addresses",
            format!(
                "{} leads out through an internet gateway, and gives instances no public addresses, without which they \
                 cannot use it: a node could not install deepstream when it boots. Let the subnet assign public IPv4 \
                 addresses, or set node_subnet_ids to subnets behind a NAT gateway.",
                listed(unaddressed)
            ),
        );
    }
}
