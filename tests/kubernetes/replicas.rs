//! Replicas of the scaler as processes, with a real broker: each gives the leader's answer, through
//! everything that happens to the leader.

use std::collections::HashMap;

use evenkeel_scaler::grpc::METRIC_NAME;
use evenkeel_scaler::grpc::wire::external_scaler_client::ExternalScalerClient;
use evenkeel_scaler::grpc::wire::{GetMetricsRequest, ScaledObjectRef};
use evenkeel_tools::demo::broker::{BrokerOptions, EmbeddedBroker};
use tempfile::TempDir;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use super::authority::{Authority, Dates};
use super::eventually::eventually;
use super::fake_kubernetes::{FakeKubernetes, Wrong};
use super::process::Serve;
use super::{DEPLOYMENTS, SCALED_OBJECTS, deployment, scaled_object};

/// A broker with one topic, an API server, and what KEDA asks.
struct World {
    api: FakeKubernetes,
    folder: TempDir,
    object: ScaledObjectRef,
    _broker: EmbeddedBroker,
}

// === impl World ===

impl World {
    async fn start() -> Self {
        let broker = EmbeddedBroker::start(BrokerOptions::default()).await;
        let broker = broker.expect("the broker starts (make setup)");
        let made = broker.topics().create_topic("trades", 6, 1, &[]).await;
        made.expect("the topic is made");
        let api = FakeKubernetes::start().await;
        api.put(SCALED_OBJECTS, "trades", scaled_object("consumer"));
        api.put(DEPLOYMENTS, "consumer", deployment(1, 1, 1));
        let servers = broker.bootstrap_servers();
        let metadata = [
            ("bootstrapServers", servers.as_str()),
            ("consumerGroup", "trades"),
            ("topic", "trades"),
            ("minReplicas", "2"),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self {
            api,
            folder: tempfile::tempdir().unwrap(),
            object: ScaledObjectRef {
                name: "trades".to_owned(),
                namespace: "shop".to_owned(),
                scaler_metadata: HashMap::from(metadata),
            },
            _broker: broker,
        }
    }

    /// One more replica of the scaler.
    async fn replica(&self, more: &str) -> Serve {
        let kubeconfig = self.api.kubeconfig(self.folder.path());
        let yaml = format!(
            "kubernetes: {{kubeconfig: {kubeconfig}}}\n\
             leader: {{lease: scaler, host: 127.0.0.1}}\n\
             state: {{configMaps: learned}}\n{more}"
        );
        Serve::start(&yaml).await
    }

    /// What KEDA is answered by a replica.
    async fn ask(&self, replica: &Serve) -> Result<i64, String> {
        let channel = Channel::from_shared(format!("http://{}", replica.grpc)).unwrap();
        let channel = channel.connect().await.map_err(|error| error.to_string())?;
        self.ask_over(channel).await
    }

    async fn ask_over(&self, channel: Channel) -> Result<i64, String> {
        let request = GetMetricsRequest {
            scaled_object_ref: Some(self.object.clone()),
            metric_name: METRIC_NAME.to_owned(),
        };
        let answer = ExternalScalerClient::new(channel)
            .get_metrics(request)
            .await;
        let answer =
            answer.map_err(|status| format!("{:?}: {}", status.code(), status.message()))?;
        Ok(answer.into_inner().metric_values[0].metric_value)
    }

    async fn until_answered(&self, replica: &Serve) -> i64 {
        eventually("it answers", async || self.ask(replica).await).await
    }
}

/// Which of two leads, by what they say themselves.
async fn leader<'a>(one: &'a Serve, other: &'a Serve) -> (&'a Serve, &'a Serve) {
    eventually("one leads and the other follows", async || {
        let (first, second) = (one.get("readyz").await.1, other.get("readyz").await.1);
        match (
            first.contains("this replica leads"),
            second.contains("this replica leads"),
        ) {
            (true, false) if second.contains(" leads") => Ok((one, other)),
            (false, true) if first.contains(" leads") => Ok((other, one)),
            _ => Err(format!("{first:?} and {second:?}")),
        }
    })
    .await
}

async fn until_leads(replica: &Serve) {
    eventually("it leads", async || {
        let said = replica.get("readyz").await.1;
        if said.contains("this replica leads") {
            Ok(())
        } else {
            Err(said)
        }
    })
    .await;
}

#[tokio::test]
async fn each_replica_gives_the_leaders_answer_and_one_that_dies_is_followed() {
    let world = World::start().await;
    let (one, other) = (world.replica("").await, world.replica("").await);
    let (leads, follows) = leader(&one, &other).await;
    let counts = [
        world.until_answered(leads).await,
        world.until_answered(follows).await,
    ];
    assert_eq!(counts, [2, 2]);
    // Only the leader has series of the target, and says that it leads.
    eventually(
        "one has the series, and the other says that it does not answer",
        async || {
            let (led, followed) = (leads.get("metrics").await.1, follows.get("metrics").await.1);
            let listed = follows.get("api/v1/targets").await.1;
            let series = "evenkeel_target_desired_replicas{";
            let is_so = led.contains("evenkeel_leader 1")
                && led.contains(series)
                && followed.contains("evenkeel_leader 0")
                && !followed.contains(series)
                && listed.contains("This replica does not answer KEDA");
            if is_so {
                Ok(())
            } else {
                Err(format!("{led}\n{followed}\n{listed}"))
            }
        },
    )
    .await;
    leads.signal("KILL");
    until_leads(follows).await;
    assert_eq!(world.until_answered(follows).await, 2);
}

