//! Calls: whatever the request, there is an answer, and no call panics.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use terraform_provider_codestream::Codestream;
use tfplugin::calls::Calls;
use tokio::runtime::{Builder, Runtime};

/// The calls, of which the first byte of an input chooses one.
const CALLS: [&str; 19] = [
    "GetMetadata",
    "GetProviderSchema",
    "GetResourceIdentitySchemas",
    "GetFunctions",
    "ValidateProviderConfig",
    "ConfigureProvider",
    "StopProvider",
    "ValidateResourceConfig",
    "UpgradeResourceState",
    "UpgradeResourceIdentity",
    "ReadResource",
    "PlanResourceChange",
    "ApplyResourceChange",
    "ImportResourceState",
    "MoveResourceState",
    "GenerateResourceConfig",
    "ValidateDataResourceConfig",
    "ReadDataSource",
    "CallFunction",
];

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));

/// Not configured, so that it never looks for AWS. What configures one is thrown away.
static CODESTREAM: LazyLock<Calls> = LazyLock::new(|| Calls::new(Arc::new(Codestream::new())));

fuzz_target!(|input: &[u8]| {
    let Some((choice, request)) = input.split_first() else { return };
    let rpc = CALLS[usize::from(*choice) % CALLS.len()];
    let configures = rpc == "ConfigureProvider";
    let calls = if configures { Calls::new(Arc::new(Codestream::new())) } else { CODESTREAM.clone() };
    let answer = RUNTIME.block_on(async {
        tokio::time::timeout(Duration::from_secs(10), calls.call(rpc, request)).await.expect("an answer")
    });
    if let Ok(answer) = answer {
        assert!(!String::from_utf8_lossy(&answer).contains("panicked"), "{rpc}");
    }
});
