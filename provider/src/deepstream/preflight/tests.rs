//! The checks as a whole, on an AWS in memory: what each says about what, and what it asks for that.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use tfplugin::value::Value;

use super::{Mode, Preflight, check};
use crate::aws::fake::{FakeAws, Fault, State, cert_arn, pending_cert_arn};
use crate::aws::{Aws, NewLoadBalancer, Tags};
use crate::deepstream::resolve::resolve;
use crate::deepstream::samples::{UNKNOWN_VALUE, change, configuration, small};
use crate::resource::private::Private;
use crate::resource::testing::{details, said};

/// In January 2027; the certificates of the fake end in 2100.
const NOW: u64 = 1_800_000_000;

/// A configuration with which all is well.
fn good() -> Json {
    change(
        small(),
        &json!({
            "subnet_ids": ["subnet-a", "subnet-b"],
            "certificate_arn": cert_arn(1),
            "hostname": "codestream.example.com",
        }),
    )
}

fn resolved(json: &Json) -> Value {
    resolve(&configuration(json))
}

/// The state of an applied configuration, as far as the checks look at it.
fn applied(json: &Json) -> Value {
    let mut state = resolved(json);
    state.put("arn", "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/realtime/1");
    state.put("dns_name", "realtime-1.us-east-1.elb.amazonaws.com");
    state.put("vpc_id", "vpc-1");
    state.put("ami_id", "ami-0a");
    state
}

async fn checked_in(mode: Mode, aws: &FakeAws, json: &Json, prior: Option<&Value>) -> Preflight {
    check(aws, &resolved(json), prior, &Private::default(), mode, UNIX_EPOCH + Duration::from_secs(NOW)).await
}

async fn checked(aws: &FakeAws, json: &Json, prior: Option<&Value>) -> Preflight {
    checked_in(Mode::Error, aws, json, prior).await
}

/// A configuration that differs from the good one, in an AWS that differs from the usual one, what is said, and a part
/// of the details.
type Bad = (Json, fn(&mut State), &'static [&'static str], &'static str);

fn bad(arguments: Json, in_aws: fn(&mut State), said: &'static [&'static str], detail: &'static str) -> Bad {
    (arguments, in_aws, said, detail)
}

fn as_usual(_: &mut State) {}

fn bad_places() -> Vec<Bad> {
    vec![
        bad(
            json!({"subnet_ids": ["subnet-a", "subnet-b", "subnet-none"]}),
            as_usual,
            &["error subnet_ids: Subnets do not exist"],
            "There is no subnet-none in",
        ),
        bad(
            json!({"node_subnet_ids": ["subnet-a", "subnet-none"]}),
            as_usual,
            &["error node_subnet_ids: Subnets do not exist"],
            "Correct node_subnet_ids",
        ),
        bad(
            json!({"subnet_ids": ["subnet-a", "subnet-b", "subnet-private"], "scheme": "internal"}),
            as_usual,
            &["error subnet_ids: Two subnets in one availability zone"],
            "subnet-a, subnet-private are all in us-east-1a",
        ),
        bad(
            json!({"node_subnet_ids": ["subnet-a", "subnet-b", "subnet-private"]}),
            as_usual,
            &["error node_subnet_ids: Two subnets in one availability zone"],
            "node_subnet_ids takes one subnet of each zone",
        ),
        bad(
            json!({"node_subnet_ids": ["subnet-b", "subnet-c"]}),
            as_usual,
            &["error node_subnet_ids: Nodes where the load balancer is not"],
            "to nodes in us-east-1c",
        ),
        bad(
            json!({"node_subnet_ids": ["subnet-b", "subnet-private"]}),
            |state| state.subnets.get_mut("subnet-private").unwrap().vpc_id = "vpc-2".to_owned(),
            &["error subnet_ids: Subnets of different VPCs"],
            "subnet-a, subnet-b of vpc-1 and subnet-private of vpc-2",
        ),
        bad(
            json!({}),
            |state| state.subnets.get_mut("subnet-a").unwrap().free_addresses = 7,
            &["error subnet_ids: A subnet is nearly full"],
            "subnet-a has 7 free addresses, and a load balancer needs 8",
        ),
        bad(
            json!({}),
            |state| state.subnets.get_mut("subnet-a").unwrap().free_addresses = 9,
            &["error node_subnet_ids: A subnet is nearly full"],
            "2 are needed there for nodes, one of them while a node is replaced, and 8 for the load balancer",
        ),
        bad(
            json!({"node_count": 9, "node_subnet_ids": ["subnet-b", "subnet-private"]}),
            |state| state.subnets.get_mut("subnet-private").unwrap().free_addresses = 5,
            &["error node_subnet_ids: A subnet is nearly full"],
            "subnet-private has 5 free addresses, and 6 are needed there",
        ),
    ]
}

