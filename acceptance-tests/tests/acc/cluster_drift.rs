//! Drift of a cluster: what others change of it behind the provider's back shows in the plan, and one apply repairs it.

use std::collections::{BTreeMap, BTreeSet};

use acceptance_tests::Account;
use serde_json::{Value, json};

use crate::cluster::{cluster, instances};
use crate::drift::hands::Hands;
use crate::drift::{Mutation, Subject, mutation, permission, shown_and_repaired};
use crate::stack::{list, text};

/// The port of the nodes.
const NODES: u16 = 6020;

const CLUSTER: Subject = Subject { configuration, picture };

fn configuration(aws: &Account) -> String {
    let seed = aws.seed();
    let arguments = [
        format!("certificate_arn = {}", json!(seed.certificate_arn)),
        format!("hostname = {}", json!(seed.hostname)),
        format!("dns_record = {{ zone_id = {} }}", json!(seed.zone_id)),
        "deregistration_delay = 5".to_owned(),
        "cache = { replica_count = 1 }".to_owned(),
        "tags = { team = \"one\" }".to_owned(),
    ];
    cluster(seed, &arguments.join("\n"))
}

fn picture(by: &Hands<'_>) -> BTreeSet<String> {
    let mut lines = by.picture();
    let mut names = BTreeMap::new();
    for instance in instances(by.0) {
        let tags = list(&instance, "Tags");
        let name = tags.iter().find(|tag| tag["Key"] == "Name").map(|tag| text(&tag["Value"])).unwrap_or_default();
        let groups = list(&instance, "SecurityGroups");
        let groups: BTreeSet<String> = groups.iter().map(|group| text(&group["GroupId"])).collect();
        lines.insert(format!("node {name}: {} {} {groups:?}", instance["InstanceType"], instance["SubnetId"]));
        for option in ["HttpEndpoint", "HttpTokens", "HttpPutResponseHopLimit"] {
            lines.insert(format!("node {name}: {option} {}", instance["MetadataOptions"][option]));
        }
        lines.extend(tags.iter().map(|tag| format!("node {name}: tag {} {}", tag["Key"], tag["Value"])));
        names.insert(text(&instance["InstanceId"]), name);
    }
    draw_caches(by, &mut lines);
    let named = |line: String| names.iter().fold(line, |line, (id, name)| line.replace(id, name));
    lines.into_iter().map(named).collect()
}

fn draw_caches(by: &Hands<'_>, lines: &mut BTreeSet<String>) {
    for group in list(&by.cache("describe_replication_groups", json!({})), "ReplicationGroups") {
        for field in ["CacheNodeType", "AutomaticFailover", "MultiAZ", "MemberClusters", "TransitEncryptionEnabled"] {
            lines.insert(format!("cache: {field} {}", group[field]));
        }
        // One that was created encrypted takes nothing else, and AWS need not say so.
        if group["TransitEncryptionMode"] == "preferred" {
            lines.insert("cache: takes cleartext, too".to_owned());
        }
        let member = by.cache("describe_cache_clusters", json!({ "CacheClusterId": group["MemberClusters"][0] }));
        let member = &member["CacheClusters"][0];
        for field in ["EngineVersion", "CacheParameterGroup", "CacheSubnetGroupName", "SecurityGroups"] {
            lines.insert(format!("cache: {field} {}", member[field]));
        }
        let tags = list(&by.cache("list_tags_for_resource", json!({ "ResourceName": group["ARN"] })), "TagList");
        lines.extend(tags.iter().map(|tag| format!("cache: tag {} {}", tag["Key"], tag["Value"])));
    }
    for group in list(&by.cache("describe_cache_subnet_groups", json!({})), "CacheSubnetGroups") {
        let subnets = list(&group, "Subnets");
        let subnets: BTreeSet<String> = subnets.iter().map(|subnet| text(&subnet["SubnetIdentifier"])).collect();
        lines.insert(format!("cache subnets {}: {subnets:?}", group["CacheSubnetGroupName"]));
    }
}

/// The id of one of the nodes.
fn node(by: &Hands<'_>) -> Value {
    instances(by.0)[0]["InstanceId"].clone()
}

/// The id of the cluster's security group of a role.
fn group_of(by: &Hands<'_>, role: &str) -> Value {
    let filter = json!([{ "Name": "group-name", "Values": [format!("realtime-{role}")] }]);
    by.ec2("describe_security_groups", json!({ "Filters": filter }))["SecurityGroups"][0]["GroupId"].clone()
}

/// Changes the cache.
fn change_cache(by: &Hands<'_>, mut params: Value) {
    let groups = by.cache("describe_replication_groups", json!({}));
    params["ReplicationGroupId"] = groups["ReplicationGroups"][0]["ReplicationGroupId"].clone();
    params["ApplyImmediately"] = json!(true);
    by.cache("modify_replication_group", params);
}

/// What sets a mode of encryption in transit.
fn encryption(mode: &str) -> Value {
    json!({ "TransitEncryptionEnabled": true, "TransitEncryptionMode": mode })
}

/// Gives an object of EC2's another value of a tag.
fn tag(by: &Hands<'_>, id: &Value) {
    by.ec2("create_tags", json!({ "Resources": [id], "Tags": [{ "Key": "team", "Value": "two" }] }));
}

/// Changes how a node gives its metadata; moto forgets the options that are not given.
fn give_metadata(by: &Hands<'_>, endpoint: &str, tokens: &str, hops: u32) {
    let options = json!({
        "InstanceId": node(by),
        "HttpEndpoint": endpoint,
        "HttpTokens": tokens,
        "HttpPutResponseHopLimit": hops,
    });
    by.ec2("modify_instance_metadata_options", options);
}

