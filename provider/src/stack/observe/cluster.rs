//! Finding the instances of a stack, and the cache that they share.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;

use super::Sought;
use super::sort::Sorter;
use crate::aws::{Aws, AwsError, LaunchedInfo};
use crate::stack::cluster::{Cache, CacheSubnetGroup, ClusterAnswers, Instance};
use crate::stack::ownership::{NODE, PROVISIONING, STACK};
use crate::stack::{Node, NodeId};

/// The instances of a stack, and the cache that they share.
pub(super) async fn ask(aws: &dyn Aws, sought: &Sought<'_>) -> Result<ClusterAnswers, AwsError> {
    let Some(names) = sought.roles.cluster() else { return Ok(ClusterAnswers::default()) };
    let (launched, mut caches, subnet_group) = tokio::try_join!(
        instances(aws, sought),
        aws.replication_groups(&names.cache_prefix),
        aws.cache_subnet_group(&names.subnet_group),
    )?;
    caches.retain(|cache| names.is_cache(&cache.id));
    let arns: Vec<&String> =
        caches.iter().map(|cache| &cache.arn).chain(subnet_group.iter().map(|group| &group.arn)).collect();
    let tags = try_join_all(arns.iter().map(|arn| aws.cache_tags(arn))).await?;
    let tags = arns.into_iter().cloned().zip(tags).collect();
    Ok(ClusterAnswers { launched, caches, subnet_group, tags })
}

/// The instances that say whose they are, and those that the state knows although they do not say it any more.
async fn instances(aws: &dyn Aws, sought: &Sought<'_>) -> Result<Vec<LaunchedInfo>, AwsError> {
    let mut launched = aws.launched(STACK, &sought.owner.stack).await?;
    let mut silent: BTreeSet<String> = sought.known.keys().filter(|id| id.starts_with("i-")).cloned().collect();
    silent.retain(|id| !launched.iter().any(|info| info.instance.id == *id));
    if !silent.is_empty() {
        launched.extend(aws.launched_by_id(&silent).await?);
    }
    Ok(launched)
}

impl Sorter<'_> {
    pub(super) fn sort_caches(&mut self) {
        let cluster = &self.answers.cluster;
        let tags_of = |arn: &str| cluster.tags.get(arn).cloned().unwrap_or_default();
        if let Some(info) = &cluster.subnet_group {
            let tags = tags_of(&info.arn);
            let subnet_ids = info.subnet_ids.clone();
            let node = Node::CacheSubnetGroup(CacheSubnetGroup { name: info.name.clone(), subnet_ids });
            self.claim(NodeId::CacheSubnetGroup(info.name.clone()), &info.arn, &tags, node, false);
        }
        // One that is being deleted keeps its name until it is gone.
        for info in &cluster.caches {
            let tags = tags_of(&info.arn);
            let group = cluster.subnet_group.as_ref().filter(|group| info.subnet_group.as_ref() == Some(&group.name));
            // AWS neither tells the tags of a cache that is changing nor takes any for it: it is whose its subnet group
            // is. So is one that another resource's create has left and that could not be tagged anew.
            let told = !tags.is_empty() || info.status == "available";
            let by_group = group.filter(|_| !told || tags.contains_key(PROVISIONING));
            let claim = by_group.map_or_else(|| tags.clone(), |group| tags_of(&group.arn));
            let node = Node::Cache(Cache {
                id: info.id.clone(),
                description: String::new(),
                settings: info.settings.clone(),
                transit_encryption: info.transit_encryption,
                at_rest_encryption: info.at_rest_encryption,
                auth_token_parameter: None,
                subnet_group: String::new(),
                security_groups: info.security_groups.iter().map(|id| self.found.observed.reference(id)).collect(),
            });
            let id = NodeId::Cache(info.id.clone());
            if self.claim(id.clone(), &info.arn, &claim, node, false) {
                if let Some(existing) = self.found.observed.nodes.get_mut(&id).filter(|_| told) {
                    existing.tags = tags;
                }
                self.found.observed.caches.insert(id, info.into());
            }
        }
    }

    /// The instances that are not on their way out. Two of the same kind in the same place are one too many: the one that
    /// the state knows stays.
    pub(super) fn sort_instances(&mut self) {
        let leaves = |state: &str| matches!(state, "shutting-down" | "terminated");
        let mut launched: Vec<&LaunchedInfo> = self.answers.cluster.launched.iter().collect();
        launched.sort_by_key(|info| !self.sought.known.contains_key(&info.instance.id));
        for info in launched.into_iter().filter(|info| !leaves(&info.instance.state)) {
            let tag = info.tags.get(NODE).map(String::as_str).unwrap_or_default();
            let groups = info.instance.security_groups.iter().map(|id| self.found.observed.reference(id)).collect();
            let instance = Instance::found(info, tag, groups);
            let mut id = instance.id();
            while self.found.observed.nodes.contains_key(&id) {
                id = id.copy();
            }
            if self.claim(id.clone(), &info.instance.id, &info.tags, Node::Instance(instance), false) {
                self.found.observed.instances.insert(id, info.into());
            }
        }
    }
}
