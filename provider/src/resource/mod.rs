//! What the resources have in common: each is a graph of AWS objects around a load balancer.
//!
//! | file | what is in it |
//! |---|---|
//! | `arguments`, `config` | parts of schemas and of configurations |
//! | `forms`, `tags`, `rules` | what strings, tags, and arguments together must look like |
//! | `topology` | what a graph opens and where it leads, as an output |
//! | `private` | what is kept beside the state |

pub(crate) mod arguments;
pub(crate) mod config;
pub(crate) mod forms;
pub(crate) mod private;
pub(crate) mod rules;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod tags;
pub(crate) mod topology;

/// The role of the load balancer, and of its security group.
pub(crate) const LOAD_BALANCER: &str = "load-balancer";
