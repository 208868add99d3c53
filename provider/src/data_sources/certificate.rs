//! `codestream_certificate`: the certificate in ACM that covers a host name.

use std::cmp::Reverse;
use std::fmt::Write as _;

use async_trait::async_trait;
use futures_util::future::try_join_all;
use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::provider::{DataSource, Stop};
use tfplugin::schema::{Attribute, Schema};
use tfplugin::value::Value;

use crate::aws::{AwsError, CertificateInfo};
use crate::certificate::{covers, rfc3339};
use crate::diagnose;
use crate::resource::forms;
use crate::settings::Shared;

/// ACM's word for a certificate that can be used.
const ISSUED: &str = "ISSUED";
/// How many certificates with other names a failure lists.
const NEAR_MISSES: usize = 5;

/// The data source.
pub(super) struct Certificate {
    settings: Shared,
    schema: Schema,
}

impl Certificate {
    pub(super) fn new(settings: Shared) -> Self {
        Self { settings, schema: schema() }
    }
}

fn schema() -> Schema {
    Schema::new(
        "The certificate in ACM that covers a host name: of those that are issued, in the provider's region, the one \
         that expires last.",
        vec![
            Attribute::string("hostname").required().check(forms::HOSTNAME).describe(
                "The host name that the certificate must cover, by that very name or by a wildcard for its first label.",
            ),
            Attribute::string("arn").computed().describe("ARN of the certificate."),
            Attribute::string("not_after").computed().describe("When the certificate expires, in RFC 3339 form."),
            Attribute::string_list("domain_names")
                .computed()
                .describe("All names that the certificate covers, its main one first."),
        ],
    )
}

#[async_trait]
impl DataSource for Certificate {
    fn type_name(&self) -> &'static str {
        "codestream_certificate"
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    async fn read(&self, config: Value, _stop: Stop) -> Result<(Value, Diagnostics), Diagnostics> {
        let aws = super::aws(&self.settings)?;
        let hostname = config.get("hostname").as_str().unwrap_or_default();
        let failed = |error: AwsError| diagnose::failed("find", &format!("a certificate for {hostname}"), &error);
        let listed = aws.certificates().await.map_err(failed)?;
        let (covering, others): (Vec<_>, Vec<_>) =
            listed.into_iter().partition(|certificate| covers(hostname, &certificate.domain_names));
        let described = try_join_all(covering.iter().map(|certificate| aws.certificate(&certificate.arn)));
        let covering: Vec<CertificateInfo> = described.await.map_err(failed)?.into_iter().flatten().collect();
        let issued = covering.iter().filter(|certificate| certificate.status == ISSUED);
        match issued.max_by_key(|certificate| (certificate.not_after, Reverse(&certificate.arn))) {
            Some(certificate) => Ok((state(hostname, certificate), Diagnostics::new())),
            None => Err(none(hostname, &covering, &others)),
        }
    }
}

fn state(hostname: &str, certificate: &CertificateInfo) -> Value {
    Value::object([
        ("hostname", Value::from(hostname)),
        ("arn", Value::from(&certificate.arn)),
        ("not_after", Value::from(certificate.not_after.map(rfc3339))),
        ("domain_names", Value::from(certificate.domain_names.clone())),
    ])
}

/// Says that there is none, and of each certificate that might have been meant, why it is not it.
fn none(hostname: &str, covering: &[CertificateInfo], others: &[CertificateInfo]) -> Diagnostics {
    let mut detail = format!("No certificate in ACM, in this account and region, covers {hostname} and is issued.");
    for certificate in covering {
        let _ = write!(detail, "\n- {} covers it, but {}.", certificate.arn, why_unusable(certificate));
    }
    let mut near: Vec<_> = others.iter().map(|certificate| (nearness(hostname, certificate), certificate)).collect();
    near.retain(|(nearness, _)| *nearness >= 2);
    near.sort_by_key(|(nearness, certificate)| (Reverse(*nearness), &certificate.arn));
    for (_, certificate) in near.iter().take(NEAR_MISSES) {
        let _ = write!(detail, "\n- {} covers only {}.", certificate.arn, certificate.domain_names.join(", "));
    }
    let unlike = others.len() - near.len().min(NEAR_MISSES);
    if unlike > 0 {
        let _ = write!(detail, "\n- {unlike} more cover other names.");
    }
    detail.push_str(
        "\nA wildcard covers exactly one label. Request a certificate for this name in ACM, or correct the name.",
    );
    let mut diagnostics = Diagnostics::new();
    diagnostics.error_at(Path::of("hostname"), "No certificate covers the host name", detail);
    diagnostics
}

