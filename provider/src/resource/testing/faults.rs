//! Every fault at every AWS call of an operation: the state holds what exists, and the next run brings about what the
//! first one would have.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZero;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use serde_json::Value as Json;
use tfplugin::value::Value;
use tokio::runtime::Builder;
use tokio::time::sleep;

use super::core::{Applied, Core};
use super::settle;
use crate::aws::fake::{Call, FakeAws, Fault, State};
use crate::resource::Composite;

/// A resource under test.
pub(crate) trait Subject: 'static {
    /// The resource.
    type Kind: Composite;
    /// The name of the stack under test.
    const STACK: &'static str;

    /// A configuration as it comes from core.
    fn configuration(json: &Json) -> Value;

    /// An AWS in which things take little time and somebody else has a stack.
    fn inhabited() -> impl Future<Output = FakeAws>;

    /// All of AWS, with random ids by other names.
    fn picture(core: &Core<Self::Kind>) -> String;

    /// Why somebody who uses the stack would be cut off.
    fn outage(state: &State) -> Option<String>;
}

/// One run of Terraform: from this configuration to that one.
pub(crate) struct Operation {
    pub(crate) name: &'static str,
    pub(crate) before: Option<Json>,
    pub(crate) after: Option<Json>,
    /// Whether the load balancer goes and another comes.
    pub(crate) replaces: bool,
    /// Whether a fault may cut clients off.
    pub(crate) cuts: bool,
    /// How long AWS's changes do not find what is new.
    pub(crate) consistency: Duration,
}

impl Operation {
    /// One that cuts nobody off.
    pub(crate) fn new(name: &'static str, before: Option<Json>, after: Option<Json>) -> Self {
        Self { name, before, after, replaces: false, cuts: false, consistency: Duration::ZERO }
    }

    /// The same in an AWS where it takes some tries until a change finds what is new.
    pub(crate) fn in_slow_aws(self) -> Self {
        Self { consistency: Duration::from_secs(3), ..self }
    }
}

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
pub(crate) struct Expected {
    pub(crate) calls: Vec<Call>,
    pub(crate) end: String,
    /// AWS without the stack.
    empty: String,
}

/// One operation, ready to go wrong.
pub(crate) struct Trial<'a, S: Subject> {
    operation: &'a Operation,
    pub(crate) base: Core<S::Kind>,
    pub(crate) expected: Expected,
}

impl<'a, S: Subject> Trial<'a, S> {
    /// Runs the operation once without a fault, to see where it should lead.
    pub(crate) async fn new(operation: &'a Operation) -> Self {
        let mut base = Core::<S::Kind>::new(S::inhabited().await);
        let empty = S::picture(&base);
        if let Some(before) = &operation.before {
            base.apply(Some(&S::configuration(before))).await.succeeded();
            settle().await;
        }
        base.aws.state().consistency = operation.consistency;
        fastrand::seed(1);
        let mut core = base.fork();
        let config = operation.after.as_ref().map(S::configuration);
        core.apply(config.as_ref()).await.succeeded();
        let calls = core.aws.calls();
        settle().await;
        let end = S::picture(&core);
        Self { operation, base, expected: Expected { calls, end, empty } }
    }

    /// Runs into a fault, runs again, and says what is wrong then.
    async fn run(&self, index: usize, fault: Fault) -> Vec<String> {
        // Each case pauses as the run did in which the calls were counted.
        fastrand::seed(1);
        let mut core = self.base.fork();
        if self.operation.before.is_some() && self.operation.after.is_some() && !self.operation.cuts {
            core.aws.watch(S::outage);
        }
        let config = self.operation.after.as_ref().map(S::configuration);
        core.aws.fail_at(index, fault);
        let first = core.apply(config.as_ref()).await;
        core.aws.clear_faults();
        let mut wrong = first.complaints.clone();
        if matches!(fault, Fault::Throttled(_)) || self.only_delays(index, fault) {
            wrong.extend(first.errors());
        }
        if !first.crashed {
            wrong.extend(core.forgotten(S::STACK).into_iter().map(|id| format!("not in the state: {id}")));
        }
        // Nobody runs Terraform again so soon that AWS does not know by then what the last run has made.
        sleep(self.operation.consistency).await;
        let second = core.apply(config.as_ref()).await;
        if self.lost_its_marker(index, fault) && imports(&second, S::STACK) {
            wrong.extend(core.import(S::STACK).await.faults());
            wrong.extend(core.apply(config.as_ref()).await.faults());
        } else {
            wrong.extend(second.faults());
        }
        settle().await;
        wrong.extend(unlike(&self.expected.end, &S::picture(&core)));
        if let Some(config) = &config {
            let left = core.changes(config).await;
            wrong.extend(left.into_iter().map(|path| format!("still to do: {path}")));
        }
        wrong.extend(core.aws.violations());
        wrong.extend(core.apply(None).await.faults());
        settle().await;
        wrong.extend(unlike(&self.expected.empty, &S::picture(&core)));
        wrong
    }

