//! What Terraform asks of a resource: reading, planning, applying and importing, for all of them the same.

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::provider::{
    ApplyRequest, ApplyResponse, ImportRequest, Imported, MoveRequest, PlanRequest, PlanResponse, ReadRequest,
    ReadResponse, Resource,
};
use tfplugin::schema::Schema;
use tfplugin::value::Value;
use tokio::sync::watch;
use tokio::time::timeout;

use super::arguments::identity_schema;
use super::private::Private;
use super::{Composite, LOAD_BALANCER, Preflight, REPLACING, apply, find, outputs, rules, tags, take_over};
use crate::aws::{Aws, LoadBalancerKey, Tags};
use crate::diagnose;
use crate::settings::{Preflight as Mode, Settings, Shared};
use crate::stack::NodeId;

/// A resource type, with the provider's settings.
pub(crate) struct Managed<C> {
    settings: Shared,
    identity: Schema,
    /// The load balancers that this process has refreshed; an empty name for those that are gone.
    read: Mutex<BTreeSet<String>>,
    /// How many reads core is about to ask for.
    expected: watch::Sender<usize>,
    kind: PhantomData<C>,
}

/// What a read is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum For {
    Managing,
    Telling,
}

/// The argument that protects a load balancer against deletion, where a resource has it.
const PROTECTION: &str = "enable_deletion_protection";

/// How long a read waits at most for others that are about to come: what they ask together takes fewer calls.
const COMPANY: Duration = Duration::from_millis(20);

impl<C: Composite> Managed<C> {
    /// The resource type, with the provider's settings.
    pub(crate) fn new(settings: Shared) -> Self {
        Self {
            settings,
            identity: identity_schema(),
            read: Mutex::default(),
            expected: watch::Sender::default(),
            kind: PhantomData,
        }
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
    ) -> Preflight {
        let Some(aws) = settings.aws.as_ref().filter(|_| settings.preflight != Mode::Off) else {
            return Preflight::default();
        };
        let mut private = Private::decode(private);
        if prior.is_none() {
            // Core plans the replacement of a tainted stack as a create. What it has just read is no stranger.
            let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
            private.objects.extend(read.iter().map(|arn| (arn.clone(), LOAD_BALANCER.to_owned())));
        }
        C::preflight(aws.as_ref(), resolved, prior, &private, settings.preflight).await
    }

    /// A plan that finds the subnets in another VPC asks for a replacement. As core applies an update it plans that
    /// again, with what was unknown until then, and takes no replacement that is new. Then it asks a process that has
    /// read nothing, unless somebody debugs it.
    fn keep_in_vpc(&self, resolved: &Value, prior: &Value, checked: &mut Preflight) {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let is_read = read.contains(arn_of(prior));
        let Some(there) = prior.get("vpc_id").as_str().filter(|_| !is_read && resolved.get("vpc_id").is_null()) else {
            return;
        };
        if let Some(other) = checked.vpc_id.take_if(|other| other != there) {
            diagnose::other_vpc(&mut checked.diagnostics, "The subnets are", there, &other);
        }
    }

    /// Who else uses a target group that the plan replaces or a listener that it deletes; asked only when it does.
    async fn foreign_users(&self, settings: &Settings, prior: &Value, planned: &Value, private: &[u8]) -> Diagnostics {
        let none = Diagnostics::new();
        let Some(aws) = settings.aws.as_ref().filter(|_| settings.preflight != Mode::Off) else { return none };
        let Some(wanted) = C::desired(planned, "", &Tags::new()) else { return none };
        let goes = |id: &NodeId| matches!(id, NodeId::Listener(_)) && !wanted.nodes.contains_key(id);
        let there = C::desired(prior, "", &Tags::new());
        let closes = there.is_some_and(|there| there.nodes.keys().any(goes));
        if !closes && C::group_names(prior) == C::group_names(planned) {
            return none;
        }
        let private = Private::decode(private);
        let Ok(owner) = find::owner_of::<C>(aws.as_ref(), prior, &private).await else { return none };
        let purpose = find::Purpose::Change;
        let Ok(found) = find::find_known::<C>(aws.as_ref(), prior, &private, &owner, purpose, None).await else {
            return none;
        };
        settings.preflight.tone(diagnose::refuse_foreign(&wanted, &found).err().unwrap_or_default())
    }

