//! Where each assigned partition goes on: a rule over offsets, without Kafka and without a database.
//!
//! Offsets of ours alone decide; the client's own reset never does. An offset that the log no longer
//! has is a gap, which is told; one that it does not have yet means that Kafka has gone back.

use clap::ValueEnum;

/// Where an assigned partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// It is not read until it is known where it goes on: where records were dropped, for a sink that
    /// stores nothing.
    Waiting(Option<i64>),
    /// It is not read until a person has decided.
    Stuck,
    /// It is read.
    At {
        /// What the sink has stored when everything in flight is written.
        from: i64,
        /// Where the batch that is being filled begins.
        first: i64,
        /// The next record has this offset, or a greater one.
        next: i64,
        /// Of the client's own resets, how many were looked into.
        resets: u64,
    },
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

/// Where a partition goes on: where it was left, or else where the option says. The log reaches from
/// `start` to `end`. A result before `start` is a gap.
///
/// # Errors
/// Why a person has to decide.
pub fn decide(left: Option<i64>, start: i64, end: i64, reset: OffsetReset) -> Result<i64, String> {
    let at = match (left, reset) {
        (Some(at), _) => at,
        (None, OffsetReset::Earliest) => start,
        (None, OffsetReset::Latest) => end,
        (None, OffsetReset::Error) => return Err("nothing is stored or committed".to_owned()),
    };
    if at <= end {
        return Ok(at);
    }
    Err(format!(
        "Kafka ends at {end}, before {at}, up to which it was read: the topic was made anew, or its \
         log was cut off"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESETS: [OffsetReset; 3] =
        [OffsetReset::Earliest, OffsetReset::Latest, OffsetReset::Error];

    #[test]
    fn the_option_counts_only_where_nothing_was_left() {
        assert_eq!(RESETS.map(|reset| decide(Some(150), 100, 200, reset)), [const { Ok(150) }; 3]);
        let begins = RESETS.map(|reset| decide(None, 100, 200, reset).ok());
        assert_eq!(begins, [Some(100), Some(200), None]);
    }

    #[test]
    fn no_reset_ever_skips_what_is_there_or_hides_what_is_not() {
        for reset in RESETS {
            let [gap, oldest, newest] = [99, 100, 200].map(|at| decide(Some(at), 100, 200, reset));
            assert_eq!((gap, oldest, newest), (Ok(99), Ok(100), Ok(200)));
            assert!(decide(Some(201), 100, 200, reset).unwrap_err().contains("ends at 200"));
        }
    }
}
