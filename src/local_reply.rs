//! Local replies, which the filter makes by itself: JSON, and errors in the shape of OpenAI's.

use std::borrow::Cow;

use serde::Serialize;

/// A response without an upstream.
#[derive(Debug, PartialEq, Eq)]
pub struct LocalReply {
    /// The HTTP status.
    pub status: u16,
    /// The headers beside `content-length`.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// JSON.
    pub body: Vec<u8>,
}

impl LocalReply {
    /// A reply of this JSON.
    pub fn json(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: vec![("content-type", "application/json".into())], body }
    }

    /// An error; a 401 says how to authenticate (RFC 9110 section 11.6.1).
    pub fn error(status: u16, r#type: &str, code: &str, message: &str, param: Option<&str>) -> Self {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Fields<'a>,
        }
        #[derive(Serialize)]
        struct Fields<'a> {
            message: &'a str,
            r#type: &'a str,
            param: Option<&'a str>,
            code: &'a str,
        }
        let body = Body { error: Fields { message, r#type, param, code } };
        let mut reply = Self::json(status, serde_json::to_vec(&body).unwrap_or_default());
        if status == 401 {
            reply.headers.push(("www-authenticate", r#"Bearer realm="realtime-byok""#.into()));
        }
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_shape_of_openai() {
        let reply =
            LocalReply::error(403, "permission_error", "model_not_allowed", "Choose \"another\".", Some("model"));
        assert_eq!(
            String::from_utf8(reply.body).unwrap(),
            r#"{"error":{"message":"Choose \"another\".","type":"permission_error","param":"model","code":"model_not_allowed"}}"#
        );
        assert_eq!(reply.headers, [("content-type", "application/json".into())]);
    }

    #[test]
    fn only_a_401_says_how_to_authenticate() {
        let reply = LocalReply::error(401, "authentication_error", "expired_gateway_token", "", None);
        assert!(reply.headers.contains(&("www-authenticate", r#"Bearer realm="realtime-byok""#.into())));
    }
}
