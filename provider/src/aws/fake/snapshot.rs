//! A picture of all that calls can change, without what differs between two runs to the same end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::elbv2::{load_balancer_defaults, target_group_defaults};
use super::{LoadBalancer, State, TargetGroup};
use crate::aws::{ActionInfo, Attributes, Peer, RecordInfo};

/// One line for each object, sorted. Objects go by name and port instead of ARN and id; attributes with AWS's
/// default, target health and network interfaces are left out. Tags are in it as they are.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The lines.
    pub lines: Vec<String>,
}

impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{self}")
    }
}

/// What an object is called, by its ARN, id or DNS name.
struct Names(BTreeMap<String, String>);

impl Names {
    /// Its name; itself when nothing has it.
    fn of<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.get(id).map_or(id, String::as_str)
    }

    fn all<'a>(&'a self, ids: impl IntoIterator<Item = &'a String>) -> BTreeSet<&'a str> {
        ids.into_iter().map(|id| self.of(id)).collect()
    }
}

fn changed(attributes: &Attributes, defaults: &Attributes) -> Attributes {
    let differs = |(key, value): &(&String, &String)| defaults.get(*key) != Some(*value);
    // Where logs would go does not matter while they are off.
    let matters = |(key, _): &(&String, &String)| match key.split_once(".s3.") {
        Some((kind, _)) => attributes.get(&format!("{kind}.s3.enabled")).is_some_and(|value| value == "true"),
        None => true,
    };
    attributes.iter().filter(differs).filter(matters).map(|(key, value)| (key.clone(), value.clone())).collect()
}

impl State {
    pub(super) fn snapshot(&self) -> Snapshot {
        let names = self.names();
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.load_balancers.values().map(|found| load_balancer_line(found, &names)));
        lines.extend(self.target_groups.values().map(|group| target_group_line(group, &names)));
        lines.extend(self.listener_lines(&names));
        lines.extend(self.security_group_lines(&names));
        lines.extend(self.launch_lines(|id| names.of(id).to_owned()));
        lines.extend(self.cache_lines(|id| names.of(id).to_owned()));
        for ((zone_id, name, kind), record) in &self.records {
            let target = match record {
                RecordInfo::Alias(alias) => {
                    let health = if alias.evaluate_target_health { " with its health" } else { "" };
                    format!("alias of {} in {}{health}", names.of(&alias.target), alias.target_zone_id)
                }
                RecordInfo::Plain => "no alias".to_owned(),
                RecordInfo::Routed => "with a routing policy".to_owned(),
            };
            lines.push(format!("record {zone_id} {name} {kind}: {target}"));
        }
        lines.sort();
        Snapshot { lines }
    }

    fn names(&self) -> Names {
        let mut names = BTreeMap::new();
        for (arn, found) in &self.load_balancers {
            names.insert(arn.clone(), found.info.name.clone());
            names.insert(found.info.dns_name.clone(), format!("load balancer {}", found.info.name));
        }
        for (arn, group) in &self.target_groups {
            names.insert(arn.clone(), group.info.name.clone());
        }
        for (arn, listener) in &self.listeners {
            let balancer = self.load_balancers.get(&listener.load_balancer_arn);
            let balancer = balancer.map_or(&listener.load_balancer_arn, |found| &found.info.name);
            names.insert(arn.clone(), format!("{balancer}:{}", listener.settings.port));
        }
        for (id, group) in &self.security_groups {
            names.insert(id.clone(), format!("{}/{}", group.vpc_id, group.name));
        }
        names.extend(self.launches.keys().map(|id| (id.clone(), self.launch_name(id))));
        Names(names)
    }

    fn listener_lines(&self, names: &Names) -> Vec<String> {
        let listeners = self.listeners.iter().map(|(arn, listener)| {
            let settings = &listener.settings;
            // The default certificate is served, whether it is on the list as well or not.
            let mut additional = listener.additional_certificates.clone();
            additional.retain(|arn| settings.certificate_arn.as_ref() != Some(arn));
            let action = match &settings.action {
                ActionInfo::Forward(groups) => {
                    let groups: BTreeSet<_> = groups.iter().map(|(arn, weight)| (names.of(arn), weight)).collect();
                    format!("forward {groups:?}")
                }
                other => format!("{other:?}"),
            };
            let authentication = settings.mutual_authentication.as_ref();
            let authentication = authentication.map(|mode| format!(" client certificates {mode}")).unwrap_or_default();
            format!(
                "listener {}: {}{authentication} policy {:?} certificate {:?} and {:?} {action} tags {:?}",
                names.of(arn),
                settings.protocol,
                settings.ssl_policy,
                settings.certificate_arn,
                additional,
                listener.tags,
            )
        });
        let rules = self.rules.values().map(|rule| {
            let groups = names.all(&rule.target_group_arns);
            format!("rule {} {}: {groups:?} tags {:?}", names.of(&rule.listener_arn), rule.priority, rule.tags)
        });
        listeners.chain(rules).collect()
    }

    fn security_group_lines(&self, names: &Names) -> Vec<String> {
        let mut lines = Vec::new();
        for (id, group) in &self.security_groups {
            let name = names.of(id);
            lines.push(format!("security group {name}: {:?} tags {:?}", group.description, group.tags));
            for (rule, tags) in group.rules.values() {
                let peer = match &rule.peer {
                    Peer::Group(id) => format!("members of {}", names.of(id)),
                    Peer::Cidr(block) | Peer::PrefixList(block) => block.clone(),
                };
                lines.push(format!(
                    "security group rule {name}: {} {} {} to {} {peer} {:?} tags {tags:?}",
                    rule.direction, rule.protocol, rule.from_port, rule.to_port, rule.description,
                ));
            }
        }
        lines
    }
}

