//! Stacks that exist already come under the provider's care without being replaced.

use acceptance_tests::{Account, with_each_cli};
use serde_json::{Value, json};

use crate::stack;

const ADDRESS: &str = "codestream_alb.onprem";

#[test]
fn a_stack_of_ours_is_imported_by_name_and_by_arn_and_plans_empty() {
    with_each_cli(|aws, workspace| {
        let configuration = stack::http(aws.seed(), "");
        workspace.write("main.tf", &configuration);
        workspace.apply().expect_success();
        let arn = stack::text(&stack::load_balancer(aws)["LoadBalancerArn"]);
        for id in ["codestream-alb", arn.as_str()] {
            let importing = workspace.another(aws).expect("a workspace");
            importing.write("main.tf", &configuration);
            importing.import(ADDRESS, id).expect_success();
            assert_eq!(importing.attributes("codestream_alb", "onprem")["arn"], json!(arn));
            importing.plan().expect_no_changes();
        }
    });
}

#[test]
fn the_configuration_generated_by_an_import_block_plans_clean() {
    with_each_cli(|aws, workspace| {
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        workspace.apply().expect_success();
        let importing = workspace.another(aws).expect("a workspace");
        let block = format!("{}\nimport {{\n  to = {ADDRESS}\n  id = \"codestream-alb\"\n}}\n", stack::HEADER);
        importing.write("main.tf", &block);
        importing.run(["plan", "-no-color", "-generate-config-out=generated.tf", "-out=plan.tfplan"]).expect_success();
        assert_eq!(importing.planned()["resource_changes"][0]["change"]["actions"], json!(["no-op"]));
        importing.apply().expect_success();
        importing.plan().expect_no_changes();
    });
}

#[test]
fn importing_what_does_not_exist_is_an_error_that_names_it() {
    with_each_cli(|aws, workspace| {
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        workspace.import(ADDRESS, "no-such-thing").expect_error("no-such-thing");
    });
}

#[test]
fn a_stack_made_by_the_products_cloudformation_template_is_imported_and_changed_in_place() {
    with_each_cli(|aws, workspace| {
        let template = cloudformation_template(aws).to_string();
        aws.call("cloudformation", "create_stack", json!({ "StackName": "codestream", "TemplateBody": template }));
        let arn = stack::load_balancer(aws)["LoadBalancerArn"].clone();
        workspace.write("main.tf", &stack::http(aws.seed(), ""));
        workspace.import(ADDRESS, "codestream-alb").expect_success();
        workspace.plan().expect_changes();
        assert_eq!(workspace.planned()["resource_changes"][0]["change"]["actions"], json!(["update"]));
        workspace.apply().expect_success();
        assert_eq!(stack::load_balancer(aws)["LoadBalancerArn"], arn);
        workspace.plan().expect_no_changes();
    });
}

/// The objects that the product's template makes, with its fixed names, and without targets as there.
fn cloudformation_template(aws: &Account) -> Value {
    let seed = aws.seed();
    let ingress: Vec<Value> = [80, 12080]
        .iter()
        .flat_map(|port| [("198.51.100.0/24".to_owned(), port), (format!("{}/32", seed.nat_public_ip), port)])
        .map(|(cidr, port)| json!({ "CidrIp": cidr, "FromPort": port, "ToPort": port, "IpProtocol": "tcp" }))
        .collect();
    let egress = json!([{ "CidrIp": "0.0.0.0/0", "IpProtocol": -1, "Description": "All traffic is allowed out" }]);
    let group = |name: &str, port: u16| {
        json!({
            "Type": "AWS::ElasticLoadBalancingV2::TargetGroup",
            "Properties": {
                "Name": name,
                "Port": port,
                "Protocol": "HTTP",
                "TargetType": "instance",
                "VpcId": seed.vpc_id,
                "HealthCheckProtocol": "HTTP",
                "HealthCheckPort": "traffic-port",
                "HealthCheckPath": "/no-auth/status",
                "HealthCheckIntervalSeconds": 15,
                "HealthCheckTimeoutSeconds": 5,
                "HealthyThresholdCount": 5,
                "UnhealthyThresholdCount": 2,
            },
        })
    };
    let listener = |group: &str, port: u16| {
        json!({
            "Type": "AWS::ElasticLoadBalancingV2::Listener",
            "Properties": {
                "DefaultActions": [{ "Type": "forward", "TargetGroupArn": { "Ref": group } }],
                "LoadBalancerArn": { "Ref": "Elb" },
                "Port": port,
                "Protocol": "HTTP",
            },
        })
    };
    json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Resources": {
            "ElbSecurityGroup": {
                "Type": "AWS::EC2::SecurityGroup",
                "Properties": {
                    "GroupName": "codestream_alb_sg",
                    "GroupDescription": "CodeStream ALB Security Group",
                    "SecurityGroupIngress": ingress,
                    "SecurityGroupEgress": egress,
                    "VpcId": seed.vpc_id,
                },
            },
            "Elb": {
                "Type": "AWS::ElasticLoadBalancingV2::LoadBalancer",
                "Properties": {
                    "Name": "codestream-alb",
                    "Scheme": "internet-facing",
                    "SecurityGroups": [{ "Ref": "ElbSecurityGroup" }],
                    "Subnets": seed.public_subnet_ids[..2],
                },
            },
            "ApiTargets": group("codestream-api-targets", 80),
            "BroadcasterTargets": group("codestream-broadcaster-targets", 12080),
            "ApiListener": listener("ApiTargets", 80),
            "BroadcasterListener": listener("BroadcasterTargets", 12080),
        },
    })
}
