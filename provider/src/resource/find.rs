//! Finding what a stack has in AWS: what to look for, given its state.

use std::collections::{BTreeMap, BTreeSet};

use tfplugin::value::Value;
use uuid::Uuid;

use super::config::strings;
use super::private::Private;
use super::{Common, Composite};
use crate::aws::{Aws, AwsError, LoadBalancerKey, SecurityGroupKey, Tags, VpcInfo};
use crate::stack::observe::{Found, Roles, Sought, SoughtRecord, foreign, observe};
use crate::stack::ownership::{Claim, Owner, RESOURCE_ID, RecordNames, STACK, Service, marked_records};
use crate::stack::{Desired, Existing, Foreign, NodeId};

/// Why to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To refresh the state: only what the state names.
    Read,
    /// To change or delete it: also what an interrupted apply may have left.
    Change,
}

/// The identity of a stack in its ownership tags.
pub(crate) fn owner<C: Composite>(stack: &str, resource_id: String) -> Owner {
    Owner { resource_type: C::TYPE_NAME, stack: stack.to_owned(), resource_id }
}

/// A new resource id.
pub(crate) fn new_resource_id() -> String {
    Uuid::new_v4().to_string()
}

/// The identity of a stack that exists: from its private state, else from the tags of its objects. One
/// that has neither was imported, and gets a new id.
pub(crate) async fn owner_of<C: Composite>(aws: &dyn Aws, state: &Value, private: &Private) -> Result<Owner, AwsError> {
    let stack = state.get("name").as_str().unwrap_or_default();
    if !private.resource_id.is_empty() {
        return Ok(owner::<C>(stack, private.resource_id.clone()));
    }
    let roles = C::roles(stack);
    let known: BTreeSet<String> = known::<C>(state, private, roles.as_ref()).into_keys().collect();
    let groups: BTreeSet<String> = known.iter().filter(|id| id.starts_with("sg-")).cloned().collect();
    let arns: BTreeSet<String> = known.into_iter().filter(|id| Service::of_id(id) == Service::Balancing).collect();
    let mut tags: Vec<Tags> = if arns.is_empty() { Vec::new() } else { aws.tags(&arns).await?.into_values().collect() };
    if !groups.is_empty() {
        tags.extend(aws.security_groups(&SecurityGroupKey::Ids(groups)).await?.into_iter().map(|group| group.tags));
    }
    let mut owners = tags.iter().filter_map(|tags| {
        let owner = owner::<C>(stack, tags.get(RESOURCE_ID)?.clone());
        owner.owns(tags).then_some(owner)
    });
    Ok(owners.next().unwrap_or_else(|| owner::<C>(stack, new_resource_id())))
}

/// Looks for a stack that the state knows.
pub(crate) async fn find_known<C: Composite>(
    aws: &dyn Aws,
    state: &Value,
    private: &Private,
    owner: &Owner,
    purpose: Purpose,
    wanted: Option<&Common>,
) -> Result<Found, AwsError> {
    let roles = C::roles(&owner.stack);
    let mut sought = known_stack::<C>(state, private, owner, roles.as_ref(), purpose);
    let kept = private.records.iter().map(|record| (record.zone_id.clone(), record.name.clone(), record.kind.clone()));
    add_records(&mut sought.records, kept, true);
    add_records(&mut sought.records, keys(C::common(state).as_ref()), true);
    if let Some(wanted) = wanted {
        // The VPC may have got another block since it was asked.
        sought.vpc = VpcInfo { id: sought.vpc.id, ..VpcInfo::default() };
        add_records(&mut sought.records, keys(Some(wanted)), false);
        sought.rules_in.extend(wanted.rules_in.clone());
    }
    // What the user brings along is the user's, whatever its tags say, until the stack is to have a group of its own.
    if let Some(groups) = wanted.map_or(Some(BTreeSet::new()), |wanted| wanted.security_group_ids.clone()) {
        sought.brought = groups;
        sought.brought.extend(strings(state.get("security_group_ids")));
        sought.brought.extend(private.released.iter().cloned());
    }
    observe_marked(aws, &mut sought).await
}

/// Looks for what others have on the load balancer of a stack that the state knows.
pub(crate) async fn find_foreign<C: Composite>(
    aws: &dyn Aws,
    state: &Value,
    private: &Private,
) -> Result<Vec<Foreign>, AwsError> {
    let owner = owner_of::<C>(aws, state, private).await?;
    let roles = C::roles(&owner.stack);
    foreign(aws, &known_stack::<C>(state, private, &owner, roles.as_ref(), Purpose::Change)).await
}

