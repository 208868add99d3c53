//! What the benchmarks run: the planner and the executor, on a cluster in an AWS in memory. No part of the provider.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tfplugin::provider::Stop;
use tfplugin::value::Value;
use tokio::time::Instant;

use crate::aws::fake::FakeAws;
use crate::aws::{Aws, Tags, VpcInfo};
use crate::deepstream::DeepstreamCluster;
use crate::resource::{Common, Composite, Preflight, find};
use crate::stack::apply::apply;
use crate::stack::ownership::Owner;
use crate::stack::plan::{Purpose, plan};
use crate::stack::run::Context;
use crate::stack::step::Plan;
use crate::stack::wait::Limits;
use crate::stack::{Desired, Observed};

/// The VPC of the AWS in memory.
const VPC: &str = "vpc-1";
/// Two images.
const IMAGE: &str = "ami-0a";
const OTHER_IMAGE: &str = "ami-0c";
/// On the clock of the AWS in memory.
const TIMEOUT: Duration = Duration::from_secs(2 * 60 * 60);

/// A cluster: what is wanted of it, and what is there.
pub struct Cluster {
    nodes: u16,
    config: Common,
    desired: Desired,
    observed: Observed,
    purpose: Purpose,
}

impl Cluster {
    /// One of so many nodes that is to be created.
    pub fn new(nodes: u16) -> Option<Self> {
        let (config, desired) = wanted(nodes, IMAGE)?;
        let cidr_blocks = BTreeSet::from(["10.0.0.0/16".to_owned()]);
        let vpc = VpcInfo { id: VPC.to_owned(), cidr_blocks, ipv6_cidr_blocks: BTreeSet::new() };
        let observed = Observed { vpc, ..Observed::default() };
        Some(Self { nodes, config, desired, observed, purpose: Purpose::Create })
    }

    /// The same cluster, of whose nodes every one is to be replaced.
    pub fn with_another_image(&self) -> Option<Self> {
        let (config, desired) = wanted(self.nodes, OTHER_IMAGE)?;
        let observed = self.observed.clone();
        Some(Self { nodes: self.nodes, config, desired, observed, purpose: Purpose::Change })
    }

    /// Plans: how many steps it takes from what is there to what is wanted.
    pub fn steps(&self) -> usize {
        self.plan().steps.len()
    }

    fn plan(&self) -> Plan {
        plan(&self.desired, &self.observed, &owner(), self.purpose)
    }

    /// Creates the cluster in a new AWS and looks it up there; `None` when anything fails.
    pub async fn created(&self) -> Option<Self> {
        // Pauses vary at random; in every run they are the same.
        fastrand::seed(1);
        let aws: Arc<dyn Aws> = Arc::new(FakeAws::new());
        let context = Context {
            aws: aws.clone(),
            owner: owner(),
            tags: Tags::new(),
            records: self.desired.record_names(),
            purpose: self.purpose,
            limits: Limits { deadline: Instant::now() + TIMEOUT, stop: Stop::new() },
        };
        let outcome = apply(&self.plan(), self.observed.clone(), &Arc::new(context)).await;
        if !outcome.failed.is_empty() {
            return None;
        }
        let vpc = self.observed.vpc.clone();
        let found =
            find::find_names::<DeepstreamCluster>(aws.as_ref(), &self.config, &owner(), vpc, false).await.ok()?;
        let (config, desired) = (self.config.clone(), self.desired.clone());
        Some(Self { nodes: self.nodes, config, desired, observed: found.observed, purpose: Purpose::Change })
    }
}

fn owner() -> Owner {
    find::owner::<DeepstreamCluster>("web", "id-1".to_owned())
}

/// What a small configuration with so many nodes wants; `None` when not all of it is known.
fn wanted(nodes: u16, image: &str) -> Option<(Common, Desired)> {
    let config = Value::object([
        ("name", Value::from("web")),
        ("subnet_ids", Value::set(["subnet-a", "subnet-b"])),
        ("client_cidr_blocks", Value::set(["198.51.100.0/24"])),
        ("node_count", Value::from(i64::from(nodes))),
        ("ami_id", Value::from(image)),
    ]);
    let found = Preflight { vpc_id: Some(VPC.to_owned()), ..Preflight::default() };
    let resolved = DeepstreamCluster::resolve(&config);
    let planned = DeepstreamCluster::planned(&resolved, None, &Value::object::<&str>([]), &found);
    Some((DeepstreamCluster::common(&planned)?, DeepstreamCluster::desired(&planned, VPC, &Tags::new())?))
}
