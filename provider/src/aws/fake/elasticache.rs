//! ElastiCache: replication groups and their subnet groups.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{ACCOUNT, Answer, Refusal, State, check_tags, refuse};
use crate::aws::{
    CacheSettings, CacheSubnetGroupInfo, NewReplicationGroup, ReplicationGroupInfo, Tags, TransitEncryption,
};

/// A replication group.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    /// Its ARN.
    pub arn: String,
    /// What it was created with, with its settings as they are now.
    pub new: NewReplicationGroup,
    /// Which connections it takes now.
    pub transit_encryption: TransitEncryption,
    /// The token it wants.
    pub auth_token: Option<String>,
    /// Its tags.
    pub tags: Tags,
    /// `creating`, `create-failed`, `available`, `modifying` or `deleting`.
    pub status: &'static str,
    /// Until when it is on its way to another status.
    pub until: Duration,
}

/// The subnets of caches.
#[derive(Clone, Debug)]
pub(crate) struct CacheSubnetGroup {
    /// What is described.
    pub info: CacheSubnetGroupInfo,
    /// Its tags.
    pub tags: Tags,
}

fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:elasticache:us-east-1:{ACCOUNT}:{kind}:{name}")
}

/// A version, to compare.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').filter_map(|part| part.parse().ok()).collect()
}

/// AWS's answer to a change that changes nothing.
fn nothing_to_change<T>() -> Answer<T> {
    refuse("InvalidParameterCombination", "no modifications were requested")
}

/// A replication group that something else is under way on.
fn busy(id: &str, status: &str) -> Refusal {
    Refusal::new("InvalidReplicationGroupState", format!("{id} is {status}"))
}

impl State {
    /// Caches become available, unless they cannot be set up, and deleted ones go.
    pub(super) fn advance_caches(&mut self) {
        let now = self.clock;
        self.caches.retain(|_, cache| cache.status != "deleting" || cache.until > now);
        for cache in self.caches.values_mut().filter(|cache| cache.until <= now) {
            cache.status = match cache.status {
                "creating" if self.caches_fail => "create-failed",
                "create-failed" => "create-failed",
                _ => "available",
            };
        }
    }

    pub(super) fn create_cache_subnet_group(
        &mut self,
        name: &str,
        subnet_ids: &BTreeSet<String>,
        tags: &Tags,
    ) -> Answer<String> {
        if self.cache_subnet_groups.contains_key(name) {
            return refuse("CacheSubnetGroupAlreadyExists", name);
        }
        self.check_cache_subnets(subnet_ids)?;
        let arn = arn("subnetgroup", name);
        let info = CacheSubnetGroupInfo { arn: arn.clone(), name: name.to_owned(), subnet_ids: subnet_ids.clone() };
        self.cache_subnet_groups.insert(name.to_owned(), CacheSubnetGroup { info, tags: tags.clone() });
        Ok(arn)
    }

    fn check_cache_subnets(&self, ids: &BTreeSet<String>) -> Answer<()> {
        match ids.iter().find(|id| !self.subnets.contains_key(*id)) {
            Some(missing) => refuse("InvalidSubnet", missing),
            None => Ok(()),
        }
    }

    pub(super) fn modify_cache_subnet_group(&mut self, name: &str, subnet_ids: &BTreeSet<String>) -> Answer<()> {
        self.check_cache_subnets(subnet_ids)?;
        match self.cache_subnet_groups.get_mut(name) {
            Some(group) => {
                group.info.subnet_ids.clone_from(subnet_ids);
                Ok(())
            }
            None => refuse("CacheSubnetGroupNotFoundFault", name),
        }
    }

    pub(super) fn delete_cache_subnet_group(&mut self, name: &str) -> Answer<()> {
        if self.caches.values().any(|cache| cache.new.subnet_group == name) {
            return refuse("CacheSubnetGroupInUse", name);
        }
        match self.cache_subnet_groups.remove(name) {
            Some(_) => Ok(()),
            None => refuse("CacheSubnetGroupNotFoundFault", name),
        }
    }

    /// A primary has an endpoint once it is there.
    pub(super) fn replication_groups(&self, prefix: &str) -> Vec<ReplicationGroupInfo> {
        let found = self.caches.iter().filter(|(id, _)| id.starts_with(prefix));
        found
            .map(|(id, cache)| ReplicationGroupInfo {
                arn: cache.arn.clone(),
                id: id.clone(),
                status: cache.status.to_owned(),
                settings: cache.new.settings.clone(),
                transit_encryption: cache.transit_encryption,
                at_rest_encryption: cache.new.at_rest_encryption,
                endpoint: (!matches!(cache.status, "creating" | "create-failed"))
                    .then(|| (format!("master.{id}.cache.amazonaws.com"), 6379)),
                subnet_group: Some(cache.new.subnet_group.clone()),
                security_groups: cache.new.security_groups.clone(),
            })
            .collect()
    }

