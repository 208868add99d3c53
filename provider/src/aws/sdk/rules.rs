//! Security group rules: AWS groups them by protocol and ports, we have one for each peer.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{IpPermission, IpRange, Ipv6Range, PrefixListId, SecurityGroupRule, UserIdGroupPair};
use ipnet::IpNet;

use super::text;
use crate::aws::{Direction, Peer, RuleSettings};

/// All protocols. Ports mean nothing then, and AWS takes and shows none.
const ALL_PROTOCOLS: &str = "-1";

/// The rules in one permission.
pub(super) fn rules_of(direction: Direction, permission: &IpPermission) -> Vec<RuleSettings> {
    let cidrs = permission.ip_ranges().iter().map(|range| (range.cidr_ip().map(cidr), range.description()));
    let ipv6_cidrs = permission.ipv6_ranges().iter().map(|range| (range.cidr_ipv6().map(cidr), range.description()));
    let prefix_lists = permission
        .prefix_list_ids()
        .iter()
        .map(|list| (list.prefix_list_id().map(|id| Peer::PrefixList(id.to_owned())), list.description()));
    let groups = permission
        .user_id_group_pairs()
        .iter()
        .map(|pair| (pair.group_id().map(|id| Peer::Group(id.to_owned())), pair.description()));
    let rule = |(peer, description): (Option<Peer>, Option<&str>)| {
        Some(RuleSettings {
            direction,
            protocol: text(permission.ip_protocol()),
            from_port: port(permission.from_port()),
            to_port: port(permission.to_port()),
            peer: peer?,
            description: text(description),
        })
    };
    cidrs.chain(ipv6_cidrs).chain(prefix_lists).chain(groups).filter_map(rule).collect()
}

/// A rule that AWS shows by itself; `None` when its peer is of no kind we know.
pub(super) fn rule_of(rule: &SecurityGroupRule) -> Option<RuleSettings> {
    let group = || rule.referenced_group_info()?.group_id();
    let peer = rule
        .cidr_ipv4()
        .or(rule.cidr_ipv6())
        .map(cidr)
        .or_else(|| rule.prefix_list_id().map(|id| Peer::PrefixList(id.to_owned())))
        .or_else(|| group().map(|id| Peer::Group(id.to_owned())))?;
    Some(RuleSettings {
        direction: if rule.is_egress() == Some(true) { Direction::Egress } else { Direction::Ingress },
        protocol: text(rule.ip_protocol()),
        from_port: port(rule.from_port()),
        to_port: port(rule.to_port()),
        peer,
        description: text(rule.description()),
    })
}

/// The permissions that hold the rules.
pub(super) fn permissions(rules: &BTreeSet<RuleSettings>) -> Vec<IpPermission> {
    let mut grouped: BTreeMap<(&str, i64, i64), Vec<&RuleSettings>> = BTreeMap::new();
    for rule in rules {
        grouped.entry((rule.protocol.as_str(), rule.from_port, rule.to_port)).or_default().push(rule);
    }
    grouped.into_iter().map(|((protocol, from, to), rules)| permission(protocol, from, to, &rules)).collect()
}

fn permission(protocol: &str, from: i64, to: i64, rules: &[&RuleSettings]) -> IpPermission {
    let port = |port: i64| i32::try_from(port).ok().filter(|_| protocol != ALL_PROTOCOLS);
    let empty = IpPermission::builder().ip_protocol(protocol).set_from_port(port(from)).set_to_port(port(to));
    let whole = rules.iter().fold(empty, |permission, rule| {
        let description = (!rule.description.is_empty()).then(|| rule.description.clone());
        match &rule.peer {
            Peer::Cidr(block) if block.contains(':') => {
                permission.ipv6_ranges(Ipv6Range::builder().cidr_ipv6(block).set_description(description).build())
            }
            Peer::Cidr(block) => {
                permission.ip_ranges(IpRange::builder().cidr_ip(block).set_description(description).build())
            }
            Peer::PrefixList(id) => permission
                .prefix_list_ids(PrefixListId::builder().prefix_list_id(id).set_description(description).build()),
            Peer::Group(id) => permission
                .user_id_group_pairs(UserIdGroupPair::builder().group_id(id).set_description(description).build()),
        }
    });
    whole.build()
}

fn port(port: Option<i32>) -> i64 {
    port.map_or(-1, i64::from)
}

fn cidr(block: &str) -> Peer {
    Peer::Cidr(block.parse::<IpNet>().map_or_else(|_| block.to_owned(), |block| block.trunc().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(protocol: &str, ports: (i64, i64), peer: Peer, description: &str) -> RuleSettings {
        RuleSettings {
            direction: Direction::Ingress,
            protocol: protocol.to_owned(),
            from_port: ports.0,
            to_port: ports.1,
            peer,
            description: description.to_owned(),
        }
    }

    fn every_kind() -> BTreeSet<RuleSettings> {
        BTreeSet::from([
            rule("tcp", (443, 443), Peer::Cidr("198.51.100.0/24".to_owned()), "office"),
            rule("tcp", (443, 443), Peer::Cidr("203.0.113.7/32".to_owned()), ""),
            rule("tcp", (443, 443), Peer::Cidr("2001:db8::/32".to_owned()), "office, IPv6"),
            rule("tcp", (443, 443), Peer::PrefixList("pl-1".to_owned()), "cdn"),
            rule("tcp", (12443, 12443), Peer::Group("sg-1".to_owned()), "load balancer"),
            rule("-1", (-1, -1), Peer::Cidr("0.0.0.0/0".to_owned()), ""),
        ])
    }

    #[test]
    fn rules_survive_the_way_to_permissions_and_back() {
        let back: BTreeSet<RuleSettings> =
            permissions(&every_kind()).iter().flat_map(|permission| rules_of(Direction::Ingress, permission)).collect();
        assert_eq!(back, every_kind());
    }

    #[test]
    fn rules_of_the_same_ports_share_a_permission_and_all_protocols_have_no_ports() {
        let permissions = permissions(&every_kind());
        let shape: Vec<_> = permissions
            .iter()
            .map(|p| (p.ip_protocol(), p.from_port(), p.to_port(), p.ip_ranges().len(), p.ipv6_ranges().len()))
            .collect();
        assert_eq!(
            shape,
            [
                (Some("-1"), None, None, 1, 0),
                (Some("tcp"), Some(443), Some(443), 2, 1),
                (Some("tcp"), Some(12443), Some(12443), 0, 0),
            ]
        );
    }

    #[test]
    fn a_rule_shown_by_itself_equals_the_same_one_in_a_permission() {
        let by_itself = SecurityGroupRule::builder()
            .is_egress(false)
            .ip_protocol("tcp")
            .from_port(443)
            .to_port(443)
            .cidr_ipv6("2001:DB8:0::/32")
            .description("office, IPv6")
            .build();
        let read = rule_of(&by_itself).expect("a block is a peer we know");
        assert!(every_kind().contains(&read), "{read:?}");
    }

    #[test]
    fn a_rule_without_a_peer_is_left_out() {
        assert_eq!(rule_of(&SecurityGroupRule::builder().ip_protocol("tcp").build()), None);
    }
}
