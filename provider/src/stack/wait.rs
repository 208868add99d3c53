//! Pacing: when to look or try again, and when to give up.

use std::time::Duration;

use tfplugin::provider::Stop;
use tokio::time::Instant;

use super::run::StepError;

/// The first pause between two looks; the next are longer, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause between two looks.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// What a call that AWS refuses for a while gets even when the deadline is near or over, so that what a failed
/// replacement left can still be cleaned up.
const GRACE: Duration = Duration::from_secs(60);

/// How long a change gets that AWS has not answered when the user asks to stop. What AWS does at once it has answered by
/// then; the SDK's further attempts are given up.
const LAST_ANSWER: Duration = Duration::from_secs(5);

/// How long an operation may take, and whether it should end early.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// When the operation's timeout is over.
    pub(crate) deadline: Instant,
    /// Cancelled when the user asks to stop.
    pub(crate) stop: Stop,
}

/// The pauses of one step.
pub(crate) struct Pauses<'a> {
    limits: &'a Limits,
    started: Instant,
    /// When it started, or has last waited out what may last until the deadline.
    counted_from: Instant,
    next: Duration,
}

impl Limits {
    /// The pauses of a step that starts now.
    pub(crate) fn pauses(&self) -> Pauses<'_> {
        let now = Instant::now();
        Pauses { limits: self, started: now, counted_from: now, next: FIRST_PAUSE }
    }

    /// Ends when a call must be given up because the user asked to stop: at once when it only reads.
    pub(crate) async fn given_up(&self, only_reads: bool) {
        self.stop.cancelled().await;
        if !only_reads {
            tokio::time::sleep(LAST_ANSWER).await;
        }
    }
}

impl Pauses<'_> {
    /// Pauses before another look at something that takes its time, until the deadline.
    pub(crate) async fn look_again(&mut self, missing: StepError) -> Result<(), StepError> {
        self.pause(self.limits.deadline, missing).await?;
        self.counted_from = Instant::now();
        Ok(())
    }

    /// Pauses before another try of a call that AWS refuses for a while, at most for `allowed` since the first, what may
    /// last until the deadline left out.
    pub(crate) async fn try_again(&mut self, allowed: Duration, error: StepError) -> Result<(), StepError> {
        let last = self.limits.deadline.max(self.started + GRACE);
        match self.counted_from.checked_add(allowed).filter(|end| *end < last) {
            Some(end) if Instant::now() + self.next > end => Err(error),
            Some(_) => self.pause(last, error).await,
            None => {
                self.pause(last, error).await?;
                self.counted_from = Instant::now();
                Ok(())
            }
        }
    }

    /// Sleeps for about the next pause, so that many resources of one apply do not ask all at once.
    async fn pause(&mut self, last: Instant, missing: StepError) -> Result<(), StepError> {
        let jittered = self.next.mul_f64(0.9 + 0.2 * fastrand::f64());
        if Instant::now() + jittered > last {
            return Err(StepError::Deadline(Box::new(missing)));
        }
        self.next = (self.next * 5 / 4).min(LONGEST_PAUSE);
        tokio::select! {
            () = self.limits.stop.cancelled() => Err(StepError::Stopped),
            () = tokio::time::sleep(jittered) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An instance that starts may be refused for a minute, and then for some seconds more. A load balancer that is being
    /// set up may not be shown once.
    #[tokio::test(start_paused = true)]
    async fn what_may_last_until_the_deadline_does_not_use_up_the_time_of_what_passes_soon() {
        let limits = Limits { deadline: Instant::now() + Duration::from_secs(600), stop: Stop::new() };
        let refusal = || StepError::Waiting("refused".to_owned());
        for refused in [true, false] {
            let mut pauses = limits.pauses();
            for _ in 0..15 {
                let paused = if refused {
                    pauses.try_again(Duration::MAX, refusal()).await
                } else {
                    pauses.look_again(refusal()).await
                };
                assert_eq!(paused, Ok(()));
            }
            let (start, soon) = (Instant::now(), Duration::from_secs(10));
            assert_eq!(pauses.try_again(soon, refusal()).await, Ok(()));
            while pauses.try_again(soon, refusal()).await == Ok(()) {}
            assert!(start.elapsed() < soon * 2);
        }
    }
}
