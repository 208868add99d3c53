//! The RPCs: each is decoded, run on a task of its own, and answered. What a call says is in `provider` (the
//! calls about no single object) and `resource` (the life of one); here is what all calls have in common.

mod convert;
mod provider;
mod resource;

use std::any::Any;
use std::future::Future;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use tokio::task::JoinError;
use tonic::{Request, Response, Status};
use tracing::{Instrument, debug, error_span};

use crate::diagnostics::Diagnostics;
use crate::provider::{Provider, Stop};
use crate::wire::{
    self, apply_resource_change, call_function, configure_provider, get_functions, get_metadata, get_provider_schema,
    get_resource_identity_schemas, import_resource_state, move_resource_state, plan_resource_change, read_data_source,
    read_resource, stop_provider, upgrade_resource_identity, upgrade_resource_state, validate_data_resource_config,
    validate_provider_config, validate_resource_config,
};

/// Serves a provider to core.
pub(crate) struct ProviderServer {
    provider: Arc<dyn Provider>,
    /// What the calls now in flight listen to.
    stop: Mutex<Stop>,
}

type Answer<R> = Result<Response<R>, Status>;

impl ProviderServer {
    /// A server of this provider.
    pub(crate) fn new(provider: Arc<dyn Provider>) -> Self {
        Self { provider, stop: Mutex::default() }
    }

    fn provider(&self) -> Arc<dyn Provider> {
        Arc::clone(&self.provider)
    }

    fn stop(&self) -> Stop {
        self.stop.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a call to its end, on a task of its own: when core hangs up, the call goes on as long as the
    /// process does, so that what it made is not half made; and when it panics, only this call fails.
    async fn run<R: Send + 'static>(
        &self,
        rpc: &'static str,
        type_name: &str,
        call: impl Future<Output = Result<R, Diagnostics>> + Send + 'static,
    ) -> Result<R, Diagnostics> {
        let type_name = (!type_name.is_empty()).then_some(type_name);
        let span = error_span!("rpc", tf_rpc = rpc, tf_resource_type = type_name);
        let timed = async move {
            let started = Instant::now();
            let result = call.await;
            debug!(duration_ms = started.elapsed().as_secs_f64() * 1000.0, failed = result.is_err(), "answered");
            result
        };
        tokio::spawn(timed.instrument(span)).await.unwrap_or_else(|error| Err(crashed(rpc, error)))
    }

    /// Like [`answer`](Self::answer), for a call that changes nothing: it is given up when the user asks to stop,
    /// whatever it waits for.
    async fn answer_unless_stopped<R: HasDiagnostics + Send + 'static>(
        &self,
        rpc: &'static str,
        type_name: &str,
        call: impl Future<Output = Result<R, Diagnostics>> + Send + 'static,
    ) -> Answer<R> {
        let stop = self.stop();
        let call = async move {
            tokio::select! {
                biased;
                answer = call => answer,
                () = stop.cancelled() => Err(Diagnostics::of_error("Stopped", "Stopped before there was an answer.")),
            }
        };
        self.answer(rpc, type_name, call).await
    }

    /// Runs a call whose answer can carry the reason why there is none.
    async fn answer<R: HasDiagnostics + Send + 'static>(
        &self,
        rpc: &'static str,
        type_name: &str,
        call: impl Future<Output = Result<R, Diagnostics>> + Send + 'static,
    ) -> Answer<R> {
        let answer = self.run(rpc, type_name, call).await.unwrap_or_else(|diagnostics| {
            let mut failure = R::default();
            *failure.diagnostics_mut() = convert::diagnostics(diagnostics);
            failure
        });
        Ok(Response::new(answer))
    }
}

fn crashed(rpc: &str, error: JoinError) -> Diagnostics {
    let why = match error.try_into_panic() {
        Ok(panic) => format!("panicked: {}", crate::log::redact(panic_message(&*panic))),
        Err(_) => "was cut off, because the provider is shutting down".to_owned(),
    };
    Diagnostics::of_error(
        "The provider crashed",
        format!(
            "{rpc} {why}. A panic is a bug in the provider; please report it with the log of the same command \
             under TF_LOG=debug. Other operations are not affected."
        ),
    )
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    if let Some(message) = panic.downcast_ref::<&'static str>() {
        message
    } else {
        panic.downcast_ref::<String>().map_or("without a message", String::as_str)
    }
}

/// A response with a place for messages.
trait HasDiagnostics: Default {
    fn diagnostics_mut(&mut self) -> &mut Vec<wire::Diagnostic>;
}

macro_rules! have_diagnostics {
    ($($rpc:ident),+ $(,)?) => {
        $(impl HasDiagnostics for $rpc::Response {
            fn diagnostics_mut(&mut self) -> &mut Vec<wire::Diagnostic> {
                &mut self.diagnostics
            }
        })+
    };
}

have_diagnostics!(
    configure_provider,
    get_functions,
    get_metadata,
    get_provider_schema,
    get_resource_identity_schemas,
    import_resource_state,
    move_resource_state,
    plan_resource_change,
    read_data_source,
    read_resource,
    upgrade_resource_identity,
    upgrade_resource_state,
    validate_data_resource_config,
    validate_provider_config,
    validate_resource_config,
);

#[async_trait]
impl wire::provider_server::Provider for ProviderServer {
    async fn get_metadata(&self, _: Request<get_metadata::Request>) -> Answer<get_metadata::Response> {
        self.answer("GetMetadata", "", provider::metadata(self.provider())).await
    }

    async fn get_provider_schema(
        &self,
        _: Request<get_provider_schema::Request>,
    ) -> Answer<get_provider_schema::Response> {
        self.answer("GetProviderSchema", "", provider::schema(self.provider())).await
    }

