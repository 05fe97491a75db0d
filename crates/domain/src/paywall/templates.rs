//! What a blocked user reads (paywalls 19.5), and the address that may be asked instead (19.6).
//! Rendering is the proxy's rule.

use serde::{Deserialize, Serialize};

/// None: the text that Farebox ships.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Templates {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authorization_required: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insufficient_funds: Option<String>,
    /// Also for failures of a provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_unavailable: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_reached: Option<String>,
    pub custom_response: CustomResponse,
}

/// The developer's own answer to a blocked call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct CustomResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub timeout_ms: u64,
    pub enabled: bool,
}

impl Default for CustomResponse {
    fn default() -> CustomResponse {
        CustomResponse { url: None, timeout_ms: 2_000, enabled: false }
    }
}
