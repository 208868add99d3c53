//! Finding the graph that is there.
//!
//! What the state names comes first. A search by name and tags finds what the state cannot know: the objects of
//! an interrupted apply. Look-ups run side by side, in as few rounds as their answers allow.

mod cluster;

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;

use super::cluster::{ClusterAnswers, ClusterNames};
use super::ownership::{Claim, Owner, PROVISIONING, RESOURCE_ID};
use super::{
    Action, Existing, Foreign, Listener, LoadBalancer, Node, NodeId, Observed, Record, RecordId, Ref, Rule,
    SecurityGroup, Source, TargetGroup, attributes,
};
use crate::aws::{
    ActionInfo, Attributes, Aws, AwsError, ListenerInfo, ListenerRuleInfo, LoadBalancerInfo, LoadBalancerKey, Peer,
    RecordInfo, RuleSettings, SecurityGroupInfo, SecurityGroupKey, Tags, TargetGroupInfo, TargetHealth, VpcInfo,
};

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
    /// Takes what serves on the load balancer for the stack's, tags or not: the first read after an import.
    pub(crate) adopt: bool,
    /// The start of the stack's target group names, to find those that no listener refers to.
    pub(crate) group_prefix: Option<String>,
    /// Security groups to find by name, with their roles, when the state names none.
    pub(crate) security_groups: BTreeMap<String, &'static str>,
    /// Whether to find security groups by the resource's own tag, too.
    pub(crate) tagged_security_groups: bool,
    pub(crate) records: Vec<SoughtRecord>,
    /// A security group of somebody else's in which the stack keeps rules.
    pub(crate) rules_in: Option<String>,
    /// The description of those rules, by which they are told from others.
    pub(crate) rules_description: String,
    /// The name that the load balancer had when it was last seen.
    pub(crate) dns_name: String,
    /// The stack's VPC and its address blocks, as far as they are known.
    pub(crate) vpc: VpcInfo,
    /// Whether to look up the rules that others have put on the stack's listeners.
    pub(crate) listener_rules: bool,
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
}

/// Something that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) id: String,
    /// Whether it belongs to a finished stack of this name, which could be imported.
    pub(crate) finished: bool,
}

