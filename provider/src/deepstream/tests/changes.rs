//! What changes do: in which order, to whom, and what is left when something does not become healthy.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tfplugin::value::Value;
use tokio::time::Instant;

use super::{
    Core, STACK, Tested, built, change, configuration, full, inhabited, many_tags, outage, picture, quiet_changes,
    rolling_changes, settle, shortage, small, unknowns, update,
};
use crate::aws::fake::{FakeAws, Fault, LARGE_IMAGE, State, Verdict, cert_arn};
use crate::aws::{Direction, NewInstance, Peer, RuleSettings, Tags};
use crate::deepstream::user_data::sha256;
use crate::resource::testing::faults::{Operation, Trial};
use crate::resource::testing::said;

/// The user data of every node, as launched.
fn user_data(aws: &FakeAws) -> BTreeSet<String> {
    let state = aws.state();
    let ours = state.launches.iter().filter(|(id, launch)| {
        state.instances[*id].state == "running"
            && launch.new.tags.get("codestream:stack").is_some_and(|name| name == STACK)
    });
    ours.map(|(_, launch)| launch.new.user_data.clone()).collect()
}

/// The operations of the calls from one on that changed something, with what they were about.
fn changing_calls(aws: &FakeAws, from: usize) -> Vec<String> {
    let calls = aws.calls().into_iter().skip(from).filter(|call| call.mutating);
    calls.map(|call| call.operation.split_once(':').map_or("", |(_, action)| action).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_created_cluster_plans_empty_and_goes_without_a_trace() {
    for config in [small(), full()] {
        let mut core = Core::new(inhabited().await);
        let before = picture(&core);
        core.apply(Some(&configuration(&config))).await.succeeded();
        assert_eq!(core.changes(&configuration(&config)).await, Vec::<String>::new());
        assert_eq!(core.state().get("ready").as_bool(), Some(true));
        core.apply(None).await.succeeded();
        settle().await;
        assert_eq!(picture(&core), before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_somebody_protects_is_destroyed_and_replaced_as_the_refusal_says() {
    let mut core = built(&small()).await;
    let config = configuration(&small());
    for balancer in core.aws.state().load_balancers.values_mut().filter(|found| found.info.name == STACK) {
        balancer.attributes.insert("deletion_protection.enabled".to_owned(), "true".to_owned());
    }
    let from = core.aws.calls().len();
    // Both in the words of the plan.
    for (applied, would_be) in [(core.apply(None).await, "destroyed"), (core.replace(&config).await, "replaced")] {
        let errors = applied.errors().join("\n");
        assert!(errors.contains(&format!("would be {would_be}")), "{errors}");
        assert!(errors.contains("load_balancer_attributes"), "{errors}");
        assert!(!errors.contains("enable_deletion_protection"), "{errors}");
    }
    assert_eq!(changing_calls(&core.aws, from), Vec::<String>::new());
    core.apply(Some(&config)).await.succeeded();
    core.apply(None).await.succeeded();
}

#[tokio::test(start_paused = true)]
async fn a_new_cache_that_aws_could_not_set_up_is_made_anew_by_the_next_apply() {
    let mut core = built(&small()).await;
    core.aws.watch(outage);
    core.aws.state().caches_fail = true;
    let config = configuration(&change(small(), &json!({"cache": {"at_rest_encryption": false}})));
    let errors = core.apply(Some(&config)).await.errors().join("\n");
    assert!(errors.contains("create-failed") && errors.contains("Apply again to replace it."), "{errors}");
    assert!(!core.is_tainted());
    core.aws.state().caches_fail = false;
    core.apply(Some(&config)).await.succeeded();
    settle().await;
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
    assert_eq!(core.aws.violations(), Vec::<String>::new());
    assert!(core.aws.state().caches.values().all(|cache| cache.status == "available"));
}

#[tokio::test(start_paused = true)]
async fn redis_is_available_before_a_node_boots() {
    let core = built(&small()).await;
    let calls = core.aws.calls();
    let last = |operation: &str| {
        let mut made = calls.iter().filter(|call| call.operation == operation);
        made.next_back().map(|call| call.at).unwrap()
    };
    assert!(last("ec2:RunInstances") >= last("elasticache:CreateReplicationGroup") + Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn the_nodes_have_the_user_data_that_the_state_tells_the_digest_of_and_no_secret_is_in_it() {
    let core = built(&full()).await;
    let data = user_data(&core.aws);
    let digests: Vec<String> = data.iter().map(|text| sha256(text)).collect();
    assert_eq!(digests, [core.state().get("user_data_sha256").as_str().unwrap()]);
    let all = format!("{:?}{data:?}", core.state());
    assert!(all.contains("/token") && !all.contains("a-token-of-16-chars"));
    let tokens: Vec<Option<String>> = core.aws.state().caches.values().map(|cache| cache.auth_token.clone()).collect();
    assert!(tokens.contains(&Some("a-token-of-16-chars".to_owned())));
}

/// Changes of arguments that the others leave as they are. Every fault at every call of these would take long.
fn further_changes() -> Vec<Operation> {
    let of_nodes = json!({
        "root_volume_size": 9, "key_name": "dev", "iam_instance_profile": "other", "user_data_extra": "echo bye",
    });
    let of_group =
        json!({"deregistration_delay": 6, "stickiness": {"type": "lb_cookie"}, "dns_record": null, "hostname": null});
    let clients = json!({
        "ip_address_type": "dualstack", "client_ipv6_cidr_blocks": ["2001:db8::/32"],
        "client_prefix_list_ids": ["pl-0a"],
    });
    vec![
        update("what the nodes are made of", full(), &of_nodes),
        update("another token", full(), &json!({"cache": {"replica_count": 1, "auth_token_parameter": "/other"}})),
        update("Redis in cleartext", small(), &json!({"cache": {"transit_encryption": false}})),
        update("a redirect", full(), &json!({"listeners": {"redirect_http": true}})),
        update("encrypted only", full(), &json!({"listeners": {"http": false}})),
        update("target group and record", full(), &of_group),
        update("other clients", small(), &clients),
        update(
            "tags exchanged",
            change(small(), &json!({"tags": many_tags("old")})),
            &json!({"tags": many_tags("new")}),
        ),
    ]
}

#[tokio::test(start_paused = true)]
async fn no_change_leaves_fewer_healthy_nodes_than_wanted() {
    let of_nodes = |count: usize| change(small(), &json!({"node_count": count}));
    let larger = [
        update("three other nodes", of_nodes(3), &json!({"deepstream_version": "7.0.1"})),
        update("fewer and other nodes", of_nodes(4), &json!({"node_count": 3, "deepstream_version": "7.0.1"})),
    ];
    for operation in rolling_changes().into_iter().chain(quiet_changes()).chain(further_changes()).chain(larger) {
        let (before, after) = (operation.before.unwrap(), operation.after.unwrap());
        let count = |config: &Json| config["node_count"].as_u64().map_or(2, |count| usize::try_from(count).unwrap());
        let wanted = count(&before).min(count(&after));
        let mut core = built(&before).await;
        core.aws.watch(move |state| shortage(state, wanted));
        core.apply(Some(&configuration(&after))).await.succeeded();
        settle().await;
        assert_eq!(core.aws.violations(), Vec::<String>::new(), "{}", operation.name);
        assert_eq!(core.changes(&configuration(&after)).await, Vec::<String>::new(), "{}", operation.name);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_ends_where_a_create_would() {
    for operation in rolling_changes().into_iter().chain(quiet_changes()).chain(further_changes()) {
        // A cache keeps the subnets that it was created in.
        if operation.name == "other subnets" {
            continue;
        }
        let (before, after) = (operation.before.unwrap(), operation.after.unwrap());
        let mut core = built(&before).await;
        core.apply(Some(&configuration(&after))).await.succeeded();
        settle().await;
        assert_eq!(picture(&core), picture(&built(&after).await), "{}", operation.name);
    }
}

#[tokio::test(start_paused = true)]
async fn root_volumes_get_the_tags_that_their_nodes_get() {
    let mut core = built(&full()).await;
    core.apply(Some(&configuration(&change(full(), &json!({"tags": {"owner": "two"}}))))).await.succeeded();
    let state = core.aws.state();
    let nodes: Vec<&NewInstance> = state.launches.values().map(|launch| &launch.new).collect();
    let changed = |new: &&&NewInstance| new.tags.get("owner").is_some_and(|owner| owner == "two");
    assert_eq!(nodes.iter().filter(changed).count(), 2);
    for new in nodes {
        assert_eq!(new.volume_tags, new.tags);
    }
}

#[tokio::test(start_paused = true)]
async fn nodes_are_replaced_one_at_a_time() {
    let mut core = built(&small()).await;
    let from = core.aws.calls().len();
    let after = change(small(), &json!({"deepstream_version": "7.0.1"}));
    core.apply(Some(&configuration(&after))).await.succeeded();
    let one = ["RunInstances", "RegisterTargets", "DeregisterTargets", "TerminateInstances"];
    assert_eq!(changing_calls(&core.aws, from), [one, one].concat());
}

#[tokio::test(start_paused = true)]
async fn many_nodes_that_are_too_many_drain_at_the_same_time() {
    let delay = 300;
    let of_nodes = |count: u32| change(small(), &json!({"node_count": count, "deregistration_delay": delay}));
    let mut core = built(&of_nodes(20)).await;
    let start = Instant::now();
    core.apply(Some(&configuration(&of_nodes(2)))).await.succeeded();
    assert!(start.elapsed() < Duration::from_secs(2 * delay), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_that_is_not_healthy_stops_the_roll_and_goes_again() {
    let mut core = built(&small()).await;
    let before = picture(&core);
    core.aws.set_verdict("ami-0bad", None, Verdict::Unhealthy("Target.FailedHealthChecks"));
    let bad = change(small(), &json!({"ami_id": "ami-0bad", "timeouts": {"update": "10m"}}));
    core.aws.watch(outage);
    let applied = core.apply(Some(&configuration(&bad))).await;
    settle().await;
    assert!(applied.errors().iter().any(|error| error.contains("not healthy")), "{:?}", applied.errors());
    assert_eq!(picture(&core), before);
    assert_eq!(core.aws.violations(), Vec::<String>::new());
    let good = change(small(), &json!({"ami_id": "ami-0c"}));
    core.apply(Some(&configuration(&good))).await.succeeded();
}

#[tokio::test(start_paused = true)]
async fn a_root_volume_too_small_for_its_image_is_told_by_its_argument() {
    let mut core = built(&small()).await;
    let (image, size) = LARGE_IMAGE;
    let refused = core.apply(Some(&configuration(&change(small(), &json!({"ami_id": image}))))).await;
    let told = said(&refused.diagnostics);
    assert!(told.iter().any(|error| error.starts_with("error root_volume_size: ")), "{told:?}");
    let large = change(small(), &json!({"ami_id": image, "root_volume_size": size}));
    core.apply(Some(&configuration(&large))).await.succeeded();
}

/// The id of the node in a place of the cluster, from 0.
fn node(core: &Core, place: usize) -> String {
    let nodes = core.state().get("nodes").as_list().unwrap();
    nodes[place].get("instance_id").as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_and_is_not_healthy_shows_in_ready() {
    let mut core = built(&small()).await;
    let there = core.aws.state().launches.clone();
    for (id, launch) in there {
        core.aws.set_verdict(&id, None, Verdict::Healthy);
        core.aws.set_verdict(&launch.new.image_id, None, Verdict::Unhealthy("Target.FailedHealthChecks"));
    }
    let more = json!({"node_count": 3, "on_unhealthy": "warn", "timeouts": {"update": "10m"}});
    let config = configuration(&change(small(), &more));
    core.apply(Some(&config)).await.succeeded();
    assert_eq!(core.state().get("ready").as_bool(), Some(false));
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
    assert_eq!(core.state().get("ready").as_bool(), Some(false));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_went_because_it_was_not_healthy_shows_in_ready_no_more() {
    let config = configuration(&small());
    let replaced = built(&small()).await;
    let stopped = node(&replaced, 0);
    replaced.aws.state().instances.get_mut(&stopped).unwrap().state = "stopped".to_owned();
    let dropped = built(&change(small(), &json!({"node_count": 3}))).await;
    dropped.aws.set_verdict(&node(&dropped, 2), None, Verdict::Unhealthy("Target.Timeout"));
    settle().await;
    for mut core in [replaced, dropped] {
        core.apply(Some(&config)).await.succeeded();
        assert_eq!(core.state().get("ready").as_bool(), Some(true));
        assert_eq!(core.changes(&config).await, Vec::<String>::new());
        assert_eq!(core.state().get("ready").as_bool(), Some(true));
    }
}

/// A node that was terminated while a target group still had it.
fn cut_short(state: &State) -> Option<String> {
    let ended = |id: &str| state.instances.get(id).is_some_and(|instance| instance.state == "terminated");
    let mut targets = state.target_groups.values().flat_map(|group| group.targets.keys());
    targets.find(|(id, _)| ended(id)).map(|(id, _)| format!("{id} ended before its connections did"))
}

#[tokio::test(start_paused = true)]
async fn no_node_ends_before_its_connections_although_aws_shows_late_that_it_drains() {
    let mut core = built(&small()).await;
    core.aws.state().deregistration_lag = Duration::from_secs(1);
    core.aws.watch(cut_short);
    let after = change(small(), &json!({"deepstream_version": "7.0.1"}));
    core.apply(Some(&configuration(&after))).await.succeeded();
    assert_eq!(core.aws.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn no_node_ends_before_its_connections_wherever_a_change_of_the_port_breaks_off() {
    let operation = update("port", small(), &json!({"port": 7020}));
    let trial = Trial::<Tested>::new(&operation).await;
    let config = configuration(operation.after.as_ref().unwrap());
    for call in &trial.expected.calls {
        fastrand::seed(1);
        let mut core = trial.base.fork();
        core.aws.watch(cut_short);
        core.aws.fail_at(call.index, Fault::Crash { after_effect: true });
        core.apply(Some(&config)).await;
        core.aws.clear_faults();
        core.apply(Some(&config)).await.succeeded();
        assert_eq!(core.aws.violations(), Vec::<String>::new(), "after {} {}", call.index, call.operation);
    }
}

#[tokio::test(start_paused = true)]
async fn no_node_ends_before_its_connections_when_other_nodes_are_wanted_after_a_change_of_the_port_broke_off() {
    let encrypted = json!({"certificate_arn": cert_arn(1), "wait_for_healthy": false});
    for before in [small(), change(small(), &encrypted)] {
        let operation = update("port", before, &json!({"port": 7020}));
        let trial = Trial::<Tested>::new(&operation).await;
        let after = operation.after.as_ref().unwrap();
        let first = configuration(after);
        let then = configuration(&change(after.clone(), &json!({"deepstream_version": "7.0.1"})));
        for call in &trial.expected.calls {
            fastrand::seed(1);
            let mut core = trial.base.fork();
            core.aws.watch(|state| cut_short(state).or_else(|| outage(state)));
            core.aws.fail_at(call.index, Fault::Crash { after_effect: true });
            core.apply(Some(&first)).await;
            core.aws.clear_faults();
            core.apply(Some(&then)).await.succeeded();
            let at = format!("after {} {}", call.index, call.operation);
            assert_eq!(core.aws.violations(), Vec::<String>::new(), "{at}");
            assert_eq!(core.changes(&then).await, Vec::<String>::new(), "{at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_ends_although_the_cache_takes_no_tags_for_a_while() {
    let operation = Operation::new("create", None, Some(small()));
    let trial = Trial::<Tested>::new(&operation).await;
    let mut calls = trial.expected.calls.iter();
    let finish = calls.find(|call| call.operation == "elasticache:RemoveTagsFromResource").unwrap();
    fastrand::seed(1);
    let mut core = trial.base.fork();
    core.aws.fail_at(finish.index, Fault::Error("InvalidReplicationGroupState"));
    core.apply(Some(&configuration(&small()))).await.succeeded();
}

/// The SDK's second attempt finds the cache changing, and is refused until it has changed. From then on it changes
/// nothing, and is refused for that.
#[tokio::test(start_paused = true)]
async fn what_changed_in_a_cache_by_a_call_whose_answer_was_lost_is_no_error() {
    for (arguments, action) in [
        (json!({"replica_count": 1}), "elasticache:IncreaseReplicaCount"),
        (json!({"node_type": "cache.t3.small"}), "elasticache:ModifyReplicationGroup"),
    ] {
        let operation = update("cache", small(), &json!({"cache": arguments}));
        let trial = Trial::<Tested>::new(&operation).await;
        let call = trial.expected.calls.iter().find(|call| call.operation == action).unwrap();
        let mut core = trial.base.fork();
        fastrand::seed(1);
        core.aws.fail_at(call.index, Fault::Repeated("InvalidReplicationGroupState"));
        core.apply(Some(&configuration(operation.after.as_ref().unwrap()))).await.succeeded();
        settle().await;
        assert_eq!(picture(&core), trial.expected.end, "{action}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_create_left_while_its_cache_came_up_is_taken_over() {
    let operation = Operation::new("create", None, Some(small()));
    let trial = Trial::<Tested>::new(&operation).await;
    let mut calls = trial.expected.calls.iter();
    let create = calls.find(|call| call.operation == "elasticache:CreateReplicationGroup").unwrap();
    fastrand::seed(1);
    let mut core = trial.base.fork();
    core.aws.fail_at(create.index, Fault::Crash { after_effect: true });
    let config = configuration(&small());
    assert!(core.apply(Some(&config)).await.crashed);
    core.aws.clear_faults();
    // A second create, which has taken over what is there, fails as well.
    let mut smooth = core.fork();
    fastrand::seed(1);
    smooth.apply(Some(&config)).await.succeeded();
    let calls = smooth.aws.calls();
    let refused = calls.iter().find(|call| call.mutating && !call.operation.contains("Tags")).unwrap();
    let mut core = core.fork();
    fastrand::seed(1);
    core.aws.fail_at(refused.index, Fault::Error("OperationNotPermitted"));
    assert_ne!(core.apply(Some(&config)).await.errors(), Vec::<String>::new());
    core.aws.clear_faults();
    core.apply(Some(&config)).await.succeeded();
    settle().await;
    assert_eq!(picture(&core), trial.expected.end);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_imported_by_its_name_or_arn_and_planned_empty() {
    let core = built(&small()).await;
    let arn = core.state().get("arn").as_str().unwrap().to_owned();
    for id in [STACK, arn.as_str()] {
        let mut other = Core::new(core.aws.clone());
        assert_eq!(other.import(id).await.faults(), Vec::<String>::new());
        assert_eq!(other.changes(&configuration(&small())).await, Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn what_aws_does_not_tell_an_import_is_the_configurations_and_changes_nothing_there() {
    let core = built(&full()).await;
    let (before, config) = (picture(&core), configuration(&full()));
    let mut other = Core::new(core.aws.clone());
    assert_eq!(other.import(STACK).await.faults(), Vec::<String>::new());
    let untold = ["cache.auth_token_parameter", "dns_record", "hostname", "user_data_extra"];
    let made_of_them = ["config_yaml", "ready", "url", "user_data_sha256"];
    let shown = other.changes(&config).await;
    let expected = |path: &&String| untold.iter().chain(&made_of_them).any(|name| path.starts_with(name));
    assert_eq!(shown.iter().filter(|path| !expected(path)).collect::<Vec<_>>(), Vec::<&String>::new());
    assert!(untold.iter().all(|name| shown.iter().any(|path| path.starts_with(name))), "{shown:?}");
    other.apply(Some(&config)).await.succeeded();
    assert_eq!(other.changes(&config).await, Vec::<String>::new());
    assert_eq!(picture(&core), before);
}

#[tokio::test(start_paused = true)]
async fn an_import_takes_who_reaches_a_listener_or_port_22_only() {
    let config = change(small(), &json!({"ssh_cidr_blocks": ["192.0.2.0/24"]}));
    let core = built(&config).await;
    let before = picture(&core);
    for (group, port) in [("web-load-balancer", 22), ("web-load-balancer", 6020), ("web-node", 80), ("web-node", 6020)]
    {
        let rule = RuleSettings {
            direction: Direction::Ingress,
            protocol: "tcp".to_owned(),
            from_port: port,
            to_port: port,
            peer: Peer::Cidr("203.0.113.9/32".to_owned()),
            description: "By hand".to_owned(),
        };
        let mut state = core.aws.state();
        let found = state.security_groups.values_mut().find(|found| found.name == group).unwrap();
        found.rules.insert(format!("sgr-{group}-{port}"), (rule, Tags::new()));
    }
    let mut other = Core::new(core.aws.clone());
    assert_eq!(other.import(STACK).await.faults(), Vec::<String>::new());
    assert_eq!(*other.state().get("client_cidr_blocks"), Value::set(["198.51.100.0/24"]));
    assert_eq!(*other.state().get("ssh_cidr_blocks"), Value::set(["192.0.2.0/24"]));
    let shown = other.changes(&configuration(&config)).await;
    assert!(shown.iter().any(|path| path.starts_with("topology.security_group_rules")), "{shown:?}");
    other.apply(Some(&configuration(&config))).await.succeeded();
    assert_eq!(picture(&core), before);
}

#[tokio::test(start_paused = true)]
async fn what_a_plan_tells_while_an_argument_is_unknown_stays_true() {
    let config = change(
        full(),
        &json!({
            "cache": {
                "engine_version": "7.2",
                "replica_count": 2,
                "automatic_failover": false,
                "node_type": "cache.t3.small",
                "transit_encryption": true,
                "at_rest_encryption": true,
                "auth_token_parameter": "/token",
            },
            "listeners": {"http": true, "redirect_http": true},
            "node_subnet_ids": ["subnet-a", "subnet-b"],
            "node_count": 3,
            "instance_type": "t3.small",
            "port": 7020,
            "deepstream_version": "7.0.1",
            "root_volume_size": 20,
            "stickiness": {"duration": 300},
            "idle_timeout": 90,
            "wait_for_healthy": false,
        }),
    );
    for mut core in [Core::new(inhabited().await), built(&full()).await] {
        for unknown in unknowns(&config) {
            let surprises = core.surprises(&configuration(&unknown), &configuration(&config)).await;
            assert_eq!(surprises, Vec::<String>::new(), "{unknown}");
        }
    }
}
