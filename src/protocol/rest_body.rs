//! The usage of a REST response, read while its body passes by.

use super::event_type::{Peek, peek};
use super::upstream_event::{ChatChunk, read_chat_chunk};
use super::usage::parsed;
use crate::http::{SseItem, SseReader};
use crate::json::collected::Collected;
use crate::usage::report::Report;
use crate::usage::{Meter, MeterEvent, PriceList, UsageError};

/// Reads the body of one REST answer and counts what it tells on a [`Meter`]. A JSON body is collected, of a stream one
/// event at a time, and of what is over a bound only what can tell usage.
#[derive(Debug)]
pub struct BodyMeter {
    body: Body,
}

#[derive(Debug)]
enum Body {
    Json(Collected),
    Stream { reader: SseReader, stream: EventStream },
}

/// What a stream of events has told so far.
#[derive(Debug, Default)]
struct EventStream {
    /// A response has begun and its usage has not been told.
    is_open: bool,
    /// Usage of a chat completion. The last one told is the whole one, and is counted when the stream ends.
    chat: Option<Box<Report>>,
}

impl BodyMeter {
    /// For `application/json`: up to `max_len` bytes are kept.
    pub fn json(max_len: usize) -> Self {
        Self { body: Body::Json(Collected::new(max_len)) }
    }

    /// For `text/event-stream`: up to `max_len` bytes of an event are kept.
    pub fn event_stream(max_len: usize) -> Self {
        Self { body: Body::Stream { reader: SseReader::new(max_len), stream: EventStream::default() } }
    }

    /// Whether more of the body could tell anything. A JSON body of which too much would have to be kept cannot.
    pub fn is_open(&self) -> bool {
        !matches!(&self.body, Body::Json(collected) if collected.is_oversized())
    }

    /// Reads a chunk of the body, as the upstream sent it and not compressed. Returns what it has meant, without
    /// [`MeterEvent::Ignored`].
    pub fn read(&mut self, chunk: &[u8], meter: &mut Meter, prices: &PriceList) -> Vec<MeterEvent> {
        let mut all = Vec::new();
        match &mut self.body {
            Body::Json(collected) => collected.append(chunk),
            Body::Stream { reader, stream } => reader.read(chunk, |item| stream.read(item, meter, prices, &mut all)),
        }
        all
    }

    /// Ends the body, also one that was cut off: what has been told is counted, and usage that should have been told
    /// and was not is reported.
    pub fn finish(self, meter: &mut Meter, prices: &PriceList) -> Vec<MeterEvent> {
        let mut all = Vec::new();
        match self.body {
            Body::Json(collected) if collected.is_oversized() => all.push(MeterEvent::Rejected(UsageError::Oversized)),
            Body::Json(collected) if collected.bytes().is_empty() => {}
            Body::Json(collected) => note(&mut all, meter.body(collected.bytes(), prices)),
            Body::Stream { reader, mut stream } => {
                reader.finish(|item| stream.read(item, meter, prices, &mut all));
                stream.finish(meter, prices, &mut all);
            }
        }
        all
    }
}

impl EventStream {
    fn read(&mut self, item: SseItem<'_>, meter: &mut Meter, prices: &PriceList, all: &mut Vec<MeterEvent>) {
        let data = match item {
            SseItem::Data(data) => data,
            SseItem::Oversized(prefix) => {
                if peek(prefix) != Peek::Uninteresting {
                    all.push(MeterEvent::Rejected(UsageError::Oversized));
                }
                return;
            }
        };
        if data == b"[DONE]" {
            return self.finish(meter, prices, all);
        }
        let metered = match peek(data) {
            Peek::Interesting(_) => meter.event(data, prices),
            Peek::Uninteresting | Peek::NeedMore => return self.read_chat(data),
        };
        match &metered {
            MeterEvent::ResponseStarted => self.is_open = true,
            MeterEvent::Counted(_) | MeterEvent::Rejected(_) => self.is_open = false,
            MeterEvent::Ignored | MeterEvent::Session => {}
        }
        note(all, metered);
    }

    fn read_chat(&mut self, data: &[u8]) {
        match str::from_utf8(data).map_or(Ok(ChatChunk::Other), |chunk| parsed(chunk).and_then(read_chat_chunk)) {
            Ok(ChatChunk::Usage(report)) => self.chat = Some(report),
            Ok(ChatChunk::Choices) => self.is_open = true,
            Ok(ChatChunk::Other) | Err(_) => {}
        }
    }

