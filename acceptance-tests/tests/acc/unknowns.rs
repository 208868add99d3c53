//! Arguments that come from other resources and are not known while Terraform plans.

use acceptance_tests::{Account, Seed, with_each_cli};
use serde_json::{Map, Value, json};

use crate::stack;

/// Every argument of an HTTPS stack, with values that make a valid stack together.
fn arguments(seed: &Seed) -> Value {
    let health_check = json!({
        "path": "/no-auth/status", "matcher": "200-299", "interval": 20, "timeout": 10,
        "healthy_threshold": 3, "unhealthy_threshold": 3,
    });
    let endpoint = |listener_port: u16, target_port: u16, stickiness: Value| {
        json!({
            "listener_port": listener_port, "target_port": target_port, "health_check": health_check,
            "deregistration_delay": 10, "stickiness": stickiness,
        })
    };
    let mut arguments = json!({
        "scheme": "internet-facing",
        "protocol": "HTTPS",
        "vpc_id": seed.vpc_id,
        "ip_address_type": "ipv4",
        "certificate_arn": seed.certificate_arn,
        "additional_certificate_arns": [seed.wildcard_certificate_arn],
        "ssl_policy": "ELBSecurityPolicy-TLS13-1-2-2021-06",
        "hostname": seed.hostname,
        "dns_record": { "zone_id": seed.zone_id, "name": seed.hostname, "evaluate_target_health": true },
        "instance_security_group_id": seed.instance_security_group_id,
        "redirect_http": true,
        "idle_timeout": 120,
        "client_keep_alive": 1800,
        "enable_http2": false,
        "drop_invalid_header_fields": false,
        "desync_mitigation_mode": "strictest",
        "xff_header_processing_mode": "preserve",
        "preserve_host_header": true,
        "enable_waf_fail_open": true,
        "enable_deletion_protection": false,
        "wait_for_healthy": true,
        "on_unhealthy": "error",
        "health_check": health_check,
        "api": endpoint(8443, 443, json!({ "type": "lb_cookie", "duration": 600 })),
        "broadcaster": endpoint(
            12443,
            12443,
            json!({ "type": "app_cookie", "cookie_name": "SESSION", "duration": 600 }),
        ),
        "access_logs": { "bucket": "codestream-logs", "prefix": "requests" },
        "connection_logs": { "bucket": "codestream-logs", "prefix": "connections" },
        "timeouts": { "create": "10m", "update": "10m", "delete": "10m" },
        "tags": { "team": "realtime", "stage": "test" },
    });
    for (name, value) in stack::base_arguments(seed) {
        arguments[name] = value;
    }
    arguments
}

/// The paths of the arguments, or of those in them that are no objects.
fn paths(arguments: &Value, leaves: bool) -> Vec<String> {
    let mut paths = Vec::new();
    for (name, value) in arguments.as_object().into_iter().flatten() {
        if leaves && value.is_object() {
            paths.extend(self::paths(value, true).iter().map(|path| format!("/{name}{path}")));
        } else {
            paths.push(format!("/{name}"));
        }
    }
    paths
}

/// Stacks with values from resources that do not exist yet.
#[derive(Default)]
struct Configuration {
    stacks: Map<String, Value>,
    sources: Map<String, Value>,
}

impl Configuration {
    /// Adds a stack, with the values at these paths unknown.
    fn add(&mut self, name: &str, mut arguments: Value, unknown: &[String]) {
        for path in unknown {
            let value = arguments.pointer_mut(path).expect("a path of an argument");
            let source = format!("{name}{}", path.replace('/', "_"));
            let reference = json!(format!("${{terraform_data.{source}.output}}"));
            let input = std::mem::replace(value, reference);
            self.sources.insert(source, json!({ "input": input }));
        }
        self.stacks.insert(name.to_owned(), arguments);
    }

    fn json(&self) -> String {
        json!({
            "terraform": { "required_providers": { "codestream": { "source": "codestream/codestream" } } },
            "provider": { "codestream": {} },
            "resource": { "codestream_alb": self.stacks, "terraform_data": self.sources },
        })
        .to_string()
    }
}

#[test]
fn with_every_argument_unknown_a_stack_is_planned_created_and_then_planned_empty() {
    with_each_cli(|aws, workspace| {
        let before = stack::inventory(aws);
        for leaves in [false, true] {
            let arguments = arguments(aws.seed());
            let unknown = paths(&arguments, leaves);
            let mut configuration = Configuration::default();
            configuration.add("onprem", arguments, &unknown);
            workspace.write("main.tf.json", &configuration.json());
            workspace.plan().expect_changes();
            workspace.apply().expect_success();
            let attributes = stack::attributes(aws);
            assert_eq!(attributes["idle_timeout.timeout_seconds"], "120");
            assert_eq!(attributes["routing.http.desync_mitigation_mode"], "strictest");
            assert_eq!(attributes["access_logs.s3.prefix"], "requests");
            workspace.plan().expect_no_changes();
            workspace.destroy().expect_success();
            assert_eq!(stack::inventory(aws), before);
        }
    });
}

#[test]
fn security_groups_of_ones_own_may_be_unknown() {
    with_each_cli(|aws, workspace| {
        let groups = json!([aws.seed().instance_security_group_id]);
        let mut arguments: Value = stack::base_arguments(aws.seed()).into_iter().collect();
        arguments["protocol"] = json!("HTTP");
        arguments["security_group_ids"] = groups.clone();
        for sources in ["client_cidr_blocks", "instance_cidr_blocks"] {
            arguments[sources] = Value::Null;
        }
        let mut configuration = Configuration::default();
        configuration.add("onprem", arguments, &["/security_group_ids".to_owned()]);
        workspace.write("main.tf.json", &configuration.json());
        workspace.plan().expect_changes();
        workspace.apply().expect_success();
        assert_eq!(stack::load_balancer(aws)["SecurityGroups"], groups);
        workspace.plan().expect_no_changes();
    });
}

/// A managed prefix list of the account.
fn prefix_list(aws: &Account) -> String {
    let request = json!({
        "PrefixListName": "offices", "AddressFamily": "IPv4", "MaxEntries": 2,
        "Entries": [{ "Cidr": "192.0.2.0/24" }],
    });
    stack::text(&aws.call("ec2", "create_managed_prefix_list", request)["PrefixList"]["PrefixListId"])
}

#[test]
fn any_single_argument_may_be_unknown() {
    with_each_cli(|aws, workspace| {
        let mut every = arguments(aws.seed());
        every["client_prefix_list_ids"] = json!([prefix_list(aws)]);
        let mut configuration = Configuration::default();
        for path in paths(&every, false).into_iter().chain(paths(&every, true)) {
            configuration.add(&path.replace('/', "_"), every.clone(), &[path]);
        }
        // The subnets of the account have no IPv6 addresses: known, this would be an error.
        every["client_ipv6_cidr_blocks"] = json!(["2001:db8::/32"]);
        let unknown = ["/client_ipv6_cidr_blocks", "/ip_address_type"].map(str::to_owned);
        configuration.add("ipv6", every, &unknown);

        workspace.write("main.tf.json", &configuration.json());
        workspace.plan().expect_changes();
        assert!(aws.proxy().mutating_calls().is_empty(), "{:?}", aws.proxy().mutating_calls());
    });
}
