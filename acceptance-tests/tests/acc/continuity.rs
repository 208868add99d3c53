//! No update stops the service: after every single call of it, each listener lets clients in and leads to somebody
//! healthy.
//!
//! The provider's calls are watched at the proxy, which passes them on one at a time. While one that has changed
//! something waits for its answer, AWS is asked what a client would find.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use acceptance_tests::{Account, Call, Cli, Fault, Rule, Seed, Workspace};
use serde_json::{Value, json};

use crate::stack::{self, list, text};

/// How often the provider looks before a new target is healthy: once for each target group.
const LOOKS: usize = 2;

/// What was seen of an update.
#[derive(Default)]
struct Seen {
    /// The calls that changed something, and for how many of them AWS could be asked.
    changes: usize,
    asked: usize,
    outages: Vec<String>,
    /// The ports on which clients were let in.
    open: BTreeSet<u64>,
    /// Whether new targets become healthy, whether they have been registered, and how often the provider has looked
    /// at targets since.
    heals: bool,
    registered: bool,
    looks: usize,
}

/// A stack whose updates are watched.
struct Watched {
    aws: Arc<Account>,
    workspace: Workspace,
    seen: Arc<Mutex<Seen>>,
}

impl Watched {
    /// Creates the stack, and watches from then on.
    fn new(cli: &Cli, configuration: impl Fn(&Seed) -> String) -> Self {
        let aws = Arc::new(Account::new().expect("an AWS account"));
        let workspace = Workspace::new(cli, &aws).expect("a workspace");
        // What is watched here is not how long targets take, but whether the provider waits for them.
        aws.configure(json!({ "initial_describes": 0 }));
        workspace.write("main.tf", &configuration(aws.seed()));
        workspace.apply().expect_success();
        let mut seen = Seen::default();
        assert_eq!(outages(&aws, &mut seen.open), Vec::<String>::new());
        let seen = Arc::new(Mutex::new(seen));
        let (account, watching) = (Arc::downgrade(&aws), Arc::clone(&seen));
        let watch = move |call: &Call| {
            let Some(aws) = account.upgrade() else { return };
            let mut seen = watching.lock().unwrap_or_else(PoisonError::into_inner);
            seen.take(&aws, call);
        };
        aws.proxy().inject(Rule::on_any(Fault::None).times(usize::MAX).one_at_a_time().then(watch));
        Self { aws, workspace, seen }
    }

    /// Lets these targets (`i-...`, or `i-...:port`) become healthy only when the provider has looked at them.
    fn slow(&self, targets: &[String]) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).heals = true;
        self.health(targets, "initial", "Elb.InitialHealthChecking");
    }

    /// Never lets these targets become healthy.
    fn ill(&self, targets: &[String], reason: &str) {
        self.health(targets, "unhealthy", reason);
    }

    fn health(&self, targets: &[String], state: &str, reason: &str) {
        let health = targets.iter().map(|target| (target.clone(), json!({ "state": state, "reason": reason })));
        let health: Value = health.collect();
        self.aws.configure(json!({ "health": health }));
    }

    /// The outages so far, at all calls that changed something.
    #[track_caller]
    fn outages(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(seen.changes > 0 && seen.asked == seen.changes, "{} of {} were watched", seen.asked, seen.changes);
        seen.outages.clone()
    }

    fn seed(&self) -> &Seed {
        self.aws.seed()
    }
}

impl Seen {
    fn take(&mut self, aws: &Account, call: &Call) {
        if call.is_mutating() {
            self.changes += 1;
            self.registered |= call.action == "RegisterTargets";
            let outages = outages(aws, &mut self.open);
            self.outages.extend(outages.into_iter().map(|outage| format!("after {}: {outage}", call.action)));
            self.asked += 1;
        }
        if call.action == "DescribeTargetHealth" && self.registered && self.heals {
            self.looks += 1;
            if self.looks == LOOKS {
                aws.configure(json!({ "health": {} }));
            }
        }
    }
}

