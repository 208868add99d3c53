//! The product's encrypted set-up, from nothing to nothing.

use acceptance_tests::with_each_cli;
use serde_json::{Value, json};

use crate::stack;

#[test]
fn https_is_created_as_the_product_has_it_planned_empty_and_destroyed_without_a_trace() {
    with_each_cli(|aws, workspace| {
        let (seed, before) = (aws.seed(), stack::inventory(aws));
        workspace.write("main.tf", &stack::https(seed, ""));
        workspace.plan().expect_changes();
        workspace.apply().expect_success();

        let tls = [json!(seed.certificate_arn), json!("ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09")];
        let expected = [443, 12443]
            .map(|port| stack::product_listener(port, "HTTPS", [&tls[0], &tls[1]], &seed.instance_ids[..1]));
        assert_eq!(stack::listeners(aws), expected);
        assert_eq!(stack::rules(aws), stack::product_rules(seed, [443, 12443]));

        let state = workspace.attributes("codestream_alb", "onprem");
        let patch: Value = serde_json::from_str(&stack::text(&state["services_config"])).expect("JSON");
        let hostname = &seed.hostname;
        assert!(
            stack::text(&patch["apiServer"]["publicApiUrl"]).starts_with(&format!("https://{hostname}")),
            "{patch}"
        );
        assert_eq!(patch["broadcastEngine"]["codestreamBroadcaster"]["host"], json!(hostname));
        assert_eq!(patch["ssl"]["certfile"], "/opt/config/cert.pem");
        assert_eq!(patch["ssl"]["keyfile"], "/opt/config/key.pem");

        workspace.plan().expect_no_changes();
        workspace.destroy().expect_success();
        assert_eq!(stack::inventory(aws), before);
    });
}

#[test]
fn a_redirect_listener_answers_http_when_it_is_asked_for() {
    with_each_cli(|aws, workspace| {
        workspace.write("main.tf", &stack::https(aws.seed(), "redirect_http = true"));
        workspace.apply().expect_success();
        let ports: Vec<Value> = stack::listeners(aws).iter().map(|one| json!([one["port"], one["action"]])).collect();
        assert_eq!(ports, [json!([80, "redirect"]), json!([443, "forward"]), json!([12443, "forward"])]);
        workspace.plan().expect_no_changes();
    });
}

#[test]
fn a_certificate_that_is_not_issued_is_refused_before_anything_is_made() {
    with_each_cli(|aws, workspace| {
        let seed = aws.seed();
        let arguments = format!("certificate_arn = {}", json!(seed.pending_certificate_arn));
        workspace.write("main.tf", &stack::http(seed, &arguments).replace("\"HTTP\"", "\"HTTPS\""));
        workspace.plan().expect_error("PENDING_VALIDATION");
        assert!(aws.proxy().mutating_calls().is_empty(), "{:?}", aws.proxy().mutating_calls());
    });
}
