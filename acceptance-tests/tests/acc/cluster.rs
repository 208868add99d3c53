//! The deepstream cluster with real Terraform: from nothing to nothing, what changes replace, and the user data.

use std::collections::BTreeSet;

use acceptance_tests::{Account, Seed, Workspace, with_each_cli};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::stack::{self, HEADER};

pub(crate) const TYPE: &str = "codestream_deepstream_cluster";

/// A cluster named `realtime`, with more arguments.
pub(crate) fn cluster(seed: &Seed, more: &str) -> String {
    let given = |name: &str| more.lines().any(|line| line.trim_start().starts_with(name));
    let defaults: String = [
        ("name", json!("realtime")),
        ("subnet_ids", json!(seed.public_subnet_ids[..2])),
        ("client_cidr_blocks", json!(["198.51.100.0/24"])),
    ]
    .into_iter()
    .filter(|(name, _)| !given(name))
    .map(|(name, value)| format!("  {name} = {value}\n"))
    .collect();
    format!("{HEADER}\nresource \"{TYPE}\" \"realtime\" {{\n{defaults}{more}\n}}\n")
}

/// The instances of the cluster that run.
pub(crate) fn instances(aws: &Account) -> Vec<Value> {
    let filters = json!([
        { "Name": "tag:codestream:stack", "Values": ["realtime"] },
        { "Name": "instance-state-name", "Values": ["pending", "running"] },
    ]);
    let answer = aws.call("ec2", "describe_instances", json!({ "Filters": filters }));
    let reservations = stack::list(&answer, "Reservations");
    reservations.iter().flat_map(|reservation| stack::list(reservation, "Instances")).collect()
}

/// Their ids.
pub(crate) fn nodes(aws: &Account) -> BTreeSet<String> {
    let id = |instance: &Value| {
        assert_eq!(instance["MetadataOptions"]["HttpTokens"], "required");
        stack::text(&instance["InstanceId"])
    };
    instances(aws).iter().map(id).collect()
}

/// The user data of an instance, as AWS has it.
pub(crate) fn user_data(aws: &Account, instance: &str) -> String {
    let params = json!({ "InstanceId": instance, "Attribute": "userData" });
    let answer = aws.call("ec2", "describe_instance_attribute", params);
    let encoded = stack::text(&answer["UserData"]["Value"]);
    String::from_utf8(STANDARD.decode(encoded).expect("base64")).expect("text")
}

/// Everything in the account that a cluster could have left behind.
pub(crate) fn inventory(aws: &Account) -> Value {
    let caches = aws.call("elasticache", "describe_replication_groups", json!({}));
    let subnets = aws.call("elasticache", "describe_cache_subnet_groups", json!({}));
    json!({
        "balancing": stack::inventory(aws),
        "caches": stack::list(&caches, "ReplicationGroups"),
        "subnet_groups": stack::list(&subnets, "CacheSubnetGroups"),
        "nodes": nodes(aws),
    })
}

/// The instances of the state, and what the state says of their user data.
fn state(workspace: &Workspace) -> (BTreeSet<String>, Value) {
    let state = workspace.attributes(TYPE, "realtime");
    let ids = stack::list(&state, "nodes").iter().map(|node| stack::text(&node["instance_id"])).collect();
    (ids, state)
}

#[test]
fn a_cluster_is_created_planned_empty_and_destroyed_without_a_trace() {
    with_each_cli(|aws, workspace| {
        let before = inventory(aws);
        let certificate = json!(aws.seed().certificate_arn);
        let hostname = json!(aws.seed().hostname);
        let encrypted = format!("certificate_arn = {certificate}\nhostname = {hostname}");
        workspace.write("main.tf", &cluster(aws.seed(), &encrypted));
        workspace.plan().expect_changes();
        workspace.apply().expect_success();
        workspace.plan().expect_no_changes();

        let (ids, state) = state(workspace);
        assert_eq!((ids.len(), &ids), (2, &nodes(aws)));
        assert_eq!(state["ready"], true);
        assert_eq!(state["url"], format!("wss://{}", aws.seed().hostname));
        let zones: BTreeSet<String> =
            stack::list(&state, "nodes").iter().map(|node| stack::text(&node["availability_zone"])).collect();
        assert_eq!(zones.len(), 2, "{zones:?}");
        let digest = stack::text(&state["user_data_sha256"]);
        for id in &ids {
            let data = user_data(aws, id);
            assert_eq!(hex_sha256(&data), digest, "{data}");
            assert!(data.contains(&stack::text(&state["cache_endpoint"]).replace(":6379", "")), "{data}");
        }

        workspace.destroy().expect_success();
        assert_eq!(inventory(aws), before);
    });
}

