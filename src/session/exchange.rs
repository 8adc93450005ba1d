//! A REST exchange whose usage is counted: what its answer tells, read as that passes.
//!
//! ```text
//! Awaited ─┬─ 2xx, JSON or server-sent events ─▶ Read ─ its end, or a cut ─▶ Over
//!          └─ anything else ────────────────────────────────────────────────▶ Over
//! ```
//!
//! Nothing is held back but an event that is not complete, and that only where the usage was asked for in the client's
//! place.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

use percent_encoding::percent_decode;

use super::admission::{Admission, Choice, Purpose};
use super::live::Relay;
use super::surroundings::{Response, ResponseStep};
use crate::auth::Caller;
use crate::http::{Edits, Target, is_json, media_type, trim};
use crate::inbound::Inbound;
use crate::policy::{Policy, Provider};
use crate::usage::{BodyMeter, Meter, Metered, MicroUsd, PriceList, Rejected, Tally, UnaskedUsage};

/// How much is kept of a JSON answer, and of an event of a stream.
const MAX_READ: usize = 1 << 20;

/// Segments below which something that exists already is addressed: what it has used was counted when it was made.
const COLLECTIONS: [&[u8]; 4] = [b"completions", b"responses", b"runs", b"batches"];

/// What can stand in the place of an id below those and makes something, whatever the segments before are called:
/// gateways and deployments may have any name.
const MAKERS: [&[u8]; 10] = [
    b"completions",
    b"responses",
    b"compact",
    b"runs",
    b"embeddings",
    b"transcriptions",
    b"translations",
    b"speech",
    b"generations",
    b"edits",
];

/// What can be done to something that exists.
const CHANGES: [&[u8]; 2] = [b"cancel", b"submit_tool_outputs"];

/// One exchange, from its request on.
pub struct RestExchange {
    policy: Rc<Policy>,
    caller: Rc<Caller>,
    provider: Rc<Provider>,
    meter: Meter,
    answer: Answer,
    gap: Option<Gap>,
}

/// What an exchange has used.
pub struct RestUsage {
    /// Who sent it.
    pub caller: Rc<Caller>,
    /// The route's policy.
    pub policy: Rc<Policy>,
    /// Who served it.
    pub provider: Rc<Provider>,
    /// The request's model, else the answer's, if one is known.
    pub model: Option<String>,
    /// What was counted.
    pub usage: Tally,
    /// What that costs.
    pub cost: MicroUsd,
    /// Why that may not be all.
    pub gap: Option<Gap>,
}

impl RestUsage {
    /// Whether the answer told anything. What was not told is not known, and need not be nothing.
    pub fn is_told(&self) -> bool {
        self.usage != Tally::default()
    }
}

/// Why the usage of an exchange is not known, or not all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gap {
    /// The answer has a content coding.
    Coded,
    /// The answer is a stream that told none.
    Untold,
    /// What the answer told cannot be counted.
    Rejected(Rejected),
}

/// The answer, as far as it has come.
enum Answer {
    /// Its headers have not come. The usage of a chat completion may have been asked for in the client's place.
    Awaited { is_asked: bool },
    /// Its body passes.
    Read { body: BodyMeter, is_stream: bool, unasked: Option<UnaskedUsage> },
    /// Nothing of it is to be read any more.
    Over,
}

impl RestExchange {
    /// The exchange that a request begins, if its usage is to be counted. `is_asked` says that it was asked for in the
    /// client's place.
    pub fn new(admission: &Admission, inbound: &Inbound<'_>, choice: &Choice<'_>, is_asked: bool) -> Option<Box<Self>> {
        is_counted(admission, inbound).then(|| {
            Box::new(Self {
                policy: admission.policy.clone(),
                caller: admission.caller.clone(),
                provider: choice.provider.clone(),
                meter: Meter::new(choice.model),
                answer: Answer::Awaited { is_asked },
                gap: None,
            })
        })
    }

    /// The answer's headers came.
    pub fn answered(&mut self, status: Option<u16>, response: &impl Response) -> ResponseStep {
        let answer = std::mem::replace(&mut self.answer, Answer::Over);
        let (Answer::Awaited { is_asked }, Some(200..=299)) = (answer, status) else { return ResponseStep::Pass };
        let content_type = response.content_type();
        let media_type = media_type(&content_type);
        let is_stream = media_type.eq_ignore_ascii_case(b"text/event-stream");
        if !is_stream && !is_json(media_type) {
            return ResponseStep::Pass;
        }
        let coding = response.content_encoding();
        if !trim(&coding).is_empty() && !trim(&coding).eq_ignore_ascii_case(b"identity") {
            self.gap = Some(Gap::Coded);
            return ResponseStep::Pass;
        }
        let body = if is_stream { BodyMeter::event_stream(MAX_READ) } else { BodyMeter::json(MAX_READ) };
        let unasked = (is_stream && is_asked).then(UnaskedUsage::new);
        let is_shortened = unasked.is_some();
        self.answer = Answer::Read { body, is_stream, unasked };
        if !is_shortened {
            return ResponseStep::Pass;
        }
        let mut edits = Edits::default();
        edits.remove("content-length");
        ResponseStep::Edit(edits)
    }

