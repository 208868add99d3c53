//! Secrets stay where the user has put them: they are in no log, however loud, no plan, no state and no message.

use std::fs;

use acceptance_tests::{Account, Fault, Rule, Workspace, unframed, with_each_cli};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::{cluster, nodes, user_data};
use crate::stack;

const ACCESS_KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET_KEY: &str = "marker-of-a-secret-key";
const TOKEN: &str = "marker-of-a-session-token";
/// What is in the host's configuration file.
const PASSWORD: &str = "marker-of-a-password";
/// What is in the parameter that the cache has its token from.
const TOKEN_OF_REDIS: &str = "marker-of-a-token-of-redis";

/// What there is to say: a stack, what the data sources tell of what it stands on, and a merge of the host's file of
/// which only the length is told.
fn configuration(aws: &Account, provider_block: &str, variables: &str) -> String {
    let seed = aws.seed();
    let block = format!("provider \"codestream\" {{\n{provider_block}\n}}");
    let stack = stack::http(seed, "").replace("provider \"codestream\" {}", &block);
    let (instance, hostname) = (json!(seed.instance_ids[0]), json!(seed.hostname));
    format!(
        "{variables}{stack}\n\
         data \"codestream_instance\" \"host\" {{\n  instance_id = {instance}\n}}\n\
         data \"codestream_certificate\" \"host\" {{\n  hostname = {hostname}\n}}\n\
         data \"codestream_alb\" \"made\" {{\n  arn = codestream_alb.onprem.arn\n}}\n\
         output \"length\" {{\n  sensitive = true\n  value = length(provider::codestream::merge_services_config(\
         sensitive(file(\"host.json\")), codestream_alb.onprem.services_config))\n}}\n"
    )
}

/// Runs a command with a trace of all of it, and returns what it said.
fn traced(workspace: &Workspace, environment: &[(&str, &str)], arguments: &[&str], code: i32) -> [String; 2] {
    let log = workspace.directory().join("trace.log");
    let mut command = workspace.command(arguments);
    command.env("TF_LOG", "trace").env("TF_LOG_PATH", log).envs(environment.iter().copied());
    let output = command.output().expect("the CLI starts");
    let [stdout, stderr] = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned());
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{stdout}\n{stderr}");
    [stdout, stderr]
}

/// Goes through a create that fails, one that does not, a plan, a merge that fails and a destroy. All that came of it,
/// each part with its name.
fn live(aws: &Account, workspace: &Workspace, environment: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    let run = |arguments: &[&str], code: i32| traced(workspace, environment, arguments, code);
    let host = json!({ "apiServer": { "port": 80 }, "password": PASSWORD }).to_string();
    workspace.write("host.json", &host);
    aws.proxy().inject(Rule::on("CreateListener", Fault::Fail(403, "AccessDenied")));
    let mut said = created_at_last(workspace, environment);
    let mut left = left(workspace, environment);
    workspace.write("host.json", &host.replace('}', ",}"));
    let refused = run(&["plan", "-no-color"], 1);
    let reason = unframed(&refused[1]);
    assert!(reason.contains("Is not valid JSON"), "{reason}");
    workspace.write("host.json", &host);
    let destroyed = run(&["destroy", "-no-color", "-auto-approve"], 0);
    said.extend([refused, destroyed].into_iter().flatten());
    left.extend([("the messages", said.join("\n")), ("the log", log(workspace))]);
    left
}

/// What an apply says that fails, and the next one, which does not.
fn created_at_last(workspace: &Workspace, environment: &[(&str, &str)]) -> Vec<String> {
    let apply = ["apply", "-no-color", "-auto-approve"];
    let failed = traced(workspace, environment, &apply, 1);
    let reason = unframed(&failed[1]);
    assert!(reason.contains("AccessDenied"), "{reason}");
    // AWS has quoted the token, and whoever hands one over gets that without it.
    assert!(!reason.contains("x-amz-security-token") || reason.contains("x-amz-security-token:***"), "{reason}");
    [failed, traced(workspace, environment, &apply, 0)].into_iter().flatten().collect()
}

/// A plan, in words and as it is saved, and the state, each part with its name.
fn left(workspace: &Workspace, environment: &[(&str, &str)]) -> Vec<(&'static str, String)> {
    let run = |arguments: &[&str]| traced(workspace, environment, arguments, 0);
    let planned = run(&["plan", "-no-color", "-out=plan.tfplan"]);
    let [plan, _] = run(&["show", "-json", "plan.tfplan"]);
    let [shown, _] = run(&["show", "-json"]);
    let state = fs::read_to_string(workspace.directory().join("terraform.tfstate")).expect("a state");
    let mut plan: Value = serde_json::from_str(&plan).expect("a plan");
    for repeated in ["configuration", "variables"] {
        // Here Terraform repeats what the user has written.
        plan.as_object_mut().expect("an object").remove(repeated);
    }
    vec![
        ("the plan as shown", planned.join("\n")),
        ("the plan", plan.to_string()),
        ("the state as shown", shown),
        ("the private state", private(&state)),
        ("the state", state),
    ]
}

