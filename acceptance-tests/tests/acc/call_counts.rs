//! How many calls to AWS it takes: alone, and shared by many; and what comes of more than AWS lets pass.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use acceptance_tests::{Account, Cli, Rule, Workspace, with_each_cli};
use serde_json::json;

use crate::stack;

/// Held by each test: the calls of one must not wait for those of another, which brings apart what belongs together.
static ALONE: Mutex<()> = Mutex::new(());

/// The calls since the last look, printed by action.
#[allow(clippy::print_stderr, reason = "the number of calls is a result of the test")]
fn calls(aws: &Account, of: &str) -> usize {
    let counts = aws.proxy().counts();
    aws.proxy().clear_calls();
    let sum = counts.values().sum();
    eprintln!("{of}: {sum} calls: {counts:?}");
    sum
}

/// AWS is ready at once: only the calls count that have to be.
fn hurry(aws: &Account) {
    aws.configure(json!({ "initial_describes": 0, "draining_describes": 0 }));
}

#[test]
fn a_stack_alone_takes_few_calls() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    with_each_cli(|aws, workspace| {
        hurry(aws);
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        workspace.plan().expect_changes();
        let planning = calls(aws, "plan of a create");
        workspace.run(["apply", "-no-color", "plan.tfplan"]).expect_success();
        let creating = calls(aws, "create");
        workspace.plan().expect_no_changes();
        let refreshing = calls(aws, "refresh over HTTP");
        assert!(creating - planning <= 22 && planning + creating <= 32 && refreshing <= 10);

        workspace.write("main.tf", &stack::https(aws.seed(), ""));
        workspace.apply().expect_success();
        calls(aws, "change to HTTPS");
        workspace.plan().expect_no_changes();
        // Two more: AWS tells the certificates of one listener a call.
        assert!(calls(aws, "refresh over HTTPS") <= 12);
    });
}

#[test]
fn many_stacks_share_their_calls() {
    const STACKS: usize = 10;
    const REFRESHES: usize = 20;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    with_each_cli(|aws, workspace| {
        hurry(aws);
        let names: Vec<String> = (0..STACKS).map(|number| format!("team-{number}")).collect();
        let arguments = format!("for_each = toset({})\nname = each.key", json!(names));
        for (protocol, most) in [("HTTP", 6), ("HTTPS", 8)] {
            let of_protocol = if protocol == "HTTP" { stack::http } else { stack::https };
            workspace.write("main.tf", &of_protocol(aws.seed(), &arguments));
            workspace.apply().expect_success();
            calls(aws, "apply");
            // A machine that is busy with something else brings reads apart that belong together: it can only add calls.
            let mut refreshes = (0..REFRESHES).map(|_| {
                workspace.plan().expect_no_changes();
                calls(aws, &format!("refresh of {STACKS} stacks over {protocol}"))
            });
            assert!(refreshes.any(|calls| calls <= most * STACKS), "each of {REFRESHES} took more than {most} a stack");
        }
    });
}

/// AWS lets 40 calls that describe pass at once, and 10 a second from then on. Once it throttles one, all stacks of the
/// process slow down together: few are throttled after that.
#[test]
#[allow(clippy::print_stderr, reason = "the figures are a result of the test")]
fn a_hundred_stacks_are_refreshed_against_a_throttled_api() {
    const STACKS: usize = 100;
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // What is measured is the provider: one CLI will do.
    let cli = Cli::all().expect("a CLI to test with").swap_remove(0);
    let aws = Account::new().expect("an AWS account");
    let workspace = Workspace::new(&cli, &aws).expect("a workspace");
    hurry(&aws);
    let names: Vec<String> = (0..STACKS).map(|number| format!("team-{number}")).collect();
    let arguments = format!("for_each = toset({})\nname = each.key", json!(names));
    workspace.write("main.tf", &stack::http(aws.seed(), &arguments));
    workspace.run(["apply", "-no-color", "-auto-approve", "-parallelism=30"]).expect_success();
    calls(&aws, &format!("apply of {STACKS} stacks"));

    aws.proxy().inject(Rule::throttle(40, 10));
    let start = Instant::now();
    workspace.plan().expect_no_changes();
    let seconds = start.elapsed().as_secs_f64();
    let calls = aws.proxy().calls();
    let throttled = calls.iter().filter(|call| call.error.as_deref() == Some("Throttling")).count();
    let all = calls.len();
    eprintln!("refresh of {STACKS} stacks, throttled: {all} calls, {throttled} of them throttled, {seconds:.0} s");
    assert!(throttled > 0 && throttled * 4 <= all, "{throttled} of {all}");
}
