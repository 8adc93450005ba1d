//! The usage of a REST response, read while its body passes by.

use super::streamed_message::StreamedMessage;
use super::upstream_event::{Data, UpstreamMessage};
use crate::http::{SseItem, SseReader};
use crate::usage::{Meter, MeterEvent, PriceList, Report, Reported, Said};

/// Reads the body of one REST response and counts what it tells on a [`Meter`]. It may be of any size, and nothing is kept
/// of it but names and numbers.
#[derive(Debug)]
pub struct BodyMeter {
    body: Body,
}

#[derive(Debug)]
enum Body {
    /// Nothing of it has come.
    Awaited,
    Json(Box<UpstreamMessage>),
    Stream {
        reader: SseReader,
        stream: Box<Stream>,
    },
}

/// What a stream of events has told so far.
#[derive(Debug)]
struct Stream {
    /// The event that comes.
    event: UpstreamMessage,
    /// How much of `[DONE]` it is, while it is nothing else.
    done: Option<usize>,
    /// A response has begun and its usage has not been told.
    is_open: bool,
    /// Usage of a chat completion and the like. The last one told is the whole one, and is counted when the stream ends.
    usage: Option<Box<Report>>,
    /// What has been said.
    said: Said,
    /// A message of Anthropic's, counted likewise.
    message: Option<Box<StreamedMessage>>,
}

/// What ends a stream of chat completions, where the data of an event would stand.
const DONE: &[u8] = b"[DONE]";

impl BodyMeter {
    /// For `application/json`.
    pub fn json() -> Self {
        Self { body: Body::Awaited }
    }

    /// For `text/event-stream`.
    pub fn event_stream() -> Self {
        Self { body: Body::Stream { reader: SseReader::new(), stream: Box::default() } }
    }

    /// Whether more of the body could tell anything. One that is no JSON cannot.
    pub fn is_open(&self) -> bool {
        !matches!(&self.body, Body::Json(message) if message.has_failed())
    }

    /// Bytes that are held beside the meter itself.
    pub fn held(&self) -> usize {
        match &self.body {
            Body::Awaited => 0,
            Body::Json(message) => size_of::<UpstreamMessage>().saturating_add(message.held()),
            Body::Stream { stream, .. } => {
                let usage = stream.usage.as_ref().map_or(0, |_| size_of::<Report>());
                let message = stream.message.as_ref().map_or(0, |_| size_of::<StreamedMessage>());
                size_of::<Stream>().saturating_add(stream.event.held()).saturating_add(usage + message)
            }
        }
    }

    /// What a stream has said so far.
    pub fn said(&self) -> Said {
        match &self.body {
            Body::Stream { stream, .. } => stream.said,
            Body::Awaited | Body::Json(_) => Said::default(),
        }
    }

    /// Reads a chunk of the body, as the upstream sent it and not compressed. Returns what it has meant, without
    /// [`MeterEvent::Ignored`].
    pub fn read(&mut self, chunk: &[u8], meter: &mut Meter, prices: &PriceList) -> Vec<MeterEvent> {
        let mut all = Vec::new();
        match &mut self.body {
            Body::Awaited if chunk.is_empty() => {}
            Body::Awaited => {
                let mut message = Box::new(UpstreamMessage::of_rest());
                message.feed(chunk);
                self.body = Body::Json(message);
            }
            Body::Json(message) => message.feed(chunk),
            Body::Stream { reader, stream } => {
                reader.read(chunk, &mut |item| stream.read(item, meter, prices, &mut all));
            }
        }
        all
    }

    /// Ends the body, also one that was cut off: what has been told is counted, and usage that should have been told
    /// and was not is reported.
    pub fn finish(self, meter: &mut Meter, prices: &PriceList) -> Vec<MeterEvent> {
        let mut all = Vec::new();
        match self.body {
            Body::Awaited => {}
            Body::Json(message) => note(&mut all, meter.add(message.into_body(), prices)),
            Body::Stream { reader, mut stream } => {
                reader.finish(&mut |item| stream.read(item, meter, prices, &mut all));
                stream.finish(meter, prices, &mut all);
            }
        }
        all
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            event: UpstreamMessage::of_rest(),
            done: None,
            is_open: false,
            usage: None,
            said: Said::default(),
            message: None,
        }
    }
}

