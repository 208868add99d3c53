//! Executing a plan: every step as soon as what it comes after is done, several at a time.
//!
//! # Guarantees
//! - A failure skips only what comes after it; everything independent goes on.
//! - Whatever happened is in the returned graph.
//! - A step that panics has failed, like any other.
//! - Once the user has asked to stop, nothing new starts; what runs ends.
//!
//! Nothing is undone but an unhealthy replacement, which the plan itself says how to put back, and, within one step,
//! rules that made room in a full security group for others which AWS refuses: the next apply reconciles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::{debug, info, warn};

use super::effect::Output;
use super::run::{Context, Run, StepError};
use super::step::{Plan, Step, StepId, When};
use super::{NodeId, Observed, Rule};

/// How many steps of one stack run at a time; more would meet AWS's limits for changes sooner than end sooner. As many
/// more may wait: what only waits keeps nothing else from being done.
const CONCURRENCY: usize = 8;

/// How an apply ended.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The graph as it is now.
    pub(crate) observed: Observed,
    /// The steps that failed, in the order in which they did.
    pub(crate) failed: Vec<(Step, StepError)>,
    /// The steps that did not run because another failed, or the user asked to stop.
    pub(crate) skipped: Vec<Step>,
    /// Whether an unhealthy replacement was put back.
    pub(crate) put_back: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Pending,
    Running,
    Done,
    Failed,
    Skipped,
    /// It would have put back what did not fail.
    NotNeeded,
}

impl Status {
    fn ended(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    fn unsuccessful(self) -> bool {
        matches!(self, Self::Failed | Self::Skipped)
    }
}

/// What to do about a pending step.
enum Verdict {
    Start,
    Wait,
    End(Status),
}

/// Runs a plan on the graph it was made from.
pub(crate) async fn apply(plan: &Plan, observed: Observed, context: &Arc<Context>) -> Outcome {
    let mut outcome = Outcome { observed, ..Outcome::default() };
    let mut status = vec![Status::Pending; plan.steps.len()];
    let mut fresh = BTreeSet::new();
    let mut running = JoinSet::new();
    let mut step_of = BTreeMap::new();
    loop {
        let stopped = context.limits.stop.is_cancelled();
        for id in ready(plan, &mut status, stopped) {
            if under_way(plan, &status, plan.steps[id].change.waits()) >= CONCURRENCY {
                continue;
            }
            status[id] = Status::Running;
            outcome.put_back |= matches!(plan.steps[id].when, When::Failed(..));
            info!(step = id, "{}", plan.steps[id]);
            let (step, leaving) = (plan.steps[id].clone(), plan.revoked_in(&plan.steps[id].node));
            let task = start(step, leaving, outcome.observed.clone(), fresh.clone(), context.clone());
            step_of.insert(running.spawn(task).id(), id);
        }
        let Some(joined) = running.join_next_with_id().await else { break };
        // Nobody cancels a step: one without a result has panicked.
        let (task, result) = joined.unwrap_or_else(|error| (error.id(), Err(StepError::Panicked)));
        let id = step_of[&task];
        let step = &plan.steps[id];
        match result {
            Ok(output) => {
                debug!(step = id, "done");
                if step.change.creates() {
                    fresh.insert(step.node.clone());
                }
                outcome.observed.take_in(step, output);
                status[id] = Status::Done;
            }
            Err(error) => {
                warn!(step = id, "{step} failed: {error}");
                outcome.failed.push((step.clone(), error));
                status[id] = Status::Failed;
            }
        }
    }
    let left = plan
        .steps
        .iter()
        .zip(&status)
        .filter(|(_, status)| matches!(status, Status::Skipped | Status::Pending | Status::Running));
    outcome.skipped = left.map(|(step, _)| step.clone()).collect();
    outcome
}

async fn start(
    step: Step,
    leaving: BTreeSet<Rule>,
    observed: Observed,
    fresh: BTreeSet<NodeId>,
    context: Arc<Context>,
) -> Result<Output, StepError> {
    Run { context: &context, step: &step, leaving: &leaving, observed: &observed, fresh: &fresh }.run().await
}

/// How many steps run: of those that wait, or of the others.
fn under_way(plan: &Plan, status: &[Status], waiting: bool) -> usize {
    let steps = plan.steps.iter().zip(status);
    steps.filter(|(step, status)| **status == Status::Running && step.change.waits() == waiting).count()
}

/// The steps that may start now; those that never will are ended on the way.
fn ready(plan: &Plan, status: &mut [Status], stopped: bool) -> Vec<StepId> {
    let mut ready = Vec::new();
    // Steps come after earlier ones in the list, so one pass settles everything.
    for (id, step) in plan.steps.iter().enumerate() {
        if status[id] != Status::Pending {
            continue;
        }
        match verdict(step, status, stopped) {
            Verdict::Start => ready.push(id),
            Verdict::Wait => {}
            Verdict::End(end) => status[id] = end,
        }
    }
    ready
}

fn verdict(step: &Step, status: &[Status], stopped: bool) -> Verdict {
    let any = |steps: &BTreeSet<StepId>, test: fn(Status) -> bool| steps.iter().any(|id| test(status[*id]));
    match &step.when {
        When::Failed(..) if stopped => Verdict::End(Status::NotNeeded),
        _ if stopped => Verdict::End(Status::Skipped),
        When::After(steps) if any(steps, Status::unsuccessful) => Verdict::End(Status::Skipped),
        When::After(steps) if any(steps, |status| status != Status::Done) => Verdict::Wait,
        When::After(_) => Verdict::Start,
        When::Despite(done, _) if any(done, Status::unsuccessful) => Verdict::End(Status::Skipped),
        When::Despite(done, ended)
            if any(done, |status| status != Status::Done) || any(ended, |status| !status.ended()) =>
        {
            Verdict::Wait
        }
        When::Despite(..) => Verdict::Start,
        When::Failed(failed, _) if any(failed, |status| !status.ended()) => Verdict::Wait,
        When::Failed(failed, _) if !any(failed, Status::unsuccessful) => Verdict::End(Status::NotNeeded),
        When::Failed(_, after) if any(after, |status| !status.ended()) => Verdict::Wait,
        When::Failed(..) => Verdict::Start,
    }
}
