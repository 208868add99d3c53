//! The checks as a whole, on an AWS in memory: what each says about what, and what it asks for that.

mod mistakes;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use tfplugin::value::Value;

use super::{Mode, Preflight, check};
use crate::alb::CodestreamAlb;
use crate::alb::desired::instance_rules_description;
use crate::alb::resolve::resolve;
use crate::alb::samples::{UNKNOWN_VALUE, change, configuration, https};
use crate::aws::fake::{FakeAws, Fault, cert_arn};
use crate::aws::{
    Aws, AwsError, Direction, NewLoadBalancer, Peer, RecordInfo, RouteInfo, RouteTableInfo, RuleSettings, Tags, VpcInfo,
};
use crate::resource::find::owner;
use crate::resource::private::{KeptRecord, Private};
use crate::resource::testing::{details, said};
use mistakes::{alias, record_of, with_certificate};

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

#[tokio::test(start_paused = true)]
async fn what_would_fail_is_said_where_it_stands() {
    for row in mistakes::all() {
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
    for (json, calls) in [(good(), 6), (open_hosts, 6), (with_record, 8)] {
        let aws = FakeAws::new();
        open(&aws, rule((443, 12_443), "tcp", Peer::Cidr("10.0.0.0/16".to_owned())));
        let found = checked(&aws, &json, None).await;
        assert_eq!(said(&found.diagnostics), [""; 0]);
        assert_eq!(found.vpc_id.as_deref(), Some("vpc-1"));
        let rounds: BTreeSet<Duration> = aws.calls().iter().map(|call| call.at).collect();
        assert_eq!((aws.calls().len(), rounds.len()), (calls, 2), "{:?}", aws.calls());
        // The routes of its subnets tell its blocks.
        assert_eq!(found.vpc.as_ref(), aws.state().vpcs.get("vpc-1"));
    }
}

#[test]
fn every_block_of_a_vpc_is_in_its_local_routes() {
    let table = |routes: &[(&str, &str)]| RouteTableInfo {
        subnet_ids: BTreeSet::new(),
        main: false,
        routes: routes
            .iter()
            .map(|(destination, target)| RouteInfo {
                destination: (*destination).to_owned(),
                target: (*target).to_owned(),
            })
            .collect(),
    };
    let first = table(&[("10.0.0.0/16", "local"), ("2001:db8::/56", "local"), ("0.0.0.0/0", "igw-1")]);
    // A local route can be led through an appliance.
    let second = table(&[("10.0.0.0/16", "eni-1"), ("10.1.0.0/16", "local"), ("10.2.0.0/16", "pcx-1")]);
    let expected = VpcInfo {
        id: "vpc-1".to_owned(),
        cidr_blocks: ["10.0.0.0/16", "10.1.0.0/16"].map(str::to_owned).into(),
        ipv6_cidr_blocks: ["2001:db8::/56".to_owned()].into(),
    };
    assert_eq!(VpcInfo::routed("vpc-1", &[first, second]), Some(expected));
    assert_eq!(VpcInfo::routed("vpc-1", &[table(&[("0.0.0.0/0", "igw-1")])]), None);
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
async fn a_load_balancers_own_name_is_not_judged_again_whatever_its_capitals() {
    let json = change(good(), &json!({"hostname": null}));
    let mut prior = applied(&json);
    prior.put("dns_name", "CodeStream-1.us-east-1.elb.amazonaws.com");
    prior.put("hostname", "codestream-1.us-east-1.elb.amazonaws.com");
    let aws = FakeAws::new();
    let found = checked(&aws, &json, Some(&prior)).await.diagnostics;
    assert_eq!(said(&found), [""; 0]);
    assert_eq!(operations(&aws), [""; 0]);
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
            // The VPC that is planned is known by them.
            let ends = operation == "ec2:DescribeSubnets" && code != "AccessDenied";
            assert!(found.has_errors() == ends && found.iter().count() == 1, "{operation}: {found:?}");
            let detail = details(&found);
            assert!(detail.contains(&format!("{operation} failed: {code}")), "{detail}");
            assert_eq!(detail.contains("Allow the action"), code == "AccessDenied", "{detail}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn having_no_access_at_all_is_one_error_that_names_the_way_out() {
    let codes =
        ["NoCredentials", "NoRegion", "ExpiredToken", "RequestExpired", "InvalidSignatureException", "AccessDenied"];
    for code in codes {
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
            state.records.insert(record_of(kind), RecordInfo::Plain);
        }
        state.subnets.values_mut().for_each(|subnet| subnet.has_ipv6 = true);
    }
    let prior = applied(&with_record);
    let healthy = change(good(), &json!({"dns_record": {"zone_id": "Z1", "evaluate_target_health": true}}));
    assert_eq!(said(&checked(&aws, &healthy, Some(&prior)).await.diagnostics), [""; 0]);
    // One that was found to lead elsewhere is in the private state only.
    let (zone_id, name) = ("Z1".to_owned(), "codestream.example.com".to_owned());
    let kept = KeptRecord { zone_id, name, kind: "A".to_owned(), routed: false };
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

#[tokio::test(start_paused = true)]
async fn rules_that_the_stack_keeps_for_groups_of_the_users_are_in_nobodys_way() {
    let brought = json!({"security_group_ids": ["sg-hosts"], "client_cidr_blocks": null, "instance_cidr_blocks": null});
    let before = change(good(), &brought);
    let after = change(before.clone(), &json!({"broadcaster": {"target_port": 443}}));
    for (description, described) in [
        (String::new(), vec!["error instance_security_group_id: Another rule lets the load balancer in already"]),
        (instance_rules_description("codestream-alb"), vec![]),
    ] {
        let aws = FakeAws::new();
        let there = rule((443, 443), "tcp", Peer::Group("sg-hosts".to_owned()));
        open(&aws, RuleSettings { description, ..there });
        let found = checked(&aws, &after, Some(&applied(&before))).await.diagnostics;
        assert_eq!(said(&found), described);
    }
}
