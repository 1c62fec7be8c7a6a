//! The metadata parser, by example.

mod profiles;

use evenkeel_engine::Timestamp;

use super::*;
use crate::observe::PartitionSelection;

const BASE: &[(&str, &str)] = &[
    ("scalerAddress", "evenkeel:9090"),
    ("bootstrapServers", "b:9092, a:9092"),
    ("consumerGroup", "trades"),
    ("topic", "orders,trades"),
];

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

/// The base with `pairs` over it; an empty value takes a key away.
fn with(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    let mut metadata = map(BASE);
    metadata.extend(map(pairs));
    metadata
}

fn config(yaml: &str) -> Config {
    Config::read(yaml, None, std::iter::empty()).unwrap()
}

fn parsed(pairs: &[(&str, &str)]) -> TargetSpec {
    parse("shop", "consumer", &with(pairs), &config("")).unwrap()
}

/// Checks that `pairs` over the base are refused with exactly these sentences, in any order.
fn check(pairs: &[(&str, &str)], expected: &[&str]) {
    check_with("", "shop", pairs, expected);
}

fn check_with(yaml: &str, namespace: &str, pairs: &[(&str, &str)], expected: &[&str]) {
    let errors = match parse(namespace, "consumer", &with(pairs), &config(yaml)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.errors,
    };
    let mut found: Vec<String> = errors.iter().map(ToString::to_string).collect();
    found.sort();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[test]
fn the_least_metadata_gets_every_default() {
    let spec = parsed(&[("topic", "")]);
    assert_eq!(
        spec.cluster,
        ClusterRef::Adhoc(vec!["a:9092".to_owned(), "b:9092".to_owned()])
    );
    assert!(matches!(spec.subscription.topics, TopicSelection::OfGroup));
    assert_eq!(spec.subscription.consumer_group, "trades");
    assert_eq!(spec.subscription.partitions, None);
    assert_eq!(spec.subscription.isolation, Isolation::ReadUncommitted);
    assert_eq!(spec.prometheus, None);
    assert_eq!(spec.notes, [ALL_TOPICS]);
    let seconds = Duration::from_secs;
    assert_eq!(
        spec.policy,
        Policy {
            min_replicas: 0,
            max_replicas: None,
            allow_idle_consumers: false,
            limit_to_partitions_with_lag: false,
            exclude_persistent_lag: false,
            offset_reset: OffsetReset::Latest,
            scale_to_zero_on_invalid_offset: false,
            read_committed: false,
            lag_threshold_records: 10,
            activation_lag_records: 0,
            activation_records_per_second: None,
            capacity_per_replica: None,
            target_utilization: 0.8,
            catch_up: seconds(120),
            target_lag: None,
            scale_down_window: seconds(300),
            scale_up_window: seconds(0),
            rebalance_hold: seconds(120),
            startup: seconds(60),
            max_staleness: seconds(120),
            poll_interval: seconds(2),
            learns_calendar: false,
            calendar_max_replicas: None,
            tuning: Tuning::default(),
        }
    );
    // What the scoreboard says of ours holds for these.
    assert_eq!(spec.policy, evenkeel_sim::rivals::default_policy(None, 60));
}

#[test]
fn every_key_reaches_the_target() {
    let spec = parsed(&[
        ("partitionLimitation", "5, 1,10-12"),
        ("lagThreshold", "500"),
        ("activationLagThreshold", "7"),
        ("offsetResetPolicy", "earliest"),
        ("scaleToZeroOnInvalidOffset", "T"),
        ("limitToPartitionsWithLag", "1"),
        ("excludePersistentLag", "TRUE"),
        ("isolationLevel", "read_committed"),
        ("serverAddress", "https://prometheus:9090/base/"),
        ("query", " sum(rate(x[1m])) "),
        ("activationThreshold", "0.5"),
        ("capacityPerReplica", "1e3"),
        ("targetUtilization", "1"),
        ("catchUpSeconds", "60"),
        ("targetLagSeconds", "30"),
        ("scaleDownStabilizationWindowSeconds", "0"),
        ("scaleUpStabilizationWindowSeconds", "15"),
        ("rebalanceHoldSeconds", "0"),
        ("startupSeconds", "20"),
        ("maxStalenessSeconds", "30"),
        ("minReplicas", "2"),
        ("maxReplicas", "2"),
        ("calendar", "on"),
        ("calendarTimeZone", "Asia/Tokyo"),
        ("calendarMaxReplicas", "1"),
    ]);
    assert_eq!(
        spec.subscription.partitions,
        Some(PartitionSelection(vec![1..=1, 5..=5, 10..=12]))
    );
    assert_eq!(spec.subscription.isolation, Isolation::ReadCommitted);
    match &spec.subscription.topics {
        TopicSelection::Named(names) => assert_eq!(names, &["orders", "trades"]),
        other => panic!("{other:?}"),
    }
    let prometheus = spec.prometheus.unwrap();
    assert_eq!(prometheus.url, "https://prometheus:9090/base");
    assert_eq!(prometheus.query, "sum(rate(x[1m]))");
    assert_eq!(prometheus.profile, None);
    let policy = spec.policy;
    assert_eq!(policy.lag_threshold_records, 500);
    assert_eq!(policy.activation_lag_records, 7);
    assert_eq!(policy.offset_reset, OffsetReset::Earliest);
    assert!(policy.scale_to_zero_on_invalid_offset);
    assert!(policy.limit_to_partitions_with_lag);
    assert!(policy.exclude_persistent_lag);
    assert_eq!(policy.activation_records_per_second, Some(0.5));
    assert_eq!(policy.capacity_per_replica, Some(1_000.0));
    assert_eq!(policy.target_utilization, 1.0);
    assert_eq!(policy.target_lag, Some(Duration::from_secs(30)));
    assert_eq!(policy.scale_up_window, Duration::from_secs(15));
    assert_eq!(policy.max_replicas, Some(2));
    assert!(policy.learns_calendar);
    assert_eq!(policy.calendar_max_replicas, Some(1));
    let tokyo = spec.local_time.offset_minutes(Timestamp::default());
    assert_eq!(tokyo, 9 * 60);
}

#[test]
fn a_moved_kafka_trigger_works_and_is_told_what_has_no_effect() {
    let spec = parsed(&[
        ("version", "2.8.0"),
        ("fullMetadata", "false"),
        ("ensureEvenDistributionOfPartitions", "true"),
        ("sasl", "none"),
        ("tls", "disable"),
        ("enableTLS", "true"),
        ("unsafeSsl", "false"),
        ("caCert", "-----BEGIN"),
    ]);
    assert_eq!(spec.notes.len(), 5, "{:?}", spec.notes);
}

#[test]
fn all_errors_come_at_once() {
    check(
        &[
            ("consumerGroup", ""),
            ("lagTreshold", "5"),
            ("lagThreshold", "ten"),
            ("catchUpSeconds", "0"),
            ("allowIdleConsumers", "yes"),
        ],
        &[
            "consumerGroup: missing: the consumer group whose lag counts",
            "lagTreshold: unknown key, did you mean lagThreshold?",
            "lagThreshold = \"ten\": has to be a whole number, 1 or more",
            "catchUpSeconds = \"0\": has to be a whole number from 1 to 86400",
            "allowIdleConsumers = \"yes\": has to be true or false",
        ],
    );
}

#[test]
fn what_was_meant_is_guessed_where_it_is_close() {
    for (wrong, meant) in [
        ("bootstrapserver", Some("bootstrapServers")),
        ("topics", Some("topic")),
        ("consumer_group", Some("consumerGroup")),
        ("maxReplica", Some("maxReplicas")),
        ("threshold", Some("capacityPerReplica")),
        ("colour", None),
        ("q", None),
    ] {
        let errors = parse("shop", "c", &with(&[(wrong, "1")]), &config("")).unwrap_err();
        assert_eq!(errors.errors.len(), 1, "{errors}");
        assert_eq!(errors.errors[0].suggestion.as_deref(), meant, "{wrong}");
    }
}

#[test]
fn numbers_outside_their_range_are_refused() {
    for (key, wrong) in [
        (
            "lagThreshold",
            &["0", "-1", "1.5", "9223372036854775808", "1e3"][..],
        ),
        ("activationLagThreshold", &["-1", "x"]),
        ("activationThreshold", &["-0.1", "NaN", "inf", "1e13"]),
        ("capacityPerReplica", &["0", "-5", "NaN", "many"]),
        ("targetUtilization", &["0", "1.01", "80%"]),
        ("maxReplicas", &["0", "100001", "4294967297"]),
        ("minReplicas", &["-1"]),
        ("scaleDownStabilizationWindowSeconds", &["3601", "5m"]),
    ] {
        for value in wrong {
            let errors = parse("shop", "c", &with(&[(key, value)]), &config("")).unwrap_err();
            assert_eq!(errors.errors.len(), 1, "{key} = {value}: {errors}");
            assert_eq!(errors.errors[0].key, key);
            assert_eq!(errors.errors[0].value.as_deref(), Some(*value));
        }
    }
}

#[test]
fn keys_that_exclude_each_other_are_refused() {
    check(
        &[
            ("allowIdleConsumers", "true"),
            ("limitToPartitionsWithLag", "true"),
        ],
        &[
            "limitToPartitionsWithLag = \"true\": cannot be used with allowIdleConsumers: one allows more \
           replicas than partitions, the other fewer",
        ],
    );
    check(
        &[("cluster", "x")],
        &["cluster = \"x\": cannot be used with bootstrapServers: keep one of them"],
    );
    check(
        &[("bootstrapServers", "")],
        &["cluster: missing: give cluster, the name of a connection profile, or bootstrapServers"],
    );
    check(
        &[("topicPattern", "a.*")],
        &["topicPattern = \"a.*\": cannot be used with topic: keep one of them"],
    );
    check(
        &[("minReplicas", "5"), ("maxReplicas", "4")],
        &["minReplicas = \"5\": lies above maxReplicas 4"],
    );
    check(
        &[
            ("topic", ""),
            ("partitionLimitation", "1"),
            ("limitToPartitionsWithLag", "true"),
        ],
        &[
            "partitionLimitation = \"1\": needs topic or topicPattern",
            "limitToPartitionsWithLag = \"true\": needs topic or topicPattern",
        ],
    );
    check(
        &[
            ("prometheus", "x"),
            ("serverAddress", "http://p"),
            ("query", "q"),
        ],
        &["prometheus = \"x\": cannot be used with serverAddress: keep one of them"],
    );
    check(
        &[("query", "q")],
        &["query = \"q\": needs prometheus or serverAddress"],
    );
    check(
        &[("serverAddress", "http://p")],
        &[
            "query: missing: serverAddress needs a query that answers inbound records per second, \
           such as sum(rate(...))",
        ],
    );
    check(
        &[("maxStalenessSeconds", "3")],
        &["maxStalenessSeconds = \"3\": has to be at least 4 s, twice the polling interval"],
    );
}

#[test]
fn topics_are_held_to_kafkas_rules() {
    for wrong in [
        "or ders",
        "a,b*",
        ".",
        "..",
        ",",
        "ümlaut",
        &"x".repeat(250),
    ] {
        let errors = parse("shop", "c", &with(&[("topic", wrong)]), &config("")).unwrap_err();
        assert_eq!(errors.errors.len(), 1, "{wrong}: {errors}");
        assert_eq!(errors.errors[0].key, "topic");
    }
}

#[test]
fn a_pattern_has_to_match_the_whole_name() {
    let spec = parsed(&[("topic", ""), ("topicPattern", "orders|trades-[0-9]")]);
    let TopicSelection::Pattern(pattern) = &spec.subscription.topics else {
        panic!("{:?}", spec.subscription.topics);
    };
    assert!(pattern.is_match("orders"));
    assert!(pattern.is_match("trades-1"));
    assert!(!pattern.is_match("orders-2"));
    assert!(!pattern.is_match("my-trades-1"));
}

#[test]
fn a_pattern_that_is_wrong_or_would_take_gigabytes_is_refused() {
    for wrong in ["a(", "((a{99}){99}){99}", "*", &"a".repeat(1_025)] {
        let pairs = [("topic", ""), ("topicPattern", wrong)];
        let errors = parse("shop", "c", &with(&pairs), &config("")).unwrap_err();
        assert_eq!(errors.errors.len(), 1, "{wrong}: {errors}");
        assert_eq!(errors.errors[0].key, "topicPattern");
    }
}

#[test]
fn partitions_are_numbers_and_ranges() {
    for wrong in ["a", "3-1", "1-", "-1", "1,,x", ",", "4294967295"] {
        let errors = parse(
            "shop",
            "c",
            &with(&[("partitionLimitation", wrong)]),
            &config(""),
        )
        .unwrap_err();
        assert_eq!(errors.errors.len(), 1, "{wrong}: {errors}");
    }
}

#[test]
fn addresses_are_host_and_port() {
    for right in ["a:1", "[::1]:9092", "A.b-c_d:9092,a:2"] {
        parsed(&[("bootstrapServers", right)]);
    }
    for wrong in [
        "a",
        "a:",
        ":1",
        "a:0",
        "a:65536",
        "a b:1",
        "::1:9092",
        ",",
        "http://a:1",
    ] {
        let metadata = with(&[("bootstrapServers", wrong)]);
        let errors = parse("shop", "c", &metadata, &config("")).unwrap_err();
        assert_eq!(errors.errors.len(), 1, "{wrong}: {errors}");
        assert_eq!(errors.errors[0].key, "bootstrapServers");
    }
}

#[test]
fn a_topic_that_keda_dropped_is_said_to_be_missing() {
    assert_eq!(parsed(&[("topic", "")]).notes, [ALL_TOPICS]);
    let pattern = [("topic", ""), ("topicPattern", "orders.*")];
    assert_eq!(parsed(&pattern).notes, [""; 0]);
}

#[test]
fn a_value_from_the_environment_fills_its_key() {
    let spec = parsed(&[("consumerGroup", ""), ("consumerGroupFromEnv", "resolved")]);
    assert_eq!(spec.subscription.consumer_group, "resolved");
    check(
        &[("topicFromEnv", "x")],
        &["topic: is given twice, as topic and as topicFromEnv: keep one"],
    );
    check(
        &[("consumerGruopFromEnv", "x")],
        &["consumerGruopFromEnv: unknown key, did you mean consumerGroup?"],
    );
}

#[test]
fn nothing_that_may_be_secret_is_repeated() {
    let pairs = [
        ("password", "hunter2"),
        ("passwordFromEnv", "hunter3"),
        ("passwrod", "hunter4"),
        ("lagThresholdFromEnv", "hunter5"),
        ("bootstrapServers", "user:hunter6@kafka:9092"),
        ("topic", ""),
        ("topicFromEnv", "hunter8 hunter9"),
        ("serverAddress", "http://user:hunter7@prometheus"),
        ("query", "q"),
    ];
    let errors = parse("shop", "c", &with(&pairs), &config("")).unwrap_err();
    assert_eq!(errors.errors.len(), 7, "{errors}");
    assert!(!errors.to_string().contains("hunter"), "{errors}");
    assert!(!format!("{errors:?}").contains("hunter"), "{errors:?}");
}

#[test]
fn credentials_are_refused_with_the_place_where_they_live() {
    for key in [
        "sasl",
        "tls",
        "username",
        "password",
        "awsRegion",
        "keytab",
        "bearerToken",
    ] {
        let errors = parse("shop", "c", &with(&[(key, "x")]), &config("")).unwrap_err();
        assert_eq!(errors.errors.len(), 1, "{key}: {errors}");
        assert!(errors.to_string().contains("profile"), "{errors}");
    }
}

#[test]
fn what_is_no_kubernetes_name_is_refused() {
    for name in ["", "Upper", "a/b", "a\nb", &"x".repeat(254)] {
        let errors = parse("shop", name, &with(&[]), &config("")).unwrap_err();
        assert_eq!(errors.errors.len(), 1, "{name}: {errors}");
    }
}

#[test]
fn error_texts_stay_short_whatever_comes() {
    let mut metadata = with(&[
        ("lagThreshold", &"x".repeat(5_000)),
        ("query", &"y".repeat(9_000)),
    ]);
    for number in 0..100 {
        metadata.insert(format!("k{number}{}", "z".repeat(3_000)), "v".to_owned());
    }
    let text = parse("shop", "c", &metadata, &config(""))
        .unwrap_err()
        .to_string();
    assert!(text.len() < 5_000, "{}", text.len());
    assert!(text.contains("more"), "{text}");
    for number in 0..100 {
        metadata.insert(format!("m{number}"), String::new());
    }
    let errors = parse("shop", "c", &metadata, &config("")).unwrap_err();
    assert!(errors.to_string().contains("entries"), "{errors}");
}

#[test]
fn the_hash_is_fnv_1a_and_tells_keys_from_values() {
    // Worked out by hand for the empty input and for "a" 0xff "b" 0xff.
    assert_eq!(metadata_hash(&map(&[])), 0xcbf2_9ce4_8422_2325);
    let mut expected: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in [b'a', 0xff, b'b', 0xff] {
        expected = (expected ^ u64::from(byte)).wrapping_mul(1_099_511_628_211);
    }
    assert_eq!(metadata_hash(&map(&[("a", "b")])), expected);
    assert_ne!(
        metadata_hash(&map(&[("a", "bc")])),
        metadata_hash(&map(&[("ab", "c")]))
    );
    assert_ne!(
        metadata_hash(&map(&[("a", "b"), ("c", "d")])),
        metadata_hash(&map(&[("a", "d"), ("c", "b")]))
    );
}

#[test]
fn a_file_is_checked_without_the_values_of_its_variables() {
    let names = with(&[
        ("consumerGroup", ""),
        ("consumerGroupFromEnv", "GROUP"),
        ("lagThresholdFromEnv", "LAG_THRESHOLD"),
        ("cluster", "some-profile"),
        ("bootstrapServers", ""),
        ("prometheus", "main"),
    ]);
    let checked = super::check("shop", "c", &names, None);
    assert!(matches!(checked, Ok(None)), "{checked:?}");
    let wrong = with(&[("bootstrapServers", ""), ("lagThreshold", "x")]);
    assert_eq!(
        super::check("shop", "c", &wrong, None)
            .unwrap_err()
            .errors
            .len(),
        2
    );
}
