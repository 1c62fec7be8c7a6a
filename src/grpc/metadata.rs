//! Trigger metadata: strings in, a checked target out, every error at once.
