//! What the provider block may say.

use std::time::Duration;

use tfplugin::diagnostics::Diagnostics;
use tfplugin::path::Path;
use tfplugin::schema::{Attribute, Check, Schema};
use tfplugin::value::Value;

use super::DEFAULT_ATTEMPTS;
use crate::duration::parse_go_duration;
use crate::resource::{rules, tags};
use crate::stack::ownership;

/// The services that can have an endpoint of their own.
const SERVICES: [&str; 7] = ["elbv2", "ec2", "acm", "elasticache", "route53", "ssm", "sts"];

/// How long STS lets the credentials of a role last: `AssumeRole`, parameter `DurationSeconds`.
const ROLE_DURATION: std::ops::RangeInclusive<Duration> = Duration::from_secs(15 * 60)..=Duration::from_secs(12 * 3600);

const ROLE_ARN: Check = Check::Form("must be the ARN of an IAM role, `arn:aws:iam::<account>:role/<name>`", role_arn);
const SESSION_NAME: Check = Check::Form("must be 2 to 64 letters, digits and `_=,.@+-`", session_name);
const DURATION: Check = Check::Form("must be a duration from `15m` to `12h`, like `1h30m`", role_duration);
const ACCOUNT_ID: Check = Check::Form("must be an account id of 12 digits", account_id);
const ENDPOINT: Check = Check::Form("must be a URL, `http://...` or `https://...`", endpoint);

/// Checks what the schema cannot: arguments that need or exclude each other. Values may be unknown.
pub(crate) fn validate(config: &Value) -> Diagnostics {
    let mut found = Diagnostics::new();
    let absent = |name: &str| config.get(name).is_null() || config.get(name).as_str() == Some("");
    let given = |name: &str| !absent(name) && rules::is_given(config.get(name));
    for (name, needed) in [("access_key", "secret_key"), ("secret_key", "access_key"), ("token", "access_key")] {
        if given(name) && absent(needed) {
            found.error_at(
                Path::of(name),
                format!("{name} without {needed}"),
                format!("{name} is of no use without {needed}: set both, or neither."),
            );
        }
    }
    for (name, other) in
        [("allowed_account_ids", "forbidden_account_ids"), ("access_key", "assume_role_with_web_identity")]
    {
        if given(name) && given(other) {
            found.error_at(
                Path::of(other),
                format!("{name} and {other} exclude each other"),
                format!("Set either {name} or {other}, not both."),
            );
        }
    }
    // Left out, the only allowed account would allow all.
    rules::null_elements(&schema(), config, &mut found);
    found.extend(tags::validate(config.get("default_tags"), &Path::of("default_tags"), ownership::COUNT));
    found
}

/// The schema of the provider block.
pub(crate) fn schema() -> Schema {
    let mut attributes = vec![
        Attribute::string("region")
            .describe("The AWS region. Default: the environment variable `AWS_REGION`, else the profile's region."),
        Attribute::string("profile").describe(
            "The profile in the shared AWS files to take the credentials and the region from. Default: the environment \
             variable `AWS_PROFILE`, else `default`.",
        ),
        Attribute::string("access_key").describe(
            "An AWS access key id, with `secret_key`. Default: what the standard AWS chain finds: the environment, \
             shared files, SSO, web identity, the ECS task's role, the EC2 instance's role.",
        ),
        Attribute::string("secret_key").sensitive().describe("The secret of `access_key`."),
        Attribute::string("token").sensitive().describe("The session token, when `access_key` is a temporary one."),
        Attribute::string_list("shared_config_files")
            .describe("Paths of the shared AWS configuration files. Default: `~/.aws/config`."),
        Attribute::string_list("shared_credentials_files")
            .describe("Paths of the shared AWS credentials files. Default: `~/.aws/credentials`."),
    ];
    attributes.extend(roles());
    attributes.extend([
        account_ids("allowed_account_ids").describe(
            "The only AWS accounts in which anything may be changed. Checked before the first change, and before what \
             AWS does not show any more leaves the state.",
        ),
        account_ids("forbidden_account_ids").describe(
            "AWS accounts in which nothing may be changed. Checked before the first change, and before what AWS does \
             not show any more leaves the state.",
        ),
        Attribute::string("endpoint_url")
            .check(ENDPOINT)
            .describe("The endpoint of every AWS service that has none in `endpoints`, instead of AWS's own."),
        Attribute::object("endpoints", SERVICES.into_iter().map(service_endpoint).collect())
            .describe("Endpoints of single AWS services, instead of AWS's own."),
        Attribute::string_map("default_tags")
            .describe("Tags for everything the resources create. A resource's own `tags` win over them."),
        Attribute::number("max_attempts").range(1, 1000).describe(format!(
            "How often an AWS call is tried, the first time included, when AWS throttles or is out of order. The \
             waits between the attempts adapt to how much AWS throttles. Default: {DEFAULT_ATTEMPTS}."
        )),
        Attribute::string("preflight").one_of(&["error", "warn", "off"]).describe(
            "What the checks against AWS at plan time do with what they find: fail the plan (`error`), warn (`warn`), \
             or nothing, because they are not made (`off`): then planning something new needs no credentials and \
             no network. Default: `error`.",
        ),
    ]);
    Schema::new(
        "Manages the AWS infrastructure around CodeStream On-Prem: a whole load balancer set-up is one resource.",
        attributes,
    )
}

