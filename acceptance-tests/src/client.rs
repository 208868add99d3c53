//! A CodeStream client, as far as the network is concerned: HTTP requests and WebSockets, in cleartext or over TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, LOCATION};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::tls;
use crate::tools::{Failure, Result};

/// After this a client gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where something is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Site {
    /// The address and port to connect to.
    pub address: SocketAddr,
    /// Whether it speaks TLS.
    pub tls: bool,
}

/// What a server said.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Where it sends the client instead.
    pub location: Option<String>,
    /// The body.
    pub body: String,
}

/// A client, which makes a connection of its own for each request.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    source: Ipv4Addr,
}

impl Default for Client {
    fn default() -> Self {
        Self { source: Ipv4Addr::LOCALHOST }
    }
}

/// Bytes in both directions.
trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

impl Client {
    /// A client with another address of this machine, one of 127.0.0.0/8.
    #[must_use]
    pub fn at(source: Ipv4Addr) -> Self {
        Self { source }
    }

    /// Asks for a path.
    ///
    /// # Errors
    ///
    /// When there is no connection or no answer.
    pub async fn get(self, site: Site, path: &str) -> Result<Answer> {
        patiently(self.fetch(site, path)).await
    }

    /// Like [`get`](Self::get), however long it takes.
    pub(crate) async fn fetch(self, site: Site, path: &str) -> Result<Answer> {
        let stream = self.open(site).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(Failure::during("speaking HTTP"))?;
        tokio::spawn(connection);
        let request = Request::get(path)
            .header(HOST, site.address.to_string())
            .header(CONNECTION, "close")
            .body(Empty::<Bytes>::new())
            .map_err(Failure::during("making a request"))?;
        let response = sender.send_request(request).await.map_err(Failure::during("waiting for an answer"))?;
        let (head, body) = response.into_parts();
        let body = body.collect().await.map_err(Failure::during("reading an answer"))?.to_bytes();
        Ok(Answer {
            status: head.status.as_u16(),
            location: head.headers.get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned),
            body: String::from_utf8_lossy(&body).into_owned(),
        })
    }

    /// Opens a WebSocket.
    ///
    /// # Errors
    ///
    /// When there is no connection or the server opens none.
    pub async fn socket(self, site: Site) -> Result<Socket> {
        patiently(async {
            let stream = self.open(site).await?;
            let request = format!("ws://{}/", site.address);
            let (socket, _) = client_async(request, stream).await.map_err(Failure::during("opening a WebSocket"))?;
            Ok(Socket(socket))
        })
        .await
    }

    /// The certificate, in DER, that is served to who names no host.
    ///
    /// # Errors
    ///
    /// When there is no connection, or no TLS on it.
    pub async fn certificate(self, site: Site) -> Result<Vec<u8>> {
        patiently(async {
            let stream = secure(self.connect(site.address).await?, site.address).await?;
            let served = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            served.map(|certificate| certificate.to_vec()).ok_or_else(|| Failure::new("no certificate was shown"))
        })
        .await
    }

    async fn open(self, site: Site) -> Result<Box<dyn Duplex>> {
        let stream = self.connect(site.address).await?;
        let stream: Box<dyn Duplex> =
            if site.tls { Box::new(secure(stream, site.address).await?) } else { Box::new(stream) };
        Ok(stream)
    }

    async fn connect(self, to: SocketAddr) -> Result<TcpStream> {
        let failed = || Failure::during("connecting");
        let stream = if self.source == Ipv4Addr::LOCALHOST {
            TcpStream::connect(to).await.map_err(failed())?
        } else {
            let socket = TcpSocket::new_v4().map_err(failed())?;
            socket.bind(SocketAddr::from((self.source, 0))).map_err(failed())?;
            socket.connect(to).await.map_err(failed())?
        };
        stream.set_nodelay(true).map_err(failed())?;
        Ok(stream)
    }
}

async fn secure(stream: TcpStream, address: SocketAddr) -> Result<TlsStream<TcpStream>> {
    let name = ServerName::from(address.ip());
    tls::connector()?.connect(name, stream).await.map_err(Failure::during("shaking hands"))
}

async fn patiently<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, work).await.map_err(|_| Failure::new(format!("nothing came within {PATIENCE:?}")))?
}

/// An open WebSocket.
pub struct Socket(WebSocketStream<Box<dyn Duplex>>);

impl Socket {
    /// Sends a text, and waits until it comes back.
    ///
    /// # Errors
    ///
    /// When anything else comes, or the connection ends.
    pub async fn echo(&mut self, text: &str) -> Result<()> {
        patiently(async {
            self.0.send(Message::text(text)).await.map_err(Failure::during("sending a message"))?;
            match self.0.next().await {
                Some(Ok(Message::Text(heard))) if heard.as_str() == text => Ok(()),
                other => Err(Failure::new(format!("not the echo of {text:?}: {other:?}"))),
            }
        })
        .await
    }

    /// Says goodbye, and ends the connection.
    ///
    /// # Errors
    ///
    /// When the other side ended it before.
    pub async fn close(mut self) -> Result<()> {
        self.0.close(None).await.map_err(Failure::during("closing a WebSocket"))
    }
}