    /// Whether the answer's bytes are to be read as they pass.
    pub fn is_read(&self) -> bool {
        matches!(&self.answer, Answer::Read { body, .. } if body.is_open())
    }

    /// Bytes of the answer are on their way. `ends` says that none follow.
    pub fn pass(&mut self, bytes: &[u8], ends: bool, prices: &PriceList) -> Relay {
        let Answer::Read { body, unasked, .. } = &mut self.answer else { return Relay::Pass };
        let metered = body.read(bytes, &mut self.meter, prices);
        note(&mut self.gap, &metered);
        let passed = unasked.as_mut().map(|unasked| unasked.pass(bytes, ends)).filter(|passed| passed != bytes);
        passed.map_or(Relay::Pass, |passed| Relay::Replace(0, passed))
    }

    /// The exchange is over, or was cut off.
    pub fn end(mut self, prices: &PriceList) -> RestUsage {
        if let Answer::Read { body, is_stream, .. } = self.answer {
            let metered = body.finish(&mut self.meter, prices);
            note(&mut self.gap, &metered);
            if is_stream && *self.meter.tally() == Tally::default() {
                self.gap.get_or_insert(Gap::Untold);
            }
        }
        RestUsage {
            caller: self.caller,
            policy: self.policy,
            provider: self.provider,
            model: self.meter.model().map(str::to_owned),
            usage: *self.meter.tally(),
            cost: self.meter.cost(),
            gap: self.gap,
        }
    }
}

impl fmt::Display for Gap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coded => formatter.write_str("the answer has a content coding"),
            Self::Untold => formatter.write_str("the stream told no usage"),
            Self::Rejected(rejected) => rejected.fmt(formatter),
        }
    }
}

/// Whether what a request uses is counted: a policy meters it, and it makes something. Reading what was made before, or
/// changing it, tells the same usage again.
pub fn is_counted(admission: &Admission, inbound: &Inbound<'_>) -> bool {
    let is_post = admission.purpose == Purpose::Rest && inbound.method == b"POST";
    is_post && admission.policy.is_metered && !addresses_existing(&inbound.target)
}

fn addresses_existing(target: &Target<'_>) -> bool {
    let path = normalized(target);
    let mut from_end = segments(&path).rev();
    let (last, second, third) = (from_end.next(), from_end.next(), from_end.next());
    let is_one_of = |names: &[&[u8]], segment: Option<&[u8]>| segment.is_some_and(|segment| names.contains(&segment));
    (is_one_of(&COLLECTIONS, second) && !is_one_of(&MAKERS, last))
        || (is_one_of(&COLLECTIONS, third) && is_one_of(&CHANGES, last))
}

/// A path in one spelling: percent-decoded, in lowercase.
pub(super) fn normalized(target: &Target<'_>) -> Vec<u8> {
    let mut path = Cow::from(percent_decode(target.path)).into_owned();
    path.make_ascii_lowercase();
    path
}

/// The segments of a path, without empty ones.
pub(super) fn segments(path: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    path.split(|&byte| byte == b'/').filter(|segment| !segment.is_empty())
}

/// Keeps the first reason why something could not be counted.
fn note(gap: &mut Option<Gap>, all: &[Metered]) {
    let rejected = all.iter().find_map(|metered| match metered {
        Metered::Rejected(rejected) => Some(Gap::Rejected(*rejected)),
        _ => None,
    });
    *gap = gap.or(rejected);
}

