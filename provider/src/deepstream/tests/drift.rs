//! Drift: what others change of a cluster shows in the plan, and one apply repairs it.

use std::collections::BTreeSet;

use serde_json::json;

use super::{STACK, Tested, built, change, configuration, full, picture, settle, small};
use crate::aws::fake::{
    Cache, CacheSubnetGroup, Launch, Listener, LoadBalancer, SecurityGroup, State, Target, TargetGroup, Verdict,
    cert_arn,
};
use crate::aws::{
    ActionInfo, Aws, CacheSettings, Direction, InstanceInfo, Peer, RecordInfo, RuleSettings, Tags, TransitEncryption,
};
use crate::resource::testing::drift::{Mutation, each_shows_and_is_repaired, mutation};

fn ours(tags: &Tags) -> bool {
    tags.get("codestream:stack").is_some_and(|stack| stack == STACK)
}

fn put(tags: &mut Tags, key: &str, value: &str) {
    tags.insert(key.to_owned(), value.to_owned());
}

/// The ids of the nodes that run.
fn node_ids(state: &State) -> Vec<String> {
    let running = |id: &String| state.instances[id].state == "running";
    let launched = state.launches.iter().filter(|(id, launch)| ours(&launch.new.tags) && running(id));
    launched.map(|(id, _)| id.clone()).collect()
}

/// One of the nodes.
fn node(state: &mut State) -> &mut InstanceInfo {
    let id = node_ids(state).remove(0);
    state.instances.get_mut(&id).unwrap()
}

/// What one of the nodes was launched with.
fn launch(state: &mut State) -> &mut Launch {
    let id = node_ids(state).remove(0);
    state.launches.get_mut(&id).unwrap()
}

fn end(instance: &mut InstanceInfo) {
    "terminated".clone_into(&mut instance.state);
    instance.private_ip = None;
    instance.security_groups.clear();
}

fn cache(state: &mut State) -> &mut Cache {
    state.caches.values_mut().find(|cache| ours(&cache.tags)).unwrap()
}

fn subnet_group(state: &mut State) -> &mut CacheSubnetGroup {
    state.cache_subnet_groups.values_mut().find(|group| ours(&group.tags)).unwrap()
}

fn balancer(state: &mut State) -> &mut LoadBalancer {
    state.load_balancers.values_mut().find(|found| ours(&found.tags)).unwrap()
}

fn listener(state: &mut State, port: u16) -> &mut Listener {
    state.listeners.values_mut().find(|found| ours(&found.tags) && found.settings.port == port).unwrap()
}

fn delete_listener(state: &mut State, port: u16) {
    state.listeners.retain(|_, found| !ours(&found.tags) || found.settings.port != port);
}

fn group(state: &mut State) -> &mut TargetGroup {
    state.target_groups.values_mut().find(|found| ours(&found.tags)).unwrap()
}

/// The security group of a role.
fn security_group<'a>(state: &'a mut State, role: &str) -> &'a mut SecurityGroup {
    let plays = |tags: &Tags| ours(tags) && tags.get("codestream:role").is_some_and(|found| found == role);
    state.security_groups.values_mut().find(|found| plays(&found.tags)).unwrap()
}

fn admit(state: &mut State, role: &str, direction: Direction, port: i64) {
    let rule = RuleSettings {
        direction,
        protocol: "tcp".to_owned(),
        from_port: port,
        to_port: port,
        peer: Peer::Cidr("0.0.0.0/0".to_owned()),
        description: "By hand".to_owned(),
    };
    security_group(state, role).rules.insert("sgr-by-hand".to_owned(), (rule, Tags::new()));
}

/// Takes the rules of a direction away.
fn revoke(state: &mut State, role: &str, direction: Direction) {
    security_group(state, role).rules.retain(|_, (rule, _)| rule.direction != direction);
}

