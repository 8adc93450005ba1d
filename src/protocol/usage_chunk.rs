//! The usage chunk of a streamed chat completion: asked for in a client's place, and taken out of what that client gets.
//!
//! Without `stream_options.include_usage` a stream tells no usage. With it, one more chunk comes before `[DONE]`, with
//! usage and no choices; clients that did not ask might not expect that.

use super::request_body::{Found, Options, RequestBody};
use super::upstream_event::{Data, UpstreamMessage};
use crate::http::{SseItem, SseReader};

impl RequestBody<'_> {
    /// Asks for the usage of a stream of chat completions. False if that need not be: it asks itself, or does not stream.
    pub fn include_usage(&mut self) -> bool {
        const OPTIONS: &str = r#"{"include_usage":true}"#;
        let Found { span, is_stream, options, include_usage, .. } = &self.found;
        match (options, include_usage) {
            _ if !is_stream => return false,
            (None, _) => self.edits.insert_first(span.clone(), format!("\"stream_options\":{OPTIONS}")),
            (Some((Options::Null | Options::Empty, span)), _) => self.edits.replace(span.clone(), OPTIONS),
            (Some((Options::Other, _)), _) | (_, Some((true, _))) => return false,
            (_, Some((false, span))) => self.edits.replace(span.clone(), "true"),
            (Some((Options::Object, span)), None) => {
                self.edits.insert_first(span.clone(), r#""include_usage":true"#);
            }
        }
        true
    }
}

/// Longer events are no usage chunk.
const MAX_WITHHELD: usize = 16 << 10;

/// Room for this much is kept from one event to the next.
const MAX_KEPT: usize = 2 << 10;

/// Takes the usage chunk out of a stream of server-sent events, in whatever pieces it passes. An event that is not
/// complete is withheld, up to a bound: its client could do nothing with it yet.
#[derive(Debug)]
pub struct UsageChunkFilter {
    withheld: Vec<u8>,
    /// The event that passes is too long to be withheld.
    is_too_long: bool,
    /// Nothing stands in this line yet.
    is_blank: bool,
    /// The last byte was a carriage return, so that a line feed would belong to it.
    after_cr: bool,
    /// The last event was taken out.
    is_removed: bool,
}

impl UsageChunkFilter {
    /// For a stream of which nothing has passed yet.
    pub fn new() -> Self {
        Self { withheld: Vec::new(), is_too_long: false, is_blank: true, after_cr: false, is_removed: false }
    }

    /// Bytes that are held beside the filter itself.
    pub fn held(&self) -> usize {
        self.withheld.capacity()
    }

    /// Withholds nothing more of the event that passes, whatever it turns out to be, and gives what it has of that.
    pub fn release(&mut self) -> Vec<u8> {
        self.is_too_long |= !self.withheld.is_empty();
        std::mem::take(&mut self.withheld)
    }

    /// What of a chunk, and of what was withheld, goes on now. `ends` says that nothing follows.
    pub fn pass(&mut self, chunk: &[u8], ends: bool) -> Vec<u8> {
        let mut passed = Vec::with_capacity(chunk.len());
        let mut rest = self.pass_line_feed(chunk, &mut passed);
        while let Some((event, after)) = self.event_end(rest).and_then(|end| rest.split_at_checked(end)) {
            self.withhold(event, &mut passed);
            self.settle(&mut passed);
            rest = after;
        }
        self.withhold(rest, &mut passed);
        if ends {
            self.settle(&mut passed);
        }
        if self.withheld.is_empty() {
            self.withheld.shrink_to(MAX_KEPT);
        }
        passed
    }

    /// A line feed that belongs to the carriage return of an event that is over.
    fn pass_line_feed<'a>(&mut self, chunk: &'a [u8], passed: &mut Vec<u8>) -> &'a [u8] {
        let is_between = self.is_blank && self.withheld.is_empty() && !self.is_too_long;
        let Some(rest) = chunk.strip_prefix(b"\n").filter(|_| is_between && self.after_cr) else { return chunk };
        self.after_cr = false;
        if !self.is_removed {
            passed.push(b'\n');
        }
        rest
    }

    /// How far the event reaches that ends in these bytes.
    fn event_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            let follows_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if follows_cr => {}
                b'\r' | b'\n' if self.is_blank => {
                    let has_line_feed = byte == b'\r' && bytes.get(at + 1) == Some(&b'\n');
                    self.after_cr &= !has_line_feed;
                    return Some(at + 1 + usize::from(has_line_feed));
                }
                _ => self.is_blank = matches!(byte, b'\r' | b'\n'),
            }
        }
        None
    }

    fn withhold(&mut self, bytes: &[u8], passed: &mut Vec<u8>) {
        self.is_too_long |= self.withheld.len().saturating_add(bytes.len()) > MAX_WITHHELD;
        if self.is_too_long {
            passed.append(&mut self.withheld);
            passed.extend_from_slice(bytes);
        } else {
            self.withheld.extend_from_slice(bytes);
        }
    }

    /// An event is over: it goes on, or is taken out.
    fn settle(&mut self, passed: &mut Vec<u8>) {
        self.is_too_long = false;
        self.is_removed = is_usage_chunk(&self.withheld);
        if self.is_removed {
            self.withheld.clear();
        }
        passed.append(&mut self.withheld);
    }
}