fn roles() -> [Attribute; 2] {
    let role_arn =
        || Attribute::string("role_arn").required().check(ROLE_ARN).describe("The ARN of the role to assume.");
    let session_name = || {
        Attribute::string("session_name")
            .check(SESSION_NAME)
            .describe("The name of the session, which AWS shows in its logs. Default: `terraform-provider-codestream`.")
    };
    let assume_role = vec![
        role_arn(),
        session_name(),
        Attribute::string("external_id")
            .check(Check::Length(2, 1224))
            .describe("What the role's trust policy asks for as `sts:ExternalId`."),
        Attribute::string("duration")
            .check(DURATION)
            .describe("How long the credentials of the role last. Default: one hour. They are renewed when needed."),
    ];
    let with_web_identity = vec![
        role_arn(),
        session_name(),
        Attribute::string("web_identity_token_file")
            .required()
            .describe("The path of the file that holds the token of the identity provider."),
    ];
    [
        Attribute::object("assume_role", assume_role).describe("An IAM role to assume with the other credentials."),
        Attribute::object("assume_role_with_web_identity", with_web_identity)
            .describe("An IAM role to assume with the token of an identity provider, in place of other credentials."),
    ]
}

fn account_ids(name: &'static str) -> Attribute {
    Attribute::string_set(name).check(Check::Each(Box::new(ACCOUNT_ID)))
}

fn service_endpoint(service: &'static str) -> Attribute {
    Attribute::string(service).check(ENDPOINT).describe(format!("The endpoint of `{service}`."))
}

fn role_arn(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "iam", "", account, role]
            if partition.starts_with("aws")
                && account_id(account).is_ok()
                && role.strip_prefix("role/").is_some_and(|name| !name.is_empty()) =>
        {
            Ok(())
        }
        _ => Err("it is not the ARN of an IAM role".to_owned()),
    }
}

/// `RoleSessionName` of `AssumeRole` in the STS API.
fn session_name(text: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_=,.@+-".contains(c);
    if (2..=64).contains(&text.len()) && text.chars().all(allowed) {
        Ok(())
    } else {
        Err("it is no session name".to_owned())
    }
}

fn role_duration(text: &str) -> Result<(), String> {
    let duration = parse_go_duration(text)?;
    if ROLE_DURATION.contains(&duration) { Ok(()) } else { Err("AWS allows 15 minutes to 12 hours".to_owned()) }
}

fn account_id(text: &str) -> Result<(), String> {
    let digits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { Ok(()) } else { Err("it is not 12 digits; leading zeros count".to_owned()) }
}

