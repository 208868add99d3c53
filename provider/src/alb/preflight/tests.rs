//! The checks as a whole, on an AWS in memory: what each says about what, and what it asks for that.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use tfplugin::value::Value;

use super::{Mode, Preflight, check};
use crate::alb::CodestreamAlb;
use crate::alb::resolve::resolve;
use crate::alb::samples::{UNKNOWN_VALUE, change, configuration, https};
use crate::aws::fake::{FakeAws, Fault, State, cert_arn, pending_cert_arn};
use crate::aws::{AliasRecord, Aws, AwsError, Direction, NewLoadBalancer, Peer, RecordInfo, RuleSettings, Tags};
use crate::resource::find::owner;
use crate::resource::private::{KeptRecord, Private};
use crate::resource::testing::{details, said};

/// In January 2027; the certificates of the fake end in 2100.
const NOW: u64 = 1_800_000_000;

/// A configuration with which all is well.
fn good() -> Json {
    change(
        https(),
        &json!({
            "subnet_ids": ["subnet-a", "subnet-b"],
            "instance_ids": ["i-1"],
            "certificate_arn": cert_arn(1),
            "instance_security_group_id": "sg-hosts",
        }),
    )
}

fn resolved(json: &Json) -> Value {
    resolve(&configuration(json))
}

/// The state of an applied configuration, as far as the checks look at it.
fn applied(json: &Json) -> Value {
    let mut state = resolved(json);
    state.put("arn", "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/codestream-alb/1");
    state.put("dns_name", "codestream-alb-1.us-east-1.elb.amazonaws.com");
    state.put("vpc_id", "vpc-1");
    state.put("security_group_id", "sg-own");
    state
}

async fn checked(aws: &FakeAws, json: &Json, prior: Option<&Value>) -> Preflight {
    checked_in(Mode::Error, aws, json, prior, &Private::default()).await
}

async fn checked_in(mode: Mode, aws: &FakeAws, json: &Json, prior: Option<&Value>, private: &Private) -> Preflight {
    let now: SystemTime = UNIX_EPOCH + Duration::from_secs(NOW);
    check(aws, &resolved(json), prior, private, mode, now).await
}

fn operations(aws: &FakeAws) -> Vec<&'static str> {
    let mut operations: Vec<_> = aws.calls().iter().map(|call| call.operation).collect();
    operations.sort_unstable();
    operations
}

/// A configuration that differs from the good one, in an AWS that differs from the usual one, and what is said; of the
/// details, only a part that must be there.
struct Bad {
    case: &'static str,
    arguments: Json,
    in_aws: fn(&mut State),
    said: &'static [&'static str],
    detail: &'static str,
}

fn bad(
    case: &'static str,
    arguments: Json,
    in_aws: fn(&mut State),
    said: &'static [&'static str],
    detail: &'static str,
) -> Bad {
    Bad { case, arguments, in_aws, said, detail }
}

fn as_usual(_: &mut State) {}

fn with_certificate(state: &mut State, spoil: impl FnOnce(&mut crate::aws::CertificateInfo)) {
    spoil(state.certificates.get_mut(&cert_arn(1)).unwrap());
}

