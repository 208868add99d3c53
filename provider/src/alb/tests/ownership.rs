//! Whose is what: interrupted creates, others' stacks of the same name, and two processes at once.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tfplugin::provider::ImportRequest;
use tfplugin::value::Value;
use tokio::time::sleep;

use super::core::{Applied, Core};
use super::{
    STACK, built, change, changing_calls, configuration, difference, full, http, https, inhabited, let_in, picture,
    settle,
};
use crate::aws::fake::{Call, FakeAws, Fault, Rule, TargetGroup, cert_arn};
use crate::aws::{Aws, Direction, NewLoadBalancer, NewSecurityGroup, Peer, RuleSettings, Tags};

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

fn refused(applied: &Applied, part: &str) -> bool {
    applied.errors().iter().any(|error| error.contains(part))
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
        let taken = tagged.calls().iter().position(|call| call.operation == "elasticloadbalancing:AddTags").unwrap();
        killed(&core.aws, &next, taken).await;
        core.apply(Some(&configuration(&next))).await.succeeded();
        settle().await;
        assert_eq!(difference(&wanted, &picture(&core)), "");
    }
}

#[tokio::test(start_paused = true)]
async fn rules_that_a_killed_update_made_in_another_group_go_when_the_change_is_taken_back() {
    let base = built(&let_in("sg-others")).await;
    let whole = picture(&base);
    let (here, there) = (configuration(&let_in("sg-others")), configuration(&let_in("sg-hosts")));
    let counted = &mut base.fork();
    counted.apply(Some(&there)).await.succeeded();
    let authorize = "ec2:AuthorizeSecurityGroupIngress";
    let authorized = counted.aws.calls().iter().position(|call| call.operation == authorize).unwrap();
    let mut core = base.fork();
    core.aws.fail_at(authorized, Fault::Crash { after_effect: true });
    assert!(core.apply(Some(&there)).await.crashed);
    core.aws.clear_faults();
    core.apply(Some(&here)).await.succeeded();
    settle().await;
    assert_eq!(picture(&core), whole);
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
async fn a_stack_is_imported_by_its_identity_too() {
    let first = built(&full()).await;
    let arn = first.state().get("arn").clone();
    let identity = |arn: Value| ImportRequest { id: None, identity: Some(Value::object([("arn", arn)])) };
    let mut second = Core::new(first.aws.clone());
    second.import_by(identity(arn.clone())).await.succeeded();
    assert_eq!(*second.state().get("arn"), arn);
    second.apply(Some(&configuration(&full()))).await.succeeded();
    assert_eq!(second.changes(&configuration(&full())).await, Vec::<String>::new());
    let gone = Value::from(format!("{}0", arn.as_str().unwrap_or_default()));
    let applied = Core::new(first.aws.clone()).import_by(identity(gone)).await;
    assert!(refused(&applied, "No such load balancer"), "{:?}", applied.errors());
}

/// Makes a stack look as if somebody had made it by hand: nothing tells whose it is. The id of its security group.
fn disown(aws: &FakeAws) -> String {
    let mut guard = aws.state();
    let state = &mut *guard;
    let (id, group) = state.security_groups.iter_mut().find(|(_, group)| group.name == "web-load-balancer").unwrap();
    group.name = "by-hand".to_owned();
    let id = id.clone();
    let rules = group.rules.values_mut().map(|(_, tags)| tags);
    (state.load_balancers.values_mut().map(|object| &mut object.tags))
        .chain(state.target_groups.values_mut().map(|object| &mut object.tags))
        .chain(state.listeners.values_mut().map(|object| &mut object.tags))
        .chain(rules.chain([&mut group.tags]))
        .filter(|tags| tags.get("codestream:stack").is_some_and(|stack| stack == STACK))
        .for_each(|tags| tags.retain(|key, _| !key.starts_with("codestream:")));
    id
}

#[tokio::test(start_paused = true)]
async fn a_security_group_that_only_the_load_balancer_is_in_comes_with_an_import() {
    let first = built(&http()).await;
    let group = disown(&first.aws);
    let stranger = NewSecurityGroup {
        name: "web-load-balancer".to_owned(),
        description: "Somebody's".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        tags: Tags::new(),
    };
    let stranger = first.aws.create_security_group(&stranger).await.unwrap();
    let mut core = Core::new(first.aws.clone());
    core.import(STACK).await.succeeded();
    assert_eq!(core.state().get("security_group_id").as_str(), Some(group.as_str()));
    core.apply(Some(&configuration(&http()))).await.succeeded();
    core.apply(None).await.succeeded();
    let state = core.aws.state();
    assert!(!state.security_groups.contains_key(&group) && state.security_groups.contains_key(&stranger));
}

/// An ingress rule from a block, as somebody makes it by hand.
fn by_hand(protocol: &str, ports: (i64, i64), block: &str, description: &str) -> RuleSettings {
    RuleSettings {
        direction: Direction::Ingress,
        protocol: protocol.to_owned(),
        from_port: ports.0,
        to_port: ports.1,
        peer: Peer::Cidr(block.to_owned()),
        description: description.to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn an_import_takes_who_reaches_a_listener_for_clients_and_shows_whatever_else_is_open() {
    let host = json!({"instance_cidr_blocks": ["203.0.113.7/32"]});
    let first = built(&change(http(), &host)).await;
    let group = disown(&first.aws);
    let made = [
        by_hand("tcp", (22, 22), "192.0.2.22/32", "Admins"),
        by_hand("udp", (80, 80), "192.0.2.17/32", "Not even TCP"),
        by_hand("tcp", (8000, 9000), "192.0.2.80/32", "The CodeStream host to the API"),
        by_hand("tcp", (1, 1024), "192.0.2.1/32", "Ghost writers on localhost"),
        by_hand("-1", (-1, -1), "192.0.2.2/32", "Everything"),
    ];
    {
        let mut state = first.aws.state();
        let rules = &mut state.security_groups.get_mut(&group).unwrap().rules;
        rules.extend(made.into_iter().enumerate().map(|(n, rule)| (format!("sgr-by-hand-{n}"), (rule, Tags::new()))));
    }
    let mut core = Core::new(first.aws.clone());
    core.import(STACK).await.succeeded();
    let clients = ["192.0.2.1/32", "192.0.2.2/32", "198.51.100.0/24"];
    assert_eq!(*core.state().get("client_cidr_blocks"), Value::set(clients));
    assert_eq!(*core.state().get("instance_cidr_blocks"), Value::set(["203.0.113.7/32"]));
    let matching = configuration(&change(change(http(), &host), &json!({"client_cidr_blocks": clients})));
    let shown = core.changes(&matching).await;
    assert!(shown.iter().any(|path| path.starts_with("topology.security_group_rules")), "{shown:?}");
    core.apply(Some(&matching)).await.succeeded();
    let state = core.aws.state();
    let open = state.security_groups[&group].rules.values().filter(|(rule, _)| rule.direction == Direction::Ingress);
    let doors: BTreeSet<(&str, i64, i64)> =
        open.map(|(rule, _)| (rule.protocol.as_str(), rule.from_port, rule.to_port)).collect();
    assert_eq!(doors, BTreeSet::from([("tcp", 80, 80), ("tcp", 12080, 12080)]));
}

#[tokio::test(start_paused = true)]
async fn whom_a_redirect_alone_lets_in_is_no_client() {
    let first = built(&change(https(), &json!({"redirect_http": true}))).await;
    let group = disown(&first.aws);
    let rule = by_hand("tcp", (80, 80), "0.0.0.0/0", "The world, to be redirected");
    let made = [("sgr-by-hand".to_owned(), (rule, Tags::new()))];
    first.aws.state().security_groups.get_mut(&group).unwrap().rules.extend(made);
    let mut core = Core::new(first.aws.clone());
    core.import(STACK).await.succeeded();
    assert_eq!(*core.state().get("client_cidr_blocks"), Value::set(["198.51.100.0/24"]));
}

#[tokio::test(start_paused = true)]
async fn a_security_group_that_something_else_is_in_stays_its_owners_after_an_import() {
    let first = built(&http()).await;
    let group = disown(&first.aws);
    first.aws.state().instances.get_mut("i-3").unwrap().security_groups.insert(group.clone());
    let mut core = Core::new(first.aws.clone());
    core.import(STACK).await.succeeded();
    assert!(core.state().get("security_group_id").is_null());
    assert_eq!(*core.state().get("security_group_ids"), Value::set([group.as_str()]));
    let own = json!({"security_group_ids": [group], "client_cidr_blocks": null});
    core.apply(Some(&configuration(&change(http(), &own)))).await.succeeded();
    core.apply(None).await.succeeded();
    assert!(core.aws.state().security_groups[&group].tags.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_security_group_that_the_user_has_brought_along_is_still_the_users_after_an_import() {
    let aws = inhabited().await;
    let named = NewSecurityGroup {
        name: "own".to_owned(),
        description: "Somebody's own".to_owned(),
        vpc_id: "vpc-1".to_owned(),
        tags: Tags::new(),
    };
    let group = aws.create_security_group(&named).await.unwrap();
    let own = json!({"security_group_ids": [group], "client_cidr_blocks": null});
    Core::new(aws.clone()).apply(Some(&configuration(&change(http(), &own)))).await.succeeded();
    let mut second = Core::new(aws);
    second.import(STACK).await.succeeded();
    assert!(second.state().get("security_group_id").is_null());
    assert_eq!(*second.state().get("security_group_ids"), Value::set([group.as_str()]));
}

#[tokio::test(start_paused = true)]
async fn a_target_group_of_addresses_is_refused_at_import_by_its_name() {
    let first = built(&http()).await;
    disown(&first.aws);
    let name = {
        let mut state = first.aws.state();
        let is_ours =
            |group: &&mut TargetGroup| group.info.port == 12080 && !group.tags.contains_key("codestream:stack");
        let group = state.target_groups.values_mut().find(is_ours).unwrap();
        group.info.target_type = "ip".to_owned();
        group.info.name.clone()
    };
    let applied = Core::new(first.aws.clone()).import(STACK).await;
    assert!(refused(&applied, &format!("the target group {name}, whose target type is ip")), "{:?}", applied.errors());
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
        core.check_plans();
        let shown = core.changes(&config).await;
        assert!(shown.iter().any(|error| error.contains(&rule)), "{shown:?}");
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
        core.check_plans();
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

/// Two resources without a state that want the same stack.
fn two(aws: &FakeAws, checked: bool) -> (Core, Core) {
    let mut pair = (Core::new(aws.clone()), Core::new(aws.clone()));
    if checked {
        pair.0.check_plans();
        pair.1.check_plans();
    }
    pair
}

#[tokio::test(start_paused = true)]
async fn of_two_creates_at_once_one_succeeds_and_keeps_its_stack() {
    for (own_groups, checked) in [(false, false), (true, false), (false, true), (true, true)] {
        let own = json!({"security_group_ids": ["sg-hosts"], "client_cidr_blocks": null});
        let config = configuration(&if own_groups { change(http(), &own) } else { http() });
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
    core.check_plans();
    core.apply(None).await.succeeded();
    settle().await;
    assert_eq!(core.aws.snapshot(), before);
    let calls = core.aws.calls();
    let by_name = |call: &&Call| call.operation.ends_with(":DescribeListeners") && call.detail == STACK;
    assert_eq!(calls.iter().find(by_name), None, "a name is no ARN");
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

#[tokio::test(start_paused = true)]
async fn a_group_that_a_killed_update_left_goes_when_the_change_is_taken_back() {
    let base = built(&http()).await;
    let whole = picture(&base);
    let moved = configuration(&change(http(), &json!({"api": {"target_port": 8080, "deregistration_delay": 5}})));
    let counted = &mut base.fork();
    counted.apply(Some(&moved)).await.succeeded();
    let created = counted.aws.calls().iter().position(|call| call.operation.ends_with(":CreateTargetGroup")).unwrap();
    let mut core = base.fork();
    core.aws.fail_at(created, Fault::Crash { after_effect: true });
    assert!(core.apply(Some(&moved)).await.crashed);
    core.aws.clear_faults();
    core.apply(Some(&configuration(&http()))).await.succeeded();
    settle().await;
    assert_eq!(picture(&core), whole);
}
