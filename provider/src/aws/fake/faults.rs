//! The way of a call: its log, its latency, and the faults a test has planned for it.

use std::collections::BTreeMap;
use std::future::pending;
use std::time::Duration;

use tokio::time::sleep;

use super::{Answer, FakeAws, State, lock};
use crate::aws::error::only_reads;
use crate::aws::{AwsError, Result};

/// How often the SDK sends a request before it gives up, as the provider configures it.
const SDK_ATTEMPTS: u32 = 10;

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// AWS refuses it with this code.
    Error(&'static str),
    /// Its first attempts are throttled, so many of them. The SDK absorbs up to 9; more surface as `Throttling`.
    Throttled(u32),
    /// Every attempt of the SDK is answered by a 500: `InternalFailure`.
    ServerError,
    /// The connection breaks before AWS has the request: no answer, no effect.
    ResetBefore,
    /// The connection breaks when AWS has done it: no answer.
    LostResponse,
    /// AWS does it, but no attempt of the SDK gets the answer.
    Unanswered,
    /// AWS does it, but the answer is lost, and it refuses the SDK's next attempt with this code.
    Repeated(&'static str),
    /// The provider panics over the answer to what AWS has done.
    Panic,
    /// The process dies at it. Neither this call nor any later one completes, and no later one has an effect.
    Crash {
        /// Whether AWS has done it by then.
        after_effect: bool,
    },
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its place among all calls, from 0.
    pub index: usize,
    /// The operation, as in IAM.
    pub operation: &'static str,
    /// Whether the operation changes anything.
    pub mutating: bool,
    /// The ARNs, ids or names it is about.
    pub detail: String,
    /// When it was made, from the start of the fake.
    pub at: Duration,
}

/// The calls made and the faults to come.
#[derive(Default)]
pub(super) struct Traffic {
    calls: Vec<Call>,
    faults: BTreeMap<usize, Fault>,
    in_flight: usize,
    max_in_flight: usize,
    /// Counts the processes that died, so that what a dead one left in flight never gets through to a later one.
    process: usize,
    invariant: Option<Invariant>,
    violations: Vec<String>,
}

/// What must hold after every change: says what is wrong when it does not.
type Invariant = Box<dyn Fn(&State) -> Option<String> + Send>;

/// A call under way.
struct Flight<'a> {
    aws: &'a FakeAws,
    index: usize,
    fault: Option<Fault>,
    process: usize,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        lock(&self.aws.inner.traffic).in_flight -= 1;
    }
}

impl FakeAws {
    /// Plans a fault for the call with this index; indices go on over the whole life of the fake.
    pub(crate) fn fail_at(&self, index: usize, fault: Fault) {
        lock(&self.inner.traffic).faults.insert(index, fault);
    }

    /// Drops all planned faults; after a crash, calls are a new process's from now on.
    pub(crate) fn clear_faults(&self) {
        let crashed = self.is_dead();
        {
            let mut traffic = lock(&self.inner.traffic);
            traffic.faults.clear();
            traffic.process += usize::from(crashed);
        }
        self.inner.dead.send_replace(false);
    }

