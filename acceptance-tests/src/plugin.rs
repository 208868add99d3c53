//! A stand-in for Terraform core: starts the provider as core does, and speaks to it.

use std::error::Error;
use std::fs::{self, File};
use std::path::Path;
use std::pin::Pin;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{self, SendRequest};
use hyper::{Request, Response, Uri, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, PKCS_ECDSA_P521_SHA512};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio_rustls::TlsConnector;
use tonic::body::Body;
use tower::Service;

use self::goplugin::grpc_controller_client::GrpcControllerClient;
use self::goplugin::grpc_stdio_client::GrpcStdioClient;
use self::wire::provider_client::ProviderClient;
use crate::background::lines;
use crate::tools;

/// The provider's service, generated from `tfplugin6.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::allow_attributes_without_reason, reason = "generated code")]
pub mod wire {
    tonic::include_proto!("tfplugin6");
}

/// The services every go-plugin has, generated from `goplugin.proto`.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::allow_attributes_without_reason, reason = "generated code")]
pub mod goplugin {
    tonic::include_proto!("plugin");
}

/// What core sets to say that it, and not a person, starts the plugin.
const COOKIE: &str = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";

/// How long core waits for the first line.
const START: Duration = Duration::from_secs(60);

/// The largest message in bytes that core takes.
const LARGEST_MESSAGE: usize = 256 << 20;

/// Whom requests are addressed to, whatever the socket's path.
const ORIGIN: &str = "http://localhost";

/// What comes of speaking to a provider.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// Sends a signal to a process, or with a minus sign to a group of processes; false when there is none.
pub fn signal(name: &str, process: &str) -> bool {
    // The shell's own `kill`: not every machine has it as a program.
    let mut shell = Command::new("sh");
    shell.args(["-c", r#"kill -s "$0" -- "$1""#, name, process]);
    shell.status().expect("a shell").success()
}

/// A running provider. It is killed when dropped.
pub struct Process {
    child: Child,
    started: Instant,
    /// The lines of its standard output; disconnected when that has ended.
    lines: Receiver<String>,
    /// Holds the log, and the socket.
    directory: TempDir,
}

impl Process {
    /// Starts the provider with these arguments, in this environment and no other, logging all it can.
    pub fn start(arguments: &[&str], environment: &[(&str, &str)], stdin: impl Into<Stdio>) -> Self {
        let binary = tools::provider().expect("the provider builds");
        let environment: Vec<_> = [("TF_LOG", "trace")].into_iter().chain(environment.iter().copied()).collect();
        Self::of(&binary, arguments, &environment, stdin)
    }

    fn of(binary: &Path, arguments: &[&str], environment: &[(&str, &str)], stdin: impl Into<Stdio>) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let log = File::create(directory.path().join("log")).expect("a file for the log");
        let started = Instant::now();
        let mut child = Command::new(binary)
            .args(arguments)
            .env_clear()
            .env("TMPDIR", directory.path())
            .envs(environment.iter().copied())
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the provider starts");
        let lines = lines(child.stdout.take().expect("it was asked for"));
        Self { child, started, lines, directory }
    }

    /// The number of the process.
    pub fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// How long ago it was started.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The next line of its standard output.
    #[track_caller]
    pub fn line(&self) -> String {
        self.lines.recv_timeout(START).expect("a line on standard output")
    }

    /// How the process ends, without another word on standard output.
    #[track_caller]
    pub fn end_within(&mut self, limit: Duration) -> ExitStatus {
        match self.lines.recv_timeout(limit) {
            Err(RecvTimeoutError::Disconnected) => self.child.wait().expect("a child's status"),
            Err(RecvTimeoutError::Timeout) => panic!("the process still runs after {limit:?}"),
            Ok(line) => panic!("said on standard output: {line}"),
        }
    }

    /// All it has said on standard error.
    pub fn stderr(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).expect("a log")
    }

    /// The entries of its log with this message.
    pub fn logged(&self, message: &str) -> Vec<Value> {
        let entries = self.stderr().lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<Value>>();
        entries.into_iter().filter(|entry| entry["@message"] == message).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when the process has ended already, as it should have.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client certificate of the form that core makes, with its key.
pub struct Identity {
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    pem: String,
}

impl Identity {
    /// A new one.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    #[allow(clippy::new_without_default, reason = "no two are alike")]
    #[must_use]
    pub fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P521_SHA512).expect("a key");
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&key).expect("a certificate");
        let pem = certificate.pem();
        let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
        Self { certificate: certificate.into(), key, pem }
    }

    /// The environment in which core starts a plugin.
    fn environment(&self) -> [(&'static str, &str); 5] {
        [
            ("TF_PLUGIN_MAGIC_COOKIE", COOKIE),
            ("PLUGIN_PROTOCOL_VERSIONS", "5,6"),
            ("PLUGIN_MIN_PORT", "10000"),
            ("PLUGIN_MAX_PORT", "25000"),
            ("PLUGIN_CLIENT_CERT", self.pem.as_str()),
        ]
    }
}

