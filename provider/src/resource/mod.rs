//! What the resources have in common: each is a graph of AWS objects around a load balancer, and lives the same life.
//!
//! | file | what is in it |
//! |---|---|
//! | `managed` | reading, planning, applying and importing: what Terraform asks for |
//! | `apply` | creating, changing and deleting |
//! | `find`, `take_over` | looking for what is there, and what an import or a `moved` block takes over |
//! | `preflight` | the plan-time checks against AWS that all resources have |
//! | `outputs` | the parts of planned states and of states that all resources have |
//! | `topology` | what a graph opens and where it leads, as an output |
//! | `names` | names that fit what AWS allows |
//! | `sources` | who may come in, as an import finds it |
//! | `private` | what is kept beside the state |
//! | `arguments`, `config` | parts of schemas and of configurations |
//! | `ssl_policies` | the security policies that AWS has |
//! | `forms`, `tags`, `rules` | what strings, tags, and arguments together must look like |

mod apply;
pub(crate) mod arguments;
pub(crate) mod config;
pub(crate) mod find;
pub(crate) mod forms;
mod managed;
pub(crate) mod names;
pub(crate) mod outputs;
pub(crate) mod preflight;
pub(crate) mod private;
pub(crate) mod rules;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod sources;
pub(crate) mod ssl_policies;
pub(crate) mod tags;
mod take_over;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod topology;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use tfplugin::diagnostics::Diagnostics;
use tfplugin::schema::Schema;
use tfplugin::value::Value;

use crate::aws::{Aws, AwsError, Tags, VpcInfo};
use crate::settings::Preflight as Mode;
use crate::stack::observe::Roles;
use crate::stack::{Desired, Observed, Record};
use config::{OnUnhealthy, Timeouts};
use private::{Applied, Private};
use rules::{Rule, Terms};

pub(crate) use managed::Managed;

/// The role of the load balancer, and of its security group.
pub(crate) const LOAD_BALANCER: &str = "load-balancer";

/// The arguments whose change needs another load balancer.
const REPLACING: [&str; 3] = ["name", "scheme", "vpc_id"];

/// What the life of a resource needs to know of its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Common {
    pub(crate) name: String,
    pub(crate) subnet_ids: BTreeSet<String>,
    /// The security groups that the user brings along, when there are any: then none is created.
    pub(crate) security_group_ids: Option<BTreeSet<String>>,
    /// A security group of somebody else's in which the stack is to keep rules.
    pub(crate) rules_in: Option<String>,
    /// The alias records to keep.
    pub(crate) records: Vec<Record>,
    pub(crate) on_unhealthy: OnUnhealthy,
    pub(crate) timeouts: Timeouts,
}

/// What the checks of a plan found.
#[derive(Debug, Default)]
pub(crate) struct Preflight {
    /// The VPC of the subnets, when they were looked up and have one in common.
    pub(crate) vpc_id: Option<String>,
    /// That VPC with its address blocks, when these were looked up.
    pub(crate) vpc: Option<VpcInfo>,
    /// Whether it was looked up that no load balancer has the name of the one to be made.
    pub(crate) name_is_free: bool,
    /// What would go wrong. With [`Mode::Warn`] none of it is an error, but for what cannot be planned.
    pub(crate) diagnostics: Diagnostics,
}

/// A resource type that is a graph of AWS objects around a load balancer: what makes it differ from the others.
#[async_trait]
pub(crate) trait Composite: Send + Sync + 'static {
    /// The type's name, in ownership tags as well.
    const TYPE_NAME: &'static str;

    /// How many tags it needs of an object for itself.
    const OWN_TAGS: usize;

    /// What the rules of all resources need to know of its arguments.
    const TERMS: Terms;

    /// What its arguments must satisfy beyond its schema and the rules of all resources.
    const RULES: &'static [Rule];

    /// Why it cannot take a load balancer of another provider over by a `moved` block, and what to do instead; `None`
    /// when it can.
    const MOVE_REFUSAL: Option<&'static str>;

    /// The attributes.
    fn schema() -> &'static Schema;

    /// A configuration with every default that is known at plan.
    fn resolve(config: &Value) -> Value;

    /// Checks a resolved configuration against AWS. `private` is what is kept beside the prior state; core hands it on
    /// when it plans the second half of a replacement, which has no prior.
    async fn preflight(
        aws: &dyn Aws,
        resolved: &Value,
        prior: Option<&Value>,
        private: &Private,
        mode: Mode,
    ) -> Preflight;

    /// The planned state of a resolved configuration.
    fn planned(resolved: &Value, prior: Option<&Value>, tags_all: &Value, found: &Preflight) -> Value;

    /// What a planned state asks of a stack that stays and AWS never does, as far as it is known without asking.
    fn refused(_planned: &Value, _prior: &Value) -> Diagnostics {
        Diagnostics::new()
    }

    /// Puts in what a planned state could not know and an apply must.
    async fn complete(_aws: &dyn Aws, planned: &Value) -> Result<Value, AwsError> {
        Ok(planned.clone())
    }

    /// What a planned or prior state says that every resource has; `None` while too much is unknown.
    fn common(state: &Value) -> Option<Common>;

    /// The roles of the objects of a stack.
    fn roles(stack: &str) -> Box<dyn Roles>;

    /// The ARNs and ids that a state names, with the roles of their objects.
    fn known(state: &Value) -> BTreeMap<String, &'static str>;

    /// The names of the target groups that a state names.
    fn group_names(state: &Value) -> BTreeSet<String>;

    /// The graph that a planned state asks for; `None` while too much is unknown.
    fn desired(planned: &Value, vpc_id: &str, tags: &Tags) -> Option<Desired>;

    /// The first state of an import, from the little that it knows: arguments that AWS does not tell.
    fn imported(state: &Value, observed: &Observed) -> Value;

    /// The state for a graph. `base` is the last state, or the planned one.
    fn state(base: &Value, observed: &Observed, applied: Option<&Applied>) -> Value;
}

/// A map of strings as tags.
pub(crate) fn tags_of(value: &Value) -> Tags {
    let entries = value.as_map().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
