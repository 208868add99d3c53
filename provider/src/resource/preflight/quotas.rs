//! Judges what a plan needs of AWS's quotas, as far as that follows from it and from what was looked up anyway. How many
//! load balancers and target groups an account has, and whether its quotas were raised, nobody asks.

use std::collections::BTreeSet;

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;

/// A quota with its default.
pub(crate) struct Quota {
    what: &'static str,
    most: usize,
    of: &'static str,
    /// How many are worth a warning.
    near: usize,
}

/// For one direction and one address family (VPC guide, "Amazon VPC quotas").
pub(crate) const RULES: Quota = Quota { what: "security group rules", most: 60, of: "in a security group", near: 50 };
/// From the same. That all five are used is nothing unusual.
pub(crate) const GROUPS: Quota = Quota { what: "security groups", most: 5, of: "for a network interface", near: 6 };
/// Application Load Balancers guide, "Quotas for your Application Load Balancers".
pub(crate) const CERTIFICATES: Quota =
    Quota { what: "certificates", most: 25, of: "for a load balancer, beside the default ones", near: 20 };
/// From the same: an instance counts in each of its target groups.
pub(crate) const TARGETS: Quota = Quota { what: "targets", most: 1000, of: "for a load balancer", near: 800 };

impl Quota {
    /// Warns when there will be nearly as many as AWS allows, or more. `account` says which, `remedy` how to have fewer.
    pub(crate) fn judge(&self, argument: &str, count: usize, account: &str, remedy: &str, found: &mut Diagnostics) {
        let Self { what, most, of, near } = self;
        if count < *near {
            return;
        }
        let summary = if count > *most {
            format!("More {what} than AWS allows by default")
        } else {
            format!("Nearly as many {what} as AWS allows")
        };
        let detail =
            format!("{account}, and the default quota is {most} {of}. {remedy}, or ask for more under Service Quotas.");
        found.warning_at(Path::of(argument), summary, detail);
    }
}

/// Judges the rules of a security group that let every source in on each of so many ports.
pub(crate) fn judge_sources(argument: &str, sources: &BTreeSet<String>, ports: usize, found: &mut Diagnostics) {
    let most = of_one_family(sources);
    let count = most * ports;
    let lists = if sources.iter().any(|source| source.starts_with("pl-")) {
        " (a prefix list, here counted as one, counts as its maximum of entries)"
    } else {
        ""
    };
    let on = if ports == 1 { "one port".to_owned() } else { format!("{ports} ports") };
    let account = format!("{most} sources on {on} make {count} ingress rules of one address family{lists}");
    RULES.judge(argument, count, &account, "Merge neighbouring blocks", found);
}

/// How many of the sources of rules count for the address family that has more; only blocks are of one.
pub(crate) fn of_one_family<T: AsRef<str>>(sources: impl IntoIterator<Item = T>) -> usize {
    let (mut ipv4, mut ipv6, mut both) = (0_usize, 0_usize, 0_usize);
    for source in sources {
        match source.as_ref() {
            block if block.contains(':') => ipv6 += 1,
            block if block.contains('/') => ipv4 += 1,
            _ => both += 1,
        }
    }
    both + ipv4.max(ipv6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warned(quota: &Quota, count: usize) -> Option<String> {
        let mut found = Diagnostics::new();
        quota.judge("argument", count, "There are many", "Have fewer", &mut found);
        found.iter().next().map(|diagnostic| diagnostic.summary.clone())
    }

    #[test]
    fn a_quota_is_warned_of_before_it_is_used_up() {
        assert_eq!(warned(&RULES, 49), None);
        for count in [50, 60] {
            assert_eq!(warned(&RULES, count).as_deref(), Some("Nearly as many security group rules as AWS allows"));
        }
        assert_eq!(warned(&RULES, 61).as_deref(), Some("More security group rules than AWS allows by default"));
        assert_eq!(warned(&GROUPS, 5), None);
        assert_eq!(warned(&GROUPS, 6).as_deref(), Some("More security groups than AWS allows by default"));
    }

    #[test]
    fn address_families_are_counted_apart_and_lists_and_groups_for_both() {
        let sources = ["198.51.100.0/24", "203.0.113.7/32", "2001:db8::/32", "pl-1", "sg-1"];
        assert_eq!(of_one_family(sources), 4);
        assert_eq!(of_one_family(["2001:db8::/32", "::/0", "0.0.0.0/0"]), 2);
    }
}