    /// Dies at a call, and once more at one of the run that follows, and says what is wrong after a third.
    async fn run_into_two(&self, first: usize, second: usize) -> Vec<String> {
        let died = Fault::Crash { after_effect: true };
        let config = self.operation.after.as_ref().map(S::configuration);
        let mut core = self.base.fork();
        core.aws.fail_at(first, died);
        core.apply(config.as_ref()).await;
        core.aws.clear_faults();
        core.aws.fail_at(core.aws.calls().len() + second, died);
        core.apply(config.as_ref()).await;
        core.aws.clear_faults();
        let last = core.apply(config.as_ref()).await;
        if imports(&last, S::STACK) {
            return Vec::new();
        }
        settle().await;
        let mut wrong = last.faults();
        wrong.extend(unlike(&self.expected.end, &S::picture(&core)));
        wrong
    }

    /// Whether the call is a read of a step, which is made again when AWS does not answer it.
    fn only_delays(&self, index: usize, fault: Fault) -> bool {
        let (before, call) = (&self.expected.calls[..index], &self.expected.calls[index]);
        // What is read before the first change, or before the second half of a replacement, is looked up by no step.
        let by_step = before.iter().any(|call| call.mutating) && !call.mutating && !self.operation.replaces;
        by_step && matches!(fault, Fault::ServerError | Fault::ResetBefore | Fault::LostResponse)
    }

    /// Whether a create died when it had just finished, so that nothing tells it from somebody's finished stack.
    fn lost_its_marker(&self, index: usize, fault: Fault) -> bool {
        (self.operation.before.is_none() || self.operation.replaces)
            && fault == (Fault::Crash { after_effect: true })
            && self.expected.calls[index].operation == "elasticloadbalancing:RemoveTags"
    }
}

/// Whether a run ends in the advice to import the stack.
fn imports(applied: &Applied, stack: &str) -> bool {
    applied.errors().iter().any(|error| error.contains(&format!("terraform import ADDRESS {stack}")))
}

/// The lines in which one picture of AWS differs from another.
pub(crate) fn unlike(expected: &str, found: &str) -> Vec<String> {
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
pub(crate) fn try_all<S: Subject>(operations: &[Operation]) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let shares: Vec<Share> = thread::scope(|scope| {
        let running: Vec<_> =
            (0..threads).map(|turn| scope.spawn(move || Share::of::<S>(operations, turn, threads))).collect();
        let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
        ended.map(|share| share.unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let cases: usize = shares.iter().map(|share| share.cases).sum();
    let failed: Vec<String> = shares.into_iter().flat_map(|share| share.failed).collect();
    // Not captured, so that every run tells.
    writeln!(std::io::stderr(), "{cases} cases of {} operations", operations.len()).unwrap();
    let shown: Vec<&str> = failed.iter().map(String::as_str).take(20).collect();
    assert!(failed.is_empty(), "{} of {cases} cases failed; the first:\n{}", failed.len(), shown.join("\n"));
}

/// Tries faults that hit a run which itself repairs what an earlier one has left.
pub(crate) async fn try_pairs<S: Subject>(operations: &[Operation]) {
    let mut failed = Vec::new();
    for operation in operations {
        let trial = Trial::<S>::new(operation).await;
        let calls = trial.expected.calls.len();
        // Every seventh call, and after it every fifth of the run that follows: prime, so that both wander.
        for first in (0..calls - 1).step_by(7) {
            for second in (0..calls).step_by(5) {
                let wrong = trial.run_into_two(first, second).await;
                if !wrong.is_empty() {
                    failed.push(format!("{}, {first} and {second}: {wrong:?}", operation.name));
                }
            }
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// What one thread tries. Its clock is its own, so it makes every operation ready for itself.
#[derive(Default)]
struct Share {
    cases: usize,
    failed: Vec<String>,
}

impl Share {
    /// Takes every case whose turn it is.
    fn of<S: Subject>(operations: &[Operation], turn: usize, threads: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let mut share = Self::default();
        runtime.block_on(async {
            for operation in operations {
                let trial = Trial::<S>::new(operation).await;
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
