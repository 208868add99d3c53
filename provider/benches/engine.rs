//! How long planning takes, and a whole create on a clock that waits for nothing.
#![allow(missing_docs, unreachable_pub, reason = "criterion's macro makes a public function")]
#![allow(clippy::expect_used, reason = "a benchmark of a create that fails is no benchmark")]

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use terraform_provider_codestream::bench::Cluster;
use tokio::runtime::{Builder, Runtime};

/// With what is around them, about a hundred objects.
const MANY_NODES: u16 = 90;
const FEW_NODES: u16 = 3;

fn on_a_paused_clock() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime")
}

fn planner(criterion: &mut Criterion) {
    let new = Cluster::new(MANY_NODES).expect("all that it needs is configured");
    let there = on_a_paused_clock().block_on(new.created()).expect("nothing fails");
    assert_eq!(there.steps(), 0, "what is as wanted needs no step");
    let other = there.with_another_image().expect("all that it needs is configured");
    for (name, cluster) in [("plan a create", &new), ("plan an update", &other), ("plan nothing", &there)] {
        criterion.bench_function(name, |bencher| bencher.iter(|| black_box(cluster).steps()));
    }
}

fn executor(criterion: &mut Criterion) {
    let runtime = on_a_paused_clock();
    for (name, nodes) in [("create a small cluster", FEW_NODES), ("create a large cluster", MANY_NODES)] {
        let new = Cluster::new(nodes).expect("all that it needs is configured");
        criterion.bench_function(name, |bencher| bencher.iter(|| runtime.block_on(new.created()).is_some()));
    }
}

criterion_group!(benches, planner, executor);
criterion_main!(benches);
