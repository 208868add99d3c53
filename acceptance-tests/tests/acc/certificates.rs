//! Certificates of a test's own, beside those of the seed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acceptance_tests::Account;
use rcgen::{CertificateParams, DnType, KeyPair};
use serde_json::json;

use crate::stack;

/// Imports a self-signed certificate for the host name that is valid for that many more days. Its ARN.
#[track_caller]
pub(crate) fn import(aws: &Account, hostname: &str, days: u64) -> String {
    let mut params = CertificateParams::new(vec![hostname.to_owned()]).expect("a host name");
    params.distinguished_name.push(DnType::CommonName, hostname);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + Duration::from_secs(days * 24 * 60 * 60);
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate");
    let request = json!({ "Certificate": certificate.pem(), "PrivateKey": key.serialize_pem() });
    stack::text(&aws.call("acm", "import_certificate", request)["CertificateArn"])
}
