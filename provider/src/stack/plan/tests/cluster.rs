//! Plans for a cluster of instances, as text: how they are replaced one at a time, added and dropped.

use std::collections::BTreeMap;

use super::graphs::{health, owner, there, vpc};
use super::lines;
use crate::aws::{Attributes, Direction, HealthCheck, Tags};
use crate::stack::cluster::{Instance, METADATA};
use crate::stack::plan::{Purpose, plan};
use crate::stack::{
    Action, Desired, Listener, LoadBalancer, Node, NodeId, Observed, Ref, Rule, SecurityGroup, Source, TargetGroup,
    attributes,
};

const BALANCER_GROUP: NodeId = NodeId::SecurityGroup("load-balancer");
const NODE_GROUP: NodeId = NodeId::SecurityGroup("node");

/// A cluster of so many instances that listen on this port. What they are made of is only a name here.
fn cluster(count: u32, version: &str, port: u16) -> Desired {
    let instance = |slot: u32| {
        let instance = Instance {
            slot,
            image_id: "ami-1".to_owned(),
            instance_type: "t3.micro".to_owned(),
            subnet_id: format!("subnet-{}", (slot - 1) % 2 + 1),
            key_name: None,
            instance_profile: None,
            security_groups: [Ref::Of(NODE_GROUP)].into(),
            spec: version.to_owned(),
            sound: true,
            metadata: METADATA,
            start: None,
        };
        (NodeId::Instance(format!("{slot}-{version}")), instance)
    };
    let instances: Vec<(NodeId, Instance)> = (1..=count).map(instance).collect();
    let group = target_group(port, instances.iter().map(|(id, _)| id.clone()));
    let group_id = NodeId::TargetGroup(group.name.clone());
    let listener = Listener {
        role: "http",
        port: 80,
        protocol: "HTTP".to_owned(),
        ssl_policy: None,
        certificate_arn: None,
        additional_certificate_arns: [].into(),
        mutual_authentication: None,
        action: Action::forward(Ref::Of(group_id.clone())),
    };
    let fixed = [
        (BALANCER_GROUP, security_group(Direction::Egress, port, Source::Vpc)),
        (NODE_GROUP, security_group(Direction::Ingress, port, Source::Group(Ref::Of(BALANCER_GROUP)))),
        (group_id, Node::TargetGroup(group)),
        (NodeId::LoadBalancer, Node::LoadBalancer(balancer())),
        (NodeId::Listener(80), Node::Listener(listener)),
    ];
    let instances = instances.into_iter().map(|(id, instance)| (id, Node::Instance(instance)));
    let nodes: BTreeMap<NodeId, Node> = fixed.into_iter().chain(instances).collect();
    Desired { nodes, tags: Tags::new(), wait_for_healthy: true, tolerates_unhealthy: false }
}

fn security_group(direction: Direction, port: u16, source: Source) -> Node {
    let port = i64::from(port);
    let (protocol, description) = ("tcp".to_owned(), "The nodes".to_owned());
    Node::SecurityGroup(SecurityGroup {
        name: "group".to_owned(),
        description: "Group".to_owned(),
        vpc_id: vpc().id,
        rules: [Rule { direction, protocol, from_port: port, to_port: port, source, description }].into(),
    })
}

fn target_group(port: u16, instances: impl Iterator<Item = NodeId>) -> TargetGroup {
    let given = Attributes::from([("deregistration_delay.timeout_seconds".to_owned(), "30".to_owned())]);
    TargetGroup {
        role: "node",
        name: format!("ds-{port}"),
        port,
        protocol: "HTTP".to_owned(),
        vpc_id: vpc().id,
        health_check: HealthCheck {
            protocol: "HTTP".to_owned(),
            port: "traffic-port".to_owned(),
            path: "/health-check".to_owned(),
            matcher: "200".to_owned(),
            interval: 10,
            timeout: 5,
            healthy_threshold: 2,
            unhealthy_threshold: 2,
        },
        attributes: attributes::normalise(attributes::TARGET_GROUP, &given),
        targets: instances.map(Ref::Of).collect(),
    }
}

