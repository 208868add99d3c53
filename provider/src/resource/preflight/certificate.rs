//! Judges what listeners encrypt with: certificates, whether they cover the hostname, and the security policy.

use std::time::{SystemTime, UNIX_EPOCH};

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;

use super::change::Change;
use super::listed;
use super::look_ups::Answers;
use crate::aws::CertificateInfo;
use crate::certificate::{covers, rfc3339};
use crate::resource::arguments::DEFAULT_SSL_POLICY;
use crate::resource::ssl_policies;

/// The key types of certificates that an Application Load Balancer takes: all of ACM's (Certificate Manager guide,
/// "Prerequisites for importing ACM certificates").
const KEY_ALGORITHMS: [&str; 7] =
    ["RSA_1024", "RSA_2048", "RSA_3072", "RSA_4096", "EC_prime256v1", "EC_secp384r1", "EC_secp521r1"];

const DAY: i64 = 24 * 60 * 60;
/// The time before its end from which on a certificate is worth a warning, in days.
const EXPIRES_SOON: i64 = 30;

pub(super) fn judge(change: &Change<'_>, answers: &Answers, now: SystemTime, found: &mut Diagnostics) {
    let now =
        now.duration_since(UNIX_EPOCH).ok().and_then(|time| i64::try_from(time.as_secs()).ok()).unwrap_or_default();
    let region = region(change, answers);
    let main = change.text("certificate_arn").filter(|_| change.touches(&["certificate_arn"])).map(str::to_owned);
    let additional = change.added("additional_certificate_arns");
    let additional = additional.iter().map(|arn| (arn, "additional_certificate_arns"));
    for (arn, argument) in main.iter().map(|arn| (arn, "certificate_arn")).chain(additional) {
        let path = Path::of(argument);
        let home = arn.split(':').nth(3).unwrap_or_default();
        if let Some(region) = region.filter(|region| *region != home) {
            found.error_at(
                path,
                "The certificate is of another region",
                format!(
                    "{arn} is of {home}, and the load balancer is in {region}. Request or import the certificate in \
                     {region} as well, and give the ARN it has there."
                ),
            );
            continue;
        }
        match answers.certificates.get(arn) {
            None => {}
            Some(None) => found.error_at(
                path,
                "The certificate does not exist",
                format!(
                    "ACM knows no {arn} in the provider's account and region. Correct {argument}, or the provider's \
                     region and credentials."
                ),
            ),
            Some(Some(info)) => judge_one(&path, info, now, found),
        }
    }
    judge_hostname(change, answers, found);
    judge_policy(change, answers, found);
}

fn judge_policy(change: &Change<'_>, answers: &Answers, found: &mut Diagnostics) {
    if let (Some(policy), Some(false)) = (change.text("ssl_policy"), answers.has_ssl_policy) {
        let meant = ssl_policies::meant(policy).map(|meant| format!(", for example {meant:?}")).unwrap_or_default();
        found.error_at(
            Path::of("ssl_policy"),
            "The TLS policy does not exist",
            format!(
                "AWS has no security policy {policy} for Application Load Balancers in this region. Set ssl_policy to one \
                 that it has{meant}, or remove it to have {DEFAULT_SSL_POLICY:?}."
            ),
        );
    }
}

/// The load balancer's region, as far as its ARN or its subnets tell.
fn region<'a>(change: &Change<'a>, answers: &'a Answers) -> Option<&'a str> {
    let zone = answers.subnets.iter().flatten().next().map(|subnet| subnet.availability_zone.as_str());
    change.last("arn").and_then(|arn| arn.split(':').nth(3)).or_else(|| zone.and_then(region_of))
}

/// The region of an availability zone: `us-east-1` of `us-east-1a`, and of `us-east-1-bos-1a`.
fn region_of(zone: &str) -> Option<&str> {
    let number = zone.find(|c: char| c.is_ascii_digit())?;
    let end = zone[number..].find(|c: char| !c.is_ascii_digit()).map_or(zone.len(), |length| number + length);
    Some(&zone[..end])
}