    async fn get_resource_identity_schemas(
        &self,
        _: Request<get_resource_identity_schemas::Request>,
    ) -> Answer<get_resource_identity_schemas::Response> {
        self.answer("GetResourceIdentitySchemas", "", provider::identity_schemas(self.provider())).await
    }

    async fn get_functions(&self, _: Request<get_functions::Request>) -> Answer<get_functions::Response> {
        self.answer("GetFunctions", "", provider::functions(self.provider())).await
    }

    async fn validate_provider_config(
        &self,
        request: Request<validate_provider_config::Request>,
    ) -> Answer<validate_provider_config::Response> {
        let call = provider::validate(self.provider(), request.into_inner());
        self.answer("ValidateProviderConfig", "", call).await
    }

    async fn configure_provider(
        &self,
        request: Request<configure_provider::Request>,
    ) -> Answer<configure_provider::Response> {
        let call = provider::configure(self.provider(), request.into_inner());
        self.answer("ConfigureProvider", "", call).await
    }

    async fn stop_provider(&self, _: Request<stop_provider::Request>) -> Answer<stop_provider::Response> {
        // Core uses the provider further, if only to shut it down: calls that come after this one are not stopped.
        let stop = mem::take(&mut *self.stop.lock().unwrap_or_else(PoisonError::into_inner));
        stop.cancel();
        Ok(Response::new(stop_provider::Response::default()))
    }

    async fn validate_resource_config(
        &self,
        request: Request<validate_resource_config::Request>,
    ) -> Answer<validate_resource_config::Response> {
        let request = request.into_inner();
        let type_name = request.type_name.clone();
        self.answer("ValidateResourceConfig", &type_name, resource::validate(self.provider(), request)).await
    }

    async fn upgrade_resource_state(
        &self,
        request: Request<upgrade_resource_state::Request>,
    ) -> Answer<upgrade_resource_state::Response> {
        let request = request.into_inner();
        let type_name = request.type_name.clone();
        self.answer("UpgradeResourceState", &type_name, resource::upgrade_state(self.provider(), request)).await
    }

    async fn upgrade_resource_identity(
        &self,
        request: Request<upgrade_resource_identity::Request>,
    ) -> Answer<upgrade_resource_identity::Response> {
        let request = request.into_inner();
        let type_name = request.type_name.clone();
        self.answer("UpgradeResourceIdentity", &type_name, resource::upgrade_identity(self.provider(), request)).await
    }

    async fn read_resource(&self, request: Request<read_resource::Request>) -> Answer<read_resource::Response> {
        let request = request.into_inner();
        let type_name = request.type_name.clone();
        self.answer_unless_stopped("ReadResource", &type_name, resource::read(self.provider(), request, self.stop()))
            .await
    }

    async fn plan_resource_change(
        &self,
        request: Request<plan_resource_change::Request>,
    ) -> Answer<plan_resource_change::Response> {
        let request = request.into_inner();
        let type_name = request.type_name.clone();
        self.answer_unless_stopped(
            "PlanResourceChange",
            &type_name,
            resource::plan(self.provider(), request, self.stop()),
        )
        .await
    }

    async fn apply_resource_change(
        &self,
        request: Request<apply_resource_change::Request>,
    ) -> Answer<apply_resource_change::Response> {
        let request = request.into_inner();
        let type_name = request.type_name.clone();
        // Without a state in the answer core would drop what it keeps beside the state, or the object itself.
        let prior = apply_resource_change::Response {
            new_state: request.prior_state.clone(),
            private: request.planned_private.clone(),
            ..Default::default()
        };
        let call = resource::apply(self.provider(), request, self.stop());
        let answer = self.run("ApplyResourceChange", &type_name, call).await.unwrap_or_else(|diagnostics| {
            apply_resource_change::Response { diagnostics: convert::diagnostics(diagnostics), ..prior }
        });
        Ok(Response::new(answer))
    }

    async fn import_resource_state(
        &self,
        request: Request<import_resource_state::Request>,
    ) -> Answer<import_resource_state::Response> {
        let request = request.into_inner();
        let type_name = request.type_name.clone();
        self.answer_unless_stopped("ImportResourceState", &type_name, resource::import(self.provider(), request)).await
    }

    async fn move_resource_state(
        &self,
        request: Request<move_resource_state::Request>,
    ) -> Answer<move_resource_state::Response> {
        let request = request.into_inner();
        let type_name = request.target_type_name.clone();
        self.answer("MoveResourceState", &type_name, resource::move_state(self.provider(), request)).await
    }

    async fn validate_data_resource_config(
        &self,
        request: Request<validate_data_resource_config::Request>,
    ) -> Answer<validate_data_resource_config::Response> {
        let request = request.into_inner();
        let type_name = request.type_name.clone();
        self.answer("ValidateDataResourceConfig", &type_name, provider::validate_data(self.provider(), request)).await
    }

    async fn read_data_source(
        &self,
        request: Request<read_data_source::Request>,
    ) -> Answer<read_data_source::Response> {
        let request = request.into_inner();
        let type_name = request.type_name.clone();
        self.answer_unless_stopped(
            "ReadDataSource",
            &type_name,
            provider::read_data(self.provider(), request, self.stop()),
        )
        .await
    }

    async fn call_function(&self, request: Request<call_function::Request>) -> Answer<call_function::Response> {
        let call = provider::call_function(self.provider(), request.into_inner());
        let answer = self.run("CallFunction", "", call).await.unwrap_or_else(|diagnostics| {
            let reasons: Vec<_> = diagnostics.into_iter().map(|reason| reason.detail).collect();
            provider::function_failure(None, reasons.join("\n"))
        });
        Ok(Response::new(answer))
    }
}

#[cfg(test)]
mod tests;