fn balancer() -> LoadBalancer {
    LoadBalancer {
        name: "web".to_owned(),
        scheme: "internet-facing".to_owned(),
        ip_address_type: "ipv4".to_owned(),
        subnet_ids: ["subnet-1".to_owned(), "subnet-2".to_owned()].into(),
        security_groups: [Ref::Of(BALANCER_GROUP)].into(),
        attributes: attributes::normalise(attributes::LOAD_BALANCER, &Attributes::new()),
    }
}

/// What was wanted, as if it were there in full health.
fn running(desired: &Desired) -> Observed {
    let mut observed = there(desired);
    for (id, existing) in &mut observed.nodes {
        existing.tags = owner().tags_of(&desired.tags, id, &existing.node);
    }
    let healthy = desired.target_groups().map(|(id, group)| {
        let targets = group.targets.iter().map(|target| health(&format!("id of {target}"), group.port, "healthy"));
        (id.clone(), targets.collect())
    });
    observed.health = healthy.collect();
    observed
}

/// The lines of the plan from one cluster to another.
fn change(from: &Observed, to: &Desired) -> Vec<String> {
    lines(&plan(to, from, &owner(), Purpose::Change))
}

#[test]
fn a_cluster_as_wanted_needs_no_step() {
    let wanted = cluster(3, "v1", 6020);
    assert_eq!(change(&running(&wanted), &wanted), Vec::<String>::new());
}

#[test]
fn replacing_three_instances() {
    assert_eq!(
        change(&running(&cluster(3, "v1", 6020)), &cluster(3, "v2", 6020)),
        [
            "0 node 1-v2: launch t3.micro with ami-1 in subnet-1 | not there yet",
            "1 node 1-v2: wait until running | after 0 | it is starting",
            "2 target group ds-6020: register node 1-v2 | after 1 | replaces another",
            "3 target group ds-6020: wait until healthy: node 1-v2 | after 2 | the old one goes on until it serves",
            "4 target group ds-6020: deregister node 1-v2 | if 3 fails, after 0, 1, 2 | it never served",
            "5 node 1-v2: terminate | if 3 fails, after 0, 1, 2, 4 | it never served",
            "6 target group ds-6020: deregister node 1-v1 | after 3 | not wanted",
            "7 target group ds-6020: wait until drained: node 1-v1 | after 6 | its connections end first",
            "8 node 1-v1: terminate | after 7 | not wanted",
            "9 node 2-v2: launch t3.micro with ami-1 in subnet-2 | after 8 | not there yet",
            "10 node 2-v2: wait until running | after 9 | it is starting",
            "11 target group ds-6020: register node 2-v2 | after 8, 10 | replaces another",
            "12 target group ds-6020: wait until healthy: node 2-v2 | after 2, 8, 11 \
             | the old one goes on until it serves",
            "13 target group ds-6020: deregister node 2-v2 | if 12 fails, after 9, 10, 11 | it never served",
            "14 node 2-v2: terminate | if 12 fails, after 9, 10, 11, 13 | it never served",
            "15 target group ds-6020: deregister node 2-v1 | after 12 | not wanted",
            "16 target group ds-6020: wait until drained: node 2-v1 | after 15 | its connections end first",
            "17 node 2-v1: terminate | after 16 | not wanted",
            "18 node 3-v2: launch t3.micro with ami-1 in subnet-1 | after 17 | not there yet",
            "19 node 3-v2: wait until running | after 18 | it is starting",
            "20 target group ds-6020: register node 3-v2 | after 17, 19 | replaces another",
            "21 target group ds-6020: wait until healthy: node 3-v2 | after 2, 11, 17, 20 \
             | the old one goes on until it serves",
            "22 target group ds-6020: deregister node 3-v2 | if 21 fails, after 18, 19, 20 | it never served",
            "23 node 3-v2: terminate | if 21 fails, after 18, 19, 20, 22 | it never served",
            "24 target group ds-6020: deregister node 3-v1 | after 21 | not wanted",
            "25 target group ds-6020: wait until drained: node 3-v1 | after 24 | its connections end first",
            "26 node 3-v1: terminate | after 25 | not wanted",
        ]
    );
}

