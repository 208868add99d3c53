//! Every fault at every AWS call of every operation of a `codestream_alb`.

use serde_json::{Value as Json, json};
use tfplugin::value::Value;

use super::core::Core;
use super::{
    Operation, STACK, change, changes_of_service, changes_of_settings, configuration, crowded, full, http, inhabited,
    operation, outage, picture, settle, update,
};
use crate::alb::CodestreamAlb;
use crate::aws::fake::{FakeAws, Fault, State};
use crate::resource::testing::faults::{Subject, Trial, imports, try_all, unlike};

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

/// A fault that hits an apply which itself repairs an earlier one.
#[tokio::test(start_paused = true)]
async fn two_faults_in_a_row_converge_too() {
    let small = operation("small create", None, Some(http()));
    let secure = update(
        "HTTP to HTTPS",
        http(),
        &change(http(), &json!({"protocol": "HTTPS", "certificate_arn": crate::aws::fake::cert_arn(1)})),
    );
    let mut failed = Vec::new();
    for operation in [small, secure] {
        let trial = Trial::<Tested>::new(&operation).await;
        let config = configuration(operation.after.as_ref().unwrap());
        let died = Fault::Crash { after_effect: true };
        // Every seventh call, and after it every fifth of the run that follows: prime, so that both wander.
        for first in (0..trial.expected.calls.len() - 1).step_by(7) {
            for second in (0..trial.expected.calls.len()).step_by(5) {
                let mut core = trial.base.fork();
                core.aws.fail_at(first, died);
                core.apply(Some(&config)).await;
                core.aws.clear_faults();
                core.aws.fail_at(core.aws.calls().len() + second, died);
                core.apply(Some(&config)).await;
                core.aws.clear_faults();
                let last = core.apply(Some(&config)).await;
                if imports(&last, STACK) {
                    continue;
                }
                settle().await;
                let mut wrong = last.faults();
                wrong.extend(unlike(&trial.expected.end, &picture(&core)));
                if !wrong.is_empty() {
                    failed.push(format!("{}, {first} and {second}: {wrong:?}", operation.name));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
