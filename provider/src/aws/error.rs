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

    /// What follows from it.
    pub(crate) fn class(&self) -> ErrorClass {
        match self.code.as_str() {
            Self::NO_ANSWER => ErrorClass::NoAnswer,
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
            | "SignatureDoesNotMatch"
            | "UnrecognizedClientException" => ErrorClass::Denied,
            _ => ErrorClass::Other,
        }
    }
}
