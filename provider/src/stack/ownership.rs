//! Whose an AWS object is: the tags that say it, and what they allow.
//!
//! Everything a stack makes carries these tags from the call that creates it. An object without them is
//! somebody else's, unless the state names it (it was imported, or somebody took them away) or it is a listener on a
//! port of the stack's.

use std::collections::BTreeSet;

use super::NodeId;
use crate::aws::Tags;

/// The prefix of the keys below; the user's own tags may not use it.
pub(crate) const PREFIX: &str = "codestream:";
/// The software that manages the object.
const MANAGED_BY: &str = "codestream:managed-by";
/// The resource's `name`.
pub(crate) const STACK: &str = "codestream:stack";
/// What the object is within the stack.
pub(crate) const ROLE: &str = "codestream:role";
/// Which Terraform resource it belongs to: a random id made when that is created, and kept in its private state.
pub(crate) const RESOURCE_ID: &str = "codestream:resource-id";
/// What an instance is: its place in the cluster and a hash of what it was started with.
pub(crate) const NODE: &str = "codestream:node";
/// There while the create that made the object has not finished; its value is that create's resource id, and on a load
/// balancer the alias records that the create makes, which carry no tags. Target groups and listeners have none but when
/// they were taken over: that of their load balancer tells of them.
pub(crate) const PROVISIONING: &str = "codestream:provisioning";
/// There on a load balancer while an update makes alias records, of which it tells like the marker of a create. It marks
/// nothing as unfinished: no other create takes the stack over for it.
pub(crate) const RECORDS: &str = "codestream:records";

/// The tags that every object of a finished stack carries.
pub(crate) const OWNERSHIP: &[&str] = &[MANAGED_BY, STACK, ROLE, RESOURCE_ID];

/// How many tags the ownership of an object takes, of the 50 that AWS allows.
pub(crate) const COUNT: usize = 5;

/// The most characters that AWS lets the value of a tag have.
const LONGEST_VALUE: usize = 256;

/// Zones and names of alias records.
pub(crate) type RecordNames = BTreeSet<(String, String)>;

/// Who a stack is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The resource type: `codestream_alb`.
    pub(crate) resource_type: &'static str,
    /// The resource's `name`.
    pub(crate) stack: String,
    /// The random id of this Terraform resource.
    pub(crate) resource_id: String,
}

/// What the tags of an object say to a stack that is being created under its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// This very resource made it.
    Ours,
    /// A create of this stack was interrupted before it finished.
    Interrupted,
    /// A finished stack of this name, of another Terraform resource.
    Finished,
    /// Not made by this provider, or for another stack.
    Foreign,
}

impl Owner {
    /// The tags of an object of this stack, without the marker.
    pub(crate) fn tags(&self, user: &Tags, role: &str) -> Tags {
        let own =
            [(MANAGED_BY, self.resource_type), (STACK, &self.stack), (ROLE, role), (RESOURCE_ID, &self.resource_id)];
        let mut tags = user.clone();
        tags.extend(own.map(|(key, value)| (key.to_owned(), value.to_owned())));
        tags
    }

    /// The marker of an unfinished create.
    pub(crate) fn marker(&self) -> Tags {
        Tags::from([(PROVISIONING.to_owned(), self.resource_id.clone())])
    }

    /// The marker of an unfinished create on a load balancer.
    pub(crate) fn balancer_marker(&self, records: &RecordNames) -> Tags {
        self.telling_of(records, PROVISIONING)
    }

    /// What is on a load balancer while an update makes alias records.
    pub(crate) fn records_tag(&self, records: &RecordNames) -> Tags {
        self.telling_of(records, RECORDS)
    }

    fn telling_of(&self, records: &RecordNames, key: &str) -> Tags {
        let mut value = self.resource_id.clone();
        for (zone_id, name) in records {
            let record = format!(" {zone_id}/{name}");
            if value.len() + record.len() <= LONGEST_VALUE {
                value.push_str(&record);
            }
        }
        Tags::from([(key.to_owned(), value)])
    }

    /// The tags that make an interrupted create's objects this one's.
    pub(crate) fn claim_tags(&self) -> Tags {
        let mut tags = self.marker();
        tags.insert(RESOURCE_ID.to_owned(), self.resource_id.clone());
        tags
    }

    /// What an object's tags say. `interrupted` holds the resource ids of creates that are known to be unfinished: an
    /// object that has no marker, or none any more, still belongs to one of those.
    pub(crate) fn claim(&self, tags: &Tags, interrupted: &BTreeSet<String>) -> Claim {
        let is = |key: &str, value: &str| tags.get(key).is_some_and(|tag| tag == value);
        if !is(MANAGED_BY, self.resource_type) || !is(STACK, &self.stack) {
            return Claim::Foreign;
        }
        match tags.get(RESOURCE_ID) {
            Some(id) if *id == self.resource_id => Claim::Ours,
            Some(id) if interrupted.contains(id) || tags.contains_key(PROVISIONING) => Claim::Interrupted,
            _ => Claim::Finished,
        }
    }

    /// Whether an object's tags say that this very resource made it.
    pub(crate) fn owns(&self, tags: &Tags) -> bool {
        self.claim(tags, &BTreeSet::new()) == Claim::Ours
    }
}

