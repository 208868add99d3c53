//! What is configured serves: real clients reach real servers through a load balancer on loopback.
//!
//! Of the requests of a client that looks for the service at several ports, one counts as failed when a listener that
//! has served it before does not, though it is still there, or when no listener serves it. So the old listener counts
//! until it is gone, and the new one from its first answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use acceptance_tests::{
    Account, Cli, Client, DataPlane, Host, Seed, Site, Socket, Workspace, eventually, haproxy, runtime,
};
use serde_json::json;
use tokio::time::sleep;

use crate::stack;

const NAME: &str = "codestream-alb";
/// How long a second of health checks and deregistration delays takes.
const SECOND: Duration = Duration::from_millis(50);
/// The Broadcaster's deregistration delay, by default 60 seconds.
const DELAY: Duration = SECOND.saturating_mul(60);
const PAUSE: Duration = Duration::from_millis(10);
/// Lets in every client on this machine.
const EVERYBODY: &str = "client_cidr_blocks = [\"127.0.0.0/8\"]\n";

/// An account whose load balancers serve, with a host for its first instance.
struct Stage {
    aws: Account,
    /// When the proxy began to count time.
    epoch: Instant,
    workspace: Workspace,
    plane: DataPlane,
    host: Host,
}

impl Stage {
    /// Sets a stage with each CLI for a test of its own; none, and a word about it, on a machine without HAProxy.
    fn with_each_cli(test: impl Fn(Self)) {
        if let Err(missing) = haproxy() {
            tell(&format!("SKIPPED, no traffic was tested: {missing}"));
            return;
        }
        for cli in Cli::all().expect("a CLI to test with") {
            let aws = Account::new().expect("an AWS account");
            let epoch = Instant::now();
            let workspace = Workspace::new(&cli, &aws).expect("a workspace");
            let plane = DataPlane::start(&aws, SECOND).expect("a data plane");
            let host = Host::start("first").expect("a host");
            let stage = Self { aws, epoch, workspace, plane, host };
            stage.inhabit(0, &stage.host);
            test(stage);
        }
    }

    fn seed(&self) -> &Seed {
        self.aws.seed()
    }

    /// Lets the host be this instance.
    fn inhabit(&self, instance: usize, host: &Host) {
        for (port, address) in host.addresses() {
            self.plane.serve(&self.seed().instance_ids[instance], *port, *address);
        }
    }

    #[track_caller]
    fn apply(&self, configuration: &str) {
        self.workspace.write("main.tf", configuration);
        self.workspace.apply().expect_success();
    }

    /// Where the load balancer's port is, once the data plane has opened it.
    #[track_caller]
    fn site(&self, port: u16) -> Site {
        eventually(&format!("port {port} is open"), async || self.plane.site(NAME, port).is_some());
        self.plane.site(NAME, port).expect("it was there")
    }
}

/// Writes to the terminal, also when the test passes.
pub(crate) fn tell(line: &str) {
    writeln!(io::stderr(), "{line}").expect("a standard error that can be written");
}

/// What became of a client's requests.
#[derive(Debug, Default)]
struct Requests {
    sent: usize,
    failed: Vec<String>,
    /// Got no answer from a listener that had not served yet, and from one that was just removed.
    too_early: usize,
    too_late: usize,
    /// How many each host answered.
    answered: BTreeMap<String, usize>,
}

/// Asks for every service at each of its ports that is open, again and again until told to stop.
async fn requests(plane: &DataPlane, services: &[&[u16]], stop: &AtomicBool) -> Requests {
    let (mut requests, mut serving) = (Requests::default(), BTreeSet::new());
    while !stop.load(Ordering::Relaxed) {
        for service in services {
            let mut served = false;
            for port in *service {
                if let Some(site) = plane.site(NAME, *port) {
                    served |= requests.send(plane, *port, site, &mut serving).await;
                }
            }
            if !served {
                requests.failed.push(format!("nobody serves at any of {service:?}"));
            }
        }
        sleep(PAUSE).await;
    }
    requests
}

