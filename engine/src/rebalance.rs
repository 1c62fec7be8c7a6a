//! Rebalance episodes and what they hold.