/// What to look for of a stack that the state knows, but for its records.
fn known_stack<'a, C: Composite>(
    state: &Value,
    private: &Private,
    owner: &'a Owner,
    roles: &'a dyn Roles,
    purpose: Purpose,
) -> Sought<'a> {
    // Core drops the private state of an apply that broke off: then nobody knows what that has left.
    let changing = purpose == Purpose::Change || private.resource_id.is_empty();
    let load_balancer = match state.get("arn").as_str() {
        Some(arn) => LoadBalancerKey::Arn(arn.to_owned()),
        // A create that was stopped before AWS had answered may have made one that the state does not know.
        None if changing => LoadBalancerKey::Name(owner.stack.clone()),
        None => LoadBalancerKey::Arn(String::new()),
    };
    let mut sought = Sought {
        owner,
        roles,
        load_balancer,
        known: known::<C>(state, private, roles),
        encrypted: private.encrypted.clone(),
        ports: private.listener_ports(|role| roles.named(role)),
        adopt: private.imported,
        group_prefix: changing.then(|| roles.group_prefix()),
        security_groups: roles.security_groups(),
        tagged_security_groups: changing,
        brought: BTreeSet::new(),
        records: Vec::new(),
        rules_in: rules_in(state, private),
        rule_tag: rule_tag(roles, RESOURCE_ID, &owner.resource_id).filter(|_| changing),
        rules_description: roles.rules_description(),
        dns_name: private.dns_name.clone(),
        vpc: vpc(state, private),
        listener_rules: changing,
        creating: false,
        all_known: !changing && !private.imported,
    };
    // Only those that the state does not name are looked for by name.
    let named: BTreeSet<&str> =
        sought.known.iter().filter(|(id, _)| id.starts_with("sg-")).map(|(_, role)| *role).collect();
    sought.security_groups.retain(|_, role| !named.contains(*role));
    if purpose == Purpose::Read && !private.imported {
        sought.security_groups.clear();
    }
    sought
}

/// Looks for what holds the names of a stack that is to be created. Where the plan has just found its own name free
/// (`is_free`), the load balancer is looked for only when there is something else.
pub(crate) async fn find_names<C: Composite>(
    aws: &dyn Aws,
    config: &Common,
    owner: &Owner,
    vpc: VpcInfo,
    is_free: bool,
) -> Result<Found, AwsError> {
    let roles = C::roles(&owner.stack);
    let by_name = LoadBalancerKey::Name(config.name.clone());
    let mut sought = Sought {
        owner,
        roles: roles.as_ref(),
        load_balancer: if is_free { LoadBalancerKey::Arn(String::new()) } else { by_name.clone() },
        known: BTreeMap::new(),
        encrypted: BTreeSet::new(),
        ports: BTreeMap::new(),
        adopt: false,
        group_prefix: Some(roles.group_prefix()),
        security_groups: roles.security_groups(),
        tagged_security_groups: false,
        brought: config.security_group_ids.clone().unwrap_or_default(),
        records: Vec::new(),
        rules_in: config.rules_in.iter().cloned().collect(),
        rule_tag: rule_tag(roles.as_ref(), STACK, &owner.stack),
        rules_description: roles.rules_description(),
        dns_name: String::new(),
        vpc,
        listener_rules: false,
        creating: true,
        all_known: false,
    };
    add_records(&mut sought.records, keys(Some(config)), false);
    if is_free {
        let found = observe(aws, &sought).await?;
        if found.is_nothing() {
            return Ok(found);
        }
        sought.load_balancer = by_name;
    }
    observe_marked(aws, &mut sought).await
}

/// Looks for a stack, and again when its load balancer tells of records that are not sought yet: nothing else does of
/// those that a create or an update may have made before it broke off.
async fn observe_marked(aws: &dyn Aws, sought: &mut Sought<'_>) -> Result<Found, AwsError> {
    loop {
        let found = observe(aws, sought).await?;
        let known = sought.records.len();
        for (zone_id, name) in found.observed.nodes.get(&NodeId::LoadBalancer).map(marked).unwrap_or_default() {
            let both = ["A", "AAAA"].map(|kind| (zone_id.clone(), name.clone(), kind.to_owned()));
            add_records(&mut sought.records, both.into_iter(), false);
        }
        if sought.records.len() == known {
            return Ok(found);
        }
    }
}

/// The records that the tags of a load balancer tell of.
fn marked(balancer: &Existing) -> RecordNames {
    marked_records(&balancer.tags)
}

