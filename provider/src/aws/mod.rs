//! AWS as this provider sees it: a narrow trait in our own types, each method one API call.
//!
//! `sdk` implements it on the AWS SDK, `fake` (tests and benchmarks only) in memory. Nothing outside `sdk` names an SDK type.
//! Lookups answer `None` or an empty list for what does not exist; only changes report a missing object as an
//! error. Object arguments are AWS's own identifiers: ARNs for load balancing, ids for EC2.

mod batch;
mod cluster;
mod error;
#[cfg(any(test, feature = "bench"))]
#[cfg_attr(not(test), allow(dead_code, unused_imports, reason = "the benchmarks need less of it than the tests"))]
pub(crate) mod fake;
mod sdk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use async_trait::async_trait;

pub(crate) use cluster::{
    CacheSettings, CacheSubnetGroupInfo, LaunchedInfo, NewInstance, NewReplicationGroup, ReplicationGroupInfo,
};
pub(crate) use error::{AwsError, ErrorClass};
pub(crate) use sdk::{Access, AssumeRole, Keys, SdkAws, WebIdentity};

/// Tags of one object.
pub(crate) type Tags = BTreeMap<String, String>;

/// Attributes of a load balancer or target group, by AWS's own keys (`idle_timeout.timeout_seconds`).
pub(crate) type Attributes = BTreeMap<String, String>;

/// What every call answers.
pub(crate) type Result<T> = std::result::Result<T, AwsError>;

/// How a load balancer is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoadBalancerKey {
    /// By its ARN.
    Arn(String),
    /// By its name, unique in an account and region.
    Name(String),
}

/// The life of a load balancer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LoadBalancerState {
    /// Being set up.
    Provisioning,
    /// Routing traffic.
    Active,
    /// Routing traffic, but short of resources to scale.
    ActiveImpaired,
    /// Could not be set up.
    Failed,
}

/// A load balancer as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LoadBalancerInfo {
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// `application` for ours.
    pub kind: String,
    /// `internet-facing` or `internal`.
    pub scheme: String,
    /// `ipv4`, `dualstack` or `dualstack-without-public-ipv4`.
    pub ip_address_type: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its DNS name.
    pub dns_name: String,
    /// The Route 53 hosted zone of its DNS name, for alias records.
    pub hosted_zone_id: String,
    /// Its subnets.
    pub subnet_ids: BTreeSet<String>,
    /// Its security groups.
    pub security_groups: BTreeSet<String>,
    /// Where it is in its life.
    pub state: LoadBalancerState,
    /// AWS's reason for the state, when it gives one.
    pub state_reason: Option<String>,
}

/// A load balancer to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewLoadBalancer {
    /// Its name.
    pub name: String,
    /// `internet-facing` or `internal`.
    pub scheme: String,
    /// `ipv4`, `dualstack` or `dualstack-without-public-ipv4`.
    pub ip_address_type: String,
    /// Its subnets.
    pub subnet_ids: BTreeSet<String>,
    /// Its security groups.
    pub security_groups: BTreeSet<String>,
    /// Its tags.
    pub tags: Tags,
}

/// How a target group probes its targets.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct HealthCheck {
    /// `HTTP` or `HTTPS`.
    pub protocol: String,
    /// `traffic-port`, or a port.
    pub port: String,
    /// The path asked for.
    pub path: String,
    /// The status codes of a healthy target: `200`, `200,204`, `200-299`.
    pub matcher: String,
    /// Seconds between probes.
    pub interval: i64,
    /// Seconds until a probe counts as failed.
    pub timeout: i64,
    /// Passing probes until an unhealthy target is healthy again.
    pub healthy_threshold: i64,
    /// Failing probes until a target is unhealthy.
    pub unhealthy_threshold: i64,
}

/// A target group as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetGroupInfo {
    /// Its ARN.
    pub arn: String,
    /// Its name, unique in an account and region.
    pub name: String,
    /// `HTTP` or `HTTPS`.
    pub protocol: String,
    /// The targets' port.
    pub port: u16,
    /// Its VPC.
    pub vpc_id: String,
    /// `instance` for ours.
    pub target_type: String,
    /// How it probes.
    pub health_check: HealthCheck,
    /// The load balancers whose listeners and rules refer to it.
    pub load_balancer_arns: Vec<String>,
}

/// A target group of instances to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewTargetGroup {
    /// Its name.
    pub name: String,
    /// `HTTP` or `HTTPS`.
    pub protocol: String,
    /// The targets' port.
    pub port: u16,
    /// Its VPC.
    pub vpc_id: String,
    /// How it probes.
    pub health_check: HealthCheck,
    /// Its tags.
    pub tags: Tags,
}

