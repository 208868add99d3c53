//! Finding what a `codestream_alb` has in AWS: what to look for, given its state.

use std::collections::BTreeMap;

use tfplugin::value::Value;
use uuid::Uuid;

use super::config::{Config, Role};
use super::desired::{AlbRoles, LOAD_BALANCER, group_prefix, records, security_group_name};
use super::private::Private;
use crate::aws::{Aws, AwsError, LoadBalancerKey, VpcInfo};
use crate::stack::observe::{Found, Roles, Sought, SoughtRecord, observe};
use crate::stack::ownership::{Owner, RESOURCE_ID};

/// The resource type, as in the ownership tags.
pub(crate) const TYPE_NAME: &str = "codestream_alb";

/// Why to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To refresh the state: only what the state names.
    Read,
    /// To change or delete it: also what an interrupted apply may have left.
    Change,
}

/// The identity of a stack in its ownership tags.
pub(crate) fn owner(stack: &str, resource_id: String) -> Owner {
    Owner { resource_type: TYPE_NAME, stack: stack.to_owned(), resource_id }
}

/// A new resource id.
pub(crate) fn new_resource_id() -> String {
    Uuid::new_v4().to_string()
}

/// The identity of a stack that exists: from its private state, else from the tags of its load balancer. One
/// that has neither was imported, and gets a new id.
pub(crate) async fn owner_of(aws: &dyn Aws, state: &Value, private: &Private) -> Result<Owner, AwsError> {
    let stack = state.get("name").as_str().unwrap_or_default();
    if !private.resource_id.is_empty() {
        return Ok(owner(stack, private.resource_id.clone()));
    }
    let arn = state.get("arn").as_str().unwrap_or_default().to_owned();
    let tags = aws.tags(&[arn.clone()].into()).await?.remove(&arn).unwrap_or_default();
    let tagged = tags.get(RESOURCE_ID).map(|id| owner(stack, id.clone())).filter(|owner| owner.owns(&tags));
    Ok(tagged.unwrap_or_else(|| owner(stack, new_resource_id())))
}

/// Looks for a stack that the state knows.
pub(crate) async fn find_known(
    aws: &dyn Aws,
    state: &Value,
    private: &Private,
    owner: &Owner,
    purpose: Purpose,
    wanted: Option<&Config>,
) -> Result<Found, AwsError> {
    let roles = AlbRoles { prefix: group_prefix(&owner.stack) };
    let changing = purpose == Purpose::Change;
    let mut sought = Sought {
        owner,
        roles: &roles,
        load_balancer: LoadBalancerKey::Arn(state.get("arn").as_str().unwrap_or_default().to_owned()),
        known: known(state, private, &roles),
        adopt: private.imported,
        group_prefix: changing.then(|| group_prefix(&owner.stack)),
        security_groups: BTreeMap::from([(security_group_name(&owner.stack), LOAD_BALANCER)]),
        tagged_security_groups: changing,
        records: Vec::new(),
        rules_in: state.get("instance_security_group_id").as_str().map(str::to_owned),
        vpc: vpc(state, private),
        listener_rules: changing,
    };
    let names_group =
        sought.known.values().any(|role| *role == LOAD_BALANCER) && sought.known.keys().any(|id| id.starts_with("sg-"));
    if names_group || purpose == Purpose::Read && !private.imported {
        sought.security_groups.clear();
    }
    add_records(&mut sought.records, Config::parse(state).as_ref(), true);
    if let Some(wanted) = wanted {
        add_records(&mut sought.records, Some(wanted), false);
        if sought.rules_in.is_none() {
            sought.rules_in.clone_from(&wanted.instance_security_group_id);
        }
    }
    observe(aws, &sought).await
}

/// Looks for what holds the names of a stack that is to be created.
pub(crate) async fn find_names(aws: &dyn Aws, config: &Config, owner: &Owner, vpc: VpcInfo) -> Result<Found, AwsError> {
    let roles = AlbRoles { prefix: group_prefix(&owner.stack) };
    let mut sought = Sought {
        owner,
        roles: &roles,
        load_balancer: LoadBalancerKey::Name(config.name.clone()),
        known: BTreeMap::new(),
        adopt: false,
        group_prefix: Some(group_prefix(&owner.stack)),
        security_groups: BTreeMap::from([(security_group_name(&owner.stack), LOAD_BALANCER)]),
        tagged_security_groups: false,
        records: Vec::new(),
        rules_in: config.instance_security_group_id.clone(),
        vpc,
        listener_rules: false,
    };
    add_records(&mut sought.records, Some(config), false);
    observe(aws, &sought).await
}

fn add_records(sought: &mut Vec<SoughtRecord>, config: Option<&Config>, known: bool) {
    for record in config.map(records).unwrap_or_default() {
        if !sought
            .iter()
            .any(|other| (&other.zone_id, &other.name, other.kind) == (&record.zone_id, &record.name, record.kind))
        {
            sought.push(SoughtRecord { zone_id: record.zone_id, name: record.name, kind: record.kind, known });
        }
    }
}

/// The identifiers that the state and the private state name, with the roles of their objects.
fn known(state: &Value, private: &Private, roles: &AlbRoles) -> BTreeMap<String, &'static str> {
    let mut known: BTreeMap<String, &'static str> =
        private.objects.iter().filter_map(|(id, role)| Some((id.clone(), roles.named(role)?))).collect();
    let mut add = |value: &Value, role: &'static str| {
        if let Some(id) = value.as_str() {
            known.insert(id.to_owned(), role);
        }
    };
    add(state.get("arn"), LOAD_BALANCER);
    add(state.get("security_group_id"), LOAD_BALANCER);
    for role in Role::ALL {
        let endpoint = state.get(role.name());
        add(endpoint.get("listener_arn"), role.name());
        add(endpoint.get("target_group_arn"), role.name());
    }
    known
}

/// The VPC as kept beside the state, else by the state's id alone.
fn vpc(state: &Value, private: &Private) -> VpcInfo {
    let known = private.vpc();
    if known.id.is_empty() {
        VpcInfo { id: state.get("vpc_id").as_str().unwrap_or_default().to_owned(), ..known }
    } else {
        known
    }
}

/// Takes over what an interrupted create of the same stack has left: its objects carry this create's id from
/// now on.
pub(crate) async fn take_over(aws: &dyn Aws, owner: &Owner, found: &mut Found) -> Result<(), AwsError> {
    let tags = owner.claim_tags();
    let (mut groups, mut rest) = (std::collections::BTreeSet::new(), std::collections::BTreeSet::new());
    for node in &found.interrupted {
        let Some(existing) = found.observed.nodes.get_mut(node) else { continue };
        existing.tags.extend(tags.clone());
        let ids = if existing.id.starts_with("sg-") { &mut groups } else { &mut rest };
        ids.insert(existing.id.clone());
    }
    if !rest.is_empty() {
        aws.add_tags(&rest, &tags).await?;
    }
    if !groups.is_empty() {
        aws.add_ec2_tags(&groups, &tags).await?;
    }
    Ok(())
}
