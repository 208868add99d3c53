//! Finding the graph that is there.
//!
//! What the state names comes first. A search by name and tags finds what the state cannot know: the objects of
//! an interrupted apply. Look-ups run side by side, in as few rounds as their answers allow.

mod cluster;
mod sort;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{join_all, try_join_all};

use super::cluster::{ClusterAnswers, ClusterNames};
use super::ownership::{Claim, Owner, PROVISIONING, RESOURCE_ID};
use super::{Foreign, NodeId, Observed};
use crate::aws::{
    Attributes, Aws, AwsError, ErrorClass, ListenerInfo, ListenerRuleInfo, LoadBalancerInfo, LoadBalancerKey,
    RecordInfo, SecurityGroupInfo, SecurityGroupKey, Tags, TargetGroupInfo, TargetHealth, VpcInfo,
};
use sort::Sorter;

/// The name of the group that every VPC has, and that nobody can delete.
const DEFAULT_GROUP: &str = "default";

/// The roles of one kind of stack, and how to tell the role of an object that has no tag to say it.
pub(crate) trait Roles: Send + Sync {
    /// The role of this name, when there is such a role.
    fn named(&self, name: &str) -> Option<&'static str>;
    /// The role of a listener without a tag, by its port and protocol.
    fn of_listener(&self, listener: &ListenerInfo) -> Option<&'static str>;
    /// Whether a name is one that this stack gives to its target groups.
    fn is_group_name(&self, name: &str) -> bool;
    /// The start of the names of its target groups.
    fn group_prefix(&self) -> String;
    /// The names of its security groups, with their roles.
    fn security_groups(&self) -> BTreeMap<String, &'static str>;
    /// The description of the rules that it keeps in somebody else's security group.
    fn rules_description(&self) -> String {
        String::new()
    }
    /// What a stack with instances of its own calls the rest of what it has; none for the others.
    fn cluster(&self) -> Option<ClusterNames> {
        None
    }
}

/// A record to look up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SoughtRecord {
    pub(crate) zone_id: String,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    /// Whether the state has it: then it is the stack's wherever it points now.
    pub(crate) known: bool,
}

/// What to look for.
pub(crate) struct Sought<'a> {
    pub(crate) owner: &'a Owner,
    pub(crate) roles: &'a dyn Roles,
    /// The load balancer, by ARN or by name.
    pub(crate) load_balancer: LoadBalancerKey,
    /// The identifiers that the state names, with the roles of their objects.
    pub(crate) known: BTreeMap<String, &'static str>,
    /// The listeners among them that were encrypted when they were last seen.
    pub(crate) encrypted: BTreeSet<String>,
    /// The ports of the stack's listeners, with their roles: whatever stands there is the stack's, whoever made it.
    pub(crate) ports: BTreeMap<u16, &'static str>,
    /// Takes what serves on the load balancer for the stack's, tags or not: the first read after an import.
    pub(crate) adopt: bool,
    /// The start of the stack's target group names, to find those that no listener refers to.
    pub(crate) group_prefix: Option<String>,
    /// Security groups to find by name, with their roles, when the state names none; those of a create in any VPC.
    pub(crate) security_groups: BTreeMap<String, &'static str>,
    /// Whether to find security groups by the resource's own tag, too.
    pub(crate) tagged_security_groups: bool,
    /// Security groups that the user has brought along: they are not the stack's, whatever their tags say.
    pub(crate) brought: BTreeSet<String>,
    pub(crate) records: Vec<SoughtRecord>,
    /// The security groups of somebody else's in which the stack keeps rules, as far as they are known.
    pub(crate) rules_in: BTreeSet<String>,
    /// The key and value of a tag by which to find the others.
    pub(crate) rule_tag: Option<(&'static str, String)>,
    /// The description of those rules, by which they are told from others.
    pub(crate) rules_description: String,
    /// The name that the load balancer had when it was last seen.
    pub(crate) dns_name: String,
    /// The stack's VPC and its address blocks, as far as they are known.
    pub(crate) vpc: VpcInfo,
    /// Whether to look up the rules that others have put on the stack's listeners.
    pub(crate) listener_rules: bool,
    /// Whether the stack is to be created: then it takes over what an interrupted create of its name has left.
    pub(crate) creating: bool,
    /// Whether `known` names all that is to be found: then it is asked for by identifier, all at once.
    pub(crate) all_known: bool,
}