fn load_balancer_line(found: &LoadBalancer, names: &Names) -> String {
    let info = &found.info;
    format!(
        "load balancer {}: {:?} {} {} {} {} subnets {:?} security groups {:?} attributes {:?} tags {:?}",
        info.name,
        info.state,
        info.kind,
        info.scheme,
        info.ip_address_type,
        info.vpc_id,
        info.subnet_ids,
        names.all(&info.security_groups),
        changed(&found.attributes, &load_balancer_defaults()),
        found.tags,
    )
}

fn target_group_line(group: &TargetGroup, names: &Names) -> String {
    let info = &group.info;
    let describe = |((id, port), target): (&(String, u16), &super::Target)| {
        let draining = if target.draining_until.is_some() { " draining" } else { "" };
        format!("{}:{port}{draining}", names.of(id))
    };
    let mut targets: Vec<String> = group.targets.iter().map(describe).collect();
    targets.sort();
    format!(
        "target group {}: {} {} {} {} {:?} targets {targets:?} attributes {:?} tags {:?}",
        info.name,
        info.protocol,
        info.port,
        info.vpc_id,
        info.target_type,
        info.health_check,
        changed(&group.attributes, &target_group_defaults()),
        group.tags,
    )
}

#[cfg(test)]
mod tests {
    use super::super::FakeAws;
    use super::super::fixtures::{http, load_balancer, security_group, set, tags, target_group};
    use super::*;
    use crate::aws::{Aws, NewLoadBalancer};

    /// One load balancer with two security groups and a listener for two target groups, made in this order.
    async fn build(aws: &FakeAws, order: [&str; 2]) {
        let (mut groups, mut target_groups) = (BTreeSet::new(), Vec::new());
        for name in order {
            groups.insert(aws.create_security_group(&security_group(name)).await.unwrap());
            target_groups.push(aws.create_target_group(&target_group(name)).await.unwrap());
        }
        let new = NewLoadBalancer { security_groups: groups, ..load_balancer("one") };
        let balancer = aws.create_load_balancer(&new).await.unwrap().arn;
        let forward: Vec<_> = target_groups.iter().map(|arn| (arn.as_str(), 1)).collect();
        aws.create_listener(&balancer, &http(80, &forward), &tags("us")).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn two_ways_to_the_same_end_look_the_same() {
        let (one, other) = (FakeAws::new(), FakeAws::new());
        build(&one, ["a", "b"]).await;
        build(&other, ["b", "a"]).await;
        assert_eq!(one.snapshot(), other.snapshot());
    }

    #[tokio::test(start_paused = true)]
    async fn every_change_shows() {
        let aws = FakeAws::new();
        build(&aws, ["a", "b"]).await;
        let before = aws.snapshot();
        let group = aws.target_groups_named("a").await.unwrap().remove(0).arn;
        aws.register_targets(&group, &set(&["i-1"])).await.unwrap();
        let registered = aws.snapshot();
        aws.deregister_targets(&group, &set(&["i-1"])).await.unwrap();
        let draining = aws.snapshot();
        aws.add_tags(&group, &tags("another")).await.unwrap();
        let pictures = [before, registered, draining, aws.snapshot()];
        for pair in pictures.windows(2) {
            assert_ne!(pair[0], pair[1]);
            assert_eq!(pair[0].lines.len(), pair[1].lines.len());
        }
    }
}
