//! Kafka's own tools, most of all its word on a group: ConsumerGroupCommand, the class behind
//! `kafka-consumer-groups.sh`.

use std::collections::BTreeMap;
use std::process::Stdio;

use evenkeel_tools::demo::broker::KafkaTools;
use tokio::process::Child;

const CONSUMER_GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

/// Kafka's producer of test load: the one writer here that knows transactions.
pub const PRODUCER_PERFORMANCE: &str = "org.apache.kafka.tools.ProducerPerformance";

/// The one member of share groups here.
pub const SHARE_CONSUMER: &str = "org.apache.kafka.tools.consumer.ConsoleShareConsumer";

/// One line of its table, by the table's own headings. `-` is its word for none.
#[derive(Debug)]
pub struct Row(BTreeMap<String, String>);

/// `--describe` for `groups`: one row a partition.
pub async fn describe_offsets(bootstrap_servers: &str, groups: &[&str]) -> Vec<Row> {
    describe(bootstrap_servers, groups, &[]).await
}

/// `--describe --state` for `groups`: one row a group.
pub async fn describe_states(bootstrap_servers: &str, groups: &[&str]) -> Vec<Row> {
    describe(bootstrap_servers, groups, &["--state"]).await
}

async fn describe(bootstrap_servers: &str, groups: &[&str], more: &[&str]) -> Vec<Row> {
    let mut arguments = vec!["--bootstrap-server", bootstrap_servers, "--describe"];
    for group in groups {
        arguments.extend(["--group", group]);
    }
    arguments.extend(more);
    rows(&run(CONSUMER_GROUPS, &arguments).await)
}

/// Runs a tool to its end and hands back what it said. It is killed when it is waited for no more.
pub async fn run(class: &str, arguments: &[&str]) -> String {
    let tools = KafkaTools::provision()
        .await
        .expect("Kafka's tools are there (make setup)");
    let output = tools.run(class, arguments).await.expect("the tool starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{class}: {said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    said
}

/// Starts a tool that runs on. It is killed when the child is dropped.
pub async fn start(class: &str, arguments: &[&str]) -> Child {
    let tools = KafkaTools::provision()
        .await
        .expect("Kafka's tools are there (make setup)");
    let mut command = tools.command(class);
    command
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().expect("the tool starts")
}

/// Every table begins with a line of headings; words within a line never hold spaces, but for
/// `COORDINATOR (ID)`, whose values have the same shape.
fn rows(said: &str) -> Vec<Row> {
    let mut headings: Vec<&str> = Vec::new();
    let mut rows = Vec::new();
    for line in said.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if words.first() == Some(&"GROUP") {
            headings = words;
        } else if !headings.is_empty() && words.len() == headings.len() {
            let pairs = headings.iter().zip(&words);
            rows.push(Row(pairs
                .map(|(heading, word)| ((*heading).to_owned(), (*word).to_owned()))
                .collect()));
        }
    }
    assert!(!rows.is_empty(), "the tool showed no table:\n{said}");
    rows
}

// === impl Row ===

impl Row {
    /// What stands under `heading`.
    #[track_caller]
    pub fn text(&self, heading: &str) -> &str {
        let word = self.0.get(heading);
        word.unwrap_or_else(|| panic!("no {heading} in {:?}", self.0))
    }

    /// The number under `heading`, or none.
    #[track_caller]
    pub fn number(&self, heading: &str) -> Option<u64> {
        match self.text(heading) {
            "-" => None,
            word => Some(word.parse().unwrap_or_else(|_| panic!("{heading}: {word}"))),
        }
    }
}
