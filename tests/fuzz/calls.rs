//! KEDA's requests: the metadata of triggers, and the bytes that carry it.

use std::collections::HashMap;

use evenkeel_scaler::config::Config;
use evenkeel_scaler::grpc::metadata;
use evenkeel_scaler::grpc::wire::ScaledObjectRef;
use evenkeel_scaler::schema::trigger::METADATA;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use prost::Message as _;

use crate::bend::{bend_all, bend_text, bends};
use crate::{cases, panics};

/// Values as people write them, each wrong for most keys.
const VALUES: [&str; 27] = [
    "",
    "0",
    "1",
    "-1",
    "10",
    "0.5",
    "1e309",
    "NaN",
    "true",
    "perhaps",
    "latest",
    "earliest",
    "read_committed",
    "orders",
    "orders,trades",
    "^orders-.*$",
    "((a{99}){99}){99}",
    "1,2,10-20",
    "20-10",
    "kafka:9092",
    "[::1]:9092,169.254.169.254:80",
    "http://prometheus:9090",
    "https://user:pass@p",
    "sum(rate(in[1m]))",
    "main",
    "18446744073709551616",
    "{timezone: UTC, start: 0 8 * * 1-5, end: 0 9 * * *, desiredReplicas: 3}",
];

const PROFILES: &str = "\
adhocClusters: true
clusters:
  main: {bootstrapServers: [kafka:9092], namespaces: ['*'], topics: ['orders*'], consumerGroups: ['g*']}
prometheus:
  main: {url: 'http://prometheus:9090', query: 'sum(rate(in{topic=~\"{topic}\"}[1m]))'}
";

fn configs() -> [Config; 2] {
    let read = |text: &str| Config::read(text, None, std::iter::empty()).unwrap();
    [read(""), read(PROFILES)]
}

fn key() -> impl Strategy<Value = String> {
    let keys: Vec<&str> = METADATA.iter().map(|setting| setting.key).collect();
    prop_oneof![
        8 => select(keys.clone()).prop_map(str::to_owned),
        1 => select(keys.clone()).prop_map(|key| format!("{key}FromEnv")),
        1 => (select(keys), bends()).prop_map(|(key, bends)| bend_text(key, &bends)),
    ]
}

fn value() -> impl Strategy<Value = String> {
    let given = || select(VALUES.to_vec());
    prop_oneof![
        6 => given().prop_map(str::to_owned),
        2 => (given(), bends()).prop_map(|(value, bends)| bend_text(value, &bends)),
        1 => any::<String>(),
    ]
}

/// Most of what a good trigger has, and some of anything.
fn pairs() -> impl Strategy<Value = HashMap<String, String>> {
    let base = [
        ("bootstrapServers", "kafka:9092"),
        ("consumerGroup", "g"),
        ("topic", "orders"),
        ("prometheus", "main"),
    ];
    let kept = vec(any::<bool>(), base.len());
    (kept, vec((key(), value()), 0..8)).prop_map(move |(kept, more)| {
        let base = base.iter().zip(kept).filter(|(_, kept)| *kept);
        let base = base.map(|((key, value), _)| ((*key).to_owned(), (*value).to_owned()));
        base.chain(more).collect()
    })
}

fn check(given: &HashMap<String, String>, namespace: &str) -> Result<(), TestCaseError> {
    let before = panics();
    for config in configs() {
        match metadata::parse(namespace, "orders", given, &config) {
            Ok(spec) => {
                let policy = &spec.policy;
                let most = policy.max_replicas.unwrap_or(u32::MAX);
                prop_assert!(policy.min_replicas <= most, "{policy:?}");
                prop_assert!(policy.target_utilization > 0.0 && policy.target_utilization <= 1.0);
                prop_assert!(policy.capacity_per_replica.is_none_or(|rate| rate > 0.0));
            }
            Err(errors) => prop_assert!(!errors.errors.is_empty()),
        }
    }
    prop_assert_eq!(panics(), before);
    Ok(())
}

proptest! {
    #![proptest_config(cases(file!(), 2_000))]

    #[test]
    fn no_metadata_of_a_trigger_does_harm(given in pairs(), namespace in "[a-z]{0,3}") {
        check(&given, &namespace)?;
    }

    #[test]
    fn no_bytes_of_a_request_do_harm(given in pairs(), bends in bends()) {
        let request = ScaledObjectRef {
            name: "orders".to_owned(),
            namespace: "shop".to_owned(),
            scaler_metadata: given,
        };
        let mut bytes = request.encode_to_vec();
        bend_all(&mut bytes, &bends);
        if let Ok(request) = ScaledObjectRef::decode(bytes.as_slice()) {
            check(&request.scaler_metadata, &request.namespace)?;
        }
    }
}