fn bad_subnets() -> Vec<Bad> {
    vec![
        bad(
            "subnets that do not exist",
            json!({"subnet_ids": ["subnet-a", "subnet-b", "subnet-none"]}),
            as_usual,
            &["error subnet_ids: Subnets do not exist"],
            "There is no subnet-none in",
        ),
        bad(
            "two subnets of one zone",
            json!({"subnet_ids": ["subnet-a", "subnet-b", "subnet-private"], "scheme": "internal"}),
            as_usual,
            &["error subnet_ids: Two subnets in one availability zone"],
            "subnet-a, subnet-private are all in us-east-1a",
        ),
        bad(
            "subnets of two VPCs",
            json!({}),
            |state| state.subnets.get_mut("subnet-b").unwrap().vpc_id = "vpc-2".to_owned(),
            &["error subnet_ids: Subnets of different VPCs"],
            "subnet-a of vpc-1 and subnet-b of vpc-2",
        ),
        bad(
            "a VPC that is not the subnets' one",
            json!({"vpc_id": "vpc-2"}),
            as_usual,
            &["error vpc_id: The subnets are of another VPC"],
            "the subnets are of vpc-1",
        ),
        bad(
            "a subnet with too few addresses",
            json!({}),
            |state| state.subnets.get_mut("subnet-a").unwrap().free_addresses = 7,
            &["error subnet_ids: A subnet is nearly full"],
            "subnet-a has 7 free addresses",
        ),
        bad(
            "a private subnet, by the main route table, for a public load balancer",
            json!({"subnet_ids": ["subnet-private", "subnet-b"]}),
            as_usual,
            &["error subnet_ids: Subnets without a route to the internet"],
            "the route table of subnet-private has",
        ),
        bad(
            "dualstack in subnets without IPv6",
            json!({"ip_address_type": "dualstack"}),
            |state| state.subnets.get_mut("subnet-b").unwrap().has_ipv6 = true,
            &["error ip_address_type: Subnets have no IPv6 addresses"],
            "subnet-a has no IPv6 block",
        ),
    ]
}

fn bad_instances() -> Vec<Bad> {
    vec![
        bad(
            "an instance that does not exist",
            json!({"instance_ids": ["i-1", "i-none"]}),
            as_usual,
            &["error instance_ids: Instances do not exist"],
            "There is no i-none in",
        ),
        bad(
            "an instance that does not run",
            json!({}),
            |state| state.instances.get_mut("i-1").unwrap().state = "stopped".to_owned(),
            &["error instance_ids: An instance does not run"],
            "i-1 is stopped",
        ),
        bad(
            "an instance that does not run yet",
            json!({}),
            |state| state.instances.get_mut("i-1").unwrap().state = "pending".to_owned(),
            &["warning instance_ids: An instance is still starting"],
            "i-1 is pending",
        ),
        bad(
            "an instance of another VPC",
            json!({}),
            |state| state.instances.get_mut("i-1").unwrap().vpc_id = "vpc-2".to_owned(),
            &["error instance_ids: An instance is in another VPC"],
            "i-1 is in vpc-2, and the load balancer is in vpc-1",
        ),
        bad(
            "an instance of a zone without a subnet",
            json!({"instance_ids": ["i-3"]}),
            as_usual,
            &["error subnet_ids: The load balancer does not serve an instance's availability zone"],
            "Add a subnet of us-east-1c",
        ),
    ]
}

fn bad_certificates() -> Vec<Bad> {
    vec![
        bad(
            "a certificate of another region",
            json!({"certificate_arn": "arn:aws:acm:eu-west-1:123456789012:certificate/1"}),
            as_usual,
            &["error certificate_arn: The certificate is of another region"],
            "is of eu-west-1, and the load balancer is in us-east-1",
        ),
        bad(
            "a certificate that does not exist",
            json!({"certificate_arn": cert_arn(8)}),
            as_usual,
            &["error certificate_arn: The certificate does not exist"],
            "certificate/00000000-0000-0000-0000-000000000008",
        ),
        bad(
            "an additional certificate that does not exist",
            json!({"additional_certificate_arns": [cert_arn(2), cert_arn(8)]}),
            as_usual,
            &["error additional_certificate_arns: The certificate does not exist"],
            "Correct additional_certificate_arns",
        ),
        bad(
            "a certificate that waits for its validation",
            json!({"certificate_arn": pending_cert_arn()}),
            as_usual,
            &["error certificate_arn: The certificate is not issued"],
            "\n- _v.codestream.example.com CNAME _w.acm-validations.aws",
        ),
        bad(
            "a certificate that was not issued",
            json!({}),
            |state| {
                with_certificate(state, |info| {
                    info.status = "FAILED".to_owned();
                    info.failure_reason = Some("CAA_ERROR".to_owned());
                });
            },
            &["error certificate_arn: The certificate is not issued"],
            "is FAILED (CAA_ERROR). Request another",
        ),
        bad(
            "a certificate that has expired",
            json!({}),
            |state| with_certificate(state, |info| info.not_after = Some(1_799_999_999)),
            &["error certificate_arn: The certificate has expired"],
            "has expired on 2027-01-15T07:59:59Z",
        ),
        bad(
            "a certificate that expires in less than 30 days",
            json!({}),
            |state| with_certificate(state, |info| info.not_after = Some(1_800_000_000 + 30 * 86_400 - 1)),
            &["warning certificate_arn: The certificate expires soon"],
            "expires in 29 days",
        ),
        bad(
            "a certificate with a key of an unsupported type",
            json!({}),
            |state| with_certificate(state, |info| info.key_algorithm = "ED25519".to_owned()),
            &["error certificate_arn: A load balancer cannot use the certificate's key"],
            "of type ED25519. Use a certificate with one of RSA_1024",
        ),
    ]
}

