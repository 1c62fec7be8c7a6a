//! What an answer of Prometheus' HTTP API means as an inbound rate.
//!
//! A rate is one number. Nothing at all, several series, NaN and a negative number each mean
//! something else is wrong, so each gets its own cause and its own sentence; none of them is ever
//! taken for 0. This file does no I/O.

use evenkeel_engine::{Cause, Timestamp};
use serde::Deserialize;

use crate::observe::Problem;

/// Characters of a server's own words that are repeated in a sentence. Long enough for a PromQL
/// parse error with its position, short enough for a log line and a gRPC status.
const QUOTED_CHARACTERS: usize = 200;

/// Seconds that can be a time: up to the year 9999. Prometheus' own bounds are wider and mean
/// nothing here.
const LAST_SECOND: f64 = 253_402_300_799.0;

/// The types of Prometheus' errors. The words of one that has another type are not repeated: a trigger
/// may have named an address where something else answers.
const KNOWN_ERRORS: [&str; 10] = [
    "bad_data",
    "canceled",
    "execution",
    "internal",
    "not_acceptable",
    "not_found",
    "timeout",
    "too_large_entry",
    "too_many_requests",
    "unavailable",
];

/// One value and the time at which the server evaluated it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    /// Records per second, finite and not negative.
    pub(super) records_per_second: f64,
    /// The evaluation time by the server's clock.
    pub(super) evaluated_at: Timestamp,
}

/// The envelope of every answer.
#[derive(Debug, Deserialize)]
struct Envelope {
    status: String,
    data: Option<Data>,
    #[serde(rename = "errorType", default)]
    error_type: String,
    #[serde(default)]
    error: String,
}

/// The result of a query by its type.
#[derive(Debug, Deserialize)]
#[serde(tag = "resultType", content = "result", rename_all = "lowercase")]
enum Data {
    Vector(Vec<VectorElement>),
    Scalar(Point),
    Matrix(Vec<MatrixElement>),
    String(serde::de::IgnoredAny),
}

/// One series of an instant answer; without a value it is a native histogram.
#[derive(Debug, Deserialize)]
struct VectorElement {
    value: Option<Point>,
}

/// One series of a range answer.
#[derive(Debug, Deserialize)]
struct MatrixElement {
    #[serde(default)]
    values: Vec<Point>,
}

/// Seconds since the epoch, and the value as Prometheus prints it.
#[derive(Debug, Deserialize)]
struct Point(f64, String);

/// Reads the answer to an instant query. `Ok(None)` is the empty answer: the server knows no such
/// series now.
pub(super) fn instant(body: &[u8]) -> Result<Option<Sample>, Problem> {
    match data(body)? {
        Data::Scalar(point) => point.sample().map(Some),
        Data::Vector(series) => match series.as_slice() {
            [] => Ok(None),
            [VectorElement { value: Some(point) }] => point.sample().map(Some),
            [VectorElement { value: None }] => Err(malformed(
                "returns a histogram, not a number: wrap it in histogram_count(rate(...)) or the like",
            )),
            several => Err(malformed(format!(
                "returns {} series and a rate is one number: wrap it in sum(...)",
                several.len()
            ))),
        },
        Data::Matrix(_) => Err(malformed(
            "returns a range, not a number: wrap it in sum(rate(...))",
        )),
        Data::String(_) => Err(malformed("returns text, not a number")),
    }
}

/// Reads the answer to a range query: its newest usable value. `Ok(None)` when there was none in
/// the whole range.
pub(super) fn newest_of_range(body: &[u8]) -> Result<Option<Sample>, Problem> {
    points(body)?.last().map(Point::sample).transpose()
}

/// Reads the answer to a range query: all its values, of which there may be none.
pub(super) fn range(body: &[u8]) -> Result<Vec<Sample>, Problem> {
    points(body)?.iter().map(Point::sample).collect()
}

/// Reads the answer to a range query: those of its values that are rates.
pub(super) fn usable_of_range(body: &[u8]) -> Result<Vec<Sample>, Problem> {
    let points = points(body)?;
    let samples = points.iter().filter_map(|point| point.sample().ok());
    Ok(samples.collect())
}

fn points(body: &[u8]) -> Result<Vec<Point>, Problem> {
    let Data::Matrix(mut series) = data(body)? else {
        return Err(malformed(
            "was asked over a range and answered with no range",
        ));
    };
    if series.len() > 1 {
        return Err(malformed(format!(
            "returned {} series lately and a rate is one number: wrap it in sum(...)",
            series.len()
        )));
    }
    Ok(series.pop().map_or_else(Vec::new, |one| one.values))
}

