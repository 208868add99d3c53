//! What others have built comes under the provider's care without being replaced: the product's CloudFormation set-up,
//! and a load balancer of the AWS provider, by an import and by a `moved` block.

use acceptance_tests::{Account, Seed, Workspace, aws_provider_mirror, with_each_cli};
use serde_json::{Value, json};

use crate::drift::differences;
use crate::examples;
use crate::stack::{self, list, text};
use crate::traffic::tell;

const ADDRESS: &str = "codestream_alb.onprem";

/// The set-up of the product's documentation, in each of its forms.
const HTTP: &str = include_str!("cloudformation/http.json");
const HTTPS: &str = include_str!("cloudformation/https.json");

/// The names that the product's set-up gives to its target groups.
const GROUPS: [&str; 2] = ["codestream-api-targets", "codestream-broadcaster-targets"];

/// Builds the set-up as the product's documentation says: the stack, and then the target by hand.
fn build(aws: &Account, template: &str) {
    let seed = aws.seed();
    let mut given = vec![
        ("VpcId", seed.vpc_id.clone()),
        ("PublicSubnets", seed.public_subnet_ids[..2].join(",")),
        ("ClientCidr", "198.51.100.0/24".to_owned()),
        ("HostIp", seed.nat_public_ip.clone()),
        ("CertificateArn", seed.certificate_arn.clone()),
    ];
    let parsed: Value = serde_json::from_str(template).expect("a template in JSON");
    given.retain(|(name, _)| !parsed["Parameters"][name].is_null());
    let parameters: Vec<Value> =
        given.iter().map(|(name, value)| json!({ "ParameterKey": name, "ParameterValue": value })).collect();
    let stack = json!({ "StackName": "codestream", "TemplateBody": template, "Parameters": parameters });
    aws.call("cloudformation", "create_stack", stack);
    for group in list(&aws.call("elbv2", "describe_target_groups", json!({})), "TargetGroups") {
        let targets = json!([{ "Id": seed.instance_ids[0] }]);
        let params = json!({ "TargetGroupArn": group["TargetGroupArn"], "Targets": targets });
        aws.call("elbv2", "register_targets", params);
    }
    complete(aws, &parsed["Resources"]);
}

/// Does what AWS does and moto does not: describes the rules, and tags what can be tagged.
fn complete(aws: &Account, resources: &Value) {
    let balancer = stack::load_balancer(aws);
    for rule in list(&resources["SecurityGroup"]["Properties"], "SecurityGroupIngress") {
        let host = format!("{}/32", aws.seed().nat_public_ip);
        let block = if rule["CidrIp"]["Ref"] == "ClientCidr" { "198.51.100.0/24" } else { host.as_str() };
        let source = json!({ "CidrIp": block, "Description": rule["Description"] });
        let mut permission = json!({ "IpProtocol": "tcp", "IpRanges": [source] });
        for port in ["FromPort", "ToPort"] {
            permission[port] = rule[port].clone();
        }
        let params = json!({ "GroupId": balancer["SecurityGroups"][0], "IpPermissions": [permission] });
        aws.call("ec2", "update_security_group_rule_descriptions_ingress", params);
    }
    let tag = |arn: &Value, resource: &str| {
        let params = json!({ "ResourceArns": [arn], "Tags": resources[resource]["Properties"]["Tags"] });
        aws.call("elbv2", "add_tags", params);
    };
    tag(&balancer["LoadBalancerArn"], "LoadBalancer");
    for (resource, name) in ["ApiTargets", "BroadcasterTargets"].iter().zip(GROUPS) {
        let group = aws.call("elbv2", "describe_target_groups", json!({ "Names": [name] }));
        tag(&group["TargetGroups"][0]["TargetGroupArn"], resource);
    }
}

/// The paths that the last plan changes, in place.
#[track_caller]
fn changed_in_place(workspace: &Workspace) -> Vec<String> {
    let planned = workspace.planned();
    let changes = list(&planned, "resource_changes");
    let change = changes.iter().find(|change| change["address"] == ADDRESS).expect("a change of the stack");
    assert_eq!(change["change"]["actions"], json!(["update"]));
    let mut paths = Vec::new();
    differences(&change["change"]["before"], &change["change"]["after"], "", &mut paths);
    paths
}