/// The health of one registered target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetHealth {
    /// The instance.
    pub id: String,
    /// The port it is registered on.
    pub port: u16,
    /// `initial`, `healthy`, `unhealthy`, `unused`, `draining` or `unavailable`.
    pub state: String,
    /// AWS's reason code, when not healthy: `Target.ResponseCodeMismatch`.
    pub reason: Option<String>,
    /// AWS's words for it.
    pub description: Option<String>,
}

impl TargetHealth {
    /// What a group of this port knows the target as: the instance, and its port when that is another than the group's
    /// (`i-0123456789abcdef0:8080`).
    pub(crate) fn registration(&self, group_port: u16) -> String {
        if self.port == group_port { self.id.clone() } else { format!("{}:{}", self.id, self.port) }
    }
}

/// What a listener does with a request.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ActionInfo {
    /// Forwards to target groups, by ARN, with weights from 0 to 999.
    Forward(Vec<(String, i64)>),
    /// Redirects.
    Redirect {
        /// `HTTPS`, or `#{protocol}`.
        protocol: String,
        /// A port, or `#{port}`.
        port: String,
        /// `HTTP_301` or `HTTP_302`.
        status: String,
    },
    /// Anything else, by its type.
    Other(String),
}

/// The `mutual_authentication` of a listener that asks no client for a certificate.
pub(crate) const MUTUAL_AUTHENTICATION_OFF: &str = "off";

/// A listener as described, or to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerSettings {
    /// Its port, unique in its load balancer.
    pub port: u16,
    /// `HTTP` or `HTTPS`.
    pub protocol: String,
    /// The security policy of an `HTTPS` listener.
    pub ssl_policy: Option<String>,
    /// The default certificate of an `HTTPS` listener.
    pub certificate_arn: Option<String>,
    /// What an `HTTPS` listener does with certificates of clients, when it asks for them: `passthrough` or `verify`. A
    /// change to `off` ends that, and one to none leaves it as it is.
    pub mutual_authentication: Option<String>,
    /// What it does with a request that no rule takes.
    pub action: ActionInfo,
}

/// A listener as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerInfo {
    /// Its ARN.
    pub arn: String,
    /// Its settings.
    pub settings: ListenerSettings,
}

/// A rule of a listener, other than its default action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListenerRuleInfo {
    /// Its ARN.
    pub arn: String,
    /// Its priority.
    pub priority: String,
    /// The target groups its actions refer to.
    pub target_group_arns: Vec<String>,
}

/// Which way a security group rule looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Direction {
    /// Into the group's members.
    Ingress,
    /// Out of them.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ingress => "ingress",
            Self::Egress => "egress",
        })
    }
}

/// The other side of a security group rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// An IPv4 or IPv6 block, canonical.
    Cidr(String),
    /// A managed prefix list.
    PrefixList(String),
    /// The members of a security group.
    Group(String),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cidr(text) | Self::PrefixList(text) | Self::Group(text) => f.write_str(text),
        }
    }
}

/// A security group rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RuleSettings {
    /// Which way it looks.
    pub direction: Direction,
    /// `tcp`, or `-1` for all.
    pub protocol: String,
    /// The first port; -1 for all.
    pub from_port: i64,
    /// The last port; -1 for all.
    pub to_port: i64,
    /// The other side.
    pub peer: Peer,
    /// Why it is there; empty when it says nothing.
    pub description: String,
}

/// How security groups are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecurityGroupKey {
    /// By id.
    Ids(BTreeSet<String>),
    /// By name, unique in a VPC.
    Name {
        /// The VPC.
        vpc_id: String,
        /// The group's name.
        name: String,
    },
    /// By the value of a tag.
    Tag {
        /// The tag's key.
        key: String,
        /// The tag's value.
        value: String,
    },
    /// Those whose rules name this group.
    Naming(String),
}

/// A security group as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecurityGroupInfo {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its rules, one for each peer.
    pub rules: BTreeSet<RuleSettings>,
    /// Its tags.
    pub tags: Tags,
}

/// A security group to create. AWS gives it one rule of its own: all egress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewSecurityGroup {
    /// Its name.
    pub name: String,
    /// Its description; AWS never lets it change.
    pub description: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its tags.
    pub tags: Tags,
}

/// A network interface that uses a security group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkInterfaceInfo {
    /// Its id.
    pub id: String,
    /// What it is for, in the words of whoever made it.
    pub description: String,
    /// `in-use`, `available`, ...
    pub status: String,
}

