//! The deepstream cluster with real Terraform: from nothing to nothing, what changes replace, and the user data.

use std::collections::{BTreeMap, BTreeSet};

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

/// The size of each node's only volume, in GiB. All are encrypted.
fn volumes(aws: &Account) -> Vec<Value> {
    let filter = json!([{ "Name": "attachment.instance-id", "Values": nodes(aws) }]);
    let volumes = stack::list(&aws.call("ec2", "describe_volumes", json!({ "Filters": filter })), "Volumes");
    assert!(volumes.iter().all(|volume| volume["Encrypted"] == true), "{volumes:?}");
    volumes.iter().map(|volume| volume["Size"].clone()).collect()
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
        assert_eq!(volumes(aws), [8, 8]);
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
            ("port = 7020", false),
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

/// How many nodes there are in each zone.
fn per_zone(aws: &Account) -> BTreeMap<String, usize> {
    let mut zones = BTreeMap::new();
    for instance in instances(aws) {
        *zones.entry(stack::text(&instance["Placement"]["AvailabilityZone"])).or_insert(0) += 1;
    }
    zones
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
            let zones = per_zone(aws);
            let [least, most] = [zones.values().min(), zones.values().max()].map(|of| of.copied().unwrap_or_default());
            assert!(zones.len() == 2 && most - least <= 1, "{zones:?}");
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

const DEFAULT_POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09";
const OTHER_POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-2021-06";

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

/// Arguments with which clients connect encrypted.
fn encrypted(seed: &Seed, certificate: &str) -> String {
    format!("certificate_arn = {}\nhostname = {}", json!(certificate), json!(seed.hostname))
}

/// The changes that the other tests do not make. Each takes back the one before it.
fn updates(aws: &Account) -> Vec<Update> {
    let seed = aws.seed();
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
            arguments: encrypted(seed, &seed.certificate_arn),
            kept: Some(2),
            check: |aws, state| {
                let expected = [(json!(80), Value::Null), (json!(443), json!(aws.seed().certificate_arn))];
                assert_eq!(certificates(aws), expected);
                assert_eq!(state["url"], format!("wss://{}", aws.seed().hostname));
            },
        },
        Update {
            arguments: encrypted(seed, &seed.wildcard_certificate_arn),
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
                assert!(!stack::text(&state["config_yaml"]).contains("tls"), "{state}");
            },
        },
    ]
}

/// Those of what is around the nodes, several arguments at a time.
fn updates_around_the_nodes(aws: &Account) -> Vec<Update> {
    let seed = aws.seed();
    let of_all = [
        format!("hostname = {}", json!(seed.hostname)),
        format!("dns_record = {{ zone_id = {} }}", json!(seed.zone_id)),
        "client_cidr_blocks = [\"192.0.2.0/24\"]".to_owned(),
        "deregistration_delay = 5".to_owned(),
        "stickiness = { type = \"lb_cookie\", duration = 3600 }".to_owned(),
        "tags = { team = \"one\" }".to_owned(),
    ];
    let listeners = |more: &str| format!("{}\n{more}", encrypted(seed, &seed.certificate_arn));
    vec![
        Update {
            arguments: of_all.join("\n"),
            kept: Some(2),
            check: |aws, state| {
                assert_eq!(state["url"], format!("ws://{}", aws.seed().hostname));
                assert_eq!(records(aws), 1);
                let rules = stack::rules(aws);
                let clients: Vec<&String> = rules.iter().filter(|rule| rule.starts_with("from ")).collect();
                assert_eq!(clients, ["from 192.0.2.0/24 tcp 80-80"]);
                let attributes = group_attributes(aws, state);
                assert_eq!(attributes["deregistration_delay.timeout_seconds"], "5");
                assert_eq!(attributes["stickiness.enabled"], "true");
                assert_eq!(attributes["stickiness.lb_cookie.duration_seconds"], "3600");
                for instance in instances(aws) {
                    let tags = stack::list(&instance, "Tags");
                    assert!(tags.contains(&json!({ "Key": "team", "Value": "one" })), "{tags:?}");
                }
            },
        },
        Update {
            arguments: listeners(&format!("listeners = {{ redirect_http = true }}\nssl_policy = \"{OTHER_POLICY}\"")),
            kept: Some(2),
            check: |aws, state| {
                assert_eq!(served(aws), [json!([80, "redirect", null]), json!([443, "forward", OTHER_POLICY])]);
                assert_eq!(records(aws), 0);
                let attributes = group_attributes(aws, state);
                assert_eq!(attributes["deregistration_delay.timeout_seconds"], "30");
                assert_eq!(attributes["stickiness.enabled"], "false");
            },
        },
        Update {
            arguments: listeners("listeners = { http = false }"),
            kept: Some(2),
            check: |aws, _| assert_eq!(served(aws), [json!([443, "forward", DEFAULT_POLICY])]),
        },
    ]
}

