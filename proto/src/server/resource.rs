//! What the calls say that make up the life of one managed object.

use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use super::convert;
use crate::diagnostics::Diagnostics;
use crate::path::Path;
use crate::provider::{
    ApplyRequest, ImportRequest, Imported, MoveRequest, PlanRequest, Provider, ReadRequest, Resource, Stop,
};
use crate::schema::{Schema, Type};
use crate::value::Value;
use crate::wire::{
    self, apply_resource_change, import_resource_state, move_resource_state, plan_resource_change, read_resource,
    upgrade_resource_identity, upgrade_resource_state, validate_resource_config,
};

fn resource<'p>(provider: &'p dyn Provider, type_name: &str) -> Result<&'p dyn Resource, Diagnostics> {
    match provider.resources().iter().find(|resource| resource.type_name() == type_name) {
        Some(resource) => Ok(&**resource),
        None => Err(Diagnostics::of_error(
            "Unknown resource type",
            format!("This provider has no resource type \"{type_name}\"."),
        )),
    }
}

fn identity_schema(resource: &dyn Resource) -> Result<&Schema, Diagnostics> {
    resource.identity_schema().ok_or_else(|| {
        Diagnostics::of_error("No identity", format!("A {} is not found by an identity.", resource.type_name()))
    })
}

