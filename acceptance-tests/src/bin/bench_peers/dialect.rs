//! The same infrastructure in the words of either provider: for each stack an application load balancer with its
//! security group, and for the API and the Broadcaster a listener, a target group and a registered instance each.

use acceptance_tests::Seed;
use serde_json::{Value, json};

/// A provider, and how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dialect {
    /// `codestream_alb`.
    Ours,
    /// `aws_lb` and all that goes with it.
    Peer,
}

/// Who may connect, besides the instance itself.
const CLIENTS: &str = "198.51.100.0/24";
/// Where the load balancer may connect to: the seed's VPC.
const VPC: &str = "10.0.0.0/16";
const TLS_POLICY: &str = "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09";

/// What a configuration is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// What is there already.
    pub(crate) seed: &'a Seed,
    /// How many stacks.
    pub(crate) stacks: usize,
    /// Whether the listeners are HTTPS ones.
    pub(crate) https: bool,
    /// The attribute that the update changes, in seconds.
    pub(crate) idle_timeout: u32,
}

impl Dialect {
    pub(crate) const BOTH: [Self; 2] = [Self::Ours, Self::Peer];

    /// What tables call the provider.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ours => "codestream",
            Self::Peer => "aws",
        }
    }

    /// The provider's source address.
    pub(crate) fn source(self) -> &'static str {
        match self {
            Self::Ours => "registry.terraform.io/codestream/codestream",
            Self::Peer => "registry.terraform.io/hashicorp/aws",
        }
    }

    /// The configuration.
    pub(crate) fn configuration(self, wanted: Wanted<'_>) -> String {
        let names: Vec<String> = (1..=wanted.stacks).map(|number| format!("stack-{number:03}")).collect();
        let (provider, resources) = match self {
            Self::Ours => ("", ours(wanted)),
            // Without these it asks STS and the instance's metadata, too.
            Self::Peer => (
                "\n  skip_credentials_validation = true\n  skip_metadata_api_check = true\n  \
                 skip_region_validation = true\n  skip_requesting_account_id = true\n",
                peer(wanted),
            ),
        };
        format!(
            "terraform {{\n  required_providers {{\n    {name} = {{ source = {source} }}\n  }}\n}}\n\n\
             provider \"{name}\" {{{provider}}}\n\n\
             locals {{\n  stacks = toset({names})\n}}\n{resources}",
            name = self.name(),
            source = json!(self.source()),
            names = json!(names),
        )
    }
}

/// The sources that each listener admits.
fn sources(seed: &Seed) -> [String; 2] {
    [CLIENTS.to_owned(), format!("{}/32", seed.nat_public_ip)]
}

fn protocol(https: bool) -> &'static str {
    if https { "HTTPS" } else { "HTTP" }
}

fn ours(wanted: Wanted<'_>) -> String {
    let seed = wanted.seed;
    let [clients, instance] = sources(seed);
    let mut arguments = vec![
        ("protocol", json!(protocol(wanted.https))),
        ("subnet_ids", json!(seed.public_subnet_ids[..2])),
        ("instance_ids", json!(seed.instance_ids[..1])),
        ("client_cidr_blocks", json!([clients])),
        ("instance_cidr_blocks", json!([instance])),
        ("idle_timeout", json!(wanted.idle_timeout)),
    ];
    if wanted.https {
        arguments.push(("certificate_arn", json!(seed.certificate_arn)));
        arguments.push(("hostname", json!(seed.hostname)));
    }
    resource("codestream_alb", "stack", &[("name", "each.key")], &arguments, "")
}

