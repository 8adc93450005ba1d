//! What was used: counters, prices, cost, and the record of a session. Knows prices, and no frames.
//!
//! What upstreams say goes to a [`Meter`], which counts it once, prices it and keeps the sums of one session. At any time a
//! [`Record`] says what is known.
//!
//! - [`Tally`]: counters by modality
//! - [`Limit`]: the names of what can be used up
//! - [`Estimator`]: what was used that nobody told
//! - [`Price`]: what tokens cost, exact to the micro-dollar

mod estimate;
mod limit;
mod meter;
mod price;
mod recent_ids;
mod record;
pub(crate) mod report;
mod tally;
mod turn;

pub use estimate::{AudioFormat, AudioFormats, AudioMeasure, Estimator, Said};
pub use limit::{Limit, UnknownLimit};
pub use meter::{Meter, MeterEvent, Usage};
pub use price::{InvalidRate, MicroUsd, Price, PriceList, Rate};
pub use recent_ids::IdDigest;
pub use record::{Close, ClosedBy, Estimated, Record, RecordId, Status, Timestamp, Traffic, Transport};
pub use report::{IdKind, Report, Reported, ReportedUsage, SessionNames, TurnPart, UsageError};
pub use tally::{Audio, Input, Output, Tally, Tokens, Transcription};
pub use turn::Turns;
