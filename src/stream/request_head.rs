//! The head of a request: its header lines, each read once, and kept as long as something is to be known of them.

use std::sync::Arc;

use memchr::memchr;
use smallvec::SmallVec;

use super::head_line::{BETA, SUBPROTOCOLS};
use crate::credential::{GatewaySettings, PresentedTokens, Slot, Strip, Subprotocol, SubprotocolOffer};
use crate::http::{Edits, HeaderName, HeaderValue, Headers, Target, is_json, is_utf8, media_type, members, trim};

pub(crate) use super::head_line::Line;

/// The version that OpenAI has refused since its beta ended.
const BETA_REALTIME: &[u8] = b"realtime=v1";

/// What a body is said to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BodyKind {
    /// `application/json` or `+json`, as it is.
    Json,
    /// JSON in another charset than UTF-8: who reads it otherwise reads other names.
    ForeignJson,
    /// JSON behind a content coding such as gzip.
    CodedJson,
    /// `application/sdp`, the offer of a WebRTC call.
    Sdp,
    /// `multipart/form-data`, by which files are sent.
    Form,
    /// Anything else.
    Other,
}

/// The header lines of a request, and which of them matter.
pub(crate) struct RequestHead {
    headers: Headers,
    /// The name of the gateway's slot.
    gateway: Arc<str>,
    /// In the order of the headers.
    lines: SmallVec<[ReadLine; USUAL_COUNT]>,
    /// The [`Line::bit`]s of those: most of what is asked for is not there, and costs nothing then.
    present: u16,
    /// How long the longest value is that no slot has.
    longest: usize,
    /// Which line has the method.
    method: u32,
    /// Which line has the target, and at which of its bytes the query begins.
    target: (u32, Option<usize>),
}

struct ReadLine {
    line: Line,
    /// Which one of the headers it is.
    number: u32,
    is_stripped: bool,
}

/// As many lines that matter as most requests have at most take no memory of their own.
const USUAL_COUNT: usize = 16;

