//! What an AWS call is, seen from outside: its service and action, its error, and how each protocol writes an error.

use std::time::Duration;

use hyper::http::request::Parts;
use serde_json::{Value, json};

/// One call of the proxy's log.
#[derive(Clone, Debug)]
pub struct Call {
    /// Counts all calls of a proxy from 0, in the order of their arrival.
    pub sequence: usize,
    /// The name under which the call is signed, for example `elasticloadbalancing`.
    pub service: String,
    /// For example `CreateLoadBalancer`.
    pub action: String,
    /// When it arrived, counted from the start of the proxy.
    pub started: Duration,
    /// How long the answer took; `None` while there is none.
    pub duration: Option<Duration>,
    /// Whether AWS got the call: a fault may have answered in its place.
    pub reached_aws: bool,
    /// The HTTP status of the answer; `None` when the connection was closed instead.
    pub status: Option<u16>,
    /// The AWS error code of the answer.
    pub error: Option<String>,
}

impl Call {
    /// Whether the call can change something in AWS.
    #[must_use]
    pub fn is_mutating(&self) -> bool {
        !["Assume", "Describe", "Get", "GET ", "List"].iter().any(|prefix| self.action.starts_with(prefix))
    }
}

/// The service that a request is signed for, from its `Authorization` header. Only STS has calls without a signature.
pub(crate) fn service(request: &Parts) -> String {
    header(request, "authorization")
        .and_then(|value| value.split_once("Credential=")?.1.split('/').nth(3))
        .unwrap_or("sts")
        .to_owned()
}

/// The action: a form field in the query protocols, a header in the JSON protocols, method and path in Route 53.
pub(crate) fn action(request: &Parts, body: &[u8]) -> String {
    if let Some(target) = header(request, "x-amz-target") {
        return target.rsplit('.').next().unwrap_or(target).to_owned();
    }
    let form = String::from_utf8_lossy(body);
    if let Some(action) = form.split('&').find_map(|field| field.strip_prefix("Action=")) {
        return action.to_owned();
    }
    route53_action(request.method.as_str(), request.uri.path())
}

fn route53_action(method: &str, path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).skip(1).collect();
    let known = match (method, parts.as_slice()) {
        ("GET", ["change", _]) => "GetChange",
        ("GET", ["hostedzone", _]) => "GetHostedZone",
        ("GET", ["hostedzone"]) => "ListHostedZones",
        ("GET", ["hostedzonesbyname"]) => "ListHostedZonesByName",
        ("GET", ["hostedzone", _, "rrset"]) => "ListResourceRecordSets",
        ("POST", ["hostedzone", _, "rrset"]) => "ChangeResourceRecordSets",
        _ => return format!("{method} {path}"),
    };
    known.to_owned()
}

fn header<'a>(request: &'a Parts, name: &str) -> Option<&'a str> {
    request.headers.get(name)?.to_str().ok()
}

/// The AWS error code in the body of an answer.
pub(crate) fn error_code(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    if let Some((_, rest)) = text.split_once("<Code>") {
        return rest.split_once("</Code>").map(|(code, _)| code.to_owned());
    }
    let json: Value = serde_json::from_str(&text).ok()?;
    json["__type"].as_str().map(|code| code.rsplit('#').next().unwrap_or(code).to_owned())
}

/// The content type and body with which the called service would report an error. It quotes the session token, as AWS
/// does where it explains which signature it has expected.
pub(crate) fn error_body(request: &Parts, code: &str) -> (&'static str, String) {
    let quoted = header(request, "x-amz-security-token").map(|token| format!(": x-amz-security-token:{token}"));
    let message = format!("injected by a test{}", quoted.unwrap_or_default());
    if request.headers.contains_key("x-amz-target") {
        return ("application/x-amz-json-1.1", json!({ "__type": code, "message": message }).to_string());
    }
    let error = format!("<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>");
    let body = if service(request) == "ec2" {
        format!("<Response><Errors>{error}</Errors><RequestID>test</RequestID></Response>")
    } else {
        format!("<ErrorResponse>{error}<RequestId>test</RequestId></ErrorResponse>")
    };
    ("text/xml", body)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn request(method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
        let builder = headers.iter().fold(Request::builder(), |builder, (name, value)| builder.header(*name, *value));
        builder.method(method).uri(path).body(()).unwrap().into_parts().0
    }

    const SIGNED: (&str, &str) =
        ("authorization", "AWS4-HMAC-SHA256 Credential=K/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host");

    #[test]
    fn each_protocol_names_its_action() {
        let form = b"Version=2016-11-15&Action=DescribeVpcs";
        assert_eq!(action(&request("POST", "/", &[]), form), "DescribeVpcs");
        let target = ("x-amz-target", "CertificateManager.DescribeCertificate");
        assert_eq!(action(&request("POST", "/", &[target]), b"{}"), "DescribeCertificate");
        let path = "/2013-04-01/hostedzone/Z1/rrset/";
        assert_eq!(action(&request("POST", path, &[]), b"<x/>"), "ChangeResourceRecordSets");
    }

    #[test]
    fn the_service_is_the_one_the_call_is_signed_for() {
        assert_eq!(service(&request("POST", "/", &[SIGNED])), "ec2");
        assert_eq!(service(&request("POST", "/", &[])), "sts");
    }

    #[test]
    fn an_injected_error_is_read_back_in_every_protocol() {
        for headers in [vec![SIGNED], vec![], vec![("x-amz-target", "AmazonSSM.GetParameter")]] {
            let (_, body) = error_body(&request("POST", "/", &headers), "Throttling");
            assert_eq!(error_code(body.as_bytes()).as_deref(), Some("Throttling"), "{body}");
        }
    }
}
