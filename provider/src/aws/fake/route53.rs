//! Route 53: records of hosted zones.

use super::{Answer, State, refuse};
use crate::aws::{AliasRecord, RecordChange, RecordInfo};

impl State {
    /// All or none: the whole batch is refused for one change that does not fit what is there.
    pub(super) fn change_records(&mut self, zone_id: &str, changes: &[RecordChange]) -> Answer<()> {
        if !self.hosted_zones.contains_key(zone_id) {
            return refuse("NoSuchHostedZone", zone_id);
        }
        let mut records = self.records.clone();
        let key = |record: &AliasRecord| (zone_id.to_owned(), record.name.clone(), record.kind.clone());
        for change in changes {
            if let RecordChange::Upsert(record) | RecordChange::Create(record) = change
                && records.get(&key(record)) == Some(&RecordInfo::Routed)
            {
                return refuse("InvalidChangeBatch", format!("{} has records with a routing policy", record.name));
            }
            match change {
                RecordChange::Upsert(record) => {
                    records.insert(key(record), RecordInfo::Alias(record.clone()));
                }
                RecordChange::Create(record) => {
                    if records.insert(key(record), RecordInfo::Alias(record.clone())).is_some() {
                        return refuse("InvalidChangeBatch", format!("{} exists already", record.name));
                    }
                }
                RecordChange::Delete(record) => {
                    if records.remove(&key(record)) != Some(RecordInfo::Alias(record.clone())) {
                        return refuse("InvalidChangeBatch", format!("{} is not there, or another", record.name));
                    }
                }
            }
        }
        self.records = records;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::FakeAws;
    use super::*;
    use crate::aws::Aws;

    fn alias(kind: &str, target: &str) -> AliasRecord {
        AliasRecord {
            name: "codestream.example.com".to_owned(),
            kind: kind.to_owned(),
            target_zone_id: "Z35SXDOTRQ7X7K".to_owned(),
            target: target.to_owned(),
            evaluate_target_health: false,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_change_that_does_not_fit_refuses_the_whole_batch() {
        let aws = FakeAws::new();
        aws.change_records("Z1", &[RecordChange::Create(alias("A", "one"))]).await.unwrap();
        let batch = [RecordChange::Upsert(alias("AAAA", "two")), RecordChange::Delete(alias("A", "two"))];
        assert_eq!(aws.change_records("Z1", &batch).await.unwrap_err().code, "InvalidChangeBatch");
        assert_eq!(aws.record("Z1", "codestream.example.com", "AAAA").await.unwrap(), None);
        let left = aws.record("Z1", "codestream.example.com", "A").await.unwrap();
        assert_eq!(left, Some(RecordInfo::Alias(alias("A", "one"))));
    }
}