/// The answers, before they are sorted into ours and others'.
#[derive(Default)]
struct Answers {
    balancer: Option<LoadBalancerInfo>,
    balancer_attributes: Attributes,
    listeners: Vec<ListenerInfo>,
    groups: Vec<TargetGroupInfo>,
    security_groups: Vec<SecurityGroupInfo>,
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

/// Everything that is known, side by side; other stacks' calls can be shared. Only an encrypted listener has additional
/// certificates to be asked for, so these follow the listeners.
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
        let found = aws.listeners_by_arn(&listeners).await?;
        let certificates = additional_certificates(aws, &found).await?;
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
    ids.extend(sought.rules_in.clone());
    if !ids.is_empty() {
        keys.push(SecurityGroupKey::Ids(ids));
    }
    for name in sought.security_groups.keys().filter(|_| !sought.vpc.id.is_empty()) {
        keys.push(SecurityGroupKey::Name { vpc_id: sought.vpc.id.clone(), name: name.clone() });
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

/// The additional certificates of each encrypted listener.
async fn additional_certificates(
    aws: &dyn Aws,
    listeners: &[ListenerInfo],
) -> Result<BTreeMap<String, BTreeSet<String>>, AwsError> {
    let encrypted = listeners.iter().filter(|listener| listener.settings.protocol == "HTTPS");
    let certificates = encrypted.map(async |listener| {
        Ok::<_, AwsError>((listener.arn.clone(), aws.additional_certificates(&listener.arn).await?))
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
    let (tags, (attributes, health), certificates, rules, adopted) = tokio::try_join!(
        aws.tags(&tagged),
        of_groups(aws, &groups),
        additional_certificates(aws, &answers.listeners),
        try_join_all(with_rules.iter().map(|arn| aws.listener_rules(arn))),
        adopted_groups(aws, sought, answers),
    )?;
    answers.additional_certificates = certificates;
    answers.tags = tags;
    answers.group_attributes = attributes;
    answers.health = health;
    answers.listener_rules = with_rules.iter().cloned().zip(rules).collect();
    answers.security_groups.extend(adopted);
    Ok(())
}

/// The security groups of a load balancer to adopt, and its VPC's blocks, known only once it is found.
async fn adopted_groups(
    aws: &dyn Aws,
    sought: &Sought<'_>,
    answers: &Answers,
) -> Result<Vec<SecurityGroupInfo>, AwsError> {
    match &answers.balancer {
        // Of several groups, who can tell which is the stack's own?
        Some(balancer) if sought.adopt && balancer.security_groups.len() == 1 => {
            let unseen: BTreeSet<String> = balancer
                .security_groups
                .iter()
                .filter(|id| !answers.security_groups.iter().any(|group| group.id == **id))
                .cloned()
                .collect();
            if unseen.is_empty() {
                return Ok(Vec::new());
            }
            let mut groups = aws.security_groups(&SecurityGroupKey::Ids(unseen)).await?;
            groups.retain(|group| group.name != DEFAULT_GROUP);
            Ok(groups)
        }
        _ => Ok(Vec::new()),
    }
}

/// The resource ids of the creates that never finished, by the markers they left.
fn interrupted(answers: &Answers) -> BTreeSet<String> {
    let tags = answers.tags.values().chain(answers.security_groups.iter().map(|group| &group.tags));
    let tags = tags.chain(answers.cluster.launched.iter().map(|info| &info.tags)).chain(answers.cluster.tags.values());
    tags.filter(|tags| tags.contains_key(PROVISIONING)).filter_map(|tags| tags.get(RESOURCE_ID).cloned()).collect()
}

/// Sorts answers into ours and others'.
struct Sorter<'a> {
    sought: &'a Sought<'a>,
    answers: &'a Answers,
    interrupted: BTreeSet<String>,
    found: Found,
}

impl Found {
    /// Lets go of security groups that the user now brings along: they are not the stack's any more.
    pub(crate) fn release(&mut self, groups: &BTreeSet<String>) {
        let released =
            |id: &NodeId, existing: &Existing| matches!(id, NodeId::SecurityGroup(_)) && groups.contains(&existing.id);
        let ids: BTreeMap<NodeId, String> = self
            .observed
            .nodes
            .iter()
            .filter(|(id, existing)| released(id, existing))
            .map(|(id, existing)| (id.clone(), existing.id.clone()))
            .collect();
        self.observed.nodes.retain(|id, _| !ids.contains_key(id));
        if let Some(balancer) = self.observed.balancer_mut(&NodeId::LoadBalancer) {
            let known = |group: &Ref| match group {
                Ref::Of(id) => ids.get(id).map_or_else(|| group.clone(), |id| Ref::Known(id.clone())),
                Ref::Known(_) => group.clone(),
            };
            balancer.security_groups = balancer.security_groups.iter().map(known).collect();
        }
    }
}

impl Sorter<'_> {
    fn sort(mut self) -> Found {
        self.found.observed.vpc.clone_from(&self.answers.vpc);
        self.sort_security_groups();
        self.sort_caches();
        self.sort_instances();
        self.sort_target_groups();
        self.sort_balancer();
        self.sort_listeners();
        self.sort_records();
        self.resolve_references();
        self.found
    }

    /// Takes an object in when it is the stack's; else notes that its name is taken.
    fn claim(&mut self, id: NodeId, aws_id: &str, tags: &Tags, node: Node, adopted: bool) -> bool {
        let claim = match self.sought.owner.claim(tags, &self.interrupted) {
            // What is left of a stack whose load balancer somebody deleted serves nobody.
            Claim::Finished if self.is_bereft() => Claim::Interrupted,
            claim => claim,
        };
        // What carries another resource's id is not this one's any more, whatever its state says.
        let free = tags.get(RESOURCE_ID).is_none_or(|id| *id == self.sought.owner.resource_id);
        let known = free && self.sought.known.contains_key(aws_id);
        if claim == Claim::Interrupted && self.is_new() {
            self.found.interrupted.insert(id.clone());
        } else if claim != Claim::Ours && !known && !(adopted && free) {
            self.found.taken.insert(id, Taken { id: aws_id.to_owned(), finished: claim == Claim::Finished });
            return false;
        }
        let tags =
            tags.iter().filter(|(key, _)| !key.starts_with("aws:")).map(|(key, value)| (key.clone(), value.clone()));
        let existing = Existing { id: aws_id.to_owned(), node, tags: tags.collect() };
        if let Some(other) = self.found.observed.nodes.insert(id.clone(), existing) {
            self.found.ambiguous.entry(id).or_default().extend([other.id, aws_id.to_owned()]);
        }
        true
    }

    /// Whether a stack is to be created.
    fn is_new(&self) -> bool {
        matches!(self.sought.load_balancer, LoadBalancerKey::Name(_))
    }

    /// Whether a stack is to be created, and no load balancer has its name.
    fn is_bereft(&self) -> bool {
        self.is_new() && self.answers.balancer.is_none()
    }

    fn sort_security_groups(&mut self) {
        for group in &self.answers.security_groups {
            let rules = self.rules(&group.rules);
            if self.sought.rules_in.as_ref() == Some(&group.id) {
                self.found.observed.nodes.insert(
                    NodeId::RulesIn(group.id.clone()),
                    Existing { id: group.id.clone(), node: Node::RulesIn(rules), tags: Tags::new() },
                );
                continue;
            }
            let role = self
                .sought
                .known
                .get(&group.id)
                .or_else(|| self.sought.security_groups.get(&group.name))
                .copied()
                .or_else(|| self.role_tag(&group.tags))
                .or_else(|| {
                    self.sought.adopt.then_some(self.sought.security_groups.values().next().copied()).flatten()
                });
            let Some(role) = role else { continue };
            let node = Node::SecurityGroup(SecurityGroup {
                name: group.name.clone(),
                description: group.description.clone(),
                vpc_id: group.vpc_id.clone(),
                rules,
            });
            self.claim(NodeId::SecurityGroup(role), &group.id, &group.tags, node, self.sought.adopt);
        }
    }

    /// Rules with the blocks of the VPC folded into one where all of them are there.
    fn rules(&self, settings: &BTreeSet<RuleSettings>) -> BTreeSet<Rule> {
        let vpc = &self.answers.vpc;
        let blocks: BTreeSet<&String> = vpc.cidr_blocks.iter().chain(&vpc.ipv6_cidr_blocks).collect();
        let same = |one: &RuleSettings, other: &RuleSettings| {
            (one.direction, &one.protocol, one.from_port, one.to_port)
                == (other.direction, &other.protocol, other.from_port, other.to_port)
        };
        let covers = |rule: &RuleSettings| {
            !blocks.is_empty()
                && rule.direction == crate::aws::Direction::Egress
                && blocks.iter().all(|block| {
                    settings.iter().any(|other| same(rule, other) && other.peer == Peer::Cidr((*block).clone()))
                })
        };
        let source = |rule: &RuleSettings| match &rule.peer {
            Peer::Cidr(cidr) if blocks.contains(cidr) && covers(rule) => Source::Vpc,
            Peer::Cidr(cidr) => Source::Cidr(cidr.clone()),
            Peer::PrefixList(id) => Source::PrefixList(id.clone()),
            Peer::Group(id) => Source::Group(Ref::Known(id.clone())),
        };
        settings
            .iter()
            .map(|rule| Rule {
                direction: rule.direction,
                protocol: rule.protocol.clone(),
                from_port: rule.from_port,
                to_port: rule.to_port,
                source: source(rule),
                description: rule.description.clone(),
            })
            .collect()
    }

    fn sort_target_groups(&mut self) {
        for group in &self.answers.groups {
            let tags = self.tags_of(&group.arn);
            // Unlike a listener, a target group never changes its role: what the state says holds, whatever its tag.
            let known = self.sought.known.get(&group.arn).copied();
            let role = known.or_else(|| self.role_tag(&tags)).or_else(|| self.role_by_listener(&group.arn));
            let adopted = self.sought.adopt && role.is_some();
            let node = Node::TargetGroup(TargetGroup {
                role: role.unwrap_or(""),
                name: group.name.clone(),
                port: group.port,
                protocol: group.protocol.clone(),
                vpc_id: group.vpc_id.clone(),
                health_check: group.health_check.clone(),
                attributes: attributes::normalise(
                    attributes::TARGET_GROUP,
                    self.answers.group_attributes.get(&group.arn).unwrap_or(&Attributes::new()),
                ),
                targets: self
                    .health_of(&group.arn)
                    .filter(|target| registered(target))
                    .map(|target| Ref::Known(target.registration(group.port)))
                    .collect(),
            });
            let id = NodeId::TargetGroup(group.name.clone());
            if self.claim(id.clone(), &group.arn, &tags, node, adopted) {
                let health = self.health_of(&group.arn).cloned().collect();
                self.found.observed.health.insert(id, health);
            }
        }
    }

    fn health_of(&self, arn: &str) -> impl Iterator<Item = &TargetHealth> {
        self.answers.health.get(arn).into_iter().flatten()
    }

    /// The role of the listener that forwards to a group, for groups to adopt.
    fn role_by_listener(&self, group: &str) -> Option<&'static str> {
        let forwards = |listener: &&ListenerInfo| matches!(&listener.settings.action, ActionInfo::Forward(weights) if weights.iter().any(|(arn, _)| arn == group));
        self.answers.listeners.iter().find(forwards).and_then(|listener| self.sought.roles.of_listener(listener))
    }

    fn sort_balancer(&mut self) {
        let Some(info) = &self.answers.balancer else { return };
        let tags = self.tags_of(&info.arn);
        let node = Node::LoadBalancer(LoadBalancer {
            name: info.name.clone(),
            scheme: info.scheme.clone(),
            ip_address_type: info.ip_address_type.clone(),
            subnet_ids: info.subnet_ids.clone(),
            security_groups: info.security_groups.iter().cloned().map(Ref::Known).collect(),
            attributes: attributes::normalise(attributes::LOAD_BALANCER, &self.answers.balancer_attributes),
        });
        if self.claim(NodeId::LoadBalancer, &info.arn, &tags, node, self.sought.adopt) {
            self.found.observed.load_balancer = Some(info.into());
        }
    }

    fn sort_listeners(&mut self) {
        if self.found.observed.load_balancer.is_none() {
            return;
        }
        for listener in &self.answers.listeners {
            let tags = self.tags_of(&listener.arn);
            let role = self.role(&listener.arn, &tags);
            let adopted = if self.sought.adopt { self.sought.roles.of_listener(listener) } else { None };
            let settings = &listener.settings;
            let node = Node::Listener(Listener {
                role: role.or(adopted).unwrap_or(""),
                port: settings.port,
                protocol: settings.protocol.clone(),
                ssl_policy: settings.ssl_policy.clone(),
                certificate_arn: settings.certificate_arn.clone(),
                additional_certificate_arns: self
                    .answers
                    .additional_certificates
                    .get(&listener.arn)
                    .cloned()
                    .unwrap_or_default(),
                action: action(&settings.action),
            });
            let id = NodeId::Listener(settings.port);
            if !self.claim(id, &listener.arn, &tags, node, adopted.is_some()) {
                let uses = groups_of(&settings.action);
                self.add_foreign(format!("the listener on port {}", settings.port), &listener.arn, uses);
            }
            for rule in self.answers.listener_rules.get(&listener.arn).into_iter().flatten() {
                let what =
                    format!("the rule with priority {} of the listener on port {}", rule.priority, settings.port);
                self.add_foreign(what, &rule.arn, rule.target_group_arns.iter());
            }
        }
    }

    fn add_foreign<'s>(&mut self, what: String, arn: &str, uses: impl Iterator<Item = &'s String>) {
        let observed = &self.found.observed;
        let uses = uses.filter_map(|group| match observed.reference(group) {
            Ref::Of(node) => Some(node),
            Ref::Known(_) => None,
        });
        let foreign = Foreign { what, arn: arn.to_owned(), uses: uses.collect() };
        self.found.observed.foreign.push(foreign);
    }

