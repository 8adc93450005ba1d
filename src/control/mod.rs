//! The control API: sessions listed, found and stopped from the server side, wherever in the process they run.

mod api;
mod errors;
mod listing;

pub use api::Request;
pub use listing::Listing;