    /// Resolves once a planned crash has happened. The test must then drop what it was running.
    pub(crate) async fn crashed(&self) {
        // Only fails when the sender is gone, and `self` holds it.
        let _ = self.inner.dead.subscribe().wait_for(|dead| *dead).await;
    }

    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.inner.traffic).calls.clone()
    }

    /// Checks this from now on after every call that changes something.
    pub(crate) fn watch(&self, invariant: impl Fn(&State) -> Option<String> + Send + 'static) {
        lock(&self.inner.traffic).invariant = Some(Box::new(invariant));
    }

    /// The calls after which what is watched did not hold, each with what was wrong.
    pub(crate) fn violations(&self) -> Vec<String> {
        lock(&self.inner.traffic).violations.clone()
    }

    /// The most calls that were under way at one time.
    pub(crate) fn max_in_flight(&self) -> usize {
        lock(&self.inner.traffic).max_in_flight
    }

    /// The way of every call. Half the latency passes before it takes effect and half after it, so a caller that
    /// is dropped meanwhile leaves either behind.
    pub(super) async fn call<T: Send>(
        &self,
        operation: &'static str,
        detail: &str,
        effect: impl FnOnce(&mut State) -> Answer<T> + Send,
    ) -> Result<T> {
        if self.is_dead() {
            return pending().await;
        }
        let flight = self.depart(operation, detail);
        // Only what takes effect needs the objects as of now, and bringing them there is most of what a call costs.
        let latency = lock(&self.inner.state).latency;
        sleep(latency / 2).await;

        let error = |code: &str, message: &str| AwsError {
            operation,
            code: code.to_owned(),
            message: message.to_owned(),
            request_id: None,
        };
        match flight.fault {
            Some(Fault::Error(code)) => return Err(error(code, "planned by the test")),
            Some(Fault::ResetBefore) => return Err(error(AwsError::NO_ANSWER, "connection reset")),
            Some(Fault::ServerError) => {
                back_off(SDK_ATTEMPTS).await;
                return Err(error("InternalFailure", "internal failure"));
            }
            Some(Fault::Throttled(times)) => {
                back_off(times).await;
                if times >= SDK_ATTEMPTS {
                    return Err(error("Throttling", "rate exceeded"));
                }
            }
            Some(Fault::Crash { after_effect: false }) => self.crash(),
            Some(
                Fault::LostResponse
                | Fault::Unanswered
                | Fault::Repeated(_)
                | Fault::Panic
                | Fault::Crash { after_effect: true },
            )
            | None => {}
        }
        if self.is_gone(flight.process) {
            return pending().await;
        }

        let answer = self.take_effect(&flight, effect);
        if matches!(flight.fault, Some(Fault::Crash { .. })) {
            self.crash();
        }
        sleep(latency / 2).await;
        if self.is_gone(flight.process) {
            return pending().await;
        }
        if flight.fault == Some(Fault::Unanswered) {
            back_off(SDK_ATTEMPTS).await;
        }
        if matches!(flight.fault, Some(Fault::LostResponse | Fault::Unanswered)) {
            return Err(error(AwsError::NO_ANSWER, "connection closed before the response"));
        }
        if let Some(Fault::Repeated(code)) = flight.fault {
            return Err(error(code, "an earlier attempt has done it"));
        }
        assert!(flight.fault != Some(Fault::Panic), "planned by the test");
        answer.map_err(|refusal| error(refusal.code, &refusal.message))
    }

    fn take_effect<T>(&self, flight: &Flight<'_>, effect: impl FnOnce(&mut State) -> Answer<T>) -> Answer<T> {
        let mut state = self.state();
        let answer = effect(&mut state);
        let mut traffic = lock(&self.inner.traffic);
        let call = traffic.calls[flight.index].clone();
        let wrong = traffic.invariant.as_ref().filter(|_| call.mutating).and_then(|invariant| invariant(&state));
        traffic.violations.extend(wrong.map(|wrong| format!("{} {}: {wrong}", call.operation, call.detail)));
        answer
    }

    fn depart(&self, operation: &'static str, detail: &str) -> Flight<'_> {
        let mut traffic = lock(&self.inner.traffic);
        let index = traffic.calls.len();
        let mutating = !only_reads(operation);
        let at = self.now();
        traffic.calls.push(Call { index, operation, mutating, detail: detail.to_owned(), at });
        traffic.in_flight += 1;
        traffic.max_in_flight = traffic.max_in_flight.max(traffic.in_flight);
        Flight { aws: self, index, fault: traffic.faults.get(&index).copied(), process: traffic.process }
    }

    fn crash(&self) {
        self.inner.dead.send_replace(true);
    }

    fn is_dead(&self) -> bool {
        *self.inner.dead.borrow()
    }

    /// Whether the process that made a call is dead.
    fn is_gone(&self, process: usize) -> bool {
        self.is_dead() || lock(&self.inner.traffic).process != process
    }
}

