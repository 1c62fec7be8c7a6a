//! A real Kafka broker from Maven Central jars, started and stopped by us.
