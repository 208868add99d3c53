//! Every fault at every AWS call of every operation: the state holds what exists, and the next run brings about
//! what the first one would have.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;

use serde_json::json;
use tokio::runtime::Builder;

use super::core::{Applied, Core};
use super::{
    Operation, STACK, change, changes_of_service, changes_of_settings, configuration, full, http, inhabited, operation,
    outage, picture, settle, update,
};
use crate::aws::fake::{Call, Fault};

const FAULTS: [Fault; 7] = [
    Fault::Error("OperationDisabled"),
    Fault::Throttled(5),
    Fault::ServerError,
    Fault::ResetBefore,
    Fault::LostResponse,
    Fault::Crash { after_effect: false },
    Fault::Crash { after_effect: true },
];

/// What an operation should lead to.
struct Expected {
    calls: Vec<Call>,
    end: String,
    /// AWS without the stack.
    empty: String,
}

/// One operation, ready to go wrong.
struct Trial<'a> {
    operation: &'a Operation,
    base: Core,
    expected: Expected,
}

impl<'a> Trial<'a> {
    async fn new(operation: &'a Operation) -> Self {
        let mut base = Core::new(inhabited().await);
        let empty = picture(&base);
        if let Some(before) = &operation.before {
            base.apply(Some(&configuration(before))).await.succeeded();
            settle().await;
        }
        fastrand::seed(1);
        let mut core = base.fork();
        let config = operation.after.as_ref().map(configuration);
        core.apply(config.as_ref()).await.succeeded();
        let calls = core.aws.calls();
        settle().await;
        let end = picture(&core);
        Self { operation, base, expected: Expected { calls, end, empty } }
    }

    /// Runs into a fault, runs again, and says what is wrong then.
    async fn run(&self, index: usize, fault: Fault) -> Vec<String> {
        // Each case pauses as the run did in which the calls were counted.
        fastrand::seed(1);
        let mut core = self.base.fork();
        // Two ports that change hands do so in two calls, with a fault between them perhaps.
        let swaps = self.operation.name == "listener port swap";
        if self.operation.before.is_some() && self.operation.after.is_some() && !self.operation.replaces && !swaps {
            core.aws.watch(outage);
        }
        let config = self.operation.after.as_ref().map(configuration);
        core.aws.fail_at(index, fault);
        let first = core.apply(config.as_ref()).await;
        core.aws.clear_faults();
        let mut wrong = first.complaints.clone();
        if matches!(fault, Fault::Throttled(_)) {
            wrong.extend(first.errors());
        }
        if !first.crashed {
            wrong.extend(core.forgotten(STACK).into_iter().map(|id| format!("not in the state: {id}")));
        }
        let second = core.apply(config.as_ref()).await;
        if self.lost_its_marker(index, fault) && imports(&second) {
            wrong.extend(core.import(STACK).await.faults());
            wrong.extend(core.apply(config.as_ref()).await.faults());
        } else {
            wrong.extend(second.faults());
        }
        settle().await;
        wrong.extend(unlike(&self.expected.end, &picture(&core)));
        if let Some(config) = &config {
            let left = core.changes(config).await;
            wrong.extend(left.into_iter().map(|path| format!("still to do: {path}")));
        }
        wrong.extend(core.aws.violations());
        wrong.extend(core.apply(None).await.faults());
        settle().await;
        wrong.extend(unlike(&self.expected.empty, &picture(&core)));
        wrong
    }

    /// Whether a create died when it had just finished, so that nothing tells it from somebody's finished stack.
    fn lost_its_marker(&self, index: usize, fault: Fault) -> bool {
        (self.operation.before.is_none() || self.operation.replaces)
            && fault == (Fault::Crash { after_effect: true })
            && self.expected.calls[index].operation == "elasticloadbalancing:RemoveTags"
    }
}

fn imports(applied: &Applied) -> bool {
    applied.errors().iter().any(|error| error.contains(&format!("terraform import ADDRESS {STACK}")))
}

/// The lines in which one picture of AWS differs from another.
fn unlike(expected: &str, found: &str) -> Vec<String> {
    let mut lines: BTreeMap<&str, i32> = BTreeMap::new();
    for line in expected.lines() {
        *lines.entry(line).or_default() -= 1;
    }
    for line in found.lines() {
        *lines.entry(line).or_default() += 1;
    }
    let differing = lines.into_iter().filter(|(_, count)| *count != 0);
    differing.map(|(line, count)| format!("{} {line}", if count < 0 { "missing:" } else { "left over:" })).collect()
}

