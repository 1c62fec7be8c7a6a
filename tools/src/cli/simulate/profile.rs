//! The Prometheus profile of a backtest, out of the configuration of `evenkeel serve`.

use std::path::Path;

use evenkeel_scaler::config::{Config, PrometheusConfig};

/// The profile called `name` of the configuration in the file, with what the environment lays over it.
///
/// # Errors
/// What is wrong, to be said after the flag's name.
pub(super) fn find(config: Option<&Path>, name: &str) -> Result<PrometheusConfig, String> {
    let config =
        config.ok_or("needs --config: the process configuration that holds the profile")?;
    let config = Config::load(Some(config), std::env::vars());
    let mut profiles = config.map_err(|errors| format!("{errors:#}"))?.prometheus;
    profiles.remove(name).ok_or_else(|| {
        let names: Vec<&str> = profiles.keys().map(String::as_str).collect();
        let there_are = match names.is_empty() {
            true => "there are none".to_owned(),
            false => format!("there are {}", names.join(", ")),
        };
        format!("{name}: no such Prometheus profile in --config; {there_are}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_one_of_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("evenkeel.yaml");
        let refused = |name| find(Some(&config), name).unwrap_err();
        assert!(refused("main").contains("cannot be read"));
        let profile = "prometheus: {main: {url: 'http://p:1', headers: [X-Scope-OrgID=a]}}";
        std::fs::write(&config, profile).unwrap();
        let found = find(Some(&config), "main").unwrap();
        assert_eq!(found.url, "http://p:1");
        assert!(found.access.is_some());
        assert!(refused("mian").ends_with("there are main"));
        std::fs::write(&config, "prometheus: 5").unwrap();
        assert!(refused("main").contains("prometheus: has to be a mapping"));
        assert!(find(None, "main").unwrap_err().contains("--config"));
    }
}