#[test]
fn adding_an_instance() {
    assert_eq!(
        change(&running(&cluster(2, "v1", 6020)), &cluster(3, "v1", 6020)),
        [
            "0 node 3-v1: launch t3.micro with ami-1 in subnet-1 | not there yet",
            "1 node 3-v1: wait until running | after 0 | it is starting",
            "2 target group ds-6020: register node 3-v1 | after 1 | not registered yet",
            "3 target group ds-6020: wait until healthy: node 3-v1 | after 2 | it must serve",
        ]
    );
}

#[test]
fn dropping_an_instance() {
    assert_eq!(
        change(&running(&cluster(3, "v1", 6020)), &cluster(2, "v1", 6020)),
        [
            "0 target group ds-6020: deregister node 3-v1 | not wanted",
            "1 target group ds-6020: wait until drained: node 3-v1 | after 0 | its connections end first",
            "2 node 3-v1: terminate | after 1 | not wanted",
        ]
    );
}

#[test]
fn changing_the_port_of_the_instances() {
    assert_eq!(
        change(&running(&cluster(2, "v1", 6020)), &cluster(2, "v2", 7020)),
        [
            "0 load-balancer security group: authorize egress tcp 7020 vpc | traffic to let through",
            "1 node security group: authorize ingress tcp 7020 load-balancer security group | traffic to let through",
            "2 node 1-v2: launch t3.micro with ami-1 in subnet-1 | after 0, 1 | not there yet",
            "3 node 1-v2: wait until running | after 2 | it is starting",
            "4 node 2-v2: launch t3.micro with ami-1 in subnet-2 | after 0, 1 | not there yet",
            "5 node 2-v2: wait until running | after 4 | it is starting",
            "6 target group ds-7020: create | not there yet",
            "7 target group ds-7020: set deregistration_delay.timeout_seconds=30 | after 6 | attributes differ",
            "8 target group ds-7020: register node 1-v2, node 2-v2 | after 3, 5, 6 | not registered yet",
            "9 listener 80: modify, HTTP to target group ds-6020 (1), target group ds-7020 (0) | after 6 \
             | so that AWS probes the new group",
            "10 target group ds-7020: wait until healthy: node 1-v2, node 2-v2 | after 0, 1, 6, 8, 9 \
             | the old service goes on until it serves",
            "11 listener 80: modify, HTTP to target group ds-6020 | if 10 fails, after 9 | back to the old service",
            "12 target group ds-7020: delete | if 10 fails, after 6, 7, 8, 10, 11 | it never served",
            "13 listener 80: modify, HTTP to target group ds-7020 | after 6, 10 | settings differ",
            "14 target group ds-6020: deregister node 1-v1, node 2-v1 | after 13 | replaced",
            "15 target group ds-6020: wait until drained: node 1-v1, node 2-v1 | after 14 | its connections end first",
            "16 target group ds-6020: delete | after 15 | replaced",
            "17 node 1-v1: terminate | after 6, 7, 8, 10, 14, 15, 16 | not wanted",
            "18 node 2-v1: terminate | after 6, 7, 8, 10, 14, 15, 16 | not wanted",
            "19 node 1-v2: terminate | if 10 fails, after 2, 3, 12 | it never served",
            "20 node 2-v2: terminate | if 10 fails, after 4, 5, 12 | it never served",
            "21 load-balancer security group: revoke egress tcp 6020 vpc \
             | after 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16, 17, 18 | traffic not wanted",
            "22 node security group: revoke ingress tcp 6020 load-balancer security group \
             | after 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 13, 14, 15, 16, 17, 18 | traffic not wanted",
        ]
    );
}

/// A roll that broke off before the last old instance had left, with newcomers in these states.
fn rolling(states: [&str; 2]) -> (Observed, Desired) {
    let (old, wanted) = (running(&cluster(2, "v1", 6020)), cluster(2, "v2", 6020));
    let mut observed = running(&wanted);
    let (group, last) = (NodeId::TargetGroup("ds-6020".to_owned()), NodeId::Instance("2-v1".to_owned()));
    observed.nodes.insert(last.clone(), old.nodes[&last].clone());
    let known = observed.health.get_mut(&group).unwrap();
    for (newcomer, state) in known.iter_mut().zip(states) {
        newcomer.state = state.to_owned();
    }
    known.push(health("id of node 2-v1", 6020, "healthy"));
    observed.target_group_mut(&group).unwrap().targets.insert(Ref::Of(last));
    (observed, wanted)
}

