//! Several writers side by side, where one connection is not enough: each batch is dealt out to them by
//! partitions, in parts of about equal size, and is written when all parts are.
//!
//! Each part is a transaction of its own, with the offsets of its partitions. What is written of a batch
//! that comes again, because a part of it was not, is left out; the offsets in the sink decide in the end.

use std::collections::{BTreeMap, BTreeSet};

use batch_consumer::sink::{DeadLetter, Positions, Row, Sink, Step, WriteError, Written};
use futures_util::future::join_all;
use rdkafka::Message as _;

/// Sinks that write side by side.
#[derive(Clone, Debug)]
pub struct Writers<S> {
    sinks: Vec<S>,
    /// What is written of the batch that is at hand.
    written: BTreeSet<(i32, i64, i64)>,
}

/// What one sink is given of a batch.
struct Part<'a, T> {
    /// Each with its place in the batch.
    rows: Vec<(usize, &'a Row<T>)>,
    dead: Vec<&'a DeadLetter>,
    steps: Vec<Step>,
}

impl<S: Clone> Writers<S> {
    /// So many of them.
    pub fn new(sink: &S, count: usize) -> Self {
        let sinks = (0..count).map(|_| sink.clone()).collect();
        Self {
            sinks,
            written: BTreeSet::new(),
        }
    }
}

impl<S> Writers<S> {
    /// Deals the partitions out: the largest first, each to the part that has least.
    fn deal<'a, T>(
        &self,
        rows: &[&'a Row<T>],
        dead: &[&'a DeadLetter],
        steps: &[Step],
    ) -> Vec<Part<'a, T>> {
        let mut sizes = BTreeMap::<i32, usize>::new();
        for row in rows {
            *sizes.entry(row.record.partition()).or_default() += 1;
        }
        let size = |step: &Step| sizes.get(&step.partition).copied().unwrap_or(0);
        let mut left: Vec<&Step> = steps
            .iter()
            .filter(|step| !self.written.contains(&key(step)))
            .collect();
        left.sort_by_key(|step| std::cmp::Reverse(size(step)));
        let mut parts: Vec<(usize, Part<'a, T>)> =
            self.sinks.iter().map(|_| (0, Part::default())).collect();
        let mut part_of = BTreeMap::new();
        for step in left {
            let least = parts
                .iter_mut()
                .enumerate()
                .min_by_key(|(_, (size, _))| *size);
            let Some((index, (total, part))) = least else {
                continue;
            };
            *total += size(step);
            part.steps.push(*step);
            part_of.insert(step.partition, index);
        }
        for (index, row) in rows.iter().enumerate() {
            let part = part_of
                .get(&row.record.partition())
                .and_then(|part| parts.get_mut(*part));
            part.into_iter()
                .for_each(|(_, part)| part.rows.push((index, row)));
        }
        for letter in dead {
            let part = part_of
                .get(&letter.record.partition())
                .and_then(|part| parts.get_mut(*part));
            part.into_iter()
                .for_each(|(_, part)| part.dead.push(letter));
        }
        parts.into_iter().map(|(_, part)| part).collect()
    }
}

impl<T> Default for Part<'_, T> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            dead: Vec::new(),
            steps: Vec::new(),
        }
    }
}

fn key(step: &Step) -> (i32, i64, i64) {
    (step.partition, step.from, step.to)
}

impl<T: Sync, S: Sink<T>> Sink<T> for Writers<S> {
    async fn positions(&mut self, cluster: &str, partitions: &[i32]) -> Positions {
        match self.sinks.first_mut() {
            Some(sink) => sink.positions(cluster, partitions).await,
            None => Ok(BTreeMap::new()),
        }
    }