/// Why clients would be cut off now. A port on which they were let in lets them in as long as it has a listener.
fn outages(aws: &Account, open: &mut BTreeSet<u64>) -> Vec<String> {
    let balancer = stack::load_balancer(aws);
    let listeners = aws.call("elbv2", "describe_listeners", json!({ "LoadBalancerArn": balancer["LoadBalancerArn"] }));
    let listeners = list(&listeners, "Listeners");
    let (mut found, mut served) = (Vec::new(), BTreeSet::new());
    for listener in &listeners {
        let (port, action) = (&listener["Port"], &listener["DefaultActions"][0]);
        for group in receiving(action) {
            if is_healthy(aws, &group) {
                served.insert(group);
            } else {
                found.push(format!("the listener on {port} sends requests to {group}, where nothing is healthy"));
            }
        }
        let target = &action["RedirectConfig"]["Port"];
        let answers = |port: &Value| listeners.iter().any(|other| other["Port"].as_u64() == text(port).parse().ok());
        if action["Type"] == "redirect" && !answers(target) {
            found.push(format!("the listener on {port} redirects to {target}, where nobody listens"));
        }
    }
    if served.len() < 2 {
        found.push(format!("of the API and the Broadcaster, {} can be reached", served.len()));
    }
    let ports: BTreeSet<u64> = listeners.iter().filter_map(|listener| listener["Port"].as_u64()).collect();
    let now = let_in(aws, &balancer, &ports);
    let shut = open.intersection(&ports).filter(|port| !now.contains(*port));
    found.extend(shut.map(|port| format!("nobody is let in on {port} any more")));
    open.extend(now);
    found
}

/// Those of the ports on which a security group of the load balancer lets anybody in.
fn let_in(aws: &Account, balancer: &Value, ports: &BTreeSet<u64>) -> BTreeSet<u64> {
    let filters = json!([{ "Name": "group-id", "Values": balancer["SecurityGroups"] }]);
    let rules = aws.call("ec2", "describe_security_group_rules", json!({ "Filters": filters }));
    let mut rules = list(&rules, "SecurityGroupRules");
    rules.retain(|rule| rule["IsEgress"] == false);
    let admits = |rule: &Value, port: u64| {
        let range = (rule["FromPort"].as_u64(), rule["ToPort"].as_u64());
        matches!(range, (Some(from), Some(to)) if (from..=to).contains(&port))
    };
    ports.iter().copied().filter(|port| rules.iter().any(|rule| admits(rule, *port))).collect()
}

/// The target groups to which an action sends requests.
fn receiving(action: &Value) -> Vec<String> {
    let weighted = list(&action["ForwardConfig"], "TargetGroups");
    if weighted.is_empty() {
        return action["TargetGroupArn"].as_str().map(str::to_owned).into_iter().collect();
    }
    let receiving = weighted.iter().filter(|group| group["Weight"] != 0);
    receiving.map(|group| text(&group["TargetGroupArn"])).collect()
}

fn is_healthy(aws: &Account, group: &str) -> bool {
    let targets = aws.call("elbv2", "describe_target_health", json!({ "TargetGroupArn": group }));
    list(&targets, "TargetHealthDescriptions").iter().any(|target| target["TargetHealth"]["State"] == "healthy")
}

/// An update: the stack before and after, and the targets that are new to AWS in it.
struct Update {
    what: &'static str,
    before: fn(&Seed) -> String,
    after: fn(&Seed) -> String,
    new: fn(&Seed) -> Vec<String>,
}

fn update(
    what: &'static str,
    before: fn(&Seed) -> String,
    after: fn(&Seed) -> String,
    new: fn(&Seed) -> Vec<String>,
) -> Update {
    Update { what, before, after, new }
}

/// The first instance on these ports.
fn on(seed: &Seed, ports: &[u16]) -> Vec<String> {
    ports.iter().map(|port| format!("{}:{port}", seed.instance_ids[0])).collect()
}

fn nobody(_: &Seed) -> Vec<String> {
    Vec::new()
}

fn second_instance(seed: &Seed) -> Vec<String> {
    vec![seed.instance_ids[1].clone()]
}

fn http(seed: &Seed) -> String {
    stack::http(seed, "")
}

fn https(seed: &Seed) -> String {
    stack::https(seed, "")
}

fn redirecting(seed: &Seed) -> String {
    stack::https(seed, "redirect_http = true")
}

/// The arguments for an endpoint with these ports.
fn ports(listener: u16, target: u16) -> String {
    format!("{{ listener_port = {listener}, target_port = {target} }}")
}

fn with_ports(seed: &Seed, api: (u16, u16), broadcaster: (u16, u16)) -> String {
    let [api, broadcaster] = [api, broadcaster].map(|(listener, target)| ports(listener, target));
    stack::http(seed, &format!("api = {api}\nbroadcaster = {broadcaster}"))
}

