//! The laws of the decision as property tests.