fn of_nodes() -> Vec<Mutation> {
    const METADATA: &str = "topology.metadata_options";
    vec![
        mutation("a node terminated", "nodes", |state| end(node(state))),
        mutation("all nodes terminated", "nodes", |state| {
            for id in node_ids(state) {
                end(state.instances.get_mut(&id).unwrap());
            }
        }),
        mutation("a node stopped", "nodes", |state| "stopped".clone_into(&mut node(state).state)),
        mutation("another type", "nodes", |state| "t3.large".clone_into(&mut launch(state).new.instance_type)),
        mutation("metadata without a token", METADATA, |state| launch(state).metadata.requires_session = false),
        mutation("no metadata", METADATA, |state| launch(state).metadata.enabled = false),
        mutation("metadata over more hops", METADATA, |state| launch(state).metadata.hop_limit = 3),
        mutation("no instance profile", "nodes", |state| launch(state).new.instance_profile = None),
        mutation("another instance profile", "nodes", |state| {
            launch(state).new.instance_profile = Some("admin".to_owned());
        }),
        mutation("a second security group", "nodes", |state| {
            node(state).security_groups.insert("sg-hosts".to_owned());
        }),
        mutation("another security group", "nodes", |state| {
            node(state).security_groups = BTreeSet::from(["sg-hosts".to_owned()]);
        }),
        mutation("another tag value", "tags.team", |state| put(&mut launch(state).new.tags, "team", "two")),
        mutation("a tag more", "tags_all.by", |state| put(&mut launch(state).new.tags, "by", "hand")),
        mutation("another name", "tags_all.Name", |state| put(&mut launch(state).new.tags, "Name", "by-hand")),
        mutation("another role", "tags_all", |state| put(&mut launch(state).new.tags, "codestream:role", "cache")),
        mutation("no mark of the owner", "tags_all", |state| {
            launch(state).new.tags.remove("codestream:resource-id");
        }),
        mutation("no mark of the stack", "tags_all", |state| {
            launch(state).new.tags.remove("codestream:stack");
        }),
        mutation("no mark of what it is", "nodes", |state| {
            launch(state).new.tags.remove("codestream:node");
        }),
        mutation("a copy of a node", "nodes", |state| {
            let id = node_ids(state).remove(0);
            let (mut instance, mut launch) = (state.instances[&id].clone(), state.launches[&id].clone());
            "i-0".clone_into(&mut instance.id);
            "by hand".clone_into(&mut launch.new.client_token);
            state.instances.insert(instance.id.clone(), instance.clone());
            state.launches.insert(instance.id, launch);
        }),
    ]
}

fn of_the_cache() -> Vec<Mutation> {
    vec![
        mutation("no cache", "cache_arn", |state| state.caches.retain(|_, cache| !ours(&cache.tags))),
        mutation("neither cache nor subnets", "cache_arn", |state| {
            state.caches.retain(|_, cache| !ours(&cache.tags));
            state.cache_subnet_groups.retain(|_, group| !ours(&group.tags));
        }),
        mutation("another type of cache", "cache.node_type", |state| {
            "cache.t3.large".clone_into(&mut cache(state).new.settings.node_type);
        }),
        mutation("another version", "cache.engine_version", |state| {
            cache(state).new.settings.engine_version = Some("6.2".to_owned());
        }),
        mutation("a replica more", "cache.replica_count", |state| cache(state).new.settings.replica_count = 2),
        mutation("no replica", "cache.replica_count", |state| {
            let settings = &mut cache(state).new.settings;
            (settings.replica_count, settings.automatic_failover) = (0, false);
        }),
        mutation("no failover", "cache.automatic_failover", |state| {
            cache(state).new.settings.automatic_failover = false;
        }),
        mutation("a cache in one zone", "topology.cache.multi_az", |state| cache(state).new.settings.multi_az = false),
        mutation("other parameters", "topology.cache.parameter_group", |state| {
            cache(state).new.settings.parameter_group = Some("by-hand".to_owned());
        }),
        mutation("a second security group of the cache", "topology.security_group_rules", |state| {
            cache(state).new.security_groups.insert("sg-hosts".to_owned());
        }),
        mutation("another security group of the cache", "topology.security_group_rules", |state| {
            cache(state).new.security_groups = BTreeSet::from(["sg-hosts".to_owned()]);
        }),
        mutation("another tag of the cache", "tags.team", |state| put(&mut cache(state).tags, "team", "two")),
        mutation("a tag of the cache less", "tags.team", |state| {
            cache(state).tags.remove("team");
        }),
        mutation("another role of the cache", "tags_all", |state| {
            put(&mut cache(state).tags, "codestream:role", "node");
        }),
        mutation("a cache without the owner's mark", "tags_all", |state| {
            cache(state).tags.remove("codestream:resource-id");
        }),
        mutation("a cache without tags", "tags_all", |state| cache(state).tags.clear()),
        mutation("a subnet of the cache less", "node_subnet_ids", |state| {
            subnet_group(state).info.subnet_ids.remove("subnet-b");
        }),
        mutation("another tag of the cache's subnets", "tags.team", |state| {
            put(&mut subnet_group(state).tags, "team", "two");
        }),
        mutation("subnets of the cache without the owner's mark", "tags_all", |state| {
            subnet_group(state).tags.remove("codestream:resource-id");
        }),
    ]
}

