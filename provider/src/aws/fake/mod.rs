//! AWS in memory, for tests and benchmarks: its objects as plain data, the time they take, and the ways in which a call
//! fails.
//!
//! It runs on tokio's clock, so a test with a paused clock waits for nothing. Objects change in calls, by time
//! (each look at the state first brings it up to now), and by a test's own hand, behind the provider's back.

mod calls;
mod ec2;
mod elasticache;
mod elbv2;
mod faults;
#[cfg(test)]
mod fixtures;
mod health;
mod launches;
mod listeners;
mod route53;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{
    Attributes, CertificateInfo, InstanceInfo, ListenerSettings, LoadBalancerInfo, LoadBalancerState, Peer, RecordInfo,
    RouteInfo, RouteTableInfo, RuleSettings, SubnetInfo, Tags, TargetGroupInfo, VpcInfo,
};
use faults::Traffic;

pub(crate) use elasticache::{Cache, CacheSubnetGroup};
pub(crate) use faults::{Call, Fault};
pub(crate) use health::{Health, Target, Verdict};
pub(crate) use launches::{LARGE_IMAGE, Launch};
pub(crate) use snapshot::Snapshot;

/// The account all objects are in.
pub(crate) const ACCOUNT: &str = "123456789012";

/// How all load balancing ARNs start.
const ELB_ARN: &str = "arn:aws:elasticloadbalancing:us-east-1:123456789012";

/// The n-th certificate; 1 to 3 are issued.
pub(crate) fn cert_arn(n: u32) -> String {
    format!("arn:aws:acm:us-east-1:{ACCOUNT}:certificate/00000000-0000-0000-0000-{n:012}")
}

/// The certificate that still waits for its validation.
pub(crate) fn pending_cert_arn() -> String {
    cert_arn(9)
}

/// An AWS in memory. Clones are the same one.
#[derive(Clone)]
pub(crate) struct FakeAws {
    inner: Arc<Inner>,
}

struct Inner {
    started: Instant,
    /// What the clock showed then.
    offset: Duration,
    state: Mutex<State>,
    traffic: Mutex<Traffic>,
    dead: watch::Sender<bool>,
}

/// A load balancer.
#[derive(Clone, Debug)]
pub(crate) struct LoadBalancer {
    /// What is described.
    pub info: LoadBalancerInfo,
    /// All its attributes, AWS's defaults included.
    pub attributes: Attributes,
    /// Its tags.
    pub tags: Tags,
    /// When a `Provisioning` one gets its final state.
    pub ready_at: Duration,
    /// From when on changes find it.
    pub visible_from: Duration,
}

/// A target group.
#[derive(Clone, Debug)]
pub(crate) struct TargetGroup {
    /// What is described.
    pub info: TargetGroupInfo,
    /// All its attributes, AWS's defaults included.
    pub attributes: Attributes,
    /// Its tags.
    pub tags: Tags,
    /// Its targets, by instance and port.
    pub targets: BTreeMap<(String, u16), Target>,
    /// From when on changes find it.
    pub visible_from: Duration,
}

/// A listener.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// Its load balancer.
    pub load_balancer_arn: String,
    /// Its settings.
    pub settings: ListenerSettings,
    /// Its certificates besides the default one.
    pub additional_certificates: BTreeSet<String>,
    /// Its tags.
    pub tags: Tags,
    /// From when on changes find it.
    pub visible_from: Duration,
}

/// A rule of a listener. The provider makes none: tests do.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// Its listener.
    pub listener_arn: String,
    /// Its priority.
    pub priority: String,
    /// The target groups its actions refer to.
    pub target_group_arns: Vec<String>,
    /// Its tags.
    pub tags: Tags,
}

/// A security group.
#[derive(Clone, Debug)]
pub(crate) struct SecurityGroup {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// Its VPC.
    pub vpc_id: String,
    /// Its rules, by id, each with its tags.
    pub rules: BTreeMap<String, (RuleSettings, Tags)>,
    /// Its tags.
    pub tags: Tags,
    /// From when on changes find it.
    pub visible_from: Duration,
}

/// A network interface of a load balancer.
#[derive(Clone, Debug)]
pub(crate) struct Interface {
    /// The load balancer it was made for.
    pub load_balancer_arn: String,
    /// `ELB app/<name>/<id>`
    pub description: String,
    /// Its subnet.
    pub subnet_id: String,
    /// The security groups it holds.
    pub security_groups: BTreeSet<String>,
    /// When it goes, once nothing needs it.
    pub released_at: Option<Duration>,
}

