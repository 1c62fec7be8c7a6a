//! The driver: asks as KEDA and the HPA do, at their pace, and says what they would set.
//!
//! KEDA polls every 30 s and owns the step between zero and one; the HPA syncs every 15 s and owns
//! the rest; a push wakes at once. It runs on the wall's time and cannot be sped up: the consumers
//! and their rebalances are real, and a scaler that is asked twice as often as its consumers live
//! would be shown in a light that no cluster has.

use std::time::Duration;

use evenkeel_engine::Timestamp;
use evenkeel_sim::hpa::{Hpa, Metric};
use evenkeel_sim::keda::Activation;
use tokio::sync::mpsc;

use super::scaler::{Answer, Policy};

/// KEDA's default `pollingInterval`.
const POLL_INTERVAL: Duration = Duration::from_secs(30);

/// The default sync period of Kubernetes' controller manager.
const SYNC_INTERVAL: Duration = Duration::from_secs(15);

/// What KEDA or the HPA sets.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// Replicas before.
    pub from: u32,
    /// Replicas after.
    pub to: u32,
    /// Who sets it.
    pub by: &'static str,
    /// Why, in a sentence.
    pub why: String,
}

/// KEDA and the HPA for one ScaledObject.
#[derive(Debug)]
pub struct Driver {
    policy: Policy,
    activation: Activation,
    hpa: Hpa,
    pushes: Option<mpsc::Receiver<bool>>,
    next_poll: Timestamp,
    next_sync: Timestamp,
    wanted: Option<u32>,
    errors: u32,
    last_error: Option<String>,
}

// === impl Driver ===

impl Driver {
    /// Begins now: the ScaledObject has just been applied.
    pub fn new(policy: Policy, activation: Activation, hpa: Hpa, now: Timestamp) -> Self {
        let pushes = match &policy {
            Policy::Evenkeel(evenkeel) => Some(evenkeel.listen()),
            Policy::KedaLag { .. } => None,
        };
        Self {
            policy,
            activation,
            hpa,
            pushes,
            next_poll: now,
            // The two clocks of a cluster are not in step.
            next_sync: now.plus(SYNC_INTERVAL / 2),
            wanted: None,
            errors: 0,
            last_error: None,
        }
    }

    /// Does what is due. `replicas` is what the Deployment has, `lags` what KEDA's own trigger would
    /// read just now.
    pub async fn tick(
        &mut self,
        now: Timestamp,
        replicas: u32,
        lags: Option<&[u64]>,
    ) -> Vec<Setting> {
        let mut settings = Vec::new();
        let mut replicas = replicas;
        if self.was_pushed() {
            let to = self.activation.told(now, true, replicas);
            if to != replicas {
                let why = "StreamIsActive pushed true".to_owned();
                settings.push(setting(replicas, to, "KEDA", why));
                replicas = to;
            }
        }
        if now >= self.next_poll {
            self.next_poll = now.plus(POLL_INTERVAL);
            settings.extend(self.poll(now, replicas, lags).await);
            replicas = settings.last().map_or(replicas, |setting| setting.to);
        }
        if now >= self.next_sync {
            self.next_sync = now.plus(SYNC_INTERVAL);
            settings.extend(self.sync(now, replicas, lags).await);
        }
        settings
    }

    /// What the metric asked for when it was last read, in replicas.
    pub fn wanted(&self) -> Option<u32> {
        self.wanted
    }

    /// How often there was no answer, and what was said if there is none just now.
    pub fn errors(&self) -> (u32, Option<&str>) {
        (self.errors, self.last_error.as_deref())
    }

    /// Whether a push has come in. KEDA ignores a pushed false.
    fn was_pushed(&mut self) -> bool {
        let mut active = false;
        if let Some(pushes) = &mut self.pushes {
            while let Ok(pushed) = pushes.try_recv() {
                active |= pushed;
            }
        }
        active
    }