    fn sort_records(&mut self) {
        for (sought, found) in self.sought.records.iter().zip(&self.answers.records) {
            let SoughtRecord { zone_id, name, kind, .. } = sought.clone();
            let id = NodeId::Record(RecordId { kind, zone_id, name });
            let (target, evaluate_target_health) = match found {
                Some(RecordInfo::Alias(alias)) => (alias.target.clone(), alias.evaluate_target_health),
                // Whatever has taken the place of an alias does not lead to the load balancer.
                Some(RecordInfo::Other) => (String::new(), false),
                None => continue,
            };
            let leads_to = target.strip_prefix("dualstack.").unwrap_or(&target);
            let facts = self.found.observed.load_balancer.as_ref();
            let dns_name = facts.map_or(&self.sought.dns_name, |facts| &facts.dns_name);
            let ours = !dns_name.is_empty() && dns_name.to_lowercase() == leads_to;
            if !ours && !sought.known {
                self.found.taken.insert(id, Taken { id: sought.name.clone(), finished: false });
                continue;
            }
            let node = Node::Record(Record {
                zone_id: sought.zone_id.clone(),
                name: sought.name.clone(),
                kind: sought.kind,
                evaluate_target_health,
                target: if ours { Ref::Of(NodeId::LoadBalancer) } else { Ref::Known(target) },
            });
            self.found.observed.nodes.insert(id, Existing { id: String::new(), node, tags: Tags::new() });
        }
    }