impl Requests {
    async fn send(&mut self, plane: &DataPlane, port: u16, site: Site, serving: &mut BTreeSet<u16>) -> bool {
        self.sent += 1;
        match Client::default().get(site, "/").await {
            Ok(answer) if answer.status == 200 => {
                serving.insert(port);
                *self.answered.entry(answer.body).or_insert(0) += 1;
                return true;
            }
            _ if !serving.contains(&port) => self.too_early += 1,
            _ if plane.site(NAME, port) != Some(site) => self.too_late += 1,
            other => self.failed.push(format!("port {port}: {other:?}")),
        }
        false
    }

    #[track_caller]
    fn none_failed(&self, what: &str) {
        let Self { sent, failed, too_early, too_late, answered } = self;
        tell(&format!(
            "{what}: {sent} requests sent, {} failed ({too_early} before a listener served, {too_late} at a removed \
             one), answers: {answered:?}",
            failed.len()
        ));
        assert!(!answered.is_empty() && failed.is_empty(), "{failed:?}");
    }
}

/// Stops the clients, also when the test fails.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does something while a client asks for the services.
fn under_load(stage: &Stage, services: &[&[u16]], act: impl FnOnce()) -> Requests {
    let stop = AtomicBool::new(false);
    let (plane, stopped) = (&stage.plane, &stop);
    thread::scope(|scope| {
        let load = scope.spawn(move || runtime().block_on(requests(plane, services, stopped)));
        let stopping = Stop(&stop);
        act();
        drop(stopping);
        load.join().expect("a client that ends")
    })
}

/// What became of a client with a WebSocket.
#[derive(Debug, Default)]
struct Connected {
    opened: usize,
    echoes: usize,
    /// When connections ended that the client had not closed.
    cut: Vec<Instant>,
}

impl Connected {
    /// Keeps a WebSocket at the first of the ports, and opens a new one when it is cut. One that `moves` goes to the
    /// second port as soon as that serves.
    async fn stay(plane: &DataPlane, [old, new]: [u16; 2], moves: bool, stop: &AtomicBool) -> Self {
        let mut story = Self::default();
        let mut current: Option<Socket> = None;
        let mut moved = false;
        while !stop.load(Ordering::Relaxed) {
            let wanted = if moves && !moved || current.is_none() { plane.site(NAME, new) } else { None };
            if let Some(site) = wanted
                && let Ok(socket) = Client::default().socket(site).await
            {
                story.opened += 1;
                moved = true;
                if let Some(left) = current.replace(socket) {
                    left.close().await.expect("a connection that was not cut");
                }
            }
            if current.is_none()
                && let Some(site) = plane.site(NAME, old)
                && let Ok(socket) = Client::default().socket(site).await
            {
                story.opened += 1;
                current = Some(socket);
            }
            if let Some(socket) = &mut current {
                match socket.echo("still there?").await {
                    Ok(()) => story.echoes += 1,
                    Err(_) => {
                        story.cut.push(Instant::now());
                        current = None;
                    }
                }
            }
            sleep(PAUSE).await;
        }
        story
    }
}

#[test]
fn over_http_requests_and_web_sockets_reach_the_host() {
    Stage::with_each_cli(|stage| {
        stage.apply(&stack::http(stage.seed(), EVERYBODY));
        let [api, broadcaster] = [80, 12080].map(|port| stage.site(port));
        runtime().block_on(async {
            let client = Client::default();
            for _ in 0..100 {
                let answer = client.get(api, "/no-auth/capabilities").await.expect("an answer");
                assert_eq!((answer.status, answer.body.as_str()), (200, "first answers /no-auth/capabilities"));
            }
            let mut sockets = Vec::new();
            for _ in 0..20 {
                sockets.push(client.socket(broadcaster).await.expect("a WebSocket"));
            }
            for round in 0..5 {
                for socket in &mut sockets {
                    socket.echo(&format!("message {round}")).await.expect("an echo");
                }
            }
            tell(&format!("HTTP: 100 requests sent, 0 failed; {} WebSockets open, 100 echoes, 0 cut", sockets.len()));
        });
        stage.workspace.plan().expect_no_changes();
    });
}

