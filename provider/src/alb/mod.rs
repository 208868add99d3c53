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
//! | `find`, `import`, `take_over` | looking for what is there, and what of it an import or a `moved` block takes over |
//! | `apply` | creating, changing and deleting |
//! | `state`, `services_config` | the state for a graph |

mod apply;
mod config;
mod desired;
mod find;
mod import;
mod plan;
mod preflight;
mod resolve;
#[cfg(test)]
mod samples;
mod schema;
mod services_config;
mod state;
mod take_over;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use async_trait::async_trait;
use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::provider::{
    ApplyRequest, ApplyResponse, ImportRequest, Imported, MoveRequest, PlanRequest, PlanResponse, ReadRequest,
    ReadResponse, Resource,
};
use tfplugin::schema::Schema;
use tfplugin::value::Value;

use crate::aws::{Aws, LoadBalancerKey, Tags};
use crate::diagnose;
use crate::resource::private::Private;
use crate::settings::{Settings, Shared};
use config::{Config, Role};

/// The resource type `codestream_alb`.
pub(crate) struct Alb {
    settings: Shared,
    schema: Schema,
    identity: Schema,
    /// The load balancers that this process has refreshed.
    read: Mutex<BTreeSet<String>>,
}

impl Alb {
    /// The resource type, with the provider's settings.
    pub(crate) fn new(settings: Shared) -> Self {
        Self { settings, schema: schema::schema(), identity: schema::identity_schema(), read: Mutex::default() }
    }

    /// AWS, when the provider is configured.
    fn aws(&self) -> Result<(Arc<Settings>, Arc<dyn Aws>), Diagnostics> {
        let settings = self.settings.get();
        let aws = settings.aws.clone().ok_or_else(diagnose::not_configured)?;
        Ok((settings, aws))
    }

    /// What the plan-time checks say.
    async fn preflight(
        &self,
        settings: &Settings,
        resolved: &Value,
        prior: Option<&Value>,
        private: &[u8],
    ) -> preflight::Preflight {
        let Some(aws) = &settings.aws else { return preflight::Preflight::default() };
        let mut private = Private::decode(private);
        if prior.is_none() {
            // Core plans the replacement of a tainted stack as a create. What it has just read is no stranger.
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            private.objects.extend(read.iter().map(|arn| (arn.clone(), desired::LOAD_BALANCER.to_owned())));
        }
        preflight::check(aws.as_ref(), resolved, prior, &private, settings.preflight, SystemTime::now()).await
    }
}

impl Alb {
    /// Who else uses a target group that the plan replaces; asked only when it does.
    async fn foreign_users(
        &self,
        settings: &Settings,
        prior: Option<&Value>,
        planned: &Value,
        private: &[u8],
    ) -> Diagnostics {
        let none = Diagnostics::new();
        let (Some(prior), Some(aws), Some(config)) = (prior, &settings.aws, Config::parse(planned)) else {
            return none;
        };
        let name = |state: &Value, role: Role| state.get(role.name()).get("target_group_name").clone();
        let replaces = Role::ALL.into_iter().any(|role| name(prior, role) != name(planned, role));
        if !replaces || settings.preflight == crate::settings::Preflight::Off {
            return none;
        }
        let private = Private::decode(private);
        let Ok(owner) = find::owner_of(aws.as_ref(), prior, &private).await else { return none };
        let purpose = find::Purpose::Change;
        let Ok(found) = find::find_known(aws.as_ref(), prior, &private, &owner, purpose, None).await else {
            return none;
        };
        let wanted = desired::desired(&config, &plan::planned_names(planned), "", &Tags::new());
        diagnose::refuse_foreign(&wanted, &found).err().unwrap_or_default()
    }
}

