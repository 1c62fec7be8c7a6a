//! Targets on a server, made a line at a time.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_engine::{Desired, Timestamp, Verdict};
use evenkeel_scaler::control::target::{Published, Target};

use crate::admin_server::Server;
use crate::decisions;

/// Registers `shop/NAME`; it has decided nothing yet.
pub fn register(server: &Server, name: &str) -> Arc<Target> {
    let now = server.clock.now();
    let spec = decisions::spec("shop", name, 1);
    server.targets.register(spec, now).unwrap()
}

/// Registers `shop/NAME` and publishes a calm decision of now.
pub fn calm(server: &Server, name: &str) -> Arc<Target> {
    let target = register(server, name);
    target.publish(steady(server.clock.now(), 3));
    target
}

/// `replicas` are there and are right.
pub fn steady(at: Timestamp, replicas: u32) -> Published {
    let mut published = decisions::rising(at);
    published.decision.desired = Desired::Known {
        replicas,
        active: true,
    };
    published.decision.verdict = Verdict::SteadyState;
    published.decision.inputs.observed_replicas = replicas;
    published.decision.inputs.replicas_in_flight = 0;
    published.decision.inputs.rebalancing = false;
    published
}

/// As [`steady`], and a partition is stuck.
pub fn stuck(at: Timestamp) -> Published {
    let mut published = steady(at, 3);
    published.decision.verdict = Verdict::StuckPartition;
    published
}

/// Forgets every target that nobody asked for since.
pub fn expire_all(server: &Server) {
    let later = server.clock.now().plus(Duration::from_secs(3_600));
    server.targets.expire(Duration::from_secs(600), later);
}
