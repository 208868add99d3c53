//! The image of the nodes: the newest Amazon Linux 2023, as AWS publishes it in Systems Manager.

use crate::aws::{Aws, AwsError};

/// The architecture of an instance type: Graviton has a `g` after the generation, as in `t4g` and `c7gn`.
pub(crate) fn architecture(instance_type: &str) -> &'static str {
    let family = instance_type.split('.').next().unwrap_or_default();
    let after_digits = family.trim_start_matches(|c: char| !c.is_ascii_digit());
    let options = after_digits.trim_start_matches(|c: char| c.is_ascii_digit());
    if family == "a1" || options.contains('g') { "arm64" } else { "x86_64" }
}

/// The parameter that names the newest image for an instance type.
pub(crate) fn parameter(instance_type: &str) -> String {
    let architecture = architecture(instance_type);
    format!("/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-{architecture}")
}

/// The newest image for an instance type.
pub(crate) async fn newest(aws: &dyn Aws, instance_type: &str) -> Result<String, AwsError> {
    let name = parameter(instance_type);
    let missing = || AwsError {
        operation: "ssm:GetParameter",
        code: "ParameterNotFound".to_owned(),
        message: format!("there is no {name} in this region; set ami_id"),
        request_id: None,
    };
    aws.parameter(&name).await?.ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_architecture_follows_from_the_instance_type() {
        for (instance_type, expected) in [
            ("t3.micro", "x86_64"),
            ("t4g.small", "arm64"),
            ("c7gn.large", "arm64"),
            ("g5.xlarge", "x86_64"),
            ("g5g.xlarge", "arm64"),
            ("m6i.large", "x86_64"),
            ("im4gn.large", "arm64"),
            ("x2gd.medium", "arm64"),
            ("a1.medium", "arm64"),
            ("u-6tb1.metal", "x86_64"),
        ] {
            assert_eq!(architecture(instance_type), expected, "{instance_type}");
        }
    }
}