/// The paths that a configuration that matches what was built may change: what the product's set-up and the AWS
/// provider leave at AWS's defaults, and what says whose the objects are.
#[track_caller]
fn assert_all_below(paths: &[String], expected: &[&str]) {
    let below = |path: &String, top: &str| {
        path.strip_prefix(top).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric) && !rest.starts_with('_'))
    };
    let others: Vec<&String> = paths.iter().filter(|path| !expected.iter().any(|top| below(path, top))).collect();
    assert!(others.is_empty(), "{others:?}");
}

/// Everything of the stack carries the provider's tags.
#[track_caller]
fn assert_tagged(aws: &Account) {
    let balancer = stack::load_balancer(aws);
    let arns = |operation: &str, params: Value, field: &str, key: &str| -> Vec<Value> {
        list(&aws.call("elbv2", operation, params), field).iter().map(|object| object[key].clone()).collect()
    };
    let of_balancer = json!({ "LoadBalancerArn": balancer["LoadBalancerArn"] });
    let mut tagged = vec![balancer["LoadBalancerArn"].clone()];
    tagged.extend(arns("describe_listeners", of_balancer.clone(), "Listeners", "ListenerArn"));
    tagged.extend(arns("describe_target_groups", of_balancer, "TargetGroups", "TargetGroupArn"));
    assert_eq!(tagged.len(), 5, "{tagged:?}");
    let tags = aws.call("elbv2", "describe_tags", json!({ "ResourceArns": tagged }));
    let of_groups = json!({ "Filters": [{ "Name": "group-id", "Values": balancer["SecurityGroups"] }] });
    let rules = aws.call("ec2", "describe_security_group_rules", of_groups.clone());
    let groups = aws.call("ec2", "describe_security_groups", of_groups);
    let objects = [list(&tags, "TagDescriptions"), list(&rules, "SecurityGroupRules"), list(&groups, "SecurityGroups")];
    for object in objects.iter().flatten() {
        let managed = |tag: &Value| tag["Key"] == "codestream:managed-by" && tag["Value"] == "codestream_alb";
        assert!(list(object, "Tags").iter().any(managed), "{object}");
    }
}

/// The names of the target groups and of the load balancer's security groups.
fn names(aws: &Account) -> Vec<String> {
    let groups = aws.call("elbv2", "describe_target_groups", json!({}));
    let mut names: Vec<String> =
        list(&groups, "TargetGroups").iter().map(|group| text(&group["TargetGroupName"])).collect();
    let ids = json!({ "GroupIds": stack::load_balancer(aws)["SecurityGroups"] });
    let groups = aws.call("ec2", "describe_security_groups", ids);
    names.extend(list(&groups, "SecurityGroups").iter().map(|group| text(&group["GroupName"])));
    names.sort();
    names
}

/// Imports the product's set-up, applies a configuration that matches it, and destroys it.
#[track_caller]
fn cloudformation_set_up_is_taken_over(template: &str, configuration: fn(&Seed) -> String) {
    with_each_cli(|aws, workspace| {
        let before = stack::inventory(aws);
        build(aws, template);
        let (arn, kept) = (stack::load_balancer(aws)["LoadBalancerArn"].clone(), names(aws));
        workspace.write("main.tf", &configuration(aws.seed()));
        workspace.import(ADDRESS, "codestream-alb").expect_success();
        workspace.plan().expect_changes();
        let expected = [
            "api.deregistration_delay",
            "broadcaster.deregistration_delay",
            "drop_invalid_header_fields",
            "idle_timeout",
            "ready",
            "ssl_policy",
            "tags_all",
            "topology.listeners",
            "topology.security_group_rules",
            // The product's template does not know the host name, and with it these.
            "hostname",
            "api.url",
            "api_url",
            "broadcaster.url",
            "broadcaster_url",
            "services_config",
            // The set-up names its objects by a tag, which the configuration does not have.
            "tags",
        ];
        assert_all_below(&changed_in_place(workspace), &expected);
        workspace.apply().expect_success();
        assert_eq!((&stack::load_balancer(aws)["LoadBalancerArn"], names(aws)), (&arn, kept));
        assert_tagged(aws);
        workspace.plan().expect_no_changes();
        workspace.destroy().expect_success();
        assert_eq!(stack::inventory(aws), before);
    });
}

