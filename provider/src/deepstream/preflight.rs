//! What AWS says of a `codestream_deepstream_cluster` before anything is touched: its subnets, its certificate, whether
//! its name is free, and which image is the newest.
//!
//! Every call only reads, and only for what a plan changes; what is not known yet is not checked.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::OptionFuture;
use tfplugin::diagnostics::{Diagnostic, Diagnostics, Severity};
use tfplugin::path::Path;
use tfplugin::value::Value;

use super::DeepstreamCluster;
use super::image;
use crate::aws::{Aws, AwsError, CertificateInfo, ErrorClass, LoadBalancerInfo, LoadBalancerKey, SubnetInfo};
use crate::certificate::covers;
use crate::diagnose;
use crate::resource::Preflight;
use crate::resource::find::owner;
use crate::resource::private::Private;
use crate::settings::Preflight as Mode;
use crate::stack::NodeId;
use crate::stack::observe::{Holder, Taken};
use crate::stack::ownership::Claim;

/// Checks a resolved configuration.
pub(crate) async fn check(
    aws: &dyn Aws,
    resolved: &Value,
    prior: Option<&Value>,
    private: &Private,
    mode: Mode,
) -> Preflight {
    let mut found = Diagnostics::new();
    let touched = |name: &str| prior.is_none_or(|prior| prior.get(name) != resolved.get(name));
    let places = ["subnet_ids", "node_subnet_ids"].map(|name| strings(resolved.get(name)));
    let all: BTreeSet<String> = places.iter().flatten().flatten().cloned().collect();
    let with_subnets = (touched("subnet_ids") || touched("node_subnet_ids")) && !all.is_empty();
    let name = resolved.get("name").as_str().filter(|_| prior.is_none());
    let key = name.map(|name| LoadBalancerKey::Name(name.to_owned()));
    // The state of a host name that is not given is the load balancer's own.
    let named = !resolved.get("hostname").is_null();
    let certificate =
        resolved.get("certificate_arn").as_str().filter(|_| touched("certificate_arn") || named && touched("hostname"));
    let instance_type = resolved.get("instance_type").as_str().filter(|_| needs_image(resolved, prior));

    let (subnets, namesake, certificate, image) = tokio::join!(
        OptionFuture::from(with_subnets.then(|| aws.subnets(&all))),
        OptionFuture::from(key.as_ref().map(|key| aws.load_balancer(key))),
        OptionFuture::from(certificate.map(|arn| aws.certificate(arn))),
        OptionFuture::from(instance_type.map(|kind| image::newest(aws, kind))),
    );
    let subnets = taken("the subnets", subnets, &mut found);
    let namesake = taken("whether the name is free", namesake, &mut found).flatten();
    let certificate = taken("the certificate", certificate, &mut found);
    let image_id = taken("which image is the newest", image, &mut found);
    let mut vpc_id = None;
    if let Some(subnets) = subnets {
        vpc_id = judge_subnets(&places, &subnets, &mut found);
    }
    if let Some(namesake) = namesake.filter(|info| !private.objects.contains_key(&info.arn)) {
        judge_name(aws, &namesake, private, &mut found).await;
    }
    if let Some(certificate) = certificate {
        judge_certificate(resolved, certificate.as_ref(), &mut found);
    }
    let diagnostics = if mode == Mode::Warn { as_warnings(found) } else { found };
    Preflight { vpc_id, image_id, diagnostics }
}

/// Whether nothing says which image to use.
fn needs_image(resolved: &Value, prior: Option<&Value>) -> bool {
    let kind = |state: &Value| state.get("instance_type").as_str().map(image::architecture);
    let kept = prior.is_some_and(|prior| !prior.get("ami_id").is_null() && kind(prior) == kind(resolved));
    resolved.get("ami_id").is_null() && !kept
}

/// The elements of a set; `None` when one of them is unknown.
fn strings(value: &Value) -> Option<BTreeSet<String>> {
    value.as_list()?.iter().map(|element| element.as_str().map(str::to_owned)).collect()
}

/// An answer, or a note of why there is none.
fn taken<T>(about: &str, answer: Option<Result<T, AwsError>>, found: &mut Diagnostics) -> Option<T> {
    let error = match answer? {
        Ok(answer) => return Some(answer),
        Err(error) => error,
    };
    let text = error.to_string();
    let text = text.trim_end_matches('.');
    let summary = format!("Could not check {about}");
    match (error.class(), error.code.as_str()) {
        (_, "NoCredentials" | "NoRegion" | "ExpiredToken" | "InvalidClientTokenId" | "SignatureDoesNotMatch") => {
            found.error(
                summary,
                format!(
                    "{text}. Give the provider credentials that work and may read, and a region; or set \
                     preflight = \"off\" in the provider block to plan without asking AWS."
                ),
            );
        }
        (ErrorClass::Denied, _) => found.warning(
            summary,
            format!("{text}. Allow the action {} for these credentials to have it checked.", error.operation),
        ),
        _ => found.warning(summary, format!("{text}. Plan again to have it checked.")),
    }
    None
}

