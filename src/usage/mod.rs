//! From events to usage, cost and a record. Knows JSON and prices, and no frames.
//!
//! An upstream's message is first looked at with [`peek`], which tells from its beginning whether the rest is worth
//! collecting. What is collected goes whole to a [`Meter`], which counts it once, prices it and keeps the sums of one
//! session. A REST answer goes to a [`BodyMeter`] in whatever pieces it arrives; where its usage had to be asked for in
//! the client's place, an [`UnaskedUsage`] keeps it from the client. A client's message goes to [`inspect()`] where a
//! policy locks fields or restricts models. At any time a [`Record`] says what is known.
//!
//! - [`EventType`]: the events that matter, found by their type
//! - [`Tally`]: counters by modality
//! - [`Price`]: what tokens cost, exact to the micro-dollar
//! - [`SseReader`]: server-sent events out of chunks

mod collected;
mod dialect;
mod event;
mod fraction;
mod inspect;
mod meter;
mod object;
mod price;
mod recent;
mod record;
mod report;
mod rest;
mod scan;
mod sse;
mod tally;
mod unasked;

#[cfg(test)]
mod recorded;

pub use dialect::Rejected;
pub use event::{EventType, Peek, peek};
pub use inspect::{ClientEvent, InvalidPath, Lock, ModelRole, RequestedModel, Unreadable, inspect};
pub use meter::{Counted, Meter, Metered};
pub use price::{InvalidRate, MicroUsd, Price, PriceList, Rate};
pub use record::{Close, ClosedBy, Kind, Record, RecordId, Status, Timestamp, Traffic};
pub use rest::BodyMeter;
pub use sse::{SseItem, SseReader};
pub use tally::{Input, Output, Tally, Tokens, Transcription};
pub use unasked::{Ambiguous, UnaskedUsage, ask_for_usage, asks_for_stream};
