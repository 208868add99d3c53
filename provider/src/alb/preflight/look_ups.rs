//! The questions of the checks to AWS: two rounds side by side, the second about what the first one named.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{OptionFuture, join_all};
use tfplugin::diagnostics::Diagnostics;

use super::access::walls;
use super::change::Change;
use super::network::common_vpc;
use crate::aws::{
    Aws, AwsError, CertificateInfo, ErrorClass, InstanceInfo, LoadBalancerInfo, LoadBalancerKey, Result,
    RouteTableInfo, SecurityGroupInfo, SecurityGroupKey, SubnetInfo, Tags, VpcInfo,
};

/// The codes of a call that no permission would have helped.
const NO_ACCESS: [&str; 8] = [
    "NoCredentials",
    "NoRegion",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// What AWS answered; `None` where it was not asked, or did not say.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) subnets: Option<Vec<SubnetInfo>>,
    pub(super) instances: Option<Vec<InstanceInfo>>,
    /// By ARN; `None` for one that does not exist.
    pub(super) certificates: BTreeMap<String, Option<CertificateInfo>>,
    /// A load balancer that has the name of the one to be made, and is not in the state.
    pub(super) namesake: Option<LoadBalancerInfo>,
    pub(super) namesake_tags: Option<Tags>,
    pub(super) route_tables: Option<Vec<RouteTableInfo>>,
    pub(super) vpc: Option<VpcInfo>,
    pub(super) security_groups: Option<Vec<SecurityGroupInfo>>,
    /// What was asked about, and the first error of each.
    asked: BTreeSet<&'static str>,
    failed: BTreeMap<&'static str, AwsError>,
}

/// Asks all that the checks of a change need to know.
pub(super) async fn ask(aws: &dyn Aws, change: &Change<'_>) -> Answers {
    let mut answers = Answers::default();
    answers.first_round(aws, change).await;
    answers.second_round(aws, change).await;
    answers
}

impl Answers {
    async fn first_round(&mut self, aws: &dyn Aws, change: &Change<'_>) {
        let subnet_ids =
            change.touches(&["subnet_ids", "ip_address_type", "instance_ids"]).then(|| change.set("subnet_ids"));
        let subnet_ids = subnet_ids.flatten().filter(|ids| !ids.is_empty());
        let about_instances = ["subnet_ids", "instance_ids", "security_group_ids", "instance_security_group_id"];
        let with_instances = change.touches(&about_instances) || change.touches_ports("target_port");
        let instance_ids = with_instances.then(|| change.set("instance_ids"));
        let instance_ids = instance_ids.flatten().filter(|ids| !ids.is_empty());
        let name =
            change.text("name").filter(|_| change.is_create()).map(|name| LoadBalancerKey::Name(name.to_owned()));
        let arns = certificate_arns(change);

        let (subnets, instances, namesake, certificates) = tokio::join!(
            OptionFuture::from(subnet_ids.as_ref().map(|ids| aws.subnets(ids))),
            OptionFuture::from(instance_ids.as_ref().map(|ids| aws.instances(ids))),
            OptionFuture::from(name.as_ref().map(|key| aws.load_balancer(key))),
            join_all(arns.iter().map(|arn| aws.certificate(arn))),
        );
        self.subnets = self.take("the subnets", subnets);
        self.instances = self.take("the instances", instances);
        let namesake = self.take("whether the name is free", namesake).flatten();
        self.namesake = namesake.filter(|info| !change.private.objects.contains_key(&info.arn));
        for (arn, certificate) in arns.into_iter().zip(certificates) {
            if let Some(certificate) = self.take("the certificates", Some(certificate)) {
                self.certificates.insert(arn, certificate);
            }
        }
    }

    async fn second_round(&mut self, aws: &dyn Aws, change: &Change<'_>) {
        let vpc_id = self.vpc_id(change);
        let tagged = self.namesake.as_ref().map(|info| BTreeSet::from([info.arn.clone()]));
        let public = self.subnets.is_some() && change.text("scheme") == Some("internet-facing");
        let routed = vpc_id.as_deref().filter(|_| public && change.touches(&["subnet_ids"]));
        let walls = walls(change, self.instances.as_deref().unwrap_or_default());
        let walled = vpc_id.as_deref().filter(|_| !walls.is_empty());
        let groups = walls.into_keys().flatten().chain(change.added("security_group_ids"));
        let managed =
            change.text("instance_security_group_id").filter(|_| change.touches(&["instance_security_group_id"]));
        let groups: BTreeSet<String> = groups.chain(managed.map(str::to_owned)).collect();
        let groups = (!groups.is_empty()).then_some(SecurityGroupKey::Ids(groups));

        let (tags, route_tables, vpc, security_groups) = tokio::join!(
            OptionFuture::from(tagged.as_ref().map(|arns| aws.tags(arns))),
            OptionFuture::from(routed.map(|id| aws.route_tables(id))),
            OptionFuture::from(walled.map(|id| aws.vpc(id))),
            OptionFuture::from(groups.as_ref().map(|key| aws.security_groups(key))),
        );
        let tags = self.take("whose the load balancer of this name is", tags);
        self.namesake_tags = tags.map(|tags| tags.into_values().next().unwrap_or_default());
        self.route_tables = self.take("the routes of the subnets", route_tables);
        self.vpc = self.take("the address blocks of the VPC", vpc).flatten();
        self.security_groups = self.take("the security groups", security_groups);
    }

    /// The VPC of the load balancer: that of its subnets, unless that is not known yet.
    pub(super) fn vpc_id(&self, change: &Change<'_>) -> Option<String> {
        let of_subnets = self.subnets.as_deref().and_then(common_vpc);
        let last = || change.last("vpc_id").filter(|_| !change.touches(&["subnet_ids"]));
        of_subnets.or_else(|| change.text("vpc_id")).or_else(last).map(str::to_owned)
    }

    /// Notes an error, once for each thing that was asked about.
    fn take<T>(&mut self, about: &'static str, answer: Option<Result<T>>) -> Option<T> {
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

    /// Says what could not be checked. One permission that is missing does not stop a plan; having no access does.
    pub(super) fn report_failures(&self, found: &mut Diagnostics) {
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
        for (about, error) in &self.failed {
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
