//! One target: its charts, what is unknown in them, and what happens when it or the server goes away.

use std::sync::Arc;
use std::time::Duration;

use evenkeel_scaler::calendar::Calendar;
use evenkeel_scaler::control::target::Target;

use crate::admin_server::Server;
use crate::browser::Browser;
use crate::{decisions, world};

/// Decisions every 2 s of the last two minutes: calm, then 12 s of a rebalance, calm, then 20 s of
/// nothing known, calm, 40 s in which nothing was decided at all, and calm until now.
fn eventful(server: &Server) -> Arc<Target> {
    let target = world::register(server, "orders");
    let now = server.clock.now();
    for ago in (0..=120_u64).rev().step_by(2) {
        let at = now.minus(Duration::from_secs(ago));
        target.publish(match ago {
            12..=50 => continue,
            61..=80 => decisions::unreachable(at, at),
            91..=102 => decisions::rising(at),
            _ => world::steady(at, 3),
        });
    }
    target
}

/// A browser with the charts of [`eventful`].
async fn look_at_an_eventful_one() -> (Server, Browser) {
    let server = Server::start().await;
    let browser = Browser::open(&server, "").await;
    eventful(&server);
    browser.goto(server.address, "/shop/orders").await;
    browser
        .until(
            "the charts are drawn",
            "document.querySelectorAll('path.curve').length === 6",
        )
        .await;
    (server, browser)
}

/// How often a line begins anew.
fn begins(path: &str) -> usize {
    path.matches('M').count()
}

#[tokio::test]
async fn what_is_unknown_is_a_gap_and_rebalances_are_shaded() {
    let (_server, browser) = look_at_an_eventful_one().await;
    let curves: Vec<(String, String)> = browser
        .run("return [...document.querySelectorAll('path.curve')].map((one) => [one.dataset.field, one.getAttribute('d')])")
        .await;
    for (field, path) in &curves {
        assert_eq!(begins(path), 3, "{field}: {path}");
    }
    let fields: Vec<&str> = curves.iter().map(|(field, _)| field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "desired_replicas",
            "observed_replicas",
            "inbound_records_per_second",
            "processing_records_per_second",
            "lag_records",
            "lag_seconds"
        ]
    );
    // In each of the four charts: one rebalance; nothing known once, nothing decided once.
    assert_eq!(browser.count("rect.shade").await, 4);
    assert_eq!(browser.count("rect.shade-unknown").await, 8);
    let key = browser.text("#key").await;
    assert!(key.contains("Violet: a rebalance was going on."), "{key}");
    assert!(key.contains("Red: too little was known"), "{key}");
    browser.complained_about_nothing().await;
}

#[tokio::test]
async fn what_is_known_ahead_is_listed_with_when_it_comes() {
    let server = Server::start().await;
    let browser = Browser::open(&server, "").await;
    let now = server.clock.now();
    let event = "{timezone: Europe/Berlin, start: 0 6 L 2 *, duration: 90m, desiredReplicas: 12}";
    let mut spec = decisions::spec("shop", "orders", 1);
    spec.calendar = Calendar::read(event).unwrap();
    let mut published = world::steady(now, 3);
    published.upcoming = spec.calendar.occurrences(now, Duration::ZERO).into();
    let target = server.targets.register(spec, now).unwrap();
    target.publish(published);
    browser.goto(server.address, "/shop/orders").await;
    let listed = "document.querySelectorAll('#calendar li').length === 1";
    browser.until("the event is listed", listed).await;
    let words = browser.text("#calendar").await;
    assert!(words.starts_with("Known ahead"), "{words}");
    assert!(words.contains("12 replicas from "), "{words}");
    assert!(
        words.contains(" 06:00 to 07:30, Europe/Berlin ("),
        "{words}"
    );
    browser.complained_about_nothing().await;
}

