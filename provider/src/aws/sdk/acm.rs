//! Certificate Manager.

use aws_sdk_acm::Client;
use aws_sdk_acm::primitives::DateTime;
use aws_sdk_acm::types::{
    CertificateDetail, CertificateStatus, CertificateSummary, DomainStatus, DomainValidation, FailureReason, Filters,
    KeyAlgorithm,
};

use super::error::{error, found};
use super::text;
use crate::aws::{CertificateInfo, Result};

pub(super) async fn certificate(client: &Client, arn: &str) -> Result<Option<CertificateInfo>> {
    let request = client.describe_certificate().certificate_arn(arn);
    let answer = found(request.send().await.map_err(error("acm:DescribeCertificate")))?;
    Ok(answer.and_then(|answer| answer.certificate().map(detailed)))
}

pub(super) async fn certificates(client: &Client) -> Result<Vec<CertificateInfo>> {
    // Without a filter, ACM lists RSA keys of up to 2048 bits only.
    let key_types = KeyAlgorithm::values().iter().map(|name| KeyAlgorithm::from(*name)).collect();
    let every_key = Filters::builder().set_key_types(Some(key_types)).build();
    let request = client.list_certificates().includes(every_key);
    let summaries = request.into_paginator().items().send().try_collect().await;
    let mut infos = Vec::new();
    for summary in summaries.map_err(error("acm:ListCertificates"))? {
        let info = if names_are_complete(&summary) {
            Some(summarised(&summary))
        } else {
            certificate(client, &text(summary.certificate_arn())).await?
        };
        infos.extend(info);
    }
    Ok(infos)
}

/// Whether a summary has all the names: it shows at most 100.
fn names_are_complete(summary: &CertificateSummary) -> bool {
    !summary.subject_alternative_name_summaries().is_empty()
        && summary.has_additional_subject_alternative_names() != Some(true)
}

fn summarised(of: &CertificateSummary) -> CertificateInfo {
    CertificateInfo {
        arn: text(of.certificate_arn()),
        status: text(of.status().map(CertificateStatus::as_str)),
        domain_names: names(of.domain_name(), of.subject_alternative_name_summaries()),
        not_after: of.not_after().map(DateTime::secs),
        key_algorithm: key_algorithm(of.key_algorithm()),
        validation_records: Vec::new(),
        failure_reason: None,
    }
}

fn detailed(of: &CertificateDetail) -> CertificateInfo {
    let mut validation_records: Vec<_> = of.domain_validation_options().iter().filter_map(pending_record).collect();
    // A name and its wildcard are validated by the same record.
    validation_records.sort();
    validation_records.dedup();
    CertificateInfo {
        arn: text(of.certificate_arn()),
        status: text(of.status().map(CertificateStatus::as_str)),
        domain_names: names(of.domain_name(), of.subject_alternative_names()),
        not_after: of.not_after().map(DateTime::secs),
        key_algorithm: key_algorithm(of.key_algorithm()),
        validation_records,
        failure_reason: of.failure_reason().map(FailureReason::as_str).map(str::to_owned),
    }
}

fn pending_record(of: &DomainValidation) -> Option<(String, String, String)> {
    let record = of.resource_record().filter(|_| of.validation_status() == Some(&DomainStatus::PendingValidation))?;
    Some((record.name().to_owned(), record.r#type().as_str().to_owned(), record.value().to_owned()))
}

/// The names, the main one first; ACM repeats it among the others.
fn names(main: Option<&str>, others: &[String]) -> Vec<String> {
    let others = others.iter().map(String::as_str).filter(|name| Some(*name) != main);
    main.into_iter().chain(others).map(str::to_owned).collect()
}

/// ACM describes a key as `RSA-2048` and lists it as `RSA_2048`.
fn key_algorithm(algorithm: Option<&KeyAlgorithm>) -> String {
    text(algorithm.map(KeyAlgorithm::as_str)).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_acm::types::{RecordType, ResourceRecord};

    fn validation(name: &str, status: DomainStatus, record: &str) -> DomainValidation {
        let record = ResourceRecord::builder().name(record).r#type(RecordType::Cname).value("target");
        DomainValidation::builder()
            .domain_name(name)
            .validation_status(status)
            .resource_record(record.build().expect("all is set"))
            .build()
            .expect("all is set")
    }

    #[test]
    fn the_main_name_comes_first_and_once() {
        let others = ["a.example.com".to_owned(), "www.example.com".to_owned()];
        assert_eq!(names(Some("www.example.com"), &others), ["www.example.com", "a.example.com"]);
    }

    #[test]
    fn a_record_that_is_still_wanted_is_named_once() {
        let certificate = CertificateDetail::builder()
            .domain_validation_options(validation("example.com", DomainStatus::PendingValidation, "_x"))
            .domain_validation_options(validation("*.example.com", DomainStatus::PendingValidation, "_x"))
            .domain_validation_options(validation("done.example.com", DomainStatus::Success, "_y"))
            .build();
        let wanted = ("_x".to_owned(), "CNAME".to_owned(), "target".to_owned());
        assert_eq!(detailed(&certificate).validation_records, [wanted]);
    }

    #[test]
    fn a_cut_short_list_of_names_is_not_taken_for_all() {
        let summary = CertificateSummary::builder().subject_alternative_name_summaries("example.com");
        assert!(names_are_complete(&summary.clone().build()));
        assert!(!names_are_complete(&summary.has_additional_subject_alternative_names(true).build()));
        assert!(!names_are_complete(&CertificateSummary::builder().domain_name("example.com").build()));
    }
}