impl Stream {
    fn read(&mut self, item: SseItem<'_>, meter: &mut Meter, prices: &PriceList, all: &mut Vec<MeterEvent>) {
        match item {
            SseItem::Data(data) => {
                let matched = self.done.unwrap_or_default();
                let is_done = DONE.get(matched..).is_some_and(|rest| rest.starts_with(data));
                self.done = is_done.then_some(matched + data.len()).or(Some(DONE.len() + 1));
                self.event.feed(data);
            }
            SseItem::End => {
                let data = self.event.end_data();
                match self.done.take() {
                    Some(matched) if matched == DONE.len() => self.finish(meter, prices, all),
                    _ => self.end_event(data, meter, prices, all),
                }
            }
        }
    }

    fn end_event(&mut self, data: Data, meter: &mut Meter, prices: &PriceList, all: &mut Vec<MeterEvent>) {
        let reported = match data {
            Data::Event(Reported::Nothing) => return,
            Data::Event(Reported::Output(said)) => return self.said.add(said),
            Data::Event(reported) => reported,
            Data::ChatChoices(said) => {
                self.said.add(said);
                self.is_open = true;
                return;
            }
            Data::Usage { report, .. } => {
                // What cannot be read says less than what came before it.
                if report.flaw.is_none() || self.usage.as_ref().is_none_or(|known| known.flaw.is_some()) {
                    self.usage = Some(report);
                }
                return;
            }
            Data::Message(later) => {
                match &mut self.message {
                    Some(message) => message.go_on(*later),
                    None => self.message = Some(later),
                }
                return;
            }
        };
        let metered = meter.add(reported, prices);
        match &metered {
            MeterEvent::ResponseStarted => self.is_open = true,
            MeterEvent::Counted(_) | MeterEvent::Rejected(_) => self.is_open = false,
            MeterEvent::Ignored | MeterEvent::Session => {}
        }
        note(all, metered);
    }

    fn finish(&mut self, meter: &mut Meter, prices: &PriceList, all: &mut Vec<MeterEvent>) {
        let is_open = std::mem::take(&mut self.is_open);
        let message = self.message.take().map(|message| Box::new(message.report()));
        let unreported = is_open.then(|| Box::new(Report::without_usage()));
        if let Some(report) = self.usage.take().or(message).or(unreported) {
            note(all, meter.add(Reported::Usage(report), prices));
        }
    }
}