/// Everything that was logged so far.
fn log(workspace: &Workspace) -> String {
    let log = fs::read_to_string(workspace.directory().join("trace.log")).expect("a log");
    assert!(log.contains("provider.terraform-provider-codestream: "), "no log of ours");
    log
}

/// What the provider keeps beside the state of each object.
fn private(state: &str) -> String {
    let state: Value = serde_json::from_str(state).expect("a state in JSON");
    let resources = stack::list(&state, "resources");
    let instances = resources.iter().flat_map(|resource| stack::list(resource, "instances"));
    let kept = instances.filter_map(|instance| STANDARD.decode(instance["private"].as_str()?).ok());
    let kept: Vec<String> = kept.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect();
    assert!(kept.iter().any(|text| text.contains("resource_id")), "no private state of ours: {kept:?}");
    kept.join("\n")
}

/// Hands the secrets over in one way, and looks for them everywhere.
fn look_for_secrets(provider_block: &str, variables: &str, environment: &[(&str, &str)]) {
    with_each_cli(|aws, workspace| {
        workspace.write("main.tf", &configuration(aws, provider_block, variables));
        for (place, text) in live(aws, workspace, environment) {
            for secret in [ACCESS_KEY, SECRET_KEY, TOKEN, PASSWORD] {
                assert_eq!(text.lines().find(|line| line.contains(secret)), None, "{secret} is in {place}");
            }
        }
    });
}

#[test]
fn secrets_of_the_provider_block_are_nowhere_to_be_read() {
    let block = format!("access_key = {ACCESS_KEY:?}\nsecret_key = {SECRET_KEY:?}\ntoken = {TOKEN:?}");
    look_for_secrets(&block, "", &[]);
}

#[test]
fn secrets_in_sensitive_variables_are_nowhere_to_be_read() {
    let names = ["access_key", "secret_key", "token"];
    let block: String = names.iter().map(|name| format!("  {name} = var.{name}\n")).collect();
    let variables: String =
        names.iter().map(|name| format!("variable \"{name}\" {{\n  type = string\n  sensitive = true\n}}\n")).collect();
    let values = [("TF_VAR_access_key", ACCESS_KEY), ("TF_VAR_secret_key", SECRET_KEY), ("TF_VAR_token", TOKEN)];
    look_for_secrets(&block, &variables, &values);
}

#[test]
fn secrets_of_the_environment_are_nowhere_to_be_read() {
    let variables =
        [("AWS_ACCESS_KEY_ID", ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", SECRET_KEY), ("AWS_SESSION_TOKEN", TOKEN)];
    look_for_secrets("", "", &variables);
}

#[test]
fn the_token_of_redis_goes_from_its_parameter_to_the_cache_and_is_nowhere_else() {
    with_each_cli(|aws, workspace| {
        let token = json!({ "Name": "/realtime/token", "Value": TOKEN_OF_REDIS, "Type": "SecureString" });
        aws.call("ssm", "put_parameter", token);
        aws.call("iam", "create_instance_profile", json!({ "InstanceProfileName": "realtime" }));
        let arguments = "cache = { auth_token_parameter = \"/realtime/token\" }\niam_instance_profile = \"realtime\"";
        workspace.write("main.tf", &cluster(aws.seed(), arguments));
        aws.proxy().inject(Rule::on("CreateReplicationGroup", Fault::Fail(403, "AccessDenied")));
        let mut said = created_at_last(workspace, &[]);
        let mut left = left(workspace, &[]);
        let caches = aws.call("elasticache", "describe_replication_groups", json!({}));
        assert_eq!(caches["ReplicationGroups"][0]["AuthTokenEnabled"], true, "{caches}");
        for node in nodes(aws) {
            let data = user_data(aws, &node);
            assert!(data.contains("/realtime/token"), "{data}");
            left.push(("the user data", data));
        }
        said.extend(traced(workspace, &[], &["destroy", "-no-color", "-auto-approve"], 0));
        left.extend([("the messages", said.join("\n")), ("the log", log(workspace))]);
        for (place, text) in left {
            assert_eq!(text.lines().find(|line| line.contains(TOKEN_OF_REDIS)), None, "it is in {place}");
        }
    });
}
