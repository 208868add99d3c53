//! Steps: what a plan consists of. A step is a plain value, so that a plan can be printed and compared.

use std::collections::BTreeSet;
use std::fmt;

use super::cluster::{Cache, CacheSubnetGroup, Instance};
use super::{Action, Listener, LoadBalancer, NodeId, Record, Ref, Rule, SecurityGroup, TargetGroup};
use crate::aws::{Attributes, CacheSettings, HealthCheck, MetadataOptions, Tags, TransitEncryption};

/// A step's place in its plan.
pub(crate) type StepId = usize;

/// One thing to do, or to wait for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    CreateSecurityGroup(SecurityGroup),
    AuthorizeRules(BTreeSet<Rule>),
    DescribeRules(BTreeSet<Rule>),
    RevokeRules(BTreeSet<Rule>),
    WaitInterfacesReleased,
    DeleteSecurityGroup,

    CreateTargetGroup(TargetGroup),
    SetHealthCheck(HealthCheck),
    SetTargetGroupAttributes(Attributes),
    RegisterTargets(BTreeSet<Ref>),
    WaitHealthy(BTreeSet<Ref>),
    DeregisterTargets(BTreeSet<Ref>),
    WaitDrained(BTreeSet<Ref>),
    DeleteTargetGroup,

    CreateLoadBalancer(LoadBalancer),
    SetLoadBalancerAttributes(Attributes),
    SetSubnets(BTreeSet<String>),
    SetSecurityGroups(BTreeSet<Ref>),
    SetIpAddressType(String),
    WaitActive,
    DeleteLoadBalancer,

    CreateListener(Listener),
    ModifyListener(Listener),
    AddCertificates(BTreeSet<String>),
    RemoveCertificates(BTreeSet<String>),
    /// Until the listener is seen with this default certificate.
    WaitCertificate(String),
    DeleteListener,

    CreateRecord(Record),
    SetRecord(Record),
    DeleteRecord(Record),

    CreateCacheSubnetGroup(CacheSubnetGroup),
    SetCacheSubnets(BTreeSet<String>),
    DeleteCacheSubnetGroup,
    CreateCache(Cache),
    SetCache(CacheSettings),
    SetTransitEncryption(TransitEncryption),
    SetCacheSecurityGroups(BTreeSet<Ref>),
    /// From so many replicas to so many.
    SetReplicas(i64, i64),
    WaitCacheAvailable,
    DeleteCache,
    WaitCacheDeleted,

    LaunchInstance(Instance),
    WaitRunning,
    SetMetadataOptions(MetadataOptions),
    TerminateInstance,

    /// Tags every object of the set; all are in the same service.
    Tag(BTreeSet<NodeId>, Tags),
    /// Removes these tags from every object of the set; all are in the same service.
    Untag(BTreeSet<NodeId>, Tags),
    /// Removes the marker of an unfinished create from every object of the set that has one, the load balancer's last.
    Finish(BTreeSet<NodeId>),
}

impl Change {
    /// Whether it brings its node into being.
    pub(crate) fn creates(&self) -> bool {
        matches!(
            self,
            Self::CreateSecurityGroup(_)
                | Self::CreateTargetGroup(_)
                | Self::CreateLoadBalancer(_)
                | Self::CreateListener(_)
                | Self::CreateCacheSubnetGroup(_)
                | Self::CreateCache(_)
                | Self::LaunchInstance(_)
        )
    }

    /// Whether it only watches.
    pub(crate) fn waits(&self) -> bool {
        matches!(
            self,
            Self::WaitInterfacesReleased
                | Self::WaitHealthy(_)
                | Self::WaitDrained(_)
                | Self::WaitActive
                | Self::WaitCertificate(_)
                | Self::WaitCacheAvailable
                | Self::WaitCacheDeleted
                | Self::WaitRunning
        )
    }