fn bad_routes() -> Vec<Bad> {
    vec![
        bad(
            json!({"subnet_ids": ["subnet-private", "subnet-b"]}),
            as_usual,
            &["warning subnet_ids: Subnets without a route to the internet"],
            "the route table of subnet-private has",
        ),
        bad(
            json!({"node_subnet_ids": ["subnet-b", "subnet-private"]}),
            |state| state.route_tables[1].1.routes.truncate(1),
            &["warning node_subnet_ids: Nodes have no way out"],
            "The route table of subnet-private has no route for 0.0.0.0/0",
        ),
        bad(
            json!({}),
            |state| state.subnets.get_mut("subnet-b").unwrap().gives_public_addresses = false,
            &["warning node_subnet_ids: Nodes get no public addresses"],
            "subnet-b leads out through an internet gateway",
        ),
    ]
}

fn bad_names() -> Vec<Bad> {
    vec![
        bad(
            json!({"certificate_arn": "arn:aws:acm:eu-west-1:123456789012:certificate/1"}),
            as_usual,
            &["error certificate_arn: The certificate is of another region"],
            "is of eu-west-1, and the load balancer is in us-east-1",
        ),
        bad(
            json!({"certificate_arn": cert_arn(8)}),
            as_usual,
            &["error certificate_arn: The certificate does not exist"],
            "certificate/00000000-0000-0000-0000-000000000008",
        ),
        bad(
            json!({"certificate_arn": pending_cert_arn()}),
            as_usual,
            &["error certificate_arn: The certificate is not issued"],
            "\n- _v.codestream.example.com CNAME _w.acm-validations.aws",
        ),
        bad(
            json!({}),
            |state| state.certificates.get_mut(&cert_arn(1)).unwrap().not_after = Some(1_799_999_999),
            &["error certificate_arn: The certificate has expired"],
            "has expired on 2027-01-15T07:59:59Z",
        ),
        bad(
            json!({"hostname": "a.b.example.com"}),
            as_usual,
            &["error certificate_arn: The certificate does not cover the hostname"],
            "covers codestream.example.com, *.example.com",
        ),
        bad(
            json!({"hostname": null}),
            as_usual,
            &["warning hostname: Clients will see a name that the certificate does not cover"],
            "(it covers codestream.example.com, *.example.com)",
        ),
        bad(
            json!({"dns_record": {"zone_id": "Z1", "name": "realtime.example.org"}}),
            as_usual,
            &["error dns_record.name: The DNS record is not in its hosted zone"],
            "Z1 is the hosted zone of example.com",
        ),
    ]
}

