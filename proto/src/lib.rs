//! Terraform's plugin protocol 6, for a provider written in Rust.
//!
//! Terraform and OpenTofu start a provider as a child process and drive it over gRPC. This crate is that
//! whole conversation: the go-plugin handshake and mutual TLS ([`serve`]), the RPCs (`server`, and [`calls`] without a
//! process around them), the values and schemas that travel ([`value`], [`schema`], [`codec`]), and the traits a
//! provider implements ([`provider`]). It knows nothing of AWS.

pub mod calls;
pub mod codec;
pub mod diagnostics;
mod endpoint;
mod handshake;
pub mod log;
pub mod path;
pub mod provider;
pub mod schema;
pub mod serve;
mod server;
mod tls;
pub mod value;

/// The wire types, generated from `tfplugin6.proto`.
#[allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub(crate) mod wire {
    tonic::include_proto!("tfplugin6");
}

/// The services every go-plugin has, generated from `goplugin.proto`.
#[allow(
    missing_docs,
    dead_code,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated code"
)]
pub(crate) mod goplugin {
    tonic::include_proto!("plugin");
}
