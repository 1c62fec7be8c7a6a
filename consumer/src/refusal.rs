//! What is said when librdkafka refuses to make a client. Decides only what may be repeated of it.

use rdkafka::error::KafkaError;

/// Why a client could not be made. What librdkafka and its binding say of a property that is refused
/// repeats its value, which may be a password: it is named without.
pub fn refusal(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, _, name, _) => {
            format!("librdkafka knows no property {name}, or does not take its value")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;

    use super::*;

    #[test]
    fn a_property_that_is_refused_is_named_without_its_value() {
        for (name, value) in [
            ("security.protocol", "hush"),
            ("sasl.pasword", "hush"),
            ("session.timeout.ms", "hush"),
        ] {
            let made = ClientConfig::new().set(name, value).create_native_config();
            let said = refusal(&made.err().unwrap());
            assert!(said.contains(name) && !said.contains("hush"), "{said}");
        }
    }
}
