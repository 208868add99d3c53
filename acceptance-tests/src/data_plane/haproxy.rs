//! HAProxy as a program: replaced at every change of the configuration, without a connection lost.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};

use crate::tools::{Failure, Result};

/// How long a HAProxy may take to start.
const START: Duration = Duration::from_secs(20);

/// The running processes: the newest accepts connections, older ones only keep those that they have.
pub(super) struct Haproxy {
    program: PathBuf,
    directory: TempDir,
    running: Vec<Generation>,
    started: usize,
}

struct Generation {
    child: Child,
    socket: PathBuf,
}

impl Haproxy {
    pub(super) fn new(program: PathBuf) -> Result<Self> {
        let directory = TempDir::new().map_err(Failure::during("creating a directory for HAProxy"))?;
        Ok(Self { program, directory, running: Vec::new(), started: 0 })
    }

    /// A place for files that the configuration names.
    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Serves with this configuration from now on. The new process takes over the open ports, sends the old one home
    /// to finish what it has begun, and answers on its socket when it serves.
    pub(super) async fn load(&mut self, configuration: &str) -> Result<()> {
        self.running.retain_mut(|generation| matches!(generation.child.try_wait(), Ok(None)));
        self.started += 1;
        let path = |kind: &str| self.directory.path().join(format!("{}.{kind}", self.started));
        let (file, socket, log) = (path("cfg"), path("sock"), path("log"));
        let text = format!(
            "global\n  nbthread 1\n  ssl-default-bind-options ssl-min-ver TLSv1.2\n  \
             stats socket {} mode 600 level admin expose-fd listeners\n{configuration}",
            socket.display()
        );
        fs::write(&file, text).map_err(Failure::during("writing HAProxy's configuration"))?;
        let said = File::create(&log).map_err(Failure::during("creating HAProxy's log"))?;
        let mut command = Command::new(&self.program);
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(said);
        if let Some(old) = self.running.last() {
            command.arg("-x").arg(&old.socket).arg("-sf").arg(old.child.id().to_string());
        }
        let child = command.spawn().map_err(Failure::during("starting HAProxy"))?;
        let mut generation = Generation { child, socket };
        let serves = timeout(START, generation.serves()).await.unwrap_or(false);
        // Also one that does not serve: it must be ended.
        self.running.push(generation);
        if serves {
            return Ok(());
        }
        let said = fs::read_to_string(&log).unwrap_or_default();
        Err(Failure::new(format!("HAProxy does not serve:\n{said}\n{configuration}")))
    }
}

impl Generation {
    /// Waits until the process serves; false when it has ended instead.
    async fn serves(&mut self) -> bool {
        while !answers(&self.socket).await {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return false;
            }
            sleep(Duration::from_millis(5)).await;
        }
        true
    }
}

/// Whether a HAProxy answers here. Its ports are open before it does.
async fn answers(socket: &Path) -> bool {
    let Ok(mut stream) = UnixStream::connect(socket).await else { return false };
    stream.write_all(b"show info\n").await.is_ok() && stream.read_u8().await.is_ok()
}

impl Drop for Haproxy {
    fn drop(&mut self) {
        for generation in &mut self.running {
            // It may have ended by itself.
            let _ = generation.child.kill();
            let _ = generation.child.wait();
        }
    }
}
