//! EC2: security groups, their rules, and the network interfaces that hold them.

use std::collections::{BTreeMap, BTreeSet};

use super::launches::VOLUME;
use super::{Answer, Refusal, SecurityGroup, State, check_tags, refuse};
use crate::aws::{
    Direction, NetworkInterfaceInfo, NewSecurityGroup, Peer, RuleSettings, SecurityGroupInfo, SecurityGroupKey, Tags,
};

/// The rule that AWS gives to a new group.
pub(super) fn all_egress(peer: Peer) -> RuleSettings {
    RuleSettings {
        direction: Direction::Egress,
        protocol: "-1".to_owned(),
        from_port: -1,
        to_port: -1,
        peer,
        description: String::new(),
    }
}

/// How many rules of one direction and one address family a group takes; what is no block counts in both families.
const RULES_PER_GROUP: usize = 60;

fn is_overfull(rules: &[RuleSettings], direction: Direction) -> bool {
    let count = |ipv6: bool| {
        let of_other_family =
            |rule: &RuleSettings| matches!(&rule.peer, Peer::Cidr(block) if block.contains(':') != ipv6);
        rules.iter().filter(|rule| rule.direction == direction && !of_other_family(rule)).count()
    };
    count(false).max(count(true)) > RULES_PER_GROUP
}

/// A rule is the same with another description.
fn same(one: &RuleSettings, other: &RuleSettings) -> bool {
    let key =
        |rule: &RuleSettings| (rule.direction, rule.protocol.clone(), rule.from_port, rule.to_port, rule.peer.clone());
    key(one) == key(other)
}

impl State {
    pub(super) fn security_groups(&self, key: &SecurityGroupKey) -> Vec<SecurityGroupInfo> {
        let described = self.security_groups.iter().map(|(id, group)| SecurityGroupInfo {
            id: id.clone(),
            name: group.name.clone(),
            description: group.description.clone(),
            vpc_id: group.vpc_id.clone(),
            rules: group.rules.values().map(|(rule, _)| rule.clone()).collect(),
            tags: group.tags.clone(),
        });
        described
            .filter(|info| match key {
                SecurityGroupKey::Ids(ids) => ids.contains(&info.id),
                SecurityGroupKey::Name { vpc_id, name } => {
                    vpc_id.as_ref().is_none_or(|vpc_id| info.vpc_id == *vpc_id) && info.name == *name
                }
                SecurityGroupKey::Tag { key, value } => info.tags.get(key) == Some(value),
                SecurityGroupKey::Naming(id) => info.rules.iter().any(|rule| rule.peer == Peer::Group(id.clone())),
            })
            .collect()
    }

    /// Names are unique in a VPC. All egress is allowed at first, over IPv6 too when the VPC has it.
    pub(super) fn create_security_group(&mut self, new: &NewSecurityGroup) -> Answer<String> {
        let Some(vpc) = self.vpcs.get(&new.vpc_id) else { return refuse("InvalidVpcID.NotFound", &new.vpc_id) };
        let mut open = vec![Peer::Cidr("0.0.0.0/0".to_owned())];
        if !vpc.ipv6_cidr_blocks.is_empty() {
            open.push(Peer::Cidr("::/0".to_owned()));
        }
        if self.security_groups.values().any(|group| group.vpc_id == new.vpc_id && group.name == new.name) {
            return refuse("InvalidGroup.Duplicate", format!("'{}' already exists in {}", new.name, new.vpc_id));
        }
        let id = format!("sg-{:017x}", self.next_id());
        let mut rules = BTreeMap::new();
        for peer in open {
            rules.insert(self.next_rule_id(), (all_egress(peer), Tags::new()));
        }
        let group = SecurityGroup {
            name: new.name.clone(),
            description: new.description.clone(),
            vpc_id: new.vpc_id.clone(),
            rules,
            tags: new.tags.clone(),
            visible_from: self.clock + self.consistency,
        };
        self.security_groups.insert(id.clone(), group);
        Ok(id)
    }

