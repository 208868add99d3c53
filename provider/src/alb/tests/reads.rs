//! Reads: what they keep of the state when AWS cannot tell, and what they forget.

use std::sync::Arc;

use tfplugin::provider::{ReadRequest, Resource, Stop};
use tfplugin::value::Value;

use super::{built, http};
use crate::alb::Alb;
use crate::aws::fake::{ACCOUNT, FakeAws};
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
