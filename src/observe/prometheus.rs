//! The inbound-rate baseline from Prometheus.