    /// The nodes that it refers to, beside its own.
    pub(crate) fn references(&self) -> BTreeSet<NodeId> {
        let mut found = BTreeSet::new();
        let mut add = |reference: &Ref| {
            if let Ref::Of(node) = reference {
                found.insert(node.clone());
            }
        };
        match self {
            Self::AuthorizeRules(rules) | Self::DescribeRules(rules) | Self::RevokeRules(rules) => {
                for rule in rules {
                    if let super::Source::Group(group) = &rule.source {
                        add(group);
                    }
                }
            }
            Self::RegisterTargets(targets) => targets.iter().for_each(add),
            Self::CreateLoadBalancer(balancer) => balancer.security_groups.iter().for_each(add),
            Self::SetSecurityGroups(groups) | Self::SetCacheSecurityGroups(groups) => groups.iter().for_each(add),
            Self::CreateListener(listener) | Self::ModifyListener(listener) => listener.action.groups().for_each(add),
            Self::CreateRecord(record) | Self::SetRecord(record) => add(&record.target),
            Self::CreateCache(cache) => {
                cache.security_groups.iter().for_each(&mut add);
                add(&Ref::Of(NodeId::CacheSubnetGroup(cache.subnet_group.clone())));
            }
            Self::LaunchInstance(instance) => {
                instance.security_groups.iter().for_each(&mut add);
                let cache = instance.start.as_ref().and_then(|start| start.cache.clone());
                cache.into_iter().for_each(|cache| add(&Ref::Of(cache)));
            }
            _ => {}
        }
        if matches!(self, Self::CreateListener(_)) {
            found.insert(NodeId::LoadBalancer);
        }
        found
    }
}

/// When a step runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// Once all of these have succeeded.
    After(BTreeSet<StepId>),
    /// Once all of the first have succeeded, and all of the second have ended somehow.
    Despite(BTreeSet<StepId>, BTreeSet<StepId>),
    /// Once all of the first have ended and one of them has failed, and all of the second have ended: what
    /// puts the old service back.
    Failed(BTreeSet<StepId>, BTreeSet<StepId>),
}

/// One step of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) node: NodeId,
    pub(crate) change: Change,
    pub(crate) when: When,
    /// For the reader of the plan.
    pub(crate) why: &'static str,
}

/// The steps from what is there to what is wanted; a step's id is its index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
}