fn note(all: &mut Vec<MeterEvent>, metered: MeterEvent) {
    if metered != MeterEvent::Ignored {
        all.push(metered);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::usage::{Tally, UsageError};

    fn read(mut body: BodyMeter, chunks: &[&[u8]]) -> (Tally, Vec<MeterEvent>) {
        let (mut meter, prices) = (Meter::new(None), PriceList::default());
        let mut all = Vec::new();
        for chunk in chunks {
            all.extend(body.read(chunk, &mut meter, &prices));
        }
        all.extend(body.finish(&mut meter, &prices));
        (*meter.tally(), all)
    }

    const CHAT: &str = concat!(
        "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"delta\":{\"content\":\"é\"}}],\"usage\":null}\n\n",
        "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[],",
        "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":1,\"total_tokens\":10}}\n\n",
        "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"choices\":[],",
        "\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":4,\"total_tokens\":13}}\n\n",
        "data: [DONE]\n\n",
    );

    const RESPONSES: &str = concat!(
        "event: response.created\r\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\"}}\r\n\r\n",
        "event: response.output_text.delta\r\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"é\"}\r\n\r\n",
        "event: response.completed\r\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",",
        "\"usage\":{\"input_tokens\":9,\"output_tokens\":4,\"total_tokens\":13}}}\r\n\r\n",
    );

    #[test]
    fn streams_count_the_last_usage_once() {
        for stream in [CHAT, RESPONSES] {
            let (tally, metered) = read(BodyMeter::event_stream(), &[stream.as_bytes()]);
            assert_eq!((tally.responses, tally.input_tokens, tally.output_tokens), (1, 9, 4));
            assert!(matches!(metered.last(), Some(MeterEvent::Counted(_))), "{metered:?}");
        }
    }

    #[test]
    fn a_stream_that_ends_early_counts_what_it_has_or_is_reported() {
        let unfinished = CHAT.strip_suffix("data: [DONE]\n\n").unwrap();
        assert_eq!(read(BodyMeter::event_stream(), &[unfinished.as_bytes()]).0.total_tokens, 13);
        for stream in [CHAT, RESPONSES] {
            let begun = &stream[..stream.find("usage\":{").unwrap()];
            let (tally, metered) = read(BodyMeter::event_stream(), &[begun.as_bytes()]);
            assert_eq!((tally.total_tokens, tally.responses), (0, u64::from(stream == CHAT)));
            let is_reported = |metered: &MeterEvent| match metered {
                MeterEvent::Counted(counted) => counted.flaw == Some(UsageError::Missing("usage")),
                metered => *metered == MeterEvent::Rejected(UsageError::Malformed),
            };
            assert!(metered.iter().any(is_reported), "{metered:?}");
        }
        let error = b"data: {\"error\":{\"message\":\"no\"}}\n\ndata: [DONE]\n\n";
        assert_eq!(read(BodyMeter::event_stream(), &[error]).1, []);
    }

    #[test]
    fn the_size_of_an_event_hides_nothing() {
        let many = r#""a":1,"#.repeat(300_000);
        let usage = r#""usage":{"input_tokens":9,"output_tokens":4}"#;
        let done = format!("data: {{\"type\":\"response.completed\",{many}\"response\":{{{many}{usage}}}}}\n\n");
        assert_eq!(read(BodyMeter::event_stream(), &[done.as_bytes()]).0.total_tokens, 13);
        let body = format!("{{{many}{usage}}}");
        assert_eq!(read(BodyMeter::json(), &body.as_bytes().chunks(4000).collect::<Vec<_>>()).0.total_tokens, 13);
    }

    #[test]
    fn what_is_repeated_or_made_at_length_hides_no_usage() {
        let (long, usage) = ("\\u0000".repeat(4000), r#""usage":{"input_tokens":9,"output_tokens":4}"#);
        let response = format!(
            r#"{{"id":"resp_1","object":"response","instructions":"{long}","tools":[{{"description":"{long}"}}],
                "text":{{"format":{{"schema":{{"properties":{{"{long}":{{}}}}}}}}}},{usage},"user":"{long}"}}"#
        );
        let completed = format!(r#"{{"type":"response.completed","response":{response}}}"#).replace('\n', "");
        let image = format!(r#"{{"created":1,"data":[{{"b64_json":"{long}"}}],{usage}}}"#);
        let stream = format!("data: {completed}\n\n");
        for (body_meter, body) in
            [(BodyMeter::json(), &response), (BodyMeter::json(), &image), (BodyMeter::event_stream(), &stream)]
        {
            let (tally, metered) = read(body_meter, &body.as_bytes().chunks(1000).collect::<Vec<_>>());
            assert_eq!((tally.total_tokens, metered.len()), (13, 1), "{body:.40} {metered:?}");
        }
    }

    #[test]
    fn a_json_body_is_read_until_it_is_none() {
        let body = br#"{"object":"chat.completion","usage":{"prompt_tokens":9,"completion_tokens":4}}"#;
        let (tally, _) = read(BodyMeter::json(), &body.chunks(7).collect::<Vec<_>>());
        assert_eq!(tally.total_tokens, 13);
        let mut body_meter = BodyMeter::json();
        let mut is_open = |chunk: &[u8]| {
            body_meter.read(chunk, &mut Meter::new(None), &PriceList::default());
            body_meter.is_open()
        };
        assert_eq!((is_open(b""), is_open(body), is_open(b" \n"), is_open(b"}")), (true, true, true, false));
        assert_eq!(read(BodyMeter::json(), &[]), (Tally::default(), vec![]));
        let cut = read(BodyMeter::json(), &[&body[..20]]).1;
        assert_eq!(cut, [MeterEvent::Rejected(UsageError::Malformed)]);
    }

    proptest! {
        #[test]
        fn chunks_change_nothing(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            for stream in [CHAT, RESPONSES] {
                let bytes = stream.as_bytes();
                let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
                cuts.extend([0, bytes.len()]);
                cuts.sort_unstable();
                let chunks: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
                let whole = read(BodyMeter::event_stream(), &[bytes]);
                prop_assert_eq!(read(BodyMeter::event_stream(), &chunks), whole);
            }
        }

        #[test]
        fn arbitrary_bytes_are_read(bytes in any::<Vec<u8>>()) {
            read(BodyMeter::json(), &[&bytes]);
            prop_assert_eq!(read(BodyMeter::event_stream(), &[&bytes]).0, Tally::default());
        }
    }
}
