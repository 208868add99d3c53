//! Route 53: hosted zones, and one alias record at a time.

use std::collections::BTreeMap;

use aws_sdk_route53::Client;
use aws_sdk_route53::error::BuildError;
use aws_sdk_route53::types::{AliasTarget, Change, ChangeAction, ChangeBatch, ResourceRecordSet, RrType};

use super::error::{error, found, invalid};
use crate::aws::{AliasRecord, RecordChange, RecordInfo, Result};

const LIST: &str = "route53:ListResourceRecordSets";
const CHANGE: &str = "route53:ChangeResourceRecordSets";

pub(super) async fn hosted_zone_name(client: &Client, zone_id: &str) -> Result<Option<String>> {
    let answer = found(client.get_hosted_zone().id(zone_id).send().await.map_err(error("route53:GetHostedZone")))?;
    Ok(answer.and_then(|answer| answer.hosted_zone).map(|zone| normal_name(zone.name())))
}

pub(super) async fn records(client: &Client, zone_id: &str, name: &str) -> Result<BTreeMap<String, RecordInfo>> {
    // Route 53 lists from a place in its order on: what has this name comes first, and one answer holds it all.
    let request = client.list_resource_record_sets().hosted_zone_id(zone_id).start_record_name(normal_name(name));
    let answer = found(request.send().await.map_err(error(LIST)))?;
    let sets = answer.map(|answer| answer.resource_record_sets).unwrap_or_default();
    let of_this_name = sets.iter().take_while(|set| normal_name(set.name()) == normal_name(name));
    Ok(of_this_name.map(|set| (set.r#type().as_str().to_owned(), record_info(set))).collect())
}

pub(super) async fn record(client: &Client, zone_id: &str, name: &str, kind: &str) -> Result<Option<RecordInfo>> {
    // Route 53 lists from a place in its order on: what comes first is this record, or there is none.
    let request = client
        .list_resource_record_sets()
        .hosted_zone_id(zone_id)
        .start_record_name(normal_name(name))
        .start_record_type(RrType::from(kind))
        .max_items(1);
    let answer = found(request.send().await.map_err(error(LIST)))?;
    let first = answer.and_then(|answer| answer.resource_record_sets.into_iter().next());
    let this = first.filter(|set| normal_name(set.name()) == normal_name(name) && set.r#type().as_str() == kind);
    Ok(this.as_ref().map(record_info))
}

fn record_info(of: &ResourceRecordSet) -> RecordInfo {
    match of.alias_target() {
        // Whatever routing policy a record has, it has an identifier then.
        _ if of.set_identifier().is_some() => RecordInfo::Routed,
        Some(target) => RecordInfo::Alias(AliasRecord {
            name: normal_name(of.name()),
            kind: of.r#type().as_str().to_owned(),
            target_zone_id: target.hosted_zone_id().to_owned(),
            target: normal_name(target.dns_name()),
            evaluate_target_health: target.evaluate_target_health(),
        }),
        None => RecordInfo::Plain,
    }
}

/// A name in the one spelling in which equal names are equal: Route 53 adds a final dot, and writes `*` as `\052`.
fn normal_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).replace(r"\052", "*").to_ascii_lowercase()
}

pub(super) async fn change_records(client: &Client, zone_id: &str, changes: &[RecordChange]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let batch = change_batch(changes).map_err(invalid(CHANGE))?;
    let request = client.change_resource_record_sets().hosted_zone_id(zone_id).change_batch(batch);
    request.send().await.map_err(error(CHANGE)).map(drop)
}

fn change_batch(changes: &[RecordChange]) -> std::result::Result<ChangeBatch, BuildError> {
    let changes: std::result::Result<Vec<Change>, BuildError> = changes.iter().map(change).collect();
    ChangeBatch::builder().set_changes(Some(changes?)).build()
}

fn change(change: &RecordChange) -> std::result::Result<Change, BuildError> {
    let (action, record) = match change {
        RecordChange::Upsert(record) => (ChangeAction::Upsert, record),
        RecordChange::Create(record) => (ChangeAction::Create, record),
        RecordChange::Delete(record) => (ChangeAction::Delete, record),
    };
    let target = AliasTarget::builder()
        .hosted_zone_id(&record.target_zone_id)
        .dns_name(&record.target)
        .evaluate_target_health(record.evaluate_target_health)
        .build()?;
    let set = ResourceRecordSet::builder()
        .name(normal_name(&record.name))
        .r#type(RrType::from(record.kind.as_str()))
        .alias_target(target)
        .build()?;
    Change::builder().action(action).resource_record_set(set).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alias() -> AliasRecord {
        AliasRecord {
            name: "*.mycompany.com".to_owned(),
            kind: "A".to_owned(),
            target_zone_id: "Z35SXDOTRQ7X7K".to_owned(),
            target: "codestream-alb-1.us-east-1.elb.amazonaws.com".to_owned(),
            evaluate_target_health: true,
        }
    }

    #[test]
    fn a_record_in_route_53_s_spelling_reads_as_it_was_written() {
        let target = AliasTarget::builder()
            .hosted_zone_id("Z35SXDOTRQ7X7K")
            .dns_name("CodeStream-ALB-1.us-east-1.elb.amazonaws.com.")
            .evaluate_target_health(true)
            .build()
            .expect("all is set");
        let set = ResourceRecordSet::builder().name(r"\052.MyCompany.com.").r#type(RrType::A).alias_target(target);
        assert_eq!(record_info(&set.build().expect("all is set")), RecordInfo::Alias(alias()));
    }

    #[test]
    fn a_record_that_is_no_alias_or_has_a_policy_reads_as_that() {
        let plain = ResourceRecordSet::builder().name("a.").r#type(RrType::A).ttl(60).build().expect("all is set");
        assert_eq!(record_info(&plain), RecordInfo::Plain);
        let mut weighted = change(&RecordChange::Create(alias())).expect("all is set").resource_record_set;
        if let Some(set) = &mut weighted {
            set.set_identifier = Some("blue".to_owned());
        }
        assert_eq!(weighted.as_ref().map(record_info), Some(RecordInfo::Routed));
    }

    #[test]
    fn a_change_carries_the_whole_record() {
        let change = change(&RecordChange::Delete(alias())).expect("all is set");
        assert_eq!(change.action(), &ChangeAction::Delete);
        assert_eq!(change.resource_record_set().map(record_info), Some(RecordInfo::Alias(alias())));
    }
}
