//! Who ended a session that no Close frame ended, by what Envoy says of its connections.

use crate::usage::{Close, ClosedBy};

/// The longest of Envoy's names that is kept.
const MAX_NAME: usize = 64;

/// How a session ended of which no side sent a Close frame; `details` is Envoy's `response.code_details` at its end.
/// `None` if those say nothing.
///
/// A side that just went is named there, as in `downstream_remote_disconnect` and
/// `upstream_reset_after_response_started{connection_termination}`. Anything else is Envoy's own doing, such as
/// `stream_idle_timeout`, `max_duration_timeout` or `downstream_local_disconnect(filter_chain_is_being_removed)`; what
/// stands between brackets there may be anything, and is left out. Response flags say less: a connection that Envoy closes
/// and one that its client closes have the same.
pub(super) fn close(details: &[u8]) -> Option<Close> {
    let is_named = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.');
    let length = details.iter().take(MAX_NAME).take_while(|byte| is_named(byte)).count();
    let name = details.get(..length).and_then(|name| str::from_utf8(name).ok()).unwrap_or_default();
    let (by, reason) = match name {
        "" => return None,
        "downstream_remote_disconnect" | "http2.remote_reset" | "http3.remote_reset" => (ClosedBy::Client, ""),
        // Envoy has passed an end on that came in order: over HTTP/1.1 an upgraded upstream has none.
        "via_upstream" => (ClosedBy::Upstream, ""),
        name if name.starts_with("upstream_reset") => (ClosedBy::Upstream, ""),
        _ => (ClosedBy::Gateway, name),
    };
    Some(Close::abnormal(by, reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_that_just_went_is_told_from_what_envoy_has_cut() {
        for (details, by, reason) in [
            ("downstream_remote_disconnect", ClosedBy::Client, ""),
            ("http2.remote_reset", ClosedBy::Client, ""),
            ("upstream_reset_after_response_started{connection_termination}", ClosedBy::Upstream, ""),
            ("upstream_reset_after_response_started{remote_reset}", ClosedBy::Upstream, ""),
            ("via_upstream", ClosedBy::Upstream, ""),
            ("stream_idle_timeout", ClosedBy::Gateway, "stream_idle_timeout"),
            ("max_duration_timeout", ClosedBy::Gateway, "max_duration_timeout"),
            (
                "downstream_local_disconnect(filter_chain_is_being_removed)",
                ClosedBy::Gateway,
                "downstream_local_disconnect",
            ),
            ("overload\r\nx: y", ClosedBy::Gateway, "overload"),
        ] {
            let want = Close { by, code: 1006, reason: reason.to_owned(), limit: None };
            assert_eq!(close(details.as_bytes()), Some(want), "{details}");
        }
        for nothing in ["", "{}", "\u{1}", "É"] {
            assert_eq!(close(nothing.as_bytes()), None);
        }
        let long = close("x".repeat(999).as_bytes()).unwrap();
        assert_eq!(long.reason.len(), MAX_NAME);
    }
}
