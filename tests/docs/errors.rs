//! The README's table of errors is the filter's.

use std::collections::BTreeSet;

use realtime_byok::denial::Reason;

use crate::markdown::{code, table};
use crate::repository;

/// Every reason. What `follows` leaves out does not compile.
fn reasons() -> Vec<Reason> {
    let mut reasons = vec![Reason::NoPolicy];
    while let Some(next) = follows(*reasons.last().unwrap()) {
        reasons.push(next);
    }
    reasons
}

/// The reason after another, in the order of their declaration. A new one needs a row in the README's table too.
fn follows(reason: Reason) -> Option<Reason> {
    match reason {
        Reason::NoPolicy => Some(Reason::MalformedCredentials),
        Reason::MalformedCredentials => Some(Reason::ConflictingCredentials),
        Reason::ConflictingCredentials => Some(Reason::MissingGatewayToken),
        Reason::MissingGatewayToken => Some(Reason::InvalidGatewayToken),
        Reason::InvalidGatewayToken => Some(Reason::ExpiredGatewayToken),
        Reason::ExpiredGatewayToken => Some(Reason::RouteNotAllowed),
        Reason::RouteNotAllowed => Some(Reason::OriginNotAllowed),
        Reason::OriginNotAllowed => Some(Reason::ModelNotAllowed),
        Reason::ModelNotAllowed => Some(Reason::ModelRequired),
        Reason::ModelRequired => Some(Reason::MalformedRequest),
        Reason::MalformedRequest => Some(Reason::UnsupportedContentType),
        Reason::UnsupportedContentType => Some(Reason::InvalidGatewayObject),
        Reason::InvalidGatewayObject => Some(Reason::InvalidUpstreamResponse),
        Reason::InvalidUpstreamResponse => Some(Reason::SessionLimitExceeded),
        Reason::SessionLimitExceeded => Some(Reason::RateLimitExceeded),
        Reason::RateLimitExceeded => Some(Reason::BudgetExceeded),
        Reason::BudgetExceeded => Some(Reason::ProviderKeyRejected),
        Reason::ProviderKeyRejected => Some(Reason::BodyUnavailable),
        Reason::BodyUnavailable => None,
    }
}

#[test]
fn the_table_has_every_error_with_its_status_and_type() {
    let rows = table(&repository::text("README.md"), "| when | status | type | code |");
    let shown: BTreeSet<_> = rows.iter().map(|row| (row[1].clone(), code(&row[2]), code(&row[3]))).collect();
    let texts = |text: &str| vec![text.to_owned()];
    let given = reasons()
        .into_iter()
        .map(|reason| (reason.status().to_string(), texts(reason.error_type()), texts(reason.code())));
    assert_eq!(shown, given.collect());
    assert_eq!(rows.len(), shown.len());
}
