//! Names and passwords: every mechanism works, every refusal says why, sessions are renewed.

use std::time::Duration;

use crate::eventually::eventually;
use crate::secured::{PASSWORD, REQUEST_TIMEOUT, Secured, USER, View};

const FOR_EVER: Duration = Duration::ZERO;

#[tokio::test]
async fn every_mechanism_is_accepted_and_every_refusal_says_why() {
    let kafka = Secured::start(FOR_EVER).await;
    let trust = kafka.trust("");
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let mut view = kafka.view("LOGIN", &[&trust, &kafka.login(mechanism)]);
        view.until_known().await;
        view.known().await;
        assert_eq!(view.connections(), 1, "{mechanism}");
    }
    // Without TLS the password is proven all the same; PLAIN has to be allowed.
    kafka
        .view("OPEN", &[&kafka.login("SCRAM-SHA-512")])
        .known()
        .await;
    let plain = kafka.login("PLAIN").replace('}', ", allowPlaintext: true}");
    kafka.view("OPEN", &[&plain]).known().await;

    let said = |listener: &'static str, lines: Vec<String>| {
        let kafka = &kafka;
        async move {
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            kafka.view(listener, &lines).refused().await
        }
    };
    let offered = said("OPEN", vec![kafka.login("SCRAM-SHA-256")]).await;
    assert!(
        offered.contains("does not offer SCRAM-SHA-256, it offers PLAIN, SCRAM-SHA-512"),
        "{offered}"
    );
    kafka.write("password", "wrong-0815");
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let refused = said("LOGIN", vec![trust.clone(), kafka.login(mechanism)]).await;
        assert!(
            refused.contains("does not accept who the scaler is"),
            "{refused}"
        );
        assert!(
            refused.contains("check the user's name and its secret"),
            "{refused}"
        );
        assert!(!refused.contains("wrong-0815"), "{refused}");
    }
    kafka.write("password", PASSWORD);
    kafka.write("username", "stranger");
    let stranger = said("LOGIN", vec![trust.clone(), kafka.login("SCRAM-SHA-512")]).await;
    assert!(stranger.contains("check the user's name"), "{stranger}");
    std::fs::remove_file(kafka.path("username")).unwrap();
    let missing = said("LOGIN", vec![trust.clone(), kafka.login("PLAIN")]).await;
    assert!(
        missing.contains("clusters.main.sasl") && missing.contains("mount the Secret"),
        "{missing}"
    );
    let none = said("LOGIN", vec![trust.clone()]).await;
    assert!(none.contains("probably expects TLS or SASL"), "{none}");
    // SASL where there is none.
    kafka.write("username", USER);
    let address = kafka.broker.bootstrap_servers();
    let mut plaintext = View::new(&address, &[&kafka.login("SCRAM-SHA-512")], REQUEST_TIMEOUT);
    let no_sasl = plaintext.refused().await;
    assert!(no_sasl.contains("takes no SASL"), "{no_sasl}");
}

#[tokio::test]
async fn sessions_are_renewed_on_the_same_connection_and_no_tick_is_missed() {
    let kafka = Secured::start(Duration::from_secs(2)).await;
    for mechanism in ["PLAIN", "SCRAM-SHA-512"] {
        let lines = [kafka.trust(""), kafka.login(mechanism)];
        let mut view = kafka.view("LOGIN", &[&lines[0], &lines[1]]);
        view.until_known().await;
        let proofs = view.answered("SaslHandshake");
        assert_eq!(proofs, 1, "{mechanism}");
        eventually("four sessions have ended", async || {
            view.known().await;
            match view.answered("SaslHandshake") {
                5.. => Ok(()),
                count => Err(format!("{count} proofs")),
            }
        })
        .await;
        view.known().await;
        assert_eq!(view.connections(), 1, "{mechanism}: on the same connection");
    }
}
