//! What the user is told: every error of the engine and of AWS, turned into a diagnostic that names the object,
//! the cause and the remedy. Nothing else in this crate words an error of an operation, but for a plan-time check that
//! could not ask (`resource::preflight::look_ups`) and an account that AWS does not tell (`settings`).

mod hint;

use std::collections::BTreeSet;

use tfplugin::diagnostics::{Diagnostic, Diagnostics, Severity};
use tfplugin::path::Path;

use crate::aws::{Attributes, AwsError, LoadBalancerState, SubnetInfo, TargetHealth, is_application};
use crate::stack::apply::Outcome;
use crate::stack::observe::{Found, Holder, Taken};
use crate::stack::run::StepError;
use crate::stack::step::{Change, Step};
use crate::stack::{Desired, Foreign, NodeId, Record, Ref};
use hint::with_hint;

/// What was being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

impl Operation {
    fn verb(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

/// The provider was not configured, or its configuration is not known yet.
pub(crate) fn not_configured() -> Diagnostics {
    Diagnostics::of_error(
        "The provider is not configured",
        "The provider's configuration is not known yet, so AWS cannot be asked. Give the provider block values that do \
         not depend on resources still to be created.",
    )
}

/// The user asked to stop before anything was touched.
pub(crate) fn stopped() -> Diagnostics {
    Diagnostics::of_error(
        "Stopped",
        "The operation was stopped while AWS was asked what is there. Nothing was changed; run it again.",
    )
}

/// Something that cannot be.
pub(crate) fn bug(what: &str) -> Diagnostics {
    Diagnostics::of_error("A bug in the provider", format!("{what}. Please report this with the log of TF_LOG=debug."))
}

/// A look-up failed before anything was touched.
pub(crate) fn failed(verb: &str, stack: &str, error: &AwsError) -> Diagnostics {
    Diagnostics::of_error(format!("Cannot {verb} {stack}"), with_hint(error))
}

/// A name of the stack is somebody else's.
pub(crate) fn taken(diagnostics: &mut Diagnostics, node: &NodeId, taken: &Taken, stack: &str) {
    let remedy = match taken.holder {
        Holder::Finished => format!(
            "It belongs to a finished stack of this name. To manage it here, import it: terraform import ADDRESS \
             {stack}. Otherwise choose another name. If it is this resource's own, and tainted, plan without \
             -refresh=false."
        ),
        Holder::Bereft => {
            "It belongs to a stack of this name that has no load balancer any more. Apply or destroy that where it is \
             managed. If it is managed nowhere, delete it, or choose another name."
                .to_owned()
        }
        Holder::Stranger if *node == NodeId::LoadBalancer && !is_application(&taken.id) => {
            "It is no Application Load Balancer, so it cannot be imported. Choose another name.".to_owned()
        }
        Holder::Stranger if *node == NodeId::LoadBalancer => format!(
            "This resource did not make it. To manage it here, import it: terraform import ADDRESS {stack}. Otherwise \
             choose another name."
        ),
        Holder::Stranger => {
            "This resource did not make it. Rename or remove it, or change what makes the stack need it.".to_owned()
        }
    };
    let path = match node {
        NodeId::LoadBalancer | NodeId::SecurityGroup(_) | NodeId::TargetGroup(_) => Path::of("name"),
        NodeId::Record(_) => Path::of("dns_record"),
        NodeId::Listener(_) | NodeId::RulesIn(_) | NodeId::Instance(_) => Path::root(),
        NodeId::Cache(_) | NodeId::CacheSubnetGroup(_) => Path::of("name"),
    };
    diagnostics.error_at(
        path,
        format!("The {node} of {stack} exists already"),
        format!("{} exists in AWS. {remedy}", taken.id),
    );
}

/// Several objects say that they are the same part of the stack.
pub(crate) fn ambiguous(diagnostics: &mut Diagnostics, node: &NodeId, candidates: &BTreeSet<String>, stack: &str) {
    let each: Vec<&str> = candidates.iter().map(String::as_str).collect();
    diagnostics.error(
        format!("There is more than one {node} of {stack}"),
        format!(
            "{} all carry this stack's tags, and only one can be its {node}. Delete those that are not, or take their \
             tags that start with `codestream:` away.",
            each.join(", ")
        ),
    );
}

/// Refuses to take over target groups of anything but instances.
pub(crate) fn refuse_unsuited(found: &Found, stack: &str) -> Result<(), Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    for (group, kind) in &found.unsuited {
        diagnostics.error(
            format!("The target group {group} has no instances for targets"),
            format!(
                "The load balancer {stack} forwards to the target group {group}, whose target type is {kind}. This \
                 resource manages groups of instances, and AWS does not let the type change. Point the listener at a \
                 group of instances, and try again."
            ),
        );
    }
    if diagnostics.is_empty() { Ok(()) } else { Err(diagnostics) }
}

/// Refuses to move a stack to another VPC: AWS does not let a load balancer leave its own.
pub(crate) fn refuse_other_vpc<'a>(
    subnets: impl Iterator<Item = &'a SubnetInfo>,
    vpc_id: &str,
) -> Result<(), Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    for SubnetInfo { id, vpc_id: other, .. } in subnets.filter(|subnet| !vpc_id.is_empty() && subnet.vpc_id != vpc_id) {
        other_vpc(&mut diagnostics, &format!("The subnet {id} is"), vpc_id, other);
    }
    if diagnostics.is_empty() { Ok(()) } else { Err(diagnostics) }
}

