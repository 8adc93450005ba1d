//! From the plugin's configuration to a [`Plan`] that cannot be wrong.
//!
//! `source` decodes the bytes, `shape` gives them their types ([`raw`]), `plan` resolves names and secrets.
//! Every stage collects all of its errors; each has a path, and none shows a secret.

mod decode;
mod document;
mod error;
mod omitted;
mod path;
mod plan;
mod protobuf;
pub mod raw;
mod shape;
mod source;

pub use error::{ConfigError, Errors};
pub use path::{Path, Step};
pub use plan::{MintMode, Plan, Planned, Secrets};

/// Reads a plugin configuration: JSON, or a serialized `google.protobuf.Struct`. `variable` looks an environment
/// variable up.
pub fn load(configuration: &[u8], variable: &dyn Fn(&str) -> Option<String>) -> Result<Planned, Errors> {
    let value = source::decode(configuration)?;
    let shaped = shape::read(&value)?;
    plan::build(shaped, variable)
}