#[tokio::test]
async fn what_is_expected_by_earlier_days_is_listed_and_how_often_that_was_right() {
    let server = Server::start().await;
    let browser = Browser::open(&server, "").await;
    let now = server.clock.now();
    let mut published = world::steady(now, 3);
    published.foresight = Some(decisions::foresight(now));
    let spec = decisions::spec("shop", "orders", 1);
    let target = server.targets.register(spec, now).unwrap();
    target.publish(published);
    browser.goto(server.address, "/shop/orders").await;
    let listed = "document.querySelectorAll('#calendar li').length === 3";
    browser.until("the surges are listed", listed).await;
    let words = browser.text("#calendar").await;
    for expected in [
        "Known ahead",
        "which takes 16 replicas: it came at about that time on 9 of 10 working days (in ",
        "Since it is watched 2 of 3 that were expected came; 1.5 replica-hours",
    ] {
        assert!(words.contains(expected), "{words}");
    }
    assert_eq!(browser.count("#day rect.bar").await, 2);
    let day = browser.text("#day").await;
    assert!(
        day.contains("As on earlier days, records/s, at most"),
        "{day}"
    );
    browser.complained_about_nothing().await;
}

#[tokio::test]
async fn a_mouse_or_a_finger_on_a_chart_reads_all_of_them_at_that_moment() {
    let (_server, browser) = look_at_an_eventful_one().await;
    let captions = "return [...document.querySelectorAll('figcaption')]
        .map((one) => one.innerText.replace(/\\s+/g, ' '))";
    let said: Vec<String> = browser.run(captions).await;
    assert_eq!(said[0], "Replicas decided 3 in the group 3");
    for kind in ["mouse", "touch"] {
        // In the middle of the first chart's second shade, where nothing was known.
        browser
            .run::<()>(&format!(
                "const shade = document.querySelector('rect.shade-unknown').getBoundingClientRect();
                 document.querySelector('figure svg').dispatchEvent(new PointerEvent('pointermove', {{
                   clientX: shade.left + shade.width / 2, clientY: shade.top + 5, pointerType: '{kind}', bubbles: true }}))"
            ))
            .await;
        let said: Vec<String> = browser.run(captions).await;
        let moment = said[0].split(' ').nth(1).unwrap().to_owned();
        assert_eq!(moment.len(), "16:04:12".len(), "{said:?}");
        assert_eq!(
            said,
            [
                format!("Replicas {moment} decided unknown in the group unknown"),
                format!("Rates, records/s {moment} inbound unknown processed unknown"),
                format!("Lag, records {moment} lag unknown"),
                format!("Lag, seconds {moment} worst partition unknown"),
            ]
        );
        browser
            .run::<()>(&format!(
                "document.querySelector('figure svg').dispatchEvent(new PointerEvent('pointerleave', {{ pointerType: '{kind}' }}))"
            ))
            .await;
        let first = browser.text("figcaption").await;
        // A lifted finger leaves its reading; a mouse that goes takes it along.
        assert_eq!(first.contains(&moment), kind == "touch", "{first}");
    }
}

#[tokio::test]
async fn a_target_says_why_and_follows_what_is_decided() {
    let server = Server::start().await.with_orders();
    let browser = Browser::open(&server, "/shop/orders").await;
    browser
        .until_it_says(
            "#lead",
            "14 replicas, active: 4,200 records/s come in over 24 partitions; the busiest of 14 replicas gets 300 and may get 347 (RateUp).",
        )
        .await;
    assert_eq!(browser.text("h1").await, "shop/orders");
    let trail = browser.text("#trail").await;
    for words in [
        "How it came to that",
        "12 → 14",
        "4,200 records/s inbound need 14 replicas of 400 records/s at 80 %.",
        "A rebalance has been going on for 12 s: its lag does not count.",
    ] {
        assert!(trail.contains(words), "{words} in {trail}");
    }
    let findings = browser.text("#findings").await;
    assert!(findings.contains("LagHeld: 36,000 records"), "{findings}");
    let source = browser.text("#source").await;
    assert!(source.contains("orders-group"), "{source}");

    let target = server.targets.find("shop", "orders").unwrap();
    let now = server.clock.now();
    target.publish(decisions::unreachable(
        now,
        now.minus(Duration::from_secs(90)),
    ));
    browser
        .until_it_says(
            "#lead",
            "evenkeel returns UNAVAILABLE to KEDA: unreachable. The replicas stay as they are.",
        )
        .await;
    let problems = browser.text("#problems").await;
    assert!(
        problems.contains("No connection to broker-1:9092"),
        "{problems}"
    );
    let freshness = browser.text("#freshness").await;
    assert!(freshness.contains("from data 9"), "{freshness}");
    assert_eq!(
        browser.count("#freshness.bad").await,
        1,
        "old data is marked"
    );
    browser.complained_about_nothing().await;
}

