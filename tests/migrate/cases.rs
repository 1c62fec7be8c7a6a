//! Every case, and what has to be true of all of them.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use evenkeel_scaler::grpc::wire::ScaledObjectRef;
use expect_test::expect_file;
use serde_json::Value;

use super::chart_tool::{assert_valid, files, render, root};
use super::process::{Serve, in_time};

const CASES: &str = "tests/migrate/cases";

/// Cases with options of their own.
const OPTIONS: &[(&str, &[&str])] = &[
    ("blueprint", &["--capacity-per-replica", "100"]),
    (
        "inbound-rate",
        &["--scaler-address", "evenkeel.scaling.svc:9090"],
    ),
    ("plain", &["--cluster", "main"]),
];

/// Cases of which nothing is expected to be moved, or not all.
const NOT_ALL_MOVED: &[&str] = &[
    "formula",
    "scaled-job",
    "shared-anchor",
    "two-credentials-of-a-group",
    "wrong",
];

fn inputs() -> Vec<PathBuf> {
    let mut inputs = files(CASES, "yaml");
    inputs.retain(|path| !path.to_string_lossy().ends_with(".moved.yaml"));
    inputs
}

fn name(path: &std::path::Path) -> String {
    path.file_stem().unwrap().to_string_lossy().into_owned()
}

fn moved(path: &std::path::Path) -> PathBuf {
    path.with_extension("moved.yaml")
}

/// Runs it in the folder of the cases, so that notes name files and no paths.
pub fn evenkeel(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args(arguments)
        .current_dir(root().join(CASES))
        .output()
        .unwrap()
}

