//! The admin server over a real socket, against targets with published decisions.

#![allow(clippy::unwrap_used, reason = "a test's own helpers may fail the test")]

#[path = "support/admin_server.rs"]
mod admin_server;
#[path = "support/decisions.rs"]
mod decisions;

use std::collections::BTreeSet;
use std::time::Duration;

use admin_server::Server;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use evenkeel_engine::{State, Timestamp, Verdict, decide};
use evenkeel_scaler::admin::{AdminToken, api};
use evenkeel_scaler::config::AdminConfig;
use evenkeel_scaler::control::recording::{Recording, Tick};
use evenkeel_scaler::control::registry::Registry;
use evenkeel_scaler::control::target::Recorded;
use evenkeel_scaler::credentials::LOOK_EVERY;
use evenkeel_scaler::metrics::Metrics;
use tokio::net::TcpStream;

/// Samples of one metric, without their values.
fn series<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
        })
        .collect()
}

#[tokio::test]
async fn ready_only_between_start_and_drain() {
    let server = Server::start().await;
    let answer = server.get("/readyz").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "starting: the servers are not up yet\n")
    );
    server.readiness.serving();
    assert_eq!(server.get("/readyz").await.status, 200);
    server.readiness.draining();
    server.readiness.serving();
    let answer = server.get("/readyz").await;
    assert_eq!(
        (answer.status, answer.body.as_str()),
        (503, "draining: a shutdown has begun\n")
    );
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn the_list_has_every_target_in_order_with_its_figures() {
    let server = Server::start().await.with_orders();
    let now = server.clock.now();
    server
        .targets
        .register(decisions::spec("shop", "audit", 1), now)
        .unwrap();
    let list: api::TargetList = server.json("/api/v1/targets").await;
    let names: Vec<_> = list
        .targets
        .iter()
        .map(|target| target.name.as_str())
        .collect();
    assert_eq!(names, ["audit", "orders"]);
    let [audit, orders] = list.targets.as_slice() else {
        panic!("two targets")
    };
    assert_eq!(audit.status, api::Status::Waiting);
    assert_eq!((audit.desired_replicas, audit.lag_records), (None, None));
    assert_eq!(orders.status, api::Status::Valid);
    assert_eq!(orders.desired_replicas, Some(14));
    assert_eq!(orders.observed_replicas, Some(12));
    assert_eq!(orders.verdict.as_deref(), Some("RateUp"));
    assert_eq!(orders.lag_seconds, Some(11.4));
    assert_eq!(orders.trigger, "0000000000000007");
}

#[tokio::test]
async fn a_target_shows_its_whole_last_decision_and_no_password() {
    let server = Server::start().await.with_orders();
    let answer = server.get("/api/v1/targets/shop/orders").await;
    assert!(!answer.body.contains("secret"), "{}", answer.body);
    let detail: api::TargetDetail = serde_json::from_str(&answer.body).unwrap();
    let decision = detail.decision.unwrap();
    let stages: Vec<_> = decision
        .trail
        .iter()
        .map(|step| step.stage.as_str())
        .collect();
    assert_eq!(
        stages,
        ["observed", "rate", "lag", "hold", "stabilize", "limit"]
    );
    assert!(decision.reason.starts_with("4,200 records/s come in"));
    assert_eq!(decision.findings[0].verdict, "LagHeld");
    assert_eq!(
        decision.inputs.inbound_prometheus_records_per_second,
        Some(4_150.0)
    );
    assert_eq!(decision.inputs.utilization, Some(0.875));
    assert_eq!(decision.valid_until_millis, decision.at_millis + 120_000);
    assert_eq!(detail.policy.catch_up_seconds, 120.0);
    assert_eq!(detail.source.topics, ["orders"]);
    assert_eq!(detail.notes.len(), 1);
}

