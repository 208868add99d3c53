//! The policy in `examples/iam` allows what the provider calls, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use acceptance_tests::{Account, Workspace, with_each_cli};
use serde_json::{Value, json};

use crate::cluster::{cluster, instances};
use crate::stack::{self, list, text};

const POLICY: &str = include_str!("../../../examples/iam/policy.json");

/// What AWS wants allowed along with calls of the provider ("Elastic Load Balancing API permissions" in its guide; the
/// last but two as its refusals of `CreateLoadBalancer` say), with the first `CreateReplicationGroup` of an account
/// ("Using Service-Linked Roles" in ElastiCache's), and with `RunInstances` where instances get a profile. No call of the
/// provider shows it.
const ASKED_FOR_BY_AWS: [&str; 6] = [
    "ec2:DescribeAccountAttributes",
    "ec2:DescribeAddresses",
    "ec2:DescribeInternetGateways",
    "ec2:GetSecurityGroupsForVpc",
    "iam:CreateServiceLinkedRole",
    "iam:PassRole",
];

/// What AWS lets everybody do.
const ALLOWED_ANYWAY: &str = "sts:GetCallerIdentity";

fn allowed() -> BTreeSet<String> {
    let policy: Value = serde_json::from_str(POLICY).expect("a policy in JSON");
    let statements = list(&policy, "Statement");
    statements.iter().flat_map(|statement| list(statement, "Action")).map(|action| text(&action)).collect()
}

fn called(aws: &Account) -> BTreeSet<String> {
    aws.proxy().calls().iter().map(|call| format!("{}:{}", call.service, call.action)).collect()
}

/// Every call that there is code for: each is named by its action there.
fn possible() -> BTreeSet<String> {
    let sdk = Path::new(env!("CARGO_MANIFEST_DIR")).join("../provider/src/aws/sdk");
    let mut actions = BTreeSet::new();
    for file in fs::read_dir(sdk).expect("the provider's calls") {
        let source = fs::read_to_string(file.expect("a directory that can be read").path()).expect("a file of text");
        actions.extend(source.split('"').filter(|literal| is_action(literal)).map(str::to_owned));
    }
    actions
}

/// Whether a text is like `ec2:DescribeVpcs`.
fn is_action(text: &str) -> bool {
    text.split_once(':').is_some_and(|(service, action)| {
        !service.is_empty()
            && service.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
            && action.starts_with(|c: char| c.is_ascii_uppercase())
            && action.chars().all(|c| c.is_ascii_alphanumeric())
    })
}

/// An HTTPS stack in the only account that may be changed.
fn guarded(aws: &Account, arguments: &str) -> String {
    let guard = format!("provider \"codestream\" {{\n  allowed_account_ids = [{}]\n}}", json!(aws.seed().account));
    stack::https(aws.seed(), arguments).replace("provider \"codestream\" {}", &guard)
}