#[test]
fn from_http_to_https_no_request_fails_and_web_sockets_end_only_with_the_deregistration_delay() {
    Stage::with_each_cli(|stage| {
        stage.apply(&stack::http(stage.seed(), EVERYBODY));
        for port in [80, 12080] {
            stage.site(port);
        }
        stage.aws.proxy().clear_calls();
        let stop = AtomicBool::new(false);
        let (plane, stopped) = (&stage.plane, &stop);
        let (requests, connected) = thread::scope(|scope| {
            // Half of the clients move to the new port when it serves, the others stay as long as they can.
            let clients: Vec<_> = (0..8)
                .map(|number| {
                    let ports = [12080, 12443];
                    scope.spawn(move || runtime().block_on(Connected::stay(plane, ports, number % 2 == 0, stopped)))
                })
                .collect();
            let stopping = Stop(&stop);
            let requests = under_load(&stage, &[&[80, 443], &[12080, 12443]], || {
                stage.apply(&stack::https(stage.seed(), EVERYBODY));
                // The old listeners are gone, and the new ones serve on.
                eventually("the old ports are closed", async || {
                    [80, 12080].iter().all(|port| plane.site(NAME, *port).is_none())
                });
                for port in [443, 12443] {
                    stage.site(port);
                }
            });
            drop(stopping);
            let connected: Vec<Connected> =
                clients.into_iter().map(|client| client.join().expect("a client that ends")).collect();
            (requests, connected)
        });
        requests.none_failed("HTTP to HTTPS");

        let calls = stage.aws.proxy().calls();
        let deregistered =
            calls.iter().filter(|call| call.action == "DeregisterTargets").map(|call| call.started).min();
        let due = stage.epoch + deregistered.expect("the old targets were deregistered") + DELAY;
        let sum = |of: fn(&Connected) -> usize| connected.iter().map(of).sum::<usize>();
        let cut: Vec<Instant> = connected.iter().flat_map(|client| client.cut.iter().copied()).collect();
        let early = cut.iter().filter(|when| **when < due).count();
        tell(&format!(
            "HTTP to HTTPS: {} WebSockets of {} clients opened, {} echoes, {} ended with the deregistration delay, {early} \
         cut before",
            sum(|client| client.opened),
            connected.len(),
            sum(|client| client.echoes),
            cut.len() - early,
        ));
        assert_eq!(early, 0);
        for (number, client) in connected.iter().enumerate() {
            assert_eq!(client.cut.len(), number % 2, "client {number}: {client:?}");
        }
        stage.workspace.plan().expect_no_changes();
    });
}

#[test]
fn a_rotated_certificate_is_served_on_both_ports_and_no_request_fails_meanwhile() {
    Stage::with_each_cli(|stage| {
        let (seed, configuration) = (stage.seed(), stack::https(stage.seed(), EVERYBODY));
        stage.apply(&configuration);
        let served = |arn: &str| {
            let expected = stage.plane.certificate(arn).expect("a listener has the certificate");
            for port in [443, 12443] {
                let site = stage.site(port);
                let shown = async || Client::default().certificate(site).await.is_ok_and(|shown| shown == expected);
                eventually(&format!("{arn} is served on {port}"), shown);
            }
        };
        served(&seed.certificate_arn);
        let requests = under_load(&stage, &[&[443], &[12443]], || {
            stage.apply(&configuration.replace(&seed.certificate_arn, &seed.issued_certificate_arn));
            eventually("the new certificate was made", async || {
                stage.plane.certificate(&seed.issued_certificate_arn).is_some()
            });
            served(&seed.issued_certificate_arn);
        });
        requests.none_failed("certificate rotation");
        stage.workspace.plan().expect_no_changes();
    });
}

