//! The control API's errors.

use crate::local_reply::LocalReply;

pub(super) fn unauthorized() -> LocalReply {
    let message = "Send the control token as `authorization: Bearer <token>`.";
    LocalReply::error(401, "authentication_error", "invalid_control_token", message, None)
}

pub(super) fn not_allowed(methods: &'static str) -> LocalReply {
    let mut answer = error(405, "method_not_allowed", "The methods that can be used here are in the header `allow`.");
    answer.headers.push(("allow", methods.into()));
    answer
}

pub(super) fn not_found() -> LocalReply {
    let message = "No session of this id is open, or among those that ended last.";
    error(404, "session_not_found", message)
}

pub(super) fn malformed(message: &str) -> LocalReply {
    error(400, "malformed_request", message)
}

pub(super) fn error(status: u16, code: &str, message: &str) -> LocalReply {
    LocalReply::error(status, "invalid_request_error", code, message, None)
}
