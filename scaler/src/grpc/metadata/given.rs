//! Which keys a trigger gives: each held against the table, unknown ones refused.
//!
//! What a key's value says is read in `schema::values`. Whether keys go together is not decided here.

use std::collections::BTreeMap;

use crate::schema::trigger::{self, METADATA};
use crate::schema::{Content, Error, Given, Kind, Place, Values};

/// More entries than keys exist, each also as `…FromEnv`, are no trigger's metadata.
const MAX_ENTRIES: usize = 160;
/// The longest value: room for a query of several screens.
const MAX_VALUE_BYTES: usize = 8_192;

/// What a key of KEDA's other triggers is called here, where a similar name would mislead: the
/// `prometheus` trigger's threshold is what one replica can take, in the query's unit.
const CALLED_HERE: &[(&str, &str)] = &[("threshold", "capacityPerReplica")];

/// Whether `…FromEnv` values are values yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Environment {
    /// KEDA has put the values in.
    Resolved,
    /// They are still names of variables, as in a file; what they will say is not known.
    Names,
}

/// The values that are given, with what is wrong with their keys, and what has no effect.
pub fn read(pairs: &BTreeMap<&str, &str>, environment: Environment) -> (Values, Vec<String>) {
    let mut values = Values::new(METADATA, "", Place::Unknown);
    let mut notes = Vec::new();
    if pairs.len() > MAX_ENTRIES {
        let why = format!("has {} entries, at most {MAX_ENTRIES} can be", pairs.len());
        values.wrong("metadata", why);
        return (values, notes);
    }
    for (written, value) in pairs {
        notes.extend(give(&mut values, written, value.trim(), environment));
    }
    (values, notes)
}

/// Gives `values` one entry; a note where it has no effect.
fn give(
    values: &mut Values,
    written: &str,
    value: &str,
    environment: Environment,
) -> Option<String> {
    let Some((setting, is_from_env)) = trigger::find(written) else {
        values.errors.push(unknown(written));
        return None;
    };
    // KEDA drops what is empty before it looks at it, so empty is absent.
    if value.is_empty() {
        return None;
    }
    match setting.kind {
        Kind::Passed => return None,
        Kind::Ignored => {
            return Some(format!(
                "{} has no effect: {}",
                setting.key, setting.meaning
            ));
        }
        Kind::Credential { harmless } if harmless == Some(value) => {
            return Some(format!(
                "{} = {value} has no effect: credentials live in a connection profile",
                setting.key
            ));
        }
        Kind::Credential { .. } => {
            let why = "credentials are not taken from a trigger, where everyone who reads \
                       ScaledObjects would see them: put them into a profile of evenkeel's \
                       configuration and name it with cluster or prometheus";
            values.errors.push(Error::new(written, why));
            return None;
        }
        _ => {}
    }
    if value.len() > MAX_VALUE_BYTES {
        let why = format!(
            "is {} bytes long, at most {MAX_VALUE_BYTES} can be",
            value.len()
        );
        values.errors.push(Error::new(written, why));
        return None;
    }
    let content = if is_from_env && environment == Environment::Names {
        Content::Later
    } else {
        Content::Text(value.to_owned())
    };
    let given = Given {
        written: written.to_owned(),
        place: Place::Unknown,
        content,
        is_shown: !is_from_env,
    };
    if let Some(other) = values.give(setting, given) {
        let other = other.written;
        let why = format!("is given twice, as {other} and as {written}: keep one");
        values.errors.push(Error::new(setting.key, why));
    }
    None
}

fn unknown(written: &str) -> Error {
    let names = METADATA.iter().map(|setting| setting.key);
    let mut error = Error::unknown(written, written, names);
    if let Some((_, key)) = CALLED_HERE.iter().find(|(other, _)| *other == written) {
        error.suggestion = Some((*key).to_owned());
    }
    error
}