/// What is named, with its verb, is in another VPC than the load balancer.
pub(crate) fn other_vpc(diagnostics: &mut Diagnostics, what: &str, vpc_id: &str, other: &str) {
    diagnostics.error_at(
        Path::of("subnet_ids"),
        "A subnet of another VPC",
        format!(
            "{what} in {other} and the load balancer in {vpc_id}, which AWS does not let it leave. To replace it by one \
             in {other}, set vpc_id to that."
        ),
    );
}

/// Refuses to delete a listener that has somebody else's rules, and to replace a target group that somebody else's
/// listener or rule uses.
pub(crate) fn refuse_foreign(wanted: &Desired, found: &Found) -> Result<(), Diagnostics> {
    let mut diagnostics = Diagnostics::new();
    let goes = |node: &&NodeId| !wanted.nodes.contains_key(*node);
    for foreign in &found.observed.foreign {
        if let Some(listener) = foreign.on.as_ref().filter(goes) {
            diagnostics.error(
                format!("The {listener} would be deleted, but others have a rule on it"),
                format!(
                    "{} ({}) would go with it, and is not managed by this resource. Move it to another listener or \
                     delete it first.",
                    foreign.what, foreign.arn
                ),
            );
            continue;
        }
        for group in foreign.uses.iter().filter(goes) {
            diagnostics.error(
                format!("The {group} would be replaced, but others use it"),
                format!(
                    "{} ({}) refers to it, and is not managed by this resource. Point it elsewhere first.",
                    foreign.what, foreign.arn
                ),
            );
        }
    }
    if diagnostics.is_empty() { Ok(()) } else { Err(diagnostics) }
}

/// Refuses to put an alias where there are records with a routing policy.
pub(crate) fn refuse_routed<'a>(records: impl Iterator<Item = &'a Record>) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    for Record { kind, name, zone_id, .. } in records {
        diagnostics.error_at(
            Path::of("dns_record"),
            format!("The {kind} record {name} has a routing policy"),
            format!(
                "Somebody has replaced the alias in the hosted zone {zone_id} by records with a routing policy \
                 (weighted, latency, ...), and Route 53 takes no simple alias beside them. Delete them to have the \
                 alias again, or take dns_record out of the configuration to keep them."
            ),
        );
    }
    diagnostics
}

/// An update put right what others did after its plan, and so ended otherwise. Core would take that for a fault of the
/// provider, unless there is an error.
pub(crate) fn not_as_planned(stack: &str, otherwise: &[String]) -> Diagnostics {
    if otherwise.is_empty() {
        return Diagnostics::new();
    }
    Diagnostics::of_error(
        format!("{stack} has changed since it was planned"),
        format!(
            "Others have deleted or changed something of it in between. All of it is as wanted now, and in the state, but \
             these are not as the plan told: {}. Apply again, so that whatever uses them follows.",
            otherwise.join(", ")
        ),
    )
}

/// Names what goes with the load balancer although it is somebody else's.
pub(crate) fn warn_of_foreign(foreign: &[Foreign]) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    for foreign in foreign {
        diagnostics.warning(
            "Something of others goes with the load balancer",
            format!(
                "{} ({}) is not managed by this resource, and AWS deletes it with the load balancer.",
                foreign.what, foreign.arn
            ),
        );
    }
    diagnostics
}

