//! What the producer sends: trades of many accounts, the same ones for the same seed.
//!
//! Accounts are drawn evenly, so keyed partitions fill nearly evenly: with 100,000 accounts on 100
//! partitions a partition's share is within some 3 % of the mean. With a skew they follow Zipf's law:
//! the n-th account trades as often as `1 / n^skew` says, and its partition is hot. A share of the
//! trades can be poison: by turns no JSON at all, and a text that PostgreSQL refuses.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use serde::Serialize;

const SYMBOLS: [&str; 8] = [
    "AAPL", "AMZN", "GOOG", "IBM", "META", "MSFT", "NVDA", "TSLA",
];

/// One trade; its JSON is the value of a record.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trade {
    /// Whose trade; the record's key.
    pub account_id: String,
    /// Unique within one seed.
    pub trade_id: String,
    /// What was traded.
    pub symbol: &'static str,
    /// `BUY` or `SELL`.
    pub trade_type: &'static str,
    /// How many.
    pub quantity: u64,
    /// At which price.
    pub price: f64,
    /// When, in milliseconds since the Unix epoch.
    pub timestamp: u64,
}

/// An endless row of trades.
#[derive(Clone, Debug)]
pub struct Trades {
    accounts: NonZeroU64,
    seed: u64,
    state: u64,
    made: u64,
    /// With a skew: for each account the share of trades up to and with it.
    shares: Vec<f64>,
    poison_share: f64,
    poisoned: u64,
}

// === impl Trades ===

impl Trades {
    /// Starts a row: equal seeds give equal trades, but for their timestamps.
    pub fn new(accounts: NonZeroU64, seed: u64) -> Self {
        Self {
            accounts,
            seed,
            // Xorshift needs a state other than 0, and neighbouring seeds should not look alike.
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            made: 0,
            shares: Vec::new(),
            poison_share: 0.0,
            poisoned: 0,
        }
    }

    /// Lets accounts trade by Zipf's law; 0 is evenly, 1 the classic law.
    #[must_use]
    pub fn skewed(mut self, skew: f64) -> Self {
        if skew > 0.0 {
            let mut sum = 0.0;
            let mut rank = 0.0_f64;
            self.shares = (0..self.accounts.get())
                .map(|_| {
                    rank += 1.0;
                    sum += rank.powf(-skew);
                    sum
                })
                .collect();
            self.shares.iter_mut().for_each(|share| *share /= sum);
        }
        self
    }

    /// Makes a share (0 to 1) of the values poison.
    #[must_use]
    pub fn poisoned(mut self, share: f64) -> Self {
        self.poison_share = share;
        self
    }

    /// Writes the next trade's value into `value`; returns its account and whether it is poison.
    pub fn next_into(&mut self, value: &mut Vec<u8>, since_epoch: Duration) -> (String, bool) {
        let mut trade = self.next_at(since_epoch);
        let is_poison = self.poison_share > 0.0 && self.share() < self.poison_share;
        self.poisoned += u64::from(is_poison);
        let is_refused = is_poison && self.poisoned.is_multiple_of(2);
        if is_refused {
            trade.symbol = "\0";
        }
        value.clear();
        // A trade is a flat struct of strings and numbers: it always has a JSON form.
        let _ = serde_json::to_writer(&mut *value, &trade);
        if is_poison && !is_refused {
            value.pop();
        }
        (trade.account_id, is_poison)
    }

