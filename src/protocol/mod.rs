//! The protocols of the providers' APIs: what upstreams' events and bodies say of usage, what clients' events change.
//!
//! An upstream's message is first looked at with [`peek`], which tells from its beginning whether the rest is worth
//! collecting. A response of the REST API goes to a [`BodyMeter`] in whatever pieces it arrives; where its usage had to
//! be requested for the client, a [`UsageChunkFilter`] keeps it from the client. A client's message goes to [`inspect()`]
//! where a policy locks fields or restricts models.
//!
//! - [`EventType`]: the events that matter, found by their type

mod client_event;
mod event_type;
mod lock;
mod rest_body;
mod session_field;
pub(crate) mod upstream_event;
pub(crate) mod usage;
mod usage_chunk;

#[cfg(test)]
mod tests;

pub use client_event::{ClientEvent, ModelRole, RequestedModel, Unreadable, inspect};
pub use event_type::{EventType, Peek, peek};
pub use lock::{InvalidPath, Lock};
pub use rest_body::BodyMeter;
pub use session_field::SessionField;
pub use usage_chunk::{Ambiguous, UsageChunkFilter, is_stream_requested, with_include_usage};