/// Why a certificate that covers the name is of no use, and what would help.
fn why_unusable(certificate: &CertificateInfo) -> String {
    let mut why = format!("its status is {}", certificate.status);
    if let Some(reason) = &certificate.failure_reason {
        let _ = write!(why, " ({reason})");
    }
    if let Some(not_after) = certificate.not_after.filter(|_| certificate.status == "EXPIRED") {
        let _ = write!(why, " since {}", rfc3339(not_after));
    }
    for (name, kind, value) in &certificate.validation_records {
        let _ = write!(why, "; to validate it, create the DNS record {name} {kind} {value}");
    }
    why
}

/// How many of the last labels of a host name a certificate's nearest name has, too.
fn nearness(hostname: &str, certificate: &CertificateInfo) -> usize {
    let shared = |name: &String| {
        let labels = hostname.rsplit('.').zip(name.rsplit('.'));
        labels.take_while(|(one, other)| one.eq_ignore_ascii_case(other)).count()
    };
    certificate.domain_names.iter().map(shared).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::tests::{message, settings};
    use super::*;
    use crate::aws::fake::{FakeAws, Fault, cert_arn, pending_cert_arn};

    async fn read(aws: &FakeAws, hostname: &str) -> Result<Value, Diagnostics> {
        let config = Value::object([("hostname", Value::from(hostname))]);
        Certificate::new(settings(aws)).read(config, Stop::new()).await.map(|(state, _)| state)
    }

    fn change(aws: &FakeAws, n: u32, change: impl FnOnce(&mut CertificateInfo)) {
        change(aws.state().certificates.get_mut(&cert_arn(n)).unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn of_the_certificates_that_cover_the_name_the_one_that_expires_last_is_found() {
        let aws = FakeAws::new();
        change(&aws, 2, |certificate| certificate.not_after = Some(4_102_444_801));
        change(&aws, 3, |certificate| {
            (certificate.not_after, certificate.domain_names) = (Some(5_000_000_000), vec!["example.com".to_owned()]);
        });
        let state = read(&aws, "codestream.example.com").await.unwrap();
        assert_eq!(state.get("arn").as_str(), Some(cert_arn(2).as_str()));
        assert_eq!(state.get("not_after").as_str(), Some("2100-01-01T00:00:01Z"));
        assert_eq!(state.get("domain_names"), &Value::from(vec!["codestream.example.com", "*.example.com"]));
    }

    #[tokio::test(start_paused = true)]
    async fn of_certificates_that_expire_together_it_is_always_the_same_one() {
        let state = read(&FakeAws::new(), "other.example.com").await.unwrap();
        assert_eq!(state.get("arn").as_str(), Some(cert_arn(1).as_str()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_certificate_that_is_not_issued_is_refused_with_what_is_missing() {
        let aws = FakeAws::new();
        change(&aws, 1, |certificate| {
            (certificate.status, certificate.not_after) = ("EXPIRED".to_owned(), Some(1_700_000_000));
        });
        change(&aws, 2, |certificate| {
            (certificate.status, certificate.failure_reason) = ("FAILED".to_owned(), Some("CAA_ERROR".to_owned()));
        });
        change(&aws, 3, |certificate| certificate.domain_names = vec!["www.example.com".to_owned()]);
        let failure = read(&aws, "codestream.example.com").await.unwrap_err();
        assert!(failure.iter().all(|diagnostic| diagnostic.path == Path::of("hostname")));
        let message = message(failure);
        for part in [
            format!("{} covers it, but its status is EXPIRED since 2023-11-14T22:13:20Z.", cert_arn(1)),
            format!("{} covers it, but its status is FAILED (CAA_ERROR).", cert_arn(2)),
            format!("{} covers only www.example.com.", cert_arn(3)),
            format!(
                "{} covers it, but its status is PENDING_VALIDATION; to validate it, create the DNS record \
                 _v.codestream.example.com CNAME _w.acm-validations.aws.",
                pending_cert_arn()
            ),
        ] {
            assert!(message.contains(&part), "{part} is not in\n{message}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_nearest_names_are_listed_first_and_the_rest_is_counted() {
        let aws = FakeAws::new();
        change(&aws, 2, |certificate| certificate.domain_names = vec!["c.b.example.com".to_owned()]);
        change(&aws, 3, |certificate| certificate.domain_names = vec!["example.org".to_owned()]);
        let message = message(read(&aws, "a.b.example.com").await.unwrap_err());
        let place = |n| message.find(&format!("{} covers only", cert_arn(n)));
        assert!(place(2).is_some() && place(2) < place(1), "{message}");
        assert!(place(3).is_none() && message.contains("1 more cover other names"), "{message}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_names_the_call() {
        let aws = FakeAws::new();
        aws.fail_at(1, Fault::Error("AccessDeniedException"));
        assert!(message(read(&aws, "codestream.example.com").await.unwrap_err()).contains("acm:DescribeCertificate"));
    }
}
