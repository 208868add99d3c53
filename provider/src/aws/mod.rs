//! AWS as this provider sees it: a narrow trait in our own types, each method one kind of API call. What comes in
//! pages, takes few identifiers a call, or has to be asked for one by one is as many calls as that takes.
//!
//! `sdk` implements it on the AWS SDK, `fake` (tests and benchmarks only) in memory. Nothing outside `sdk` names an SDK
//! type. Lookups answer `None` or an empty list for what does not exist; only changes report a missing object as an
//! error. Object arguments are AWS's own identifiers: ARNs for load balancing, ids for EC2.

mod balancing;
mod batch;
mod cluster;
mod error;
#[cfg(any(test, feature = "bench"))]
#[cfg_attr(not(test), allow(dead_code, unused_imports, reason = "the benchmarks need less of it than the tests"))]
pub(crate) mod fake;
mod network;
mod sdk;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;

pub(crate) use balancing::{
    ActionInfo, HealthCheck, ListenerInfo, ListenerRuleInfo, ListenerSettings, LoadBalancerInfo, LoadBalancerKey,
    LoadBalancerState, MUTUAL_AUTHENTICATION_OFF, NewLoadBalancer, NewTargetGroup, TargetGroupInfo, TargetHealth,
    is_application,
};
pub(crate) use cluster::{
    CacheSettings, CacheSubnetGroupInfo, LaunchedInfo, MetadataOptions, NewInstance, NewReplicationGroup,
    ReplicationGroupInfo, TransitEncryption,
};
pub(crate) use error::{AwsError, ErrorClass};
pub(crate) use network::{
    Direction, InstanceInfo, NetworkInterfaceInfo, NewSecurityGroup, Peer, RouteInfo, RouteTableInfo, RuleSettings,
    SecurityGroupInfo, SecurityGroupKey, SubnetInfo, VpcInfo,
};
pub(crate) use sdk::{Access, AssumeRole, Keys, SdkAws, WebIdentity};

/// Tags of one object.
pub(crate) type Tags = BTreeMap<String, String>;

/// Attributes of a load balancer or target group, by AWS's own keys (`idle_timeout.timeout_seconds`).
pub(crate) type Attributes = BTreeMap<String, String>;

/// What every call answers.
pub(crate) type Result<T> = std::result::Result<T, AwsError>;

/// A certificate in ACM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateInfo {
    /// Its ARN.
    pub arn: String,
    /// `ISSUED`, `PENDING_VALIDATION`, `EXPIRED`, ...
    pub status: String,
    /// The names it covers, the main one first.
    pub domain_names: Vec<String>,
    /// When it ends, in seconds of Unix time.
    pub not_after: Option<i64>,
    /// `RSA_2048`, `EC_prime256v1`, ...
    pub key_algorithm: String,
    /// The DNS records that would validate it, while that is pending: name, type and value.
    pub validation_records: Vec<(String, String, String)>,
    /// Why it failed, in AWS's word.
    pub failure_reason: Option<String>,
}

/// An alias record in Route 53.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AliasRecord {
    /// The record's name, lower case, without the final dot.
    pub name: String,
    /// `A` or `AAAA`.
    pub kind: String,
    /// The hosted zone of the alias's target.
    pub target_zone_id: String,
    /// The alias's target, lower case, without the final dot.
    pub target: String,
    /// Whether Route 53 asks the target's health.
    pub evaluate_target_health: bool,
}

/// A record set found at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordInfo {
    /// An alias.
    Alias(AliasRecord),
    /// A record that is no alias.
    Plain,
    /// One of the records of this name and type that have a routing policy: no record without one fits beside them.
    Routed,
}

/// A change of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RecordChange {
    /// Creates it or replaces what is there.
    Upsert(AliasRecord),
    /// Creates it; AWS refuses when there is one.
    Create(AliasRecord),
    /// Deletes it; AWS refuses when it is another.
    Delete(AliasRecord),
}

/// The calls this provider makes.
#[async_trait]
pub(crate) trait Aws: Send + Sync {
    /// `sts:GetCallerIdentity`: the account's id.
    async fn account_id(&self) -> Result<String>;

