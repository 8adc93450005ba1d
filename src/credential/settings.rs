//! The settings of the gateway's slots: the names that the configuration gives them.

use std::sync::Arc;

/// Where gateway tokens are looked for.
pub struct GatewaySettings {
    /// The gateway header's name, in lower case.
    pub header: Arc<str>,
    /// The gateway subprotocol's name, as configured.
    pub subprotocol: String,
    /// Whether a provider slot may hold a gateway token too.
    pub accept_provider_slot: bool,
    pub(super) prefix: String,
    pub(super) base64url_prefix: String,
}

impl GatewaySettings {
    /// Slots of these names.
    pub fn new(header: &str, subprotocol: &str, accept_provider_slot: bool) -> Self {
        Self {
            header: header.to_ascii_lowercase().into(),
            subprotocol: subprotocol.to_owned(),
            accept_provider_slot,
            prefix: format!("{subprotocol}."),
            base64url_prefix: format!("{subprotocol}-base64url."),
        }
    }
}