#[async_trait]
impl Resource for Alb {
    fn type_name(&self) -> &'static str {
        find::TYPE_NAME
    }

    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn identity_schema(&self) -> Option<&Schema> {
        Some(&self.identity)
    }

    fn identity(&self, state: &Value) -> Option<Value> {
        let arn = state.get("arn");
        (!arn.is_null()).then(|| Value::object([("arn", arn.clone())]))
    }

    async fn validate(&self, config: &Value) -> Diagnostics {
        validate::validate(config)
    }

    async fn read(&self, request: ReadRequest) -> ReadResponse {
        match self.refreshed(&request).await {
            Ok(Some((state, private))) => ReadResponse { state: Some(state), private, diagnostics: Diagnostics::new() },
            Ok(None) => ReadResponse::default(),
            Err(diagnostics) => ReadResponse { state: Some(request.state), private: request.private, diagnostics },
        }
    }

    async fn plan(&self, request: PlanRequest) -> PlanResponse {
        let PlanRequest { prior, config, private, .. } = request;
        let Some(config) = config else {
            return PlanResponse {
                private,
                diagnostics: refuse_protected(prior.as_ref(), "destroyed"),
                ..PlanResponse::default()
            };
        };
        let settings = self.settings.get();
        let resolved = resolve::resolve(&config);
        let checked = self.preflight(&settings, &resolved, prior.as_ref(), &private).await;
        let tags_all =
            settings.default_tags.as_ref().map_or(Value::Unknown, |defaults| plan::tags_all(&resolved, defaults));
        let planned = plan::planned(&resolved, prior.as_ref(), &tags_all, checked.vpc_id.as_deref());
        let requires_replace = prior.as_ref().map(|prior| plan::requires_replace(&planned, prior)).unwrap_or_default();
        let foreign = self.foreign_users(&settings, prior.as_ref(), &planned, &private).await;
        // Core plans a replacement a second time, as a create: that is when the checks speak.
        let diagnostics = if requires_replace.is_empty() {
            checked.diagnostics
        } else {
            refuse_protected(prior.as_ref(), "replaced")
        };
        let mut diagnostics = diagnostics;
        diagnostics.extend(foreign);
        PlanResponse { planned: Some(planned), requires_replace, private, diagnostics }
    }

    async fn apply(&self, request: ApplyRequest) -> ApplyResponse {
        let kept = (request.prior.clone(), request.private.clone());
        match self.changed(request).await {
            Ok(response) => response,
            Err(diagnostics) => ApplyResponse { state: kept.0, private: kept.1, diagnostics },
        }
    }

    async fn import(&self, request: ImportRequest) -> Result<Imported, Diagnostics> {
        let (_, aws) = self.aws()?;
        let identity = request.identity.as_ref().map(|identity| identity.get("arn").clone());
        let id = request.id.or_else(|| identity.and_then(|arn| arn.as_str().map(str::to_owned))).unwrap_or_default();
        let key =
            if id.starts_with("arn:") { LoadBalancerKey::Arn(id.clone()) } else { LoadBalancerKey::Name(id.clone()) };
        let found = aws.load_balancer(&key).await.map_err(|error| diagnose::failed("find", &id, &error))?;
        let Some(info) = found.filter(|info| info.kind == "application") else {
            return Err(Diagnostics::of_error(
                "No such load balancer",
                format!(
                    "There is no Application Load Balancer {id:?} in this account and region. Give the name or the ARN of one that exists."
                ),
            ));
        };
        Ok(take_over::imported(&self.schema, &info.arn, &info.name, &info.vpc_id))
    }

    async fn move_state(&self, request: MoveRequest) -> Result<Imported, Diagnostics> {
        take_over::moved(&self.schema, &request)
    }
}

impl Alb {
    /// The state as AWS has it now; `None` when nothing of the stack is left. As long as anything is, it stays in
    /// the state, so that an apply completes it or a destroy ends it.
    async fn refreshed(&self, request: &ReadRequest) -> Result<Option<(Value, Vec<u8>)>, Diagnostics> {
        let (_, aws) = self.aws()?;
        let private = Private::decode(&request.private);
        let name = request.state.get("name").as_str().unwrap_or_default().to_owned();
        let failed = |error| diagnose::failed("read", &name, &error);
        let owner = find::owner_of(aws.as_ref(), &request.state, &private).await.map_err(failed)?;
        let purpose = find::Purpose::Read;
        let found =
            find::find_known(aws.as_ref(), &request.state, &private, &owner, purpose, None).await.map_err(failed)?;
        if found.observed.is_gone() {
            return Ok(None);
        }
        let base =
            if private.imported { import::completed(&request.state, &found.observed) } else { request.state.clone() };
        let state = state::state(&base, &found.observed, private.applied.as_ref());
        let arn = state.get("arn").as_str().map(str::to_owned);
        self.read.lock().unwrap_or_else(PoisonError::into_inner).extend(arn);
        Ok(Some((state, private.refreshed(&owner.resource_id, &found.observed).encode())))
    }
}

/// Deletion protection is the user's word: nothing is touched before it is taken back.
fn refuse_protected(prior: Option<&Value>, verb: &str) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    if let Some(prior) = prior.filter(|prior| prior.get("enable_deletion_protection").as_bool() == Some(true)) {
        let name = prior.get("name").as_str().unwrap_or_default();
        diagnostics.error_at(
            Path::of("enable_deletion_protection"),
            "The load balancer is protected against deletion",
            format!("The load balancer {name} would be {verb}, but has deletion protection. Set enable_deletion_protection to false, apply that, and then try again."),
        );
    }
    diagnostics
}

/// The port and protocol of a target group in a state.
fn endpoint_protocol(state: &Value, group: &str) -> Option<(i64, String)> {
    let groups = state.get("topology").get("target_groups").as_list()?;
    let group = groups.iter().find(|known| known.get("name").as_str() == Some(group))?;
    Some((group.get("port").as_i64()?, group.get("protocol").as_str()?.to_owned()))
}

/// A map of strings as tags.
fn tags_of(value: &Value) -> Tags {
    let entries = value.as_map().into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}
