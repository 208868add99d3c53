//! The codestream provider for Terraform and OpenTofu.
//!
//! One apply, from top to bottom; each line is one place:
//!
//! ```text
//! HCL -> terraform / tofu -> gRPC          crate tfplugin
//! alb, deepstream   configuration -> Config -> Desired, and the state back
//! resource     what both have in common
//! stack        Observed, Plan, apply: the graph of AWS objects that is one resource
//! aws          the calls, in our own types
//! diagnose     errors -> what the user is told
//! ```

mod alb;
mod aws;
#[cfg(feature = "bench")]
pub mod bench;
mod certificate;
mod data_sources;
mod deepstream;
mod diagnose;
mod duration;
mod functions;
mod provider;
mod resource;
mod settings;
mod stack;

pub use provider::Codestream;

/// The provider's name in source addresses.
pub const ADDRESS: &str = "registry.terraform.io/codestream/codestream";
/// The provider's file name.
pub const NAME: &str = "terraform-provider-codestream";
/// The provider's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
