//! The tables of `docs/errors.md` are the filter's: what refuses requests, and what ends sessions.

use std::collections::BTreeSet;

use realtime_byok::denial::DenialCode;
use realtime_byok::limit::{Ending, Limit};

use crate::markdown::{code, table};
use crate::repository;

/// Every reason. What `follows` leaves out does not compile.
fn reasons() -> Vec<DenialCode> {
    let mut reasons = vec![DenialCode::NoPolicy];
    while let Some(next) = follows(*reasons.last().unwrap()) {
        reasons.push(next);
    }
    reasons
}

/// The reason after another, in the order of their declaration. A new one needs a row in the table too.
fn follows(reason: DenialCode) -> Option<DenialCode> {
    match reason {
        DenialCode::NoPolicy => Some(DenialCode::MalformedCredentials),
        DenialCode::MalformedCredentials => Some(DenialCode::ConflictingCredentials),
        DenialCode::ConflictingCredentials => Some(DenialCode::MissingGatewayToken),
        DenialCode::MissingGatewayToken => Some(DenialCode::InvalidGatewayToken),
        DenialCode::InvalidGatewayToken => Some(DenialCode::ExpiredGatewayToken),
        DenialCode::ExpiredGatewayToken => Some(DenialCode::RouteNotAllowed),
        DenialCode::RouteNotAllowed => Some(DenialCode::OriginNotAllowed),
        DenialCode::OriginNotAllowed => Some(DenialCode::ModelNotAllowed),
        DenialCode::ModelNotAllowed => Some(DenialCode::ModelRequired),
        DenialCode::ModelRequired => Some(DenialCode::MethodNotAllowed),
        DenialCode::MethodNotAllowed => Some(DenialCode::MalformedRequest),
        DenialCode::MalformedRequest => Some(DenialCode::UnsupportedContentType),
        DenialCode::UnsupportedContentType => Some(DenialCode::InvalidGatewayObject),
        DenialCode::InvalidGatewayObject => Some(DenialCode::InvalidUpstreamResponse),
        DenialCode::InvalidUpstreamResponse => Some(DenialCode::SessionLimitExceeded),
        DenialCode::SessionLimitExceeded => Some(DenialCode::RateLimitExceeded),
        DenialCode::RateLimitExceeded => Some(DenialCode::BudgetExceeded),
        DenialCode::BudgetExceeded => Some(DenialCode::ProviderKeyRejected),
        DenialCode::ProviderKeyRejected => Some(DenialCode::BodyUnavailable),
        DenialCode::BodyUnavailable => Some(DenialCode::Overloaded),
        DenialCode::Overloaded => None,
    }
}

/// Every ending. What `follows_ending` leaves out does not compile.
fn endings() -> Vec<Ending> {
    let mut endings = vec![Ending::Limit(Limit::SessionDuration)];
    while let Some(next) = follows_ending(endings.last().unwrap()) {
        endings.push(next);
    }
    endings
}

/// The ending after another, in the order of their declaration. A new one needs a row in the table too.
fn follows_ending(ending: &Ending) -> Option<Ending> {
    match ending {
        Ending::Limit(Limit::SessionDuration) => Some(Ending::Limit(Limit::SessionIdle)),
        Ending::Limit(Limit::SessionIdle) => Some(Ending::Limit(Limit::SessionTokens)),
        Ending::Limit(_) => Some(Ending::FieldLocked("instructions".into())),
        Ending::FieldLocked(_) => Some(Ending::ModelNotAllowed("gpt-5".into())),
        Ending::ModelNotAllowed(_) => Some(Ending::ModelMissing),
        Ending::ModelMissing => Some(Ending::ModelUnpriced("gpt-5".into())),
        Ending::ModelUnpriced(_) => Some(Ending::PresetRefused),
        Ending::PresetRefused => Some(Ending::Stopped),
        Ending::Stopped => Some(Ending::TokenRevoked),
        Ending::TokenRevoked => Some(Ending::Unwatched),
        Ending::Unwatched => Some(Ending::CallEnded),
        Ending::CallEnded => Some(Ending::Overloaded),
        Ending::Overloaded => Some(Ending::MessageTooBig),
        Ending::MessageTooBig => Some(Ending::ProtocolError("a reason".into())),
        Ending::ProtocolError(_) => None,
    }
}

/// What `code` finds of text between backticks.
fn texts(text: &str) -> Vec<String> {
    vec![text.to_owned()]
}

#[test]
fn every_refusal_is_in_the_table_with_its_status_and_type() {
    let page = repository::text("docs/errors.md");
    let rows = table(&page, "| when | status | type | code |");
    let shown: BTreeSet<_> = rows.iter().map(|row| (row[1].clone(), code(&row[2]), code(&row[3]))).collect();
    let given = reasons()
        .into_iter()
        .map(|reason| (reason.status().to_string(), texts(reason.error_type()), texts(reason.as_str())));
    assert_eq!(shown, given.collect());
    assert_eq!(rows.len(), shown.len());
}

#[test]
fn every_ending_is_in_the_table_with_its_close_code() {
    let rows = table(&repository::text("docs/errors.md"), "| why | close code | `error.code` |");
    let shown: BTreeSet<_> = rows.iter().map(|row| (row[1].clone(), code(&row[2]))).collect();
    let given = endings().into_iter().map(|ending| (ending.close_code().to_string(), texts(ending.code())));
    assert_eq!(shown, given.collect());
    assert_eq!(rows.len(), shown.len());
}

/// `session_limit_exceeded` is the type of every ending's event, and the code of one refusal.
#[test]
fn the_word_with_two_meanings_is_told_apart() {
    let page = repository::text("docs/errors.md");
    assert!(page.contains("**`session_limit_exceeded` has two meanings.**"));
    assert_eq!(DenialCode::SessionLimitExceeded.as_str(), "session_limit_exceeded");
    for ending in endings() {
        let event: serde_json::Value = serde_json::from_slice(&ending.event("event_1")).unwrap();
        assert_eq!(event["error"]["type"], "session_limit_exceeded");
        assert_ne!(event["error"]["code"], "session_limit_exceeded");
    }
}
