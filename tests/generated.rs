//! Files that are written from tables in the code: a drift fails here, `UPDATE_EXPECT=1` rewrites.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

#[path = "generated/example.rs"]
mod example;

use std::fmt::Write as _;

use evenkeel_engine::decision::gates::{Forbidden, Gate, Longest};
use evenkeel_scaler::schema::process::SETTINGS;
use evenkeel_scaler::schema::trigger::METADATA;
use evenkeel_scaler::schema::{Absent, Kind, Setting};
use expect_test::expect_file;
use prost::Message as _;

#[test]
fn the_protocols_code_is_what_comes_of_its_proto() {
    let proto = concat!(env!("CARGO_MANIFEST_DIR"), "/scaler/proto");
    let wire = concat!(env!("CARGO_MANIFEST_DIR"), "/scaler/src/grpc/wire");
    let descriptors = protox::compile(["externalscaler.proto"], [proto]).unwrap();
    let bytes = descriptors.encode_to_vec();
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .out_dir(out.path())
        .compile_fds(descriptors)
        .unwrap();
    let code = std::fs::read_to_string(out.path().join("externalscaler.rs")).unwrap();
    expect_file!["../scaler/src/grpc/wire/externalscaler.rs"].assert_eq(&code);

    let path = format!("{wire}/externalscaler.bin");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &bytes).unwrap();
    }
    assert!(
        std::fs::read(&path).unwrap() == bytes,
        "{path} is not what comes of the proto: run make generate"
    );
}

#[test]
fn docs_configuration_md_says_what_the_tables_say() {
    expect_file!["../docs/configuration.md"].assert_eq(&configuration());
}

#[test]
fn the_example_and_the_gates_in_docs_algorithm_md_are_the_codes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ALGORITHM.md");
    let mut text = std::fs::read_to_string(path).unwrap();
    for (name, content) in [("example", example::rows()), ("gates", gates())] {
        let begin = format!("<!-- {name}: by `make generate` -->\n");
        let end = format!("<!-- end of {name} -->\n");
        let (before, rest) = text.split_once(&begin).expect("a beginning");
        let (_, after) = rest.split_once(&end).expect("an end");
        text = format!("{before}{begin}{content}{end}{after}");
    }
    expect_file!["../docs/ALGORITHM.md"].assert_eq(&text);
}

#[test]
fn docs_algorithm_md_can_be_read_in_one_sitting() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/ALGORITHM.md"));
    let words = text.unwrap().split_whitespace().count();
    assert!(
        words <= 2_500,
        "{words} words: what explains a number belongs into docs/numbers.md"
    );
}

/// Everything that keeps a change from being made, with the defaults of the metadata.
fn gates() -> String {
    let policy = evenkeel_sim::rivals::default_policy(None, 60);
    let mut text = String::from(
        "| keeps from | as long as | at most | then | verdict |\n|---|---|---|---|---|\n",
    );
    for gate in Gate::ALL {
        let forbidden = match gate.forbids() {
            Forbidden::MoreForTheBacklog => "more, by lag",
            Forbidden::Fewer => "fewer",
        };
        let longest = match gate.longest(&policy) {
            Longest::Time { from, key, time } => {
                let seconds = time.as_secs();
                let time = match key {
                    Some(key) => format!("{seconds} s (`{key}`)"),
                    None => format!("{seconds} s"),
                };
                format!("{time} from {from}")
            }
            Longest::Condition { costs } => costs.to_owned(),
        };
        let cells = [
            forbidden,
            gate.shut_while(),
            &longest,
            gate.then(),
            gate.verdict().label(),
        ];
        row(&mut text, &cells);
    }
    text
}

