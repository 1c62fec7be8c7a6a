//! Where each assigned partition goes on: a rule over offsets, without Kafka and without a database.
//!
//! Offsets of ours alone decide; the client's own reset never does. An offset that the log no longer
//! has is a gap, which is told; one that it does not have yet means that Kafka has gone back.

use clap::ValueEnum;

/// Where an assigned partition is; an offset below 0 is not known.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// What the sink has stored when everything in flight is written.
    pub from: i64,
    /// Where the batch that is being filled begins.
    pub first: i64,
    /// The next record has this offset, or a greater one.
    pub next: i64,
    /// Of the client's own resets, how many were looked into.
    pub resets: u64,
    /// Otherwise it waits until it is known where it goes on.
    pub is_read: bool,
    /// Kafka has gone back behind this: a person has to say another one.
    pub refused: Option<i64>,
}

/// Where a group begins that has neither stored nor committed anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OffsetReset {
    /// At the oldest record.
    Earliest,
    /// At the next record.
    Latest,
    /// A person has to say.
    Error,
}

/// What follows from records that were deleted before they were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OnGap {
    /// The partition goes on at the log's start.
    Continue,
    /// The partition stops until a person has decided.
    Stop,
}

impl Position {
    /// Of a partition that is new here.
    pub const UNKNOWN: Self =
        Self { from: -1, first: -1, next: -1, resets: 0, is_read: false, refused: None };
}

/// Where a partition goes on: where it was `left`, or else where the option says. The log reaches from
/// `start` to `end`. A result before `start` is a gap.
///
/// # Errors
/// Why a person has to decide.
pub fn decide(
    (left, refused): (Option<i64>, Option<i64>),
    (start, end): (i64, i64),
    (reset, on_gap): (OffsetReset, OnGap),
) -> Result<i64, String> {
    let at = match (left, reset) {
        (Some(at), _) => at,
        (None, OffsetReset::Earliest) => start,
        (None, OffsetReset::Latest) => end,
        (None, OffsetReset::Error) => return Err("nothing is stored or committed".to_owned()),
    };
    if at > end || refused == Some(at) {
        return Err(format!(
            "Kafka has gone back behind {at}, up to which it was read (it ends at {end}): the topic \
             was made anew, or its log was cut off"
        ));
    }
    if at < start && on_gap == OnGap::Stop {
        return Err(format!("it stops at {at}: up to {start} records were deleted unread"));
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESETS: [OffsetReset; 3] =
        [OffsetReset::Earliest, OffsetReset::Latest, OffsetReset::Error];

    fn decide(left: Option<i64>, reset: OffsetReset) -> Result<i64, String> {
        super::decide((left, None), (100, 200), (reset, OnGap::Continue))
    }

    #[test]
    fn the_option_counts_only_where_nothing_was_left() {
        assert_eq!(RESETS.map(|reset| decide(Some(150), reset)), [const { Ok(150) }; 3]);
        let begins = RESETS.map(|reset| decide(None, reset).ok());
        assert_eq!(begins, [Some(100), Some(200), None]);
    }

    #[test]
    fn no_reset_ever_skips_what_is_there_or_hides_what_is_not() {
        for reset in RESETS {
            let [gap, oldest, newest] = [99, 100, 200].map(|at| decide(Some(at), reset));
            assert_eq!((gap, oldest, newest), (Ok(99), Ok(100), Ok(200)));
            assert!(decide(Some(201), reset).unwrap_err().contains("ends at 200"));
        }
    }

    #[test]
    fn a_log_that_was_cut_off_and_has_grown_again_waits_for_another_offset() {
        let options = (OffsetReset::Earliest, OnGap::Continue);
        let again = |left| super::decide((Some(left), Some(150)), (100, 200), options);
        assert!(again(150).unwrap_err().contains("cut off"));
        assert_eq!(again(149), Ok(149), "a person has said where");
    }

    #[test]
    fn a_gap_stops_the_partition_where_that_is_asked_for() {
        let stop =
            |left| super::decide((left, None), (100, 200), (OffsetReset::Latest, OnGap::Stop));
        assert!(stop(Some(99)).unwrap_err().contains("99"));
        assert_eq!((stop(Some(100)), stop(None)), (Ok(100), Ok(200)));
    }
}