#[test]
fn what_is_on_the_nodes_replaces_them_and_what_is_around_them_does_not() {
    with_each_cli(|aws, workspace| {
        let seed = aws.seed();
        workspace.write("main.tf", &cluster(seed, ""));
        workspace.apply().expect_success();
        let arn = stack::load_balancer(aws)["LoadBalancerArn"].clone();
        let mut last = nodes(aws);
        for (more, replaced) in [
            ("deepstream_version = \"7.0.1\"", true),
            ("deepstream_version = \"7.0.1\"\nidle_timeout = 120", false),
            ("deepstream_config = { logLevel = 2 }", true),
            ("deepstream_config = { logLevel = 2 }\nhealth_check = { interval = 15 }", false),
            ("instance_type = \"t3.small\"", true),
            ("port = 7020", true),
            ("port = 7020\ncache = { node_type = \"cache.t3.small\", replica_count = 1 }", false),
        ] {
            workspace.write("main.tf", &cluster(seed, more));
            workspace.plan().expect_changes();
            assert_eq!(workspace.planned()["resource_changes"][0]["change"]["actions"], json!(["update"]), "{more}");
            workspace.apply().expect_success();
            workspace.plan().expect_no_changes();
            let now = nodes(aws);
            let kept = last.intersection(&now).count();
            assert_eq!((now.len(), kept), (2, if replaced { 0 } else { 2 }), "{more}");
            assert_eq!(stack::load_balancer(aws)["LoadBalancerArn"], arn, "{more}");
            last = now;
        }
        workspace.destroy().expect_success();
    });
}

#[test]
fn a_cluster_grows_and_shrinks_around_the_nodes_that_stay() {
    with_each_cli(|aws, workspace| {
        let seed = aws.seed();
        workspace.write("main.tf", &cluster(seed, ""));
        workspace.apply().expect_success();
        let first = nodes(aws);
        for (count, kept) in [(4, 2), (3, 2), (2, 2)] {
            workspace.write("main.tf", &cluster(seed, &format!("node_count = {count}")));
            workspace.apply().expect_success();
            workspace.plan().expect_no_changes();
            let now = nodes(aws);
            assert_eq!((now.len(), first.intersection(&now).count()), (count, kept));
        }
        workspace.destroy().expect_success();
    });
}

/// A change of some arguments.
struct Update {
    arguments: String,
    /// How many nodes it leaves, where that does not depend on the ids of subnets.
    kept: Option<usize>,
    /// What must be so afterwards, in AWS and in the state.
    check: fn(&Account, &Value),
}

/// The parameter of an image that is not the newest.
const OTHER_IMAGE: &str = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-x86_64";

fn other_image(aws: &Account) -> Value {
    aws.call("ssm", "get_parameter", json!({ "Name": OTHER_IMAGE }))["Parameter"]["Value"].clone()
}

/// A field of every node.
fn of_nodes(aws: &Account, field: &str) -> BTreeSet<String> {
    instances(aws).iter().map(|instance| stack::text(&instance[field])).collect()
}

/// The ports of the listeners, with their certificates.
fn certificates(aws: &Account) -> Vec<(Value, Value)> {
    let listeners = stack::listeners(aws);
    listeners.into_iter().map(|listener| (listener["port"].clone(), listener["certificate"].clone())).collect()
}

