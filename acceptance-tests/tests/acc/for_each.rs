//! Several stacks in one configuration, created at the same time.

use acceptance_tests::with_each_cli;
use serde_json::json;

use crate::stack;

#[test]
fn five_stacks_are_created_planned_empty_and_destroyed_together() {
    with_each_cli(|aws, workspace| {
        let before = stack::inventory(aws);
        let names = ["team-a", "team-b", "team-c", "team-d", "team-e"];
        let arguments = format!("for_each = toset({})\nname = each.key", json!(names));
        workspace.write("main.tf", &stack::http(aws.seed(), &arguments));
        workspace.apply().expect_success();

        let inventory = stack::inventory(aws);
        assert_eq!(inventory["load_balancers"], json!(names));
        assert_eq!(stack::list(&inventory, "target_groups").len(), 2 * names.len());
        workspace.plan().expect_no_changes();

        workspace.destroy().expect_success();
        assert_eq!(stack::inventory(aws), before);
    });
}