    /// `elasticloadbalancing:DescribeLoadBalancers`
    async fn load_balancer(&self, key: &LoadBalancerKey) -> Result<Option<LoadBalancerInfo>>;
    /// `elasticloadbalancing:DescribeLoadBalancerAttributes`
    async fn load_balancer_attributes(&self, arn: &str) -> Result<Attributes>;
    /// `elasticloadbalancing:CreateLoadBalancer`
    async fn create_load_balancer(&self, new: &NewLoadBalancer) -> Result<LoadBalancerInfo>;
    /// `elasticloadbalancing:ModifyLoadBalancerAttributes`; at most 20 attributes a call.
    async fn modify_load_balancer_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()>;
    /// `elasticloadbalancing:SetSubnets`
    async fn set_subnets(&self, arn: &str, subnet_ids: &BTreeSet<String>) -> Result<()>;
    /// `elasticloadbalancing:SetSecurityGroups`
    async fn set_security_groups(&self, arn: &str, security_groups: &BTreeSet<String>) -> Result<()>;
    /// `elasticloadbalancing:SetIpAddressType`
    async fn set_ip_address_type(&self, arn: &str, ip_address_type: &str) -> Result<()>;
    /// `elasticloadbalancing:DeleteLoadBalancer`, with its listeners and rules; fine when it is gone.
    async fn delete_load_balancer(&self, arn: &str) -> Result<()>;

    /// `elasticloadbalancing:DescribeTargetGroups`, those of a load balancer.
    async fn target_groups_of(&self, load_balancer_arn: &str) -> Result<Vec<TargetGroupInfo>>;
    /// `elasticloadbalancing:DescribeTargetGroups`, by ARN; those that are gone are left out.
    async fn target_groups(&self, arns: &BTreeSet<String>) -> Result<Vec<TargetGroupInfo>>;
    /// `elasticloadbalancing:DescribeTargetGroups`, all whose name starts with `prefix`.
    async fn target_groups_named(&self, prefix: &str) -> Result<Vec<TargetGroupInfo>>;
    /// `elasticloadbalancing:DescribeTargetGroupAttributes`
    async fn target_group_attributes(&self, arn: &str) -> Result<Attributes>;
    /// `elasticloadbalancing:CreateTargetGroup`: its ARN.
    async fn create_target_group(&self, new: &NewTargetGroup) -> Result<String>;
    /// `elasticloadbalancing:ModifyTargetGroup`: its health check, the only part AWS lets change.
    async fn modify_target_group(&self, arn: &str, health_check: &HealthCheck) -> Result<()>;
    /// `elasticloadbalancing:ModifyTargetGroupAttributes`
    async fn modify_target_group_attributes(&self, arn: &str, attributes: &Attributes) -> Result<()>;
    /// `elasticloadbalancing:DeleteTargetGroup`
    async fn delete_target_group(&self, arn: &str) -> Result<()>;
    /// `elasticloadbalancing:RegisterTargets`, on the group's own port.
    async fn register_targets(&self, arn: &str, instance_ids: &BTreeSet<String>) -> Result<()>;
    /// `elasticloadbalancing:DeregisterTargets`, by [`TargetHealth::registration`].
    async fn deregister_targets(&self, arn: &str, registrations: &BTreeSet<String>) -> Result<()>;
    /// `elasticloadbalancing:DescribeTargetHealth`
    async fn target_health(&self, arn: &str) -> Result<Vec<TargetHealth>>;

    /// `elasticloadbalancing:DescribeListeners`, by ARN; those that are gone are left out.
    async fn listeners_by_arn(&self, arns: &BTreeSet<String>) -> Result<Vec<ListenerInfo>>;
    /// `elasticloadbalancing:DescribeListeners`
    async fn listeners(&self, load_balancer_arn: &str) -> Result<Vec<ListenerInfo>>;
    /// `elasticloadbalancing:DescribeListenerCertificates`: the additional ones, without the default.
    async fn additional_certificates(&self, listener_arn: &str) -> Result<BTreeSet<String>>;
    /// `elasticloadbalancing:DescribeRules`, without the default one.
    async fn listener_rules(&self, listener_arn: &str) -> Result<Vec<ListenerRuleInfo>>;
    /// `elasticloadbalancing:DescribeSSLPolicies`: whether Application Load Balancers have one of this name.
    async fn has_ssl_policy(&self, name: &str) -> Result<bool>;
    /// `elasticloadbalancing:CreateListener`: its ARN.
    async fn create_listener(
        &self,
        load_balancer_arn: &str,
        settings: &ListenerSettings,
        tags: &Tags,
    ) -> Result<String>;
    /// `elasticloadbalancing:ModifyListener`: all its settings.
    async fn modify_listener(&self, arn: &str, settings: &ListenerSettings) -> Result<()>;
    /// `elasticloadbalancing:AddListenerCertificates`
    async fn add_listener_certificates(&self, arn: &str, certificate_arns: &BTreeSet<String>) -> Result<()>;
    /// `elasticloadbalancing:RemoveListenerCertificates`
    async fn remove_listener_certificates(&self, arn: &str, certificate_arns: &BTreeSet<String>) -> Result<()>;
    /// `elasticloadbalancing:DeleteListener`
    async fn delete_listener(&self, arn: &str) -> Result<()>;

