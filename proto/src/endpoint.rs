//! Where core connects to: the socket, and the connections that come in on it, in TLS or not.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tonic::transport::server::Connected;

use crate::handshake::Environment;

/// How long a client may take for the TLS handshake.
const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// How long to wait after a connection could not be accepted: the usual reason, too many open files, takes time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where core connects to, and the directory that goes when this is dropped.
pub(crate) struct Endpoint {
    pub(crate) listener: UnixListener,
    /// The path of the socket.
    pub(crate) socket: String,
    pub(crate) directory: TempDir,
}

impl Endpoint {
    /// Opens a socket in a directory of its own, which only this user can enter.
    pub(crate) fn open(environment: &Environment) -> io::Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("plugin")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(&environment.socket_parent)?;
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path)?;
        let socket = path.into_os_string().into_string().map_err(|path| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("the path of the socket, {path:?}, is not UTF-8"))
        })?;
        Ok(Self { listener, socket, directory })
    }
}

/// Accepts connections until nobody takes them any more. TLS handshakes run beside each other: a client that connects
/// and says nothing holds up nobody.
pub(crate) async fn accept(
    listener: UnixListener,
    tls: Option<TlsAcceptor>,
    accepted: mpsc::Sender<io::Result<Connection>>,
) {
    loop {
        let stream = tokio::select! {
            () = accepted.closed() => return,
            result = listener.accept() => match result {
                Ok((stream, _peer)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
        };
        let (tls, accepted) = (tls.clone(), accepted.clone());
        tokio::spawn(async move {
            let connection = match tls {
                None => Connection(Box::new(stream)),
                Some(tls) => match tokio::time::timeout(TLS_HANDSHAKE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => Connection(Box::new(stream)),
                    Ok(Err(error)) => return tracing::warn!(%error, "refused a client"),
                    Err(_elapsed) => return tracing::warn!("a client has not finished the TLS handshake"),
                },
            };
            // Fails only when the server has ended, and then nobody waits for the connection.
            let _ = accepted.send(Ok(connection)).await;
        });
    }
}

/// One client, with or without TLS.
pub(crate) struct Connection(Box<dyn ByteStream>);

trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls_pki_types::ServerName;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::tls::ServerTls;
    use crate::tls::tests::Core;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    fn endpoint() -> io::Result<Endpoint> {
        Endpoint::open(&Environment::read(|_| None))
    }

    #[tokio::test]
    async fn only_this_user_can_reach_the_socket_and_it_goes_with_the_endpoint() -> Outcome {
        let endpoint = endpoint()?;
        let socket = std::path::PathBuf::from(&endpoint.socket);
        let directory = socket.parent().ok_or("a socket has a directory")?.to_owned();
        assert_eq!(std::fs::metadata(&directory)?.permissions().mode() & 0o777, 0o700);
        assert!(socket.as_os_str().len() < 100, "{socket:?}");
        drop(endpoint);
        assert!(!directory.exists());
        Ok(())
    }

    #[tokio::test]
    async fn clients_that_say_nothing_or_go_away_hold_up_nobody() -> Outcome {
        let core = Core::new()?;
        let tls = ServerTls::for_client(&core.certificate_pem)?;
        let endpoint = endpoint()?;
        let (accepted, mut connections) = mpsc::channel(1);
        tokio::spawn(accept(endpoint.listener, Some(TlsAcceptor::from(tls.config)), accepted));

        let _silent = UnixStream::connect(&endpoint.socket).await?;
        drop(UnixStream::connect(&endpoint.socket).await?);
        let stream = UnixStream::connect(&endpoint.socket).await?;
        let connector = TlsConnector::from(Arc::new(core.config(&tls.certificate)?));
        let client = connector.connect(ServerName::try_from("localhost")?, stream).await?;
        assert!(connections.recv().await.is_some_and(|connection| connection.is_ok()));
        drop(client);
        Ok(())
    }

    #[tokio::test]
    async fn a_client_without_tls_is_cut_off() -> Outcome {
        let tls = ServerTls::for_client(&Core::new()?.certificate_pem)?;
        let endpoint = endpoint()?;
        let (accepted, mut connections) = mpsc::channel(1);
        tokio::spawn(accept(endpoint.listener, Some(TlsAcceptor::from(tls.config)), accepted));

        let mut client = UnixStream::connect(&endpoint.socket).await?;
        tokio::io::AsyncWriteExt::write_all(&mut client, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        let mut answer = Vec::new();
        // The server may close with our bytes unread, which is an error here; either way it is the end.
        let _ = client.read_to_end(&mut answer).await;
        assert!(connections.try_recv().is_err(), "a connection without TLS was served");
        Ok(())
    }
}