fn of_security_groups() -> Vec<Mutation> {
    const RULES: &str = "topology.security_group_rules";
    vec![
        mutation("clients shut out", RULES, |state| revoke(state, "load-balancer", Direction::Ingress)),
        mutation("the load balancer shut in", RULES, |state| revoke(state, "load-balancer", Direction::Egress)),
        mutation("the world let in at the load balancer", RULES, |state| {
            admit(state, "load-balancer", Direction::Ingress, 80);
        }),
        mutation("more ways out of the load balancer", RULES, |state| {
            admit(state, "load-balancer", Direction::Egress, 22);
        }),
        mutation("nobody let in at the nodes", RULES, |state| revoke(state, "node", Direction::Ingress)),
        mutation("the nodes shut in", RULES, |state| revoke(state, "node", Direction::Egress)),
        mutation("the world let in at the nodes", RULES, |state| admit(state, "node", Direction::Ingress, 6020)),
        mutation("SSH for the world", RULES, |state| admit(state, "node", Direction::Ingress, 22)),
        mutation("the nodes shut out of the cache", RULES, |state| revoke(state, "cache", Direction::Ingress)),
        mutation("the world let in at the cache", RULES, |state| admit(state, "cache", Direction::Ingress, 6379)),
        mutation("a way out of the cache", RULES, |state| admit(state, "cache", Direction::Egress, 443)),
        mutation("another description", RULES, |state| {
            let (rule, _) = security_group(state, "node").rules.values_mut().next().unwrap();
            "By hand".clone_into(&mut rule.description);
        }),
        mutation("a second security group of the load balancer", RULES, |state| {
            balancer(state).info.security_groups.insert("sg-hosts".to_owned());
        }),
        mutation("another security group of the load balancer", RULES, |state| {
            balancer(state).info.security_groups = BTreeSet::from(["sg-hosts".to_owned()]);
        }),
        mutation("another tag of a security group", "tags.team", |state| {
            put(&mut security_group(state, "cache").tags, "team", "two");
        }),
        mutation("a security group without the owner's mark", "tags_all", |state| {
            security_group(state, "node").tags.remove("codestream:resource-id");
        }),
    ]
}