/// Makes, changes, imports, reads and destroys a stack so that every call is needed.
fn live(aws: &Account, workspace: &Workspace) {
    let seed = aws.seed();
    let instances = format!("instance_security_group_id = {}", json!(seed.instance_security_group_id));
    let with_everything = format!(
        "{instances}\nadditional_certificate_arns = [{}]\ndns_record = {{ zone_id = {} }}\ntags = {{ team = \"a\" }}",
        json!(seed.wildcard_certificate_arn),
        json!(seed.zone_id),
    );
    workspace.write("main.tf", &guarded(aws, &with_everything));
    workspace.apply().expect_success();

    meddle(aws, &workspace.attributes("codestream_alb", "onprem"));
    let changed = format!(
        "{instances}\nadditional_certificate_arns = [{}]\nclient_cidr_blocks = [\"192.0.2.0/24\"]\n\
         api = {{ listener_port = 8443, target_port = 8443 }}\nhealth_check = {{ interval = 20 }}\n\
         idle_timeout = 120\nsubnet_ids = {}\ntags = {{ stage = \"test\" }}",
        json!(seed.issued_certificate_arn),
        json!(seed.public_subnet_ids),
    );
    workspace.write("main.tf", &guarded(aws, &changed));
    workspace.apply().expect_success();

    let unheard_of = "ssl_policy = \"ELBSecurityPolicy-TLS14-2031-01\"";
    workspace.write("main.tf", &guarded(aws, &format!("{instances}\n{unheard_of}")));
    workspace.plan().expect_error("The TLS policy does not exist");

    let group = json!({ "GroupName": "own", "Description": "Somebody's own", "VpcId": seed.vpc_id });
    let group = aws.call("ec2", "create_security_group", group)["GroupId"].clone();
    let with_own_group =
        format!("security_group_ids = [{group}]\nclient_cidr_blocks = null\ninstance_cidr_blocks = null");
    workspace.write("main.tf", &guarded(aws, &with_own_group));
    workspace.apply().expect_success();

    workspace.run(["state", "rm", "codestream_alb.onprem"]).expect_success();
    workspace.import("codestream_alb.onprem", "codestream-alb").expect_success();
    let data = format!(
        "data \"codestream_instance\" \"host\" {{\n  instance_id = {}\n}}\n\
         data \"codestream_certificate\" \"codestream\" {{\n  hostname = {}\n}}\n\
         data \"codestream_alb\" \"onprem\" {{\n  name = codestream_alb.onprem.name\n}}\n",
        json!(seed.instance_ids[0]),
        json!(seed.hostname),
    );
    workspace.write("data.tf", &data);
    workspace.apply().expect_success();
    workspace.destroy().expect_success();
}

/// Makes, changes and destroys a cluster so that every call is needed.
fn live_as_a_cluster(aws: &Account, workspace: &Workspace) {
    let subnets = &aws.seed().public_subnet_ids;
    for (nodes_in, cache, tag) in [
        (&subnets[..2], "{ node_type = \"cache.t3.micro\" }", "team"),
        (&subnets[1..3], "{ node_type = \"cache.t3.small\", replica_count = 1 }", "stage"),
        (&subnets[1..3], "{ node_type = \"cache.t3.small\", replica_count = 0 }", "stage"),
    ] {
        let (all, nodes_in) = (json!(subnets), json!(nodes_in));
        let places = format!("subnet_ids = {all}\nnode_subnet_ids = {nodes_in}");
        let arguments = format!("{places}\ncache = {cache}\ntags = {{ {tag} = \"a\" }}");
        workspace.write("main.tf", &cluster(aws.seed(), &arguments));
        workspace.apply().expect_success();
        // What only drift brings the provider to put right; the last change leaves the nodes.
        for node in instances(aws) {
            let options = json!({ "InstanceId": node["InstanceId"], "HttpTokens": "optional" });
            aws.call("ec2", "modify_instance_metadata_options", options);
        }
    }
    workspace.destroy().expect_success();
}

/// Changes by hand what only drift brings the provider to put right.
fn meddle(aws: &Account, state: &Value) {
    let to_dualstack = json!({ "LoadBalancerArn": state["arn"], "IpAddressType": "dualstack" });
    aws.call("elbv2", "set_ip_address_type", to_dualstack);
    let host = format!("{}/32", aws.seed().nat_public_ip);
    for (direction, block) in [("ingress", host.as_str()), ("egress", "10.0.0.0/16")] {
        let source = json!({ "CidrIp": block, "Description": "By hand" });
        let rule = json!({ "IpProtocol": "tcp", "FromPort": 12443, "ToPort": 12443, "IpRanges": [source] });
        let params = json!({ "GroupId": state["security_group_id"], "IpPermissions": [rule] });
        aws.call("ec2", &format!("update_security_group_rule_descriptions_{direction}"), params);
    }
}

#[test]
fn the_minimal_policy_allows_every_call_of_a_whole_life_and_nothing_else() {
    with_each_cli(|aws, workspace| {
        live(aws, workspace);
        live_as_a_cluster(aws, &workspace.another(aws).expect("a workspace"));
        let called = called(aws);
        assert_eq!(called, possible(), "left: what was called; right: what there is code for");
        let mut needed: BTreeSet<String> = called.into_iter().filter(|action| action != ALLOWED_ANYWAY).collect();
        needed.extend(ASKED_FOR_BY_AWS.map(str::to_owned));
        assert_eq!(allowed(), needed, "left: what the policy allows; right: what is needed");
    });
}
