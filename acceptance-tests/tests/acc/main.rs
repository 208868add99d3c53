//! Real Terraform or OpenTofu with our provider, against a local AWS that each test has to itself.
#![allow(clippy::expect_used, clippy::panic, reason = "a step of a test that fails is a failed test")]

mod bad_input;
mod call_counts;
mod certificates;
mod cloud_init;
mod cluster;
mod cluster_drift;
mod cluster_for_real;
mod cluster_traffic;
mod continuity;
mod docs;
mod drift;
mod examples;
mod faults;
mod for_each;
mod http;
mod https;
mod import;
mod install;
mod local_aws;
mod permissions;
mod plugin;
mod policy;
mod postcondition;
mod release;
mod secrets;
mod stack;
mod takeover;
mod traffic;
mod unknown_list;
mod unknowns;
mod update;