fn judge_one(path: &Path, info: &CertificateInfo, now: i64, found: &mut Diagnostics) {
    let CertificateInfo { arn, status, key_algorithm, not_after, .. } = info;
    let left = not_after.map(|end| end.saturating_sub(now));
    if status == "EXPIRED" || left.is_some_and(|left| left <= 0) {
        let end = not_after.map(|end| format!(" on {}", rfc3339(end))).unwrap_or_default();
        let detail = format!("{arn} has expired{end}. Renew it, or give the ARN of one that is valid.");
        found.error_at(path.clone(), "The certificate has expired", detail);
    } else if status != "ISSUED" {
        let detail = format!("{arn} is {status}{}", not_issued(info));
        found.error_at(path.clone(), "The certificate is not issued", detail);
    } else if let Some(days) = left.map(|left| left / DAY).filter(|days| *days < EXPIRES_SOON) {
        let detail =
            format!("{arn} expires in {days} days. See in ACM why it has not been renewed, or import a new one.");
        found.warning_at(path.clone(), "The certificate expires soon", detail);
    }
    if !KEY_ALGORITHMS.contains(&key_algorithm.as_str()) {
        found.error_at(
            path.clone(),
            "A load balancer cannot use the certificate's key",
            format!(
                "{arn} has a key of type {key_algorithm}. Use a certificate with one of {}.",
                listed(KEY_ALGORITHMS)
            ),
        );
    }
}

/// Why a certificate is not issued, and what to do about it.
fn not_issued(info: &CertificateInfo) -> String {
    match (info.status.as_str(), &info.failure_reason) {
        ("PENDING_VALIDATION", _) if info.validation_records.is_empty() => {
            ". Follow the e-mail that ACM has sent to the domain's owner, and plan again once it is issued.".to_owned()
        }
        ("PENDING_VALIDATION", _) => {
            let record = |(name, kind, value): &(String, String, String)| format!("- {name} {kind} {value}");
            let records: Vec<String> = info.validation_records.iter().map(record).collect();
            format!(
                ". Create what proves to ACM that the domain is yours, and plan again once it is issued:\n{}",
                records.join("\n")
            )
        }
        (_, Some(reason)) => format!(" ({reason}). Request another one, and give its ARN."),
        (_, None) => ". Request another one, and give its ARN.".to_owned(),
    }
}

/// Clients that connect to the hostname must get a certificate that covers it: the default one, or one chosen by
/// SNI.
fn judge_hostname(change: &Change<'_>, answers: &Answers, found: &mut Diagnostics) {
    let certificates: Vec<&CertificateInfo> = answers.certificates.values().flatten().collect();
    let names = || listed(certificates.iter().flat_map(|info| &info.domain_names));
    let hostname = change.value("hostname");
    let is_own = hostname.is_null() || hostname.as_str().is_some_and(is_load_balancer_name);
    if is_own {
        let touched = change.touches(&["certificate_arn"]) || change.touches_hostname();
        if touched && !change.value("certificate_arn").is_null() {
            let covered = if certificates.is_empty() { String::new() } else { format!(" (it covers {})", names()) };
            found.warning_at(
                Path::of("hostname"),
                "Clients will see a name that the certificate does not cover",
                format!(
                    "Without hostname, the URLs have the load balancer's own DNS name, which no certificate of ACM can \
                     cover: clients will refuse to connect. Set hostname to a name that the certificate \
                     covers{covered}, and point that name to the load balancer, for example with dns_record."
                ),
            );
        }
        return;
    }
    // Every certificate must have been seen, or one that was not may cover it.
    let expected = change.set("additional_certificate_arns").map(|additional| additional.len() + 1);
    if let Some(hostname) = hostname.as_str()
        && change.text("certificate_arn").is_some()
        && expected == Some(certificates.len())
        && !certificates.iter().any(|info| covers(hostname, &info.domain_names))
    {
        found.error_at(
            Path::of("certificate_arn"),
            "The certificate does not cover the hostname",
            format!(
                "hostname is {hostname:?}, and {} covers {}. Set hostname to one of these names, or use a certificate \
                 that covers it; a wildcard stands for one label.",
                listed(certificates.iter().map(|info| &info.arn)),
                names()
            ),
        );
    }
}

fn is_load_balancer_name(name: &str) -> bool {
    name.ends_with(".elb.amazonaws.com") || name.ends_with(".elb.amazonaws.com.cn")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_tells_its_region() {
        for (zone, region) in [
            ("us-east-1a", Some("us-east-1")),
            ("us-gov-west-1b", Some("us-gov-west-1")),
            ("us-west-2-lax-1a", Some("us-west-2")),
            ("us-east-1-wl1-bos-wlz-1", Some("us-east-1")),
            ("", None),
        ] {
            assert_eq!(region_of(zone), region, "{zone}");
        }
    }
}
