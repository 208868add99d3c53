//! Stands in for Terraform core around the resource: it holds the state and the private state, asks for plans,
//! checks answers as core does, and saves what core would save, also when the provider dies.

use std::collections::BTreeSet;
use std::sync::Arc;

use tfplugin::diagnostics::{Diagnostic, Diagnostics, Severity};
use tfplugin::provider::{
    ApplyRequest, ApplyResponse, ImportRequest, PlanRequest, PlanResponse, ReadRequest, Resource, Stop,
};
use tfplugin::schema::{Attribute, Mode};
use tfplugin::value::Value;

use crate::aws::fake::{FakeAws, State};
use crate::resource::private::Private;
use crate::resource::{Composite, Managed};
use crate::settings::{Preflight, Settings, Shared};

/// One resource in one state file.
pub(crate) struct Core<C> {
    pub(crate) aws: FakeAws,
    pub(crate) stop: Stop,
    mode: Preflight,
    resource: Managed<C>,
    state: Option<Value>,
    private: Vec<u8>,
    tainted: bool,
}

/// How one run of core ended.
#[derive(Debug, Default)]
pub(crate) struct Applied {
    pub(crate) diagnostics: Diagnostics,
    /// The planned state, when anything was planned.
    pub(crate) planned: Option<Value>,
    /// Whether the provider died.
    pub(crate) crashed: bool,
    /// What core itself would say against the provider's answers.
    pub(crate) complaints: Vec<String>,
}

impl Applied {
    pub(crate) fn errors(&self) -> Vec<String> {
        self.of(Severity::Error)
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.of(Severity::Warning)
    }

    fn of(&self, severity: Severity) -> Vec<String> {
        let text = |found: &Diagnostic| format!("{}: {}", found.summary, found.detail);
        self.diagnostics.iter().filter(|found| found.severity == severity).map(text).collect()
    }

    /// Everything that makes a run a failed one.
    pub(crate) fn faults(&self) -> Vec<String> {
        let crash = self.crashed.then(|| "the provider died".to_owned());
        self.complaints.iter().cloned().chain(self.errors()).chain(crash).collect()
    }

    /// Fails the test unless the run was a success.
    #[track_caller]
    pub(crate) fn succeeded(&self) {
        assert_eq!(self.faults(), Vec::<String>::new());
    }

    /// Takes messages in; `None` when there is an error among them.
    fn take(&mut self, diagnostics: Diagnostics) -> Option<()> {
        let failed = diagnostics.has_errors();
        self.diagnostics.extend(diagnostics);
        (!failed).then_some(())
    }
}

impl<C: Composite> Core<C> {
    /// Core without a state.
    pub(crate) fn new(aws: FakeAws) -> Self {
        let mode = Preflight::Off;
        let resource = Managed::new(configured(&aws, mode));
        Self { aws, stop: Stop::new(), mode, resource, state: None, private: Vec::new(), tainted: false }
    }

    /// The same state over a copy of the same AWS.
    pub(crate) fn fork(&self) -> Self {
        let (state, private, tainted) = (self.state.clone(), self.private.clone(), self.tainted);
        Self { state, private, tainted, ..Self::new(self.aws.fork()) }
    }

    /// Has plans checked from now on, in this mode, by another process of the provider.
    pub(crate) fn check_plans(&mut self, mode: Preflight) {
        self.mode = mode;
        self.resource = Managed::new(configured(&self.aws, mode));
    }

    pub(crate) fn state(&self) -> &Value {
        self.state.as_ref().unwrap_or(&Value::Null)
    }

    pub(crate) fn is_tainted(&self) -> bool {
        self.tainted
    }

    /// The resource id in the private state; empty without one.
    pub(crate) fn resource_id(&self) -> String {
        Private::decode(&self.private).resource_id
    }

    /// The objects tagged as this stack's that neither the state nor the private state names.
    pub(crate) fn forgotten(&self, stack: &str) -> Vec<String> {
        let private = Private::decode(&self.private);
        let known: BTreeSet<&String> = private.objects.keys().collect();
        let tagged = self.aws.objects_tagged("codestream:stack", stack);
        let named = |id: &String| self.state.is_some() && known.contains(id);
        tagged.into_iter().filter(|id| !id.starts_with("sgr-") && !named(id)).collect()
    }

