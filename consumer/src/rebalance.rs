//! What happens to records in hand when partitions come and go.
//!
//! librdkafka tells about a rebalance only from inside `poll`, on the thread that polls, and the
//! partitions stay ours until that callback returns. So the callback is the one place where work
//! can be finished before the next owner reads the same offsets:
//!
//! - **assigned**: where the sink keeps offsets, the partitions are paused until it has said where
//!   they go on; the loop then moves the client there ([`crate::consume`]), or to where Kafka has the
//!   group.
//! - **revoked**: if a batch in flight holds records of these partitions, wait for it, but not
//!   longer than [`FINISH_WITHIN`] and not for a sink in trouble; the client commits what is written
//!   before it lets the partitions go; what is not is given up, before its transaction commits.
//! - **lost** (the session expired, others read these partitions already): write and commit nothing
//!   more. Should the transaction commit at this very moment, the sink's fence decides.
//!
//! Whether a rebalance moves all partitions (range, roundrobin) or only some (cooperative-sticky,
//! KIP-848) makes no difference here: the callback names those that move, and rdkafka's default then
//! assigns or unassigns incrementally where the protocol asks for it.
//!
//! Everything happens on one thread; the mutex only satisfies the callback's signature. It must
//! not be held across `poll`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaResult;
use rdkafka::{Offset, TopicPartitionList};

use crate::metrics::{Metrics, RebalanceKind};
use crate::progress::Progress;

/// How long a revocation waits for the batch in flight. While it waits the whole group waits (or,
/// cooperatively, the partitions' next owners), so it is a few batches long and far below
/// `max.poll.interval.ms` (1 min), at which Kafka would take the partitions by force.
pub const FINISH_WITHIN: Duration = Duration::from_secs(10);

/// What librdkafka calls back.
#[derive(Debug)]
pub struct GroupContext {
    topic: String,
    metrics: Metrics,
    progress: Mutex<Progress>,
    /// The last commit failed, and that has been said: while the coordinator is away all of them do.
    commits_fail: AtomicBool,
}

// === impl GroupContext ===

impl GroupContext {
    /// The context of one consumer.
    pub fn new(topic: String, metrics: Metrics, progress: Progress) -> Self {
        Self {
            topic,
            metrics,
            progress: Mutex::new(progress),
            commits_fail: AtomicBool::new(false),
        }
    }

    /// The records in hand. Not to be held across `poll`.
    pub fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the client what is written; it commits that every 100 ms, and before it lets go of a
    /// partition. Nobody waits for it: Kafka answers a commit after the JoinGroup that may be before
    /// it on the connection, and that one waits for the slowest member.
    pub fn store_written(&self, consumer: &BaseConsumer<Self>) {
        let written = self.progress().take_written();
        if !written.is_empty()
            && let Err(error) = consumer.store_offsets(&to_list(&self.topic, written))
        {
            tracing::error!(%error, "the client does not take the offsets of its own partitions");
        }
    }

    fn give_back(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = numbers(list);
        let lost = consumer.assignment_lost();
        if !lost {
            self.progress().finish(&partitions, FINISH_WITHIN);
            self.store_written(consumer);
        }
        self.progress().give_up(&partitions);
        // librdkafka remembers a pause beyond the assignment: without this, partitions that come
        // back to us would stay silent. It only fails for partitions that it does not know.
        let _ = consumer.resume(list);
        // Counted here and not below: "lost" is known only until the partitions are unassigned.
        let left = self.metrics.assigned_partitions() - count(partitions.len());
        let kind = if lost {
            RebalanceKind::Lost
        } else {
            RebalanceKind::Revoked
        };
        self.metrics.rebalanced(kind, left.max(0));
        tracing::info!(?kind, ?partitions, "partitions given back");
    }
}

impl ClientContext for GroupContext {
    #[cfg(feature = "msk-iam")]
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    #[cfg(feature = "msk-iam")]
    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<rdkafka::client::OAuthToken, Box<dyn std::error::Error>> {
        crate::msk_iam::token()
    }
}

impl ConsumerContext for GroupContext {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        let said = self.commits_fail.swap(result.is_err(), Ordering::Relaxed);
        let Err(error) = result else { return };
        self.metrics.commit_failed();
        if !said {
            tracing::warn!(
                %error,
                "commit failed: tried again while the partitions are ours; else their next owner \
                 repeats the records, unless the sink keeps the offsets"
            );
        }
    }

    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) if self.progress().keeps_offsets() => start_anywhere(list),
            Rebalance::Revoke(list) => self.give_back(consumer, list),
            _ => {}
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(list) = rebalance {
            let partitions = numbers(list);
            self.progress().assign(&partitions);
            if self.progress().keeps_offsets() {
                // It only fails for partitions that it does not know.
                let _ = consumer.pause(list);
            }
            let assigned = self.metrics.assigned_partitions() + count(partitions.len());
            self.metrics.rebalanced(RebalanceKind::Assigned, assigned);
            tracing::info!(?partitions, "partitions assigned");
        }
    }
}

/// Makes the client start at some offset, paused, until it is moved. By itself it would look up where
/// the group begins; paused or moved before the answer is there, it asks again, and when that is
/// answered it goes there from wherever it has come to.
fn start_anywhere(list: &TopicPartitionList) {
    for mut partition in list.elements() {
        // It takes any offset that Kafka could give out.
        let _ = partition.set_offset(Offset::Offset(0));
    }
}

/// Partitions with the offset to read next, in Kafka's words.
pub fn to_list(topic: &str, places: impl IntoIterator<Item = (i32, i64)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, next_offset) in places {
        // Refused are only offsets that Kafka does not give out.
        let _ = list.add_partition_offset(topic, partition, Offset::Offset(next_offset));
    }
    list
}

fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    list.elements().iter().map(|e| e.partition()).collect()
}

fn count(partitions: usize) -> i64 {
    i64::try_from(partitions).unwrap_or(i64::MAX)
}
