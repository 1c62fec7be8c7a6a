//! The parameters of KEDA's triggers as settings of a connection profile.
//!
//! Decides which setting each parameter becomes, what nobody but the user knows, and what evenkeel
//! cannot do. The settings are those of docs/configuration.md; how they are written is `profile`'s
//! matter. No value that may be a secret is read: only where it is.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::{Files, Parameters, Source};
use evenkeel_scaler::schema::boolean;

/// Stands where an address is needed that nobody knows: no such host can be there (RFC 2606).
const UNKNOWN_ENDPOINT: &str = "https://fill-this-in.invalid/token";

/// What a profile needs beside addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// Settings by their paths below the profile, such as `tls.ca`.
    pub settings: BTreeMap<&'static str, Setting>,
    /// Keys for AWS's own chain, by the names of its environment variables.
    pub environment: BTreeMap<&'static str, Source>,
    /// What the user has to fill in before it can work.
    pub to_fill_in: BTreeSet<String>,
    /// What evenkeel cannot do.
    pub cannot: BTreeSet<String>,
    /// What else is to be known.
    pub notes: BTreeSet<String>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// A truth value.
    Yes,
    /// A text.
    Word(String),
    /// Several.
    Words(Vec<String>),
    /// The path of a file that holds what is there.
    File(Source),
}

// === impl Access ===

impl Access {
    /// Whether an address is all that is needed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What a Kafka trigger needs.
    pub fn kafka(parameters: &Parameters, files: &Files) -> Self {
        let mut access = Self::default();
        access.begin(parameters);
        let tls = access.word(parameters, files, "tls").unwrap_or_default();
        let sasl = access.word(parameters, files, "sasl").unwrap_or_default();
        let provider = access.word(parameters, files, "saslTokenProvider");
        let is_encrypted = tls == "enable";
        if is_encrypted {
            access.set("tls.enabled", Setting::Yes);
            access.unchecked(parameters, files);
            access.certificates(parameters);
        }
        match (sasl.as_str(), provider.as_deref()) {
            ("" | "none", _) => {}
            ("plaintext", _) => {
                access.password(parameters, "PLAIN");
                if !is_encrypted {
                    access.set("sasl.allowPlaintext", Setting::Yes);
                    access.note("The password goes over the network readable, as it did with KEDA");
                }
            }
            ("scram_sha256", _) => access.password(parameters, "SCRAM-SHA-256"),
            ("scram_sha512", _) => access.password(parameters, "SCRAM-SHA-512"),
            ("aws_msk_iam", _) | ("oauthbearer", Some("aws_msk_iam")) => {
                access.set("sasl.mechanism", Setting::Word("AWS_MSK_IAM".to_owned()));
                access.amazon(
                    parameters,
                    files,
                    ["sasl.awsRegion", "sasl.awsRoleArn"],
                    "deploy/aws/scaler-policy.json",
                );
            }
            ("oauthbearer", _) => access.client_credentials(parameters, files),
            ("gssapi", _) => {
                access.cannot.insert("sasl gssapi".to_owned());
            }
            // What stands there instead may be a secret under the wrong key.
            _ => {
                access
                    .cannot
                    .insert("sasl, which is no mechanism that KEDA knows".to_owned());
            }
        }
        access
    }

