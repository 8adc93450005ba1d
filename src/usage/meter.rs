//! What one session, or one REST exchange, has used.

use super::price::{Cost, MicroUsd, PriceList};
use super::recent_ids::{IdDigest, RecentIds};
use super::report::{IdKind, Report, Reported, ReportedUsage, SessionNames, UsageError};
use super::tally::{Tally, Tokens};

/// Counts and prices the usage of one session. Its memory is bounded whatever the upstream sends, and an idle one
/// holds little more than its names.
#[derive(Debug, Default)]
pub struct Meter {
    request_model: Option<Box<str>>,
    session_model: Option<Box<str>>,
    /// Responses tell their model where sessions do not.
    response_model: Option<Box<str>>,
    transcription_model: Option<Box<str>>,
    upstream_id: Option<Box<str>>,
    /// How long the audio is that was told.
    audio: u64,
    tally: Tally,
    cost: Cost,
    recent: RecentIds,
}

/// What an event has meant to a [`Meter`].
#[derive(Debug, PartialEq, Eq)]
pub enum MeterEvent {
    /// Nothing: it is of no type that matters, or it has been counted before.
    Ignored,
    /// The session's id or models may have become known.
    Session,
    /// A response has begun; what it will cost is not known yet.
    ResponseStarted,
    /// This has been counted.
    Counted(Usage),
    /// It should have been counted and cannot be: nothing of it is, and someone should know.
    Rejected(UsageError),
}

/// What one event has added to a session.
#[derive(Debug, PartialEq, Eq)]
pub struct Usage {
    /// The model that it was priced as, or that a price is missing for; empty when none is known.
    pub model: String,
    /// One response or one transcription.
    pub usage: Tally,
    /// What it adds to the session's rounded cost, so that these add up to it.
    pub cost: MicroUsd,
    /// Whether some of it cost nothing for want of a price.
    pub unpriced: bool,
    /// By what others know it who are told the same, if it has an id.
    pub id: Option<IdDigest>,
    /// Why it may not be all that was used.
    pub flaw: Option<UsageError>,
}

impl Meter {
    /// A meter of a session whose request named this model (bare and resolved), if any.
    pub fn new(request_model: Option<&str>) -> Self {
        Self { request_model: request_model.map(Box::from), ..Self::default() }
    }

    /// What has been counted.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// What that costs, each response at the price of its model.
    pub fn cost(&self) -> MicroUsd {
        self.cost.to_micro_usd()
    }

    /// The session's id at the upstream, once `session.created` has told it.
    pub fn upstream_id(&self) -> Option<&str> {
        self.upstream_id.as_deref()
    }

    /// The model: the session's, else the request's, else that of the last response or of transcriptions.
    pub fn model(&self) -> Option<&str> {
        [&self.session_model, &self.request_model, &self.response_model, &self.transcription_model]
            .into_iter()
            .find_map(Option::as_deref)
    }

    /// The model that transcribes the user's audio, once `session.created` or `session.updated` has told it.
    pub fn transcription_model(&self) -> Option<&str> {
        self.transcription_model.as_deref()
    }

    /// Whether a response of this id was told.
    pub fn knows_response(&self, id: &str) -> bool {
        self.recent.contains(IdDigest::of((IdKind::Response, id)))
    }

    /// Bytes that are held beside the meter itself.
    pub fn held(&self) -> usize {
        let models = [&self.request_model, &self.session_model, &self.response_model, &self.transcription_model];
        let names = models.into_iter().chain([&self.upstream_id]).flatten().map(|name| name.len());
        names.fold(self.recent.held(), usize::saturating_add)
    }

    /// Counts what an upstream's message says, once.
    pub fn add(&mut self, reported: Reported, prices: &PriceList) -> MeterEvent {
        match reported {
            // Parts of a turn are put together before.
            Reported::Nothing | Reported::Output(_) | Reported::Turn(_) => MeterEvent::Ignored,
            Reported::ResponseStarted { model } => {
                keep(&mut self.response_model, model);
                MeterEvent::ResponseStarted
            }
            Reported::Audio { milliseconds } => self.count_audio(milliseconds, prices),
            Reported::Session(session) => self.learn(session),
            Reported::Usage(report) => self.count(*report, prices),
            Reported::Unreadable(error) => MeterEvent::Rejected(error),
        }
    }