fn in_subnets(seed: &Seed, indices: [usize; 2], instance: usize) -> String {
    let subnets = indices.map(|index| &seed.public_subnet_ids[index]);
    let instances = [&seed.instance_ids[instance]];
    stack::http(seed, &format!("subnet_ids = {}\ninstance_ids = {}", json!(subnets), json!(instances)))
}

fn in_groups_of_ones_own(seed: &Seed) -> String {
    let groups = json!([seed.instance_security_group_id]);
    let none = "client_cidr_blocks = null\ninstance_cidr_blocks = null";
    stack::http(seed, &format!("security_group_ids = {groups}\n{none}"))
}

fn with_another_certificate(seed: &Seed, additional: &str) -> String {
    stack::https(seed, &format!("additional_certificate_arns = {}", json!([additional])))
}

/// Makes every update, each of a stack of its own, and looks at it after every call.
#[track_caller]
fn uninterrupted(updates: &[Update]) {
    for cli in Cli::all().expect("a CLI to test with") {
        for update in updates {
            let watched = Watched::new(&cli, update.before);
            watched.slow(&(update.new)(watched.seed()));
            watched.workspace.write("main.tf", &(update.after)(watched.seed()));
            watched.workspace.apply().expect_success();
            let mut outages = watched.outages();
            // Two ports cannot change hands in one call: between the two, one of the services has no port.
            outages.retain(|outage| update.what != "listener ports swapped" || !outage.ends_with("can be reached"));
            assert_eq!(outages, Vec::<String>::new(), "{}", update.what);
            watched.workspace.plan().expect_no_changes();
        }
    }
}

#[test]
fn a_change_of_protocol_interrupts_nobody() {
    uninterrupted(&[
        update("HTTP to HTTPS", http, https, |seed| on(seed, &[443, 12443])),
        update("HTTPS to HTTP", https, http, |seed| on(seed, &[80, 12080])),
        update("HTTP to HTTPS with a redirect", http, redirecting, |seed| on(seed, &[443, 12443])),
        update("HTTPS with a redirect to HTTP", redirecting, http, |seed| on(seed, &[80, 12080])),
        update(
            "HTTP to HTTPS on the same listener ports",
            |seed| with_ports(seed, (8080, 80), (8081, 12080)),
            |seed| stack::https(seed, "api = { listener_port = 8080 }\nbroadcaster = { listener_port = 8081 }"),
            |seed| on(seed, &[443, 12443]),
        ),
        update("a redirect", https, redirecting, nobody),
        update("no redirect", redirecting, https, nobody),
        update(
            "a redirect that follows its target",
            redirecting,
            |seed| stack::https(seed, "redirect_http = true\napi = { listener_port = 8443 }"),
            nobody,
        ),
    ]);
}

#[test]
fn a_change_of_ports_interrupts_nobody() {
    uninterrupted(&[
        update("a target port", http, |seed| with_ports(seed, (80, 8080), (12080, 12080)), |seed| on(seed, &[8080])),
        update("a listener port", http, |seed| with_ports(seed, (8080, 80), (12080, 12080)), nobody),
        update("both ports", http, |seed| with_ports(seed, (8080, 8080), (12080, 12080)), |seed| on(seed, &[8080])),
        update("listener ports swapped", http, |seed| with_ports(seed, (12080, 80), (80, 12080)), nobody),
        update("one takes the other's port", http, |seed| with_ports(seed, (12080, 80), (8081, 12080)), nobody),
        update(
            "one takes the other's port, with another target port",
            http,
            |seed| with_ports(seed, (12080, 8080), (8081, 12080)),
            |seed| on(seed, &[8080]),
        ),
        update(
            "the redirect takes the API's port",
            |seed| with_ports(seed, (80, 80), (443, 12080)),
            redirecting,
            |seed| on(seed, &[443, 12443]),
        ),
    ]);
}

#[test]
fn a_change_of_what_is_behind_interrupts_nobody() {
    uninterrupted(&[
        update("another instance", http, |seed| in_subnets(seed, [0, 1], 1), second_instance),
        update("other subnets", http, |seed| in_subnets(seed, [0, 2], 0), nobody),
        update(
            "another instance in a zone that is new",
            |seed| in_subnets(seed, [0, 2], 0),
            |seed| in_subnets(seed, [1, 2], 1),
            second_instance,
        ),
        update(
            "another certificate",
            https,
            |seed| https(seed).replace(&seed.certificate_arn, &seed.issued_certificate_arn),
            nobody,
        ),
        update("another health check", http, |seed| stack::http(seed, "health_check = { path = \"/\" }"), nobody),
    ]);
}

