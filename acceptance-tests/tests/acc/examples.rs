//! Every configuration among the examples does what it says, and functions and data sources answer real Terraform.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use acceptance_tests::{Account, Workspace, unframed, with_each_cli};
use serde_json::{Value, json};

use crate::{policy, stack, takeover};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The directories of examples with a configuration in them, by their path below `examples`.
fn examples() -> BTreeSet<String> {
    fn collect(directory: &Path, found: &mut BTreeSet<PathBuf>) {
        for entry in fs::read_dir(directory).expect("a directory that can be read") {
            let path = entry.expect("a directory that can be read").path();
            if path.is_dir() {
                collect(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "tf") {
                found.insert(directory.to_owned());
            }
        }
    }
    let mut found = BTreeSet::new();
    collect(&directory(), &mut found);
    let below = |path: &PathBuf| path.strip_prefix(directory()).expect("a path below").display().to_string();
    found.iter().map(below).collect()
}

/// Copies an example's files, with the objects of an account in place of those that it names.
pub(crate) fn copy(workspace: &Workspace, example: &str, replacements: &[(&str, &str)]) {
    for entry in fs::read_dir(directory().join(example)).expect("an example") {
        let path = entry.expect("a directory that can be read").path();
        if path.is_dir() {
            continue;
        }
        let mut text = fs::read_to_string(&path).expect("a file of text");
        for (made_up, real) in replacements {
            assert!(text.contains(made_up), "there is no {made_up} in {}", path.display());
            text = text.replace(made_up, real);
        }
        let name = path.file_name().expect("a file has a name").to_string_lossy();
        workspace.write(&name, &text);
    }
}

#[test]
fn every_example_does_what_it_says() {
    with_each_cli(|_, workspace| {
        for example in examples() {
            let aws = Account::new().expect("an AWS account");
            let workspace = workspace.another(&aws).expect("a workspace");
            match example.as_str() {
                "complete/discovered" => discovered(&aws, &workspace, &example),
                "complete/from-cloudformation" => takeover::example(&aws, &workspace, &example),
                "data-sources/codestream_alb" => data_of_a_load_balancer(&aws, &workspace, &example),
                "data-sources/codestream_certificate" => data_of_a_certificate(&aws, &workspace, &example),
                "data-sources/codestream_instance" => data_of_an_instance(&aws, &workspace, &example),
                "demo/http" | "demo/https" => demo(&aws, &workspace, &example),
                "functions/deepstream_config" => {
                    let config = function(&workspace, &example, "config_yml");
                    assert!(config.contains("realtime.abc123.0001.use1.cache.amazonaws.com"), "{config}");
                    assert!(config.contains("https://login.mycompany.com/deepstream"), "{config}");
                }
                "functions/merge_services_config" => {
                    let merged = "{\n\t\"apiServer\": {\n\t\t\"port\": 443,\n\t\t\"ignoreHttps\": false,\n\t\t\
                                  \"publicApiUrl\": \"https://codestream.mycompany.com\"\n\t}\n}\n";
                    assert_eq!(function(&workspace, &example, "services_config"), merged);
                }
                "functions/topology_diagram" => {
                    let diagram = function(&workspace, &example, "diagram");
                    assert!(diagram.starts_with("flowchart LR\n"), "{diagram}");
                    assert!(diagram.contains("i-0123456789abcdef0"), "{diagram}");
                }
                "policy/terraform-test" => {
                    policy::run_terraform_test(&workspace, &json!({}), &[]).expect_success();
                    assert!(aws.proxy().calls().is_empty(), "{:?}", aws.proxy().calls());
                }
                "provider" => {
                    copy(&workspace, &example, &[]);
                    workspace.plan().expect_no_changes();
                }
                "resources/codestream_alb" => resource(&aws, &workspace, &example),
                "resources/codestream_deepstream_cluster" => cluster(&aws, &workspace, &example),
                other => panic!("examples/{other} is not tried out: say here what it does"),
            }
        }
    });
}

/// Creates, finds nothing to do, and destroys without a trace. The outputs are those in between.
#[track_caller]
fn live(aws: &Account, workspace: &Workspace) -> Value {
    let before = stack::inventory(aws);
    workspace.apply().expect_success();
    workspace.plan().expect_no_changes();
    let outputs = workspace.outputs();
    workspace.destroy().expect_success();
    assert_eq!(stack::inventory(aws), before);
    outputs
}

fn resource(aws: &Account, workspace: &Workspace, example: &str) {
    let seed = aws.seed();
    let made_up = [
        ("subnet-0123456789abcdef0", &seed.public_subnet_ids[0]),
        ("subnet-0123456789abcdef1", &seed.public_subnet_ids[1]),
        ("i-0123456789abcdef0", &seed.instance_ids[0]),
        ("arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012", &seed.certificate_arn),
        ("codestream.mycompany.com", &seed.hostname),
    ];
    for file in ["resource.tf", "http.tf", "postcondition.tf"] {
        let path = directory().join(example).join(file);
        let mut text = fs::read_to_string(&path).expect("a file of text");
        for (example, real) in made_up {
            text = text.replace(example, real);
        }
        workspace.write(file, &text);
    }
    live(aws, workspace);
}

fn cluster(aws: &Account, workspace: &Workspace, example: &str) {
    let seed = aws.seed();
    let path = directory().join(example).join("resource.tf");
    let mut text = fs::read_to_string(&path).expect("a file of text");
    for (example, real) in [
        ("subnet-0123456789abcdef0", &seed.public_subnet_ids[0]),
        ("subnet-0123456789abcdef1", &seed.public_subnet_ids[1]),
        ("arn:aws:acm:us-east-1:123456789012:certificate/12345678-1234-1234-1234-123456789012", &seed.certificate_arn),
        ("codestream.mycompany.com", &seed.hostname),
    ] {
        text = text.replace(example, real);
    }
    workspace.write("resource.tf", &text);
    let outputs = live(aws, workspace);
    assert_eq!(outputs["url"], format!("wss://{}", seed.hostname));
}

fn discovered(aws: &Account, workspace: &Workspace, example: &str) {
    let seed = aws.seed();
    copy(workspace, example, &[]);
    let values = json!({
        "instance_id": seed.instance_ids[0],
        "hostname": seed.hostname,
        "client_cidr_block": "198.51.100.0/24",
    });
    workspace.write("terraform.tfvars.json", &values.to_string());
    let outputs = live(aws, workspace);
    let diagram = stack::text(&outputs["diagram"]);
    for part in ["flowchart LR\n", &seed.instance_ids[0], "198.51.100.0/24", &seed.nat_public_ip] {
        assert!(diagram.contains(part), "{part} is not in\n{diagram}");
    }
    let patch: Value = serde_json::from_str(&stack::text(&outputs["services_config"])).expect("JSON");
    assert_eq!(patch["broadcastEngine"]["codestreamBroadcaster"]["host"], json!(seed.hostname));
}

fn demo(aws: &Account, workspace: &Workspace, example: &str) {
    let seed = aws.seed();
    copy(workspace, example, &[]);
    let mut values = json!({
        "subnet_ids": seed.public_subnet_ids[..2],
        "instance_ids": seed.instance_ids[..1],
        "client_cidr_blocks": ["198.51.100.0/24"],
        "instance_cidr_blocks": [format!("{}/32", seed.nat_public_ip)],
    });
    if example.ends_with("https") {
        values["certificate_arn"] = json!(seed.certificate_arn);
        values["hostname"] = json!(seed.hostname);
    }
    workspace.write("terraform.tfvars.json", &values.to_string());
    assert_eq!(live(aws, workspace)["ready"], true);
}

fn data_of_an_instance(aws: &Account, workspace: &Workspace, example: &str) {
    let seed = aws.seed();
    copy(workspace, example, &[("i-0123456789abcdef0", &seed.instance_ids[0])]);
    workspace.apply().expect_success();
    let outputs = workspace.outputs();
    assert_eq!(outputs["public_subnet_ids"], json!(seed.public_subnet_ids));
    assert_eq!(outputs["egress_cidr_blocks"], json!([format!("{}/32", seed.nat_public_ip)]));
    assert!(aws.proxy().mutating_calls().is_empty(), "{:?}", aws.proxy().mutating_calls());
}

fn data_of_a_certificate(aws: &Account, workspace: &Workspace, example: &str) {
    let seed = aws.seed();
    copy(workspace, example, &[("codestream.mycompany.com", &seed.hostname)]);
    workspace.apply().expect_success();
    let outputs = workspace.outputs();
    // The seed has two that are valid for ten years.
    let arn = stack::text(&outputs["certificate_arn"]);
    assert!([&seed.certificate_arn, &seed.wildcard_certificate_arn].contains(&&arn), "{arn}");
    let expires = stack::text(&outputs["certificate_expires"]);
    assert!(expires.len() == "2026-11-20T12:00:00Z".len() && expires.ends_with('Z'), "{expires}");
}

fn data_of_a_load_balancer(aws: &Account, workspace: &Workspace, example: &str) {
    let owner = workspace.another(aws).expect("a workspace");
    owner.write("main.tf", &stack::http(aws.seed(), ""));
    owner.apply().expect_success();
    copy(workspace, example, &[]);
    let healthy = workspace.apply().expect_success();
    assert!(!healthy.stdout.contains("Check block assertion failed"), "{}", healthy.stdout);
    let state = owner.attributes("codestream_alb", "onprem");
    assert_eq!(workspace.outputs()["api_target_group_arn"], state["api"]["target_group_arn"]);

    let instance = &aws.seed().instance_ids[0];
    let ill = json!({ "state": "unhealthy", "reason": "Target.Timeout", "description": "Request timed out" });
    aws.configure(json!({ "health": { instance.as_str(): ill } }));
    let said = unframed(&workspace.run(["plan", "-no-color"]).expect_success().stdout);
    for part in ["Check block assertion failed", &format!("api on {instance}:80 is unhealthy: Request timed out")] {
        assert!(said.contains(part), "{part} is not in\n{said}");
    }
}

/// The output of an example that only calls a function: without asking AWS anything.
fn function(workspace: &Workspace, example: &str, output: &str) -> String {
    copy(workspace, example, &[]);
    workspace.apply().expect_success();
    stack::text(&workspace.outputs()[output])
}

#[test]
fn functions_take_what_a_plan_knows_and_wait_for_the_rest() {
    with_each_cli(|aws, workspace| {
        let seed = aws.seed();
        let existing =
            "{\n\t\"apiServer\": {\n\t\t\"port\": 80,\n\t\t\"theirs\": [1, 2,\t3]\n\t},\n\t\"rate\": 1.50\n}\n";
        workspace.write("codestream-services-config.json", existing);
        let known = stack::https(seed, "");
        let unknown = stack::https(seed, "name = \"later\"\ninstance_ids = terraform_data.instances.output");
        let unknown = unknown.replace(stack::HEADER, "").replace("\"onprem\"", "\"later\"");
        let more = format!(
            "resource \"terraform_data\" \"instances\" {{\n  input = {}\n}}\n\
             output \"known\" {{\n  value = provider::codestream::topology_diagram(codestream_alb.onprem.topology)\n}}\n\
             output \"later\" {{\n  value = provider::codestream::topology_diagram(codestream_alb.later.topology)\n}}\n\
             output \"merged\" {{\n  value = provider::codestream::merge_services_config(\
             file(\"codestream-services-config.json\"), codestream_alb.onprem.services_config)\n}}\n\
             output \"config\" {{\n  value = provider::codestream::deepstream_config({{ redis = {{ host = \
             terraform_data.instances.output[0] }} }})\n}}\n",
            json!(seed.instance_ids[..1]),
        );
        workspace.write("main.tf", &format!("{known}{unknown}{more}"));
        workspace.plan().expect_changes();
        let plan = workspace.planned();
        let planned = |output: &str| plan["output_changes"][output].clone();
        for output in ["later", "config"] {
            assert_eq!(planned(output)["after_unknown"], true, "{output}");
        }
        let hostname = &seed.hostname;
        let merged = format!(
            "{{\n\t\"apiServer\": {{\n\t\t\"port\": 443,\n\t\t\"theirs\": [1, 2,\t3],\n\t\t\"ignoreHttps\": false,\n\t\t\
             \"publicApiUrl\": \"https://{hostname}\"\n\t}},\n\t\"rate\": 1.50,\n\t\"broadcastEngine\": {{\n\t\t\
             \"codestreamBroadcaster\": {{\n\t\t\t\"host\": \"{hostname}\",\n\t\t\t\"ignoreHttps\": false,\n\t\t\t\
             \"port\": 12443\n\t\t}}\n\t}},\n\t\"ssl\": {{\n\t\t\"certfile\": \"/opt/config/cert.pem\",\n\t\t\
             \"keyfile\": \"/opt/config/key.pem\"\n\t}}\n}}\n"
        );
        assert_eq!(planned("merged")["after"], json!(merged));
        let diagram = stack::text(&planned("known")["after"]);
        assert!(diagram.contains(&seed.instance_ids[0]) && diagram.contains("HTTPS 12443"), "{diagram}");

        workspace.apply().expect_success();
        let outputs = workspace.outputs();
        assert_eq!(outputs["known"], json!(diagram), "what was planned came about");
        assert!(stack::text(&outputs["later"]).contains(&seed.instance_ids[0]), "{}", outputs["later"]);
        assert!(stack::text(&outputs["config"]).contains(&seed.instance_ids[0]), "{}", outputs["config"]);
    });
}
