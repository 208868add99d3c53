//! The life of the process: what its arguments ask for, the handshake with core, and the services until core says that
//! it is done, or is gone.

use std::io::{self, Write};
use std::os::unix::process::parent_id;
use std::panic::PanicHookInfo;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxStream;
use tonic::transport::Server;
use tonic::transport::server::Router;
use tonic::{Request, Response, Status, Streaming};
use tonic_health::ServingStatus;

use crate::calls;
use crate::endpoint::{Endpoint, accept};
use crate::goplugin::grpc_broker_server::{GrpcBroker, GrpcBrokerServer};
use crate::goplugin::grpc_controller_server::{GrpcController, GrpcControllerServer};
use crate::goplugin::grpc_stdio_server::{GrpcStdio, GrpcStdioServer};
use crate::goplugin::{ConnInfo, Empty, StdioData};
use crate::handshake::{self, Environment};
use crate::log;
use crate::provider::Provider;
use crate::tls::{ServerTls, TlsError};

/// How long calls in flight may go on when core is done with the process; it kills what is still there after 2 s.
const LAST_CALLS: Duration = Duration::from_millis(1500);
/// How often the process looks whether core is still there.
const LOOK_FOR_CORE: Duration = Duration::from_millis(100);

/// Who the plugin is.
#[derive(Clone, Copy, Debug)]
pub struct Plugin {
    /// The name of the executable and of its crate: `terraform-provider-<name>`.
    pub name: &'static str,
    /// The address in Terraform's registry: `registry.terraform.io/<namespace>/<name>`.
    pub address: &'static str,
    /// The version, without a `v`.
    pub version: &'static str,
}

/// Does what the arguments (without the program's name) ask for, and comes back when the process should end: without
/// arguments serves core, which has started it; with `--debug` serves whoever attaches.
///
/// Makes its own tokio runtime, and does not wait for what still runs on it at the end.
pub fn run(plugin: Plugin, provider: Arc<dyn Provider>, arguments: impl IntoIterator<Item = String>) -> ExitCode {
    let environment = Environment::read(|name| std::env::var(name).ok());
    let outcome = match Mode::of(arguments) {
        Mode::Version => print(&format!("{} {}\n", plugin.name, plugin.version)),
        Mode::Help => print(&usage(plugin)),
        Mode::Unknown(argument) => {
            log::to_stderr(&format!("Unknown argument {argument:?}.\n\n{}", usage(plugin)));
            return ExitCode::from(2);
        }
        Mode::Core if !environment.started_by_core => {
            log::to_stderr(&format!(
                "This is a plugin: Terraform and OpenTofu start it by themselves. It does nothing on its own.\n\n{}",
                usage(plugin)
            ));
            return ExitCode::FAILURE;
        }
        Mode::Core => block_on(plugin, serve_core(provider, environment)),
        Mode::Debug => block_on(plugin, serve_attached(plugin, provider, environment)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            log::to_stderr(&format!("{}: {}\n", plugin.name, with_sources(&failure)));
            ExitCode::FAILURE
        }
    }
}