/// How many records of the host name there are.
fn records(aws: &Account) -> usize {
    let zone = json!({ "HostedZoneId": aws.seed().zone_id });
    let records = aws.call("route53", "list_resource_record_sets", zone);
    let name = |record: &Value| stack::text(&record["Name"]).trim_end_matches('.').to_owned();
    stack::list(&records, "ResourceRecordSets").iter().filter(|record| name(record) == aws.seed().hostname).count()
}

/// The attributes of the target group, by key.
fn group_attributes(aws: &Account, state: &Value) -> Value {
    let group = json!({ "TargetGroupArn": state["target_group_arn"] });
    let answer = aws.call("elbv2", "describe_target_group_attributes", group);
    let attributes = stack::list(&answer, "Attributes").into_iter();
    attributes.map(|attribute| (stack::text(&attribute["Key"]), attribute["Value"].clone())).collect()
}

/// The listeners: port, what they do, and their security policy.
fn served(aws: &Account) -> Vec<Value> {
    let listeners = stack::listeners(aws);
    listeners.iter().map(|one| json!([one["port"], one["action"], one["ssl_policy"]])).collect()
}

/// Those of what the nodes and the cache are made of, several arguments at a time.
fn updates_of_the_nodes_and_the_cache(aws: &Account) -> Vec<Update> {
    let subnets = &aws.seed().public_subnet_ids;
    aws.call("ec2", "create_key_pair", json!({ "KeyName": "ops" }));
    aws.call("iam", "create_instance_profile", json!({ "InstanceProfileName": "realtime" }));
    let token = json!({ "Name": "/realtime/token", "Value": "a-token-of-redis", "Type": "SecureString" });
    aws.call("ssm", "put_parameter", token);
    let made_of = [
        format!("subnet_ids = {}\nnode_subnet_ids = {}", json!(subnets), json!(subnets[1..3])),
        "root_volume_size = 9\nkey_name = \"ops\"\niam_instance_profile = \"realtime\"".to_owned(),
        "user_data_extra = \"echo hello\"".to_owned(),
    ];
    let token = "auth_token_parameter = \"/realtime/token\"";
    let of_cache = |more: &str| {
        format!("iam_instance_profile = \"realtime\"\ncache = {{ {token}, at_rest_encryption = false{more} }}")
    };
    vec![
        Update {
            arguments: made_of.join("\n"),
            kept: Some(0),
            check: |aws, _| {
                let subnets: BTreeSet<String> = aws.seed().public_subnet_ids[1..3].iter().cloned().collect();
                assert_eq!(of_nodes(aws, "SubnetId"), subnets);
                assert_eq!(of_nodes(aws, "KeyName"), BTreeSet::from(["ops".to_owned()]));
                assert_eq!(volumes(aws), [9, 9]);
                for instance in instances(aws) {
                    let profile = stack::text(&instance["IamInstanceProfile"]["Arn"]);
                    assert!(profile.ends_with(":instance-profile/realtime"), "{profile}");
                    let data = user_data(aws, &stack::text(&instance["InstanceId"]));
                    assert!(data.contains("echo hello"), "{data}");
                }
            },
        },
        // A new cache.
        Update {
            arguments: of_cache(", engine_version = \"6.2\""),
            kept: Some(0),
            check: |aws, _| {
                let cache = cache(aws);
                assert_eq!(cache["AuthTokenEnabled"], true);
                assert_eq!(cache["AtRestEncryptionEnabled"], false);
                assert!(engine_version(aws, &cache).starts_with("6.2"), "{cache}");
                for node in nodes(aws) {
                    let data = user_data(aws, &node);
                    assert!(data.contains("/realtime/token") && !data.contains("echo hello"), "{data}");
                }
            },
        },
        Update {
            arguments: of_cache(""),
            kept: Some(2),
            check: |aws, _| {
                let cache = cache(aws);
                assert!(engine_version(aws, &cache).starts_with("7.1"), "{cache}");
            },
        },
    ]
}

/// The only cache of the account.
fn cache(aws: &Account) -> Value {
    let caches = aws.call("elasticache", "describe_replication_groups", json!({}));
    let caches = stack::list(&caches, "ReplicationGroups");
    assert_eq!(caches.len(), 1, "{caches:?}");
    caches[0].clone()
}

/// The version of a cache, which its members have.
fn engine_version(aws: &Account, cache: &Value) -> String {
    let member = json!({ "CacheClusterId": cache["MemberClusters"][0] });
    let member = aws.call("elasticache", "describe_cache_clusters", member);
    stack::text(&member["CacheClusters"][0]["EngineVersion"])
}

#[test]
fn every_other_update_leads_where_it_should_and_keeps_the_load_balancer() {
    check_updates(|aws| [updates_around_the_nodes(aws), updates(aws)].into_iter().flatten().collect());
}

#[test]
fn what_the_nodes_and_the_cache_are_made_of_changes_several_arguments_at_a_time() {
    check_updates(updates_of_the_nodes_and_the_cache);
}

/// Makes one change of a cluster after the other, and ends it.
fn check_updates(updates: fn(&Account) -> Vec<Update>) {
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