    fn next_rule_id(&mut self) -> String {
        format!("sgr-{:017x}", self.next_id())
    }

    /// A security group as a change finds it.
    fn changed_group(&mut self, id: &str) -> Answer<&mut SecurityGroup> {
        let found = self.security_groups.get_mut(id).filter(|found| found.visible_from <= self.clock);
        found.ok_or_else(|| Refusal::new("InvalidGroup.NotFound", id))
    }

    /// All or none.
    pub(super) fn authorize_rules(
        &mut self,
        id: &str,
        direction: Direction,
        rules: &BTreeSet<RuleSettings>,
        tags: &Tags,
    ) -> Answer<()> {
        let mut present: Vec<_> = self.changed_group(id)?.rules.values().map(|(rule, _)| rule.clone()).collect();
        for rule in rules {
            check_direction(rule, direction)?;
            if let Peer::Group(peer) = &rule.peer
                && !self.security_groups.contains_key(peer)
            {
                return refuse("InvalidGroup.NotFound", peer);
            }
            if present.iter().any(|other| same(other, rule)) {
                return refuse("InvalidPermission.Duplicate", format!("{rule:?} already exists"));
            }
            present.push(rule.clone());
        }
        if is_overfull(&present, direction) {
            return refuse("RulesPerSecurityGroupLimitExceeded", format!("{id} would have too many {direction} rules"));
        }
        for rule in rules {
            let rule_id = self.next_rule_id();
            self.changed_group(id)?.rules.insert(rule_id, (rule.clone(), tags.clone()));
        }
        Ok(())
    }

    /// All or none; descriptions do not count.
    pub(super) fn revoke_rules(
        &mut self,
        id: &str,
        direction: Direction,
        rules: &BTreeSet<RuleSettings>,
    ) -> Answer<()> {
        let group = self.changed_group(id)?;
        check_present(group, direction, rules)?;
        group.rules.retain(|_, (present, _)| !rules.iter().any(|rule| same(rule, present)));
        Ok(())
    }

    /// All or none.
    pub(super) fn describe_rules(
        &mut self,
        id: &str,
        direction: Direction,
        rules: &BTreeSet<RuleSettings>,
    ) -> Answer<()> {
        let group = self.changed_group(id)?;
        check_present(group, direction, rules)?;
        for (present, _) in group.rules.values_mut() {
            if let Some(rule) = rules.iter().find(|rule| same(rule, present)) {
                present.description = rule.description.clone();
            }
        }
        Ok(())
    }

    /// Refused while an interface or a load balancer has it, or a rule of another group names it.
    pub(super) fn delete_security_group(&mut self, id: &str) -> Answer<()> {
        if !self.security_groups.contains_key(id) {
            return refuse("InvalidGroup.NotFound", id);
        }
        let peer = Peer::Group(id.to_owned());
        let mut others = self.security_groups.iter().filter(|(other, _)| *other != id);
        let named = others.any(|(_, group)| group.rules.values().any(|(rule, _)| rule.peer == peer));
        let worn = self.load_balancers.values().any(|found| found.info.security_groups.contains(id));
        if named || worn || !self.network_interfaces(id).is_empty() {
            return refuse("DependencyViolation", format!("resource {id} has a dependent object"));
        }
        self.security_groups.remove(id);
        Ok(())
    }

    /// The interfaces with a security group: load balancers', instances' and caches'.
    pub(super) fn network_interfaces(&self, group_id: &str) -> Vec<NetworkInterfaceInfo> {
        let balancers = self.interfaces.iter().filter(|(_, interface)| interface.security_groups.contains(group_id));
        let balancers = balancers.map(|(id, interface)| (id.clone(), interface.description.clone()));
        let instances = self.instances.values().filter(|instance| instance.security_groups.contains(group_id));
        let instances = instances.map(|instance| (format!("eni-{}", instance.id), String::new()));
        let caches = self.caches.iter().filter(|(_, cache)| cache.new.security_groups.contains(group_id));
        let caches = caches.map(|(id, _)| (format!("eni-{id}"), format!("ElastiCache {id}")));
        let all = balancers.chain(instances).chain(caches);
        all.map(|(id, description)| NetworkInterfaceInfo { id, description }).collect()
    }