/// The records that the tags of a load balancer tell of: those of a create or an update that has not ended.
pub(crate) fn marked_records(tags: &Tags) -> RecordNames {
    let told = [PROVISIONING, RECORDS].into_iter().filter_map(|key| tags.get(key));
    let records = told.flat_map(|value| value.split(' ').skip(1));
    let parts = records.filter_map(|record| record.split_once('/'));
    parts.map(|(zone_id, name)| (zone_id.to_owned(), name.to_owned())).collect()
}

/// The AWS service whose calls tag an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Service {
    /// Elastic Load Balancing.
    Balancing,
    /// EC2.
    Compute,
    /// ElastiCache.
    Caching,
}

impl Service {
    /// That of a node.
    pub(crate) fn of(id: &NodeId) -> Self {
        match id {
            NodeId::SecurityGroup(_) | NodeId::RulesIn(_) | NodeId::Instance(_) => Self::Compute,
            NodeId::CacheSubnetGroup(_) | NodeId::Cache(_) => Self::Caching,
            NodeId::TargetGroup(_) | NodeId::LoadBalancer | NodeId::Listener(_) | NodeId::Record(_) => Self::Balancing,
        }
    }

    /// That of an ARN or id.
    pub(crate) fn of_id(id: &str) -> Self {
        if !id.starts_with("arn:") {
            Self::Compute
        } else if id.contains(":elasticache:") {
            Self::Caching
        } else {
            Self::Balancing
        }
    }
}

/// The name of an instance that the user gives no other.
pub(crate) fn instance_name(stack: &str, id: &NodeId) -> Option<String> {
    match id {
        NodeId::Instance(name) => Some(format!("{stack}-{name}")),
        _ => None,
    }
}

impl Owner {
    /// The tags of a node, without the marker: an instance has a name as well, and says what it is made of.
    pub(crate) fn tags_of(&self, user: &Tags, id: &NodeId, node: &super::Node) -> Tags {
        let mut tags = self.tags(user, role(id, node));
        if let (Some(name), super::Node::Instance(instance)) = (instance_name(&self.stack, id), node) {
            tags.entry("Name".to_owned()).or_insert(name);
            tags.insert(NODE.to_owned(), instance.tag());
        }
        tags
    }
}

/// The value of the role tag of a node.
pub(crate) fn role(id: &NodeId, node: &super::Node) -> &'static str {
    match (id, node) {
        (NodeId::SecurityGroup(role), _) => role,
        (NodeId::Instance(_), _) => "node",
        (NodeId::Cache(_) | NodeId::CacheSubnetGroup(_), _) => "cache",
        (_, super::Node::TargetGroup(group)) => group.role,
        (_, super::Node::Listener(listener)) => listener.role,
        (NodeId::LoadBalancer, _) => "load-balancer",
        _ => "",
    }
}

/// The tags of an object that are the user's: neither ours nor AWS's own.
pub(crate) fn user_tags(tags: &Tags) -> Tags {
    tags.iter()
        .filter(|(key, _)| !key.starts_with(PREFIX) && !key.starts_with("aws:"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(id: &str) -> Owner {
        Owner { resource_type: "codestream_alb", stack: "web".to_owned(), resource_id: id.to_owned() }
    }

    #[test]
    fn an_object_is_ours_only_by_its_resource_id() {
        let mine = owner("a").tags(&Tags::new(), "api");
        assert_eq!(owner("a").claim(&mine, &BTreeSet::new()), Claim::Ours);
        assert_eq!(owner("b").claim(&mine, &BTreeSet::new()), Claim::Finished);
        assert_eq!(owner("b").claim(&mine, &BTreeSet::from(["a".to_owned()])), Claim::Interrupted);
        assert_eq!(owner("a").claim(&Tags::new(), &BTreeSet::new()), Claim::Foreign);
    }

    #[test]
    fn the_marker_of_a_load_balancer_tells_of_as_many_records_as_fit() {
        let record = |name: &str| ("Z1".to_owned(), name.to_owned());
        let two = RecordNames::from([record("a.example.com"), record("b.example.com")]);
        assert_eq!(marked_records(&owner("a").balancer_marker(&two)), two);
        let long = RecordNames::from([record(&"a".repeat(256)), record("b.example.com")]);
        assert_eq!(marked_records(&owner("a").balancer_marker(&long)), RecordNames::from([record("b.example.com")]));
        assert_eq!(marked_records(&owner("a").marker()), RecordNames::new());
    }

    #[test]
    fn what_tells_of_the_records_of_an_update_is_no_marker_of_a_create() {
        let record = RecordNames::from([("Z1".to_owned(), "a.example.com".to_owned())]);
        let mut tags = owner("a").tags(&Tags::new(), "load-balancer");
        tags.extend(owner("a").records_tag(&record));
        assert_eq!(marked_records(&tags), record);
        assert_eq!(owner("b").claim(&tags, &BTreeSet::new()), Claim::Finished);
    }

    #[test]
    fn a_marked_object_belongs_to_an_interrupted_create() {
        let mut tags = owner("a").tags(&Tags::new(), "api");
        tags.extend(owner("a").marker());
        assert_eq!(owner("b").claim(&tags, &BTreeSet::new()), Claim::Interrupted);
    }
}