impl Sought<'_> {
    /// The identifiers of the known objects of a kind, by a part of their ARNs.
    fn known_of(&self, kind: &str) -> BTreeSet<String> {
        self.known.keys().filter(|id| id.contains(kind)).cloned().collect()
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The stack's own.
    pub(crate) observed: Observed,
    /// What an interrupted create of a stack of this name has left. It is in `observed` too.
    pub(crate) interrupted: BTreeSet<NodeId>,
    /// What holds a name of the stack's and is not the stack's.
    pub(crate) taken: BTreeMap<NodeId, Taken>,
    /// Of these there are several, and each says that it is the stack's.
    pub(crate) ambiguous: BTreeMap<NodeId, BTreeSet<String>>,
    /// The target groups to adopt whose targets are no instances, with what they are.
    pub(crate) unsuited: BTreeMap<String, String>,
}

/// Something that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) id: String,
    pub(crate) holder: Holder,
}

/// Whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// A finished stack's of this name, which could be imported.
    Finished,
    /// A stack's of this name whose load balancer is gone, so that no import would find it. It may be one that was never
    /// finished: what told that is gone with the load balancer.
    Bereft,
    /// Not made by this provider, or for another stack.
    Stranger,
}

/// The answers, before they are sorted into ours and others'.
#[derive(Default)]
struct Answers {
    balancer: Option<LoadBalancerInfo>,
    balancer_attributes: Attributes,
    listeners: Vec<ListenerInfo>,
    groups: Vec<TargetGroupInfo>,
    security_groups: Vec<SecurityGroupInfo>,
    /// The groups of security group rules with the stack's tag, and the tags of these rules.
    tagged_rules: Vec<(String, Tags)>,
    /// Those that come with a load balancer to adopt.
    adopted_groups: BTreeSet<String>,
    records: Vec<Option<RecordInfo>>,
    vpc: VpcInfo,
    tags: BTreeMap<String, Tags>,
    additional_certificates: BTreeMap<String, BTreeSet<String>>,
    listener_rules: BTreeMap<String, Vec<ListenerRuleInfo>>,
    group_attributes: BTreeMap<String, Attributes>,
    health: BTreeMap<String, Vec<TargetHealth>>,
    cluster: ClusterAnswers,
}

/// Looks for a stack.
pub(crate) async fn observe(aws: &dyn Aws, sought: &Sought<'_>) -> Result<Found, AwsError> {
    let answers = if sought.all_known {
        one_round(aws, sought).await?
    } else {
        let mut answers = first_round(aws, sought).await?;
        second_round(aws, sought, &mut answers).await?;
        answers
    };
    Ok(Sorter { sought, interrupted: interrupted(&answers), answers: &answers, found: Found::default() }.sort())
}

/// Looks only for what others have on the stack's load balancer; which of its target groups they use is left open.
pub(crate) async fn foreign(aws: &dyn Aws, sought: &Sought<'_>) -> Result<Vec<Foreign>, AwsError> {
    // Without an ARN the state knows of no load balancer that anybody could have put something on.
    let LoadBalancerKey::Arn(balancer) = &sought.load_balancer else { return Ok(Vec::new()) };
    if balancer.is_empty() {
        return Ok(Vec::new());
    }
    let listeners = aws.listeners(balancer).await?;
    let arns: BTreeSet<String> = listeners.iter().map(|listener| listener.arn.clone()).collect();
    let (tags, rules) =
        tokio::try_join!(aws.tags(&arns), try_join_all(arns.iter().map(|arn| aws.listener_rules(arn))))?;
    let listener_rules = arns.iter().cloned().zip(rules).collect();
    let answers = Answers { listeners, tags, listener_rules, ..Answers::default() };
    let interrupted = interrupted(&answers);
    let mut sorter = Sorter { sought, interrupted, answers: &answers, found: Found::default() };
    sorter.sort_listeners();
    Ok(sorter.found.observed.foreign)
}

