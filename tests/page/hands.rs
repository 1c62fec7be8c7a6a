//! Everything without a mouse, by the keys that the page names.

use std::time::Duration;

use thirtyfour::Key;

use crate::admin_server::Server;
use crate::browser::Browser;
use crate::world;

fn keys(keys: &[Key]) -> String {
    keys.iter().map(|key| char::from(key.clone())).collect()
}

const FOCUSED: &str = "return document.activeElement.textContent || document.activeElement.id";

#[tokio::test]
async fn filter_move_open_read_and_back() {
    let server = Server::start().await;
    for name in ["alpha", "beta", "gamma"] {
        world::calm(&server, name);
    }
    let betamax = world::register(&server, "betamax");
    let now = server.clock.now();
    betamax.publish(world::steady(now.minus(Duration::from_secs(2)), 3));
    betamax.publish(world::steady(now, 4));
    let browser = Browser::open(&server, "").await;
    browser.until_it_says("#count", "4 targets").await;

    browser.press("/").await;
    assert_eq!(browser.run::<String>(FOCUSED).await, "filter");
    browser.press("beta").await;
    assert_eq!(browser.count("#targets tbody tr").await, 2);
    browser.press(keys(&[Key::Down])).await;
    assert_eq!(browser.run::<String>(FOCUSED).await, "shop/beta");
    browser.press(keys(&[Key::Down, Key::Down])).await;
    assert_eq!(browser.run::<String>(FOCUSED).await, "shop/betamax");
    let outline: String = browser
        .run("return getComputedStyle(document.activeElement).outlineStyle")
        .await;
    assert_eq!(outline, "solid", "the focus is seen");
    browser.press(keys(&[Key::Up])).await;
    assert_eq!(browser.run::<String>(FOCUSED).await, "shop/beta");
    browser.press(keys(&[Key::Down, Key::Enter])).await;
    browser.until_it_says("#lead", "4 replicas").await;
    assert_eq!(browser.text("h1").await, "shop/betamax");

    // From the title on: the three ranges, then the first chart.
    browser
        .press(keys(&[Key::Tab, Key::Tab, Key::Tab, Key::Tab]))
        .await;
    let chart: String = browser
        .run("return document.activeElement.getAttribute('aria-label')")
        .await;
    assert_eq!(chart, "Replicas: decided 4, in the group 4");
    browser.press(keys(&[Key::Home])).await;
    let first: String = browser
        .run("return document.activeElement.getAttribute('aria-label')")
        .await;
    assert!(first.ends_with(", decided 3, in the group 3"), "{first}");
    browser.press(keys(&[Key::Right])).await;
    let caption = browser.text("figcaption").await;
    assert!(caption.contains("decided 4"), "{caption}");
    // An update takes neither the focus nor the reading away.
    browser.press(keys(&[Key::Left])).await;
    betamax.publish(world::steady(server.clock.now(), 6));
    browser.until_it_says("#lead", "6 replicas").await;
    let kept: String = browser
        .run("return document.activeElement.getAttribute('aria-label')")
        .await;
    assert_eq!(kept, first);

    // Once for the reading, once for the view.
    browser.press(keys(&[Key::Escape])).await;
    let caption = browser.text("figcaption").await;
    assert!(caption.contains("decided 6"), "{caption}");
    assert_eq!(browser.text("h1").await, "shop/betamax");
    browser.press(keys(&[Key::Escape])).await;
    browser.until_it_says("#count", "2 of 4 targets").await;
    assert_eq!(browser.run::<String>(FOCUSED).await, "shop/betamax");
    browser.press(keys(&[Key::Escape])).await;
    browser.until_it_says("#count", "4 targets").await;
    assert_eq!(browser.count("#targets tbody tr").await, 4);

    browser.press("/").await;
    browser.press("gamma").await;
    browser.press(keys(&[Key::Enter])).await;
    browser.until_it_says("h1", "shop/gamma").await;
    browser.complained_about_nothing().await;
}
