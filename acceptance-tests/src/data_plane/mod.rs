//! A data plane for the local AWS: what the provider configures is what serves, on loopback.
//!
//! ```text
//! client -> HAProxy (TLS, security groups, weights, stickiness) -> relay (cut when drained) -> a test's server
//!               ^ configuration                                                                 ^ health checks
//!               '------- data plane <-- what to serve / the state of each target --> local AWS -'
//! ```
//!
//! Ten times a second, and whenever a target's health changes, it asks the local AWS what is to be served and says how
//! the targets are, in one exchange over the pipe that also carries the tests' own calls: the calls that the proxy logs
//! stay the provider's. The states are kept where moto answers DescribeTargetHealth, not put into answers by the proxy:
//! a test's own calls go past the proxy and must see the same, and only moto knows who is unused. A state is told only
//! once HAProxy serves accordingly.
//!
//! As in AWS: only targets of a group that a listener refers to are checked, with the group's settings; one pass makes
//! a new target healthy; certificates of targets are not verified; a group without a healthy target gets all of them;
//! a deregistered target gets nothing new, keeps its connections until the deregistration delay ends, and is then cut
//! off.
//!
//! Other than in AWS:
//!
//! - Every port of every load balancer is a free port of 127.0.0.1; [`DataPlane::site`] says which.
//! - An instance is wherever [`DataPlane::serve`] says. Subnets and the instances' security groups do not matter; the
//!   sources of the load balancers' rules do, rules that name groups or prefix lists let nobody in, and clients
//!   that are not let in are refused at once, where AWS lets them wait.
//! - Intervals and delays of targets pass faster, as the test says. Timeouts do not.
//! - One HAProxy is the load balancer in all its zones.
//! - A certificate is not the one in ACM, whose key nobody gets, but a self-signed one for the same names. TLS policies
//!   all mean TLS 1.2 or newer, and there is no HTTP/2.
//! - Only the default action of a listener counts, and only `forward` and `redirect`; a listener's other rules, WAF,
//!   logs and the load balancer's other attributes do nothing.
//! - With `app_cookie` the application's own cookie carries the target, not one beside it.
//! - Connections of a deleted listener last until their target is cut off. Clients that keep connections alive between
//!   requests may see one closed at any change.
//! - A target that is unused but registered keeps its connections.

mod config;
mod haproxy;
mod health;
mod picture;
mod relay;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fs, mem};

use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio::time::sleep;

use crate::background::{Task, locked, runtime};
use crate::client::Site;
use crate::local_aws::{Account, Exchange};
use crate::tls::Identity;
use crate::tools::{self, Failure, Result};
use config::Surroundings;
use haproxy::Haproxy;
use health::{Checks, Said};
use picture::{Picture, Use};
use relay::Relay;

/// How often the local AWS is asked.
const POLL: Duration = Duration::from_millis(100);

/// Who serves a port of an instance.
type Servers = Arc<Mutex<BTreeMap<(String, u16), SocketAddr>>>;

/// The running data plane of an account. It stops when dropped.
pub struct DataPlane {
    shared: Arc<Shared>,
    task: Task,
}

/// What tests look at while the data plane runs.
#[derive(Default)]
struct Shared {
    servers: Servers,
    sites: Mutex<BTreeMap<(String, u16), Site>>,
    certificates: Mutex<BTreeMap<String, Vec<u8>>>,
    failure: Mutex<Option<Failure>>,
}

impl DataPlane {
    /// Serves whatever the account's load balancers are configured to serve, from now on. A second of health checks
    /// and deregistration delays takes as long as `second` says.
    ///
    /// # Errors
    ///
    /// When HAProxy is not on this machine, or does not start.
    pub fn start(account: &Account, second: Duration) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut plane = Plane {
            exchange: account.exchange(),
            second,
            haproxy: Haproxy::new(tools::haproxy()?)?,
            loaded: String::new(),
            ports: BTreeMap::new(),
            certificates: BTreeMap::new(),
            checks: Checks::new(second, Arc::clone(&shared.servers)),
            relays: BTreeMap::new(),
            draining: BTreeMap::new(),
            drained: BTreeSet::new(),
            said: BTreeMap::new(),
            shared: Arc::clone(&shared),
        };
        // From here on the local AWS waits for what the data plane says.
        runtime().block_on(plane.turn())?;
        Ok(Self { shared, task: Task::spawn(plane.run()) })
    }

    /// Says where on this machine a port of an instance is served.
    pub fn serve(&self, instance: &str, port: u16, address: SocketAddr) {
        locked(&self.shared.servers).insert((instance.to_owned(), port), address);
    }

    /// Where this port of the load balancer is served; `None` when it has no such listener.
    ///
    /// # Panics
    ///
    /// When the data plane has failed.
    #[must_use]
    pub fn site(&self, balancer: &str, port: u16) -> Option<Site> {
        if let Some(failure) = &*locked(&self.shared.failure) {
            panic!("the data plane has failed: {failure}");
        }
        locked(&self.shared.sites).get(&(balancer.to_owned(), port)).copied()
    }

    /// What is served in place of this certificate, in DER; `None` as long as no listener has it.
    #[must_use]
    pub fn certificate(&self, arn: &str) -> Option<Vec<u8>> {
        locked(&self.shared.certificates).get(arn).cloned()
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        // This process may be about to end, and would leave HAProxy behind.
        self.task.end();
    }
}