/// All objects, by ARN for load balancing and by id for the rest, and how long things take. Times are counted
/// from the start of the fake.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// How long a call takes, there and back.
    pub latency: Duration,
    /// How long a new load balancer is `Provisioning`.
    pub provisioning: Duration,
    /// What it is then, and AWS's reason.
    pub provisioned: (LoadBalancerState, Option<String>),
    /// How long a deleted load balancer's network interfaces stay.
    pub interface_release: Duration,
    /// How long a deregistered target is described as if it were not.
    pub deregistration_lag: Duration,
    /// How long a launched instance is `pending`.
    pub booting: Duration,
    /// How long a cache is `creating` or `modifying`, and how long `deleting`.
    pub cache_changing: Duration,
    /// Whether new caches cannot be set up.
    pub caches_fail: bool,
    /// How long other changes do not find a new object; deletes and lookups always do.
    pub consistency: Duration,
    /// What the health checks of an instance find, on one port or on all, or of all instances with an image; healthy
    /// where nothing is said.
    pub verdicts: BTreeMap<(String, Option<u16>), Verdict>,

    /// Load balancers.
    pub load_balancers: BTreeMap<String, LoadBalancer>,
    /// Target groups.
    pub target_groups: BTreeMap<String, TargetGroup>,
    /// Listeners.
    pub listeners: BTreeMap<String, Listener>,
    /// Rules of listeners.
    pub rules: BTreeMap<String, Rule>,
    /// Security groups.
    pub security_groups: BTreeMap<String, SecurityGroup>,
    /// Network interfaces of load balancers.
    pub interfaces: BTreeMap<String, Interface>,
    /// VPCs.
    pub vpcs: BTreeMap<String, VpcInfo>,
    /// Subnets.
    pub subnets: BTreeMap<String, SubnetInfo>,
    /// Route tables, each with its VPC.
    pub route_tables: Vec<(String, RouteTableInfo)>,
    /// NAT gateways' public addresses.
    pub nat_gateways: BTreeMap<String, BTreeSet<String>>,
    /// Instances.
    pub instances: BTreeMap<String, InstanceInfo>,
    /// What those instances that a call has launched were launched with.
    pub launches: BTreeMap<String, Launch>,
    /// Replication groups, by id.
    pub caches: BTreeMap<String, Cache>,
    /// Subnet groups of caches, by name.
    pub cache_subnet_groups: BTreeMap<String, CacheSubnetGroup>,
    /// Parameters of Systems Manager.
    pub parameters: BTreeMap<String, String>,
    /// Certificates.
    pub certificates: BTreeMap<String, CertificateInfo>,
    /// Security policies that are newer than this code.
    pub ssl_policies: BTreeSet<String>,
    /// The names of hosted zones.
    pub hosted_zones: BTreeMap<String, String>,
    /// Records, by zone, name and type.
    pub records: BTreeMap<(String, String, String), RecordInfo>,

    clock: Duration,
    last_id: u64,
}

/// What AWS says when it refuses a call.
struct Refusal {
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// What a call answers before it is known which operation it was.
type Answer<T> = std::result::Result<T, Refusal>;

fn refuse<T>(code: &'static str, message: impl Into<String>) -> Answer<T> {
    Err(Refusal::new(code, message))
}

/// How many tags AWS takes on an object.
const TAGS_PER_OBJECT: usize = 50;

/// Refuses, with this code, a change after which an object would have too many tags.
fn check_tags(tags: &Tags, change: impl Fn(&mut Tags), code: &'static str) -> Answer<()> {
    let mut changed = tags.clone();
    change(&mut changed);
    if changed.len() > TAGS_PER_OBJECT { refuse(code, format!("{} tags", changed.len())) } else { Ok(()) }
}

/// A test that failed while it held the lock has said what is wrong; others should not fail of it as well.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for FakeAws {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeAws {
    /// An AWS with two VPCs, `vpc-1` and `vpc-2`. In `vpc-1`: public subnets `subnet-a`, `subnet-b` and `subnet-c`
    /// in zones us-east-1a to c, `subnet-private` behind `nat-1`, and instances `i-1` to `i-3`, one in each zone,
    /// with the security group `sg-hosts`. Besides: certificates 1 to 3 ([`cert_arn`]), a pending one
    /// ([`pending_cert_arn`]) and the hosted zone `Z1` of `example.com`.
    pub(crate) fn new() -> Self {
        Self::with(State::seeded())
    }