/// Everything that is known, side by side; other stacks' calls can be shared.
async fn one_round(aws: &dyn Aws, sought: &Sought<'_>) -> Result<Answers, AwsError> {
    let (listeners, groups) = (sought.known_of(":listener/"), sought.known_of(":targetgroup/"));
    let tagged = sought.known_of(":elasticloadbalancing:");
    let balancer = async {
        match &sought.load_balancer {
            LoadBalancerKey::Arn(arn) if arn.is_empty() => Ok((None, Attributes::new())),
            LoadBalancerKey::Arn(arn) => {
                tokio::try_join!(aws.load_balancer(&sought.load_balancer), aws.load_balancer_attributes(arn))
            }
            LoadBalancerKey::Name(_) => Ok((aws.load_balancer(&sought.load_balancer).await?, Attributes::new())),
        }
    };
    let listeners = async {
        let (found, told) =
            tokio::join!(aws.listeners_by_arn(&listeners), probable_certificates(aws, &sought.encrypted));
        let found = found?;
        let certificates = additional_certificates(aws, &found, told).await?;
        Ok((found, certificates))
    };
    let (balancer, listeners, infos, (attributes, health), security_groups, records, vpc, tags, cluster) = tokio::try_join!(
        balancer,
        listeners,
        aws.target_groups(&groups),
        of_groups(aws, &groups),
        security_groups(aws, sought),
        records(aws, sought),
        vpc(aws, &sought.vpc),
        aws.tags(&tagged),
        cluster::ask(aws, sought),
    )?;
    let (balancer, balancer_attributes) = balancer;
    // With the load balancer go its listeners.
    let (listeners, additional_certificates) = if balancer.is_some() { listeners } else { Default::default() };
    Ok(Answers {
        balancer,
        balancer_attributes,
        listeners,
        groups: infos,
        security_groups,
        tagged_rules: Vec::new(),
        adopted_groups: BTreeSet::new(),
        records,
        vpc,
        tags,
        additional_certificates,
        listener_rules: BTreeMap::new(),
        group_attributes: attributes,
        health,
        cluster,
    })
}

async fn first_round(aws: &dyn Aws, sought: &Sought<'_>) -> Result<Answers, AwsError> {
    let (balancer, groups, security_groups, records, vpc, cluster) = tokio::try_join!(
        balancer(aws, &sought.load_balancer),
        named_groups(aws, sought),
        security_groups(aws, sought),
        records(aws, sought),
        vpc(aws, &sought.vpc),
        cluster::ask(aws, sought),
    )?;
    let mut answers = Answers { security_groups, records, vpc, cluster, ..balancer };
    for group in groups {
        if !answers.groups.iter().any(|known| known.arn == group.arn) {
            answers.groups.push(group);
        }
    }
    let mut unseen = sought.known_of(":targetgroup/");
    unseen.retain(|id| !answers.groups.iter().any(|group| group.arn == *id));
    if !unseen.is_empty() {
        answers.groups.extend(aws.target_groups(&unseen).await?);
    }
    Ok(answers)
}

/// The load balancer with what hangs on it.
async fn balancer(aws: &dyn Aws, key: &LoadBalancerKey) -> Result<Answers, AwsError> {
    let parts = async |arn: &str| {
        tokio::try_join!(aws.load_balancer_attributes(arn), aws.listeners(arn), aws.target_groups_of(arn))
    };
    let (balancer, (balancer_attributes, listeners, groups)) = match key {
        // A delete that did not end has no load balancer any more.
        LoadBalancerKey::Arn(arn) if arn.is_empty() => return Ok(Answers::default()),
        LoadBalancerKey::Arn(arn) => tokio::try_join!(aws.load_balancer(key), parts(arn))?,
        LoadBalancerKey::Name(_) => match aws.load_balancer(key).await? {
            Some(balancer) => {
                let parts = parts(&balancer.arn).await?;
                (Some(balancer), parts)
            }
            None => return Ok(Answers::default()),
        },
    };
    if balancer.is_none() {
        return Ok(Answers::default());
    }
    Ok(Answers { balancer, balancer_attributes, listeners, groups, ..Answers::default() })
}

async fn named_groups(aws: &dyn Aws, sought: &Sought<'_>) -> Result<Vec<TargetGroupInfo>, AwsError> {
    let Some(prefix) = &sought.group_prefix else { return Ok(Vec::new()) };
    let mut groups = aws.target_groups_named(prefix).await?;
    groups.retain(|group| sought.roles.is_group_name(&group.name));
    Ok(groups)
}

async fn security_groups(aws: &dyn Aws, sought: &Sought<'_>) -> Result<Vec<SecurityGroupInfo>, AwsError> {
    let mut keys = Vec::new();
    let mut ids: BTreeSet<String> = sought.known.keys().filter(|id| id.starts_with("sg-")).cloned().collect();
    ids.extend(sought.rules_in.iter().cloned());
    if !ids.is_empty() {
        keys.push(SecurityGroupKey::Ids(ids));
    }
    for name in sought.security_groups.keys().filter(|_| !sought.vpc.id.is_empty()) {
        // An interrupted create may have been to make them in another VPC.
        let vpc_id = (!sought.creating).then(|| sought.vpc.id.clone());
        keys.push(SecurityGroupKey::Name { vpc_id, name: name.clone() });
    }
    if sought.tagged_security_groups {
        keys.push(SecurityGroupKey::Tag { key: RESOURCE_ID.to_owned(), value: sought.owner.resource_id.clone() });
    }
    let mut groups: Vec<SecurityGroupInfo> = Vec::new();
    for group in try_join_all(keys.iter().map(|key| aws.security_groups(key))).await?.into_iter().flatten() {
        if !groups.iter().any(|known| known.id == group.id) {
            groups.push(group);
        }
    }
    Ok(groups)
}

