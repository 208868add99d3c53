//! `on_unhealthy = "warn"` with a postcondition, as README has it: an unhealthy host fails applies and plans, and never
//! taints the load balancer.

use acceptance_tests::{Account, Seed, unframed, with_each_cli};
use serde_json::json;

use crate::stack;

/// Why the host is unhealthy.
const REASON: &str = "Target.FailedHealthChecks";
/// What the postcondition says.
const FAILED: &str = "CodeStream does not answer on every port.";

/// A stack with the postcondition. Its create takes one look at the targets: the pause before another is longer.
fn gated(seed: &Seed, idle_timeout: u16) -> String {
    let postcondition =
        format!("postcondition {{\n      condition     = self.ready\n      error_message = {FAILED:?}\n    }}");
    let arguments = format!(
        "idle_timeout = {idle_timeout}\non_unhealthy = \"warn\"\ntimeouts = {{ create = \"1s\" }}\n\
         lifecycle {{\n    {postcondition}\n  }}"
    );
    stack::http(seed, &arguments)
}

/// Lets the host fail its health checks from now on, or pass them.
fn set_healthy(aws: &Account, healthy: bool) {
    let (host, failing) = (&aws.seed().instance_ids[0], json!({ "state": "unhealthy", "reason": REASON }));
    let health = if healthy { json!({}) } else { json!({ host: failing }) };
    aws.configure(json!({ "initial_describes": 0, "health": health }));
}

#[test]
fn an_unhealthy_host_fails_applies_and_plans_by_the_postcondition_and_taints_nothing() {
    with_each_cli(|aws, workspace| {
        let before = stack::inventory(aws);
        set_healthy(aws, false);
        workspace.write("main.tf", &gated(aws.seed(), 60));
        let created = workspace.apply().expect_error(FAILED);
        let said = unframed(&format!("{}\n{}", created.stdout, created.stderr));
        for port in [80, 12080] {
            let warning = format!("{} on port {port} is unhealthy ({REASON})", aws.seed().instance_ids[0]);
            assert!(said.contains(&warning), "{said}");
        }
        let arn = stack::load_balancer(aws)["LoadBalancerArn"].clone();
        let state = workspace.attributes("codestream_alb", "onprem");
        assert_eq!((&state["arn"], &state["ready"]), (&arn, &json!(false)));

        // With nothing to change.
        workspace.plan().expect_error(FAILED);

        workspace.write("main.tf", &gated(aws.seed(), 90));
        workspace.plan().expect_changes();
        // A tainted one would be replaced.
        assert_eq!(workspace.planned()["resource_changes"][0]["change"]["actions"], json!(["update"]));
        workspace.apply().expect_error(FAILED);
        assert_eq!(stack::attributes(aws)["idle_timeout.timeout_seconds"], "90");
        assert_eq!(stack::load_balancer(aws)["LoadBalancerArn"], arn);
        workspace.plan().expect_error(FAILED);

        set_healthy(aws, true);
        workspace.plan().expect_no_changes();

        set_healthy(aws, false);
        workspace.destroy().expect_success();
        assert_eq!(stack::inventory(aws), before);
    });
}