#[tokio::test]
async fn what_is_unknown_is_null_and_has_no_sample() {
    let server = Server::start().await;
    let now = server.clock.now();
    let target = server
        .targets
        .register(decisions::spec("shop", "dark", 1), now)
        .unwrap();
    target.publish(decisions::unreachable(
        now,
        now.minus(Duration::from_secs(300)),
    ));
    let detail: api::TargetDetail = server.json("/api/v1/targets/shop/dark").await;
    assert_eq!(detail.target.status, api::Status::Unknown);
    assert_eq!(detail.target.lag_records, None);
    assert!(detail.target.data_age_seconds.unwrap() >= 300.0);
    assert_eq!(
        detail.decision.unwrap().unknown_cause.as_deref(),
        Some("unreachable")
    );
    assert_eq!(detail.problems.len(), 1);
    let text = server.get("/metrics").await.body;
    assert_eq!(series(&text, "evenkeel_target_lag_records"), [""; 0]);
    assert_eq!(series(&text, "evenkeel_target_desired_replicas"), [""; 0]);
    assert_eq!(series(&text, "evenkeel_target_stage_replicas"), [""; 0]);
    let valid = series(&text, "evenkeel_target_valid");
    assert_eq!(
        valid,
        [r#"evenkeel_target_valid{namespace="shop",name="dark",kafka_cluster="main"} 0.0"#]
    );
}

#[tokio::test]
async fn a_decision_that_is_too_old_counts_as_expired() {
    let server = Server::start().await;
    let now = server.clock.now();
    let target = server
        .targets
        .register(decisions::spec("shop", "old", 1), now)
        .unwrap();
    target.publish(decisions::rising(now.minus(Duration::from_secs(1_000))));
    let list: api::TargetList = server.json("/api/v1/targets").await;
    assert_eq!(list.targets[0].status, api::Status::Expired);
}

#[tokio::test]
async fn the_list_says_who_needs_somebody_and_why() {
    let server = Server::start().await;
    let now = server.clock.now();
    let minutes_ago = now.minus(Duration::from_secs(600));
    let mut stuck = decisions::rising(now);
    stuck.decision.verdict = Verdict::StuckPartition;
    for (name, published) in [
        ("a-calm", Some(decisions::rising(now))),
        ("b-stuck", Some(stuck)),
        ("c-old", Some(decisions::rising(minutes_ago))),
        ("d-dark", Some(decisions::unreachable(now, now))),
        ("e-new", None),
    ] {
        let spec = decisions::spec("shop", name, 1);
        let target = server.targets.register(spec, now).unwrap();
        if let Some(published) = published {
            target.publish(published);
        }
    }
    let list: api::TargetList = server.json("/api/v1/targets").await;
    let attention: Vec<_> = list
        .targets
        .into_iter()
        .map(|target| target.attention.map(|why| (why.severity, why.why)))
        .collect();
    let error = |why: &str| Some((api::Severity::Error, why.to_owned()));
    let stuck = "the commits of a partition do not move: a poison record".to_owned();
    assert_eq!(
        attention,
        [
            None,
            Some((api::Severity::Warning, stuck)),
            error("evenkeel returns UNAVAILABLE to KEDA: the last decision is too old"),
            error("evenkeel returns UNAVAILABLE to KEDA: unreachable"),
            None,
        ]
    );
}

#[tokio::test]
async fn the_history_grows_and_since_leaves_out_what_was_seen() {
    let server = Server::start().await.with_orders();
    let path = "/api/v1/targets/shop/orders/history";
    let history: api::History = server.json(path).await;
    let [first, second] = history.points.as_slice() else {
        panic!("two points")
    };
    assert!(first.at_millis < second.at_millis && first.rebalancing);
    let newer: api::History = server
        .json(&format!("{path}?since={}", first.at_millis))
        .await;
    assert_eq!(newer.points, std::slice::from_ref(second));
    let none: api::History = server
        .json(&format!("{path}?since={}", second.at_millis))
        .await;
    assert!(none.points.is_empty());
    assert_eq!(
        server.get(&format!("{path}?since=yesterday")).await.status,
        400
    );
}

#[tokio::test]
async fn the_next_decisions_are_recorded_for_one_at_a_time() {
    let server = Server::start().await.with_orders();
    let path = "/api/v1/targets/shop/orders/recording?decisions=2";
    let sentence = server.missing("/api/v1/targets/shop/order/recording").await;
    assert!(sentence.contains("Known are: shop/orders"), "{sentence}");
    let target = server.targets.find("shop", "orders").unwrap();
    let other = target.record(1).unwrap();
    let refused = server.get(path).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    assert!(refused.body.contains("is being recorded already"));
    drop(other);

    let answer = server.get(path);
    let decided = async {
        let mut state = State::default();
        let policy = &target.spec.policy;
        loop {
            let now = server.clock.now();
            let recorded = target.to_record(&state, false);
            let observation = decisions::unread(now);
            let decision;
            (state, decision) = decide(policy, state, &observation, now);
            if let Recorded::Tick(state) = recorded {
                target.note(Tick {
                    state,
                    observation,
                    now,
                    decision,
                });
            }
            tokio::task::yield_now().await;
        }
    };
    let answer = tokio::select! {
        answer = answer => answer,
        () = decided => unreachable!("it decides for ever"),
    };
    assert_eq!(answer.status, 200, "{}", answer.body);
    let recording = Recording::of_text(&answer.body).unwrap();
    assert_eq!(
        (&*recording.namespace, &*recording.name),
        ("shop", "orders")
    );
    assert_eq!(recording.ticks.len(), 2);
    assert!(
        recording.ticks[1].state.is_none(),
        "the first one leads to it"
    );
    assert_eq!(recording.replay().differs_at, None);
}

#[tokio::test]
async fn the_history_is_bounded() {
    let registry = Registry::new(1, 3);
    let target = registry
        .register(
            decisions::spec("shop", "orders", 1),
            Timestamp::from_secs(1),
        )
        .unwrap();
    for second in 1..=10 {
        target.publish(decisions::rising(Timestamp::from_secs(second)));
    }
    let seconds: Vec<_> = target
        .history()
        .iter()
        .map(|point| point.at.as_millis() / 1_000)
        .collect();
    assert_eq!(seconds, [8, 9, 10]);
}

#[tokio::test]
async fn a_wrong_name_lists_the_known_ones_up_to_a_bound() {
    let server = Server::start().await;
    let sentence = server.missing("/api/v1/targets/shop/order").await;
    assert!(
        sentence.starts_with("There is no target shop/order. None are registered yet"),
        "{sentence}"
    );
    let now = server.clock.now();
    for number in 0..23 {
        let spec = decisions::spec("shop", &format!("orders-{number:02}"), 1);
        server.targets.register(spec, now).unwrap();
    }
    let sentence = server.missing("/api/v1/targets/shop/order/history").await;
    assert!(
        sentence.contains("shop/orders-00, shop/orders-01"),
        "{sentence}"
    );
    assert!(
        sentence.ends_with("shop/orders-19 and 3 more, see /api/v1/targets."),
        "{sentence}"
    );
}

#[tokio::test]
async fn of_several_triggers_the_last_asked_answers_unless_one_is_named() {
    let server = Server::start().await.with_orders();
    let later = server.clock.now().plus(Duration::from_secs(1));
    server
        .targets
        .register(decisions::spec("shop", "orders", 9), later)
        .unwrap();
    let detail: api::TargetDetail = server.json("/api/v1/targets/shop/orders").await;
    assert_eq!(detail.target.trigger, "0000000000000009");
    assert_eq!(detail.triggers, ["0000000000000007", "0000000000000009"]);
    let named: api::TargetDetail = server
        .json("/api/v1/targets/shop/orders?trigger=0000000000000007")
        .await;
    assert_eq!(named.target.desired_replicas, Some(14));
    let sentence = server
        .missing("/api/v1/targets/shop/orders?trigger=8")
        .await;
    assert!(
        sentence.starts_with("The target shop/orders has no trigger 8."),
        "{sentence}"
    );
    // Two series with the same labels would spoil the whole scrape.
    let text = server.get("/metrics").await.body;
    assert_eq!(series(&text, "evenkeel_target_valid").len(), 1);
}

#[tokio::test]
async fn the_metrics_hold_every_family_with_help_and_no_series_twice() {
    let server = Server::start().await.with_orders();
    let answer = server.get("/metrics").await;
    assert!(
        answer
            .head
            .contains("application/openmetrics-text; version=1.0.0"),
        "{}",
        answer.head
    );
    let text = answer.body;
    assert!(text.ends_with("# EOF\n"));
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        let key = match line.strip_prefix("# ") {
            Some(comment) => comment.split(' ').take(2).collect::<Vec<_>>().join(" "),
            None => line.rsplit_once(' ').unwrap().0.to_owned(),
        };
        assert!(seen.insert(key), "twice: {line}");
    }
    for expected in [
        concat!(
            r#"evenkeel_build_info{version=""#,
            env!("CARGO_PKG_VERSION"),
            r#""} 1"#
        ),
        r#"evenkeel_targets 1.0"#,
        r#"evenkeel_limit{name="targets"} 100.0"#,
        r#"evenkeel_limit{name="target_idle_seconds"} 600.0"#,
        r#"evenkeel_limit{name="prometheus_concurrency"} 8.0"#,
        r#"evenkeel_decisions_total{verdict="RateUp"} 2"#,
        r#"evenkeel_target_desired_replicas{namespace="shop",name="orders"} 14.0"#,
        r#"evenkeel_target_observed_replicas{namespace="shop",name="orders"} 12.0"#,
        r#"evenkeel_target_lag_records{namespace="shop",name="orders"} 48000.0"#,
        r#"evenkeel_target_lag_seconds{namespace="shop",name="orders"} 11.4"#,
        r#"evenkeel_target_utilization_ratio{namespace="shop",name="orders"} 0.875"#,
        r#"evenkeel_target_rebalances_total{namespace="shop",name="orders"} 3.0"#,
        r#"evenkeel_target_stage_replicas{namespace="shop",name="orders",stage="limit"} 14.0"#,
        r#"evenkeel_target_verdict{namespace="shop",name="orders",verdict="RateUp"} 1.0"#,
        r#"evenkeel_target_finding{namespace="shop",name="orders",finding="LagHeld"} 1.0"#,
        concat!(
            r#"evenkeel_target_inbound_records_per_second"#,
            r#"{namespace="shop",name="orders",witness="prometheus"} 4150.0"#
        ),
    ] {
        assert!(
            text.lines().any(|line| line == expected),
            "{expected} is missing in\n{text}"
        );
    }
    assert_eq!(series(&text, "evenkeel_limit").len(), 8);
    assert_eq!(series(&text, "process_start_time_seconds").len(), 1);
}

