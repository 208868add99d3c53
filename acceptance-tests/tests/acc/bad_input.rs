//! Wrong configurations with real Terraform: each gives its diagnostics, and none of them changes anything in AWS.

use std::collections::BTreeMap;

use acceptance_tests::{Account, Output, Seed, with_each_cli};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{certificates, stack};

/// The provider's own table of what can be wrong, and its snapshot of what it says to each row.
const TABLE: &str = include_str!("../../../provider/src/alb/bad_configurations.json");
const MESSAGES: &str = include_str!(
    "../../../provider/src/alb/snapshots/terraform_provider_codestream__alb__validate__tests__bad_configurations.snap"
);

/// A configuration that something is wrong with.
#[derive(Deserialize)]
struct Bad {
    case: String,
    /// `https` or `http`: the good configuration that `change` spoils.
    base: String,
    change: Map<String, Value>,
    /// Severity and path of every diagnostic.
    expect: Vec<String>,
}

impl Bad {
    fn arguments(&self) -> Map<String, Value> {
        let mut arguments = json!({
            "subnet_ids": ["subnet-0a", "subnet-0b"],
            "instance_ids": ["i-0123456789abcdef0"],
            "client_cidr_blocks": ["198.51.100.0/24"],
        });
        if self.base == "http" {
            arguments["protocol"] = json!("HTTP");
        } else {
            let certificate = "arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012";
            arguments["certificate_arn"] = json!(certificate);
            arguments["hostname"] = json!("codestream.example.com");
            arguments["instance_cidr_blocks"] = json!(["203.0.113.7/32"]);
        }
        with(arguments, &self.change)
    }
}

fn table() -> Vec<Bad> {
    let table: Vec<Bad> = serde_json::from_str(TABLE).expect("a table of rows");
    assert!(table.len() >= 60, "{} rows", table.len());
    table
}

/// Arguments with some others instead.
fn with(arguments: Value, change: &Map<String, Value>) -> Map<String, Value> {
    let mut arguments = arguments.as_object().cloned().unwrap_or_default();
    arguments.extend(change.clone());
    arguments
}

/// A diagnostic: severity, summary and detail.
type Said = (String, String, String);

/// The snapshot: each case, and what is said to it, sorted.
fn messages() -> Vec<(String, Vec<Said>)> {
    let mut cases: Vec<(String, Vec<Said>)> = Vec::new();
    // Between the first two marks the snapshot says what it is.
    for line in MESSAGES.splitn(3, "---\n").last().unwrap_or_default().lines() {
        if let Some(case) = line.strip_prefix("# ") {
            cases.push((case.to_owned(), Vec::new()));
            continue;
        }
        let (_, said) = cases.last_mut().expect("a case first");
        if let Some(detail) = line.strip_prefix("    ") {
            said.last_mut().expect("a summary first").2 += detail;
        } else {
            let (place, summary) = line.split_once(": ").expect("a severity, a path and a summary");
            let severity = place.split(' ').next().unwrap_or_default();
            said.push((severity.to_owned(), summary.to_owned(), String::new()));
        }
    }
    cases.iter_mut().for_each(|(_, said)| said.sort());
    cases
}

/// What a command that was run with `-json` said to each resource, sorted; under the empty address what it said of
/// nothing in particular.
fn said(output: &Output) -> BTreeMap<String, Vec<Said>> {
    let mut said: BTreeMap<String, Vec<Said>> = BTreeMap::new();
    for line in output.stdout.lines() {
        let line: Value = serde_json::from_str(line).expect("lines of JSON");
        if line["type"] == "diagnostic" {
            let [severity, summary, detail, address] =
                ["severity", "summary", "detail", "address"].map(|field| stack::text(&line["diagnostic"][field]));
            said.entry(address).or_default().push((severity, summary, detail));
        }
    }
    said.values_mut().for_each(|said| said.sort());
    said
}

/// A configuration of these stacks, and of other resources.
fn configuration(stacks: Map<String, Value>, others: Value) -> String {
    let mut resources = others;
    // Terraform takes no type without resources.
    if !stacks.is_empty() {
        resources["codestream_alb"] = Value::Object(stacks);
    }
    json!({
        "terraform": { "required_providers": { "codestream": { "source": "codestream/codestream" } } },
        "provider": { "codestream": {} },
        "resource": resources,
    })
    .to_string()
}