    fn tags_of(&self, arn: &str) -> Tags {
        self.answers.tags.get(arn).cloned().unwrap_or_default()
    }

    fn role(&self, id: &str, tags: &Tags) -> Option<&'static str> {
        self.role_tag(tags).or_else(|| self.sought.known.get(id).copied())
    }

    fn role_tag(&self, tags: &Tags) -> Option<&'static str> {
        tags.get(super::ownership::ROLE).and_then(|role| self.sought.roles.named(role))
    }

    /// Turns the identifiers of the stack's own objects into references to their nodes.
    fn resolve_references(&mut self) {
        let ids: BTreeMap<String, NodeId> = self
            .found
            .observed
            .nodes
            .iter()
            .filter(|(node, _)| !matches!(node, NodeId::Record(_) | NodeId::RulesIn(_)))
            .map(|(node, existing)| (existing.id.clone(), node.clone()))
            .collect();
        let description = &self.sought.rules_description;
        let ports: BTreeSet<i64> = self.answers.groups.iter().map(|group| i64::from(group.port)).collect();
        // A rule for the load balancer that is not about a target port is its maker's own business.
        let is_ours = |rule: &Rule| {
            rule.description == *description || rule.from_port == rule.to_port && ports.contains(&rule.from_port)
        };
        let resolve = |reference: &Ref| match reference {
            Ref::Known(id) => ids.get(id).map_or_else(|| reference.clone(), |node| Ref::Of(node.clone())),
            Ref::Of(_) => reference.clone(),
        };
        let resolve_rules = |rules: &BTreeSet<Rule>| -> BTreeSet<Rule> {
            let resolve_rule = |rule: &Rule| match &rule.source {
                Source::Group(group) => Rule { source: Source::Group(resolve(group)), ..rule.clone() },
                _ => rule.clone(),
            };
            rules.iter().map(resolve_rule).collect()
        };
        for existing in self.found.observed.nodes.values_mut() {
            match &mut existing.node {
                Node::LoadBalancer(balancer) => {
                    balancer.security_groups = balancer.security_groups.iter().map(resolve).collect();
                }
                Node::SecurityGroup(group) => group.rules = resolve_rules(&group.rules),
                // Of a group of somebody else's, only the rules about the stack are the stack's.
                Node::RulesIn(rules) => {
                    *rules = resolve_rules(rules);
                    rules.retain(|rule| match &rule.source {
                        Source::Group(Ref::Of(_)) => is_ours(rule),
                        Source::Group(Ref::Known(_)) => rule.description == *description,
                        _ => false,
                    });
                }
                Node::Listener(listener) => {
                    if let Action::Forward(weights) = &mut listener.action {
                        *weights = weights.iter().map(|(group, weight)| (resolve(group), *weight)).collect();
                    }
                }
                Node::TargetGroup(group) => group.targets = group.targets.iter().map(resolve).collect(),
                Node::Record(_) | Node::CacheSubnetGroup(_) | Node::Cache(_) | Node::Instance(_) => {}
            }
        }
        self.found
            .observed
            .nodes
            .retain(|_, existing| !matches!(&existing.node, Node::RulesIn(rules) if rules.is_empty()));
    }
}

