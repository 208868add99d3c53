//! Targets in time: which are probed, what the probes make of them, and how the others leave.

use std::time::Duration;

use super::{LoadBalancer, State};
use crate::aws::{HealthCheck, LoadBalancerState, TargetHealth};

/// What the health checks of an instance find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answers as it should.
    Healthy,
    /// It does not, for the reason with this code: `Target.ResponseCodeMismatch`.
    Unhealthy(&'static str),
}

/// What the health checks have made of a target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Health {
    /// Not probed.
    #[default]
    Unused,
    /// Probed, without a result.
    Initial,
    /// Passed.
    Healthy,
    /// Failed.
    Unhealthy,
}

/// A registered target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// Its health, as of the last look at it.
    pub health: Health,
    /// Until when it drains, once it was deregistered.
    pub draining_until: Option<Duration>,
    /// From when on that shows.
    pub(super) draining_shown_from: Duration,
    /// Whether its checks pass, and since when they all do or all fail.
    passing: bool,
    since: Duration,
}

impl Target {
    /// Probes it until `now`. `in_use_since` is when it began to be probed, `before` the time of the last look:
    /// whatever changed by a test's hand changed then.
    ///
    /// A new target is healthy after one passing check, whatever its threshold; thresholds count from there on.
    fn probe(
        &mut self,
        in_use_since: Option<Duration>,
        passing: bool,
        check: &HealthCheck,
        before: Duration,
        now: Duration,
    ) {
        let Some(start) = in_use_since else {
            self.health = Health::Unused;
            return;
        };
        if self.health == Health::Unused {
            (self.health, self.passing, self.since) = (Health::Initial, passing, start);
        } else if self.passing != passing {
            (self.passing, self.since) = (passing, before);
        }
        let checks = match (passing, self.health) {
            (true, Health::Initial) => 1,
            (true, _) => check.healthy_threshold,
            (false, _) => check.unhealthy_threshold,
        };
        let needed = Duration::from_secs(u64::try_from(checks.saturating_mul(check.interval)).unwrap_or(0));
        if self.since.checked_add(needed).is_some_and(|end| end <= now) {
            self.health = if passing { Health::Healthy } else { Health::Unhealthy };
        }
    }
}

impl State {
    /// Lets the time since `before` pass for all targets.
    pub(super) fn advance_targets(&mut self, before: Duration) {
        let now = self.clock;
        if now == before {
            return;
        }
        let mut groups = std::mem::take(&mut self.target_groups);
        for (arn, group) in &mut groups {
            let load_balancer = self.load_balancer_of(arn);
            group.targets.retain(|_, target| target.draining_until.is_none_or(|until| until > now));
            for ((id, port), target) in &mut group.targets {
                let in_use_since = match (self.why_unused(load_balancer, id), load_balancer) {
                    (None, Some(load_balancer)) => Some(before.max(load_balancer.ready_at.min(now))),
                    _ => None,
                };
                let passing = self.verdict(id, *port) == &Verdict::Healthy;
                target.probe(in_use_since, passing, &group.info.health_check, before, now);
            }
        }
        self.target_groups = groups;
    }

    /// What is described: targets that have drained are gone, and so not in the list.
    pub(super) fn target_health(&self, arn: &str) -> Vec<TargetHealth> {
        let Some(group) = self.target_groups.get(arn) else { return Vec::new() };
        let load_balancer = self.load_balancer_of(arn);
        let describe = |((id, port), target): (&(String, u16), &Target)| {
            let (state, reason) = if target.draining_until.is_some() && target.draining_shown_from <= self.clock {
                ("draining", Some("Target.DeregistrationInProgress"))
            } else if let Some(reason) = self.why_unused(load_balancer, id) {
                ("unused", Some(reason))
            } else {
                match (target.health, self.verdict(id, *port)) {
                    (Health::Healthy, _) => ("healthy", None),
                    (Health::Unhealthy, Verdict::Unhealthy(reason)) => ("unhealthy", Some(*reason)),
                    (Health::Unhealthy, Verdict::Healthy) => ("unhealthy", Some("Target.FailedHealthChecks")),
                    (Health::Initial | Health::Unused, _) => ("initial", Some("Elb.InitialHealthChecking")),
                }
            };
            TargetHealth {
                id: id.clone(),
                port: *port,
                state: state.to_owned(),
                reason: reason.map(str::to_owned),
                description: reason.map(|reason| description(reason).to_owned()),
            }
        };
        group.targets.iter().map(describe).collect()
    }