    fn finish(&mut self, meter: &mut Meter, prices: &PriceList, all: &mut Vec<MeterEvent>) {
        let is_open = std::mem::take(&mut self.is_open);
        match self.chat.take() {
            Some(report) => note(all, meter.count(*report, prices)),
            None if is_open => all.push(MeterEvent::Rejected(UsageError::Missing("usage"))),
            None => {}
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
    use crate::usage::Tally;

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
            let (tally, metered) = read(BodyMeter::event_stream(1000), &[stream.as_bytes()]);
            assert_eq!((tally.responses, tally.input_tokens, tally.output_tokens), (1, 9, 4));
            assert!(matches!(metered.last(), Some(MeterEvent::Counted(_))), "{metered:?}");
        }
    }

    #[test]
    fn a_stream_that_ends_early_counts_what_it_has_or_is_reported() {
        let unfinished = CHAT.strip_suffix("data: [DONE]\n\n").unwrap();
        assert_eq!(read(BodyMeter::event_stream(1000), &[unfinished.as_bytes()]).0.total_tokens, 13);
        for stream in [CHAT, RESPONSES] {
            let begun = &stream[..stream.find("usage\":{").unwrap()];
            let (tally, metered) = read(BodyMeter::event_stream(1000), &[begun.as_bytes()]);
            assert_eq!(tally, Tally::default());
            let reported = MeterEvent::Rejected(UsageError::Missing("usage"));
            assert!(
                metered.contains(&reported) || metered.contains(&MeterEvent::Rejected(UsageError::Malformed)),
                "{metered:?}"
            );
        }
        let error = b"data: {\"error\":{\"message\":\"no\"}}\n\ndata: [DONE]\n\n";
        assert_eq!(read(BodyMeter::event_stream(1000), &[error]).1, []);
    }

    #[test]
    fn an_event_over_the_bound_is_reported_if_it_may_matter() {
        let many = r#""a":1,"#.repeat(100);
        let audio = format!("data: {{\"type\":\"response.audio.delta\",{many}\"delta\":\"\"}}\n\n");
        let done = format!("data: {{\"type\":\"response.completed\",{many}\"response\":{{}}}}\n\n");
        let oversized = [MeterEvent::Rejected(UsageError::Oversized)];
        assert_eq!(read(BodyMeter::event_stream(200), &[audio.as_bytes()]).1, []);
        assert_eq!(read(BodyMeter::event_stream(200), &[done.as_bytes()]).1, oversized);
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
        for (body_meter, body) in [
            (BodyMeter::json(4000), &response),
            (BodyMeter::json(4000), &image),
            (BodyMeter::event_stream(4000), &stream),
        ] {
            let (tally, metered) = read(body_meter, &body.as_bytes().chunks(1000).collect::<Vec<_>>());
            assert_eq!((tally.total_tokens, metered.len()), (13, 1), "{body:.40} {metered:?}");
        }
    }

    #[test]
    fn a_json_body_is_collected_up_to_its_bound() {
        let body = br#"{"object":"chat.completion","usage":{"prompt_tokens":9,"completion_tokens":4}}"#;
        let (tally, _) = read(BodyMeter::json(body.len()), &body.chunks(7).collect::<Vec<_>>());
        assert_eq!(tally.total_tokens, 13);
        let oversized = (Tally::default(), vec![MeterEvent::Rejected(UsageError::Oversized)]);
        assert_eq!(read(BodyMeter::json(body.len() - 1), &body.chunks(7).collect::<Vec<_>>()), oversized);
        let mut body_meter = BodyMeter::json(body.len() - 1);
        let mut is_open = |chunk| {
            body_meter.read(chunk, &mut Meter::new(None), &PriceList::default());
            body_meter.is_open()
        };
        assert_eq!((is_open(&body[1..]), is_open(&body[..1])), (true, false));
        assert_eq!(read(BodyMeter::json(10), &[]), (Tally::default(), vec![]));
        let cut = read(BodyMeter::json(1000), &[&body[..20]]).1;
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
                let whole = read(BodyMeter::event_stream(1000), &[bytes]);
                prop_assert_eq!(read(BodyMeter::event_stream(1000), &chunks), whole);
            }
        }

        #[test]
        fn arbitrary_bytes_are_read(bytes in any::<Vec<u8>>()) {
            read(BodyMeter::json(64), &[&bytes]);
            prop_assert_eq!(read(BodyMeter::event_stream(64), &[&bytes]).0, Tally::default());
        }
    }
}
