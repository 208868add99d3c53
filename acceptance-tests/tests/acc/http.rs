//! The product's cleartext set-up, from nothing to nothing.

use acceptance_tests::with_each_cli;
use serde_json::{Value, json};

use crate::stack;

#[test]
fn http_is_created_as_the_product_has_it_planned_empty_and_destroyed_without_a_trace() {
    with_each_cli(|aws, workspace| {
        let (seed, before) = (aws.seed(), stack::inventory(aws));
        workspace.write("main.tf", &stack::http(seed, ""));
        workspace.plan().expect_changes();
        workspace.apply().expect_success();

        let balancer = stack::load_balancer(aws);
        assert_eq!(balancer["LoadBalancerName"], "codestream-alb");
        assert_eq!(balancer["Scheme"], "internet-facing");
        assert_eq!(balancer["Type"], "application");
        assert_eq!(balancer["IpAddressType"], "ipv4");
        let mut subnets: Vec<String> =
            stack::list(&balancer, "AvailabilityZones").iter().map(|zone| stack::text(&zone["SubnetId"])).collect();
        subnets.sort_by_key(|id| seed.public_subnet_ids.iter().position(|known| known == id));
        assert_eq!(subnets, seed.public_subnet_ids[..2]);
        let attributes = stack::attributes(aws);
        assert_eq!(attributes["idle_timeout.timeout_seconds"], "300");
        assert_eq!(attributes["routing.http.drop_invalid_header_fields.enabled"], "true");

        let expected =
            [80, 12080].map(|port| stack::product_listener(port, "HTTP", [&Value::Null; 2], &seed.instance_ids[..1]));
        assert_eq!(stack::listeners(aws), expected);
        assert_eq!(stack::rules(aws), stack::product_rules(seed, [80, 12080]));

        let state = workspace.attributes("codestream_alb", "onprem");
        let host = stack::text(&balancer["DNSName"]);
        assert_eq!(state["id"], balancer["LoadBalancerArn"]);
        assert_eq!(state["ready"], true);
        let patch: Value = serde_json::from_str(&stack::text(&state["services_config"])).expect("JSON");
        assert_eq!(patch["broadcastEngine"]["codestreamBroadcaster"]["host"], json!(host));
        assert!(stack::text(&patch["apiServer"]["publicApiUrl"]).starts_with(&format!("http://{host}")), "{patch}");

        workspace.plan().expect_no_changes();
        workspace.destroy().expect_success();
        assert_eq!(stack::inventory(aws), before);
    });
}
