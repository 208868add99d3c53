//! The objects of a cluster of servers: its instances, and the cache that they share.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::{NodeId, Ref};
use crate::aws::{CacheSettings, LaunchedInfo, MetadataOptions, ReplicationGroupInfo, TransitEncryption};

/// How much of a hash the name of an instance or a cache carries.
const HASH_LENGTH: usize = 8;
/// How much of a hash tells what an instance was started with.
const SPEC_LENGTH: usize = 16;

/// The subnets of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheSubnetGroup {
    pub(crate) name: String,
    pub(crate) subnet_ids: BTreeSet<String>,
}

/// A replication group of Redis, with cluster mode disabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cache {
    pub(crate) id: String,
    pub(crate) description: String,
    pub(crate) settings: CacheSettings,
    pub(crate) transit_encryption: TransitEncryption,
    pub(crate) at_rest_encryption: bool,
    /// The SSM parameter with its token. What is there does not tell it.
    pub(crate) auth_token_parameter: Option<String>,
    /// The name of its subnet group. What is there does not tell it.
    pub(crate) subnet_group: String,
    pub(crate) security_groups: BTreeSet<Ref>,
}

/// AWS's own parameter group for a version of Redis OSS, with cluster mode disabled.
pub(crate) fn parameter_group(version: &str) -> String {
    match version.split('.').next().unwrap_or(version) {
        "6" => "default.redis6.x".to_owned(),
        major => format!("default.redis{major}"),
    }
}

/// The status of a cache that ElastiCache could not set up.
pub(crate) const CREATE_FAILED: &str = "create-failed";

/// What AWS alone says of a cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheFacts {
    pub(crate) available: bool,
    pub(crate) deleting: bool,
    /// Whether ElastiCache could not set it up.
    pub(crate) failed: bool,
    pub(crate) endpoint: Option<(String, u16)>,
}

impl From<&ReplicationGroupInfo> for CacheFacts {
    fn from(info: &ReplicationGroupInfo) -> Self {
        let is = |status: &str| info.status == status;
        let (available, deleting, failed) = (is("available"), is("deleting"), is(CREATE_FAILED));
        Self { available, deleting, failed, endpoint: info.endpoint.clone() }
    }
}

/// How every instance gives its metadata: nothing on it is further away than a process of its own.
pub(crate) const METADATA: MetadataOptions = MetadataOptions { enabled: true, requires_session: true, hop_limit: 1 };

/// An instance of a cluster. Nothing of it changes in place but how it gives its metadata: what differs is another
/// instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Its place in the cluster, from 1.
    pub(crate) slot: u32,
    pub(crate) image_id: String,
    pub(crate) instance_type: String,
    pub(crate) subnet_id: String,
    pub(crate) key_name: Option<String>,
    pub(crate) instance_profile: Option<String>,
    pub(crate) security_groups: BTreeSet<Ref>,
    /// A hash of what it is started with.
    pub(crate) spec: String,
    /// Whether it runs, or starts.
    pub(crate) sound: bool,
    pub(crate) metadata: MetadataOptions,
    /// What it is started with; only known of one that is wanted.
    pub(crate) start: Option<Start>,
}

/// What an instance is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Start {
    /// With [`Start::cache_host`] in the place of the cache's host, when it has a cache of the stack's.
    pub(crate) user_data: String,
    pub(crate) cache_host: &'static str,
    pub(crate) cache: Option<NodeId>,
    /// GiB.
    pub(crate) root_volume_size: i64,
}

impl Start {
    /// The hash by which an instance tells what it was started with. Which cache it is counts, not where that is.
    pub(crate) fn spec(&self) -> String {
        let cache = self.cache.as_ref().map(ToString::to_string).unwrap_or_default();
        hash(&format!("{}\0{cache}\0{}", self.root_volume_size, self.user_data), SPEC_LENGTH)
    }
}

/// What AWS alone says of an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InstanceFacts {
    /// Whether it is still starting.
    pub(crate) starting: bool,
    pub(crate) availability_zone: String,
    pub(crate) private_ip: Option<String>,
    /// Its root volume, which has the tags of the instance: those that it gets, never compared with those it has.
    pub(crate) root_volume: Option<String>,
}

impl From<&LaunchedInfo> for InstanceFacts {
    fn from(info: &LaunchedInfo) -> Self {
        Self {
            starting: info.instance.state == "pending",
            availability_zone: info.instance.availability_zone.clone(),
            private_ip: info.instance.private_ip.clone(),
            root_volume: info.root_volume.clone(),
        }
    }
}

impl Instance {
    /// Which instance it is: one that differs in anything that does not change in place is another.
    pub(crate) fn id(&self) -> NodeId {
        let groups: Vec<String> = self.security_groups.iter().map(ToString::to_string).collect();
        let Self { image_id, instance_type, subnet_id, key_name, instance_profile, spec, sound, .. } = self;
        let all = format!(
            "{spec}\0{image_id}\0{instance_type}\0{subnet_id}\0{key_name:?}\0{instance_profile:?}\0{groups:?}\0{sound}"
        );
        NodeId::Instance(format!("{}-{}", self.slot, hash(&all, HASH_LENGTH)))
    }