    /// Another AWS that is as this one is now: the same objects at the same time, no calls and no faults.
    pub(crate) fn fork(&self) -> Self {
        Self::with(self.state().clone())
    }

    fn with(state: State) -> Self {
        Self {
            inner: Arc::new(Inner {
                started: Instant::now(),
                offset: state.clock,
                state: Mutex::new(state),
                traffic: Mutex::default(),
                dead: watch::Sender::new(false),
            }),
        }
    }

    /// The time since the start.
    fn now(&self) -> Duration {
        self.inner.offset + self.inner.started.elapsed()
    }

    /// The objects as of now, to read and to change. Calls wait while the guard lives: drop it before the next.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.inner.state);
        state.advance(self.now());
        state
    }

    /// Says what the health checks of an instance find from now on, on one port or on all.
    pub(crate) fn set_verdict(&self, instance_id: &str, port: Option<u16>, verdict: Verdict) {
        self.state().verdicts.insert((instance_id.to_owned(), port), verdict);
    }

    /// All that calls can change, as of now, to compare and to print.
    pub(crate) fn snapshot(&self) -> Snapshot {
        self.state().snapshot()
    }

    /// The ARNs and ids of all objects with a tag of this value, security group rules included.
    pub(crate) fn objects_tagged(&self, key: &str, value: &str) -> BTreeSet<String> {
        let state = self.state();
        let groups = state.security_groups.iter().map(|(id, group)| (id, &group.tags));
        let group_rules = state.security_groups.values().flat_map(|group| &group.rules);
        (state.load_balancers.iter().map(|(arn, object)| (arn, &object.tags)))
            .chain(state.target_groups.iter().map(|(arn, object)| (arn, &object.tags)))
            .chain(state.listeners.iter().map(|(arn, object)| (arn, &object.tags)))
            .chain(state.rules.iter().map(|(arn, object)| (arn, &object.tags)))
            .chain(state.launches.iter().filter(|(id, _)| state.lives(id)).map(|(id, object)| (id, &object.new.tags)))
            .chain(state.caches.values().map(|object| (&object.arn, &object.tags)))
            .chain(state.cache_subnet_groups.values().map(|object| (&object.info.arn, &object.tags)))
            .chain(groups)
            .chain(group_rules.map(|(id, (_, tags))| (id, tags)))
            .filter(|(_, tags)| tags.get(key).is_some_and(|found| found == value))
            .map(|(id, _)| id.clone())
            .collect()
    }
}

impl State {
    /// Lets time pass: load balancers get ready, interfaces go, targets are probed.
    fn advance(&mut self, now: Duration) {
        let before = std::mem::replace(&mut self.clock, now);
        for load_balancer in self.load_balancers.values_mut() {
            if load_balancer.info.state == LoadBalancerState::Provisioning && load_balancer.ready_at <= now {
                (load_balancer.info.state, load_balancer.info.state_reason) = self.provisioned.clone();
            }
        }
        self.interfaces.retain(|_, interface| interface.released_at.is_none_or(|at| at > now));
        self.advance_launches();
        self.advance_caches();
        self.advance_targets(before);
    }

    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn seeded() -> Self {
        let mut state = Self {
            latency: Duration::from_millis(50),
            provisioning: Duration::from_secs(150),
            provisioned: (LoadBalancerState::Active, None),
            interface_release: Duration::from_secs(90),
            deregistration_lag: Duration::ZERO,
            booting: Duration::from_secs(20),
            cache_changing: Duration::from_secs(300),
            caches_fail: false,
            consistency: Duration::ZERO,
            verdicts: BTreeMap::new(),
            load_balancers: BTreeMap::new(),
            target_groups: BTreeMap::new(),
            listeners: BTreeMap::new(),
            rules: BTreeMap::new(),
            security_groups: BTreeMap::new(),
            interfaces: BTreeMap::new(),
            vpcs: BTreeMap::new(),
            subnets: BTreeMap::new(),
            route_tables: Vec::new(),
            nat_gateways: BTreeMap::from([("nat-1".to_owned(), BTreeSet::from(["203.0.113.10".to_owned()]))]),
            instances: BTreeMap::new(),
            launches: BTreeMap::new(),
            caches: BTreeMap::new(),
            cache_subnet_groups: BTreeMap::new(),
            parameters: launches::images(),
            certificates: BTreeMap::new(),
            ssl_policies: BTreeSet::from(["ELBSecurityPolicy-TLS14-2031-01".to_owned()]),
            hosted_zones: BTreeMap::from([("Z1".to_owned(), "example.com".to_owned())]),
            records: BTreeMap::new(),
            clock: Duration::ZERO,
            last_id: 0,
        };
        state.seed_network();
        state.seed_instances();
        state.seed_certificates();
        state
    }