    /// A target group has one load balancer at most.
    fn load_balancer_of(&self, target_group_arn: &str) -> Option<&LoadBalancer> {
        self.load_balancers_of(target_group_arn).first().and_then(|arn| self.load_balancers.get(arn))
    }

    /// Why a target of this load balancer's group is not probed: it does not run, nothing routes to the group,
    /// or its zone is not among the load balancer's.
    fn why_unused(&self, load_balancer: Option<&LoadBalancer>, instance_id: &str) -> Option<&'static str> {
        let Some(instance) = self.instances.get(instance_id).filter(|instance| instance.state == "running") else {
            return Some("Target.InvalidState");
        };
        let routes = |found: &&LoadBalancer| {
            let subnets = found.info.subnet_ids.iter().filter_map(|id| self.subnets.get(id));
            let mut zones = subnets.map(|subnet| &subnet.availability_zone);
            matches!(found.info.state, LoadBalancerState::Active | LoadBalancerState::ActiveImpaired)
                && zones.any(|zone| *zone == instance.availability_zone)
        };
        if load_balancer.filter(routes).is_some() { None } else { Some("Target.NotInUse") }
    }

    fn verdict(&self, instance_id: &str, port: u16) -> &Verdict {
        if self.verdicts.is_empty() {
            return &Verdict::Healthy;
        }
        let on = |id: &str, port| self.verdicts.get(&(id.to_owned(), port));
        let image = self.launches.get(instance_id).and_then(|launch| on(&launch.new.image_id, None));
        on(instance_id, Some(port)).or_else(|| on(instance_id, None)).or(image).unwrap_or(&Verdict::Healthy)
    }
}

