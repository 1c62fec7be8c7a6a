//! Texts in ConfigMaps of the scaler's own namespace, one a part.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};

use super::{Cluster, in_time};

/// The key under which the text is.
const KEY: &str = "learned.json";

/// ConfigMaps whose names begin alike.
#[derive(Clone, Debug)]
pub struct ConfigMaps {
    cluster: Cluster,
    prefix: String,
}

// === impl ConfigMaps ===

impl ConfigMaps {
    /// Those whose names begin with `prefix`.
    pub fn new(cluster: Cluster, prefix: String) -> Self {
        Self { cluster, prefix }
    }

    /// Others, whose names have `word` behind the prefix.
    #[must_use]
    pub fn beside(&self, word: &str) -> Self {
        Self {
            cluster: self.cluster.clone(),
            prefix: format!("{}-{word}", self.prefix),
        }
    }

    /// The name of one.
    pub fn name(&self, part: usize) -> String {
        format!("{}-{part}", self.prefix)
    }

    /// The text in one; none where there is none.
    ///
    /// # Errors
    /// A sentence, when the API server does not say.
    pub async fn read(&self, part: usize) -> Result<Option<String>, String> {
        let name = self.name(part);
        let found = in_time(self.api().get_opt(&name)).await;
        let found = found.map_err(|refused| {
            refused
                .problem(&format!("the ConfigMap {name} cannot be read"))
                .sentence
        })?;
        Ok(found.and_then(|mut found| found.data.as_mut()?.remove(KEY)))
    }

    /// Writes the text into one, which is made where there is none.
    ///
    /// # Errors
    /// A sentence, when it cannot be written.
    pub async fn write(&self, part: usize, text: String) -> Result<(), String> {
        let name = self.name(part);
        let labels = BTreeMap::from([(
            "app.kubernetes.io/managed-by".to_owned(),
            "evenkeel".to_owned(),
        )]);
        let config_map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(self.cluster.namespace.clone()),
                labels: Some(labels),
                ..ObjectMeta::default()
            },
            data: Some(BTreeMap::from([(KEY.to_owned(), text)])),
            ..ConfigMap::default()
        };
        let (api, params) = (self.api(), PostParams::default());
        let written = match in_time(api.replace(&name, &params, &config_map)).await {
            Err(refused) if refused.code == Some(404) => {
                in_time(api.create(&params, &config_map)).await
            }
            written => written,
        };
        written.map(|_| ()).map_err(|refused| {
            refused
                .problem(&format!("the ConfigMap {name} cannot be written"))
                .sentence
        })
    }

    fn api(&self) -> Api<ConfigMap> {
        Api::namespaced(self.cluster.client.clone(), &self.cluster.namespace)
    }
}
