//! A cluster serves: real clients reach real servers through the load balancer's listeners, whatever becomes of a node.
//!
//! EC2 is played here: whenever the local AWS has launched an instance, a server starts as the user data of that
//! instance says, and when it has terminated one, its server is killed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use acceptance_tests::deepstream::{self, Clients, Load, Redis, Report, Server, Software, wait_until};
use acceptance_tests::{Account, DataPlane, Workspace, haproxy, runtime, with_each_cli};
use serde_json::json;
use tokio::time::sleep;

use crate::cluster::{TYPE, cluster, nodes, user_data};
use crate::stack;
use crate::traffic::{Stop, tell};

const NAME: &str = "realtime";
/// How long a second of health checks, deregistration delays and clients' pauses takes.
const SECOND: Duration = Duration::from_millis(100);
/// How often is looked which instances there are.
const POLL: Duration = Duration::from_millis(200);

/// A cluster that serves. What is declared first ends first.
struct Stage<'a> {
    aws: &'a Account,
    workspace: &'a Workspace,
    plane: DataPlane,
    /// By instance. Those that were killed stay, as their instances do.
    servers: Mutex<BTreeMap<String, Server>>,
    /// By user data.
    software: Mutex<BTreeMap<String, Software>>,
    redis: Redis,
    clients: Clients,
}

impl Stage<'_> {
    /// Creates the cluster with each CLI, each time for a test of its own; not on a machine that lacks something, and a
    /// word about it.
    fn with_each_cli(test: impl Fn(&Stage<'_>)) {
        let lacking = haproxy().err().map(|missing| missing.to_string());
        if let Some(missing) = lacking.or_else(|| deepstream::missing().map(|program| format!("{program} is missing")))
        {
            tell(&format!("SKIPPED, no traffic of a cluster was tested: {missing} (.ci/run installs it)"));
            return;
        }
        with_each_cli(|aws, workspace| {
            let stage = Stage {
                aws,
                workspace,
                plane: DataPlane::start(aws, SECOND).expect("a data plane"),
                servers: Mutex::default(),
                software: Mutex::default(),
                redis: Redis::start(),
                clients: Clients::install(),
            };
            let stop = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| stage.follow_instances(&stop));
                let _stopping = Stop(&stop);
                stage.apply("");
                test(&stage);
            });
        });
    }

    #[track_caller]
    fn apply(&self, more: &str) {
        let seed = self.aws.seed();
        let arguments = format!(
            "client_cidr_blocks = [\"127.0.0.0/8\"]\ncertificate_arn = {}\nhostname = {}\n\
             cache = {{ transit_encryption = false }}\ntimeouts = {{ create = \"20m\", update = \"20m\" }}\n{more}",
            json!(seed.certificate_arn),
            json!(seed.hostname),
        );
        self.workspace.write("main.tf", &cluster(seed, &arguments));
        self.workspace.apply().expect_success();
    }

    /// Starts and kills servers as instances come and go.
    fn follow_instances(&self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            let instances = nodes(self.aws);
            self.servers().retain(|instance, _| instances.contains(instance));
            for instance in instances {
                if self.servers().contains_key(&instance) {
                    continue;
                }
                let server = self.boot(&instance);
                self.servers().insert(instance, server);
            }
            runtime().block_on(async { sleep(POLL).await });
        }
    }

    fn boot(&self, instance: &str) -> Server {
        let data = user_data(self.aws, instance);
        let mut installed = self.software.lock().expect("no boot has failed");
        let software = installed.entry(data).or_insert_with_key(|data| Software::install(data));
        let server = software.start(&self.redis);
        self.plane.serve(instance, server.address().port(), server.address());
        server
    }

    fn servers(&self) -> MutexGuard<'_, BTreeMap<String, Server>> {
        self.servers.lock().expect("no boot has failed")
    }

    /// What clients connect to: in cleartext, and encrypted.
    fn urls(&self) -> [String; 2] {
        [(80, "ws"), (443, "wss")].map(|(port, scheme)| {
            wait_until(&format!("port {port} is open"), || self.plane.site(NAME, port).is_some());
            let site = self.plane.site(NAME, port).expect("it was there");
            assert_eq!(site.tls, scheme == "wss", "port {port}");
            format!("{scheme}://{}", site.address)
        })
    }

    /// Four clients, every second one of them encrypted.
    #[track_caller]
    fn load(&self, record: &str) -> Load {
        let [clear, encrypted] = &self.urls();
        self.clients.load(SECOND, record, &[clear, encrypted, clear, encrypted])
    }

    /// How the nodes are, as AWS says.
    fn health(&self) -> Vec<String> {
        let group = &self.workspace.attributes(TYPE, NAME)["target_group_arn"];
        let answer = self.aws.call("elbv2", "describe_target_health", json!({ "TargetGroupArn": group }));
        let targets = stack::list(&answer, "TargetHealthDescriptions");
        let mut states: Vec<String> =
            targets.iter().map(|target| stack::text(&target["TargetHealth"]["State"])).collect();
        states.sort();
        states
    }
}

/// Says what became of the updates, of which none may be lost.
#[track_caller]
fn nothing_is_lost(what: &str, report: &Report) {
    let Report { sent, acknowledged, lost, missed, seen, reconnects } = report;
    tell(&format!(
        "{what}: {sent} updates sent, {acknowledged} acknowledged, {} of these lost; the readers saw {seen:?}; the \
         clients reconnected {reconnects:?} times",
        lost.len(),
    ));
    assert!(lost.is_empty() && missed.iter().all(Vec::is_empty), "{report:?}");
}

#[test]
fn clients_meet_through_both_listeners_and_move_to_the_other_node_when_theirs_is_killed() {
    Stage::with_each_cli(|stage| {
        let [clear, encrypted] = &stage.urls();
        stage.clients.run(&["cross", clear, encrypted, "one-way"]);
        stage.clients.run(&["cross", encrypted, clear, "other-way"]);

        let load = stage.load("updates");
        let killed = stage.servers().first_key_value().map(|(instance, _)| instance.clone()).expect("a node");
        stage.servers().get_mut(&killed).expect("a server").kill();
        load.wait_for_reconnect();
        wait_until("AWS says that the killed node is unhealthy", || stage.health() == ["healthy", "unhealthy"]);
        let report = load.end();
        nothing_is_lost("a killed node", &report);
        let moved = report.reconnects.iter().filter(|count| **count > 0).count();
        assert!((1..4).contains(&moved), "the clients were spread over both nodes: {report:?}");

        stage.servers().get_mut(&killed).expect("a server").restart();
        wait_until("AWS says that both nodes are healthy", || stage.health() == ["healthy", "healthy"]);
        stage.workspace.plan().expect_no_changes();
    });
}

#[test]
fn nodes_are_replaced_under_load_and_no_acknowledged_update_is_lost() {
    Stage::with_each_cli(|stage| {
        let before = nodes(stage.aws);
        let load = stage.load("updates");
        stage.apply("deepstream_config = { logLevel = 2 }");
        let report = load.end();
        let after = nodes(stage.aws);
        assert!(after.len() == 2 && before.is_disjoint(&after), "{before:?} were replaced by {after:?}");
        nothing_is_lost("a rolling change", &report);
        // Both of the nodes that they were connected to are gone.
        assert!(report.reconnects.iter().all(|count| *count > 0), "{report:?}");
        stage.workspace.plan().expect_no_changes();
    });
}
