//! Reads that several stacks make at the same time, made as one call.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::Result;

/// How long a batch with company waits for one more.
const LULL: Duration = Duration::from_millis(10);
/// How long it does so in all at most.
const GATHERING: Duration = Duration::from_millis(50);
/// For how long after an answer to several others count as about to ask: core turns to them as soon as those are read,
/// which may take another round of calls.
const SUCCESSION: Duration = Duration::from_millis(300);

/// One kind of read. Who asks while nobody else does waits for nobody: a batch gathers only when several ask at once,
/// while another of its kind is under way, or soon after one that was for several.
///
/// Whoever asks polls the batch, so that it goes on when one of them is cut off.
pub(crate) struct Batcher<V>(Arc<Queue<V>>);

struct Queue<V> {
    state: Mutex<State<V>>,
    /// Each batch under way holds one more.
    running: Arc<()>,
}

struct State<V> {
    /// The batch that still takes keys.
    open: Option<Batch<V>>,
    /// When the last batch that was for several ended.
    shared: Option<Instant>,
}

struct Batch<V> {
    keys: BTreeSet<String>,
    askers: usize,
    answer: Answer<V>,
}

type Answer<V> = Shared<BoxFuture<'static, Result<Arc<BTreeMap<String, V>>>>>;

impl<V> Default for Batcher<V> {
    fn default() -> Self {
        let state = State { open: None, shared: None };
        Self(Arc::new(Queue { state: Mutex::new(state), running: Arc::new(()) }))
    }
}

impl<V: Clone + Send + Sync + 'static> Batcher<V> {
    /// What is there under each of these keys. `connect` yields what `fetch` needs; keys are taken until then.
    ///
    /// # Errors
    ///
    /// Whatever fails fails for all who asked together.
    pub(crate) async fn ask<C, A>(
        &self,
        keys: &BTreeSet<String>,
        connect: impl Future<Output = Result<C>> + Send + 'static,
        fetch: impl FnOnce(C, BTreeSet<String>) -> A + Send + 'static,
    ) -> Result<BTreeMap<String, V>>
    where
        C: Send + 'static,
        A: Future<Output = Result<BTreeMap<String, V>>> + Send + 'static,
    {
        if keys.is_empty() {
            return Ok(BTreeMap::new());
        }
        let answer = {
            let mut state = self.0.state();
            let batch = state.open.get_or_insert_with(|| {
                let answer = run(self.0.clone(), connect, fetch).boxed().shared();
                Batch { keys: BTreeSet::new(), askers: 0, answer }
            });
            batch.keys.extend(keys.iter().cloned());
            batch.askers += 1;
            batch.answer.clone()
        };
        let all = answer.await?;
        Ok(keys.iter().filter_map(|key| Some((key.clone(), all.get(key)?.clone()))).collect())
    }
}

/// One batch, from its opening to its answer.
async fn run<V, C, A>(
    queue: Arc<Queue<V>>,
    connect: impl Future<Output = Result<C>>,
    fetch: impl FnOnce(C, BTreeSet<String>) -> A,
) -> Result<Arc<BTreeMap<String, V>>>
where
    A: Future<Output = Result<BTreeMap<String, V>>>,
{
    let connected = connect.await;
    // Whoever asks in the same turn of the runtime is company.
    yield_now().await;
    if queue.has_company() {
        queue.gather().await;
    }
    let _running = queue.running.clone();
    let (keys, askers) = queue.close();
    let answer = fetch(connected?, keys).await;
    if askers > 1 {
        queue.state().shared = Some(Instant::now());
    }
    Ok(Arc::new(answer?))
}

impl<V> Queue<V> {
    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_company(&self) -> bool {
        let state = self.state();
        Arc::strong_count(&self.running) > 1
            || state.open.as_ref().is_some_and(|batch| batch.askers > 1)
            || state.shared.is_some_and(|end| end.elapsed() < SUCCESSION)
    }

    /// Waits until no more come.
    async fn gather(&self) {
        let end = Instant::now() + GATHERING;
        let askers = || self.state().open.as_ref().map_or(0, |batch| batch.askers);
        let mut before = 0;
        while askers() > before && Instant::now() < end {
            before = askers();
            sleep(LULL).await;
        }
    }