/// The example takes the product's set-up over by its `import` block.
pub(crate) fn example(aws: &Account, workspace: &Workspace, example: &str) {
    let (seed, before) = (aws.seed(), stack::inventory(aws));
    build(aws, HTTPS);
    let arn = stack::load_balancer(aws)["LoadBalancerArn"].clone();
    examples::copy(workspace, example, &[]);
    let values = json!({
        "subnet_ids": seed.public_subnet_ids[..2],
        "certificate_arn": seed.certificate_arn,
        "hostname": seed.hostname,
        "instance_id": seed.instance_ids[0],
        "client_cidr_block": "198.51.100.0/24",
        "host_cidr_block": format!("{}/32", seed.nat_public_ip),
    });
    workspace.write("terraform.tfvars.json", &values.to_string());
    let planned = workspace.plan().expect_changes();
    let summary = "Plan: 1 to import, 0 to add, 1 to change, 0 to destroy.";
    assert!(planned.stdout.contains(summary), "{}", planned.stdout);
    workspace.apply().expect_success();
    assert_eq!(stack::load_balancer(aws)["LoadBalancerArn"], arn);
    workspace.plan().expect_no_changes();
    workspace.destroy().expect_success();
    assert_eq!(stack::inventory(aws), before);
}

#[test]
fn the_products_set_up_over_http_is_imported_changed_in_place_and_destroyed_without_a_trace() {
    cloudformation_set_up_is_taken_over(HTTP, |seed| stack::http(seed, ""));
}

#[test]
fn the_products_set_up_over_https_is_imported_changed_in_place_and_destroyed_without_a_trace() {
    cloudformation_set_up_is_taken_over(HTTPS, |seed| stack::https(seed, ""));
}

#[test]
fn the_products_names_are_kept_until_a_target_group_must_be_replaced() {
    with_each_cli(|aws, workspace| {
        build(aws, HTTP);
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        workspace.import(ADDRESS, "codestream-alb").expect_success();
        workspace.write("main.tf", &stack::http(aws.seed(), "api = { target_port = 8080 }"));
        workspace.apply().expect_success();
        let names = names(aws);
        assert!(!names.contains(&GROUPS[0].to_owned()) && names.contains(&GROUPS[1].to_owned()), "{names:?}");
        workspace.plan().expect_no_changes();
    });
}

#[test]
fn what_the_product_leaves_at_the_defaults_of_aws_stays_when_it_is_set_to_them() {
    with_each_cli(|aws, workspace| {
        build(aws, HTTPS);
        let arguments = "idle_timeout = 60\ndrop_invalid_header_fields = false\n\
                         ssl_policy = \"ELBSecurityPolicy-2016-08\"\n\
                         api = { deregistration_delay = 300 }\nbroadcaster = { deregistration_delay = 300 }";
        workspace.write("main.tf", &stack::https(aws.seed(), arguments));
        workspace.import(ADDRESS, "codestream-alb").expect_success();
        workspace.plan().expect_changes();
        let changed = changed_in_place(workspace);
        let kept = [
            "idle_timeout",
            "drop_invalid_header_fields",
            "ssl_policy",
            "api.deregistration_delay",
            "broadcaster.deregistration_delay",
        ];
        assert!(!changed.iter().any(|path| kept.contains(&path.as_str())), "{changed:?}");
    });
}

/// The head of a configuration with the AWS provider and ours.
const BOTH_PROVIDERS: &str = r#"
terraform {
  required_providers {
    aws        = { source = "registry.terraform.io/hashicorp/aws" }
    codestream = { source = "codestream/codestream" }
  }
}

provider "aws" {
  skip_credentials_validation = true
  skip_metadata_api_check     = true
  skip_region_validation      = true
  skip_requesting_account_id  = true
}

provider "codestream" {}
"#;

