//! The AWS semantics that the other tests rely on and that moto lacks.

use acceptance_tests::Account;
use serde_json::{Value, json};

use crate::stack::{list, text};

fn account() -> Account {
    Account::new().expect("an AWS account")
}

/// The error code with which AWS refuses the call.
#[track_caller]
fn refusal(aws: &Account, service: &str, operation: &str, params: Value) -> String {
    aws.try_call(service, operation, params).expect_err("a refusal").code
}

fn create_balancer(aws: &Account, name: &str, groups: &Value) -> String {
    let params = json!({ "Name": name, "Subnets": aws.seed().public_subnet_ids[..2], "SecurityGroups": groups });
    text(&aws.call("elbv2", "create_load_balancer", params)["LoadBalancers"][0]["LoadBalancerArn"])
}

fn create_group(aws: &Account, name: &str, port: u16) -> String {
    let params = json!({ "Name": name, "Port": port, "Protocol": "HTTP", "VpcId": aws.seed().vpc_id });
    text(&aws.call("elbv2", "create_target_group", params)["TargetGroups"][0]["TargetGroupArn"])
}

fn listener(balancer: &str, port: u16, group: &str) -> Value {
    let actions = json!([{ "Type": "forward", "TargetGroupArn": group }]);
    json!({ "LoadBalancerArn": balancer, "Port": port, "Protocol": "HTTP", "DefaultActions": actions })
}

/// Each target's state and reason.
fn health(aws: &Account, group: &str) -> Vec<(String, String)> {
    let answer = aws.call("elbv2", "describe_target_health", json!({ "TargetGroupArn": group }));
    list(&answer, "TargetHealthDescriptions")
        .iter()
        .map(|target| (text(&target["TargetHealth"]["State"]), text(&target["TargetHealth"]["Reason"])))
        .collect()
}

fn state(state: &str, reason: &str) -> Vec<(String, String)> {
    vec![(state.to_owned(), reason.to_owned())]
}

#[test]
fn creating_the_same_again_answers_with_what_exists_and_other_settings_are_refused() {
    let aws = account();
    let (vpc, host_group) = (&aws.seed().vpc_id, json!([aws.seed().instance_security_group_id]));
    let balancer = create_balancer(&aws, "one", &host_group);
    assert_eq!(create_balancer(&aws, "one", &host_group), balancer);
    let other = json!({ "Name": "one", "Subnets": aws.seed().public_subnet_ids });
    assert_eq!(refusal(&aws, "elbv2", "create_load_balancer", other), "DuplicateLoadBalancerName");

    let group = create_group(&aws, "group", 80);
    assert_eq!(create_group(&aws, "group", 80), group);
    let other = json!({ "Name": "group", "Port": 81, "Protocol": "HTTP", "VpcId": vpc });
    assert_eq!(refusal(&aws, "elbv2", "create_target_group", other), "DuplicateTargetGroupName");

    let create = |params: Value| text(&aws.call("elbv2", "create_listener", params)["Listeners"][0]["ListenerArn"]);
    let first = create(listener(&balancer, 80, &group));
    assert_eq!(create(listener(&balancer, 80, &group)), first);
    let other = listener(&balancer, 80, &create_group(&aws, "other", 80));
    assert_eq!(refusal(&aws, "elbv2", "create_listener", other), "DuplicateListener");

    let second = create_balancer(&aws, "two", &host_group);
    let shared = listener(&second, 80, &group);
    assert_eq!(refusal(&aws, "elbv2", "create_listener", shared), "TargetGroupAssociationLimit");
}