#[tokio::test]
async fn a_target_that_is_gone_says_so_keeps_its_picture_and_comes_back() {
    let server = Server::start().await.with_orders();
    let browser = Browser::open(&server, "/shop/orders").await;
    browser.until_it_says("#lead", "14 replicas").await;
    world::expire_all(&server);
    browser
        .until_it_says("#gone", "There is no target shop/orders.")
        .await;
    let gone = browser.text("#gone").await;
    assert!(gone.contains("What you see is of"), "{gone}");
    assert_eq!(
        browser.text("#lead").await.split(',').next(),
        Some("14 replicas")
    );
    assert_eq!(browser.count("path.curve").await, 6);
    assert_eq!(
        browser.count("#trouble").await,
        0,
        "the server itself is there"
    );

    world::calm(&server, "others");
    browser.goto(server.address, "").await;
    browser.until_it_says("#targets", "shop/others").await;
    assert_eq!(browser.count("#targets tbody tr").await, 1);

    browser.goto(server.address, "/shop/orders").await;
    browser
        .until_it_says("#gone", "Known are: shop/others.")
        .await;
    assert_eq!(
        browser.count("#picture").await,
        0,
        "nothing is shown of what was never seen"
    );
    world::calm(&server, "orders");
    browser.until_it_says("#lead", "3 replicas").await;
    assert_eq!(browser.count("#gone").await, 0);
}

#[tokio::test]
async fn two_triggers_of_one_object_have_an_address_each() {
    let server = Server::start().await;
    let now = server.clock.now();
    for (hash, replicas) in [(1, 3), (2, 5)] {
        let spec = decisions::spec("shop", "orders", hash);
        let target = server.targets.register(spec, now).unwrap();
        target.publish(world::steady(now, replicas));
    }
    world::calm(&server, "single");
    let browser = Browser::open(&server, "").await;
    browser.until_it_says("#count", "3 targets").await;
    let addresses: Vec<String> = browser
        .run("return [...document.querySelectorAll('#targets tbody a')].map((one) => one.getAttribute('href'))")
        .await;
    assert_eq!(
        addresses,
        [
            "#/shop/orders/0000000000000001",
            "#/shop/orders/0000000000000002",
            "#/shop/single"
        ]
    );
    browser
        .goto(server.address, "/shop/orders/0000000000000002")
        .await;
    browser.until_it_says("#lead", "5 replicas").await;
    browser
        .goto(server.address, "/shop/orders/0000000000000003")
        .await;
    browser
        .until_it_says("#gone", "has no trigger 0000000000000003")
        .await;
    browser
        .run::<()>("document.querySelector('#gone a').click()")
        .await;
    browser.until("its newest trigger is shown", "location.hash === '#/shop/orders' && document.querySelector('#lead').checkVisibility()").await;
}

#[tokio::test]
async fn a_server_that_is_away_is_said_with_the_age_of_the_picture_until_it_is_back() {
    for (place, shown) in [("", "#targets tbody"), ("/shop/orders", "#lead")] {
        let server = Server::start().await.with_orders();
        let address = server.address;
        let browser = Browser::open(&server, place).await;
        browser.until_it_says(shown, "14").await;
        assert_eq!(browser.count("#trouble").await, 0);
        server.stop.send(()).unwrap();
        server.task.await.unwrap().unwrap();
        browser
            .until_it_says(
                "#trouble",
                "The server does not answer (no connection). What you see is of ",
            )
            .await;
        let trouble = browser.text("#trouble").await;
        assert!(
            trouble.contains("ago. Trying again every 2 s."),
            "{trouble}"
        );
        assert!(browser.text(shown).await.contains("14"));

        let server = Server::start_on(address, decisions::limits()).await;
        let target = world::register(&server, "orders");
        target.publish(world::steady(server.clock.now(), 5));
        browser.until_it_says(shown, "5").await;
        browser
            .until(
                "the notice goes",
                "document.querySelector('#trouble').hidden",
            )
            .await;
    }
}
