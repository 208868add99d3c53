//! What the calls say that are about no single managed object: the schemas, the provider block, data sources
//! and functions.

use std::sync::Arc;

use super::convert;
use super::resource::known;
use crate::diagnostics::Diagnostics;
use crate::log;
use crate::provider::{DataSource, Provider, Stop};
use crate::value::Value;
use crate::wire::{
    self, call_function, configure_provider, get_functions, get_metadata, get_provider_schema,
    get_resource_identity_schemas, read_data_source, validate_data_resource_config, validate_provider_config,
};

fn capabilities() -> wire::ServerCapabilities {
    wire::ServerCapabilities {
        plan_destroy: true,
        get_provider_schema_optional: true,
        move_resource_state: true,
        ..Default::default()
    }
}

pub(super) async fn metadata(provider: Arc<dyn Provider>) -> Result<get_metadata::Response, Diagnostics> {
    use get_metadata::{DataSourceMetadata, FunctionMetadata, ResourceMetadata};

    let resources = provider.resources().iter();
    let data_sources = provider.data_sources().iter();
    let functions = provider.functions().iter();
    Ok(get_metadata::Response {
        server_capabilities: Some(capabilities()),
        resources: resources.map(|r#type| ResourceMetadata { type_name: r#type.type_name().to_owned() }).collect(),
        data_sources: data_sources
            .map(|r#type| DataSourceMetadata { type_name: r#type.type_name().to_owned() })
            .collect(),
        functions: functions.map(|function| FunctionMetadata { name: function.name().to_owned() }).collect(),
        ..Default::default()
    })
}

pub(super) async fn schema(provider: Arc<dyn Provider>) -> Result<get_provider_schema::Response, Diagnostics> {
    let resources = provider.resources().iter();
    let data_sources = provider.data_sources().iter();
    let functions = provider.functions().iter();
    Ok(get_provider_schema::Response {
        provider: Some(convert::schema(provider.schema())),
        resource_schemas: resources
            .map(|r#type| (r#type.type_name().to_owned(), convert::schema(r#type.schema())))
            .collect(),
        data_source_schemas: data_sources
            .map(|r#type| (r#type.type_name().to_owned(), convert::schema(r#type.schema())))
            .collect(),
        functions: functions.map(|function| (function.name().to_owned(), convert::function(&**function))).collect(),
        server_capabilities: Some(capabilities()),
        ..Default::default()
    })
}

pub(super) async fn identity_schemas(
    provider: Arc<dyn Provider>,
) -> Result<get_resource_identity_schemas::Response, Diagnostics> {
    let identified = provider.resources().iter().filter_map(|r#type| {
        let schema = r#type.identity_schema()?;
        Some((r#type.type_name().to_owned(), convert::identity_schema(schema)))
    });
    Ok(get_resource_identity_schemas::Response { identity_schemas: identified.collect(), diagnostics: Vec::new() })
}

pub(super) async fn functions(provider: Arc<dyn Provider>) -> Result<get_functions::Response, Diagnostics> {
    let functions = provider.functions().iter();
    let functions = functions.map(|function| (function.name().to_owned(), convert::function(&**function)));
    Ok(get_functions::Response { functions: functions.collect(), diagnostics: Vec::new() })
}

pub(super) async fn validate(
    provider: Arc<dyn Provider>,
    request: validate_provider_config::Request,
) -> Result<validate_provider_config::Response, Diagnostics> {
    let schema = provider.schema();
    let config = convert::decode(request.config.as_ref(), &schema.r#type(), "provider configuration")?;
    let mut diagnostics = schema.validate(&config);
    diagnostics.extend(provider.validate(&config).await);
    Ok(validate_provider_config::Response { diagnostics: convert::diagnostics(diagnostics) })
}

pub(super) async fn configure(
    provider: Arc<dyn Provider>,
    request: configure_provider::Request,
) -> Result<configure_provider::Response, Diagnostics> {
    let config = convert::decode(request.config.as_ref(), &provider.schema().r#type(), "provider configuration")?;
    let diagnostics = provider.configure(&config).await;
    Ok(configure_provider::Response { diagnostics: convert::diagnostics(diagnostics) })
}

fn data_source<'p>(provider: &'p dyn Provider, type_name: &str) -> Result<&'p dyn DataSource, Diagnostics> {
    match provider.data_sources().iter().find(|source| source.type_name() == type_name) {
        Some(source) => Ok(&**source),
        None => Err(Diagnostics::of_error(
            "Unknown data source",
            format!("This provider has no data source \"{type_name}\"."),
        )),
    }
}

pub(super) async fn validate_data(
    provider: Arc<dyn Provider>,
    request: validate_data_resource_config::Request,
) -> Result<validate_data_resource_config::Response, Diagnostics> {
    let source = data_source(&*provider, &request.type_name)?;
    let config = convert::decode(request.config.as_ref(), &source.schema().r#type(), "configuration")?;
    let mut diagnostics = source.schema().validate(&config);
    diagnostics.extend(source.validate(&config).await);
    Ok(validate_data_resource_config::Response { diagnostics: convert::diagnostics(diagnostics) })
}

pub(super) async fn read_data(
    provider: Arc<dyn Provider>,
    request: read_data_source::Request,
    stop: Stop,
) -> Result<read_data_source::Response, Diagnostics> {
    let source = data_source(&*provider, &request.type_name)?;
    let r#type = source.schema().r#type();
    let config = convert::decode(request.config.as_ref(), &r#type, "configuration")?;
    let (state, mut diagnostics) = source.read(config, stop).await?;
    let state = known(state, &r#type, &mut diagnostics);
    Ok(read_data_source::Response {
        state: Some(convert::encode(&state, &r#type)?),
        diagnostics: convert::diagnostics(diagnostics),
        ..Default::default()
    })
}

pub(super) async fn call_function(
    provider: Arc<dyn Provider>,
    request: call_function::Request,
) -> Result<call_function::Response, Diagnostics> {
    let Some(function) = provider.functions().iter().find(|function| function.name() == request.name) else {
        return Ok(function_failure(None, format!("This provider has no function \"{}\".", request.name)));
    };
    let parameters = function.parameters();
    if parameters.len() != request.arguments.len() {
        let counts = (parameters.len(), request.arguments.len());
        return Ok(function_failure(None, format!("Takes {} arguments, got {}.", counts.0, counts.1)));
    }
    let mut arguments = Vec::with_capacity(parameters.len());
    for (index, (parameter, argument)) in parameters.iter().zip(&request.arguments).enumerate() {
        match convert::decode(Some(argument), &parameter.r#type, parameter.name)? {
            Value::Null => return Ok(function_failure(Some(index), "Must not be null.")),
            argument => arguments.push(argument),
        }
    }
    // Core waits with a call until its arguments are known, but OpenTofu before 1.8.5 did not look into them.
    let known = arguments.iter().all(Value::is_wholly_known);
    let answer = if known { function.call(&arguments) } else { Ok(Value::Unknown) };
    match answer {
        Ok(result) => {
            Ok(call_function::Response { result: Some(convert::encode(&result, &function.result())?), error: None })
        }
        Err(error) => Ok(function_failure(error.argument, error.message)),
    }
}

/// The answer of a function that fails; `argument` is the position of the one at fault.
pub(super) fn function_failure(argument: Option<usize>, text: impl Into<String>) -> call_function::Response {
    let function_argument = argument.and_then(|index| i64::try_from(index).ok());
    // A function may quote its argument.
    let text = log::redact(&text.into()).into_owned();
    call_function::Response { result: None, error: Some(wire::FunctionError { text, function_argument }) }
}
