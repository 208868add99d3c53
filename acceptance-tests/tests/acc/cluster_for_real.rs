//! The user data that a cluster's nodes get, brought to life: its files laid out, deepstream installed as it says, and two
//! real servers started on one real Redis.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use acceptance_tests::with_each_cli;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cluster::{cluster, user_data};
use crate::stack;

/// The version of deepstream's client that the test speaks to the servers with.
const CLIENT: &str = "7.0.5";
/// How long anything may take to come up.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the test needs and cannot find.
fn missing() -> Option<&'static str> {
    let runs = |program: &str| {
        let silent =
            |command: &mut Command| command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        silent(&mut Command::new(program)).is_ok_and(|status| status.success())
    };
    ["node", "npm", "redis-server"].into_iter().find(|program| !runs(program))
}

#[test]
#[allow(clippy::print_stderr, reason = "a test that is skipped must say so")]
fn two_real_servers_share_records_and_events_and_survive_a_restart() {
    if let Some(program) = missing() {
        eprintln!("SKIPPED: {program} is missing, so no real deepstream was started (.ci/run installs it)");
        return;
    }
    with_each_cli(|aws, workspace| {
        let plain = "cache = { transit_encryption = false }\nuser_data_extra = \"echo 'a: b # c'\"";
        workspace.write("main.tf", &cluster(aws.seed(), plain));
        workspace.apply().expect_success();
        let state = workspace.attributes("codestream_deepstream_cluster", "realtime");
        let data = user_data(aws, &stack::text(&state["nodes"][0]["instance_id"]));
        workspace.destroy().expect_success();

        let root = TempDir::new().expect("a directory");
        let commands = lay_out(&data, root.path());
        let laid_out = fs::read_to_string(root.path().join("etc/deepstream/config.yml")).expect("a configuration");
        assert_eq!(laid_out, stack::text(&state["config_yaml"]));
        install(&commands, root.path());

        let redis = free_port();
        let _redis = Running(
            Command::new("redis-server")
                .args(["--bind", "127.0.0.1", "--save", "", "--port", &redis.to_string()])
                .stdout(Stdio::null())
                .spawn()
                .expect("redis-server starts"),
        );
        wait_for_port(redis);
        let ports = [free_port(), free_port()];
        let config = stack::text(&state["config_yaml"]);
        let configs = ports.map(|port| node_config(root.path(), &config, port, redis));
        let [one, _other] = [0, 1].map(|node| start(root.path(), &configs[node], ports[node]));
        let [at_one, at_other] = ports.map(|port| format!("127.0.0.1:{port}"));
        clients(root.path(), &["cross", &at_one, &at_other, "survivor"]);
        drop(one);
        let _one = start(root.path(), &configs[0], ports[0]);
        let read = clients(root.path(), &["read", &at_one, "survivor"]);
        assert_eq!(serde_json::from_str::<Value>(&read).expect("JSON"), json!({ "value": 42 }));
    });
}

/// Writes the files of the user data below `root`: the commands that are to run then.
fn lay_out(user_data: &str, root: &Path) -> Vec<Vec<String>> {
    let text = user_data.strip_prefix("#cloud-config\n").expect("a cloud-config");
    // JSON is YAML.
    let parsed: Value = serde_json::from_str(text).expect("JSON");
    for file in stack::list(&parsed, "write_files") {
        let path = below(root, &stack::text(&file["path"]));
        fs::create_dir_all(path.parent().expect("a file is in a directory")).expect("a directory");
        fs::write(path, stack::text(&file["content"])).expect("a file");
    }
    serde_json::from_value(parsed["runcmd"].clone()).expect("commands of words")
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

/// Runs npm as the user data does, below `root`; and installs the client beside it.
fn install(commands: &[Vec<String>], root: &Path) {
    let npm = commands.iter().find(|command| command[0] == "npm-22").expect("npm installs deepstream");
    let arguments: Vec<String> = npm[1..]
        .iter()
        .map(|word| if word.starts_with('/') { below(root, word).display().to_string() } else { word.clone() })
        .collect();
    succeeded(Command::new("npm").args(&arguments));
    let client = root.join("client");
    fs::create_dir(&client).expect("a directory");
    fs::write(client.join("package.json"), "{\"private\": true}").expect("a file");
    let package = format!("@deepstream/client@{CLIENT}");
    succeeded(Command::new("npm").args(["install", "--no-audit", "--no-fund", "--prefix"]).arg(&client).arg(package));
}

#[track_caller]
fn succeeded(command: &mut Command) -> String {
    let output = command.output().expect("a program that was found");
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{command:?}:\n{out}\n{err}");
    out
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").port()
}

/// The configuration of one node on this machine: another port, and Redis where it really is.
fn node_config(root: &Path, config: &str, port: u16, redis: u16) -> PathBuf {
    let mut config: Value = serde_json::from_str(config).expect("JSON");
    config["httpServer"]["options"]["host"] = json!("127.0.0.1");
    config["httpServer"]["options"]["port"] = json!(port);
    for connector in ["cache", "clusterNode"] {
        config[connector]["options"] = json!({ "host": "127.0.0.1", "port": redis });
    }
    let path = root.join(format!("config-{port}.yml"));
    fs::write(&path, config.to_string()).expect("a file");
    path
}

/// Starts a server with the command of the unit, and waits until it answers health checks.
fn start(root: &Path, config: &Path, port: u16) -> Running {
    let unit = fs::read_to_string(root.join("etc/systemd/system/deepstream.service")).expect("a unit");
    let command = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
    let words: Vec<&str> = command.split(' ').collect();
    assert_eq!(words[0], "/usr/bin/node-22");
    let program = Command::new("node")
        .arg(below(root, words[1]))
        .args(&words[2..])
        .env("DEEPSTREAM_CONFIG_DIRECTORY", config)
        .current_dir(root.join("opt/deepstream"))
        .stdout(Stdio::null())
        .spawn();
    let running = Running(program.expect("node starts"));
    let answers = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(b"GET /health-check HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.starts_with("HTTP/1.1 200").then_some(())
    };
    wait_until("the server answers health checks", answers);
    running
}

fn wait_for_port(port: u16) {
    wait_until("the port is open", || TcpStream::connect(("127.0.0.1", port)).ok().map(drop));
}

#[track_caller]
#[allow(clippy::disallowed_methods, reason = "no task runs on this thread, and what is waited for is another process")]
fn wait_until(what: &str, holds: impl Fn() -> Option<()>) {
    let start = Instant::now();
    while holds().is_none() {
        assert!(start.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(50));
    }
}

/// Runs the clients' script: what it printed.
fn clients(root: &Path, arguments: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("deepstream/clients.js");
    succeeded(Command::new("node").arg(script).args(arguments).env("NODE_PATH", root.join("client/node_modules")))
}