    /// One alone, without what its members tell.
    pub(super) fn replication_group(&self, id: &str) -> Option<ReplicationGroupInfo> {
        let mut info = self.replication_groups(id).into_iter().find(|info| info.id == id)?;
        info.settings.engine_version = None;
        info.settings.parameter_group = None;
        info.subnet_group = None;
        info.security_groups.clear();
        Some(info)
    }

    pub(super) fn create_replication_group(
        &mut self,
        new: &NewReplicationGroup,
        auth_token: Option<&str>,
    ) -> Answer<String> {
        if self.caches.contains_key(&new.id) {
            return refuse("ReplicationGroupAlreadyExists", &new.id);
        }
        if !self.cache_subnet_groups.contains_key(&new.subnet_group) {
            return refuse("CacheSubnetGroupNotFoundFault", &new.subnet_group);
        }
        if auth_token.is_some() && !new.transit_encryption {
            return refuse("InvalidParameterCombination", "a token needs transit encryption");
        }
        if new.id.len() > 40 || new.id.contains("--") || new.id.ends_with('-') || new.id != new.id.to_lowercase() {
            return refuse("InvalidParameterValue", &new.id);
        }
        let arn = arn("replicationgroup", &new.id);
        let cache = Cache {
            arn: arn.clone(),
            new: new.clone(),
            transit_encryption: TransitEncryption::created(new.transit_encryption),
            auth_token: auth_token.map(str::to_owned),
            tags: new.tags.clone(),
            status: "creating",
            until: self.clock + self.cache_changing,
        };
        self.caches.insert(new.id.clone(), cache);
        Ok(arn)
    }

    /// A replication group as a change finds it: it must be available.
    fn changed_cache(&mut self, id: &str) -> Answer<&mut Cache> {
        match self.caches.get_mut(id) {
            Some(cache) if cache.status == "available" => Ok(cache),
            Some(cache) => Err(busy(id, cache.status)),
            None => refuse("ReplicationGroupNotFoundFault", id),
        }
    }

    pub(super) fn modify_replication_group(&mut self, id: &str, settings: &CacheSettings) -> Answer<()> {
        let until = self.clock + self.cache_changing;
        let cache = self.changed_cache(id)?;
        let there = &cache.new.settings;
        let changed = CacheSettings { replica_count: there.replica_count, ..settings.clone() };
        if changed == *there {
            return nothing_to_change();
        }
        if there.node_type != settings.node_type && there.engine_version != settings.engine_version {
            return refuse("InvalidParameterCombination", "a node type and a version are two modifications");
        }
        if let (Some(there), Some(wanted)) = (&there.engine_version, &settings.engine_version)
            && numbers(wanted) < numbers(there)
        {
            return refuse("InvalidParameterCombination", format!("{wanted} is lower than {there}"));
        }
        cache.new.settings = changed;
        (cache.status, cache.until) = ("modifying", until);
        Ok(())
    }

    /// From one end to the other it goes by way of `preferred` only, and with a token not at all.
    pub(super) fn set_transit_encryption(&mut self, id: &str, wanted: TransitEncryption) -> Answer<()> {
        let until = self.clock + self.cache_changing;
        let cache = self.changed_cache(id)?;
        if cache.auth_token.is_some() {
            return refuse("InvalidParameterCombination", "not supported for access control enabled clusters");
        }
        let there = cache.transit_encryption;
        if there == wanted {
            return nothing_to_change();
        }
        if ![there, wanted].contains(&TransitEncryption::Preferred) {
            return refuse("InvalidParameterCombination", "the transit encryption mode must be preferred first");
        }
        cache.transit_encryption = wanted;
        (cache.status, cache.until) = ("modifying", until);
        Ok(())
    }

    pub(super) fn set_cache_security_groups(&mut self, id: &str, groups: &BTreeSet<String>) -> Answer<()> {
        let until = self.clock + self.cache_changing;
        let cache = self.changed_cache(id)?;
        if cache.new.security_groups == *groups {
            return nothing_to_change();
        }
        cache.new.security_groups.clone_from(groups);
        (cache.status, cache.until) = ("modifying", until);
        Ok(())
    }

    pub(super) fn set_replica_count(&mut self, id: &str, count: i64) -> Answer<()> {
        let until = self.clock + self.cache_changing;
        let cache = self.changed_cache(id)?;
        let settings = &mut cache.new.settings;
        if count == settings.replica_count {
            return refuse("NoOperationFault", "there are that many replicas already");
        }
        if count == 0 && (settings.automatic_failover || settings.multi_az) {
            return refuse("InvalidParameterValue", "a replica must be there to fail over to");
        }
        settings.replica_count = count;
        (cache.status, cache.until) = ("modifying", until);
        Ok(())
    }

    pub(super) fn delete_replication_group(&mut self, id: &str) -> Answer<()> {
        let until = self.clock + self.cache_changing;
        if self.caches.get(id).is_none_or(|cache| cache.status != "create-failed") {
            self.changed_cache(id)?;
        }
        if let Some(cache) = self.caches.get_mut(id) {
            (cache.status, cache.until) = ("deleting", until);
        }
        Ok(())
    }