    /// What keeps a stack from its end, else what of others goes with it.
    async fn end(&self, settings: &Settings, prior: Option<&Value>, private: &[u8], verb: &str) -> Diagnostics {
        let Some(prior) = prior else { return Diagnostics::new() };
        let private = Private::decode(private);
        if private.protected || prior.get(PROTECTION).as_bool() == Some(true) {
            return refuse_protected::<C>(name_of(prior), verb);
        }
        let asked = settings.aws.as_ref().filter(|_| settings.preflight != Mode::Off);
        let Some(aws) = asked else { return Diagnostics::new() };
        // Without an answer the apply says it.
        let foreign = find::find_foreign::<C>(aws.as_ref(), prior, &private).await;
        diagnose::warn_of_foreign(&foreign.unwrap_or_default())
    }

    /// The state as AWS has it now; `None` when nothing of the stack is left. As long as anything is, it stays in
    /// the state, so that an apply completes it or a destroy ends it.
    async fn refreshed(&self, request: &ReadRequest, purpose: For) -> Result<Option<(Value, Vec<u8>)>, Diagnostics> {
        let (settings, aws) = self.aws()?;
        let private = Private::decode(&request.private);
        let name = request.state.get("name").as_str().unwrap_or_default().to_owned();
        let failed = |error| diagnose::failed("read", &name, &error);
        let owner = find::owner_of::<C>(aws.as_ref(), &request.state, &private).await.map_err(failed)?;
        let read = find::Purpose::Read;
        let found =
            find::find_known::<C>(aws.as_ref(), &request.state, &private, &owner, read, None).await.map_err(failed)?;
        if purpose == For::Managing {
            diagnose::refuse_unsuited(&found, &name)?;
        }
        if found.observed.is_gone() {
            // In another account nothing of it is to be seen either.
            settings.check_account().await?;
            return Ok(None);
        }
        let base = if private.imported { C::imported(&request.state, &found.observed) } else { request.state.clone() };
        let state = C::state(&base, &found.observed, private.applied.as_ref());
        self.read.lock().unwrap_or_else(PoisonError::into_inner).insert(arn_of(&state).to_owned());
        Ok(Some((state, private.refreshed(&owner.resource_id, &found.observed).encode())))
    }

    /// What an import would find, for whoever only wants to know.
    pub(crate) async fn described(&self, request: &ReadRequest) -> Result<Option<Value>, Diagnostics> {
        Ok(self.refreshed(request, For::Telling).await?.map(|(state, _)| state))
    }

    /// Does what a plan says. An error is one from before anything was touched.
    async fn changed(&self, request: ApplyRequest) -> Result<ApplyResponse, Diagnostics> {
        let (settings, aws) = self.aws()?;
        tokio::select! {
            biased;
            checked = settings.check_account() => checked?,
            () = request.stop.cancelled() => return Err(diagnose::stopped()),
        }
        match (request.prior, request.planned) {
            (None, Some(planned)) => apply::create::<C>(aws, &planned, &request.private, request.stop).await,
            (Some(prior), Some(planned)) => {
                apply::update::<C>(aws, &prior, &planned, &request.private, request.stop).await
            }
            (Some(prior), None) => apply::delete::<C>(aws, &prior, &request.private, request.stop).await,
            (None, None) => Ok(ApplyResponse::default()),
        }
    }
}