fn bad_policies() -> Vec<Bad> {
    vec![
        bad(
            "a security policy that does not exist",
            json!({"ssl_policy": "ELBSecurityPolicy-TLS13-1-2-Res-2021-6"}),
            as_usual,
            &["error ssl_policy: The TLS policy does not exist"],
            "for example \"ELBSecurityPolicy-TLS13-1-2-Res-2021-06\"",
        ),
        bad(
            "a security policy that is newer than the provider",
            json!({"ssl_policy": "ELBSecurityPolicy-TLS14-2031-01"}),
            as_usual,
            &[],
            "",
        ),
    ]
}

fn bad_hostnames() -> Vec<Bad> {
    vec![
        bad(
            "a hostname that only a wildcard of two labels would cover",
            json!({"hostname": "a.b.example.com"}),
            as_usual,
            &["error certificate_arn: The certificate does not cover the hostname"],
            "covers codestream.example.com, *.example.com",
        ),
        bad(
            "no hostname",
            json!({"hostname": null}),
            as_usual,
            &["warning hostname: Clients will see a name that the certificate does not cover"],
            "(it covers codestream.example.com, *.example.com)",
        ),
        bad(
            "a load balancer's own name as the hostname",
            json!({"hostname": "codestream-alb-1.us-east-1.elb.amazonaws.com"}),
            as_usual,
            &["warning hostname: Clients will see a name that the certificate does not cover"],
            "dns_record",
        ),
    ]
}

fn bad_access() -> Vec<Bad> {
    let own =
        |group: &str| json!({"security_group_ids": [group], "client_cidr_blocks": null, "instance_cidr_blocks": null});
    let blocks: Vec<String> = (0..24).map(|n| format!("198.51.100.{}/32", 2 * n)).collect();
    vec![
        bad(
            "a security group that does not exist",
            own("sg-none"),
            as_usual,
            &["error security_group_ids: Security groups do not exist"],
            "There is no sg-none in",
        ),
        bad(
            "a security group of another VPC",
            own("sg-hosts"),
            |state| state.security_groups.get_mut("sg-hosts").unwrap().vpc_id = "vpc-2".to_owned(),
            &[
                "error security_group_ids: A security group is of another VPC",
                "error instance_security_group_id: A security group is of another VPC",
            ],
            "sg-hosts is of vpc-2, and the load balancer is in vpc-1",
        ),
        bad(
            "a group of the instances that does not exist, nor is theirs",
            json!({"instance_security_group_id": "sg-none"}),
            as_usual,
            &[
                "error instance_security_group_id: Security groups do not exist",
                "warning instance_security_group_id: The instances do not let the load balancer in",
            ],
            "Set instance_security_group_id = \"sg-hosts\"",
        ),
        bad(
            "instances that let nobody in",
            json!({"instance_security_group_id": null}),
            as_usual,
            &["warning instance_security_group_id: The instances do not let the load balancer in"],
            "add to sg-hosts these ingress rules:\n- tcp 443 from 10.0.0.0/16\n- tcp 12443 from 10.0.0.0/16",
        ),
        bad(
            "nearly as many rules as the quota has",
            json!({"client_cidr_blocks": blocks}),
            as_usual,
            &["warning client_cidr_blocks: Nearly as many security group rules as AWS allows"],
            "25 sources on 2 ports make 50 ingress rules",
        ),
        bad(
            "more security groups than the quota has",
            json!({
                "security_group_ids": ["sg-1", "sg-2", "sg-3", "sg-4", "sg-5", "sg-6"],
                "client_cidr_blocks": null,
                "instance_cidr_blocks": null,
            }),
            |state| {
                for n in 1..=6 {
                    let group = state.security_groups["sg-hosts"].clone();
                    state.security_groups.insert(format!("sg-{n}"), group);
                }
            },
            &["warning security_group_ids: More security groups than AWS allows by default"],
            "names 6 security groups, and the default quota is 5",
        ),
        bad(
            "a group of the instances with little room",
            json!({}),
            |state| {
                let group = state.security_groups.get_mut("sg-hosts").unwrap();
                for n in 0..48 {
                    let rule = rule((22, 22), "tcp", Peer::Cidr(format!("198.51.100.{n}/32")));
                    group.rules.insert(format!("sgr-{n}"), (rule, Tags::new()));
                }
            },
            &["warning instance_security_group_id: Nearly as many security group rules as AWS allows"],
            "sg-hosts has 48 ingress rules of one address family and gets 2 more",
        ),
        bad(
            "nearly as many certificates as the quota has",
            json!({"additional_certificate_arns": (100..120).map(cert_arn).collect::<Vec<_>>()}),
            |state| {
                for arn in (100..120).map(cert_arn) {
                    let info = state.certificates[&cert_arn(1)].clone();
                    state.certificates.insert(arn, info);
                }
            },
            &["warning additional_certificate_arns: Nearly as many certificates as AWS allows"],
            "names 20 certificates, and the default quota is 25",
        ),
    ]
}

