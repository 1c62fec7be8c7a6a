//! `evenkeel explain` and `evenkeel top` against a running admin server.

#![allow(clippy::unwrap_used, reason = "a test's own helpers may fail the test")]

#[path = "support/admin_server.rs"]
mod admin_server;
#[path = "support/decisions.rs"]
mod decisions;

use std::time::Duration;

use admin_server::Server;
use evenkeel_engine::{Finding, Stage, Step, Verdict};
use evenkeel_scaler::admin::api;
use evenkeel_scaler::cli::explain::client::AdminClient;
use evenkeel_scaler::cli::explain::{TargetName, Wanted, explain, render};
use evenkeel_scaler::cli::top;
use expect_test::expect;
use tokio::net::TcpListener;

fn target(name: &str) -> TargetName {
    TargetName {
        namespace: "shop".to_owned(),
        name: name.to_owned(),
    }
}

fn wanted(target: &TargetName, with_history: bool, as_json: bool) -> Wanted<'_> {
    Wanted {
        target,
        trigger: None,
        with_history,
        ahead: Duration::ZERO,
        as_json,
    }
}

/// The answer of a running server with its clock turned to `decided + 2 s`.
async fn detail_at_two_seconds(server: &Server, name: &str) -> api::TargetDetail {
    let mut detail = server.client().target("shop", name, None).await.unwrap();
    let decided = detail.decision.as_ref().unwrap().at_millis;
    detail.now_millis = decided + 2_000;
    detail.target.data_age_seconds = Some(2.0);
    detail
}

