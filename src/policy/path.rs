//! Paths that could come to be others on their way.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use crate::denial::{Denial, DenialCode};
use crate::http::Target;

/// Refuses paths with dot segments: an upstream that removes them (RFC 3986 section 5.2.4) would serve another path than
/// the one that was checked.
pub fn check_path(target: &Target<'_>) -> Result<(), Denial> {
    let path: Cow<'_, [u8]> = percent_decode(target.path).into();
    let mut segments = path.split(|byte| matches!(byte, b'/' | b'\\'));
    if segments.any(|segment| matches!(segment, b"." | b"..")) {
        return Err(Denial::new(DenialCode::MalformedRequest, "The path holds a dot segment. Send it resolved."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_hide_where_they_lead_are_distinguished() {
        for (path, is_fine) in [
            ("/v1/realtime/./client_secrets", false),
            ("/v1/x/%2E./realtime", false),
            ("/v1\\..\\x", false),
            ("/v1/realtime/sessions/..", false),
            ("/v1/files/a..b/...", true),
            ("/v1/realtime?x=/../y", true),
            ("/%ff", true),
            ("*", true),
            ("", true),
        ] {
            assert_eq!(check_path(&Target::parse(path.as_bytes())).is_ok(), is_fine, "{path}");
        }
    }
}
