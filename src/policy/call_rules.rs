//! What clients may do with calls.

/// What clients may do with the calls of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallRules {
    /// Whether a call whose tokens or dollars are limited may go on without a sideband that tells them.
    pub unwatched: Permission,
    /// Whether a call may be named by the upstream's own id where there are sealed ones.
    pub raw_ids: Permission,
    /// How many sidebands a call may have at a time.
    pub sidebands: u32,
}

/// Whether something may be done.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Permission {
    /// It may not.
    #[default]
    Refused,
    /// It may.
    Allowed,
}

impl Default for CallRules {
    fn default() -> Self {
        Self { unwatched: Permission::default(), raw_ids: Permission::default(), sidebands: 1 }
    }
}
