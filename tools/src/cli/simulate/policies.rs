//! The names of the policies on the command line, and their knobs.
//!
//! A knob that is not given is the one that is published, or usual where none is; the scoreboard shows
//! what the others come to.

use std::ops::RangeInclusive;

use evenkeel_sim::contender::Contender;

use evenkeel_scaler::schema::closest;

/// Who takes part when nobody is named: all rivals, the reactive oracle, and ours.
pub(super) const DEFAULT: &str =
    "evenkeel,keda-blueprint,keda-lag,keda-lag-rate,keda-lag-rate-even,cloud-run,flink,reactive";

/// Policies and their settings at most: what a report can show.
const MAX_CONTENDERS: usize = 64;

/// What a knob turns.
#[derive(Clone, Copy, Debug)]
enum Knob {
    /// Seconds of a pod's capacity.
    Seconds(f64, fn(f64) -> Contender),
    /// A share of a pod's capacity.
    Utilization(f64, fn(f64) -> Contender),
    /// It has none.
    None(fn() -> Contender),
}

const POLICIES: [(&str, Knob); 10] = [
    ("evenkeel", Knob::None(Contender::evenkeel)),
    // lagThreshold 10000 on pods of 100 records/s.
    (
        "keda-blueprint",
        Knob::Seconds(100.0, Contender::KedaBlueprint),
    ),
    ("keda-lag", Knob::Seconds(10.0, Contender::KedaLag)),
    (
        "keda-lag-rate",
        Knob::Utilization(0.8, Contender::KedaLagRate),
    ),
    (
        "keda-lag-rate-even",
        Knob::Utilization(0.8, Contender::KedaLagRateEven),
    ),
    (
        "keda-lag-rate-all-even",
        Knob::Utilization(0.8, Contender::KedaLagRateAllEven),
    ),
    ("cloud-run", Knob::Seconds(10.0, Contender::CloudRun)),
    // Flink's own default target utilization.
    ("flink", Knob::Utilization(0.7, Contender::Flink)),
    ("reactive", Knob::Utilization(0.8, Contender::Reactive)),
    (
        "clairvoyant",
        Knob::Utilization(0.8, Contender::Clairvoyant),
    ),
];

/// A knob in seconds: from less than a sync to an hour.
const SECONDS: RangeInclusive<f64> = 0.1..=3_600.0;

/// A utilization.
const UTILIZATION: RangeInclusive<f64> = 0.05..=1.0;

/// Reads `NAME[=KNOB[:KNOB...]],...`; what is wrong goes into `complaints`.
pub(super) fn parse(text: &str, complaints: &mut Vec<String>) -> Vec<Contender> {
    let mut contenders = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (name, knobs) = match part.split_once('=') {
            Some((name, knobs)) => (name.trim(), Some(knobs)),
            None => (part, None),
        };
        let Some((_, knob)) = POLICIES.iter().find(|(known, _)| *known == name) else {
            complaints.push(unknown(name));
            continue;
        };
        let (usual, range, build) = match (knob, knobs) {
            (Knob::None(build), None) => {
                contenders.push(build());
                continue;
            }
            (Knob::None(_), Some(_)) => {
                complaints.push(format!(
                    "--policies: {name} has no knob: write {name} alone"
                ));
                continue;
            }
            (Knob::Seconds(usual, build), _) => (*usual, SECONDS, build),
            (Knob::Utilization(usual, build), _) => (*usual, UTILIZATION, build),
        };
        let Some(knobs) = knobs else {
            contenders.push(build(usual));
            continue;
        };
        for knob in knobs.split(':') {
            match knob.trim().parse::<f64>() {
                Ok(value) if range.contains(&value) => contenders.push(build(value)),
                _ => complaints.push(format!(
                    "--policies: the knob of {name} is {knob:?}: write a number from {} to {}, such \
                     as {name}={usual}",
                    range.start(),
                    range.end(),
                )),
            }
        }
    }
    let twice = |nth: usize| {
        let known = contenders.iter().take(nth);
        contenders.get(nth).is_some_and(|contender| {
            known
                .into_iter()
                .any(|other| label(other) == label(contender))
        })
    };
    if let Some(contender) = (0..contenders.len())
        .find(|nth| twice(*nth))
        .and_then(|nth| contenders.get(nth))
    {
        complaints.push(format!("--policies: {} is there twice", label(contender)));
    }
    if contenders.len() > MAX_CONTENDERS {
        complaints.push(format!(
            "--policies: {} policies and settings are more than {MAX_CONTENDERS}",
            contenders.len()
        ));
    }
    contenders
}

/// What they are called.
pub(super) fn names() -> [&'static str; POLICIES.len()] {
    POLICIES.map(|(name, _)| name)
}

fn label(contender: &Contender) -> String {
    format!("{} {}", contender.name(), contender.knob())
        .trim()
        .to_owned()
}

fn unknown(name: &str) -> String {
    let names = names();
    let list = names.join(", ");
    match closest(name, names) {
        Some(like) => {
            format!("--policies: there is no {name:?}, did you mean {like}? There are {list}")
        }
        None => format!("--policies: there is no {name:?}: there are {list}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&[&str], &[&str]>) {
        let mut complaints = Vec::new();
        let contenders = parse(text, &mut complaints);
        match expected {
            Ok(labels) => {
                assert_eq!(complaints, Vec::<String>::new(), "{text}");
                let found: Vec<String> = contenders.iter().map(label).collect();
                assert_eq!(found, labels, "{text}");
            }
            Err(words) => {
                assert_eq!(complaints.len(), words.len(), "{text}: {complaints:?}");
                for (complaint, words) in complaints.iter().zip(words) {
                    assert!(complaint.contains(words), "{text}: {complaint}");
                }
            }
        }
    }

    #[test]
    fn policies_have_usual_knobs_and_sweeps() {
        check("evenkeel", Ok(&["evenkeel"]));
        check(
            "keda-lag=5:30, flink,evenkeel",
            Ok(&[
                "KEDA lag 5 s",
                "KEDA lag 30 s",
                "Flink-like 0.7",
                "evenkeel",
            ]),
        );
        let mut complaints = Vec::new();
        assert_eq!(parse(DEFAULT, &mut complaints).len(), 8);
        assert!(complaints.is_empty(), "{complaints:?}");
    }

    #[test]
    fn all_that_is_wrong_with_policies_is_said() {
        check(
            "kedalag,flink=2:soon,evenkeel=1,",
            Err(&[
                "no \"kedalag\", did you mean keda-lag?",
                "knob of flink is \"2\": write a number from 0.05 to 1, such as flink=0.7",
                "knob of flink is \"soon\"",
                "evenkeel has no knob",
                "no \"\": there are evenkeel, keda-blueprint",
            ]),
        );
        check("flink,flink=0.7", Err(&["Flink-like 0.7 is there twice"]));
        let many: Vec<String> = (0..65).map(|nth| format!("{}", 1 + nth)).collect();
        check(
            &format!("keda-lag={}", many.join(":")),
            Err(&["65 policies and settings are more than 64"]),
        );
    }
}
