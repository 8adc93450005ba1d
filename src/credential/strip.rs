//! The header lines and query parameters that are taken out of every request, since they hold or may hold a credential.

use crate::http::Param;

/// Header lines and query parameters that go no further than the filter.
pub struct Strip {
    /// Headers beside those of the slots, in lower case.
    pub headers: Vec<String>,
    /// Query parameters beside the well-known ones, in lower case.
    pub params: Vec<String>,
}

/// Query parameters that hold a credential, whoever reads them.
const CREDENTIAL_PARAMS: [&str; 4] = ["key", "api_key", "api-key", "access_token"];

impl Strip {
    /// Whether a parameter of the query holds a credential.
    pub fn takes(&self, param: &Param<'_>) -> bool {
        CREDENTIAL_PARAMS.iter().copied().chain(self.params.iter().map(String::as_str)).any(|name| param.is(name))
    }
}
