//! Why a request is denied, and what the client gets: one closed list of codes, one shape of reply.

use std::borrow::Cow;

use crate::local_reply::LocalReply;
use crate::usage::Limit;

/// What the methods of a 405 are to be chosen from: upstreams know no others.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Every way in which a request can be denied. Each has one status, one type and one code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DenialCode {
    /// The route has no policy.
    NoPolicy,
    /// A credential that cannot be one, or a subprotocol list that is not one.
    MalformedCredentials,
    /// Two different credentials, and no telling which is meant.
    ConflictingCredentials,
    /// No credential in any slot.
    MissingGatewayToken,
    /// A credential that no caller has.
    InvalidGatewayToken,
    /// A credential whose time is over.
    ExpiredGatewayToken,
    /// The caller may not use this route, or the route is closed to everyone.
    RouteNotAllowed,
    /// The page that opened the connection is not one of the caller's.
    OriginNotAllowed,
    /// The policy or the caller may not use this model.
    ModelNotAllowed,
    /// A model must be named here, and none is.
    ModelRequired,
    /// The method is served nowhere.
    MethodNotAllowed,
    /// The request cannot be understood where it must be.
    MalformedRequest,
    /// A client secret was asked for in something else than JSON.
    UnsupportedContentType,
    /// The `gateway` object of a mint request is wrong.
    InvalidGatewayObject,
    /// The upstream's response to a mint request cannot be used.
    InvalidUpstreamResponse,
    /// The caller has too many sessions open.
    SessionLimitExceeded,
    /// The caller started too many sessions within a minute.
    RateLimitExceeded,
    /// The caller's budget of the day is used up.
    BudgetExceeded,
    /// The upstream refused the provider's key.
    ProviderKeyRejected,
    /// The request's body is needed before its headers go on, and Envoy does not hand it over.
    BodyUnavailable,
    /// The worker's streams hold as much memory as they may.
    Overloaded,
}

impl DenialCode {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::MalformedCredentials
            | Self::ConflictingCredentials
            | Self::ModelRequired
            | Self::MalformedRequest
            | Self::UnsupportedContentType
            | Self::InvalidGatewayObject => 400,
            Self::MissingGatewayToken | Self::InvalidGatewayToken | Self::ExpiredGatewayToken => 401,
            Self::RouteNotAllowed | Self::OriginNotAllowed | Self::ModelNotAllowed => 403,
            Self::NoPolicy => 404,
            Self::MethodNotAllowed => 405,
            Self::SessionLimitExceeded | Self::RateLimitExceeded | Self::BudgetExceeded => 429,
            Self::BodyUnavailable => 500,
            Self::ProviderKeyRejected | Self::InvalidUpstreamResponse => 502,
            Self::Overloaded => 503,
        }
    }

    /// `error.code`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoPolicy => "no_policy",
            Self::MalformedCredentials => "malformed_credentials",
            Self::ConflictingCredentials => "conflicting_credentials",
            Self::MissingGatewayToken => "missing_gateway_token",
            Self::InvalidGatewayToken => "invalid_gateway_token",
            Self::ExpiredGatewayToken => "expired_gateway_token",
            Self::RouteNotAllowed => "route_not_allowed",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::ModelNotAllowed => "model_not_allowed",
            Self::ModelRequired => "model_required",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::MalformedRequest => "malformed_request",
            Self::UnsupportedContentType => "unsupported_content_type",
            Self::InvalidGatewayObject => "invalid_gateway_object",
            Self::InvalidUpstreamResponse => "invalid_upstream_response",
            Self::SessionLimitExceeded => "session_limit_exceeded",
            Self::RateLimitExceeded => "rate_limit_exceeded",
            Self::BudgetExceeded => "budget_exceeded",
            Self::ProviderKeyRejected => "provider_key_rejected",
            Self::BodyUnavailable => "body_unavailable",
            Self::Overloaded => "overloaded",
        }
    }

    /// `error.type`, which follows from the status but for the upstream's own.
    pub fn error_type(self) -> &'static str {
        match self.status() {
            401 => "authentication_error",
            403 => "permission_error",
            429 => "rate_limit_error",
            500 | 503 => "server_error",
            502 => "upstream_error",
            _ => "invalid_request_error",
        }
    }

    /// What Envoy's `%RESPONSE_CODE_DETAILS%` shows.
    pub fn details(self) -> String {
        format!("realtime_byok.{}", self.as_str())
    }
}

