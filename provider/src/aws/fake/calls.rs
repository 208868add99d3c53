//! The trait [`Aws`], call by call, on the state.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

use super::{ACCOUNT, FakeAws, launches};
use crate::aws::{
    Attributes, Aws, CacheSettings, CacheSubnetGroupInfo, CertificateInfo, Direction, HealthCheck, InstanceInfo,
    LaunchedInfo, ListenerInfo, ListenerRuleInfo, ListenerSettings, LoadBalancerInfo, LoadBalancerKey, MetadataOptions,
    NetworkInterfaceInfo, NewInstance, NewLoadBalancer, NewReplicationGroup, NewSecurityGroup, NewTargetGroup,
    RecordChange, RecordInfo, ReplicationGroupInfo, Result, RouteTableInfo, RuleSettings, SecurityGroupInfo,
    SecurityGroupKey, SubnetInfo, Tags, TargetGroupInfo, TargetHealth, TransitEncryption, VpcInfo,
};

/// Several ids, for the log.
fn joined(ids: &BTreeSet<String>) -> String {
    ids.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

/// The operation for one direction.
fn directed(direction: Direction, ingress: &'static str, egress: &'static str) -> &'static str {
    match direction {
        Direction::Ingress => ingress,
        Direction::Egress => egress,
    }
}

