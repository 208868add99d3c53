//! Registrations: waiting for targets to serve, and for their connections to end.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Run, StepError};
use crate::aws::TargetHealth;
use crate::stack::Ref;
use crate::stack::effect::Output;

/// How long an instance that runs may be refused as one that does not yet.
const STARTED: Duration = Duration::from_secs(10);

impl Run<'_> {
    /// Looks whether these targets are healthy.
    pub(super) async fn look_for_health(&self, targets: &BTreeSet<Ref>) -> Result<Output, StepError> {
        let wanted = self.ids(targets)?;
        let health = self.aws().target_health(self.id()?).await?;
        let known = |target: &TargetHealth| target.registration(self.group_port());
        let missing = wanted.iter().filter(|id| !health.iter().any(|target| known(target) == **id));
        let mut waiting: Vec<TargetHealth> = missing.map(|id| not_registered(id, self.group_port())).collect();
        let registered = health.iter().filter(|target| wanted.contains(&known(target)));
        waiting.extend(registered.filter(|target| target.state != "healthy").cloned());
        if waiting.is_empty() {
            Ok(Output::Health(health))
        } else if waiting.iter().any(hopeless) {
            Err(StepError::Hopeless(waiting))
        } else {
            Err(StepError::Unhealthy(waiting))
        }
    }

    /// Looks whether these targets have no connection left. For a while AWS may still show one as it was before it was
    /// deregistered.
    pub(super) async fn look_for_drained(&self, targets: &BTreeSet<Ref>) -> Result<(), StepError> {
        let leaving = self.ids(targets)?;
        let health = self.aws().target_health(self.id()?).await?;
        let draining: Vec<&str> = health
            .iter()
            .filter(|target| leaving.contains(&target.registration(self.group_port())) && target.state != "unused")
            .map(|target| target.id.as_str())
            .collect();
        if draining.is_empty() {
            return Ok(());
        }
        Err(StepError::Waiting(format!("{} still drains {}", self.step.node, draining.join(", "))))
    }

    /// The port of the step's own target group.
    fn group_port(&self) -> u16 {
        self.observed.target_group(&self.step.node).map_or(0, |group| group.port)
    }

    /// For how long instances that were refused may still become targets: one that is starting will, and one that runs
    /// by now may have been starting when it was refused.
    pub(super) async fn starting(&self, targets: &BTreeSet<Ref>) -> Option<Duration> {
        let ids = self.ids(targets).ok()?;
        let found = self.aws().instances(&ids).await.ok()?;
        if found.iter().any(|instance| instance.state == "pending") {
            return Some(Duration::MAX);
        }
        let running = found.len() == ids.len() && found.iter().all(|instance| instance.state == "running");
        running.then_some(STARTED)
    }
}

fn not_registered(id: &str, port: u16) -> TargetHealth {
    TargetHealth {
        id: id.to_owned(),
        port,
        state: "unused".to_owned(),
        reason: Some("Target.NotRegistered".to_owned()),
        description: None,
    }
}

/// Whether waiting does not help: the instance is stopped or gone, or its address cannot be used.
fn hopeless(target: &TargetHealth) -> bool {
    matches!(target.reason.as_deref(), Some("Target.InvalidState" | "Target.IpUnusable"))
}
