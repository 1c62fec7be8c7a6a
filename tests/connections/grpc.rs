//! TLS on the gRPC port: who is let in, and files that are replaced while KEDA's connection is open.

use std::path::Path;

use evenkeel_scaler::grpc::wire::ScaledObjectRef;
use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use tokio::net::TcpStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use crate::authority::{Authority, Dates, Pair};
use crate::eventually::eventually;
use crate::process::{Serve, in_time};

fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap()
}

/// A new connection to `serve` by who trusts `authority` and shows `client`.
pub async fn connect(
    serve: &Serve,
    authority: &Authority,
    client: Option<&Pair>,
) -> Result<ExternalScalerClient<Channel>, String> {
    evenkeel_scaler::tls::use_ring();
    let mut tls = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&authority.ca())))
        .domain_name("evenkeel.keda.svc");
    if let Some(pair) = client {
        tls = tls.identity(Identity::from_pem(read(&pair.cert), read(&pair.key)));
    }
    let endpoint = Endpoint::from_shared(format!("https://{}", serve.grpc)).unwrap();
    let endpoint = endpoint.tls_config(tls).unwrap();
    let channel = in_time(endpoint.connect()).await;
    channel
        .map(ExternalScalerClient::new)
        .map_err(|error| format!("{error:?}"))
}

/// Asks what needs no broker. In TLS 1.3 a refused client hears of it only here.
async fn ask(client: &mut ExternalScalerClient<Channel>) -> Result<(), String> {
    let metadata = [
        ("bootstrapServers", "127.0.0.1:1"),
        ("consumerGroup", "g"),
        ("topic", "t"),
    ];
    let object = ScaledObjectRef {
        name: "orders".to_owned(),
        namespace: "shop".to_owned(),
        scaler_metadata: metadata
            .map(|(key, value)| (key.into(), value.into()))
            .into(),
    };
    let answer = in_time(client.get_metric_spec(object)).await;
    answer.map(drop).map_err(|status| format!("{status:?}"))
}

#[tokio::test]
async fn only_who_shows_a_certificate_is_let_in_and_a_renewed_one_is_shown_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let stranger = Authority::new(folder.path(), "stranger");
    let server = authority.server("server", "evenkeel.keda.svc", Dates::Now);
    let keda = authority.client("keda", Dates::Now);
    let yaml = format!(
        "grpc: {{tls: {{cert: {}, key: {}, clientCa: {}}}}}\n",
        server.cert.display(),
        server.key.display(),
        authority.ca().display(),
    );
    let serve = Serve::start(&yaml).await;
    let mut open = connect(&serve, &authority, Some(&keda)).await.unwrap();
    ask(&mut open).await.unwrap();

    let refused = async |who: Option<&Pair>| match connect(&serve, &authority, who).await {
        Ok(mut client) => ask(&mut client).await.unwrap_err(),
        Err(error) => error,
    };
    let _nobody = refused(None).await;
    let _strange = refused(Some(&stranger.client("strange", Dates::Now))).await;
    let _late = refused(Some(&authority.client("late", Dates::Past))).await;
    let _untrusting = connect(&serve, &stranger, Some(&keda)).await.unwrap_err();
    // Plaintext gets nowhere, and who says nothing holds up nobody.
    let plaintext = Endpoint::from_shared(format!("http://{}", serve.grpc)).unwrap();
    if let Ok(channel) = in_time(plaintext.connect()).await {
        let _refused = ask(&mut ExternalScalerClient::new(channel))
            .await
            .unwrap_err();
    }
    let _silent = TcpStream::connect(serve.grpc).await.unwrap();
    let mut second = connect(&serve, &authority, Some(&keda)).await.unwrap();
    ask(&mut second).await.unwrap();

    // The people's tools and the probes ask the admin server.
    assert_eq!(serve.get("readyz").await.0, 200);
    assert_eq!(serve.get("api/v1/targets").await.0, 200);

    // Half a pair is not used, and said.
    let half = stranger.server("half", "evenkeel.keda.svc", Dates::Now);
    std::fs::copy(&half.cert, &server.cert).unwrap();
    eventually("the metric says that the files do not fit", async || {
        let (_, metrics) = serve.get("metrics").await;
        let bad = "evenkeel_credentials_bad{setting=\"grpc.tls\"} 1";
        metrics.contains(bad).then_some(()).ok_or(metrics)
    })
    .await;
    ask(&mut connect(&serve, &authority, Some(&keda)).await.unwrap())
        .await
        .unwrap();
    // The other half makes it whole: another authority's, so that the new one can be told.
    std::fs::copy(&half.key, &server.key).unwrap();
    let mut renewed = eventually("the renewed certificate is shown", async || {
        connect(&serve, &stranger, Some(&keda)).await
    })
    .await;
    ask(&mut renewed).await.unwrap();
    ask(&mut open).await.expect("what is open stays");
}

#[tokio::test]
async fn without_its_files_the_server_does_not_start_and_says_why() {
    let yaml = "grpc: {tls: {cert: /nowhere/tls.crt, key: /nowhere/tls.key}}\n";
    let (status, said) = Serve::spawn(yaml, &[], &[]).end().await;
    assert!(!status.success());
    assert!(
        said.contains("grpc.tls: /nowhere/tls.crt cannot be read"),
        "{said}"
    );
    assert!(said.contains("mount the Secret"), "{said}");
}