#[tokio::test]
async fn a_target_that_is_gone_leaves_no_series() {
    let server = Server::start().await.with_orders();
    assert!(server.get("/metrics").await.body.contains("orders"));
    let later = server.clock.now().plus(Duration::from_secs(600));
    assert_eq!(
        server.targets.expire(Duration::from_secs(600), later).len(),
        1
    );
    let text = server.get("/metrics").await.body;
    assert!(!text.contains("orders"), "{text}");
    assert!(text.contains("evenkeel_targets 0.0"), "{text}");
}

#[tokio::test]
async fn looking_at_a_target_does_not_keep_it_alive() {
    let server = Server::start().await.with_orders();
    let asked_at = server.targets.find("shop", "orders").unwrap().asked_at();
    for path in ["", "/shop/orders", "/shop/orders/history"] {
        assert_eq!(
            server.get(&format!("/api/v1/targets{path}")).await.status,
            200
        );
    }
    assert_eq!(
        server.targets.find("shop", "orders").unwrap().asked_at(),
        asked_at
    );
}

#[tokio::test]
async fn evil_names_stay_inside_their_quotes() {
    let server = Server::start().await;
    let name = "a\"} 1\nb{x=\"\\/<script>alert(1)</script>";
    let now = server.clock.now();
    let target = server
        .targets
        .register(decisions::spec("shop", name, 1), now)
        .unwrap();
    target.publish(decisions::rising(now));
    let text = server.get("/metrics").await.body;
    let expected = concat!(
        r#"evenkeel_target_valid{namespace="shop",name="a\"} 1\nb{x=\"\\/<script>alert(1)</script>","#,
        r#"kafka_cluster="main"} 1.0"#
    );
    assert_eq!(series(&text, "evenkeel_target_valid"), [expected]);
    let list: api::TargetList = server.json("/api/v1/targets").await;
    assert_eq!(list.targets[0].name, name);
    let path =
        "/api/v1/targets/shop/a%22%7D%201%0Ab%7Bx%3D%22%5C%2F%3Cscript%3Ealert(1)%3C%2Fscript%3E";
    let detail: api::TargetDetail = server.json(path).await;
    assert_eq!(detail.target.name, name);
}

