//! A host that is shaped like CodeStream On-Prem: the API on 80 and 443, the WebSocket Broadcaster on 12080 and 12443.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use futures_util::{SinkExt, StreamExt};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response, upgrade};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::background::{Task, accepted, runtime};
use crate::tls::{self, Identity};
use crate::tools::{Failure, Result};

/// Where the product answers health checks, on every port.
const STATUS: &str = "/no-auth/status";
/// The product's ports: whether each is the Broadcaster's, and whether it speaks TLS.
const PORTS: [(u16, bool, bool); 4] =
    [(80, false, false), (443, false, true), (12080, true, false), (12443, true, true)];

/// A running host. It stops when dropped.
pub struct Host {
    addresses: BTreeMap<u16, SocketAddr>,
    health: Arc<AtomicU16>,
    _tasks: Vec<Task>,
}

impl Host {
    /// Starts a healthy host, which gives its name in its answers. Its certificate is self-signed.
    ///
    /// # Errors
    ///
    /// When the system gives no ports.
    pub fn start(name: &str) -> Result<Self> {
        let health = Arc::new(AtomicU16::new(200));
        let tls = tls::acceptor(Identity::new(name, &[name.to_owned()])?)?;
        let (mut addresses, mut tasks) = (BTreeMap::new(), Vec::new());
        for (port, broadcaster, encrypted) in PORTS {
            let failed = || Failure::during("opening a port for a host");
            let listener = runtime().block_on(TcpListener::bind(("127.0.0.1", 0))).map_err(failed())?;
            addresses.insert(port, listener.local_addr().map_err(failed())?);
            let service = Service { name: name.into(), health: Arc::clone(&health), broadcaster };
            tasks.push(Task::spawn(accept(listener, encrypted.then(|| tls.clone()), service)));
        }
        Ok(Self { addresses, health, _tasks: tasks })
    }

    /// The product's ports, and where on this machine each is.
    #[must_use]
    pub fn addresses(&self) -> &BTreeMap<u16, SocketAddr> {
        &self.addresses
    }

    /// Answers health checks with this status from now on.
    pub fn set_health(&self, status: u16) {
        self.health.store(status, Ordering::Relaxed);
    }
}

#[derive(Clone)]
struct Service {
    name: Arc<str>,
    health: Arc<AtomicU16>,
    broadcaster: bool,
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, service: Service) {
    // They end with the host.
    let mut connections = JoinSet::new();
    loop {
        let stream = accepted(&listener).await;
        while connections.try_join_next().is_some() {}
        let (tls, service) = (tls.clone(), service.clone());
        connections.spawn(async move {
            match tls {
                None => service.serve(stream).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        service.serve(stream).await;
                    }
                }
            }
        });
    }
}

impl Service {
    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) {
        let answer = service_fn(move |request| {
            let answer = self.answer(request);
            async move { Ok::<_, Infallible>(answer) }
        });
        // How a connection ends is the client's affair.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).with_upgrades().await;
    }

    fn answer(&self, mut request: Request<Incoming>) -> Response<Full<Bytes>> {
        let response = match request.headers().get(SEC_WEBSOCKET_KEY).filter(|_| self.broadcaster) {
            Some(key) => {
                let accept = derive_accept_key(key.as_bytes());
                tokio::spawn(echo(upgrade::on(&mut request)));
                let head = Response::builder().status(101).header(CONNECTION, "Upgrade").header(UPGRADE, "websocket");
                head.header(SEC_WEBSOCKET_ACCEPT, accept).body(Full::default())
            }
            None => {
                let path = request.uri().path();
                let status = if path == STATUS { self.health.load(Ordering::Relaxed) } else { 200 };
                Response::builder().status(status).body(Full::from(format!("{} answers {path}", self.name)))
            }
        };
        response.expect("a status and headers that exist")
    }
}

/// Sends every text back until the client has enough.
async fn echo(upgrade: OnUpgrade) {
    let Ok(stream) = upgrade.await else { return };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(stream), Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_text() && socket.send(message).await.is_err() {
            return;
        }
    }
}
