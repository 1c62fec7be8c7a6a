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

    // What cannot be used is not, and what has vanished is used as it was.
    for vanish in [false, true] {
        match vanish {
            false => drop(kafka.write("password", "")),
            true => std::fs::remove_file(kafka.path("password")).unwrap(),
        }
        pass(LOOK_EVERY).await;
        kafka.broker.restart().await.expect("it starts again");
        view.until_known().await;
        assert_eq!(bad(&view, "clusters.main.sasl"), 1, "it says so");
        let said = view
            .metrics
            .notices
            .sentences(|setting| setting == "clusters.main.sasl");
        assert!(
            said[0].contains("what was read before stays in use"),
            "{said:?}"
        );
    }
}

#[tokio::test]
async fn a_password_that_is_replaced_amid_ticks_is_used_at_once() {
    let kafka = Secured::start(Duration::from_secs(2)).await;
    let lines = [kafka.trust(""), kafka.login("SCRAM-SHA-512")];
    let mut view = kafka.view("LOGIN", &[&lines[0], &lines[1]]);
    view.until_known().await;
    for round in 0..3 {
        let password = format!("hush-{round}");
        let proofs = view.answered("SaslHandshake");
        // Both while ticks go on, which may fail until both have happened.
        let replaced = async {
            kafka.write("password", &password);
            kafka.set_password(&password).await;
        };
        let ticks = async {
            for _ in 0..20 {
                let _either = view.observe().await;
            }
        };
        tokio::join!(replaced, ticks);
        eventually("the new password is proven", async || {
            view.until_known().await;
            match view.answered("SaslHandshake") {
                count if count > proofs => Ok(()),
                count => Err(format!("{count} proofs")),
            }
        })
        .await;
        view.until_known().await;
    }
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