/// How an apply ended. With `lenient`, targets that are not healthy are a warning.
pub(crate) fn outcome(operation: Operation, stack: &str, outcome: &Outcome, lenient: bool) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let go_on = go_on(operation, outcome);
    for (step, error) in &outcome.failed {
        let tolerable = lenient && is_unhealthy(error) && !outcome.put_back && outcome.skipped.is_empty();
        let (severity, go_on) = if tolerable { (Severity::Warning, "") } else { (Severity::Error, go_on) };
        let summary = summary(operation, stack, step, error);
        let detail = detail(operation, step, error, go_on);
        diagnostics.push(Diagnostic { severity, summary, detail, path: path(step, error) });
    }
    if !outcome.skipped.is_empty() {
        let skipped: Vec<String> = outcome.skipped.iter().map(|step| format!("- {step}")).collect();
        let is_stop = |error: &StepError| matches!(error, StepError::Stopped | StepError::GivenUp);
        let stopped = outcome.failed.is_empty() || outcome.failed.iter().any(|(_, error)| is_stop(error));
        let cause = if stopped { "the operation was stopped" } else { "of the errors above" };
        let summary = format!("Not everything of {stack} was done");
        let detail = format!(
            "Because {cause}, this was not done:\n{}\nWhat exists is in the state. {go_on}",
            skipped.join("\n")
        );
        diagnostics.error(summary, detail);
    }
    let facts = outcome.observed.load_balancer.as_ref();
    if let Some(facts) = facts.filter(|facts| facts.state == LoadBalancerState::ActiveImpaired) {
        let reason = facts.state_reason.as_ref().map(|reason| format!(": {}", reason.trim_end_matches('.')));
        diagnostics.warning(
            format!("The load balancer {stack} is impaired"),
            format!(
                "It serves, but AWS lacks the resources to scale it{}. Check that its subnets have free addresses.",
                reason.unwrap_or_default()
            ),
        );
    }
    diagnostics
}

fn is_unhealthy(error: &StepError) -> bool {
    match error {
        StepError::Unhealthy(_) | StepError::Hopeless(_) => true,
        StepError::Deadline(last) => is_unhealthy(last),
        _ => false,
    }
}

/// How to go on after an error. A create that failed taints what it has made.
fn go_on(operation: Operation, outcome: &Outcome) -> &'static str {
    match operation {
        Operation::Create if !outcome.observed.is_gone() => {
            "The next apply replaces what exists. To go on from here instead, run terraform untaint ADDRESS before it."
        }
        Operation::Create | Operation::Update => "Apply again to go on from here.",
        Operation::Delete => "Run it again to go on from here.",
    }
}

fn summary(operation: Operation, stack: &str, step: &Step, error: &StepError) -> String {
    if is_unhealthy(error) {
        format!("The targets of {} are not healthy", step.node)
    } else {
        format!("Cannot {} {stack}: {}", operation.verb(), step.node)
    }
}

/// The argument at fault, where AWS's code tells.
fn path(step: &Step, error: &StepError) -> Path {
    let StepError::Aws(error) = error else { return Path::root() };
    match (&step.change, error.code.as_str()) {
        (Change::CreateCacheSubnetGroup(_) | Change::SetCacheSubnets(_), "InvalidSubnet" | "SubnetNotAllowedFault") => {
            Path::of("node_subnet_ids")
        }
        (_, "SubnetNotFound" | "InvalidSubnet" | "AvailabilityZoneNotSupported") => Path::of("subnet_ids"),
        (_, "InvalidScheme") => Path::of("scheme"),
        // One that is to be the default one is added along with the additional ones.
        (Change::AddCertificates(_), "CertificateNotFound" | "UnsupportedCertificate") => Path::root(),
        (_, "CertificateNotFound" | "UnsupportedCertificate") => Path::of("certificate_arn"),
        (_, "SSLPolicyNotFound") => Path::of("ssl_policy"),
        // Instances of the stack's own are no argument.
        (Change::RegisterTargets(targets), "InvalidTarget")
            if targets.iter().all(|target| matches!(target, Ref::Known(_))) =>
        {
            Path::of("instance_ids")
        }
        (Change::SetLoadBalancerAttributes(changed), "InvalidConfigurationRequest") => logs(changed),
        (Change::SetSubnets(_), _) => Path::of("subnet_ids"),
        (Change::SetIpAddressType(_), _) => Path::of("ip_address_type"),
        (_, "InvalidAMIID.NotFound" | "InvalidAMIID.Malformed" | "InvalidAMIID.Unavailable") => Path::of("ami_id"),
        (Change::LaunchInstance(_), "AuthFailure") => Path::of("ami_id"),
        (_, "InvalidBlockDeviceMapping") => Path::of("root_volume_size"),
        (_, "InvalidKeyPair.NotFound") => Path::of("key_name"),
        (_, "Unsupported" | "InvalidInstanceType" | "VcpuLimitExceeded" | "InsufficientInstanceCapacity") => {
            Path::of("instance_type")
        }
        (Change::CreateRecord(_) | Change::SetRecord(_) | Change::DeleteRecord(_), _) => Path::of("dns_record"),
        _ => Path::root(),
    }
}