#[tokio::test]
async fn explain_tells_the_trail_in_words() {
    let server = Server::start().await.with_orders();
    let detail = detail_at_two_seconds(&server, "orders").await;
    expect![[r#"
        shop/orders: 14 replicas, active: 4,200 records/s come in over 24 partitions; the busiest of 14 replicas gets 300 and may get 347 (RateUp).
        Decided 2.0 s ago from data 2.0 s old; it stands for 118 s without newer data.
        Cluster main, consumer group orders-group, topic orders.

        How it came to that
          observed     0 -> 12  12 replicas own 24 partitions.
          rate        12 -> 14  4,200 records/s inbound need 14 replicas of 400 records/s at 80 %.
          lag         14 -> 15  48,000 records of lag need one more to be worked off in 120 s.
          hold        15 -> 14  A rebalance has been going on for 12 s: its lag does not count.
          stabilize         14  Up goes in one step.
          limit             14  Between 1 and 24 replicas.

        Also
          LagHeld: 36,000 records of lag came with the rebalance and do not count for now.

        Figures
          inbound    4,200 records/s for going up, 3,900 for going down (log ends 4,200 fast, 3,900 slow; Prometheus 4,150)
          processed  3,600 records/s
          lag        48,000 records, of which 12,000 count; the worst of 24 partitions is 11 s behind
          capacity   400 records/s a replica, learned; 88 % in use
          group      PreparingRebalance, 12 replicas, 2 more on their way
          rebalances 3 so far; one goes on, 12 s into its hold

        Notes
          version is accepted and ignored: versions are negotiated.
    "#]].assert_eq(&render::detail(&detail, Duration::ZERO));
}

#[tokio::test]
async fn explain_lists_what_is_known_ahead() {
    let server = Server::start().await.with_orders();
    let mut detail = detail_at_two_seconds(&server, "orders").await;
    let now = detail.now_millis;
    let occurrence = |event, minutes: i64, words: &str| api::OccurrenceView {
        event,
        starts_at_millis: now.saturating_add_signed(minutes * 60_000),
        ends_at_millis: now + 36_000_000,
        replicas: Some(12),
        records_per_second: None,
        words: words.to_owned(),
    };
    detail.calendar = vec![
        occurrence(1, -5, "12 replicas from 08:00"),
        occurrence(1, 90, "12 replicas from 09:30"),
        occurrence(1, 300, "12 replicas from 13:00"),
        occurrence(2, 3_000, "1500 records/s from 10:00"),
    ];
    let section = |ahead: u64| {
        let text = render::detail(&detail, Duration::from_secs(ahead));
        let (_, rest) = text.split_once("Known ahead\n").unwrap();
        let (section, _) = rest.split_once("\n\n").unwrap();
        section.to_owned()
    };
    let next = "  12 replicas from 08:00 (goes on)\n  1500 records/s from 10:00 (in 50 h)";
    assert_eq!(section(0), next);
    let hours = "  12 replicas from 08:00 (goes on)\n  12 replicas from 09:30 (in 90 min)\n  1500 records/s \
                 from 10:00 (in 50 h)";
    assert_eq!(section(2 * 3_600), hours);
}

#[tokio::test]
async fn explain_lists_surges_that_are_expected_and_how_often_that_was_right() {
    let server = Server::start().await;
    let now = server.clock.now();
    let spec = decisions::spec("shop", "days", 1);
    let target = server.targets.register(spec, now).unwrap();
    let mut published = decisions::rising(now);
    published.foresight = Some(decisions::foresight(now));
    target.publish(published);
    let detail = detail_at_two_seconds(&server, "days").await;
    let section = |hours: u64| {
        let text = render::detail(&detail, Duration::from_secs(hours * 3_600));
        let (_, rest) = text.split_once("Known ahead\n").unwrap();
        let (section, _) = rest.split_once("\n\n").unwrap();
        section.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let [first, how_often] = &section(0)[..] else {
        panic!("{:?}", section(0));
    };
    assert!(first.starts_with("  5000 records/s from "), "{first}");
    let why =
        ", UTC, which takes 16 replicas: it came at about that time on 9 of 10 working days (in ";
    assert!(first.contains(why), "{first}");
    let expected = "  Since it is watched 2 of 3 that were expected came; 1.5 replica-hours were asked for \
                    because of those that did not.";
    assert_eq!(how_often, expected);
    assert_eq!((section(19).len(), section(24).len()), (2, 3));
    assert!(section(24)[1].contains(", UTC: it came at"));
}

#[tokio::test]
async fn what_was_expected_is_counted_where_a_calendar_is_learned() {
    let server = Server::start().await.with_orders();
    let mut published = decisions::rising(server.clock.now());
    published.foresight = Some(decisions::foresight(server.clock.now()));
    server
        .targets
        .find("shop", "orders")
        .unwrap()
        .publish(published);
    let text = server.get("/metrics").await.body;
    for value in [
        "hits_total 2",
        "misses_total 1",
        "missed_replica_seconds_total 5400",
    ] {
        let value = value.replace(' ', r#"{namespace="shop",name="orders"} "#);
        assert!(text.contains(&format!("_calendar_{value}.0\n")), "{text}");
    }
}

#[tokio::test]
async fn explain_says_why_there_is_no_answer() {
    let server = Server::start().await;
    let now = server.clock.now();
    let dark = decisions::spec("shop", "dark", 1);
    let target = server.targets.register(dark, now).unwrap();
    let mut published = decisions::unreachable(now, now);
    let why = "topic orders has never been read (unreachable)";
    published.decision.trail = vec![Step {
        stage: Stage::Observed,
        before: 0,
        after: 0,
        why: why.to_owned(),
    }];
    published.decision.findings = vec![Finding {
        verdict: Verdict::Stale,
        why: why.to_owned(),
    }];
    target.publish(published);
    let detail = detail_at_two_seconds(&server, "dark").await;
    expect![[r#"
        shop/dark: evenkeel returns UNAVAILABLE, KEDA keeps the current replicas: unreachable (Stale).
        Decided 2.0 s ago from data 2.0 s old.
        Cluster main, consumer group dark-group, topic orders.

        What is wrong
          No connection to broker-1:9092: connection refused. Check bootstrapServers.

        Also
          Stale: topic orders has never been read (unreachable)

        Notes
          version is accepted and ignored: versions are negotiated.
    "#]]
    .assert_eq(&render::detail(&detail, Duration::ZERO));
}

#[tokio::test]
async fn explain_shows_where_the_history_changed() {
    let server = Server::start().await.with_orders();
    let mut history = server
        .client()
        .history("shop", "orders", None)
        .await
        .unwrap();
    let newest = history.points.last().unwrap().at_millis;
    history.now_millis = newest + 1_000;
    expect![[r#"

        History: the changes among 2 decisions remembered, rates in records/s
           ago  decided  in group     lag  behind  inbound  processed  verdict
         6.0 s       14        12  48,000    11 s    4,200      3,600  RateUp, rebalancing
         1.0 s       14        12  48,000    11 s    4,200      3,600  RateUp, rebalancing
    "#]]
    .assert_eq(&render::history(&history));
}

#[tokio::test]
async fn explain_as_json_is_what_the_server_says() {
    let server = Server::start().await.with_orders();
    let text = explain(&server.client(), wanted(&target("orders"), true, true))
        .await
        .unwrap();
    let answer: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["decision"]["trail"].as_array().unwrap().len(), 6);
    assert_eq!(answer["history"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn explain_of_a_wrong_name_lists_the_known_ones() {
    let server = Server::start().await.with_orders();
    let error = explain(&server.client(), wanted(&target("order"), false, false))
        .await
        .unwrap_err();
    let expected =
        "There is no target shop/order. Known are: shop/orders. Did you mean shop/orders?";
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_scaled_object_with_two_triggers_is_explained_one_at_a_time() {
    let server = Server::start().await.with_orders();
    let now = server.clock.now();
    let second = decisions::spec("shop", "orders", 8);
    let second = server.targets.register(second, now).unwrap();
    second.publish(decisions::unreachable(now, now));
    let known = server.client().targets().await.unwrap();
    let triggers: Vec<&str> = known
        .targets
        .iter()
        .map(|target| &*target.trigger)
        .collect();
    for (trigger, words) in triggers.iter().zip(["14 replicas", "unreachable"]) {
        let target = target("orders");
        let wanted = Wanted {
            trigger: Some(trigger),
            ..wanted(&target, true, false)
        };
        let text = explain(&server.client(), wanted).await.unwrap();
        assert!(text.contains(words), "{text}");
        let expected = format!("Trigger {trigger} of the 2 that it has");
        assert!(text.contains(&expected), "{text}");
        assert!(top::render(&known).contains(&format!("shop/orders {trigger}")));
    }
    let target = target("orders");
    let none = Wanted {
        trigger: Some("none"),
        ..wanted(&target, false, false)
    };
    let error = explain(&server.client(), none).await.unwrap_err();
    let expected = "The target shop/orders has no trigger none.";
    assert!(error.to_string().starts_with(expected), "{error}");
    assert!(!error.to_string().contains("Did you mean"), "{error}");
}

/// Runs the program against `server`; its exit code and both outputs.
async fn run(server: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = tokio::process::Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(arguments)
        .env("EVENKEEL_SERVER", server)
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn as_programs_they_print_no_colours_into_a_pipe_and_say_in_the_exit_code_how_it_went() {
    let server = Server::start().await.with_orders();
    let address = format!("http://{}", server.address);
    for (arguments, words) in [
        (
            &["explain", "shop/orders", "--history"][..],
            "14 replicas, active",
        ),
        (&["explain", "shop/orders", "--json"], "\"trail\""),
        (&["top"], "shop/orders"),
        (&["top", "--once"], "shop/orders"),
        (&["top", "--json"], "\"targets\""),
    ] {
        let (code, said, wrong) = run(&address, arguments).await;
        assert_eq!(code, Some(0), "{arguments:?}: {wrong}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert!(!said.contains('\u{1b}'), "{arguments:?}: {said:?}");
    }
    for (arguments, words, expected) in [
        (
            &["explain", "shop/order"][..],
            "Did you mean shop/orders?",
            1,
        ),
        (&["explain", "orders"], "NAMESPACE/NAME", 64),
        (&["top", "--server", "ftp://example"], "is no address", 1),
    ] {
        let (code, _, wrong) = run(&address, arguments).await;
        assert_eq!(code, Some(expected), "{arguments:?}: {wrong}");
        assert!(wrong.contains(words), "{arguments:?}: {wrong}");
    }
}

#[tokio::test]
async fn where_the_server_wants_a_token_they_say_so_and_send_it_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let right = write("right", "hush-0815-hush-0815\n");
    let wrong = write("wrong", "hush-0816-hush-0816");
    let server = Server::start_guarded(right.as_ref()).await.with_orders();
    let address = format!("http://{}", server.address);
    for command in [&["explain", "shop/orders"][..], &["top", "--once"]] {
        let with = |file: &'static str| [command, &["--token-file", file]].concat();
        let (code, said, _) = run(&address, &[command, &["--token-file", &right]].concat()).await;
        assert_eq!(code, Some(0));
        assert!(said.contains("shop/orders"), "{said}");
        for arguments in [
            command.to_vec(),
            [command, &["--token-file", &wrong]].concat(),
        ] {
            let (code, said, complaint) = run(&address, &arguments).await;
            assert_eq!((code, said.as_str()), (Some(1), ""));
            assert!(complaint.contains("--token-file"), "{complaint}");
            assert!(!complaint.contains("hush"), "{complaint}");
        }
        let (code, _, complaint) = run(&address, &with("/nowhere/token")).await;
        assert_eq!(code, Some(1));
        assert!(
            complaint.contains("/nowhere/token cannot be read"),
            "{complaint}"
        );
    }
}

#[tokio::test]
async fn without_a_server_explain_and_top_say_what_to_do() {
    // A port that was just free and that nobody listens on any more.
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = AdminClient::new(&format!("http://{address}"), None).unwrap();
    let errors = [
        explain(&client, wanted(&target("orders"), false, false))
            .await
            .unwrap_err(),
        client.targets().await.unwrap_err(),
    ];
    for error in errors {
        let sentence = error.to_string();
        assert!(sentence.starts_with("no evenkeel answers at"), "{sentence}");
        assert!(sentence.contains("port-forward"), "{sentence}");
    }
    assert!(AdminClient::new("ftp://example", None).is_err());
}

#[tokio::test]
async fn top_shows_a_line_for_each_target() {
    let server = Server::start().await.with_orders();
    let now = server.clock.now();
    for name in ["audit", "esc\u{1b}[2Jape"] {
        let spec = decisions::spec("shop", name, 1);
        server.targets.register(spec, now).unwrap();
    }
    let mut list = server.client().targets().await.unwrap();
    for target in &mut list.targets {
        target.data_age_seconds = target.data_age_seconds.map(|_| 2.0);
    }
    expect![[r#"
         target                decided  in group     lag  behind  inbound  processed  data age  verdict
         shop/audit                  -         -       -       -        -          -         -  waiting for data
         shop/esc\u{1b}[2Jape        -         -       -       -        -          -         -  waiting for data
         shop/orders                14        12  48,000    11 s    4,200      3,600     2.0 s  RateUp, rebalancing

        3 targets, evenkeel VERSION; rates in records/s
    "#]].assert_eq(&top::render(&list).replace(env!("CARGO_PKG_VERSION"), "VERSION"));
}
