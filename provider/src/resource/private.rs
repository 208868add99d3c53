//! What the provider keeps beside the state: what it needs and no user should see change.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::aws::{Tags, VpcInfo};
use crate::stack::{NodeId, Observed, Record, Ref, ownership};

/// The private state of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Private {
    /// The random id in the ownership tags; empty when it is not known.
    pub(crate) resource_id: String,
    /// The objects of the stack, by identifier, with their roles: for those that carry no tags yet.
    pub(crate) objects: BTreeMap<String, String>,
    /// The listeners that are encrypted: AWS tells the certificates of each in a call of its own.
    pub(crate) encrypted: BTreeSet<String>,
    /// The VPC, whose blocks the egress rules name.
    pub(crate) vpc_id: String,
    pub(crate) cidr_blocks: BTreeSet<String>,
    pub(crate) ipv6_cidr_blocks: BTreeSet<String>,
    /// Set by an import, until the first read has found what belongs to the stack.
    pub(crate) imported: bool,
    /// What the last apply settled: where objects differ among themselves, it tells which of them have changed.
    pub(crate) applied: Option<Applied>,
    /// The alias records of the stack, and where they lead.
    pub(crate) records: Vec<KeptRecord>,
    pub(crate) dns_name: String,
    /// The security groups of somebody else's in which the stack keeps rules.
    pub(crate) rules_in: BTreeSet<String>,
    /// The security groups of the stack's making that the user has taken from it: they carry its tags, and stay.
    pub(crate) released: BTreeSet<String>,
    /// Whether the load balancer is protected against deletion.
    pub(crate) protected: bool,
    /// Handed from a plan to a create: whether no load balancer had the name.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) name_is_free: bool,
}

/// What an apply was to bring about, where what is there cannot tell.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Applied {
    pub(crate) tags: Tags,
    /// Zone and name of the alias record, when there is to be one.
    pub(crate) dns_record: Option<(String, String)>,
    /// The ports of the listeners, with their roles.
    pub(crate) ports: BTreeMap<u16, String>,
}

/// Where an alias record is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptRecord {
    pub(crate) zone_id: String,
    pub(crate) name: String,
    pub(crate) kind: String,
    /// Whether somebody has put records with a routing policy in its place.
    #[serde(default)]
    pub(crate) routed: bool,
}

impl KeptRecord {
    fn of(record: &Record, routed: bool) -> Self {
        Self { zone_id: record.zone_id.clone(), name: record.name.clone(), kind: record.kind.to_owned(), routed }
    }

    /// Whether it is where this record is to be.
    fn is_in_place_of(&self, record: &Record) -> bool {
        (self.zone_id.as_str(), self.name.as_str(), self.kind.as_str())
            == (record.zone_id.as_str(), record.name.as_str(), record.kind)
    }
}

impl Private {
    /// Reads it. What cannot be read counts as lost: core drops it when an apply breaks off, and tags bring
    /// it back.
    pub(crate) fn decode(bytes: &[u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// Writes it.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What is to be kept of a graph, with what the last apply settled.
    pub(crate) fn of(resource_id: &str, observed: &Observed, applied: Option<Applied>) -> Self {
        let is_kept = |id: &NodeId| !matches!(id, NodeId::Record(_) | NodeId::RulesIn(_)) && !id.is_copy();
        let objects = observed.nodes.iter().filter(|(id, _)| is_kept(id));
        // A record that leads elsewhere and is not to be there any more is somebody else's.
        let is_ours = |record: &Record| {
            let place = Some((record.zone_id.clone(), record.name.clone()));
            record.target == Ref::Of(NodeId::LoadBalancer)
                || applied.as_ref().is_none_or(|applied| applied.dns_record == place)
        };
        Self {
            resource_id: resource_id.to_owned(),
            objects: objects
                .map(|(id, existing)| (existing.id.clone(), ownership::role(id, &existing.node).to_owned()))
                .collect(),
            encrypted: observed
                .listeners()
                .filter(|(_, listener)| listener.protocol == "HTTPS")
                .filter_map(|(id, _)| Some(observed.nodes.get(id)?.id.clone()))
                .collect(),
            vpc_id: observed.vpc.id.clone(),
            cidr_blocks: observed.vpc.cidr_blocks.clone(),
            ipv6_cidr_blocks: observed.vpc.ipv6_cidr_blocks.clone(),
            imported: false,
            records: observed
                .records()
                .filter(|(_, record)| is_ours(record))
                .map(|(id, record)| KeptRecord::of(record, observed.routed.contains(id)))
                .collect(),
            dns_name: observed.load_balancer.as_ref().map(|facts| facts.dns_name.clone()).unwrap_or_default(),
            rules_in: observed.groups_with_rules().map(str::to_owned).collect(),
            released: observed.released.clone(),
            protected: observed.is_protected(),
            name_is_free: false,
            applied,
        }
    }

    /// What is to be kept of a graph after a read.
    pub(crate) fn refreshed(&self, resource_id: &str, observed: &Observed) -> Self {
        let mut kept = Self::of(resource_id, observed, self.applied.clone());
        // A read does not look for them.
        kept.released.extend(self.released.iter().cloned());
        if observed.load_balancer.is_none() {
            kept.dns_name.clone_from(&self.dns_name);
        }
        kept
    }

    /// Whether records with a routing policy were last seen where this one is to be.
    pub(crate) fn is_routed(&self, record: &Record) -> bool {
        self.records.iter().any(|kept| kept.routed && kept.is_in_place_of(record))
    }

    /// The ports on which the last apply left listeners, with their roles. The state forgets one that somebody deletes.
    pub(crate) fn listener_ports(&self, named: impl Fn(&str) -> Option<&'static str>) -> BTreeMap<u16, &'static str> {
        let ports = self.applied.iter().flat_map(|applied| &applied.ports);
        ports.filter_map(|(port, role)| Some((*port, named(role)?))).collect()
    }

    /// What a plan hands to a create: what it found out. Core plans again right before it creates, so that is what AWS
    /// says then.
    pub(crate) fn for_create(self, vpc: Option<VpcInfo>, name_is_free: bool) -> Self {
        let VpcInfo { id: vpc_id, cidr_blocks, ipv6_cidr_blocks } = vpc.unwrap_or_default();
        Self { vpc_id, cidr_blocks, ipv6_cidr_blocks, name_is_free, ..self }
    }

    /// The VPC.
    pub(crate) fn vpc(&self) -> VpcInfo {
        VpcInfo {
            id: self.vpc_id.clone(),
            cidr_blocks: self.cidr_blocks.clone(),
            ipv6_cidr_blocks: self.ipv6_cidr_blocks.clone(),
        }
    }
}
