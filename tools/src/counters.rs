//! Counters in the text that programs show to Prometheus, summed by their labels.
//!
//! It reads what Kafka's agent, KEDA, the API server and evenkeel itself write, for figures of runs and
//! benches. A label's value with a quote in it is cut there. It is no parser of the format.

use std::collections::BTreeMap;

/// Sums by the values of some labels, joined by a blank.
pub type Counters = BTreeMap<String, f64>;

/// The series of `metric`, summed by `labels`; those that lack one of them do not count.
#[must_use]
pub fn summed(text: &str, metric: &str, labels: &[&str]) -> Counters {
    let mut counters = Counters::new();
    for line in text.lines() {
        let Some((name, rest)) = line.split_once('{') else {
            continue;
        };
        let value: Option<f64> = rest.rsplit(' ').next().and_then(|value| value.parse().ok());
        let values: Option<Vec<&str>> = labels.iter().map(|label| of(rest, label)).collect();
        if let (true, Some(value), Some(values)) = (name == metric, value, values) {
            *counters.entry(values.join(" ")).or_default() += value;
        }
    }
    counters
}

/// What has grown from `before` to `after`, and by how much.
#[must_use]
pub fn grown(after: &Counters, before: &Counters) -> Counters {
    let grown = after.iter().filter_map(|(what, after)| {
        let before = before.get(what).copied().unwrap_or(0.0);
        (*after > before).then(|| (what.clone(), after - before))
    });
    grown.collect()
}

/// The value of a label in what stands between the braces.
fn of<'a>(labels: &'a str, label: &str) -> Option<&'a str> {
    let begins = format!("{label}=\"");
    let mut found = labels.match_indices(&begins);
    let (at, _) = found.find(|(at, _)| {
        let before = labels.get(..*at).unwrap_or_default().trim_end();
        before.is_empty() || before.ends_with(',')
    })?;
    let rest = labels.get(at + begins.len()..)?;
    rest.split_once('"').map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# TYPE requests counter
requests{verb=\"GET\",resource=\"leases\",code=\"200\"} 4
requests{verb=\"GET\", resource=\"leases\", code=\"409\",} 1.0
requests{subverb=\"PUT\",resource=\"leases\"} 16
requests{verb=\"POST\",resource=\"events\"} 0
requests_total{verb=\"GET\",resource=\"leases\"} 32
";

    #[test]
    fn series_of_the_same_labels_are_summed_and_others_left_out() {
        let counters = summed(TEXT, "requests", &["verb", "resource"]);
        let expected = [("GET leases", 5.0), ("POST events", 0.0)];
        let expected = expected.map(|(what, count)| (what.to_owned(), count));
        assert_eq!(counters, Counters::from(expected));
        assert_eq!(summed(TEXT, "requests", &["none"]), Counters::new());
    }

    #[test]
    fn only_what_grew_is_told() {
        let of = |counts: &[(&str, f64)]| -> Counters {
            let counts = counts.iter();
            counts
                .map(|(what, count)| ((*what).to_owned(), *count))
                .collect()
        };
        let before = of(&[("a", 4.0), ("b", 1.0)]);
        let after = of(&[("a", 6.0), ("b", 1.0), ("c", 2.0), ("d", 0.0)]);
        assert_eq!(grown(&after, &before), of(&[("a", 2.0), ("c", 2.0)]));
    }
}
