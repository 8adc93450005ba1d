//! Server-sent events out of chunks, as the WHATWG's HTML standard (section 9.2, "Server-sent events") frames them, but
//! without a byte order mark before the first.

use crate::json::collected::Collected;

/// Reads a stream of events in whatever chunks it arrives. It works on bytes, so that a character cut in two is whole
/// again; it holds one event's data, never more than a bound.
#[derive(Debug)]
pub struct SseReader {
    line: Line,
    /// The last byte was a carriage return, so that a line feed would belong to it.
    after_cr: bool,
    data: Collected,
    /// There is at least one `data` line in this event.
    has_data: bool,
}

/// What a stream consists of.
#[derive(Debug, PartialEq, Eq)]
pub enum SseItem<'a> {
    /// The data of one event; several `data` lines are joined by line feeds. Of JSON over the bound, what is short.
    Data(&'a [u8]),
    /// The data of one event was over the bound even so; this is its beginning, up to 128 bytes.
    Oversized(&'a [u8]),
}

/// Where in a line the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// So many bytes of `data` have been read, and nothing else.
    Name(usize),
    /// After the name's colon, where one space is not data.
    Colon,
    Data,
    /// Another field, or a comment.
    Other,
}

const NAME: &[u8] = b"data";

impl SseReader {
    /// A reader of events whose data is at most `max_len` bytes.
    pub fn new(max_len: usize) -> Self {
        Self { line: Line::Name(0), after_cr: false, data: Collected::new(max_len), has_data: false }
    }

