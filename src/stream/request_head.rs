//! The head of a request: its header lines, each read once, and kept as long as something is to be known of them.

use crate::credential::{GatewaySettings, Slot, Strip, SubprotocolOffer};
use crate::http::{Edits, HeaderValue, Headers, Target, is_json, media_type, members, trim};

/// The version that OpenAI has refused since its beta ended.
const BETA_REALTIME: &[u8] = b"realtime=v1";

/// What a body is said to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyKind {
    /// `application/json` or `+json`, as it is.
    Json,
    /// JSON behind a content coding such as gzip.
    CodedJson,
    /// `application/sdp`, the offer of a WebRTC call.
    Sdp,
    /// Anything else.
    Other,
}

/// The header lines that matter to the filter, by what they say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Line {
    /// `:method`
    Method,
    /// `:path`
    Target,
    /// `upgrade`
    Upgrade,
    /// A slot of the gateway token.
    Slot(Slot),
    /// `sec-websocket-protocol`
    Subprotocols,
    /// `sec-websocket-key`
    WebSocketKey,
    /// `sec-websocket-extensions`
    WebSocketExtensions,
    /// `origin`, the page that sent it.
    Origin,
    /// `accept-encoding`
    AcceptEncoding,
    /// `content-type`
    ContentType,
    /// `content-encoding`
    ContentEncoding,
    /// `content-length`
    ContentLength,
    /// `openai-beta`
    Beta,
    /// One of which nothing is read, and which goes no further.
    Stripped,
}

impl Line {
    const fn bit(self) -> u16 {
        1 << match self {
            Self::Method => 0,
            Self::Target => 1,
            Self::Upgrade => 2,
            Self::Slot(_) => 3,
            Self::Subprotocols => 4,
            Self::WebSocketKey => 5,
            Self::WebSocketExtensions => 6,
            Self::Origin => 7,
            Self::AcceptEncoding => 8,
            Self::ContentType => 9,
            Self::ContentEncoding => 10,
            Self::ContentLength => 11,
            Self::Beta => 12,
            Self::Stripped => 13,
        }
    }
}

/// The header lines of a request, and which of them matter.
pub(crate) struct RequestHead {
    headers: Headers,
    /// In the order of the headers.
    lines: Vec<ReadLine>,
    /// The [`Line::bit`]s of those: most of what is asked for is not there, and costs nothing then.
    present: u16,
    /// Which line has the method.
    method: usize,
    /// Which line has the target, and at which of its bytes the query begins.
    target: (usize, Option<usize>),
}

struct ReadLine {
    line: Line,
    /// Which one of the headers it is.
    number: usize,
    is_stripped: bool,
}

impl RequestHead {
    /// Reads the lines.
    pub(crate) fn read(headers: Headers, gateway: &GatewaySettings, strip: &Strip) -> Self {
        let mut lines = Vec::with_capacity(headers.count());
        let (mut present, mut method, mut target) = (0, usize::MAX, (usize::MAX, None));
        for (number, (name, value)) in headers.iter().enumerate() {
            let is_listed = strip.headers.iter().any(|stripped| stripped.as_bytes() == name);
            let line = match (Slot::of(name, gateway), name) {
                (Some(slot), _) => Line::Slot(slot),
                (None, b"openai-beta") if is_listed => Line::Stripped,
                (None, name) => match line_named(name) {
                    Some(line) => line,
                    None if is_listed => Line::Stripped,
                    None => continue,
                },
            };
            let is_stripped = is_listed || matches!(line, Line::Slot(_) | Line::Stripped);
            match line {
                Line::Method => method = number,
                Line::Target => target = (number, value.iter().position(|&byte| byte == b'?')),
                _ => {}
            }
            present |= line.bit();
            lines.push(ReadLine { line, number, is_stripped });
        }
        Self { headers, lines, present, method, target }
    }

    /// Bytes that are held beside the head itself.
    pub(crate) fn held(&self) -> usize {
        self.headers.held().saturating_add(self.lines.capacity().saturating_mul(size_of::<ReadLine>()))
    }

    /// The method.
    pub(crate) fn method(&self) -> &[u8] {
        self.headers.line(self.method).1
    }

