//! Values of the configuration that are more than JSON's own: maps in their order, secrets, durations, times.

use std::time::{Duration, SystemTime};

use crate::secret::Secret;

/// Things by their names, in the order of the configuration's map.
///
/// A list and no map: nothing is looked up here, and every kind of map that the module holds costs it kilobytes.
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Text that must not be shown.
pub struct SecretText(pub Secret);

/// A duration: `90s`, `30m`, `2h`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub struct Span(pub Duration);

/// A moment: RFC 3339 in UTC.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Debug)]
pub struct Time(pub SystemTime);
