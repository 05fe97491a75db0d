//! Which models a paywall lets through, and under which other names (paywalls 9). The lists only:
//! what they mean is `proxy::model`'s rule.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Lists of model ids; `*` at the end of an entry stands for any rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Models {
    /// Empty: all.
    pub allow: Vec<String>,
    pub deny: Vec<String>,
    /// What clients may call a model → the model's id.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub aliases: BTreeMap<String, String>,
}