#[test]
fn targets_are_checked_once_a_listener_refers_to_their_group_and_drain_when_deregistered() {
    let aws = account();
    let balancer = create_balancer(&aws, "one", &json!([]));
    let group = create_group(&aws, "group", 80);
    let id = &aws.seed().instance_ids[0];
    let targets = json!({ "TargetGroupArn": group, "Targets": [{ "Id": id }] });
    aws.call("elbv2", "register_targets", targets.clone());
    assert_eq!(health(&aws, &group), state("unused", "Target.NotInUse"));
    aws.call("elbv2", "create_listener", listener(&balancer, 80, &group));
    assert_eq!(health(&aws, &group), state("initial", "Elb.InitialHealthChecking"));
    assert_eq!(health(&aws, &group), state("healthy", ""));
    aws.configure(json!({ "health": { id: { "state": "unhealthy", "reason": "Target.Timeout" } } }));
    assert_eq!(health(&aws, &group), state("unhealthy", "Target.Timeout"));
    aws.call("elbv2", "deregister_targets", targets);
    assert_eq!(health(&aws, &group), state("draining", "Target.DeregistrationInProgress"));
    assert!(health(&aws, &group).is_empty());
}

#[test]
fn what_is_in_use_or_protected_cannot_be_deleted() {
    let aws = account();
    let params = json!({ "GroupName": "balancer", "Description": "balancer", "VpcId": aws.seed().vpc_id });
    let group = aws.call("ec2", "create_security_group", params)["GroupId"].clone();
    let balancer = create_balancer(&aws, "one", &json!([group]));
    let by_id = json!({ "GroupId": group });
    assert_eq!(refusal(&aws, "ec2", "delete_security_group", by_id.clone()), "DependencyViolation");

    let protect = |value: &str| {
        let attributes = json!([{ "Key": "deletion_protection.enabled", "Value": value }]);
        let params = json!({ "LoadBalancerArn": balancer, "Attributes": attributes });
        aws.call("elbv2", "modify_load_balancer_attributes", params);
    };
    let by_arn = json!({ "LoadBalancerArn": balancer });
    protect("true");
    assert_eq!(refusal(&aws, "elbv2", "delete_load_balancer", by_arn.clone()), "OperationNotPermitted");
    protect("false");
    aws.configure(json!({ "interface_release_seconds": 3600 }));
    aws.call("elbv2", "delete_load_balancer", by_arn);
    assert_eq!(refusal(&aws, "ec2", "delete_security_group", by_id), "DependencyViolation");
}

#[test]
fn https_takes_an_issued_certificate_which_cannot_be_deleted_then() {
    let aws = account();
    let (seed, balancer) = (aws.seed(), create_balancer(&aws, "one", &json!([])));
    let group = create_group(&aws, "group", 443);
    let https = |certificates: Value| {
        let mut params = listener(&balancer, 443, &group);
        params["Protocol"] = json!("HTTPS");
        params["Certificates"] = certificates;
        params
    };
    let with = |arn: &str| https(json!([{ "CertificateArn": arn }]));
    assert_eq!(refusal(&aws, "elbv2", "create_listener", https(json!([]))), "ValidationError");
    let pending = with(&seed.pending_certificate_arn);
    assert_eq!(refusal(&aws, "elbv2", "create_listener", pending), "UnsupportedCertificate");
    let unknown = with("arn:aws:acm:us-east-1:1:certificate/none");
    assert_eq!(refusal(&aws, "elbv2", "create_listener", unknown), "CertificateNotFound");
    aws.call("elbv2", "create_listener", with(&seed.issued_certificate_arn));
    let in_use = json!({ "CertificateArn": seed.issued_certificate_arn });
    assert_eq!(refusal(&aws, "acm", "delete_certificate", in_use), "ResourceInUseException");
    aws.call("acm", "delete_certificate", json!({ "CertificateArn": seed.wildcard_certificate_arn }));
}

#[test]
fn a_listener_forwards_to_several_groups_one_of_which_keeps_clients_only_when_it_keeps_them_too() {
    let aws = account();
    let balancer = create_balancer(&aws, "one", &json!([]));
    let groups = ["a", "b"].map(|name| create_group(&aws, name, 80));
    let made = aws.call("elbv2", "create_listener", listener(&balancer, 80, &groups[0]));
    let attributes = json!([{ "Key": "stickiness.enabled", "Value": "true" }]);
    let params = json!({ "TargetGroupArn": groups[1], "Attributes": attributes });
    aws.call("elbv2", "modify_target_group_attributes", params);
    let forward = |keeps: bool| {
        let tuples = groups.each_ref().map(|arn| json!({ "TargetGroupArn": arn, "Weight": 1 }));
        let mut config = json!({ "TargetGroups": tuples });
        if keeps {
            config["TargetGroupStickinessConfig"] = json!({ "Enabled": true, "DurationSeconds": 1 });
        }
        let actions = json!([{ "Type": "forward", "ForwardConfig": config }]);
        json!({ "ListenerArn": made["Listeners"][0]["ListenerArn"], "DefaultActions": actions })
    };
    assert_eq!(refusal(&aws, "elbv2", "modify_listener", forward(false)), "InvalidLoadBalancerAction");
    aws.call("elbv2", "modify_listener", forward(true));
}