/// The logs that a change of attributes is about, when it is about those of one kind.
fn logs(changed: &Attributes) -> Path {
    let about = |argument: &str| changed.keys().any(|key| key.starts_with(&format!("{argument}.")));
    match (about("access_logs"), about("connection_logs")) {
        (true, false) => Path::of("access_logs"),
        (false, true) => Path::of("connection_logs"),
        _ => Path::root(),
    }
}

fn detail(operation: Operation, step: &Step, error: &StepError, go_on: &str) -> String {
    match error {
        StepError::Aws(error) => format!("While trying to {}: {}", step.change, with_hint(error)),
        StepError::Deadline(last) => {
            let last = detail(operation, step, last, go_on);
            let text = format!(
                "The timeout was over before this was done ({}): {last} `timeouts` can allow more time. {go_on}",
                step.change
            );
            text.trim_end().to_owned()
        }
        StepError::Unhealthy(targets) | StepError::Hopeless(targets) => {
            let each: Vec<String> = targets.iter().map(|target| format!("- {}", explain(target))).collect();
            format!("The load balancer does not get the answers it asks for:\n{}\n", each.join("\n"))
        }
        StepError::Waiting(what) | StepError::Unseen(what) => format!("{what}."),
        StepError::Broken(reason) => {
            format!("AWS could not set it up: {}. {}", reason.trim_end_matches('.'), instead(operation, step))
        }
        StepError::Taken { what, id } if matches!(step.node, NodeId::RulesIn(_)) => format!(
            "{id} has the {what} already, under another description than this resource gives. It lets the load balancer \
             in: leave instance_security_group_id out, or give it that description."
        ),
        StepError::Taken { what, id } => {
            format!(
                "The {what} exists already as {id}, and this resource did not make it. Rename or remove it, or import \
                 the stack it belongs to."
            )
        }
        StepError::NoParameter(name) => format!(
            "There is no parameter {name} in Systems Manager, in this account and region. Create it, or correct \
             cache.auth_token_parameter."
        ),
        StepError::TakenOver(id) => format!(
            "Another apply of a stack of this name has made or taken over {id} while this one ran. Only one Terraform \
             resource can manage a stack: remove this one, or choose another name."
        ),
        StepError::Stopped => format!("Stopped before this was done: {}. {go_on}", step.change),
        StepError::GivenUp => format!(
            "Stopped before AWS had answered: {}. It may be done all the same: then it will be found. {go_on}",
            step.change
        ),
        StepError::Unresolved(_) => format!("{error}. Please report this with the log of TF_LOG=debug."),
        StepError::Panicked => format!(
            "While trying to {}: {error}. Please report this with the log of TF_LOG=debug. It may be done all the \
             same: then it will be found. {go_on}",
            step.change
        ),
    }
}

/// What replaces something that AWS could not set up. A create that failed taints, so the next apply replaces all of it.
fn instead(operation: Operation, step: &Step) -> &'static str {
    match (operation, &step.change) {
        (Operation::Update, Change::WaitActive) => {
            "It stays as it is until it is replaced, and the rest of the stack with it: terraform apply -replace=ADDRESS."
        }
        (Operation::Update, _) => "Apply again to replace it.",
        (Operation::Create | Operation::Delete, _) => "Destroy the stack, or apply again to replace it.",
    }
}

