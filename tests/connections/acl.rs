//! Least privilege, on a broker with its authorizer on: with the documented rights everything is
//! known, without any one of them the sentence names it, and what is beside goes on.

use evenkeel_engine::Cause;
use evenkeel_scaler::observe::KafkaReading;
use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::{CreateAclsRequest, DeleteAclsRequest};
use kafka_protocol::protocol::StrBytes;

use crate::eventually::eventually;
use crate::secured::{ORDERS, Secured, USER, View, is_known};

/// The topic of the target beside.
const BESIDE: &str = "beside";

/// A right of docs/security.md: the kind of resource by Kafka's number, and its name.
pub type Right = (i8, &'static str);
pub const TOPIC: Right = (2, ORDERS);
const TOPIC_BESIDE: Right = (2, BESIDE);
pub const GROUP: Right = (3, ORDERS);
/// Kafka's numbers: READ, DESCRIBE, ALLOW, a literal name.
pub const READ: i8 = 3;
const DESCRIBE: i8 = 8;
const ALLOW: i8 = 3;
const LITERAL: i8 = 3;

async fn grant(kafka: &Secured, right: Right) {
    grant_to(kafka, right, DESCRIBE).await;
}

/// Lets the user do this to what `right` names.
pub async fn grant_to(kafka: &Secured, (kind, name): Right, operation: i8) {
    let creation = AclCreation::default()
        .with_resource_type(kind)
        .with_resource_name(StrBytes::from_static_str(name))
        .with_resource_pattern_type(LITERAL)
        .with_principal(StrBytes::from_string(format!("User:{USER}")))
        .with_host(StrBytes::from_static_str("*"))
        .with_operation(operation)
        .with_permission_type(ALLOW);
    let request = CreateAclsRequest::default().with_creations(vec![creation]);
    let answer = kafka.client().await.send(&request).await.unwrap();
    assert_eq!(answer.results[0].error_code, 0, "{answer:?}");
}

async fn take(kafka: &Secured, (kind, name): Right) {
    let filter = DeleteAclsFilter::default()
        .with_resource_type_filter(kind)
        .with_resource_name_filter(Some(StrBytes::from_static_str(name)))
        .with_pattern_type_filter(LITERAL)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(DESCRIBE)
        .with_permission_type(ALLOW);
    let request = DeleteAclsRequest::default().with_filters(vec![filter]);
    let answer = kafka.client().await.send(&request).await.unwrap();
    assert_eq!(
        answer.filter_results[0].matching_acls.len(),
        1,
        "{answer:?}"
    );
}

fn sentences(reading: &KafkaReading) -> String {
    let problems = reading.problems.iter();
    let sentences: Vec<&str> = problems.map(|problem| &*problem.sentence).collect();
    sentences.join("\n")
}

/// Until the target says `words` as a refusal, while the one beside is as `beside` wants.
async fn until_said(view: &mut View, words: &str, beside: impl Fn(&KafkaReading) -> bool) {
    eventually(words, async || {
        let (own, other) = view.observe_beside(BESIDE).await;
        let refused = |cause: Cause| cause == Cause::Refused;
        let said = sentences(&own);
        match said.contains(words)
            && own.problems.iter().all(|problem| refused(problem.cause))
            && beside(&other)
        {
            true => Ok(()),
            false => Err(format!("{own:#?}\n{other:#?}")),
        }
    })
    .await;
}

#[tokio::test]
async fn the_documented_rights_are_enough_and_each_missing_one_is_named() {
    let kafka = Secured::start_with_authorizer().await;
    let topics = kafka.broker.topics();
    let made = topics.create_topic(BESIDE, 1, 1, &[]).await;
    made.expect("the topic is made");
    let lines = [kafka.trust(""), kafka.login("PLAIN")];
    let new_view = || kafka.view("LOGIN", &[&lines[0], &lines[1]]);

    // Without any right.
    let said = new_view().refused().await;
    for right in ["DESCRIBE on topic orders", "DESCRIBE on group orders"] {
        assert!(said.contains(right), "{right:?} is not in {said}");
    }
    for right in [TOPIC, TOPIC_BESIDE, GROUP] {
        grant(&kafka, right).await;
    }
    let mut view = new_view();
    view.until_known().await;
    let (own, other) = view.observe_beside(BESIDE).await;
    assert!(
        own.problems.is_empty() && other.problems.is_empty(),
        "{own:#?} {other:#?}"
    );

    // Without one of them, for who begins and for who has been watching.
    let log_of_beside = |reading: &KafkaReading| {
        let partitions = reading.topics[0].partitions.known();
        partitions.is_some_and(|all| all.iter().all(|one| one.log.known().is_some()))
    };
    take(&kafka, TOPIC).await;
    let missing = "DESCRIBE on topic orders";
    for view in [&mut new_view(), &mut view] {
        until_said(view, missing, log_of_beside).await;
        let (_, other) = view.observe_beside(BESIDE).await;
        assert!(other.group.known().is_some(), "{other:#?}");
        assert!(sentences(&other).is_empty(), "{other:#?}");
    }
    // A target that reads both knows the one, and not that the other is empty.
    let both = view.observe_topics(&[BESIDE, ORDERS]).await;
    let known = |name: &str| {
        let topic = both.topics.iter().find(|topic| topic.name == name);
        let partitions = topic.expect("it is mentioned").partitions.known();
        partitions.is_some_and(|all| all.iter().all(|one| one.log.known().is_some()))
    };
    assert!(known(BESIDE) && !known(ORDERS), "{both:#?}");
    assert!(sentences(&both).contains(missing), "{both:#?}");
    grant(&kafka, TOPIC).await;
    view.until_known().await;
    take(&kafka, GROUP).await;
    for view in [&mut new_view(), &mut view] {
        until_said(view, "DESCRIBE on group orders", log_of_beside).await;
    }
    grant(&kafka, GROUP).await;
    eventually("everything is known again", async || {
        let reading = view.observe().await;
        match is_known(&reading) && reading.problems.is_empty() {
            true => Ok(()),
            false => Err(format!("{reading:#?}")),
        }
    })
    .await;
}
