//! The local AWS: one moto server per test process, and an account of its own with a seed in it for every test.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::proxy::Proxy;
use crate::tools::{self, Failure, Result};

/// What the account holds before a test begins: the things that a user of the provider has already.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Seed {
    /// The account's number.
    pub account: String,
    /// The region of everything.
    pub region: String,
    /// A VPC, 10.0.0.0/16.
    pub vpc_id: String,
    /// One subnet in each of three zones, with a route to an internet gateway.
    pub public_subnet_ids: Vec<String>,
    /// A subnet in the first zone, whose way out is a NAT gateway.
    pub private_subnet_id: String,
    /// The address from which the private subnet reaches the internet.
    pub nat_public_ip: String,
    /// Running instances: the first in the private subnet, the second in the second public one.
    pub instance_ids: Vec<String>,
    /// The instances' security group: it admits the VPC on 80, 443, 12080 and 12443.
    pub instance_security_group_id: String,
    /// The name that the certificates cover.
    pub hostname: String,
    /// An imported certificate for the host name alone.
    pub certificate_arn: String,
    /// An imported certificate for the host name and its wildcard domain.
    pub wildcard_certificate_arn: String,
    /// A requested certificate for the host name that was issued.
    pub issued_certificate_arn: String,
    /// A requested certificate that still waits for its validation.
    pub pending_certificate_arn: String,
    /// A public hosted zone for the host name's domain.
    pub zone_id: String,
}

/// AWS's refusal of a call that a test made.
#[derive(Clone, Debug, Deserialize)]
pub struct AwsError {
    /// For example `LoadBalancerNotFound`.
    pub code: String,
    /// AWS's words.
    pub message: String,
}

/// How a data plane says how targets are, and learns what to serve.
pub(crate) type Exchange = Arc<dyn Fn(&Value) -> Result<Value> + Send + Sync>;

/// An AWS account of a test's own, with a proxy before it for the provider.
pub struct Account {
    server: &'static Server,
    seed: Seed,
    proxy: Proxy,
}

impl Account {
    /// A fresh account with its seed, on the server that all tests of this process share.
    ///
    /// # Errors
    ///
    /// When Python or its packages are missing, or the server does not start.
    pub fn new() -> Result<Self> {
        static NEXT_NUMBER: AtomicU64 = AtomicU64::new(100_000_000_001);
        let number = NEXT_NUMBER.fetch_add(1, Ordering::Relaxed).to_string();
        let server = Server::shared()?;
        let seed = server.ask(&json!({ "account": number, "seed": {} }))?;
        let seed = seed.map_err(|error| Failure::new(format!("seeding the local AWS: {error:?}")))?;
        let seed = serde_json::from_value(seed).map_err(Failure::during("reading the seed"))?;
        let proxy = Proxy::start(server.address, &number)?;
        Ok(Self { server, seed, proxy })
    }

    /// What is there already.
    #[must_use]
    pub fn seed(&self) -> &Seed {
        &self.seed
    }

    /// The proxy through which the provider reaches this account.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Makes an AWS call as somebody else would, not through the proxy: `call("elbv2", "describe_load_balancers",
    /// json!({}))`. Names and parameters are boto3's.
    ///
    /// # Panics
    ///
    /// When AWS refuses.
    #[track_caller]
    pub fn call(&self, service: &str, operation: &str, params: Value) -> Value {
        match self.try_call(service, operation, params) {
            Ok(answer) => answer,
            Err(error) => panic!("{operation}: {}: {}", error.code, error.message),
        }
    }

    /// Like [`call`](Self::call), for calls that AWS may refuse.
    ///
    /// # Errors
    ///
    /// AWS's refusal.
    ///
    /// # Panics
    ///
    /// When the server has died.
    #[track_caller]
    pub fn try_call(&self, service: &str, operation: &str, params: Value) -> std::result::Result<Value, AwsError> {
        let request =
            json!({ "account": self.seed.account, "service": service, "operation": operation, "params": params });
        self.server.ask(&request).expect("the local AWS runs")
    }

    /// Sets how this account behaves; the names are those of `Settings` in `local_aws/settings.py`:
    /// `configure(json!({ "provisioning_seconds": 20 }))`.
    ///
    /// # Panics
    ///
    /// When there is no such setting.
    #[track_caller]
    pub fn configure(&self, settings: Value) {
        let request = json!({ "account": self.seed.account, "configure": settings });
        let answer = self.server.ask(&request).expect("the local AWS runs");
        answer.expect("a setting that exists");
    }

    /// The processor time that the server has used for all its accounts so far, in seconds.
    ///
    /// # Panics
    ///
    /// When the server has died.
    #[must_use]
    pub fn processor_seconds(&self) -> f64 {
        let request = json!({ "account": self.seed.account, "processor_seconds": {} });
        let answer = self.server.ask(&request).expect("the local AWS runs");
        answer.expect("the server knows its time").as_f64().expect("a number")
    }

    /// The account's end of `exchange` in `local_aws/data_plane.py`. It blocks.
    pub(crate) fn exchange(&self) -> Exchange {
        let (server, account) = (self.server, self.seed.account.clone());
        Arc::new(move |report: &Value| -> Result<Value> {
            let answer = server.ask(&json!({ "account": account, "data_plane": report }))?;
            answer.map_err(|AwsError { code, message }| Failure::new(format!("data plane: {code}: {message}")))
        })
    }
}

/// The Python process: it ends by itself when our end of its standard input closes, that is when this process ends.
struct Server {
    address: SocketAddr,
    process: Mutex<Process>,
}

struct Process {
    child: Child,
    answers: BufReader<ChildStdout>,
}

#[derive(Deserialize)]
struct Started {
    port: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Reply {
    Ok(Value),
    Error(AwsError),
}

impl Server {
    fn shared() -> Result<&'static Self> {
        static SERVER: OnceLock<Result<Server>> = OnceLock::new();
        SERVER.get_or_init(Self::start).as_ref().map_err(Clone::clone)
    }

    fn start() -> Result<Self> {
        let log = tools::local_aws_directory()?.join("server.log");
        let log = File::create(log).map_err(Failure::during("creating target/local-aws/server.log"))?;
        let mut child = Command::new(tools::python()?)
            // Without leaving compiled files in the source tree.
            .args(["-B", "-m", "local_aws"])
            .current_dir(tools::workspace_root().join("acceptance-tests"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(Failure::during("starting the local AWS"))?;
        let answers = child.stdout.take().expect("it was asked for");
        let mut process = Process { child, answers: BufReader::new(answers) };
        let Started { port } = process.read()?;
        Ok(Self { address: SocketAddr::from(([127, 0, 0, 1], port)), process: Mutex::new(process) })
    }

    fn ask(&self, request: &Value) -> Result<std::result::Result<Value, AwsError>> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        process.write(request)?;
        Ok(match process.read::<Reply>()? {
            Reply::Ok(answer) => Ok(answer),
            Reply::Error(error) => Err(error),
        })
    }
}

impl Process {
    fn write(&mut self, request: &Value) -> Result<()> {
        let requests = self.child.stdin.as_mut().expect("it was asked for");
        writeln!(requests, "{request}").map_err(Failure::during("speaking to the local AWS"))
    }

    fn read<T: for<'a> Deserialize<'a>>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(Failure::during("hearing from the local AWS"))?;
        serde_json::from_str(&line).map_err(|error| {
            Failure::new(format!("the local AWS answered {line:?} ({error}); see target/local-aws/server.log"))
        })
    }
}
