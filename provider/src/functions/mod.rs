//! The functions. They are pure: what they answer follows from their arguments alone.

mod deepstream_config;
mod json_text;
mod merge_services_config;
mod topology_diagram;

use std::sync::Arc;

use tfplugin::provider::{Function, FunctionError};
use tfplugin::value::Value;

/// All functions.
pub(crate) fn all() -> Vec<Arc<dyn Function>> {
    vec![
        Arc::new(deepstream_config::DeepstreamConfig),
        Arc::new(merge_services_config::MergeServicesConfig),
        Arc::new(topology_diagram::TopologyDiagram),
    ]
}

/// What is wrong with one argument.
fn fault(argument: usize, message: impl Into<String>) -> FunctionError {
    FunctionError { argument: Some(argument), message: message.into() }
}

/// A string argument.
fn text(arguments: &[Value], index: usize) -> Result<&str, FunctionError> {
    arguments.get(index).and_then(Value::as_str).ok_or_else(|| fault(index, "Must be a string."))
}

/// A dynamic argument without the type that it carries.
fn untyped(arguments: &[Value], index: usize) -> &Value {
    match arguments.get(index) {
        Some(Value::Dynamic(typed)) => &typed.1,
        Some(plain) => plain,
        None => &Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_function_takes_an_argument_of_another_type_for_granted() {
        for function in all() {
            let odd = vec![Value::from(true); function.parameters().len()];
            for arguments in [&odd[..], &[]] {
                let error = function.call(arguments).expect_err(function.name());
                assert_eq!(error.argument, Some(0), "{}: {error}", function.name());
            }
        }
    }
}
