//! The forms of strings: what an AWS identifier, an address block, a host name and the like look like.
//!
//! Each test answers what is wrong, and what to write instead where that can be told.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use tfplugin::schema::Check;

use super::ssl_policies;
use crate::duration::parse_go_duration;

/// A load balancer's name (`CreateLoadBalancer`, parameter `Name`).
pub(crate) const NAME: Check = Check::Form(
    "must be 1 to 32 letters, digits and hyphens, with no hyphen at either end, and not start with `internal-` or `sg-`",
    name,
);
/// A subnet's id.
pub(crate) const SUBNET_ID: Check = Check::Form("must be a subnet id, `subnet-` and hexadecimal digits", |value| {
    id(value, "subnet-", "it is no subnet id")
});
/// A VPC's id.
pub(crate) const VPC_ID: Check =
    Check::Form("must be a VPC id, `vpc-` and hexadecimal digits", |value| id(value, "vpc-", "it is no VPC id"));
/// A security group's id.
pub(crate) const SECURITY_GROUP_ID: Check =
    Check::Form("must be a security group id, `sg-` and hexadecimal digits", |value| {
        id(value, "sg-", "it is no security group id")
    });
/// An instance's id.
pub(crate) const INSTANCE_ID: Check =
    Check::Form("must be an instance id, `i-` and hexadecimal digits", |value| id(value, "i-", "it is no instance id"));
/// A managed prefix list's id.
pub(crate) const PREFIX_LIST_ID: Check =
    Check::Form("must be a prefix list id, `pl-` and hexadecimal digits", |value| {
        id(value, "pl-", "it is no prefix list id")
    });
/// The ARN of a certificate in ACM.
pub(crate) const CERTIFICATE_ARN: Check = Check::Form(
    "must be the ARN of a certificate in ACM, `arn:aws:acm:<region>:<account>:certificate/<id>`",
    |value| judge(value, certificate_arn_fault, |text| text.trim().to_owned()),
);
/// The name of a predefined security policy. Which there are is AWS's to say (`DescribeSSLPolicies`).
pub(crate) const SSL_POLICY: Check =
    Check::Form("must be the name of a security policy of Elastic Load Balancing, `ELBSecurityPolicy-...`", |value| {
        judge(value, ssl_policy_fault, |text| {
            ssl_policies::meant(text.trim()).unwrap_or_else(|| format!("{}{}", ssl_policies::PREFIX, text.trim()))
        })
    });
/// An IPv4 block in canonical form.
pub(crate) const IPV4_BLOCK: Check = Check::Form("must be a canonical IPv4 block, like `198.51.100.0/24`", |value| {
    let fault = |text: &str| {
        let wrong_family = text.contains(':').then_some("it is an IPv6 block");
        block_fault(text).or(wrong_family)
    };
    judge(value, fault, canonical_block)
});
/// An IPv6 block in canonical form.
pub(crate) const IPV6_BLOCK: Check = Check::Form("must be a canonical IPv6 block, like `2001:db8::/32`", |value| {
    let fault = |text: &str| {
        let wrong_family = (!text.contains(':')).then_some("it is an IPv4 block");
        block_fault(text).or(wrong_family)
    };
    judge(value, fault, canonical_block)
});
/// An IPv4 or IPv6 block in canonical form.
pub(crate) const BLOCK: Check = Check::Form("must be a canonical IPv4 or IPv6 block, like `203.0.113.7/32`", |value| {
    judge(value, block_fault, canonical_block)
});
/// A host's full name in DNS.
pub(crate) const HOSTNAME: Check = Check::Form(
    "must be a host name: lower-case letters, digits and hyphens between dots, without a final dot, and no wildcard",
    |value| judge(value, hostname_fault, bare_hostname),
);
/// The id of a hosted zone in Route 53.
pub(crate) const ZONE_ID: Check =
    Check::Form("must be the id of a hosted zone, at most 32 capital letters and digits", |value| {
        judge(value, zone_id_fault, |text| text.trim().rsplit('/').next().unwrap_or_default().to_owned())
    });
