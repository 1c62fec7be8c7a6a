//! A value that somebody gives for a while: asked for again before it ends, beside its use.
//!
//! However many want it, one question is in flight. While the next one cannot be had, the old one is
//! used for as long as it holds. Whom to ask, and how, is the user's.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::metrics::{Metrics, SettingLabels};

/// Which part of its life may pass before the next one is asked for.
const RENEW_AT: f64 = 0.8;

/// After a question that failed none is asked for this long.
const PAUSE: Duration = Duration::from_secs(5);

/// A value is not doubted before it is as old: whoever refuses every new one would have the provider
/// asked without end.
const DOUBTED_FROM: Duration = Duration::from_secs(60);

/// The shortest life that is worth having.
const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// The longest that is believed.
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);

/// What it means where the next one cannot be had.
const STILL: &str = "what was given before is used for as long as it holds";

/// A value and for how long it holds; or a sentence about why there is none.
pub type Given<T> = Result<(T, Duration), String>;

/// Asks for the value; bounds itself in time.
type Ask<T> = Box<dyn Fn() -> Pin<Box<dyn Future<Output = Given<T>> + Send>> + Send + Sync>;

/// A value that is renewed.
pub struct Renewed<T> {
    setting: String,
    ask: Ask<T>,
    metrics: Metrics,
    state: Mutex<State<T>>,
    answered: Notify,
}

struct State<T> {
    held: Option<Held<T>>,
    failed: Option<(Instant, String)>,
    is_asking: bool,
}

struct Held<T> {
    value: T,
    given_at: Instant,
    renew_at: Instant,
    ends_at: Instant,
}

/// A question in flight, which ends however it ends.
struct Asking<T>(Arc<Renewed<T>>);

// === impl Renewed ===

impl<T: Clone + Send + 'static> Renewed<T> {
    /// Nothing is asked before it is first needed. `setting` is the path in the configuration under
    /// which people find it.
    pub fn new<F>(
        setting: String,
        metrics: &Metrics,
        ask: impl Fn() -> F + Send + Sync + 'static,
    ) -> Arc<Self>
    where
        F: Future<Output = Given<T>> + Send + 'static,
    {
        Arc::new(Self {
            setting,
            ask: Box::new(move || Box::pin(ask())),
            metrics: metrics.clone(),
            state: Mutex::new(State {
                held: None,
                failed: None,
                is_asking: false,
            }),
            answered: Notify::new(),
        })
    }

    /// The value that holds now. The first one is waited for, until `deadline`.
    ///
    /// # Errors
    /// A sentence, when there is none.
    pub async fn current(self: &Arc<Self>, deadline: Instant) -> Result<T, String> {
        loop {
            let answered = self.answered.notified();
            self.renew_if_due();
            {
                let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
                let held = state.held.as_ref();
                if let Some(held) = held.filter(|held| Instant::now() < held.ends_at) {
                    return Ok(held.value.clone());
                }
                if !state.is_asking {
                    let failed = state.failed.as_ref().map(|(_, why)| why.clone());
                    return Err(failed.unwrap_or_else(|| format!("{}: nothing yet", self.setting)));
                }
            }
            if timeout_at(deadline, answered).await.is_err() {
                return Err(format!("{}: it has not been answered yet", self.setting));
            }
        }
    }

    /// Has the next one asked for when the value is next wanted: somebody does not accept this one.
    pub fn doubt(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = &mut state.held
            && held.given_at.elapsed() >= DOUBTED_FROM
        {
            held.renew_at = Instant::now();
        }
    }

    /// Asks for the next one if it is time and nobody is asking; does not wait for it.
    pub fn renew_if_due(self: &Arc<Self>) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let is_new = state.held.as_ref().is_some_and(|held| now < held.renew_at);
            let has_just_failed = state
                .failed
                .as_ref()
                .is_some_and(|(at, _)| now < *at + PAUSE);
            if is_new || has_just_failed || state.is_asking {
                return;
            }
            state.is_asking = true;
        }
        let asking = Asking(Arc::clone(self));
        tokio::spawn(async move {
            let given = (asking.0.ask)().await;
            asking.0.note(given);
        });
    }

    fn note(&self, given: Given<T>) {
        let given = given.and_then(|(value, life)| match life < SHORTEST_LIFE {
            true => Err("what it gives holds for less than a second".to_owned()),
            false => Ok((value, life.min(LONGEST_LIFE))),
        });
        let labels = SettingLabels {
            setting: self.setting.clone(),
        };
        let bad = self.metrics.credentials_bad.get_or_create(&labels);
        bad.set(i64::from(given.is_err()));
        let complaint = given.as_ref().err().map(|why| format!("{why}; {STILL}"));
        self.metrics.notices.complaint(&self.setting, complaint);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match given {
            Ok((value, life)) => {
                state.failed = None;
                state.held = Some(Held {
                    value,
                    given_at: now,
                    renew_at: now + life.mul_f64(RENEW_AT),
                    ends_at: now + life,
                });
            }
            Err(why) => {
                let why = format!("{}: {why}", self.setting);
                if state.failed.as_ref().is_none_or(|(_, known)| *known != why) {
                    tracing::warn!("{why}; {STILL}");
                }
                state.failed = Some((now, why));
            }
        }
    }
}

