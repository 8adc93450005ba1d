//! The README's table of errors is the filter's.

use std::collections::BTreeSet;

use realtime_byok::denial::DenialCode;

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

/// The reason after another, in the order of their declaration. A new one needs a row in the README's table too.
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
        DenialCode::ModelRequired => Some(DenialCode::MalformedRequest),
        DenialCode::MalformedRequest => Some(DenialCode::UnsupportedContentType),
        DenialCode::UnsupportedContentType => Some(DenialCode::InvalidGatewayObject),
        DenialCode::InvalidGatewayObject => Some(DenialCode::InvalidUpstreamResponse),
        DenialCode::InvalidUpstreamResponse => Some(DenialCode::SessionLimitExceeded),
        DenialCode::SessionLimitExceeded => Some(DenialCode::RateLimitExceeded),
        DenialCode::RateLimitExceeded => Some(DenialCode::BudgetExceeded),
        DenialCode::BudgetExceeded => Some(DenialCode::ProviderKeyRejected),
        DenialCode::ProviderKeyRejected => Some(DenialCode::BodyUnavailable),
        DenialCode::BodyUnavailable => None,
    }
}

#[test]
fn the_table_has_every_error_with_its_status_and_type() {
    let rows = table(&repository::text("README.md"), "| when | status | type | code |");
    let shown: BTreeSet<_> = rows.iter().map(|row| (row[1].clone(), code(&row[2]), code(&row[3]))).collect();
    let texts = |text: &str| vec![text.to_owned()];
    let given = reasons()
        .into_iter()
        .map(|reason| (reason.status().to_string(), texts(reason.error_type()), texts(reason.as_str())));
    assert_eq!(shown, given.collect());
    assert_eq!(rows.len(), shown.len());
}