/// The path of a health check.
pub(crate) const PATH: Check = Check::Form("must be a path of at most 1024 characters that starts with `/`", |value| {
    judge(value, path_fault, path_of_url)
});
/// The status codes of a healthy target, for an Application Load Balancer.
pub(crate) const MATCHER: Check =
    Check::Form("must be status codes from 200 to 499, like `200`, `200,204` or `200-299`", |value| {
        judge(value, matcher_fault, |text| text.split_whitespace().collect())
    });
/// The name of a cookie that the application sets.
pub(crate) const COOKIE_NAME: Check =
    Check::Form("must be the name of a cookie, at most 256 characters, not starting with `AWSALB`", |value| {
        judge(value, cookie_name_fault, |text| text.trim().to_owned())
    });
/// The name of an S3 bucket.
pub(crate) const BUCKET: Check = Check::Form(
    "must be the name of an S3 bucket: 3 to 63 lower-case letters, digits, dots and hyphens, a letter or a digit at \
     either end",
    |value| judge(value, bucket_fault, bucket_of_url),
);
/// The prefix of log objects in their bucket.
pub(crate) const LOG_PREFIX: Check = Check::Form(
    "must be a prefix that is not empty, has no slash at either end and does not contain `AWSLogs`",
    |value| judge(value, log_prefix_fault, |text| text.trim_matches('/').to_owned()),
);
/// A duration as Go writes it.
pub(crate) const DURATION: Check = Check::Form("must be a duration like `15m` or `1h30m`", |value| {
    judge(value, duration_fault, |text| text.split_whitespace().collect::<String>().to_lowercase())
});

/// Finds the fault, and says what to write instead when `fix` makes a value without one.
fn judge(
    value: &str,
    fault: impl Fn(&str) -> Option<&'static str>,
    fix: impl Fn(&str) -> String,
) -> Result<(), String> {
    let Some(wrong) = fault(value) else { return Ok(()) };
    let fixed = fix(value);
    Err(if fault(&fixed).is_none() { format!("{wrong}: write {fixed:?}") } else { wrong.to_owned() })
}

fn name(value: &str) -> Result<(), String> {
    let fault = |text: &str| {
        if text.is_empty() {
            Some("it is empty")
        } else if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            Some("it has a character other than a letter, a digit or a hyphen")
        } else if text.len() > 32 {
            Some("it is longer than 32 characters")
        } else if text.starts_with('-') || text.ends_with('-') {
            Some("it starts or ends with a hyphen")
        } else if text.starts_with("sg-") {
            Some("it starts with `sg-`, which AWS keeps for itself")
        } else {
            text.starts_with("internal-").then_some("it starts with `internal-`, which AWS keeps for itself")
        }
    };
    judge(value, fault, |text| {
        let plain: String = text.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let stem = plain.trim_matches('-').trim_start_matches("internal-").trim_start_matches("sg-");
        let stem: String = stem.chars().take(32).collect();
        stem.trim_matches('-').to_owned()
    })
}

fn id(value: &str, prefix: &str, wrong: &'static str) -> Result<(), String> {
    let fault = |text: &str| {
        let digits = text.strip_prefix(prefix).unwrap_or_default();
        let is_id = !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (!is_id).then_some(wrong)
    };
    // An ARN ends in the id.
    judge(value, fault, |text| text.trim().rsplit('/').next().unwrap_or_default().to_lowercase())
}

fn certificate_arn_fault(text: &str) -> Option<&'static str> {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let is_arn = match parts[..] {
        ["arn", partition, "acm", region, account, resource] => {
            partition.starts_with("aws")
                && !region.is_empty()
                && account.len() == 12
                && account.bytes().all(|byte| byte.is_ascii_digit())
                && resource.strip_prefix("certificate/").is_some_and(|certificate| {
                    !certificate.is_empty()
                        && certificate.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                })
        }
        _ => false,
    };
    (!is_arn).then_some("it is no ARN of a certificate in ACM")
}

fn ssl_policy_fault(text: &str) -> Option<&'static str> {
    (!ssl_policies::is_name(text)).then_some("it is no name of a security policy")
}

fn block_fault(text: &str) -> Option<&'static str> {
    match text.parse::<IpNet>() {
        Err(_) if text.parse::<IpAddr>().is_ok() => Some("it is an address without a prefix length"),
        Err(_) => Some("it is no block: an address, a slash and a prefix length"),
        Ok(block) if block != block.trunc() => Some("it has bits set beyond its prefix length"),
        Ok(block) => (block.to_string() != text).then_some("it is not in canonical form"),
    }
}