#[test]
fn what_comes_out_is_what_is_committed() {
    assert!(inputs().len() >= 20);
    for input in inputs() {
        let name = name(&input);
        let file = format!("{name}.yaml");
        let options = OPTIONS.iter().find(|(case, _)| *case == name);
        let mut arguments = vec!["migrate"];
        arguments.extend(options.map_or(&[][..], |(_, options)| *options));
        arguments.push(&file);
        let output = evenkeel(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        let code = output.status.code().unwrap();
        expect_file![moved(&input)].assert_eq(&String::from_utf8(output.stdout).unwrap());
        expect_file![input.with_extension("notes.txt")]
            .assert_eq(&format!("{said}exit code {code}\n"));
    }
}

#[test]
fn what_came_out_goes_through_again_unchanged() {
    for input in inputs() {
        if NOT_ALL_MOVED.contains(&name(&input).as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(moved(&input)).unwrap();
        let output = evenkeel(&["migrate", &moved(&input).to_string_lossy()]);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(said, "0 ScaledObjects moved\n", "{}", input.display());
    }
}

#[test]
fn what_is_left_is_left_to_the_byte() {
    for case in [
        "scaled-job",
        "shared-anchor",
        "two-credentials-of-a-group",
        "wrong",
    ] {
        let read = |file: String| std::fs::read_to_string(root().join(CASES).join(file)).unwrap();
        assert_eq!(
            read(format!("{case}.yaml")),
            read(format!("{case}.moved.yaml")),
            "{case}"
        );
    }
}

#[test]
fn evenkeel_check_finds_no_error_in_what_was_moved() {
    for input in inputs() {
        let name = name(&input);
        if NOT_ALL_MOVED.contains(&name.as_str()) {
            continue;
        }
        let output = evenkeel(&["check", &format!("{name}.moved.yaml")]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{name}: {said}");
        assert!(said.contains("evenkeel trigger"), "{name}: {said}");
    }
}

#[test]
fn kedas_own_schema_takes_every_scaled_object() {
    let folder = tempfile::tempdir().unwrap();
    let mut moved = Vec::new();
    for input in inputs() {
        let name = name(&input);
        // One of them was no ScaledObject of KEDA 2 before and is left so.
        if name == "wrong" {
            continue;
        }
        for (nth, object) in scaled_objects(&name).iter().enumerate() {
            let path = folder.path().join(format!("{name}-{nth}.yaml"));
            std::fs::write(&path, object.to_string()).unwrap();
            moved.push(path);
        }
    }
    assert!(moved.len() >= 25, "only {} ScaledObjects", moved.len());
    assert_valid(&moved);
}

/// The values of the chart that `migrate` writes for a case; none where no profile is needed.
fn values(input: &std::path::Path, folder: &std::path::Path) -> Option<PathBuf> {
    let values = folder.join(format!("{}.values.yaml", name(input)));
    let mut arguments = vec!["migrate", "--values", values.to_str().unwrap()];
    let options = OPTIONS.iter().find(|(case, _)| *case == name(input));
    arguments.extend(options.map_or(&[][..], |(_, options)| *options));
    arguments.push(input.to_str().unwrap());
    evenkeel(&arguments);
    let mut text = std::fs::read_to_string(&values).ok()?;
    text.push_str("image: {repository: registry.example.com/evenkeel}\n");
    std::fs::write(&values, text).unwrap();
    Some(values)
}

#[test]
fn the_values_with_the_profiles_are_taken_by_check_and_by_helm() {
    let folder = tempfile::tempdir().unwrap();
    let mut written = Vec::new();
    for input in inputs() {
        let Some(values) = values(&input, folder.path()) else {
            continue;
        };
        let moved = moved(&input);
        let arguments = ["check", "--config", values.to_str().unwrap()];
        let output = evenkeel(&[&arguments[..], &[moved.to_str().unwrap()]].concat());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{}: {said}", moved.display());
        assert!(said.contains("by the profile"), "{said}");
        written.push(values);
    }
    assert!(written.len() >= 18, "only {} cases", written.len());
    let mut manifests = Vec::new();
    for rendered in render("evenkeel", &written) {
        assert_eq!(rendered.error, "", "{}", rendered.values);
        let path = PathBuf::from(&rendered.values).with_extension("manifests.yaml");
        std::fs::write(&path, rendered.manifests).unwrap();
        manifests.push(path);
    }
    assert_valid(&manifests);
}

#[test]
fn no_secret_is_repeated() {
    let folder = tempfile::tempdir().unwrap();
    // Of the Secrets, workloads and triggers among the cases, the last one in base64.
    let secrets = [
        "only-an-example",
        "never-printed",
        "never-printed-either",
        "a-user-in-the-open",
        "written-in-the-open",
        "bmV2ZXItcHJpbnRlZA==",
    ];
    let mut given = String::new();
    for input in inputs() {
        given.push_str(&std::fs::read_to_string(&input).unwrap());
        let notes = std::fs::read_to_string(input.with_extension("notes.txt")).unwrap();
        let values = values(&input, folder.path());
        let values = values.map_or_else(String::new, |path| std::fs::read_to_string(path).unwrap());
        for secret in secrets {
            assert!(!notes.contains(secret), "{secret} in {notes}");
            assert!(!values.contains(secret), "{secret} in {values}");
        }
    }
    assert!(secrets.iter().all(|secret| given.contains(secret)));
}

#[tokio::test]
async fn a_running_server_takes_what_was_moved() {
    let folder = tempfile::tempdir().unwrap();
    let mut asked = 0;
    for input in inputs() {
        if name(&input) == "wrong" {
            continue;
        }
        // The files of the Secrets are not there; that is said, and keeps nobody from starting.
        let config = values(&input, folder.path()).map_or_else(String::new, |values| {
            let text = std::fs::read_to_string(values).unwrap();
            let values: Value = serde_saphyr::from_str(&text).unwrap();
            values["config"].to_string()
        });
        let serve = Serve::start(&config).await;
        let mut client = serve.client().await;
        for object in scaled_objects(&name(&input)) {
            for trigger in object["spec"]["triggers"].as_array().unwrap() {
                if trigger["type"] != "external-push" {
                    continue;
                }
                // KEDA puts the environment's values in.
                let metadata =
                    trigger["metadata"]
                        .as_object()
                        .unwrap()
                        .iter()
                        .map(|(key, value)| {
                            let value = value.as_str().unwrap();
                            let resolved = match key.as_str() {
                                "bootstrapServersFromEnv" => "127.0.0.1:1",
                                _ => value,
                            };
                            (key.clone(), resolved.to_owned())
                        });
                let reference = ScaledObjectRef {
                    name: object["metadata"]["name"].as_str().unwrap().to_owned(),
                    namespace: object["metadata"]["namespace"]
                        .as_str()
                        .unwrap_or("default")
                        .to_owned(),
                    scaler_metadata: metadata.collect::<HashMap<_, _>>(),
                };
                // Nobody answers there, so all that can be wrong is that there is no decision yet.
                let answer = in_time(client.stream_is_active(reference)).await;
                if let Err(refusal) = answer {
                    panic!("{}: {refusal}", name(&input));
                }
                asked += 1;
            }
        }
    }
    assert!(asked >= 35, "only {asked} triggers were asked for");
}

/// The ScaledObjects of what came out of `case`.
fn scaled_objects(case: &str) -> Vec<Value> {
    let text =
        std::fs::read_to_string(root().join(CASES).join(format!("{case}.moved.yaml"))).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    documents
        .into_iter()
        .flat_map(|document| match document["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![document],
        })
        .filter(|object| object["kind"] == "ScaledObject")
        .collect()
}
