//! Load balancers, their listeners, and target groups.

use std::collections::BTreeSet;

use super::Tags;

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

/// Whether an ARN is that of an Application Load Balancer: a Network Load Balancer's has `net` there.
pub(crate) fn is_application(arn: &str) -> bool {
    arn.contains(":loadbalancer/app/")
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
    /// Anything else, by its type, with the target groups that it forwards to all the same: a forward that keeps its
    /// clients, or one behind a login.
    Other(String, Vec<(String, i64)>),
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
