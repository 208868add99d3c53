//! `codestream_alb` as a whole, over an AWS in memory: what Terraform core sees of it, and what is left in AWS.

mod changes;
mod core;
mod drift;
mod endings;
mod fault_loop;
mod imports;
mod interrupted;
mod ownership;
mod reads;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value as Json, json};

use self::core::{Applied, Core};
use super::samples::{change, configuration, many_tags, unknowns};
use crate::aws::fake::{FakeAws, Health, Listener, SecurityGroup, State, cert_arn};
use crate::aws::{ActionInfo, Direction};
use crate::resource::testing::faults::Operation;
use crate::resource::testing::settle;
use crate::settings::Preflight;

/// The name of the stack under test.
const STACK: &str = "web";
/// The name of somebody else's, which starts like it.
const NEIGHBOUR: &str = "web-api";

/// A small configuration in which nothing takes long.
fn http() -> Json {
    json!({
        "name": STACK,
        "protocol": "HTTP",
        "subnet_ids": ["subnet-a", "subnet-b"],
        "instance_ids": ["i-1"],
        "hostname": "codestream.example.com",
        "client_cidr_blocks": ["198.51.100.0/24"],
        "health_check": {"interval": 5, "timeout": 2},
        "api": {"deregistration_delay": 5},
        "broadcaster": {"deregistration_delay": 5},
    })
}

fn https() -> Json {
    change(http(), &json!({"protocol": "HTTPS", "certificate_arn": cert_arn(1)}))
}

/// A small configuration with an alias record.
fn recorded() -> Json {
    change(http(), &json!({"dns_record": {"zone_id": "Z1"}}))
}

/// A configuration that asks for every kind of object.
fn full() -> Json {
    change(
        https(),
        &json!({
            "additional_certificate_arns": [cert_arn(2)],
            "redirect_http": true,
            "dns_record": {"zone_id": "Z1"},
            "instance_cidr_blocks": ["203.0.113.7/32"],
            "instance_security_group_id": "sg-hosts",
            "api": {"deregistration_delay": 5, "stickiness": {"type": "lb_cookie"}},
            "access_logs": {"bucket": "my-logs", "prefix": "web"},
            "tags": {"team": "one"},
        }),
    )
}

/// A small configuration behind a security group that the user brings along.
fn brought() -> Json {
    change(http(), &json!({"security_group_ids": ["sg-hosts"], "client_cidr_blocks": null}))
}

/// A small configuration with rules in a security group of somebody else's.
fn let_in(group: &str) -> Json {
    change(http(), &json!({"instance_security_group_id": group}))
}

/// So many clients of one network, each let in on both listeners.
fn crowded(network: &str, clients: u8) -> Json {
    let blocks: Vec<String> = (0..clients).map(|host| format!("{network}.{host}/32")).collect();
    change(http(), &json!({"client_cidr_blocks": blocks}))
}

fn operation(name: &'static str, before: Option<Json>, after: Option<Json>) -> Operation {
    Operation::new(name, before, after)
}

/// A change of some arguments of a configuration.
fn update(name: &'static str, before: Json, arguments: &Json) -> Operation {
    let after = change(before.clone(), arguments);
    operation(name, Some(before), Some(after))
}

/// The changes of what serves: every one of them must go without an outage.
fn changes_of_service() -> Vec<Operation> {
    let delay = json!({"deregistration_delay": 5});
    let ports = |listener: u16, target: u16| {
        let delay = 5;
        json!({"listener_port": listener, "target_port": target, "deregistration_delay": delay})
    };
    let swapped = |api: u16, broadcaster: u16| json!({"api": ports(api, 80), "broadcaster": ports(broadcaster, 12080)});
    let plain = json!({"protocol": "HTTP", "certificate_arn": null});
    let secured = json!({"protocol": "HTTPS", "certificate_arn": cert_arn(1), "redirect_http": true});
    vec![
        update("instance swap", http(), &json!({"instance_ids": ["i-2"]})),
        update(
            "instance swap without waiting",
            change(http(), &json!({"wait_for_healthy": false})),
            &json!({"instance_ids": ["i-2"]}),
        ),
        update(
            "subnets and instance",
            http(),
            &json!({"subnet_ids": ["subnet-b", "subnet-c"], "instance_ids": ["i-3"]}),
        ),
        update("HTTP to HTTPS", http(), &json!({"protocol": "HTTPS", "certificate_arn": cert_arn(1)})),
        update("HTTP to HTTPS with a redirect", http(), &secured),
        update("HTTPS to HTTP", https(), &plain),
        update(
            "HTTPS with a redirect to HTTP",
            change(http(), &secured),
            &change(plain.clone(), &json!({"redirect_http": false})),
        ),
        update(
            "HTTP to HTTPS on the same ports",
            change(http(), &swapped(8080, 8081)),
            &json!({"protocol": "HTTPS", "certificate_arn": cert_arn(1)}),
        ),
        update(
            "target port",
            http(),
            &json!({"api": {"target_port": 8080, "deregistration_delay": 5}, "broadcaster": delay}),
        ),
        update(
            "listener port",
            http(),
            &json!({"api": {"listener_port": 8080, "target_port": 80, "deregistration_delay": 5}}),
        ),
        // Two ports that change hands do so in two calls, with a fault between them perhaps.
        Operation {
            cuts: true,
            ..update("listener port swap", change(http(), &swapped(80, 12080)), &swapped(12080, 80))
        },
        update(
            "everything at once",
            full(),
            &json!({
                "instance_ids": ["i-2"], "certificate_arn": cert_arn(3), "redirect_http": false, "idle_timeout": 90,
                "api": {"listener_port": 8443, "target_port": 8443, "deregistration_delay": 5},
                "client_cidr_blocks": ["192.0.2.0/24"], "tags": {"team": "two"}, "dns_record": null,
            }),
        ),
    ]
}

