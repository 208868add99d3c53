//! Changes to a stack that exists: in place, and back to the defaults.

use acceptance_tests::{Account, Workspace, with_each_cli};
use serde_json::{Value, json};

use crate::stack;

/// Applies a changed configuration, and checks that the load balancer is still the same and nothing is left to do.
#[track_caller]
fn change(aws: &Account, workspace: &Workspace, configuration: &str) {
    let before = stack::load_balancer(aws);
    workspace.write("main.tf", configuration);
    workspace.plan().expect_changes();
    assert_eq!(workspace.planned()["resource_changes"][0]["change"]["actions"], json!(["update"]));
    workspace.apply().expect_success();
    assert_eq!(stack::load_balancer(aws)["LoadBalancerArn"], before["LoadBalancerArn"]);
    workspace.plan().expect_no_changes();
}

#[test]
fn attributes_change_in_place_and_go_back_to_their_defaults_when_removed() {
    with_each_cli(|aws, workspace| {
        let seed = aws.seed();
        workspace.write("main.tf", &stack::http(seed, ""));
        workspace.apply().expect_success();

        let changed = "idle_timeout = 120\ndrop_invalid_header_fields = false\nhealth_check = { interval = 20 }";
        change(aws, workspace, &stack::http(seed, changed));
        let attributes = stack::attributes(aws);
        assert_eq!(attributes["idle_timeout.timeout_seconds"], "120");
        assert_eq!(attributes["routing.http.drop_invalid_header_fields.enabled"], "false");
        assert_eq!(stack::listeners(aws)[0]["group"]["interval"], 20);

        change(aws, workspace, &stack::http(seed, ""));
        let attributes = stack::attributes(aws);
        assert_eq!(attributes["idle_timeout.timeout_seconds"], "300");
        assert_eq!(attributes["routing.http.drop_invalid_header_fields.enabled"], "true");
        assert_eq!(stack::listeners(aws)[0]["group"]["interval"], 15);
    });
}

#[test]
fn instances_and_sources_are_added_and_removed_in_place() {
    with_each_cli(|aws, workspace| {
        let seed = aws.seed();
        workspace.write("main.tf", &stack::http(seed, ""));
        workspace.apply().expect_success();
        let targets = || -> Vec<String> {
            let group = &stack::listeners(aws)[0]["group"];
            let mut ids: Vec<String> = stack::list(group, "targets").iter().map(|one| stack::text(&one[0])).collect();
            ids.sort_by_key(|id| seed.instance_ids.iter().position(|known| known == id));
            ids
        };

        let more = format!("instance_ids = {}\nclient_cidr_blocks = [\"192.0.2.0/24\"]", json!(seed.instance_ids));
        change(aws, workspace, &stack::http(seed, &more));
        assert_eq!(targets(), seed.instance_ids);
        let rules = stack::rules(aws);
        assert!(rules.contains(&"from 192.0.2.0/24 tcp 80-80".to_owned()), "{rules:?}");
        assert!(!rules.iter().any(|rule| rule.contains("198.51.100.0/24")), "{rules:?}");

        change(aws, workspace, &stack::http(seed, ""));
        assert_eq!(targets(), seed.instance_ids[..1]);
    });
}

#[test]
fn http_becomes_https_in_place() {
    with_each_cli(|aws, workspace| {
        let seed = aws.seed();
        workspace.write("main.tf", &stack::http(seed, ""));
        workspace.apply().expect_success();
        change(aws, workspace, &stack::https(seed, ""));
        let ports: Vec<Value> = stack::listeners(aws).iter().map(|one| json!([one["port"], one["protocol"]])).collect();
        assert_eq!(ports, [json!([443, "HTTPS"]), json!([12443, "HTTPS"])]);
        let groups = aws.call("elbv2", "describe_target_groups", json!({}));
        assert_eq!(stack::list(&groups, "TargetGroups").len(), 2, "the cleartext target groups are gone");
    });
}