#[test]
fn an_apply_says_why_a_host_is_unhealthy_and_what_to_do() {
    type Breakage = (fn(&Stage), [&'static str; 3]);
    let breakages: [Breakage; 2] = [
        (
            |stage| stage.host.set_health(503),
            ["Target.ResponseCodeMismatch", "[503]", "check health_check.path and the service behind it"],
        ),
        (
            // A port that was open once, and is not.
            |stage| {
                let gone = Host::start("gone").expect("a host");
                stage.inhabit(0, &gone);
            },
            ["Target.FailedHealthChecks", "no connection", "check that the service listens on this port"],
        ),
    ];
    for (breaks, words) in breakages {
        Stage::with_each_cli(|stage| {
            breaks(&stage);
            let impatient = format!("{EVERYBODY}timeouts = {{ create = \"15s\" }}");
            stage.workspace.write("main.tf", &stack::http(stage.seed(), &impatient));
            let mut refused = stage.workspace.apply();
            for said in words {
                refused = refused.expect_error(said);
            }
            assert!(refused.stderr.contains(&stage.seed().instance_ids[0]), "{}", refused.stderr);
            tell(&format!("an unhealthy host: the apply failed with {}", words[0]));
        });
    }
}

#[test]
fn exactly_the_given_clients_are_let_in() {
    Stage::with_each_cli(|stage| {
        let everybody: Vec<Ipv4Addr> =
            ["127.0.0.1", "127.0.0.2", "127.0.0.3", "127.1.0.0", "127.1.255.255", "127.2.0.0", "127.9.9.9"]
                .map(|address| address.parse().expect("an address"))
                .to_vec();
        let cases = [
            (json!(["127.0.0.2/32", "127.1.0.0/16"]), vec!["127.0.0.2", "127.1.0.0", "127.1.255.255", "127.9.9.9"]),
            (json!(["127.0.0.0/31"]), vec!["127.0.0.1", "127.9.9.9"]),
        ];
        let (mut sent, mut refused) = (0, 0);
        for (blocks, admitted) in cases {
            let sources = format!("client_cidr_blocks = {blocks}\ninstance_cidr_blocks = [\"127.9.9.9/32\"]");
            stage.apply(&stack::http(stage.seed(), &sources));
            for port in [80, 12080] {
                let site = stage.site(port);
                let mut seen = Vec::new();
                eventually(&format!("{admitted:?} are let in on {port}, and nobody else"), async || {
                    seen.clear();
                    for client in &everybody {
                        sent += 1;
                        match Client::at(*client).get(site, "/").await {
                            Ok(_) => seen.push(client.to_string()),
                            Err(_) => refused += 1,
                        }
                    }
                    seen == admitted
                });
            }
        }
        tell(&format!("security group: {sent} requests sent, {refused} refused, by the right clients each time"));
    });
}

#[test]
fn an_instance_and_a_target_port_are_swapped_under_load_and_no_request_fails() {
    Stage::with_each_cli(|stage| {
        let (seed, second, third) = (stage.seed(), Host::start("second"), Host::start("third"));
        let [second, third] = [second, third].map(|host| host.expect("a host"));
        stage.inhabit(1, &second);
        stage.plane.serve(&seed.instance_ids[1], 8080, third.addresses()[&80]);
        stage.apply(&stack::http(seed, EVERYBODY));
        for port in [80, 12080] {
            stage.site(port);
        }
        let api_is = |host: &str| {
            let site = stage.site(80);
            let expected = format!("{host} answers /");
            let answers = async || Client::default().get(site, "/").await.is_ok_and(|answer| answer.body == expected);
            eventually(&format!("the {host} host is the API"), answers);
        };

        let other = format!("{EVERYBODY}instance_ids = {}\n", json!(seed.instance_ids[1..]));
        let requests = under_load(&stage, &[&[80], &[12080]], || {
            stage.apply(&stack::http(seed, &other));
            api_is("second");
        });
        requests.none_failed("instance swap");
        let requests = under_load(&stage, &[&[80], &[12080]], || {
            stage.apply(&stack::http(seed, &format!("{other}api = {{ target_port = 8080 }}")));
            api_is("third");
        });
        requests.none_failed("target port change");
        stage.workspace.plan().expect_no_changes();
    });
}
