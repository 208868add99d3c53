//! Which values a plan does not know: a policy that reads plans must be able to rely on all the others.

use std::collections::BTreeSet;

use acceptance_tests::{Workspace, with_each_cli};
use serde_json::{Value, json};

use crate::cluster::cluster;
use crate::stack;

/// What AWS invents when it makes the objects, and `ready`, which is about instances that nobody has probed yet.
const MADE_BY_AWS: [&str; 10] = [
    "api.listener_arn",
    "api.target_group_arn",
    "arn",
    "broadcaster.listener_arn",
    "broadcaster.target_group_arn",
    "dns_name",
    "hosted_zone_id",
    "id",
    "ready",
    "security_group_id",
];

/// What has the load balancer's own DNS name in it when there is no other host name.
const OF_THE_DNS_NAME: [&str; 6] =
    ["api.url", "api_url", "broadcaster.url", "broadcaster_url", "hostname", "services_config"];

/// The same of a cluster.
const MADE_FOR_A_CLUSTER: [&str; 12] = [
    "ami_id",
    "arn",
    "dns_name",
    "hosted_zone_id",
    "http_listener_arn",
    "id",
    "node_security_group_id",
    "nodes",
    "ready",
    "security_group_id",
    "target_group_arn",
    "topology.target_groups[0].instance_ids",
];

/// What is of a cache that is made with the cluster, or has its host name in it.
const OF_THE_CACHE: [&str; 5] =
    ["cache_arn", "cache_endpoint", "cache_security_group_id", "config_yaml", "user_data_sha256"];

/// The paths of the unknown values of the only resource of the last plan.
#[track_caller]
fn unknown(workspace: &Workspace) -> BTreeSet<String> {
    let plan = workspace.planned();
    assert_eq!(stack::list(&plan, "resource_changes").len(), 1);
    let mut paths = BTreeSet::new();
    collect(&plan["resource_changes"][0]["change"]["after_unknown"], "", &mut paths);
    paths
}

fn collect(value: &Value, path: &str, paths: &mut BTreeSet<String>) {
    match value {
        Value::Bool(true) => {
            paths.insert(path.to_owned());
        }
        Value::Object(entries) => {
            for (name, value) in entries {
                let dot = if path.is_empty() { "" } else { "." };
                collect(value, &format!("{path}{dot}{name}"), paths);
            }
        }
        Value::Array(elements) => {
            for (index, value) in elements.iter().enumerate() {
                collect(value, &format!("{path}[{index}]"), paths);
            }
        }
        _ => {}
    }
}

fn expected(parts: &[&[&str]]) -> BTreeSet<String> {
    parts.concat().into_iter().map(str::to_owned).collect()
}

#[test]
fn the_plan_of_a_create_knows_all_but_what_aws_makes() {
    with_each_cli(|aws, workspace| {
        let seed = aws.seed();
        let hostname = format!("hostname = {}", json!(seed.hostname));
        let everything = format!(
            "redirect_http = true\nhealth_check = {{ interval = 20 }}\napi = {{ stickiness = {{ type = \"lb_cookie\" }} \
             }}\naccess_logs = {{ bucket = \"logs\" }}\ndns_record = {{ zone_id = {} }}\ntags = {{ team = \"a\" }}\n\
             instance_security_group_id = {}",
            json!(seed.zone_id),
            json!(seed.instance_security_group_id),
        );
        let nothing: &[&str] = &[];
        for (configuration, also) in [
            (stack::https(seed, ""), nothing),
            (stack::https(seed, &everything), nothing),
            (stack::http(seed, &hostname), nothing),
            (stack::http(seed, ""), &OF_THE_DNS_NAME[..]),
        ] {
            workspace.write("main.tf", &configuration);
            workspace.plan().expect_changes();
            assert_eq!(unknown(workspace), expected(&[&MADE_BY_AWS, also]), "{configuration}");
        }
    });
}

#[test]
fn the_plan_of_a_cluster_knows_all_but_what_aws_makes_and_the_newest_image() {
    with_each_cli(|aws, workspace| {
        let (certificate, hostname) = (json!(aws.seed().certificate_arn), json!(aws.seed().hostname));
        let encrypted = format!("certificate_arn = {certificate}\nhostname = {hostname}");
        let existing = "cache = { endpoint = \"redis.example.com:6379\" }";
        let cases: [(&str, &[&str], &[&str]); 3] = [
            ("", &OF_THE_CACHE, &["hostname", "url"]),
            (&encrypted, &OF_THE_CACHE, &["https_listener_arn"]),
            (existing, &[], &["hostname", "url"]),
        ];
        for (more, of_the_cache, also) in cases {
            workspace.write("main.tf", &cluster(aws.seed(), more));
            workspace.plan().expect_changes();
            assert_eq!(unknown(workspace), expected(&[&MADE_FOR_A_CLUSTER, of_the_cache, also]), "{more}");
        }
    });
}

#[test]
fn the_plan_of_an_update_keeps_what_is_known() {
    with_each_cli(|aws, workspace| {
        workspace.write("main.tf", &stack::https(aws.seed(), ""));
        workspace.apply().expect_success();
        workspace.write("main.tf", &stack::https(aws.seed(), "idle_timeout = 120"));
        workspace.plan().expect_changes();
        assert_eq!(unknown(workspace), expected(&[&["ready"]]));
    });
}

#[test]
fn without_preflight_a_plan_needs_neither_credentials_nor_a_network() {
    with_each_cli(|aws, workspace| {
        let endpoint = json!(aws.proxy().url());
        let provider = format!("provider \"codestream\" {{\n  preflight = \"off\"\n  endpoint_url = {endpoint}\n}}");
        let configuration = stack::https(aws.seed(), "").replace("provider \"codestream\" {}", &provider);
        workspace.write("main.tf", &configuration);
        let mut command = workspace.command(["plan", "-no-color", "-detailed-exitcode", "-out", "plan.tfplan"]);
        let settings: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        for name in settings.iter().filter(|name| name.to_string_lossy().starts_with("AWS_")) {
            command.env_remove(name);
        }
        let output = command.output().expect("a CLI that was found can be started");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert_eq!(unknown(workspace), expected(&[&MADE_BY_AWS, &["vpc_id"]]));
        assert!(aws.proxy().calls().is_empty(), "{:?}", aws.proxy().calls());
    });
}
