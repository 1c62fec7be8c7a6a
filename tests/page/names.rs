//! Names and sentences from outside stay text, whatever they say.

use crate::admin_server::Server;
use crate::browser::Browser;
use crate::{decisions, world};

const MARKUP: &str = "<img src=x onerror=alert(1)>";
const QUOTES: &str = "\"'><script>alert(2)</script>";
const BACKWARDS: &str = "\u{202e}sredro\u{202d} \u{5e9}\u{5dc}\u{5d5}\u{5dd}";
const PLACES: &str = "a/b?c#d%2e%zz e&f;g";

fn evil() -> Vec<String> {
    let long = "very-long-".repeat(200);
    [MARKUP, QUOTES, BACKWARDS, PLACES, &long]
        .map(str::to_owned)
        .into()
}

/// What would be there if a name had become markup.
const MADE: &str = "img, script:not([src='page.js']), main b:not(figcaption b)";

#[tokio::test]
async fn a_name_is_text_in_the_list_and_as_a_title_and_leads_to_its_target() {
    let server = Server::start().await;
    let now = server.clock.now();
    for name in evil() {
        let mut published = decisions::unreachable(now, now);
        published.problems = vec![format!("No topic {name}<b>bold</b>.")];
        world::register(&server, &name).publish(published);
    }
    let browser = Browser::open(&server, "").await;
    browser.size(360, 740).await;
    browser.until_it_says("#count", "5 targets").await;
    browser.scrolls_in_one_direction().await;
    let elements: usize = browser
        .run(&format!(
            "return document.querySelectorAll(`{MADE}`).length"
        ))
        .await;
    assert_eq!(elements, 0);
    let mut expected: Vec<String> = evil().iter().map(|name| format!("shop/{name}")).collect();
    let mut names: Vec<String> = browser
        .run("return [...document.querySelectorAll('#targets tbody a')].map((one) => one.textContent)")
        .await;
    names.sort();
    expected.sort();
    assert_eq!(names, expected);

    let addresses: Vec<String> = browser
        .run("return [...document.querySelectorAll('#targets tbody a')].map((one) => one.hash)")
        .await;
    let mut titles = Vec::new();
    for address in addresses {
        browser
            .goto(server.address, address.trim_start_matches('#'))
            .await;
        browser.until_it_says("#problems", "<b>bold</b>").await;
        browser.scrolls_in_one_direction().await;
        let (name, elements): (String, usize) = browser
            .run(&format!(
                "return [document.querySelector('#name').textContent, document.querySelectorAll(`{MADE}`).length]"
            ))
            .await;
        assert_eq!(elements, 0, "{name}");
        let title: String = browser.run("return document.title").await;
        assert!(title.starts_with("(!) shop/"), "{title}");
        titles.push(name);
    }
    titles.sort();
    assert_eq!(titles, expected);
    // Neither a dialog, which would have stopped the browser, nor anything that the policy refused.
    browser.complained_about_nothing().await;
}

#[tokio::test]
async fn an_address_that_makes_no_sense_says_that_there_is_no_such_target() {
    let server = Server::start().await.with_orders();
    let browser = Browser::open(&server, "/%zz/<img src=x onerror=alert(1)>").await;
    browser
        .until_it_says("#gone", "Known are: shop/orders.")
        .await;
    let elements: usize = browser
        .run(&format!(
            "return document.querySelectorAll(`{MADE}`).length"
        ))
        .await;
    assert_eq!(elements, 0);
}

#[tokio::test]
async fn what_would_become_markup_by_a_mistake_is_refused_by_the_browser() {
    let server = Server::start().await;
    let browser = Browser::open(&server, "").await;
    let refused: String = browser
        .run(
            "try { document.body.innerHTML = '<b>bold</b>'; return 'it became markup'; }
             catch (error) { return error.name; }",
        )
        .await;
    assert_eq!(refused, "TypeError");
}