#[async_trait]
impl<C: Composite> Resource for Managed<C> {
    fn type_name(&self) -> &'static str {
        C::TYPE_NAME
    }

    fn schema(&self) -> &Schema {
        C::schema()
    }

    fn identity_schema(&self) -> Option<&Schema> {
        Some(&self.identity)
    }

    fn identity(&self, state: &Value) -> Option<Value> {
        let arn = state.get("arn");
        (!arn.is_null()).then(|| Value::object([("arn", arn.clone())]))
    }

    async fn validate(&self, config: &Value) -> Diagnostics {
        rules::validate::<C>(config)
    }

    fn expect_read(&self) {
        self.expected.send_modify(|reads| *reads += 1);
    }

    async fn read(&self, request: ReadRequest) -> ReadResponse {
        self.expected.send_modify(|reads| *reads = reads.saturating_sub(1));
        if self.settings.get().aws.is_none() {
            // Something in the provider block is not known yet. As long as that lasts, so does what is known.
            return ReadResponse { state: Some(request.state), private: request.private, ..ReadResponse::default() };
        }
        // Those that have not come by then are not waited for any longer.
        let _ = timeout(COMPANY, self.expected.subscribe().wait_for(|reads| *reads == 0)).await;
        match self.refreshed(&request, For::Managing).await {
            Ok(Some((state, private))) => ReadResponse { state: Some(state), private, diagnostics: Diagnostics::new() },
            Ok(None) => ReadResponse::default(),
            Err(diagnostics) => ReadResponse { state: Some(request.state), private: request.private, diagnostics },
        }
    }

    async fn plan(&self, request: PlanRequest) -> PlanResponse {
        let PlanRequest { prior, config, private, .. } = request;
        let settings = self.settings.get();
        let Some(config) = config else {
            let diagnostics = self.end(&settings, prior.as_ref(), &private, "destroyed").await;
            return PlanResponse { private, diagnostics, ..PlanResponse::default() };
        };
        let resolved = C::resolve(&config);
        let mut checked = self.preflight(&settings, &resolved, prior.as_ref(), &private).await;
        if let Some(prior) = &prior {
            self.keep_in_vpc(&resolved, prior, &mut checked);
        }
        let tags_all =
            settings.default_tags.as_ref().map_or(Value::Unknown, |defaults| outputs::tags_all(&resolved, defaults));
        let planned = C::planned(&resolved, prior.as_ref(), &tags_all, &checked);
        let requires_replace = prior.as_ref().map(|prior| requires_replace(&planned, prior)).unwrap_or_default();
        let kept = Private::decode(&private);
        // Core plans a replacement a second time, as a create: that is when the checks speak, and when it tells that the
        // user asks for one.
        let mut diagnostics = if prior.is_none() && kept.protected {
            refuse_protected::<C>(name_of(&planned), "replaced")
        } else if requires_replace.is_empty() {
            checked.diagnostics
        } else {
            self.end(&settings, prior.as_ref(), &private, "replaced").await
        };
        let records = C::common(&planned).map(|common| common.records).unwrap_or_default();
        diagnostics.extend(diagnose::refuse_routed(records.iter().filter(|record| kept.is_routed(record))));
        if let Some(prior) = prior.as_ref().filter(|_| requires_replace.is_empty()) {
            diagnostics.extend(C::refused(&planned, prior));
            diagnostics.extend(self.foreign_users(&settings, prior, &planned, &private).await);
        }
        // Each half was checked by itself; together they may be too many.
        diagnostics.extend(tags::validate(&tags_all, &Path::of("tags"), C::OWN_TAGS));
        let private =
            if prior.is_none() { kept.for_create(checked.vpc, checked.name_is_free).encode() } else { private };
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
                    "There is no Application Load Balancer {id:?} in this account and region. Give the name or the ARN \
                     of one that exists."
                ),
            ));
        };
        Ok(take_over::imported(C::schema(), &info.arn, &info.name, &info.vpc_id))
    }

    async fn move_state(&self, request: MoveRequest) -> Result<Imported, Diagnostics> {
        take_over::moved::<C>(&request)
    }
}

/// The arguments whose change needs another load balancer.
fn requires_replace(planned: &Value, prior: &Value) -> Vec<Path> {
    let changed = |argument: &&str| {
        let (planned, prior) = (planned.get(argument), prior.get(argument));
        planned != prior && !prior.is_null()
    };
    REPLACING.into_iter().filter(changed).map(Path::of).collect()
}

fn name_of(state: &Value) -> &str {
    state.get("name").as_str().unwrap_or_default()
}

fn arn_of(state: &Value) -> &str {
    state.get("arn").as_str().unwrap_or_default()
}

/// Deletion protection is somebody's word: nothing is touched before it is taken back.
pub(super) fn refuse_protected<C: Composite>(name: &str, verb: &str) -> Diagnostics {
    let (path, remedy) = if C::schema().attribute(PROTECTION).is_some() {
        (Path::of(PROTECTION), format!("Set {PROTECTION} to false, apply that, and then try again."))
    } else {
        let remedy = "Somebody has set it in AWS. An apply that neither destroys nor replaces anything takes it off: it shows in load_balancer_attributes. Do that, and then try again.";
        (Path::root(), remedy.to_owned())
    };
    let mut diagnostics = Diagnostics::new();
    diagnostics.error_at(
        path,
        "The load balancer is protected against deletion",
        format!("The load balancer {name} would be {verb}, but has deletion protection. {remedy}"),
    );
    diagnostics
}
