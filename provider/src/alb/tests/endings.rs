//! Operations that do not go through: stopped, killed, given up by AWS or by a step's panic; and what they leave.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tfplugin::provider::Stop;
use tfplugin::value::Value;
use tokio::time::{Instant, sleep};

use super::changes::{has, other_port};
use super::core::Core;
use super::{
    STACK, built, change, configuration, difference, full, http, inhabited, outage, picture, recorded, settle,
};
use crate::aws::fake::{Call, FakeAws, Fault, Verdict};
use crate::aws::{Aws, LoadBalancerState};
use crate::settings::Preflight;

/// Asks to stop after so long, and says how long the answer took from then on.
async fn stopped_after(core: &mut Core, config: &Json, after: Duration) -> (super::core::Applied, Duration) {
    let (stop, start) = (core.stop.clone(), Instant::now());
    let asking = tokio::spawn(async move {
        sleep(after).await;
        stop.cancel();
    });
    let applied = core.apply(Some(&configuration(config))).await;
    asking.await.unwrap();
    let took = start.elapsed().saturating_sub(after);
    core.stop = Stop::new();
    (applied, took)
}

#[tokio::test(start_paused = true)]
async fn a_stopped_create_answers_in_seconds_with_everything_that_exists() {
    for seconds in [1, 3, 30, 140, 152, 155] {
        let aws = FakeAws::new();
        let mut core = Core::new(aws);
        let (applied, took) = stopped_after(&mut core, &full(), Duration::from_secs(seconds)).await;
        assert!(took < Duration::from_secs(2), "{seconds}: {took:?}");
        assert!(!applied.errors().is_empty(), "{seconds}");
        assert_eq!(core.forgotten(STACK), Vec::<String>::new(), "{seconds}");
        assert!(!core.state().get("arn").is_null(), "{seconds}");
        core.apply(Some(&configuration(&full()))).await.succeeded();
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_that_failed_goes_on_when_it_is_untainted_as_the_error_says() {
    let config = change(recorded(), &json!({"timeouts": {"create": "2m"}}));
    let mut core = Core::new(inhabited().await);
    core.aws.set_verdict("i-1", None, Verdict::Unhealthy("Target.Timeout"));
    let applied = core.apply(Some(&configuration(&config))).await;
    let said = ["Target.Timeout", "The next apply replaces what exists", "terraform untaint"];
    assert!(has(&applied.errors(), &said), "{:?}", applied.errors());
    let arn = core.state().get("arn").clone();
    core.aws.set_verdict("i-1", None, Verdict::Healthy);
    core.untaint();
    core.apply(Some(&configuration(&config))).await.succeeded();
    settle().await;
    assert_eq!(*core.state().get("arn"), arn);
    assert_eq!(difference(&picture(&built(&config).await), &picture(&core)), "");
}

/// The marker of a create is all that is left to do.
#[tokio::test(start_paused = true)]
async fn the_marker_of_a_create_that_failed_shows_when_it_is_untainted_and_goes() {
    let config = change(http(), &json!({"timeouts": {"create": "2m"}}));
    let mut core = Core::new(inhabited().await);
    core.aws.set_verdict("i-1", None, Verdict::Unhealthy("Target.Timeout"));
    assert_ne!(core.apply(Some(&configuration(&config))).await.errors(), Vec::<String>::new());
    core.untaint();
    core.apply(Some(&configuration(&config))).await.succeeded();
    assert!(core.aws.objects_tagged("codestream:provisioning", &core.resource_id()).is_empty());
    assert_eq!(core.changes(&configuration(&config)).await, Vec::<String>::new());
}

/// Asks to stop a second after the call with this index was made, and says how long the answer took from then on.
async fn stopped_at(core: &mut Core, config: &Json, call: usize) -> (super::core::Applied, Duration) {
    let (stop, aws) = (core.stop.clone(), core.aws.clone());
    let asking = tokio::spawn(async move {
        while aws.calls().len() <= call {
            sleep(Duration::from_millis(50)).await;
        }
        sleep(Duration::from_secs(1)).await;
        stop.cancel();
        Instant::now()
    });
    let applied = core.apply(Some(&configuration(config))).await;
    let took = asking.await.unwrap().elapsed();
    core.stop = Stop::new();
    (applied, took)
}

#[tokio::test(start_paused = true)]
async fn a_stop_is_answered_in_seconds_even_while_the_sdk_repeats_a_call_and_nothing_is_lost() {
    for config in [http(), recorded()] {
        let (aws, whole) = (inhabited().await, picture(&built(&config).await));
        let empty = aws.snapshot();
        let counted = aws.fork();
        fastrand::seed(1);
        Core::new(counted.clone()).apply(Some(&configuration(&config))).await.succeeded();
        for (index, call) in counted.calls().iter().enumerate() {
            for fault in [Fault::Throttled(10), Fault::Unanswered] {
                let case = format!("{fault:?} at {index} {}", call.operation);
                fastrand::seed(1);
                let mut core = Core::new(aws.fork());
                core.aws.fail_at(index, fault);
                let (applied, took) = stopped_at(&mut core, &config, index).await;
                core.aws.clear_faults();
                let poll =
                    ["DescribeLoadBalancers", "DescribeTargetHealth"].iter().any(|end| call.operation.ends_with(end));
                assert!(took < Duration::from_secs(if poll { 1 } else { 6 }), "{case}: {took:?}");
                assert!(!applied.errors().is_empty(), "{case}");
                if !core.state().is_null() {
                    let mut unwanted = core.fork();
                    unwanted.apply(None).await.succeeded();
                    settle().await;
                    assert_eq!(unwanted.aws.snapshot(), empty, "{case}");
                }
                core.apply(Some(&configuration(&config))).await.succeeded();
                settle().await;
                assert_eq!(difference(&whole, &picture(&core)), "", "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_replacement_leaves_the_old_service_and_is_finished_later() {
    let mut core = built(&http()).await;
    core.aws.watch(outage);
    core.aws.set_verdict("i-1", Some(8080), Verdict::Unhealthy("Target.Timeout"));
    let (applied, took) = stopped_after(&mut core, &other_port(), Duration::from_secs(20)).await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(!applied.errors().is_empty());
    core.aws.set_verdict("i-1", Some(8080), Verdict::Healthy);
    core.apply(Some(&configuration(&other_port()))).await.succeeded();
    settle().await;
    assert_eq!(core.aws.violations(), Vec::<String>::new());
    assert_eq!(picture(&core), picture(&built(&other_port()).await));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_instance_swap_still_waits_for_the_new_instance() {
    let mut core = built(&http()).await;
    core.aws.watch(outage);
    core.aws.set_verdict("i-2", None, Verdict::Unhealthy("Target.Timeout"));
    let swapped = change(http(), &json!({"instance_ids": ["i-2"], "timeouts": {"update": "2m"}}));
    let (applied, _) = stopped_after(&mut core, &swapped, Duration::from_secs(20)).await;
    assert!(!applied.errors().is_empty());
    let applied = core.apply(Some(&configuration(&swapped))).await;
    assert!(has(&applied.errors(), &["i-2", "Target.Timeout"]), "{:?}", applied.errors());
    assert_eq!(core.aws.violations(), Vec::<String>::new());
    core.aws.set_verdict("i-2", None, Verdict::Healthy);
    core.apply(Some(&configuration(&swapped))).await.succeeded();
    assert_eq!(core.aws.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_create_that_was_killed_is_not_done_before_its_targets_are_healthy() {
    let mut core = Core::new(inhabited().await);
    core.aws.set_verdict("i-1", None, Verdict::Unhealthy("Target.Timeout"));
    let config = configuration(&change(http(), &json!({"timeouts": {"create": "2m"}})));
    let probing = async {
        core.apply(Some(&config)).await;
    };
    // Long enough for everything but the health of the targets.
    tokio::time::timeout(Duration::from_secs(60), probing).await.unwrap_err();
    let mut next = Core::new(core.aws.clone());
    let applied = next.apply(Some(&config)).await;
    assert!(has(&applied.errors(), &["i-1", "Target.Timeout"]), "{:?}", applied.errors());
}

#[tokio::test(start_paused = true)]
async fn a_target_that_somebody_takes_out_meanwhile_is_named_with_its_port() {
    let mut core = Core::new(inhabited().await);
    core.aws.set_verdict("i-1", None, Verdict::Unhealthy("Target.Timeout"));
    let aws = core.aws.clone();
    let somebody = tokio::spawn(async move {
        sleep(Duration::from_secs(60)).await;
        aws.state().target_groups.values_mut().for_each(|group| group.targets.clear());
    });
    let config = change(http(), &json!({"timeouts": {"create": "2m"}}));
    let applied = core.apply(Some(&configuration(&config))).await;
    somebody.await.unwrap();
    for target in ["i-1 on port 80 is unused (Target.NotRegistered)", "i-1 on port 12080 is unused"] {
        assert!(has(&applied.errors(), &[target]), "{target}: {:?}", applied.errors());
    }
}

#[tokio::test(start_paused = true)]
async fn an_impaired_load_balancer_is_waited_for_no_longer_and_warned_of_with_awss_reason() {
    let mut core = Core::new(inhabited().await);
    let reason = "not enough free addresses in subnet-a.".to_owned();
    core.aws.state().provisioned = (LoadBalancerState::ActiveImpaired, Some(reason));
    let start = Instant::now();
    let applied = core.apply(Some(&configuration(&http()))).await;
    applied.succeeded();
    assert!(has(&applied.warnings(), &["web is impaired", "in subnet-a. Check"]), "{:?}", applied.warnings());
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
    assert_eq!(core.state().get("ready").as_bool(), Some(true));
    assert_eq!(core.changes(&configuration(&http())).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_that_aws_cannot_set_up_ends_the_create_at_once() {
    let mut core = Core::new(inhabited().await);
    core.aws.state().provisioned = (LoadBalancerState::Failed, Some("no capacity in us-east-1a".to_owned()));
    let start = Instant::now();
    let applied = core.apply(Some(&configuration(&http()))).await;
    assert!(has(&applied.errors(), &["no capacity in us-east-1a"]), "{:?}", applied.errors());
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_that_aws_cannot_set_up_in_an_update_is_replaced_as_the_error_says() {
    let mut core = built(&http()).await;
    let arn = core.state().get("arn").as_str().unwrap().to_owned();
    core.aws.delete_load_balancer(&arn).await.unwrap();
    core.aws.state().provisioned = (LoadBalancerState::Failed, Some("no capacity in us-east-1a".to_owned()));
    let config = configuration(&http());
    let applied = core.apply(Some(&config)).await;
    assert!(has(&applied.errors(), &["no capacity in us-east-1a", "-replace"]), "{:?}", applied.errors());
    assert!(!core.is_tainted());
    core.aws.state().provisioned = (LoadBalancerState::Active, None);
    core.replace(&config).await.succeeded();
    settle().await;
    assert_eq!(difference(&picture(&built(&http()).await), &picture(&core)), "");
}

#[tokio::test(start_paused = true)]
async fn independent_parts_go_on_when_one_fails() {
    let refused = call_of_create(&http(), ":CreateTargetGroup").await;
    let mut core = Core::new(inhabited().await.fork());
    let there = core.aws.state().listeners.len();
    core.aws.fail_at(refused, Fault::Error("TooManyTargetGroups"));
    let applied = core.apply(Some(&configuration(&http()))).await;
    assert!(has(&applied.errors(), &["TooManyTargetGroups"]), "{:?}", applied.errors());
    let state = core.aws.state();
    let groups = state.target_groups.values().filter(|group| group.info.name.starts_with("web-"));
    let with_targets = groups.filter(|group| !group.targets.is_empty()).count();
    assert_eq!(with_targets, 3, "one of this stack, two of the neighbour's");
    assert_eq!(state.listeners.len(), there + 1, "that of the other group");
}

/// The place of the first call of this action in a create of this configuration.
pub(super) async fn call_of_create(config: &Json, action: &str) -> usize {
    let mut counted = Core::new(inhabited().await.fork());
    counted.apply(Some(&configuration(config))).await.succeeded();
    let calls = counted.aws.calls();
    calls
        .iter()
        .position(|call| call.operation.ends_with(action))
        .unwrap_or_else(|| panic!("no {action} in {calls:#?}"))
}

#[tokio::test(start_paused = true)]
async fn a_step_that_panics_is_an_error_of_its_own_and_the_rest_goes_on() {
    let call = call_of_create(&http(), ":CreateTargetGroup").await;
    let mut core = Core::new(inhabited().await.fork());
    core.aws.fail_at(call, Fault::Panic);
    let applied = core.apply(Some(&configuration(&http()))).await;
    let errors = applied.errors();
    assert!(has(&errors, &["Cannot create web: target group web-", "panicked"]), "{errors:?}");
    // What comes after the group was skipped, and not because anybody asked to stop.
    assert!(has(&errors, &["of the errors above", "target group web-", "register i-1", "mark finished"]), "{errors:?}");
    assert!(!has(&errors, &["stopped"]), "{errors:?}");
    assert!(!core.state().get("arn").is_null(), "what does not depend on the group goes on");
    core.apply(Some(&configuration(&http()))).await.succeeded();
    settle().await;
    assert_eq!(difference(&picture(&built(&http()).await), &picture(&core)), "");
}

/// The calls of a plan that is checked, in which these fail.
async fn calls_of_plan(core: &mut Core, config: &Value, failing: &[(usize, Fault)]) -> Vec<Call> {
    core.check_plans(Preflight::Warn);
    for (index, fault) in failing {
        core.aws.fail_at(*index, *fault);
    }
    core.changes(config).await;
    core.aws.calls()
}

/// Core plans a create a second time right before it applies.
#[tokio::test(start_paused = true)]
async fn a_vpc_that_aws_tells_only_the_first_time_ends_the_apply_and_one_it_never_tells_does_not() {
    let (config, aws) = (configuration(&http()), inhabited().await);
    let plan = calls_of_plan(&mut Core::new(aws.fork()), &config, &[]).await;
    let of_subnets = plan.iter().position(|call| call.operation == "ec2:DescribeSubnets").unwrap();

    let mut unlucky = Core::new(aws.fork());
    unlucky.check_plans(Preflight::Warn);
    unlucky.aws.fail_at(plan.len() + of_subnets, Fault::ServerError);
    let applied = unlucky.apply(Some(&config)).await;
    assert!(has(&applied.errors(), &["ec2:DescribeSubnets failed", "Plan again"]), "{applied:?}");
    assert!(applied.complaints.is_empty() && unlucky.state().is_null(), "{applied:?}");

    let denial = (of_subnets, Fault::Error("UnauthorizedOperation"));
    let plan = calls_of_plan(&mut Core::new(aws.fork()), &config, &[denial]).await;
    let mut denied = Core::new(aws.fork());
    denied.check_plans(Preflight::Warn);
    for index in [of_subnets, plan.len() + of_subnets] {
        denied.aws.fail_at(index, denial.1);
    }
    denied.apply(Some(&config)).await.succeeded();
}