/// One unhealthy target, and what to do about it. The reason codes are those of `TargetHealth` in the Elastic
/// Load Balancing API.
fn explain(target: &TargetHealth) -> String {
    let TargetHealth { id, port, state, reason, description } = target;
    let reason = reason.as_deref().unwrap_or_default();
    let remedy = match reason {
        "Target.ResponseCodeMismatch" => {
            "the host answers with another status than health_check.matcher allows; check health_check.path and the \
             service behind it"
        }
        "Target.Timeout" => {
            "the host does not answer in time; check that the service listens on this port and that the instance's \
             security group lets the load balancer in"
        }
        "Target.FailedHealthChecks" => {
            "no connection, or a broken answer; check that the service listens on this port, with TLS where the \
             protocol is HTTPS, and that the instance's security group lets the load balancer in"
        }
        "Target.InvalidState" => "the instance is stopped or terminated; start it, or take it out of instance_ids",
        "Target.NotInUse" => {
            "the load balancer does not serve the instance's availability zone; add a subnet of that zone to subnet_ids"
        }
        "Target.NotRegistered" => "it is not registered; apply again",
        "Elb.InternalError" => "AWS reports an error of its own; try again",
        _ => "it has not passed a health check yet",
    };
    let words = description.as_ref().map(|words| format!(", {words}")).unwrap_or_default();
    format!("{id} on port {port} is {state} ({reason}{words}): {remedy}.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::step::When;
    use crate::stack::{Action, Listener};

    /// The argument that a refused change is blamed on.
    fn blamed(change: Change, code: &str) -> String {
        let step = Step { node: NodeId::LoadBalancer, change, when: When::After(BTreeSet::new()), why: "" };
        let (operation, code) = ("elasticloadbalancing:ModifyLoadBalancerAttributes", code.to_owned());
        let error = AwsError { operation, code, message: String::new(), request_id: None };
        path(&step, &StepError::Aws(error)).to_string()
    }

    #[test]
    fn only_an_application_load_balancer_is_offered_for_import() {
        for (kind, offered) in [("app", true), ("net", false), ("gwy", false)] {
            let id = format!("arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/{kind}/web/1");
            let mut found = Diagnostics::new();
            taken(&mut found, &NodeId::LoadBalancer, &Taken { id, holder: Holder::Stranger }, "web");
            assert!(found.iter().all(|said| said.detail.contains("terraform import") == offered), "{found:?}");
        }
    }

    #[test]
    fn logs_that_cannot_be_written_are_blamed_on_the_argument_of_their_kind() {
        for (keys, argument) in [
            ("access_logs.s3.bucket", "access_logs"),
            ("connection_logs.s3.bucket connection_logs.s3.enabled", "connection_logs"),
            ("access_logs.s3.bucket connection_logs.s3.bucket", ""),
            ("idle_timeout.timeout_seconds", ""),
        ] {
            let changed = keys.split(' ').map(|key| (key.to_owned(), "x".to_owned())).collect();
            let change = Change::SetLoadBalancerAttributes(changed);
            assert_eq!(blamed(change, "InvalidConfigurationRequest"), argument, "{keys}");
        }
    }

    #[test]
    fn a_certificate_that_need_not_be_the_default_one_is_blamed_on_no_argument() {
        let listener = Listener {
            role: "api",
            port: 443,
            protocol: "HTTPS".to_owned(),
            ssl_policy: None,
            certificate_arn: Some("arn".to_owned()),
            additional_certificate_arns: BTreeSet::new(),
            mutual_authentication: None,
            action: Action::RedirectToHttps(443),
        };
        for code in ["CertificateNotFound", "UnsupportedCertificate"] {
            assert_eq!(blamed(Change::AddCertificates(["arn".to_owned()].into()), code), "", "{code}");
            assert_eq!(blamed(Change::CreateListener(listener.clone()), code), "certificate_arn", "{code}");
        }
    }

    #[test]
    fn a_subnet_that_takes_no_cache_is_one_of_the_nodes() {
        let change = Change::SetCacheSubnets(["subnet-a".to_owned()].into());
        assert_eq!(blamed(change, "InvalidSubnet"), "node_subnet_ids");
        assert_eq!(blamed(Change::SetSubnets(["subnet-a".to_owned()].into()), "InvalidSubnet"), "subnet_ids");
    }

    #[test]
    fn only_instances_that_were_given_are_blamed_on_instance_ids() {
        let given = Ref::Known("i-1".to_owned());
        let own = Ref::Of(NodeId::Instance("1-0a".to_owned()));
        for (target, argument) in [(given, "instance_ids"), (own, "")] {
            assert_eq!(blamed(Change::RegisterTargets([target].into()), "InvalidTarget"), argument);
        }
    }
}
