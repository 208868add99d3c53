//! What an acceptance test stands on: real Terraform or OpenTofu, our provider, and a local AWS with a proxy before it.
//!
//! ```text
//! terraform / tofu -> provider -> proxy (logs, delays, breaks calls) -> moto with AWS's semantics put back
//!                                 test ---- looks, and changes things behind the provider's back ----^
//! ```
//!
//! [`DataPlane`] makes the load balancers of the local AWS serve, for tests with [`Client`]s and a [`Host`], or with
//! the real servers and clients of [`deepstream`].
//!
//! Every test works in an AWS account of its own ([`Account`]) on one server per test process, so tests do not collide.
#![allow(clippy::expect_used, clippy::panic, reason = "a step of a test that fails is a failed test")]

mod background;
mod calls;
mod client;
mod data_plane;
pub mod deepstream;
mod docs;
mod faults;
mod host;
mod local_aws;
pub mod plugin;
mod proxy;
mod terraform;
mod tls;
mod tools;

pub use background::{eventually, runtime};
pub use calls::Call;
pub use client::{Answer, Client, Site, Socket};
pub use data_plane::DataPlane;
pub use docs::Documentation;
pub use faults::{Fault, Rule};
pub use host::Host;
pub use local_aws::{Account, AwsError, Seed};
pub use proxy::Proxy;
pub use terraform::{Output, Workspace, unframed};
pub use tools::{
    Cli, Failure, Result, aws_provider, aws_provider_mirror, haproxy, platform, provider, python, released_provider,
    target_directory,
};

/// Runs a test once with every CLI on this machine, each time in a fresh account and an empty workspace.
///
/// # Panics
///
/// When something the test needs is missing, with what to do about it.
pub fn with_each_cli(test: impl Fn(&Account, &Workspace)) {
    for cli in Cli::all().expect("a CLI to test with") {
        let account = Account::new().expect("an AWS account");
        let workspace = Workspace::new(&cli, &account).expect("a workspace");
        test(&account, &workspace);
    }
}
