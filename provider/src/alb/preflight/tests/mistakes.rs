//! Configurations in which something is wrong that only AWS can tell, and what is said of each.

use serde_json::{Value as Json, json};

use super::rule;
use crate::aws::fake::{State, cert_arn, pending_cert_arn};
use crate::aws::{AliasRecord, CertificateInfo, Peer, RecordInfo, RouteInfo, Tags};

/// A configuration that differs from the good one, in an AWS that differs from the usual one, and what is said; of the
/// details, only a part that must be there.
pub(super) struct Bad {
    pub(super) case: &'static str,
    pub(super) arguments: Json,
    pub(super) in_aws: fn(&mut State),
    pub(super) said: &'static [&'static str],
    pub(super) detail: &'static str,
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

pub(super) fn with_certificate(state: &mut State, spoil: impl FnOnce(&mut CertificateInfo)) {
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
            &["warning subnet_ids: Subnets without a route to the internet"],
            "the route table of subnet-private has",
        ),
        bad(
            "a private subnet, by a route table of its own, for a public load balancer",
            json!({"subnet_ids": ["subnet-private", "subnet-b"]}),
            |state| {
                state.route_tables[1].1.subnet_ids.insert("subnet-private".to_owned());
            },
            &["error subnet_ids: Subnets without a route to the internet"],
            "the route table of subnet-private has",
        ),
        bad(
            "an endpoint of S3, which is no way out",
            json!({}),
            |state| {
                let routes = &mut state.route_tables[0].1.routes;
                *routes = vec![RouteInfo { destination: "pl-63a5400a".to_owned(), target: "vpce-1".to_owned() }];
            },
            &["error subnet_ids: Subnets without a route to the internet"],
            "the route table of subnet-a, subnet-b has",
        ),
        bad(
            "subnets behind a firewall",
            json!({}),
            |state| state.route_tables[0].1.routes[1].target = "vpce-1".to_owned(),
            &[],
            "",
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
            "a rule of others where the provider would keep one",
            own("sg-hosts"),
            |state| {
                let rule = rule((443, 443), "tcp", Peer::Group("sg-hosts".to_owned()));
                let group = state.security_groups.get_mut("sg-hosts").unwrap();
                group.rules.insert("sgr-by-hand".to_owned(), (rule, Tags::new()));
            },
            &["error instance_security_group_id: Another rule lets the load balancer in already"],
            "sg-hosts has ingress rules as instance_security_group_id would make them",
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
pub(super) fn record_of(kind: &str) -> (String, String, String) {
    ("Z1".to_owned(), "codestream.example.com".to_owned(), kind.to_owned())
}

pub(super) fn alias(target: &str) -> RecordInfo {
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
            |state| drop(state.records.insert(record_of("A"), RecordInfo::Plain)),
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
            |state| drop(state.records.insert(record_of("CNAME"), RecordInfo::Plain)),
            &["error dns_record: The DNS record exists already"],
            "CNAME record",
        ),
    ]
}

/// All of them.
pub(super) fn all() -> impl Iterator<Item = Bad> {
    let tables = [
        bad_subnets(),
        bad_instances(),
        bad_certificates(),
        bad_policies(),
        bad_hostnames(),
        bad_access(),
        bad_records(),
    ];
    tables.into_iter().flatten()
}
