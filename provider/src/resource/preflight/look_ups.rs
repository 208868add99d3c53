//! The questions to AWS that every resource has, and what an answer that did not come means: two rounds side by side,
//! the second about what the first one named.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{OptionFuture, join_all};
use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;

use super::change::Change;
use super::network::common_vpc;
use crate::aws::{
    Aws, AwsError, CertificateInfo, ErrorClass, LoadBalancerInfo, LoadBalancerKey, RecordInfo, Result, RouteTableInfo,
    SubnetInfo, Tags, VpcInfo,
};
use crate::resource::ssl_policies;

/// The codes of a call that no permission would have helped.
const NO_ACCESS: [&str; 10] = [
    "NoCredentials",
    "NoRegion",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// What the look-up of subnets is called in messages.
const SUBNETS: &str = "the subnets";

/// What AWS answered; `None` where it was not asked, or did not say.
#[derive(Default)]
pub(crate) struct Answers {
    pub(crate) subnets: Option<Vec<SubnetInfo>>,
    /// By ARN; `None` for one that does not exist.
    pub(crate) certificates: BTreeMap<String, Option<CertificateInfo>>,
    /// A load balancer that has the name of the one to be made, and is not in the state.
    pub(crate) namesake: Option<LoadBalancerInfo>,
    pub(crate) namesake_tags: Option<Tags>,
    /// Whether no load balancer has that name, for certain.
    pub(crate) name_is_free: bool,
    /// The name in DNS of the load balancer that has this name and goes before the new one is made.
    pub(crate) last_dns_name: Option<String>,
    /// Whether AWS has the security policy.
    pub(crate) has_ssl_policy: Option<bool>,
    pub(crate) route_tables: Option<Vec<RouteTableInfo>>,
    /// The name of the alias record's hosted zone; `None` within when that does not exist.
    pub(crate) zone_name: Option<Option<String>>,
    /// The records of the alias record's name, by type.
    pub(crate) records: Option<BTreeMap<String, RecordInfo>>,
    /// What was asked about, and the first error of each.
    asked: BTreeSet<&'static str>,
    failed: BTreeMap<&'static str, AwsError>,
}

impl Answers {
    /// Asks for subnets, certificates, a security policy that is not known here, who has the name of what is to be made
    /// and that of the alias record; and what else a resource asks.
    pub(crate) async fn first_round<T>(
        &mut self,
        aws: &dyn Aws,
        change: &Change<'_>,
        subnet_ids: &BTreeSet<String>,
        more: impl Future<Output = T>,
    ) -> T {
        let subnet_ids = Some(subnet_ids).filter(|ids| !ids.is_empty());
        let name =
            change.text("name").filter(|_| change.is_create()).map(|name| LoadBalancerKey::Name(name.to_owned()));
        let arns = certificate_arns(change);
        let policy = change.text("ssl_policy").filter(|_| change.touches(&["ssl_policy"]));
        let policy = policy.filter(|name| !ssl_policies::is_known(name));
        let record = record(change);

        let (subnets, namesake, certificates, has_ssl_policy, zone_name, records, more) = tokio::join!(
            OptionFuture::from(subnet_ids.map(|ids| aws.subnets(ids))),
            OptionFuture::from(name.as_ref().map(|key| aws.load_balancer(key))),
            join_all(arns.iter().map(|arn| aws.certificate(arn))),
            OptionFuture::from(policy.map(|name| aws.has_ssl_policy(name))),
            OptionFuture::from(record.map(|(zone_id, _)| aws.hosted_zone_name(zone_id))),
            OptionFuture::from(record.and_then(|(zone_id, name)| Some(aws.records(zone_id, name?)))),
            more,
        );
        self.subnets = self.take(SUBNETS, subnets);
        let namesake = self.take("whether the name is free", namesake);
        self.name_is_free = matches!(namesake, Some(None));
        match namesake.flatten() {
            Some(info) if change.private.objects.contains_key(&info.arn) => self.last_dns_name = Some(info.dns_name),
            other => self.namesake = other,
        }
        for (arn, certificate) in arns.into_iter().zip(certificates) {
            if let Some(certificate) = self.take("the certificates", Some(certificate)) {
                self.certificates.insert(arn, certificate);
            }
        }
        self.has_ssl_policy = self.take("the security policy", has_ssl_policy);
        self.zone_name = self.take("the hosted zone", zone_name);
        self.records = self.take("whether the name of the DNS record is free", records);
        more
    }

    /// Asks whose the name is, and for the routes of the subnets when they matter; and what else a resource asks.
    pub(crate) async fn second_round<T>(
        &mut self,
        aws: &dyn Aws,
        change: &Change<'_>,
        with_routes: bool,
        more: impl Future<Output = T>,
    ) -> T {
        let tagged = self.namesake.as_ref().map(|info| BTreeSet::from([info.arn.clone()]));
        let vpc_id = self.vpc_id(change);
        let routed = vpc_id.as_deref().filter(|_| with_routes && self.subnets.is_some());

        let (tags, route_tables, more) = tokio::join!(
            OptionFuture::from(tagged.as_ref().map(|arns| aws.tags(arns))),
            OptionFuture::from(routed.map(|id| aws.route_tables(id))),
            more,
        );
        let tags = self.take("whose the load balancer of this name is", tags);
        self.namesake_tags = tags.map(|tags| tags.into_values().next().unwrap_or_default());
        self.route_tables = self.take("the routes of the subnets", route_tables);
        more
    }

    /// The VPC of the load balancer: that of its subnets, unless that is not known yet.
    pub(crate) fn vpc_id(&self, change: &Change<'_>) -> Option<String> {
        let of_subnets = self.subnets.as_deref().and_then(common_vpc);
        let last = || change.last("vpc_id").filter(|_| !change.touches(&["subnet_ids"]));
        of_subnets.or_else(|| change.text("vpc_id")).or_else(last).map(str::to_owned)
    }

    /// That VPC with its address blocks, as the routes of its subnets tell them.
    pub(crate) fn routed_vpc(&self, change: &Change<'_>) -> Option<VpcInfo> {
        VpcInfo::routed(&self.vpc_id(change)?, self.route_tables.as_deref()?)
    }

    /// Notes an error, once for each thing that was asked about.
    pub(crate) fn take<T>(&mut self, about: &'static str, answer: Option<Result<T>>) -> Option<T> {
        let answer = answer?;
        self.asked.insert(about);
        match answer {
            Ok(answer) => Some(answer),
            Err(error) => {
                self.failed.entry(about).or_insert(error);
                None
            }
        }
    }

    /// Says that the VPC cannot be planned. Core plans a create once more right before it applies, and takes for a
    /// fault of the provider what it was told the first time and not the second: so whatever the checks are for, a
    /// failure that passes ends the plan. A permission that is missing is so both times.
    pub(super) fn refuse_without_vpc(&self, change: &Change<'_>, found: &mut Diagnostics) {
        if let Some(error) = self.hides_vpc(change) {
            found.error_at(
                Path::of("subnet_ids"),
                "The VPC cannot be planned",
                format!("The subnets tell it, and AWS could not be asked for them: {}. Plan again.", sentence(error)),
            );
        }
    }

    /// The failure for which the VPC of what is to be made is not known, when there may be none the next time.
    fn hides_vpc(&self, change: &Change<'_>) -> Option<&AwsError> {
        let planned = change.is_create() && change.value("vpc_id").is_null();
        self.failed.get(SUBNETS).filter(|error| planned && error.is_passing())
    }

    /// Says what could not be checked. One permission that is missing does not stop a plan; having no access does.
    pub(super) fn report_failures(&self, change: &Change<'_>, found: &mut Diagnostics) {
        let denied = self.failed.values().filter(|error| error.class() == ErrorClass::Denied).count();
        let all_denied = denied > 1 && denied == self.asked.len();
        let hopeless = self.failed.values().find(|error| all_denied || NO_ACCESS.contains(&error.code.as_str()));
        if let Some(error) = hopeless {
            found.error(
                "The plan cannot be checked against AWS",
                format!(
                    "{}. Give the provider credentials that work and may read, and a region; or set \
                     preflight = \"off\" in the provider block to plan without asking AWS.",
                    sentence(error)
                ),
            );
            return;
        }
        let unplanned = self.hides_vpc(change);
        for (about, error) in self.failed.iter().filter(|(_, error)| Some(*error) != unplanned) {
            let remedy = if error.class() == ErrorClass::Denied {
                format!("Allow the action {} for these credentials to have it checked.", error.operation)
            } else {
                "Plan again to have it checked.".to_owned()
            };
            found.warning(format!("Could not check {about}"), format!("{}. {remedy}", sentence(error)));
        }
    }
}

/// An error without the full stop that some of them end with.
fn sentence(error: &AwsError) -> String {
    error.to_string().trim_end_matches('.').to_owned()
}

/// All certificates of the listeners, when they or the hostname are new or changed.
fn certificate_arns(change: &Change<'_>) -> BTreeSet<String> {
    if !change.touches(&["certificate_arn", "additional_certificate_arns"]) && !change.touches_hostname() {
        return BTreeSet::new();
    }
    let mut arns = change.set("additional_certificate_arns").unwrap_or_default();
    arns.extend(change.text("certificate_arn").map(str::to_owned));
    arns
}

/// The zone and the name of the alias record, when it is new or changed; the name as far as it is known.
fn record<'a>(change: &Change<'a>) -> Option<(&'a str, Option<&'a str>)> {
    let record = change.value("dns_record");
    let zone_id = record.get("zone_id").as_str().filter(|_| change.touches(&["dns_record", "ip_address_type"]))?;
    Some((zone_id, record.get("name").as_str()))
}