#[test]
fn http_becomes_https_in_place_where_clients_stay_on_their_instance() {
    with_each_cli(|aws, workspace| {
        let sticky = "api = { stickiness = { type = \"lb_cookie\" } }\n\
                      broadcaster = { stickiness = { type = \"app_cookie\", cookie_name = \"session\" } }";
        workspace.write("main.tf", &stack::http(aws.seed(), sticky));
        workspace.apply().expect_success();
        change(aws, workspace, &stack::https(aws.seed(), sticky));
    });
}

#[test]
fn the_certificate_is_rotated_in_place_on_both_listeners_and_then_the_old_one_can_be_deleted() {
    with_each_cli(|aws, workspace| {
        let seed = aws.seed();
        let more = format!("additional_certificate_arns = [{}]", json!(seed.wildcard_certificate_arn));
        workspace.write("main.tf", &stack::https(seed, &more));
        workspace.apply().expect_success();
        let old = [&seed.certificate_arn, &seed.wildcard_certificate_arn];
        for arn in old {
            let refused = aws.try_call("acm", "delete_certificate", json!({ "CertificateArn": arn }));
            assert_eq!(refused.expect_err("a certificate in use").code, "ResourceInUseException");
        }
        let rotated = stack::https(seed, "").replace(&seed.certificate_arn, &seed.issued_certificate_arn);
        workspace.write("main.tf", &rotated);
        let arn = stack::load_balancer(aws)["LoadBalancerArn"].clone();
        workspace.apply().expect_success();
        // As Terraform would in the same run, before anything else is asked of the provider.
        for arn in old {
            aws.call("acm", "delete_certificate", json!({ "CertificateArn": arn }));
        }
        assert_eq!(stack::load_balancer(aws)["LoadBalancerArn"], arn);
        for listener in stack::listeners(aws) {
            assert_eq!(listener["certificate"], json!(seed.issued_certificate_arn));
        }
        workspace.plan().expect_no_changes();
    });
}

#[test]
fn a_load_balancer_that_somebody_deleted_is_created_again() {
    with_each_cli(|aws, workspace| {
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        workspace.apply().expect_success();
        let arn = stack::load_balancer(aws)["LoadBalancerArn"].clone();
        aws.call("elbv2", "delete_load_balancer", json!({ "LoadBalancerArn": arn }));
        workspace.plan().expect_changes();
        workspace.apply().expect_success();
        assert_ne!(stack::load_balancer(aws)["LoadBalancerArn"], arn);
        workspace.plan().expect_no_changes();
    });
}

/// Two subnets of a VPC in which the account has nothing else.
fn subnets_of_another_vpc(aws: &Account) -> Value {
    let vpc = aws.call("ec2", "create_vpc", json!({ "CidrBlock": "10.1.0.0/16" }))["Vpc"]["VpcId"].clone();
    let subnet = |(number, zone): (usize, &str)| {
        let zone = format!("{}{zone}", aws.seed().region);
        let params = json!({ "VpcId": vpc, "CidrBlock": format!("10.1.{number}.0/24"), "AvailabilityZone": zone });
        aws.call("ec2", "create_subnet", params)["Subnet"]["SubnetId"].clone()
    };
    ["a", "b"].into_iter().enumerate().map(subnet).collect()
}

#[test]
fn another_name_scheme_or_vpc_replaces_the_load_balancer_and_the_plan_says_so_at_that_path() {
    with_each_cli(|aws, workspace| {
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        workspace.apply().expect_success();
        for (path, argument) in [
            ("name", "name = \"another-alb\"".to_owned()),
            ("scheme", "scheme = \"internal\"".to_owned()),
            ("vpc_id", format!("subnet_ids = {}", subnets_of_another_vpc(aws))),
        ] {
            // The other VPC has neither the instances nor a way out.
            let lenient = "provider \"codestream\" { preflight = \"warn\" }";
            let configuration = stack::http(aws.seed(), &argument).replace("provider \"codestream\" {}", lenient);
            workspace.write("main.tf", &configuration);
            workspace.plan().expect_changes();
            let change = workspace.planned()["resource_changes"][0]["change"].clone();
            assert_eq!(change["replace_paths"], json!([[path]]), "{argument}");
            assert_eq!(change["actions"], json!(["delete", "create"]), "{argument}");
        }
    });
}