/// Tries every fault at every call of these operations, and says how many cases that were.
#[allow(clippy::print_stderr, reason = "the number of cases is a result of the test")]
fn try_all(operations: &[Operation]) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let shares: Vec<Share> = thread::scope(|scope| {
        let running: Vec<_> =
            (0..threads).map(|turn| scope.spawn(move || Share::of(operations, turn, threads))).collect();
        let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
        ended.map(|share| share.unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let cases: usize = shares.iter().map(|share| share.cases).sum();
    let failed: Vec<String> = shares.into_iter().flat_map(|share| share.failed).collect();
    eprintln!("{cases} cases of {} operations", operations.len());
    let shown: Vec<&str> = failed.iter().map(String::as_str).take(20).collect();
    assert!(failed.is_empty(), "{} of {cases} cases failed; the first:\n{}", failed.len(), shown.join("\n"));
}

/// What one thread tries. Its clock is its own, so it makes every operation ready for itself.
#[derive(Default)]
struct Share {
    cases: usize,
    failed: Vec<String>,
}

impl Share {
    /// Takes every case whose turn it is.
    fn of(operations: &[Operation], turn: usize, threads: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let mut share = Self::default();
        runtime.block_on(async {
            for operation in operations {
                let trial = Trial::new(operation).await;
                let calls = trial.expected.calls.iter().enumerate();
                let cases = calls.flat_map(|(index, call)| FAULTS.map(|fault| (index, call, fault)));
                for (index, call, fault) in cases.skip(turn).step_by(threads) {
                    let wrong = trial.run(index, fault).await;
                    share.cases += 1;
                    if !wrong.is_empty() {
                        let at = format!("{}, {fault:?} at {index} {}", operation.name, call.operation);
                        share.failed.push(format!("{at}:\n  {}", wrong.join("\n  ")));
                    }
                }
            }
        });
        share
    }
}

#[test]
fn a_create_converges_after_every_fault() {
    try_all(&[operation("small create", None, Some(http())), operation("full create", None, Some(full()))]);
}

#[test]
fn a_delete_converges_after_every_fault() {
    try_all(&[operation("small delete", Some(http()), None), operation("full delete", Some(full()), None)]);
}

#[test]
fn a_replacement_converges_after_every_fault() {
    let internal = update("replacement", full(), &json!({"scheme": "internal"}));
    try_all(&[Operation { replaces: true, ..internal }]);
}

#[test]
fn a_change_of_the_service_converges_after_every_fault() {
    try_all(&changes_of_service());
}

#[test]
fn a_change_of_settings_converges_after_every_fault() {
    try_all(&changes_of_settings());
}

/// A fault that hits an apply which itself repairs an earlier one.
#[tokio::test(start_paused = true)]
async fn two_faults_in_a_row_converge_too() {
    let small = operation("small create", None, Some(http()));
    let secure = update(
        "HTTP to HTTPS",
        http(),
        &change(http(), &json!({"protocol": "HTTPS", "certificate_arn": crate::aws::fake::cert_arn(1)})),
    );
    let mut failed = Vec::new();
    for operation in [small, secure] {
        let trial = Trial::new(&operation).await;
        let config = configuration(operation.after.as_ref().unwrap());
        let died = Fault::Crash { after_effect: true };
        // Every seventh call, and after it every fifth of the run that follows: prime, so that both wander.
        for first in (0..trial.expected.calls.len() - 1).step_by(7) {
            for second in (0..trial.expected.calls.len()).step_by(5) {
                let mut core = trial.base.fork();
                core.aws.fail_at(first, died);
                core.apply(Some(&config)).await;
                core.aws.clear_faults();
                core.aws.fail_at(core.aws.calls().len() + second, died);
                core.apply(Some(&config)).await;
                core.aws.clear_faults();
                let last = core.apply(Some(&config)).await;
                if imports(&last) {
                    continue;
                }
                settle().await;
                let mut wrong = last.faults();
                wrong.extend(unlike(&trial.expected.end, &picture(&core)));
                if !wrong.is_empty() {
                    failed.push(format!("{}, {first} and {second}: {wrong:?}", operation.name));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