    async fn poll(
        &mut self,
        now: Timestamp,
        replicas: u32,
        lags: Option<&[u64]>,
    ) -> Option<Setting> {
        // Without an answer KEDA leaves everything as it is, zero included.
        let answer = self.ask(lags).await?;
        let to = self.activation.told(now, answer.active, replicas);
        if to == replicas {
            return None;
        }
        let why = if to > replicas {
            format!("IsActive says true; {}", self.policy.reason(&answer).await)
        } else {
            "IsActive has said false for the whole cooldown".to_owned()
        };
        Some(setting(replicas, to, "KEDA", why))
    }

    async fn sync(
        &mut self,
        now: Timestamp,
        replicas: u32,
        lags: Option<&[u64]>,
    ) -> Option<Setting> {
        if replicas == 0 {
            return None;
        }
        let answer = self.ask(lags).await?;
        let metric = Metric {
            value_milli: Some(answer.value_milli),
            target_milli: answer.target_milli,
        };
        let outcome = self.hpa.sync(now, replicas, &[metric])?;
        if outcome.desired == replicas {
            return None;
        }
        let mut why = self.policy.reason(&answer).await;
        if let Some(limited) = outcome.limited {
            let label = limited.label();
            why = format!("{why} (asks for {}; {label})", outcome.recommended);
        }
        Some(setting(replicas, outcome.desired, "HPA", why))
    }

    async fn ask(&mut self, lags: Option<&[u64]>) -> Option<Answer> {
        match self.policy.ask(lags).await {
            Ok(answer) => {
                let replicas = answer.value_milli.div_ceil(answer.target_milli.max(1));
                self.wanted = u32::try_from(replicas).ok();
                self.last_error = None;
                Some(answer)
            }
            Err(sentence) => {
                self.errors += 1;
                self.last_error = Some(sentence);
                None
            }
        }
    }
}

fn setting(from: u32, to: u32, by: &'static str, why: String) -> Setting {
    Setting { from, to, by, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use evenkeel_sim::hpa::{Behavior, Rules, ToleranceRule};

    fn driver(start: Timestamp) -> Driver {
        let rules = || Rules::unlimited(Duration::ZERO, 0.1);
        let behavior = Behavior {
            min_replicas: 1,
            max_replicas: 24,
            up: rules(),
            down: rules(),
            tolerance_rule: ToleranceRule::Between,
        };
        let policy = Policy::KedaLag {
            threshold_records: 100,
        };
        let activation = Activation::new(0, Duration::from_secs(60));
        Driver::new(policy, activation, Hpa::new(behavior), start)
    }

    #[tokio::test]
    async fn keda_wakes_the_hpa_scales_and_keda_sends_to_sleep() {
        let start = Timestamp::from_secs(1_000);
        let mut driver = driver(start);
        let mut replicas = 0;
        let mut log = Vec::new();
        for second in 0..200 {
            let lag = if (20..100).contains(&second) {
                1_150
            } else {
                0
            };
            // 24 partitions, all of the lag in one of them.
            let mut lags = vec![0_u64; 24];
            lags[7] = lag;
            let now = start.plus(Duration::from_secs(second));
            for setting in driver.tick(now, replicas, Some(&lags)).await {
                replicas = setting.to;
                log.push((second, setting.by, setting.to));
            }
        }
        // Polls at 0, 30, 60, ...; syncs at 7.5 and every 15 s after, on whole seconds here.
        assert_eq!(
            log,
            [
                (30, "KEDA", 1),
                (38, "HPA", 12),
                (113, "HPA", 1),
                (150, "KEDA", 0)
            ]
        );
    }

    #[tokio::test]
    async fn without_an_answer_nothing_changes() {
        let start = Timestamp::from_secs(1_000);
        let mut driver = driver(start);
        let later = start.plus(Duration::from_secs(600));
        assert_eq!(driver.tick(later, 5, None).await, []);
        assert_eq!(driver.errors().0, 2);
    }
}
