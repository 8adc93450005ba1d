//! A REST response whose usage is counted, read as it passes.
//!
//! ```text
//! AwaitingHeaders ─┬─ 2xx, JSON or server-sent events ─▶ Reading ─ its end, or a cut ─▶ Done
//!                  └─ anything else ───────────────────────────────────────────────────▶ Done
//! ```
//!
//! Nothing is held back but an event that is not complete, and that only where the usage was asked for in the client's
//! place.

use std::fmt;
use std::sync::Arc;

use super::action::{BodyAction, ResponseAction};
use super::admission::Admission;
use super::stream_options::StreamUsage;
use super::upstream::Upstream;
use super::upstream_headers::UpstreamResponse;
use crate::credential::Caller;
use crate::http::{Edits, is_json, media_type, trim};
use crate::memory::{MemoryAccount, Reservation};
use crate::policy::{Policy, Provider};
use crate::protocol::{BodyMeter, UsageChunkFilter};
use crate::usage::{Meter, MeterEvent, MicroUsd, PriceList, Tally, Transcription, UsageError};

/// One exchange, from its request on.
pub(crate) struct RestMeter {
    policy: Arc<Policy>,
    caller: Arc<Caller>,
    provider: Arc<Provider>,
    meter: Meter,
    phase: Phase,
    gap: Option<UsageGap>,
    is_unpriced: bool,
    reservation: Reservation,
}

/// What an exchange has used.
pub struct RestUsage {
    /// Who sent it.
    pub caller: Arc<Caller>,
    /// The route's policy.
    pub policy: Arc<Policy>,
    /// Who served it.
    pub provider: Arc<Provider>,
    /// The request's model, else the response's, if one is known.
    pub model: Option<String>,
    /// What was counted.
    pub usage: Tally,
    /// What that costs.
    pub cost: MicroUsd,
    /// Why that may not be all.
    pub gap: Option<UsageGap>,
    /// Whether some of it cost nothing for want of a price.
    pub is_unpriced: bool,
}

impl RestUsage {
    /// Whether the response reported anything. What was not reported is not known, and need not be nothing.
    pub(crate) fn is_reported(&self) -> bool {
        let has_amounts = self.usage.total_tokens > 0 || self.usage.transcription != Transcription::default();
        has_amounts || (self.gap.is_none() && self.usage.responses > 0)
    }
}

/// Why the usage of an exchange is not known, or not all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UsageGap {
    /// The response has a content coding.
    Coded,
    /// The response is a stream that reports none.
    Unreported,
    /// What the response reports cannot be counted.
    Rejected(UsageError),
}

/// The response, as far as it has come.
enum Phase {
    /// Its headers have not come.
    AwaitingHeaders(StreamUsage),
    /// Its body passes.
    Reading { body: BodyMeter, is_stream: bool, unasked: Option<UsageChunkFilter> },
    /// Nothing of it is to be read any more.
    Done,
}

impl RestMeter {
    /// The exchange that a request begins, if its usage is to be counted.
    pub(crate) fn new(
        admission: &Admission,
        upstream: &Upstream<'_>,
        asked: StreamUsage,
        memory: &MemoryAccount,
    ) -> Option<Box<Self>> {
        admission.is_counted().then(|| {
            Box::new(Self {
                policy: admission.policy.clone(),
                caller: admission.caller.clone(),
                provider: upstream.provider.clone(),
                meter: Meter::new(upstream.model),
                phase: Phase::AwaitingHeaders(asked),
                gap: None,
                is_unpriced: false,
                reservation: memory.reserve(size_of::<Self>()),
            })
        })
    }

    /// The request's model, else the response's, if one is known.
    pub(crate) fn model(&self) -> Option<&str> {
        self.meter.model()
    }

    /// The response's headers came.
    pub(crate) fn answered(&mut self, status: u16, response: &UpstreamResponse<'_>) -> ResponseAction {
        let answer = std::mem::replace(&mut self.phase, Phase::Done);
        let (Phase::AwaitingHeaders(asked), 200..=299) = (answer, status) else {
            return ResponseAction::Pass;
        };
        let content_type = response.content_type();
        let media_type = media_type(content_type);
        let is_stream = media_type.eq_ignore_ascii_case(b"text/event-stream");
        if !is_stream && !is_json(media_type) {
            return ResponseAction::Pass;
        }
        let coding = response.content_encoding();
        if !trim(&coding).is_empty() && !trim(&coding).eq_ignore_ascii_case(b"identity") {
            self.gap = Some(UsageGap::Coded);
            return ResponseAction::Pass;
        }
        let body = if is_stream { BodyMeter::event_stream() } else { BodyMeter::json() };
        let unasked = if is_stream { asked.chunk_filter() } else { None };
        let is_shortened = unasked.is_some();
        self.phase = Phase::Reading { body, is_stream, unasked };
        if !is_shortened {
            return ResponseAction::Pass;
        }
        let mut edits = Edits::default();
        edits.remove("content-length");
        ResponseAction::Edit(edits)
    }

