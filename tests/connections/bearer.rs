//! OAUTHBEARER: tokens from files and from an identity provider, and everything that goes wrong there.

use std::time::Duration;

use crate::authority::Dates;
use crate::eventually::eventually;
use crate::provider::{Mood, Provider, token};
use crate::secured::{Secured, View};

/// The client's id and secret, which have to be written out for a header.
const CLIENT: &str = "scaler:1";
const CLIENT_SECRET: &str = "hush 0815%";

async fn provider(kafka: &Secured) -> (Provider, String) {
    let pair = kafka.authority.server("provider", "127.0.0.1", Dates::Now);
    let provider = Provider::start(&pair).await;
    let sasl = format!(
        "sasl: {{mechanism: OAUTHBEARER, tokenEndpoint: '{}', clientIdFile: {}, clientSecretFile: {}, \
         ca: {}, scopes: [kafka, logs], extensions: [logicalCluster=lkc-1]}}",
        provider.url(),
        kafka.write("client-id", CLIENT),
        kafka.write("client-secret", CLIENT_SECRET),
        kafka.authority.ca().display(),
    );
    (provider, sasl)
}

#[tokio::test]
async fn a_token_of_a_file_or_of_a_provider_is_accepted_and_every_fault_says_what_it_is() {
    let kafka = Secured::start(Duration::ZERO).await;
    let trust = kafka.trust("");
    let file = kafka.write("token", &token("scaler", 3_600));
    let of_file = format!("sasl: {{mechanism: OAUTHBEARER, tokenFile: {file}}}");
    kafka.view("TOKEN", &[&trust, &of_file]).known().await;
    // Time does not wait for a token to end: this one ended long ago.
    let long_ago = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzIiwiaWF0IjoxMDAwLCJleHAiOjIwMDB9.";
    for bad in [long_ago, "no.token.", "two words", ""] {
        kafka.write("token", bad);
        let said = kafka.view("TOKEN", &[&trust, &of_file]).refused().await;
        let words = [
            "does not accept who the scaler is",
            "is no token",
            "is empty",
        ];
        assert!(
            words.iter().any(|word| said.contains(word)),
            "{bad:?}: {said}"
        );
        assert!(bad.is_empty() || !said.contains(bad), "{said}");
    }

    let (provider, sasl) = provider(&kafka).await;
    let view = || kafka.view("TOKEN", &[&trust, &sasl]);
    let mut first = view();
    first.known().await;
    first.known().await;
    assert_eq!(provider.requests(), 1, "one token for all that is asked");
    let request = provider.last();
    let header = "authorization: Basic c2NhbGVyJTNBMTpodXNoKzA4MTUlMjU=";
    assert!(request.contains(header), "{request}");
    assert!(
        request.ends_with("grant_type=client_credentials&scope=kafka+logs"),
        "{request}"
    );

    for (mood, words) in [
        (
            Mood::Says(200, "text/html", "<html>Log in</html>"),
            "text/html and no JSON",
        ),
        (
            Mood::Says(401, "application/json", "{\"error\":\"invalid_client\"}"),
            "(invalid_client)",
        ),
        (Mood::Says(302, "text/html", ""), "answered 302"),
        (Mood::Says(200, "application/json", "{}"), "no access_token"),
        (Mood::Gives(0), "less than a second"),
    ] {
        provider.set(mood);
        let said = view().refused().await;
        assert!(said.contains(words), "{words:?} is not in {said}");
        assert!(said.contains(&provider.url()), "{said}");
        assert!(
            !said.contains("0815") && !said.contains("access_token\":"),
            "{said}"
        );
    }
    provider.set(Mood::Silent);
    let lines = [trust.as_str(), sasl.as_str()];
    let mut hurried = View::new(&kafka.address("TOKEN"), &lines, Duration::from_millis(700));
    let said = hurried.refused().await;
    assert!(said.contains("has not been answered yet"), "{said}");
    drop(provider);
    let said = view().refused().await;
    assert!(said.contains("no token from"), "{said}");
    // What was given holds, whatever became of who gave it.
    first.known().await;
}

#[tokio::test]
async fn tokens_are_renewed_while_the_connection_stays() {
    let kafka = Secured::start(Duration::from_secs(3_600)).await;
    let (provider, sasl) = provider(&kafka).await;
    // The broker ends the session with the token.
    provider.set(Mood::Gives(20));
    let mut view = kafka.view("TOKEN", &[&kafka.trust(""), &sasl]);
    eventually("the session was renewed with another token", async || {
        view.known().await;
        match (view.answered("SaslHandshake"), provider.requests()) {
            (2.., 2..) => Ok(()),
            counts => Err(format!("{counts:?}")),
        }
    })
    .await;
    view.known().await;
    assert_eq!(view.connections(), 1, "on the same connection");
}
