//! What an SDK error is in our terms.
//!
//! Its texts come from AWS or from the transport, never from a request or a raw response: those may hold secrets.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sts::error::{BuildError, ProvideErrorMetadata, SdkError};
use aws_sdk_sts::operation::RequestId;

use crate::aws::{AwsError, ErrorClass, Result};

/// The code of a call that could not even be made.
const INVALID_REQUEST: &str = "InvalidRequest";

/// Where credentials come from, for whoever has none.
const CREDENTIAL_SOURCES: &str = "Credentials come from the provider block (access_key and secret_key, profile, \
     assume_role_with_web_identity, assume_role), else from the standard AWS chain: environment variables, shared \
     configuration and credentials files, SSO, web identity, the ECS task, the EC2 instance.";

/// Answers what turns an SDK error of `operation` into ours.
pub(super) fn error<E>(operation: &'static str) -> impl FnOnce(SdkError<E>) -> AwsError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    move |error| {
        let (code, message) = code_and_message(&error);
        AwsError { operation, code, message, request_id: error.request_id().map(str::to_owned) }
    }
}

/// Answers what turns a request that lacks a part into our error.
pub(super) fn invalid(operation: &'static str) -> impl Fn(BuildError) -> AwsError {
    move |error| AwsError { operation, code: INVALID_REQUEST.to_owned(), message: causes(&error), request_id: None }
}

/// The error of a successful answer that lacks what was asked for: nobody knows what the call did.
pub(super) fn empty_answer(operation: &'static str, lacking: &str) -> AwsError {
    let message = format!("AWS answered without {lacking}");
    AwsError { operation, code: AwsError::NO_ANSWER.to_owned(), message, request_id: None }
}

/// `None` where AWS says that the object is not there.
pub(super) fn found<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Err(error) if error.class() == ErrorClass::NotFound => Ok(None),
        answer => answer.map(Some),
    }
}

fn code_and_message<E>(error: &SdkError<E>) -> (String, String)
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let SdkError::ServiceError(answer) = error
        && let Some(code) = answer.err().code()
    {
        return (code.to_owned(), answer.err().message().unwrap_or("AWS gave no message").to_owned());
    }
    if let Some(cause) = chain(error).find(|cause| cause.is::<CredentialsError>()) {
        let message = format!("no usable AWS credentials: {}. {CREDENTIAL_SOURCES}", causes(cause));
        return ("NoCredentials".to_owned(), message);
    }
    let (code, what) = match error {
        SdkError::ConstructionFailure(_) => (INVALID_REQUEST, "the request could not be made".to_owned()),
        SdkError::DispatchFailure(failure) if failure.is_user() => {
            (INVALID_REQUEST, "the request could not be sent".to_owned())
        }
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            (AwsError::NO_ANSWER, "the connection timed out".to_owned())
        }
        SdkError::DispatchFailure(_) => (AwsError::NO_ANSWER, "the connection failed".to_owned()),
        SdkError::TimeoutError(_) => (AwsError::NO_ANSWER, "no answer came in time".to_owned()),
        SdkError::ResponseError(answer) => (AwsError::NO_ANSWER, unreadable(answer.raw().status().as_u16())),
        SdkError::ServiceError(answer) => (AwsError::NO_ANSWER, unreadable(answer.raw().status().as_u16())),
        _ => (AwsError::NO_ANSWER, "no answer came".to_owned()),
    };
    let message = error.source().map_or_else(|| what.clone(), |source| format!("{what}: {}", causes(source)));
    (code.to_owned(), message)
}

fn unreadable(status: u16) -> String {
    format!("the answer (HTTP status {status}) is not one of AWS, perhaps a proxy's")
}

/// An error and what caused it, outermost first.
fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (**error).source())
}

/// An error and its causes in one line, each said once.
fn causes(error: &(dyn Error + 'static)) -> String {
    let mut said = String::new();
    for cause in chain(error).map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said.push_str(": ");
            said.push_str(&cause);
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    use aws_sdk_sts::config::http::HttpResponse;
    use aws_sdk_sts::error::{ConnectorError, ErrorMetadata};

    fn mapped(error_of_sdk: SdkError<ErrorMetadata>) -> AwsError {
        error("sts:GetCallerIdentity")(error_of_sdk)
    }

    fn answer(status: u16) -> HttpResponse {
        HttpResponse::new(status.try_into().expect("a status"), "<html>secret</html>".into())
    }

    #[test]
    fn an_error_of_aws_keeps_its_code_and_words() {
        let metadata = ErrorMetadata::builder().code("AccessDenied").message("not you").build();
        let error = mapped(SdkError::service_error(metadata, answer(403)));
        assert_eq!((error.code.as_str(), error.message.as_str()), ("AccessDenied", "not you"));
        assert_eq!(error.class(), ErrorClass::Denied);
    }

    #[test]
    fn an_error_page_without_a_code_is_no_answer_and_is_not_quoted() {
        let error = mapped(SdkError::service_error(ErrorMetadata::builder().build(), answer(502)));
        assert_eq!(error.class(), ErrorClass::NoAnswer);
        assert!(error.message.contains("502") && !error.message.contains("secret"), "{}", error.message);
    }

    #[test]
    fn timeouts_and_broken_connections_are_no_answer_and_say_why() {
        let refused = ConnectorError::io("connection refused".into());
        for (error, why) in [
            (SdkError::dispatch_failure(refused), "connection refused"),
            (SdkError::dispatch_failure(ConnectorError::timeout("after 5s".into())), "after 5s"),
            (SdkError::timeout_error("after 30s"), "after 30s"),
            (SdkError::response_error("cut short", answer(200)), "cut short"),
        ] {
            let error = mapped(error);
            assert_eq!(error.class(), ErrorClass::NoAnswer, "{why}");
            assert!(error.message.contains(why), "{}", error.message);
        }
    }

    #[test]
    fn missing_credentials_are_named_as_such_with_the_places_that_were_asked() {
        let cause = CredentialsError::not_loaded("no providers in chain provided credentials");
        let error = mapped(SdkError::dispatch_failure(ConnectorError::other(cause.into(), None)));
        assert_eq!(error.code, "NoCredentials");
        for part in ["no providers in chain", "assume_role", "environment variables"] {
            assert!(error.message.contains(part), "{part} in {}", error.message);
        }
    }

    #[test]
    fn only_an_object_that_is_not_there_is_absent() {
        let failed = |code: &str| {
            Err::<(), _>(AwsError {
                operation: "elasticloadbalancing:DescribeListeners",
                code: code.to_owned(),
                message: String::new(),
                request_id: None,
            })
        };
        assert_eq!(found(Ok(1)), Ok(Some(1)));
        assert_eq!(found(failed("ListenerNotFound")), Ok(None));
        assert!(found(failed("AccessDenied")).is_err());
    }
}
