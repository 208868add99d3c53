//! What of what is there an import takes over.

use std::collections::BTreeSet;

use serde_json::json;
use tfplugin::provider::ImportRequest;
use tfplugin::value::Value;

use super::core::Core;
use super::{STACK, built, change, configuration, full, http, https, inhabited, refused};
use crate::aws::fake::{FakeAws, TargetGroup};
use crate::aws::{ActionInfo, Aws, Direction, NewSecurityGroup, Peer, RuleSettings, Tags};

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
        by_hand("tcp", (80, 80), "::/0", "Everybody, but the load balancer has no such address"),
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
    assert_eq!(*core.state().get("client_ipv6_cidr_blocks"), Value::Null);
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
    {
        let mut state = first.aws.state();
        let redirect = state.listeners.values_mut().find(|listener| listener.settings.port == 80).unwrap();
        // As somebody may have made it by hand: a temporary one, or with another path.
        redirect.settings.action = ActionInfo::Other("redirect".to_owned(), Vec::new());
    }
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