#[test]
fn a_change_of_what_is_around_interrupts_nobody() {
    uninterrupted(&[
        update(
            "other sources",
            http,
            |seed| stack::http(seed, "client_cidr_blocks = [\"192.0.2.0/24\"]\ninstance_cidr_blocks = null"),
            nobody,
        ),
        update("security groups of one's own", http, in_groups_of_ones_own, nobody),
        update("no security groups of one's own", in_groups_of_ones_own, http, nobody),
        update(
            "another additional certificate",
            |seed| with_another_certificate(seed, &seed.wildcard_certificate_arn),
            |seed| with_another_certificate(seed, &seed.issued_certificate_arn),
            nobody,
        ),
        update(
            "other attributes and tags",
            http,
            |seed| {
                let api = "api = { deregistration_delay = 10, stickiness = { type = \"lb_cookie\" } }";
                stack::http(
                    seed,
                    &format!("{api}\nidle_timeout = 120\nenable_http2 = false\ntags = {{ team = \"a\" }}"),
                )
            },
            nobody,
        ),
    ]);
}

/// What serves in AWS: the listeners with their groups, and which groups there are.
fn service(aws: &Account) -> Value {
    json!({ "listeners": stack::listeners(aws), "groups": stack::inventory(aws)["target_groups"] })
}

#[test]
fn a_new_target_group_that_stays_ill_is_taken_back_with_the_reason_and_the_old_service_goes_on() {
    for cli in Cli::all().expect("a CLI to test with") {
        let watched = Watched::new(&cli, http);
        let (seed, before) = (watched.seed(), service(&watched.aws));
        watched.ill(&on(seed, &[443, 12443]), "Target.FailedHealthChecks");
        let impatient = stack::https(seed, "timeouts = { update = \"5s\" }");
        watched.workspace.write("main.tf", &impatient);
        let refused = watched.workspace.apply().expect_error("Target.FailedHealthChecks");
        assert!(refused.stderr.contains(&seed.instance_ids[0]), "{}", refused.stderr);
        assert_eq!(watched.outages(), Vec::<String>::new());
        assert_eq!(service(&watched.aws), before);

        watched.aws.configure(json!({ "health": {} }));
        watched.workspace.apply().expect_success();
        assert_eq!(watched.outages(), Vec::<String>::new());
        watched.workspace.plan().expect_no_changes();
    }
}

#[test]
fn an_old_instance_stays_as_long_as_the_new_one_is_ill() {
    for cli in Cli::all().expect("a CLI to test with") {
        let watched = Watched::new(&cli, http);
        let seed = watched.seed();
        watched.ill(&second_instance(seed), "Target.Timeout");
        let other = format!("instance_ids = {}\ntimeouts = {{ update = \"5s\" }}", json!(seed.instance_ids[1..]));
        watched.workspace.write("main.tf", &stack::http(seed, &other));
        watched.workspace.apply().expect_error("Target.Timeout");
        assert_eq!(watched.outages(), Vec::<String>::new());
        for listener in stack::listeners(&watched.aws) {
            let targets = list(&listener["group"], "targets");
            assert!(targets.iter().any(|target| target[0] == seed.instance_ids[0]), "{targets:?}");
        }
    }
}

#[test]
fn a_listener_stays_as_long_as_nobody_is_let_in_on_its_new_port() {
    for cli in Cli::all().expect("a CLI to test with") {
        let watched = Watched::new(&cli, http);
        let code = "RulesPerSecurityGroupLimitExceeded";
        watched.aws.proxy().clear_faults();
        watched.aws.proxy().inject(Rule::on("AuthorizeSecurityGroupIngress", Fault::Fail(400, code)));
        watched.workspace.write("main.tf", &with_ports(watched.seed(), (8080, 80), (12080, 12080)));
        watched.workspace.apply().expect_error(code);
        let ports: Vec<Value> = stack::listeners(&watched.aws).iter().map(|one| one["port"].clone()).collect();
        assert!(ports.contains(&json!(80)), "{ports:?}");
        watched.workspace.apply().expect_success();
        watched.workspace.plan().expect_no_changes();
    }
}