/// Core takes no replacement that was no part of its plan, and would call it a bug in the provider.
#[test]
fn subnets_that_turn_out_to_be_of_another_vpc_are_refused_with_the_way_there() {
    with_each_cli(|aws, workspace| {
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        workspace.apply().expect_success();
        let source = format!("resource \"terraform_data\" \"subnets\" {{ input = {} }}", subnets_of_another_vpc(aws));
        let stack = stack::http(aws.seed(), "subnet_ids = terraform_data.subnets.output");
        workspace.write("main.tf", &format!("{stack}\n{source}\n"));
        let there = stack::inventory(aws);
        workspace.plan().expect_changes();
        let refused = workspace.apply().expect_error("set vpc_id to that");
        assert!(!refused.stderr.contains("bug in the provider"), "{}", refused.stderr);
        assert_eq!(stack::inventory(aws), there);
    });
}

#[test]
fn with_another_name_and_record_a_new_load_balancer_serves_before_the_old_one_goes() {
    with_each_cli(|aws, workspace| {
        let configuration = |name: &str, record: &str| {
            let zone = json!(aws.seed().zone_id);
            let arguments = format!(
                "name = \"{name}\"\ndns_record = {{ zone_id = {zone}, name = \"{record}.example.com\" }}\n\
                 lifecycle {{\n    create_before_destroy = true\n  }}"
            );
            stack::http(aws.seed(), &arguments)
        };
        workspace.write("main.tf", &configuration("first-alb", "first"));
        workspace.apply().expect_success();

        workspace.write("main.tf", &configuration("second-alb", "second"));
        aws.proxy().clear_calls();
        workspace.apply().expect_success();
        let calls = aws.proxy().calls();
        let place = |action: &str| calls.iter().position(|call| call.action == action).expect(action);
        // With the first a create ends: its targets are healthy, and its record is there.
        assert!(place("RemoveTags") < place("DeleteLoadBalancer"));
        assert_eq!(stack::load_balancer(aws)["LoadBalancerName"], "second-alb");
        let records = stack::list(&stack::inventory(aws), "dns_records");
        let leads = |name: &str| records.iter().any(|record| stack::text(&record["Name"]).starts_with(name));
        assert!(leads("second.") && !leads("first."), "{records:?}");
        workspace.plan().expect_no_changes();

        let there = stack::inventory(aws);
        workspace.write("main.tf", &configuration("third-alb", "second"));
        workspace.apply().expect_error("exists already");
        assert_eq!(stack::inventory(aws), there);

        // As the guide says: to core the old one is not the current one any more.
        workspace.write("main.tf", &configuration("second-alb", "second"));
        workspace.plan().expect_error("exists already");
        workspace.run(["state", "rm", "codestream_alb.onprem"]).expect_success();
        workspace.import("codestream_alb.onprem", "second-alb").expect_success();
        workspace.apply().expect_success();
        assert_eq!(stack::inventory(aws), there);
        workspace.plan().expect_no_changes();
    });
}

#[test]
fn a_protected_stack_is_not_replaced_even_when_asked_to() {
    with_each_cli(|aws, workspace| {
        workspace.write("main.tf", &stack::http(aws.seed(), "enable_deletion_protection = true"));
        workspace.apply().expect_success();
        let arguments = ["plan", "-no-color", "-replace=codestream_alb.onprem"];
        workspace.run(arguments).expect_error("would be replaced, but has deletion protection");
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        workspace.apply().expect_success();
        workspace.run(arguments).expect_success();
    });
}
