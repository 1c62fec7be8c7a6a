//! Which targets there are. Bounded; targets that nobody asks for are forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use evenkeel_engine::Timestamp;
use tokio::sync::watch;

use super::target::{Target, TargetKey, TargetSpec};

/// All registered targets.
#[derive(Debug)]
pub struct Registry {
    targets: RwLock<BTreeMap<TargetKey, Arc<Target>>>,
    changed: watch::Sender<u64>,
    limit: usize,
    history_points: usize,
}

/// The registry is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{limit} targets are registered, which is limits.targets: raise it or remove ScaledObjects"
)]
pub struct RegistryFull {
    /// The bound.
    pub limit: usize,
}

// === impl Registry ===

impl Registry {
    /// An empty registry of at most `limit` targets with `history_points` of history each.
    pub fn new(limit: usize, history_points: usize) -> Self {
        Self {
            targets: RwLock::new(BTreeMap::new()),
            changed: watch::Sender::new(0),
            limit,
            history_points,
        }
    }

    /// The target of `key`, if it is registered; notes that it was asked for.
    pub fn get(&self, key: &TargetKey, now: Timestamp) -> Option<Arc<Target>> {
        let targets = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        let target = targets.get(key).cloned();
        if let Some(target) = &target {
            target.touch(now);
        }
        target
    }

    /// The target of `spec`, registered now if it was not.
    ///
    /// # Errors
    /// When there are as many targets as may be.
    pub fn register(&self, spec: TargetSpec, now: Timestamp) -> Result<Arc<Target>, RegistryFull> {
        let mut targets = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = targets.get(&spec.key) {
            target.touch(now);
            return Ok(Arc::clone(target));
        }
        if targets.len() >= self.limit {
            return Err(RegistryFull { limit: self.limit });
        }
        let key = spec.key.clone();
        let target = Arc::new(Target::new(spec, self.history_points, now));
        targets.insert(key, Arc::clone(&target));
        drop(targets);
        self.changed.send_modify(|version| *version += 1);
        Ok(target)
    }

    /// Forgets targets that nobody asked for in `idle` and that have no stream open; says which.
    pub fn expire(&self, idle: Duration, now: Timestamp) -> Vec<TargetKey> {
        let mut expired = Vec::new();
        let mut targets = self.targets.write().unwrap_or_else(PoisonError::into_inner);
        targets.retain(|key, target| {
            let keep = target.streams() > 0 || now.since(target.asked_at()) < idle;
            if !keep {
                expired.push(key.clone());
            }
            keep
        });
        drop(targets);
        if !expired.is_empty() {
            self.changed.send_modify(|version| *version += 1);
        }
        expired
    }

    /// All targets, sorted by key.
    pub fn all(&self) -> Vec<Arc<Target>> {
        let targets = self.targets.read().unwrap_or_else(PoisonError::into_inner);
        targets.values().cloned().collect()
    }

    /// The newest target of a ScaledObject by name: the one last asked for.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<Target>> {
        self.all()
            .into_iter()
            .filter(|target| target.spec.key.namespace == namespace && target.spec.key.name == name)
            .max_by_key(|target| target.asked_at())
    }

    /// Wakes whenever targets come or go.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