/// As the AWS provider's users write it, with the rules inside the security group. The rules as resources of their own,
/// which its documentation prefers, are four more calls in a create and six more in a refresh.
fn peer(wanted: Wanted<'_>) -> String {
    let seed = wanted.seed;
    let ports: [(&str, u16); 2] =
        if wanted.https { [("api", 443), ("broadcaster", 12443)] } else { [("api", 80), ("broadcaster", 12080)] };
    let rules: String = ports
        .iter()
        .map(|(role, port)| {
            let ingress: String = sources(seed).iter().map(|source| rule("ingress", role, *port, source)).collect();
            ingress + &rule("egress", role, *port, VPC)
        })
        .collect();
    let vpc = ("vpc_id", json!(seed.vpc_id));
    let mut text = resource(
        "aws_security_group",
        "alb",
        &[("name", r#""${each.key}-alb""#)],
        &[("description", json!("Load balancer")), vpc],
        &rules,
    );
    let balancer = [
        ("load_balancer_type", json!("application")),
        ("subnets", json!(seed.public_subnet_ids[..2])),
        ("idle_timeout", json!(wanted.idle_timeout)),
        ("drop_invalid_header_fields", json!(true)),
    ];
    let groups = ("security_groups", "[aws_security_group.alb[each.key].id]");
    text += &resource("aws_lb", "alb", &[("name", "each.key"), groups], &balancer, "");
    for (role, port) in ports {
        text += &endpoint(wanted, role, port);
    }
    text
}

/// A target group with its instance, and the listener that forwards to it.
fn endpoint(wanted: Wanted<'_>, role: &str, port: u16) -> String {
    let (seed, protocol) = (wanted.seed, json!(protocol(wanted.https)));
    let check = format!(
        "  health_check {{\n    protocol = {protocol}\n    path = \"/no-auth/status\"\n    matcher = \"200\"\n    \
         interval = 15\n    healthy_threshold = 5\n    unhealthy_threshold = 2\n  }}\n"
    );
    let name = format!(r#""${{each.key}}-{role}""#);
    let arn = format!("aws_lb_target_group.{role}[each.key].arn");
    let forward = format!("  default_action {{\n    type = \"forward\"\n    target_group_arn = {arn}\n  }}\n");
    let shared = [("port", json!(port)), ("protocol", protocol)];
    let mut group = shared.to_vec();
    group.extend([("vpc_id", json!(seed.vpc_id)), ("deregistration_delay", json!(30))]);
    let mut listener = shared.to_vec();
    if wanted.https {
        listener.extend([("certificate_arn", json!(seed.certificate_arn)), ("ssl_policy", json!(TLS_POLICY))]);
    }
    let target = [("target_id", json!(seed.instance_ids[0]))];
    [
        resource("aws_lb_target_group", role, &[("name", &name)], &group, &check),
        resource("aws_lb_target_group_attachment", role, &[("target_group_arn", &arn)], &target, ""),
        resource("aws_lb_listener", role, &[("load_balancer_arn", "aws_lb.alb[each.key].arn")], &listener, &forward),
    ]
    .concat()
}

fn rule(direction: &str, role: &str, port: u16, source: &str) -> String {
    format!(
        "  {direction} {{\n    description = \"{role}\"\n    from_port = {port}\n    to_port = {port}\n    \
         protocol = \"tcp\"\n    cidr_blocks = [\"{source}\"]\n  }}\n"
    )
}

/// A resource for each stack: arguments that are expressions, arguments that are values, and blocks.
fn resource(kind: &str, name: &str, expressions: &[(&str, &str)], values: &[(&str, Value)], blocks: &str) -> String {
    let expressions: String = expressions.iter().map(|(name, text)| format!("  {name} = {text}\n")).collect();
    // JSON's strings, numbers and lists are HCL's.
    let values: String = values.iter().map(|(name, value)| format!("  {name} = {value}\n")).collect();
    format!("\nresource \"{kind}\" \"{name}\" {{\n  for_each = local.stacks\n{expressions}{values}{blocks}}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seed() -> Seed {
        Seed {
            account: "100000000001".to_owned(),
            region: "us-east-1".to_owned(),
            vpc_id: "vpc-1".to_owned(),
            public_subnet_ids: ["subnet-a", "subnet-b", "subnet-c"].map(str::to_owned).to_vec(),
            private_subnet_id: "subnet-d".to_owned(),
            nat_public_ip: "203.0.113.7".to_owned(),
            instance_ids: ["i-1", "i-2"].map(str::to_owned).to_vec(),
            instance_security_group_id: "sg-1".to_owned(),
            hostname: "codestream.example.com".to_owned(),
            certificate_arn: "arn:certificate".to_owned(),
            wildcard_certificate_arn: "arn:wildcard".to_owned(),
            issued_certificate_arn: "arn:issued".to_owned(),
            pending_certificate_arn: "arn:pending".to_owned(),
            zone_id: "Z1".to_owned(),
        }
    }

    fn written(dialect: Dialect, https: bool) -> String {
        dialect.configuration(Wanted { seed: &seed(), stacks: 2, https, idle_timeout: 301 })
    }

    fn has(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|written| written.trim() == *line), "no {line:?} in\n{text}");
        }
    }

    #[test]
    fn both_dialects_have_every_stack_and_the_attribute_that_changes() {
        for dialect in Dialect::BOTH {
            let text = written(dialect, false);
            has(&text, &[r#"stacks = toset(["stack-001","stack-002"])"#, "idle_timeout = 301", r#"protocol = "HTTP""#]);
            assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
        }
    }

    #[test]
    fn our_dialect_is_one_resource() {
        let text = written(Dialect::Ours, true);
        assert_eq!(text.matches("\nresource ").count(), 1);
        let expected = [
            "name = each.key",
            r#"subnet_ids = ["subnet-a","subnet-b"]"#,
            r#"instance_cidr_blocks = ["203.0.113.7/32"]"#,
            r#"certificate_arn = "arn:certificate""#,
        ];
        has(&text, &expected);
    }

    #[test]
    fn the_peers_dialect_has_a_listener_a_group_and_a_target_for_each_role() {
        for (https, ports) in [(false, ["port = 80", "port = 12080"]), (true, ["port = 443", "port = 12443"])] {
            let text = written(Dialect::Peer, https);
            for role in ["api", "broadcaster"] {
                for kind in ["aws_lb_listener", "aws_lb_target_group", "aws_lb_target_group_attachment"] {
                    has(&text, &[&format!("resource \"{kind}\" \"{role}\" {{")]);
                }
            }
            has(&text, &ports);
            has(&text, &["security_groups = [aws_security_group.alb[each.key].id]", r#"name = "${each.key}-api""#]);
            assert_eq!((text.matches("ingress {").count(), text.matches("egress {").count()), (4, 2));
            assert_eq!(text.contains("certificate_arn"), https);
        }
    }
}