    /// `terraform apply` of this configuration; `terraform destroy` of none.
    pub(crate) async fn apply(&mut self, config: Option<&Value>) -> Applied {
        let mut applied = Applied::default();
        match config {
            Some(config) => self.converge(config, false, &mut applied).await,
            None => self.clear(&mut applied).await,
        };
        applied
    }

    /// The end of what was deposed for another: core does not refresh it in between.
    pub(crate) async fn end_deposed(&mut self) -> Applied {
        let mut applied = Applied::default();
        self.destroy(&mut applied).await;
        applied
    }

    /// `terraform apply` of a plan for this configuration, after which somebody does something else first.
    pub(crate) async fn apply_after(&mut self, config: &Value, meanwhile: fn(&mut State)) -> Applied {
        let mut applied = Applied::default();
        if self.refresh(&mut applied).await.is_some() {
            let prior = self.state.clone();
            let plan = self.plan(prior.as_ref(), config, self.private.clone(), &mut applied).await;
            if let Some(plan) = plan {
                meanwhile(&mut self.aws.state());
                self.put(prior, plan, config, &mut applied).await;
            }
        }
        applied
    }

    /// All of AWS, with the random ids of the stack and of a neighbour by other names.
    pub(crate) fn picture(&self, neighbour: &str) -> String {
        let mut text = self.aws.snapshot().to_string();
        let neighbour = {
            let state = self.aws.state();
            let mut balancers = state.load_balancers.values().filter(|found| found.info.name == neighbour);
            balancers.find_map(|found| found.tags.get("codestream:resource-id").cloned())
        };
        let named = [(self.resource_id(), "<this stack>"), (neighbour.unwrap_or_default(), "<its neighbour>")];
        for (id, name) in named.into_iter().filter(|(id, _)| !id.is_empty()) {
            text = text.replace(&id, name);
        }
        text
    }

    /// `terraform apply -replace` of this configuration.
    pub(crate) async fn replace(&mut self, config: &Value) -> Applied {
        let mut applied = Applied::default();
        self.converge(config, true, &mut applied).await;
        applied
    }

    /// `terraform untaint`.
    pub(crate) fn untaint(&mut self) {
        self.tainted = false;
    }

    /// `terraform import`, without the plan that follows.
    pub(crate) async fn import(&mut self, id: &str) -> Applied {
        self.import_by(ImportRequest { id: Some(id.to_owned()), identity: None }).await
    }

    /// The import of an `import` block, without the plan that follows.
    pub(crate) async fn import_by(&mut self, request: ImportRequest) -> Applied {
        let mut applied = Applied::default();
        match self.resource.import(request).await {
            Ok(imported) => {
                (self.state, self.private, self.tainted) = (Some(imported.state), imported.private, false);
                self.refresh(&mut applied).await;
            }
            Err(diagnostics) => applied.diagnostics.extend(diagnostics),
        }
        applied
    }

    /// What `terraform plan` shows: every path that would change, errors included. Empty when there is nothing
    /// to do.
    pub(crate) async fn changes(&mut self, config: &Value) -> Vec<String> {
        let mut applied = Applied::default();
        let mut found = Vec::new();
        if self.refresh(&mut applied).await.is_some() {
            let private = self.private.clone();
            let plan = self.plan(self.state.as_ref(), config, private, &mut applied).await;
            if let Some(plan) = plan {
                let planned = plan.planned.unwrap_or_default();
                differences(self.state(), &planned, "", &mut found);
                found.extend(plan.requires_replace.iter().map(|path| format!("{path} forces replacement")));
            }
        }
        found.extend(applied.faults());
        found
    }

    /// What a plan tells while arguments are unknown that turns out otherwise once they are known: core takes that for a bug.
    /// Then it plans in another process.
    pub(crate) async fn surprises(&mut self, unknown: &Value, known: &Value) -> Vec<String> {
        let mut applied = Applied::default();
        let mut plans = Vec::new();
        for config in [unknown, known] {
            let plan = self.plan(self.state.as_ref(), config, self.private.clone(), &mut applied).await;
            plans.push(plan.and_then(|plan| plan.planned).unwrap_or_default());
            self.check_plans(self.mode);
        }
        let mut found = applied.faults();
        if found.is_empty() {
            differences(&plans[0], &plans[1], "", &mut found);
        }
        found
    }