/// Why the process cannot serve.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("cannot write to standard output")]
    Stdout(#[source] io::Error),
    #[error("cannot start the runtime")]
    Runtime(#[source] io::Error),
    #[error("cannot take over signals")]
    Signals(#[source] io::Error),
    #[error("cannot listen for Terraform")]
    Listen(#[source] io::Error),
    #[error("cannot secure the connection to Terraform")]
    Tls(#[from] TlsError),
    #[error("cannot serve Terraform")]
    Serve(#[source] tonic::transport::Error),
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Mode {
    Core,
    Debug,
    Help,
    Version,
    Unknown(String),
}

impl Mode {
    fn of(arguments: impl IntoIterator<Item = String>) -> Self {
        let mut arguments = arguments.into_iter();
        let mode = match arguments.next() {
            None => Self::Core,
            Some(argument) => match argument.as_str() {
                "--debug" => Self::Debug,
                "--help" => Self::Help,
                "--version" => Self::Version,
                _ => Self::Unknown(argument),
            },
        };
        arguments.next().map_or(mode, Self::Unknown)
    }
}

fn usage(plugin: Plugin) -> String {
    format!(
        "{name} {version}, the provider {address}

To use it, name it in the required_providers block of a configuration, and run terraform or tofu there.

  --debug    serve until interrupted; first print the variable that makes Terraform and OpenTofu attach to
             this process
  --help     print this
  --version  print the version
",
        name = plugin.name,
        version = plugin.version,
        address = plugin.address,
    )
}

/// Writes to standard output, which belongs to the handshake.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(Failure::Stdout)
}

fn block_on(plugin: Plugin, serving: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    std::panic::set_hook(Box::new(report_panic));
    log::init(plugin.name);
    // One thread: the provider waits more than it works, and what it hands from thread to thread costs it more than a
    // second processor saves.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::Runtime)?;
    let outcome = runtime.block_on(serving);
    // A name look-up that hangs must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// The only form of a panic that core knows for one, and shows with the request to report it.
fn report_panic(panic: &PanicHookInfo<'_>) {
    let message = log::redact(panic.payload_as_str().unwrap_or("no message"));
    let place = panic.location().map(|location| format!(" at {location}")).unwrap_or_default();
    log::to_stderr(&format!("panic: {message}{place}\n"));
}

/// Serves the core that has started this process.
async fn serve_core(provider: Arc<dyn Provider>, environment: Environment) -> Result<(), Failure> {
    let shutdown = CancellationToken::new();
    leave_signals_to_core().map_err(Failure::Signals)?;
    end_with_core(shutdown.clone());
    let tls = environment.client_certificate.as_deref().map(ServerTls::for_client).transpose()?;
    let endpoint = Endpoint::open(&environment).map_err(Failure::Listen)?;
    print(&handshake::line(&endpoint.socket, tls.as_ref().map(|tls| tls.certificate.as_ref())))?;
    serve(endpoint, tls, provider, shutdown).await
}

/// Serves any core that attaches, without TLS: that is how core attaches, and the directory of the socket is
/// closed to other users.
async fn serve_attached(plugin: Plugin, provider: Arc<dyn Provider>, environment: Environment) -> Result<(), Failure> {
    let asked_to_stop = stop_signal().map_err(Failure::Signals)?;
    let endpoint = Endpoint::open(&environment).map_err(Failure::Listen)?;
    log::to_stderr("Serving until interrupted. Set this where terraform or tofu runs:\n\n");
    print(&handshake::reattach_line(plugin.address, &endpoint.socket, std::process::id()))?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        asked_to_stop.await;
        stop.cancel();
    });
    serve(endpoint, None, provider, shutdown).await
}

/// Serves until `shutdown` is cancelled, and a little longer for calls in flight that somebody still waits for.
async fn serve(
    endpoint: Endpoint,
    tls: Option<ServerTls>,
    provider: Arc<dyn Provider>,
    shutdown: CancellationToken,
) -> Result<(), Failure> {
    let Endpoint { listener, directory: _removed_at_the_end, .. } = endpoint;
    let (accepted, connections) = mpsc::channel(16);
    tokio::spawn(accept(listener, tls.map(|tls| TlsAcceptor::from(tls.config)), accepted));
    let services = services(provider, &shutdown).await;
    let serving =
        services.serve_with_incoming_shutdown(ReceiverStream::new(connections), shutdown.clone().cancelled_owned());
    let overdue = async {
        shutdown.cancelled().await;
        tokio::time::sleep(LAST_CALLS).await;
    };
    tokio::select! {
        served = serving => served.map_err(Failure::Serve),
        () = overdue => {
            tracing::warn!("ending with calls in flight");
            Ok(())
        }
    }
}

async fn services(provider: Arc<dyn Provider>, shutdown: &CancellationToken) -> Router {
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter.set_service_status("plugin", ServingStatus::Serving).await;
    let common = CommonServices { shutdown: shutdown.clone() };
    Server::builder()
        .add_service(calls::service(provider))
        .add_service(GrpcControllerServer::new(common.clone()))
        .add_service(GrpcStdioServer::new(common.clone()))
        .add_service(GrpcBrokerServer::new(common))
        .add_service(health)
}

/// What core expects of every plugin beside its own service.
#[derive(Clone)]
struct CommonServices {
    shutdown: CancellationToken,
}

impl CommonServices {
    /// A stream that says nothing and ends with the server.
    fn silence<T: Send + 'static>(&self) -> Response<BoxStream<T>> {
        let never = futures_util::stream::pending::<Result<T, Status>>();
        let silence: BoxStream<T> = Box::pin(never.take_until(self.shutdown.clone().cancelled_owned()));
        Response::new(silence)
    }
}

#[async_trait]
impl GrpcController for CommonServices {
    async fn shutdown(&self, _request: Request<Empty>) -> Result<Response<Empty>, Status> {
        self.shutdown.cancel();
        Ok(Response::new(Empty {}))
    }
}

/// Core would show what comes here as unexpected output; logs go to standard error.
#[async_trait]
impl GrpcStdio for CommonServices {
    async fn stream_stdio(&self, _request: Request<Empty>) -> Result<Response<BoxStream<StdioData>>, Status> {
        Ok(self.silence())
    }
}

/// Core opens this and never uses it for a provider.
#[async_trait]
impl GrpcBroker for CommonServices {
    async fn start_stream(
        &self,
        _request: Request<Streaming<ConnInfo>>,
    ) -> Result<Response<BoxStream<ConnInfo>>, Status> {
        Ok(self.silence())
    }
}

/// Makes the process deaf to signals that reach it along with Terraform, an interrupt from the terminal or the end of a
/// job: Terraform is the one to wind up, and asks for a stop by RPC. tokio never puts the system's own handlers back.
fn leave_signals_to_core() -> io::Result<()> {
    drop(signal(SignalKind::interrupt())?);
    drop(signal(SignalKind::terminate())?);
    Ok(())
}

/// Ends the process along with core, when core was killed and could not end it: nobody would keep what it does from then
/// on, and the next apply finishes what it has begun.
fn end_with_core(shutdown: CancellationToken) {
    let core = parent_id();
    tokio::spawn(async move {
        // What Linux has to tell that a parent has ended goes by the thread that has started the process, and threads of
        // core come and go.
        while parent_id() == core {
            tokio::time::sleep(LOOK_FOR_CORE).await;
        }
        tracing::warn!("ending, since core is gone");
        shutdown.cancel();
    });
}

/// Ends when the user wants the process to; heard from the moment this returns.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    type Outcome = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn one_known_argument_or_none_is_all_there_can_be() {
        let mode = |arguments: &[&str]| Mode::of(arguments.iter().map(|argument| (*argument).to_owned()));
        assert_eq!(mode(&[]), Mode::Core);
        assert_eq!(mode(&["--debug"]), Mode::Debug);
        assert_eq!(mode(&["--verbose"]), Mode::Unknown("--verbose".to_owned()));
        assert_eq!(mode(&["--version", "--json"]), Mode::Unknown("--json".to_owned()));
    }

    #[test]
    fn a_failure_is_told_with_its_reasons() {
        let failure = Failure::Listen(io::Error::other("no room"));
        assert_eq!(with_sources(&failure), "cannot listen for Terraform: no room");
    }

    #[tokio::test]
    async fn the_streams_of_core_are_silent_and_end_when_it_is_done() -> Outcome {
        let services = CommonServices { shutdown: CancellationToken::new() };
        let mut stdio = services.stream_stdio(Request::new(Empty {})).await?.into_inner();
        assert!(stdio.next().now_or_never().is_none(), "it speaks or has ended");
        services.shutdown(Request::new(Empty {})).await?;
        assert!(stdio.next().await.is_none());
        Ok(())
    }
}