    /// The value of the tag that says what it is.
    pub(crate) fn tag(&self) -> String {
        format!("{}-{}", self.slot, self.spec)
    }

    /// An instance that is there, by what is described and the tag. `groups` are its security groups.
    pub(crate) fn found(info: &LaunchedInfo, tag: &str, groups: BTreeSet<Ref>) -> Self {
        let (slot, spec) = tag.split_once('-').unwrap_or_default();
        Self {
            slot: slot.parse().unwrap_or_default(),
            image_id: info.image_id.clone(),
            instance_type: info.instance_type.clone(),
            subnet_id: info.instance.subnet_id.clone(),
            key_name: info.key_name.clone(),
            instance_profile: info.instance_profile.clone(),
            security_groups: groups,
            spec: spec.to_owned(),
            sound: matches!(info.instance.state.as_str(), "pending" | "running"),
            metadata: info.metadata,
            start: None,
        }
    }
}

/// The start of a digest, in hexadecimal.
pub(crate) fn hash(text: &str, length: usize) -> String {
    Sha256::digest(text).iter().take(length / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// The names of what a cluster has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClusterNames {
    /// The start of the ids of its caches.
    pub(crate) cache_prefix: String,
    /// The name of its caches' subnet group.
    pub(crate) subnet_group: String,
}

impl ClusterNames {
    /// Whether a cache with this id may be the cluster's: those of others may have names that start like its.
    pub(crate) fn is_cache(&self, id: &str) -> bool {
        let hash = id.strip_prefix(self.cache_prefix.as_str());
        hash.is_some_and(|hash| hash.len() == HASH_LENGTH && hash.bytes().all(|byte| byte.is_ascii_hexdigit()))
    }
}

/// What a search for a cluster has found, by the ARN or id of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterAnswers {
    pub(crate) launched: Vec<LaunchedInfo>,
    pub(crate) caches: Vec<ReplicationGroupInfo>,
    pub(crate) subnet_group: Option<crate::aws::CacheSubnetGroupInfo>,
    /// The tags of caches and subnet groups, by ARN.
    pub(crate) tags: BTreeMap<String, crate::aws::Tags>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance() -> Instance {
        Instance {
            slot: 1,
            image_id: "ami-0a".to_owned(),
            instance_type: "t3.micro".to_owned(),
            subnet_id: "subnet-a".to_owned(),
            key_name: None,
            instance_profile: None,
            security_groups: [Ref::Of(NodeId::SecurityGroup("node"))].into(),
            spec: "0123456789abcdef".to_owned(),
            sound: true,
            metadata: METADATA,
            start: None,
        }
    }

    #[test]
    fn a_version_has_the_parameter_group_of_its_family() {
        for (version, expected) in [("6.0", "default.redis6.x"), ("6.2", "default.redis6.x"), ("7.1", "default.redis7")]
        {
            assert_eq!(parameter_group(version), expected);
        }
    }

    #[test]
    fn whatever_differs_makes_another_instance_of_the_same_place() {
        let changes: [fn(&mut Instance); 7] = [
            |instance| instance.image_id = "ami-0b".to_owned(),
            |instance| instance.instance_type = "t3.small".to_owned(),
            |instance| instance.subnet_id = "subnet-b".to_owned(),
            |instance| instance.key_name = Some("key".to_owned()),
            |instance| instance.security_groups = [Ref::Known("sg-0a".to_owned())].into(),
            |instance| instance.spec = "fedcba9876543210".to_owned(),
            |instance| instance.sound = false,
        ];
        for change in changes {
            let mut other = instance();
            change(&mut other);
            assert_ne!(other.id(), instance().id(), "{other:?}");
            assert!(matches!(other.id(), NodeId::Instance(name) if name.starts_with("1-")));
        }
    }

    #[test]
    fn an_instance_is_known_again_by_what_is_described_and_its_tag() {
        let info = LaunchedInfo {
            instance: crate::aws::InstanceInfo {
                id: "i-0a".to_owned(),
                state: "running".to_owned(),
                vpc_id: "vpc-1".to_owned(),
                subnet_id: "subnet-a".to_owned(),
                availability_zone: "us-east-1a".to_owned(),
                private_ip: None,
                public_ip: None,
                security_groups: BTreeSet::new(),
            },
            image_id: "ami-0a".to_owned(),
            instance_type: "t3.micro".to_owned(),
            key_name: None,
            instance_profile: None,
            metadata: METADATA,
            root_volume: None,
            tags: crate::aws::Tags::new(),
        };
        let found = Instance::found(&info, &instance().tag(), instance().security_groups);
        assert_eq!((found.id(), &found), (instance().id(), &instance()));
    }
}
