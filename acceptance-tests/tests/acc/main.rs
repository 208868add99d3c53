//! Real Terraform or OpenTofu with our provider, against a local AWS that each test has to itself.
#![allow(clippy::expect_used, clippy::panic, reason = "a step of a test that fails is a failed test")]

mod faults;
mod for_each;
mod http;
mod https;
mod import;
mod local_aws;
mod plugin;
mod stack;
mod unknowns;
mod update;
