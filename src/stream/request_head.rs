//! The head of a request: one pass over its header lines, each read once.

use crate::credential::{GatewaySlot, Slots, Strip, SubprotocolOffer};
use crate::denial::{Denial, DenialCode};
use crate::http::{Edits, HeaderValue, Headers, Target, is_json, media_type, members, trim};

/// The version that OpenAI has refused since its beta ended.
const BETA_REALTIME: &[u8] = b"realtime=v1";

/// What an HTTP request asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upgrade {
    /// A WebSocket: `GET` with `upgrade: websocket`, as Envoy shows HTTP/2's extended CONNECT too.
    WebSocket,
    /// Anything else.
    None,
}

/// What a body is said to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BodyKind {
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
pub struct RequestHead<'a> {
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

impl<'a> RequestHead<'a> {
    /// Reads the lines.
    pub fn read(headers: &'a Headers, gateway: &GatewaySlot, strip: &Strip) -> Self {
        let mut head = Self {
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
            head.line(name, value, gateway, strip);
        }
        head
    }

    fn line(&mut self, name: &'a [u8], value: &'a [u8], gateway: &GatewaySlot, strip: &Strip) {
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
    pub fn upgrade(&self) -> Result<Upgrade, Denial> {
        let refuse = |message| Err(Denial::new(DenialCode::MalformedRequest, message));
        match self.upgrade.map(trim) {
            None if self.method == b"CONNECT" => refuse("CONNECT is not served here."),
            None => Ok(Upgrade::None),
            Some(protocol) if !protocol.eq_ignore_ascii_case(b"websocket") => {
                refuse("The only protocol to upgrade to here is websocket.")
            }
            Some(_) if self.method != b"GET" => refuse("A WebSocket is opened with GET (RFC 6455 section 4.1)."),
            Some(_) => Ok(Upgrade::WebSocket),
        }
    }

    /// What its body is said to be.
    pub fn body_kind(&self) -> BodyKind {
        let media_type = self.content_type.map(media_type).unwrap_or_default();
        let (is_json, is_sdp) = (is_json(media_type), media_type.eq_ignore_ascii_case(b"application/sdp"));
        let is_coded = self.content_encoding.is_some_and(|coding| !trim(coding).eq_ignore_ascii_case(b"identity"));
        match (is_json, is_coded) {
            (true, false) => BodyKind::Json,
            (true, true) => BodyKind::CodedJson,
            (false, _) if is_sdp => BodyKind::Sdp,
            (false, _) => BodyKind::Other,
        }
    }

    /// The edits that remove what must not go on: credentials, account settings, the beta's version.
    pub fn strip(self, offer: &SubprotocolOffer<'_>) -> Edits {
        let mut edits = self.removed;
        let betas: Vec<_> = self.betas.iter().flat_map(|line| members(line)).collect();
        let kept = betas.iter().copied().filter(|member| !member.eq_ignore_ascii_case(BETA_REALTIME)).collect();
        relist(&mut edits, "openai-beta", betas.len(), kept);
        let kept = offer.iter().filter(|(_, kind)| !kind.is_removed()).map(|(name, _)| name).collect();
        relist(&mut edits, "sec-websocket-protocol", offer.iter().count(), kept);
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
        edits.set(name, HeaderValue::Plain(kept.join(b", ".as_slice())));
    }
}

fn str(name: &[u8]) -> Option<&str> {
    std::str::from_utf8(name).ok()
}
