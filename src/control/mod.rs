//! The control API: sessions listed, found and stopped from the server side, wherever in the process they run.

mod api;

pub use api::Request;
