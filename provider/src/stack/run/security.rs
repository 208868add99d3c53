//! Security groups: their rules, and who still uses them.

use std::collections::BTreeSet;

use tracing::warn;

use super::{Run, StepError};
use crate::aws::{AwsError, Direction, ErrorClass, Peer, RuleSettings, SecurityGroupKey};
use crate::stack::{NodeId, Ref, Rule, Source};

/// The code of a refusal for the quota of rules in a security group.
const TOO_MANY_RULES: &str = "RulesPerSecurityGroupLimitExceeded";

impl Run<'_> {
    pub(super) async fn authorize(&self, rules: &BTreeSet<Rule>) -> Result<(), StepError> {
        let (group, wanted) = (self.id()?, self.expand(rules)?);
        let Some(direction) = direction(&wanted) else { return Ok(()) };
        match self.grant(group, direction, &wanted).await {
            // AWS refuses them all when one is there already.
            Err(StepError::Aws(error)) if matches!(error.class(), ErrorClass::Exists | ErrorClass::NoAnswer) => {
                let there = self.rules_there(group).await?;
                if let Some(rule) = self.rule_of_others(rules, &there)? {
                    return Err(StepError::Taken { what: format!("rule {rule}"), id: group.to_owned() });
                }
                let missing: BTreeSet<RuleSettings> =
                    wanted.into_iter().filter(|rule| !there.iter().any(|old| same(old, rule))).collect();
                if missing.is_empty() {
                    return Ok(());
                }
                if error.class() == ErrorClass::NoAnswer {
                    return Err(error.into());
                }
                self.grant(group, direction, &missing).await
            }
            other => other,
        }
    }

    /// A rule that somebody else has made as it is wanted, for a group that is not the stack's either: by its
    /// description nobody would ever find it to be the stack's, and with another one it would go with the stack.
    fn rule_of_others(
        &self,
        rules: &BTreeSet<Rule>,
        there: &BTreeSet<RuleSettings>,
    ) -> Result<Option<Rule>, StepError> {
        if !matches!(self.step.node, NodeId::RulesIn(_)) {
            return Ok(None);
        }
        for rule in rules.iter().filter(|rule| matches!(rule.source, Source::Group(Ref::Known(_)))) {
            let wanted = self.expand(&[rule.clone()].into())?;
            let of_others =
                |old: &RuleSettings| wanted.iter().any(|rule| same(old, rule) && old.description != rule.description);
            if there.iter().any(of_others) {
                return Ok(Some(rule.clone()));
            }
        }
        Ok(None)
    }

    /// Grants rules. A group that is full takes none before others go: then sources that leave the same ports go first.
    async fn grant(&self, group: &str, direction: Direction, rules: &BTreeSet<RuleSettings>) -> Result<(), StepError> {
        let Err(error) = self.add(group, direction, rules).await else { return Ok(()) };
        let leaving = self.leaving_for(rules);
        if error.code != TOO_MANY_RULES || leaving.is_empty() {
            return Err(error.into());
        }
        warn!("{group} is full: who is not to come in any more goes before the others come");
        self.revoke(&leaving).await?;
        match self.add(group, direction, rules).await {
            // Who came in until now goes on to, for the others do not come.
            Err(error) if !matches!(error.class(), ErrorClass::Exists | ErrorClass::NoAnswer) => {
                if let Err(second) = self.add(group, direction, &self.expand(&leaving)?).await {
                    warn!("{group}: the rules that were there could not be put back: {second}");
                }
                Err(error.into())
            }
            other => Ok(other?),
        }
    }

    async fn add(&self, group: &str, direction: Direction, rules: &BTreeSet<RuleSettings>) -> Result<(), AwsError> {
        // Without the marker of an unfinished create: nothing is told by a rule's tags that its group, or the group that it
        // lets in, does not tell, and to take markers off again the rules would have to be asked for by id.
        let tags = self.context.owner.tags(&self.context.tags, "rule");
        self.aws().authorize_rules(group, direction, rules, &tags).await
    }

    /// Of the rules that the plan takes away, those that let other clients in where these do. Whatever else goes, like
    /// the rules for a port that is left, serves until its turn comes.
    fn leaving_for(&self, rules: &BTreeSet<RuleSettings>) -> BTreeSet<Rule> {
        let is_client = |rule: &Rule| {
            rule.direction == Direction::Ingress && matches!(rule.source, Source::Cidr(_) | Source::PrefixList(_))
        };
        let at_the_same_ports = |rule: &Rule| {
            rules.iter().any(|new| {
                (new.direction, &new.protocol, new.from_port, new.to_port)
                    == (rule.direction, &rule.protocol, rule.from_port, rule.to_port)
            })
        };
        self.leaving.iter().filter(|rule| is_client(rule) && at_the_same_ports(rule)).cloned().collect()
    }

    pub(super) async fn describe(&self, rules: &BTreeSet<Rule>) -> Result<(), StepError> {
        let (group, wanted) = (self.id()?, self.expand(rules)?);
        let Some(direction) = direction(&wanted) else { return Ok(()) };
        Ok(self.aws().describe_rules(group, direction, &wanted).await?)
    }

    pub(super) async fn revoke(&self, rules: &BTreeSet<Rule>) -> Result<(), StepError> {
        let (group, surplus) = (self.id()?, self.expand(rules)?);
        let Some(direction) = direction(&surplus) else { return Ok(()) };
        match self.aws().revoke_rules(group, direction, &surplus).await {
            // AWS refuses them all when one is gone already. A group that it does not know may be too new.
            Err(error) if error.code == "InvalidPermission.NotFound" => {
                let there = self.rules_there(group).await?;
                let left: BTreeSet<RuleSettings> =
                    surplus.into_iter().filter(|rule| there.iter().any(|old| same(old, rule))).collect();
                if left.is_empty() {
                    return Ok(());
                }
                Ok(self.aws().revoke_rules(group, direction, &left).await?)
            }
            other => Ok(other?),
        }
    }

    async fn rules_there(&self, group: &str) -> Result<BTreeSet<RuleSettings>, StepError> {
        let found = self.aws().security_groups(&SecurityGroupKey::Ids([group.to_owned()].into())).await?;
        Ok(found.into_iter().flat_map(|group| group.rules).collect())
    }

    /// The rules with their references resolved, and `vpc` replaced by the VPC's address blocks.
    fn expand(&self, rules: &BTreeSet<Rule>) -> Result<BTreeSet<RuleSettings>, StepError> {
        let mut expanded = BTreeSet::new();
        for rule in rules {
            let peers = match &rule.source {
                Source::Cidr(cidr) => vec![Peer::Cidr(cidr.clone())],
                Source::PrefixList(id) => vec![Peer::PrefixList(id.clone())],
                Source::Group(group) => vec![Peer::Group(self.resolve(group)?)],
                Source::Vpc => {
                    let vpc = &self.observed.vpc;
                    vpc.cidr_blocks.iter().chain(&vpc.ipv6_cidr_blocks).cloned().map(Peer::Cidr).collect()
                }
            };
            expanded.extend(peers.into_iter().map(|peer| RuleSettings {
                direction: rule.direction,
                protocol: rule.protocol.clone(),
                from_port: rule.from_port,
                to_port: rule.to_port,
                peer,
                description: rule.description.clone(),
            }));
        }
        Ok(expanded)
    }

    pub(super) async fn look_for_interfaces(&self) -> Result<(), StepError> {
        let interfaces = self.aws().network_interfaces(self.id()?).await?;
        if interfaces.is_empty() {
            return Ok(());
        }
        let each: Vec<String> = interfaces
            .iter()
            .map(|interface| match interface.description.as_str() {
                "" => interface.id.clone(),
                description => format!("{} ({description})", interface.id),
            })
            .collect();
        Err(StepError::Waiting(format!("{} is still used by {}", self.id()?, each.join(", "))))
    }

    async fn look_for_rules(&self) -> Result<(), StepError> {
        let id = self.id()?;
        let naming = self.aws().security_groups(&SecurityGroupKey::Naming(id.to_owned())).await?;
        let others = naming.iter().filter(|group| group.id != id);
        let each: BTreeSet<String> = others.map(|group| format!("{} ({})", group.id, group.name)).collect();
        if each.is_empty() {
            return Ok(());
        }
        let each: Vec<String> = each.into_iter().collect();
        Err(StepError::Waiting(format!(
            "rules of {} still refer to {id}, and have to be removed where they were made",
            each.join(", ")
        )))
    }

    /// Who still uses a group that AWS does not let go.
    pub(super) async fn explain_dependency(&self, error: AwsError) -> StepError {
        if let Err(users @ StepError::Waiting(_)) = self.look_for_interfaces().await {
            return users;
        }
        match self.look_for_rules().await {
            Err(users @ StepError::Waiting(_)) => users,
            _ => error.into(),
        }
    }

    /// These objects, by id, and all the rules of the security groups among them; of somebody else's group only the
    /// stack's own rules.
    pub(super) async fn with_rules(&self, groups: BTreeSet<String>) -> Result<BTreeSet<String>, StepError> {
        let own = !matches!(self.step.node, NodeId::RulesIn(_));
        let mut all = if own { groups.clone() } else { BTreeSet::new() };
        for group in groups.iter().filter(|id| id.starts_with("sg-")) {
            let rules = self.aws().security_group_rule_tags(group).await?;
            let ours = rules.into_iter().filter(|(_, _, tags)| own || self.context.owner.owns(tags));
            all.extend(ours.map(|(id, _, _)| id));
        }
        Ok(all)
    }
}

/// The direction that all the rules of a call have.
fn direction(rules: &BTreeSet<RuleSettings>) -> Option<Direction> {
    rules.first().map(|rule| rule.direction)
}

/// Whether AWS takes two rules for the same.
fn same(one: &RuleSettings, other: &RuleSettings) -> bool {
    (one.direction, &one.protocol, one.from_port, one.to_port, &one.peer)
        == (other.direction, &other.protocol, other.from_port, other.to_port, &other.peer)
}