fn canonical_block(text: &str) -> String {
    let text = text.trim();
    let block = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    block.map(|block| block.trunc().to_string()).unwrap_or_default()
}

fn hostname_fault(text: &str) -> Option<&'static str> {
    let labels = || text.split('.');
    if text.is_empty() {
        Some("it is empty")
    } else if text.starts_with("*.") {
        Some("it is a wildcard, and clients connect to one name")
    } else if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.')) {
        Some("it has a character other than letters, digits, hyphens and dots")
    } else if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Some("it has capital letters")
    } else if text.ends_with('.') {
        Some("it ends with a dot")
    } else if text.len() > 253 {
        Some("it is longer than 253 characters")
    } else if labels().any(|label| label.is_empty() || label.len() > 63) {
        Some("it has a part between dots that is empty or longer than 63 characters")
    } else if labels().any(|label| label.starts_with('-') || label.ends_with('-')) {
        Some("it has a part between dots that starts or ends with a hyphen")
    } else {
        text.parse::<Ipv4Addr>().is_ok().then_some("it is an address")
    }
}

fn bare_hostname(text: &str) -> String {
    let text = text.trim();
    let without_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = without_scheme.split(['/', ':']).next().unwrap_or_default();
    host.trim_end_matches('.').to_lowercase()
}

fn zone_id_fault(text: &str) -> Option<&'static str> {
    let is_id =
        (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    (!is_id).then_some("it is no id of a hosted zone")
}

fn path_fault(text: &str) -> Option<&'static str> {
    if !text.starts_with('/') {
        Some("it does not start with a slash")
    } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some("it has a space or a character outside ASCII")
    } else {
        (text.len() > 1024).then_some("it is longer than 1024 characters")
    }
}

fn path_of_url(text: &str) -> String {
    let text = text.trim();
    let path = text.split_once("://").map_or(text, |(_, rest)| rest.find('/').map_or("", |slash| &rest[slash..]));
    format!("/{}", path.trim_start_matches('/'))
}

fn matcher_fault(text: &str) -> Option<&'static str> {
    let code = |text: &str| {
        let digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|code| digits && (200..=499).contains(code))
    };
    let is_part = |part: &str| match part.split_once('-') {
        Some((first, last)) => code(first).zip(code(last)).is_some_and(|(first, last)| first < last),
        None => code(part).is_some(),
    };
    (!text.split(',').all(is_part)).then_some("it is no list of such codes")
}

fn cookie_name_fault(text: &str) -> Option<&'static str> {
    let is_token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
    if text.is_empty() {
        Some("it is empty")
    } else if text.starts_with("AWSALB") {
        Some("it starts with `AWSALB`, which the load balancer keeps for its own cookies")
    } else if !text.bytes().all(is_token) {
        Some("it has a character that the name of a cookie cannot have")
    } else {
        (text.len() > 256).then_some("it is longer than 256 characters")
    }
}

fn bucket_fault(text: &str) -> Option<&'static str> {
    let edge = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let is_name = (3..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'.'))
        && edge(text.bytes().next())
        && edge(text.bytes().next_back())
        && !text.contains("..")
        && text.parse::<Ipv4Addr>().is_err();
    (!is_name).then_some("it is no name of a bucket")
}

fn bucket_of_url(text: &str) -> String {
    let text = text.trim();
    let bare = text.strip_prefix("s3://").or_else(|| text.rsplit_once(":::").map(|(_, bucket)| bucket)).unwrap_or(text);
    bare.split('/').next().unwrap_or_default().to_lowercase()
}

fn log_prefix_fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("it is empty")
    } else if text.starts_with('/') || text.ends_with('/') {
        Some("it starts or ends with a slash")
    } else {
        text.contains("AWSLogs").then_some("it contains `AWSLogs`, which AWS itself puts after the prefix")
    }
}