    /// `elasticloadbalancing:DescribeTags`; objects that are gone are left out.
    async fn tags(&self, arns: &BTreeSet<String>) -> Result<BTreeMap<String, Tags>>;
    /// `elasticloadbalancing:AddTags`: AWS takes one object a call.
    async fn add_tags(&self, arn: &str, tags: &Tags) -> Result<()>;
    /// `elasticloadbalancing:RemoveTags`: AWS takes one object a call.
    async fn remove_tags(&self, arn: &str, keys: &BTreeSet<String>) -> Result<()>;

    /// `ec2:DescribeSecurityGroups`
    async fn security_groups(&self, key: &SecurityGroupKey) -> Result<Vec<SecurityGroupInfo>>;
    /// `ec2:DescribeSecurityGroupRules`: the ids and tags of a group's rules.
    async fn security_group_rule_tags(&self, group_id: &str) -> Result<Vec<(String, RuleSettings, Tags)>>;
    /// `ec2:DescribeSecurityGroupRules`, by the value of a tag: the group and the tags of each.
    async fn tagged_rules(&self, key: &str, value: &str) -> Result<Vec<(String, Tags)>>;
    /// `ec2:CreateSecurityGroup`: its id.
    async fn create_security_group(&self, new: &NewSecurityGroup) -> Result<String>;
    /// `ec2:AuthorizeSecurityGroupIngress` or `...Egress`; `rules` are all of one direction.
    async fn authorize_rules(
        &self,
        group_id: &str,
        direction: Direction,
        rules: &BTreeSet<RuleSettings>,
        tags: &Tags,
    ) -> Result<()>;
    /// `ec2:RevokeSecurityGroupIngress` or `...Egress`; `rules` are all of one direction.
    async fn revoke_rules(&self, group_id: &str, direction: Direction, rules: &BTreeSet<RuleSettings>) -> Result<()>;
    /// `ec2:UpdateSecurityGroupRuleDescriptionsIngress` or `...Egress`; `rules` are all of one direction.
    async fn describe_rules(&self, group_id: &str, direction: Direction, rules: &BTreeSet<RuleSettings>) -> Result<()>;
    /// `ec2:DeleteSecurityGroup`
    async fn delete_security_group(&self, group_id: &str) -> Result<()>;
    /// `ec2:CreateTags`
    async fn add_ec2_tags(&self, ids: &BTreeSet<String>, tags: &Tags) -> Result<()>;
    /// `ec2:DeleteTags`: a tag with a value goes only where it has that value.
    async fn remove_ec2_tags(&self, ids: &BTreeSet<String>, tags: &BTreeMap<String, Option<String>>) -> Result<()>;
    /// `ec2:DescribeNetworkInterfaces`: those that use a security group.
    async fn network_interfaces(&self, group_id: &str) -> Result<Vec<NetworkInterfaceInfo>>;
    /// `ec2:DescribeSubnets`, by id; those that do not exist are left out.
    async fn subnets(&self, ids: &BTreeSet<String>) -> Result<Vec<SubnetInfo>>;
    /// `ec2:DescribeSubnets`, all of a VPC.
    async fn subnets_of(&self, vpc_id: &str) -> Result<Vec<SubnetInfo>>;
    /// `ec2:DescribeRouteTables`, all of a VPC.
    async fn route_tables(&self, vpc_id: &str) -> Result<Vec<RouteTableInfo>>;
    /// `ec2:DescribeNatGateways`: the public addresses of one.
    async fn nat_gateway_addresses(&self, id: &str) -> Result<BTreeSet<String>>;
    /// `ec2:DescribeVpcs`
    async fn vpc(&self, id: &str) -> Result<Option<VpcInfo>>;
    /// `ec2:DescribeInstances`, by id; those that do not exist are left out.
    async fn instances(&self, ids: &BTreeSet<String>) -> Result<Vec<InstanceInfo>>;
    /// `ec2:DescribeInstances`, by the value of a tag; those that are terminated, too.
    async fn launched(&self, key: &str, value: &str) -> Result<Vec<LaunchedInfo>>;
    /// `ec2:DescribeInstances`, by id, with what they were launched with; those that do not exist are left out.
    async fn launched_by_id(&self, ids: &BTreeSet<String>) -> Result<Vec<LaunchedInfo>>;
    /// `ec2:DescribeImages`: what an image calls its root volume.
    async fn root_device(&self, image_id: &str) -> Result<String>;
    /// `ec2:RunInstances`: the id of one instance.
    async fn run_instance(&self, new: &NewInstance) -> Result<String>;
    /// `ec2:ModifyInstanceMetadataOptions`
    async fn modify_metadata_options(&self, id: &str, options: MetadataOptions) -> Result<()>;
    /// `ec2:TerminateInstances`; fine as long as a terminated one is described.
    async fn terminate_instance(&self, id: &str) -> Result<()>;