    /// Whether the response's bytes are to be read as they pass.
    pub(crate) fn is_read(&self) -> bool {
        matches!(&self.phase, Phase::Reading { body, .. } if body.is_open())
    }

    /// Bytes of the response are on their way. `ends` says that none follow.
    pub(crate) fn pass(&mut self, bytes: &[u8], ends: bool, prices: &PriceList) -> BodyAction {
        let Phase::Reading { body, unasked, .. } = &mut self.phase else { return BodyAction::Pass };
        let metered = body.read(bytes, &mut self.meter, prices);
        note((&mut self.gap, &mut self.is_unpriced), &metered);
        let mut passed = unasked.as_mut().map(|unasked| unasked.pass(bytes, ends));
        // What is read is little, whatever the answer says. Only what is withheld can be refused.
        let read = size_of::<Self>() + self.meter.held() + body.held();
        let withheld = unasked.as_ref().map_or(0, UsageChunkFilter::held);
        if self.reservation.hold(read + withheld).is_err()
            && let (Some(passed), Some(unasked)) = (&mut passed, unasked)
        {
            passed.append(&mut unasked.release());
            self.reservation.hold(read).ok();
        }
        passed.filter(|passed| passed != bytes).map_or(BodyAction::Pass, |passed| BodyAction::Replace(0, passed))
    }

    /// The exchange is over, or was cut off.
    pub(crate) fn end(mut self, prices: &PriceList) -> RestUsage {
        if let Phase::Reading { body, is_stream, .. } = self.phase {
            let metered = body.finish(&mut self.meter, prices);
            note((&mut self.gap, &mut self.is_unpriced), &metered);
            if is_stream && *self.meter.tally() == Tally::default() {
                self.gap.get_or_insert(UsageGap::Unreported);
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
            is_unpriced: self.is_unpriced,
        }
    }
}

impl fmt::Display for UsageGap {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coded => formatter.write_str("the answer has a content coding"),
            Self::Unreported => formatter.write_str("the stream told no usage"),
            Self::Rejected(rejected) => rejected.fmt(formatter),
        }
    }
}

