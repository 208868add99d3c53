//! `codestream_deepstream_cluster` as a whole, over an AWS in memory: what Terraform core sees of it, and what is left
//! in AWS.

mod changes;
mod drift;
mod fault_loop;

use std::time::Duration;

use serde_json::{Value as Json, json};
use tfplugin::value::Value;

use super::DeepstreamCluster;
use super::samples::{change, configuration, many_tags, unknowns};
use crate::aws::ActionInfo;
use crate::aws::fake::{FakeAws, Health, Listener, State, cert_arn};
use crate::resource::testing::faults::{Operation, Subject};
use crate::resource::testing::{core, settle};

/// The name of the stack under test.
const STACK: &str = "web";
/// The name of somebody else's, which starts like it.
const NEIGHBOUR: &str = "web-2";

type Core = core::Core<DeepstreamCluster>;

/// A small configuration in which nothing takes long.
fn small() -> Json {
    json!({
        "name": STACK,
        "subnet_ids": ["subnet-a", "subnet-b"],
        "client_cidr_blocks": ["198.51.100.0/24"],
        "health_check": {"interval": 5, "timeout": 2},
        "deregistration_delay": 5,
    })
}

/// A configuration that asks for every kind of object.
fn full() -> Json {
    change(
        small(),
        &json!({
            "certificate_arn": cert_arn(1),
            "hostname": "codestream.example.com",
            "dns_record": {"zone_id": "Z1"},
            "ssh_cidr_blocks": ["192.0.2.0/24"],
            "key_name": "ops",
            "iam_instance_profile": "realtime",
            "cache": {"replica_count": 1, "auth_token_parameter": "/token"},
            "user_data_extra": "echo hello",
            "tags": {"team": "one"},
        }),
    )
}

/// A change of some arguments of a configuration.
fn update(name: &'static str, before: Json, arguments: &Json) -> Operation {
    let after = change(before.clone(), arguments);
    Operation::new(name, Some(before), Some(after))
}

/// The changes that replace nodes: every one of them must keep enough of them healthy.
fn rolling_changes() -> Vec<Operation> {
    vec![
        update("version", small(), &json!({"deepstream_version": "7.0.1"})),
        update("image and type", full(), &json!({"ami_id": "ami-0c", "instance_type": "t3.small"})),
        update("more nodes", small(), &json!({"node_count": 3})),
        update("fewer nodes", change(small(), &json!({"node_count": 4})), &json!({"node_count": 2})),
        update(
            "other nodes and more of them",
            small(),
            &json!({"node_count": 3, "deepstream_config": {"logLevel": 2}}),
        ),
        update("port", small(), &json!({"port": 7020})),
        update("a new cache", small(), &json!({"cache": {"at_rest_encryption": false}})),
        update("a Redis that exists", small(), &json!({"cache": {"endpoint": "redis.internal:6379"}})),
        update("other subnets", small(), &json!({"subnet_ids": ["subnet-b", "subnet-c"]})),
    ]
}

/// The changes that leave the nodes as they are.
fn quiet_changes() -> Vec<Operation> {
    vec![
        update("cache settings", small(), &json!({"cache": {"node_type": "cache.t3.small", "replica_count": 1}})),
        update(
            "cache version and type",
            change(small(), &json!({"cache": {"engine_version": "6.2"}})),
            &json!({"cache": {"node_type": "cache.t3.small"}}),
        ),
        update("fewer replicas", full(), &json!({"cache": {"auth_token_parameter": "/token"}})),
        update("a certificate", small(), &json!({"certificate_arn": cert_arn(1)})),
        update(
            "idle timeout and health",
            small(),
            &json!({"idle_timeout": 120, "health_check": {"interval": 6, "timeout": 2}}),
        ),
        update("tags", full(), &json!({"tags": {"owner": "two"}})),
        update("clients", small(), &json!({"client_cidr_blocks": ["192.0.2.0/24"]})),
    ]
}

/// An AWS in which things take little time and somebody else has a cluster.
async fn inhabited() -> FakeAws {
    let aws = FakeAws::new();
    {
        let mut state = aws.state();
        state.provisioning = Duration::from_secs(6);
        state.interface_release = Duration::from_secs(5);
        state.booting = Duration::from_secs(3);
        state.cache_changing = Duration::from_secs(10);
        state.subnets.values_mut().for_each(|subnet| subnet.has_ipv6 = true);
        for (name, token) in [("/token", "a-token-of-16-chars"), ("/other", "another-of-16-chars")] {
            state.parameters.insert(name.to_owned(), token.to_owned());
        }
    }
    let neighbour = change(small(), &json!({"name": NEIGHBOUR}));
    Core::new(aws.clone()).apply(Some(&configuration(&neighbour))).await.succeeded();
    settle().await;
    aws
}

/// A cluster of this configuration, healthy.
async fn built(config: &Json) -> Core {
    let mut core = Core::new(inhabited().await);
    core.apply(Some(&configuration(config))).await.succeeded();
    settle().await;
    core
}

/// All of AWS, with the random ids of the stack and of its neighbour by other names.
fn picture(core: &Core) -> String {
    core.picture(NEIGHBOUR)
}

/// Why clients would be cut off, or the cluster be too small: no test makes one of fewer than two nodes.
fn outage(state: &State) -> Option<String> {
    shortage(state, 2)
}

/// Why a cluster of so many nodes would be too small: every listener that forwards must lead to that many healthy ones.
fn shortage(state: &State, wanted: usize) -> Option<String> {
    let (arn, _) = state.load_balancers.iter().find(|(_, found)| found.info.name == STACK)?;
    let ours = |listener: &&Listener| listener.load_balancer_arn == *arn;
    let listeners: Vec<&Listener> = state.listeners.values().filter(ours).collect();
    if listeners.is_empty() {
        return Some("nobody can connect".to_owned());
    }
    listeners.into_iter().find_map(|listener| {
        let (ActionInfo::Forward(groups) | ActionInfo::Other(_, groups)) = &listener.settings.action else {
            return None;
        };
        let serving =
            groups.iter().filter(|(_, weight)| *weight > 0).filter_map(|(arn, _)| state.target_groups.get(arn));
        let healthy = serving
            .flat_map(|group| group.targets.values())
            .filter(|target| target.draining_until.is_none() && target.health == Health::Healthy)
            .count();
        (healthy < wanted)
            .then(|| format!("the listener on {} leads to {healthy} healthy nodes", listener.settings.port))
    })
}

struct Tested;

impl Subject for Tested {
    type Kind = DeepstreamCluster;
    const STACK: &'static str = STACK;

    fn configuration(json: &Json) -> Value {
        configuration(json)
    }

    async fn inhabited() -> FakeAws {
        inhabited().await
    }

    fn picture(core: &Core) -> String {
        picture(core)
    }

    fn outage(state: &State) -> Option<String> {
        outage(state)
    }
}
