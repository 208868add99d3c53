//! Whose is what: others' stacks of the same name, what others have around a stack, and two processes at once.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep};

use super::core::Core;
use super::{
    STACK, brought, built, change, changing_calls, configuration, full, http, inhabited, let_in, picture, refused,
    settle, two,
};
use crate::aws::fake::{Rule, cert_arn};
use crate::aws::{Aws, Direction, NewLoadBalancer, NewSecurityGroup, Peer, RuleSettings, Tags};
use crate::settings::Preflight;

#[tokio::test(start_paused = true)]
async fn a_finished_stack_of_the_same_name_is_left_alone_and_can_be_imported() {
    let first = built(&full()).await;
    let before = picture(&first);
    let from = first.aws.calls().len();
    let mut second = Core::new(first.aws.clone());
    let applied = second.apply(Some(&configuration(&full()))).await;
    assert!(refused(&applied, &format!("terraform import ADDRESS {STACK}")), "{:?}", applied.errors());
    assert_eq!(changing_calls(&first.aws, from), Vec::<String>::new());
    second.import(STACK).await.succeeded();
    second.apply(Some(&configuration(&full()))).await.succeeded();
    settle().await;
    assert_eq!(second.changes(&configuration(&full())).await, Vec::<String>::new());
    assert_eq!(picture(&first), before, "an import of what is as configured changes nothing");
}

/// Adds somebody else's rule for the load balancer to the security group of the instances.
fn admit_to_metrics(core: &Core) -> RuleSettings {
    let mut state = core.aws.state();
    let ours = state.security_groups.iter().find(|(_, group)| group.name == "web-load-balancer").unwrap().0.clone();
    let rule = RuleSettings {
        direction: Direction::Ingress,
        protocol: "tcp".to_owned(),
        from_port: 9090,
        to_port: 9090,
        peer: Peer::Group(ours),
        description: "Metrics".to_owned(),
    };
    let hosts = state.security_groups.get_mut("sg-hosts").unwrap();
    hosts.rules.insert("sgr-metrics".to_owned(), (rule.clone(), Tags::new()));
    rule
}

