//! Creating objects, and recognising what an earlier try of the same create has made.

use std::collections::BTreeSet;

use super::{Run, StepError};
use crate::aws::{
    AwsError, ErrorClass, LoadBalancerKey, LoadBalancerState, NewLoadBalancer, NewSecurityGroup, NewTargetGroup,
    SecurityGroupKey, Tags,
};
use crate::stack::effect::Output;
use crate::stack::ownership::Claim;
use crate::stack::plan::Purpose;
use crate::stack::{Listener, LoadBalancer, Node, NodeId, SecurityGroup, TargetGroup};

impl Run<'_> {
    pub(super) fn tags_of(&self, node: Node) -> Tags {
        self.context.tags_of_new(&self.step.node, &node)
    }

    pub(super) async fn create_security_group(&self, group: &SecurityGroup) -> Result<Output, StepError> {
        let tags = self.tags_of(Node::SecurityGroup(group.clone()));
        let new = NewSecurityGroup {
            name: group.name.clone(),
            description: group.description.clone(),
            vpc_id: group.vpc_id.clone(),
            tags: tags.clone(),
        };
        match self.aws().create_security_group(&new).await {
            Ok(id) => Ok(Output::Created(id, tags)),
            Err(error) if may_exist(&error) => {
                let key = SecurityGroupKey::Name { vpc_id: Some(new.vpc_id), name: new.name };
                let found = self.aws().security_groups(&key).await?.into_iter().next();
                self.ours(found.map(|group| (group.id, group.tags)), error)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn create_target_group(&self, group: &TargetGroup) -> Result<Output, StepError> {
        let tags = self.tags_of(Node::TargetGroup(group.clone()));
        let new = NewTargetGroup {
            name: group.name.clone(),
            protocol: group.protocol.clone(),
            port: group.port,
            vpc_id: group.vpc_id.clone(),
            health_check: group.health_check.clone(),
            tags: tags.clone(),
        };
        match self.aws().create_target_group(&new).await {
            Ok(arn) => Ok(Output::Created(arn, tags)),
            Err(error) if may_exist(&error) => {
                let found = self.aws().target_groups_named(&new.name).await?;
                let found = found.into_iter().find(|group| group.name == new.name);
                let found = self.with_tags(found.map(|group| group.arn)).await?;
                self.ours(found, error)
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn create_load_balancer(&self, balancer: &LoadBalancer) -> Result<Output, StepError> {
        let tags = self.tags_of(Node::LoadBalancer(balancer.clone()));
        let new = NewLoadBalancer {
            name: balancer.name.clone(),
            scheme: balancer.scheme.clone(),
            ip_address_type: balancer.ip_address_type.clone(),
            subnet_ids: balancer.subnet_ids.clone(),
            security_groups: self.ids(&balancer.security_groups)?,
            tags: tags.clone(),
        };
        let error = match self.aws().create_load_balancer(&new).await {
            // AWS answers with what is there already: only what it is still setting up can be new.
            Ok(info) if self.is_arbiter() || info.state != LoadBalancerState::Provisioning => {
                let tagged = self.with_tags(Some(info.arn.clone())).await?;
                let found_tags = tagged.map(|(_, tags)| tags).unwrap_or_default();
                if self.context.owner.owns(&found_tags) {
                    return Ok(Output::LoadBalancer(Box::new(info), tags));
                }
                return Err(self.others(info.arn, &found_tags));
            }
            Ok(info) => return Ok(Output::LoadBalancer(Box::new(info), tags)),
            Err(error) if may_exist(&error) => error,
            Err(error) => return Err(error.into()),
        };
        let found = self.aws().load_balancer(&LoadBalancerKey::Name(new.name)).await?;
        let tagged = self.with_tags(found.as_ref().map(|info| info.arn.clone())).await?;
        match (self.ours(tagged, error)?, found) {
            (Output::Created(_, tags), Some(info)) => Ok(Output::LoadBalancer(Box::new(info), tags)),
            (output, _) => Ok(output),
        }
    }

    pub(super) async fn create_listener(&self, listener: &Listener) -> Result<Output, StepError> {
        let balancer = self.id_of(&NodeId::LoadBalancer)?;
        let tags = self.tags_of(Node::Listener(listener.clone()));
        match self.aws().create_listener(balancer, &self.settings(listener)?, &tags).await {
            Ok(arn) => Ok(Output::Created(arn, tags)),
            Err(error) if may_exist(&error) => {
                let found = self.aws().listeners(balancer).await?;
                let found = found.into_iter().find(|found| found.settings.port == listener.port);
                let found = self.with_tags(found.map(|listener| listener.arn)).await?;
                self.ours(found, error)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the load balancer decides which of two creates of one stack goes on: AWS answers the second with what
    /// the first has made. Where there is a security group that decides, because AWS refuses a second one.
    fn is_arbiter(&self) -> bool {
        self.context.purpose == Purpose::Create
            && !self.observed.nodes.keys().any(|id| matches!(id, NodeId::SecurityGroup(_)))
    }

    /// What was found, with its tags. Whose it is must not be guessed before AWS tells them, which can take seconds.
    async fn with_tags(&self, arn: Option<String>) -> Result<Option<(String, Tags)>, StepError> {
        let Some(arn) = arn else { return Ok(None) };
        let mut tags = self.told_tags(&[arn.clone()].into()).await?;
        Ok(tags.remove(&arn).map(|tags| (arn, tags)))
    }

    /// What was found under the name of a create that failed with `error`: ours, or in the way.
    pub(super) fn ours(&self, found: Option<(String, Tags)>, error: AwsError) -> Result<Output, StepError> {
        match found {
            Some((id, tags)) if self.context.owner.owns(&tags) => Ok(Output::Created(id, tags)),
            Some((id, tags)) => Err(self.others(id, &tags)),
            None => Err(error.into()),
        }
    }

    /// What is in the way: another create of this stack that has not finished, or something else.
    fn others(&self, id: String, tags: &Tags) -> StepError {
        match self.context.owner.claim(tags, &BTreeSet::new()) {
            Claim::Interrupted => StepError::TakenOver(id),
            _ => StepError::Taken { what: self.step.node.to_string(), id },
        }
    }
}

/// Whether the object may exist for all that the create failed.
pub(super) fn may_exist(error: &AwsError) -> bool {
    matches!(error.class(), ErrorClass::Exists | ErrorClass::NoAnswer)
}
