//! One real broker for all tests that leave it in peace.
//!
//! The broker lives as long as any test holds it. It cannot live in a plain static: that is never
//! dropped, and its process and folder would stay behind. It has a thread of its own because a
//! process started through `demo::process` ends with the thread that started it.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;

use evenkeel_tools::demo::broker::topics::TopicAdmin;
use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedBroker};

/// The broker that all peaceful tests share.
#[derive(Debug)]
pub struct SharedBroker {
    /// `host:port`.
    pub bootstrap_servers: String,
    /// Administers its topics.
    pub topics: TopicAdmin,
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

static SHARED: Mutex<Weak<SharedBroker>> = Mutex::new(Weak::new());

/// The shared broker, started now if no other test has it.
pub fn shared_broker() -> Arc<SharedBroker> {
    // A test that failed to start it leaves the lock poisoned, and the next may well succeed.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(broker) = shared.upgrade() {
        return broker;
    }
    let broker = Arc::new(SharedBroker::start());
    *shared = Arc::downgrade(&broker);
    broker
}

// === impl SharedBroker ===

impl SharedBroker {
    fn start() -> Self {
        let (started, is_started) = channel();
        let (end, is_ended) = channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime for the broker");
            let _inside = runtime.enter();
            let options = BrokerOptions {
                // Members that are stopped for a moment stay members, in KIP-848 groups too.
                properties: vec![(
                    "group.consumer.session.timeout.ms".to_owned(),
                    "45000".to_owned(),
                )],
                ..BrokerOptions::default()
            };
            let broker = runtime.block_on(EmbeddedBroker::start(options));
            let broker = broker.expect("the broker starts (make setup)");
            let place = (broker.bootstrap_servers(), broker.topics());
            if started.send(place).is_ok() {
                // An error says that the other end was dropped, which means the same.
                let _ = is_ended.recv();
            }
        });
        let (bootstrap_servers, topics) = is_started
            .recv()
            .expect("the broker starts: its error stands above");
        Self {
            bootstrap_servers,
            topics,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// Makes a topic.
    pub async fn create_topic(&self, name: &str, partitions: i32) {
        self.create_topic_with(name, partitions, &[]).await;
    }

    /// Makes a topic with these settings.
    pub async fn create_topic_with(&self, name: &str, partitions: i32, more: &[(&str, &str)]) {
        self.topics
            .create_topic(name, partitions, 1, more)
            .await
            .expect("the topic is made");
    }
}

impl Drop for SharedBroker {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // It has ended by a panic only if a failed test has said so already.
            let _ = thread.join();
        }
    }
}
