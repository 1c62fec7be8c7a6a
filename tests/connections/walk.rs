//! The page that leads a new user from a broker with a password to an explained decision, run as it
//! stands: every command of docs/secured-kafka.md, against a real broker with its authorizer on.
//!
//! Kafka's script is its own class, since scripts are in no jar; ports are free ones.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use evenkeel_tools::demo::broker::KafkaTools;
use evenkeel_tools::demo::process::bound_command;

use crate::process::free_address;
use crate::secured::{AUTHORIZER, ORDERS, PASSWORD, Secured, USER};

/// Far above what the page takes.
const IN_TIME: Duration = Duration::from_secs(300);

/// Who may grant rights.
const ADMIN: &str = "admin";

/// The page's commands, in their order.
fn commands(page: &str) -> String {
    let blocks = page.split("```sh\n").skip(1);
    let blocks: Vec<&str> = blocks
        .map(|rest| rest.split("```").next().unwrap())
        .collect();
    assert_eq!(blocks.len(), 3, "the page's steps");
    blocks.concat()
}

fn write_script(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[tokio::test]
async fn the_page_leads_from_a_broker_with_a_password_to_an_explained_decision() {
    let login = format!(
        "org.apache.kafka.common.security.plain.PlainLoginModule required \
         user_{USER}=\"{PASSWORD}\" user_{ADMIN}=\"{PASSWORD}\";"
    );
    let more = [
        AUTHORIZER,
        ("super.users", "User:ANONYMOUS;User:admin"),
        ("listener.name.login.plain.sasl.jaas.config", &login),
    ];
    let kafka = Secured::start_with(Duration::ZERO, &more).await;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::copy(kafka.authority.ca(), folder.path().join("ca.crt")).unwrap();
    write("username", USER);
    write("password", PASSWORD);
    let authority = kafka.authority.ca().display().to_string();
    write(
        "admin.properties",
        &format!(
            "security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.jaas.config=org.apache.kafka.common.\
             security.plain.PlainLoginModule required username=\"{ADMIN}\" password=\"{PASSWORD}\";\n\
             ssl.truststore.type=PEM\nssl.truststore.location={authority}\n"
        ),
    );
    let programs = folder.path().join("bin");
    std::fs::create_dir(&programs).unwrap();
    let tools = KafkaTools::provision()
        .await
        .expect("make setup fetches them");
    let acls = tools.command("org.apache.kafka.tools.AclCommand");
    let acls = acls.as_std();
    let words: Vec<String> = std::iter::once(acls.get_program())
        .chain(acls.get_args())
        .map(|word| format!("'{}'", word.to_str().unwrap()))
        .collect();
    let script = format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" "));
    write_script(&programs.join("kafka-acls.sh"), &script);
    // `make test` builds it beside the others.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let page = std::fs::read_to_string("docs/secured-kafka.md").unwrap();
    let text = commands(&page)
        .replace("127.0.0.1:9090", &free_address().to_string())
        .replace("127.0.0.1:8080", &free_address().to_string());
    let path = [
        programs.as_path(),
        Path::new(env!("CARGO_BIN_EXE_evenkeel")).parent().unwrap(),
        target,
    ]
    .map(|folder| folder.display().to_string())
    .join(":");
    let mut walk = bound_command(Path::new("/bin/bash"));
    walk.args([
        "-euo",
        "pipefail",
        "-c",
        &format!("trap 'kill 0' EXIT\n{text}"),
    ])
    .env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap()))
    .env("KAFKA", kafka.address("LOGIN"))
    .env("TOPIC", ORDERS)
    .env("GROUP", ORDERS)
    .current_dir(folder.path());
    let output = tokio::time::timeout(IN_TIME, walk.output())
        .await
        .expect("the page's commands end")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    for words in [
        "operation=DESCRIBE",
        "reads Kafka by the profile main",
        "TLS, SCRAM-SHA-512",
        "\"status\": \"SERVING\"",
        "\"metricName\": \"evenkeel-replicas\"",
        "shop/trade-workers",
    ] {
        assert!(
            said.contains(words),
            "{words:?} is not in {said}{complaints}"
        );
    }
}
