//! What a policy says of the fields of sessions.

use crate::config::document::Document;

/// Session fields with their values.
pub struct Preset(pub(crate) Document);

/// Session fields that a client may not change.
pub enum Lock {
    /// These; one that changes ends the session.
    Fields(Vec<String>),
    /// The long form.
    Rules(LockRules),
}

/// Session fields that a client may not change, and what happens if it tries.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(deny_unknown_fields, default))]
#[derive(Default)]
pub struct LockRules {
    /// The fields.
    pub fields: Vec<String>,
    /// What becomes of a message that would change one of them, or holds a tool of a type that is not among `tool_types`.
    #[cfg_attr(feature = "schema", schemars(extend("default" = "end")))]
    pub on_change: OnChange,
}

/// What becomes of a message that would change what is locked.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename_all = "snake_case"))]
pub enum OnChange {
    /// It ends the session.
    #[default]
    End,
    /// It goes no further, and the client gets the error event `field_locked`.
    Refuse,
    /// It goes on without what is locked.
    Drop,
}