#[test]
fn load_balancing_objects_are_tagged_one_at_a_time() {
    let aws = account();
    let arns = json!([create_balancer(&aws, "one", &json!([])), create_group(&aws, "group", 80)]);
    let tags = json!([{ "Key": "team", "Value": "one" }]);
    let add = |arns: Value| json!({ "ResourceArns": arns, "Tags": tags });
    let remove = |arns: Value| json!({ "ResourceArns": arns, "TagKeys": ["team"] });
    assert_eq!(refusal(&aws, "elbv2", "add_tags", add(arns.clone())), "ValidationError");
    assert_eq!(refusal(&aws, "elbv2", "remove_tags", remove(arns.clone())), "ValidationError");
    aws.call("elbv2", "add_tags", add(json!([arns[0]])));
    aws.call("elbv2", "remove_tags", remove(json!([arns[0]])));
}

#[test]
fn accounts_do_not_see_one_another() {
    let (one, other) = (account(), account());
    create_balancer(&one, "one", &json!([]));
    assert_eq!(
        refusal(&other, "elbv2", "describe_load_balancers", json!({ "Names": ["one"] })),
        "LoadBalancerNotFound"
    );
    assert_ne!(one.seed().account, other.seed().account);
}

#[test]
fn a_replication_group_goes_back_to_no_earlier_version() {
    let aws = account();
    let params = json!({
        "ReplicationGroupId": "redis", "ReplicationGroupDescription": "redis", "Engine": "redis",
        "CacheNodeType": "cache.t3.micro", "EngineVersion": "7.0",
    });
    aws.call("elasticache", "create_replication_group", params);
    let version = |version: &str| json!({ "ReplicationGroupId": "redis", "EngineVersion": version });
    let refused = refusal(&aws, "elasticache", "modify_replication_group", version("6.2"));
    assert_eq!(refused, "InvalidParameterCombination");
    aws.call("elasticache", "modify_replication_group", version("7.1"));
}

#[test]
fn a_deleted_replication_group_goes_and_then_its_subnet_group_can() {
    let aws = account();
    let subnets = &aws.seed().public_subnet_ids[..2];
    let params = json!({
        "CacheSubnetGroupName": "subnets", "CacheSubnetGroupDescription": "subnets", "SubnetIds": subnets,
    });
    aws.call("elasticache", "create_cache_subnet_group", params);
    let params = json!({
        "ReplicationGroupId": "redis", "ReplicationGroupDescription": "redis", "Engine": "redis",
        "CacheNodeType": "cache.t3.micro", "CacheSubnetGroupName": "subnets",
    });
    aws.call("elasticache", "create_replication_group", params);
    let (redis, subnets) = (json!({ "ReplicationGroupId": "redis" }), json!({ "CacheSubnetGroupName": "subnets" }));
    let refused = refusal(&aws, "elasticache", "delete_cache_subnet_group", subnets.clone());
    assert_eq!(refused, "CacheSubnetGroupInUse");
    aws.call("elasticache", "delete_replication_group", redis.clone());
    let described = aws.call("elasticache", "describe_replication_groups", redis.clone());
    assert_eq!(described["ReplicationGroups"][0]["Status"], "deleting");
    let gone = refusal(&aws, "elasticache", "describe_replication_groups", redis);
    assert_eq!(gone, "ReplicationGroupNotFoundFault");
    aws.call("elasticache", "delete_cache_subnet_group", subnets);
}