/// The VPC's address blocks, asked for only when they are not known.
async fn vpc(aws: &dyn Aws, known: &VpcInfo) -> Result<VpcInfo, AwsError> {
    if known.id.is_empty() || !known.cidr_blocks.is_empty() {
        return Ok(known.clone());
    }
    Ok(aws.vpc(&known.id).await?.unwrap_or_else(|| known.clone()))
}

async fn records(aws: &dyn Aws, sought: &Sought<'_>) -> Result<Vec<Option<RecordInfo>>, AwsError> {
    try_join_all(sought.records.iter().map(|record| aws.record(&record.zone_id, &record.name, record.kind))).await
}

/// What AWS tells of the additional certificates of each listener.
type Certificates = BTreeMap<String, Result<BTreeSet<String>, AwsError>>;

/// The additional certificates of listeners that were encrypted when they were last seen. A failure counts only for one
/// that still is: AWS may have none to tell of another.
async fn probable_certificates(aws: &dyn Aws, arns: &BTreeSet<String>) -> Certificates {
    let told = arns.iter().map(async |arn| (arn.clone(), aws.additional_certificates(arn).await));
    join_all(told).await.into_iter().collect()
}

/// The additional certificates of each encrypted listener, as told already or else by AWS.
async fn additional_certificates(
    aws: &dyn Aws,
    listeners: &[ListenerInfo],
    mut told: Certificates,
) -> Result<BTreeMap<String, BTreeSet<String>>, AwsError> {
    let encrypted = listeners.iter().filter(|listener| listener.settings.protocol == "HTTPS");
    let certificates = encrypted.map(|listener| {
        let told = told.remove(&listener.arn);
        async move {
            let certificates = match told {
                Some(told) => told?,
                None => aws.additional_certificates(&listener.arn).await?,
            };
            Ok::<_, AwsError>((listener.arn.clone(), certificates))
        }
    });
    Ok(try_join_all(certificates).await?.into_iter().collect())
}

/// The attributes of each target group, and the health of its targets.
async fn of_groups(
    aws: &dyn Aws,
    groups: &BTreeSet<String>,
) -> Result<(BTreeMap<String, Attributes>, BTreeMap<String, Vec<TargetHealth>>), AwsError> {
    let (attributes, health) = tokio::try_join!(
        try_join_all(groups.iter().map(|arn| aws.target_group_attributes(arn))),
        try_join_all(groups.iter().map(|arn| aws.target_health(arn))),
    )?;
    Ok((groups.iter().cloned().zip(attributes).collect(), groups.iter().cloned().zip(health).collect()))
}

async fn second_round(aws: &dyn Aws, sought: &Sought<'_>, answers: &mut Answers) -> Result<(), AwsError> {
    let groups: BTreeSet<String> = answers.groups.iter().map(|group| group.arn.clone()).collect();
    let listeners: Vec<String> = answers.listeners.iter().map(|listener| listener.arn.clone()).collect();
    let with_rules: &[String] = if sought.listener_rules { &listeners } else { &[] };
    let balancer = answers.balancer.iter().map(|balancer| balancer.arn.clone());
    let tagged: BTreeSet<String> = balancer.chain(listeners.iter().cloned()).chain(groups.iter().cloned()).collect();
    let (tags, (attributes, health), certificates, rules, (unknown, adopted), (tagged_rules, ruled)) = tokio::try_join!(
        aws.tags(&tagged),
        of_groups(aws, &groups),
        additional_certificates(aws, &answers.listeners, BTreeMap::new()),
        try_join_all(with_rules.iter().map(|arn| aws.listener_rules(arn))),
        adopted_groups(aws, sought, answers),
        groups_with_rules(aws, sought, answers),
    )?;
    answers.additional_certificates = certificates;
    answers.tags = tags;
    answers.group_attributes = attributes;
    answers.health = health;
    answers.listener_rules = with_rules.iter().cloned().zip(rules).collect();
    answers.tagged_rules = tagged_rules;
    answers.adopted_groups = adopted;
    for group in unknown.into_iter().chain(ruled) {
        if !answers.security_groups.iter().any(|known| known.id == group.id) {
            answers.security_groups.push(group);
        }
    }
    Ok(())
}

