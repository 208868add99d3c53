//! Tags: those of the user, and the marker of a create that is not finished.

use std::collections::BTreeSet;

use super::{Run, StepError};
use crate::aws::{SecurityGroupKey, Tags};
use crate::stack::NodeId;
use crate::stack::ownership::{PROVISIONING, Service};

impl Run<'_> {
    pub(super) async fn tag(&self, nodes: &BTreeSet<NodeId>, tags: &Tags) -> Result<(), StepError> {
        let ids = self.ids_of(nodes)?;
        match Service::of(&self.step.node) {
            Service::Compute => {
                let all = self.with_rules(ids).await?;
                if !all.is_empty() {
                    self.aws().add_ec2_tags(&all, tags).await?;
                }
            }
            Service::Caching => {
                for arn in ids {
                    self.aws().add_cache_tags(&arn, tags).await?;
                }
            }
            Service::Balancing => self.aws().add_tags(&ids, tags).await?,
        }
        Ok(())
    }

    pub(super) async fn untag(&self, nodes: &BTreeSet<NodeId>, tags: &Tags) -> Result<(), StepError> {
        let ids = self.ids_of(nodes)?;
        match Service::of(&self.step.node) {
            Service::Compute => {
                let all = self.with_rules(ids).await?;
                if !all.is_empty() {
                    self.aws().remove_ec2_tags(&all, tags).await?;
                }
            }
            Service::Caching => {
                for arn in ids {
                    self.aws().remove_cache_tags(&arn, &tags.keys().cloned().collect()).await?;
                }
            }
            Service::Balancing => self.aws().remove_tags(&ids, &tags.keys().cloned().collect()).await?,
        }
        Ok(())
    }

    /// Removes the marker. The load balancer's goes last: as long as it is there, everything of this create is
    /// known to be unfinished.
    pub(super) async fn finish(&self, nodes: &BTreeSet<NodeId>) -> Result<(), StepError> {
        let of = |service: Service| -> BTreeSet<NodeId> {
            nodes.iter().filter(|node| Service::of(node) == service).cloned().collect()
        };
        let (rest, compute) = (self.ids_of(&of(Service::Balancing))?, self.ids_of(&of(Service::Compute))?);
        let groups = SecurityGroupKey::Ids(compute.iter().filter(|id| id.starts_with("sg-")).cloned().collect());
        // A take-over begins with the security groups and ends with the load balancer: whoever finds either taken stops.
        let (tags, groups) = tokio::try_join!(self.aws().tags(&rest), self.aws().security_groups(&groups))?;
        for (id, tags) in tags.into_iter().chain(groups.into_iter().map(|group| (group.id, group.tags))) {
            if !self.context.owner.owns(&tags) {
                return Err(StepError::TakenOver(id));
            }
        }
        let marker = BTreeSet::from([PROVISIONING.to_owned()]);
        for arn in self.ids_of(&of(Service::Caching))? {
            self.aws().remove_cache_tags(&arn, &marker).await?;
        }
        if !compute.is_empty() {
            self.aws().remove_ec2_tags(&compute, &self.context.owner.marker()).await?;
        }
        Ok(self.aws().remove_tags(&rest, &marker).await?)
    }

    fn ids_of(&self, nodes: &BTreeSet<NodeId>) -> Result<BTreeSet<String>, StepError> {
        nodes.iter().map(|node| Ok(self.id_of(node)?.to_owned())).collect()
    }
}