    /// The tags of an instance or its root volume, of a security group or one of its rules.
    fn ec2_tags(&mut self, id: &str) -> Answer<&mut Tags> {
        if id.starts_with("i-") {
            let found = self.launches.get_mut(id).map(|launch| &mut launch.new.tags);
            return found.ok_or_else(|| Refusal::new("InvalidInstanceID.NotFound", id));
        }
        if let Some(rest) = id.strip_prefix(VOLUME) {
            let instance = format!("i-{rest}");
            let found = if self.lives(&instance) { self.launches.get_mut(&instance) } else { None };
            let found = found.map(|launch| &mut launch.new.volume_tags);
            return found.ok_or_else(|| Refusal::new("InvalidVolume.NotFound", id));
        }
        if id.starts_with("sgr-") {
            let found = self.security_groups.values_mut().find_map(|group| group.rules.get_mut(id));
            let found = found.map(|(_, tags)| tags);
            return found.ok_or_else(|| Refusal::new("InvalidSecurityGroupRuleId.NotFound", id));
        }
        self.changed_group(id).map(|group| &mut group.tags)
    }

    /// Changes the tags of several objects, all or none.
    pub(super) fn change_ec2_tags(&mut self, ids: &BTreeSet<String>, change: impl Fn(&mut Tags)) -> Answer<()> {
        for id in ids {
            check_tags(self.ec2_tags(id)?, &change, "TagLimitExceeded")?;
        }
        for id in ids {
            change(self.ec2_tags(id)?);
        }
        Ok(())
    }
}

/// A call is about rules of one direction.
fn check_direction(rule: &RuleSettings, direction: Direction) -> Answer<()> {
    if rule.direction == direction {
        Ok(())
    } else {
        refuse("InvalidParameterValue", format!("{rule:?} is not {direction}"))
    }
}

