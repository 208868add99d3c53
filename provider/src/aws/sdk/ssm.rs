//! Systems Manager: parameters.

use aws_sdk_ssm::Client;

use super::error::{error, found};
use crate::aws::Result;

pub(super) async fn parameter(client: &Client, name: &str) -> Result<Option<String>> {
    let request = client.get_parameter().name(name).with_decryption(true);
    let answer = found(request.send().await.map_err(error("ssm:GetParameter")))?;
    Ok(answer.and_then(|answer| answer.parameter().and_then(|parameter| parameter.value()).map(str::to_owned)))
}