impl RequestHead {
    /// Reads the lines.
    pub(crate) fn read(headers: Headers, gateway: &GatewaySettings, strip: &Strip) -> Self {
        let mut lines = SmallVec::new();
        let (mut present, mut method, mut target) = (0, u32::MAX, (u32::MAX, None));
        let mut longest = 0;
        for (number, (name, value)) in (0..).zip(headers.iter()) {
            let is_listed = strip.headers.iter().any(|stripped| stripped.as_bytes() == name);
            let line = Line::named(name, gateway);
            if !matches!(line, Some(Line::Slot(_))) {
                longest = longest.max(value.len());
            }
            let line = match line {
                Some(Line::Beta) | None if is_listed => Line::Stripped,
                Some(line) => line,
                None => continue,
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
        Self { headers, gateway: gateway.header.clone(), lines, present, longest, method, target }
    }

    /// Bytes that are held beside the head itself.
    pub(crate) fn held(&self) -> usize {
        let lines = if self.lines.spilled() { self.lines.capacity().saturating_mul(size_of::<ReadLine>()) } else { 0 };
        self.headers.held().saturating_add(lines)
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

    /// How long the body is, as far as its head says.
    pub(crate) fn content_length(&self) -> Option<u64> {
        std::str::from_utf8(self.all(Line::ContentLength).next()?).ok()?.parse().ok()
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
        let content_type = self.last(Line::ContentType).unwrap_or_default();
        let media_type = media_type(content_type);
        let (is_json, is_sdp) = (is_json(media_type), media_type.eq_ignore_ascii_case(b"application/sdp"));
        let is_form = media_type.eq_ignore_ascii_case(b"multipart/form-data");
        let coding = self.last(Line::ContentEncoding);
        let is_coded = coding.is_some_and(|coding| !trim(coding).eq_ignore_ascii_case(b"identity"));
        match (is_json, is_coded) {
            (true, _) if !is_utf8(content_type) => BodyKind::ForeignJson,
            (true, false) => BodyKind::Json,
            (true, true) => BodyKind::CodedJson,
            (false, _) if is_sdp => BodyKind::Sdp,
            (false, _) if is_form => BodyKind::Form,
            (false, _) => BodyKind::Other,
        }
    }

    /// All tokens that the request presents, whether its subprotocols can be read or not.
    pub(crate) fn presented(&self, gateway: &GatewaySettings) -> PresentedTokens<'_> {
        let subprotocols = self.all(Line::Subprotocols).flat_map(members);
        let subprotocols = subprotocols.map(|name| (name, Subprotocol::of(name, gateway)));
        let presented = PresentedTokens::new(self.slots(), subprotocols, &self.target());
        let shortest = presented.shortest();
        if self.longest < shortest {
            return presented.searched([].into_iter(), false);
        }
        // What is of the scheme Basic may be a parameter or a member of a list, too, if there is a space in those.
        let has_space = |text: &[u8]| memchr(b' ', text).is_some();
        let maybe_encoded = memchr(b'%', self.headers.bytes()).is_some()
            || self.target().query.is_some_and(has_space)
            || self.all(Line::Beta).any(has_space);
        presented.searched(self.headers.values(shortest), maybe_encoded)
    }

    /// The edits that remove what must not go on: credentials, and lines in which one stands.
    pub(crate) fn stripped(&self, presented: &PresentedTokens<'_>) -> Edits {
        self.stripped_but(presented, &[])
    }

    /// The same of trailers, which open no WebSocket: what one is opened with is not looked at, and has no place there.
    pub(crate) fn stripped_as_trailers(&self, presented: &PresentedTokens<'_>) -> Edits {
        let mut edits = self.stripped(presented);
        let lines = [(Line::Subprotocols, "sec-websocket-protocol"), (Line::Upgrade, "upgrade")];
        for (line, name) in lines.into_iter().chain([(Line::Connection, "connection")]) {
            if self.has(line) {
                edits.remove(name);
            }
        }
        edits
    }

    /// The edits that remove every line.
    pub(crate) fn stripped_whole(&self) -> Edits {
        let mut edits = Edits::default();
        self.headers.iter().filter_map(|(name, _)| header_name(name)).for_each(|name| edits.remove(name));
        edits
    }

    /// The same as [`Self::stripped`], without a look at the lists of these names.
    fn stripped_but(&self, presented: &PresentedTokens<'_>, lists: &[&[u8]]) -> Edits {
        let mut edits = Edits::with_capacity(self.lines.len());
        if presented.may_be_elsewhere() {
            self.strip_tokens(presented, lists, &mut edits);
        }
        let stripped = self.lines.iter().filter(|read| read.is_stripped);
        stripped.filter_map(|read| self.name(read)).for_each(|name| edits.remove(name));
        edits
    }

    /// Removes the lines in which a token stands.
    fn strip_tokens(&self, presented: &PresentedTokens<'_>, lists: &[&[u8]], edits: &mut Edits) {
        let mut known = self.lines.iter().peekable();
        for (number, (name, value)) in (0..).zip(self.headers.iter()) {
            let read = known.next_if(|read| read.number == number);
            if read.is_some_and(|read| read.is_stripped || read.line.is_of_the_message()) {
                continue;
            }
            // Few lines hold one: what else is to be asked of them is asked last.
            if presented.stand_in(value) && !lists.contains(&name) && !name.starts_with(b":") {
                let kept: Vec<_> = self.headers.all(name).filter(|value| !presented.stand_in(value)).collect();
                put(edits, name, kept);
            }
        }
    }

    /// The edits that remove what must not go on: credentials and what they stand in, account settings, the beta's version.
    pub(crate) fn stripped_with(&self, offer: &SubprotocolOffer, presented: &PresentedTokens<'_>) -> Edits {
        let mut edits = self.stripped_but(presented, &[BETA, SUBPROTOCOLS]);
        if self.has(Line::Beta) {
            let betas = || self.all(Line::Beta).flat_map(members);
            let is_kept = |member: &&[u8]| !member.eq_ignore_ascii_case(BETA_REALTIME) && !presented.stand_in(member);
            relist(&mut edits, BETA, betas().count(), betas().filter(is_kept).collect());
        }
        let is_kept = |(name, kind): &(&[u8], Subprotocol)| !kind.is_removed() && !presented.stand_in(name);
        let kept = offer.iter().filter(is_kept).map(|(name, _)| name).collect();
        relist(&mut edits, SUBPROTOCOLS, offer.iter().count(), kept);
        edits
    }

    /// The lines among which such a line may be.
    fn of(&self, line: Line) -> &[ReadLine] {
        if self.has(line) { &self.lines } else { &[] }
    }

    fn name(&self, read: &ReadLine) -> Option<HeaderName> {
        match read.line {
            Line::Slot(Slot::Gateway) => Some(self.gateway.clone().into()),
            Line::Slot(Slot::Authorization) => Some("authorization".into()),
            _ => header_name(self.headers.line(read.number).0),
        }
    }

    fn value(&self, read: &ReadLine) -> &[u8] {
        self.headers.line(read.number).1
    }
}

fn header_name(name: &[u8]) -> Option<HeaderName> {
    str::from_utf8(name).ok().map(|name| Arc::<str>::from(name).into())
}

/// Leaves a list header alone if all of its members are kept, else joins those that are.
fn relist(edits: &mut Edits, name: &[u8], before: usize, kept: Vec<&[u8]>) {
    if kept.len() != before {
        put(edits, name, kept);
    }
}

/// Leaves these values of a name, and removes it where there are none.
fn put(edits: &mut Edits, name: &[u8], kept: Vec<&[u8]>) {
    let Some(name) = header_name(name) else { return };
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
            ("proxy-authorization", "Basic OnQ="),
        ]);
        let edits = head.stripped(&PresentedTokens::default());
        let names: Vec<_> = edits.iter().map(Edit::name).collect();
        assert_eq!(names, ["x-internal", "cookie", "api-key", "openai-beta", "x-gateway", "proxy-authorization"]);
    }

    #[test]
    fn a_line_in_which_a_token_stands_goes_no_further() {
        let gateway = GatewaySettings::new("x-gateway", "gateway", true);
        let head = head(&[
            (":path", "/v1/realtime?x=gateway-token"),
            (":authority", "gateway-token.test"),
            ("x-gateway", "Bearer gateway-token"),
            ("api_key", "client-own-key"),
            ("upgrade", "gateway-token"),
            ("referer", "https://a.test/?t=gateway%2dtoken"),
            ("x-list", "one"),
            ("x-list", "two, client-own-key"),
            ("x-list", "three"),
            ("x-basic", "Basic OmdhdGV3YXktdG9rZW4="),
            ("x-other", "gateway-toke"),
            ("sec-websocket-protocol", "realtime, v2.gateway-token, gateway.gateway-token"),
        ]);
        let presented = head.presented(&gateway);
        let offer = SubprotocolOffer::parse(head.all(Line::Subprotocols), &gateway).unwrap();
        let edits = head.stripped_with(&offer, &presented);
        let shown = |edit: &'_ Edit| match edit {
            Edit::Remove(name) => (name.to_string(), None),
            Edit::Set(name, value) => (name.to_string(), Some(String::from_utf8(value.as_bytes().to_vec()).unwrap())),
        };
        let edits: Vec<_> = edits.iter().map(shown).collect();
        let want = [
            ("referer", None),
            ("x-list", Some("one, three")),
            ("x-basic", None),
            ("x-gateway", None),
            ("api_key", None),
            ("sec-websocket-protocol", Some("realtime")),
        ];
        assert_eq!(edits, want.map(|(name, value)| (name.to_owned(), value.map(str::to_owned))));
    }

    #[test]
    fn a_token_is_looked_for_wherever_one_may_be_beside_its_slot() {
        let gateway = GatewaySettings::new("x-gateway", "gateway", true);
        let slots = [
            (":path", "/v1/realtime?key=query-token-1"),
            ("x-gateway", "Bearer gateway-token"),
            ("api-key", "client-own-key"),
            ("sec-websocket-protocol", "realtime, gateway.offered-token"),
            ("openai-beta", "realtime=v1"),
            ("x-other", "gateway-toke"),
            ("x-name-of-gateway-token", "2"),
        ];
        let strip = Strip { headers: vec![], params: vec![] };
        let may_be = |lines: &[(&str, &str)]| {
            let head = RequestHead::read(Headers::from_iter(lines.iter().copied()), &gateway, &strip);
            head.presented(&gateway).may_be_elsewhere()
        };
        assert!(!may_be(&slots));
        for line in [
            ("x-other", "gateway-token"),
            ("x-other", "a client-own-key"),
            ("x-other", "xxquery-token-1xx"),
            ("authorization", "Bearer gateway-token"),
            ("sec-websocket-protocol", "x.offered-token"),
            ("referer", "https://a.test/?t=client%2Down-key"),
            ("x-basic", "bAsic OmdhdGV3YXktdG9rZW4="),
            ("openai-beta", "a, Basic OmdhdGV3YXktdG9rZW4="),
            (":path", "/v1/realtime?x=1&Basic OmdhdGV3YXktdG9rZW4="),
        ] {
            assert!(may_be(&[slots.as_slice(), &[line]].concat()), "{line:?}");
        }
        assert!(!may_be(&[("x-other", "%41 Basic OmdhdGV3YXktdG9rZW4=")]));
    }

    #[test]
    fn a_body_is_what_its_type_and_coding_say() {
        for (content_type, coding, want) in [
            ("application/json", None, BodyKind::Json),
            ("application/x+json; charset=utf-8", Some("identity"), BodyKind::Json),
            ("application/json", Some("gzip"), BodyKind::CodedJson),
            ("application/json; charset=utf-16", None, BodyKind::ForeignJson),
            ("application/json; charset=latin1", Some("gzip"), BodyKind::ForeignJson),
            ("text/plain; charset=latin1", None, BodyKind::Other),
            ("Application/SDP", None, BodyKind::Sdp),
            ("multipart/form-data; boundary=x", None, BodyKind::Form),
            ("text/json", None, BodyKind::Other),
        ] {
            let coding = coding.map(|coding| ("content-encoding", coding));
            let lines: Vec<_> = [("content-type", content_type)].into_iter().chain(coding).collect();
            assert_eq!(head(&lines).body_kind(), want, "{lines:?}");
        }
        assert_eq!(head(&[]).body_kind(), BodyKind::Other);
    }
}