/// A denial: the reason, and what the client can do about it.
#[derive(Debug)]
pub struct Denial {
    /// Why.
    pub code: DenialCode,
    message: Cow<'static, str>,
    param: Option<Cow<'static, str>>,
    limit: Option<Limit>,
    retry_after: Option<u64>,
    subject: Option<Box<Subject>>,
}

/// Who was denied, and what for, as far as that was known by then. It is for operators, not for the client.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subject {
    /// Whose token it was.
    pub caller: Option<String>,
    /// The user whom the client secret names.
    pub user: Option<String>,
    /// The route's policy.
    pub policy: Option<String>,
    /// The provider that would serve it.
    pub provider: Option<String>,
    /// The model that it names.
    pub model: Option<String>,
}

impl Denial {
    /// A denial with a message for people. It must hold nothing that a client sent as a credential.
    pub fn new(code: DenialCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), param: None, limit: None, retry_after: None, subject: None }
    }

    /// Names the parameter that is at fault.
    pub fn param(self, param: impl Into<Cow<'static, str>>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// Names the limit that is reached.
    pub fn limit(self, limit: Limit) -> Self {
        Self { param: Some(limit.as_str().into()), limit: Some(limit), ..self }
    }

    /// Says in how many seconds it is worth a new try.
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// Says whose request it is and what for; what was said before stays.
    pub fn of(self, subject: Subject) -> Self {
        let known = self.subject.map_or_else(Subject::default, |known| *known);
        let subject = Subject {
            caller: known.caller.or(subject.caller),
            user: known.user.or(subject.user),
            policy: known.policy.or(subject.policy),
            provider: known.provider.or(subject.provider),
            model: known.model.or(subject.model),
        };
        Self { subject: Some(Box::new(subject)), ..self }
    }

    /// What the client is told.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whose request it is and what for, if anything of that was known.
    pub fn subject(&self) -> Option<&Subject> {
        self.subject.as_deref()
    }

    /// The limit that is reached, if it is one.
    pub fn reached(&self) -> Option<Limit> {
        self.limit
    }

    /// What the client gets.
    pub fn local_reply(&self) -> LocalReply {
        let code = self.code;
        let param = self.param.as_deref();
        let mut reply = LocalReply::error(code.status(), code.error_type(), code.as_str(), &self.message, param);
        if code == DenialCode::MethodNotAllowed {
            reply.headers.push(("allow", METHODS.into()));
        }
        if let Some(seconds) = self.retry_after {
            reply.headers.push(("retry-after", seconds.to_string().into()));
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_says_what_to_mend_and_when_to_try_again() {
        let reply = Denial::new(DenialCode::RateLimitExceeded, "Too fast.").param("model").retry_after(7).local_reply();
        assert_eq!(reply.status, 429);
        assert_eq!(reply.headers, [("content-type", "application/json".into()), ("retry-after", "7".into())]);
        assert_eq!(
            String::from_utf8(reply.body).unwrap(),
            r#"{"error":{"message":"Too fast.","type":"rate_limit_error","param":"model","code":"rate_limit_exceeded"}}"#
        );
        assert_eq!(DenialCode::ExpiredGatewayToken.details(), "realtime_byok.expired_gateway_token");
    }

    #[test]
    fn what_is_known_of_a_denial_grows_and_the_client_hears_nothing_of_it() {
        let text = |text: &str| Some(text.to_owned());
        let named = Subject { model: text("m"), provider: text("openai"), ..Subject::default() };
        let by = Subject { caller: text("web-app"), model: text("other"), ..Subject::default() };
        let denial = Denial::new(DenialCode::ModelNotAllowed, "No.").of(named).of(by);
        let want =
            Subject { caller: text("web-app"), model: text("m"), provider: text("openai"), ..Subject::default() };
        assert_eq!(denial.subject(), Some(&want));
        assert!(!String::from_utf8(denial.local_reply().body).unwrap().contains("web-app"));
    }

    #[test]
    fn a_limits_denial_names_it() {
        let denial = Denial::new(DenialCode::BudgetExceeded, "Spent.").limit(Limit::CallerCostPerDay);
        let body = String::from_utf8(denial.local_reply().body).unwrap();
        assert!(body.contains(r#""param":"caller.cost_usd_per_day""#), "{body}");
        assert_eq!(denial.reached(), Some(Limit::CallerCostPerDay));
    }
}