/// AWS's words for a reason code.
fn description(reason: &str) -> &'static str {
    match reason {
        "Elb.InitialHealthChecking" => "Initial health checks in progress",
        "Target.DeregistrationInProgress" => "Target deregistration is in progress",
        "Target.InvalidState" => "Target is in the stopped state",
        "Target.NotInUse" => {
            "Target group is not configured to receive traffic from the load balancer, or the target is in an \
             Availability Zone that is not enabled for it"
        }
        "Target.ResponseCodeMismatch" => "Health checks failed with these codes: [502]",
        "Target.Timeout" => "Request timed out",
        _ => "Health checks failed",
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::super::FakeAws;
    use super::super::fixtures::{http, pair, set, tags};
    use super::*;
    use crate::aws::{Attributes, Aws};

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// The states and reasons of a group's targets, as of now, without a call's latency.
    fn health(aws: &FakeAws, group: &str) -> Vec<String> {
        let state = aws.state();
        let targets = state.target_health(group).into_iter();
        targets.map(|target| [target.state, target.reason.unwrap_or_default()].join(" ").trim().to_owned()).collect()
    }

    /// `i-1` registered, and the load balancer active: its ARN and the group's. Calls take no time.
    async fn registered(aws: &FakeAws) -> (String, String) {
        aws.state().latency = Duration::ZERO;
        let (balancer, group) = pair(aws).await;
        aws.register_targets(&group, &set(&["i-1"])).await.unwrap();
        advance(seconds(150)).await;
        (balancer, group)
    }

    async fn in_use(aws: &FakeAws) -> String {
        let (balancer, group) = registered(aws).await;
        aws.create_listener(&balancer, &http(80, &[(&group, 1)]), &tags("us")).await.unwrap();
        group
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_is_unused_until_a_listener_refers_to_its_group_even_with_weight_0() {
        let aws = FakeAws::new();
        let (balancer, group) = registered(&aws).await;
        assert_eq!(health(&aws, &group), ["unused Target.NotInUse"]);
        let listener = http(80, &[(&group, 0)]);
        let arn = aws.create_listener(&balancer, &listener, &tags("us")).await.unwrap();
        advance(seconds(14)).await;
        assert_eq!(health(&aws, &group), ["initial Elb.InitialHealthChecking"]);
        advance(seconds(1)).await;
        assert_eq!(health(&aws, &group), ["healthy"]);
        aws.delete_listener(&arn).await.unwrap();
        assert_eq!(health(&aws, &group), ["unused Target.NotInUse"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_is_not_probed_before_its_load_balancer_is_active() {
        let aws = FakeAws::new();
        aws.state().latency = Duration::ZERO;
        let (balancer, group) = pair(&aws).await;
        aws.register_targets(&group, &set(&["i-1"])).await.unwrap();
        aws.create_listener(&balancer, &http(80, &[(&group, 1)]), &tags("us")).await.unwrap();
        advance(seconds(149)).await;
        assert_eq!(health(&aws, &group), ["unused Target.NotInUse"]);
        advance(seconds(15)).await;
        assert_eq!(health(&aws, &group), ["initial Elb.InitialHealthChecking"]);
        advance(seconds(1)).await;
        assert_eq!(health(&aws, &group), ["healthy"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_in_a_zone_that_is_not_enabled_is_unused() {
        let aws = FakeAws::new();
        let group = in_use(&aws).await;
        aws.register_targets(&group, &set(&["i-3"])).await.unwrap();
        advance(seconds(60)).await;
        assert_eq!(health(&aws, &group), ["healthy", "unused Target.NotInUse"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failing_target_is_unhealthy_after_its_threshold_and_recovers_after_the_other() {
        let aws = FakeAws::new();
        let group = in_use(&aws).await;
        advance(seconds(60)).await;
        aws.set_verdict("i-1", Some(80), Verdict::Unhealthy("Target.Timeout"));
        advance(seconds(29)).await;
        assert_eq!(health(&aws, &group), ["healthy"]);
        advance(seconds(1)).await;
        assert_eq!(health(&aws, &group), ["unhealthy Target.Timeout"]);
        aws.set_verdict("i-1", Some(80), Verdict::Healthy);
        advance(seconds(44)).await;
        assert_eq!(health(&aws, &group), ["unhealthy Target.FailedHealthChecks"]);
        advance(seconds(1)).await;
        assert_eq!(health(&aws, &group), ["healthy"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_never_passes_is_initial_and_then_unhealthy() {
        let aws = FakeAws::new();
        aws.set_verdict("i-1", None, Verdict::Unhealthy("Target.ResponseCodeMismatch"));
        let group = in_use(&aws).await;
        advance(seconds(29)).await;
        assert_eq!(health(&aws, &group), ["initial Elb.InitialHealthChecking"]);
        advance(seconds(1)).await;
        assert_eq!(health(&aws, &group), ["unhealthy Target.ResponseCodeMismatch"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_deregistered_target_drains_and_is_gone() {
        let aws = FakeAws::new();
        let group = in_use(&aws).await;
        let delay = Attributes::from([("deregistration_delay.timeout_seconds".to_owned(), "30".to_owned())]);
        aws.modify_target_group_attributes(&group, &delay).await.unwrap();
        aws.deregister_targets(&group, &set(&["i-1", "i-2"])).await.unwrap();
        advance(seconds(29)).await;
        assert_eq!(health(&aws, &group), ["draining Target.DeregistrationInProgress"]);
        advance(seconds(1)).await;
        assert!(health(&aws, &group).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_instance_is_unused_and_starts_over_when_it_runs_again() {
        let aws = FakeAws::new();
        let group = in_use(&aws).await;
        advance(seconds(60)).await;
        aws.state().instances.get_mut("i-1").unwrap().state = "stopped".to_owned();
        advance(seconds(1)).await;
        assert_eq!(health(&aws, &group), ["unused Target.InvalidState"]);
        aws.state().instances.get_mut("i-1").unwrap().state = "running".to_owned();
        assert_eq!(health(&aws, &group), ["initial Elb.InitialHealthChecking"]);
    }
}
