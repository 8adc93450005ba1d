//! Server-sent events out of chunks, as the WHATWG's HTML standard (section 9.2, "Server-sent events") frames them, but
//! without a byte order mark before the first.

/// Reads a stream of events in whatever chunks it arrives, and holds nothing of it. It works on bytes, so that a character
/// cut in two is whole again for who puts the pieces together.
#[derive(Debug)]
pub struct SseReader {
    line: Line,
    /// The last byte was a carriage return, so that a line feed would belong to it.
    after_cr: bool,
    /// There is at least one `data` line in this event.
    has_data: bool,
}

/// What a stream consists of.
#[derive(Debug, PartialEq, Eq)]
pub enum SseItem<'a> {
    /// More of the data of one event; several `data` lines are joined by line feeds.
    Data(&'a [u8]),
    /// That was all of it. Comes only after data, be it empty.
    End,
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
    /// At the beginning of a stream.
    pub fn new() -> Self {
        Self { line: Line::Name(0), after_cr: false, has_data: false }
    }

    /// Reads a chunk, and hands over the data of events as it comes.
    pub fn read(&mut self, chunk: &[u8], on_item: &mut dyn FnMut(SseItem<'_>)) {
        let mut rest = chunk;
        while let Some((&first, after)) = rest.split_first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                rest = after;
                continue;
            }
            if matches!(first, b'\r' | b'\n') {
                self.after_cr = first == b'\r';
                self.end_line(on_item);
                rest = after;
                continue;
            }
            rest = self.read_in_line(first, rest, on_item);
        }
    }

    /// Ends the stream. An event that lacks its last empty line counts: a server may end so, and what was used was used.
    pub fn finish(mut self, on_item: &mut dyn FnMut(SseItem<'_>)) {
        if self.line != Line::Name(0) {
            self.end_line(on_item);
        }
        self.end_event(on_item);
    }

    /// Reads on within a line, at least one byte; returns what is left.
    fn read_in_line<'a>(&mut self, first: u8, rest: &'a [u8], on_item: &mut dyn FnMut(SseItem<'_>)) -> &'a [u8] {
        match self.line {
            Line::Name(matched) => {
                self.line = match NAME.get(matched) {
                    Some(&expected) if expected == first => Line::Name(matched + 1),
                    None if first == b':' => {
                        self.begin_data(on_item);
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
                    on_item(SseItem::Data(line));
                }
                rest
            }
        }
    }

    fn end_line(&mut self, on_item: &mut dyn FnMut(SseItem<'_>)) {
        match std::mem::replace(&mut self.line, Line::Name(0)) {
            Line::Name(0) => self.end_event(on_item),
            // The name alone is a field without a value.
            Line::Name(matched) if matched == NAME.len() => self.begin_data(on_item),
            Line::Name(_) | Line::Colon | Line::Data | Line::Other => {}
        }
    }

    fn begin_data(&mut self, on_item: &mut dyn FnMut(SseItem<'_>)) {
        if std::mem::replace(&mut self.has_data, true) {
            on_item(SseItem::Data(b"\n"));
        }
    }

    fn end_event(&mut self, on_item: &mut dyn FnMut(SseItem<'_>)) {
        if std::mem::take(&mut self.has_data) {
            on_item(SseItem::End);
        }
    }
}

impl Default for SseReader {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn collect(chunks: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<String> {
        let (mut events, mut data) = (Vec::new(), Vec::new());
        let mut keep = |item: SseItem<'_>| match item {
            SseItem::Data(piece) => data.extend_from_slice(piece),
            SseItem::End => events.push(String::from_utf8_lossy(&std::mem::take(&mut data)).into_owned()),
        };
        let mut reader = SseReader::new();
        for chunk in chunks {
            reader.read(chunk.as_ref(), &mut keep);
        }
        reader.finish(&mut keep);
        assert!(data.is_empty());
        events
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
            assert_eq!(collect([stream]), expected, "{stream:?}");
        }
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
            let whole = collect([bytes]);
            prop_assert_eq!(&collect(bytes.chunks(1)), &whole);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            prop_assert_eq!(&collect(cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]])), &whole);
        }

        #[test]
        fn arbitrary_bytes_are_read(bytes in any::<Vec<u8>>()) {
            prop_assert_eq!(collect(bytes.chunks(1)), collect([bytes]));
        }
    }
}
