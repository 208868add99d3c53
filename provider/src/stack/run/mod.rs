//! Running one step: the AWS calls of each change, and what their errors mean there.
//!
//! A step may be tried more than once: every call in it is safe to repeat. A create takes what is there already
//! under its name for the answer when the tags say that this resource made it, so a lost response is no loss.

mod cluster;
mod create;
mod listeners;
mod records;
mod security;
mod tags;
mod targets;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::effect::Output;
use super::ownership::{Owner, RecordNames};
use super::plan::Purpose;
use super::step::{Change, Step};
use super::wait::Limits;
use super::{Node, NodeId, Observed, Ref, Rule};
use crate::aws::{Aws, AwsError, ErrorClass, LoadBalancerKey, LoadBalancerState, Tags, TargetHealth};

/// For how long AWS may not know an object that it has just created.
const CONSISTENCY: Duration = Duration::from_secs(120);
/// For how long a target group may count as in use after its listener was pointed elsewhere, or an issued
/// certificate as unknown.
const SETTLING: Duration = Duration::from_secs(300);
/// For how long the policy of a log bucket, or an instance profile, may take to spread.
const SPREADING: Duration = Duration::from_secs(60);

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StepError {
    /// AWS refused a call, or did not answer it.
    #[error("{0}")]
    Aws(AwsError),
    /// The operation's timeout was over, and this was still so.
    #[error("the timeout is over: {0}")]
    Deadline(Box<StepError>),
    /// The user asked to stop.
    #[error("stopped before it was done")]
    Stopped,
    /// The user asked to stop, and AWS had not answered a change by then: it may have taken effect.
    #[error("stopped before AWS had answered")]
    GivenUp,
    /// What is waited for has not come yet.
    #[error("{0}")]
    Waiting(String),
    /// AWS does not show yet what is there; or somebody has deleted it.
    #[error("{0}")]
    Unseen(String),
    /// These targets are not healthy yet.
    #[error("{}", unhealthy(.0))]
    Unhealthy(Vec<TargetHealth>),
    /// These targets will not become healthy by waiting.
    #[error("{}", unhealthy(.0))]
    Hopeless(Vec<TargetHealth>),
    /// AWS could not set it up.
    #[error("AWS could not set it up: {0}")]
    Broken(String),
    /// Its name is taken by something that this resource did not make.
    #[error("{what} exists already as {id}, and this resource did not make it")]
    Taken { what: String, id: String },
    /// Systems Manager has no such parameter.
    #[error("there is no parameter {0} in Systems Manager")]
    NoParameter(String),
    /// Another apply of the same name has made this object, or taken it over.
    #[error("another apply of the same name has made or taken over {0}")]
    TakenOver(String),
    /// The provider's own fault.
    #[error("{0} has no identifier yet; this is a bug in the provider")]
    Unresolved(String),
    /// The provider's own fault, too: nobody knows how far it came.
    #[error("the provider panicked; this is a bug in it")]
    Panicked,
}

fn unhealthy(targets: &[TargetHealth]) -> String {
    let each = targets.iter().map(|target| {
        let reason = target.reason.as_deref().unwrap_or("no reason given");
        format!("{} on port {} is {} ({reason})", target.id, target.port, target.state)
    });
    each.collect::<Vec<_>>().join(", ")
}

impl From<AwsError> for StepError {
    fn from(error: AwsError) -> Self {
        Self::Aws(error)
    }
}

/// What every step of an apply shares.
pub(crate) struct Context {
    pub(crate) aws: Arc<dyn Aws>,
    pub(crate) owner: Owner,
    /// The user's tags, for what is created.
    pub(crate) tags: Tags,
    /// The alias records that it makes.
    pub(crate) records: RecordNames,
    pub(crate) purpose: Purpose,
    pub(crate) limits: Limits,
}

impl Context {
    /// The tags of an object that a step creates.
    fn tags_of_new(&self, id: &NodeId, node: &Node) -> Tags {
        let mut tags = self.owner.tags_of(&self.tags, id, node);
        if self.purpose == Purpose::Create {
            tags.extend(match id {
                NodeId::LoadBalancer => self.owner.balancer_marker(&self.records),
                // A create makes them only beside its load balancer, whose marker tells of them.
                NodeId::TargetGroup(_) | NodeId::Listener(_) => Tags::new(),
                _ => self.owner.marker(),
            });
        }
        tags
    }
}

