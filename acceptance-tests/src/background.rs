//! What runs beside the tests, which wait for programs and are not async.

use std::io::{BufRead, BufReader};
use std::process::ChildStdout;
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// How long to wait after a connection could not be accepted: the usual reason, too many open files, takes time.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long to wait for what takes its time, and how long until the next look.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(10);

/// One runtime for everything of this process that serves or connects.
///
/// # Panics
///
/// When the system gives no threads.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("two threads"))
}

/// Waits until something holds that takes its time.
///
/// # Panics
///
/// When it does not come to hold.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    let held = runtime().block_on(async {
        while !holds().await {
            if begun.elapsed() > PATIENCE {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        true
    });
    assert!(held, "within {PATIENCE:?}: {what}");
}

/// A task that ends when this is dropped.
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    pub(crate) fn spawn(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(runtime().spawn(work))
    }

    /// Ends the task, and waits until everything that it held is dropped.
    pub(crate) fn end(&mut self) {
        self.0.abort();
        // An error says that it was aborted.
        let _ = runtime().block_on(&mut self.0);
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The next connection. A client that went away before it was accepted is nobody's error.
pub(crate) async fn accepted(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _peer)) => return stream,
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

/// Every line of a program as it is written.
pub(crate) fn lines(output: ChildStdout) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