#[test]
fn a_newcomer_that_serves_stays_whatever_fails_before_its_turn() {
    let (observed, wanted) = rolling(["unhealthy", "healthy"]);
    assert_eq!(
        change(&observed, &wanted),
        [
            "0 target group ds-6020: wait until healthy: node 1-v2 | it must serve",
            "1 target group ds-6020: wait until healthy: node 2-v2 | after 0 | the old one goes on until it serves",
            "2 target group ds-6020: deregister node 2-v1 | after 1 | not wanted",
            "3 target group ds-6020: wait until drained: node 2-v1 | after 2 | its connections end first",
            "4 node 2-v1: terminate | after 3 | not wanted",
        ]
    );
}

#[test]
fn a_newcomer_that_does_not_serve_yet_goes_again_when_it_never_does() {
    let (observed, wanted) = rolling(["healthy", "initial"]);
    assert_eq!(
        change(&observed, &wanted)[..6],
        [
            "0 target group ds-6020: wait until healthy: node 2-v2 | it must serve",
            "1 target group ds-6020: wait until healthy: node 2-v2 | it stays if it serves before its turn",
            "2 target group ds-6020: deregister node 2-v2 | if 1 fails, after 0 | it never served",
            "3 node 2-v2: terminate | if 1 fails, after 0, 2 | it never served",
            "4 target group ds-6020: wait until healthy: node 2-v2 | after 0, 1 | the old one goes on until it serves",
            "5 target group ds-6020: deregister node 2-v1 | after 4 | not wanted",
        ]
    );
}

#[test]
fn a_newcomer_that_comes_to_serve_stays_although_another_never_does() {
    let (observed, wanted) = rolling(["unhealthy", "initial"]);
    assert_eq!(
        change(&observed, &wanted)[..3],
        [
            "0 target group ds-6020: wait until healthy: node 1-v2, node 2-v2 | it must serve",
            "1 target group ds-6020: wait until healthy: node 2-v2 | it stays if it serves before its turn",
            "2 target group ds-6020: deregister node 2-v2 | if 1 fails, after 0 | it never served",
        ]
    );
}

/// A change of the port that broke off when traffic had moved: the old instances may still have connections.
fn moved() -> (Observed, Desired) {
    let (old, wanted) = (running(&cluster(2, "v1", 6020)), cluster(2, "v2", 7020));
    let mut observed = running(&wanted);
    for (id, existing) in old.nodes {
        observed.nodes.entry(id).or_insert(existing);
    }
    observed.health.extend(old.health);
    (observed, wanted)
}

#[test]
fn going_on_with_a_change_of_the_port_drains_the_old_instances_before_they_end() {
    let (observed, wanted) = moved();
    assert_eq!(
        change(&observed, &wanted),
        [
            "0 target group ds-7020: wait until healthy: node 1-v2 | the old one goes on until it serves",
            "1 target group ds-7020: wait until healthy: node 2-v2 | after 0 | the old one goes on until it serves",
            "2 target group ds-6020: deregister node 1-v1, node 2-v1 | replaced",
            "3 target group ds-6020: wait until drained: node 1-v1, node 2-v1 | after 2 | its connections end first",
            "4 target group ds-6020: delete | after 3 | replaced",
            "5 node 1-v1: terminate | after 0, 1, 2, 3, 4 | not wanted",
            "6 node 2-v1: terminate | after 0, 1, 2, 3, 4 | not wanted",
        ]
    );
}

#[test]
fn instances_that_drain_already_are_waited_for_as_well() {
    let (mut observed, wanted) = moved();
    let old = NodeId::TargetGroup("ds-6020".to_owned());
    observed.target_group_mut(&old).unwrap().targets.clear();
    for target in observed.health.get_mut(&old).unwrap() {
        target.state = "draining".to_owned();
    }
    let steps = change(&observed, &wanted);
    assert_eq!(
        steps[2..],
        [
            "2 target group ds-6020: wait until drained: id of node 1-v1, id of node 2-v1 | its connections end first",
            "3 target group ds-6020: delete | after 2 | replaced",
            "4 node 1-v1: terminate | after 0, 1, 2, 3 | not wanted",
            "5 node 2-v1: terminate | after 0, 1, 2, 3 | not wanted",
        ]
    );
}
