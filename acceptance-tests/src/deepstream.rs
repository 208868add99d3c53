//! Real deepstream servers, started as the user data of a node says, the Redis that they share, and their clients.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;

use crate::background::{lines, runtime};
use crate::client::{Client, Site};

/// The version of deepstream's client.
const CLIENT: &str = "7.0.5";
/// Not 6379, where a Redis of the machine's own may listen at every address.
const REDIS_PORT: u16 = 6389;
/// How long anything may take that was started or is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(50);

/// The first program that real servers take and this machine lacks.
#[must_use]
pub fn missing() -> Option<&'static str> {
    let runs = |program: &str| {
        let mut command = Command::new(program);
        let status = command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    ["node", "npm", "redis-server"].into_iter().find(|program| !runs(program))
}

/// Waits until something holds that other processes bring about.
///
/// # Panics
///
/// When it does not within a minute.
#[track_caller]
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        runtime().block_on(async { sleep(PAUSE).await });
    }
}

/// An address of this machine that nobody else uses, so that every node can have the port that it has in AWS.
fn own_address() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(2);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!((2..u8::MAX).contains(&number), "this process has used up its addresses");
    let [.., high, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, number)
}

/// A process that ends with this value.
struct Running(Child);

impl Running {
    #[track_caller]
    fn start(command: &mut Command) -> Self {
        Self(command.spawn().expect("a program that was found"))
    }

    fn end(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a program to its end: what it printed.
#[track_caller]
fn succeeded(command: &mut Command) -> String {
    let output = command.output().expect("a program that was found");
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?}:\n{out}\n{err}");
    out
}

/// A running Redis, in place of ElastiCache. It stops when dropped.
pub struct Redis {
    address: Ipv4Addr,
    _process: Running,
}

impl Redis {
    /// Starts an empty one.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        let (address, port) = (own_address(), REDIS_PORT.to_string());
        let mut command = Command::new("redis-server");
        command.args(["--bind", &address.to_string(), "--port", &port, "--save", ""]).stdout(Stdio::null());
        let process = Running::start(&mut command);
        wait_until("Redis listens", || TcpStream::connect((address, REDIS_PORT)).is_ok());
        Self { address, _process: process }
    }
}

/// What the user data of a node puts on it, below a directory. It is removed when dropped.
pub struct Software {
    root: TempDir,
}

#[derive(Deserialize)]
struct CloudConfig {
    write_files: Vec<WrittenFile>,
    runcmd: Vec<Vec<String>>,
}

#[derive(Deserialize)]
struct WrittenFile {
    path: String,
    content: String,
}

impl Software {
    /// Writes the files and installs deepstream, as cloud-init does at a node's first boot.
    ///
    /// # Panics
    ///
    /// When the user data is not what the provider writes, or npm fails.
    #[must_use]
    pub fn install(user_data: &str) -> Self {
        let software = Self { root: TempDir::new().expect("a directory") };
        let text = user_data.strip_prefix("#cloud-config\n").expect("a cloud-config");
        // The YAML is JSON.
        let CloudConfig { write_files, runcmd } = serde_json::from_str(text).expect("files and commands");
        for WrittenFile { path, content } in write_files {
            let path = software.below(&path);
            fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("a directory");
            fs::write(path, content).expect("a file");
        }
        let npm = runcmd.iter().find(|command| command[0] == "npm-22").expect("npm installs deepstream");
        let arguments =
            npm[1..].iter().map(|word| if word.starts_with('/') { software.below(word) } else { PathBuf::from(word) });
        succeeded(Command::new("npm").args(arguments));
        software
    }

    /// The configuration that every node has.
    ///
    /// # Panics
    ///
    /// When the user data had none.
    #[must_use]
    pub fn config(&self) -> String {
        fs::read_to_string(self.below("/etc/deepstream/config.yml")).expect("a configuration")
    }

    /// Starts a server with the command of the unit, at an address of its own and with this Redis.
    ///
    /// # Panics
    ///
    /// When it does not start.
    #[must_use]
    pub fn start(&self, redis: &Redis) -> Server {
        let host = own_address();
        let mut config: Value = serde_json::from_str(&self.config()).expect("JSON");
        let options = &mut config["httpServer"]["options"];
        options["host"] = json!(host);
        let port = options["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        for connector in ["cache", "clusterNode"] {
            config[connector]["options"] = json!({ "host": redis.address, "port": REDIS_PORT });
        }
        let file = self.root.path().join(format!("{host}.yml"));
        fs::write(&file, config.to_string()).expect("a file");

        let unit = fs::read_to_string(self.below("/etc/systemd/system/deepstream.service")).expect("a unit");
        let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
        let words: Vec<&str> = start.split(' ').collect();
        assert_eq!(words[0], "/usr/bin/node-22");
        let mut command = Command::new("node");
        command
            .arg(self.below(words[1]))
            .args(&words[2..])
            .env("DEEPSTREAM_CONFIG_DIRECTORY", file)
            .current_dir(self.below("/opt/deepstream"))
            .stdout(Stdio::null());
        let process = Running::start(&mut command);
        Server { command, address: SocketAddr::from((host, port)), process }
    }

