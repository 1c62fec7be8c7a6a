//! The list: order, filter, bounds, and updates that take nothing away.

use std::time::Duration;

use evenkeel_scaler::config::Limits;

use crate::admin_server::Server;
use crate::browser::Browser;
use crate::{decisions, world};

const NAMES: &str =
    "return [...document.querySelectorAll('#targets tbody a')].map((one) => one.textContent)";

#[tokio::test]
async fn the_worst_comes_first_and_says_why() {
    let server = Server::start().await;
    world::calm(&server, "b-calm");
    world::calm(&server, "a-calm");
    let now = server.clock.now();
    world::register(&server, "y-stuck").publish(world::stuck(now));
    world::register(&server, "z-dark").publish(decisions::unreachable(now, now));
    world::register(&server, "x-rebalancing").publish(decisions::rising(now));
    world::register(&server, "w-new");
    let browser = Browser::open(&server, "").await;
    browser.until_it_says("#count", "6 targets").await;
    let names: Vec<String> = browser.run(NAMES).await;
    assert_eq!(
        names,
        [
            "shop/z-dark",
            "shop/y-stuck",
            "shop/w-new",
            "shop/x-rebalancing",
            "shop/a-calm",
            "shop/b-calm"
        ]
    );
    assert_eq!(
        browser.text("#count").await,
        "6 targets, 2 need attention, 1 rebalancing"
    );
    let rows: Vec<Vec<String>> = browser
        .run(
            "return [...document.querySelectorAll('#targets tbody tr')]
                .map((row) => [...row.cells].map((cell) => cell.innerText))",
        )
        .await;
    // Unknown is a dash, never a figure.
    assert_eq!(
        rows[0][1..7],
        [
            "Stale: evenkeel returns UNAVAILABLE to KEDA: unreachable",
            "–",
            "–",
            "–",
            "–",
            "–"
        ]
    );
    assert_eq!(
        rows[1][1],
        "StuckPartition: the commits of a partition do not move: a poison record"
    );
    assert_eq!(rows[2][1], "waiting for data");
    assert_eq!(
        rows[3][1..5],
        ["RateUp, rebalancing", "12 → 14", "48,000", "11 s"]
    );
    assert_eq!(rows[3][5..7], ["4,200", "3,600"]);
    browser.complained_about_nothing().await;
}

#[tokio::test]
async fn without_a_target_it_says_how_one_comes() {
    let server = Server::start().await;
    let browser = Browser::open(&server, "").await;
    browser
        .until_it_says("#empty", "One appears when KEDA first asks")
        .await;
    world::calm(&server, "orders");
    browser.until_it_says("#targets", "shop/orders").await;
    assert_eq!(browser.count("#empty").await, 0);
}

