//! HTTP as bytes: header lines, token lists, request targets, server-sent events, and the edits that a decision makes to a
//! message.

mod content_coding;
mod edit;
mod headers;
mod media_type;
mod sse;
mod target;
mod token_list;

pub use content_coding::{ContentCodingError, decoded};
pub use edit::{Edit, Edits, HeaderName, HeaderValue};
pub use headers::{Headers, Span};
pub use media_type::{is_json, is_utf8, media_type};
pub use sse::{SseItem, SseReader};
pub use target::{Param, ParamEdit, Target};
pub use token_list::{is_token, members, trim};