fn bad_sources() -> Vec<Bad> {
    let blocks = |count: u32| (0..count).map(|n| format!("198.51.100.{n}/32")).collect::<Vec<_>>();
    vec![
        bad(
            json!({"client_cidr_blocks": blocks(25)}),
            as_usual,
            &["warning client_cidr_blocks: Nearly as many security group rules as AWS allows"],
            "25 sources on 2 ports make 50 ingress rules",
        ),
        bad(
            json!({"ssh_cidr_blocks": blocks(61)}),
            as_usual,
            &["warning ssh_cidr_blocks: More security group rules than AWS allows by default"],
            "61 sources on one port make 61 ingress rules",
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn what_would_fail_is_said_where_it_stands() {
    for (arguments, in_aws, expected, detail) in
        [bad_places(), bad_routes(), bad_names(), bad_sources()].into_iter().flatten()
    {
        let aws = FakeAws::new();
        in_aws(&mut aws.state());
        let found = checked(&aws, &change(good(), &arguments), None).await.diagnostics;
        assert_eq!(said(&found), expected, "{arguments}: {found:?}");
        assert!(details(&found).contains(detail), "{arguments}: {found:?}");
        assert!(aws.calls().iter().all(|call| !call.mutating), "{arguments}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_configuration_takes_few_calls_in_two_rounds() {
    let private = change(good(), &json!({"node_subnet_ids": ["subnet-b", "subnet-private"]}));
    for json in [good(), private] {
        let aws = FakeAws::new();
        let found = checked(&aws, &json, None).await;
        assert_eq!(said(&found.diagnostics), [""; 0]);
        assert_eq!(found.vpc_id.as_deref(), Some("vpc-1"));
        let rounds: BTreeSet<Duration> = aws.calls().iter().map(|call| call.at).collect();
        assert_eq!((aws.calls().len(), rounds.len()), (4, 2), "{:?}", aws.calls());
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_changes_is_looked_up() {
    for (arguments, expected) in [
        (json!({}), vec![]),
        (json!({"node_count": 3, "idle_timeout": 400}), vec![]),
        (json!({"hostname": "www.example.com"}), vec!["acm:DescribeCertificate"]),
        (json!({"instance_type": "t4g.micro"}), vec![]),
        (json!({"node_subnet_ids": ["subnet-b"]}), vec!["ec2:DescribeRouteTables", "ec2:DescribeSubnets"]),
    ] {
        let aws = FakeAws::new();
        let found = checked(&aws, &change(good(), &arguments), Some(&applied(&good()))).await;
        let mut operations: Vec<_> = aws.calls().iter().map(|call| call.operation).collect();
        operations.sort_unstable();
        assert_eq!(operations, expected, "{arguments}");
        assert_eq!(said(&found.diagnostics), [""; 0], "{arguments}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unknown_value_is_no_error_and_asks_for_nothing() {
    let prior = applied(&good());
    for argument in ["name", "scheme", "subnet_ids", "node_subnet_ids", "node_count", "certificate_arn", "hostname"] {
        for prior in [None, Some(&prior)] {
            let aws = FakeAws::new();
            let found = checked(&aws, &change(good(), &json!({argument: UNKNOWN_VALUE})), prior).await.diagnostics;
            assert_eq!(said(&found), [""; 0], "{argument}");
            assert!(!aws.calls().iter().any(|call| call.detail.contains("known")), "{argument}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_somebody_else_has_is_taken() {
    let aws = FakeAws::new();
    let new = NewLoadBalancer {
        name: "realtime".to_owned(),
        scheme: "internal".to_owned(),
        ip_address_type: "ipv4".to_owned(),
        subnet_ids: ["subnet-a", "subnet-b"].map(str::to_owned).into(),
        security_groups: BTreeSet::new(),
        tags: Tags::new(),
    };
    aws.create_load_balancer(&new).await.unwrap();
    let found = checked(&aws, &good(), None).await.diagnostics;
    assert_eq!(said(&found), ["error name: The load balancer of realtime exists already"]);
}

#[tokio::test(start_paused = true)]
async fn with_warn_nothing_is_an_error_and_with_off_nothing_is_asked() {
    let wrong = change(good(), &json!({"subnet_ids": ["subnet-a", "subnet-none"]}));
    let found = checked_in(Mode::Warn, &FakeAws::new(), &wrong, None).await.diagnostics;
    assert_eq!(said(&found), ["warning subnet_ids: Subnets do not exist"]);
    let aws = FakeAws::new();
    let found = checked_in(Mode::Off, &aws, &wrong, None).await;
    assert!(found.diagnostics.is_empty() && aws.calls().is_empty());
}

#[tokio::test(start_paused = true)]
async fn one_look_up_that_fails_is_one_warning() {
    for index in 0..4 {
        let aws = FakeAws::new();
        aws.fail_at(index, Fault::Error("AccessDenied"));
        let found = checked(&aws, &good(), None).await.diagnostics;
        assert!(!found.has_errors() && found.iter().count() == 1, "{found:?}");
        assert!(details(&found).starts_with(aws.calls()[index].operation), "{found:?}");
    }
}
