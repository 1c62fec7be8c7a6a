//! The process configuration: YAML as it may be written, and variables.

use std::path::{Path, PathBuf};

use evenkeel_scaler::config::Config;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::bend::{bend_text, bends};
use crate::{cases, panics};

fn corpus() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus");
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.sort();
    let read = |file: &PathBuf| std::fs::read_to_string(file).unwrap();
    files.iter().map(read).collect()
}

/// Variables with names that are nearly right.
fn variables() -> impl Strategy<Value = Vec<(String, String)>> {
    let names = [
        "EVENKEEL__POLL__INTERVAL",
        "EVENKEEL__CLUSTERS__MAIN__BOOTSTRAPSERVERS",
        "EVENKEEL__PROMETHEUS__MAIN__HEADERS",
        "EVENKEEL____",
        "EVENKEEL__CLUSTERS__",
    ];
    let name = (select(names.to_vec()), bends(), any::<bool>());
    let name = name.prop_map(|(name, bends, bent)| match bent {
        true => bend_text(name, &bends),
        false => name.to_owned(),
    });
    vec((name, any::<String>()), 0..3)
}

#[test]
fn the_corpus_is_good() {
    let corpus = corpus();
    assert!(corpus.len() >= 3);
    for text in corpus {
        let read = Config::read(&text, None, std::iter::empty());
        read.unwrap_or_else(|errors| panic!("{errors:#}\n{text}"));
    }
}

proptest! {
    #![proptest_config(cases(file!(), 2_000))]

    #[test]
    fn no_configuration_does_harm(
        text in select(corpus()), bends in bends(), variables in variables(),
    ) {
        let before = panics();
        let bent = bend_text(&text, &bends);
        let read = || Config::read(&bent, None, variables.iter().cloned());
        match read() {
            Ok(config) => {
                prop_assert!(!config.poll.interval.is_zero());
                prop_assert!(config.limits.targets > 0);
            }
            Err(errors) => {
                prop_assert!(!errors.errors.is_empty());
                // The same text, the same words.
                let again = read().map(|_| String::new());
                prop_assert_eq!(format!("{errors:#}"), again.unwrap_or_else(|errors| format!("{errors:#}")));
            }
        }
        prop_assert_eq!(panics(), before);
    }
}
