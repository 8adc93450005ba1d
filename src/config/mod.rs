//! From the plugin's configuration to a [`Plan`] that cannot be wrong.
//!
//! `source` makes a document of the bytes, `decode` gives it the types of the settings ([`raw`]), `plan` resolves names
//! and secrets.
//! Every stage collects all of its errors; each has a path, and none shows a secret.

mod decode;
mod document;
mod error;
mod found;
mod omitted;
mod path;
mod plan;
mod protobuf;
pub mod raw;
mod source;
mod unknown_setting;

pub use error::{ConfigError, Errors};
pub use path::{Path, Step};
pub use plan::{BeganWith, Configuration, ConfigurationId, Instance, MintMode, Plan, Planned, Secrets, Standing};

/// Reads a plugin configuration: JSON, or a serialized `google.protobuf.Struct`. `variable` looks an environment
/// variable up.
///
/// # Errors
///
/// All that is wrong, each with its path, if anything is.
pub fn load(configuration: &[u8], variable: &dyn Fn(&str) -> Option<String>) -> Result<Planned, Errors> {
    let value = source::decode(configuration)?;
    let decoded = decode::decode(&value)?;
    plan::build(decoded, variable)
}
