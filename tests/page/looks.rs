//! Phones and wide screens, dark and light.

use crate::admin_server::Server;
use crate::browser::Browser;
use crate::{decisions, world};

/// WCAG 2's contrast ratio of the text's colour to what is behind it, the lowest of everything that
/// is shown with text of its own, with who has it.
const LOWEST_CONTRAST: &str = "
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).map((value) => value / 255).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (one) => {
    const colour = getComputedStyle(one).backgroundColor;
    return (parts(colour)[3] ?? 1) === 0 && one.parentElement ? behind(one.parentElement) : colour;
  };
  let lowest = [Infinity, ''];
  for (const one of document.querySelectorAll('body *')) {
    if (!one.checkVisibility() || ![...one.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim())) continue;
    const style = getComputedStyle(one), colour = one instanceof SVGElement ? style.fill : style.color;
    const [a, b] = [light(colour), light(behind(one))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < lowest[0]) lowest = [ratio, `${one.tagName}: ${one.textContent}`];
  }
  return lowest";

fn some_of_everything(server: &Server) {
    let now = server.clock.now();
    world::calm(server, "calm");
    world::register(server, "stuck").publish(world::stuck(now));
    world::register(server, "dark").publish(decisions::unreachable(now, now));
    let long = format!("team-{}", "of-many-words-".repeat(12));
    world::register(server, &long).publish(decisions::rising(now));
}

#[tokio::test]
async fn a_phone_and_a_wide_screen_show_everything_without_scrolling_sideways() {
    let server = Server::start().await.with_orders();
    some_of_everything(&server);
    let browser = Browser::open(&server, "").await;
    for width in [360, 768, 1_920] {
        browser.size(width, 740).await;
        browser.goto(server.address, "").await;
        browser.until_it_says("#count", "5 targets").await;
        browser.scrolls_in_one_direction().await;
        // Figures are there with their names, whatever the width.
        browser.until_it_says("#targets", "48,000").await;
        browser.goto(server.address, "/shop/orders").await;
        browser.until_it_says("#trail", "12 → 14").await;
        browser.scrolls_in_one_direction().await;
        let inside: bool = browser
            .run(
                "return [...document.querySelectorAll('svg')].every((chart) => {
                   const outer = chart.closest('figure').getBoundingClientRect(), own = chart.getBoundingClientRect();
                   return own.left >= outer.left && own.right <= outer.right && own.width > 0.8 * outer.width;
                 })",
            )
            .await;
        assert!(inside, "the charts fit at {width} px");
    }
    browser.complained_about_nothing().await;
}

#[tokio::test]
async fn dark_and_light_follow_the_system_and_everything_can_be_read() {
    let server = Server::start().await.with_orders();
    some_of_everything(&server);
    let browser = Browser::open(&server, "").await;
    let mut grounds = Vec::new();
    for scheme in ["light", "dark"] {
        browser.scheme(scheme).await;
        for (place, shown) in [
            ("", "#targets"),
            ("/shop/orders", "#trail"),
            ("/shop/dark", "#problems"),
            ("/shop/nobody", "#gone"),
        ] {
            browser.goto(server.address, place).await;
            browser.until_it_says(shown, "").await;
            let (ratio, who): (f64, String) = browser.run(LOWEST_CONTRAST).await;
            assert!(ratio >= 4.5, "{scheme}, {ratio:.1}: {who}");
        }
        let ground: String = browser
            .run("return getComputedStyle(document.body).backgroundColor")
            .await;
        grounds.push(ground);
    }
    assert_eq!(grounds, ["rgb(251, 251, 249)", "rgb(20, 23, 26)"]);
}