/// Keeps the first reason why something could not be counted, or not all of it, and whether something had no price.
fn note((gap, is_unpriced): (&mut Option<UsageGap>, &mut bool), all: &[MeterEvent]) {
    for metered in all {
        let rejected = match metered {
            MeterEvent::Rejected(rejected) => Some(*rejected),
            MeterEvent::Counted(usage) => {
                *is_unpriced |= usage.unpriced;
                usage.flaw
            }
            _ => None,
        };
        *gap = gap.or(rejected.map(UsageGap::Rejected));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::endpoint::Endpoint;
    use crate::host::HeaderMap;
    use crate::host::fake::FakeHost;
    use crate::stream::admission::testing::admission;
    use crate::testing::policy;

    /// What is held of an answer at most, of whatever size and form.
    const READ: usize = 4 << 10;

    struct Answered {
        content_type: &'static str,
        content_encoding: &'static str,
    }

    impl Answered {
        fn host(&self) -> FakeHost {
            let host = FakeHost::new().line(HeaderMap::Response, "content-type", self.content_type);
            host.line(HeaderMap::Response, "content-encoding", self.content_encoding)
        }
    }

    const JSON: Answered = Answered { content_type: "application/json", content_encoding: "" };
    const EVENTS: Answered = Answered { content_type: "text/event-stream; charset=utf-8", content_encoding: "" };

    fn counted() -> Admission {
        admission(policy(), Endpoint::Completions)
    }

    fn rest(model: &str, asked: StreamUsage) -> RestMeter {
        let admission = counted();
        let upstream = Upstream { provider: &admission.policy.default_provider, model: Some(model) };
        *RestMeter::new(&admission, &upstream, asked, &MemoryAccount::default()).unwrap()
    }

    fn load(file: &str) -> String {
        fs::read_to_string(format!("{}/tests/fixtures/recorded/{file}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn prices() -> PriceList {
        let prices: std::collections::BTreeMap<String, _> = serde_json::from_str(&load("prices.json")).unwrap();
        PriceList::new(prices)
    }

    /// What an exchange comes to whose answer passes in these chunks: what it used, and what the client gets.
    fn pass(mut rest: RestMeter, response: &Answered, chunks: &[&[u8]]) -> (RestUsage, Vec<u8>) {
        let prices = prices();
        rest.answered(200, &UpstreamResponse::read(&response.host()));
        let mut got = Vec::new();
        for (index, chunk) in chunks.iter().enumerate() {
            match rest.pass(chunk, index + 1 == chunks.len(), &prices) {
                BodyAction::Pass => got.extend_from_slice(chunk),
                BodyAction::Replace(from, bytes) => got.extend([&chunk[..from], &bytes].concat()),
            }
        }
        (rest.end(&prices), got)
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
            ("anthropic-sse", "claude-sonnet-4-5", EVENTS),
            ("anthropic-json", "claude-sonnet-4-5", JSON),
            ("chat-json-audio", "gpt-4o-audio-preview", JSON),
            ("responses-json", "gpt-5", JSON),
        ] {
            let recorded = load(&format!("{name}.jsonl"));
            let body = if response.content_type == JSON.content_type { recorded } else { event_stream(&recorded) };
            let want: Value = serde_json::from_str(&load(&format!("{name}.json"))).unwrap();
            let bytes = body.as_bytes();
            for cut in 0..=bytes.len() {
                let (used, got) = pass(rest(model, StreamUsage::AsSent), &response, &[&bytes[..cut], &bytes[cut..]]);
                assert_eq!((record(&used), used.gap), (want.clone(), None), "{name} cut at {cut}");
                assert_eq!(got, bytes, "{name} cut at {cut}");
            }
        }
    }

    #[test]
    fn usage_that_the_client_did_not_request_is_counted_and_kept_from_it() {
        let recorded = load("chat-sse.jsonl");
        let unasked: String =
            recorded.lines().filter(|line| !line.contains(r#""choices":[]"#)).map(|line| format!("{line}\n")).collect();
        for choices in [r#""choices":[],"#, r#""choices":null,"#, ""] {
            let recorded = recorded.replace(r#""choices":[],"#, choices);
            let (stream, want) = (event_stream(&recorded), event_stream(&unasked));
            assert!(want.len() < stream.len());
            let check = |chunks: &[&[u8]], cut| {
                let (used, got) = pass(rest("gpt-5", StreamUsage::Added), &EVENTS, chunks);
                assert_eq!((used.usage.total_tokens, used.gap), (2306, None), "{choices} cut at {cut}");
                assert_eq!(String::from_utf8(got).unwrap(), want, "{choices} cut at {cut}");
                let (used, got) = pass(rest("gpt-5", StreamUsage::AsSent), &EVENTS, chunks);
                assert_eq!((used.usage.total_tokens, got), (2306, stream.clone().into_bytes()), "{choices}");
            };
            check(&stream.as_bytes().chunks(1).collect::<Vec<_>>(), 1);
            for cut in 0..=stream.len() {
                check(&[&stream.as_bytes()[..cut], &stream.as_bytes()[cut..], b""], cut);
            }
        }
    }

    #[test]
    fn in_an_overdrawn_account_nothing_is_withheld_and_all_is_counted() {
        let memory = MemoryAccount::new(0);
        let _others = memory.reserve(1 << 20);
        let others = memory.reserved();
        let recorded = load("chat-sse.jsonl");
        let stream =
            event_stream(&recorded).replacen("data: {", &format!("data: {{\"x\":\"{}\",", "x".repeat(12_000)), 1);
        let admission = counted();
        let upstream = Upstream { provider: &admission.policy.default_provider, model: Some("gpt-5") };
        let mut rest = *RestMeter::new(&admission, &upstream, StreamUsage::Added, &memory).unwrap();
        rest.answered(200, &UpstreamResponse::read(&EVENTS.host()));
        let mut got = Vec::new();
        for chunk in stream.as_bytes().chunks(4000) {
            match rest.pass(chunk, false, &prices()) {
                BodyAction::Pass => got.extend_from_slice(chunk),
                BodyAction::Replace(from, bytes) => got.extend([&chunk[..from], &bytes].concat()),
            }
            assert!(memory.reserved() - others <= READ, "{} bytes are held", memory.reserved() - others);
        }
        assert!(got.starts_with(&stream.as_bytes()[..12_100]), "what was withheld went on");
        let used = rest.end(&prices());
        assert_eq!((used.usage.total_tokens, used.gap, memory.reserved()), (2306, None, others));
    }

    #[test]
    fn any_answer_is_read_in_a_few_kilobytes() {
        let name = "n".repeat(256);
        let names = format!(r#""id":"{name}","model":"{name}","status":"{name}","object":"response""#);
        let deep = format!("{}{}", r#"{"output":"#.repeat(900), "[".repeat(90));
        let usage = r#""usage":{"input_tokens":9,"output_tokens":4,"input_tokens_details":{"cached_tokens":1}}"#;
        let chunk = format!(r#"data: {{"choices":[],{names},{usage}}}"#) + "\n\n";
        let event = format!(r#"data: {{"type":"response.completed","response":{{{names},{usage},"output":{deep}"#);
        for (response, body) in [
            (JSON, format!(r#"{{{names},{usage},"output":{deep}"#)),
            (EVENTS, chunk.repeat(99) + &event),
            (EVENTS, format!("{event}{}", "é".repeat(9000))),
        ] {
            for pieces in [1, 1000, usize::MAX] {
                let memory = MemoryAccount::default();
                let admission = counted();
                let upstream = Upstream { provider: &admission.policy.default_provider, model: Some(&name) };
                let mut rest = *RestMeter::new(&admission, &upstream, StreamUsage::AsSent, &memory).unwrap();
                rest.answered(200, &UpstreamResponse::read(&response.host()));
                for piece in body.as_bytes().chunks(pieces) {
                    rest.pass(piece, false, &prices());
                    assert!(memory.reserved() <= READ, "{} bytes are held", memory.reserved());
                }
                assert!(memory.reserved() > 1000);
                drop(rest);
                assert_eq!(memory.reserved(), 0);
            }
        }
    }

    #[test]
    fn an_answer_is_read_if_it_is_a_plain_success_in_json_or_events() {
        let answered = |content_type, content_encoding| Answered { content_type, content_encoding };
        for (status, response, is_read, gap) in [
            (200, JSON, true, None),
            (201, EVENTS, true, Some(UsageGap::Unreported)),
            (200, answered("Application/Vnd.X+JSON", "Identity"), true, None),
            (200, answered("TEXT/EVENT-STREAM", ""), true, Some(UsageGap::Unreported)),
            (200, answered("application/json", "gzip"), false, Some(UsageGap::Coded)),
            (200, answered("text/event-stream", "identity, br"), false, Some(UsageGap::Coded)),
            (200, answered("audio/mpeg", "gzip"), false, None),
            (200, answered("", ""), false, None),
            (199, JSON, false, None),
            (300, JSON, false, None),
            (429, JSON, false, None),
        ] {
            let mut rest = rest("gpt-5", StreamUsage::AsSent);
            assert!(!rest.is_read());
            rest.answered(status, &UpstreamResponse::read(&response.host()));
            assert_eq!(rest.is_read(), is_read, "{status} {}", response.content_type);
            assert_eq!(rest.end(&prices()).gap, gap, "{status} {}", response.content_type);
        }
    }

    #[test]
    fn what_is_not_reported_is_known_not_to_be() {
        let cut = |body: &str| body[..body.len() / 2].to_owned();
        let (usage, many) = (r#""usage":{"input_tokens":1,"output_tokens":1}"#, r#""a":1,"#.repeat(200_000));
        let (long, full) = (format!(r#"{{"data":"{}",{usage}}}"#, "A".repeat(2 << 20)), format!("{{{many}{usage}}}"));
        let unasked = "data: {\"choices\":[{}]}\n\ndata: [DONE]\n\n".to_owned();
        let rejected = |field| Some(UsageGap::Rejected(UsageError::Missing(field)));
        let (missing, untold, cut_short) = (rejected("usage"), rejected("input_tokens"), rejected("output_tokens"));
        for (body, response, gap) in [
            (load("responses-json.jsonl"), JSON, None),
            (r#"{"object":"list","data":[]}"#.into(), JSON, None),
            (cut(&load("responses-json.jsonl")), JSON, Some(UsageGap::Rejected(UsageError::Malformed))),
            (long, JSON, None),
            (full, JSON, None),
            (r#"{"object":"response","status":"queued","usage":null}"#.into(), JSON, missing),
            (unasked, EVENTS, missing),
            (cut(&event_stream(&load("responses-sse.jsonl"))), EVENTS, missing),
            ("data: {\"type\":\"message_start\"}\n\n".into(), EVENTS, untold),
            (cut(&event_stream(&load("anthropic-sse.jsonl"))), EVENTS, cut_short),
            ("data: {\"type\":\"error\"}\n\n".into(), EVENTS, Some(UsageGap::Unreported)),
        ] {
            let (used, got) = pass(rest("gpt-5", StreamUsage::AsSent), &response, &[body.as_bytes()]);
            assert_eq!(used.gap, gap, "{:.80}", body);
            assert!(got == body.as_bytes());
        }
    }
}
