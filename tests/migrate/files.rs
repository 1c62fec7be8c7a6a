//! What `evenkeel migrate` reads and writes, and what it says when it cannot.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::cases::evenkeel;
use super::chart_tool::root;

fn case(name: &str) -> String {
    std::fs::read_to_string(root().join("tests/migrate/cases").join(name)).unwrap()
}

#[test]
fn standard_input_goes_through_and_into_check() {
    let plain = evenkeel(&["migrate", "inbound-rate.yaml"]).stdout;
    for (command, input) in [
        ("migrate", case("inbound-rate.yaml").into_bytes()),
        ("check", plain.clone()),
    ] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args([command, "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        if command == "migrate" {
            assert_eq!(output.stdout, plain);
        }
    }
}

#[test]
fn several_files_come_out_as_documents_of_one() {
    let output = evenkeel(&["migrate", "plain.yaml", "flow.yaml"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.matches("\n---\n").count(), 1, "{text}");
    assert_eq!(text.matches("external-push").count(), 2, "{text}");
}

#[test]
fn what_is_only_referred_to_is_read_and_does_not_come_out() {
    let folder = tempfile::tempdir().unwrap();
    let whole = case("mechanism-in-a-secret-that-is-there.yaml");
    let (scaled, beside) = whole.split_once("---\n").unwrap();
    std::fs::write(folder.path().join("scaled.yaml"), scaled).unwrap();
    std::fs::write(folder.path().join("beside.yaml"), beside).unwrap();
    let [beside, scaled] = ["beside.yaml", "scaled.yaml"]
        .map(|name| folder.path().join(name).to_string_lossy().into_owned());
    let output = evenkeel(&["migrate", &beside, &scaled]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.starts_with("apiVersion: keda.sh/v1alpha1"), "{text}");
    assert!(!text.contains("kind: Secret"), "{text}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("mechanism: SCRAM-SHA-512"), "{said}");
    assert!(output.status.success(), "{said}");
}

#[test]
fn values_that_are_there_are_not_replaced_and_nothing_is_moved_without_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    std::fs::write(path("there.yaml"), "config: {}\n").unwrap();
    let scaled = case("msk-iam.yaml");
    std::fs::write(path("scaled.yaml"), &scaled).unwrap();
    let nowhere = path("none/values.yaml");
    for (values, code) in [(path("there.yaml"), 64), (nowhere, 1)] {
        let output = evenkeel(&["migrate", "-i", "--values", &values, &path("scaled.yaml")]);
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        assert_eq!(
            std::fs::read_to_string(path("scaled.yaml")).unwrap(),
            scaled
        );
    }
    assert_eq!(
        std::fs::read_to_string(path("there.yaml")).unwrap(),
        "config: {}\n"
    );
}

#[test]
fn in_place_writes_what_changed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_string_lossy().into_owned()
    };
    let moves = write("moves.yaml", &case("two-topics.yaml"));
    let other = write("other.yaml", "kind:   Deployment\n");
    let output = evenkeel(&["migrate", "--in-place", &moves, &other]);
    assert!(output.status.success(), "{output:?}");
    assert!(output.stdout.is_empty());
    let read = |path: &str| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&moves), case("two-topics.moved.yaml"));
    assert_eq!(read(&other), "kind:   Deployment\n");
    let entries = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(entries, 2, "nothing is left lying beside them");
}

#[test]
fn lines_that_end_as_on_windows_go_on_doing_so() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("windows.yaml");
    let text = case("two-topics.yaml").replace('\n', "\r\n");
    std::fs::write(&path, text).unwrap();
    let output = evenkeel(&["migrate", &path.to_string_lossy()]);
    let expected = case("two-topics.moved.yaml").replace('\n', "\r\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn a_template_is_said_to_be_one_and_comes_out_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("template.yaml");
    let text = "kind: ScaledObject\nmetadata:\n  name: {{ .Values.name }}\n  {{- if .x }}\n";
    std::fs::write(&path, text).unwrap();
    let output = evenkeel(&["migrate", &path.to_string_lossy()]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("helm template"), "{said}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), text);
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn what_cannot_be_asked_for_is_refused_with_64() {
    for arguments in [
        &["migrate"][..],
        &["migrate", "no-such-file.yaml"],
        &["migrate", "--in-place", "-"],
        &["migrate", "--capacity-per-replica", "0", "plain.yaml"],
        &["migrate", "--capacity-per-replica", "many", "plain.yaml"],
    ] {
        let output = evenkeel(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}
