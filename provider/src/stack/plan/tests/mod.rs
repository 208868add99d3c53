//! Plans as text, and what holds for every plan: it ends at what is wanted, in any order that it allows.

mod cluster;
mod graphs;
mod world;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::{Purpose, plan};
use crate::stack::step::{Change, Plan, When};
use crate::stack::{Action, Desired, NodeId, Observed, Ref};
use graphs::{Shape, owner, shapes, there};
use world::{Order, World};

/// The lines of a plan.
fn lines(plan: &Plan) -> Vec<String> {
    plan.to_string().lines().map(|line| line.trim_start().to_owned()).collect()
}

/// The plan from one shape, in full health, to another.
fn change(from: &Shape, to: &Shape) -> Plan {
    plan(&to.desired(), &there(&from.desired()), &owner(), Purpose::Change)
}

fn create(shape: &Shape) -> Plan {
    let empty = Observed { vpc: graphs::vpc(), ..Observed::default() };
    plan(&shape.desired(), &empty, &owner(), Purpose::Create)
}

#[test]
fn creating_over_http() {
    insta::assert_snapshot!(create(&Shape::http()));
}

#[test]
fn creating_over_https_with_everything() {
    insta::assert_snapshot!(create(&Shape::full()));
}

#[test]
fn changing_from_http_to_https() {
    insta::assert_snapshot!(change(&Shape::http(), &Shape::https()));
}

#[test]
fn changing_a_target_port() {
    let moved = Shape { targets: [8080, 12080], ..Shape::http() };
    assert_eq!(
        lines(&change(&Shape::http(), &moved)),
        [
            "0 load-balancer security group: authorize egress tcp 8080 vpc | traffic to let through",
            "1 target group api-http-8080: create | not there yet",
            "2 target group api-http-8080: set deregistration_delay.timeout_seconds=30 | after 1 | attributes differ",
            "3 target group api-http-8080: register i-1 | after 1 | not registered yet",
            "4 listener 80: modify, HTTP to target group api-http-80 (1), target group api-http-8080 (0) | after 1 \
             | so that AWS probes the new group",
            "5 target group api-http-8080: wait until healthy: i-1 | after 0, 1, 3, 4 \
             | the old service goes on until it serves",
            "6 listener 80: modify, HTTP to target group api-http-80 | if 5 fails, after 4 | back to the old service",
            "7 target group api-http-8080: delete | if 5 fails, after 1, 2, 3, 5, 6 | it never served",
            "8 listener 80: modify, HTTP to target group api-http-8080 | after 1, 5 | settings differ",
            "9 target group api-http-80: deregister i-1 | after 8 | replaced",
            "10 target group api-http-80: wait until drained: i-1 | after 9 | its connections end first",
            "11 target group api-http-80: delete | after 10 | replaced",
            "12 load-balancer security group: revoke egress tcp 80 vpc | after 0, 1, 2, 3, 4, 5, 8, 9, 10, 11 \
             | traffic not wanted",
        ]
    );
}

#[test]
fn going_on_with_an_interrupted_replacement() {
    let moved = Shape { targets: [8080, 12080], ..Shape::http() };
    let mut world = World::of(there(&Shape::http().desired()));
    let started = world.plan(&moved.desired(), Purpose::Change);
    // Up to the wait for the new group.
    world.run(&Plan { steps: started.steps[..5].to_vec() }, &mut Order(0), usize::MAX, None);
    assert_eq!(
        lines(&world.plan(&moved.desired(), Purpose::Change)),
        [
            "0 target group api-http-8080: wait until healthy: i-1 | the old service goes on until it serves",
            "1 listener 80: modify, HTTP to target group api-http-80 | if 0 fails | back to the old service",
            "2 target group api-http-8080: delete | if 0 fails, after 0, 1 | it never served",
            "3 listener 80: modify, HTTP to target group api-http-8080 | after 0 | settings differ",
            "4 target group api-http-80: deregister i-1 | after 3 | replaced",
            "5 target group api-http-80: wait until drained: i-1 | after 4 | its connections end first",
            "6 target group api-http-80: delete | after 5 | replaced",
            "7 load-balancer security group: revoke egress tcp 80 vpc | after 0, 3, 4, 5, 6 | traffic not wanted",
        ]
    );
}