    /// Counts by how much the audio of the session is longer than it was known to be. Told that it is shorter, it stays as long:
    /// what was counted once is spent.
    fn count_audio(&mut self, milliseconds: u64, prices: &PriceList) -> MeterEvent {
        let more = milliseconds.saturating_sub(self.audio);
        self.audio = self.audio.saturating_add(more);
        if more == 0 { MeterEvent::Ignored } else { self.count(Report::audio(more), prices) }
    }

    /// How long the audio is that was told.
    pub(crate) fn reported_audio(&self) -> u64 {
        self.audio
    }

    /// Others have counted so much of its audio.
    pub(crate) fn know_audio(&mut self, milliseconds: u64) {
        self.audio = self.audio.max(milliseconds);
    }

    /// The client names the model of the session.
    pub(crate) fn name(&mut self, model: &str) {
        self.request_model = Some(model.into());
    }

    /// Counts a report unless it has been counted before.
    pub(crate) fn count(&mut self, report: Report, prices: &PriceList) -> MeterEvent {
        let id = report.id.map(IdDigest::of);
        if id.is_some_and(|id| !self.recent.insert(id)) {
            return MeterEvent::Ignored;
        }
        let used = match report.used {
            Ok(used) => used,
            Err(rejected) => return MeterEvent::Rejected(rejected),
        };
        keep(&mut self.response_model, report.model);
        let before = self.cost();
        let (model, cost, is_priced) = self.price(&used, prices);
        let usage = used.tally();
        self.tally.add(&usage);
        self.cost.add(cost);
        let cost = MicroUsd(self.cost().0.saturating_sub(before.0));
        MeterEvent::Counted(Usage { model, usage, cost, unpriced: !is_priced, flaw: report.flaw, id })
    }

    /// What responses that were not told would cost.
    pub(crate) fn cost_of(&self, unreported: Tokens, prices: &PriceList) -> MicroUsd {
        self.price(&ReportedUsage::Unreported(unreported, 0), prices).1.to_micro_usd()
    }

    /// The model that this is priced as, its cost, and whether that is all of it.
    fn price(&self, used: &ReportedUsage, prices: &PriceList) -> (String, Cost, bool) {
        let own = match used {
            // A response may be of another model than its connection was opened with, or name a dated version of it.
            ReportedUsage::Response(_) | ReportedUsage::Unreported(..) => {
                let priced = |model| Some((model, Some(prices.price_of(model)?)));
                self.response_model.as_deref().and_then(priced)
            }
            ReportedUsage::Transcription(_) | ReportedUsage::TranscriptionDuration { .. } => {
                self.transcription_model.as_deref().map(|model| (model, prices.price_of(model)))
            }
            ReportedUsage::Audio { .. } => None,
        };
        let (model, price) = own.unwrap_or_else(|| {
            let model = self.model().unwrap_or_default();
            (model, prices.price_of(model))
        });
        let (cost, is_priced) = match (used, price) {
            (
                ReportedUsage::Response(tokens)
                | ReportedUsage::Unreported(tokens, _)
                | ReportedUsage::Transcription(tokens),
                price,
            ) => match price {
                Some(price) => price.cost(tokens),
                None => (Cost::default(), *tokens == Tokens::default()),
            },
            (
                ReportedUsage::TranscriptionDuration { milliseconds } | ReportedUsage::Audio { milliseconds },
                Some(price),
            ) => price.cost_of_audio(*milliseconds),
            (ReportedUsage::TranscriptionDuration { milliseconds } | ReportedUsage::Audio { milliseconds }, None) => {
                (Cost::default(), *milliseconds == 0)
            }
        };
        (model.to_owned(), cost, is_priced)
    }

    pub(crate) fn learn(&mut self, session: SessionNames) -> MeterEvent {
        keep(&mut self.upstream_id, session.id);
        keep(&mut self.session_model, session.model);
        keep(&mut self.transcription_model, session.transcription_model);
        MeterEvent::Session
    }
}