/// An HTTP set-up of the AWS provider's resources.
fn of_aws_provider(seed: &Seed) -> String {
    let endpoint = |role: &str, port: u16| {
        format!(
            r#"
resource "aws_lb_target_group" "{role}" {{
  name     = "by-hand-{role}"
  port     = {port}
  protocol = "HTTP"
  vpc_id   = aws_security_group.alb.vpc_id
  health_check {{
    path                = "/no-auth/status"
    interval            = 15
    healthy_threshold   = 5
    unhealthy_threshold = 2
  }}
}}

resource "aws_lb_target_group_attachment" "{role}" {{
  target_group_arn = aws_lb_target_group.{role}.arn
  target_id        = {instance}
}}

resource "aws_lb_listener" "{role}" {{
  load_balancer_arn = aws_lb.alb.arn
  port              = {port}
  protocol          = "HTTP"
  default_action {{
    type             = "forward"
    target_group_arn = aws_lb_target_group.{role}.arn
  }}
}}
"#,
            instance = json!(seed.instance_ids[0]),
        )
    };
    let ingress = |port: u16| {
        format!(
            "ingress {{\n    from_port = {port}\n    to_port = {port}\n    protocol = \"tcp\"\n    \
             cidr_blocks = [\"198.51.100.0/24\"]\n  }}"
        )
    };
    format!(
        r#"{BOTH_PROVIDERS}
resource "aws_security_group" "alb" {{
  name   = "by-hand"
  vpc_id = {vpc}
  {api}
  {broadcaster}
  egress {{
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }}
}}

resource "aws_lb" "alb" {{
  name               = "codestream-alb"
  load_balancer_type = "application"
  subnets            = {subnets}
  security_groups    = [aws_security_group.alb.id]
}}
{}{}"#,
        endpoint("api", 80),
        endpoint("broadcaster", 12080),
        api = ingress(80),
        broadcaster = ingress(12080),
        vpc = json!(seed.vpc_id),
        subnets = json!(seed.public_subnet_ids[..2]),
    )
}

/// The configuration that takes the load balancer over, and lets go of everything else.
fn moved(seed: &Seed) -> String {
    let parts = ["aws_lb_target_group", "aws_lb_target_group_attachment", "aws_lb_listener"];
    let mut gone: Vec<String> =
        parts.iter().flat_map(|part| ["api", "broadcaster"].map(|role| format!("{part}.{role}"))).collect();
    gone.push("aws_security_group.alb".to_owned());
    let removed =
        |address: &String| format!("\nremoved {{\n  from = {address}\n  lifecycle {{\n    destroy = false\n  }}\n}}\n");
    let removed: String = gone.iter().map(removed).collect();
    let stack = stack::http(seed, "instance_cidr_blocks = null").replace(stack::HEADER, BOTH_PROVIDERS);
    format!("{stack}{removed}\nmoved {{\n  from = aws_lb.alb\n  to   = {ADDRESS}\n}}\n")
}

#[test]
fn a_load_balancer_of_the_aws_provider_is_imported_and_moved_in_place() {
    let Some(mirror) = aws_provider_mirror() else {
        tell(
            "SKIPPED: version 5 of hashicorp/aws is in no provider directory of this machine; `terraform providers \
             mirror ~/.terraform.d/plugins` in a configuration that requires it puts it there",
        );
        return;
    };
    with_each_cli(|aws, workspace| {
        let before = stack::inventory(aws);
        workspace.write("main.tf", &of_aws_provider(aws.seed()));
        workspace.init(&mirror).expect_success();
        workspace.apply().expect_success();
        let (arn, kept) = (stack::load_balancer(aws)["LoadBalancerArn"].clone(), names(aws));
        let expected = [
            "api.deregistration_delay",
            "broadcaster.deregistration_delay",
            "drop_invalid_header_fields",
            "idle_timeout",
            "ready",
            "tags_all",
            "topology.security_group_rules",
        ];

        let importing = workspace.another(aws).expect("a workspace");
        importing.write("main.tf", &stack::http(aws.seed(), "instance_cidr_blocks = null"));
        importing.import(ADDRESS, &text(&arn)).expect_success();
        importing.plan().expect_changes();
        assert_all_below(&changed_in_place(&importing), &expected);

        workspace.write("main.tf", &moved(aws.seed()));
        workspace.plan().expect_changes();
        assert_all_below(&changed_in_place(workspace), &expected);
        for change in list(&workspace.planned(), "resource_changes") {
            let expected = if change["address"] == ADDRESS { "update" } else { "forget" };
            assert_eq!(change["change"]["actions"], json!([expected]), "{}", change["address"]);
        }
        workspace.apply().expect_success();
        assert_eq!((&stack::load_balancer(aws)["LoadBalancerArn"], names(aws)), (&arn, kept));
        assert_tagged(aws);
        workspace.plan().expect_no_changes();
        workspace.destroy().expect_success();
        assert_eq!(stack::inventory(aws), before);
    });
}