/// Whether a target counts as registered: not on its way out.
fn registered(target: &TargetHealth) -> bool {
    target.state != "draining" && target.reason.as_deref() != Some("Target.NotRegistered")
}

fn groups_of(action: &ActionInfo) -> impl Iterator<Item = &String> {
    let weights = match action {
        ActionInfo::Forward(weights) => weights.as_slice(),
        _ => &[],
    };
    weights.iter().map(|(arn, _)| arn)
}

/// An action in the engine's terms. A group that alone gets everything has weight 1, whatever AWS says.
fn action(info: &ActionInfo) -> Action {
    match info {
        ActionInfo::Forward(weights) => match weights.as_slice() {
            [(arn, weight)] if *weight > 0 => Action::forward(Ref::Known(arn.clone())),
            several => {
                Action::Forward(several.iter().map(|(arn, weight)| (Ref::Known(arn.clone()), *weight)).collect())
            }
        },
        ActionInfo::Redirect { protocol, port, status } => match (protocol.as_str(), port.parse(), status.as_str()) {
            ("HTTPS", Ok(port), "HTTP_301") => Action::RedirectToHttps(port),
            _ => Action::Other(format!("redirect to {protocol} {port} with {status}")),
        },
        ActionInfo::Other(kind) => Action::Other(kind.clone()),
    }
}