/// A subnet as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubnetInfo {
    /// Its id.
    pub id: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its availability zone, by name.
    pub availability_zone: String,
    /// Addresses not in use.
    pub free_addresses: i64,
    /// Whether it has an IPv6 block.
    pub has_ipv6: bool,
    /// Whether instances get public IPv4 addresses in it.
    pub gives_public_addresses: bool,
}

/// A route of a subnet's route table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteInfo {
    /// The destination block.
    pub destination: String,
    /// The target: `igw-...`, `nat-...`, `local`, ...
    pub target: String,
}

/// A route table as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RouteTableInfo {
    /// The subnets it is explicitly associated with.
    pub subnet_ids: BTreeSet<String>,
    /// Whether it serves the VPC's subnets that have none of their own.
    pub main: bool,
    /// Its active routes.
    pub routes: Vec<RouteInfo>,
}

impl RouteTableInfo {
    /// The table of a subnet: its own, else the VPC's main one.
    pub(crate) fn of<'a>(subnet_id: &str, tables: &'a [Self]) -> Option<&'a Self> {
        let own = tables.iter().find(|table| table.subnet_ids.contains(subnet_id));
        own.or_else(|| tables.iter().find(|table| table.main))
    }

    /// Whether it has a route to an internet gateway.
    pub(crate) fn is_public(&self) -> bool {
        self.routes.iter().any(|route| route.target.starts_with("igw-"))
    }

    /// Whether it has a route to everywhere, whatever that leads through.
    pub(crate) fn leads_out(&self) -> bool {
        self.routes.iter().any(|route| route.destination == "0.0.0.0/0")
    }
}

/// A VPC's address blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VpcInfo {
    /// Its id.
    pub id: String,
    /// Its associated IPv4 blocks.
    pub cidr_blocks: BTreeSet<String>,
    /// Its associated IPv6 blocks.
    pub ipv6_cidr_blocks: BTreeSet<String>,
}

impl VpcInfo {
    /// A VPC by all of its route tables: AWS puts a local route for each of its blocks in every one (VPC guide, "Route
    /// table concepts"). `None` when they have no such route.
    pub(crate) fn routed(id: &str, tables: &[RouteTableInfo]) -> Option<Self> {
        let local = tables.iter().flat_map(|table| &table.routes).filter(|route| route.target == "local");
        let (ipv6_cidr_blocks, cidr_blocks): (BTreeSet<String>, BTreeSet<String>) =
            local.map(|route| route.destination.clone()).partition(|block| block.contains(':'));
        (!cidr_blocks.is_empty()).then(|| Self { id: id.to_owned(), cidr_blocks, ipv6_cidr_blocks })
    }
}

/// An instance as described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceInfo {
    /// Its id.
    pub id: String,
    /// `pending`, `running`, `stopped`, ...
    pub state: String,
    /// Its VPC; empty when terminated.
    pub vpc_id: String,
    /// Its subnet; empty when terminated.
    pub subnet_id: String,
    /// Its availability zone, by name.
    pub availability_zone: String,
    /// Its private address.
    pub private_ip: Option<String>,
    /// Its public address.
    pub public_ip: Option<String>,
    /// Its security groups.
    pub security_groups: BTreeSet<String>,
}

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

/// The calls this provider makes, one method each.
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
    /// `elasticloadbalancing:AddTags`
    async fn add_tags(&self, arns: &BTreeSet<String>, tags: &Tags) -> Result<()>;
    /// `elasticloadbalancing:RemoveTags`
    async fn remove_tags(&self, arns: &BTreeSet<String>, keys: &BTreeSet<String>) -> Result<()>;

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
    /// `ec2:DeleteTags`: each tag only where it has this value.
    async fn remove_ec2_tags(&self, ids: &BTreeSet<String>, tags: &Tags) -> Result<()>;
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
    /// `ec2:RunInstances`: the id of one instance.
    async fn run_instance(&self, new: &NewInstance) -> Result<String>;
    /// `ec2:TerminateInstances`; fine when it is terminated.
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
    /// `elasticache:CreateReplicationGroup`: its ARN. The token is no part of what is to be created because that is
    /// shown.
    async fn create_replication_group(&self, new: &NewReplicationGroup, auth_token: Option<&str>) -> Result<String>;
    /// `elasticache:ModifyReplicationGroup`: all of its settings but the number of its replicas, at once.
    async fn modify_replication_group(&self, id: &str, settings: &CacheSettings) -> Result<()>;
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
