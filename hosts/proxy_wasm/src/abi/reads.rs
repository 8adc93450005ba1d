//! What a callback reads, and whether all that was there could be read.

use std::cell::Cell;

use realtime_byok::host::HeaderMap;
use realtime_byok::http::Headers;

use super::{Status, header_map_pairs, map_type, property};

/// Reads of one callback. What could not be read reads as nothing, so that what is decided then may let something through
/// that must not pass: nothing may be done of it unless [`all`](Self::all) is well.
#[derive(Default)]
pub(crate) struct Reads {
    fault: Cell<Option<Status>>,
}

impl Reads {
    /// Whether all could be read that was there.
    pub(crate) fn all(&self) -> Result<(), Status> {
        self.fault.get().map_or(Ok(()), Err)
    }

    /// A property, if there is one.
    pub(crate) fn property(&self, path: &str) -> Option<Vec<u8>> {
        self.noted(property(path))
    }

    /// All lines of a map.
    pub(crate) fn headers(&self, of: HeaderMap) -> Headers {
        self.noted(header_map_pairs(map_type(of)))
    }

    fn noted<T: Default>(&self, read: Result<T, Status>) -> T {
        read.unwrap_or_else(|status| {
            self.fault.set(Some(status));
            T::default()
        })
    }
}