    /// The request target.
    pub(crate) fn target(&self) -> Target<'_> {
        let (number, query) = self.target;
        let (_, target) = self.headers.line(number);
        match query {
            Some(at) => Target { path: target.get(..at).unwrap_or_default(), query: target.get(at + 1..) },
            None => Target { path: target, query: None },
        }
    }

    /// The value of `authorization`, for the control API, which has no other slot.
    pub(crate) fn authorization(&self) -> Option<&[u8]> {
        self.headers.first(b"authorization")
    }

    /// The slots that have a value, and what that is.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (Slot, &[u8])> + Clone {
        self.lines.iter().filter_map(|read| match read.line {
            Line::Slot(slot) => Some((slot, self.value(read))),
            _ => None,
        })
    }

    /// Whether there is such a line.
    pub(crate) fn has(&self, line: Line) -> bool {
        self.present & line.bit() != 0
    }

    /// The values of all such lines, in order.
    pub(crate) fn all(&self, line: Line) -> impl Iterator<Item = &[u8]> + Clone {
        self.of(line).iter().filter(move |read| read.line == line).map(|read| self.value(read))
    }

    /// The value of the last such line.
    pub(crate) fn last(&self, line: Line) -> Option<&[u8]> {
        self.of(line).iter().rev().find(|read| read.line == line).map(|read| self.value(read))
    }

    /// What its body is said to be.
    pub(crate) fn body_kind(&self) -> BodyKind {
        let media_type = self.last(Line::ContentType).map(media_type).unwrap_or_default();
        let (is_json, is_sdp) = (is_json(media_type), media_type.eq_ignore_ascii_case(b"application/sdp"));
        let coding = self.last(Line::ContentEncoding);
        let is_coded = coding.is_some_and(|coding| !trim(coding).eq_ignore_ascii_case(b"identity"));
        match (is_json, is_coded) {
            (true, false) => BodyKind::Json,
            (true, true) => BodyKind::CodedJson,
            (false, _) if is_sdp => BodyKind::Sdp,
            (false, _) => BodyKind::Other,
        }
    }

    /// The edits that remove the lines that must not go on as a whole.
    pub(crate) fn stripped(&self) -> Edits {
        let mut edits = Edits::default();
        for read in self.lines.iter().filter(|read| read.is_stripped) {
            let (name, _) = self.headers.line(read.number);
            if let Ok(name) = str::from_utf8(name) {
                edits.remove(name.to_owned());
            }
        }
        edits
    }

    /// The edits that remove what must not go on: credentials, account settings, the beta's version.
    pub(crate) fn stripped_with(&self, offer: &SubprotocolOffer) -> Edits {
        let mut edits = self.stripped();
        if self.has(Line::Beta) {
            let betas = || self.all(Line::Beta).flat_map(members);
            let kept = betas().filter(|member| !member.eq_ignore_ascii_case(BETA_REALTIME)).collect();
            relist(&mut edits, "openai-beta", betas().count(), kept);
        }
        let kept = offer.iter().filter(|(_, kind)| !kind.is_removed()).map(|(name, _)| name).collect();
        relist(&mut edits, "sec-websocket-protocol", offer.iter().count(), kept);
        edits
    }

    /// The lines among which such a line may be.
    fn of(&self, line: Line) -> &[ReadLine] {
        if self.has(line) { &self.lines } else { &[] }
    }

    fn value(&self, read: &ReadLine) -> &[u8] {
        self.headers.line(read.number).1
    }
}

fn line_named(name: &[u8]) -> Option<Line> {
    Some(match name {
        b":method" => Line::Method,
        b":path" => Line::Target,
        b"upgrade" => Line::Upgrade,
        b"sec-websocket-protocol" => Line::Subprotocols,
        b"sec-websocket-key" => Line::WebSocketKey,
        b"sec-websocket-extensions" => Line::WebSocketExtensions,
        b"origin" => Line::Origin,
        b"accept-encoding" => Line::AcceptEncoding,
        b"content-type" => Line::ContentType,
        b"content-encoding" => Line::ContentEncoding,
        b"content-length" => Line::ContentLength,
        b"openai-beta" => Line::Beta,
        b"openai-organization" | b"openai-project" | b"cookie" | b"x-realtime-byok-provider" => Line::Stripped,
        _ => return None,
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::Edit;

    fn head(lines: &[(&str, &str)]) -> RequestHead {
        let strip = Strip { headers: vec!["x-internal".into(), "openai-beta".into()], params: vec![] };
        let headers = Headers::from_iter(lines.iter().copied());
        RequestHead::read(headers, &GatewaySettings::new("x-gateway", "gateway", true), &strip)
    }

    #[test]
    fn lines_are_found_by_what_they_say() {
        let head = head(&[
            (":method", "GET"),
            (":path", "/v1/realtime?model=m"),
            ("origin", "https://a.test"),
            ("x-gateway", "one"),
            ("authorization", "Bearer two"),
            ("x-api-key", "three"),
            ("origin", "https://b.test"),
            ("x-other", "four"),
        ]);
        assert_eq!((head.method(), head.target().path), (b"GET".as_slice(), b"/v1/realtime".as_slice()));
        assert_eq!(head.all(Line::Origin).collect::<Vec<_>>(), [b"https://a.test", b"https://b.test"]);
        let slots = [
            (Slot::Gateway, b"one".as_slice()),
            (Slot::Authorization, b"Bearer two".as_slice()),
            (Slot::ApiKey, b"three".as_slice()),
        ];
        assert_eq!(head.slots().collect::<Vec<_>>(), slots);
        assert_eq!((head.has(Line::Origin), head.has(Line::Upgrade), head.last(Line::Beta)), (true, false, None));
    }

    #[test]
    fn credentials_and_what_is_listed_go_no_further() {
        let head = head(&[
            ("x-internal", "1"),
            ("cookie", "a=b"),
            ("x-other", "2"),
            ("api-key", "k"),
            ("openai-beta", "realtime=v1"),
            ("x-gateway", "t"),
            ("cookie", "c=d"),
            ("content-type", "text/plain"),
        ]);
        let edits = head.stripped();
        let names: Vec<_> = edits.iter().map(Edit::name).collect();
        assert_eq!(names, ["x-internal", "cookie", "api-key", "openai-beta", "x-gateway"]);
    }

    #[test]
    fn a_body_is_what_its_type_and_coding_say() {
        for (content_type, coding, want) in [
            ("application/json", None, BodyKind::Json),
            ("application/x+json; charset=utf-8", Some("identity"), BodyKind::Json),
            ("application/json", Some("gzip"), BodyKind::CodedJson),
            ("Application/SDP", None, BodyKind::Sdp),
            ("multipart/form-data; boundary=x", None, BodyKind::Other),
        ] {
            let coding = coding.map(|coding| ("content-encoding", coding));
            let lines: Vec<_> = [("content-type", content_type)].into_iter().chain(coding).collect();
            assert_eq!(head(&lines).body_kind(), want, "{lines:?}");
        }
        assert_eq!(head(&[]).body_kind(), BodyKind::Other);
    }
}
