//! An instance in front of others, which copies credentials to where another filter can verify them, and does nothing else.

use std::sync::Arc;

use super::settings::GatewaySettings;
use super::strip::Strip;

/// All that such an instance goes by.
pub struct Presenter {
    /// Where credentials are looked for: where a gateway looks unless it says otherwise.
    pub gateway: GatewaySettings,
    /// What access logs do not show of a request that is denied.
    pub strip: Strip,
    /// The header that gets them, in lower case.
    pub header: Arc<str>,
}