/// What an answer with an HTTP status other than success means.
pub(super) fn refusal(status: u16, body: &[u8]) -> Problem {
    // Prometheus names its own errors in JSON under 400, 422 and 503; what answers otherwise is
    // mostly something in front of it.
    if let Ok(envelope) = serde_json::from_slice::<Envelope>(body)
        && envelope.status == "error"
        && !matches!(status, 401 | 403)
    {
        return envelope.problem();
    }
    let (cause, sentence) = match status {
        401 | 403 => (
            Cause::Refused,
            format!("was refused with HTTP {status}: the server wants credentials, or others"),
        ),
        300..=399 => (
            Cause::Failed,
            format!(
                "was redirected with HTTP {status}, which is not followed: name the final address"
            ),
        ),
        404 => (
            Cause::Failed,
            "found no Prometheus API (HTTP 404): check the address and its path".to_owned(),
        ),
        429 => (
            Cause::Failed,
            "was turned away with HTTP 429: the server has too many queries".to_owned(),
        ),
        _ => (
            Cause::Failed,
            format!("failed with HTTP {status}: see the server's log"),
        ),
    };
    Problem { cause, sentence }
}

/// Repeats a server's own words, cut to a length that a log line can bear.
pub(super) fn quoted(words: &str) -> String {
    let mut quoted: String = words
        .chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(QUOTED_CHARACTERS)
        .collect();
    if words.chars().count() > QUOTED_CHARACTERS {
        quoted.push_str("...");
    }
    quoted
}

fn data(body: &[u8]) -> Result<Data, Problem> {
    let envelope: Envelope = serde_json::from_slice(body).map_err(|_| {
        malformed("got an answer that is not Prometheus' JSON: check that the address is a Prometheus server")
    })?;
    match envelope {
        Envelope {
            data: Some(data),
            ref status,
            ..
        } if status == "success" => Ok(data),
        Envelope { ref status, .. } if status == "error" => Err(envelope.problem()),
        _ => Err(malformed(
            "got an answer with neither a result nor an error",
        )),
    }
}

fn malformed(sentence: impl Into<String>) -> Problem {
    Problem {
        cause: Cause::Malformed,
        sentence: sentence.into(),
    }
}

// === impl Envelope ===

impl Envelope {
    fn problem(&self) -> Problem {
        let cause = match self.error_type.as_str() {
            "timeout" => Cause::Timeout,
            _ => Cause::Failed,
        };
        Problem {
            cause,
            sentence: match KNOWN_ERRORS.contains(&self.error_type.as_str()) {
                true => format!("failed: {}", quoted(&self.error)),
                false => {
                    "failed with an error that is not one of Prometheus': see the server's log"
                        .to_owned()
                }
            },
        }
    }
}

// === impl Point ===

