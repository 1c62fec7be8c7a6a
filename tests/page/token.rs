//! Where the server wants a token, a browser asks its user for it and the page works as ever.

use std::net::SocketAddr;

use crate::admin_server::Server;
use crate::browser::Browser;

const FIRST: &str = "hush-0815-hush-0815";
const SECOND: &str = "hush-0816-hush-0816";

/// What somebody who is asked for it types in: any name, and the token as the password.
fn typed(address: SocketAddr, token: &str) -> String {
    format!("me:{token}@{address}")
}

#[tokio::test]
async fn the_page_opens_with_the_token_as_password_and_says_when_it_was_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, FIRST).unwrap();
    let server = Server::start_guarded(&file).await.with_orders();
    let browser = Browser::open(&server, "").await;
    // The browser asks, and shows nothing as long as nobody answers.
    assert_eq!(browser.count("main").await, 0);
    browser.goto_host(&typed(server.address, FIRST), "").await;
    browser.until_it_says("#count", "1 target").await;
    browser.goto(server.address, "/shop/orders").await;
    browser.until_it_says("#trail", "12 → 14").await;

    std::fs::write(&file, SECOND).unwrap();
    browser
        .until_it_says("#trouble", "it wants another token: load this page again")
        .await;
    browser
        .goto_host(&typed(server.address, SECOND), "/shop/orders")
        .await;
    browser.until_it_says("#trail", "12 → 14").await;
}
