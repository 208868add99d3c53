//! deepstream: what its servers are configured with.

pub(crate) mod config_yaml;