    /// Reads a chunk, and hands over every event that it completes.
    pub fn read(&mut self, chunk: &[u8], mut on_item: impl FnMut(SseItem<'_>)) {
        let mut rest = chunk;
        while let Some((&first, after)) = rest.split_first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = after;
                continue;
            }
            if matches!(first, b'\r' | b'\n') {
                self.after_cr = first == b'\r';
                self.end_line(&mut on_item);
                rest = after;
                continue;
            }
            rest = self.read_in_line(first, rest);
        }
    }

    /// Ends the stream. An event that lacks its last empty line counts: a server may end so, and what was used was used.
    pub fn finish(mut self, mut on_item: impl FnMut(SseItem<'_>)) {
        if self.line != Line::Name(0) {
            self.end_line(&mut on_item);
        }
        self.dispatch(&mut on_item);
    }

    /// Reads on within a line, at least one byte; returns what is left.
    fn read_in_line<'a>(&mut self, first: u8, rest: &'a [u8]) -> &'a [u8] {
        match self.line {
            Line::Name(matched) => {
                self.line = match NAME.get(matched) {
                    Some(&expected) if expected == first => Line::Name(matched + 1),
                    None if first == b':' => {
                        self.begin_data();
                        Line::Colon
                    }
                    _ => Line::Other,
                };
                rest.get(1..).unwrap_or_default()
            }
            Line::Colon => {
                self.line = Line::Data;
                rest.strip_prefix(b" ").unwrap_or(rest)
            }
            Line::Data | Line::Other => {
                let end = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
                let (line, rest) = rest.split_at(end);
                if self.line == Line::Data {
                    self.data.append(line);
                }
                rest
            }
        }
    }

    fn end_line(&mut self, on_item: &mut impl FnMut(SseItem<'_>)) {
        match std::mem::replace(&mut self.line, Line::Name(0)) {
            Line::Name(0) => self.dispatch(on_item),
            // The name alone is a field without a value.
            Line::Name(matched) if matched == NAME.len() => self.begin_data(),
            Line::Name(_) | Line::Colon | Line::Data | Line::Other => {}
        }
    }

    fn begin_data(&mut self) {
        if std::mem::replace(&mut self.has_data, true) {
            self.data.append(b"\n");
        }
    }

    fn dispatch(&mut self, on_item: &mut impl FnMut(SseItem<'_>)) {
        if std::mem::take(&mut self.has_data) {
            let data = self.data.bytes();
            on_item(if self.data.is_oversized() { SseItem::Oversized(data) } else { SseItem::Data(data) });
        }
        self.data.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Eq, Clone)]
    enum Owned {
        Data(String),
        Oversized(usize),
    }

    fn collect(max_len: usize, chunks: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<Owned> {
        let mut items = Vec::new();
        let mut keep = |item: SseItem<'_>| {
            items.push(match item {
                SseItem::Data(data) => Owned::Data(String::from_utf8_lossy(data).into_owned()),
                SseItem::Oversized(prefix) => Owned::Oversized(prefix.len()),
            });
        };
        let mut reader = SseReader::new(max_len);
        for chunk in chunks {
            reader.read(chunk.as_ref(), &mut keep);
            assert!(reader.data.bytes().len() <= max_len);
        }
        reader.finish(keep);
        items
    }

    fn data(items: &[&str]) -> Vec<Owned> {
        items.iter().map(|item| Owned::Data((*item).to_owned())).collect()
    }

    #[test]
    fn events_are_framed_as_the_standard_says() {
        for (stream, expected) in [
            ("data: a\n\ndata: b\n\n", vec!["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\rdata:c\n\r\n", vec!["a", "b", "c"]),
            ("data: a\r\ndata: b\r\n\r\ndata: c\rdata: d\r\r\n", vec!["a\nb", "c\nd"]),
            ("data: a\ndata:  b\ndata\ndata:\n\n", vec!["a\n b\n\n"]),
            (": comment\n\nevent: x\nid: 1\ndata: a\nretry: 5\n:\n\n", vec!["a"]),
            ("dat: a\ndatax: b\n data: c\nDATA: d\n\n", vec![]),
            ("data\n\n", vec![""]),
            ("\n\n\n", vec![]),
            ("data: [DONE]", vec!["[DONE]"]),
            ("data: a\n", vec!["a"]),
            ("data: a\r", vec!["a"]),
            ("data", vec![""]),
            ("dat", vec![]),
            ("data: é: \u{1f600}\n\n", vec!["é: \u{1f600}"]),
        ] {
            assert_eq!(collect(100, [stream]), data(&expected), "{stream:?}");
        }
    }

    #[test]
    fn an_event_over_the_bound_is_skipped_and_reported() {
        let stream = format!("data: {}\n\ndata: ok\n\ndata: {}\ndata: x\n\n", "a".repeat(200), "b".repeat(199));
        let expected = [Owned::Oversized(128), Owned::Data("ok".into()), Owned::Oversized(128)];
        assert_eq!(collect(199, [&stream]), expected);
        assert_eq!(collect(4, ["data: abcde\n\ndata: abcd\n\n"]), [Owned::Oversized(4), Owned::Data("abcd".into())]);
        let endless_comment = format!(":{}\n\ndata: a\n\n", "x".repeat(10_000));
        assert_eq!(collect(4, [endless_comment]), data(&["a"]));
    }

    fn stream() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just("data: ".to_owned()),
            Just("data".to_owned()),
            Just(":".to_owned()),
            Just("event: x".to_owned()),
            Just("\r\n".to_owned()),
            Just("\n".to_owned()),
            Just("\r".to_owned()),
            Just("{\"é\":\"\u{1f600}\"}".to_owned()),
            "[a-d :]{0,12}",
        ];
        prop::collection::vec(part, 0..40).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn chunks_change_nothing(stream in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let bytes = stream.as_bytes();
            let whole = collect(16, [bytes]);
            prop_assert_eq!(&collect(16, bytes.chunks(1)), &whole);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            prop_assert_eq!(&collect(16, cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]])), &whole);
        }

        #[test]
        fn arbitrary_bytes_are_read(bytes in any::<Vec<u8>>(), max_len in 0_usize..64) {
            prop_assert_eq!(collect(max_len, bytes.chunks(1)), collect(max_len, [bytes]));
        }
    }
}