fn of_listeners() -> Vec<Mutation> {
    vec![
        mutation("no cleartext listener", "listeners.http", |state| delete_listener(state, 80)),
        mutation("no encrypted listener", "listeners.https", |state| delete_listener(state, 443)),
        mutation("no listener", "topology.listeners", |state| {
            delete_listener(state, 80);
            delete_listener(state, 443);
        }),
        mutation("another port", "listeners.http", |state| listener(state, 80).settings.port = 81),
        mutation("another certificate", "certificate_arn", |state| {
            listener(state, 443).settings.certificate_arn = Some(cert_arn(3));
        }),
        mutation("one certificate more", "topology.listeners", |state| {
            listener(state, 443).additional_certificates.insert(cert_arn(3));
        }),
        mutation("another policy", "ssl_policy", |state| {
            listener(state, 443).settings.ssl_policy = Some("ELBSecurityPolicy-2016-08".to_owned());
        }),
        mutation("both in cleartext", "topology.listeners", |state| {
            let settings = &mut listener(state, 443).settings;
            "HTTP".clone_into(&mut settings.protocol);
            (settings.certificate_arn, settings.ssl_policy) = (None, None);
        }),
        mutation("a listener that leads nowhere", "topology.listeners", |state| {
            let arn = group(state).info.arn.clone();
            listener(state, 80).settings.action = ActionInfo::Forward(vec![(arn, 0)]);
        }),
        mutation("a listener that redirects", "listeners.redirect_http", |state| {
            let (protocol, port, status) = ("HTTPS".to_owned(), "443".to_owned(), "HTTP_301".to_owned());
            listener(state, 80).settings.action = ActionInfo::Redirect { protocol, port, status };
        }),
        mutation("a listener that answers by itself", "topology.listeners", |state| {
            listener(state, 443).settings.action = ActionInfo::Other("fixed-response".to_owned(), Vec::new());
        }),
        mutation("a listener that keeps its clients", "topology.listeners", |state| {
            let arn = group(state).info.arn.clone();
            listener(state, 443).settings.action = ActionInfo::Other("forward".to_owned(), vec![(arn, 1)]);
        }),
        mutation("another tag of a listener", "tags.team", |state| put(&mut listener(state, 80).tags, "team", "two")),
    ]
}

fn of_the_target_group() -> Vec<Mutation> {
    vec![
        mutation("a node deregistered", "topology.target_groups", |state| {
            let id = node_ids(state).remove(0);
            group(state).targets.retain(|(target, _), _| *target != id);
        }),
        mutation("all nodes deregistered", "topology.target_groups", |state| group(state).targets.clear()),
        mutation("an instance of somebody else's registered", "topology.target_groups", |state| {
            let group = group(state);
            group.targets.insert(("i-2".to_owned(), group.info.port), Target::default());
        }),
        mutation("a node on another port, too", "topology.target_groups", |state| {
            let id = node_ids(state).remove(0);
            group(state).targets.insert((id, 8080), Target::default());
        }),
        mutation("a node on another port instead", "topology.target_groups", |state| {
            let id = node_ids(state).remove(0);
            let group = group(state);
            group.targets.retain(|(target, _), _| *target != id);
            group.targets.insert((id, 8080), Target::default());
        }),
        mutation("another path", "health_check.path", |state| "/".clone_into(&mut group(state).info.health_check.path)),
        mutation("another interval", "health_check.interval", |state| group(state).info.health_check.interval = 30),
        mutation("another matcher", "health_check.matcher", |state| {
            "200-499".clone_into(&mut group(state).info.health_check.matcher);
        }),
        mutation("another threshold", "health_check.unhealthy_threshold", |state| {
            group(state).info.health_check.unhealthy_threshold = 9;
        }),
        mutation("probes on another port", "topology.target_groups", |state| {
            "9999".clone_into(&mut group(state).info.health_check.port);
        }),
        mutation("encrypted probes", "topology.target_groups", |state| {
            "HTTPS".clone_into(&mut group(state).info.health_check.protocol);
        }),
        mutation("a longer drain", "deregistration_delay", |state| {
            put(&mut group(state).attributes, "deregistration_delay.timeout_seconds", "300");
        }),
        mutation("stickiness", "stickiness", |state| put(&mut group(state).attributes, "stickiness.enabled", "true")),
        mutation("another role of the target group", "tags_all", |state| {
            put(&mut group(state).tags, "codestream:role", "api");
        }),
        mutation("another tag of the target group", "tags.team", |state| put(&mut group(state).tags, "team", "two")),
        mutation("no group and no listener", "topology.target_groups", |state| {
            delete_listener(state, 80);
            delete_listener(state, 443);
            state.target_groups.retain(|_, group| !ours(&group.tags));
        }),
    ]
}