    async fn write(&mut self, rows: &[&Row<T>], dead: &[&DeadLetter], steps: &[Step]) -> Written {
        let ours: BTreeSet<_> = steps.iter().map(key).collect();
        self.written.retain(|step| ours.contains(step));
        let parts = self.deal(rows, dead, steps);
        let writes = self
            .sinks
            .iter_mut()
            .zip(&parts)
            .filter(|(_, part)| !part.steps.is_empty());
        let outcomes = join_all(writes.map(async |(sink, part)| {
            let rows: Vec<&Row<T>> = part.rows.iter().map(|(_, row)| *row).collect();
            (part, sink.write(&rows, &part.dead, &part.steps).await)
        }));
        let (mut refused, mut trouble, mut is_moved) = (Vec::new(), None, false);
        for (part, outcome) in outcomes.await {
            match outcome {
                Ok(()) => self.written.extend(part.steps.iter().map(key)),
                Err(WriteError::Moved) => is_moved = true,
                Err(WriteError::Retry(reason)) => trouble = Some(reason),
                Err(WriteError::Poison(rows)) => refused.extend(
                    rows.into_iter()
                        .filter_map(|(at, why)| Some((part.rows.get(at)?.0, why))),
                ),
            }
        }
        // Whoever has moved takes the whole batch with it: where the others go on is asked again too.
        if is_moved {
            return Err(WriteError::Moved);
        }
        if !refused.is_empty() {
            return Err(WriteError::Poison(refused));
        }
        trouble.map_or(Ok(()), |reason| Err(WriteError::Retry(reason)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use batch_consumer::batch::Batch;
    use batch_consumer::sink::Decode;
    use rdkafka::Timestamp;
    use rdkafka::message::{Message, OwnedMessage};

    use super::*;

    struct Any;

    impl Decode for Any {
        fn decode(_: &OwnedMessage) -> Result<Self, String> {
            Ok(Self)
        }
    }

    type Rows = Arc<Mutex<Vec<(i32, i64)>>>;

    /// Notes what it writes, and fails once for a partition.
    #[derive(Clone)]
    struct Noting {
        written: Rows,
        fails: Arc<Mutex<Option<(i32, WriteError)>>>,
    }

    impl Sink<Any> for Noting {
        async fn write(
            &mut self,
            rows: &[&Row<Any>],
            _: &[&DeadLetter],
            steps: &[Step],
        ) -> Written {
            let mut fails = self.fails.lock().unwrap();
            if let Some((partition, _)) = &*fails
                && steps.iter().any(|step| step.partition == *partition)
            {
                return Err(fails.take().unwrap().1);
            }
            let mut written = self.written.lock().unwrap();
            written.extend(
                rows.iter()
                    .map(|row| (row.record.partition(), row.record.offset())),
            );
            Ok(())
        }
    }

    fn batch(sizes: &[i64]) -> (Batch<Any>, Vec<Step>) {
        let (mut batch, mut steps) = (Batch::default(), Vec::new());
        for (partition, size) in (0..).zip(sizes) {
            for offset in 0..*size {
                let (topic, at) = ("t".to_owned(), Timestamp::NotAvailable);
                let record = OwnedMessage::new(None, None, topic, at, partition, offset, None);
                batch.push(record);
            }
            steps.push(Step {
                partition,
                from: 0,
                first: 0,
                to: *size,
            });
        }
        (batch, steps)
    }

    fn writers(count: usize, fails: Option<(i32, WriteError)>) -> (Writers<Noting>, Rows) {
        let written = Rows::default();
        let fails = Arc::new(Mutex::new(fails));
        let sink = Noting {
            written: Arc::clone(&written),
            fails,
        };
        (Writers::new(&sink, count), written)
    }

    #[test]
    fn every_writer_has_its_share_whatever_the_partitions_are_called() {
        let (writers, _) = writers(3, None);
        // By the number of the partition, two of three would share one writer.
        let (batch, steps) = batch(&[40, 0, 0, 40, 0, 0, 40]);
        let rows: Vec<_> = batch.rows.iter().collect();
        let steps: Vec<_> = steps.into_iter().filter(|step| step.to > 0).collect();
        let parts = writers.deal(&rows, &[], &steps);
        assert_eq!(
            parts.iter().map(|part| part.rows.len()).collect::<Vec<_>>(),
            [40; 3]
        );
    }

    async fn write(writers: &mut Writers<Noting>, batch: &Batch<Any>, steps: &[Step]) -> Written {
        let rows: Vec<_> = batch.rows.iter().collect();
        writers.write(&rows, &[], steps).await
    }

    #[tokio::test]
    async fn what_is_written_of_a_batch_is_not_written_again_when_the_rest_is() {
        let failure = WriteError::Retry("away".to_owned());
        let (mut writers, written) = writers(2, Some((1, failure.clone())));
        let (batch, steps) = batch(&[5, 5, 5, 5]);
        let first = write(&mut writers, &batch, &steps).await;
        assert_eq!(first, Err(failure));
        let before = written.lock().unwrap().len();
        assert!(before > 0 && before < 20, "{before}");
        write(&mut writers, &batch, &steps).await.unwrap();
        let mut all = written.lock().unwrap().clone();
        all.sort_unstable();
        all.dedup();
        assert_eq!((written.lock().unwrap().len(), all.len()), (20, 20));
    }

    #[tokio::test]
    async fn a_refused_row_is_named_by_its_place_in_the_batch() {
        let failure = WriteError::Poison(vec![(2, "no".to_owned())]);
        let (mut writers, _) = writers(2, Some((1, failure)));
        let (batch, steps) = batch(&[5, 5]);
        let expected = WriteError::Poison(vec![(7, "no".to_owned())]);
        assert_eq!(write(&mut writers, &batch, &steps).await, Err(expected));
    }
}