/// The changes of what is around the service.
fn changes_of_settings() -> Vec<Operation> {
    let own = json!({"security_group_ids": ["sg-hosts"], "client_cidr_blocks": null, "instance_cidr_blocks": null});
    let record = |name: &str| json!({"dns_record": {"zone_id": "Z1", "name": name}});
    vec![
        update("certificate rotation", full(), &json!({"certificate_arn": cert_arn(3)})),
        update(
            "certificate promotion",
            full(),
            &json!({"certificate_arn": cert_arn(2), "additional_certificate_arns": [cert_arn(1)]}),
        ),
        update("additional certificates", https(), &json!({"additional_certificate_arns": [cert_arn(2), cert_arn(3)]})),
        update("fewer additional certificates", full(), &json!({"additional_certificate_arns": null})),
        update("subnets", http(), &json!({"subnet_ids": ["subnet-a", "subnet-c"]})),
        update("address type", full(), &json!({"ip_address_type": "dualstack"})),
        update("sources", full(), &json!({"client_cidr_blocks": ["192.0.2.0/24"], "instance_cidr_blocks": null})),
        update("security groups of one's own", http(), &own),
        update(
            "no security groups of one's own",
            change(http(), &own),
            &change(http(), &json!({"security_group_ids": null})),
        ),
        update("instance security group on", http(), &json!({"instance_security_group_id": "sg-hosts"})),
        // Named so that the one that is left comes last.
        update(
            "another instance security group",
            let_in("sg-others"),
            &json!({"instance_security_group_id": "sg-hosts"}),
        ),
        update("instance security group off", full(), &json!({"instance_security_group_id": null})),
        update(
            "attributes",
            http(),
            &json!({"idle_timeout": 90, "enable_http2": false, "connection_logs": {"bucket": "my-logs"}}),
        ),
        update("no attributes", full(), &json!({"access_logs": null, "api": {"deregistration_delay": 6}})),
        update("health check", http(), &json!({"health_check": {"interval": 6, "timeout": 2, "path": "/other"}})),
        update("tags", full(), &json!({"tags": {"owner": "two"}})),
        update(
            "tags exchanged",
            change(full(), &json!({"tags": many_tags("old")})),
            &json!({"tags": many_tags("new")}),
        ),
        update("redirect on", https(), &json!({"redirect_http": true})),
        update("redirect off", full(), &json!({"redirect_http": false})),
        operation("record on", Some(http()), Some(recorded())),
        update("record off", full(), &json!({"dns_record": null})),
        update("record renamed", change(http(), &record("one.example.com")), &record("two.example.com")),
    ]
}

/// An AWS in which things take little time and somebody else has a stack. Besides `sg-hosts` it has `sg-others`.
async fn inhabited() -> FakeAws {
    let aws = FakeAws::new();
    hurry(&aws);
    {
        let mut state = aws.state();
        let hosts = state.security_groups["sg-hosts"].clone();
        state.subnets.values_mut().for_each(|subnet| subnet.has_ipv6 = true);
        let others = SecurityGroup { name: "others".to_owned(), rules: BTreeMap::new(), ..hosts };
        state.security_groups.insert("sg-others".to_owned(), others);
    }
    let neighbour = change(http(), &json!({"name": NEIGHBOUR}));
    Core::new(aws.clone()).apply(Some(&configuration(&neighbour))).await.succeeded();
    settle().await;
    aws
}

