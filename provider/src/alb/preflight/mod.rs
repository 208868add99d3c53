//! Plan-time checks of a `codestream_alb` against AWS, beside those that every resource has (`resource/preflight`).
//!
//! | file | what is in it |
//! |---|---|
//! | `look_ups` | the questions to AWS, and its answers |
//! | `instances` | judges the instances, and where they are |
//! | `access` | judges security groups |

mod access;
mod instances;
mod look_ups;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::SystemTime;

use tfplugin::diagnostics::Diagnostics;
use tfplugin::value::Value;

use super::CodestreamAlb;
use super::config::Role;
use crate::aws::Aws;
use crate::resource::Preflight;
use crate::resource::preflight::change::Change;
use crate::resource::preflight::quotas::{CERTIFICATES, GROUPS, TARGETS};
use crate::resource::preflight::{ended, judge};
use crate::resource::private::Private;
use crate::settings::Preflight as Mode;

/// Checks a resolved configuration (see `resolve`) against AWS, in at most two rounds of look-ups. `private` is what is
/// kept beside the prior state; core hands it on when it plans the second half of a replacement, which has no prior.
pub(crate) async fn check(
    aws: &dyn Aws,
    resolved: &Value,
    prior: Option<&Value>,
    private: &Private,
    mode: Mode,
    now: SystemTime,
) -> Preflight {
    if mode == Mode::Off {
        return Preflight::default();
    }
    let change = Change::new(resolved, prior, private);
    let (answers, hosts) = look_ups::ask(aws, &change).await;
    let mut found = judge::<CodestreamAlb>(&change, &answers, now);
    instances::judge(&change, &answers, &hosts, &mut found);
    access::judge(&change, &answers, &hosts, &mut found);
    judge_quotas(&change, &mut found);
    ended(&change, &answers, hosts.vpc, mode, found)
}

/// What a change needs of AWS's quotas, beside the rules of security groups.
fn judge_quotas(change: &Change<'_>, found: &mut Diagnostics) {
    let count = |argument| change.set(argument).filter(|_| change.touches(&[argument])).map_or(0, |set| set.len());
    let (groups, certificates) = (count("security_group_ids"), count("additional_certificate_arns"));
    let account = format!("security_group_ids names {groups} security groups");
    GROUPS.judge("security_group_ids", groups, &account, "Put their rules into fewer groups", found);
    let account = format!("additional_certificate_arns names {certificates} certificates");
    let remedy = "Use certificates that cover several names";
    CERTIFICATES.judge("additional_certificate_arns", certificates, &account, remedy, found);
    let instances = count("instance_ids");
    let targets = instances * Role::ALL.len();
    let account = format!("{instances} instances are {targets} targets");
    TARGETS.judge("instance_ids", targets, &account, "Name fewer", found);
}

/// Both endpoints' ports of a kind, `listener_port` or `target_port`; `None` when one of them is unknown.
fn ports(change: &Change<'_>, kind: &str) -> Option<BTreeSet<i64>> {
    Role::ALL.iter().map(|role| change.value(role.name()).get(kind).as_i64()).collect()
}

/// Whether a port of a kind is new or changed.
fn touches_ports(change: &Change<'_>, kind: &str) -> bool {
    Role::ALL.iter().any(|role| change.touches_within(role.name(), kind))
}