    fn seed_network(&mut self) {
        for (id, block) in [("vpc-1", "10.0.0.0/16"), ("vpc-2", "10.1.0.0/16")] {
            let cidr_blocks = BTreeSet::from([block.to_owned()]);
            let vpc = VpcInfo { id: id.to_owned(), cidr_blocks, ipv6_cidr_blocks: BTreeSet::new() };
            self.vpcs.insert(id.to_owned(), vpc);
        }
        let public = [("subnet-a", "us-east-1a"), ("subnet-b", "us-east-1b"), ("subnet-c", "us-east-1c")];
        for (id, zone) in public.into_iter().chain([("subnet-private", "us-east-1a")]) {
            let subnet = SubnetInfo {
                id: id.to_owned(),
                vpc_id: "vpc-1".to_owned(),
                availability_zone: zone.to_owned(),
                free_addresses: 250,
                has_ipv6: false,
                gives_public_addresses: id != "subnet-private",
            };
            self.subnets.insert(id.to_owned(), subnet);
        }
        let route =
            |destination: &str, target: &str| RouteInfo { destination: destination.into(), target: target.into() };
        let local = route("10.0.0.0/16", "local");
        let open = RouteTableInfo {
            subnet_ids: public.iter().map(|(id, _)| (*id).to_owned()).collect(),
            main: false,
            routes: vec![local.clone(), route("0.0.0.0/0", "igw-1")],
        };
        let main = RouteTableInfo {
            subnet_ids: BTreeSet::new(),
            main: true,
            routes: vec![local, route("0.0.0.0/0", "nat-1")],
        };
        self.route_tables = vec![("vpc-1".to_owned(), open), ("vpc-1".to_owned(), main)];
    }

    fn seed_instances(&mut self) {
        let hosts = SecurityGroup {
            name: "hosts".to_owned(),
            description: "The instances".to_owned(),
            vpc_id: "vpc-1".to_owned(),
            rules: BTreeMap::from([(
                "sgr-hosts".to_owned(),
                (ec2::all_egress(Peer::Cidr("0.0.0.0/0".to_owned())), Tags::new()),
            )]),
            tags: Tags::new(),
            visible_from: Duration::ZERO,
        };
        self.security_groups.insert("sg-hosts".to_owned(), hosts);
        for (n, zone) in [(1, 'a'), (2, 'b'), (3, 'c')] {
            let instance = InstanceInfo {
                id: format!("i-{n}"),
                state: "running".to_owned(),
                vpc_id: "vpc-1".to_owned(),
                subnet_id: format!("subnet-{zone}"),
                availability_zone: format!("us-east-1{zone}"),
                private_ip: Some(format!("10.0.{n}.10")),
                public_ip: Some(format!("198.51.100.{n}")),
                security_groups: BTreeSet::from(["sg-hosts".to_owned()]),
            };
            self.instances.insert(instance.id.clone(), instance);
        }
    }

    fn seed_certificates(&mut self) {
        let issued = |arn: String| CertificateInfo {
            arn,
            status: "ISSUED".to_owned(),
            domain_names: vec!["codestream.example.com".to_owned(), "*.example.com".to_owned()],
            not_after: Some(4_102_444_800),
            key_algorithm: "RSA_2048".to_owned(),
            validation_records: Vec::new(),
            failure_reason: None,
        };
        let record = ("_v.codestream.example.com".to_owned(), "CNAME".to_owned(), "_w.acm-validations.aws".to_owned());
        let pending = CertificateInfo {
            status: "PENDING_VALIDATION".to_owned(),
            not_after: None,
            validation_records: vec![record],
            ..issued(pending_cert_arn())
        };
        let all = (1..=3).map(|n| issued(cert_arn(n))).chain([pending]);
        self.certificates = all.map(|certificate| (certificate.arn.clone(), certificate)).collect();
    }
}