#[test]
fn rotating_a_certificate() {
    let rotated = Shape { certificate: 2, ..Shape::https() };
    assert_eq!(
        lines(&change(&Shape::https(), &rotated)),
        [
            "0 listener 443: add certificates cert-2 | served beside the default one",
            "1 listener 443: modify, HTTPS to target group api-https-443 | after 0 | settings differ",
            "2 listener 443: wait until it serves cert-2 | after 1 | the old certificate may go after this",
            "3 listener 443: remove certificates cert-1, cert-2 | after 0, 1 | not wanted",
            "4 listener 12443: add certificates cert-2 | served beside the default one",
            "5 listener 12443: modify, HTTPS to target group ws-https-12443 | after 4 | settings differ",
            "6 listener 12443: wait until it serves cert-2 | after 5 | the old certificate may go after this",
            "7 listener 12443: remove certificates cert-1, cert-2 | after 4, 5 | not wanted",
        ]
    );
}

#[test]
fn swapping_an_instance() {
    for waits in [true, false] {
        let swapped = Shape { instances: [2].into(), waits, ..Shape::http() };
        assert_eq!(
            lines(&change(&Shape::http(), &swapped)),
            [
                "0 target group api-http-80: register i-2 | not registered yet",
                "1 target group ws-http-12080: register i-2 | not registered yet",
                "2 target group api-http-80: wait until healthy: i-2 | after 0 | it must serve",
                "3 target group ws-http-12080: wait until healthy: i-2 | after 1 | it must serve",
                "4 target group api-http-80: deregister i-1 | after 0, 2 | not wanted",
                "5 target group api-http-80: wait until drained: i-1 | after 4 | its connections end first",
                "6 target group ws-http-12080: deregister i-1 | after 1, 3 | not wanted",
                "7 target group ws-http-12080: wait until drained: i-1 | after 6 | its connections end first",
            ]
        );
    }
}

#[test]
fn swapping_an_instance_that_does_not_serve_without_waiting() {
    let swapped = Shape { instances: [2].into(), waits: false, ..Shape::http() };
    let mut observed = there(&Shape::http().desired());
    observed.health.values_mut().flatten().for_each(|target| target.state = "unhealthy".to_owned());
    assert_eq!(
        lines(&plan(&swapped.desired(), &observed, &owner(), Purpose::Change)),
        [
            "0 target group api-http-80: register i-2 | not registered yet",
            "1 target group ws-http-12080: register i-2 | not registered yet",
            "2 target group api-http-80: deregister i-1 | after 0 | not wanted",
            "3 target group api-http-80: wait until drained: i-1 | after 2 | its connections end first",
            "4 target group ws-http-12080: deregister i-1 | after 1 | not wanted",
            "5 target group ws-http-12080: wait until drained: i-1 | after 4 | its connections end first",
        ]
    );
}

#[test]
fn adding_an_instance_without_waiting() {
    let more = Shape { instances: [1, 2].into(), waits: false, ..Shape::http() };
    assert_eq!(
        lines(&change(&Shape::http(), &more)),
        [
            "0 target group api-http-80: register i-2 | not registered yet",
            "1 target group ws-http-12080: register i-2 | not registered yet",
        ]
    );
}

#[test]
fn swapping_an_instance_and_adding_a_record() {
    let changed = Shape { instances: [2].into(), record: Some(1), ..Shape::http() };
    assert_eq!(
        lines(&change(&Shape::http(), &changed)),
        [
            "0 target group api-http-80: register i-2 | not registered yet",
            "1 target group ws-http-12080: register i-2 | not registered yet",
            "2 target group api-http-80: wait until healthy: i-2 | after 0 | it must serve",
            "3 target group ws-http-12080: wait until healthy: i-2 | after 1 | it must serve",
            "4 load balancer: tag load balancer with codestream:records=id-1 Z1/r1.example.com | after 2, 3 \
             | tells of records to come",
            "5 A record r1.example.com: create, to load balancer | after 2, 3, 4 | not there yet",
            "6 target group api-http-80: deregister i-1 | after 0, 2 | not wanted",
            "7 target group api-http-80: wait until drained: i-1 | after 6 | its connections end first",
            "8 target group ws-http-12080: deregister i-1 | after 1, 3 | not wanted",
            "9 target group ws-http-12080: wait until drained: i-1 | after 8 | its connections end first",
            "10 load balancer: untag load balancer of codestream:records=id-1 Z1/r1.example.com \
             | after 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 | everything is there",
        ]
    );
}