impl<T> fmt::Debug for Renewed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewed")
            .field("setting", &self.setting)
            .finish_non_exhaustive()
    }
}

// === impl Asking ===

impl<T> Drop for Asking<T> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_asking = false;
        drop(state);
        self.0.answered.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn counted(
        life: u64,
        answers: impl Fn(u32) -> bool + Send + Sync + 'static,
    ) -> (Arc<Renewed<u32>>, Arc<AtomicU32>) {
        let count = Arc::new(AtomicU32::new(0));
        let asked = Arc::clone(&count);
        let answers = Arc::new(answers);
        let renewed = Renewed::new("s".to_owned(), &Metrics::default(), move || {
            let nth = asked.fetch_add(1, Ordering::Relaxed) + 1;
            let answers = Arc::clone(&answers);
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                match answers(nth) {
                    true => Ok((nth, Duration::from_secs(life))),
                    false => Err("it is down".to_owned()),
                }
            }
        });
        (renewed, count)
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn one_question_is_asked_for_all_and_the_next_at_four_fifths_beside_the_use() {
        let (renewed, count) = counted(100, |_| true);
        let all = (0..20).map(|_| renewed.current(soon()));
        for value in futures::future::join_all(all).await {
            assert_eq!(value, Ok(1));
        }
        tokio::time::advance(Duration::from_secs(79)).await;
        assert_eq!(renewed.current(soon()).await, Ok(1));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(renewed.current(soon()).await, Ok(1), "it is not waited for");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(renewed.current(soon()).await, Ok(2));
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_old_one_is_used_while_it_holds_and_failures_are_not_repeated_at_once() {
        let (renewed, count) = counted(100, |nth| nth == 1);
        assert_eq!(renewed.current(soon()).await, Ok(1));
        tokio::time::advance(Duration::from_secs(90)).await;
        for _ in 0..3 {
            assert_eq!(renewed.current(soon()).await, Ok(1));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(count.load(Ordering::Relaxed), 2);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(
            renewed.current(soon()).await,
            Err("s: it is down".to_owned())
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_refuses_is_asked_for_again_once_a_minute() {
        let (renewed, count) = counted(100, |_| true);
        assert_eq!(renewed.current(soon()).await, Ok(1));
        for (after, then) in [(0, 1), (60, 2), (0, 2)] {
            tokio::time::advance(Duration::from_secs(after)).await;
            renewed.doubt();
            let _old_or_new = renewed.current(soon()).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(renewed.current(soon()).await, Ok(then), "{after}");
        }
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_holds_for_no_time_is_refused_and_a_slow_answer_is_waited_for_only_so_long() {
        let (renewed, _) = counted(0, |_| true);
        let error = renewed.current(soon()).await.unwrap_err();
        assert!(error.contains("less than a second"), "{error}");
        let (renewed, _) = counted(10, |_| true);
        let error = renewed.current(Instant::now()).await.unwrap_err();
        assert!(error.contains("not been answered yet"), "{error}");
        assert_eq!(renewed.current(soon()).await, Ok(1));
    }
}