    async fn converge(&mut self, config: &Value, forced: bool, applied: &mut Applied) -> Option<()> {
        applied.take(self.resource.validate(config).await)?;
        self.refresh(applied).await?;
        let (prior, private) =
            if self.tainted { (None, Vec::new()) } else { (self.state.clone(), self.private.clone()) };
        let plan = self.plan(prior.as_ref(), config, private, applied).await?;
        if prior == plan.planned && !forced {
            return Some(());
        }
        let (prior, plan) = if forced || self.tainted || !plan.requires_replace.is_empty() {
            let plan = self.plan(None, config, plan.private, applied).await?;
            self.destroy(applied).await?;
            (None, plan)
        } else {
            (prior, plan)
        };
        let again = self.plan(prior.as_ref(), config, plan.private, applied).await?;
        let mut changed = Vec::new();
        let (first, second) = (plan.planned.unwrap_or_default(), again.planned.clone().unwrap_or_default());
        differences(&first, &second, "", &mut changed);
        applied.complaints.extend(changed.into_iter().map(|path| format!("inconsistent final plan: {path}")));
        self.put(prior, again, config, applied).await
    }

    async fn clear(&mut self, applied: &mut Applied) -> Option<()> {
        self.refresh(applied).await?;
        let prior = Some(self.state.clone()?);
        let request = PlanRequest { prior, config: None, private: self.private.clone(), stop: self.stop.clone() };
        let answer = self.call(self.resource.plan(request), applied).await?;
        applied.take(answer.diagnostics)?;
        self.destroy(applied).await
    }

    /// An error keeps the old state.
    async fn refresh(&mut self, applied: &mut Applied) -> Option<()> {
        let Some(state) = self.state.clone() else { return Some(()) };
        let request = ReadRequest { state, private: self.private.clone(), stop: self.stop.clone() };
        let answer = self.call(self.resource.read(request), applied).await?;
        applied.take(answer.diagnostics)?;
        if answer.state.as_ref().is_some_and(|state| !state.is_wholly_known()) {
            applied.complaints.push("a read state has unknown values".to_owned());
        }
        self.tainted &= answer.state.is_some();
        (self.state, self.private) = (answer.state, answer.private);
        Some(())
    }

    async fn plan(
        &self,
        prior: Option<&Value>,
        config: &Value,
        private: Vec<u8>,
        applied: &mut Applied,
    ) -> Option<PlanResponse> {
        let request =
            PlanRequest { prior: prior.cloned(), config: Some(config.clone()), private, stop: self.stop.clone() };
        let answer = self.call(self.resource.plan(request), applied).await?;
        applied.take(answer.diagnostics.clone())?;
        let planned = answer.planned.clone().unwrap_or_default();
        let attributes = &self.resource.schema().attributes;
        check_plan(attributes, config, prior.unwrap_or(&Value::Null), &planned, "", &mut applied.complaints);
        Some(answer)
    }

    /// A create, or an update. When nothing comes back, a create has saved nothing, and an update keeps the old
    /// state but not the private one.
    async fn put(
        &mut self,
        prior: Option<Value>,
        plan: PlanResponse,
        config: &Value,
        applied: &mut Applied,
    ) -> Option<()> {
        let creates = prior.is_none();
        let planned = plan.planned.unwrap_or_default();
        applied.planned = Some(planned.clone());
        let request = ApplyRequest {
            prior,
            planned: Some(planned.clone()),
            config: Some(config.clone()),
            private: plan.private,
            stop: self.stop.clone(),
        };
        let ApplyResponse { state, private, diagnostics } = self.change(request, applied).await?;
        let failed = applied.take(diagnostics).is_none();
        let Some(state) = state else {
            applied.complaints.extend((!failed).then(|| "an apply ended without a state or an error".to_owned()));
            return None;
        };
        let mut wrong = Vec::new();
        if !state.is_wholly_known() {
            wrong.push("a state has unknown values".to_owned());
        }
        if !failed {
            differences(&planned, &state, "", &mut wrong);
        }
        applied.complaints.extend(wrong.into_iter().map(|path| format!("inconsistent result after apply: {path}")));
        (self.state, self.private, self.tainted) = (Some(state), private, failed && creates);
        (!failed).then_some(())
    }