fn of_nodes() -> Vec<Mutation> {
    const METADATA: &str = "topology.metadata_options";
    vec![
        mutation("a node terminated", "nodes", |by| {
            by.ec2("terminate_instances", json!({ "InstanceIds": [node(by)] }));
        }),
        mutation("a node stopped", "nodes", |by| {
            by.ec2("stop_instances", json!({ "InstanceIds": [node(by)] }));
        }),
        mutation("a second security group", "nodes", |by| {
            let groups = json!([group_of(by, "node"), by.0.seed().instance_security_group_id]);
            by.ec2("modify_instance_attribute", json!({ "InstanceId": node(by), "Groups": groups }));
        }),
        mutation("metadata without a token", METADATA, |by| give_metadata(by, "enabled", "optional", 1)),
        mutation("no metadata", METADATA, |by| give_metadata(by, "disabled", "required", 1)),
        mutation("metadata over more hops", METADATA, |by| give_metadata(by, "enabled", "required", 3)),
        mutation("a tag changed", "tags.team", |by| tag(by, &node(by))),
        mutation("no mark of the stack", "tags_all", |by| {
            let tags = json!([{ "Key": "codestream:stack" }]);
            by.ec2("delete_tags", json!({ "Resources": [node(by)], "Tags": tags }));
        }),
        mutation("a node deregistered", "topology.target_groups", |by| {
            let targets = json!([{ "Id": node(by) }]);
            by.elb("deregister_targets", json!({ "TargetGroupArn": by.group(NODES), "Targets": targets }));
        }),
        mutation("an instance of somebody else's registered", "topology.target_groups", |by| {
            by.target("register_targets", NODES, 1);
        }),
    ]
}

fn of_the_cache() -> Vec<Mutation> {
    vec![
        mutation("another type", "cache.node_type", |by| {
            change_cache(by, json!({ "CacheNodeType": "cache.m5.large" }));
        }),
        mutation("one zone", "topology.cache.multi_az", |by| change_cache(by, json!({ "MultiAZEnabled": false }))),
        mutation("other parameters", "topology.cache.parameter_group", |by| {
            change_cache(by, json!({ "CacheParameterGroupName": "by-hand" }));
        }),
        mutation("cleartext as well", "topology.cache.transit_encryption", |by| {
            change_cache(by, encryption("preferred"));
        }),
        mutation("cleartext alone", "cache.transit_encryption", |by| {
            change_cache(by, encryption("preferred"));
            change_cache(by, json!({ "TransitEncryptionEnabled": false }));
        }),
        mutation("another security group", "topology.security_group_rules", |by| {
            change_cache(by, json!({ "SecurityGroupIds": [by.0.seed().instance_security_group_id] }));
        }),
        mutation("a tag changed", "tags.team", |by| {
            let groups = by.cache("describe_replication_groups", json!({}));
            let tags = json!([{ "Key": "team", "Value": "two" }]);
            let arn = &groups["ReplicationGroups"][0]["ARN"];
            by.cache("add_tags_to_resource", json!({ "ResourceName": arn, "Tags": tags }));
        }),
        mutation("no cache", "cache_arn", |by| {
            let groups = by.cache("describe_replication_groups", json!({}));
            let id = &groups["ReplicationGroups"][0]["ReplicationGroupId"];
            by.cache("delete_replication_group", json!({ "ReplicationGroupId": id, "RetainPrimaryCluster": false }));
        }),
    ]
}

fn of_the_rest() -> Vec<Mutation> {
    const RULES: &str = "topology.security_group_rules";
    vec![
        mutation("the world let in at the nodes", RULES, |by| {
            let rules = json!([permission(NODES, "0.0.0.0/0", "By hand")]);
            let group = group_of(by, "node");
            by.ec2("authorize_security_group_ingress", json!({ "GroupId": group, "IpPermissions": rules }));
        }),
        mutation("the nodes shut out of the cache", RULES, |by| {
            by.revoke(&group_of(by, "cache"), |rule| rule["IsEgress"] == false);
        }),
        mutation("a security group's tag changed", "tags.team", |by| tag(by, &group_of(by, "cache"))),
        mutation("no encrypted listener", "listeners.https", |by| by.delete_listener(443)),
        mutation("another policy", "ssl_policy", |by| {
            by.modify(443, json!({ "SslPolicy": "ELBSecurityPolicy-2016-08" }));
        }),
        mutation("one certificate more", "topology.listeners", |by| {
            by.certificates("add_listener_certificates", 443, &by.0.seed().issued_certificate_arn);
        }),
        mutation("another path", "health_check.path", |by| by.probe(NODES, json!({ "HealthCheckPath": "/" }))),
        mutation("a longer drain", "deregistration_delay", |by| {
            by.set_of_group(NODES, &[("deregistration_delay.timeout_seconds", "300")]);
        }),
        mutation("invalid headers let through", "load_balancer_attributes", |by| {
            by.set("routing.http.drop_invalid_header_fields.enabled", "false");
        }),
        mutation("a shorter idle timeout", "idle_timeout", |by| by.set("idle_timeout.timeout_seconds", "60")),
        mutation("no record", "dns_record", |by| by.record("DELETE", &by.dns_name(), false)),
    ]
}

#[test]
fn every_change_of_the_nodes_of_a_cluster_shows_and_is_repaired() {
    shown_and_repaired(&CLUSTER, &of_nodes());
}

#[test]
fn every_change_of_the_cache_of_a_cluster_shows_and_is_repaired() {
    shown_and_repaired(&CLUSTER, &of_the_cache());
}

#[test]
fn every_change_around_the_nodes_of_a_cluster_shows_and_is_repaired() {
    shown_and_repaired(&CLUSTER, &of_the_rest());
}
