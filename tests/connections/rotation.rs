//! Files that are replaced while the scaler runs: the new ones are used, bad ones are not.

use std::time::Duration;

use evenkeel_scaler::credentials::LOOK_EVERY;
use evenkeel_scaler::metrics::SettingLabels;

use crate::authority::Dates;
use crate::eventually::eventually;
use crate::secured::{Secured, View, pass};

fn bad(view: &View, setting: &str) -> i64 {
    let labels = SettingLabels {
        setting: setting.to_owned(),
    };
    view.metrics.credentials_bad.get_or_create(&labels).get()
}

#[tokio::test]
async fn a_new_password_is_used_at_the_next_proof() {
    let mut kafka = Secured::start(Duration::ZERO).await;
    let lines = [kafka.trust(""), kafka.login("SCRAM-SHA-512")];
    let mut view = kafka.view("LOGIN", &[&lines[0], &lines[1]]);
    view.known().await;

    // The broker knows the new password first, and has forgotten the connection.
    kafka.set_password("hush-4712").await;
    view.known().await;
    kafka.broker.restart().await.expect("it starts again");
    let said = eventually("the old password is refused", async || {
        let said = view.refused().await;
        match said.contains("check the user's name and its secret") {
            true => Ok(said),
            false => Err(said),
        }
    })
    .await;
    assert!(!said.contains("hush-4712"), "{said}");
    kafka.write("password", "hush-4712");
    pass(LOOK_EVERY).await;
    view.until_known().await;

    // What cannot be used is not.
    kafka.write("password", "");
    pass(LOOK_EVERY).await;
    kafka.broker.restart().await.expect("it starts again");
    view.until_known().await;
    assert_eq!(bad(&view, "clusters.main.sasl"), 1, "it says so");
}

#[tokio::test]
async fn a_new_client_certificate_is_used_and_half_of_one_is_not() {
    let mut kafka = Secured::start(Duration::ZERO).await;
    let old = kafka.authority.client("rotated", Dates::Past);
    let tls = kafka.trust(&format!(
        ", cert: {}, key: {}",
        old.cert.display(),
        old.key.display()
    ));
    let mut view = kafka.view("MUTUAL", &[&tls]);
    let said = view.refused().await;
    assert!(said.contains("it expired on"), "{said}");
    // The same files, written anew.
    let new = kafka.authority.client("rotated", Dates::Now);
    pass(LOOK_EVERY).await;
    view.until_known().await;

    // Only half of the next pair is there when it is looked at.
    let whole = std::fs::read(&new.key).unwrap();
    let other = kafka.authority.client("other", Dates::Now);
    std::fs::copy(&other.key, &new.key).unwrap();
    kafka.broker.restart().await.expect("it starts again");
    pass(LOOK_EVERY).await;
    view.until_known().await;
    assert_eq!(bad(&view, "clusters.main.tls"), 1, "it says so");
    std::fs::write(&new.key, whole).unwrap();
    pass(LOOK_EVERY).await;
    kafka.broker.restart().await.expect("it starts again");
    view.until_known().await;
    assert_eq!(bad(&view, "clusters.main.tls"), 0);
}
