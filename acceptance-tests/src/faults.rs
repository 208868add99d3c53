//! What can go wrong between the provider and AWS, and at which calls.

use std::sync::Arc;
use std::time::Duration;

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

/// A fault, and the calls that it happens to.
#[derive(Clone)]
pub struct Rule {
    action: Option<String>,
    skip: usize,
    times: usize,
    seen: usize,
    pub(crate) fault: Fault,
    pub(crate) act: Option<Act>,
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
        Self { action: None, skip: 0, times: 1, seen: 0, fault, act: None }
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

    /// Whether the fault happens to this call. To be asked once for every call.
    pub(crate) fn strikes(&mut self, call: &Call) -> bool {
        if self.action.as_ref().is_some_and(|action| *action != call.action) {
            return false;
        }
        let index = self.seen;
        self.seen += 1;
        (self.skip..self.skip.saturating_add(self.times)).contains(&index)
    }
}