/// The changes that the other tests do not make. Each takes back the one before it.
fn updates(aws: &Account) -> Vec<Update> {
    let seed = aws.seed();
    let encrypted = |arn: &String| format!("certificate_arn = {}\nhostname = {}", json!(arn), json!(seed.hostname));
    let own_image = aws.call("ec2", "register_image", json!({ "Name": "own" }))["ImageId"].clone();
    vec![
        // Its root volume has another name than that of Amazon Linux.
        Update {
            arguments: format!("ami_id = {own_image}"),
            kept: Some(0),
            check: |aws, _| {
                for instance in instances(aws) {
                    let volumes = stack::list(&instance, "BlockDeviceMappings");
                    let names: Vec<String> = volumes.iter().map(|volume| stack::text(&volume["DeviceName"])).collect();
                    assert_eq!(instance["RootDeviceName"], "/dev/sda1");
                    assert_eq!(names, ["/dev/sda1"]);
                }
            },
        },
        Update {
            arguments: format!("ami_id = {}", other_image(aws)),
            kept: Some(0),
            check: |aws, _| assert_eq!(of_nodes(aws, "ImageId"), BTreeSet::from([stack::text(&other_image(aws))])),
        },
        // The image is pinned.
        Update {
            arguments: "ssh_cidr_blocks = [\"192.0.2.0/24\"]".to_owned(),
            kept: Some(2),
            check: |aws, state| {
                let filter = json!([{ "Name": "group-id", "Values": [state["node_security_group_id"]] }]);
                let answer = aws.call("ec2", "describe_security_group_rules", json!({ "Filters": filter }));
                let rules = stack::list(&answer, "SecurityGroupRules");
                assert!(rules.iter().any(|rule| rule["CidrIpv4"] == "192.0.2.0/24" && rule["FromPort"] == 22));
            },
        },
        Update {
            arguments: encrypted(&seed.certificate_arn),
            kept: Some(2),
            check: |aws, state| {
                let expected = [(json!(80), Value::Null), (json!(443), json!(aws.seed().certificate_arn))];
                assert_eq!(certificates(aws), expected);
                assert_eq!(state["url"], format!("wss://{}", aws.seed().hostname));
            },
        },
        Update {
            arguments: encrypted(&seed.wildcard_certificate_arn),
            kept: Some(2),
            check: |aws, _| {
                assert_eq!(certificates(aws)[1], (json!(443), json!(aws.seed().wildcard_certificate_arn)));
            },
        },
        Update {
            arguments: format!("subnet_ids = {}", json!(seed.public_subnet_ids[1..3])),
            kept: None,
            check: |aws, _| {
                let wanted: BTreeSet<String> = aws.seed().public_subnet_ids[1..3].iter().cloned().collect();
                assert_eq!(of_nodes(aws, "SubnetId"), wanted);
                let zones = stack::list(&stack::load_balancer(aws), "AvailabilityZones");
                assert_eq!(zones.iter().map(|zone| stack::text(&zone["SubnetId"])).collect::<BTreeSet<_>>(), wanted);
                assert_eq!(certificates(aws), [(json!(80), Value::Null)]);
            },
        },
        Update {
            arguments: "cache = { endpoint = \"redis.internal:6379\", transit_encryption = false }".to_owned(),
            kept: Some(0),
            check: |aws, state| {
                let caches = aws.call("elasticache", "describe_replication_groups", json!({}));
                assert_eq!(stack::list(&caches, "ReplicationGroups"), Vec::<Value>::new());
                assert_eq!(state["cache_endpoint"], "redis.internal:6379");
                let ids = stack::list(state, "nodes");
                let data = user_data(aws, &stack::text(&ids[0]["instance_id"]));
                assert!(data.contains("redis.internal"), "{data}");
            },
        },
    ]
}

#[test]
fn every_other_update_leads_where_it_should_and_keeps_the_load_balancer() {
    with_each_cli(|aws, workspace| {
        let before = inventory(aws);
        workspace.write("main.tf", &cluster(aws.seed(), ""));
        workspace.apply().expect_success();
        let arn = stack::load_balancer(aws)["LoadBalancerArn"].clone();
        let mut last = nodes(aws);
        for Update { arguments, kept, check } in updates(aws) {
            workspace.write("main.tf", &cluster(aws.seed(), &arguments));
            workspace.plan().expect_changes();
            let actions = workspace.planned()["resource_changes"][0]["change"]["actions"].clone();
            assert_eq!(actions, json!(["update"]), "{arguments}");
            workspace.apply().expect_success();
            workspace.plan().expect_no_changes();
            let now = nodes(aws);
            let staying = last.intersection(&now).count();
            assert_eq!((now.len(), kept.unwrap_or(staying)), (2, staying), "{arguments}");
            assert_eq!(stack::load_balancer(aws)["LoadBalancerArn"], arn, "{arguments}");
            check(aws, &workspace.attributes(TYPE, "realtime"));
            last = now;
        }
        workspace.destroy().expect_success();
        assert_eq!(inventory(aws), before);
    });
}

#[test]
fn a_redis_that_exists_is_used_and_left_alone() {
    with_each_cli(|aws, workspace| {
        let existing = "cache = { endpoint = \"redis.internal:6380\", transit_encryption = false }";
        workspace.write("main.tf", &cluster(aws.seed(), existing));
        workspace.apply().expect_success();
        workspace.plan().expect_no_changes();
        let config = stack::text(&workspace.attributes(TYPE, "realtime")["config_yaml"]);
        let config: Value = serde_json::from_str(&config).expect("JSON");
        assert_eq!(config["cache"]["options"], json!({ "host": "redis.internal", "port": 6380 }));
        assert_eq!(config["clusterNode"], config["cache"]);
        let calls = aws.proxy().mutating_calls();
        assert!(!calls.iter().any(|call| format!("{call:?}").contains("ReplicationGroup")), "{calls:?}");
        workspace.destroy().expect_success();
    });
}

fn hex_sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