fn configuration() -> String {
    let mut text = String::from(
        "\
<!-- Written from scaler/src/schema/trigger.rs and scaler/src/schema/process.rs by `make generate`. -->
# Configuration

evenkeel is configured in two places: what belongs to one ScaledObject stands in its trigger's
metadata, what belongs to the process in one YAML file.

## Trigger metadata

All values are strings, as Kubernetes wants them; lists are separated by commas. Names and defaults
are KEDA's where KEDA's `kafka` or `prometheus` trigger has the key. Unknown keys are errors, and so
is a wrong value; all errors come at once, in the ScaledObject's events and from `evenkeel check`.
`xFromEnv` takes the value of `x` from the environment of the scaled workload, as in KEDA's own
triggers.

| key | takes | default | meaning |
|---|---|---|---|
",
    );
    for setting in METADATA.iter().filter(|setting| setting.kind.is_read()) {
        let mark = if setting.is_kedas { "" } else { " ¹" };
        described(&mut text, setting, mark);
    }
    text.push_str("\n¹ evenkeel's own; KEDA's triggers do not have it.\n");
    text.push_str(
        "\nAccepted without effect, so that a trigger can be moved over as it is:\n\n\
         | key | why |\n|---|---|\n",
    );
    for setting in METADATA {
        if setting.kind == Kind::Ignored {
            row(&mut text, &[&format!("`{}`", setting.key), setting.meaning]);
        }
    }
    let passed = keys(|kind| *kind == Kind::Passed);
    let credentials = keys(|kind| matches!(kind, Kind::Credential { .. }));
    write!(
        text,
        "\nFor KEDA and not for evenkeel: {passed}.\n\n\
         Refused, because everyone who may read ScaledObjects would read them; credentials belong \
         into a\nconnection profile below (`sasl: none` and `tls: disable` are accepted): \
         {credentials}.\n\n"
    )
    .unwrap();
    text.push_str(
        "\
## Process configuration

`evenkeel serve --config evenkeel.yaml`. Every setting can also be given, or overridden, by a
variable: `EVENKEEL__` and the path in capitals with two underscores between its parts, such as
`EVENKEEL__POLL__INTERVAL=2s` or `EVENKEEL__CLUSTERS__MAIN__BOOTSTRAPSERVERS=a:9092,b:9092`. It is
checked before anything is opened: all errors come at once, each with its line or its variable, and
the process ends with code 64.

`NAME` is the name of a profile, which triggers use in `cluster` and `prometheus`. A profile is also
meant by its addresses, and its permissions apply either way.

| setting | takes | default | meaning |
|---|---|---|---|
",
    );
    for setting in SETTINGS {
        described(&mut text, setting, "");
    }
    text.push_str(
        "
```yaml
poll: {interval: 5s}
clusters:
  main:
    bootstrapServers: [kafka-0:9092, kafka-1:9092]
    namespaces: [shop-*]
prometheus:
  main:
    url: http://prometheus:9090
    query: sum(rate(kafka_topic_partition_current_offset{topic=~\"{topic}\"}[1m]))
```
",
    );
    text
}

/// A setting as a row of four cells.
fn described(text: &mut String, setting: &Setting, mark: &str) {
    let absent = match setting.absent {
        Absent::Default(default) => format!("`{default}`"),
        Absent::Optional => String::new(),
        Absent::Required => "required".to_owned(),
    };
    let key = format!("`{}`{mark}", setting.key);
    row(
        text,
        &[&key, &setting.kind.expected(), &absent, setting.meaning],
    );
}

fn keys(wanted: impl Fn(&Kind) -> bool) -> String {
    let keys: Vec<String> = METADATA
        .iter()
        .filter(|setting| wanted(&setting.kind))
        .map(|setting| format!("`{}`", setting.key))
        .collect();
    keys.join(", ")
}

fn row(text: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    writeln!(text, "| {} |", cells.join(" | ")).unwrap();
}

#[test]
fn the_example_in_the_documentation_is_a_configuration() {
    let text = configuration();
    let example = text
        .split("```yaml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    evenkeel_scaler::config::Config::read(example, None, std::iter::empty()).unwrap();
}