#[tokio::test]
async fn a_thousand_targets_are_bounded_rows_and_an_update_leaves_everything_where_it_was() {
    let limits = Limits {
        targets: 1_000,
        ..decisions::limits()
    };
    let server = Server::start_on(([127, 0, 0, 1], 0).into(), limits).await;
    let targets: Vec<_> = (0..1_000)
        .map(|nth| world::calm(&server, &format!("t{nth:04}")))
        .collect();
    let browser = Browser::open(&server, "").await;
    browser.until_it_says("#count", "1,000 targets").await;
    assert_eq!(browser.count("#targets tbody tr").await, 200);
    assert_eq!(browser.text("#more").await, "Show 200 more of 800");
    browser
        .run::<()>("document.querySelector('#more').click()")
        .await;
    assert_eq!(browser.count("#targets tbody tr").await, 400);

    // Somebody has scrolled down, holds the focus on a row, and has selected a name.
    browser
        .run::<()>(
            "const links = document.querySelectorAll('#targets tbody a');
             links[350].focus(); scrollTo(0, 5000);
             getSelection().selectAllChildren(links[340]);",
        )
        .await;
    let now = server.clock.now();
    targets[350].publish(world::steady(now, 7));
    browser
        .until(
            "the row is rewritten",
            "document.activeElement.closest('tr').cells[2].innerText === '7'",
        )
        .await;
    let kept: (u32, String, String) = browser
        .run("return [scrollY, document.activeElement.textContent, String(getSelection())]")
        .await;
    assert_eq!(kept, (5_000, "shop/t0350".into(), "shop/t0340".into()));

    // The one that goes wrong comes to the top by itself; the focus stays with its row even when the
    // row moves.
    targets[350].publish(world::stuck(server.clock.now()));
    browser
        .until(
            "it is first",
            "document.querySelector('#targets tbody a').textContent === 'shop/t0350'",
        )
        .await;
    let focused: String = browser
        .run("return document.activeElement.textContent")
        .await;
    assert_eq!(focused, "shop/t0350");

    // The filter finds what is not drawn, and an update keeps it.
    browser
        .run::<()>("document.querySelector('#filter').focus()")
        .await;
    browser.press("0997").await;
    browser.until_it_says("#count", "1 of 1,000 targets").await;
    targets[997].publish(world::steady(server.clock.now(), 9));
    browser.until_it_says("#targets tbody tr", "9").await;
    let filter: String = browser.run("return document.activeElement.value").await;
    assert_eq!(filter, "0997");
    assert_eq!(browser.count("#targets tbody tr").await, 1);
    browser.complained_about_nothing().await;
}

#[tokio::test]
async fn a_column_sorts_both_ways_with_the_unknown_last() {
    let server = Server::start().await;
    let now = server.clock.now();
    for (name, replicas) in [("a", 2), ("b", 5), ("c", 3)] {
        world::register(&server, name).publish(world::steady(now, replicas));
    }
    world::register(&server, "d").publish(decisions::unreachable(now, now));
    let browser = Browser::open(&server, "").await;
    browser.until_it_says("#count", "4 targets").await;
    let click = "document.querySelectorAll('#targets th button')[2].click();";
    let names: Vec<String> = browser.run(&format!("{click} {NAMES}")).await;
    assert_eq!(names, ["shop/b", "shop/c", "shop/a", "shop/d"]);
    let names: Vec<String> = browser.run(&format!("{click} {NAMES}")).await;
    assert_eq!(names, ["shop/a", "shop/c", "shop/b", "shop/d"]);
    let sorted: Vec<String> = browser
        .run(
            "return [...document.querySelectorAll('#targets th')]
                .map((head) => head.getAttribute('aria-sort')).filter((sort) => sort !== 'none')",
        )
        .await;
    assert_eq!(sorted, ["ascending"]);
}

#[tokio::test]
async fn certificates_that_end_soon_are_said_above_the_list_and_with_their_targets() {
    let server = Server::start().await.with_orders();
    let day = Duration::from_secs(86_400);
    let ends = evenkeel_scaler::clock::wall() + 3 * day;
    server.metrics.note_certificate("grpc.tls", ends);
    server
        .metrics
        .note_certificate("clusters.elsewhere.tls", ends);
    server.metrics.note_unverified("clusters.elsewhere.tls");
    let browser = Browser::open(&server, "").await;
    for words in [
        "The certificate of grpc.tls expires on",
        "The certificate of clusters.elsewhere.tls expires on",
        "clusters.elsewhere.tls.insecureSkipVerify is on",
    ] {
        browser.until_it_says("#warnings", words).await;
    }
    browser.goto(server.address, "/shop/orders").await;
    browser
        .until_it_says("#notices", "The certificate of grpc.tls expires on")
        .await;
    let notices = browser.text("#notices").await;
    assert!(!notices.contains("elsewhere"), "{notices}");
    // It is gone when the certificate was renewed.
    server.metrics.note_certificate("grpc.tls", ends + 90 * day);
    browser
        .until(
            "the notice is gone",
            "!document.querySelector('#notices').innerText",
        )
        .await;
    browser.complained_about_nothing().await;
}