fn of_the_load_balancer() -> Vec<Mutation> {
    vec![
        mutation("a shorter idle timeout", "idle_timeout", |state| {
            put(&mut balancer(state).attributes, "idle_timeout.timeout_seconds", "60");
        }),
        mutation("invalid headers let through", "load_balancer_attributes", |state| {
            put(&mut balancer(state).attributes, "routing.http.drop_invalid_header_fields.enabled", "false");
        }),
        mutation("zonal shift", "load_balancer_attributes", |state| {
            put(&mut balancer(state).attributes, "zonal_shift.config.enabled", "true");
        }),
        mutation("protected", "load_balancer_attributes", |state| {
            put(&mut balancer(state).attributes, "deletion_protection.enabled", "true");
        }),
        mutation("access logs", "load_balancer_attributes", |state| {
            put(&mut balancer(state).attributes, "access_logs.s3.bucket", "my-logs");
            put(&mut balancer(state).attributes, "access_logs.s3.enabled", "true");
        }),
        mutation("IPv6", "ip_address_type", |state| {
            "dualstack".clone_into(&mut balancer(state).info.ip_address_type);
        }),
        mutation("another zone", "subnet_ids", |state| {
            balancer(state).info.subnet_ids = ["subnet-a", "subnet-c"].map(str::to_owned).into();
        }),
        mutation("another tag of the load balancer", "tags.team", |state| {
            put(&mut balancer(state).tags, "team", "two");
        }),
        mutation("a load balancer without the owner's mark", "tags_all", |state| {
            balancer(state).tags.remove("codestream:resource-id");
        }),
        mutation("no record", "dns_record", |state| state.records.clear()),
        mutation("a record elsewhere", "dns_record", |state| {
            for record in state.records.values_mut() {
                if let RecordInfo::Alias(alias) = record {
                    "elsewhere.example.com".clone_into(&mut alias.target);
                }
            }
        }),
    ]
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_leads_nowhere_is_repaired_while_nodes_are_replaced() {
    let mut core = built(&small()).await;
    {
        let mut state = core.aws.state();
        let arn = group(&mut state).info.arn.clone();
        listener(&mut state, 80).settings.action = ActionInfo::Forward(vec![(arn, 0)]);
    }
    let other = change(small(), &json!({"deepstream_version": "7.0.1"}));
    core.apply(Some(&configuration(&other))).await.succeeded();
    settle().await;
    assert_eq!(picture(&core), picture(&built(&other).await));
}

#[tokio::test(start_paused = true)]
async fn every_change_behind_the_providers_back_shows_and_is_repaired() {
    let base = built(&full()).await;
    let kinds = [
        of_nodes(),
        of_the_cache(),
        of_security_groups(),
        of_listeners(),
        of_the_target_group(),
        of_the_load_balancer(),
    ];
    let mutations: Vec<Mutation> = kinds.into_iter().flatten().collect();
    assert!(mutations.len() >= 80, "{}", mutations.len());
    each_shows_and_is_repaired::<Tested>(&base, &configuration(&full()), &mutations).await;
}

#[tokio::test(start_paused = true)]
async fn of_a_node_and_its_copy_the_copy_goes() {
    let mut core = built(&full()).await;
    let before = node_ids(&core.aws.state());
    let copies = of_nodes().into_iter().filter(|mutation| mutation.what == "a copy of a node");
    for copy in copies {
        (copy.mutate)(&mut core.aws.state());
    }
    assert_eq!(node_ids(&core.aws.state()).len(), before.len() + 1);
    core.apply(Some(&configuration(&full()))).await.succeeded();
    assert_eq!(node_ids(&core.aws.state()), before);
}

#[tokio::test(start_paused = true)]
async fn metadata_options_are_set_back_on_the_nodes_that_are_there() {
    let mut core = built(&full()).await;
    let before = node_ids(&core.aws.state());
    launch(&mut core.aws.state()).metadata.enabled = false;
    core.apply(Some(&configuration(&full()))).await.succeeded();
    assert!(launch(&mut core.aws.state()).metadata.enabled);
    assert_eq!(node_ids(&core.aws.state()), before);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_somebody_deletes_is_missed_and_made_again() {
    let mut core = built(&full()).await;
    let (before, config) = (picture(&core), configuration(&full()));
    let id = cache(&mut core.aws.state()).new.id.clone();
    core.aws.delete_replication_group(&id).await.unwrap();
    let shown = core.changes(&config).await;
    assert!(shown.iter().any(|path| path.starts_with("cache_arn")), "{shown:?}");
    core.apply(Some(&config)).await.succeeded();
    settle().await;
    assert_eq!(picture(&core), before);
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_changing_is_no_drift_although_its_tags_are_not_told() {
    let mut core = built(&full()).await;
    let (id, settings) = {
        let mut state = core.aws.state();
        let new = &cache(&mut state).new;
        (new.id.clone(), new.settings.clone())
    };
    let larger = CacheSettings { node_type: "cache.t3.large".to_owned(), ..settings.clone() };
    core.aws.modify_replication_group(&id, &settings, &larger).await.unwrap();
    cache(&mut core.aws.state()).new.settings = settings;
    assert_eq!(core.changes(&configuration(&full())).await, Vec::<String>::new());
    assert_eq!(cache(&mut core.aws.state()).status, "modifying");
    let other = configuration(&change(full(), &json!({"tags": {"team": "two"}})));
    core.apply(Some(&other)).await.succeeded();
    assert_eq!(cache(&mut core.aws.state()).tags["team"], "two");
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_somebody_has_upgraded_is_named_at_plan_with_the_version_to_set() {
    let of_version = |version: &str| configuration(&change(small(), &json!({"cache": {"engine_version": version}})));
    let mut core = built(&change(small(), &json!({"cache": {"engine_version": "7.0"}}))).await;
    cache(&mut core.aws.state()).new.settings.engine_version = Some("7.1".to_owned());
    let shown = core.changes(&of_version("7.0")).await;
    assert!(shown.iter().any(|line| line.contains("Set cache.engine_version to \"7.1\".")), "{shown:?}");
    assert_eq!(core.changes(&of_version("7.1")).await, Vec::<String>::new());
}

/// With a token it cannot change.
#[tokio::test(start_paused = true)]
async fn encryption_in_transit_goes_back_to_what_it_was_by_the_steps_that_aws_takes() {
    let base = built(&small()).await;
    let mutations = [
        mutation("in cleartext", "cache.transit_encryption", |state| {
            cache(state).transit_encryption = TransitEncryption::Disabled;
        }),
        mutation("in cleartext, too", "topology.cache.transit_encryption", |state| {
            cache(state).transit_encryption = TransitEncryption::Preferred;
        }),
    ];
    each_shows_and_is_repaired::<Tested>(&base, &configuration(&small()), &mutations).await;

    let in_cleartext = change(small(), &json!({"cache": {"transit_encryption": false}}));
    let base = built(&in_cleartext).await;
    let mutations = [
        mutation("encrypted", "cache.transit_encryption", |state| {
            cache(state).transit_encryption = TransitEncryption::Required;
        }),
        mutation("encrypted, too", "cache.transit_encryption", |state| {
            cache(state).transit_encryption = TransitEncryption::Preferred;
        }),
    ];
    each_shows_and_is_repaired::<Tested>(&base, &configuration(&in_cleartext), &mutations).await;
}

#[tokio::test(start_paused = true)]
async fn health_is_never_a_change() {
    let mut core = built(&full()).await;
    let config = configuration(&full());
    let id = node_ids(&core.aws.state()).remove(0);
    core.aws.set_verdict(&id, None, Verdict::Unhealthy("Target.Timeout"));
    settle().await;
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
    assert_eq!(core.state().get("ready").as_bool(), Some(false));
}