fn endpoint(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let rest = rest.ok_or_else(|| "it does not start with http:// or https://".to_owned())?;
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() || host.starts_with(':') {
        Err("it names no host".to_owned())
    } else if host.contains('@') {
        Err("it must not hold a user or password".to_owned())
    } else if rest.contains(|c: char| c.is_whitespace() || c == '?' || c == '#') {
        Err("it has more than a host and a path".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(arguments: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        Value::object(arguments)
    }

    fn texts(values: &[&str]) -> Value {
        Value::set(values.iter().copied())
    }

    fn says(diagnostics: &Diagnostics, path: &str) -> bool {
        diagnostics.iter().any(|diagnostic| diagnostic.path.to_string() == path)
    }

    #[test]
    fn every_service_and_every_argument_of_access_is_in_the_schema() {
        let schema = schema();
        for name in super::super::ACCESS {
            assert!(schema.attribute(name).is_some(), "{name}");
        }
        let endpoints = schema.attribute("endpoints").map(|endpoints| endpoints.nested().len());
        assert_eq!(endpoints, Some(SERVICES.len()));
    }

    #[test]
    fn arguments_of_the_wrong_form_are_refused_where_they_stand() {
        let role = |name: &'static str, value: &str| {
            block([(
                "assume_role",
                block([("role_arn", "arn:aws:iam::123456789012:role/r".into()), (name, value.into())]),
            )])
        };
        for (config, path) in [
            (role("role_arn", "arn:aws:iam::12345:role/r"), "assume_role.role_arn"),
            (role("role_arn", "arn:aws:iam::123456789012:user/u"), "assume_role.role_arn"),
            (block([("assume_role", block([("role_arn", Value::Null)]))]), "assume_role.role_arn"),
            (role("duration", "10m"), "assume_role.duration"),
            (role("duration", "13h"), "assume_role.duration"),
            (role("session_name", "no spaces"), "assume_role.session_name"),
            (block([("endpoint_url", "localhost:5000".into())]), "endpoint_url"),
            (block([("endpoint_url", "https://user:password@host".into())]), "endpoint_url"),
            (block([("endpoints", block([("ec2", "ftp://host".into())]))]), "endpoints.ec2"),
            (block([("allowed_account_ids", texts(&["12345678901"]))]), "allowed_account_ids"),
            (block([("max_attempts", 0_i64.into())]), "max_attempts"),
            (block([("preflight", "none".into())]), "preflight"),
        ] {
            let found = schema().validate(&config);
            assert!(found.has_errors() && says(&found, path), "{path}: {found:?}");
        }
        for key in ["codestream:team", "aws:team"] {
            let found = validate(&block([("default_tags", block([(key, "x".into())]))]));
            assert!(found.has_errors() && says(&found, "default_tags"), "{key}: {found:?}");
        }
        let fine = block([
            (
                "assume_role",
                block([("role_arn", "arn:aws-cn:iam::123456789012:role/path/r".into()), ("duration", "12h".into())]),
            ),
            ("endpoints", block([("ec2", "http://127.0.0.1:5000/aws".into())])),
            ("forbidden_account_ids", texts(&["000000000001"])),
        ]);
        assert!(schema().validate(&fine).is_empty());
    }

    #[test]
    fn arguments_that_need_or_exclude_each_other_are_checked_once_both_are_known() {
        let ids = || texts(&["123456789012"]);
        for (config, path) in [
            (block([("access_key", "a".into())]), Some("access_key")),
            (block([("secret_key", "s".into()), ("access_key", "".into())]), Some("secret_key")),
            (block([("token", "t".into())]), Some("token")),
            (block([("allowed_account_ids", ids()), ("forbidden_account_ids", ids())]), Some("forbidden_account_ids")),
            (block([("allowed_account_ids", ids()), ("forbidden_account_ids", texts(&[]))]), None),
            (block([("access_key", "a".into()), ("secret_key", Value::Unknown)]), None),
            (block([("allowed_account_ids", ids()), ("forbidden_account_ids", Value::Unknown)]), None),
        ] {
            let found = validate(&config);
            assert_eq!(found.has_errors(), path.is_some(), "{config:?}");
            assert!(path.is_none_or(|path| says(&found, path)), "{found:?}");
        }
    }

    #[test]
    fn a_null_among_elements_is_refused() {
        for name in ["allowed_account_ids", "shared_config_files"] {
            let found = validate(&block([(name, Value::List(vec![Value::Null]))]));
            assert!(found.has_errors() && says(&found, name), "{name}: {found:?}");
        }
    }
}