/// Waits between the SDK's attempts, after so many failed ones: 1 s, doubled each time up to 20 s.
async fn back_off(failed: u32) {
    for attempt in 0..failed.min(SDK_ATTEMPTS - 1) {
        sleep(Duration::from_secs((1 << attempt).min(20))).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::fixtures::load_balancer;
    use super::*;
    use crate::aws::{Aws, ErrorClass, LoadBalancerKey};

    async fn exists(aws: &FakeAws, name: &str) -> bool {
        aws.load_balancer(&LoadBalancerKey::Name(name.to_owned())).await.unwrap().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_whose_response_is_lost_has_taken_effect() {
        let aws = FakeAws::new();
        aws.fail_at(0, Fault::LostResponse);
        let error = aws.create_load_balancer(&load_balancer("one")).await.unwrap_err();
        assert_eq!(error.class(), ErrorClass::NoAnswer);
        assert!(exists(&aws, "one").await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_call_and_a_reset_one_have_not() {
        let aws = FakeAws::new();
        aws.fail_at(0, Fault::ResetBefore);
        aws.fail_at(1, Fault::Error("AccessDenied"));
        aws.fail_at(2, Fault::ServerError);
        let mut codes = Vec::new();
        for _ in 0..3 {
            codes.push(aws.create_load_balancer(&load_balancer("one")).await.unwrap_err().code);
        }
        assert_eq!(codes, [AwsError::NO_ANSWER, "AccessDenied", "InternalFailure"]);
        assert!(!exists(&aws, "one").await);
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_costs_time_until_the_sdk_gives_up() {
        let aws = FakeAws::new();
        aws.fail_at(0, Fault::Throttled(5));
        aws.fail_at(1, Fault::Throttled(10));
        let start = Instant::now();
        assert_eq!(aws.account_id().await.unwrap(), super::super::ACCOUNT);
        assert_eq!(start.elapsed(), Duration::from_millis(31_050));
        assert_eq!(aws.account_id().await.unwrap_err().code, "Throttling");
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_ends_every_call_of_its_process_and_a_new_process_goes_on() {
        for (after_effect, left) in [(false, false), (true, true)] {
            let aws = FakeAws::new();
            aws.fail_at(1, Fault::Crash { after_effect });
            let (one, two) = (load_balancer("one"), load_balancer("two"));
            let apply = async {
                aws.create_load_balancer(&one).await.unwrap();
                let two = aws.create_load_balancer(&two).await;
                unreachable!("the process is dead: {two:?}");
            };
            tokio::select! {
                () = apply => {}
                () = aws.crashed() => {}
            }
            assert_eq!(aws.calls().len(), 2);
            aws.clear_faults();
            assert!(exists(&aws, "one").await);
            assert_eq!(exists(&aws, "two").await, left);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_dead_process_left_in_flight_stays_without_effect() {
        let aws = FakeAws::new();
        aws.fail_at(0, Fault::Crash { after_effect: false });
        let survivor = aws.clone();
        aws.state().latency = Duration::from_secs(1);
        let dying = tokio::spawn(async move { survivor.account_id().await });
        // Lets the dying process make its call before the other one is made.
        tokio::task::yield_now().await;
        aws.state().latency = Duration::from_secs(10);
        let other = aws.clone();
        let slow = tokio::spawn(async move { other.create_load_balancer(&load_balancer("one")).await });
        aws.crashed().await;
        aws.clear_faults();
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!exists(&aws, "one").await);
        assert!(!dying.is_finished() && !slow.is_finished());
        dying.abort();
        slow.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn the_log_says_what_was_called_when_and_how_much_at_once() {
        let aws = FakeAws::new();
        let new = load_balancer("one");
        let created = aws.create_load_balancer(&new).await.unwrap();
        let (described, attributes) =
            tokio::join!(aws.listeners(&created.arn), aws.load_balancer_attributes(&created.arn));
        assert!(described.unwrap().is_empty() && !attributes.unwrap().is_empty());
        let calls = aws.calls();
        let first = Call {
            index: 0,
            operation: "elasticloadbalancing:CreateLoadBalancer",
            mutating: true,
            detail: "one".to_owned(),
            at: Duration::ZERO,
        };
        assert_eq!(calls[0], first);
        assert_eq!((calls[1].mutating, calls[1].at), (false, Duration::from_millis(50)));
        assert_eq!((calls.len(), aws.max_in_flight()), (3, 2));
    }
}
