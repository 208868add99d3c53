//! Instances to launch, and caches.

use std::collections::BTreeSet;

use super::{InstanceInfo, Tags};

/// An instance with what it was launched with, as far as that is described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LaunchedInfo {
    /// The instance.
    pub instance: InstanceInfo,
    /// Its image.
    pub image_id: String,
    /// Its type.
    pub instance_type: String,
    /// Its key pair.
    pub key_name: Option<String>,
    /// The name of its instance profile.
    pub instance_profile: Option<String>,
    /// How it gives its metadata.
    pub metadata: MetadataOptions,
    /// Its root volume, while it has one.
    pub root_volume: Option<String>,
    /// Its tags.
    pub tags: Tags,
}

/// How an instance gives its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MetadataOptions {
    /// Whether it gives any.
    pub enabled: bool,
    /// Whether it takes a session token for it.
    pub requires_session: bool,
    /// How many hops away such a token gets.
    pub hop_limit: i32,
}

/// An instance to launch, with an encrypted root volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewInstance {
    /// A repeated call with the same token launches nothing more.
    pub client_token: String,
    /// Its image.
    pub image_id: String,
    /// Its type.
    pub instance_type: String,
    /// Its subnet.
    pub subnet_id: String,
    /// Its security groups.
    pub security_groups: BTreeSet<String>,
    /// Its key pair.
    pub key_name: Option<String>,
    /// The name of its instance profile.
    pub instance_profile: Option<String>,
    /// What its image calls its root volume: a mapping of another name would add a volume.
    pub root_device: String,
    /// The size of its root volume in GiB.
    pub root_volume_size: i64,
    /// How it gives its metadata.
    pub metadata: MetadataOptions,
    /// Its user data, as text.
    pub user_data: String,
    /// Its tags.
    pub tags: Tags,
    /// The tags of its root volume.
    pub volume_tags: Tags,
}

/// The subnets of caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheSubnetGroupInfo {
    /// Its ARN.
    pub arn: String,
    /// Its name, unique in an account and region.
    pub name: String,
    /// Its subnets.
    pub subnet_ids: BTreeSet<String>,
}

/// A replication group: a primary cache and its replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReplicationGroupInfo {
    /// Its ARN.
    pub arn: String,
    /// Its id, unique in an account and region.
    pub id: String,
    /// `creating`, `available`, `modifying`, `deleting`, ...
    pub status: String,
    /// What can be changed about it.
    pub settings: CacheSettings,
    /// Whether it speaks TLS.
    pub transit_encryption: TransitEncryption,
    /// Whether it encrypts what it stores.
    pub at_rest_encryption: bool,
    /// The host and port of its primary, once it has one.
    pub endpoint: Option<(String, u16)>,
    /// The name of its subnet group; `None` where AWS does not tell.
    pub subnet_group: Option<String>,
    /// Its security groups; none where AWS does not tell.
    pub security_groups: BTreeSet<String>,
}

/// Which connections a replication group takes. AWS changes it by one step at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransitEncryption {
    /// Those in cleartext.
    Disabled,
    /// Both kinds.
    Preferred,
    /// Encrypted ones.
    Required,
}

impl TransitEncryption {
    /// That of a replication group that was created with encryption in transit, or without.
    pub(crate) fn created(encrypted: bool) -> Self {
        if encrypted { Self::Required } else { Self::Disabled }
    }

    /// Whether TLS is spoken.
    pub(crate) fn is_on(self) -> bool {
        self != Self::Disabled
    }

    /// As AWS calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::Preferred => "preferred",
            Self::Required => "required",
        }
    }
}

/// What can be changed about a replication group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CacheSettings {
    /// `cache.t3.micro`
    pub node_type: String,
    /// `7.1`; `None` where AWS does not tell.
    pub engine_version: Option<String>,
    /// How many replicas the primary has.
    pub replica_count: i64,
    /// Whether a replica takes over from a primary that fails.
    pub automatic_failover: bool,
    /// Whether the primary and its replicas are in different availability zones.
    pub multi_az: bool,
    /// `default.redis7`; `None` where AWS does not tell.
    pub parameter_group: Option<String>,
}

/// A replication group to create, with cluster mode disabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewReplicationGroup {
    /// Its id.
    pub id: String,
    /// Its description.
    pub description: String,
    /// What can be changed about it later.
    pub settings: CacheSettings,
    /// Whether it speaks TLS.
    pub transit_encryption: bool,
    /// Whether it encrypts what it stores.
    pub at_rest_encryption: bool,
    /// Its subnets.
    pub subnet_group: String,
    /// Its security groups.
    pub security_groups: BTreeSet<String>,
    /// Its tags.
    pub tags: Tags,
}