    fn below(&self, path: &str) -> PathBuf {
        self.root.path().join(path.trim_start_matches('/'))
    }
}

/// A deepstream server. It is killed when dropped.
pub struct Server {
    command: Command,
    address: SocketAddr,
    process: Running,
}

impl Server {
    /// Where clients and health checks connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until it answers health checks.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[track_caller]
    pub fn wait_until_healthy(&self) {
        let site = Site { address: self.address, tls: false };
        wait_until("the server answers health checks", || {
            let answer = runtime().block_on(Client::default().get(site, "/health-check"));
            answer.is_ok_and(|answer| answer.status == 200)
        });
    }

    /// Ends it at once, whatever it is doing.
    pub fn kill(&mut self) {
        self.process.end();
    }

    /// Kills it, and starts it again.
    ///
    /// # Panics
    ///
    /// When it does not start.
    pub fn restart(&mut self) {
        self.kill();
        self.process = Running::start(&mut self.command);
    }
}

/// deepstream's clients, driven by `deepstream/clients.js`, which says what they can do.
pub struct Clients {
    directory: TempDir,
}

impl Clients {
    /// Installs them.
    ///
    /// # Panics
    ///
    /// When npm fails.
    #[must_use]
    pub fn install() -> Self {
        let directory = TempDir::new().expect("a directory");
        fs::write(directory.path().join("package.json"), "{\"private\": true}").expect("a file");
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(directory.path());
        succeeded(npm.arg(format!("@deepstream/client@{CLIENT}")));
        Self { directory }
    }

    /// Runs the script to its end: what it printed.
    ///
    /// # Panics
    ///
    /// When it fails.
    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> String {
        succeeded(self.command().args(arguments))
    }

    /// Starts one client that writes numbered updates to a record and others that read them, and waits until they do.
    /// The first URL is the writer's. Their seconds take as long as `second` says.
    ///
    /// # Panics
    ///
    /// When the clients do not reach one another.
    #[track_caller]
    #[must_use]
    pub fn load(&self, second: Duration, record: &str, urls: &[&str]) -> Load {
        let log = self.directory.path().join(format!("{record}.log"));
        let mut command = self.command();
        command.args(["load", &second.as_millis().to_string(), record]).args(urls);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log).expect("a file"));
        let mut process = Running::start(&mut command);
        let lines = lines(process.0.stdout.take().expect("it was asked for"));
        let load = Load { process, lines, log };
        load.wait_for("ready");
        load
    }

    fn command(&self) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deepstream/clients.js");
        let mut command = Command::new("node");
        command.arg(script).env("NODE_PATH", self.directory.path().join("node_modules"));
        // A listener's certificate is self-signed, and node's warning about this is no news.
        command.env("NODE_TLS_REJECT_UNAUTHORIZED", "0").env("NODE_NO_WARNINGS", "1");
        command
    }
}

/// Clients under way. They are killed when dropped.
pub struct Load {
    process: Running,
    lines: Receiver<String>,
    log: PathBuf,
}

/// What became of the updates. Numbers are in the order of the URLs.
#[derive(Clone, Debug, Deserialize)]
pub struct Report {
    /// How many updates were sent.
    pub sent: usize,
    /// How many of them were acknowledged.
    pub acknowledged: usize,
    /// The acknowledged ones that are not in the record.
    pub lost: Vec<usize>,
    /// The acknowledged ones that are not in what each reader holds of the record.
    pub missed: Vec<Vec<usize>>,
    /// How many of the acknowledged ones each reader has seen.
    pub seen: Vec<usize>,
    /// How often each client lost its connection and opened another one, the writer first.
    pub reconnects: Vec<usize>,
}

impl Load {
    /// Waits until a client has another connection in place of one that it lost.
    ///
    /// # Panics
    ///
    /// When none has.
    #[track_caller]
    pub fn wait_for_reconnect(&self) {
        self.wait_for("reconnected ");
    }

    /// Stops once every reader is up to date.
    ///
    /// # Panics
    ///
    /// When one does not become so.
    #[track_caller]
    #[must_use]
    pub fn end(mut self) -> Report {
        drop(self.process.0.stdin.take());
        let report = self.wait_for("{");
        serde_json::from_str(&report).expect("a report in JSON")
    }

    /// Waits for a line that starts so.
    #[track_caller]
    fn wait_for(&self, start: &str) -> String {
        let begun = Instant::now();
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(begun.elapsed())) {
                Ok(line) if line.starts_with(start) => return line,
                Ok(_) => {}
                Err(error) => {
                    let log = fs::read_to_string(&self.log).unwrap_or_default();
                    panic!("the clients did not say {start:?}: {error}\n{log}");
                }
            }
        }
    }
}