pub(super) async fn validate(
    provider: Arc<dyn Provider>,
    request: validate_resource_config::Request,
) -> Result<validate_resource_config::Response, Diagnostics> {
    let resource = resource(&*provider, &request.type_name)?;
    let config = convert::decode(request.config.as_ref(), &resource.schema().r#type(), "configuration")?;
    let mut diagnostics = resource.schema().validate(&config);
    diagnostics.extend(resource.validate(&config).await);
    Ok(validate_resource_config::Response { diagnostics: convert::diagnostics(diagnostics) })
}

pub(super) async fn upgrade_state(
    provider: Arc<dyn Provider>,
    request: upgrade_resource_state::Request,
) -> Result<upgrade_resource_state::Response, Diagnostics> {
    let resource = resource(&*provider, &request.type_name)?;
    let schema = resource.schema();
    let stored = convert::stored_json(request.raw_state.as_ref(), "stored state")?;
    let stored = match request.version.cmp(&schema.version) {
        Ordering::Less => resource.upgrade(request.version, stored).await?,
        Ordering::Equal => stored,
        Ordering::Greater => {
            return Err(Diagnostics::of_error(
                "The state is of a newer version of this provider",
                format!(
                    "The state of this {} has version {}, and this provider knows versions up to {}. Use the \
                     version of the provider that wrote it, or a newer one.",
                    request.type_name, request.version, schema.version
                ),
            ));
        }
    };
    let state = convert::decode_stored(&stored, &schema.r#type(), "stored state")?;
    resource.expect_read();
    Ok(upgrade_resource_state::Response {
        upgraded_state: Some(convert::encode(&state, &schema.r#type())?),
        diagnostics: Vec::new(),
    })
}

/// No identity has changed its form yet, so an older one has the same attributes.
pub(super) async fn upgrade_identity(
    provider: Arc<dyn Provider>,
    request: upgrade_resource_identity::Request,
) -> Result<upgrade_resource_identity::Response, Diagnostics> {
    let r#type = identity_schema(resource(&*provider, &request.type_name)?)?.r#type();
    let stored = convert::stored_json(request.raw_identity.as_ref(), "stored identity")?;
    let identity = convert::decode_stored(&stored, &r#type, "stored identity")?;
    Ok(upgrade_resource_identity::Response {
        upgraded_identity: Some(identity_data(convert::encode(&identity, &r#type)?)),
        diagnostics: Vec::new(),
    })
}

pub(super) async fn read(
    provider: Arc<dyn Provider>,
    request: read_resource::Request,
    stop: Stop,
) -> Result<read_resource::Response, Diagnostics> {
    let resource = resource(&*provider, &request.type_name)?;
    let r#type = resource.schema().r#type();
    let state = convert::decode(request.current_state.as_ref(), &r#type, "current state")?;
    let answer = resource.read(ReadRequest { state, private: request.private, stop }).await;
    let mut diagnostics = answer.diagnostics;
    let state = known(answer.state.unwrap_or_default(), &r#type, &mut diagnostics);
    Ok(read_resource::Response {
        new_state: Some(convert::encode(&state, &r#type)?),
        new_identity: identity(resource, &state, false, &mut diagnostics),
        private: answer.private,
        diagnostics: convert::diagnostics(diagnostics),
        ..Default::default()
    })
}

pub(super) async fn plan(
    provider: Arc<dyn Provider>,
    request: plan_resource_change::Request,
    stop: Stop,
) -> Result<plan_resource_change::Response, Diagnostics> {
    let resource = resource(&*provider, &request.type_name)?;
    let r#type = resource.schema().r#type();
    let prior = convert::decode_object(request.prior_state.as_ref(), &r#type, "prior state")?;
    let config = convert::decode_object(request.config.as_ref(), &r#type, "configuration")?;
    let (destroy, creates) = (config.is_none(), prior.is_none());
    let answer = resource.plan(PlanRequest { prior, config, private: request.prior_private, stop }).await;
    let mut diagnostics = answer.diagnostics;
    let planned = if destroy { Value::Null } else { answer.planned.unwrap_or_default() };
    Ok(plan_resource_change::Response {
        planned_state: Some(convert::encode(&planned, &r#type)?),
        planned_identity: identity(resource, &planned, creates, &mut diagnostics),
        requires_replace: answer.requires_replace.iter().map(convert::path).collect(),
        planned_private: answer.private,
        diagnostics: convert::diagnostics(diagnostics),
        ..Default::default()
    })
}

/// From where the provider has answered, nothing may fail: the answer is all that is left of what it did.
pub(super) async fn apply(
    provider: Arc<dyn Provider>,
    request: apply_resource_change::Request,
    stop: Stop,
) -> Result<apply_resource_change::Response, Diagnostics> {
    let resource = resource(&*provider, &request.type_name)?;
    let r#type = resource.schema().r#type();
    let request = ApplyRequest {
        prior: convert::decode_object(request.prior_state.as_ref(), &r#type, "prior state")?,
        planned: convert::decode_object(request.planned_state.as_ref(), &r#type, "planned state")?,
        config: convert::decode_object(request.config.as_ref(), &r#type, "configuration")?,
        private: request.planned_private,
        stop,
    };
    let answer = resource.apply(request).await;
    let mut diagnostics = answer.diagnostics;
    let state = known(answer.state.unwrap_or_default(), &r#type, &mut diagnostics);
    Ok(apply_resource_change::Response {
        new_state: Some(convert::encode_salvaging(&state, &r#type, &mut diagnostics)),
        new_identity: identity(resource, &state, false, &mut diagnostics),
        private: answer.private,
        diagnostics: convert::diagnostics(diagnostics),
        ..Default::default()
    })
}

pub(super) async fn import(
    provider: Arc<dyn Provider>,
    request: import_resource_state::Request,
) -> Result<import_resource_state::Response, Diagnostics> {
    let resource = resource(&*provider, &request.type_name)?;
    let by_id = !request.id.is_empty();
    let wanted = match request.identity {
        Some(data) if !by_id => {
            let r#type = identity_schema(resource)?.r#type();
            convert::decode_object(data.identity_data.as_ref(), &r#type, "identity to import")?
        }
        _ => None,
    };
    if !by_id && wanted.is_none() {
        return Err(Diagnostics::of_error("Nothing to import", "The import names no id and no identity."));
    }
    let found = resource.import(ImportRequest { id: by_id.then_some(request.id), identity: wanted }).await?;
    let found = taken_over(resource, found)?;
    Ok(import_resource_state::Response {
        imported_resources: vec![import_resource_state::ImportedResource {
            type_name: request.type_name,
            state: Some(found.state),
            private: found.private,
            identity: found.identity,
        }],
        diagnostics: found.diagnostics,
        ..Default::default()
    })
}

pub(super) async fn move_state(
    provider: Arc<dyn Provider>,
    request: move_resource_state::Request,
) -> Result<move_resource_state::Response, Diagnostics> {
    let resource = resource(&*provider, &request.target_type_name)?;
    let moved = resource.move_state(MoveRequest {
        state: convert::stored_json(request.source_state.as_ref(), "state to move")?,
        provider: request.source_provider_address,
        type_name: request.source_type_name,
    });
    let moved = taken_over(resource, moved.await?)?;
    Ok(move_resource_state::Response {
        target_state: Some(moved.state),
        target_private: moved.private,
        target_identity: moved.identity,
        diagnostics: moved.diagnostics,
    })
}

/// An object that an import or a move takes over, in its wire form.
struct TakenOver {
    state: wire::DynamicValue,
    private: Vec<u8>,
    identity: Option<wire::ResourceIdentityData>,
    diagnostics: Vec<wire::Diagnostic>,
}

fn taken_over(resource: &dyn Resource, object: Imported) -> Result<TakenOver, Diagnostics> {
    let r#type = resource.schema().r#type();
    let mut diagnostics = object.diagnostics;
    let state = known(object.state, &r#type, &mut diagnostics);
    Ok(TakenOver {
        state: convert::encode(&state, &r#type)?,
        private: object.private,
        identity: identity(resource, &state, false, &mut diagnostics),
        diagnostics: convert::diagnostics(diagnostics),
    })
}

fn identity_data(identity: wire::DynamicValue) -> wire::ResourceIdentityData {
    wire::ResourceIdentityData { identity_data: Some(identity) }
}

/// The identity of an object of this state. Where there is none to give the answer goes without one: it must
/// not be lost over its identity, which the next read gives again.
fn identity(
    resource: &dyn Resource,
    state: &Value,
    is_new: bool,
    diagnostics: &mut Diagnostics,
) -> Option<wire::ResourceIdentityData> {
    let schema = resource.identity_schema()?;
    if state.is_null() {
        return None;
    }
    let Ok(identity) = catch_unwind(AssertUnwindSafe(|| resource.identity(state))) else {
        diagnostics.error(
            "The provider crashed",
            format!("It panicked over the identity of a {}. This is a bug in the provider.", resource.type_name()),
        );
        return None;
    };
    // Core takes an identity that is not known only in the plan of an object that is to be made.
    let identity = identity.filter(|identity| identity.is_wholly_known() || is_new && !state.is_wholly_known())?;
    match convert::encode(&identity, &schema.r#type()) {
        Ok(data) => Some(identity_data(data)),
        Err(misfit) => {
            diagnostics.extend(misfit);
            None
        }
    }
}

/// A state without unknown values, which core would not store; where there are any, null and an error.
pub(super) fn known(state: Value, r#type: &Type, diagnostics: &mut Diagnostics) -> Value {
    if state.is_wholly_known() {
        return state;
    }
    let mut unknown = Vec::new();
    unknown_paths(&state, r#type, &Path::root(), &mut unknown);
    let unknown: Vec<_> = unknown.iter().map(ToString::to_string).collect();
    diagnostics.error(
        "The provider left values unknown",
        format!(
            "After the operation these are still not known, and are saved as null: {}. This is a bug in the \
             provider; please report it.",
            unknown.join(", ")
        ),
    );
    state.unknown_as_null()
}

fn unknown_paths(value: &Value, r#type: &Type, path: &Path, found: &mut Vec<Path>) {
    match (value, r#type) {
        (Value::Unknown, _) => found.push(path.clone()),
        (Value::List(values), Type::List(element)) => {
            for (index, value) in values.iter().enumerate() {
                unknown_paths(value, element, &path.index(index), found);
            }
        }
        (Value::List(values), Type::Tuple(types)) => {
            for (index, (value, r#type)) in values.iter().zip(types).enumerate() {
                unknown_paths(value, r#type, &path.index(index), found);
            }
        }
        (Value::Map(entries), Type::Map(element)) => {
            for (key, value) in entries {
                unknown_paths(value, element, &path.key(key), found);
            }
        }
        (Value::Map(entries), Type::Object(types)) => {
            for (name, r#type) in types {
                unknown_paths(entries.get(name).unwrap_or(&Value::Null), r#type, &path.attribute(name), found);
            }
        }
        (Value::Dynamic(typed), _) => unknown_paths(&typed.1, &typed.0, path, found),
        // An element of a set has no path of its own.
        (other, _) if !other.is_wholly_known() => found.push(path.clone()),
        _ => {}
    }
}
