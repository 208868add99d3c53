//! What of what is there an import takes over.

use serde_json::json;
use tfplugin::provider::ImportRequest;
use tfplugin::value::Value;

use super::core::Core;
use super::{STACK, built, change, configuration, full, http, inhabited, refused};
use crate::aws::fake::{FakeAws, TargetGroup};
use crate::aws::{Aws, NewSecurityGroup, Tags};

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
