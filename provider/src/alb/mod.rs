//! `codestream_alb`: the whole load balancer of a CodeStream On-Prem host as one resource.
//!
//! | file | what is in it |
//! |---|---|
//! | `schema` | the one definition of every attribute |
//! | `validate` | what a configuration must satisfy, without asking AWS |
//! | `resolve`, `config` | the configuration with its defaults, as values and as plain types |
//! | `desired` | the graph of AWS objects that it asks for |
//! | `plan` | the planned state |
//! | `preflight` | what AWS says of a configuration before anything is touched |
//! | `import` | what of what is there an import takes over |
//! | `state`, `services_config` | the state for a graph |

mod config;
mod desired;
mod import;
mod plan;
mod preflight;
mod resolve;
#[cfg(test)]
mod samples;
mod schema;
mod services_config;
mod state;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use async_trait::async_trait;
use tfplugin::schema::Schema;
use tfplugin::value::Value;

use crate::aws::{Aws, Tags};
use crate::resource::private::{Applied, Private};
use crate::resource::rules::{Rule, Terms};
use crate::resource::{Common, Composite, LOAD_BALANCER, Managed, Preflight};
use crate::settings::Preflight as Mode;
use crate::stack::observe::Roles;
use crate::stack::ownership;
use crate::stack::{Desired, Observed};
use config::{Config, Role};
use desired::AlbRoles;

/// What makes up a `codestream_alb`.
pub(crate) struct CodestreamAlb;

/// The resource type `codestream_alb`.
pub(crate) type Alb = Managed<CodestreamAlb>;

#[async_trait]
impl Composite for CodestreamAlb {
    const TYPE_NAME: &'static str = "codestream_alb";
    const OWN_TAGS: usize = ownership::COUNT;
    const TERMS: Terms = validate::TERMS;
    const RULES: &'static [Rule] = validate::RULES;
    const MOVE_REFUSAL: Option<&'static str> = None;

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
        plan::planned(resolved, prior, tags_all, found.vpc_id.as_deref())
    }

    fn common(state: &Value) -> Option<Common> {
        let config = Config::parse(state)?;
        Some(Common {
            records: desired::records(&config),
            name: config.name,
            subnet_ids: config.subnet_ids,
            security_group_ids: config.security_group_ids,
            rules_in: config.instance_security_group_id,
            on_unhealthy: config.on_unhealthy,
            timeouts: config.timeouts,
        })
    }

    fn roles(stack: &str) -> Box<dyn Roles> {
        Box::new(AlbRoles::of(stack))
    }

    fn known(state: &Value) -> BTreeMap<String, &'static str> {
        let mut known = BTreeMap::new();
        let mut add = |value: &Value, role: &'static str| {
            if let Some(id) = value.as_str() {
                known.insert(id.to_owned(), role);
            }
        };
        add(state.get("arn"), LOAD_BALANCER);
        add(state.get("security_group_id"), LOAD_BALANCER);
        for role in Role::ALL {
            let endpoint = state.get(role.name());
            add(endpoint.get("listener_arn"), role.name());
            add(endpoint.get("target_group_arn"), role.name());
        }
        known
    }

    fn group_names(state: &Value) -> BTreeSet<String> {
        plan::planned_names(state).into_values().collect()
    }

    fn desired(planned: &Value, vpc_id: &str, tags: &Tags) -> Option<Desired> {
        let config = Config::parse(planned)?;
        Some(desired::desired(&config, &plan::planned_names(planned), vpc_id, tags))
    }

    fn imported(state: &Value, observed: &Observed) -> Value {
        import::completed(state, observed)
    }

    fn state(base: &Value, observed: &Observed, applied: Option<&Applied>) -> Value {
        state::state(base, observed, applied)
    }
}