    async fn destroy(&mut self, applied: &mut Applied) -> Option<()> {
        let Some(prior) = self.state.clone() else { return Some(()) };
        let (private, stop) = (self.private.clone(), self.stop.clone());
        let request = ApplyRequest { prior: Some(prior), planned: None, config: None, private, stop };
        let ApplyResponse { state, private, diagnostics } = self.change(request, applied).await?;
        let failed = applied.take(diagnostics).is_none();
        match state {
            None if failed => {}
            None => (self.state, self.private, self.tainted) = (None, Vec::new(), false),
            Some(state) => {
                (self.state, self.private) = (Some(state), private);
                applied.complaints.extend((!failed).then(|| "a destroy left a state without an error".to_owned()));
            }
        }
        (!failed).then_some(())
    }

    async fn change(&mut self, request: ApplyRequest, applied: &mut Applied) -> Option<ApplyResponse> {
        let answer = self.call(self.resource.apply(request), applied).await;
        if answer.is_none() {
            self.private.clear();
        }
        answer
    }

    /// Calls the provider; `None` when it dies meanwhile.
    async fn call<T>(&self, call: impl Future<Output = T>, applied: &mut Applied) -> Option<T> {
        tokio::select! {
            biased;
            answer = call => Some(answer),
            () = self.aws.crashed() => {
                applied.crashed = true;
                None
            }
        }
    }
}

/// The settings of a configured provider. Most of the plan-time checks have their own tests.
fn configured(aws: &FakeAws, preflight: Preflight) -> Shared {
    let mut settings = Settings::from_config(&Value::object::<&str>([]));
    settings.aws = Some(Arc::new(aws.clone()));
    settings.preflight = preflight;
    let shared = Shared::default();
    shared.set(settings);
    shared
}

/// The essentials of core's `AssertPlanValid`: what is configured is planned as it is, and what is neither
/// configured nor computed is planned as null.
fn check_plan(
    attributes: &[Attribute],
    config: &Value,
    prior: &Value,
    planned: &Value,
    at: &str,
    wrong: &mut Vec<String>,
) {
    for attribute in attributes {
        let name = attribute.name;
        let (config, prior, planned) = (config.get(name), prior.get(name), planned.get(name));
        let path = format!("{at}.{name}");
        let computed = matches!(attribute.mode, Mode::Computed | Mode::OptionalComputed);
        match config {
            Value::Null if computed || planned.is_null() => {}
            Value::Map(_) if !attribute.nested().is_empty() => {
                check_plan(attribute.nested(), config, prior, planned, &path, wrong);
            }
            given if planned == given || (planned == prior && !given.is_null()) => {}
            given => wrong.push(format!("invalid plan: {path} is configured as {given:?} and planned as {planned:?}")),
        }
    }
}

/// The paths at which `new` differs from `old`. What is unknown in `old` may have become anything.
fn differences(old: &Value, new: &Value, path: &str, found: &mut Vec<String>) {
    match (old, new) {
        (Value::Unknown, _) => {}
        (Value::Map(entries), Value::Map(others)) => {
            let keys: BTreeSet<&String> = entries.keys().chain(others.keys()).collect();
            for key in keys {
                let dot = if path.is_empty() { "" } else { "." };
                differences(old.get(key), new.get(key), &format!("{path}{dot}{key}"), found);
            }
        }
        (Value::List(elements), Value::List(others)) if elements.len() == others.len() => {
            for (index, (old, new)) in elements.iter().zip(others).enumerate() {
                differences(old, new, &format!("{path}[{index}]"), found);
            }
        }
        (old, new) if old == new => {}
        (old, new) => found.push(format!("{path}: {old:?} -> {new:?}")),
    }
}
