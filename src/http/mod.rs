//! HTTP as bytes: header lines, token lists, request targets, and the edits that a decision makes to a message.

mod edit;
mod headers;
mod list;
mod media;
mod target;

pub use edit::{Edit, Edits, Value};
pub use headers::{Headers, Span};
pub use list::{is_token, members, trim};
pub use media::{is_json, media_type};
pub use target::{Fate, Param, Target};
