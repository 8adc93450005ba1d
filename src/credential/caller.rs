//! A caller: whoever may come in, and what it may use.

use crate::host::PropertyPath;
use crate::limit::CallerLimits;
use crate::name_rule::NameRule;

/// Who may come in.
pub struct Caller {
    /// The name, for logs and metrics.
    pub name: String,
    /// The policies that it may use.
    pub policies: Access,
    /// The models that it may use.
    pub models: NameRule,
    /// The pages that may connect in its name; checked when a request has an `Origin`.
    pub origins: NameRule,
    /// What it may use up.
    pub limits: CallerLimits,
    /// The property that names the user of a request of its own.
    pub user: Option<PropertyPath>,
}

/// Which policies a caller may use.
pub enum Access {
    /// All of them.
    All,
    /// These names.
    Only(Vec<String>),
}

impl Access {
    /// Whether the policy of this name may be used.
    pub fn allows(&self, policy: &str) -> bool {
        match self {
            Self::All => true,
            Self::Only(names) => names.iter().any(|name| name == policy),
        }
    }
}