    /// Lets the open batch take no more, and says what is in it and how many have asked for that.
    fn close(&self) -> (BTreeSet<String>, usize) {
        let closed = self.state().open.take();
        closed.map(|batch| (batch.keys, batch.askers)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use crate::aws::AwsError;

    const LATENCY: Duration = Duration::from_millis(80);

    /// A service that counts the keys of each of its calls.
    #[derive(Clone, Default)]
    struct Service {
        calls: Arc<Mutex<Vec<usize>>>,
        fails: bool,
    }

    impl Service {
        async fn describe(self, keys: BTreeSet<String>) -> Result<BTreeMap<String, String>> {
            self.calls.lock().unwrap().push(keys.len());
            sleep(LATENCY).await;
            if self.fails {
                let (code, message) = ("AccessDenied".to_owned(), "no".to_owned());
                return Err(AwsError {
                    operation: "elasticloadbalancing:DescribeTags",
                    code,
                    message,
                    request_id: None,
                });
            }
            Ok(keys.into_iter().filter(|key| key != "gone").map(|key| (key.clone(), key)).collect())
        }

        fn calls(&self) -> Vec<usize> {
            self.calls.lock().unwrap().clone()
        }
    }

    async fn ask(batcher: &Batcher<String>, service: &Service, keys: &[&str]) -> Result<BTreeMap<String, String>> {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        batcher
            .ask(&keys, async { Ok(()) }, {
                let service = service.clone();
                move |(), keys| service.describe(keys)
            })
            .await
    }

    fn texts(found: Result<BTreeMap<String, String>>) -> Vec<String> {
        found.unwrap().into_values().collect()
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_alone_waits_for_nobody() {
        let (batcher, service) = (Batcher::default(), Service::default());
        for _ in 0..2 {
            let start = Instant::now();
            assert_eq!(texts(ask(&batcher, &service, &["a", "gone"]).await), ["a"]);
            assert_eq!(start.elapsed(), LATENCY);
        }
        assert_eq!(service.calls(), [2, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_ask_together_share_one_call_and_each_gets_its_own() {
        let (batcher, service) = (Batcher::default(), Service::default());
        let names: Vec<String> = (0..100).map(|number| format!("{number:02}")).collect();
        let asked = join_all(names.iter().map(async |name| ask(&batcher, &service, &[name, "shared"]).await)).await;
        for (name, found) in names.iter().zip(asked) {
            assert_eq!(texts(found), [name.as_str(), "shared"]);
        }
        assert_eq!(service.calls(), [101]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_while_a_call_is_under_way_gets_a_later_answer() {
        let (batcher, service) = (Batcher::default(), Service::default());
        let late = async |delay: u64, key: &str| {
            sleep(Duration::from_millis(delay)).await;
            texts(ask(&batcher, &service, &[key]).await)
        };
        let (first, second, third) = tokio::join!(late(0, "a"), late(20, "a"), late(22, "b"));
        assert_eq!((first, second, third), (vec!["a".to_owned()], vec!["a".to_owned()], vec!["b".to_owned()]));
        assert_eq!(service.calls(), [1, 2]);
    }

    /// As core refreshes: each place is free for the next when the one before has been read and planned.
    #[tokio::test(start_paused = true)]
    async fn of_many_who_come_ten_at_a_time_each_ten_share_a_call() {
        let (batcher, service, places) = (Batcher::default(), Service::default(), Semaphore::new(10));
        let read = async |number: u32| {
            let _place = places.acquire().await.unwrap();
            let name = number.to_string();
            assert_eq!(texts(ask(&batcher, &service, &[&name]).await), [name.as_str()]);
            sleep(GATHERING * (number % 10) / 10).await;
        };
        join_all((0..100).map(read)).await;
        assert_eq!(service.calls(), [10; 10]);

        sleep(SUCCESSION).await;
        let start = Instant::now();
        ask(&batcher, &service, &["a"]).await.unwrap();
        assert_eq!(start.elapsed(), LATENCY, "nobody is to come any more");
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_reaches_all_who_asked_and_nobody_after_them() {
        let (batcher, broken) = (Batcher::default(), Service { fails: true, ..Service::default() });
        let (one, other) = tokio::join!(ask(&batcher, &broken, &["a"]), ask(&batcher, &broken, &["b"]));
        assert_eq!(
            (one.unwrap_err().code, other.unwrap_err().code),
            ("AccessDenied".to_owned(), "AccessDenied".to_owned())
        );
        assert_eq!(texts(ask(&batcher, &Service::default(), &["a"]).await), ["a"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_goes_on_when_who_opened_it_is_cut_off() {
        let (batcher, service) = (Batcher::default(), Service::default());
        let cut_off = tokio::time::timeout(LATENCY / 2, ask(&batcher, &service, &["a"]));
        let (cut_off, found) = tokio::join!(cut_off, ask(&batcher, &service, &["b"]));
        assert!(cut_off.is_err());
        assert_eq!(texts(found), ["b"]);
        assert_eq!(service.calls(), [2]);
    }
}
