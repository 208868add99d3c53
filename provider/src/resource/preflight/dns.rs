//! Judges the alias record: whether its hosted zone takes it, and whether its name is free.

use std::collections::{BTreeMap, BTreeSet};

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::value::Value;

use super::change::Change;
use super::claim;
use super::look_ups::Answers;
use crate::aws::RecordInfo;
use crate::resource::Composite;
use crate::stack::ownership::Claim;

pub(super) fn judge<C: Composite>(change: &Change<'_>, answers: &Answers, found: &mut Diagnostics) {
    let record = change.value("dns_record");
    let Some(zone_id) = record.get("zone_id").as_str() else { return };
    let path = Path::of("dns_record");
    match &answers.zone_name {
        None => {}
        Some(None) => {
            found.error_at(
                path.attribute("zone_id"),
                "The hosted zone does not exist",
                format!(
                    "Route 53 knows no hosted zone {zone_id} in the provider's account. Correct dns_record.zone_id, or the \
                     provider's credentials."
                ),
            );
            return;
        }
        Some(Some(zone)) => {
            if let Some(name) = record.get("name").as_str().filter(|name| !is_in(name, zone)) {
                found.error_at(
                    path.attribute("name"),
                    "The DNS record is not in its hosted zone",
                    format!(
                        "dns_record.name, by default hostname, is {name:?}, and {zone_id} is the hosted zone of {zone}, \
                         which takes that name and what ends with .{zone} only. Set dns_record.zone_id to the zone of the \
                         name, or dns_record.name to a name in this one."
                    ),
                );
                return;
            }
        }
    }
    if let (Some(name), Some(records)) = (record.get("name").as_str(), &answers.records) {
        judge_others(change, zone_id, name, records, &own_names::<C>(change, answers), found);
    }
}

/// Whether a zone takes a name.
fn is_in(name: &str, zone: &str) -> bool {
    name == zone || name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'))
}

/// The names in DNS of the stack's load balancer: the one that there is, was, or that an interrupted create has left.
fn own_names<C: Composite>(change: &Change<'_>, answers: &Answers) -> BTreeSet<String> {
    let left = matches!(claim::<C>(change, answers), Some(Claim::Ours | Claim::Interrupted));
    let left = answers.namesake.as_ref().filter(|_| left).map(|info| info.dns_name.as_str());
    let names =
        [left, answers.last_dns_name.as_deref(), change.last("dns_name"), Some(change.private.dns_name.as_str())];
    names.into_iter().flatten().map(str::to_lowercase).collect()
}

/// What others keep under the name is in the way, also a CNAME, beside which there can be no other record. A record that
/// the stack keeps already is not judged, wherever it leads: an apply puts it right.
fn judge_others(
    change: &Change<'_>,
    zone_id: &str,
    name: &str,
    records: &BTreeMap<String, RecordInfo>,
    own: &BTreeSet<String>,
    found: &mut Diagnostics,
) {
    let last = change.last_value("dns_record");
    let same = ["zone_id", "name"].iter().all(|part| last.get(part) == change.value("dns_record").get(part));
    let in_state: &[&str] = if same { kinds(change.last_value("ip_address_type")) } else { &[] };
    // The state has none any more when it was found to lead elsewhere.
    let kept = change.private.records.iter().filter(|kept| kept.zone_id == zone_id && kept.name == name);
    let kept: BTreeSet<&str> = kept.map(|kept| kept.kind.as_str()).chain(in_state.iter().copied()).collect();
    for kind in kinds(change.value("ip_address_type")).iter().chain(&["CNAME"]) {
        let target = match records.get(*kind) {
            None => continue,
            Some(_) if kept.contains(kind) => continue,
            Some(RecordInfo::Alias(alias)) => {
                let target = alias.target.strip_prefix("dualstack.").unwrap_or(&alias.target);
                if own.contains(target) {
                    continue;
                }
                format!(", an alias of {target}")
            }
            Some(RecordInfo::Plain | RecordInfo::Routed) => String::new(),
        };
        found.error_at(
            Path::of("dns_record"),
            "The DNS record exists already",
            format!(
                "{zone_id} has the {kind} record {name}{target}, which this resource did not make. Remove it, or set \
                 dns_record.name to another name."
            ),
        );
    }
}

/// The types of the records of a load balancer with addresses of this type.
fn kinds(ip_address_type: &Value) -> &'static [&'static str] {
    match ip_address_type.as_str() {
        Some(kind) if kind.starts_with("dualstack") => &["A", "AAAA"],
        _ => &["A"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_takes_its_own_name_and_what_is_below_it() {
        for (name, zone, taken) in [
            ("example.com", "example.com", true),
            ("a.example.com", "example.com", true),
            ("a.b.example.com", "example.com", true),
            ("badexample.com", "example.com", false),
            ("example.org", "example.com", false),
            ("com", "example.com", false),
        ] {
            assert_eq!(is_in(name, zone), taken, "{name} in {zone}");
        }
    }
}