#[test]
fn leaving_ipv6_and_the_subnets_that_have_it() {
    let dualstack = Shape { dualstack: true, ..Shape::http() };
    assert_eq!(
        lines(&change(&dualstack, &Shape { subnets: [2, 3].into(), ..Shape::http() })),
        [
            "0 load balancer: set address type ipv4 | another address type",
            "1 load balancer: set subnets subnet-2, subnet-3 | after 0 | another place in the network",
        ]
    );
}

#[test]
fn deleting_everything() {
    let shape = Shape { record: Some(1), instance_rules: true, ..Shape::http() };
    let plan = plan(&Desired::default(), &there(&shape.desired()), &owner(), Purpose::Change);
    assert_eq!(
        lines(&plan),
        [
            "0 A record r1.example.com: delete | leads to the load balancer",
            "1 load balancer: delete | after 0 | not wanted",
            "2 target group api-http-80: delete | after 1 | not wanted",
            "3 target group ws-http-12080: delete | after 1 | not wanted",
            "4 rules in sg-hosts: revoke ingress tcp 80 load-balancer security group, ingress tcp 12080 \
             load-balancer security group | after 1 | they refer to a group that goes",
            "5 load-balancer security group: wait until no network interface uses it | after 1 \
             | AWS releases them after the load balancer",
            "6 load-balancer security group: delete | after 4, 5 | not wanted",
        ]
    );
}

#[test]
fn what_is_as_wanted_needs_no_step() {
    for shape in [Shape::http(), Shape::https(), Shape::full()] {
        assert_eq!(lines(&change(&shape, &shape)), Vec::<String>::new());
    }
}

/// Brings a world to a shape, and says what is wrong on the way or at the end.
fn bring(world: &mut World, to: &Shape, purpose: Purpose, order: &mut Order) -> Vec<String> {
    let steps = world.plan(&to.desired(), purpose);
    let mut wrong = world.run(&steps, order, usize::MAX, None);
    wrong.extend(world.unlike(&to.desired()));
    let left = world.plan(&to.desired(), Purpose::Change);
    wrong.extend(lines(&left).into_iter().map(|line| format!("still to do: {line}")));
    if !wrong.is_empty() {
        wrong.push(format!("the plan was:\n{steps}"));
    }
    wrong
}