/// The record of a type that the good configuration's hostname has in the hosted zone.
fn record_of(kind: &str) -> (String, String, String) {
    ("Z1".to_owned(), "codestream.example.com".to_owned(), kind.to_owned())
}

fn alias(target: &str) -> RecordInfo {
    RecordInfo::Alias(AliasRecord {
        name: "codestream.example.com".to_owned(),
        kind: "A".to_owned(),
        target_zone_id: "Z35SXDOTRQ7X7K".to_owned(),
        target: target.to_owned(),
        evaluate_target_health: false,
    })
}

fn bad_records() -> Vec<Bad> {
    vec![
        bad(
            "a hosted zone that does not exist",
            json!({"dns_record": {"zone_id": "Z9"}}),
            as_usual,
            &["error dns_record.zone_id: The hosted zone does not exist"],
            "no hosted zone Z9",
        ),
        bad(
            "a record that is not in its zone",
            json!({"dns_record": {"zone_id": "Z1", "name": "codestream.example.org"}}),
            as_usual,
            &["error dns_record.name: The DNS record is not in its hosted zone"],
            "\"codestream.example.org\", and Z1 is the hosted zone of example.com",
        ),
        bad(
            "a record of somebody else's",
            json!({"dns_record": {"zone_id": "Z1"}}),
            |state| drop(state.records.insert(record_of("A"), RecordInfo::Other)),
            &["error dns_record: The DNS record exists already"],
            "Z1 has the A record codestream.example.com, which",
        ),
        bad(
            "an alias for another load balancer",
            json!({"dns_record": {"zone_id": "Z1"}}),
            |state| drop(state.records.insert(record_of("A"), alias("other-1.us-east-1.elb.amazonaws.com"))),
            &["error dns_record: The DNS record exists already"],
            "an alias of other-1.us-east-1.elb.amazonaws.com",
        ),
        bad(
            "a CNAME beside which there can be no record",
            json!({"dns_record": {"zone_id": "Z1"}}),
            |state| drop(state.records.insert(record_of("CNAME"), RecordInfo::Other)),
            &["error dns_record: The DNS record exists already"],
            "CNAME record",
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_would_fail_is_said_where_it_stands() {
    let tables = [
        bad_subnets(),
        bad_instances(),
        bad_certificates(),
        bad_policies(),
        bad_hostnames(),
        bad_access(),
        bad_records(),
    ];
    for row in tables.into_iter().flatten() {
        let aws = FakeAws::new();
        (row.in_aws)(&mut aws.state());
        let found = checked(&aws, &change(good(), &row.arguments), None).await.diagnostics;
        assert_eq!(said(&found), row.said, "{}: {found:?}", row.case);
        assert!(details(&found).contains(row.detail), "{}: {found:?}", row.case);
        assert!(aws.calls().iter().all(|call| !call.mutating), "{}", row.case);
    }
}

#[tokio::test(start_paused = true)]
async fn with_warn_nothing_is_an_error_and_with_off_nothing_is_asked() {
    let wrong = change(good(), &json!({"subnet_ids": ["subnet-a", "subnet-none"], "instance_ids": ["i-none"]}));
    let aws = FakeAws::new();
    let found = checked_in(Mode::Warn, &aws, &wrong, None, &Private::default()).await.diagnostics;
    assert_eq!(
        said(&found),
        ["warning subnet_ids: Subnets do not exist", "warning instance_ids: Instances do not exist"]
    );
    let aws = FakeAws::new();
    let found = checked_in(Mode::Off, &aws, &wrong, None, &Private::default()).await;
    assert!(found.diagnostics.is_empty() && aws.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_good_configuration_takes_few_calls_in_two_rounds() {
    let open_hosts = change(good(), &json!({"instance_security_group_id": null}));
    let with_record = change(good(), &json!({"dns_record": {"zone_id": "Z1"}}));
    for (json, calls) in [(good(), 6), (open_hosts, 7), (with_record, 8)] {
        let aws = FakeAws::new();
        open(&aws, rule((443, 12_443), "tcp", Peer::Cidr("10.0.0.0/16".to_owned())));
        let found = checked(&aws, &json, None).await;
        assert_eq!(said(&found.diagnostics), [""; 0]);
        assert_eq!(found.vpc_id.as_deref(), Some("vpc-1"));
        let rounds: BTreeSet<Duration> = aws.calls().iter().map(|call| call.at).collect();
        assert_eq!((aws.calls().len(), rounds.len()), (calls, 2), "{:?}", aws.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_changes_is_looked_up() {
    let (acm, vpc) = ("acm:DescribeCertificate", "vpc-1");
    let (subnets, instances) = ("ec2:DescribeSubnets", "ec2:DescribeInstances");
    for (arguments, expected) in [
        (json!({}), vec![]),
        (json!({"tags": {"team": "a"}, "idle_timeout": 400, "client_cidr_blocks": ["192.0.2.0/24"]}), vec![]),
        (json!({"hostname": "www.example.com"}), vec![acm]),
        (json!({"certificate_arn": cert_arn(2)}), vec![acm]),
        (json!({"ssl_policy": "ELBSecurityPolicy-FS-1-2-Res-2020-10"}), vec![]),
        (json!({"ssl_policy": "ELBSecurityPolicy-TLS14-2031-01"}), vec!["elasticloadbalancing:DescribeSSLPolicies"]),
        (json!({"additional_certificate_arns": [cert_arn(2)]}), vec![acm, acm]),
        (json!({"subnet_ids": ["subnet-a", "subnet-c"]}), vec![instances, "ec2:DescribeRouteTables", subnets]),
        (json!({"instance_ids": ["i-2"]}), vec![instances, subnets]),
        (json!({"dns_record": {"zone_id": "Z1"}}), vec!["route53:GetHostedZone", "route53:ListResourceRecordSets"]),
        (json!({"api": {"target_port": 8443}}), vec![instances]),
        (
            json!({"instance_security_group_id": null}),
            vec!["ec2:DescribeInstances", "ec2:DescribeSecurityGroups", "ec2:DescribeVpcs"],
        ),
    ] {
        let aws = FakeAws::new();
        open(&aws, rule((-1, -1), "-1", Peer::Cidr("10.0.0.0/16".to_owned())));
        let found = checked(&aws, &change(good(), &arguments), Some(&applied(&good()))).await;
        assert_eq!(operations(&aws), expected, "{arguments}");
        assert!(found.diagnostics.is_empty(), "{arguments}: {:?}", found.diagnostics);
        assert!(found.vpc_id.is_none_or(|id| id == vpc));
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_not_changed_is_not_judged_again() {
    let aws = FakeAws::new();
    {
        let mut state = aws.state();
        state.subnets.get_mut("subnet-a").unwrap().free_addresses = 0;
        state.instances.get_mut("i-1").unwrap().state = "stopped".to_owned();
        with_certificate(&mut state, |info| info.not_after = Some(0));
    }
    let more = change(
        good(),
        &json!({
            "subnet_ids": ["subnet-a", "subnet-b", "subnet-c"],
            "instance_ids": ["i-1", "i-2"],
            "additional_certificate_arns": [cert_arn(2)],
        }),
    );
    let found = checked(&aws, &more, Some(&applied(&good()))).await.diagnostics;
    assert_eq!(said(&found), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_of_another_region_shows_without_a_look_at_the_subnets() {
    let moved = change(good(), &json!({"certificate_arn": "arn:aws:acm:eu-west-1:123456789012:certificate/1"}));
    let found = checked(&FakeAws::new(), &moved, Some(&applied(&good()))).await.diagnostics;
    assert_eq!(said(&found), ["error certificate_arn: The certificate is of another region"]);
}

#[tokio::test(start_paused = true)]
async fn a_certificate_chosen_by_sni_may_cover_the_hostname() {
    let aws = FakeAws::new();
    with_certificate(&mut aws.state(), |info| info.domain_names = vec!["example.org".to_owned()]);
    let found = checked(&aws, &good(), None).await.diagnostics;
    assert_eq!(said(&found), ["error certificate_arn: The certificate does not cover the hostname"]);
    for additional in [json!([cert_arn(2)]), json!([UNKNOWN_VALUE])] {
        let json = change(good(), &json!({"additional_certificate_arns": additional}));
        assert_eq!(said(&checked(&aws, &json, None).await.diagnostics), [""; 0], "{additional}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_value_is_no_error_and_asks_for_nothing() {
    let arguments = "name scheme protocol vpc_id subnet_ids ip_address_type certificate_arn hostname instance_ids \
                     additional_certificate_arns client_cidr_blocks instance_cidr_blocks security_group_ids \
                     instance_security_group_id api broadcaster redirect_http dns_record";
    let prior = applied(&good());
    for argument in arguments.split(' ') {
        for prior in [None, Some(&prior)] {
            let aws = FakeAws::new();
            let found = checked(&aws, &change(good(), &json!({argument: UNKNOWN_VALUE})), prior).await.diagnostics;
            assert_eq!(said(&found), [""; 0], "{argument}");
            let call = aws.calls().into_iter().find(|call| call.detail.contains("known"));
            assert_eq!(call, None, "{argument}");
        }
    }
    let all: serde_json::Map<String, Json> =
        arguments.split(' ').map(|argument| (argument.to_owned(), UNKNOWN_VALUE.into())).collect();
    let aws = FakeAws::new();
    let found = checked(&aws, &change(good(), &Json::Object(all)), None).await;
    assert!(found.diagnostics.is_empty() && found.vpc_id.is_none(), "{found:?}");
    assert!(aws.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_look_up_that_fails_is_one_warning() {
    for (fault, code) in [
        (Fault::Error("AccessDenied"), "AccessDenied"),
        (Fault::ResetBefore, AwsError::NO_ANSWER),
        (Fault::Error("InternalError"), "InternalError"),
    ] {
        for index in 0..6 {
            let aws = FakeAws::new();
            aws.fail_at(index, fault);
            let found = checked(&aws, &good(), None).await.diagnostics;
            let operation = aws.calls()[index].operation;
            assert!(!found.has_errors() && found.iter().count() == 1, "{operation}: {found:?}");
            let detail = details(&found);
            assert!(detail.starts_with(&format!("{operation} failed: {code}")), "{detail}");
            assert_eq!(detail.contains("Allow the action"), code == "AccessDenied", "{detail}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn having_no_access_at_all_is_one_error_that_names_the_way_out() {
    for code in ["NoCredentials", "NoRegion", "ExpiredToken", "AccessDenied"] {
        let aws = FakeAws::new();
        (0..10).for_each(|index| aws.fail_at(index, Fault::Error(code)));
        let found = checked(&aws, &good(), None).await.diagnostics;
        assert_eq!(said(&found), ["error : The plan cannot be checked against AWS"], "{code}");
        assert!(details(&found).contains("preflight = \"off\""));
    }
}

/// Makes a load balancer of the name that the configuration asks for: its ARN.
async fn namesake(aws: &FakeAws, tags: Tags) -> String {
    let new = NewLoadBalancer {
        name: "codestream-alb".to_owned(),
        scheme: "internal".to_owned(),
        ip_address_type: "ipv4".to_owned(),
        subnet_ids: ["subnet-a", "subnet-b"].map(str::to_owned).into(),
        security_groups: BTreeSet::new(),
        tags,
    };
    aws.create_load_balancer(&new).await.unwrap().arn
}

#[tokio::test(start_paused = true)]
async fn a_name_is_taken_unless_an_interrupted_create_left_it() {
    let other = owner::<CodestreamAlb>("codestream-alb", "another".to_owned());
    let finished = other.tags(&Tags::new(), "load-balancer");
    let interrupted: Tags = finished.clone().into_iter().chain(other.marker()).collect();
    for (tags, taken) in [(Tags::new(), true), (finished, true), (interrupted, false)] {
        let aws = FakeAws::new();
        let arn = namesake(&aws, tags.clone()).await;
        let found = checked(&aws, &good(), None).await.diagnostics;
        let expected = taken.then_some("error name: The load balancer of codestream-alb exists already");
        assert_eq!(said(&found), expected.into_iter().collect::<Vec<_>>(), "{tags:?}");
        assert!(!taken || details(&found).contains(&arn) && details(&found).contains("terraform import"));
    }
}

#[tokio::test(start_paused = true)]
async fn the_load_balancer_that_a_replacement_deletes_does_not_take_the_name() {
    let aws = FakeAws::new();
    let mine = owner::<CodestreamAlb>("codestream-alb", "mine".to_owned());
    let arn = namesake(&aws, mine.tags(&Tags::new(), "load-balancer")).await;
    let by_tag = Private { resource_id: "mine".to_owned(), ..Private::default() };
    let by_arn = Private { objects: [(arn, "load-balancer".to_owned())].into(), ..Private::default() };
    for private in [by_tag, by_arn] {
        let found = checked_in(Mode::Error, &aws, &good(), None, &private).await.diagnostics;
        assert_eq!(said(&found), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_name_is_checked_as_that_of_a_new_load_balancer() {
    let aws = FakeAws::new();
    namesake(&aws, Tags::new()).await;
    let prior = applied(&change(good(), &json!({"name": "before"})));
    let found = checked(&aws, &good(), Some(&prior)).await.diagnostics;
    assert_eq!(said(&found), ["error name: The load balancer of codestream-alb exists already"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_leads_to_the_stacks_own_load_balancer_is_in_nobodys_way() {
    let own = "codestream-alb-1.us-east-1.elb.amazonaws.com";
    let with_record = change(good(), &json!({"dns_record": {"zone_id": "Z1"}}));
    let there = |aws: &FakeAws, target: &str| drop(aws.state().records.insert(record_of("A"), alias(target)));

    // A change that makes the record anew, and a replacement.
    for target in [own.to_owned(), format!("dualstack.{own}")] {
        let aws = FakeAws::new();
        there(&aws, &target);
        let found = checked(&aws, &with_record, Some(&applied(&good()))).await.diagnostics;
        assert_eq!(said(&found), [""; 0], "{target}");
        let private = Private { dns_name: own.to_owned(), ..Private::default() };
        let found = checked_in(Mode::Error, &aws, &with_record, None, &private).await.diagnostics;
        assert_eq!(said(&found), [""; 0], "{target}");
    }

    // What an interrupted create has left.
    let other = owner::<CodestreamAlb>("codestream-alb", "another".to_owned());
    let tags: Tags = other.tags(&Tags::new(), "load-balancer").into_iter().chain(other.marker()).collect();
    let aws = FakeAws::new();
    namesake(&aws, tags).await;
    let dns_name = aws.state().load_balancers.values().map(|found| found.info.dns_name.clone()).next().unwrap();
    there(&aws, &dns_name);
    assert_eq!(said(&checked(&aws, &with_record, None).await.diagnostics), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_the_stack_keeps_is_not_judged_and_a_new_one_beside_it_is() {
    let with_record = change(good(), &json!({"dns_record": {"zone_id": "Z1"}}));
    let aws = FakeAws::new();
    {
        let mut state = aws.state();
        for kind in ["A", "AAAA"] {
            state.records.insert(record_of(kind), RecordInfo::Other);
        }
        state.subnets.values_mut().for_each(|subnet| subnet.has_ipv6 = true);
    }
    let prior = applied(&with_record);
    let healthy = change(good(), &json!({"dns_record": {"zone_id": "Z1", "evaluate_target_health": true}}));
    assert_eq!(said(&checked(&aws, &healthy, Some(&prior)).await.diagnostics), [""; 0]);
    // One that was found to lead elsewhere is in the private state only.
    let kept = KeptRecord { zone_id: "Z1".into(), name: "codestream.example.com".into(), kind: "A".into() };
    let private = Private { records: vec![kept], ..Private::default() };
    let found = checked_in(Mode::Error, &aws, &with_record, Some(&applied(&good())), &private).await.diagnostics;
    assert_eq!(said(&found), [""; 0]);
    let dualstack = change(with_record, &json!({"ip_address_type": "dualstack"}));
    let found = checked(&aws, &dualstack, Some(&prior)).await.diagnostics;
    assert_eq!(said(&found), ["error dns_record: The DNS record exists already"]);
    assert!(details(&found).contains("AAAA record"), "{found:?}");
}

fn rule(ports: (i64, i64), protocol: &str, peer: Peer) -> RuleSettings {
    RuleSettings {
        direction: Direction::Ingress,
        protocol: protocol.to_owned(),
        from_port: ports.0,
        to_port: ports.1,
        peer,
        description: String::new(),
    }
}

/// Adds a rule to the security group of the instances.
fn open(aws: &FakeAws, rule: RuleSettings) {
    let mut state = aws.state();
    let group = state.security_groups.get_mut("sg-hosts").unwrap();
    group.rules.insert("sgr-open".to_owned(), (rule, Tags::new()));
}

#[tokio::test(start_paused = true)]
async fn a_rule_lets_the_load_balancer_in_when_it_is_for_its_addresses_or_its_group() {
    let cidr = |block: &str| Peer::Cidr(block.to_owned());
    let group = |id: &str| Peer::Group(id.to_owned());
    let both = (443, 12_443);
    let egress = RuleSettings { direction: Direction::Egress, ..rule(both, "tcp", cidr("10.0.0.0/16")) };
    for (rule, lets_in) in [
        (rule(both, "tcp", cidr("10.0.0.0/16")), true),
        (rule(both, "tcp", cidr("0.0.0.0/0")), true),
        (rule(both, "tcp", cidr("10.0.1.0/24")), true),
        (rule(both, "tcp", Peer::PrefixList("pl-1".to_owned())), true),
        (rule(both, "tcp", group("sg-own")), true),
        (rule((-1, -1), "-1", group("sg-own")), true),
        (rule((-1, -1), "-1", group("sg-hosts")), false),
        (rule(both, "tcp", cidr("198.51.100.0/24")), false),
        (rule(both, "tcp", cidr("::/0")), false),
        (rule(both, "udp", cidr("10.0.0.0/16")), false),
        (rule((443, 443), "tcp", cidr("10.0.0.0/16")), false),
        (egress, false),
    ] {
        let aws = FakeAws::new();
        open(&aws, rule.clone());
        let json = change(good(), &json!({"instance_security_group_id": null}));
        let found = checked(&aws, &json, Some(&applied(&good()))).await.diagnostics;
        assert_eq!(found.is_empty(), lets_in, "{rule:?}: {found:?}");
    }
}
