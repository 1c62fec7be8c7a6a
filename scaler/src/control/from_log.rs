//! What came in at a target before it was watched, read out of its own logs: which moment is asked for next,
//! and what the answers tell.
//!
//! The intuition: the first record since a moment has an offset, and between two moments as many records
//! came as these offsets differ. So it goes back from now, a minute at a time, newest days first, one
//! question with a tick; where nothing came it goes back in longer strides, since nothing is exact. What
//! was read is handed over a day at a time. Where the log of some partition begins, it ends: what came
//! before is not known, and that is a gap.
//!
//! Offsets of a compacted topic count records that are gone, at the minute of one that is left. It is told
//! by the first question: where the first record that is left is not at the start of each log, nothing is
//! read.
//!
//! What this does not do: ask (`cluster_loop`, `observe::kafka`), or say which minutes were surges (the
//! engine's `Past`).

use std::time::Duration;

use evenkeel_engine::{Past, Timestamp};

use super::earlier::{DAYS, FIRST_WAIT, LONGEST_WAIT};
use crate::calendar::LocalTime;
use crate::observe::Earlier;

/// Minutes since 1970, UTC.
type Minute = u32;

const MINUTES_A_DAY: Minute = 1_440;
const SECONDS_A_MINUTE: u32 = 60;
/// Minutes around one by which it is judged: what is known already is read for so long, too.
const AROUND: Minute = 15;
/// Only what is known for so long at once is not read again.
const KNOWN: Minute = 60;
/// The longest stride, in minutes, where nothing came.
const LONGEST_STRIDE: Minute = 240;

/// The reading of one target's logs.
#[derive(Debug)]
pub(super) struct FromLog {
    step: Step,
    /// Newest first: minutes, and the records per second in each.
    minutes: Vec<(Minute, f32)>,
    /// What is complete, and not handed over yet.
    found: Vec<Vec<(Minute, f32)>>,
    oldest: Minute,
    not_before: Timestamp,
    waited: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    /// Whether each offset is a record.
    Whole,
    /// Where it goes back from.
    From(Minute),
    /// How much had come before a minute so many earlier than `from`.
    Back {
        from: Minute,
        records: u64,
        partitions: usize,
        stride: Minute,
    },
    Done(&'static str),
}

// === impl FromLog ===

impl FromLog {
    /// The last days before `now`, of which nothing is read yet.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            step: Step::Whole,
            minutes: Vec::new(),
            found: Vec::new(),
            oldest: minute(now).saturating_sub(DAYS * MINUTES_A_DAY),
            not_before: now,
            waited: Duration::ZERO,
        }
    }

    /// The moment to ask for; none for now, or none any more. `is_known` says whether all minutes from one
    /// to before the other are known already.
    pub(super) fn wants(
        &mut self,
        is_known: impl Fn(Minute, Minute) -> bool,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if now < self.not_before {
            return None;
        }
        if let Step::Back { from, .. } = self.step
            && is_known(from.saturating_sub(KNOWN), from + AROUND)
        {
            self.hand_over(0);
            self.step = Step::From(from);
        }
        if let Step::From(mut from) = self.step {
            let first = from;
            while from > self.oldest && is_known(from.saturating_sub(KNOWN), from) {
                from -= KNOWN.min(from);
            }
            // Minutes that are known tell of those before them.
            let from = if from < first { from + AROUND } else { from };
            self.step = Step::From(from);
        }
        match self.step {
            Step::Whole => Some(Timestamp::default()),
            Step::Done(_) => None,
            Step::From(from) | Step::Back { from, .. } if from <= self.oldest + AROUND => {
                self.end("28 days");
                None
            }
            Step::From(from) => Some(moment(from)),
            Step::Back { from, stride, .. } => Some(moment(from - stride.min(from))),
        }
    }

    /// Takes in what was answered to what was wanted last; nothing where that could not be told.
    pub(super) fn take_in(&mut self, answer: Option<Earlier>, now: Timestamp) {
        let Some(answer) = answer else {
            self.waited = (self.waited * 2).clamp(FIRST_WAIT, LONGEST_WAIT);
            self.not_before = now.plus(self.waited);
            return;
        };
        self.waited = Duration::ZERO;
        let is_edge = answer.at_start > 0;
        match self.step {
            Step::Whole if answer.at_start < answer.partitions => {
                self.end("nothing, since offsets of its logs are not records: they are compacted");
            }
            Step::Whole => self.step = Step::From(minute(now)),
            Step::From(_) if is_edge => self.end("as far as logs are retained"),
            Step::From(from) => self.step = back(from, answer, 1),
            Step::Back {
                from,
                records,
                partitions,
                stride,
            } => {
                let to = from - stride.min(from);
                let came = records.checked_sub(answer.records);
                match came.filter(|_| answer.partitions == partitions) {
                    // Other logs than before: it goes on from here.
                    None => {
                        self.hand_over(0);
                        self.step = back(to, answer, 1);
                    }
                    Some(came) if stride > 1 && (came > 0 || is_edge) => {
                        self.step = Step::Back {
                            from,
                            records,
                            partitions,
                            stride: stride / 2,
                        };
                    }
                    Some(_) if is_edge => self.end("as far as logs are retained"),
                    Some(came) => {
                        #[expect(
                            clippy::cast_possible_truncation,
                            reason = "7 digits of a rate are plenty"
                        )]
                        let rate = (came as f64 / f64::from(SECONDS_A_MINUTE)) as f32;
                        self.minutes
                            .extend((to..from).rev().map(|minute| (minute, rate)));
                        let is_quiet = came == 0;
                        let longer = (stride * 2).min(LONGEST_STRIDE);
                        self.step = back(to, answer, if is_quiet { longer } else { 1 });
                    }
                }
            }
            Step::Done(_) => {}
        }
        if self.minutes.len() >= (MINUTES_A_DAY + AROUND) as usize {
            self.hand_over(AROUND as usize);
        }
    }

    /// What was read since this was last asked, by these clocks.
    pub(super) fn found(&mut self, clocks: &LocalTime) -> Option<Past> {
        let mut minutes = self.found.pop()?;
        minutes.reverse();
        Some(Past::of(minutes.into_iter().map(|(minute, rate)| {
            let at = moment(minute);
            let offset = clocks.offset_minutes(at);
            (Past::minute(at, offset), f64::from(rate))
        })))
    }

    /// Until where it was read, in words, once it is over.
    pub(super) fn end_in_words(&self) -> Option<&'static str> {
        match self.step {
            Step::Done(words) => Some(words),
            _ => None,
        }
    }

    fn end(&mut self, words: &'static str) {
        self.hand_over(0);
        self.minutes = Vec::new();
        self.step = Step::Done(words);
    }

    /// Hands over what was read; the last minutes of it stay, for what comes before them.
    fn hand_over(&mut self, staying: usize) {
        if self.minutes.is_empty() {
            return;
        }
        let stays = self.minutes.len().saturating_sub(staying);
        let staying = self.minutes.get(stays..).unwrap_or_default().to_vec();
        self.found
            .push(std::mem::replace(&mut self.minutes, staying));
    }
}