#[tokio::test]
async fn one_that_was_stopped_for_longer_than_its_lease_answers_nothing_of_its_own() {
    let world = World::start().await;
    let (one, other) = (world.replica("").await, world.replica("").await);
    let (leads, follows) = leader(&one, &other).await;
    world.until_answered(leads).await;
    leads.signal("STOP");
    until_leads(follows).await;
    leads.signal("CONT");
    // Whatever it says now, it is what the one leader says.
    leader(&one, &other).await;
    assert_eq!(world.until_answered(leads).await, 2);
}

#[tokio::test]
async fn an_update_changes_no_count_and_ends_in_order() {
    let world = World::start().await;
    let mut old = world.replica("").await;
    until_leads(&old).await;
    assert_eq!(world.until_answered(&old).await, 2);
    let new = world.replica("").await;
    eventually("the new one answers what the old one does", async || {
        world.ask(&new).await
    })
    .await;
    old.signal("TERM");
    // KEDA asks all the time. How many errors there are depends on the machine; no count is another.
    let asking = async {
        while !new.get("readyz").await.1.contains("this replica leads") {
            let answer = world.ask(&new).await;
            assert!(answer.is_err() || answer == Ok(2), "{answer:?}");
        }
    };
    let ((), (status, log)) = tokio::join!(asking, old.end());
    assert!(
        status.success() && log.contains("this replica leads no more"),
        "{status}: {log}"
    );
    assert_eq!(world.until_answered(&new).await, 2);
}

#[tokio::test]
async fn without_the_api_server_nobody_answers_and_with_it_somebody_does_again() {
    let world = World::start().await;
    let (one, other) = (world.replica("").await, world.replica("").await);
    let (leads, follows) = leader(&one, &other).await;
    world.until_answered(follows).await;
    world.api.wrong("/", Wrong::Silent);
    for replica in [leads, follows] {
        let refused = eventually("it says no", async || match world.ask(replica).await {
            Ok(count) => Err(format!("{count}")),
            Err(refused) => Ok(refused),
        })
        .await;
        assert!(
            refused.contains("no replica of the scaler leads"),
            "{refused}"
        );
    }
    world.api.right();
    assert_eq!(world.until_answered(leads).await, 2);
    assert_eq!(world.until_answered(follows).await, 2);
}

#[tokio::test]
async fn a_follower_that_cannot_reach_the_leader_says_so() {
    let world = World::start().await;
    // Somebody leads who renews the Lease, and whose address nobody listens on.
    let leases = "/apis/coordination.k8s.io/v1/namespaces/evenkeel/leases";
    let mut renewals = 0;
    let mut renew = || {
        renewals += 1;
        let lease = serde_json::json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"annotations": {"evenkeel-address": "127.0.0.1:1"}},
            "spec": {"holderIdentity": "elsewhere", "leaseDurationSeconds": 6, "leaseTransitions": renewals},
        });
        world.api.put(leases, "scaler", lease);
    };
    renew();
    let follows = world.replica("").await;
    let refused = eventually("the leader cannot be reached", async || {
        renew();
        let refused = world.ask(&follows).await.expect_err("nobody answers");
        let is_it = refused.contains("the leader elsewhere cannot be reached at 127.0.0.1:1");
        if is_it { Ok(refused) } else { Err(refused) }
    })
    .await;
    assert!(refused.starts_with("Unavailable"), "{refused}");
}

#[tokio::test]
async fn replicas_hand_calls_on_over_mutual_tls_with_a_certificate_for_servers() {
    let world = World::start().await;
    let authority = Authority::new(world.folder.path(), "ca");
    // One for all replicas, as one Secret gives it: for servers alone, with the Service's name.
    let own = authority.server("own", "evenkeel.keda.svc", Dates::Now);
    let tls = format!(
        "grpc: {{tls: {{cert: {}, key: {}, clientCa: {}}}}}",
        own.cert.display(),
        own.key.display(),
        authority.ca().display()
    );
    let (one, other) = (world.replica(&tls).await, world.replica(&tls).await);
    let (leads, follows) = leader(&one, &other).await;
    let keda = authority.client("keda", Dates::Now);
    let read = |path: &std::path::Path| std::fs::read_to_string(path).unwrap();
    let keda = ClientTlsConfig::new()
        .ca_certificate(Certificate::from_pem(read(&authority.ca())))
        .identity(Identity::from_pem(read(&keda.cert), read(&keda.key)))
        .domain_name("evenkeel.keda.svc");
    for replica in [leads, follows] {
        let count = eventually("it answers", async || {
            let channel = Channel::from_shared(format!("https://{}", replica.grpc)).unwrap();
            let channel = channel.tls_config(keda.clone()).unwrap();
            let channel = channel
                .connect()
                .await
                .map_err(|error| format!("{error:?}"))?;
            world.ask_over(channel).await
        })
        .await;
        assert_eq!(count, 2);
    }
}

#[tokio::test]
async fn replicas_are_those_that_kubernetes_has_and_why_they_are_not_is_told() {
    let world = World::start().await;
    let leads = world.replica("").await;
    world.until_answered(&leads).await;
    world.api.delete(SCALED_OBJECTS, "trades");
    let detail = eventually("it is told", async || {
        let detail = leads.get("api/v1/targets/shop/trades").await.1;
        if detail.contains("no ScaledObject shop/trades") {
            Ok(())
        } else {
            Err(detail)
        }
    });
    detail.await;
    assert_eq!(world.until_answered(&leads).await, 2);
}