#[tokio::test(start_paused = true)]
async fn the_groups_whose_rules_keep_a_security_group_from_going_are_named() {
    let mut core = built(&change(http(), &json!({"timeouts": {"delete": "2m"}}))).await;
    admit_to_metrics(&core);
    let applied = core.apply(None).await;
    assert!(refused(&applied, "rules of sg-hosts (hosts)"), "{:?}", applied.errors());
    core.aws.state().security_groups.get_mut("sg-hosts").unwrap().rules.remove("sgr-metrics");
    core.apply(None).await.succeeded();
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_others_for_the_load_balancer_is_no_drift_and_stays() {
    let mut core = built(&full()).await;
    let rule = admit_to_metrics(&core);
    assert_eq!(core.changes(&configuration(&full())).await, Vec::<String>::new());
    let busier = configuration(&change(full(), &json!({"idle_timeout": 90})));
    core.apply(Some(&busier)).await.succeeded();
    let state = core.aws.state();
    assert!(state.security_groups["sg-hosts"].rules.values().any(|(there, _)| *there == rule));
}

#[tokio::test(start_paused = true)]
async fn a_rule_of_others_that_lets_a_group_of_the_users_in_already_is_named_and_stays() {
    let brought = json!({
        "security_group_ids": ["sg-hosts"], "client_cidr_blocks": null, "instance_security_group_id": "sg-others",
    });
    let (config, aws) = (configuration(&change(http(), &brought)), inhabited().await);
    let rule = RuleSettings {
        direction: Direction::Ingress,
        protocol: "tcp".to_owned(),
        from_port: 80,
        to_port: 80,
        peer: Peer::Group("sg-hosts".to_owned()),
        description: "By hand".to_owned(),
    };
    let rules = || aws.state().security_groups["sg-others"].rules.clone();
    let by_hand = ("sgr-by-hand".to_owned(), (rule, Tags::new()));
    aws.state().security_groups.get_mut("sg-others").unwrap().rules.extend([by_hand]);
    let before = rules();
    let mut core = Core::new(aws.clone());
    let applied = core.apply(Some(&config)).await;
    assert!(refused(&applied, "sg-others has the rule ingress tcp 80 sg-hosts already"), "{:?}", applied.errors());
    assert_eq!(rules(), before);
    aws.state().security_groups.get_mut("sg-others").unwrap().rules.clear();
    core.apply(Some(&config)).await.succeeded();
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_security_group_that_the_user_has_taken_from_the_stack_outlives_it() {
    for base in [http(), let_in("sg-hosts")] {
        for next in [None, Some(json!({"scheme": "internal"})), Some(json!({"security_group_ids": ["sg-others"]}))] {
            let mut core = built(&base).await;
            let group = core.state().get("security_group_id").as_str().unwrap().to_owned();
            let taken = change(base.clone(), &json!({"security_group_ids": [group], "client_cidr_blocks": null}));
            core.apply(Some(&configuration(&taken))).await.succeeded();
            assert_eq!(core.changes(&configuration(&taken)).await, Vec::<String>::new());
            let config = next.as_ref().map(|arguments| configuration(&change(taken.clone(), arguments)));
            core.apply(config.as_ref()).await.succeeded();
            assert!(core.aws.state().security_groups.contains_key(&group), "{next:?}");
            core.apply(None).await.succeeded();
            assert!(core.aws.state().security_groups.contains_key(&group), "{next:?}, and then destroyed");
        }
    }
    // It is the stack's again when that is to have one of its own.
    let mut core = built(&http()).await;
    let group = core.state().get("security_group_id").clone();
    let taken = json!({"security_group_ids": [group.as_str().unwrap()], "client_cidr_blocks": null});
    core.apply(Some(&configuration(&change(http(), &taken)))).await.succeeded();
    assert!(core.state().get("security_group_id").is_null());
    core.apply(Some(&configuration(&http()))).await.succeeded();
    assert_eq!(*core.state().get("security_group_id"), group);
}

/// Puts somebody else's rule, which uses nothing of the stack's, on the stack's listener on port 80: its ARN.
fn put_rule(core: &Core) -> String {
    let mut state = core.aws.state();
    let ours = |tags: &Tags| tags.get("codestream:stack").is_some_and(|stack| stack == STACK);
    let listener = state.listeners.iter().find(|(_, found)| found.settings.port == 80 && ours(&found.tags));
    let listener_arn = listener.unwrap().0.clone();
    let arn = format!("{}/by-hand", listener_arn.replace(":listener/", ":listener-rule/"));
    let (priority, target_group_arns) = ("10".to_owned(), Vec::new());
    state.rules.insert(arn.clone(), Rule { listener_arn, priority, target_group_arns, tags: Tags::new() });
    arn
}

#[tokio::test(start_paused = true)]
async fn a_listener_with_a_rule_of_others_is_not_deleted() {
    let secured = json!({"protocol": "HTTPS", "certificate_arn": cert_arn(1)});
    let moved = json!({"api": {"listener_port": 8080, "target_port": 80, "deregistration_delay": 5}});
    for arguments in [&secured, &moved] {
        let mut core = built(&http()).await;
        let (rule, from) = (put_rule(&core), core.aws.calls().len());
        let config = configuration(&change(http(), arguments));
        let applied = core.apply(Some(&config)).await;
        assert!(refused(&applied, &rule), "{:?}", applied.errors());
        for (mode, is_error) in [(Preflight::Error, true), (Preflight::Warn, false)] {
            core.check_plans(mode);
            let shown = core.changes(&config).await;
            assert_eq!(shown.iter().any(|error| error.contains(&rule)), is_error, "{shown:?}");
        }
        assert_eq!(changing_calls(&core.aws, from), Vec::<String>::new());
    }
    // One that stays keeps its rules.
    let mut core = built(&http()).await;
    let rule = put_rule(&core);
    let redirected = change(http(), &change(secured, &json!({"redirect_http": true})));
    core.apply(Some(&configuration(&redirected))).await.succeeded();
    assert!(core.aws.state().rules.contains_key(&rule));
}

#[tokio::test(start_paused = true)]
async fn what_of_others_goes_with_the_load_balancer_is_named_at_plan_and_at_apply() {
    let internal = configuration(&change(http(), &json!({"scheme": "internal"})));
    for config in [None, Some(&internal)] {
        let mut core = built(&http()).await;
        let rule = put_rule(&core);
        core.check_plans(Preflight::Warn);
        let applied = core.apply(config).await;
        applied.succeeded();
        let named = applied.warnings().iter().filter(|warning| warning.contains(&rule)).count();
        assert_eq!(named, 2, "{:?}", applied.warnings());
    }
}

#[tokio::test(start_paused = true)]
async fn what_others_made_under_our_names_is_named_and_left_alone() {
    let aws = inhabited().await;
    let named = NewSecurityGroup {
        name: "web-load-balancer".to_owned(),
        description: "Somebody's".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        tags: Tags::new(),
    };
    let group = aws.create_security_group(&named).await.unwrap();
    let from = aws.calls().len();
    let applied = Core::new(aws.clone()).apply(Some(&configuration(&http()))).await;
    assert!(refused(&applied, &group), "{:?}", applied.errors());
    assert_eq!(changing_calls(&aws, from), Vec::<String>::new());

    let aws = inhabited().await;
    let named = NewLoadBalancer {
        name: STACK.to_owned(),
        scheme: "internet-facing".to_owned(),
        ip_address_type: "ipv4".to_owned(),
        subnet_ids: ["subnet-a", "subnet-b"].map(str::to_owned).into(),
        security_groups: BTreeSet::new(),
        tags: Tags::new(),
    };
    let balancer = aws.create_load_balancer(&named).await.unwrap().arn;
    let from = aws.calls().len();
    let applied = Core::new(aws.clone()).apply(Some(&configuration(&http()))).await;
    assert!(refused(&applied, &balancer), "{:?}", applied.errors());
    assert_eq!(changing_calls(&aws, from), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn two_security_groups_that_say_they_are_the_stacks_are_an_error() {
    let mut core = built(&http()).await;
    let tags = {
        let state = core.aws.state();
        state.security_groups.values().find(|group| group.name == "web-load-balancer").unwrap().tags.clone()
    };
    let twin = NewSecurityGroup {
        name: "twin".to_owned(),
        description: "Tagged like the stack's".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        tags,
    };
    core.aws.create_security_group(&twin).await.unwrap();
    let (from, before) = (core.aws.calls().len(), picture(&core));
    let applied = core.apply(Some(&configuration(&change(http(), &json!({"idle_timeout": 90}))))).await;
    assert!(!applied.errors().is_empty());
    assert_eq!(changing_calls(&core.aws, from), Vec::<String>::new());
    assert_eq!(picture(&core), before);
}

#[tokio::test(start_paused = true)]
async fn a_process_whose_create_was_taken_over_stops_and_keeps_off() {
    let aws = inhabited().await;
    aws.state().provisioning = Duration::from_secs(60);
    let (mut slow, mut second) = (Core::new(aws.clone()), Core::new(aws.clone()));
    let config = configuration(&http());
    let (first, later) = tokio::join!(slow.apply(Some(&config)), async {
        sleep(Duration::from_secs(10)).await;
        second.apply(Some(&config)).await
    });
    later.succeeded();
    assert!(refused(&first, "taken over"), "{:?}", first.errors());
    settle().await;
    let stack = picture(&second);
    // What core does next with a failed create is to destroy it: that must not be the other's.
    slow.apply(None).await;
    settle().await;
    assert_eq!(picture(&second), stack);
    assert_eq!(second.changes(&config).await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn of_two_creates_at_once_one_succeeds_and_keeps_its_stack() {
    for (own_groups, checked) in [(false, false), (true, false), (false, true), (true, true)] {
        let config = configuration(&if own_groups { brought() } else { http() });
        let (mut one, mut other) = two(&inhabited().await, checked);
        let ends = tokio::join!(one.apply(Some(&config)), other.apply(Some(&config)));
        let (winner, loser) = match (ends.0.faults().is_empty(), ends.1.faults().is_empty()) {
            (true, false) => (&mut one, &mut other),
            (false, true) => (&mut other, &mut one),
            _ => panic!("one of two must succeed: {ends:?}"),
        };
        settle().await;
        let stack = picture(winner);
        loser.apply(None).await;
        settle().await;
        assert_eq!(picture(winner), stack, "own groups: {own_groups}, checked: {checked}");
        assert_eq!(winner.changes(&config).await, Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_does_not_wait_for_what_somebody_has_deleted_meanwhile() {
    let aws = inhabited().await;
    aws.state().provisioning = Duration::from_secs(60);
    let config = configuration(&change(brought(), &json!({"wait_for_healthy": false})));
    let there: BTreeSet<String> = aws.state().listeners.keys().cloned().collect();
    let (mut core, start) = (Core::new(aws.clone()), Instant::now());
    let (applied, listener) = tokio::join!(core.apply(Some(&config)), async {
        sleep(Duration::from_secs(10)).await;
        let made = aws.state().listeners.keys().find(|arn| !there.contains(*arn)).cloned().unwrap();
        aws.delete_listener(&made).await.unwrap();
        made
    });
    assert!(refused(&applied, &listener), "{:?}", applied.errors());
    assert!(start.elapsed() < Duration::from_secs(5 * 60), "{:?}", start.elapsed());
}

/// The second looks while the first has made a part of its stack, and takes over what it finds.
#[tokio::test(start_paused = true)]
async fn of_two_creates_one_shortly_after_the_other_at_most_one_succeeds_and_none_harms_the_other() {
    let config = configuration(&http());
    let delays = (5..=600).step_by(5);
    for (delay, checked) in delays.flat_map(|delay| [(delay, false), (delay, true)]) {
        let aws = inhabited().await;
        let before = aws.snapshot();
        let (mut one, mut other) = two(&aws, checked);
        let ends = tokio::join!(one.apply(Some(&config)), async {
            sleep(Duration::from_millis(delay)).await;
            other.apply(Some(&config)).await
        });
        settle().await;
        let (winner, loser) = match (ends.0.faults().is_empty(), ends.1.faults().is_empty()) {
            (true, true) => panic!("after {delay} ms both succeed"),
            (true, false) => (&mut one, &mut other),
            (false, true) => (&mut other, &mut one),
            (false, false) => {
                // What one of them still uses of the other's goes in the second round.
                for _ in 0..2 {
                    one.apply(None).await;
                    other.apply(None).await;
                    settle().await;
                }
                assert_eq!(aws.snapshot(), before, "after {delay} ms");
                continue;
            }
        };
        let stack = picture(winner);
        loser.apply(None).await;
        settle().await;
        assert_eq!(picture(winner), stack, "after {delay} ms");
        assert_eq!(winner.changes(&config).await, Vec::<String>::new(), "after {delay} ms");
    }
}

/// Deletes the load balancer by hand, with what goes with it.
async fn delete_by_hand(core: &Core) {
    let arn = core.state().get("arn").as_str().unwrap().to_owned();
    core.aws.delete_load_balancer(&arn).await.unwrap();
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_load_balancer_deleted_by_hand_is_made_again_around_what_is_left() {
    let mut core = built(&full()).await;
    let before = picture(&core);
    delete_by_hand(&core).await;
    let config = configuration(&full());
    assert_ne!(core.changes(&config).await, Vec::<String>::new());
    core.apply(Some(&config)).await.succeeded();
    settle().await;
    assert_eq!(core.changes(&config).await, Vec::<String>::new());
    assert_eq!(picture(&core), before);
}

#[tokio::test(start_paused = true)]
async fn what_a_finished_stack_has_left_without_its_load_balancer_stays_its_own() {
    let mut first = built(&http()).await;
    let whole = picture(&first);
    delete_by_hand(&first).await;
    let (config, from) = (configuration(&http()), first.aws.calls().len());
    let applied = Core::new(first.aws.clone()).apply(Some(&config)).await;
    assert!(refused(&applied, "no load balancer any more"), "{:?}", applied.errors());
    assert_eq!(changing_calls(&first.aws, from), Vec::<String>::new());
    first.apply(Some(&config)).await.succeeded();
    settle().await;
    assert_eq!(picture(&first), whole);
}

#[tokio::test(start_paused = true)]
async fn a_destroy_after_the_load_balancer_was_deleted_by_hand_leaves_nothing() {
    let aws = inhabited().await;
    let before = aws.snapshot();
    let mut core = Core::new(aws);
    core.apply(Some(&configuration(&full()))).await.succeeded();
    delete_by_hand(&core).await;
    core.apply(None).await.succeeded();
    settle().await;
    assert_eq!(core.aws.snapshot(), before);
}
