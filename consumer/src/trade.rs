//! What the producer sends: trades of many accounts, the same ones for the same seed.
//!
//! Accounts are drawn evenly, so keyed partitions fill nearly evenly: with 100,000 accounts on 100
//! partitions a partition's share is within some 3 % of the mean. There is no hot account here.

use std::num::NonZeroU64;
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
        }
    }

    /// The next trade, made `since_epoch`.
    pub fn next_at(&mut self, since_epoch: Duration) -> Trade {
        self.made += 1;
        let account = self.below(self.accounts);
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
