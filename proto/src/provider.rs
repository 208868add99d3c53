//! What a provider implements. The server decodes a request, calls one of these, and encodes the answer.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::diagnostics::Diagnostics;
use crate::path::Path;
use crate::schema::{Schema, Type};
use crate::value::Value;

/// Cancelled when the user asks Terraform to stop. An apply should finish the call it is in, start nothing new, and
/// answer with what it has. Whatever only reads or plans is given up without it.
pub type Stop = CancellationToken;

/// A provider: its configuration, and what it offers.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// The schema of the `provider` block.
    fn schema(&self) -> &Schema;

    /// The managed resource types.
    fn resources(&self) -> &[Arc<dyn Resource>];

    /// The data sources.
    fn data_sources(&self) -> &[Arc<dyn DataSource>];

    /// The functions.
    fn functions(&self) -> &[Arc<dyn Function>];

    /// Checks the `provider` block beyond its schema; values may be unknown. Called without credentials.
    async fn validate(&self, _config: &Value) -> Diagnostics {
        Diagnostics::new()
    }

    /// Takes the `provider` block; values may be unknown at plan time. May be called more than once in the
    /// life of a process.
    async fn configure(&self, config: &Value) -> Diagnostics;
}

/// A managed resource type. Values passed in are whole objects of [`Resource::schema`]; so are those passed
/// back.
#[async_trait]
pub trait Resource: Send + Sync {
    /// The type's name, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// The schema.
    fn schema(&self) -> &Schema;

    /// The schema of the identity; all its attributes are strings that identify the object remotely.
    fn identity_schema(&self) -> Option<&Schema> {
        None
    }

    /// The identity of an object of this state; asked after every read, plan, apply, import and move. An
    /// attribute that is not known yet is unknown.
    fn identity(&self, _state: &Value) -> Option<Value> {
        None
    }

    /// Checks a configuration beyond its schema; values may be unknown. Called without credentials.
    async fn validate(&self, _config: &Value) -> Diagnostics {
        Diagnostics::new()
    }

    /// Says that core has a stored state of one of these, which it mostly has refreshed next. It may be said for many
    /// before the first of them is read.
    fn expect_read(&self) {}

    /// Turns a state of an older schema version into one of this. The result is decoded leniently:
    /// attributes it lacks are null, attributes the schema lacks are dropped.
    async fn upgrade(&self, _version: i64, state: serde_json::Value) -> Result<serde_json::Value, Diagnostics> {
        Ok(state)
    }

    /// Refreshes a state.
    async fn read(&self, request: ReadRequest) -> ReadResponse;

    /// Says what apply will do. Deterministic; not called for a destroy unless [`PlanRequest::config`] is
    /// `None`.
    async fn plan(&self, request: PlanRequest) -> PlanResponse;

    /// Does it. Runs to its end even if the connection goes.
    async fn apply(&self, request: ApplyRequest) -> ApplyResponse;

    /// Finds an object for `terraform import`.
    async fn import(&self, request: ImportRequest) -> Result<Imported, Diagnostics>;

    /// Turns the state of another type into one of this, for a `moved` block.
    async fn move_state(&self, request: MoveRequest) -> Result<Imported, Diagnostics> {
        Err(Diagnostics::of_error(
            "This resource cannot be moved here",
            format!(
                "{} cannot take over the state of a {}. Remove the moved block, and import the object instead.",
                self.type_name(),
                request.type_name
            ),
        ))
    }
}

/// Asks to refresh a state.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// The last known state.
    pub state: Value,
    /// What the provider kept beside the state.
    pub private: Vec<u8>,
    /// Cancelled when the user asks to stop.
    pub stop: Stop,
}

