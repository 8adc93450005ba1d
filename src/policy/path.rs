//! What a request's path asks for, as an upstream may read it: percent-decoded, a backslash for a slash, in any case,
//! without empty segments.

use percent_encoding::percent_decode;

use crate::denial::{Denial, Reason};
use crate::http::Target;

/// Refuses paths that no policy can allow: those that mint client secrets, which would be good outside of the gateway,
/// and those with dot segments, which may come to any other (RFC 3986 section 5.2.4: a client removes them).
pub fn check_path(target: &Target<'_>) -> Result<(), Denial> {
    let path: Vec<u8> = percent_decode(target.path).map(|byte| byte.to_ascii_lowercase()).collect();
    let mut segments = path.rsplit(|byte| b"/\\".contains(byte)).filter(|segment| !segment.is_empty());
    if segments.clone().any(|segment| matches!(segment, b"." | b"..")) {
        return Err(Denial::new(Reason::MalformedRequest, "The path holds a dot segment. Send it resolved."));
    }
    match [segments.next(), segments.next(), segments.next()] {
        [Some(b"client_secrets" | b"sessions" | b"transcription_sessions"), Some(b"realtime"), _]
        | [Some(b"client_secrets"), Some(b"translations"), Some(b"realtime")] => {
            let message = "Client secrets are not minted here. Use the gateway token itself.";
            Err(Denial::new(Reason::RouteNotAllowed, message))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_mint_and_paths_that_hide_are_told_from_the_rest() {
        for (path, want) in [
            ("/v1/realtime/client_secrets", Some(Reason::RouteNotAllowed)),
            ("/v1/realtime/sessions?x", Some(Reason::RouteNotAllowed)),
            ("/openai/v1/realtime/transcription_sessions", Some(Reason::RouteNotAllowed)),
            ("/v1/realtime/translations/client_secrets/", Some(Reason::RouteNotAllowed)),
            ("/V1//Realtime%2Fclient%5fsecrets", Some(Reason::RouteNotAllowed)),
            ("/v1/realtime\\client_secrets", Some(Reason::RouteNotAllowed)),
            ("/v1/realtime/./client_secrets", Some(Reason::MalformedRequest)),
            ("/v1/x/%2E./realtime", Some(Reason::MalformedRequest)),
            ("/v1/realtime/sessions/..", Some(Reason::MalformedRequest)),
            ("/v1/realtime/calls", None),
            ("/v1/realtime/sessions/s", None),
            ("/v1/translations/client_secrets", None),
            ("/v1/realtime?x=/realtime/sessions", None),
            ("/v1/files/a..b/...", None),
            ("/%ff", None),
            ("*", None),
            ("", None),
        ] {
            let denial = check_path(&Target::parse(path.as_bytes())).err();
            assert_eq!(denial.map(|denial| denial.reason), want, "{path}");
        }
    }
}
