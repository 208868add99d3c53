//! What the provider keeps beside the state: what it needs and no user should see change.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::aws::VpcInfo;
use crate::stack::{NodeId, Observed, ownership};

/// The private state of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Private {
    /// The random id in the ownership tags; empty when it is not known.
    pub(crate) resource_id: String,
    /// The objects of the stack, by identifier, with their roles: for those that carry no tags yet.
    pub(crate) objects: BTreeMap<String, String>,
    /// The VPC, whose blocks the egress rules name.
    pub(crate) vpc_id: String,
    pub(crate) cidr_blocks: BTreeSet<String>,
    pub(crate) ipv6_cidr_blocks: BTreeSet<String>,
    /// Set by an import, until the first read has found what belongs to the stack.
    pub(crate) imported: bool,
    /// Set when a delete did not end: what is left stays in the state though the load balancer is gone.
    pub(crate) deleting: bool,
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

    /// What is to be kept of a graph.
    pub(crate) fn of(resource_id: &str, observed: &Observed) -> Self {
        let objects = observed.nodes.iter().filter(|(id, _)| !matches!(id, NodeId::Record(_) | NodeId::RulesIn(_)));
        Self {
            resource_id: resource_id.to_owned(),
            objects: objects
                .map(|(id, existing)| (existing.id.clone(), ownership::role(id, &existing.node).to_owned()))
                .collect(),
            vpc_id: observed.vpc.id.clone(),
            cidr_blocks: observed.vpc.cidr_blocks.clone(),
            ipv6_cidr_blocks: observed.vpc.ipv6_cidr_blocks.clone(),
            imported: false,
            deleting: false,
        }
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