impl Default for UsageChunkFilter {
    fn default() -> Self {
        Self::new()
    }
}

fn is_usage_chunk(event: &[u8]) -> bool {
    let (mut message, mut is_one) = (UpstreamMessage::of_rest(), false);
    let mut judge = |item: SseItem<'_>| match item {
        SseItem::Data(data) => message.feed(data),
        SseItem::End => {
            is_one |= matches!(message.end_data(), Data::Usage { is_alone: true, .. });
        }
    };
    let mut reader = SseReader::new();
    reader.read(event, &mut judge);
    reader.finish(&mut judge);
    is_one
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CHOICE: &str = r#"data: {"id":"1","choices":[{"delta":{"content":"é"}}],"usage":null}"#;
    const FILTER: &str = r#"data: {"id":"1","choices":[],"prompt_filter_results":[],"usage":null}"#;
    const USAGE: &str = r#"data: {"id":"1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}"#;
    const BOTH: &str = r#"data: {"id":"1","choices":[{}],"usage":{"prompt_tokens":9,"completion_tokens":4}}"#;
    const DONE: &str = "data: [DONE]";

    fn stream(events: &[&str], line_end: &str) -> String {
        events.iter().map(|event| format!("{}{line_end}{line_end}", event.replace('\n', line_end))).collect()
    }

    fn passed<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> String {
        let mut remover = UsageChunkFilter::new();
        let mut all = Vec::new();
        for chunk in chunks {
            all.extend(remover.pass(chunk, false));
            assert!(remover.withheld.len() <= MAX_WITHHELD);
        }
        all.extend(remover.pass(b"", true));
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn the_usage_chunk_alone_is_taken_out_wherever_the_stream_is_cut() {
        let comment = ": ping";
        let named = format!("event: chunk\nid: 1\n{USAGE}");
        for line_end in ["\n", "\r\n", "\r"] {
            for usage in [USAGE, &named] {
                let whole = stream(&[FILTER, CHOICE, comment, BOTH, usage, DONE], line_end);
                let want = stream(&[FILTER, CHOICE, comment, BOTH, DONE], line_end);
                let bytes = whole.as_bytes();
                assert_eq!(passed(bytes.chunks(1)), want);
                for cut in 0..=bytes.len() {
                    assert_eq!(passed([&bytes[..cut], &bytes[cut..]]), want, "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn events_pass_as_soon_as_they_are_complete_and_what_is_left_at_the_end_does_too() {
        let mut remover = UsageChunkFilter::new();
        let (first, second) = (stream(&[CHOICE], "\n"), stream(&[DONE], "\n"));
        assert_eq!(remover.pass(first.as_bytes(), false), first.as_bytes());
        assert_eq!(remover.pass(USAGE.as_bytes(), false), b"");
        assert_eq!(remover.pass(b"\n\n", false), b"");
        assert_eq!(remover.pass(second.trim_end().as_bytes(), false), b"");
        assert_eq!(remover.pass(b"", true), second.trim_end().as_bytes());
        let unfinished = [CHOICE, "\n\n", USAGE].concat();
        assert_eq!(UsageChunkFilter::new().pass(unfinished.as_bytes(), true), first.as_bytes());
    }

    #[test]
    fn a_long_event_is_not_withheld() {
        let mut remover = UsageChunkFilter::new();
        let audio = format!("data: {{\"choices\":[{{\"delta\":\"{}", "A".repeat(MAX_WITHHELD));
        assert_eq!(remover.pass(audio.as_bytes(), false), audio.as_bytes());
        assert_eq!(remover.pass(b"AAA", false), b"AAA");
        assert_eq!(remover.pass(b"\"}]}\n\n", false), b"\"}]}\n\n");
        assert_eq!(remover.pass(stream(&[USAGE, DONE], "\n").as_bytes(), false), stream(&[DONE], "\n").as_bytes());
    }

    proptest! {
        #[test]
        fn what_holds_no_usage_chunk_passes_as_it_is(bytes in "[a\r\n: {}]{0,60}", cut in any::<prop::sample::Index>()) {
            let (head, tail) = bytes.as_bytes().split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(&passed([head, tail]), &bytes);
        }
    }
}
