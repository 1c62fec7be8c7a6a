//! What one replica can do.
