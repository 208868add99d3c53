//! What can go wrong between the provider and AWS, and at which calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use crate::calls::Call;

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// Nothing: for rules that only act.
    None,
    /// AWS never sees the call; the answer is this HTTP status and AWS error code.
    Fail(u16, &'static str),
    /// AWS never sees the call; the connection is closed.
    Reset,
    /// The call takes effect, and the connection is closed instead of passing on the answer.
    LoseResponse,
    /// The call arrives later.
    Delay(Duration),
}

impl Fault {
    /// What AWS answers to a client that calls too often. EC2 has another code: `RequestLimitExceeded`, with 503.
    pub const THROTTLING: Self = Self::Fail(400, "Throttling");
}

/// Something a test does while a call is under way: kill the provider, for example.
pub(crate) type Act = Arc<dyn Fn(&Call) + Send + Sync>;

/// How many calls of a service pass: each takes a token out of a bucket, which fills up again over time.
#[derive(Clone)]
struct Rate {
    burst: f64,
    per_second: f64,
    /// The tokens left in each service's bucket, and when that was.
    buckets: BTreeMap<String, (f64, Duration)>,
}

impl Rate {
    fn lets_pass(&mut self, call: &Call) -> bool {
        let (tokens, last) = self.buckets.entry(call.service.clone()).or_insert((self.burst, call.started));
        let since = call.started.saturating_sub(*last).as_secs_f64();
        *tokens = (*tokens + since * self.per_second).min(self.burst);
        *last = call.started.max(*last);
        let passes = *tokens >= 1.0;
        if passes {
            *tokens -= 1.0;
        }
        passes
    }
}

/// A fault, and the calls that it happens to.
#[derive(Clone)]
pub struct Rule {
    action: Option<String>,
    skip: usize,
    times: usize,
    seen: usize,
    rate: Option<Rate>,
    pub(crate) fault: Fault,
    pub(crate) act: Option<Act>,
    /// Held by the call that is under way, when only one may be.
    pub(crate) turn: Option<Arc<Mutex<()>>>,
}

impl Rule {
    /// The fault happens to the first call of the action, for example `CreateListener`.
    #[must_use]
    pub fn on(action: &str, fault: Fault) -> Self {
        Self { action: Some(action.to_owned()), ..Self::on_any(fault) }
    }

    /// The fault happens to the first call, whatever it is.
    #[must_use]
    pub fn on_any(fault: Fault) -> Self {
        Self { action: None, skip: 0, times: 1, seen: 0, rate: None, fault, act: None, turn: None }
    }

    /// Throttles the calls that describe, as AWS does, each service by itself: lets so many pass at once, and so many a
    /// second from then on.
    #[must_use]
    pub fn throttle(burst: u32, per_second: u32) -> Self {
        let rate = Rate { burst: burst.into(), per_second: per_second.into(), buckets: BTreeMap::new() };
        Self { rate: Some(rate), ..Self::on_any(Fault::THROTTLING) }
    }

    /// Lets that many matching calls pass before the fault happens.
    #[must_use]
    pub fn after(mut self, calls: usize) -> Self {
        self.skip = calls;
        self
    }

    /// The fault happens to that many calls in a row.
    #[must_use]
    pub fn times(mut self, calls: usize) -> Self {
        self.times = calls;
        self
    }

    /// Does something when AWS has got the call (with [`Fault::Fail`] and [`Fault::Reset`]: instead), before the
    /// client learns how it ended.
    #[must_use]
    pub fn then(mut self, act: impl Fn(&Call) + Send + Sync + 'static) -> Self {
        self.act = Some(Arc::new(act));
        self
    }

    /// Of the calls that the fault happens to, one goes to AWS at a time: the next when what [`Self::then`] does is
    /// over. So a test that looks at AWS sees it as the call left it.
    #[must_use]
    pub fn one_at_a_time(mut self) -> Self {
        self.turn = Some(Arc::default());
        self
    }

    /// Whether the fault happens to this call. To be asked once for every call.
    pub(crate) fn strikes(&mut self, call: &Call) -> bool {
        if self.action.as_ref().is_some_and(|action| *action != call.action) {
            return false;
        }
        if let Some(rate) = &mut self.rate {
            return call.action.starts_with("Describe") && !rate.lets_pass(call);
        }
        let index = self.seen;
        self.seen += 1;
        (self.skip..self.skip.saturating_add(self.times)).contains(&index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throttled_service_lets_a_burst_pass_and_then_no_more_than_its_rate() {
        let mut rule = Rule::throttle(3, 2);
        let mut passes = |service: &str, action: &str, millis: u64| {
            !rule.strikes(&Call {
                sequence: 0,
                service: service.to_owned(),
                action: action.to_owned(),
                started: Duration::from_millis(millis),
                duration: None,
                reached_aws: false,
                status: None,
                error: None,
            })
        };
        let at_once: Vec<bool> = (0..5).map(|_| passes("ec2", "DescribeVpcs", 0)).collect();
        assert_eq!(at_once, [true, true, true, false, false]);
        assert!(passes("ec2", "CreateVpc", 0) && passes("elasticloadbalancing", "DescribeTags", 0));
        assert!(!passes("ec2", "DescribeVpcs", 250) && passes("ec2", "DescribeVpcs", 500));
        let later: Vec<bool> = (0..4).map(|_| passes("ec2", "DescribeVpcs", 60_000)).collect();
        assert_eq!(later, [true, true, true, false]);
    }
}