    /// What a Prometheus trigger needs.
    pub fn prometheus(parameters: &Parameters, files: &Files) -> Self {
        let mut access = Self::default();
        access.begin(parameters);
        let modes = access
            .word(parameters, files, "authModes")
            .unwrap_or_default();
        let mut is_plaintext_told = false;
        for mode in listed(&modes) {
            match mode.as_str() {
                "bearer" => {
                    access.required_file(parameters, "bearerToken", "bearerTokenFile");
                    is_plaintext_told = true;
                }
                "basic" => {
                    access.required_file(parameters, "username", "basic.usernameFile");
                    access.required_file(parameters, "password", "basic.passwordFile");
                    is_plaintext_told = true;
                }
                "tls" => {}
                _ => {
                    access
                        .cannot
                        .insert("authModes other than basic, bearer and tls".to_owned());
                }
            }
        }
        let server = parameters.source("serverAddress");
        let is_readable = server
            .and_then(|server| files.word(server))
            .is_some_and(|server| server.starts_with("http://"));
        if !is_readable {
            access.unchecked(parameters, files);
            // KEDA uses no certificate of an authentication without authModes.
            if !modes.is_empty() {
                access.certificates(parameters);
            }
        }
        if is_plaintext_told && is_readable {
            access.set("allowPlaintext", Setting::Yes);
            access.note("What proves who evenkeel is goes over the network readable, as with KEDA");
        }
        // KEDA takes these of the trigger alone.
        let own = |name: &str| match parameters.source(name) {
            Some(Source::Text(text)) => Some(text.clone()),
            _ => None,
        };
        if let Some(headers) = own("customHeaders") {
            access.set("headers", Setting::Words(listed(&headers)));
        }
        let mut given = own("queryParameters").map_or_else(Vec::new, |given| listed(&given));
        let namespace = own("namespace");
        given.extend(namespace.map(|namespace| format!("namespace={namespace}")));
        if !given.is_empty() {
            access.set("queryParameters", Setting::Words(given));
        }
        let is_amazons = parameters.source("awsRegion").is_some()
            || parameters
                .identity
                .as_ref()
                .is_some_and(|identity| identity.provider == "aws");
        if is_amazons {
            access.set("sigv4.enabled", Setting::Yes);
            access.amazon(
                parameters,
                files,
                ["sigv4.awsRegion", "sigv4.awsRoleArn"],
                "deploy/aws/prometheus-policy.json",
            );
        } else if let Some(identity) = &parameters.identity {
            let words = format!("pod identity {}", identity.provider);
            access.cannot.insert(words);
        }
        access
    }

    /// Notes what is known before any parameter is looked at.
    fn begin(&mut self, parameters: &Parameters) {
        if let Some(absent) = &parameters.absent {
            self.fill_in(format!(
                "what {absent} brings: it is in none of the files, give its file too"
            ));
        }
    }

    fn set(&mut self, setting: &'static str, value: Setting) {
        self.settings.insert(setting, value);
    }

    fn note(&mut self, words: &str) {
        self.notes.insert(words.to_owned());
    }

    fn fill_in(&mut self, words: String) {
        self.to_fill_in.insert(words);
    }

    /// A word such as a mechanism: its text, where the files have it.
    fn word(&mut self, parameters: &Parameters, files: &Files, name: &str) -> Option<String> {
        let source = parameters.source(name)?;
        self.known(name, source, files.word(source))
    }

    /// A word that is written into the values: not what stands in a Secret, where it may be anything.
    fn open_word(&mut self, parameters: &Parameters, files: &Files, name: &str) -> Option<String> {
        let source = parameters.source(name)?;
        let text = match source {
            Source::Key { object, .. } if object.is_secret => None,
            _ => files.word(source),
        };
        self.known(name, source, text)
    }

    /// The text of a word; where there is none and it is not in the trigger, that is to be filled in.
    fn known(&mut self, name: &str, source: &Source, text: Option<String>) -> Option<String> {
        let text = text.filter(|text| !text.is_empty());
        if text.is_none() && !matches!(source, Source::Text(_)) {
            self.fill_in(format!("{name}, which {source} holds"));
        }
        text
    }

    /// The file of a parameter that is or may be a secret.
    fn file(&mut self, parameters: &Parameters, name: &str, setting: &'static str) -> bool {
        match parameters.source(name) {
            // A secret in the manifest itself: it has to move into a Secret, and is not repeated.
            Some(Source::Text(_)) => {
                let place = format!("{name} of the trigger's metadata");
                self.set(setting, Setting::File(Source::Elsewhere(place)));
            }
            Some(source) => self.set(setting, Setting::File(source.clone())),
            None => return false,
        }
        true
    }

    /// As [`Self::file`], for what the profile cannot do without.
    fn required_file(&mut self, parameters: &Parameters, name: &str, setting: &'static str) {
        if !self.file(parameters, name, setting) {
            let place = parameters.absent.clone().map_or_else(
                || format!("nothing gives {name}"),
                |absent| format!("{name} of {absent}"),
            );
            self.set(setting, Setting::File(Source::Elsewhere(place)));
        }
    }

