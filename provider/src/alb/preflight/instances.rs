//! Judges the instances: whether they run, and whether they are where the load balancer is.

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;

use super::look_ups::Hosts;
use crate::aws::InstanceInfo;
use crate::resource::preflight::change::Change;
use crate::resource::preflight::judge_existence;
use crate::resource::preflight::look_ups::Answers;

pub(super) fn judge(change: &Change<'_>, answers: &Answers, hosts: &Hosts, found: &mut Diagnostics) {
    let Some(instances) = &hosts.instances else { return };
    judge_instances(change, instances, found);
    judge_places(change, answers, instances, found);
}

fn judge_instances(change: &Change<'_>, instances: &[InstanceInfo], found: &mut Diagnostics) {
    let added = change.added("instance_ids");
    judge_existence("Instances", "instance_ids", &added, instances.iter().map(|instance| &instance.id), found);
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
