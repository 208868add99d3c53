//! Changes: what AWS sees during one, and in which order things happen.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tfplugin::provider::{ApplyRequest, PlanRequest, Resource, Stop};
use tfplugin::value::Value;
use tokio::time::{Instant, sleep};

use super::core::Core;
use super::{
    STACK, brought, built, change, changes_of_service, changes_of_settings, changing_calls, configuration, crowded,
    difference, full, http, https, hurry, inhabited, outage, picture, settle, unknowns,
};
use crate::alb::Alb;
use crate::aws::fake::{Call, FakeAws, Fault, Rule, Verdict, cert_arn};
use crate::aws::{Direction, InstanceInfo, Peer, RuleSettings, SubnetInfo, Tags};
use crate::resource::samples::UNKNOWN_VALUE;
use crate::settings::{Preflight, Settings, Shared};

/// A change that needs another target group for the API.
pub(super) fn other_port() -> Json {
    change(http(), &json!({"api": {"target_port": 8080, "deregistration_delay": 5}, "timeouts": {"update": "2m"}}))
}

/// The lines of a picture about what serves.
pub(super) fn service(core: &Core) -> Vec<String> {
    let serves = |line: &&str| line.starts_with("listener") || line.starts_with("target group");
    picture(core).lines().filter(serves).map(str::to_owned).collect()
}

/// The place of the first call that starts so.
#[track_caller]
fn first(calls: &[String], start: &str) -> usize {
    calls.iter().position(|call| call.starts_with(start)).unwrap_or_else(|| panic!("no {start} in {calls:#?}"))
}

#[track_caller]
fn last(calls: &[String], start: &str) -> usize {
    calls.iter().rposition(|call| call.starts_with(start)).unwrap_or_else(|| panic!("no {start} in {calls:#?}"))
}

pub(super) fn has(messages: &[String], parts: &[&str]) -> bool {
    messages.iter().any(|message| parts.iter().all(|part| message.contains(part)))
}