impl Point {
    fn sample(&self) -> Result<Sample, Problem> {
        let Self(seconds, printed) = self;
        // Rust's parser takes Prometheus' spellings of NaN and the infinities too.
        let value: f64 = printed
            .parse()
            .map_err(|_| malformed("returns a value that is no number"))?;
        if value.is_nan() {
            return Err(malformed(
                "returns NaN: it divides by zero, or its source reports none",
            ));
        }
        if value.is_infinite() {
            return Err(malformed("returns an infinite rate: it divides by zero"));
        }
        if value < 0.0 {
            return Err(malformed(format!(
                "returns {value}, and a rate is never negative: use rate(...) on a counter, not deriv(...)"
            )));
        }
        if !(0.0..=LAST_SECOND).contains(seconds) {
            return Err(malformed("returns a time that is none"));
        }
        #[expect(
            clippy::cast_sign_loss,
            clippy::cast_possible_truncation,
            reason = "checked above: between 0 and the year 9999"
        )]
        let evaluated_at = Timestamp::from_millis((seconds * 1_000.0) as u64);
        Ok(Sample {
            records_per_second: value,
            evaluated_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_instant(result: &str, expected: Result<Option<f64>, (Cause, &str)>) {
        let body = format!(r#"{{"status":"success","data":{result}}}"#);
        check(instant(body.as_bytes()), expected, result);
    }

    fn check(
        actual: Result<Option<Sample>, Problem>,
        expected: Result<Option<f64>, (Cause, &str)>,
        of: &str,
    ) {
        match (actual, expected) {
            (Ok(sample), Ok(value)) => {
                assert_eq!(
                    sample.map(|sample| sample.records_per_second),
                    value,
                    "{of}"
                );
            }
            (Err(problem), Err((cause, words))) => {
                assert_eq!(problem.cause, cause, "{of}: {}", problem.sentence);
                assert!(
                    problem.sentence.contains(words),
                    "{of}: {}",
                    problem.sentence
                );
            }
            (actual, expected) => panic!("{of}: {actual:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn one_number_is_a_rate_and_everything_else_has_its_own_sentence() {
        let vector = |value: &str| {
            format!(
                r#"{{"resultType":"vector","result":[{{"metric":{{}},"value":[1.5,"{value}"]}}]}}"#
            )
        };
        check_instant(&vector("123.5"), Ok(Some(123.5)));
        check_instant(&vector("0"), Ok(Some(0.0)));
        check_instant(
            r#"{"resultType":"scalar","result":[1.5,"7"]}"#,
            Ok(Some(7.0)),
        );
        check_instant(r#"{"resultType":"vector","result":[]}"#, Ok(None));
        check_instant(&vector("NaN"), Err((Cause::Malformed, "NaN")));
        check_instant(&vector("+Inf"), Err((Cause::Malformed, "infinite")));
        check_instant(&vector("-1"), Err((Cause::Malformed, "never negative")));
        check_instant(&vector("many"), Err((Cause::Malformed, "no number")));
        check_instant(
            r#"{"resultType":"vector","result":[{"value":[1,"1"]},{"value":[1,"2"]}]}"#,
            Err((
                Cause::Malformed,
                "2 series and a rate is one number: wrap it in sum(...)",
            )),
        );
        check_instant(
            r#"{"resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]}"#,
            Err((Cause::Malformed, "histogram")),
        );
        check_instant(
            r#"{"resultType":"matrix","result":[]}"#,
            Err((Cause::Malformed, "a range")),
        );
        check_instant(
            r#"{"resultType":"string","result":[1,"x"]}"#,
            Err((Cause::Malformed, "text")),
        );
        check_instant(
            r#"{"resultType":"scalar","result":[1e300,"7"]}"#,
            Err((Cause::Malformed, "a time that is none")),
        );
        check_instant(
            "null",
            Err((Cause::Malformed, "neither a result nor an error")),
        );
    }

    #[test]
    fn an_answer_in_another_tongue_is_malformed() {
        for body in ["", "<html>", "{}", "[]", "{\"status\":1}"] {
            check(
                instant(body.as_bytes()),
                Err((Cause::Malformed, "not Prometheus' JSON")),
                body,
            );
        }
    }

    #[test]
    fn the_servers_own_error_is_repeated_and_cut() {
        let body = format!(
            r#"{{"status":"error","errorType":"execution","error":"parse {}"}}"#,
            "x".repeat(5_000)
        );
        let problem = refusal(422, body.as_bytes());
        assert_eq!(problem.cause, Cause::Failed);
        assert!(problem.sentence.starts_with("failed: parse xxx"));
        assert!(problem.sentence.len() < 300);
        let other = r#"{"status":"error","errorType":"odd","error":"the words of something else"}"#;
        let said = refusal(400, other.as_bytes()).sentence;
        assert!(said.contains("not one of Prometheus'"), "{said}");
        let body = r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#;
        assert_eq!(refusal(503, body.as_bytes()).cause, Cause::Timeout);
    }

    #[test]
    fn an_http_error_without_words_is_named_by_its_status() {
        for (status, cause, words) in [
            (401, Cause::Refused, "credentials"),
            (403, Cause::Refused, "credentials"),
            (302, Cause::Failed, "redirected"),
            (404, Cause::Failed, "check the address"),
            (429, Cause::Failed, "too many"),
            (500, Cause::Failed, "HTTP 500"),
        ] {
            check(Err(refusal(status, b"<html>")), Err((cause, words)), words);
        }
    }

    #[test]
    fn a_range_gives_its_newest_value() {
        let range = |result: &str| {
            let body = format!(
                r#"{{"status":"success","data":{{"resultType":"matrix","result":{result}}}}}"#
            );
            newest_of_range(body.as_bytes())
        };
        let newest = range(r#"[{"metric":{},"values":[[10,"1"],[25,"2"]]}]"#);
        assert_eq!(
            newest,
            Ok(Some(Sample {
                records_per_second: 2.0,
                evaluated_at: Timestamp::from_secs(25),
            }))
        );
        check(range("[]"), Ok(None), "no series");
        check(range(r#"[{"values":[]}]"#), Ok(None), "an empty series");
        check(
            range(r#"[{"values":[[1,"1"]]},{"values":[[1,"1"]]}]"#),
            Err((Cause::Malformed, "sum(...)")),
            "two series",
        );
        check(
            range(r#"[{"values":[[1,"1"],[2,"NaN"]]}]"#),
            Err((Cause::Malformed, "NaN")),
            "NaN last",
        );
        let odd = r#"[{"values":[[1,"1"],[2,"NaN"],[3,"+Inf"],[4,"-1"],[1e300,"1"],[5,"2"]]}]"#;
        let odd =
            format!(r#"{{"status":"success","data":{{"resultType":"matrix","result":{odd}}}}}"#);
        let usable = usable_of_range(odd.as_bytes()).map(|samples| {
            let rates = samples.iter().map(|sample| sample.records_per_second);
            rates.collect::<Vec<_>>()
        });
        assert_eq!(usable, Ok(vec![1.0, 2.0]));
    }
}
