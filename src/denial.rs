//! Why a request is refused, and what the client is told: one closed list of reasons, one shape of answer.

use std::borrow::Cow;

use serde::Serialize;

/// Every way in which a request can be refused. Each has one status, one type and one code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reason {
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
    /// The request cannot be understood where it must be.
    MalformedRequest,
    /// The upstream refused the provider's key.
    ProviderKeyRejected,
    /// The request's body is needed before its headers go on, and Envoy does not hand it over.
    BodyUnavailable,
}

impl Reason {
    /// The HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::MalformedCredentials
            | Self::ConflictingCredentials
            | Self::ModelRequired
            | Self::MalformedRequest => 400,
            Self::MissingGatewayToken | Self::InvalidGatewayToken | Self::ExpiredGatewayToken => 401,
            Self::RouteNotAllowed | Self::OriginNotAllowed | Self::ModelNotAllowed => 403,
            Self::NoPolicy => 404,
            Self::BodyUnavailable => 500,
            Self::ProviderKeyRejected => 502,
        }
    }

    /// `error.code`.
    pub fn code(self) -> &'static str {
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
            Self::MalformedRequest => "malformed_request",
            Self::ProviderKeyRejected => "provider_key_rejected",
            Self::BodyUnavailable => "body_unavailable",
        }
    }

    /// `error.type`, which follows from the status but for the upstream's own.
    pub fn error_type(self) -> &'static str {
        match self.status() {
            401 => "authentication_error",
            403 => "permission_error",
            500 => "server_error",
            502 => "upstream_error",
            _ => "invalid_request_error",
        }
    }

    /// What Envoy's `%RESPONSE_CODE_DETAILS%` shows.
    pub fn details(self) -> String {
        format!("realtime_byok.{}", self.code())
    }
}

/// A refusal: the reason, and what the client can do about it.
#[derive(Debug)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    message: Cow<'static, str>,
    param: Option<Cow<'static, str>>,
}

impl Denial {
    /// A refusal with a message for people. It must hold nothing that a client sent as a credential.
    pub fn new(reason: Reason, message: impl Into<Cow<'static, str>>) -> Self {
        Self { reason, message: message.into(), param: None }
    }

    /// Names the parameter that is at fault.
    pub fn param(self, param: impl Into<Cow<'static, str>>) -> Self {
        Self { param: Some(param.into()), ..self }
    }

    /// The headers of the answer beside `content-length`.
    pub fn headers(&self) -> Vec<(&'static str, &'static str)> {
        let mut headers = vec![("content-type", "application/json")];
        if self.reason.status() == 401 {
            headers.push(("www-authenticate", r#"Bearer realm="realtime-byok""#));
        }
        headers
    }

    /// The body, in the shape of OpenAI's errors.
    pub fn body(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Fields<'a>,
        }
        #[derive(Serialize)]
        struct Fields<'a> {
            message: &'a str,
            r#type: &'static str,
            param: Option<&'a str>,
            code: &'static str,
        }
        let error = Fields {
            message: &self.message,
            r#type: self.reason.error_type(),
            param: self.param.as_deref(),
            code: self.reason.code(),
        };
        serde_json::to_vec(&Body { error }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_shape_of_openai() {
        let denial = Denial::new(Reason::ModelNotAllowed, "Choose \"another\".").param("model");
        assert_eq!(
            String::from_utf8(denial.body()).unwrap(),
            r#"{"error":{"message":"Choose \"another\".","type":"permission_error","param":"model","code":"model_not_allowed"}}"#
        );
        assert_eq!(denial.headers(), [("content-type", "application/json")]);
    }

    #[test]
    fn only_a_401_says_how_to_authenticate() {
        let headers = Denial::new(Reason::ExpiredGatewayToken, "").headers();
        assert!(headers.contains(&("www-authenticate", r#"Bearer realm="realtime-byok""#)));
        assert_eq!(Reason::ExpiredGatewayToken.details(), "realtime_byok.expired_gateway_token");
    }
}