/// Judges where the load balancer and the nodes are: their VPC, when it is one.
fn judge_subnets(
    places: &[Option<BTreeSet<String>>; 2],
    subnets: &[SubnetInfo],
    found: &mut Diagnostics,
) -> Option<String> {
    let by_id: BTreeMap<&str, &SubnetInfo> = subnets.iter().map(|subnet| (subnet.id.as_str(), subnet)).collect();
    let mut zones: Vec<BTreeSet<&str>> = Vec::new();
    for (argument, ids) in ["subnet_ids", "node_subnet_ids"].into_iter().zip(places) {
        let ids: Vec<&String> = ids.iter().flatten().collect();
        let missing: Vec<&str> =
            ids.iter().filter(|id| !by_id.contains_key(id.as_str())).map(|id| id.as_str()).collect();
        if !missing.is_empty() {
            found.error_at(
                Path::of(argument),
                "Subnets do not exist",
                format!(
                    "There is no {} in this account and region. Correct {argument}, or the provider's region and \
                     credentials.",
                    missing.join(", ")
                ),
            );
        }
        let there: Vec<&&SubnetInfo> = ids.iter().filter_map(|id| by_id.get(id.as_str())).collect();
        let distinct: BTreeSet<&str> = there.iter().map(|subnet| subnet.availability_zone.as_str()).collect();
        if missing.is_empty() && !ids.is_empty() && (distinct.len() < 2 || distinct.len() < there.len()) {
            let each: Vec<String> =
                there.iter().map(|subnet| format!("{} in {}", subnet.id, subnet.availability_zone)).collect();
            found.error_at(
                Path::of(argument),
                "Not one subnet in each of several availability zones",
                format!(
                    "{argument} is {}. Give at least two subnets, each in another availability zone.",
                    each.join(", ")
                ),
            );
        }
        zones.push(distinct);
    }
    if let [balancer, nodes] = zones.as_slice()
        && !balancer.is_empty()
        && !nodes.is_subset(balancer)
    {
        found.error_at(
            Path::of("node_subnet_ids"),
            "Nodes where the load balancer is not",
            format!(
                "The load balancer sends no traffic to nodes in {}, where it has no subnet. Add one to subnet_ids, or \
                 leave that zone out of node_subnet_ids.",
                nodes.difference(balancer).copied().collect::<Vec<_>>().join(", ")
            ),
        );
    }
    let vpcs: BTreeSet<&str> = subnets.iter().map(|subnet| subnet.vpc_id.as_str()).collect();
    if vpcs.len() > 1 {
        found.error_at(
            Path::of("subnet_ids"),
            "Subnets of several VPCs",
            format!(
                "The subnets are of {}. Give subnets of one VPC.",
                vpcs.iter().copied().collect::<Vec<_>>().join(", ")
            ),
        );
        return None;
    }
    vpcs.first().map(|id| (*id).to_owned())
}

/// The name of a cluster that is to be made must be free, but for what an interrupted create has left.
async fn judge_name(aws: &dyn Aws, namesake: &LoadBalancerInfo, private: &Private, found: &mut Diagnostics) {
    let asked = aws.tags(&[namesake.arn.clone()].into()).await;
    let Some(tags) = taken("whose the load balancer of this name is", Some(asked), found) else { return };
    let tags = tags.into_values().next().unwrap_or_default();
    let owner = owner::<DeepstreamCluster>(&namesake.name, private.resource_id.clone());
    let holder = match owner.claim(&tags, &BTreeSet::new()) {
        Claim::Ours | Claim::Interrupted => return,
        Claim::Finished => Holder::Finished,
        Claim::Foreign => Holder::Stranger,
    };
    diagnose::taken(found, &NodeId::LoadBalancer, &Taken { id: namesake.arn.clone(), holder }, &namesake.name);
}

fn judge_certificate(resolved: &Value, certificate: Option<&CertificateInfo>, found: &mut Diagnostics) {
    let path = || Path::of("certificate_arn");
    let Some(info) = certificate else {
        found.error_at(
            path(),
            "The certificate does not exist",
            "ACM knows no such certificate in the provider's account and region. Correct certificate_arn, or the \
             provider's region and credentials.",
        );
        return;
    };
    if info.status != "ISSUED" {
        found.error_at(
            path(),
            "The certificate is not issued",
            format!("{} is {}. Plan again once it is issued, or give the ARN of another one.", info.arn, info.status),
        );
    }
    if let Some(hostname) = resolved.get("hostname").as_str()
        && !covers(hostname, &info.domain_names)
    {
        found.error_at(
            path(),
            "The certificate does not cover the hostname",
            format!(
                "hostname is {hostname:?}, and {} covers {}. Set hostname to one of these names, or use a certificate \
                 that covers it; a wildcard stands for one label.",
                info.arn,
                info.domain_names.join(", ")
            ),
        );
    }
}

fn as_warnings(found: Diagnostics) -> Diagnostics {
    let mut softened = Diagnostics::new();
    for diagnostic in found {
        softened.push(Diagnostic { severity: Severity::Warning, ..diagnostic });
    }
    softened
}
