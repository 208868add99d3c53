//! Plan-time checks of a `codestream_alb` against AWS: what an apply would run into, found before it touches
//! anything.
//!
//! Every call only reads, and only for what a plan changes; what is not known yet is not checked.
//!
//! | file | what is in it |
//! |---|---|
//! | `change` | what a plan changes, as far as it is known |
//! | `look_ups` | the questions to AWS, its answers, and what an answer that did not come means |
//! | `network` | judges subnets, their routes, and instances |
//! | `certificate` | judges certificates, and the hostname that they must cover |
//! | `access` | judges security groups |

mod access;
mod certificate;
mod change;
mod look_ups;
mod network;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::SystemTime;

use tfplugin::diagnostics::{Diagnostic, Diagnostics, Severity};
use tfplugin::value::Value;

use super::CodestreamAlb;
use crate::aws::Aws;
use crate::diagnose;
use crate::resource::find::owner;
use crate::resource::private::Private;
use crate::settings::Preflight as Mode;
use crate::stack::NodeId;
use crate::stack::observe::{Holder, Taken};
use crate::stack::ownership::Claim;
use change::Change;
use look_ups::Answers;

pub(crate) use crate::resource::Preflight;

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
    let answers = look_ups::ask(aws, &change).await;
    let mut found = Diagnostics::new();
    judge_name(&change, &answers, &mut found);
    network::judge(&change, &answers, &mut found);
    certificate::judge(&change, &answers, now, &mut found);
    access::judge(&change, &answers, &mut found);
    answers.report_failures(&mut found);
    let vpc_id = answers.subnets.as_deref().and_then(network::common_vpc).map(str::to_owned);
    let diagnostics = if mode == Mode::Warn { as_warnings(found) } else { found };
    Preflight { vpc_id, diagnostics, ..Preflight::default() }
}

fn as_warnings(found: Diagnostics) -> Diagnostics {
    let mut softened = Diagnostics::new();
    for diagnostic in found {
        softened.push(Diagnostic { severity: Severity::Warning, ..diagnostic });
    }
    softened
}

/// The name of a load balancer that is to be made must be free, but for what an interrupted create has left.
fn judge_name(change: &Change<'_>, answers: &Answers, found: &mut Diagnostics) {
    let (Some(namesake), Some(tags)) = (&answers.namesake, &answers.namesake_tags) else { return };
    let owner = owner::<CodestreamAlb>(&namesake.name, change.private.resource_id.clone());
    let holder = match owner.claim(tags, &BTreeSet::new()) {
        Claim::Ours | Claim::Interrupted => return,
        Claim::Finished => Holder::Finished,
        Claim::Foreign => Holder::Stranger,
    };
    diagnose::taken(found, &NodeId::LoadBalancer, &Taken { id: namesake.arn.clone(), holder }, &namesake.name);
}

/// Several things, for a message.
fn listed<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<T> = items.into_iter().collect();
    items.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ")
}
