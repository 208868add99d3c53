//! Alias records.

use super::{Run, StepError};
use crate::aws::{AliasRecord, AwsError, ErrorClass, RecordChange, RecordInfo};
use crate::stack::Record;
use crate::stack::step::Change;

impl Run<'_> {
    /// Makes a record lead to this load balancer. One that came to be since it was planned is somebody else's.
    pub(super) async fn change_record(&self, record: &Record) -> Result<(), StepError> {
        let there = self.aws().record(&record.zone_id, &record.name.to_lowercase(), record.kind).await?;
        let Some(facts) = &self.observed.load_balancer else {
            return Err(StepError::Unresolved(record.name.clone()));
        };
        let alias = AliasRecord {
            name: record.name.to_lowercase(),
            kind: record.kind.to_owned(),
            target_zone_id: facts.hosted_zone_id.clone(),
            target: facts.dns_name.to_lowercase(),
            evaluate_target_health: record.evaluate_target_health,
        };
        let change = match (&self.step.change, there) {
            (Change::CreateRecord(_), Some(RecordInfo::Alias(there))) if there == alias => return Ok(()),
            (Change::CreateRecord(_), Some(_)) | (_, Some(RecordInfo::Routed)) => {
                let what = format!("{} record {}", alias.kind, alias.name);
                return Err(StepError::Taken { what, id: record.zone_id.clone() });
            }
            (Change::CreateRecord(_), None) => RecordChange::Create(alias.clone()),
            _ => RecordChange::Upsert(alias.clone()),
        };
        match self.aws().change_records(&record.zone_id, &[change]).await {
            Err(error) if may_be_done(&error) => {
                let there = self.aws().record(&record.zone_id, &alias.name, record.kind).await?;
                if there == Some(RecordInfo::Alias(alias)) { Ok(()) } else { Err(error.into()) }
            }
            other => Ok(other?),
        }
    }

    /// Deletes a record that leads to this load balancer, whether that is still there or not. What has changed hands
    /// since it was planned stays.
    pub(super) async fn delete_record(&self, record: &Record) -> Result<(), StepError> {
        let there = self.aws().record(&record.zone_id, &record.name.to_lowercase(), record.kind).await?;
        let facts = self.observed.load_balancer.as_ref();
        let Some(RecordInfo::Alias(alias)) = there else { return Ok(()) };
        let target = alias.target.strip_prefix("dualstack.").unwrap_or(&alias.target);
        if facts.is_some_and(|facts| facts.dns_name.to_lowercase() != target) {
            return Ok(());
        }
        match self.aws().change_records(&record.zone_id, &[RecordChange::Delete(alias)]).await {
            Err(error) if may_be_done(&error) => {
                let there = self.aws().record(&record.zone_id, &record.name.to_lowercase(), record.kind).await?;
                if there.is_none() { Ok(()) } else { Err(error.into()) }
            }
            other => Ok(other?),
        }
    }
}

/// Whether a change of a record may have been made for all that it failed: no answer came, or none came to the SDK's
/// first try, and the second found it made.
fn may_be_done(error: &AwsError) -> bool {
    error.class() == ErrorClass::NoAnswer || error.code == "InvalidChangeBatch"
}
