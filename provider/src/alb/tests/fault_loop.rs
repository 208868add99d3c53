//! Every fault at every AWS call of every operation of a `codestream_alb`.

use serde_json::{Value as Json, json};
use tfplugin::value::Value;

use super::core::Core;
use super::{
    Operation, STACK, change, changes_of_service, changes_of_settings, configuration, crowded, full, http, inhabited,
    operation, outage, picture, update,
};
use crate::alb::CodestreamAlb;
use crate::aws::fake::{FakeAws, State, cert_arn};
use crate::resource::testing::faults::{Subject, try_all, try_pairs};

pub(super) struct Tested;

impl Subject for Tested {
    type Kind = CodestreamAlb;
    const STACK: &'static str = STACK;

    fn configuration(json: &Json) -> Value {
        configuration(json)
    }

    async fn inhabited() -> FakeAws {
        inhabited().await
    }

    fn picture(core: &Core) -> String {
        picture(core)
    }

    fn outage(state: &State) -> Option<String> {
        outage(state)
    }
}

#[test]
fn a_create_converges_after_every_fault() {
    try_all::<Tested>(&[
        operation("small create", None, Some(http())),
        operation("full create", None, Some(full())),
        operation("small create in a slow AWS", None, Some(http())).in_slow_aws(),
    ]);
}

#[test]
fn a_delete_converges_after_every_fault() {
    try_all::<Tested>(&[operation("small delete", Some(http()), None), operation("full delete", Some(full()), None)]);
}

#[test]
fn a_replacement_converges_after_every_fault() {
    let internal = update("replacement", full(), &json!({"scheme": "internal"}));
    try_all::<Tested>(&[Operation { replaces: true, cuts: true, ..internal }]);
}

#[test]
fn a_change_of_the_service_converges_after_every_fault() {
    let port = json!({"api": {"target_port": 8080, "deregistration_delay": 5}});
    let replaced = update("target port in a slow AWS", http(), &port).in_slow_aws();
    try_all::<Tested>(&changes_of_service().into_iter().chain([replaced]).collect::<Vec<_>>());
}

#[test]
fn a_change_of_settings_converges_after_every_fault() {
    // For a moment nobody is let in, and a fault may come just then.
    let exchange = update("sources that fill a group", crowded("192.0.2", 30), &crowded("198.51.100", 30));
    let exchange = Operation { cuts: true, ..exchange };
    try_all::<Tested>(&changes_of_settings().into_iter().chain([exchange]).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn two_faults_in_a_row_converge_too() {
    let secure = json!({"protocol": "HTTPS", "certificate_arn": cert_arn(1)});
    try_pairs::<Tested>(&[
        operation("small create", None, Some(http())),
        update("HTTP to HTTPS", http(), &change(http(), &secure)),
    ])
    .await;
}