    /// The next trade, made `since_epoch`.
    pub fn next_at(&mut self, since_epoch: Duration) -> Trade {
        self.made += 1;
        let account = self.account();
        let symbol = SYMBOLS.iter().cycle().nth(self.small(SYMBOLS.len()));
        let cents = self.small(100_000);
        Trade {
            account_id: format!("account-{account:07}"),
            trade_id: format!("trade-{}-{}", self.seed, self.made),
            symbol: symbol.copied().unwrap_or_default(),
            trade_type: if self.small(2) == 0 { "BUY" } else { "SELL" },
            quantity: 1 + u64::try_from(self.small(1000)).unwrap_or(0),
            price: f64::from(u32::try_from(cents).unwrap_or(0) + 100) / 100.0,
            timestamp: u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX),
        }
    }

    fn account(&mut self) -> u64 {
        if self.shares.is_empty() {
            return self.below(self.accounts);
        }
        let drawn = self.share();
        let account = self.shares.partition_point(|share| *share < drawn);
        u64::try_from(account).unwrap_or(0)
    }

    /// Between 0 and 1.
    fn share(&mut self) -> f64 {
        const STEPS: u32 = 1 << 30;
        let drawn = self.below(NonZeroU64::from(NonZeroU32::MIN.saturating_add(STEPS - 1)));
        f64::from(u32::try_from(drawn).unwrap_or(0)) / f64::from(STEPS)
    }

    fn small(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).ok().and_then(NonZeroU64::new);
        let drawn = self.below(bound.unwrap_or(NonZeroU64::MIN));
        usize::try_from(drawn).unwrap_or(0)
    }

    /// Xorshift64*; the bias of the remainder is far below what a load test could see.
    fn below(&mut self, bound: NonZeroU64) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        (self.state.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16) % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trades(accounts: u64, seed: u64) -> Trades {
        Trades::new(NonZeroU64::new(accounts).unwrap(), seed)
    }

    #[test]
    fn a_trade_has_the_blueprints_fields() {
        let trade = trades(10, 1).next_at(Duration::from_millis(1234));
        let value = serde_json::to_value(trade).unwrap();
        let mut fields: Vec<&str> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        fields.sort_unstable();
        let expected = [
            "account_id",
            "price",
            "quantity",
            "symbol",
            "timestamp",
            "trade_id",
            "trade_type",
        ];
        assert_eq!(fields, expected);
        assert_eq!(value["timestamp"], 1234);
    }

    #[test]
    fn equal_seeds_give_equal_trades() {
        let (mut one, mut other, mut third) = (trades(10, 7), trades(10, 7), trades(10, 8));
        let mut differ = false;
        for _ in 0..100 {
            let trade = one.next_at(Duration::ZERO);
            assert_eq!(trade, other.next_at(Duration::ZERO));
            differ |= trade.account_id != third.next_at(Duration::ZERO).account_id;
        }
        assert!(differ, "another seed gives other trades");
    }

    #[test]
    fn a_skew_follows_zipfs_law() {
        let mut trades = trades(1000, 1).skewed(1.0);
        let mut counts = std::collections::BTreeMap::<String, f64>::new();
        for _ in 0..100_000 {
            let account = trades.next_at(Duration::ZERO).account_id;
            *counts.entry(account).or_default() += 1.0;
        }
        // The harmonic number of 1000 is 7.49.
        for (rank, account) in [(1.0, 0), (2.0, 1), (10.0, 9)] {
            let expected = 100_000.0 / 7.49 / rank;
            let found = counts[&format!("account-{account:07}")];
            assert!(
                (found / expected - 1.0).abs() < 0.1,
                "{account}: {found} of {expected}"
            );
        }
    }

    #[test]
    fn poison_comes_by_turns_and_in_the_share_asked_for() {
        let mut trades = trades(10, 1).poisoned(0.1);
        let (mut value, mut poison, mut broken) = (Vec::new(), 0, 0);
        for _ in 0..10_000 {
            let (_, is_poison) = trades.next_into(&mut value, Duration::ZERO);
            let decoded = serde_json::from_slice::<serde_json::Value>(&value);
            poison += u32::from(is_poison);
            broken += u32::from(decoded.is_err());
            let refused = decoded.is_ok_and(|trade| trade["symbol"] == "\0");
            assert!(is_poison || !refused);
        }
        assert!((900..1100).contains(&poison), "{poison}");
        assert_eq!(broken, poison.div_ceil(2));
    }

    #[test]
    fn accounts_are_drawn_evenly() {
        let mut trades = trades(10, 0);
        let mut counts = std::collections::BTreeMap::<String, u32>::new();
        for _ in 0..10_000 {
            *counts
                .entry(trades.next_at(Duration::ZERO).account_id)
                .or_default() += 1;
        }
        assert_eq!(counts.len(), 10);
        assert!(
            counts.values().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }
}
