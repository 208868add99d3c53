//! What to do about an error of AWS, by its code.

use crate::aws::{AwsError, ErrorClass};

/// An AWS error with what to do about it.
pub(super) fn with_hint(error: &AwsError) -> String {
    match hint(error) {
        Some(hint) => format!("{error}. {hint}"),
        None => format!("{error}."),
    }
}

/// What a code means that says something else for each call.
fn hint_of_call(operation: &str, code: &str) -> Option<&'static str> {
    let action = operation.split_once(':').map_or(operation, |(_, action)| action);
    match (action, code) {
        ("DeleteLoadBalancer", "OperationNotPermitted") => Some(
            "The load balancer may have been protected against deletion meanwhile. Run it again: the plan says how that is taken off.",
        ),
        ("TerminateInstances", "OperationNotPermitted") => Some(
            "The instance is protected against termination. Take that off in EC2 (its attribute disableApiTermination), and run it again.",
        ),
        // EC2 says of an image that it keeps from an account what it says of credentials.
        ("DescribeImages" | "RunInstances", "AuthFailure") => Some(
            "The image may be another account's, and not shared with this one. Set ami_id to one that is, or have it shared.",
        ),
        ("ModifyLoadBalancerAttributes", "InvalidConfigurationRequest") => Some(
            "Where it is about logs, check their bucket: it must be in this region, with a policy that lets Elastic Load Balancing write.",
        ),
        _ => None,
    }
}

/// The action that a refused caller may not do. It is not always the call's own: AWS wants another one allowed for what a
/// call does besides, such as `ec2:CreateTags` or `iam:PassRole`, and names it in its words only.
fn lacking(error: &AwsError) -> &str {
    let named = error.message.split_once("not authorized to perform: ").map_or("", |(_, rest)| rest);
    let action = named.split_whitespace().next().unwrap_or_default().trim_end_matches(['.', ',']);
    if action.contains(':') { action } else { error.operation }
}

fn hint(error: &AwsError) -> Option<String> {
    if let Some(text) = hint_of_call(error.operation, &error.code) {
        return Some(text.to_owned());
    }
    let text = match error.code.as_str() {
        "TooManyLoadBalancers"
        | "TooManyTargetGroups"
        | "TooManyListeners"
        | "TooManyCertificates"
        | "TooManyTargets"
        | "TooManyUniqueTargetGroupsPerLoadBalancer"
        | "TooManyRegistrationsForTargetId"
        | "SecurityGroupLimitExceeded"
        | "ResourceLimitExceeded" => {
            "A quota of the account is used up. Remove what is not needed, or ask for more under Service Quotas."
        }
        "RulesPerSecurityGroupLimitExceeded" => {
            "The security group would have more rules than its quota allows: by default 60 in each direction and \
             address family, where a prefix list counts as its maximum of entries. Rules for new ports come before \
             those for old ones go, so a change that fits in the end may not fit on the way: apply it with fewer \
             sources first, and then as a whole. Or ask for more under Service Quotas: Amazon VPC, \"Inbound or \
             outbound rules per security group\", L-0EA8095F."
        }
        "TooManyTags" | "TagLimitExceeded" | "TagQuotaPerResourceExceeded" => {
            "AWS allows 50 tags on an object, and no more on request. Give the stack fewer, or take off those of others."
        }
        "TargetGroupAssociationLimit" => {
            "A target group can serve only one load balancer; another one uses it already."
        }
        "UnsupportedCertificate" => {
            "The certificate is not issued, or its key type is not supported. Check its status in ACM."
        }
        "CertificateNotFound" => "It does not exist in this region and account, or has expired.",
        "InvalidAMIID.NotFound" | "InvalidAMIID.Unavailable" => "Set ami_id to an image that is there.",
        "InvalidBlockDeviceMapping" => "Set root_volume_size to the size of the image's own volume, or more.",
        // EC2 says that a request has expired when the credentials have, too.
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            "The credentials are no longer valid, or the clock of this machine is wrong. Renew them, and run it again: what exists will be found."
        }
        // A wrong secret has the first code in EC2, the last one in ACM and Systems Manager, the one before it elsewhere.
        "AuthFailure"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException" => {
            "AWS does not accept the credentials themselves, whatever they allow. Correct them, and run it again: what exists will be found."
        }
        "DependencyViolation" => "Something still uses the object. Remove that use, and run it again.",
        AwsError::NO_ANSWER => {
            "The call got no answer, so it may have taken effect. Check the network, and run it again: what exists \
             will be found."
        }
        _ if error.class() == ErrorClass::Denied => {
            return Some(format!("Allow the action {} for these credentials, or use others.", lacking(error)));
        }
        _ => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_explained_by_what_was_refused() {
        let hint = |operation, code: &str| {
            let (code, message) = (code.to_owned(), String::new());
            hint(&AwsError { operation, code, message, request_id: None }).unwrap_or_default()
        };
        for (operation, code, says) in [
            ("elasticloadbalancing:DeleteLoadBalancer", "OperationNotPermitted", "protected against deletion"),
            ("ec2:TerminateInstances", "OperationNotPermitted", "disableApiTermination), and run it again"),
            ("elasticloadbalancing:ModifyLoadBalancerAttributes", "InvalidConfigurationRequest", "bucket"),
            ("ec2:DescribeSubnets", "RequestExpired", "no longer valid"),
            ("elasticloadbalancing:CreateListener", "ExpiredToken", "no longer valid"),
            ("elasticloadbalancing:CreateListener", "InvalidClientTokenId", "credentials themselves"),
            ("ec2:DescribeSecurityGroups", "AuthFailure", "credentials themselves"),
            ("acm:ListCertificates", "InvalidSignatureException", "credentials themselves"),
            ("ec2:RunInstances", "UnauthorizedOperation", "Allow the action ec2:RunInstances"),
            ("ec2:DescribeImages", "InvalidAMIID.Unavailable", "Set ami_id"),
            ("ec2:DescribeImages", "AuthFailure", "not shared"),
            ("ec2:RunInstances", "AuthFailure", "not shared"),
            ("elasticloadbalancing:AddTags", "TooManyTags", "50 tags"),
            ("ec2:CreateTags", "TagLimitExceeded", "50 tags"),
            ("elasticache:AddTagsToResource", "TagQuotaPerResourceExceeded", "50 tags"),
        ] {
            assert!(hint(operation, code).contains(says), "{operation} {code}: {}", hint(operation, code));
        }
        for (operation, code) in [
            ("elasticloadbalancing:RemoveListenerCertificates", "OperationNotPermitted"),
            ("elasticloadbalancing:SetSubnets", "InvalidConfigurationRequest"),
        ] {
            assert_eq!(hint(operation, code), "", "{operation} {code}");
        }
    }

    #[test]
    fn an_action_that_aws_wants_allowed_along_with_a_call_is_the_one_to_allow() {
        let allow = |operation, message: &str| {
            let (code, message) = ("UnauthorizedOperation".to_owned(), message.to_owned());
            hint(&AwsError { operation, code, message, request_id: None }).unwrap_or_default()
        };
        let refused = "You are not authorized to perform this operation.";
        let role = format!(
            "{refused} User: arn:aws:iam::123456789012:user/ci is not authorized to perform: iam:PassRole on resource: \
             arn:aws:iam::123456789012:role/node because no identity-based policy allows the iam:PassRole action. \
             Encoded authorization failure message: x"
        );
        assert!(allow("ec2:RunInstances", &role).contains("the action iam:PassRole for"));
        assert!(allow("ec2:RunInstances", refused).contains("the action ec2:RunInstances for"));
    }
}