    /// The status of a replication group that is not available: then AWS neither tells its tags nor changes them.
    pub(super) fn busy_cache(&self, arn: &str) -> Option<&'static str> {
        self.caches.values().find(|cache| cache.arn == arn && cache.status != "available").map(|cache| cache.status)
    }

    /// The tags of a replication group or a subnet group.
    pub(super) fn cache_tags(&mut self, arn: &str) -> Option<&mut Tags> {
        let groups = self.cache_subnet_groups.values_mut().map(|group| (&group.info.arn, &mut group.tags));
        let caches = self.caches.values_mut().map(|cache| (&cache.arn, &mut cache.tags));
        groups.chain(caches).find(|(known, _)| *known == arn).map(|(_, tags)| tags)
    }

    pub(super) fn change_cache_tags(&mut self, arn: &str, change: impl Fn(&mut Tags)) -> Answer<()> {
        if let Some(status) = self.busy_cache(arn) {
            return Err(busy(arn, status));
        }
        match self.cache_tags(arn) {
            Some(tags) => {
                check_tags(tags, &change, "TagQuotaPerResourceExceeded")?;
                change(tags);
                Ok(())
            }
            None => refuse("ReplicationGroupNotFoundFault", arn),
        }
    }

    /// One line for each cache and subnet group.
    pub(super) fn cache_lines(&self, group: impl Fn(&str) -> String) -> Vec<String> {
        let caches = self.caches.iter().map(|(id, cache)| {
            let groups: Vec<String> = cache.new.security_groups.iter().map(|id| group(id)).collect();
            let new = &cache.new;
            format!(
                "cache {id}: {} {:?} tls {:?} at rest {} token {} in {} groups {groups:?} tags {:?}",
                cache.status,
                new.settings,
                cache.transit_encryption,
                new.at_rest_encryption,
                cache.auth_token.is_some(),
                new.subnet_group,
                cache.tags,
            )
        });
        let subnets = self.cache_subnet_groups.iter().map(|(name, group)| {
            format!("cache subnet group {name}: {:?} tags {:?}", group.info.subnet_ids, group.tags)
        });
        caches.chain(subnets).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::FakeAws;
    use super::super::fixtures::{set, tags};
    use super::*;
    use crate::aws::Aws;

    fn cache(id: &str) -> NewReplicationGroup {
        NewReplicationGroup {
            id: id.to_owned(),
            description: "one".to_owned(),
            settings: CacheSettings {
                node_type: "cache.t3.micro".to_owned(),
                engine_version: Some("7.1".to_owned()),
                replica_count: 0,
                automatic_failover: false,
                multi_az: false,
                parameter_group: Some("default.redis7".to_owned()),
            },
            transit_encryption: false,
            at_rest_encryption: true,
            subnet_group: "one".to_owned(),
            security_groups: set(&["sg-hosts"]),
            tags: tags("us"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_cache_takes_its_time_to_come_and_to_go_and_refuses_changes_meanwhile() {
        let aws = FakeAws::new();
        aws.create_cache_subnet_group("one", &set(&["subnet-a", "subnet-b"]), &tags("us")).await.unwrap();
        aws.create_replication_group(&cache("one"), None).await.unwrap();
        assert_eq!(aws.delete_replication_group("one").await.unwrap_err().code, "InvalidReplicationGroupState");
        assert_eq!(aws.replication_groups("o").await.unwrap()[0].endpoint, None);
        let arn = aws.replication_groups("o").await.unwrap()[0].arn.clone();
        assert_eq!(aws.cache_tags(&arn).await.unwrap(), Tags::new());
        assert_eq!(aws.add_cache_tags(&arn, &tags("us")).await.unwrap_err().code, "InvalidReplicationGroupState");
        tokio::time::advance(Duration::from_secs(300)).await;
        assert!(aws.replication_groups("o").await.unwrap()[0].endpoint.is_some());
        aws.delete_replication_group("one").await.unwrap();
        assert_eq!(aws.delete_cache_subnet_group("one").await.unwrap_err().code, "CacheSubnetGroupInUse");
        tokio::time::advance(Duration::from_secs(300)).await;
        assert!(aws.replication_groups("o").await.unwrap().is_empty());
        aws.delete_cache_subnet_group("one").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_cache_goes_back_to_no_earlier_version() {
        let aws = FakeAws::new();
        aws.create_cache_subnet_group("one", &set(&["subnet-a"]), &tags("us")).await.unwrap();
        aws.create_replication_group(&cache("one"), None).await.unwrap();
        tokio::time::advance(Duration::from_secs(300)).await;
        let there = cache("one").settings;
        let earlier = CacheSettings { engine_version: Some("7.0".to_owned()), ..there.clone() };
        let refused = aws.modify_replication_group("one", &there, &earlier).await.unwrap_err();
        assert_eq!(refused.code, "InvalidParameterCombination");
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_without_tls_is_refused() {
        let aws = FakeAws::new();
        aws.create_cache_subnet_group("one", &set(&["subnet-a"]), &tags("us")).await.unwrap();
        let refused = aws.create_replication_group(&cache("one"), Some("token")).await.unwrap_err();
        assert_eq!(refused.code, "InvalidParameterCombination");
    }
}