fn check_present(group: &SecurityGroup, direction: Direction, rules: &BTreeSet<RuleSettings>) -> Answer<()> {
    for rule in rules {
        check_direction(rule, direction)?;
        if !group.rules.values().any(|(present, _)| same(present, rule)) {
            return refuse("InvalidPermission.NotFound", format!("{rule:?} does not exist in this group"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::FakeAws;
    use super::super::fixtures::{load_balancer, security_group, set, tags};
    use super::*;
    use crate::aws::{Aws, NewLoadBalancer};

    fn ingress(port: i64, peer: Peer) -> RuleSettings {
        RuleSettings {
            direction: Direction::Ingress,
            protocol: "tcp".to_owned(),
            from_port: port,
            to_port: port,
            peer,
            description: "clients".to_owned(),
        }
    }

    async fn rules(aws: &FakeAws, id: &str) -> BTreeSet<RuleSettings> {
        aws.security_groups(&SecurityGroupKey::Ids(set(&[id]))).await.unwrap().remove(0).rules
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_group_allows_all_egress_and_its_name_is_taken() {
        let aws = FakeAws::new();
        let id = aws.create_security_group(&security_group("one")).await.unwrap();
        assert_eq!(rules(&aws, &id).await, BTreeSet::from([all_egress(Peer::Cidr("0.0.0.0/0".to_owned()))]));
        let again = aws.create_security_group(&security_group("one")).await.unwrap_err();
        assert_eq!(again.code, "InvalidGroup.Duplicate");
        let elsewhere = NewSecurityGroup { vpc_id: "vpc-2".to_owned(), ..security_group("one") };
        aws.create_security_group(&elsewhere).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn one_bad_rule_fails_the_whole_call() {
        let aws = FakeAws::new();
        let id = aws.create_security_group(&security_group("one")).await.unwrap();
        let open = |port| ingress(port, Peer::Cidr("10.0.0.0/8".to_owned()));
        let none = Tags::new();
        aws.authorize_rules(&id, Direction::Ingress, &BTreeSet::from([open(80)]), &none).await.unwrap();
        let before = rules(&aws, &id).await;
        let renamed = RuleSettings { description: "others".to_owned(), ..open(80) };
        let both = BTreeSet::from([open(79), renamed]);
        let twice = aws.authorize_rules(&id, Direction::Ingress, &both, &none).await.unwrap_err();
        assert_eq!(twice.code, "InvalidPermission.Duplicate");
        let missing = aws.revoke_rules(&id, Direction::Ingress, &both).await.unwrap_err();
        assert_eq!(missing.code, "InvalidPermission.NotFound");
        assert_eq!(rules(&aws, &id).await, before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_takes_sixty_rules_of_a_direction_and_a_family() {
        let aws = FakeAws::new();
        let id = aws.create_security_group(&security_group("one")).await.unwrap();
        let none = Tags::new();
        let blocks = |start: &str, end: &str, hosts: std::ops::Range<u8>| -> BTreeSet<RuleSettings> {
            hosts.map(|host| ingress(80, Peer::Cidr(format!("{start}{host}{end}")))).collect()
        };
        aws.authorize_rules(&id, Direction::Ingress, &blocks("10.0.0.", "/32", 0..60), &none).await.unwrap();
        aws.authorize_rules(&id, Direction::Ingress, &blocks("2001:db8::", "/128", 0..60), &none).await.unwrap();
        let over = aws.authorize_rules(&id, Direction::Ingress, &blocks("10.0.1.", "/32", 0..1), &none).await;
        assert_eq!(over.unwrap_err().code, "RulesPerSecurityGroupLimitExceeded");
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_stays_until_the_load_balancers_interfaces_are_released() {
        let aws = FakeAws::new();
        let id = aws.create_security_group(&security_group("one")).await.unwrap();
        let new = NewLoadBalancer { security_groups: set(&[&id]), ..load_balancer("one") };
        let balancer = aws.create_load_balancer(&new).await.unwrap();
        aws.delete_load_balancer(&balancer.arn).await.unwrap();
        let held = aws.network_interfaces(&id).await.unwrap();
        let path = balancer.arn.rsplit_once("loadbalancer/").unwrap().1;
        assert_eq!(held.len(), 2);
        assert!(held.iter().all(|interface| interface.description == format!("ELB {path}")), "{held:?}");
        assert_eq!(aws.delete_security_group(&id).await.unwrap_err().code, "DependencyViolation");
        tokio::time::advance(Duration::from_secs(90)).await;
        assert!(aws.network_interfaces(&id).await.unwrap().is_empty());
        aws.delete_security_group(&id).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_group_that_another_groups_rule_names_stays() {
        let aws = FakeAws::new();
        let id = aws.create_security_group(&security_group("one")).await.unwrap();
        let rule = BTreeSet::from([ingress(80, Peer::Group(id.clone()))]);
        aws.authorize_rules("sg-hosts", Direction::Ingress, &rule, &tags("us")).await.unwrap();
        assert_eq!(aws.delete_security_group(&id).await.unwrap_err().code, "DependencyViolation");
        aws.revoke_rules("sg-hosts", Direction::Ingress, &rule).await.unwrap();
        aws.delete_security_group(&id).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_tag_goes_only_with_its_value_when_one_is_given() {
        let aws = FakeAws::new();
        let id = aws.create_security_group(&security_group("one")).await.unwrap();
        let owner = |value: Option<&str>| BTreeMap::from([("owner".to_owned(), value.map(str::to_owned))]);
        for (value, goes) in [(Some("another"), false), (Some("us"), true), (None, true)] {
            aws.add_ec2_tags(&set(&[&id]), &tags("us")).await.unwrap();
            aws.remove_ec2_tags(&set(&[&id]), &owner(value)).await.unwrap();
            assert_eq!(aws.objects_tagged("owner", "us").is_empty(), goes, "{value:?}");
        }
    }
}