fn settings() -> ProptestConfig {
    // The same graphs in every run, so that a failure is seen again; other numbers try others.
    ProptestConfig { cases: 1500, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn a_create_ends_at_what_is_wanted(to in shapes(), seed in any::<u64>()) {
        let mut world = World::of(Observed { vpc: graphs::vpc(), ..Observed::default() });
        prop_assert_eq!(bring(&mut world, &to, Purpose::Create, &mut Order(seed)), Vec::<String>::new());
    }

    #[test]
    fn an_interrupted_create_is_finished_whatever_is_wanted_then(
        first in shapes(), to in shapes(), steps in 0..40_usize, seed in any::<u64>(),
    ) {
        let mut world = World::of(Observed { vpc: graphs::vpc(), ..Observed::default() });
        let mut order = Order(seed);
        let interrupted = world.plan(&first.desired(), Purpose::Create);
        let whole = steps >= interrupted.steps.len();
        prop_assert_eq!(world.run(&interrupted, &mut order, steps, None), Vec::<String>::new());
        let purpose = if whole { Purpose::Change } else { Purpose::Create };
        prop_assert_eq!(bring(&mut world, &to, purpose, &mut order), Vec::<String>::new());
    }

    #[test]
    fn a_change_ends_at_what_is_wanted_without_an_outage(from in shapes(), to in shapes(), seed in any::<u64>()) {
        let mut world = World::of(there(&from.desired()));
        world.serves = true;
        prop_assert_eq!(bring(&mut world, &to, Purpose::Change, &mut Order(seed)), Vec::<String>::new());
    }

    #[test]
    fn an_interrupted_change_goes_on_without_an_outage_wherever_it_is_to_go(
        from in shapes(), first in shapes(), to in shapes(), steps in 0..40_usize, seed in any::<u64>(),
    ) {
        let mut world = World::of(there(&from.desired()));
        world.serves = true;
        let mut order = Order(seed);
        let interrupted = world.plan(&first.desired(), Purpose::Change);
        prop_assert_eq!(world.run(&interrupted, &mut order, steps, None), Vec::<String>::new());
        prop_assert_eq!(bring(&mut world, &to, Purpose::Change, &mut order), Vec::<String>::new());
    }

    #[test]
    fn what_was_broken_is_repaired(shape in shapes(), to in shapes(), damage in 0..11_u8, seed in any::<u64>()) {
        let mut world = World::of(there(&shape.desired()));
        world.damage(damage);
        prop_assert_eq!(bring(&mut world, &to, Purpose::Change, &mut Order(seed)), Vec::<String>::new());
    }

    #[test]
    fn a_change_without_an_outage_needs_no_listener_that_forwards_as_wanted(
        from in shapes(), to in shapes(), seed in any::<u64>(),
    ) {
        let mut world = World::of(there(&from.desired()));
        let mut order = Order(seed);
        world.make_sticky(&mut order);
        world.serves = true;
        prop_assert_eq!(bring(&mut world, &to, Purpose::Change, &mut order), Vec::<String>::new());
    }

    #[test]
    fn a_delete_leaves_nothing(from in shapes(), to in shapes(), steps in 0..40_usize, seed in any::<u64>()) {
        let mut world = World::of(there(&from.desired()));
        let mut order = Order(seed);
        let interrupted = world.plan(&to.desired(), Purpose::Change);
        prop_assert_eq!(world.run(&interrupted, &mut order, steps, None), Vec::<String>::new());
        for limit in [steps / 4, usize::MAX] {
            let delete = world.plan(&Desired::default(), Purpose::Change);
            prop_assert_eq!(world.run(&delete, &mut order, limit, None), Vec::<String>::new());
        }
        prop_assert_eq!(world.observed.nodes.len(), 0);
    }

    #[test]
    fn a_replacement_that_never_gets_healthy_is_put_back(
        from in shapes(), to in shapes(), seed in any::<u64>(),
    ) {
        let before = there(&from.desired());
        let mut world = World::of(before.clone());
        world.serves = true;
        let steps = world.plan(&to.desired(), Purpose::Change);
        let waits = warm_up(&steps);
        prop_assume!(!waits.is_empty());
        let mut order = Order(seed);
        let failing = waits[order.below(waits.len())];
        prop_assert_eq!(world.run(&steps, &mut order, usize::MAX, Some(failing)), Vec::<String>::new());
        prop_assert_eq!(service(&world.observed, &to), service(&before, &to), "{}", steps);
    }
}

/// The steps whose failure puts the old service back.
fn warm_up(plan: &Plan) -> Vec<usize> {
    let failed = plan.steps.iter().filter_map(|step| match &step.when {
        When::Failed(failed, _) if matches!(step.change, Change::ModifyListener(_)) => Some(failed),
        _ => None,
    });
    failed.flatten().copied().collect()
}

/// What serves by groups that are to be replaced: the listeners' actions and the groups' targets.
fn service(observed: &Observed, to: &Shape) -> BTreeMap<NodeId, String> {
    let wanted = to.desired();
    let replaced = |group: &Ref| matches!(group, Ref::Of(id) if !wanted.nodes.contains_key(id));
    let listeners = observed.listeners().filter(|(_, listener)| listener.action.groups().any(replaced));
    let listeners =
        listeners.map(|(id, listener)| (id.clone(), format!("{} {:?}", listener.protocol, listener.action)));
    let new = |id: &NodeId| {
        // A group that a listener that stays as it is refers to is part of no replacement.
        observed
            .listeners()
            .any(|(_, listener)| matches!(&listener.action, Action::Forward(_)) && listener.action.refers_to(id))
    };
    let groups = observed.target_groups().filter(|(id, _)| !wanted.nodes.contains_key(id) || !new(id));
    let groups = groups.map(|(id, group)| (id.clone(), format!("{:?}", group.targets)));
    listeners.chain(groups).collect()
}
