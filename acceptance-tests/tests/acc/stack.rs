//! The configuration that the tests start from, and what AWS says of the load balancer that comes of it.

use acceptance_tests::{Account, Seed};
use serde_json::{Value, json};

pub(crate) const HEADER: &str = r#"
terraform {
  required_providers {
    codestream = { source = "codestream/codestream" }
  }
}

provider "codestream" {}
"#;

/// An HTTP stack named `codestream-alb`, with more arguments.
pub(crate) fn http(seed: &Seed, more: &str) -> String {
    stack(seed, &format!("protocol = \"HTTP\"\n{more}"))
}

/// An HTTPS stack named `codestream-alb`, with more arguments.
pub(crate) fn https(seed: &Seed, more: &str) -> String {
    let certificate = json!(seed.certificate_arn);
    let hostname = json!(seed.hostname);
    stack(seed, &format!("protocol = \"HTTPS\"\ncertificate_arn = {certificate}\nhostname = {hostname}\n{more}"))
}

fn stack(seed: &Seed, arguments: &str) -> String {
    // The tests that change these give them in `arguments`.
    let given = |name: &str| arguments.lines().any(|line| line.trim_start().starts_with(name));
    let defaults: String = base_arguments(seed)
        .into_iter()
        .filter(|(name, _)| !given(name))
        .map(|(name, value)| format!("  {name} = {value}\n"))
        .collect();
    format!("{HEADER}\nresource \"codestream_alb\" \"onprem\" {{\n{defaults}{arguments}\n}}\n")
}