/// Zone, name and type of the records that a configuration wants.
fn keys(config: Option<&Common>) -> impl Iterator<Item = (String, String, String)> {
    let wanted = config.map(|config| config.records.clone()).unwrap_or_default();
    wanted.into_iter().map(|record| (record.zone_id, record.name, record.kind.to_owned()))
}

fn add_records(sought: &mut Vec<SoughtRecord>, keys: impl Iterator<Item = (String, String, String)>, known: bool) {
    for (zone_id, name, kind) in keys {
        let kind = if kind == "AAAA" { "AAAA" } else { "A" };
        let same = |other: &SoughtRecord| (&other.zone_id, &other.name, other.kind) == (&zone_id, &name, kind);
        if !sought.iter().any(same) {
            sought.push(SoughtRecord { zone_id, name, kind, known });
        }
    }
}

/// The identifiers that the state and the private state name, with the roles of their objects.
fn known<C: Composite>(state: &Value, private: &Private, roles: &dyn Roles) -> BTreeMap<String, &'static str> {
    let mut known: BTreeMap<String, &'static str> =
        private.objects.iter().filter_map(|(id, role)| Some((id.clone(), roles.named(role)?))).collect();
    known.extend(C::known(state));
    known
}

/// The security groups of somebody else's that the state or the private state names. A state that is not as wanted has
/// more than an id there.
fn rules_in(state: &Value, private: &Private) -> BTreeSet<String> {
    let shown = state.get("instance_security_group_id").as_str().unwrap_or_default();
    let ids = shown.split(", ").filter(|part| part.starts_with("sg-")).map(str::to_owned);
    ids.chain(private.rules_in.iter().cloned()).collect()
}

/// The tag by which the rules in somebody else's groups are found, when the resource may have any.
fn rule_tag(roles: &dyn Roles, key: &'static str, value: &str) -> Option<(&'static str, String)> {
    (!roles.rules_description().is_empty()).then(|| (key, value.to_owned()))
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
pub(crate) async fn take_over(
    aws: &dyn Aws,
    owner: &Owner,
    wanted: &Desired,
    found: &mut Found,
) -> Result<(), AwsError> {
    let tags = owner.claim_tags();
    let mut records = found.observed.nodes.get(&NodeId::LoadBalancer).map(marked).unwrap_or_default();
    records.extend(wanted.record_names());
    let mut ids: BTreeMap<Service, BTreeSet<String>> = BTreeMap::new();
    // What never has a marker: rules, and root volumes.
    let mut parts = BTreeSet::new();
    for node in &found.interrupted {
        // AWS takes no tags for a cache that is changing; the plan has a step for that.
        if found.observed.caches.get(node).is_some_and(|facts| !facts.available) {
            continue;
        }
        let Some(existing) = found.observed.nodes.get_mut(node) else { continue };
        existing.tags.extend(tags.clone());
        parts.extend(found.observed.instances.get(node).and_then(|facts| facts.root_volume.clone()));
        ids.entry(Service::of(node)).or_default().insert(existing.id.clone());
    }
    let mut of = |service: Service| ids.remove(&service).unwrap_or_default();
    let (compute, caching, rest) = (of(Service::Compute), of(Service::Caching), of(Service::Balancing));
    for group in compute.iter().filter(|id| id.starts_with("sg-")) {
        parts.extend(aws.security_group_rule_tags(group).await?.into_iter().map(|(id, _, _)| id));
    }
    for node in found.observed.nodes.keys() {
        let NodeId::RulesIn(group) = node else { continue };
        let of_stack = |tags: &Tags| owner.claim(tags, &BTreeSet::new()) != Claim::Foreign;
        let ours = aws.security_group_rule_tags(group).await?.into_iter().filter(|(_, _, tags)| of_stack(tags));
        parts.extend(ours.map(|(id, _, _)| id));
    }
    if !compute.is_empty() {
        aws.add_ec2_tags(&compute, &tags).await?;
    }
    for arn in caching {
        aws.add_cache_tags(&arn, &tags).await?;
    }
    if !parts.is_empty() {
        aws.add_ec2_tags(&parts, &Tags::from([(RESOURCE_ID.to_owned(), owner.resource_id.clone())])).await?;
    }
    // The load balancer is last to lose its marker, so it tells whose the others are until they are this one's.
    let balancer = found.observed.id(&NodeId::LoadBalancer).filter(|arn| rest.contains(*arn));
    for arn in &rest {
        if Some(arn.as_str()) != balancer {
            aws.add_tags(arn, &tags).await?;
        }
    }
    if let Some(arn) = balancer {
        let mut tags = tags;
        tags.extend(owner.balancer_marker(&records));
        aws.add_tags(arn, &tags).await?;
    }
    Ok(())
}
