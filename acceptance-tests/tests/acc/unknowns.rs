//! Arguments that come from other resources and are not known while Terraform plans.

use acceptance_tests::{Seed, with_each_cli};
use serde_json::{Value, json};

use crate::stack;

/// Arguments of an HTTPS stack that can come from elsewhere, with values that make a valid stack together.
fn arguments(seed: &Seed) -> Vec<(&'static str, Value)> {
    let mut arguments = stack::base_arguments(seed).to_vec();
    arguments.extend([
        ("scheme", json!("internet-facing")),
        ("protocol", json!("HTTPS")),
        ("vpc_id", json!(seed.vpc_id)),
        ("ip_address_type", json!("ipv4")),
        ("certificate_arn", json!(seed.certificate_arn)),
        ("additional_certificate_arns", json!([seed.wildcard_certificate_arn])),
        ("ssl_policy", json!("ELBSecurityPolicy-TLS13-1-2-2021-06")),
        ("hostname", json!(seed.hostname)),
        ("dns_record", json!({ "zone_id": seed.zone_id })),
        ("instance_security_group_id", json!(seed.instance_security_group_id)),
        ("redirect_http", json!(true)),
        ("idle_timeout", json!(120)),
        ("client_keep_alive", json!(1800)),
        ("enable_http2", json!(false)),
        ("drop_invalid_header_fields", json!(false)),
        ("desync_mitigation_mode", json!("strictest")),
        ("xff_header_processing_mode", json!("preserve")),
        ("preserve_host_header", json!(true)),
        ("enable_waf_fail_open", json!(true)),
        ("enable_deletion_protection", json!(false)),
        ("wait_for_healthy", json!(true)),
        ("on_unhealthy", json!("error")),
        ("health_check", json!({ "path": "/no-auth/status", "interval": 20 })),
        ("api", json!({ "deregistration_delay": 10 })),
        ("broadcaster", json!({ "deregistration_delay": 20 })),
        ("tags", json!({ "team": "realtime" })),
    ]);
    arguments
}

/// The stack, with those arguments that `unknown` picks taken from a resource that does not exist yet.
fn configuration(seed: &Seed, unknown: impl Fn(&str) -> bool) -> String {
    let (mut sources, mut lines) = (String::new(), String::new());
    for (name, value) in arguments(seed) {
        if unknown(name) {
            sources += &format!("resource \"terraform_data\" \"{name}\" {{\n  input = {value}\n}}\n");
            lines += &format!("  {name} = terraform_data.{name}.output\n");
        } else {
            lines += &format!("  {name} = {value}\n");
        }
    }
    format!("{}\n{sources}\nresource \"codestream_alb\" \"onprem\" {{\n{lines}}}\n", stack::HEADER)
}

#[test]
fn with_every_argument_unknown_a_stack_is_planned_created_and_then_planned_empty() {
    with_each_cli(|aws, workspace| {
        let before = stack::inventory(aws);
        workspace.write("main.tf", &configuration(aws.seed(), |_| true));
        workspace.plan().expect_changes();
        workspace.apply().expect_success();
        let attributes = stack::attributes(aws);
        assert_eq!(attributes["idle_timeout.timeout_seconds"], "120");
        assert_eq!(attributes["routing.http.desync_mitigation_mode"], "strictest");
        workspace.plan().expect_no_changes();
        workspace.destroy().expect_success();
        assert_eq!(stack::inventory(aws), before);
    });
}

#[test]
fn security_groups_of_ones_own_may_be_unknown() {
    with_each_cli(|aws, workspace| {
        let seed = aws.seed();
        let sources = ["client_cidr_blocks", "instance_cidr_blocks"];
        let own = stack::http(seed, "security_group_ids = terraform_data.groups.output");
        let own: Vec<&str> = own.lines().filter(|line| !sources.iter().any(|name| line.contains(name))).collect();
        let groups = json!([seed.instance_security_group_id]);
        let source = format!("resource \"terraform_data\" \"groups\" {{\n  input = {groups}\n}}\n");
        workspace.write("main.tf", &format!("{}\n{source}", own.join("\n")));
        workspace.plan().expect_changes();
        workspace.apply().expect_success();
        assert_eq!(stack::load_balancer(aws)["SecurityGroups"], groups);
        workspace.plan().expect_no_changes();
    });
}

#[test]
fn any_single_argument_may_be_unknown() {
    with_each_cli(|aws, workspace| {
        for (unknown, _) in arguments(aws.seed()) {
            workspace.write("main.tf", &configuration(aws.seed(), |name| name == unknown));
            workspace.plan().expect_changes();
        }
        assert!(aws.proxy().mutating_calls().is_empty(), "{:?}", aws.proxy().mutating_calls());
    });
}