/// One step, with the graph as it is when the step starts.
pub(crate) struct Run<'a> {
    pub(crate) context: &'a Context,
    pub(crate) step: &'a Step,
    /// The rules that the plan takes from the step's security group.
    pub(crate) leaving: &'a BTreeSet<Rule>,
    pub(crate) observed: &'a Observed,
    /// The nodes created in this apply, which AWS may not know everywhere yet.
    pub(crate) fresh: &'a BTreeSet<NodeId>,
}

impl Run<'_> {
    /// Runs the step to its end, or until it has to be given up because the user asked to stop. What AWS does for a
    /// change that was given up is found as what a killed apply has left.
    pub(crate) async fn run(&self) -> Result<Output, StepError> {
        let waits = self.step.change.waits();
        tokio::select! {
            biased;
            result = self.persist() => result,
            () = self.context.limits.given_up(waits) => {
                Err(if waits { StepError::Stopped } else { StepError::GivenUp })
            }
        }
    }

    /// Tries the step until it succeeds, as long as AWS's refusal is one that passes, and watches what it waits for until
    /// the deadline.
    async fn persist(&self) -> Result<Output, StepError> {
        let mut pauses = self.context.limits.pauses();
        loop {
            let error = match self.attempt().await {
                Ok(output) => return Ok(output),
                Err(error) => error,
            };
            match error {
                missing @ (StepError::Waiting(_) | StepError::Unhealthy(_)) => pauses.look_again(missing).await?,
                unseen @ StepError::Unseen(_) => pauses.try_again(CONSISTENCY, unseen).await?,
                // The step is tried anew as a whole, and finds changed what it has changed.
                StepError::Aws(error) if error.is_passing() => pauses.look_again(error.into()).await?,
                StepError::Aws(error) => {
                    let allowed = self.patience(&error).await;
                    let meanwhile = self.explain(error).await;
                    match allowed {
                        Some(allowed) => pauses.try_again(allowed, meanwhile).await?,
                        None => return Err(meanwhile),
                    }
                }
                error => return Err(error),
            }
        }
    }

    async fn attempt(&self) -> Result<Output, StepError> {
        let aws = self.aws();
        match &self.step.change {
            Change::CreateSecurityGroup(group) => return self.create_security_group(group).await,
            Change::CreateTargetGroup(group) => return self.create_target_group(group).await,
            Change::CreateLoadBalancer(balancer) => return self.create_load_balancer(balancer).await,
            Change::CreateListener(listener) => return self.create_listener(listener).await,
            Change::WaitHealthy(targets) => return self.look_for_health(targets).await,
            Change::WaitActive => return self.look_for_active().await,
            Change::CreateCacheSubnetGroup(group) => return self.create_cache_subnet_group(group).await,
            Change::CreateCache(cache) => return self.create_cache(cache).await,
            Change::WaitCacheAvailable => return self.look_for_cache().await,
            Change::LaunchInstance(instance) => return self.launch(instance).await,
            Change::WaitRunning => return self.look_for_running().await,

            Change::AuthorizeRules(rules) => self.authorize(rules).await?,
            Change::DescribeRules(rules) => self.describe(rules).await?,
            Change::RevokeRules(rules) => self.revoke(rules).await?,
            Change::WaitInterfacesReleased => self.look_for_interfaces().await?,
            Change::DeleteSecurityGroup => self.deleted(aws.delete_security_group(self.id_or_gone()).await)?,

            Change::SetHealthCheck(check) => aws.modify_target_group(self.id()?, check).await?,
            Change::SetTargetGroupAttributes(changed) => {
                aws.modify_target_group_attributes(self.id()?, changed).await?;
            }
            Change::RegisterTargets(targets) => aws.register_targets(self.id()?, &self.ids(targets)?).await?,
            Change::DeregisterTargets(targets) => {
                // What puts an old service back may name an instance that never came to be.
                let ids: BTreeSet<String> = targets.iter().filter_map(|target| self.observed.resolve(target)).collect();
                if !ids.is_empty() {
                    self.deleted(aws.deregister_targets(self.id()?, &ids).await)?;
                }
            }
            Change::WaitDrained(targets) => self.look_for_drained(targets).await?,
            Change::DeleteTargetGroup => self.deleted(aws.delete_target_group(self.id_or_gone()).await)?,

            Change::SetLoadBalancerAttributes(changed) => {
                aws.modify_load_balancer_attributes(self.id()?, changed).await?;
            }
            Change::SetSubnets(subnets) => aws.set_subnets(self.id()?, subnets).await?,
            Change::SetSecurityGroups(groups) => aws.set_security_groups(self.id()?, &self.ids(groups)?).await?,
            Change::SetIpAddressType(kind) => aws.set_ip_address_type(self.id()?, kind).await?,
            Change::DeleteLoadBalancer => self.deleted(aws.delete_load_balancer(self.id_or_gone()).await)?,

            Change::ModifyListener(listener) => aws.modify_listener(self.id()?, &self.settings(listener)?).await?,
            Change::AddCertificates(arns) => aws.add_listener_certificates(self.id()?, arns).await?,
            Change::RemoveCertificates(arns) => self.remove_certificates(arns).await?,
            Change::WaitCertificate(arn) => self.look_for_certificate(arn).await?,
            Change::DeleteListener => self.deleted(aws.delete_listener(self.id_or_gone()).await)?,

            Change::CreateRecord(record) | Change::SetRecord(record) => self.change_record(record).await?,
            Change::DeleteRecord(record) => self.delete_record(record).await?,
            Change::SetCacheSubnets(subnets) => match &self.step.node {
                NodeId::CacheSubnetGroup(name) => aws.modify_cache_subnet_group(name, subnets).await?,
                other => return Err(StepError::Unresolved(other.to_string())),
            },
            Change::DeleteCacheSubnetGroup => match &self.step.node {
                NodeId::CacheSubnetGroup(name) => self.deleted(aws.delete_cache_subnet_group(name).await)?,
                other => return Err(StepError::Unresolved(other.to_string())),
            },
            Change::SetCache(settings) => self.set_cache(settings).await?,
            Change::SetTransitEncryption(wanted) => {
                let answered = aws.set_transit_encryption(self.cache_id()?, *wanted).await;
                self.unless_done(answered, |cache| cache.transit_encryption == *wanted).await?;
            }
            Change::SetCacheSecurityGroups(groups) => {
                let groups = self.ids(groups)?;
                let answered = aws.set_cache_security_groups(self.cache_id()?, &groups).await;
                self.unless_done(answered, |cache| cache.security_groups == groups).await?;
            }
            Change::SetReplicas(before, count) => self.set_replicas(*before, *count).await?,
            Change::DeleteCache => self.delete_cache().await?,
            Change::WaitCacheDeleted => self.look_for_deleted_cache().await?,
            Change::SetMetadataOptions(options) => aws.modify_metadata_options(self.id()?, *options).await?,
            Change::TerminateInstance => self.terminate().await?,
            Change::Tag(nodes, tags) => self.tag(nodes, tags).await?,
            Change::Untag(nodes, tags) => self.untag(nodes, tags).await?,
            Change::Finish(nodes) => self.finish(nodes).await?,
        }
        Ok(Output::Done)
    }

    fn aws(&self) -> &dyn Aws {
        self.context.aws.as_ref()
    }

    /// The identifier of the step's own object.
    fn id(&self) -> Result<&str, StepError> {
        self.id_of(&self.step.node)
    }

    fn id_of<'n>(&'n self, node: &'n NodeId) -> Result<&'n str, StepError> {
        if let NodeId::RulesIn(group) = node {
            return Ok(group);
        }
        self.observed.id(node).ok_or_else(|| StepError::Unresolved(node.to_string()))
    }

    fn resolve(&self, reference: &Ref) -> Result<String, StepError> {
        self.observed.resolve(reference).ok_or_else(|| StepError::Unresolved(reference.to_string()))
    }

    fn ids(&self, references: &BTreeSet<Ref>) -> Result<BTreeSet<String>, StepError> {
        references.iter().map(|reference| self.resolve(reference)).collect()
    }

    /// For how long a refused call is worth repeating; `None` when it will not pass.
    async fn patience(&self, error: &AwsError) -> Option<Duration> {
        let change = &self.step.change;
        let fresh =
            self.fresh.contains(&self.step.node) || change.references().iter().any(|node| self.fresh.contains(node));
        match (change, error.code.as_str()) {
            (
                _,
                "LoadBalancerNotFound"
                | "TargetGroupNotFound"
                | "ListenerNotFound"
                | "InvalidGroup.NotFound"
                | "InvalidSecurityGroup"
                | "CacheSubnetGroupNotFoundFault"
                | "InvalidInstanceID.NotFound",
            ) if fresh => Some(CONSISTENCY),
            // A new instance profile takes its time to be known everywhere.
            (Change::LaunchInstance(instance), "InvalidParameterValue") if instance.instance_profile.is_some() => {
                Some(SPREADING)
            }
            (
                Change::SetCache(_)
                | Change::SetTransitEncryption(_)
                | Change::SetCacheSecurityGroups(_)
                | Change::SetReplicas(..)
                | Change::DeleteCache
                | Change::Tag(..)
                | Change::Untag(..)
                | Change::Finish(_),
                "InvalidReplicationGroupState" | "InvalidCacheClusterState",
            ) => Some(Duration::MAX),
            (Change::DeleteCacheSubnetGroup, "CacheSubnetGroupInUse") => Some(SETTLING),
            (
                Change::CreateListener(_) | Change::ModifyListener(_) | Change::AddCertificates(_),
                "UnsupportedCertificate" | "CertificateNotFound",
            ) if self.certificates_issued().await => Some(SETTLING),
            (Change::RegisterTargets(targets), "InvalidTarget") => self.starting(targets).await,
            (Change::SetLoadBalancerAttributes(changed), "InvalidConfigurationRequest")
                if changed.keys().any(|key| key.contains("_logs.")) =>
            {
                Some(SPREADING)
            }
            (Change::DeleteTargetGroup, "ResourceInUse") => Some(SETTLING),
            (Change::DeleteSecurityGroup, "DependencyViolation" | "InvalidGroup.InUse") => Some(Duration::MAX),
            _ => None,
        }
    }

    /// Adds to a refusal what AWS leaves out.
    async fn explain(&self, error: AwsError) -> StepError {
        if matches!(self.step.change, Change::DeleteSecurityGroup) && error.class() == ErrorClass::InUse {
            return self.explain_dependency(error).await;
        }
        error.into()
    }

    /// The identifier of an object to delete; nothing has this one when there is none.
    fn id_or_gone(&self) -> &str {
        self.observed.id(&self.step.node).unwrap_or("")
    }

    /// An object that is gone, or never came to be, is deleted. One that was just created is rather not known yet.
    fn deleted(&self, result: Result<(), AwsError>) -> Result<(), StepError> {
        match result {
            Err(error) if error.class() == ErrorClass::NotFound && self.fresh.contains(&self.step.node) => {
                Err(error.into())
            }
            Err(error) if error.class() == ErrorClass::NotFound || self.observed.id(&self.step.node).is_none() => {
                Ok(())
            }
            other => Ok(other?),
        }
    }

    async fn look_for_active(&self) -> Result<Output, StepError> {
        let found = self.aws().load_balancer(&LoadBalancerKey::Arn(self.id()?.to_owned())).await?;
        let Some(info) = found else {
            return Err(StepError::Unseen("AWS does not show the load balancer".to_owned()));
        };
        match info.state {
            LoadBalancerState::Active | LoadBalancerState::ActiveImpaired => {
                Ok(Output::LoadBalancer(Box::new(info), Tags::new()))
            }
            LoadBalancerState::Provisioning => {
                Err(StepError::Waiting("AWS is still setting the load balancer up".to_owned()))
            }
            LoadBalancerState::Failed => {
                Err(StepError::Broken(info.state_reason.unwrap_or_else(|| "it gave no reason".to_owned())))
            }
        }
    }
}