#[tokio::test(start_paused = true)]
async fn a_create_asks_for_the_vpc_only_when_its_plan_hands_on_none() {
    for (hands_on, asked) in [(true, 0), (false, 1)] {
        let aws = inhabited().await;
        let mut settings = Settings::from_config(&Value::object::<&str>([]));
        settings.aws = Some(Arc::new(aws.clone()));
        let shared = Shared::default();
        shared.set(settings);
        let (alb, config, stop) = (Alb::new(shared), configuration(&http()), Stop::new());
        let request =
            PlanRequest { prior: None, config: Some(config.clone()), private: Vec::new(), stop: stop.clone() };
        let plan = alb.plan(request).await;
        assert!(!plan.diagnostics.has_errors(), "{:?}", plan.diagnostics);
        let private = if hands_on { plan.private } else { Vec::new() };
        let request = ApplyRequest { prior: None, planned: plan.planned, config: Some(config), private, stop };
        let from = aws.calls().len();
        let applied = alb.apply(request).await;
        assert!(!applied.diagnostics.has_errors(), "{:?}", applied.diagnostics);
        let of_vpc = |call: &&Call| call.operation == "ec2:DescribeVpcs";
        assert_eq!(aws.calls()[from..].iter().filter(of_vpc).count(), asked);
        let state = aws.state();
        let group = state.security_groups.values().find(|group| group.name == "web-load-balancer").unwrap();
        let to_vpc = |rule: &RuleSettings| {
            rule.direction == Direction::Egress && rule.peer == Peer::Cidr("10.0.0.0/16".to_owned())
        };
        assert_eq!(group.rules.values().filter(|(rule, _)| to_vpc(rule)).count(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn no_update_cuts_anybody_off_or_replaces_the_load_balancer() {
    for operation in changes_of_service().into_iter().chain(changes_of_settings()) {
        let mut core = built(operation.before.as_ref().unwrap()).await;
        let arn = core.state().get("arn").clone();
        core.aws.watch(outage);
        let config = configuration(operation.after.as_ref().unwrap());
        assert_ne!(core.changes(&config).await, Vec::<String>::new(), "{}", operation.name);
        core.apply(Some(&config)).await.succeeded();
        assert_eq!(core.aws.violations(), Vec::<String>::new(), "{}", operation.name);
        assert_eq!(core.changes(&config).await, Vec::<String>::new(), "{}", operation.name);
        assert_eq!(core.state().get("arn"), &arn, "{}", operation.name);
    }
}

#[tokio::test(start_paused = true)]
async fn an_update_ends_where_a_create_would() {
    for operation in changes_of_service().into_iter().chain(changes_of_settings()) {
        let mut updated = built(operation.before.as_ref().unwrap()).await;
        let after = operation.after.as_ref().unwrap();
        updated.apply(Some(&configuration(after))).await.succeeded();
        settle().await;
        assert_eq!(difference(&picture(&built(after).await), &picture(&updated)), "", "{}", operation.name);
    }
}

#[tokio::test(start_paused = true)]
async fn sources_that_fill_a_security_group_are_exchanged_in_one_apply() {
    let mut core = built(&crowded("192.0.2", 30)).await;
    let other = crowded("198.51.100", 30);
    core.apply(Some(&configuration(&other))).await.succeeded();
    settle().await;
    assert_eq!(difference(&picture(&built(&other).await), &picture(&core)), "");
    assert_eq!(core.changes(&configuration(&other)).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn rules_that_do_not_fit_leave_those_that_are_there_and_the_quota_is_named() {
    let port = json!({"api": {"listener_port": 8080, "target_port": 80, "deregistration_delay": 5}});
    for other in [crowded("198.51.100", 31), change(crowded("192.0.2", 30), &port)] {
        let mut core = built(&crowded("192.0.2", 30)).await;
        let rules = |core: &Core| -> Vec<String> {
            picture(core).lines().filter(|line| line.contains("192.0.2.")).map(str::to_owned).collect()
        };
        let before = rules(&core);
        let applied = core.apply(Some(&configuration(&other))).await;
        assert!(has(&applied.errors(), &["load-balancer security group", "L-0EA8095F"]), "{:?}", applied.errors());
        assert_eq!(before.len(), 60);
        assert_eq!(rules(&core), before);
    }
}

#[tokio::test(start_paused = true)]
async fn who_made_room_for_sources_that_are_refused_is_let_in_again() {
    let base = built(&crowded("192.0.2", 30)).await;
    let other = configuration(&crowded("198.51.100", 30));
    let counted = &mut base.fork();
    counted.apply(Some(&other)).await.succeeded();
    let authorizes = |call: &Call| call.operation == "ec2:AuthorizeSecurityGroupIngress";
    let calls = counted.aws.calls();
    let mut granted = calls.iter().enumerate().filter(|(_, call)| authorizes(call));
    let second = granted.nth(1).map(|(index, _)| index).unwrap();
    let mut core = base.fork();
    core.aws.fail_at(second, Fault::Error("UnauthorizedOperation"));
    let applied = core.apply(Some(&other)).await;
    assert!(has(&applied.errors(), &["UnauthorizedOperation"]), "{:?}", applied.errors());
    assert_eq!(difference(&picture(&base), &picture(&core)), "");
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_replacement_is_put_back_and_explained() {
    let mut core = built(&http()).await;
    let (before, whole) = (service(&core), picture(&core));
    core.aws.watch(outage);
    core.aws.set_verdict("i-1", Some(8080), Verdict::Unhealthy("Target.Timeout"));
    let applied = core.apply(Some(&configuration(&other_port()))).await;
    assert!(has(&applied.errors(), &["i-1", "8080", "Target.Timeout"]), "{:?}", applied.errors());
    settle().await;
    assert_eq!(service(&core), before);
    assert_eq!(core.aws.violations(), Vec::<String>::new());
    assert!(!core.is_tainted());
    core.apply(Some(&configuration(&http()))).await.succeeded();
    settle().await;
    assert_eq!(picture(&core), whole);
}

#[tokio::test(start_paused = true)]
async fn one_unhealthy_replacement_puts_both_back() {
    let mut core = built(&http()).await;
    let before = service(&core);
    core.aws.watch(outage);
    core.aws.set_verdict("i-1", Some(12_443), Verdict::Unhealthy("Target.ResponseCodeMismatch"));
    let secure = change(https(), &json!({"timeouts": {"update": "2m"}}));
    let applied = core.apply(Some(&configuration(&secure))).await;
    assert!(has(&applied.errors(), &["12443", "Target.ResponseCodeMismatch"]), "{:?}", applied.errors());
    settle().await;
    assert_eq!(service(&core), before);
    assert_eq!(core.aws.violations(), Vec::<String>::new());
    core.aws.set_verdict("i-1", Some(12_443), Verdict::Healthy);
    core.apply(Some(&configuration(&https()))).await.succeeded();
    assert_eq!(core.aws.violations(), Vec::<String>::new());
}

/// Puts two subnets of another VPC into AWS, `subnet-x` and `subnet-y`, and an instance, `i-x`.
pub(super) fn furnish_another_vpc(core: &Core) {
    let mut state = core.aws.state();
    for (id, like) in [("subnet-x", "subnet-a"), ("subnet-y", "subnet-b")] {
        let there = state.subnets[like].clone();
        state.subnets.insert(id.to_owned(), SubnetInfo { id: id.to_owned(), vpc_id: "vpc-2".to_owned(), ..there });
    }
    let (id, vpc_id, subnet_id) = ("i-x".to_owned(), "vpc-2".to_owned(), "subnet-x".to_owned());
    let there = state.instances["i-1"].clone();
    state.instances.insert(id.clone(), InstanceInfo { id, vpc_id, subnet_id, security_groups: [].into(), ..there });
}

/// The paths at which a plan of this configuration, checked against AWS, replaces the load balancer.
async fn replacing(core: &mut Core, config: &Json) -> Vec<String> {
    core.check_plans(Preflight::Warn);
    let shown = core.changes(&configuration(config)).await;
    assert!(shown.iter().any(|line| line.contains(" -> ")), "nothing is planned: {shown:?}");
    shown.iter().filter_map(|line| line.strip_suffix(" forces replacement")).map(str::to_owned).collect()
}

#[tokio::test(start_paused = true)]
async fn only_another_name_scheme_or_vpc_replaces_the_load_balancer_and_the_plan_says_so_at_that_path() {
    for (path, arguments) in [
        ("name", json!({"name": "other"})),
        ("scheme", json!({"scheme": "internal"})),
        ("vpc_id", json!({"subnet_ids": ["subnet-x", "subnet-y"]})),
        ("vpc_id", json!({"subnet_ids": ["subnet-x", "subnet-y"], "vpc_id": "vpc-2"})),
    ] {
        let mut core = built(&http()).await;
        furnish_another_vpc(&core);
        assert_eq!(replacing(&mut core, &change(http(), &arguments)).await, [path], "{arguments}");
    }
    let mut core = built(&http()).await;
    furnish_another_vpc(&core);
    core.aws.state().load_balancers.retain(|_, found| found.info.name != STACK);
    let elsewhere = change(http(), &json!({"subnet_ids": ["subnet-x", "subnet-y"]}));
    assert_eq!(replacing(&mut core, &elsewhere).await, ["vpc_id"], "the load balancer is gone");
    for operation in changes_of_service().into_iter().chain(changes_of_settings()) {
        let mut core = built(operation.before.as_ref().unwrap()).await;
        let paths = replacing(&mut core, operation.after.as_ref().unwrap()).await;
        assert_eq!(paths, Vec::<String>::new(), "{}", operation.name);
    }
}

#[tokio::test(start_paused = true)]
async fn subnets_of_another_vpc_are_refused_before_anything_is_touched() {
    let mut core = built(&http()).await;
    furnish_another_vpc(&core);
    let from = core.aws.calls().len();
    let elsewhere = change(http(), &json!({"subnet_ids": ["subnet-x", "subnet-y"], "idle_timeout": 90}));
    let applied = core.apply(Some(&configuration(&elsewhere))).await;
    assert!(has(&applied.errors(), &["subnet-x", "vpc-2"]), "{:?}", applied.errors());
    assert_eq!(changing_calls(&core.aws, from), Vec::<String>::new());
}

/// What was not known at plan turns out to be in another VPC: core takes no replacement then that was no part of the plan.
#[tokio::test(start_paused = true)]
async fn subnets_that_turn_out_to_be_of_another_vpc_are_refused_with_the_way_there() {
    let [unknown, elsewhere] = [json!(UNKNOWN_VALUE), json!(["subnet-x", "subnet-y"])]
        .map(|subnets| configuration(&change(http(), &json!({"subnet_ids": subnets, "instance_ids": ["i-x"]}))));
    for mode in [Preflight::Error, Preflight::Warn] {
        let mut core = built(&http()).await;
        furnish_another_vpc(&core);
        core.check_plans(mode);
        let surprises = core.surprises(&unknown, &elsewhere).await;
        assert_eq!(surprises.len(), 1, "{surprises:?}");
        assert!(has(&surprises, &["vpc-2", "set vpc_id to that"]), "{surprises:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn ipv6_is_given_up_before_the_subnets_that_have_it() {
    let mut core = built(&change(http(), &json!({"ip_address_type": "dualstack"}))).await;
    {
        let mut state = core.aws.state();
        for (id, like) in [("subnet-x", "subnet-a"), ("subnet-y", "subnet-b")] {
            let there = state.subnets[like].clone();
            state.subnets.insert(id.to_owned(), SubnetInfo { id: id.to_owned(), has_ipv6: false, ..there });
        }
    }
    core.aws.watch(outage);
    let elsewhere = change(http(), &json!({"subnet_ids": ["subnet-x", "subnet-y"], "ip_address_type": "ipv4"}));
    core.apply(Some(&configuration(&elsewhere))).await.succeeded();
    assert_eq!(core.changes(&configuration(&elsewhere)).await, Vec::<String>::new());
    let back = change(http(), &json!({"ip_address_type": "dualstack"}));
    core.apply(Some(&configuration(&back))).await.succeeded();
    assert_eq!(core.aws.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn protection_keeps_a_destroy_from_touching_anything() {
    let mut configured = built(&change(full(), &json!({"enable_deletion_protection": true}))).await;
    let mut by_hand = built(&full()).await;
    for balancer in by_hand.aws.state().load_balancers.values_mut().filter(|found| found.info.name == STACK) {
        balancer.attributes.insert("deletion_protection.enabled".to_owned(), "true".to_owned());
    }
    for core in [&mut configured, &mut by_hand] {
        let calls = core.aws.calls().len();
        let applied = core.apply(None).await;
        assert!(has(&applied.errors(), &["protect"]), "{:?}", applied.errors());
        assert_eq!(changing_calls(&core.aws, calls), Vec::<String>::new());
        assert!(!core.state().is_null());
    }
}

#[tokio::test(start_paused = true)]
async fn protection_keeps_a_replacement_from_being_planned() {
    let config = change(http(), &json!({"enable_deletion_protection": true}));
    let mut core = built(&config).await;
    let from = core.aws.calls().len();
    let inside = change(config.clone(), &json!({"scheme": "internal"}));
    for applied in [core.replace(&configuration(&config)).await, core.apply(Some(&configuration(&inside))).await] {
        assert!(has(&applied.errors(), &["would be replaced", "deletion protection"]), "{:?}", applied.errors());
    }
    assert_eq!(changing_calls(&core.aws, from), Vec::<String>::new());
    let unprotected = configuration(&change(config, &json!({"enable_deletion_protection": false})));
    core.apply(Some(&unprotected)).await.succeeded();
    let arn = core.state().get("arn").clone();
    core.replace(&unprotected).await.succeeded();
    assert_ne!(*core.state().get("arn"), arn);
}

#[tokio::test(start_paused = true)]
async fn a_destroy_goes_from_what_leads_in_to_what_is_used() {
    let mut core = built(&full()).await;
    let from = core.aws.calls().len();
    core.apply(None).await.succeeded();
    let calls = changing_calls(&core.aws, from);
    let balancer = first(&calls, "elasticloadbalancing:DeleteLoadBalancer");
    assert!(last(&calls, "route53:") < balancer);
    assert!(balancer < first(&calls, "elasticloadbalancing:DeleteTargetGroup"));
    assert!(balancer < first(&calls, "ec2:RevokeSecurityGroupIngress"));
    // Deleted when nothing holds it any more, not tried over and over.
    let group = first(&calls, "ec2:DeleteSecurityGroup");
    assert_eq!(group, last(&calls, "ec2:DeleteSecurityGroup"));
    assert!(last(&calls, "ec2:RevokeSecurityGroupIngress") < group);
}

#[tokio::test(start_paused = true)]
async fn a_destroy_that_runs_out_of_time_names_what_holds_the_group_and_goes_on_later() {
    let mut core = built(&change(http(), &json!({"timeouts": {"delete": "1m"}}))).await;
    core.aws.state().interface_release = Duration::from_secs(300);
    let applied = core.apply(None).await;
    let said = ["eni-", "ELB app/web/", "Run it again to go on"];
    assert!(has(&applied.errors(), &said), "{:?}", applied.errors());
    assert_eq!(core.forgotten(STACK), Vec::<String>::new());
    settle().await;
    core.apply(None).await.succeeded();
    assert!(core.aws.objects_tagged("codestream:stack", STACK).is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_unhealthy_create_fails_or_warns_as_asked() {
    let short = |on_unhealthy: &str| {
        change(full(), &json!({"on_unhealthy": on_unhealthy, "timeouts": {"create": "2m", "update": "2m"}}))
    };
    let mut failing = Core::new(inhabited().await);
    failing.aws.set_verdict("i-1", None, Verdict::Unhealthy("Target.ResponseCodeMismatch"));
    let applied = failing.apply(Some(&configuration(&short("error")))).await;
    assert!(has(&applied.errors(), &["i-1", "443", "Target.ResponseCodeMismatch"]), "{:?}", applied.errors());
    assert!(failing.is_tainted());

    let mut warned = Core::new(inhabited().await);
    warned.aws.set_verdict("i-1", None, Verdict::Unhealthy("Target.ResponseCodeMismatch"));
    let config = configuration(&short("warn"));
    let applied = warned.apply(Some(&config)).await;
    applied.succeeded();
    assert!(has(&applied.warnings(), &["i-1", "443", "Target.ResponseCodeMismatch"]), "{:?}", applied.warnings());
    assert_eq!(warned.state().get("ready").as_bool(), Some(false));
    assert!(warned.aws.objects_tagged("codestream:provisioning", &warned.resource_id()).is_empty());
    assert_eq!(warned.changes(&config).await, Vec::<String>::new());
    assert_eq!(picture(&warned), picture(&built(&short("warn")).await));
}

#[tokio::test(start_paused = true)]
async fn a_warning_never_hides_that_an_update_was_not_done() {
    let lenient = change(http(), &json!({"on_unhealthy": "warn", "timeouts": {"update": "2m"}}));
    let mut core = built(&lenient).await;
    core.aws.watch(outage);
    core.aws.set_verdict("i-2", None, Verdict::Unhealthy("Target.Timeout"));
    let applied = core.apply(Some(&configuration(&change(lenient, &json!({"instance_ids": ["i-2"]}))))).await;
    assert_eq!(applied.complaints, Vec::<String>::new());
    assert!(has(&applied.errors(), &["i-2"]) || has(&applied.errors(), &["Not everything"]), "{applied:?}");
    assert_eq!(core.aws.violations(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn after_a_rotation_nothing_uses_the_old_certificate() {
    let mut core = built(&full()).await;
    let from = core.aws.calls().len();
    core.apply(Some(&configuration(&change(full(), &json!({"certificate_arn": cert_arn(3)}))))).await.succeeded();
    let calls = changing_calls(&core.aws, from);
    let modified = first(&calls, "elasticloadbalancing:ModifyListener");
    assert!(first(&calls, "elasticloadbalancing:AddListenerCertificates") < modified);
    assert!(modified < first(&calls, "elasticloadbalancing:RemoveListenerCertificates"));
    let state = core.aws.state();
    let uses_old = state.listeners.values().any(|listener| {
        listener.settings.certificate_arn == Some(cert_arn(1))
            || listener.additional_certificates.contains(&cert_arn(1))
    });
    assert!(!uses_old);
}

/// The place of the first removal of a certificate in a change of a stack to this configuration.
async fn removal(base: &Core, config: &Value) -> usize {
    let mut counted = base.fork();
    fastrand::seed(1);
    counted.apply(Some(config)).await.succeeded();
    let operations: Vec<String> = counted.aws.calls().iter().map(|call| call.operation.to_owned()).collect();
    first(&operations, "elasticloadbalancing:RemoveListenerCertificates")
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_aws_does_not_take_off_the_list_because_it_is_off_or_the_default_one_is_no_error() {
    let base = built(&https()).await;
    let rotated = |number| configuration(&change(https(), &json!({"certificate_arn": cert_arn(number)})));
    let index = removal(&base, &rotated(3)).await;
    for fault in [
        Fault::Repeated("OperationNotPermitted"),
        Fault::Repeated("CertificateNotFound"),
        Fault::Error("OperationNotPermitted"),
    ] {
        let mut core = base.fork();
        core.aws.fail_at(index, fault);
        fastrand::seed(1);
        core.apply(Some(&rotated(3))).await.succeeded();
        assert_eq!(core.changes(&rotated(3)).await, Vec::<String>::new(), "{fault:?}");
        core.apply(Some(&rotated(2))).await.succeeded();
        let all_off = core.aws.state().listeners.values().all(|listener| listener.additional_certificates.is_empty());
        assert!(all_off, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_certificate_that_stays_on_the_list_against_the_plan_is_an_error() {
    let base = built(&full()).await;
    let fewer = configuration(&change(full(), &json!({"additional_certificate_arns": null})));
    let index = removal(&base, &fewer).await;
    let mut core = base.fork();
    core.aws.fail_at(index, Fault::Error("OperationNotPermitted"));
    fastrand::seed(1);
    let applied = core.apply(Some(&fewer)).await;
    assert!(has(&applied.errors(), &["OperationNotPermitted"]), "{:?}", applied.errors());
}

#[tokio::test(start_paused = true)]
async fn a_rule_is_granted_before_another_is_revoked() {
    let mut core = built(&http()).await;
    let from = core.aws.calls().len();
    let moved = change(http(), &json!({"client_cidr_blocks": ["192.0.2.0/24"]}));
    core.apply(Some(&configuration(&moved))).await.succeeded();
    let calls = changing_calls(&core.aws, from);
    assert!(last(&calls, "ec2:AuthorizeSecurityGroupIngress") < first(&calls, "ec2:RevokeSecurityGroupIngress"));
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_others_rules_use_is_refused_by_name() {
    let mut core = built(&http()).await;
    let rule_arn = {
        let mut state = core.aws.state();
        let api = |tags: &Tags| {
            let is = |key: &str, value: &str| tags.get(key).is_some_and(|found| found == value);
            is("codestream:stack", STACK) && is("codestream:role", "api")
        };
        let (group, _) = state.target_groups.iter().find(|(_, group)| api(&group.tags)).unwrap();
        let target_group_arns = vec![group.clone()];
        let (listener, _) = state.listeners.iter().find(|(_, listener)| api(&listener.tags)).unwrap();
        let listener_arn = listener.clone();
        let arn = listener_arn.replace(":listener/", ":listener-rule/") + "/1";
        state
            .rules
            .insert(arn.clone(), Rule { listener_arn, priority: "1".to_owned(), target_group_arns, tags: Tags::new() });
        arn
    };
    let from = core.aws.calls().len();
    let config = configuration(&other_port());
    let applied = core.apply(Some(&config)).await;
    assert!(has(&applied.errors(), &[&rule_arn]), "{:?}", applied.errors());
    core.check_plans(Preflight::Error);
    let shown = core.changes(&config).await;
    assert!(has(&shown, &["would be replaced, but others use it", &rule_arn]), "{shown:?}");
    assert_eq!(changing_calls(&core.aws, from), Vec::<String>::new());
    let destroyed = core.apply(None).await;
    destroyed.succeeded();
    assert!(has(&destroyed.warnings(), &[&rule_arn]), "{:?}", destroyed.warnings());
}

#[tokio::test(start_paused = true)]
async fn what_aws_does_not_know_yet_is_tried_again() {
    let mut core = Core::new(inhabited().await);
    core.aws.state().consistency = Duration::from_secs(20);
    core.apply(Some(&configuration(&full()))).await.succeeded();
    core.apply(Some(&configuration(&change(full(), &json!({"api": {"target_port": 8443}}))))).await.succeeded();
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_whose_tags_aws_does_not_tell_yet_is_no_strangers() {
    let mut core = Core::new(inhabited().await);
    core.aws.state().consistency = Duration::from_secs(20);
    let config = configuration(&brought());
    core.apply(Some(&config)).await.succeeded();
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_starting_instance_is_waited_for_and_a_stopped_one_is_not() {
    for (state, fails) in [("pending", false), ("stopped", true)] {
        let mut core = Core::new(inhabited().await);
        core.aws.state().instances.get_mut("i-1").unwrap().state = state.to_owned();
        let aws = core.aws.clone();
        let starting = tokio::spawn(async move {
            sleep(Duration::from_secs(60)).await;
            aws.state().instances.get_mut("i-1").unwrap().state = "running".to_owned();
        });
        let start = Instant::now();
        let applied = core.apply(Some(&configuration(&http()))).await;
        assert_eq!(!applied.errors().is_empty(), fails, "{state}: {:?}", applied.errors());
        assert_eq!(start.elapsed() < Duration::from_secs(60), fails, "{state}");
        starting.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_vpc_with_ipv6_and_several_blocks_leaves_nothing_to_do() {
    let aws = FakeAws::new();
    hurry(&aws);
    if let Some(vpc) = aws.state().vpcs.get_mut("vpc-1") {
        vpc.cidr_blocks.insert("10.2.0.0/16".to_owned());
        vpc.ipv6_cidr_blocks.insert("2001:db8::/56".to_owned());
    }
    let mut core = Core::new(aws);
    let config = configuration(&http());
    core.apply(Some(&config)).await.succeeded();
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
    let whole = picture(&core);
    // Of the egress rules that stand for the VPC, one goes: the others must outlive its repair.
    for group in core.aws.state().security_groups.values_mut() {
        let second = Peer::Cidr("10.2.0.0/16".to_owned());
        group.rules.retain(|_, (rule, _)| rule.peer != second);
    }
    assert_ne!(core.changes(&config).await, Vec::<String>::new());
    core.apply(Some(&config)).await.succeeded();
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
    assert_eq!(picture(&core), whole);
}

#[tokio::test(start_paused = true)]
async fn a_block_that_the_vpc_got_since_is_let_in_by_the_next_change() {
    let mut core = built(&http()).await;
    for vpc in core.aws.state().vpcs.values_mut() {
        vpc.cidr_blocks.insert("10.9.0.0/16".to_owned());
    }
    let config = configuration(&change(http(), &json!({"idle_timeout": 90})));
    core.apply(Some(&config)).await.succeeded();
    let ports: BTreeSet<i64> = {
        let state = core.aws.state();
        let ours = state
            .security_groups
            .values()
            .filter(|group| group.tags.get("codestream:stack").is_some_and(|name| name == STACK));
        let rules = ours.flat_map(|group| group.rules.values());
        rules
            .filter(|(rule, _)| rule.peer == Peer::Cidr("10.9.0.0/16".to_owned()))
            .map(|(rule, _)| rule.from_port)
            .collect()
    };
    assert_eq!(ports, BTreeSet::from([80, 12080]));
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_group_of_ones_own_can_be_the_instances_group_too() {
    let own = json!({
        "security_group_ids": ["sg-hosts"], "client_cidr_blocks": null, "instance_security_group_id": "sg-hosts",
    });
    let aws = inhabited().await;
    let before = aws.snapshot();
    let mut core = Core::new(aws);
    let config = configuration(&change(http(), &own));
    core.apply(Some(&config)).await.succeeded();
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
    core.apply(None).await.succeeded();
    settle().await;
    assert_eq!(core.aws.snapshot(), before);
}

#[tokio::test(start_paused = true)]
async fn a_create_overlaps_what_does_not_depend_on_each_other() {
    let mut core = Core::new(FakeAws::new());
    let start = Instant::now();
    core.apply(Some(&configuration(&http()))).await.succeeded();
    // 150 s until AWS has the load balancer, one probe of 5 s, a pause of at most 5.5 s after each, and the calls.
    assert!(start.elapsed() < Duration::from_secs(150 + 5 + 2 * 6 + 3), "{:?}", start.elapsed());
    assert!(core.aws.max_in_flight() > 3, "{}", core.aws.max_in_flight());
}

#[tokio::test(start_paused = true)]
async fn what_a_plan_tells_while_an_argument_is_unknown_stays_true() {
    let config = change(
        full(),
        &json!({
            "api": {
                "listener_port": 8443,
                "target_port": 8080,
                "deregistration_delay": 9,
                "stickiness": {"type": "lb_cookie"},
            },
            "redirect_http": true,
            "health_check": {"path": "/health", "interval": 10, "timeout": 3},
            "idle_timeout": 90,
            "enable_http2": false,
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