fn row(index: usize) -> String {
    format!("row_{index}")
}

#[test]
fn every_bad_configuration_gets_its_diagnostics_and_makes_no_call() {
    with_each_cli(|aws, workspace| {
        let stacks =
            table().iter().enumerate().map(|(index, bad)| (row(index), Value::Object(bad.arguments()))).collect();
        workspace.write("main.tf.json", &configuration(stacks, json!({})));
        let output = workspace.run(["apply", "-auto-approve", "-json"]);
        assert_eq!(output.code, Some(1), "{}", output.stderr);
        let mut said = said(&output);
        for ((index, bad), (case, expected)) in table().iter().enumerate().zip(messages()) {
            assert_eq!(bad.case, case, "the table and the snapshot differ");
            let found = said.remove(&format!("codestream_alb.{}", row(index))).unwrap_or_default();
            assert_eq!(found, expected, "{case}");
        }
        let others: Vec<Said> = said.into_values().flatten().filter(|(severity, ..)| severity == "error").collect();
        assert!(others.is_empty(), "{others:?}");
        assert!(aws.proxy().calls().is_empty(), "{:?}", aws.proxy().calls());
    });
}

/// Puts in the place of a value a reference to one of the same kind that is not known before apply. Within a map that
/// is the whole map: its keys are always known.
fn forget(value: &mut Value, path: &[&str]) {
    match (value, path) {
        (Value::Object(entries), [name, rest @ ..]) => {
            let value = entries.entry(*name).or_insert(Value::Null);
            if value.is_null() && name.ends_with("_ids") {
                *value = json!([]);
            }
            forget(value, rest);
        }
        (value, _) => {
            let kind = match value {
                Value::Array(_) => "list",
                Value::Object(_) => "map",
                _ => "scalar",
            };
            *value = json!(format!("${{terraform_data.{kind}.output}}"));
        }
    }
}

/// The arguments with what is wrong in them unknown, and with things that exist in the account for the rest.
fn forgotten(bad: &Bad, seed: &Seed) -> Value {
    let mut arguments = Value::Object(bad.arguments());
    for expected in &bad.expect {
        let path = expected.split(' ').nth(1).unwrap_or_default().split('[').next().unwrap_or_default();
        forget(&mut arguments, &path.split('.').collect::<Vec<_>>());
    }
    if bad.change.contains_key("ip_address_type") {
        // The subnets of the account have no IPv6 addresses: that is an error for good reason.
        forget(&mut arguments, &["ip_address_type"]);
    }
    let certificate = arguments["certificate_arn"].as_str().filter(|arn| arn.starts_with("arn:")).map(str::to_owned);
    let mut text = arguments.to_string();
    let exists = [
        ("subnet-0a", &seed.public_subnet_ids[0]),
        ("subnet-0b", &seed.public_subnet_ids[1]),
        ("i-0123456789abcdef0", &seed.instance_ids[0]),
        ("sg-0a", &seed.instance_security_group_id),
        ("Z1D633PJN98FT9", &seed.zone_id),
        (certificate.as_deref().unwrap_or("no certificate"), &seed.certificate_arn),
    ];
    for (made_up, real) in exists {
        text = text.replace(&json!(made_up).to_string(), &json!(real).to_string());
    }
    serde_json::from_str(&text).expect("the JSON that it was")
}