struct Plane {
    exchange: Exchange,
    second: Duration,
    haproxy: Haproxy,
    loaded: String,
    /// The port of every listener that there was. They stay bound, so that nobody else gets them; HAProxy shares them.
    ports: BTreeMap<(String, u16), TcpSocket>,
    certificates: BTreeMap<String, PathBuf>,
    checks: Checks,
    relays: BTreeMap<u64, Relay>,
    /// Since when each deregistered target drains.
    draining: BTreeMap<u64, Instant>,
    /// The targets whose connections are cut, to be told.
    drained: BTreeSet<u64>,
    /// The states by which HAProxy serves.
    said: BTreeMap<u64, Said>,
    shared: Arc<Shared>,
}

impl Plane {
    async fn run(mut self) {
        loop {
            match self.turn().await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(failure) => {
                    *locked(&self.shared.failure) = Some(failure);
                    return;
                }
            }
            tokio::select! {
                () = sleep(POLL) => {}
                () = self.checks.changed() => {}
            }
        }
    }

    /// Tells and asks once, and serves accordingly; false when there is something new to tell.
    async fn turn(&mut self) -> Result<bool> {
        let report = json!({ "states": self.said, "drained": mem::take(&mut self.drained) });
        let exchange = Arc::clone(&self.exchange);
        let answer = tokio::task::spawn_blocking(move || exchange(&report));
        let answer: Value = answer.await.map_err(Failure::during("asking the local AWS"))??;
        let picture: Picture =
            serde_json::from_value(answer).map_err(Failure::during("reading what is to be served"))?;
        self.follow(&picture).await?;
        let said = self.checks.said();
        self.listen(&picture, &said).await?;
        let nothing_new = said == self.said && self.drained.is_empty();
        self.said = said;
        Ok(nothing_new)
    }

    /// Opens the ways to targets, and cuts off those whose time is up.
    async fn follow(&mut self, picture: &Picture) -> Result<()> {
        let known: BTreeSet<u64> = picture.targets().map(|(_, target)| target.registration).collect();
        self.relays.retain(|registration, _| known.contains(registration));
        self.draining.retain(|registration, _| known.contains(registration));
        for (group, target) in picture.targets() {
            let registration = target.registration;
            if target.state == Use::Draining {
                let since = *self.draining.entry(registration).or_insert_with(Instant::now);
                let over = since.elapsed() >= self.second * group.deregistration_delay;
                if over || !self.relays.contains_key(&registration) {
                    self.relays.remove(&registration);
                    self.drained.insert(registration);
                }
                continue;
            }
            self.draining.remove(&registration);
            if target.state == Use::Used && !self.relays.contains_key(&registration) {
                let relay = Relay::start(&self.shared.servers, &target.instance, target.port).await?;
                self.relays.insert(registration, relay);
            }
        }
        self.checks.follow(picture);
        Ok(())
    }

    /// Lets HAProxy serve what is to be served.
    async fn listen(&mut self, picture: &Picture, said: &BTreeMap<u64, Said>) -> Result<()> {
        let mut sites = BTreeMap::new();
        for listener in &picture.listeners {
            for arn in &listener.certificates {
                self.issue(arn, picture)?;
            }
            let key = (listener.balancer.clone(), listener.port);
            let site = Site { address: self.port(&key)?, tls: !listener.certificates.is_empty() };
            sites.insert(key, site);
        }
        let healthy = said.iter().filter(|(_, (state, ..))| *state == "healthy");
        let surroundings = Surroundings {
            sites,
            certificates: self.certificates.clone(),
            relays: self.relays.iter().map(|(registration, relay)| (*registration, relay.address)).collect(),
            healthy: healthy.map(|(registration, _)| *registration).collect(),
        };
        let configuration = config::render(picture, &surroundings);
        let sites = surroundings.sites;
        if configuration != self.loaded {
            // Who finds a port closed can tell that its listener went first.
            locked(&self.shared.sites).retain(|key, site| sites.get(key) == Some(&*site));
            self.haproxy.load(&configuration).await?;
            self.loaded = configuration;
        }
        *locked(&self.shared.sites) = sites;
        Ok(())
    }

    /// A port of this machine for a port of a load balancer, always the same.
    fn port(&mut self, key: &(String, u16)) -> Result<SocketAddr> {
        let failed = || Failure::during("opening a port for a listener");
        if let Some(socket) = self.ports.get(key) {
            return socket.local_addr().map_err(failed());
        }
        let socket = TcpSocket::new_v4().map_err(failed())?;
        socket.set_reuseport(true).map_err(failed())?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).map_err(failed())?;
        let address = socket.local_addr().map_err(failed())?;
        self.ports.insert(key.clone(), socket);
        Ok(address)
    }

    /// Makes the certificate that is served in place of one in ACM, once.
    fn issue(&mut self, arn: &str, picture: &Picture) -> Result<()> {
        if self.certificates.contains_key(arn) {
            return Ok(());
        }
        let names: Vec<String> = picture.certificates.get(arn).into_iter().flatten().cloned().collect();
        let identity = Identity::new(arn.rsplit('/').next().unwrap_or(arn), &names)?;
        let file = self.haproxy.directory().join(format!("{}.pem", self.certificates.len()));
        fs::write(&file, &identity.pem).map_err(Failure::during("writing a certificate"))?;
        locked(&self.shared.certificates).insert(arn.to_owned(), identity.certificate.to_vec());
        self.certificates.insert(arn.to_owned(), file);
        Ok(())
    }
}
