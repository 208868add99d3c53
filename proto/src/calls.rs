//! The calls of core without the process, the socket and TLS around them: bytes in, bytes out. For tests that send
//! what no client would, and for fuzzing.

use std::sync::Arc;

use http_body_util::{BodyExt, Full};
use tonic::body::Body;
use tonic::codegen::http::Request;
use tonic::codegen::{Bytes, Service};
use tonic::{Code, Status};

use crate::provider::Provider;
use crate::server::ProviderServer;
use crate::wire::provider_server::ProviderServer as WireServer;

/// The largest message in bytes, both ways: as much as providers made with the Go libraries take.
const LARGEST_MESSAGE: usize = 256 << 20;

/// How many bytes come before a message: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;

/// The service that core calls.
pub(crate) fn service(provider: Arc<dyn Provider>) -> WireServer<ProviderServer> {
    WireServer::new(ProviderServer::new(provider))
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE)
}

/// A provider that answers messages as it does over its socket.
#[derive(Clone)]
pub struct Calls(WireServer<ProviderServer>);

impl Calls {
    /// The calls of this provider.
    pub fn new(provider: Arc<dyn Provider>) -> Self {
        Self(service(provider))
    }

    /// Answers one call, for example `PlanResourceChange`, with the bytes of its response.
    ///
    /// # Errors
    ///
    /// The gRPC status, when it is not `OK`: there is no such call, or these bytes are no request of it.
    pub async fn call(&self, rpc: &str, message: &[u8]) -> Result<Vec<u8>, Status> {
        let length = u32::try_from(message.len()).map_err(|error| Status::out_of_range(error.to_string()))?;
        let frame = [[0].as_slice(), &length.to_be_bytes(), message].concat();
        let request = Request::post(format!("/tfplugin6.Provider/{rpc}"))
            .body(Body::new(Full::<Bytes>::from(frame)))
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let Ok(response) = self.0.clone().call(request).await;
        let (head, body) = response.into_parts();
        let body = body.collect().await?;
        let status = Status::from_header_map(&head.headers).or_else(|| Status::from_header_map(body.trailers()?));
        match status {
            Some(status) if status.code() == Code::Ok => {
                Ok(body.to_bytes().get(FRAME_HEAD..).unwrap_or_default().to_vec())
            }
            other => Err(other.unwrap_or_else(|| Status::unknown("no status"))),
        }
    }
}