#[test]
fn what_is_wrong_in_every_bad_configuration_may_be_unknown_at_plan() {
    with_each_cli(|aws, workspace| {
        let table = table();
        let stacks = table.iter().enumerate().map(|(index, bad)| (row(index), forgotten(bad, aws.seed()))).collect();
        let unknown = json!({
            "terraform_data": {
                "scalar": { "input": "1" },
                "list": { "input": ["x"] },
                "map": { "input": { "k": "v" } },
            },
        });
        workspace.write("main.tf.json", &configuration(stacks, unknown));
        let output = workspace.run(["plan", "-json"]);
        let mut errors: Vec<String> = Vec::new();
        for (address, said) in said(&output) {
            let index = address.strip_prefix("codestream_alb.row_").and_then(|index| index.parse::<usize>().ok());
            let case = index.map_or("", |index| table[index].case.as_str());
            let wrong = said.into_iter().filter(|(severity, ..)| severity == "error");
            errors.extend(wrong.map(|(_, summary, detail)| format!("{case}: {summary}: {detail}")));
        }
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(output.code, Some(0), "{}", output.stderr);
        assert!(aws.proxy().mutating_calls().is_empty(), "{:?}", aws.proxy().mutating_calls());
    });
}

/// What the account holds beside the seed, for configurations that are right in themselves and wrong here.
struct Elsewhere {
    vpc: String,
    subnets: Vec<String>,
    security_group: String,
    /// In the seed's VPC, in the third zone, with six free addresses.
    full_subnet: String,
    /// For `expiring.example.net`, ten days before its end.
    expiring_certificate: String,
}

impl Elsewhere {
    /// Also stops the second instance, and makes a load balancer named `taken`.
    fn new(aws: &Account) -> Self {
        let seed = aws.seed();
        let vpc = stack::text(&aws.call("ec2", "create_vpc", json!({ "CidrBlock": "10.1.0.0/16" }))["Vpc"]["VpcId"]);
        let subnet = |vpc: &str, block: &str, zone: &str| {
            let zone = format!("{}{zone}", seed.region);
            let request = json!({ "VpcId": vpc, "CidrBlock": block, "AvailabilityZone": zone });
            stack::text(&aws.call("ec2", "create_subnet", request)["Subnet"]["SubnetId"])
        };
        let full_subnet = subnet(&seed.vpc_id, "10.0.50.0/28", "c");
        for _ in 0..5 {
            aws.call("ec2", "create_network_interface", json!({ "SubnetId": full_subnet }));
        }
        let group = json!({ "GroupName": "elsewhere", "Description": "elsewhere", "VpcId": vpc });
        aws.call("ec2", "stop_instances", json!({ "InstanceIds": seed.instance_ids[1..] }));
        let taken = json!({ "Name": "taken", "Subnets": seed.public_subnet_ids[..2] });
        aws.call("elbv2", "create_load_balancer", taken);
        let cname = json!({
            "Name": format!("taken.{}", seed.hostname),
            "Type": "CNAME",
            "TTL": 60,
            "ResourceRecords": [{ "Value": "example.org" }],
        });
        let batch = json!({ "Changes": [{ "Action": "CREATE", "ResourceRecordSet": cname }] });
        let params = json!({ "HostedZoneId": seed.zone_id, "ChangeBatch": batch });
        aws.call("route53", "change_resource_record_sets", params);
        Self {
            subnets: vec![subnet(&vpc, "10.1.0.0/24", "a"), subnet(&vpc, "10.1.1.0/24", "b")],
            security_group: stack::text(&aws.call("ec2", "create_security_group", group)["GroupId"]),
            vpc,
            full_subnet,
            expiring_certificate: certificates::import(aws, "expiring.example.net", 10),
        }
    }
}