fn duration_fault(text: &str) -> Option<&'static str> {
    match parse_go_duration(text) {
        Err(_) => Some("it is not made of numbers with units"),
        Ok(duration) => duration.is_zero().then_some("it is no time at all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(check: &Check, value: &str) -> Result<(), String> {
        match check {
            Check::Form(_, test) => test(value),
            other => panic!("{other:?} is no form"),
        }
    }

    #[test]
    fn good_values_pass() {
        let good: &[(Check, &[&str])] = &[
            (NAME, &["codestream-alb", "a", "internal", "0123456789abcdef0123456789abcdef"]),
            (SUBNET_ID, &["subnet-0a", "subnet-0123456789abcdef0"]),
            (CERTIFICATE_ARN, &["arn:aws-us-gov:acm:us-gov-west-1:123456789012:certificate/12345678-abcd"]),
            (SSL_POLICY, &["ELBSecurityPolicy-2016-08", "ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09"]),
            (IPV4_BLOCK, &["0.0.0.0/0", "198.51.100.7/32"]),
            (IPV6_BLOCK, &["::/0", "2001:db8::/32"]),
            (BLOCK, &["203.0.113.7/32", "2001:db8::1/128"]),
            (HOSTNAME, &["codestream.example.com", "xn--bcher-kva.example", "codestream", "1.example.com"]),
            (ZONE_ID, &["Z1D633PJN98FT9"]),
            (PATH, &["/", "/no-auth/status", "/status?deep=true"]),
            (MATCHER, &["200", "200,204", "200-299", "200-299,404"]),
            (COOKIE_NAME, &["JSESSIONID", "awsalb"]),
            (BUCKET, &["my-logs", "logs.example.com"]),
            (LOG_PREFIX, &["codestream/alb"]),
            (DURATION, &["15m", "1h30m"]),
        ];
        for (check, values) in good {
            for value in *values {
                assert_eq!(answer(check, value), Ok(()), "{value}");
            }
        }
    }

    #[test]
    fn a_correction_is_offered_only_when_it_is_right() {
        for (check, value, correction) in [
            (NAME, " web_1 ", Some("web-1")),
            (NAME, "internal-web", Some("web")),
            (NAME, "internal--internal-web", None),
            (NAME, "--", None),
            (SUBNET_ID, "arn:aws:ec2:us-east-1:123456789012:subnet/subnet-0A", Some("subnet-0a")),
            (SUBNET_ID, "vpc-0a", None),
            (IPV4_BLOCK, "198.51.100.7/24", Some("198.51.100.0/24")),
            (IPV4_BLOCK, "198.51.100.7", Some("198.51.100.7/32")),
            (IPV4_BLOCK, "2001:db8::/32", None),
            (IPV6_BLOCK, "2001:0DB8::/32", Some("2001:db8::/32")),
            (IPV6_BLOCK, "10.0.0.0/8", None),
            (BLOCK, "300.1.1.1/8", None),
            (HOSTNAME, "https://CodeStream.example.com:443/api", Some("codestream.example.com")),
            (HOSTNAME, "codestream.example.com.", Some("codestream.example.com")),
            (HOSTNAME, "*.example.com", None),
            (HOSTNAME, "192.0.2.1", None),
            (SSL_POLICY, "TLS13-1-2-2021-06", Some("ELBSecurityPolicy-TLS13-1-2-2021-06")),
            (SSL_POLICY, "ELBSecurityPolicy_TLS13-1-2-2021-06", None),
            (ZONE_ID, "/hostedzone/Z1D633PJN98FT9", Some("Z1D633PJN98FT9")),
            (PATH, "no-auth/status", Some("/no-auth/status")),
            (PATH, "https://codestream.example.com/no-auth/status", Some("/no-auth/status")),
            (MATCHER, "200, 204", Some("200,204")),
            (MATCHER, "299-200", None),
            (MATCHER, "+200", None),
            (MATCHER, "500", None),
            (BUCKET, "s3://My-Logs/alb", Some("my-logs")),
            (BUCKET, "arn:aws:s3:::my-logs", Some("my-logs")),
            (BUCKET, "192.0.2.1", None),
            (LOG_PREFIX, "/codestream/alb/", Some("codestream/alb")),
            (LOG_PREFIX, "/", None),
            (DURATION, "15 M", Some("15m")),
            (DURATION, "0s", None),
        ] {
            let Err(message) = answer(&check, value) else { panic!("{value} passed") };
            let offered = message.split_once(": write \"").map(|(_, rest)| rest.trim_end_matches('"'));
            assert_eq!(offered, correction, "{message}");
        }
    }
}
