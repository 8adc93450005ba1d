//! Places where tests have the module panic, each while it holds a worker. Without the feature `faults` none of them does.

#[cfg(feature = "faults")]
use std::sync::Mutex;

/// Panics the first time if `REALTIME_BYOK_FAULT` is this place.
#[cfg(feature = "faults")]
pub(crate) fn fault_at(place: &str) {
    static DONE: Mutex<bool> = Mutex::new(false);
    if std::env::var("REALTIME_BYOK_FAULT").is_ok_and(|fault| fault == place) {
        let is_first = !std::mem::replace(&mut *super::process::lock(&DONE), true);
        assert!(!is_first, "asked for at {place}, with what nobody must see: sk-secret");
    }
}

/// Nothing happens here.
#[cfg(not(feature = "faults"))]
#[inline]
pub(crate) fn fault_at(_: &str) {}
