//! What a failed AWS call is, by its code: never by its text.

use std::fmt;

/// A failed AWS call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} failed: {code}: {message}{}", RequestId(.request_id))]
pub(crate) struct AwsError {
    /// The operation, as in IAM: `elasticloadbalancing:CreateListener`.
    pub operation: &'static str,
    /// AWS's error code, or ours for a call that got no answer.
    pub code: String,
    /// AWS's words.
    pub message: String,
    /// AWS's id of the request, for its support.
    pub request_id: Option<String>,
}

/// Writes a request id after a message, when there is one.
struct RequestId<'a>(&'a Option<String>);

impl fmt::Display for RequestId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |id| write!(f, " (request id {id})"))
    }
}

/// What follows from an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// No answer came: the call may have taken effect.
    NoAnswer,
    /// AWS was asked too often, or has a fault of its own, and still so after all of the SDK's attempts. With a fault of
    /// its own the call may have taken effect.
    Busy,
    /// The object is not there, or not there yet.
    NotFound,
    /// An object with this key is there already.
    Exists,
    /// Something still uses the object.
    InUse,
    /// The caller may not do this.
    Denied,
    /// Anything else: as wrong on the next try.
    Other,
}

impl AwsError {
    /// The code we give to a call that got no answer.
    pub(crate) const NO_ANSWER: &'static str = "NoAnswer";

    /// Whether asking again may bring an answer, and can do no harm: a call that only reads, and was not answered.
    pub(crate) fn is_passing(&self) -> bool {
        only_reads(self.operation) && matches!(self.class(), ErrorClass::NoAnswer | ErrorClass::Busy)
    }

    /// What follows from it.
    pub(crate) fn class(&self) -> ErrorClass {
        match self.code.as_str() {
            Self::NO_ANSWER => ErrorClass::NoAnswer,
            "Throttling"
            | "ThrottlingException"
            | "ThrottledException"
            | "TooManyRequestsException"
            | "RequestLimitExceeded"
            | "RequestThrottled"
            | "RequestThrottledException"
            | "EC2ThrottledException"
            | "BandwidthLimitExceeded"
            | "PriorRequestNotComplete"
            | "SlowDown"
            | "RequestTimeout"
            | "RequestTimeoutException"
            | "InternalFailure"
            | "InternalError"
            | "InternalServerError"
            | "InternalServiceError"
            | "InternalServiceException"
            | "InternalServerException"
            | "ServiceUnavailable"
            | "ServiceUnavailableException"
            | "Unavailable"
            | "HealthUnavailable" => ErrorClass::Busy,
            "LoadBalancerNotFound"
            | "TargetGroupNotFound"
            | "ListenerNotFound"
            | "RuleNotFound"
            | "InvalidGroup.NotFound"
            | "InvalidPermission.NotFound"
            | "InvalidSubnetID.NotFound"
            | "InvalidInstanceID.NotFound"
            | "InvalidVpcID.NotFound"
            | "InvalidSecurityGroupRuleId.NotFound"
            | "ResourceNotFoundException"
            | "NatGatewayNotFound"
            | "CacheSubnetGroupNotFoundFault"
            | "ReplicationGroupNotFoundFault"
            | "ParameterNotFound"
            | "NoSuchHostedZone" => ErrorClass::NotFound,
            "DuplicateLoadBalancerName"
            | "DuplicateTargetGroupName"
            | "DuplicateListener"
            | "InvalidGroup.Duplicate"
            | "InvalidPermission.Duplicate"
            | "CacheSubnetGroupAlreadyExists"
            | "ReplicationGroupAlreadyExists" => ErrorClass::Exists,
            "ResourceInUse" | "DependencyViolation" | "InvalidGroup.InUse" | "CacheSubnetGroupInUse" => {
                ErrorClass::InUse
            }
            "AccessDenied"
            | "AccessDeniedException"
            | "UnauthorizedOperation"
            | "AuthFailure"
            | "InvalidClientTokenId"
            | "ExpiredToken"
            | "ExpiredTokenException"
            | "RequestExpired"
            | "SignatureDoesNotMatch"
            | "InvalidSignatureException"
            | "UnrecognizedClientException" => ErrorClass::Denied,
            _ => ErrorClass::Other,
        }
    }
}

/// Whether an operation, named as in IAM, changes nothing.
pub(crate) fn only_reads(operation: &str) -> bool {
    let action = operation.split_once(':').map_or(operation, |(_, action)| action);
    ["Describe", "Get", "List"].iter().any(|verb| action.starts_with(verb))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_read_is_worth_another_try_and_only_when_aws_was_busy() {
        let passing = |operation, code: &str| {
            let (code, message) = (code.to_owned(), String::new());
            AwsError { operation, code, message, request_id: None }.is_passing()
        };
        let read = "elasticloadbalancing:DescribeTargetHealth";
        for code in [AwsError::NO_ANSWER, "Throttling", "RequestLimitExceeded", "InternalFailure", "ServiceUnavailable"]
        {
            assert!(passing(read, code), "{code}");
            assert!(!passing("elasticloadbalancing:CreateListener", code), "{code}");
        }
        assert!(!passing(read, "AccessDenied") && !passing(read, "TargetGroupNotFound"));
    }
}