#[tokio::test]
async fn it_only_reads_and_says_where_things_are() {
    let server = Server::start().await.with_orders();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(
            server.ask(method, "/api/v1/targets").await.status,
            405,
            "{method}"
        );
    }
    let sentence = server.missing("/api/v2").await;
    assert!(sentence.contains("/api/v1/targets"), "{sentence}");
}

#[tokio::test]
async fn a_silent_connection_does_not_hold_up_the_shutdown() {
    let server = Server::start().await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    assert_eq!(server.get("/livez").await.status, 200);
    server.stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(30), server.task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
    drop(silent);
}

#[tokio::test]
async fn the_page_brings_everything_itself_and_may_load_nothing_else() {
    let server = Server::start().await;
    for (path, content_type) in [
        ("/", "text/html"),
        ("/page.css", "text/css"),
        ("/page.js", "text/javascript"),
        ("/list.js", "text/javascript"),
        ("/target.js", "text/javascript"),
        ("/charts.js", "text/javascript"),
        ("/ahead.js", "text/javascript"),
        ("/words.js", "text/javascript"),
    ] {
        let file = server.get(path).await;
        assert_eq!(file.status, 200, "{path}");
        for header in [
            &format!("content-type: {content_type}"),
            "content-security-policy: default-src 'none'; script-src 'self'",
            "require-trusted-types-for 'script'",
        ] {
            assert!(file.head.contains(header), "{path}: {}", file.head);
        }
        let outside = file.body.replace("http://www.w3.org/2000/svg", "");
        assert!(!outside.contains("://"), "{path} names another server");
    }
}

