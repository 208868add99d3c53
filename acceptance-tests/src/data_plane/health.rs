//! Health checks as an Application Load Balancer makes them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::Servers;
use super::picture::{Check, Picture, Use};
use crate::background::{Task, locked};
use crate::client::{Client, Site};

/// What DescribeTargetHealth answers for a target: state, reason and description.
pub(super) type Said = (&'static str, Option<&'static str>, Option<String>);

/// The checks of all targets that are in use, by registration.
pub(super) struct Checks {
    /// How long a second of AWS takes.
    second: Duration,
    servers: Servers,
    health: Arc<Mutex<BTreeMap<u64, Health>>>,
    changed: Arc<Notify>,
    running: BTreeMap<u64, (Check, Task)>,
}

#[derive(Clone, Debug, Default, PartialEq)]
enum State {
    #[default]
    Initial,
    Healthy,
    Unhealthy(Failed),
}

#[derive(Debug, Default)]
struct Health {
    state: State,
    /// How many checks in a row contradicted the state.
    against: u32,
}

/// Why a check did not pass.
#[derive(Clone, Debug, PartialEq)]
struct Failed {
    reason: &'static str,
    description: String,
}

impl Checks {
    pub(super) fn new(second: Duration, servers: Servers) -> Self {
        Self { second, servers, health: Arc::default(), changed: Arc::default(), running: BTreeMap::new() }
    }

    /// Checks those that are in use, and nobody else. Who comes back from disuse starts over.
    pub(super) fn follow(&mut self, picture: &Picture) {
        let used: BTreeMap<u64, _> = picture
            .targets()
            .filter(|(_, target)| target.state == Use::Used)
            .map(|(group, target)| (target.registration, (group, target)))
            .collect();
        self.running.retain(|registration, _| used.contains_key(registration));
        locked(&self.health).retain(|registration, _| used.contains_key(registration));
        for (registration, (group, target)) in used {
            if self.running.get(&registration).is_some_and(|(check, _)| *check == group.check) {
                continue;
            }
            locked(&self.health).entry(registration).or_default();
            let check = group.check.clone();
            let port = check.port.unwrap_or(target.port);
            let task = Task::spawn(
                Probe {
                    registration,
                    server: (target.instance.clone(), port),
                    check: check.clone(),
                    second: self.second,
                    servers: Arc::clone(&self.servers),
                    health: Arc::clone(&self.health),
                    changed: Arc::clone(&self.changed),
                }
                .run(),
            );
            self.running.insert(registration, (check, task));
        }
    }

    /// The state of every target that is checked.
    pub(super) fn said(&self) -> BTreeMap<u64, Said> {
        locked(&self.health).iter().map(|(registration, health)| (*registration, health.said())).collect()
    }

    /// Waits until a state has changed.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }
}

struct Probe {
    registration: u64,
    server: (String, u16),
    check: Check,
    second: Duration,
    servers: Servers,
    health: Arc<Mutex<BTreeMap<u64, Health>>>,
    changed: Arc<Notify>,
}

impl Probe {
    async fn run(self) {
        loop {
            let outcome = self.look().await;
            if let Some(health) = locked(&self.health).get_mut(&self.registration)
                && health.note(outcome, &self.check)
            {
                self.changed.notify_one();
            }
            sleep(self.second * self.check.interval).await;
        }
    }

    async fn look(&self) -> std::result::Result<(), Failed> {
        let broken = || Failed { reason: "Target.FailedHealthChecks", description: "Health checks failed".to_owned() };
        let address = locked(&self.servers).get(&self.server).copied().ok_or_else(broken)?;
        let site = Site { address, tls: self.check.protocol == "HTTPS" };
        // A target is no faster when time passes faster.
        let patience = Duration::from_secs(self.check.timeout.into());
        let answer = timeout(patience, Client::default().fetch(site, &self.check.path)).await;
        let answer =
            answer.map_err(|_| Failed { reason: "Target.Timeout", description: "Request timed out".to_owned() })?;
        let status = answer.map_err(|_| broken())?.status;
        if matches(&self.check.matcher, status) {
            return Ok(());
        }
        let description = format!("Health checks failed with these codes: [{status}]");
        Err(Failed { reason: "Target.ResponseCodeMismatch", description })
    }
}

/// Whether a matcher such as `200,204` or `200-299` names the status.
fn matches(matcher: &str, status: u16) -> bool {
    matcher.split(',').any(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) => (first..=last).contains(&status),
            _ => false,
        }
    })
}

impl Health {
    /// Takes the outcome of one check; says whether the state has changed. A new target is healthy after the first
    /// check that passes.
    fn note(&mut self, outcome: std::result::Result<(), Failed>, check: &Check) -> bool {
        let threshold = match (&self.state, &outcome) {
            (State::Healthy, Ok(())) | (State::Unhealthy(_), Err(_)) => {
                self.against = 0;
                return false;
            }
            (State::Initial, Ok(())) => 1,
            (State::Unhealthy(_), Ok(())) => check.healthy,
            (State::Initial | State::Healthy, Err(_)) => check.unhealthy,
        };
        self.against += 1;
        if self.against < threshold {
            return false;
        }
        self.against = 0;
        self.state = outcome.map_or_else(State::Unhealthy, |()| State::Healthy);
        true
    }

    fn said(&self) -> Said {
        match &self.state {
            State::Initial => {
                ("initial", Some("Elb.InitialHealthChecking"), Some("Initial health checks in progress".to_owned()))
            }
            State::Healthy => ("healthy", None, None),
            State::Unhealthy(failed) => ("unhealthy", Some(failed.reason), Some(failed.description.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> Check {
        Check {
            protocol: "HTTP".to_owned(),
            port: None,
            path: "/".to_owned(),
            matcher: "200".to_owned(),
            interval: 15,
            timeout: 5,
            healthy: 3,
            unhealthy: 2,
        }
    }

    #[test]
    fn the_first_pass_makes_a_target_healthy_and_later_each_threshold_counts_checks_in_a_row() {
        let failed = Failed { reason: "Target.Timeout", description: String::new() };
        let mut health = Health::default();
        let outcomes = "+-+--++-+++--";
        let states = outcomes.chars().map(|outcome| {
            health.note(if outcome == '+' { Ok(()) } else { Err(failed.clone()) }, &check());
            if health.state == State::Healthy { 'h' } else { 'u' }
        });
        assert_eq!(states.collect::<String>(), "hhhhuuuuuuhhu");
    }

    #[test]
    fn a_new_target_is_unhealthy_only_after_as_many_failures_as_any_other() {
        let failed = || Err(Failed { reason: "Target.Timeout", description: String::new() });
        let mut health = Health::default();
        assert!(!health.note(failed(), &check()));
        assert_eq!(health.said().0, "initial");
        assert!(health.note(failed(), &check()));
        assert_eq!(health.said().1, Some("Target.Timeout"));
    }

    #[test]
    fn a_matcher_names_statuses_and_ranges() {
        assert!(matches("200", 200) && matches("200,204", 204) && matches("200-299,404", 404));
        assert!(!matches("200", 201) && !matches("200-299", 300) && !matches("", 200));
    }
}
