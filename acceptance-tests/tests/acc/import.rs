//! A stack of the provider's own comes under its care again, in another state.

use acceptance_tests::{Account, Workspace, with_each_cli};
use serde_json::json;

use crate::{cluster, stack};

const ADDRESS: &str = "codestream_alb.onprem";

/// Makes a stack, and imports it elsewhere by its name and by its ARN.
fn comes_back(aws: &Account, workspace: &Workspace, configuration: &str, address: &str, name: &str) {
    let (kind, label) = address.split_once('.').expect("the address of a resource");
    workspace.write("main.tf", configuration);
    workspace.apply().expect_success();
    let arn = stack::text(&stack::load_balancer(aws)["LoadBalancerArn"]);
    for id in [name, arn.as_str()] {
        let importing = workspace.another(aws).expect("a workspace");
        importing.write("main.tf", configuration);
        importing.import(address, id).expect_success();
        assert_eq!(importing.attributes(kind, label)["arn"], json!(arn));
        importing.plan().expect_no_changes();
    }
}

#[test]
fn a_stack_of_ours_is_imported_by_name_and_by_arn_and_plans_empty() {
    with_each_cli(|aws, workspace| {
        comes_back(aws, workspace, &stack::http(aws.seed(), ""), ADDRESS, "codestream-alb");
    });
}

#[test]
fn a_cluster_is_imported_by_name_and_by_arn_and_plans_empty() {
    let address = format!("{}.realtime", cluster::TYPE);
    with_each_cli(|aws, workspace| {
        comes_back(aws, workspace, &cluster::cluster(aws.seed(), ""), &address, "realtime");
    });
}

#[test]
fn the_configuration_generated_by_an_import_block_plans_clean() {
    with_each_cli(|aws, workspace| {
        let plain = stack::http(aws.seed(), "name = \"CodeStream-Plain\"");
        let rich = "redirect_http = true\ntags = { team = \"one\" }\naccess_logs = { bucket = \"my-logs\" }\n\
                    api = { stickiness = { type = \"app_cookie\", cookie_name = \"session\" } }";
        for (name, configuration) in [("CodeStream-Plain", plain), ("codestream-alb", stack::https(aws.seed(), rich))] {
            let making = workspace.another(aws).expect("a workspace");
            making.write("main.tf", &configuration);
            making.apply().expect_success();
            let importing = workspace.another(aws).expect("a workspace");
            let block = format!("{}\nimport {{\n  to = {ADDRESS}\n  id = \"{name}\"\n}}\n", stack::HEADER);
            importing.write("main.tf", &block);
            let generate = ["plan", "-no-color", "-generate-config-out=generated.tf", "-out=plan.tfplan"];
            importing.run(generate).expect_success();
            let actions = &importing.planned()["resource_changes"][0]["change"]["actions"];
            assert_eq!(*actions, json!(["no-op"]), "{name}");
            importing.apply().expect_success();
            importing.plan().expect_no_changes();
        }
    });
}

#[test]
fn importing_what_does_not_exist_is_an_error_that_names_it() {
    with_each_cli(|aws, workspace| {
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        workspace.import(ADDRESS, "no-such-thing").expect_error("no-such-thing");
    });
}