/// The rules in security groups that carry the stack's tag, and those of their groups that are not known yet.
async fn groups_with_rules(
    aws: &dyn Aws,
    sought: &Sought<'_>,
    answers: &Answers,
) -> Result<(Vec<(String, Tags)>, Vec<SecurityGroupInfo>), AwsError> {
    let mut own_groups = answers.security_groups.iter().filter(|group| !sought.rules_in.contains(&group.id));
    let is_begun = answers.balancer.is_some() || !answers.groups.is_empty() || own_groups.next().is_some();
    let Some((key, value)) = sought.rule_tag.as_ref().filter(|_| is_begun || !sought.creating) else {
        return Ok(Default::default());
    };
    let mut rules = match aws.tagged_rules(key, value).await {
        // Who keeps no such rules may not be allowed to ask.
        Err(error) if error.class() == ErrorClass::Denied => return Ok(Default::default()),
        other => other?,
    };
    rules.retain(|(_, tags)| sought.owner.claim(tags, &BTreeSet::new()) != Claim::Foreign);
    let mut unseen: BTreeSet<String> = rules.iter().map(|(group, _)| group.clone()).collect();
    unseen.retain(|id| !answers.security_groups.iter().any(|group| group.id == *id));
    let groups =
        if unseen.is_empty() { Vec::new() } else { aws.security_groups(&SecurityGroupKey::Ids(unseen)).await? };
    Ok((rules, groups))
}

/// The security groups that come with a load balancer to adopt, known only once it is found: its only one, or the one
/// of the stack's name, as long as nothing else is in it. A destroy deletes them, and others' must not go with it.
/// The first are those that were not known before.
async fn adopted_groups(
    aws: &dyn Aws,
    sought: &Sought<'_>,
    answers: &Answers,
) -> Result<(Vec<SecurityGroupInfo>, BTreeSet<String>), AwsError> {
    let Some(balancer) = answers.balancer.as_ref().filter(|_| sought.adopt) else { return Ok(Default::default()) };
    let is_known = |id: &String| answers.security_groups.iter().any(|group| group.id == *id);
    let (mut candidates, unseen): (BTreeSet<String>, BTreeSet<String>) =
        balancer.security_groups.iter().cloned().partition(is_known);
    let mut groups = Vec::new();
    // Of several groups, who can tell which is the stack's own?
    if balancer.security_groups.len() == 1 && !unseen.is_empty() {
        groups = aws.security_groups(&SecurityGroupKey::Ids(unseen)).await?;
        groups.retain(|group| group.name != DEFAULT_GROUP);
        candidates.extend(groups.iter().map(|group| group.id.clone()));
    }
    let mut adopted = BTreeSet::new();
    for id in candidates {
        if is_alone_in(aws, &id, &balancer.arn).await? {
            adopted.insert(id);
        }
    }
    groups.retain(|group| adopted.contains(&group.id));
    Ok((groups, adopted))
}

/// Whether nothing but a load balancer is in a security group, as far as one may know.
async fn is_alone_in(aws: &dyn Aws, group: &str, balancer_arn: &str) -> Result<bool, AwsError> {
    let path = balancer_arn.split_once(":loadbalancer/").map_or("", |(_, path)| path);
    match aws.network_interfaces(group).await {
        Ok(interfaces) => Ok(interfaces.iter().all(|interface| interface.description == format!("ELB {path}"))),
        Err(error) if error.class() == ErrorClass::Denied => Ok(false),
        Err(error) => Err(error),
    }
}

/// The resource ids of the creates that never finished, by the markers they left.
fn interrupted(answers: &Answers) -> BTreeSet<String> {
    let tags = answers.tags.values().chain(answers.security_groups.iter().map(|group| &group.tags));
    let tags = tags.chain(answers.cluster.launched.iter().map(|info| &info.tags)).chain(answers.cluster.tags.values());
    tags.filter(|tags| tags.contains_key(PROVISIONING)).filter_map(|tags| tags.get(RESOURCE_ID).cloned()).collect()
}

impl Found {
    /// Whether there is nothing of the stack's, and nothing in its way.
    pub(crate) fn is_nothing(&self) -> bool {
        self.observed.nodes.is_empty() && self.taken.is_empty() && self.ambiguous.is_empty()
    }
}