#[tokio::test]
async fn with_a_token_the_page_and_the_api_are_for_those_who_show_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let token = "hush-0815-hush-0815";
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let server = Server::start_guarded(&file).await.with_orders();
    server.readiness.serving();
    for open in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(server.get(open).await.status, 200, "{open}");
    }
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let basic = format!(
        "Authorization: Basic {}\r\n",
        BASE64_STANDARD.encode(format!("me:{token}"))
    );
    let guarded = [
        ("/", "www-authenticate: basic realm="),
        ("/page.js", "www-authenticate: basic realm="),
        ("/api/v1/targets", "www-authenticate: bearer realm="),
        (
            "/api/v1/targets/shop/orders",
            "www-authenticate: bearer realm=",
        ),
        (
            "/api/v1/targets/shop/orders/history",
            "www-authenticate: bearer realm=",
        ),
    ];
    let wrong = [
        bearer("hush-0815-hush-0816"),
        bearer(&token[1..]),
        bearer(""),
    ];
    for (path, challenge) in guarded {
        for line in ["", &wrong[0], &wrong[1], &wrong[2]] {
            let answer = server.ask_with("GET", path, line).await;
            assert_eq!(answer.status, 401, "{path} {line}");
            assert!(answer.head.contains(challenge), "{}", answer.head);
            assert!(answer.body.contains("--token-file") && !answer.body.contains("orders"));
        }
        for line in [&bearer(token), &basic] {
            assert_eq!(
                server.ask_with("GET", path, line).await.status,
                200,
                "{path}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_token_is_replaced_by_its_file_and_a_bad_one_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let config = AdminConfig {
        listen: ([127, 0, 0, 1], 0).into(),
        token_file: Some(file.clone()),
    };
    let token = AdminToken::of(&config, &Metrics::default())
        .unwrap()
        .unwrap();
    std::fs::write(&file, "too-short").unwrap();
    let error = token.file().current().unwrap_err();
    assert!(
        error.contains("fewer than 16 characters") && !error.contains("too-short"),
        "{error}"
    );
    for (written, counts) in [
        ("the-first-of-all-tokens", "the-first-of-all-tokens"),
        ("the-second-of-all-tokens", "the-second-of-all-tokens"),
        ("short", "the-second-of-all-tokens"),
    ] {
        std::fs::write(&file, written).unwrap();
        tokio::time::advance(LOOK_EVERY).await;
        assert_eq!(token.file().current().unwrap().expose(), counts);
    }
    assert!(!format!("{token:?}").contains("the-second"));
}
