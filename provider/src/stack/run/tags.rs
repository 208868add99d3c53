//! Tags: those of the user, and the marker of a create that is not finished.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::join_all;

use super::{Run, StepError};
use crate::aws::{AwsError, SecurityGroupKey, Tags};
use crate::stack::NodeId;
use crate::stack::ownership::{PROVISIONING, Service};

impl Run<'_> {
    pub(super) async fn tag(&self, nodes: &BTreeSet<NodeId>, tags: &Tags) -> Result<(), StepError> {
        let ids = self.ids_of(nodes)?;
        match Service::of(&self.step.node) {
            Service::Compute => {
                let all = self.with_parts(nodes, ids).await?;
                if !all.is_empty() {
                    self.aws().add_ec2_tags(&all, tags).await?;
                }
            }
            Service::Caching => {
                for arn in ids {
                    self.aws().add_cache_tags(&arn, tags).await?;
                }
            }
            Service::Balancing => all(ids.iter().map(|arn| self.aws().add_tags(arn, tags))).await?,
        }
        Ok(())
    }

    pub(super) async fn untag(&self, nodes: &BTreeSet<NodeId>, tags: &Tags) -> Result<(), StepError> {
        let ids = self.ids_of(nodes)?;
        match Service::of(&self.step.node) {
            Service::Compute => {
                let all = self.with_parts(nodes, ids).await?;
                if !all.is_empty() {
                    // A rule may have another value than its group, which is not known here.
                    let whatever = tags.keys().map(|key| (key.clone(), None)).collect();
                    self.aws().remove_ec2_tags(&all, &whatever).await?;
                }
            }
            Service::Caching => {
                for arn in ids {
                    self.aws().remove_cache_tags(&arn, &tags.keys().cloned().collect()).await?;
                }
            }
            Service::Balancing => {
                let keys = tags.keys().cloned().collect();
                all(ids.iter().map(|arn| self.aws().remove_tags(arn, &keys))).await?;
            }
        }
        Ok(())
    }

    /// The objects of EC2 that have the tags of these: the rules of security groups, and the root volumes of instances.
    async fn with_parts(&self, nodes: &BTreeSet<NodeId>, ids: BTreeSet<String>) -> Result<BTreeSet<String>, StepError> {
        let mut all = self.with_rules(ids).await?;
        all.extend(nodes.iter().filter_map(|node| self.observed.instances.get(node)?.root_volume.clone()));
        Ok(all)
    }

    /// Removes the marker. The load balancer's goes last: as long as it is there, everything of this create is
    /// known to be unfinished.
    pub(super) async fn finish(&self, nodes: &BTreeSet<NodeId>) -> Result<(), StepError> {
        let of = |service: Service| -> BTreeSet<NodeId> {
            nodes.iter().filter(|node| Service::of(node) == service).cloned().collect()
        };
        let (rest, compute) = (self.ids_of(&of(Service::Balancing))?, self.ids_of(&of(Service::Compute))?);
        self.refuse_taken_over(nodes, &rest, &compute).await?;
        let marker = BTreeSet::from([PROVISIONING.to_owned()]);
        for arn in self.ids_of(&of(Service::Caching))? {
            self.aws().remove_cache_tags(&arn, &marker).await?;
        }
        if !compute.is_empty() {
            // Only this create's own: another may have begun to take over meanwhile.
            let own = self.context.owner.marker().into_iter().map(|(key, value)| (key, Some(value))).collect();
            self.aws().remove_ec2_tags(&compute, &own).await?;
        }
        // Of the others only those have one that were taken over.
        let marked =
            |node: &NodeId| self.observed.nodes.get(node).is_some_and(|there| there.tags.contains_key(PROVISIONING));
        let mut others = of(Service::Balancing);
        others.retain(|node| *node != NodeId::LoadBalancer && marked(node));
        all(self.ids_of(&others)?.iter().map(|arn| self.aws().remove_tags(arn, &marker))).await?;
        Ok(self.aws().remove_tags(self.id_of(&NodeId::LoadBalancer)?, &marker).await?)
    }

    /// A take-over begins with the security groups and ends with the load balancer. It takes one of this apply's own
    /// making from it before anything else; where another create made them, the rest may be that one's as well, because
    /// AWS answers with what is there.
    async fn refuse_taken_over(
        &self,
        nodes: &BTreeSet<NodeId>,
        rest: &BTreeSet<String>,
        compute: &BTreeSet<String>,
    ) -> Result<(), StepError> {
        let of_stack: Vec<&NodeId> = nodes.iter().filter(|id| matches!(id, NodeId::SecurityGroup(_))).collect();
        let decides = !of_stack.is_empty() && of_stack.into_iter().all(|id| self.fresh.contains(id));
        let groups = compute.iter().filter(|id| id.starts_with("sg-")).cloned().collect();
        let groups = self.aws().security_groups(&SecurityGroupKey::Ids(groups)).await?;
        let rest = if decides { BTreeMap::new() } else { self.told_tags(rest).await? };
        let mut all = groups.into_iter().map(|group| (group.id, group.tags)).chain(rest);
        match all.find(|(_, tags)| !self.context.owner.owns(tags)) {
            Some((id, _)) => Err(StepError::TakenOver(id)),
            None => Ok(()),
        }
    }

    /// The tags of all of these, once AWS tells them, which can take seconds.
    pub(super) async fn told_tags(&self, arns: &BTreeSet<String>) -> Result<BTreeMap<String, Tags>, StepError> {
        let tags = self.aws().tags(arns).await?;
        match arns.iter().find(|arn| !tags.contains_key(*arn)) {
            Some(arn) => Err(StepError::Unseen(format!("AWS does not tell the tags of {arn}"))),
            None => Ok(tags),
        }
    }

    fn ids_of(&self, nodes: &BTreeSet<NodeId>) -> Result<BTreeSet<String>, StepError> {
        nodes.iter().map(|node| Ok(self.id_of(node)?.to_owned())).collect()
    }
}

/// Waits for all of these calls, side by side; the first error among them.
async fn all(calls: impl Iterator<Item = impl Future<Output = Result<(), AwsError>>>) -> Result<(), AwsError> {
    join_all(calls).await.into_iter().collect()
}
