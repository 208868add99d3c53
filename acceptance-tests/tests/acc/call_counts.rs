//! How many calls to AWS it takes: alone, and shared by many.

use acceptance_tests::{Account, with_each_cli};
use serde_json::json;

use crate::stack;

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
    with_each_cli(|aws, workspace| {
        hurry(aws);
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        workspace.plan().expect_changes();
        let planning = calls(aws, "plan of a create");
        workspace.run(["apply", "-no-color", "plan.tfplan"]).expect_success();
        let creating = calls(aws, "create");
        workspace.plan().expect_no_changes();
        let refreshing = calls(aws, "refresh over HTTP");
        assert!(creating <= 30 && planning + creating <= 36 && refreshing <= 10);
    });
}

#[test]
fn many_stacks_share_their_calls() {
    const STACKS: usize = 10;
    const REFRESHES: usize = 5;
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
