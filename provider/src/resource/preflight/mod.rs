//! Plan-time checks against AWS that the resources have in common: what an apply would run into, found before it
//! touches anything.
//!
//! Every call only reads, and only for what a plan changes; what is not known yet is not checked.
//!
//! | file | what is in it |
//! |---|---|
//! | `change` | what a plan changes, as far as it is known |
//! | `look_ups` | the questions to AWS, its answers, and what an answer that did not come means |
//! | `network` | judges subnets and their routes |
//! | `certificate` | judges certificates, the hostname that they must cover, and the security policy |
//! | `dns` | judges the zone and the name of the alias record |
//! | `quotas` | judges what is needed of AWS's quotas |

mod certificate;
pub(crate) mod change;
mod dns;
pub(crate) mod look_ups;
pub(crate) mod network;
pub(crate) mod quotas;

use std::collections::BTreeSet;
use std::time::SystemTime;

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;

use super::find::owner;
use super::{Composite, Preflight};
use crate::aws::VpcInfo;
use crate::diagnose;
use crate::settings::Preflight as Mode;
use crate::stack::NodeId;
use crate::stack::observe::{Holder, Taken};
use crate::stack::ownership::Claim;
use change::Change;
use look_ups::Answers;

/// What the checks that all resources have say of a change.
pub(crate) fn judge<C: Composite>(change: &Change<'_>, answers: &Answers, now: SystemTime) -> Diagnostics {
    let mut found = Diagnostics::new();
    judge_name::<C>(change, answers, &mut found);
    network::judge(change, answers, &mut found);
    certificate::judge(change, answers, now, &mut found);
    dns::judge::<C>(change, answers, &mut found);
    found
}

/// What the checks have found when they end, with what could not be asked. With [`Mode::Warn`] none of it is an error,
/// but for what cannot be planned.
pub(crate) fn ended(
    change: &Change<'_>,
    answers: &Answers,
    vpc: Option<VpcInfo>,
    mode: Mode,
    mut found: Diagnostics,
) -> Preflight {
    answers.report_failures(change, &mut found);
    let vpc_id = answers.subnets.as_deref().and_then(network::common_vpc).map(str::to_owned);
    let mut diagnostics = mode.tone(found);
    answers.refuse_without_vpc(change, &mut diagnostics);
    Preflight { vpc_id, vpc, name_is_free: answers.name_is_free, diagnostics }
}

/// Whose the load balancer is that has the name of the one to be made.
fn claim<C: Composite>(change: &Change<'_>, answers: &Answers) -> Option<Claim> {
    let (namesake, tags) = (answers.namesake.as_ref()?, answers.namesake_tags.as_ref()?);
    Some(owner::<C>(&namesake.name, change.private.resource_id.clone()).claim(tags, &BTreeSet::new()))
}

/// The name of a load balancer that is to be made must be free, but for what an interrupted create has left.
fn judge_name<C: Composite>(change: &Change<'_>, answers: &Answers, found: &mut Diagnostics) {
    let (Some(namesake), Some(claim)) = (&answers.namesake, claim::<C>(change, answers)) else { return };
    let holder = match claim {
        Claim::Ours | Claim::Interrupted => return,
        Claim::Finished => Holder::Finished,
        Claim::Foreign => Holder::Stranger,
    };
    diagnose::taken(found, &NodeId::LoadBalancer, &Taken { id: namesake.arn.clone(), holder }, &namesake.name);
}

/// All that an argument newly names must exist; `what` is the plural of what that is.
pub(crate) fn judge_existence<'a>(
    what: &str,
    argument: &str,
    added: &BTreeSet<String>,
    existing: impl Iterator<Item = &'a String>,
    found: &mut Diagnostics,
) {
    let mut missing = added.clone();
    for id in existing {
        missing.remove(id);
    }
    if !missing.is_empty() {
        found.error_at(
            Path::of(argument),
            format!("{what} do not exist"),
            format!(
                "There is no {} in this account and region. Correct {argument}, or the provider's region and \
                 credentials.",
                listed(missing)
            ),
        );
    }
}

/// Several things, for a message.
pub(crate) fn listed<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<T> = items.into_iter().collect();
    items.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")
}