/// What every stack must say, as the product's own set-up has it.
pub(crate) fn base_arguments(seed: &Seed) -> [(&'static str, Value); 5] {
    [
        ("name", json!("codestream-alb")),
        ("subnet_ids", json!(seed.public_subnet_ids[..2])),
        ("instance_ids", json!(seed.instance_ids[..1])),
        ("client_cidr_blocks", json!(["198.51.100.0/24"])),
        ("instance_cidr_blocks", json!([format!("{}/32", seed.nat_public_ip)])),
    ]
}

/// The only load balancer of the account.
#[track_caller]
pub(crate) fn load_balancer(aws: &Account) -> Value {
    let all = aws.call("elbv2", "describe_load_balancers", json!({}));
    match list(&all, "LoadBalancers").as_slice() {
        [one] => one.clone(),
        several => panic!("expected one load balancer: {several:?}"),
    }
}

/// The load balancer's attributes, by key.
pub(crate) fn attributes(aws: &Account) -> Value {
    let arn = &load_balancer(aws)["LoadBalancerArn"];
    let attributes = aws.call("elbv2", "describe_load_balancer_attributes", json!({ "LoadBalancerArn": arn }));
    list(&attributes, "Attributes")
        .into_iter()
        .map(|attribute| (text(&attribute["Key"]), attribute["Value"].clone()))
        .collect()
}

/// The load balancer's listeners by port, each with the target group that it forwards to.
pub(crate) fn listeners(aws: &Account) -> Vec<Value> {
    let arn = &load_balancer(aws)["LoadBalancerArn"];
    let mut listeners = list(&aws.call("elbv2", "describe_listeners", json!({ "LoadBalancerArn": arn })), "Listeners");
    listeners.sort_by_key(|listener| listener["Port"].as_u64());
    listeners.iter().map(|listener| summary(aws, listener)).collect()
}

fn summary(aws: &Account, listener: &Value) -> Value {
    let action = &listener["DefaultActions"][0];
    let forwarded = action["ForwardConfig"]["TargetGroups"][0]["TargetGroupArn"].as_str();
    let group = forwarded.or(action["TargetGroupArn"].as_str());
    json!({
        "port": listener["Port"],
        "protocol": listener["Protocol"],
        "certificate": listener["Certificates"][0]["CertificateArn"],
        "ssl_policy": listener["SslPolicy"],
        "action": action["Type"],
        "group": group.map(|arn| target_group(aws, arn)),
    })
}

fn target_group(aws: &Account, arn: &str) -> Value {
    let group = &aws.call("elbv2", "describe_target_groups", json!({ "TargetGroupArns": [arn] }))["TargetGroups"][0];
    let health = aws.call("elbv2", "describe_target_health", json!({ "TargetGroupArn": arn }));
    let targets: Vec<Value> = list(&health, "TargetHealthDescriptions")
        .iter()
        .map(|target| json!([target["Target"]["Id"], target["Target"]["Port"], target["TargetHealth"]["State"]]))
        .collect();
    json!({
        "port": group["Port"],
        "protocol": group["Protocol"],
        "check": [
            group["HealthCheckProtocol"],
            group["HealthCheckPort"],
            group["HealthCheckPath"],
            group["Matcher"]["HttpCode"],
        ],
        "interval": group["HealthCheckIntervalSeconds"],
        "timeout": group["HealthCheckTimeoutSeconds"],
        "thresholds": [group["HealthyThresholdCount"], group["UnhealthyThresholdCount"]],
        "targets": targets,
    })
}

/// What [`listeners`] says of the product's set-up: this port and protocol, healthy instances behind it.
pub(crate) fn product_listener(port: u16, protocol: &str, tls: [&Value; 2], instances: &[String]) -> Value {
    let targets: Vec<Value> = instances.iter().map(|id| json!([id, port, "healthy"])).collect();
    json!({
        "port": port,
        "protocol": protocol,
        "certificate": tls[0],
        "ssl_policy": tls[1],
        "action": "forward",
        "group": {
            "port": port,
            "protocol": protocol,
            "check": [protocol, "traffic-port", "/no-auth/status", "200"],
            "interval": 15,
            "timeout": 5,
            "thresholds": [5, 2],
            "targets": targets,
        },
    })
}

/// The rules of the load balancer's only security group, as `direction ports source`, sorted. All are described.
pub(crate) fn rules(aws: &Account) -> Vec<String> {
    let balancer = load_balancer(aws);
    let groups = list(&balancer, "SecurityGroups");
    assert_eq!(groups.len(), 1, "{groups:?}");
    let filter = json!([{ "Name": "group-id", "Values": groups }]);
    let answer = aws.call("ec2", "describe_security_group_rules", json!({ "Filters": filter }));
    let mut rules: Vec<String> = list(&answer, "SecurityGroupRules")
        .iter()
        .map(|rule| {
            assert!(rule["Description"].as_str().is_some_and(|text| !text.is_empty()), "not described: {rule}");
            let direction = if rule["IsEgress"] == true { "to" } else { "from" };
            let source = text(&rule["CidrIpv4"]);
            format!("{direction} {source} {} {}-{}", text(&rule["IpProtocol"]), rule["FromPort"], rule["ToPort"])
        })
        .collect();
    rules.sort();
    rules
}

/// What [`rules`] says when the set-up has these two ports.
pub(crate) fn product_rules(seed: &Seed, ports: [u16; 2]) -> Vec<String> {
    let nat = &seed.nat_public_ip;
    let mut rules: Vec<String> = ports
        .iter()
        .flat_map(|port| {
            let sources = ["from 198.51.100.0/24".to_owned(), format!("from {nat}/32"), "to 10.0.0.0/16".to_owned()];
            sources.map(|source| format!("{source} tcp {port}-{port}"))
        })
        .collect();
    rules.sort();
    rules
}

/// Everything in the account that a stack could have left behind.
pub(crate) fn inventory(aws: &Account) -> Value {
    let names = |service: &str, operation: &str, field: &str, key: &str| -> Vec<String> {
        let mut names: Vec<String> =
            list(&aws.call(service, operation, json!({})), field).iter().map(|item| text(&item[key])).collect();
        names.sort();
        names
    };
    let zone = json!({ "HostedZoneId": aws.seed().zone_id });
    let records = aws.call("route53", "list_resource_record_sets", zone);
    json!({
        "dns_records": list(&records, "ResourceRecordSets"),
        "load_balancers": names("elbv2", "describe_load_balancers", "LoadBalancers", "LoadBalancerName"),
        "target_groups": names("elbv2", "describe_target_groups", "TargetGroups", "TargetGroupName"),
        "security_groups": names("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
        "rules": names("ec2", "describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"),
        "network_interfaces": names("ec2", "describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    })
}

/// The elements of an array in an answer.
pub(crate) fn list(answer: &Value, field: &str) -> Vec<Value> {
    answer[field].as_array().cloned().unwrap_or_default()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
