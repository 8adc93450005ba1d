//! What a request brought: one pass over its header lines, each read once.

use crate::auth::{Gateway, Offered, Slots};
use crate::denial::{Denial, Reason};
use crate::http::{Edits, Headers, Param, Target, Value, is_json, media_type, members, trim};

/// The version that OpenAI has refused since its beta ended.
const BETA_REALTIME: &[u8] = b"realtime=v1";

/// Header lines and query parameters that go no further than the filter.
pub struct Strip {
    /// Headers beside those of the slots, in lower case.
    pub headers: Vec<String>,
    /// Query parameters beside the well-known ones, in lower case.
    pub params: Vec<String>,
}

/// Query parameters that hold a credential, whoever reads them.
const CREDENTIAL_PARAMS: [&str; 4] = ["key", "api_key", "api-key", "access_token"];

impl Strip {
    /// Whether a parameter of the query holds a credential.
    pub fn takes(&self, param: &Param<'_>) -> bool {
        CREDENTIAL_PARAMS.iter().copied().chain(self.params.iter().map(String::as_str)).any(|name| param.is(name))
    }
}

/// What an HTTP request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exchange {
    /// A WebSocket: `GET` with `upgrade: websocket`, as Envoy shows HTTP/2's extended CONNECT too.
    WebSocket,
    /// Anything else.
    Rest,
}

/// What a body is said to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyType {
    /// `application/json` or `+json`, as it is.
    Json,
    /// JSON behind a content coding such as gzip.
    CodedJson,
    /// `application/sdp`, the offer of a WebRTC call.
    Sdp,
    /// Anything else.
    Other,
}

/// The lines of a request that matter to the filter.
pub struct Inbound<'a> {
    /// The method.
    pub method: &'a [u8],
    /// The request target.
    pub target: Target<'a>,
    /// The pages that sent it.
    pub origins: Vec<&'a [u8]>,
    /// What stands in the slots.
    pub slots: Slots<'a>,
    /// The lines of `sec-websocket-protocol`.
    pub subprotocols: Vec<&'a [u8]>,
    /// Whether it has a `sec-websocket-key`.
    pub has_websocket_key: bool,
    /// Whether it offers extensions of WebSockets.
    pub has_websocket_extensions: bool,
    /// Whether it accepts content codings by name.
    pub has_accept_encoding: bool,
    upgrade: Option<&'a [u8]>,
    content_type: Option<&'a [u8]>,
    content_encoding: Option<&'a [u8]>,
    betas: Vec<&'a [u8]>,
    removed: Edits,
}

impl<'a> Inbound<'a> {
    /// Reads the lines.
    pub fn read(headers: &'a Headers, gateway: &Gateway, strip: &Strip) -> Self {
        let mut inbound = Self {
            method: b"",
            target: Target::parse(b""),
            origins: Vec::new(),
            slots: Slots::default(),
            subprotocols: Vec::new(),
            has_websocket_key: false,
            has_websocket_extensions: false,
            has_accept_encoding: false,
            upgrade: None,
            content_type: None,
            content_encoding: None,
            betas: Vec::new(),
            removed: Edits::default(),
        };
        for (name, value) in headers.iter() {
            inbound.line(name, value, gateway, strip);
        }
        inbound
    }

    fn line(&mut self, name: &'a [u8], value: &'a [u8], gateway: &Gateway, strip: &Strip) {
        let is_stripped = strip.headers.iter().any(|stripped| stripped.as_bytes() == name);
        if is_stripped {
            self.remove(name);
        }
        if name == gateway.header.as_bytes() {
            self.slots.gateway.push(value);
            return self.remove(name);
        }
        match name {
            b":method" => self.method = value,
            b":path" => self.target = Target::parse(value),
            b"authorization" => {
                self.slots.authorization.push(value);
                self.removed.remove("authorization");
            }
            b"api-key" | b"x-api-key" | b"x-goog-api-key" => {
                self.slots.api_keys.push(value);
                self.remove(name);
            }
            b"openai-organization" | b"openai-project" | b"cookie" | b"x-realtime-byok-provider" => self.remove(name),
            b"openai-beta" if !is_stripped => self.betas.push(value),
            b"sec-websocket-protocol" => self.subprotocols.push(value),
            b"sec-websocket-key" => self.has_websocket_key = true,
            b"sec-websocket-extensions" => self.has_websocket_extensions = true,
            b"accept-encoding" => self.has_accept_encoding = true,
            b"upgrade" => self.upgrade = Some(value),
            b"origin" => self.origins.push(value),
            b"content-type" => self.content_type = Some(value),
            b"content-encoding" => self.content_encoding = Some(value),
            _ => {}
        }
    }

    fn remove(&mut self, name: &[u8]) {
        if let Some(name) = str(name) {
            self.removed.remove(name.to_owned());
        }
    }

    /// The edits that remove the lines that must not go on as a whole.
    pub fn removed(self) -> Edits {
        self.removed
    }

    /// What it asks for. Only a WebSocket may be switched to: anything else would be a tunnel that the filter cannot see
    /// into, with the provider's key before it.
    pub fn exchange(&self) -> Result<Exchange, Denial> {
        let refuse = |message| Err(Denial::new(Reason::MalformedRequest, message));
        match self.upgrade.map(trim) {
            None if self.method == b"CONNECT" => refuse("CONNECT is not served here."),
            None => Ok(Exchange::Rest),
            Some(protocol) if !protocol.eq_ignore_ascii_case(b"websocket") => {
                refuse("The only protocol to upgrade to here is websocket.")
            }
            Some(_) if self.method != b"GET" => refuse("A WebSocket is opened with GET (RFC 6455 section 4.1)."),
            Some(_) => Ok(Exchange::WebSocket),
        }
    }

    /// What its body is said to be.
    pub fn body_type(&self) -> BodyType {
        let media_type = self.content_type.map(media_type).unwrap_or_default();
        let (is_json, is_sdp) = (is_json(media_type), media_type.eq_ignore_ascii_case(b"application/sdp"));
        let is_coded = self.content_encoding.is_some_and(|coding| !trim(coding).eq_ignore_ascii_case(b"identity"));
        match (is_json, is_coded) {
            (true, false) => BodyType::Json,
            (true, true) => BodyType::CodedJson,
            (false, _) if is_sdp => BodyType::Sdp,
            (false, _) => BodyType::Other,
        }
    }

    /// The edits that remove what must not go on: credentials, account settings, the beta's version.
    pub fn strip(self, offered: &Offered<'_>) -> Edits {
        let mut edits = self.removed;
        let betas: Vec<_> = self.betas.iter().flat_map(|line| members(line)).collect();
        let kept = betas.iter().copied().filter(|member| !member.eq_ignore_ascii_case(BETA_REALTIME)).collect();
        relist(&mut edits, "openai-beta", betas.len(), kept);
        let kept = offered.iter().filter(|(_, kind)| !kind.is_removed()).map(|(name, _)| name).collect();
        relist(&mut edits, "sec-websocket-protocol", offered.iter().count(), kept);
        edits
    }
}

/// Leaves a list header alone if all of its members are kept, else joins those that are.
fn relist(edits: &mut Edits, name: &'static str, before: usize, kept: Vec<&[u8]>) {
    if kept.len() == before {
        return;
    }
    if kept.is_empty() {
        edits.remove(name);
    } else {
        edits.set(name, Value::Plain(kept.join(b", ".as_slice())));
    }
}

fn str(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok()
}