    /// `elasticache:DescribeCacheSubnetGroups`
    async fn cache_subnet_group(&self, name: &str) -> Result<Option<CacheSubnetGroupInfo>>;
    /// `elasticache:CreateCacheSubnetGroup`: its ARN.
    async fn create_cache_subnet_group(&self, name: &str, subnet_ids: &BTreeSet<String>, tags: &Tags)
    -> Result<String>;
    /// `elasticache:ModifyCacheSubnetGroup`
    async fn modify_cache_subnet_group(&self, name: &str, subnet_ids: &BTreeSet<String>) -> Result<()>;
    /// `elasticache:DeleteCacheSubnetGroup`
    async fn delete_cache_subnet_group(&self, name: &str) -> Result<()>;
    /// `elasticache:DescribeReplicationGroups`, all whose id starts with `prefix`.
    async fn replication_groups(&self, prefix: &str) -> Result<Vec<ReplicationGroupInfo>>;
    /// `elasticache:DescribeReplicationGroups`, by id, without what its members alone tell.
    async fn replication_group(&self, id: &str) -> Result<Option<ReplicationGroupInfo>>;
    /// `elasticache:CreateReplicationGroup`: its ARN. The token is no part of what is to be created because that is
    /// shown.
    async fn create_replication_group(&self, new: &NewReplicationGroup, auth_token: Option<&str>) -> Result<String>;
    /// `elasticache:ModifyReplicationGroup`: its settings that differ, but for the number of its replicas, at once.
    async fn modify_replication_group(&self, id: &str, there: &CacheSettings, wanted: &CacheSettings) -> Result<()>;
    /// `elasticache:ModifyReplicationGroup`: which connections it takes.
    async fn set_transit_encryption(&self, id: &str, wanted: TransitEncryption) -> Result<()>;
    /// `elasticache:ModifyReplicationGroup`: its security groups.
    async fn set_cache_security_groups(&self, id: &str, groups: &BTreeSet<String>) -> Result<()>;
    /// `elasticache:IncreaseReplicaCount`, or `...Decrease...` when there are more than `count`.
    async fn set_replica_count(&self, id: &str, before: i64, count: i64) -> Result<()>;
    /// `elasticache:DeleteReplicationGroup`, without a snapshot.
    async fn delete_replication_group(&self, id: &str) -> Result<()>;
    /// `elasticache:ListTagsForResource`; none while the object is changing.
    async fn cache_tags(&self, arn: &str) -> Result<Tags>;
    /// `elasticache:AddTagsToResource`
    async fn add_cache_tags(&self, arn: &str, tags: &Tags) -> Result<()>;
    /// `elasticache:RemoveTagsFromResource`
    async fn remove_cache_tags(&self, arn: &str, keys: &BTreeSet<String>) -> Result<()>;

    /// `ssm:GetParameter`: its value, a secret one in cleartext.
    async fn parameter(&self, name: &str) -> Result<Option<String>>;

    /// `acm:DescribeCertificate`
    async fn certificate(&self, arn: &str) -> Result<Option<CertificateInfo>>;
    /// `acm:ListCertificates`: the ARNs of all, with their names, of every status and key type.
    async fn certificates(&self) -> Result<Vec<CertificateInfo>>;

    /// `route53:GetHostedZone`: its name, lower case, without the final dot.
    async fn hosted_zone_name(&self, zone_id: &str) -> Result<Option<String>>;
    /// `route53:ListResourceRecordSets`: the records of this name, by type.
    async fn records(&self, zone_id: &str, name: &str) -> Result<BTreeMap<String, RecordInfo>>;
    /// `route53:ListResourceRecordSets`: the record of this name and type.
    async fn record(&self, zone_id: &str, name: &str, kind: &str) -> Result<Option<RecordInfo>>;
    /// `route53:ChangeResourceRecordSets`, all or none.
    async fn change_records(&self, zone_id: &str, changes: &[RecordChange]) -> Result<()>;
}