fn hurry(aws: &FakeAws) {
    let mut state = aws.state();
    state.provisioning = Duration::from_secs(6);
    state.interface_release = Duration::from_secs(5);
}

/// A stack of this configuration, healthy.
async fn built(config: &Json) -> Core {
    let mut core = Core::new(inhabited().await);
    core.apply(Some(&configuration(config))).await.succeeded();
    settle().await;
    core
}

/// The lines in which two pictures differ; none when they are the same.
fn difference(expected: &str, found: &str) -> String {
    let missing =
        expected.lines().filter(|line| !found.lines().any(|other| other == *line)).map(|line| format!("- {line}"));
    let surplus =
        found.lines().filter(|line| !expected.lines().any(|other| other == *line)).map(|line| format!("+ {line}"));
    missing.chain(surplus).collect::<Vec<_>>().join("\n")
}

/// Whether something was refused, with these words among others.
fn refused(applied: &Applied, part: &str) -> bool {
    applied.errors().iter().any(|error| error.contains(part))
}

/// All of AWS, with the random ids of the stack and of its neighbour by other names.
fn picture(core: &Core) -> String {
    core.picture(NEIGHBOUR)
}

/// The operations of the calls that changed something, with what they were about, from a call on.
fn changing_calls(aws: &FakeAws, from: usize) -> Vec<String> {
    let calls = aws.calls().into_iter().skip(from).filter(|call| call.mutating);
    calls.map(|call| format!("{} {}", call.operation, call.detail)).collect()
}

/// Why somebody who uses the stack would be cut off: a listener that sends traffic to nobody healthy, a redirect
/// to a port where nobody listens, or a role that cannot be reached.
fn outage(state: &State) -> Option<String> {
    let (arn, balancer) = state.load_balancers.iter().find(|(_, found)| found.info.name == STACK)?;
    let ours =
        |listener: &&Listener| listener.load_balancer_arn == *arn && listener.tags.contains_key("codestream:stack");
    let listeners: Vec<&Listener> = state.listeners.values().filter(ours).collect();
    let own_groups: Vec<&SecurityGroup> = balancer
        .info
        .security_groups
        .iter()
        .filter_map(|id| state.security_groups.get(id))
        .filter(|group| group.tags.contains_key("codestream:stack"))
        .collect();
    let mut reachable: BTreeSet<&str> = BTreeSet::new();
    for listener in &listeners {
        let port = listener.settings.port;
        match &listener.settings.action {
            ActionInfo::Other(_, groups) if groups.is_empty() => {}
            ActionInfo::Forward(groups) | ActionInfo::Other(_, groups) => {
                let serving: Vec<&String> =
                    groups.iter().filter(|(_, weight)| *weight > 0).map(|(group, _)| group).collect();
                if let Some(dead) = serving.iter().find(|group| !is_served(state, group)) {
                    return Some(format!("the listener on {port} sends traffic to {dead}, where nothing is healthy"));
                }
                if own_groups.is_empty() || lets_in(&own_groups, port) {
                    // Two listeners that swap their ports have each other's group before they have its role.
                    let groups = serving.iter().filter_map(|arn| state.target_groups.get(*arn));
                    let tags = groups.map(|group| &group.tags).chain([&listener.tags]);
                    reachable.extend(tags.filter_map(|tags| tags.get("codestream:role")).map(String::as_str));
                }
            }
            ActionInfo::Redirect { port: target, .. } => {
                if !listeners.iter().any(|other| other.settings.port.to_string() == *target) {
                    return Some(format!("the listener on {port} redirects to {target}, where nobody listens"));
                }
            }
        }
    }
    let missing = ["api", "broadcaster"].into_iter().find(|role| !reachable.contains(role));
    missing.map(|role| format!("nobody reaches the {role}"))
}

/// Whether a target group has a registered, healthy target.
fn is_served(state: &State, arn: &str) -> bool {
    let mut targets = state.target_groups.get(arn).into_iter().flat_map(|group| group.targets.values());
    targets.any(|target| target.draining_until.is_none() && target.health == Health::Healthy)
}

fn lets_in(groups: &[&SecurityGroup], port: u16) -> bool {
    let port = i64::from(port);
    let mut rules = groups.iter().flat_map(|group| group.rules.values()).map(|(rule, _)| rule);
    rules.any(|rule| rule.direction == Direction::Ingress && (rule.from_port..=rule.to_port).contains(&port))
}

/// Two resources without a state that want the same stack.
pub(super) fn two(aws: &FakeAws, checked: bool) -> (Core, Core) {
    let mut pair = (Core::new(aws.clone()), Core::new(aws.clone()));
    if checked {
        pair.0.check_plans(Preflight::Warn);
        pair.1.check_plans(Preflight::Warn);
    }
    pair
}
