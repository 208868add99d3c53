//! Reads: what they keep of the state when AWS cannot tell, and what they forget.

use std::sync::Arc;

use tfplugin::provider::{ReadRequest, Resource, Stop};
use tfplugin::value::Value;

use super::{built, configuration, full, http};
use crate::alb::Alb;
use crate::aws::fake::{ACCOUNT, Call, FakeAws, Fault};
use crate::settings::{Settings, Shared};

#[tokio::test(start_paused = true)]
async fn a_read_before_the_provider_block_is_known_keeps_what_is_known() {
    let core = built(&http()).await;
    let request = ReadRequest { state: core.state().clone(), private: b"kept".to_vec(), stop: Stop::new() };
    let answer = Alb::new(Shared::default()).read(request).await;
    assert_eq!((answer.state.as_ref(), answer.private.as_slice()), (Some(core.state()), &b"kept"[..]));
    assert!(answer.diagnostics.is_empty(), "{:?}", answer.diagnostics);
}

#[tokio::test(start_paused = true)]
async fn a_stack_is_not_forgotten_because_another_account_does_not_have_it() {
    let core = built(&http()).await;
    for (allowed, kept) in [("210987654321", true), (ACCOUNT, false)] {
        let mut settings = Settings::from_config(&Value::object([("allowed_account_ids", Value::set([allowed]))]));
        settings.aws = Some(Arc::new(FakeAws::new()));
        let shared = Shared::default();
        shared.set(settings);
        let request = ReadRequest { state: core.state().clone(), private: Vec::new(), stop: Stop::new() };
        let answer = Alb::new(shared).read(request).await;
        assert_eq!((answer.state.is_some(), answer.diagnostics.has_errors()), (kept, kept), "{:?}", answer.diagnostics);
    }
}

const CERTIFICATES: &str = "elasticloadbalancing:DescribeListenerCertificates";

#[tokio::test(start_paused = true)]
async fn a_read_asks_for_everything_at_once() {
    for (config, encrypted) in [(http(), 0), (full(), 2)] {
        let mut core = built(&config).await;
        let before = core.aws.calls().len();
        assert_eq!(core.changes(&configuration(&config)).await, Vec::<String>::new());
        let calls = core.aws.calls().split_off(before);
        assert_eq!(calls.iter().filter(|call| call.operation == CERTIFICATES).count(), encrypted);
        assert!(calls.iter().all(|call| call.at == calls[0].at), "{calls:?}");
    }
}

/// Whether AWS tells the certificates of a listener in cleartext is nowhere written.
#[tokio::test(start_paused = true)]
async fn that_aws_tells_no_certificates_counts_only_for_a_listener_that_is_still_encrypted() {
    let base = built(&full()).await;
    let config = configuration(&full());
    let listener = base.state().get("api").get("listener_arn").as_str().unwrap().to_owned();
    let is_asked = |call: &Call| call.operation == CERTIFICATES && call.detail == listener;
    for (protocol, fails) in [("HTTP", false), ("HTTPS", true)] {
        let mut core = base.fork();
        core.aws.state().listeners.get_mut(&listener).unwrap().settings.protocol = protocol.to_owned();
        let mut rehearsal = core.fork();
        rehearsal.changes(&config).await;
        let place = rehearsal.aws.calls().iter().position(is_asked).unwrap();
        core.aws.fail_at(place, Fault::Error("AccessDenied"));
        let shown = core.changes(&config).await;
        assert_eq!(shown.iter().any(|change| change.contains("AccessDenied")), fails, "{shown:?}");
        assert_eq!(core.aws.calls().iter().filter(|call| is_asked(call)).count(), 1);
    }
}
