//! What a callback reads, and whether all that was there could be read.

use std::cell::Cell;

use realtime_byok::host::{HeaderMap, Property, PropertyPath};
use realtime_byok::http::Headers;

use super::metadata::has_string;
use super::{Status, header_map_pairs, map_type, property};

/// The attribute that has all dynamic metadata.
const METADATA: &str = "metadata";

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

    /// A property with its type, as far as that matters. It only ever lets somebody in: what Envoy does not give as bytes,
    /// such as a null, is not there.
    pub(crate) fn typed_property(&self, path: &PropertyPath) -> Option<Property> {
        let read = |path| property(path).ok().flatten();
        let bytes = read(path.as_str())?;
        // Of what clients may have a hand in, only a number can look like text, in the eight bytes of its double.
        let may_be_number = bytes.len() == size_of::<f64>() && path.segments().next() == Some(METADATA);
        let is_string = !may_be_number || read(METADATA).is_some_and(|metadata| has_string(&metadata, path));
        Some(if is_string { Property::String(bytes) } else { Property::Other })
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