impl Plan {
    /// The rules that it takes from a security group.
    pub(crate) fn revoked_in(&self, node: &NodeId) -> BTreeSet<Rule> {
        let of_group = self.steps.iter().filter(|step| step.node == *node);
        let revoked = of_group.filter_map(|step| match &step.change {
            Change::RevokeRules(rules) => Some(rules),
            _ => None,
        });
        revoked.flatten().cloned().collect()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (id, step) in self.steps.iter().enumerate() {
            write!(f, "{id:>2} {step}")?;
            match &step.when {
                When::After(steps) if steps.is_empty() => {}
                When::After(steps) => write!(f, " | after {}", List(steps))?,
                When::Despite(done, ended) => write!(f, " | after {}, however {} ends", List(done), List(ended))?,
                When::Failed(failed, after) if after.is_empty() => write!(f, " | if {} fails", List(failed))?,
                When::Failed(failed, after) => write!(f, " | if {} fails, after {}", List(failed), List(after))?,
            }
            writeln!(f, " | {}", step.why)?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.change)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateSecurityGroup(_)
            | Self::CreateTargetGroup(_)
            | Self::CreateLoadBalancer(_)
            | Self::CreateCacheSubnetGroup(_)
            | Self::CreateCache(_) => f.write_str("create"),
            Self::CreateListener(listener) => write!(f, "create, {listener}"),
            Self::AuthorizeRules(rules) => write!(f, "authorize {}", List(rules)),
            Self::DescribeRules(rules) => write!(f, "describe {}", List(rules)),
            Self::RevokeRules(rules) => write!(f, "revoke {}", List(rules)),
            Self::WaitInterfacesReleased => f.write_str("wait until no network interface uses it"),
            Self::DeleteSecurityGroup
            | Self::DeleteTargetGroup
            | Self::DeleteLoadBalancer
            | Self::DeleteListener
            | Self::DeleteCacheSubnetGroup
            | Self::DeleteCache => f.write_str("delete"),
            Self::SetCacheSubnets(subnets) => write!(f, "set subnets {}", List(subnets)),
            Self::SetCache(settings) => {
                let CacheSettings { node_type, automatic_failover, multi_az, .. } = settings;
                let version = settings.engine_version.as_deref().unwrap_or("its version");
                let group = settings.parameter_group.as_deref().unwrap_or("its parameter group");
                write!(
                    f,
                    "set {node_type}, {version}, {group}, automatic failover {automatic_failover}, multi-AZ {multi_az}"
                )
            }
            Self::SetTransitEncryption(wanted) => write!(f, "set encryption in transit {}", wanted.as_str()),
            Self::SetReplicas(_, count) => write!(f, "set {count} replicas"),
            Self::WaitCacheAvailable => f.write_str("wait until available"),
            Self::WaitCacheDeleted => f.write_str("wait until it is gone"),
            Self::LaunchInstance(instance) => {
                write!(f, "launch {} with {} in {}", instance.instance_type, instance.image_id, instance.subnet_id)
            }
            Self::WaitRunning => f.write_str("wait until running"),
            Self::SetMetadataOptions(MetadataOptions { enabled, requires_session, hop_limit }) => {
                write!(f, "set metadata enabled {enabled}, sessions required {requires_session}, hop limit {hop_limit}")
            }
            Self::TerminateInstance => f.write_str("terminate"),
            Self::SetHealthCheck(check) => {
                write!(f, "probe {} {} every {} s", check.protocol, check.path, check.interval)
            }
            Self::SetTargetGroupAttributes(attributes) | Self::SetLoadBalancerAttributes(attributes) => {
                write!(f, "set {}", Pairs(attributes))
            }
            Self::RegisterTargets(targets) => write!(f, "register {}", List(targets)),
            Self::WaitHealthy(targets) => write!(f, "wait until healthy: {}", List(targets)),
            Self::DeregisterTargets(targets) => write!(f, "deregister {}", List(targets)),
            Self::WaitDrained(targets) => write!(f, "wait until drained: {}", List(targets)),
            Self::SetSubnets(subnets) => write!(f, "set subnets {}", List(subnets)),
            Self::SetSecurityGroups(groups) | Self::SetCacheSecurityGroups(groups) => {
                write!(f, "set security groups {}", List(groups))
            }
            Self::SetIpAddressType(kind) => write!(f, "set address type {kind}"),
            Self::WaitActive => f.write_str("wait until active"),
            Self::ModifyListener(listener) => write!(f, "modify, {listener}"),
            Self::AddCertificates(arns) => write!(f, "add certificates {}", List(arns)),
            Self::RemoveCertificates(arns) => write!(f, "remove certificates {}", List(arns)),
            Self::WaitCertificate(arn) => write!(f, "wait until it serves {arn}"),
            Self::CreateRecord(record) => write!(f, "create, to {}", record.target),
            Self::SetRecord(record) => write!(f, "set, to {}", record.target),
            Self::DeleteRecord(_) => f.write_str("delete"),
            Self::Tag(nodes, tags) => write!(f, "tag {} with {}", List(nodes), Pairs(tags)),
            Self::Untag(nodes, tags) => write!(f, "untag {} of {}", List(nodes), Pairs(tags)),
            Self::Finish(nodes) => write!(f, "mark finished: {}", List(nodes)),
        }
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.protocol, self.action)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(weights) => {
                f.write_str("to")?;
                let mut separator = " ";
                for (group, weight) in weights {
                    if weights.len() == 1 {
                        write!(f, "{separator}{group}")?;
                    } else {
                        write!(f, "{separator}{group} ({weight})")?;
                    }
                    separator = ", ";
                }
                Ok(())
            }
            Self::RedirectToHttps(port) => write!(f, "redirect to https on {port}"),
            Self::Other(kind, _) => f.write_str(kind),
        }
    }
}

/// Writes a collection as `a, b`.
struct List<I>(I);

impl<'a, I, T> fmt::Display for List<&'a I>
where
    &'a I: IntoIterator<Item = T>,
    T: fmt::Display,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, item) in self.0.into_iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{item}")?;
        }
        Ok(())
    }
}

/// Writes a map as `a=1, b=2`.
struct Pairs<'a>(&'a Attributes);

impl fmt::Display for Pairs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, (key, value)) in self.0.iter().enumerate() {
            let separator = if position == 0 { "" } else { ", " };
            write!(f, "{separator}{key}={value}")?;
        }
        Ok(())
    }
}
