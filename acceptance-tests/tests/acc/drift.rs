//! Drift: what others change of a stack behind the provider's back shows in the plan at a readable place, one apply
//! repairs it, and the load balancer stays.

pub(crate) mod hands;

use std::collections::BTreeSet;

use acceptance_tests::{Account, Cli, Workspace};
use serde_json::{Value, json};

use crate::stack;
use hands::Hands;

/// The ports of the API and of the Broadcaster, on the load balancer and on the instances.
const API: u16 = 443;
const BROADCASTER: u16 = 12443;
/// The port of a target group that is somebody else's.
const FOREIGN: u16 = 9090;

/// What is changed behind the provider's back.
pub(crate) struct Subject {
    pub(crate) configuration: fn(&Account) -> String,
    /// All that AWS says of it, with names for what gets another id when it is made again.
    pub(crate) picture: fn(&Hands<'_>) -> BTreeSet<String>,
}

const ALB: Subject = Subject { configuration, picture: |by| by.picture() };

/// What somebody does, and the argument or output at which it must show.
pub(crate) struct Mutation {
    what: &'static str,
    shows: &'static str,
    make: fn(&Hands<'_>),
}

pub(crate) fn mutation(what: &'static str, shows: &'static str, make: fn(&Hands<'_>)) -> Mutation {
    Mutation { what, shows, make }
}

fn of_load_balancer() -> Vec<Mutation> {
    vec![
        mutation("a shorter idle timeout", "idle_timeout", |by| by.set("idle_timeout.timeout_seconds", "60")),
        mutation("a shorter keep-alive", "client_keep_alive", |by| by.set("client_keep_alive.seconds", "60")),
        mutation("no HTTP/2", "enable_http2", |by| by.set("routing.http2.enabled", "false")),
        mutation("invalid headers let through", "drop_invalid_header_fields", |by| {
            by.set("routing.http.drop_invalid_header_fields.enabled", "false");
        }),
        mutation("another desync mode", "desync_mitigation_mode", |by| {
            by.set("routing.http.desync_mitigation_mode", "monitor");
        }),
        mutation("no forwarding header", "xff_header_processing_mode", |by| {
            by.set("routing.http.xff_header_processing.mode", "remove");
        }),
        mutation("the host header kept", "preserve_host_header", |by| {
            by.set("routing.http.preserve_host_header.enabled", "true");
        }),
        mutation("the firewall open", "enable_waf_fail_open", |by| by.set("waf.fail_open.enabled", "true")),
        mutation("protected", "enable_deletion_protection", |by| by.set("deletion_protection.enabled", "true")),
        mutation("no access logs", "access_logs", |by| by.set("access_logs.s3.enabled", "false")),
        mutation("logs elsewhere", "access_logs.bucket", |by| by.set("access_logs.s3.bucket", "other-logs")),
        mutation("logs deeper", "access_logs.prefix", |by| by.set("access_logs.s3.prefix", "deeper")),
        mutation("no connection logs", "connection_logs", |by| by.set("connection_logs.s3.enabled", "false")),
        mutation("zonal shift", "load_balancer_attributes", |by| by.set("zonal_shift.config.enabled", "true")),
        mutation("the client's port passed on", "load_balancer_attributes", |by| {
            by.set("routing.http.xff_client_port.enabled", "true");
        }),
        mutation("the client's TLS version passed on", "load_balancer_attributes", |by| {
            by.set("routing.http.x_amzn_tls_version_and_cipher_suite.enabled", "true");
        }),
        mutation("IPv6", "ip_address_type", |by| {
            by.place("set_ip_address_type", json!({ "IpAddressType": "dualstack" }));
        }),
        mutation("a third zone", "subnet_ids", |by| by.subnets(&[0, 1, 2])),
        mutation("another zone", "subnet_ids", |by| by.subnets(&[0, 2])),
        mutation("without the zone of the instance", "subnet_ids", |by| by.subnets(&[1, 2])),
        mutation("a tag changed", "tags.team", |by| by.tag(&by.balancer(), "team", "two")),
        mutation("a tag added", "tags_all.by", |by| by.tag(&by.balancer(), "by", "hand")),
        mutation("a tag removed", "tags.team", |by| by.untag(&by.balancer(), "team")),
        mutation("no mark of the owner", "tags_all", |by| by.untag(&by.balancer(), "codestream:resource-id")),
    ]
}

fn of_listeners() -> Vec<Mutation> {
    vec![
        mutation("no listener for the API", "topology.listeners", |by| by.delete_listener(API)),
        mutation("no listener for the Broadcaster", "topology.listeners", |by| by.delete_listener(BROADCASTER)),
        mutation("no listener at all", "topology.listeners", |by| {
            for port in [80, API, BROADCASTER] {
                by.delete_listener(port);
            }
        }),
        mutation("a listener made anew by hand", "topology.listeners", |by| by.remake_listener(API)),
        mutation("no redirect", "redirect_http", |by| by.delete_listener(80)),
        mutation("another port", "api.listener_port", |by| by.modify(API, json!({ "Port": 444 }))),
        mutation("the ports swapped", "api.listener_port", |by| {
            by.modify(API, json!({ "Port": 444 }));
            by.modify(BROADCASTER, json!({ "Port": API }));
            by.modify(444, json!({ "Port": BROADCASTER }));
        }),
        mutation("another port for the redirect", "topology.listeners", |by| by.modify(80, json!({ "Port": 81 }))),
        mutation("one in cleartext", "topology.listeners", |by| by.modify(API, json!({ "Protocol": "HTTP" }))),
        mutation("both in cleartext", "protocol", |by| {
            for port in [API, BROADCASTER] {
                by.modify(port, json!({ "Protocol": "HTTP" }));
            }
        }),
        mutation("another policy on one", "topology.listeners", |by| {
            by.modify(BROADCASTER, json!({ "SslPolicy": "ELBSecurityPolicy-2016-08" }));
        }),
        mutation("another policy on both", "ssl_policy", |by| {
            for port in [API, BROADCASTER] {
                by.modify(port, json!({ "SslPolicy": "ELBSecurityPolicy-2016-08" }));
            }
        }),
        mutation("another certificate on one", "topology.listeners", |by| {
            by.certificates("modify_listener", API, &by.0.seed().issued_certificate_arn);
        }),
        mutation("another certificate on both", "certificate_arn", |by| {
            let arn = &by.0.seed().issued_certificate_arn;
            for port in [API, BROADCASTER] {
                by.certificates("modify_listener", port, arn);
            }
        }),
        mutation("clients asked for certificates", "topology.listeners", |by| {
            by.modify(API, json!({ "MutualAuthentication": { "Mode": "passthrough" } }));
        }),
        mutation("one certificate less on one", "topology.listeners", |by| {
            by.certificates("remove_listener_certificates", BROADCASTER, &by.0.seed().wildcard_certificate_arn);
        }),
        mutation("one certificate more on one", "additional_certificate_arns", |by| {
            by.certificates("add_listener_certificates", API, &by.0.seed().issued_certificate_arn);
        }),
        mutation("the API leads to the Broadcaster", "topology.listeners", |by| {
            by.act(API, by.forward(&[(BROADCASTER, 1)]));
        }),
        mutation("each leads to the other's group", "topology.listeners", |by| {
            by.act(API, by.forward(&[(BROADCASTER, 1)]));
            by.act(BROADCASTER, by.forward(&[(API, 1)]));
        }),
        mutation("the API leads to both", "topology.listeners", |by| {
            by.act(API, by.forward(&[(API, 1), (BROADCASTER, 1)]));
        }),
        mutation("the API leads to both, its own at weight 0", "topology.listeners", |by| {
            by.act(API, by.forward(&[(API, 0), (BROADCASTER, 1)]));
        }),
        mutation("the API leads nowhere", "topology.listeners", |by| by.act(API, by.forward(&[(API, 0)]))),
        mutation("the API leads to a group of somebody else's", "topology.listeners", |by| {
            by.act(API, by.forward(&[(FOREIGN, 1)]));
        }),
        mutation("the API answers by itself", "topology.listeners", |by| {
            let response = json!({ "StatusCode": "503", "ContentType": "text/plain", "MessageBody": "Closed" });
            by.act(API, json!({ "Type": "fixed-response", "FixedResponseConfig": response }));
        }),
        mutation("the API redirects", "topology.listeners", |by| by.act(API, redirect("12443", "HTTP_301"))),
        mutation("a redirect elsewhere", "topology.listeners", |by| by.act(80, redirect("8443", "HTTP_301"))),
        mutation("a redirect for a while", "topology.listeners", |by| by.act(80, redirect("443", "HTTP_302"))),
        mutation("the redirect forwards", "redirect_http", |by| by.act(80, by.forward(&[(API, 1)]))),
        mutation("a tag changed", "tags.team", |by| by.tag(&by.listener(80), "team", "two")),
        mutation("a tag removed", "tags.team", |by| by.untag(&by.listener(API), "team")),
        mutation("no mark of the owner", "tags_all", |by| by.untag(&by.listener(API), "codestream:resource-id")),
    ]
}

fn redirect(port: &str, status: &str) -> Value {
    json!({ "Type": "redirect", "RedirectConfig": { "Protocol": "HTTPS", "Port": port, "StatusCode": status } })
}

fn of_target_groups() -> Vec<Mutation> {
    vec![
        mutation("another path", "api.health_check.path", |by| by.probe(API, json!({ "HealthCheckPath": "/" }))),
        mutation("another interval", "broadcaster.health_check.interval", |by| {
            by.probe(BROADCASTER, json!({ "HealthCheckIntervalSeconds": 30 }));
        }),
        mutation("another probe timeout", "broadcaster.health_check.timeout", |by| {
            by.probe(BROADCASTER, json!({ "HealthCheckTimeoutSeconds": 7 }));
        }),
        mutation("another matcher", "api.health_check.matcher", |by| {
            by.probe(API, json!({ "Matcher": { "HttpCode": "200-499" } }));
        }),
        mutation("another healthy threshold", "api.health_check.healthy_threshold", |by| {
            by.probe(API, json!({ "HealthyThresholdCount": 9 }));
        }),
        mutation("another unhealthy threshold", "api.health_check.unhealthy_threshold", |by| {
            by.probe(API, json!({ "UnhealthyThresholdCount": 9 }));
        }),
        mutation("probes on another port", "topology.target_groups", |by| {
            by.probe(API, json!({ "HealthCheckPort": "9999" }));
        }),
        mutation("probes in cleartext", "topology.target_groups", |by| {
            by.probe(API, json!({ "HealthCheckProtocol": "HTTP" }));
        }),
        mutation("a longer drain", "broadcaster.deregistration_delay", |by| {
            by.set_of_group(BROADCASTER, &[("deregistration_delay.timeout_seconds", "300")]);
        }),
        mutation("another algorithm", "topology.target_groups", |by| {
            by.set_of_group(API, &[("load_balancing.algorithm.type", "least_outstanding_requests")]);
        }),
        mutation("a slow start", "topology.target_groups", |by| {
            by.set_of_group(BROADCASTER, &[("slow_start.duration_seconds", "30")]);
        }),
        mutation("no stickiness", "api.stickiness", |by| by.set_of_group(API, &[("stickiness.enabled", "false")])),
        mutation("stickiness", "broadcaster.stickiness", |by| {
            by.set_of_group(BROADCASTER, &[("stickiness.enabled", "true"), ("stickiness.type", "lb_cookie")]);
        }),
        mutation("another cookie", "api.stickiness.cookie_name", |by| {
            by.set_of_group(API, &[("stickiness.app_cookie.cookie_name", "other")]);
        }),
        mutation("the load balancer's cookie", "api.stickiness.type", |by| {
            by.set_of_group(API, &[("stickiness.type", "lb_cookie")]);
        }),
        mutation("a shorter cookie", "api.stickiness.duration", |by| {
            by.set_of_group(API, &[("stickiness.app_cookie.duration_seconds", "60")]);
        }),
        mutation("an instance less in one", "topology.target_groups", |by| by.target("deregister_targets", API, 0)),
        mutation("an instance less in both", "instance_ids", |by| {
            for port in [API, BROADCASTER] {
                by.target("deregister_targets", port, 0);
            }
        }),
        mutation("an instance more in one", "topology.target_groups", |by| by.target("register_targets", API, 1)),
        mutation("an instance more in both", "instance_ids", |by| {
            for port in [API, BROADCASTER] {
                by.target("register_targets", port, 1);
            }
        }),
        mutation("another instance in both", "instance_ids", |by| {
            for port in [API, BROADCASTER] {
                by.target("register_targets", port, 1);
            }
            for port in [API, BROADCASTER] {
                by.target("deregister_targets", port, 0);
            }
        }),
        mutation("an instance on another port, too", "topology.target_groups", |by| {
            by.target_on_port("register_targets", API, 0, 8080);
        }),
        mutation("a target group's role", "tags_all", |by| by.tag(&by.group(API), "codestream:role", "broadcaster")),
        mutation("no group and no listener", "topology.target_groups", |by| {
            let group = by.group(API);
            by.delete_listener(API);
            by.elb("delete_target_group", json!({ "TargetGroupArn": group }));
        }),
        mutation("a tag changed", "tags.team", |by| by.tag(&by.group(API), "team", "two")),
        mutation("a tag added", "tags_all.by", |by| by.tag(&by.group(API), "by", "hand")),
        mutation("no mark of the owner", "tags_all", |by| by.untag(&by.group(API), "codestream:resource-id")),
    ]
}

/// A permission for a port and an IPv4 block.
pub(crate) fn permission(port: u16, block: &str, description: &str) -> Value {
    let source = json!({ "CidrIp": block, "Description": description });
    json!({ "IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [source] })
}

fn of_network_and_names() -> Vec<Mutation> {
    const RULES: &str = "topology.security_group_rules";
    const ADMIT: &str = "authorize_security_group_ingress";
    vec![
        mutation("a second security group", RULES, |by| {
            let groups = json!([by.own_group(), by.0.seed().instance_security_group_id]);
            by.place("set_security_groups", json!({ "SecurityGroups": groups }));
        }),
        mutation("another security group", RULES, |by| {
            by.place("set_security_groups", json!({ "SecurityGroups": [by.0.seed().instance_security_group_id] }));
        }),
        mutation("the security group deleted", "topology.security_group_rules", |by| {
            let group = by.own_group();
            by.shut_out(2);
            by.place("set_security_groups", json!({ "SecurityGroups": [by.0.seed().instance_security_group_id] }));
            by.ec2("delete_security_group", json!({ "GroupId": group }));
        }),
        mutation("a rule less for clients", RULES, |by| {
            by.revoke(&by.own_group(), |rule| rule["CidrIpv4"] == "198.51.100.0/24" && rule["FromPort"] == API);
        }),
        mutation("a rule less for targets", RULES, |by| {
            by.revoke(&by.own_group(), |rule| rule["IsEgress"] == true && rule["FromPort"] == API);
        }),
        mutation("a rule for another port", RULES, |by| {
            by.revoke(&by.own_group(), |rule| rule["CidrIpv4"] == "198.51.100.0/24" && rule["FromPort"] == API);
            by.rules(ADMIT, &permission(444, "198.51.100.0/24", "Clients to the API"));
        }),
        mutation("the world let in", RULES, |by| by.rules(ADMIT, &permission(22, "0.0.0.0/0", "By hand"))),
        mutation("the world let in over IPv6", RULES, |by| {
            let sources = json!([{ "CidrIpv6": "::/0" }]);
            by.rules(ADMIT, &json!({ "IpProtocol": "tcp", "FromPort": API, "ToPort": API, "Ipv6Ranges": sources }));
        }),
        mutation("a group let in", RULES, |by| {
            let sources = json!([{ "GroupId": by.0.seed().instance_security_group_id }]);
            by.rules(
                ADMIT,
                &json!({ "IpProtocol": "tcp", "FromPort": API, "ToPort": API, "UserIdGroupPairs": sources }),
            );
        }),
        mutation("everything let out", RULES, |by| {
            let everywhere = json!({ "IpProtocol": "-1", "IpRanges": [{ "CidrIp": "0.0.0.0/0" }] });
            by.rules("authorize_security_group_egress", &everywhere);
        }),
        mutation("another description", RULES, |by| {
            let renamed = permission(API, "198.51.100.0/24", "By hand");
            by.rules("update_security_group_rule_descriptions_ingress", &renamed);
        }),
        mutation("another description of the way out", RULES, |by| {
            let renamed = permission(API, "10.0.0.0/16", "By hand");
            by.rules("update_security_group_rule_descriptions_egress", &renamed);
        }),
        mutation("a security group's tag changed", "tags.team", |by| {
            let tags = json!([{ "Key": "team", "Value": "two" }]);
            by.ec2("create_tags", json!({ "Resources": [by.own_group()], "Tags": tags }));
        }),
        mutation("a security group without the owner's mark", "tags_all", |by| {
            let tags = json!([{ "Key": "codestream:resource-id" }]);
            by.ec2("delete_tags", json!({ "Resources": [by.own_group()], "Tags": tags }));
        }),
        mutation("the instances shut", "instance_security_group_id", |by| by.shut_out(2)),
        mutation("the instances shut on one port", "instance_security_group_id", |by| by.shut_out(1)),
        mutation("no record", "dns_record", |by| by.record("DELETE", &by.dns_name(), false)),
        mutation("a record elsewhere", "dns_record", |by| {
            by.record("UPSERT", "elsewhere.us-east-1.elb.amazonaws.com", false);
        }),
        mutation("a record that is no alias", "dns_record", |by| by.plain_record("192.0.2.1")),
        mutation("a record with its target's health", "dns_record.evaluate_target_health", |by| {
            by.record("UPSERT", &by.dns_name(), true);
        }),
    ]
}

/// A stack with every kind of object, as it is before anybody touches it.
struct Built<'a> {
    subject: &'a Subject,
    aws: Account,
    workspace: Workspace,
    picture: BTreeSet<String>,
}

impl<'a> Built<'a> {
    fn new(subject: &'a Subject, cli: &Cli) -> Self {
        let aws = Account::new().expect("an AWS account");
        let workspace = Workspace::new(cli, &aws).expect("a workspace");
        let hands = Hands(&aws);
        // What a mutation makes unhealthy or drains is to be waited for elsewhere.
        aws.configure(json!({ "initial_describes": 0, "draining_describes": 0, "deleting_describes": 0 }));
        let foreign = json!({ "Name": "foreign", "Port": FOREIGN, "Protocol": "HTTP", "VpcId": aws.seed().vpc_id });
        hands.elb("create_target_group", foreign);
        hands.target("register_targets", FOREIGN, 1);
        workspace.write("main.tf", &(subject.configuration)(&aws));
        workspace.apply().expect_success();
        let picture = (subject.picture)(&hands);
        Self { subject, aws, workspace, picture }
    }

    /// What is wrong after a mutation and one apply.
    fn faults(&self, mutation: &Mutation) -> Vec<String> {
        let hands = Hands(&self.aws);
        (mutation.make)(&hands);
        if (self.subject.picture)(&hands) == self.picture {
            return vec!["it changes nothing".to_owned()];
        }
        let plan = self.workspace.plan();
        if plan.code != Some(2) {
            return vec![format!("the plan ends with {:?}: {}", plan.code, plan.stderr)];
        }
        let mut wrong = Vec::new();
        let change = self.workspace.planned()["resource_changes"][0]["change"].clone();
        if change["actions"] != json!(["update"]) {
            wrong.push(format!("the plan is {}", change["actions"]));
        }
        let mut shown = Vec::new();
        differences(&change["before"], &change["after"], "", &mut shown);
        // What is gone and comes back with a value that AWS invents is null here and there.
        let unknown = change["after_unknown"].as_object().into_iter().flatten();
        shown.extend(unknown.filter(|(_, unknown)| **unknown == true).map(|(name, _)| name.clone()));
        let part = [".", "["].map(|separator| format!("{}{separator}", mutation.shows));
        if !shown.iter().any(|path| path == mutation.shows || part.iter().any(|part| path.starts_with(part))) {
            wrong.push(format!("it does not show at {}, but at {shown:?}", mutation.shows));
        }
        let apply = self.workspace.apply();
        if apply.code != Some(0) {
            wrong.push(format!("the apply ends with {:?}: {}", apply.code, apply.stderr));
        }
        let again = self.workspace.plan();
        if again.code != Some(0) {
            wrong.push(format!("the next plan ends with {:?}: {}{}", again.code, again.stdout, again.stderr));
        }
        let after = (self.subject.picture)(&hands);
        wrong.extend(self.picture.difference(&after).map(|line| format!("not repaired: - {line}")));
        wrong.extend(after.difference(&self.picture).map(|line| format!("not repaired: + {line}")));
        wrong
    }
}

fn configuration(aws: &Account) -> String {
    let seed = aws.seed();
    let arguments = [
        format!("additional_certificate_arns = {}", json!([seed.wildcard_certificate_arn])),
        "redirect_http = true".to_owned(),
        format!("dns_record = {{ zone_id = {} }}", json!(seed.zone_id)),
        format!("instance_security_group_id = {}", json!(seed.instance_security_group_id)),
        "api = { deregistration_delay = 5, stickiness = { type = \"app_cookie\", cookie_name = \"session\" } }"
            .to_owned(),
        "broadcaster = { deregistration_delay = 5 }".to_owned(),
        "access_logs = { bucket = \"my-logs\", prefix = \"web\" }".to_owned(),
        "connection_logs = { bucket = \"my-logs\" }".to_owned(),
        "tags = { team = \"one\" }".to_owned(),
    ];
    stack::https(seed, &arguments.join("\n"))
}

/// The paths at which two values of a plan differ.
pub(crate) fn differences(before: &Value, after: &Value, path: &str, found: &mut Vec<String>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(old), Value::Object(new)) => {
            for key in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                differences(&before[key.as_str()], &after[key.as_str()], &path, found);
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (before, after)) in old.iter().zip(new).enumerate() {
                differences(before, after, &format!("{path}[{index}]"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

/// Makes mutation after mutation of one stack, as long as each is repaired; after a fault of another.
#[track_caller]
pub(crate) fn shown_and_repaired(subject: &Subject, mutations: &[Mutation]) {
    for cli in Cli::all().expect("a CLI to test with") {
        let mut built = Built::new(subject, &cli);
        let mut failed = Vec::new();
        for mutation in mutations {
            let wrong = built.faults(mutation);
            if !wrong.is_empty() {
                failed.push(format!("{}:\n  {}", mutation.what, wrong.join("\n  ")));
                built = Built::new(subject, &cli);
            }
        }
        assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), mutations.len(), failed.join("\n"));
    }
}

#[test]
fn every_change_of_the_load_balancer_shows_and_is_repaired() {
    shown_and_repaired(&ALB, &of_load_balancer());
}

#[test]
fn every_change_of_the_listeners_shows_and_is_repaired() {
    shown_and_repaired(&ALB, &of_listeners());
}

#[test]
fn every_change_of_the_target_groups_shows_and_is_repaired() {
    shown_and_repaired(&ALB, &of_target_groups());
}

#[test]
fn every_change_of_the_network_and_the_names_shows_and_is_repaired() {
    shown_and_repaired(&ALB, &of_network_and_names());
}

#[test]
fn an_instance_that_falls_ill_is_no_drift() {
    for cli in Cli::all().expect("a CLI to test with") {
        let built = Built::new(&ALB, &cli);
        let ill = json!({ "state": "unhealthy", "reason": "Target.Timeout" });
        built.aws.configure(json!({ "health": { &built.aws.seed().instance_ids[0]: ill } }));
        built.workspace.plan().expect_no_changes();
    }
}
