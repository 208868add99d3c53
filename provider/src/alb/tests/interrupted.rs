//! What a create or a change that was cut off has left, and who goes on with it.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tfplugin::value::Value;

use super::changes::furnish_another_vpc;
use super::core::Core;
use super::endings::call_of_create;
use super::{
    STACK, brought, built, change, configuration, difference, full, http, inhabited, let_in, picture, recorded,
    refused, settle, two,
};
use crate::aws::Aws;
use crate::aws::fake::{Call, FakeAws, Fault};
use crate::settings::Preflight;

/// Dies at the n-th call of a create of this configuration, and forgets it as core does.
async fn killed(aws: &FakeAws, config: &Json, call: usize) {
    fastrand::seed(1);
    aws.fail_at(aws.calls().len() + call, Fault::Crash { after_effect: true });
    let applied = Core::new(aws.clone()).apply(Some(&configuration(config))).await;
    assert!(applied.crashed, "{applied:?}");
    aws.clear_faults();
}

/// How many calls a create makes before its last one.
async fn calls_of(config: &Json) -> usize {
    let aws = inhabited().await.fork();
    fastrand::seed(1);
    Core::new(aws.clone()).apply(Some(&configuration(config))).await.succeeded();
    aws.calls().len() - 1
}

/// The resource ids in the tags of a stack's objects, its rules included.
fn resource_ids(aws: &FakeAws) -> BTreeSet<String> {
    let state = aws.state();
    let rules = state.security_groups.values().flat_map(|group| group.rules.values()).map(|(_, tags)| tags);
    (state.load_balancers.values().map(|object| &object.tags))
        .chain(state.target_groups.values().map(|object| &object.tags))
        .chain(state.listeners.values().map(|object| &object.tags))
        .chain(state.security_groups.values().map(|object| &object.tags))
        .chain(rules)
        .filter(|tags| tags.get("codestream:stack").is_some_and(|stack| stack == STACK))
        .filter_map(|tags| tags.get("codestream:resource-id").cloned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_create_left_belongs_to_the_next_one() {
    let calls = calls_of(&full()).await;
    let wanted = picture(&built(&full()).await);
    for (call, checked) in (0..calls).step_by(3).flat_map(|call| [(call, false), (call, true)]) {
        let (mut core, _) = two(&inhabited().await, checked);
        killed(&core.aws, &full(), call).await;
        core.apply(Some(&configuration(&full()))).await.succeeded();
        settle().await;
        assert_eq!(difference(&wanted, &picture(&core)), "", "killed at call {call}");
        assert_eq!(resource_ids(&core.aws), BTreeSet::from([core.resource_id()]), "killed at call {call}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_killed_create_is_finished_with_another_configuration() {
    let calls = calls_of(&full()).await;
    let wanted = picture(&built(&http()).await);
    for call in (0..calls).step_by(5) {
        let mut core = Core::new(inhabited().await);
        killed(&core.aws, &full(), call).await;
        core.apply(Some(&configuration(&http()))).await.succeeded();
        settle().await;
        assert_eq!(difference(&wanted, &picture(&core)), "", "killed at call {call}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_record_of_a_killed_create_goes_when_the_next_one_wants_another_or_none() {
    let named = |name: &str| change(http(), &json!({"dns_record": {"zone_id": "Z1", "name": name}}));
    let config = named("one.example.com");
    let counted = inhabited().await.fork();
    fastrand::seed(1);
    Core::new(counted.clone()).apply(Some(&configuration(&config))).await.succeeded();
    let create = "route53:ChangeResourceRecordSets";
    let call = counted.calls().iter().position(|call| call.operation == create).unwrap();
    for next in [http(), named("two.example.com")] {
        let wanted = picture(&built(&next).await);
        let mut core = Core::new(inhabited().await);
        killed(&core.aws, &config, call).await;
        // The second dies as well, once it has taken over what there is.
        let tagged = core.aws.fork();
        fastrand::seed(1);
        Core::new(tagged.clone()).apply(Some(&configuration(&next))).await.succeeded();
        let taken = tagged.calls().iter().rposition(|call| call.operation == "elasticloadbalancing:AddTags").unwrap();
        killed(&core.aws, &next, taken).await;
        core.apply(Some(&configuration(&next))).await.succeeded();
        settle().await;
        assert_eq!(difference(&wanted, &picture(&core)), "");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_change_in_a_killed_creates_load_balancer_is_not_passed_over() {
    let aws = inhabited().await;
    killed(&aws, &http(), calls_of(&http()).await - 1).await;
    let mut core = Core::new(aws);
    let applied = core.apply(Some(&configuration(&change(http(), &json!({"scheme": "internal"}))))).await;
    // Either it is replaced, or refused by name; never kept as if it were what is wanted.
    assert_eq!(applied.complaints, Vec::<String>::new());
    let schemes: BTreeSet<String> = {
        let state = core.aws.state();
        let ours = state.load_balancers.values().filter(|found| found.info.name == STACK);
        ours.map(|found| found.info.scheme.clone()).collect()
    };
    assert!(!applied.errors().is_empty() || schemes == BTreeSet::from(["internal".to_owned()]), "{schemes:?}");
}

/// While the load balancer is away, target groups must tell themselves that they are no finished stack's.
#[tokio::test(start_paused = true)]
async fn a_create_that_dies_while_it_clears_away_what_a_killed_one_left_is_finished_by_the_next() {
    for first in [http(), brought()] {
        let internal = change(first.clone(), &json!({"scheme": "internal"}));
        let wanted = picture(&built(&internal).await);
        let left = inhabited().await;
        killed(&left, &first, calls_of(&first).await - 1).await;
        let counted = left.fork();
        Core::new(counted.clone()).apply(Some(&configuration(&internal))).await.succeeded();
        for call in 0..counted.calls().len() - 1 {
            let mut core = Core::new(left.fork());
            killed(&core.aws, &internal, call).await;
            core.apply(Some(&configuration(&internal))).await.succeeded();
            settle().await;
            assert_eq!(difference(&wanted, &picture(&core)), "", "killed at call {call}");
        }
    }
}

/// A security group of its own tells of the stack as well.
#[tokio::test(start_paused = true)]
async fn what_a_killed_create_left_is_refused_only_when_nothing_that_tells_of_it_is_there_any_more() {
    for (config, refuses) in [(http(), false), (brought(), true)] {
        let mut core = Core::new(inhabited().await);
        killed(&core.aws, &config, call_of_create(&config, ":RegisterTargets").await).await;
        let balancer = {
            let state = core.aws.state();
            state.load_balancers.values().find(|found| found.info.name == STACK).unwrap().info.arn.clone()
        };
        core.aws.delete_load_balancer(&balancer).await.unwrap();
        settle().await;
        let applied = core.apply(Some(&configuration(&config))).await;
        if refuses {
            assert!(refused(&applied, "no load balancer any more"), "{:?}", applied.errors());
        } else {
            applied.succeeded();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_create_left_goes_when_the_next_one_is_in_another_vpc() {
    let elsewhere = change(http(), &json!({"subnet_ids": ["subnet-x", "subnet-y"], "instance_ids": ["i-x"]}));
    let only_the_group = call_of_create(&http(), ":CreateSecurityGroup").await;
    let nearly_all = calls_of(&http()).await - 1;
    for (call, checked) in [only_the_group, nearly_all].into_iter().flat_map(|call| [(call, false), (call, true)]) {
        let (mut core, _) = two(&inhabited().await, checked);
        furnish_another_vpc(&core);
        killed(&core.aws, &http(), call).await;
        core.apply(Some(&configuration(&elsewhere))).await.succeeded();
        assert_eq!(resource_ids(&core.aws), BTreeSet::from([core.resource_id()]), "killed at call {call}");
        let state = core.aws.state();
        let groups = state.security_groups.values().filter(|group| group.name == "web-load-balancer");
        assert_eq!(groups.map(|group| group.vpc_id.as_str()).collect::<Vec<_>>(), ["vpc-2"], "killed at call {call}");
    }
}

/// As with `create_before_destroy`, when a create has failed.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_failed_create_takes_nothing_from_the_one_that_has_taken_it_over() {
    let config = configuration(&full());
    let mut old = Core::new(inhabited().await.fork());
    let counted = &mut old.fork();
    fastrand::seed(1);
    counted.apply(Some(&config)).await.succeeded();
    let finish = counted.aws.calls().iter().position(|call| call.operation.ends_with(":RemoveTags")).unwrap();
    fastrand::seed(1);
    old.aws.fail_at(finish, Fault::Error("AccessDenied"));
    let applied = old.apply(Some(&config)).await;
    assert!(old.is_tainted() && refused(&applied, "AccessDenied"), "{applied:?}");
    old.aws.clear_faults();
    let mut new = Core::new(old.aws.clone());
    new.apply(Some(&config)).await.succeeded();
    settle().await;
    let stack = picture(&new);
    old.end_deposed().await.succeeded();
    assert!(old.state().is_null());
    settle().await;
    assert_eq!(picture(&new), stack);
}

#[tokio::test(start_paused = true)]
async fn a_create_that_never_got_to_the_load_balancer_can_be_destroyed() {
    let aws = inhabited().await;
    let before = aws.snapshot();
    let create = "elasticloadbalancing:CreateLoadBalancer";
    let counted = aws.fork();
    Core::new(counted.clone()).apply(Some(&configuration(&full()))).await.succeeded();
    let call = counted.calls().iter().position(|call| call.operation == create).unwrap();
    let mut core = Core::new(aws.fork());
    core.aws.fail_at(call, Fault::Error("TooManyLoadBalancers"));
    let applied = core.apply(Some(&configuration(&full()))).await;
    assert!(refused(&applied, "TooManyLoadBalancers"), "{:?}", applied.errors());
    assert_eq!(core.forgotten(STACK), Vec::<String>::new());
    core.check_plans(Preflight::Warn);
    core.apply(None).await.succeeded();
    settle().await;
    assert_eq!(core.aws.snapshot(), before);
    let calls = core.aws.calls();
    let by_name = |call: &&Call| call.operation.ends_with(":DescribeListeners") && call.detail == STACK;
    assert_eq!(calls.iter().find(by_name), None, "a name is no ARN");
}

/// A stack whose change to this configuration died at the first call of this action.
async fn killed_in_change(base: &Core, config: &Value, action: &str, after_effect: bool) -> Core {
    let counted = &mut base.fork();
    fastrand::seed(1);
    counted.apply(Some(config)).await.succeeded();
    let call = counted.aws.calls().iter().position(|call| call.operation.ends_with(action)).unwrap();
    let mut core = base.fork();
    fastrand::seed(1);
    core.aws.fail_at(call, Fault::Crash { after_effect });
    assert!(core.apply(Some(config)).await.crashed);
    core.aws.clear_faults();
    core
}

#[tokio::test(start_paused = true)]
async fn a_group_that_a_killed_update_left_goes_when_the_change_is_taken_back() {
    let base = built(&http()).await;
    let moved = configuration(&change(http(), &json!({"api": {"target_port": 8080, "deregistration_delay": 5}})));
    let mut core = killed_in_change(&base, &moved, ":CreateTargetGroup", true).await;
    core.apply(Some(&configuration(&http()))).await.succeeded();
    settle().await;
    assert_eq!(picture(&core), picture(&base));
}

#[tokio::test(start_paused = true)]
async fn rules_that_a_killed_update_made_in_another_group_go_when_the_change_is_taken_back() {
    let base = built(&let_in("sg-others")).await;
    let (here, there) = (configuration(&let_in("sg-others")), configuration(&let_in("sg-hosts")));
    let mut core = killed_in_change(&base, &there, ":AuthorizeSecurityGroupIngress", true).await;
    core.apply(Some(&here)).await.succeeded();
    settle().await;
    assert_eq!(picture(&core), picture(&base));
}

#[tokio::test(start_paused = true)]
async fn a_security_group_that_the_user_has_taken_outlives_a_stack_whose_update_was_killed() {
    let mut base = built(&http()).await;
    let group = base.state().get("security_group_id").as_str().unwrap().to_owned();
    let taken = change(http(), &json!({"security_group_ids": [group], "client_cidr_blocks": null}));
    base.apply(Some(&configuration(&taken))).await.succeeded();
    let busier = configuration(&change(taken, &json!({"idle_timeout": 90})));
    let mut core = killed_in_change(&base, &busier, ":ModifyLoadBalancerAttributes", true).await;
    core.apply(None).await.succeeded();
    assert!(core.aws.state().security_groups.contains_key(&group));
}

#[tokio::test(start_paused = true)]
async fn the_record_of_a_killed_update_goes_with_the_stack_or_when_the_change_is_taken_back() {
    let base = built(&http()).await;
    let swapped = configuration(&change(recorded(), &json!({"instance_ids": ["i-2"]})));
    for (action, after_effect) in [(":ChangeResourceRecordSets", true), (":RemoveTags", false)] {
        let mut unwanted = killed_in_change(&base, &swapped, action, after_effect).await;
        assert_eq!(unwanted.aws.state().records.len(), 1);
        let mut taken_back = unwanted.fork();
        unwanted.apply(None).await.succeeded();
        assert!(unwanted.aws.state().records.is_empty(), "{action}");
        taken_back.apply(Some(&configuration(&http()))).await.succeeded();
        settle().await;
        assert_eq!(picture(&taken_back), picture(&base), "{action}");
    }
}
