//! The questions of the checks to AWS, beside those that every resource has: about the hosts, and who may reach whom.

use std::collections::BTreeSet;

use futures_util::future::{OptionFuture, join};

use super::access::{managed, walls};
use super::touches_ports;
use crate::aws::{Aws, InstanceInfo, SecurityGroupInfo, SecurityGroupKey, VpcInfo};
use crate::resource::preflight::change::Change;
use crate::resource::preflight::look_ups::Answers;

/// What AWS answered about the hosts behind the load balancer; `None` where it was not asked, or did not say.
pub(super) struct Hosts {
    pub(super) instances: Option<Vec<InstanceInfo>>,
    pub(super) vpc: Option<VpcInfo>,
    /// Those of the instances, and those that the user brings along.
    pub(super) security_groups: Option<Vec<SecurityGroupInfo>>,
}

/// Asks all that the checks of a change need to know.
pub(super) async fn ask(aws: &dyn Aws, change: &Change<'_>) -> (Answers, Hosts) {
    let mut answers = Answers::default();
    let with_subnets = change.touches(&["subnet_ids", "ip_address_type", "instance_ids"]);
    let subnet_ids = if with_subnets { change.set("subnet_ids").unwrap_or_default() } else { BTreeSet::new() };
    let about_instances = ["subnet_ids", "instance_ids", "security_group_ids", "instance_security_group_id"];
    let with_instances = change.touches(&about_instances) || touches_ports(change, "target_port");
    let instance_ids = with_instances.then(|| change.set("instance_ids"));
    let instance_ids = instance_ids.flatten().filter(|ids| !ids.is_empty());
    let instances = OptionFuture::from(instance_ids.as_ref().map(|ids| aws.instances(ids)));
    let instances = answers.first_round(aws, change, &subnet_ids, instances).await;
    let instances = answers.take("the instances", instances);

    let vpc_id = answers.vpc_id(change);
    let with_routes = change.text("scheme") == Some("internet-facing") && change.touches(&["subnet_ids"]);
    let walls = walls(change, instances.as_deref().unwrap_or_default());
    // The routes tell the blocks, too.
    let walled = vpc_id.as_deref().filter(|_| !walls.is_empty() && !with_routes);
    let groups = walls.into_keys().flatten().chain(change.added("security_group_ids"));
    let groups: BTreeSet<String> = groups.chain(managed(change).map(str::to_owned)).collect();
    let groups = (!groups.is_empty()).then_some(SecurityGroupKey::Ids(groups));
    let vpc = OptionFuture::from(walled.map(|id| aws.vpc(id)));
    let groups = OptionFuture::from(groups.as_ref().map(|key| aws.security_groups(key)));
    let (vpc, groups) = answers.second_round(aws, change, with_routes, join(vpc, groups)).await;
    let vpc = answers.take("the address blocks of the VPC", vpc).flatten().or_else(|| answers.routed_vpc(change));
    let security_groups = answers.take("the security groups", groups);
    (answers, Hosts { instances, vpc, security_groups })
}
