//! Connection profiles, their permissions and their query templates, by example.

use super::*;

const PROFILES: &str = "\
adhocClusters: false
clusters:
  shared: {bootstrapServers: [kafka:9092]}
  orders:
    bootstrapServers: [o2:9092, o1:9092]
    namespaces: [shop-*]
    topics: [orders*]
    consumerGroups: [shop.*]
prometheus:
  main:
    url: http://prometheus:9090
    namespaces: [shop-*]
    query: sum(rate(in{topic=~\"{topic}\",g=\"{consumerGroup}\"}[1m]))
";

#[test]
fn a_profile_is_found_by_its_name_or_its_addresses() {
    let config = config(PROFILES);
    for pairs in [
        [("cluster", "shared"), ("bootstrapServers", "")],
        [("cluster", ""), ("bootstrapServers", "KAFKA:9092")],
        [
            ("cluster", ""),
            ("bootstrapServers", "other:9092,kafka:9092"),
        ],
    ] {
        let spec = parse("any", "c", &with(&pairs), &config).unwrap();
        assert_eq!(spec.cluster, ClusterRef::Profile("shared".to_owned()));
    }
}

#[test]
fn a_profile_that_does_not_exist_is_guessed_only_among_those_open_here() {
    check_with(
        PROFILES,
        "any",
        &[("cluster", "ordres"), ("bootstrapServers", "")],
        &["cluster = \"ordres\": no such connection profile; there are shared"],
    );
    check_with(
        PROFILES,
        "shop-a",
        &[("cluster", "ordres"), ("bootstrapServers", "")],
        &[
            "cluster = \"ordres\": no such connection profile; there are orders, shared, did you \
           mean orders?",
        ],
    );
}

#[test]
fn permissions_hold_for_the_name_and_for_the_addresses() {
    let refused = |namespace: &str, pairs: &[(&str, &str)]| {
        let errors = parse(namespace, "c", &with(pairs), &config(PROFILES)).unwrap_err();
        assert!(errors.only_forbidden(), "{errors}");
        errors
            .errors
            .iter()
            .map(|error| error.key.clone())
            .collect::<Vec<_>>()
    };
    let by_name = ("cluster", "orders");
    let no_addresses = ("bootstrapServers", "");
    let group = ("consumerGroup", "shop.a");
    let topic = ("topic", "orders-1");
    assert_eq!(
        refused("other", &[by_name, no_addresses, group, topic]),
        ["cluster"]
    );
    let addresses = ("bootstrapServers", "o1:9092,o2:9092");
    assert_eq!(
        refused("other", &[addresses, group, topic]),
        ["bootstrapServers"]
    );
    assert_eq!(
        refused(
            "shop-a",
            &[by_name, no_addresses, group, ("topic", "secrets,orders")]
        ),
        ["topic"]
    );
    assert_eq!(
        refused(
            "shop-a",
            &[by_name, no_addresses, ("consumerGroup", "x"), topic]
        ),
        ["consumerGroup"]
    );
    assert_eq!(
        refused("shop-a", &[by_name, no_addresses, group, ("topic", "")]),
        ["topic"]
    );
    assert_eq!(
        refused("other", &[("bootstrapServers", "o1:9092"), group, topic]),
        ["bootstrapServers"],
        "a part of a profile's addresses is that profile"
    );
    assert_eq!(
        refused("shop-a", &[("bootstrapServers", "elsewhere:9092")]),
        ["bootstrapServers"],
        "addresses of no profile, where adhocClusters is false"
    );
    let allowed = [by_name, no_addresses, group, topic];
    assert!(parse("shop-a", "c", &with(&allowed), &config(PROFILES)).is_ok());
}

#[test]
fn a_prometheus_profile_fills_its_template() {
    let config = config(PROFILES);
    let query = |pairs: &[(&str, &str)]| {
        let mut all = vec![("bootstrapServers", "kafka:9092")];
        all.extend(pairs);
        parse("shop-a", "c", &with(&all), &config)
            .map(|spec| spec.prometheus.unwrap().query)
            .map_err(|errors| errors.to_string())
    };
    let main = ("prometheus", "main");
    assert_eq!(
        query(&[main, ("consumerGroup", "a\"b\\")]).unwrap(),
        r#"sum(rate(in{topic=~"orders|trades",g="a\"b\\"}[1m]))"#
    );
    assert_eq!(
        query(&[main, ("topic", ""), ("topicPattern", r"(o)\.[0-9]")]).unwrap(),
        r#"sum(rate(in{topic=~"(o)\\.[0-9]",g="trades"}[1m]))"#
    );
    assert_eq!(query(&[main, ("query", "own")]).unwrap(), "own");
    let by_address = ("serverAddress", "http://prometheus:9090/");
    assert!(query(&[by_address]).unwrap().starts_with("sum("));
    assert!(
        query(&[main, ("topic", "")])
            .unwrap_err()
            .contains("{topic}")
    );
    assert!(
        query(&[("prometheus", "mian")])
            .unwrap_err()
            .contains("did you mean main?")
    );
    let errors = parse(
        "other",
        "c",
        &with(&[("bootstrapServers", "kafka:9092"), main]),
        &config,
    )
    .unwrap_err();
    assert!(errors.only_forbidden(), "{errors}");
}

#[test]
fn no_address_of_link_local_or_metadata_is_taken_but_a_profiles() {
    let open = "adhocClusters: true\n";
    let closed = "leads to a link-local address or to a cloud's metadata, where no ad-hoc address may: \
                  correct it, or give it a profile";
    let (kafka, prometheus) = ("169.254.169.254:9092", "http://[fd00:ec2::254]/latest");
    check_with(
        open,
        "any",
        &[("bootstrapServers", kafka)],
        &[&format!("bootstrapServers = \"{kafka}\": {kafka} {closed}")],
    );
    check_with(
        open,
        "any",
        &[("serverAddress", prometheus), ("query", "q")],
        &[&format!("serverAddress = \"{prometheus}\": it {closed}")],
    );
    let profiles = "\
clusters: {a: {bootstrapServers: ['169.254.169.254:9092']}}
prometheus: {b: {url: 'http://[fd00:ec2::254]/latest'}}
";
    let pairs = [
        ("bootstrapServers", kafka),
        ("serverAddress", prometheus),
        ("query", "q"),
    ];
    assert!(parse("any", "c", &with(&pairs), &config(profiles)).is_ok());
}

#[test]
fn of_two_tenants_at_one_address_the_one_that_is_open_is_meant() {
    let profiles = "\
adhocClusters: true
prometheus:
  a: {url: 'http://mimir', headers: [X-Scope-OrgID=a], namespaces: [shop-*]}
  b: {url: 'http://mimir', headers: [X-Scope-OrgID=b], namespaces: [shop-b, other]}
";
    let config = config(profiles);
    let of = |namespace: &str| {
        let pairs = [("serverAddress", "http://mimir/"), ("query", "q")];
        let parsed = parse(namespace, "c", &with(&pairs), &config);
        parsed
            .map(|spec| spec.prometheus.unwrap().profile.unwrap())
            .map_err(|errors| (errors.only_forbidden(), errors.to_string()))
    };
    assert_eq!(of("shop-a").as_deref(), Ok("a"));
    assert_eq!(of("other").as_deref(), Ok("b"));
    let (is_forbidden, why) = of("shop-b").unwrap_err();
    assert!(
        !is_forbidden && why.contains("several Prometheus profiles (a, b)"),
        "{why}"
    );
    let (is_forbidden, why) = of("nobody").unwrap_err();
    assert!(
        is_forbidden && why.contains("not open to namespace nobody"),
        "{why}"
    );
}