    fn unchecked(&mut self, parameters: &Parameters, files: &Files) {
        let is_unchecked = self
            .word(parameters, files, "unsafeSsl")
            .is_some_and(|text| boolean(&text) == Some(true));
        if is_unchecked {
            self.set("tls.insecureSkipVerify", Setting::Yes);
            self.note("No certificate of the server is checked, as with KEDA's unsafeSsl");
        }
    }

    fn certificates(&mut self, parameters: &Parameters) {
        if !self.settings.contains_key("tls.insecureSkipVerify") {
            self.file(parameters, "ca", "tls.ca");
        }
        if self.file(parameters, "cert", "tls.cert") {
            self.required_file(parameters, "key", "tls.key");
            self.file(parameters, "keyPassword", "tls.keyPasswordFile");
        }
    }

    fn password(&mut self, parameters: &Parameters, mechanism: &str) {
        self.set("sasl.mechanism", Setting::Word(mechanism.to_owned()));
        self.required_file(parameters, "username", "sasl.usernameFile");
        self.required_file(parameters, "password", "sasl.passwordFile");
    }

    fn client_credentials(&mut self, parameters: &Parameters, files: &Files) {
        self.set("sasl.mechanism", Setting::Word("OAUTHBEARER".to_owned()));
        self.required_file(parameters, "username", "sasl.clientIdFile");
        self.required_file(parameters, "password", "sasl.clientSecretFile");
        let endpoint = self.open_word(parameters, files, "oauthTokenEndpointUri");
        if endpoint.is_none() && parameters.source("oauthTokenEndpointUri").is_none() {
            self.fill_in("oauthTokenEndpointUri".to_owned());
        }
        let endpoint = endpoint.unwrap_or_else(|| UNKNOWN_ENDPOINT.to_owned());
        if endpoint.starts_with("http://") {
            self.set("sasl.allowPlaintext", Setting::Yes);
            self.note(
                "The client's secret goes to the token endpoint readable, as it did with KEDA",
            );
        }
        self.set("sasl.tokenEndpoint", Setting::Word(endpoint));
        if let Some(scopes) = self.open_word(parameters, files, "scopes") {
            let scopes = listed(&scopes.replace(' ', ","));
            self.set("sasl.scopes", Setting::Words(scopes));
        }
        if let Some(extensions) = self.open_word(parameters, files, "oauthExtensions") {
            self.set("sasl.extensions", Setting::Words(listed(&extensions)));
        }
    }

    /// Amazon's own: region, role, keys.
    fn amazon(
        &mut self,
        parameters: &Parameters,
        files: &Files,
        [region, role]: [&'static str; 2],
        policy: &str,
    ) {
        if let Some(text) = self.open_word(parameters, files, "awsRegion") {
            self.set(region, Setting::Word(text));
        }
        let identity = parameters.identity.clone().unwrap_or_default();
        let given = self.open_word(parameters, files, "awsRoleArn");
        if let Some(arn) = identity.role_arn.or(given) {
            self.set(role, Setting::Word(arn));
        }
        let keys = [
            ("AWS_ACCESS_KEY_ID", "awsAccessKeyID"),
            ("AWS_SECRET_ACCESS_KEY", "awsSecretAccessKey"),
            ("AWS_SESSION_TOKEN", "awsSessionToken"),
        ];
        for (variable, parameter) in keys {
            let source = parameters.source(parameter).map(|source| match source {
                Source::Text(_) => {
                    Source::Elsewhere(format!("{parameter} of the trigger's metadata"))
                }
                source => source.clone(),
            });
            if let Some(source) = source {
                self.environment.insert(variable, source);
            }
        }
        if self.environment.is_empty() {
            let needs = if self.settings.contains_key(role) {
                "a role that may assume it (sts:AssumeRole)".to_owned()
            } else {
                format!("a role with {policy}")
            };
            let whose = if identity.is_workloads {
                "KEDA used the workload's role: now evenkeel's service account"
            } else {
                "In place of KEDA's service account now evenkeel's"
            };
            self.notes.insert(format!(
                "{whose} needs {needs}, by Pod Identity or by serviceAccount.annotations"
            ));
        }
    }
}

/// The words of a list with commas.
fn listed(text: &str) -> Vec<String> {
    let words = text.split(',').map(|word| word.trim().to_owned());
    words.filter(|word| !word.is_empty()).collect()
}