#[async_trait]
impl Aws for FakeAws {
    async fn account_id(&self) -> Result<String> {
        self.call("sts:GetCallerIdentity", "", |_| Ok(ACCOUNT.to_owned())).await
    }
    async fn load_balancer(&self, key: &LoadBalancerKey) -> Result<Option<LoadBalancerInfo>> {
        let (LoadBalancerKey::Arn(text) | LoadBalancerKey::Name(text)) = key;
        self.call("elasticloadbalancing:DescribeLoadBalancers", text, |state| Ok(state.load_balancer(key))).await
    }
    async fn load_balancer_attributes(&self, arn: &str) -> Result<Attributes> {
        self.call("elasticloadbalancing:DescribeLoadBalancerAttributes", arn, |state| {
            Ok(state.load_balancers.get(arn).map(|found| found.attributes.clone()).unwrap_or_default())
        })
        .await
    }
    async fn create_load_balancer(&self, new: &NewLoadBalancer) -> Result<LoadBalancerInfo> {
        self.call("elasticloadbalancing:CreateLoadBalancer", &new.name, |state| state.create_load_balancer(new)).await
    }
    async fn modify_load_balancer_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        self.call("elasticloadbalancing:ModifyLoadBalancerAttributes", arn, |state| {
            state.modify_load_balancer_attributes(arn, attributes)
        })
        .await
    }
    async fn set_subnets(&self, arn: &str, subnet_ids: &BTreeSet<String>) -> Result<()> {
        self.call("elasticloadbalancing:SetSubnets", arn, |state| state.set_subnets(arn, subnet_ids)).await
    }
    async fn set_security_groups(&self, arn: &str, security_groups: &BTreeSet<String>) -> Result<()> {
        self.call("elasticloadbalancing:SetSecurityGroups", arn, |state| {
            state.set_security_groups(arn, security_groups)
        })
        .await
    }
    async fn set_ip_address_type(&self, arn: &str, ip_address_type: &str) -> Result<()> {
        self.call("elasticloadbalancing:SetIpAddressType", arn, |state| state.set_ip_address_type(arn, ip_address_type))
            .await
    }
    async fn delete_load_balancer(&self, arn: &str) -> Result<()> {
        self.call("elasticloadbalancing:DeleteLoadBalancer", arn, |state| state.delete_load_balancer(arn)).await
    }

    async fn target_groups_of(&self, load_balancer_arn: &str) -> Result<Vec<TargetGroupInfo>> {
        self.call("elasticloadbalancing:DescribeTargetGroups", load_balancer_arn, |state| {
            Ok(state.target_groups_where(|info| state.load_balancers_of(&info.arn).contains(load_balancer_arn)))
        })
        .await
    }
    async fn target_groups(&self, arns: &BTreeSet<String>) -> Result<Vec<TargetGroupInfo>> {
        self.call("elasticloadbalancing:DescribeTargetGroups", &joined(arns), |state| {
            Ok(state.target_groups_where(|info| arns.contains(&info.arn)))
        })
        .await
    }
    async fn target_groups_named(&self, prefix: &str) -> Result<Vec<TargetGroupInfo>> {
        self.call("elasticloadbalancing:DescribeTargetGroups", prefix, |state| {
            Ok(state.target_groups_where(|info| info.name.starts_with(prefix)))
        })
        .await
    }
    async fn target_group_attributes(&self, arn: &str) -> Result<Attributes> {
        self.call("elasticloadbalancing:DescribeTargetGroupAttributes", arn, |state| {
            Ok(state.target_groups.get(arn).map(|found| found.attributes.clone()).unwrap_or_default())
        })
        .await
    }
    async fn create_target_group(&self, new: &NewTargetGroup) -> Result<String> {
        self.call("elasticloadbalancing:CreateTargetGroup", &new.name, |state| state.create_target_group(new)).await
    }
    async fn modify_target_group(&self, arn: &str, health_check: &HealthCheck) -> Result<()> {
        self.call("elasticloadbalancing:ModifyTargetGroup", arn, |state| state.modify_target_group(arn, health_check))
            .await
    }
    async fn modify_target_group_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()> {
        self.call("elasticloadbalancing:ModifyTargetGroupAttributes", arn, |state| {
            state.modify_target_group_attributes(arn, attributes)
        })
        .await
    }
    async fn delete_target_group(&self, arn: &str) -> Result<()> {
        self.call("elasticloadbalancing:DeleteTargetGroup", arn, |state| state.delete_target_group(arn)).await
    }
    async fn register_targets(&self, arn: &str, instance_ids: &BTreeSet<String>) -> Result<()> {
        self.call("elasticloadbalancing:RegisterTargets", arn, |state| state.register_targets(arn, instance_ids)).await
    }
    async fn deregister_targets(&self, arn: &str, registrations: &BTreeSet<String>) -> Result<()> {
        self.call("elasticloadbalancing:DeregisterTargets", arn, |state| state.deregister_targets(arn, registrations))
            .await
    }
    async fn target_health(&self, arn: &str) -> Result<Vec<TargetHealth>> {
        self.call("elasticloadbalancing:DescribeTargetHealth", arn, |state| Ok(state.target_health(arn))).await
    }

    async fn listeners_by_arn(&self, arns: &BTreeSet<String>) -> Result<Vec<ListenerInfo>> {
        self.call("elasticloadbalancing:DescribeListeners", &joined(arns), |state| {
            Ok(state.listeners_where(|arn, _| arns.contains(arn)))
        })
        .await
    }
    async fn listeners(&self, load_balancer_arn: &str) -> Result<Vec<ListenerInfo>> {
        self.call("elasticloadbalancing:DescribeListeners", load_balancer_arn, |state| {
            Ok(state.listeners_of(load_balancer_arn))
        })
        .await
    }
    async fn additional_certificates(&self, listener_arn: &str) -> Result<BTreeSet<String>> {
        self.call("elasticloadbalancing:DescribeListenerCertificates", listener_arn, |state| {
            Ok(state.listeners.get(listener_arn).map(|found| found.additional_certificates.clone()).unwrap_or_default())
        })
        .await
    }
    async fn listener_rules(&self, listener_arn: &str) -> Result<Vec<ListenerRuleInfo>> {
        self.call("elasticloadbalancing:DescribeRules", listener_arn, |state| Ok(state.listener_rules(listener_arn)))
            .await
    }
    async fn has_ssl_policy(&self, name: &str) -> Result<bool> {
        self.call("elasticloadbalancing:DescribeSSLPolicies", name, |state| Ok(state.ssl_policies.contains(name))).await
    }
    async fn create_listener(
        &self,
        load_balancer_arn: &str,
        settings: &ListenerSettings,
        tags: &Tags,
    ) -> Result<String> {
        let detail = format!("{load_balancer_arn}:{}", settings.port);
        let create = "elasticloadbalancing:CreateListener";
        self.call(create, &detail, |state| state.create_listener(load_balancer_arn, settings, tags)).await
    }
    async fn modify_listener(&self, arn: &str, settings: &ListenerSettings) -> Result<()> {
        self.call("elasticloadbalancing:ModifyListener", arn, |state| state.modify_listener(arn, settings)).await
    }
    async fn add_listener_certificates(&self, arn: &str, certificate_arns: &BTreeSet<String>) -> Result<()> {
        self.call("elasticloadbalancing:AddListenerCertificates", arn, |state| {
            state.add_listener_certificates(arn, certificate_arns)
        })
        .await
    }
    async fn remove_listener_certificates(&self, arn: &str, certificate_arns: &BTreeSet<String>) -> Result<()> {
        self.call("elasticloadbalancing:RemoveListenerCertificates", arn, |state| {
            state.remove_listener_certificates(arn, certificate_arns)
        })
        .await
    }
    async fn delete_listener(&self, arn: &str) -> Result<()> {
        self.call("elasticloadbalancing:DeleteListener", arn, |state| state.delete_listener(arn)).await
    }

    async fn tags(&self, arns: &BTreeSet<String>) -> Result<BTreeMap<String, Tags>> {
        self.call("elasticloadbalancing:DescribeTags", &joined(arns), |state| {
            let found = arns.iter().filter_map(|arn| Some((arn.clone(), state.elb_tags(arn).ok()?.clone())));
            Ok(found.collect())
        })
        .await
    }
    async fn add_tags(&self, arn: &str, tags: &Tags) -> Result<()> {
        let add = |present: &mut Tags| present.extend(tags.clone());
        self.call("elasticloadbalancing:AddTags", arn, |state| state.change_elb_tags(arn, add)).await
    }
    async fn remove_tags(&self, arn: &str, keys: &BTreeSet<String>) -> Result<()> {
        let remove = |present: &mut Tags| present.retain(|key, _| !keys.contains(key));
        self.call("elasticloadbalancing:RemoveTags", arn, |state| state.change_elb_tags(arn, remove)).await
    }

    async fn security_groups(&self, key: &SecurityGroupKey) -> Result<Vec<SecurityGroupInfo>> {
        let detail = match key {
            SecurityGroupKey::Ids(ids) => joined(ids),
            SecurityGroupKey::Name { name, .. } => name.clone(),
            SecurityGroupKey::Tag { key, value } => format!("{key}={value}"),
            SecurityGroupKey::Naming(id) => id.clone(),
        };
        self.call("ec2:DescribeSecurityGroups", &detail, |state| Ok(state.security_groups(key))).await
    }
    async fn security_group_rule_tags(&self, group_id: &str) -> Result<Vec<(String, RuleSettings, Tags)>> {
        self.call("ec2:DescribeSecurityGroupRules", group_id, |state| {
            let rules = state.security_groups.get(group_id).into_iter().flat_map(|group| &group.rules);
            Ok(rules.map(|(id, (rule, tags))| (id.clone(), rule.clone(), tags.clone())).collect())
        })
        .await
    }
    async fn tagged_rules(&self, key: &str, value: &str) -> Result<Vec<(String, Tags)>> {
        self.call("ec2:DescribeSecurityGroupRules", &format!("{key}={value}"), |state| {
            let all =
                state.security_groups.iter().flat_map(|(id, group)| group.rules.values().map(move |rule| (id, rule)));
            let tagged = all.filter(|(_, (_, tags))| tags.get(key).is_some_and(|found| found == value));
            Ok(tagged.map(|(id, (_, tags))| (id.clone(), tags.clone())).collect())
        })
        .await
    }
    async fn create_security_group(&self, new: &NewSecurityGroup) -> Result<String> {
        self.call("ec2:CreateSecurityGroup", &new.name, |state| state.create_security_group(new)).await
    }
    async fn authorize_rules(
        &self,
        group_id: &str,
        direction: Direction,
        rules: &BTreeSet<RuleSettings>,
        tags: &Tags,
    ) -> Result<()> {
        let operation = directed(direction, "ec2:AuthorizeSecurityGroupIngress", "ec2:AuthorizeSecurityGroupEgress");
        self.call(operation, group_id, |state| state.authorize_rules(group_id, direction, rules, tags)).await
    }
    async fn revoke_rules(&self, group_id: &str, direction: Direction, rules: &BTreeSet<RuleSettings>) -> Result<()> {
        let operation = directed(direction, "ec2:RevokeSecurityGroupIngress", "ec2:RevokeSecurityGroupEgress");
        self.call(operation, group_id, |state| state.revoke_rules(group_id, direction, rules)).await
    }
    async fn describe_rules(&self, group_id: &str, direction: Direction, rules: &BTreeSet<RuleSettings>) -> Result<()> {
        let operation = directed(
            direction,
            "ec2:UpdateSecurityGroupRuleDescriptionsIngress",
            "ec2:UpdateSecurityGroupRuleDescriptionsEgress",
        );
        self.call(operation, group_id, |state| state.describe_rules(group_id, direction, rules)).await
    }
    async fn delete_security_group(&self, group_id: &str) -> Result<()> {
        self.call("ec2:DeleteSecurityGroup", group_id, |state| state.delete_security_group(group_id)).await
    }
    async fn add_ec2_tags(&self, ids: &BTreeSet<String>, tags: &Tags) -> Result<()> {
        let add = |present: &mut Tags| present.extend(tags.clone());
        self.call("ec2:CreateTags", &joined(ids), |state| state.change_ec2_tags(ids, add)).await
    }
    async fn remove_ec2_tags(&self, ids: &BTreeSet<String>, tags: &BTreeMap<String, Option<String>>) -> Result<()> {
        let stays = |given: &Option<String>, value: &str| given.as_deref().is_some_and(|given| given != value);
        let remove = |present: &mut Tags| {
            present.retain(|key, value| tags.get(key).is_none_or(|given| stays(given, value.as_str())));
        };
        self.call("ec2:DeleteTags", &joined(ids), |state| state.change_ec2_tags(ids, remove)).await
    }
    async fn network_interfaces(&self, group_id: &str) -> Result<Vec<NetworkInterfaceInfo>> {
        self.call("ec2:DescribeNetworkInterfaces", group_id, |state| Ok(state.network_interfaces(group_id))).await
    }
    async fn subnets(&self, ids: &BTreeSet<String>) -> Result<Vec<SubnetInfo>> {
        self.call("ec2:DescribeSubnets", &joined(ids), |state| {
            Ok(ids.iter().filter_map(|id| state.subnets.get(id).cloned()).collect())
        })
        .await
    }
    async fn subnets_of(&self, vpc_id: &str) -> Result<Vec<SubnetInfo>> {
        self.call("ec2:DescribeSubnets", vpc_id, |state| {
            Ok(state.subnets.values().filter(|subnet| subnet.vpc_id == vpc_id).cloned().collect())
        })
        .await
    }
    async fn route_tables(&self, vpc_id: &str) -> Result<Vec<RouteTableInfo>> {
        self.call("ec2:DescribeRouteTables", vpc_id, |state| {
            let of = state.route_tables.iter().filter(|(vpc, _)| vpc == vpc_id);
            Ok(of.map(|(_, table)| table.clone()).collect())
        })
        .await
    }
    async fn nat_gateway_addresses(&self, id: &str) -> Result<BTreeSet<String>> {
        self.call("ec2:DescribeNatGateways", id, |state| Ok(state.nat_gateways.get(id).cloned().unwrap_or_default()))
            .await
    }
    async fn vpc(&self, id: &str) -> Result<Option<VpcInfo>> {
        self.call("ec2:DescribeVpcs", id, |state| Ok(state.vpcs.get(id).cloned())).await
    }
    async fn instances(&self, ids: &BTreeSet<String>) -> Result<Vec<InstanceInfo>> {
        self.call("ec2:DescribeInstances", &joined(ids), |state| {
            Ok(ids.iter().filter_map(|id| state.instances.get(id).cloned()).collect())
        })
        .await
    }

    async fn launched(&self, key: &str, value: &str) -> Result<Vec<LaunchedInfo>> {
        let detail = format!("{key}={value}");
        self.call("ec2:DescribeInstances", &detail, |state| Ok(state.launched(key, value))).await
    }
    async fn launched_by_id(&self, ids: &BTreeSet<String>) -> Result<Vec<LaunchedInfo>> {
        self.call("ec2:DescribeInstances", &joined(ids), |state| Ok(state.launched_by_id(ids))).await
    }
    async fn root_device(&self, image_id: &str) -> Result<String> {
        self.call("ec2:DescribeImages", image_id, |_| Ok(launches::ROOT_DEVICE.to_owned())).await
    }
    async fn run_instance(&self, new: &NewInstance) -> Result<String> {
        let name = new.tags.get("Name").cloned().unwrap_or_default();
        self.call("ec2:RunInstances", &name, |state| state.run_instance(new)).await
    }
    async fn modify_metadata_options(&self, id: &str, options: MetadataOptions) -> Result<()> {
        self.call("ec2:ModifyInstanceMetadataOptions", id, |state| state.modify_metadata_options(id, options)).await
    }
    async fn terminate_instance(&self, id: &str) -> Result<()> {
        self.call("ec2:TerminateInstances", id, |state| state.terminate_instance(id)).await
    }

    async fn cache_subnet_group(&self, name: &str) -> Result<Option<CacheSubnetGroupInfo>> {
        self.call("elasticache:DescribeCacheSubnetGroups", name, |state| {
            Ok(state.cache_subnet_groups.get(name).map(|group| group.info.clone()))
        })
        .await
    }
    async fn create_cache_subnet_group(
        &self,
        name: &str,
        subnet_ids: &BTreeSet<String>,
        tags: &Tags,
    ) -> Result<String> {
        self.call("elasticache:CreateCacheSubnetGroup", name, |state| {
            state.create_cache_subnet_group(name, subnet_ids, tags)
        })
        .await
    }
    async fn modify_cache_subnet_group(&self, name: &str, subnet_ids: &BTreeSet<String>) -> Result<()> {
        self.call("elasticache:ModifyCacheSubnetGroup", name, |state| state.modify_cache_subnet_group(name, subnet_ids))
            .await
    }
    async fn delete_cache_subnet_group(&self, name: &str) -> Result<()> {
        self.call("elasticache:DeleteCacheSubnetGroup", name, |state| state.delete_cache_subnet_group(name)).await
    }
    async fn replication_groups(&self, prefix: &str) -> Result<Vec<ReplicationGroupInfo>> {
        self.call("elasticache:DescribeReplicationGroups", prefix, |state| Ok(state.replication_groups(prefix))).await
    }
    async fn replication_group(&self, id: &str) -> Result<Option<ReplicationGroupInfo>> {
        self.call("elasticache:DescribeReplicationGroups", id, |state| Ok(state.replication_group(id))).await
    }
    async fn create_replication_group(&self, new: &NewReplicationGroup, auth_token: Option<&str>) -> Result<String> {
        self.call("elasticache:CreateReplicationGroup", &new.id, |state| {
            state.create_replication_group(new, auth_token)
        })
        .await
    }
    async fn modify_replication_group(&self, id: &str, _there: &CacheSettings, wanted: &CacheSettings) -> Result<()> {
        self.call("elasticache:ModifyReplicationGroup", id, |state| state.modify_replication_group(id, wanted)).await
    }
    async fn set_transit_encryption(&self, id: &str, wanted: TransitEncryption) -> Result<()> {
        self.call("elasticache:ModifyReplicationGroup", id, |state| state.set_transit_encryption(id, wanted)).await
    }
    async fn set_cache_security_groups(&self, id: &str, groups: &BTreeSet<String>) -> Result<()> {
        self.call("elasticache:ModifyReplicationGroup", id, |state| state.set_cache_security_groups(id, groups)).await
    }
    async fn set_replica_count(&self, id: &str, before: i64, count: i64) -> Result<()> {
        let operation =
            if count > before { "elasticache:IncreaseReplicaCount" } else { "elasticache:DecreaseReplicaCount" };
        self.call(operation, id, |state| state.set_replica_count(id, count)).await
    }
    async fn delete_replication_group(&self, id: &str) -> Result<()> {
        self.call("elasticache:DeleteReplicationGroup", id, |state| state.delete_replication_group(id)).await
    }
    async fn cache_tags(&self, arn: &str) -> Result<Tags> {
        self.call("elasticache:ListTagsForResource", arn, |state| {
            let told = state.busy_cache(arn).is_none();
            Ok(state.cache_tags(arn).filter(|_| told).cloned().unwrap_or_default())
        })
        .await
    }
    async fn add_cache_tags(&self, arn: &str, tags: &Tags) -> Result<()> {
        let add = |present: &mut Tags| present.extend(tags.clone());
        self.call("elasticache:AddTagsToResource", arn, |state| state.change_cache_tags(arn, add)).await
    }
    async fn remove_cache_tags(&self, arn: &str, keys: &BTreeSet<String>) -> Result<()> {
        let remove = |present: &mut Tags| present.retain(|key, _| !keys.contains(key));
        self.call("elasticache:RemoveTagsFromResource", arn, |state| state.change_cache_tags(arn, remove)).await
    }

    async fn parameter(&self, name: &str) -> Result<Option<String>> {
        self.call("ssm:GetParameter", name, |state| Ok(state.parameters.get(name).cloned())).await
    }

    async fn certificate(&self, arn: &str) -> Result<Option<CertificateInfo>> {
        self.call("acm:DescribeCertificate", arn, |state| Ok(state.certificates.get(arn).cloned())).await
    }
    async fn certificates(&self) -> Result<Vec<CertificateInfo>> {
        self.call("acm:ListCertificates", "", |state| Ok(state.certificates.values().cloned().collect())).await
    }

    async fn hosted_zone_name(&self, zone_id: &str) -> Result<Option<String>> {
        self.call("route53:GetHostedZone", zone_id, |state| Ok(state.hosted_zones.get(zone_id).cloned())).await
    }
    async fn records(&self, zone_id: &str, name: &str) -> Result<BTreeMap<String, RecordInfo>> {
        self.call("route53:ListResourceRecordSets", &format!("{zone_id} {name}"), |state| {
            let of_this_name = state.records.iter().filter(|((zone, of, _), _)| zone == zone_id && of == name);
            Ok(of_this_name.map(|((_, _, kind), record)| (kind.clone(), record.clone())).collect())
        })
        .await
    }
    async fn record(&self, zone_id: &str, name: &str, kind: &str) -> Result<Option<RecordInfo>> {
        let detail = format!("{zone_id} {name} {kind}");
        let key = (zone_id.to_owned(), name.to_owned(), kind.to_owned());
        self.call("route53:ListResourceRecordSets", &detail, |state| Ok(state.records.get(&key).cloned())).await
    }
    async fn change_records(&self, zone_id: &str, changes: &[RecordChange]) -> Result<()> {
        self.call("route53:ChangeResourceRecordSets", zone_id, |state| state.change_records(zone_id, changes)).await
    }
}