fn keep(known: &mut Option<Box<str>>, reported: Option<String>) {
    if let Some(reported) = reported {
        *known = Some(reported.into());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::usage::price::Price;

    fn prices() -> PriceList {
        let price = |json: &str| serde_json::from_str::<Price>(json).unwrap();
        PriceList::new([
            (
                "gpt-realtime*".to_owned(),
                price(r#"{"input_text":4,"input_audio":32,"output_text":16,"output_audio":64}"#),
            ),
            ("gpt-4o-transcribe".to_owned(), price(r#"{"input_audio":6,"output_text":10}"#)),
            ("whisper-1".to_owned(), price(r#"{"audio_minute":0.006}"#)),
            ("text-only".to_owned(), price(r#"{"input_text":1,"output_text":2}"#)),
        ])
    }

    fn done(id: &str, usage: &str) -> Vec<u8> {
        format!(r#"{{"type":"response.done","response":{{"id":"{id}","status":"completed","usage":{usage}}}}}"#).into()
    }

    fn counted(metered: MeterEvent) -> Usage {
        match metered {
            MeterEvent::Counted(counted) => counted,
            other => panic!("expected something counted, got {other:?}"),
        }
    }

    #[test]
    fn an_idle_meter_is_small() {
        assert!(size_of::<Meter>() <= 320, "{}", size_of::<Meter>());
    }

    #[test]
    fn a_response_counts_once() {
        let mut meter = Meter::new(Some("gpt-realtime"));
        let event = done("resp_1", r#"{"input_tokens":3,"output_tokens":2}"#);
        let first = counted(meter.event(&event, &prices()));
        assert_eq!((first.model.as_str(), first.cost, first.unpriced), ("gpt-realtime", MicroUsd(44), false));
        assert_eq!(first.usage, *meter.tally());
        assert_eq!(meter.event(&event, &prices()), MeterEvent::Ignored);
        let again =
            br#"{"type":"response.completed","response":{"id":"resp_1","usage":{"input_tokens":9,"output_tokens":9}}}"#;
        assert_eq!(meter.event(again, &prices()), MeterEvent::Ignored);
        counted(meter.event(&done("resp_2", r#"{"input_tokens":3,"output_tokens":2}"#), &prices()));
        assert_eq!((meter.tally().responses, meter.tally().total_tokens, meter.cost()), (2, 10, MicroUsd(88)));
    }

    #[test]
    fn events_without_an_id_of_their_own_count_once_by_the_events_id() {
        let mut meter = Meter::new(None);
        let event = br#"{"type":"response.done","event_id":"event_1","response":{"status":"failed"}}"#;
        assert_eq!(counted(meter.event(event, &prices())).usage.responses, 1);
        assert_eq!(meter.event(event, &prices()), MeterEvent::Ignored);
        let nameless = br#"{"type":"response.done","response":{"id":"","status":"failed"}}"#;
        counted(meter.event(nameless, &prices()));
        counted(meter.event(nameless, &prices()));
        assert_eq!(meter.tally().responses, 3);
    }

    #[test]
    fn every_response_counts_and_one_that_did_not_complete_may_lack_its_usage() {
        use UsageError::*;
        for (status, usage, flaw, tokens) in [
            ("cancelled", "null", None, 0),
            ("failed", "null", None, 0),
            ("incomplete", "null", None, 0),
            ("completed", "null", Some(Missing("usage")), 0),
            ("completed", "7", Some(Malformed), 0),
            (
                "completed",
                r#"{"input_tokens":132,"output_tokens":121,"total_tokens":252}"#,
                Some(Exceeded("total_tokens")),
                253,
            ),
            ("cancelled", r#"{"input_tokens":"1","output_tokens":2}"#, Some(NotANumber("input_tokens")), 2),
        ] {
            let event = format!(r#"{{"type":"response.done","response":{{"status":"{status}","usage":{usage}}}}}"#);
            let mut meter = Meter::new(None);
            let counted = counted(meter.event(event.as_bytes(), &prices()));
            assert_eq!((counted.flaw, counted.usage.total_tokens), (flaw, tokens), "{event}");
            assert_eq!((meter.tally().responses, meter.tally().total_tokens), (1, tokens), "{event}");
        }
    }

    #[test]
    fn what_says_nothing_of_usage_leaves_no_trace() {
        let mut meter = Meter::new(Some("gpt-realtime"));
        for (event, reason) in [
            (br#"{"type":"response.done"}"#.to_vec(), UsageError::Missing("response")),
            (br#"{"type":"response.done","response":[]}"#.to_vec(), UsageError::Malformed),
            (br#"{"type":"response.done","response":{}"#.to_vec(), UsageError::Malformed),
            (b"{\"type\":\"response.done\",\"response\":{\"id\":\"\xff\"}}".to_vec(), UsageError::Malformed),
            (br#"{"type":"response.done","response":{},"response":{}}"#.to_vec(), UsageError::Malformed),
            (br#"{"type":"session.created"}"#.to_vec(), UsageError::Missing("session")),
            (
                br#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"i"}"#.to_vec(),
                UsageError::Missing("usage"),
            ),
        ] {
            assert_eq!(meter.event(&event, &prices()), MeterEvent::Rejected(reason));
        }
        assert_eq!((*meter.tally(), meter.cost()), (Tally::default(), MicroUsd(0)));
    }

    #[test]
    fn the_session_names_itself_and_its_models() {
        let mut meter = Meter::new(Some("gpt-realtime"));
        assert_eq!((meter.model(), meter.upstream_id()), (Some("gpt-realtime"), None));
        let created = br#"{"type":"session.created","session":{"id":"sess_1","model":"gpt-realtime-2025-08-28",
            "audio":{"input":{"transcription":null}}}}"#;
        assert_eq!(meter.event(created, &prices()), MeterEvent::Session);
        let updated = br#"{"session":{"audio":{"input":{"transcription":{"model":"gpt-4o-transcribe"}}}},
            "type":"session.updated"}"#;
        assert_eq!(meter.event(updated, &prices()), MeterEvent::Session);
        assert_eq!((meter.model(), meter.upstream_id()), (Some("gpt-realtime-2025-08-28"), Some("sess_1")));

        let transcribed = br#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"i","content_index":0,
            "usage":{"type":"tokens","input_tokens":100,"input_token_details":{"audio_tokens":100},"output_tokens":10}}"#;
        let counted = counted(meter.event(transcribed, &prices()));
        assert_eq!(
            (counted.model.as_str(), counted.cost, counted.unpriced),
            ("gpt-4o-transcribe", MicroUsd(700), false)
        );
        assert_eq!(meter.event(transcribed, &prices()), MeterEvent::Ignored);
        assert_eq!((meter.tally().transcription.tokens, meter.tally().total_tokens), (110, 0));
    }

    #[test]
    fn a_session_of_the_former_shape_names_its_transcriptions_model() {
        let mut meter = Meter::new(None);
        let updated = br#"{"type":"transcription_session.updated","session":{"id":"sess_1",
            "input_audio_transcription":{"model":"gpt-4o-transcribe"}}}"#;
        assert_eq!(meter.event(updated, &prices()), MeterEvent::Session);
        assert_eq!(meter.model(), Some("gpt-4o-transcribe"));
    }

    #[test]
    fn a_response_is_priced_by_its_own_model_where_it_names_one_that_has_a_price() {
        for (named, price_of, cost) in [("text-only", "text-only", 5), ("gpt-realtime-2025-08-28", "gpt-realtime", 44)]
        {
            let event = format!(
                r#"{{"type":"response.completed","response":{{"status":"completed","model":"{named}",
                    "usage":{{"input_tokens":3,"output_tokens":{}}}}}}}"#,
                if cost == 5 { 1 } else { 2 }
            );
            let mut meter = Meter::new(Some("gpt-realtime"));
            let counted = counted(meter.event(event.as_bytes(), &prices()));
            assert!(counted.model.starts_with(price_of));
            assert_eq!((counted.cost, meter.model()), (MicroUsd(cost), Some("gpt-realtime")));
        }
        let mut meter = Meter::new(Some("text-only"));
        let dated = br#"{"type":"response.completed","response":{"model":"text-only-2026","usage":{"input_tokens":3,"output_tokens":0}}}"#;
        assert_eq!(counted(meter.event(dated, &prices())).model, "text-only");
    }

    #[test]
    fn what_has_no_price_costs_nothing_and_says_so() {
        let usage = r#"{"input_tokens":3,"output_tokens":2,"output_token_details":{"audio_tokens":1}}"#;
        for (model, cost) in [("unknown", 0), ("text-only", 5)] {
            let counted = counted(Meter::new(Some(model)).event(&done("resp_1", usage), &prices()));
            assert_eq!((counted.model.as_str(), counted.cost, counted.unpriced), (model, MicroUsd(cost), true));
        }
        let seconds = br#"{"type":"conversation.item.input_audio_transcription.completed","item_id":"i",
            "usage":{"type":"duration","seconds":1.5}}"#;
        let mut meter = Meter::new(Some("gpt-realtime"));
        assert!(counted(meter.event(seconds, &prices())).unpriced);
        assert_eq!((meter.tally().transcription.milliseconds, meter.cost()), (1500, MicroUsd(0)));
        let mut meter = Meter::new(Some("whisper-1"));
        assert!(!counted(meter.event(seconds, &prices())).unpriced);
        assert_eq!((meter.tally().transcription.milliseconds, meter.cost()), (1500, MicroUsd(150)));
        let nothing = done("resp_2", r#"{"input_tokens":0,"output_tokens":0}"#);
        assert!(!counted(Meter::new(Some("unknown")).event(&nothing, &prices())).unpriced);
    }

    #[test]
    fn rest_answers_count_by_what_they_are() {
        for (body, responses, total, transcribed) in [
            (
                r#"{"id":"chatcmpl-1","object":"chat.completion","model":"text-only","usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#,
                1,
                5,
                0,
            ),
            (
                r#"{"id":"resp_1","object":"response","status":"completed","usage":{"input_tokens":3,"output_tokens":2}}"#,
                1,
                5,
                0,
            ),
            (
                r#"{"object":"list","data":[],"model":"text-embedding-3","usage":{"prompt_tokens":8,"total_tokens":8}}"#,
                1,
                8,
                0,
            ),
            (r#"{"text":"hi","usage":{"type":"tokens","input_tokens":3,"output_tokens":2}}"#, 0, 0, 5),
            (r#"{"id":"resp_1","object":"response","status":"failed","usage":null}"#, 1, 0, 0),
        ] {
            let mut meter = Meter::new(None);
            counted(meter.body(body.as_bytes(), &prices()));
            let tally = meter.tally();
            assert_eq!(
                (tally.responses, tally.total_tokens, tally.transcription.tokens),
                (responses, total, transcribed),
                "{body}"
            );
        }
        for (body, metered) in [
            (r#"{"object":"list","data":[]}"#, MeterEvent::Ignored),
            (r#"{"error":{"message":"no"}}"#, MeterEvent::Ignored),
            (r#"{"usage":{"type":"tokens"}}"#, MeterEvent::Rejected(UsageError::Missing("input_tokens"))),
            ("[]", MeterEvent::Rejected(UsageError::Malformed)),
        ] {
            assert_eq!(Meter::new(None).body(body.as_bytes(), &prices()), metered, "{body}");
        }
        for (body, flaw) in [
            (r#"{"id":"resp_1","object":"response","status":"queued","usage":null}"#, UsageError::Missing("usage")),
            (r#"{"object":"chat.completion"}"#, UsageError::Missing("usage")),
            (r#"{"object":"response","status":"completed"}"#, UsageError::Missing("usage")),
            (r#"{"usage":{"input_tokens":1}}"#, UsageError::Missing("output_tokens")),
            (r#"{"usage":5}"#, UsageError::Malformed),
        ] {
            let counted = counted(Meter::new(None).body(body.as_bytes(), &prices()));
            assert_eq!((counted.flaw, counted.usage.responses), (Some(flaw), 1), "{body}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_count(bytes in any::<Vec<u8>>()) {
            let mut meter = Meter::new(None);
            meter.event(&bytes, &prices());
            meter.body(&bytes, &prices());
            prop_assert_eq!(meter.tally(), &Tally::default());
        }

        #[test]
        fn arbitrary_usage_keeps_the_tally_consistent(
            numbers in prop::collection::vec(prop_oneof![0_u64..20, Just(1 << 53), any::<u64>()], 8),
            skip in any::<u8>(),
        ) {
            let member = |index: usize, key: &str| match skip >> index & 1 {
                0 => format!("\"{key}\":{}", numbers[index]),
                _ => format!("\"{key}\":null"),
            };
            let usage = format!(
                r#"{{{},{},{},"input_token_details":{{{},{},{}}},"output_token_details":{{{},{}}}}}"#,
                member(0, "input_tokens"), member(1, "output_tokens"), member(2, "total_tokens"),
                member(3, "text_tokens"), member(4, "audio_tokens"), member(5, "cached_tokens"),
                member(6, "audio_tokens"), member(7, "reasoning_tokens"),
            );
            let mut meter = Meter::new(Some("gpt-realtime"));
            meter.event(&done("resp_1", &usage), &prices());
            let tally = meter.tally();
            prop_assert_eq!(tally.input.tokens(), tally.input_tokens);
            prop_assert_eq!(tally.output.tokens(), tally.output_tokens);
            prop_assert!(tally.input.cached_text <= tally.input.text);
            prop_assert!(tally.input.cached_audio <= tally.input.audio);
            prop_assert!(tally.total_tokens <= 1 << 54);
        }
    }
}