/// What is changed in a good configuration, and the severity and summary of the one diagnostic that this must give.
type Mistake = (Value, &'static str);

fn mistakes_in_the_network(seed: &Seed, elsewhere: &Elsewhere) -> Vec<Mistake> {
    let public = &seed.public_subnet_ids;
    let private = &seed.private_subnet_id;
    vec![
        (json!({ "subnet_ids": [public[0], "subnet-0123456789abcdef0"] }), "error: Subnets do not exist"),
        (json!({ "subnet_ids": [public[0], elsewhere.subnets[1]] }), "error: Subnets of different VPCs"),
        (json!({ "vpc_id": elsewhere.vpc }), "error: The subnets are of another VPC"),
        (
            json!({ "subnet_ids": [public[0], public[1], private], "scheme": "internal" }),
            "error: Two subnets in one availability zone",
        ),
        (
            json!({ "subnet_ids": [public[0], elsewhere.full_subnet], "scheme": "internal" }),
            "error: A subnet is nearly full",
        ),
        (json!({ "subnet_ids": [private, public[1]] }), "error: Subnets without a route to the internet"),
        (
            json!({ "subnet_ids": public[1..] }),
            "error: The load balancer does not serve an instance's availability zone",
        ),
        (
            json!({ "ip_address_type": "dualstack", "client_ipv6_cidr_blocks": ["2001:db8::/32"] }),
            "error: Subnets have no IPv6 addresses",
        ),
        (json!({ "instance_ids": ["i-0123456789abcdef0"] }), "error: Instances do not exist"),
        (json!({ "instance_ids": seed.instance_ids[1..] }), "error: An instance does not run"),
        (json!({ "name": "taken" }), "error: The load balancer of taken exists already"),
        (
            json!({
                "client_cidr_blocks": null,
                "instance_cidr_blocks": null,
                "security_group_ids": ["sg-0123456789abcdef0"],
            }),
            "error: Security groups do not exist",
        ),
        (
            json!({ "instance_security_group_id": elsewhere.security_group }),
            "error: A security group is of another VPC",
        ),
        (json!({ "api": { "target_port": 8443 } }), "warning: The instances do not let the load balancer in"),
        (
            json!({ "client_cidr_blocks": (0..25).map(|host| format!("192.0.2.{host}/32")).collect::<Vec<_>>() }),
            "warning: Nearly as many security group rules as AWS allows",
        ),
    ]
}

fn mistakes_in_dns(seed: &Seed) -> Vec<Mistake> {
    let record = |name: &str| json!({ "dns_record": { "zone_id": seed.zone_id, "name": name } });
    vec![
        (json!({ "dns_record": { "zone_id": "Z0123456789" } }), "error: The hosted zone does not exist"),
        (record("codestream.example.org"), "error: The DNS record is not in its hosted zone"),
        (record(&format!("taken.{}", seed.hostname)), "error: The DNS record exists already"),
    ]
}

fn mistakes_with_certificates(seed: &Seed, elsewhere: &Elsewhere) -> Vec<Mistake> {
    let certificate = &seed.certificate_arn;
    let id = certificate.rsplit('/').next().unwrap_or_default();
    let missing = certificate.replace(id, "12345678-1234-1234-1234-123456789012");
    vec![
        (
            json!({ "certificate_arn": seed.pending_certificate_arn, "hostname": format!("pending.{}", seed.hostname) }),
            "error: The certificate is not issued",
        ),
        (json!({ "certificate_arn": missing }), "error: The certificate does not exist"),
        (
            json!({ "certificate_arn": certificate.replace(&seed.region, "eu-west-1") }),
            "error: The certificate is of another region",
        ),
        (json!({ "hostname": "other.example.org" }), "error: The certificate does not cover the hostname"),
        (json!({ "hostname": null }), "warning: Clients will see a name that the certificate does not cover"),
        (
            json!({ "certificate_arn": elsewhere.expiring_certificate, "hostname": "expiring.example.net" }),
            "warning: The certificate expires soon",
        ),
    ]
}

#[test]
fn what_aws_would_refuse_is_found_at_plan_without_changing_anything() {
    with_each_cli(|aws, workspace| {
        let (seed, elsewhere) = (aws.seed(), Elsewhere::new(aws));
        let mut good: Value = stack::base_arguments(seed).into_iter().collect();
        good["certificate_arn"] = json!(seed.certificate_arn);
        good["hostname"] = json!(seed.hostname);
        let mistakes = [
            mistakes_in_the_network(seed, &elsewhere),
            mistakes_with_certificates(seed, &elsewhere),
            mistakes_in_dns(seed),
        ]
        .concat();
        let spoilt = |change: &Value| Value::Object(with(good.clone(), change.as_object().unwrap_or(&Map::new())));
        let mut stacks: Map<String, Value> =
            mistakes.iter().enumerate().map(|(index, (change, _))| (row(index), spoilt(change))).collect();
        stacks.insert("good".to_owned(), good.clone());
        workspace.write("main.tf.json", &configuration(stacks, json!({})));

        let output = workspace.run(["plan", "-json"]);
        assert_eq!(output.code, Some(1), "{}", output.stderr);
        let said = said(&output);
        for (index, (change, expected)) in mistakes.iter().enumerate() {
            let found = said.get(&format!("codestream_alb.{}", row(index))).into_iter().flatten();
            let found: Vec<String> = found.map(|(severity, summary, _)| format!("{severity}: {summary}")).collect();
            assert_eq!(found, [*expected], "{change}");
        }
        assert_eq!(said.get("codestream_alb.good"), None);
        assert!(aws.proxy().mutating_calls().is_empty(), "{:?}", aws.proxy().mutating_calls());
    });
}

#[test]
fn what_aws_would_refuse_of_a_cluster_is_found_at_plan_without_changing_anything() {
    with_each_cli(|aws, workspace| {
        let seed = aws.seed();
        Elsewhere::new(aws);
        let (public, private) = (&seed.public_subnet_ids, &seed.private_subnet_id);
        for id in public {
            let params = json!({ "SubnetId": id, "MapPublicIpOnLaunch": { "Value": true } });
            aws.call("ec2", "modify_subnet_attribute", params);
        }
        let zone = format!("{}b", seed.region);
        let params = json!({ "VpcId": seed.vpc_id, "CidrBlock": "10.0.60.0/24", "AvailabilityZone": zone });
        let shut = stack::text(&aws.call("ec2", "create_subnet", params)["Subnet"]["SubnetId"]);
        let good = json!({
            "name": "realtime",
            "subnet_ids": public[..2],
            "client_cidr_blocks": ["198.51.100.0/24"],
            "certificate_arn": seed.certificate_arn,
            "hostname": seed.hostname,
        });
        let abroad = seed.certificate_arn.replace(&seed.region, "eu-west-1");
        let pending = format!("pending.{}", seed.hostname);
        let mistakes: Vec<Mistake> = vec![
            (json!({ "node_subnet_ids": [public[0], "subnet-0123456789abcdef0"] }), "error: Subnets do not exist"),
            (json!({ "node_subnet_ids": public[1..] }), "error: Nodes where the load balancer is not"),
            (json!({ "node_subnet_ids": [public[0], shut] }), "warning: Nodes have no way out"),
            (
                json!({ "subnet_ids": [private, public[1]], "node_subnet_ids": public[..2] }),
                "error: Subnets without a route to the internet",
            ),
            (
                json!({ "certificate_arn": seed.pending_certificate_arn, "hostname": pending }),
                "error: The certificate is not issued",
            ),
            (json!({ "certificate_arn": abroad }), "error: The certificate is of another region"),
            (json!({ "hostname": "other.example.org" }), "error: The certificate does not cover the hostname"),
            (json!({ "dns_record": { "zone_id": "Z0123456789" } }), "error: The hosted zone does not exist"),
            (json!({ "name": "taken" }), "error: The load balancer of taken exists already"),
        ];
        let spoilt = |change: &Value| Value::Object(with(good.clone(), change.as_object().unwrap_or(&Map::new())));
        let mut clusters: Map<String, Value> =
            mistakes.iter().enumerate().map(|(index, (change, _))| (row(index), spoilt(change))).collect();
        clusters.insert("good".to_owned(), good.clone());
        let clusters = json!({ "codestream_deepstream_cluster": clusters });
        workspace.write("main.tf.json", &configuration(Map::new(), clusters));

        let output = workspace.run(["plan", "-json"]);
        assert_eq!(output.code, Some(1), "{}", output.stderr);
        let said = said(&output);
        for (index, (change, expected)) in mistakes.iter().enumerate() {
            let found = said.get(&format!("codestream_deepstream_cluster.{}", row(index))).into_iter().flatten();
            let found: Vec<String> = found.map(|(severity, summary, _)| format!("{severity}: {summary}")).collect();
            assert_eq!(found, [*expected], "{change}");
        }
        assert_eq!(said.get("codestream_deepstream_cluster.good"), None);
        assert!(aws.proxy().mutating_calls().is_empty(), "{:?}", aws.proxy().mutating_calls());
    });
}
