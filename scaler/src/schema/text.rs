//! Reads one value out of its text: pure, and strict about what it takes.
//!
//! A reader that can be wrong in several ways gives the sentence; the others leave it to the kind.

use std::net::Ipv6Addr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// Kafka's own limit on a topic's name.
const MAX_TOPIC_BYTES: usize = 249;
/// The longest topic pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 1_024;
/// What a compiled topic pattern may take of memory. A pattern comes from whoever may write a
/// ScaledObject; nested counts such as `((a{99}){99}){99}` would otherwise take gigabytes.
const MAX_PATTERN_COMPILED_BYTES: usize = 256 * 1_024;

/// What Go's `strconv.ParseBool` takes.
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// `5s`, `500ms`, `2m`, `1h` or plain seconds.
pub fn duration(text: &str) -> Option<Duration> {
    let number_ends = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(number_ends)?;
    let seconds_a_unit = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    Duration::try_from_secs_f64(number * seconds_a_unit).ok()
}

/// An address of Prometheus, without a slash at its end.
pub(super) fn url(text: &str) -> Result<String, String> {
    let Some(rest) = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"))
    else {
        return Err("has to begin with http:// or https://".to_owned());
    };
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if host.contains('@') {
        return Err("carries credentials, which belong into a profile's files".to_owned());
    }
    let printable = text.bytes().all(|byte| byte.is_ascii_graphic());
    if host.is_empty() || !printable || rest.contains(['?', '#']) {
        return Err("has to be an address such as http://prometheus:9090".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// The longest name of an object in Kubernetes that is a DNS label.
const MAX_NAME_BYTES: usize = 63;

/// The name of an object in Kubernetes.
pub(super) fn name(text: &str) -> Option<String> {
    let takes = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = (1..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(takes)
        && !text.starts_with('-')
        && !text.ends_with('-');
    is_name.then(|| text.to_owned())
}

/// `host:port`, in lower case.
pub(super) fn address(text: &str) -> Result<String, String> {
    let is_address = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bracketed = host
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'));
        let host_is_right = match bracketed {
            Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
            None => is_name(host),
        };
        host_is_right && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if is_address {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("has to be host:port, such as kafka:9092".to_owned())
    }
}

fn is_name(host: &str) -> bool {
    let takes = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=253).contains(&host.len()) && host.bytes().all(takes)
}

/// A word as scopes are: letters, digits, and what addresses are made of.
pub(super) fn word(text: &str) -> Result<String, String> {
    let takes = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#@!$&'()*+;=%".contains(&byte);
    match text.bytes().all(takes) {
        true => Ok(text.to_owned()),
        false => Err("has to be words without blanks, quotes or brackets".to_owned()),
    }
}

/// A name of letters, digits, dots, dashes and underscores, and a printable value.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    let takes = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let is_printable = |value: &str| value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    text.split_once('=')
        .filter(|(name, _)| !name.is_empty() && name.bytes().all(takes))
        .filter(|(_, value)| !value.is_empty() && is_printable(value))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .ok_or_else(|| {
            "has to be name=value, the name of letters, digits, dots, dashes and underscores"
                .to_owned()
        })
}

/// The same with a file's path as the value.
pub(super) fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, value) = pair(text)?;
    let path = path(&value).ok_or("has to be name=/path, the whole path of a file, from / on")?;
    Ok((name, path))
}

/// A path from the root on. Whoever writes a secret in the place of its file hears of it, and the
/// secret is not taken for a file's name.
pub(super) fn path(text: &str) -> Option<PathBuf> {
    text.starts_with('/').then(|| PathBuf::from(text))
}

/// A host's name or IP address, in lower case.
pub(super) fn host(text: &str) -> Option<String> {
    (is_name(text) || text.parse::<Ipv6Addr>().is_ok()).then(|| text.to_ascii_lowercase())
}

/// A topic's name.
pub(super) fn topic(text: &str) -> Result<String, String> {
    let takes = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=MAX_TOPIC_BYTES).contains(&text.len())
        && text != "."
        && text != ".."
        && text.bytes().all(takes)
    {
        return Ok(text.to_owned());
    }
    Err(format!(
        "is no topic name: Kafka takes 1 to {MAX_TOPIC_BYTES} letters, digits, dots, dashes and \
         underscores; use topicPattern for a pattern"
    ))
}

/// A topic pattern, anchored at both ends.
pub(super) fn pattern(text: &str) -> Result<regex::Regex, String> {
    if text.len() > MAX_PATTERN_BYTES {
        return Err(format!("is longer than {MAX_PATTERN_BYTES} bytes"));
    }
    regex::RegexBuilder::new(&format!("^(?:{text})$"))
        .size_limit(MAX_PATTERN_COMPILED_BYTES)
        .dfa_size_limit(MAX_PATTERN_COMPILED_BYTES)
        .build()
        .map_err(|error| {
            // The library draws the pattern with a caret under it; its last line is the reason.
            let text = error.to_string();
            let reason = text
                .lines()
                .last()
                .unwrap_or_default()
                .trim_start_matches("error: ");
            format!("is no regular expression that can be used: {reason}")
        })
}

/// A glob.
pub(super) fn glob(text: &str) -> Result<globset::GlobMatcher, String> {
    match globset::Glob::new(text) {
        Ok(glob) => Ok(glob.compile_matcher()),
        Err(error) => Err(format!("is no glob: {}", error.kind())),
    }
}

/// One partition's number, or a range `10-20`.
pub(super) fn partitions(text: &str) -> Option<RangeInclusive<u32>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let first: u32 = first.trim().parse().ok()?;
    let last: u32 = last.trim().parse().ok()?;
    // A partition's number is a positive 32-bit integer in Kafka's protocol.
    (first <= last && i32::try_from(last).is_ok()).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_and_without_units() {
        for (text, milliseconds) in [
            ("5", 5_000),
            ("5s", 5_000),
            ("500ms", 500),
            ("2m", 120_000),
            ("1.5h", 5_400_000),
            ("0", 0),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(duration(text), Some(expected), "{text}");
        }
        for text in ["", "s", "5 days", "-1s", "1e400", "NaN", "inf", "5s5s", "∞"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