/// A refreshed state.
#[derive(Clone, Debug, Default)]
pub struct ReadResponse {
    /// The state now; `None` when the object is gone. Ignored by core when there is an error.
    pub state: Option<Value>,
    /// Replaces what was kept beside the state.
    pub private: Vec<u8>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

/// Asks what apply will do.
#[derive(Clone, Debug)]
pub struct PlanRequest {
    /// The refreshed state; `None` for a create.
    pub prior: Option<Value>,
    /// The configuration; `None` for a destroy.
    pub config: Option<Value>,
    /// What the provider kept beside the state.
    pub private: Vec<u8>,
    /// Cancelled when the user asks to stop.
    pub stop: Stop,
}

/// What apply will do.
#[derive(Clone, Debug, Default)]
pub struct PlanResponse {
    /// The state after apply, unknown where only apply can tell; `None` for a destroy.
    pub planned: Option<Value>,
    /// The arguments whose change needs a new object.
    pub requires_replace: Vec<Path>,
    /// Passed to apply.
    pub private: Vec<u8>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

/// Asks to create (`prior` is `None`), update, or destroy (`planned` is `None`).
#[derive(Clone, Debug)]
pub struct ApplyRequest {
    /// The refreshed state; `None` for a create.
    pub prior: Option<Value>,
    /// The planned state; `None` for a destroy.
    pub planned: Option<Value>,
    /// The configuration; `None` for a destroy.
    pub config: Option<Value>,
    /// What plan passed on, or for a destroy what was kept beside the state.
    pub private: Vec<u8>,
    /// Cancelled when the user asks to stop.
    pub stop: Stop,
}

/// What exists after apply.
#[derive(Clone, Debug, Default)]
pub struct ApplyResponse {
    /// Everything that exists; `None` only when nothing does. After an error too: what is not in here is
    /// lost to the user.
    pub state: Option<Value>,
    /// Replaces what was kept beside the state.
    pub private: Vec<u8>,
    /// Messages.
    pub diagnostics: Diagnostics,
}

/// Asks to find an object by its import id or its identity; exactly one is given.
#[derive(Clone, Debug)]
pub struct ImportRequest {
    /// The id on the command line or in the `import` block.
    pub id: Option<String>,
    /// The identity in the `import` block.
    pub identity: Option<Value>,
}

/// An object to take over; core reads it next.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// A state with what `read` needs to find it.
    pub state: Value,
    /// Kept beside the state.
    pub private: Vec<u8>,
    /// Warnings.
    pub diagnostics: Diagnostics,
}

/// Asks to turn another type's state into one of this type.
#[derive(Clone, Debug)]
pub struct MoveRequest {
    /// The other provider's address: `registry.terraform.io/hashicorp/aws`.
    pub provider: String,
    /// The other type.
    pub type_name: String,
    /// The other type's state.
    pub state: serde_json::Value,
}

/// A data source.
#[async_trait]
pub trait DataSource: Send + Sync {
    /// The type's name, with the provider's prefix.
    fn type_name(&self) -> &'static str;

    /// The schema.
    fn schema(&self) -> &Schema;

    /// Checks a configuration beyond its schema; values may be unknown.
    async fn validate(&self, _config: &Value) -> Diagnostics {
        Diagnostics::new()
    }

    /// Reads it. The configuration is known; the result is a whole, known object.
    async fn read(&self, config: Value, stop: Stop) -> Result<(Value, Diagnostics), Diagnostics>;
}

/// A parameter of a function.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub r#type: Type,
    /// What it is, in Markdown.
    pub description: &'static str,
}

/// A pure function.
pub trait Function: Send + Sync {
    /// Its name, as in `provider::codestream::name`.
    fn name(&self) -> &'static str;

    /// One line on what it does.
    fn summary(&self) -> &'static str;

    /// What it does, in Markdown.
    fn description(&self) -> &'static str;

    /// Its parameters, in order. None takes null or unknown values.
    fn parameters(&self) -> &[Parameter];

    /// The type of its result.
    fn result(&self) -> Type;

    /// Calls it with known arguments.
    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError>;
}

/// Why a function cannot answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FunctionError {
    /// The argument at fault, from 0.
    pub argument: Option<usize>,
    /// What is wrong with it, and what is expected.
    pub message: String,
}