/// A provider that was started as core starts it.
pub struct Plugin {
    /// Its process.
    pub process: Process,
    /// The line with which it has said where it is.
    pub handshake: String,
    identity: Identity,
}

impl Plugin {
    /// Starts the provider and waits for its handshake.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn start(stdin: impl Into<Stdio>) -> Self {
        let identity = Identity::new();
        let process = Process::start(&[], &identity.environment(), stdin);
        Self::shake_hands(process, identity)
    }

    /// Starts this binary, without a log, and waits for its handshake.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start_binary(binary: &Path) -> Self {
        let identity = Identity::new();
        let process = Process::of(binary, &[], &identity.environment(), Stdio::null());
        Self::shake_hands(process, identity)
    }

    fn shake_hands(process: Process, identity: Identity) -> Self {
        let handshake = process.line();
        Self { process, handshake, identity }
    }

    /// The path of its socket.
    pub fn socket(&self) -> Outcome<&str> {
        Ok(self.handshake.split('|').nth(3).ok_or("no fourth field")?)
    }

    /// Connects as core does.
    pub async fn connect(&self) -> Connection {
        self.connect_as(Some(&self.identity)).await.expect("core is let in")
    }

    /// Connects with this certificate, or without one.
    pub async fn connect_as(&self, identity: Option<&Identity>) -> Outcome<Connection> {
        let connector = TlsConnector::from(Arc::new(self.tls(identity)?));
        let stream = UnixStream::connect(self.socket()?).await?;
        let stream = connector.connect(ServerName::try_from("localhost")?, stream).await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2".as_slice()) {
            return Err("the provider does not agree on h2".into());
        }
        Connection::over(stream).await
    }

    /// Connects without TLS.
    pub async fn connect_in_clear(&self) -> Outcome<Connection> {
        Connection::over(UnixStream::connect(self.socket()?).await?).await
    }

    /// Core's side of TLS: it trusts the certificate of the handshake and no other.
    fn tls(&self, identity: Option<&Identity>) -> Outcome<ClientConfig> {
        let server = self.handshake.split('|').nth(5).ok_or("no sixth field")?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(STANDARD_NO_PAD.decode(server)?))?;
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(own) => builder.with_client_auth_cert(vec![own.certificate.clone()], own.key.clone_key())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(config)
    }
}

/// A connection to a provider, over which calls go side by side.
#[derive(Clone)]
pub struct Connection(SendRequest<Body>);

impl Connection {
    async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Outcome<Self> {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self(sender))
    }

    /// The provider's own service.
    pub fn provider(&self) -> ProviderClient<Self> {
        let client = ProviderClient::with_origin(self.clone(), Uri::from_static(ORIGIN));
        client.max_decoding_message_size(LARGEST_MESSAGE)
    }

    /// The service that ends the provider.
    pub fn controller(&self) -> GrpcControllerClient<Self> {
        GrpcControllerClient::with_origin(self.clone(), Uri::from_static(ORIGIN))
    }

    /// The service that core opens for the provider's output.
    pub fn stdio(&self) -> GrpcStdioClient<Self> {
        GrpcStdioClient::with_origin(self.clone(), Uri::from_static(ORIGIN))
    }

    /// Sends these bytes as the message of a call, whether or not they are one, and returns the status of the
    /// answer: `0` for success.
    pub async fn send(&self, rpc: &str, message: &[u8]) -> Outcome<String> {
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len())?.to_be_bytes());
        frame.extend(message);
        let request = Request::post(format!("{ORIGIN}/tfplugin6.Provider/{rpc}"))
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(Body::new(Full::<Bytes>::from(frame)))?;
        let (head, body) = self.0.clone().send_request(request).await?.into_parts();
        let body = body.collect().await?;
        let status = head.headers.get("grpc-status").or_else(|| body.trailers()?.get("grpc-status"));
        Ok(status.ok_or("no status")?.to_str()?.to_owned())
    }
}

impl Service<Request<Body>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
