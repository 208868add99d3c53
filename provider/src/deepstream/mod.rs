//! `codestream_deepstream_cluster`: a cluster of deepstream servers behind a load balancer as one resource.
//!
//! | file | what is in it |
//! |---|---|
//! | `schema` | the one definition of every attribute |
//! | `validate` | what a configuration must satisfy, without asking AWS |
//! | `resolve`, `config` | the configuration with its defaults, as values and as plain types |
//! | `config_yaml`, `user_data` | what a node is given: deepstream's configuration, and what cloud-init makes of it |

pub(crate) mod config;
pub(crate) mod config_yaml;
mod resolve;
#[cfg(test)]
mod samples;
mod schema;
pub(crate) mod user_data;
mod validate;
