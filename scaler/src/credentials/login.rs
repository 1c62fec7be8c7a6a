//! A name and the secret that goes with it, out of two files.

use std::path::Path;

use super::{Content, Rotating, Secret};
use crate::metrics::Metrics;

/// A user with a password, or a client with its secret.
#[derive(Debug)]
pub struct Login {
    /// Who it is.
    pub name: Secret,
    /// What proves it.
    pub secret: Secret,
}

// === impl Login ===

impl Login {
    /// What the two files hold; none is read yet. `setting` is the path in the configuration under
    /// which people find them.
    pub fn of(setting: String, name: &Path, secret: &Path, metrics: &Metrics) -> Rotating<Self> {
        let paths = vec![name.to_owned(), secret.to_owned()];
        Rotating::new(setting, paths, metrics, |files: &[Content<'_>]| {
            let [name, secret] = files else {
                return Err("needs two files".to_owned());
            };
            Ok(Self {
                name: name.secret()?,
                secret: secret.secret()?,
            })
        })
    }
}