const fn back(from: Minute, answer: Earlier, stride: Minute) -> Step {
    Step::Back {
        from,
        records: answer.records,
        partitions: answer.partitions,
        stride,
    }
}

fn minute(at: Timestamp) -> Minute {
    Past::minute(at, 0)
}

fn moment(minute: Minute) -> Timestamp {
    Timestamp::from_secs(u64::from(minute) * u64::from(SECONDS_A_MINUTE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A minute of 2026-11-30.
    const NOW: Minute = 29_700_000;

    /// Two logs with so many records in each minute before now, the newest first, whose first record of
    /// all is so many minutes old.
    struct Logs {
        rate: fn(Minute) -> u64,
        begin: Minute,
        compacted: bool,
    }

    // === impl Logs ===

    impl Logs {
        /// How much had come before a moment, where `counts` has that for each minute.
        fn earlier(&self, counts: &[u64], at: Timestamp) -> Earlier {
            let first = NOW - self.begin;
            let until = minute(at).max(first);
            let is_start = until == first && !self.compacted;
            Earlier {
                records: counts[(until - first) as usize],
                partitions: 2,
                at_start: if is_start { 2 } else { 0 },
            }
        }

        /// All that is read, how often was asked, and how it ended.
        fn read(
            &self,
            is_known: impl Fn(Minute, Minute) -> bool,
        ) -> (Past, Vec<Minute>, &'static str) {
            let now = moment(NOW).plus(Duration::from_secs(30));
            let (mut reading, mut past) = (FromLog::new(now), Past::default());
            let mut counts = vec![0];
            for back in (1..=self.begin).rev() {
                counts.push(counts[counts.len() - 1] + (self.rate)(back));
            }
            let mut asked = Vec::new();
            while let Some(at) = reading.wants(&is_known, now) {
                asked.push(NOW.saturating_sub(minute(at)));
                reading.take_in(Some(self.earlier(&counts, at)), now);
                while let Some(piece) = reading.found(&LocalTime::default()) {
                    past.add(&piece);
                }
            }
            while let Some(piece) = reading.found(&LocalTime::default()) {
                past.add(&piece);
            }
            (past, asked, reading.end_in_words().unwrap())
        }
    }

    fn nothing_is_known(_: Minute, _: Minute) -> bool {
        false
    }

    #[test]
    fn minutes_are_read_back_to_where_the_logs_begin() {
        let logs = Logs {
            // Ten a second, and ten times that for five minutes a day.
            rate: |back| match back % MINUTES_A_DAY {
                100..105 => 6_000,
                _ => 600,
            },
            begin: 5 * MINUTES_A_DAY,
            compacted: false,
        };
        let (past, asked, end) = logs.read(nothing_is_known);
        assert_eq!(end, "as far as logs are retained");
        assert_eq!(past.surges(), 5);
        let known = past.watched_minutes(0, Minute::MAX);
        assert_eq!(known, 5 * MINUTES_A_DAY - 1 - (AROUND - 1));
        // No moment twice: the first question, one for now, one a minute.
        let mut each = asked.clone();
        each.sort_unstable();
        each.dedup();
        assert_eq!(each.len(), asked.len());
        assert_eq!(asked.len(), 2 + 5 * MINUTES_A_DAY as usize);
    }

    #[test]
    fn where_nothing_came_strides_are_long_and_the_days_are_the_same() {
        let logs = Logs {
            rate: |back| match back % MINUTES_A_DAY {
                100..110 => 1_200,
                _ => 0,
            },
            begin: 5 * MINUTES_A_DAY - 1_000,
            compacted: false,
        };
        let (past, asked, end) = logs.read(nothing_is_known);
        assert_eq!(end, "as far as logs are retained");
        assert!(past.surges() >= 3, "{}", past.surges());
        assert!(asked.len() < 5 * 60, "{}", asked.len());
        assert!(past.watched_minutes(0, Minute::MAX) > 4 * MINUTES_A_DAY);
    }

    #[test]
    fn no_more_than_28_days_are_read_and_nothing_that_is_known() {
        let logs = Logs {
            rate: |_| 600,
            begin: 100 * MINUTES_A_DAY,
            compacted: false,
        };
        let (past, _, end) = logs.read(nothing_is_known);
        assert_eq!(end, "28 days");
        let days = past.watched_minutes(0, Minute::MAX) / MINUTES_A_DAY;
        assert_eq!(days, DAYS - 1);
        // Two days are known, but for half an hour in between.
        let gap = NOW - 1_500..NOW - 1_470;
        let is_known = move |from, to| {
            let all = NOW - 2 * MINUTES_A_DAY..NOW;
            all.contains(&from) && to <= all.end && (to <= gap.start || from >= gap.end)
        };
        let (past, asked, _) = logs.read(is_known);
        let of_known = asked.iter().filter(|back| **back < 2 * MINUTES_A_DAY);
        assert!(of_known.count() < 200);
        let gap = (NOW - 1_500, NOW - 1_470);
        assert_eq!(past.watched_minutes(gap.0, gap.1), 30);
    }

    #[test]
    fn a_compacted_log_is_not_read() {
        let logs = Logs {
            rate: |_| 600,
            begin: MINUTES_A_DAY,
            compacted: true,
        };
        let (past, asked, end) = logs.read(nothing_is_known);
        assert_eq!((past, asked.len()), (Past::default(), 1));
        assert!(end.contains("compacted"), "{end}");
    }

    #[test]
    fn what_cannot_be_told_is_asked_again_later_and_other_logs_are_no_surge() {
        let now = moment(NOW);
        let mut reading = FromLog::new(now);
        for wait in [60, 120, 240] {
            let later = reading.not_before;
            assert!(reading.wants(nothing_is_known, later).is_some());
            reading.take_in(None, later);
            let early = later.plus(Duration::from_secs(wait - 1));
            assert_eq!(reading.wants(nothing_is_known, early), None);
        }
        let now = reading.not_before;
        let mut answer = |records, partitions, at_start| {
            assert!(reading.wants(nothing_is_known, now).is_some());
            let answer = Earlier {
                records,
                partitions,
                at_start,
            };
            reading.take_in(Some(answer), now);
            reading.minutes.len()
        };
        answer(0, 2, 2);
        answer(10_000, 2, 0);
        assert_eq!(answer(9_400, 2, 0), 1);
        // A partition more, and a log that was replaced.
        assert_eq!(answer(20_000, 3, 0), 0);
        assert_eq!(answer(19_400, 3, 0), 1);
        assert_eq!(answer(90_000, 3, 0), 0);
    }
}
