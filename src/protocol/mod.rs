//! The protocols of the providers' APIs: what upstreams' events and bodies say of usage, what clients' events and bodies
//! ask for. All of it is read as it comes, in pieces of any size.
//!
//! An upstream's message is an [`UpstreamMessage`]; a response of the REST API goes to a [`BodyMeter`], which makes such
//! messages of it; where its usage had to be requested for the client, a [`UsageChunkFilter`] keeps it from the client. A
//! client's message is a [`ClientMessage`] where a policy locks fields or restricts models, a request's body a
//! [`RequestBody`].
//!
//! - [`SessionKind`]: the kinds of sessions, each with a row of what is known of its protocol
//! - [`EventType`]: the events that matter, found by their type

mod answer;
mod client_event;
mod client_field;
mod client_found;
mod event_type;
mod hide;
mod kind;
mod live_call;
mod lock;
mod preset;
mod refused_request;
mod request_body;
mod rest_body;
mod rest_words;
mod session_field;
mod streamed_message;
mod turn;
mod unlocked;
mod upstream_event;
mod upstream_field;
mod upstream_paths;
mod upstream_value;
mod usage;
mod usage_chunk;

#[cfg(test)]
mod tests;

pub use answer::{Answer, AnswerMessage};
pub use client_event::{ClientEvent, ClientMessage, RequestedModel, Unreadable};
pub use client_field::ModelRole;
pub use client_found::Stored;
pub use event_type::EventType;
pub use hide::{Hidden, HiddenSearch, Hide};
pub use kind::{Kind, LastEvent, ModelPlace, PresetWay, Question, SessionKind};
pub use live_call::{LiveCallRequest, LiveCallResponse, LiveModel};
pub use lock::{Lock, OnChange};
pub use preset::Preset;
pub use refused_request::RefusedRequest;
pub use request_body::{Inspected, InvalidBody, RequestBody};
pub use rest_body::BodyMeter;
pub use session_field::SessionField;
pub use upstream_event::{Relevance, UpstreamMessage};
pub use usage_chunk::UsageChunkFilter;
