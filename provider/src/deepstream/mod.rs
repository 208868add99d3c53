//! `codestream_deepstream_cluster`: a cluster of deepstream servers behind a load balancer as one resource.
//!
//! | file | what is in it |
//! |---|---|
//! | `schema` | the one definition of every attribute |
//! | `validate` | what a configuration must satisfy, without asking AWS |
//! | `resolve`, `config` | the configuration with its defaults, as values and as plain types |
//! | `config_yaml`, `user_data`, `image` | what a node is made of: deepstream's configuration, cloud-init's, the image |
//! | `desired` | the graph of AWS objects that it asks for |
//! | `plan` | the planned state |
//! | `preflight` | what AWS says of a configuration before anything is touched |
//! | `state` | the state for a graph |

mod config;
pub(crate) mod config_yaml;
mod desired;
mod image;
mod plan;
mod preflight;
mod resolve;
#[cfg(test)]
mod samples;
mod schema;
mod state;
#[cfg(test)]
mod tests;
mod user_data;
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use async_trait::async_trait;
use tfplugin::diagnostics::Diagnostics;
use tfplugin::schema::Schema;
use tfplugin::value::Value;

use crate::aws::{Aws, AwsError, Tags};
use crate::resource::outputs::REDIRECT;
use crate::resource::private::{Applied, Private};
use crate::resource::rules::{Rule, Terms};
use crate::resource::{Common, Composite, LOAD_BALANCER, Managed, Preflight};
use crate::settings::Preflight as Mode;
use crate::stack::observe::Roles;
use crate::stack::{Desired, Observed};
use config::Config;
use desired::{CACHE, ClusterRoles, HTTP, HTTPS, NODE};

/// What makes up a `codestream_deepstream_cluster`.
pub(crate) struct DeepstreamCluster;

/// The resource type `codestream_deepstream_cluster`.
pub(crate) type Cluster = Managed<DeepstreamCluster>;

#[async_trait]
impl Composite for DeepstreamCluster {
    const TYPE_NAME: &'static str = "codestream_deepstream_cluster";
    const OWN_TAGS: usize = validate::OWN_TAGS;
    const TERMS: Terms = validate::TERMS;
    const RULES: &'static [Rule] = validate::RULES;

    const MOVE_REFUSAL: Option<&'static str> = Some(
        "A cluster is its nodes and its cache as well, which it finds only when it has made them itself. Remove the \
         moved block, and give the cluster a name that no load balancer has.",
    );

    fn schema() -> &'static Schema {
        schema::schema()
    }

    fn resolve(config: &Value) -> Value {
        resolve::resolve(config)
    }

    async fn preflight(
        aws: &dyn Aws,
        resolved: &Value,
        prior: Option<&Value>,
        private: &Private,
        mode: Mode,
    ) -> Preflight {
        preflight::check(aws, resolved, prior, private, mode, SystemTime::now()).await
    }

    fn planned(resolved: &Value, prior: Option<&Value>, tags_all: &Value, found: &Preflight) -> Value {
        plan::planned(resolved, prior, tags_all, found)
    }

    fn refused(planned: &Value, prior: &Value) -> Diagnostics {
        plan::refused(planned, prior)
    }

    /// The image, when no plan could ask which is the newest.
    async fn complete(aws: &dyn Aws, planned: &Value) -> Result<Value, AwsError> {
        let mut planned = planned.clone();
        if planned.get("ami_id").as_str().is_none() {
            let instance_type = planned.get("instance_type").as_str().unwrap_or(schema::DEFAULT_INSTANCE_TYPE);
            let image_id = image::newest(aws, instance_type).await?;
            planned.put("ami_id", image_id);
        }
        Ok(planned)
    }

    fn common(state: &Value) -> Option<Common> {
        let config = Config::parse(state)?;
        let records = config.dns_record.iter().flat_map(|record| record.records(&config.ip_address_type)).collect();
        Some(Common {
            records,
            name: config.name,
            subnet_ids: config.subnet_ids,
            security_group_ids: None,
            rules_in: None,
            on_unhealthy: config.on_unhealthy,
            timeouts: config.timeouts,
        })
    }

    fn roles(stack: &str) -> Box<dyn Roles> {
        Box::new(ClusterRoles::of(stack))
    }

    fn known(state: &Value) -> BTreeMap<String, &'static str> {
        let cleartext =
            if state.get("listeners").get("redirect_http").as_bool() == Some(true) { REDIRECT } else { HTTP };
        let named = [
            ("arn", LOAD_BALANCER),
            ("security_group_id", LOAD_BALANCER),
            ("node_security_group_id", NODE),
            ("cache_security_group_id", CACHE),
            ("cache_arn", CACHE),
            ("target_group_arn", NODE),
            ("http_listener_arn", cleartext),
            ("https_listener_arn", HTTPS),
        ];
        // Of the nodes it does not tell which are copies of others; the private state knows.
        let known = named.into_iter().map(|(output, role)| Some((state.get(output).as_str()?.to_owned(), role)));
        known.flatten().collect()
    }

    fn group_names(state: &Value) -> BTreeSet<String> {
        state.get("target_group_name").as_str().map(str::to_owned).into_iter().collect()
    }

    fn desired(planned: &Value, vpc_id: &str, tags: &Tags) -> Option<Desired> {
        let config = Config::parse(planned)?;
        let group = planned.get("target_group_name").as_str()?;
        Some(desired::desired(&config, group, vpc_id, tags))
    }

    fn imported(state: &Value, observed: &Observed) -> Value {
        state::imported(state, observed)
    }

    fn state(base: &Value, observed: &Observed, applied: Option<&Applied>) -> Value {
        state::state(base, observed, applied)
    }
}