#[cfg(test)]
pub(super) mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::auth::{Access, Gateway};
    use crate::glob::Globs;
    use crate::http::Headers;
    use crate::inbound::Strip;
    use crate::limits::{CallerLimits, SessionLimits};
    use crate::policy::{Credential, Kind};
    use crate::usage::Lock;

    struct Answered {
        content_type: &'static str,
        content_encoding: &'static str,
    }

    impl Response for Answered {
        fn status(&self) -> Option<u16> {
            Some(200)
        }

        fn is_from_upstream(&self) -> bool {
            true
        }

        fn subprotocols(&self) -> Vec<u8> {
            Vec::new()
        }

        fn content_type(&self) -> Vec<u8> {
            self.content_type.into()
        }

        fn content_encoding(&self) -> Vec<u8> {
            self.content_encoding.into()
        }

        fn location(&self) -> Option<Vec<u8>> {
            None
        }
    }

    const JSON: Answered = Answered { content_type: "application/json", content_encoding: "" };
    const EVENTS: Answered = Answered { content_type: "text/event-stream; charset=utf-8", content_encoding: "" };

    pub(in crate::session) fn provider(kind: Kind) -> Rc<Provider> {
        Rc::new(Provider { name: "openai".into(), kind, credential: Credential::External, account: vec![] })
    }

    pub(in crate::session) fn admission(is_metered: bool) -> Admission {
        let policy = Policy {
            name: "rest".into(),
            default_provider: provider(Kind::OpenAi),
            other_providers: vec![],
            models: Globs::All,
            aliases: vec![],
            limits: SessionLimits::default(),
            lock: Lock::default(),
            is_metered,
        };
        let caller = Caller {
            name: "web-app".into(),
            policies: Access::All,
            models: Globs::All,
            origins: Globs::All,
            limits: CallerLimits::default(),
        };
        Admission { policy: Rc::new(policy), caller: Rc::new(caller), grant: None, purpose: Purpose::Rest }
    }

    pub(in crate::session) fn with_inbound<T>(method: &str, path: &str, use_it: impl FnOnce(&Inbound<'_>) -> T) -> T {
        let headers = Headers::from_iter([(":method", method), (":path", path)]);
        let strip = Strip { headers: vec![], params: vec![] };
        use_it(&Inbound::read(&headers, &Gateway::new("gateway", "gateway", true), &strip))
    }

    fn exchange(model: &str, is_asked: bool) -> RestExchange {
        let admission = admission(true);
        let choice = Choice { provider: &admission.policy.default_provider, model: Some(model) };
        let path = "/v1/chat/completions";
        *with_inbound("POST", path, |inbound| RestExchange::new(&admission, inbound, &choice, is_asked)).unwrap()
    }

    fn load(file: &str) -> String {
        fs::read_to_string(format!("{}/tests/fixtures/recorded/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn prices() -> PriceList {
        let prices: std::collections::BTreeMap<String, _> = serde_json::from_str(&load("prices.json")).unwrap();
        PriceList::new(prices)
    }

    /// What an exchange comes to whose answer passes in these chunks: what it used, and what the client gets.
    fn pass(mut exchange: RestExchange, response: &Answered, chunks: &[&[u8]]) -> (RestUsage, Vec<u8>) {
        let prices = prices();
        exchange.answered(Some(200), response);
        let mut got = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            match exchange.pass(chunk, index + 1 == chunks.len(), &prices) {
                Relay::Pass => got.extend_from_slice(chunk),
                Relay::Replace(from, bytes) => got.extend([&chunk[..from], &bytes].concat()),
            }
        }
        (exchange.end(&prices), got)
    }

    fn record(used: &RestUsage) -> Value {
        json!({ "model": used.model, "usage": used.usage, "cost_usd": used.cost })
    }

    fn event_stream(lines: &str) -> String {
        lines.lines().map(|data| format!("data: {data}\n\n")).collect()
    }

    #[test]
    fn recorded_answers_are_counted_wherever_they_are_cut_and_pass_as_they_are() {
        for (name, model, response) in [
            ("chat-sse", "gpt-5", EVENTS),
            ("responses-sse", "gpt-5", EVENTS),
            ("chat-json-audio", "gpt-4o-audio-preview", JSON),
            ("responses-json", "gpt-5", JSON),
        ] {
            let recorded = load(&format!("{name}.jsonl"));
            let body = if response.content_type == JSON.content_type { recorded } else { event_stream(&recorded) };
            let want: Value = serde_json::from_str(&load(&format!("{name}.json"))).unwrap();
            let bytes = body.as_bytes();
            for cut in 0..=bytes.len() {
                let (used, got) = pass(exchange(model, false), &response, &[&bytes[..cut], &bytes[cut..]]);
                assert_eq!((record(&used), used.gap), (want.clone(), None), "{name} cut at {cut}");
                assert_eq!(got, bytes, "{name} cut at {cut}");
            }
        }
    }

    #[test]
    fn usage_that_was_asked_for_in_the_clients_place_is_counted_and_kept_from_it() {
        let recorded = load("chat-sse.jsonl");
        let unasked: String =
            recorded.lines().filter(|line| !line.contains(r#""choices":[]"#)).map(|line| format!("{line}\n")).collect();
        let (stream, want) = (event_stream(&recorded), event_stream(&unasked));
        assert!(want.len() < stream.len());
        for cut in 0..=stream.len() {
            let chunks = [&stream.as_bytes()[..cut], &stream.as_bytes()[cut..], b""];
            let (used, got) = pass(exchange("gpt-5", true), &EVENTS, &chunks);
            assert_eq!((used.usage.total_tokens, used.gap), (2306, None), "cut at {cut}");
            assert_eq!(String::from_utf8(got).unwrap(), want, "cut at {cut}");
        }
    }

    #[test]
    fn an_answer_is_read_if_it_is_a_plain_success_in_json_or_events() {
        let answered = |content_type, content_encoding| Answered { content_type, content_encoding };
        for (status, response, is_read, gap) in [
            (200, JSON, true, None),
            (201, EVENTS, true, Some(Gap::Untold)),
            (200, answered("Application/Vnd.X+JSON", "Identity"), true, None),
            (200, answered("TEXT/EVENT-STREAM", ""), true, Some(Gap::Untold)),
            (200, answered("application/json", "gzip"), false, Some(Gap::Coded)),
            (200, answered("text/event-stream", "identity, br"), false, Some(Gap::Coded)),
            (200, answered("audio/mpeg", "gzip"), false, None),
            (200, answered("", ""), false, None),
            (199, JSON, false, None),
            (300, JSON, false, None),
            (429, JSON, false, None),
        ] {
            let mut exchange = exchange("gpt-5", false);
            assert!(!exchange.is_read());
            exchange.answered(Some(status), &response);
            assert_eq!(exchange.is_read(), is_read, "{status} {}", response.content_type);
            assert_eq!(exchange.end(&prices()).gap, gap, "{status} {}", response.content_type);
        }
    }

    #[test]
    fn what_is_not_told_is_known_not_to_be() {
        let cut = |body: &str| body[..body.len() / 2].to_owned();
        let (usage, many) = (r#""usage":{"input_tokens":1,"output_tokens":1}"#, r#""a":1,"#.repeat(MAX_READ / 6));
        let (long, oversized) =
            (format!(r#"{{"data":"{}",{usage}}}"#, "A".repeat(MAX_READ)), format!("{{{many}{usage}}}"));
        let unasked = "data: {\"choices\":[{}]}\n\ndata: [DONE]\n\n".to_owned();
        let missing = Some(Gap::Rejected(Rejected::Missing("usage")));
        for (body, response, gap) in [
            (load("responses-json.jsonl"), JSON, None),
            (r#"{"object":"list","data":[]}"#.into(), JSON, None),
            (cut(&load("responses-json.jsonl")), JSON, Some(Gap::Rejected(Rejected::Malformed))),
            (long, JSON, None),
            (oversized, JSON, Some(Gap::Rejected(Rejected::Oversized))),
            (r#"{"object":"response","status":"queued","usage":null}"#.into(), JSON, missing),
            (unasked, EVENTS, missing),
            (cut(&event_stream(&load("responses-sse.jsonl"))), EVENTS, missing),
            ("data: {\"type\":\"message_start\"}\n\n".into(), EVENTS, Some(Gap::Untold)),
        ] {
            let (used, got) = pass(exchange("gpt-5", false), &response, &[body.as_bytes()]);
            assert_eq!(used.gap, gap, "{:.80}", body);
            assert!(got == body.as_bytes());
        }
    }

    #[test]
    fn what_makes_something_is_counted_and_what_reads_or_changes_it_is_not() {
        for (method, path, want) in [
            ("POST", "/v1/chat/completions", true),
            ("POST", "/v1/chat/completions/?x=responses/1", true),
            ("POST", "/openai/deployments/gpt/chat/completions?api-version=1", true),
            ("POST", "/v1/responses", true),
            ("POST", "/v1/responses/compact", true),
            ("POST", "/v1/audio/transcriptions", true),
            ("POST", "/v1/embeddings", true),
            ("POST", "/v1/chat/completions/chatcmpl-1", false),
            ("POST", "/v1/chat/Completions//chatcmpl-1", false),
            ("POST", "/v1/respons%65s/resp_1/cancel", false),
            ("POST", "/v1/threads/t/runs/r", false),
            ("POST", "/v1/responses/x/openai/chat/completions", true),
            ("POST", "/v1/x/responses/openai/embeddings", true),
            ("POST", "/openai/deployments/responses/chat/completions", true),
            ("POST", "/openai/deployments/completions/embeddings", true),
            ("POST", "/v1/threads/t/runs", true),
            ("POST", "/v1/threads/t/runs/r/submit_tool_outputs", false),
            ("GET", "/v1/responses", false),
            ("PUT", "/v1/responses", false),
        ] {
            let is_metered = |metered| with_inbound(method, path, |inbound| is_counted(&admission(metered), inbound));
            assert_eq!((is_metered(true), is_metered(false)), (want, false), "{method} {path}");
        }
        let call = Admission { purpose: Purpose::Call, ..admission(true) };
        assert!(!with_inbound("POST", "/v1/realtime/calls", |inbound| is_counted(&call, inbound)));
    }
}
