//! JSON as it comes in pieces, in bounded memory: whole if it is short, else without what cannot tell usage.

/// Collects one JSON value. One that is over the bound is condensed: long strings become empty, as do arrays and what is
/// nested deep. So nothing that an upstream repeats to its client, or makes for it, hides what that has used.
#[derive(Debug)]
pub(crate) struct Collected {
    max_len: usize,
    kept: Vec<u8>,
    condensing: Option<Condensing>,
    is_oversized: bool,
}

/// Where in the value the condensing is.
#[derive(Debug, Default)]
struct Condensing {
    string: Option<InString>,
    /// Objects and arrays that are open.
    depth: usize,
    /// The depth of the open one that becomes empty.
    emptied: Option<usize>,
}

#[derive(Debug)]
struct InString {
    /// Where what is kept of it begins.
    start: usize,
    is_escaped: bool,
    is_long: bool,
}

/// An event, its response, the usage of that, the details of that, and the cached tokens among those.
const MAX_DEPTH: usize = 5;

/// Longer than any id or name that is kept, however it is escaped.
const MAX_STRING: usize = 2048;

/// What is left of a value that is over the bound even so.
const BEGINNING: usize = 128;

impl Collected {
    /// Nothing yet; at most `max_len` bytes.
    pub(crate) fn new(max_len: usize) -> Self {
        Self { max_len, kept: Vec::new(), condensing: None, is_oversized: false }
    }

    /// More of the value comes.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if self.condensing.is_none() {
            if bytes.len() <= self.max_len.saturating_sub(self.kept.len()) {
                return self.kept.extend_from_slice(bytes);
            }
            self.condensing = Some(Condensing::default());
            let whole = std::mem::take(&mut self.kept);
            self.condense(&whole);
        }
        self.condense(bytes);
    }

    /// What was kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.kept
    }

    /// Whether the value is over the bound even condensed, so that only its beginning was kept, up to 128 bytes.
    pub(crate) fn is_oversized(&self) -> bool {
        self.is_oversized
    }

    /// Begins another value.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
        (self.condensing, self.is_oversized) = (None, false);
    }

    fn condense(&mut self, bytes: &[u8]) {
        let Some(condensing) = self.condensing.as_mut().filter(|_| !self.is_oversized) else { return };
        for &byte in bytes {
            if !condensing.keeps(byte, &mut self.kept) {
                continue;
            }
            if self.kept.len() >= self.max_len {
                self.is_oversized = true;
                return self.kept.truncate(BEGINNING);
            }
            self.kept.push(byte);
        }
    }
}

impl Condensing {
    /// Whether the next byte is kept; what was, of a string that turns out to be long, is not any more.
    fn keeps(&mut self, byte: u8, kept: &mut Vec<u8>) -> bool {
        let is_emptied = self.emptied.is_some();
        if let Some(string) = &mut self.string {
            if byte == b'"' && !string.is_escaped {
                self.string = None;
                return !is_emptied;
            }
            string.is_escaped = byte == b'\\' && !string.is_escaped;
            if kept.len().saturating_sub(string.start) >= MAX_STRING {
                kept.truncate(string.start);
                string.is_long = true;
            }
            return !is_emptied && !string.is_long;
        }
        match byte {
            b'"' => self.string = Some(InString { start: kept.len() + 1, is_escaped: false, is_long: false }),
            b'{' | b'[' => {
                self.depth += 1;
                if !is_emptied && (byte == b'[' || self.depth > MAX_DEPTH) {
                    self.emptied = Some(self.depth);
                }
            }
            b'}' | b']' => {
                self.emptied = self.emptied.filter(|depth| *depth != self.depth);
                self.depth = self.depth.saturating_sub(1);
                return self.emptied.is_none();
            }
            _ => {}
        }
        !is_emptied
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Tree;

    use super::*;

    fn collected(max_len: usize, chunks: &[&[u8]]) -> (String, bool) {
        let mut collected = Collected::new(max_len);
        for chunk in chunks {
            collected.append(chunk);
            assert!(collected.bytes().len() <= max_len.max(BEGINNING));
        }
        (String::from_utf8(collected.bytes().to_vec()).unwrap(), collected.is_oversized())
    }

    #[test]
    fn what_is_over_the_bound_keeps_its_short_members() {
        let long = "x\\\"]}é".repeat(1000);
        for (value, want) in [
            (format!(r#"{{"a":"{long}","b":1}}"#), r#"{"a":"","b":1}"#),
            (format!(r#"{{"a":["{long}",[{{"b":1}}],"]"],"b":{{"c":-1.5}}}}"#), r#"{"a":[],"b":{"c":-1.5}}"#),
            (format!(r#"[{{"a":"{long}"}}]"#), "[]"),
            (
                format!(r#"{{"1":{{"2":{{"3":{{"4":{{"5":{{"6":"{long}"}},"b":5}}}}}}}},"b":"\\"}}"#),
                r#"{"1":{"2":{"3":{"4":{"5":{},"b":5}}}},"b":"\\"}"#,
            ),
            (format!(r#"{{"{long}":1,"b":[]}}"#), r#"{"":1,"b":[]}"#),
            (format!(r#"{{"a":["{long}"#), r#"{"a":["#),
            (format!(r#"{{"a":[]}}]}}"{long}"#), r#"{"a":[]}]}""#),
        ] {
            let bytes = value.as_bytes();
            assert_eq!(collected(bytes.len() - 1, &[bytes]), (want.into(), false), "{value:.40}");
            assert_eq!(collected(bytes.len(), &[bytes]), (value.clone(), false), "{value:.40}");
            let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(collected(2500, &bytewise), (want.into(), false), "{value:.40}");
        }
    }

    #[test]
    fn what_cannot_be_condensed_is_oversized() {
        let value = format!("{{{}}}", r#""a":1,"#.repeat(100));
        let want = (value[..BEGINNING].to_owned(), true);
        assert_eq!(collected(200, &[value.as_bytes(), b"more"]), want);
        let mut collected = Collected::new(200);
        collected.append(value.as_bytes());
        collected.clear();
        collected.append(b"{}");
        assert_eq!((collected.bytes(), collected.is_oversized()), (&b"{}"[..], false));
    }

    fn value() -> impl Strategy<Value = Tree> {
        let length = prop_oneof![0..9_usize, MAX_STRING - 3..MAX_STRING + 3];
        let text = (length, prop::sample::select(vec!["x", "\"", "\\", "é"]))
            .prop_map(|(length, part)| Tree::from(part.repeat(length)));
        let leaf = prop_oneof![text, any::<i32>().prop_map(Tree::from), Just(Tree::Null)];
        leaf.prop_recursive(8, 24, 3, |inner| {
            prop_oneof![
                1 => prop::collection::vec(inner.clone(), 0..3).prop_map(Tree::from),
                3 => prop::collection::btree_map("[a-c]", inner, 1..3).prop_map(|members| members.into_iter().collect()),
            ]
        })
    }

    /// The same of a parsed value, inside so many others.
    fn condensed(value: Tree, depth: usize) -> Tree {
        match value {
            Tree::String(text) if Tree::from(text.as_str()).to_string().len() - 2 > MAX_STRING => "".into(),
            Tree::Array(_) => Tree::Array(Vec::new()),
            Tree::Object(_) if depth == MAX_DEPTH => Tree::Object(Default::default()),
            Tree::Object(members) => {
                members.into_iter().map(|(name, member)| (name, condensed(member, depth + 1))).collect()
            }
            other => other,
        }
    }

    proptest! {
        #[test]
        fn what_is_condensed_is_what_a_parser_would_have_left(value in value(), is_pretty in any::<bool>()) {
            let value = Tree::from_iter([("a", value), ("padding", "x".repeat(2 * MAX_STRING).into())]);
            let json = if is_pretty { format!("{value:#}") } else { value.to_string() };
            let (kept, is_oversized) = collected(json.len() - 1, &[json.as_bytes()]);
            prop_assert!(!is_oversized);
            prop_assert_eq!(serde_json::from_str::<Tree>(&kept).unwrap(), condensed(value, 0));
        }

        #[test]
        fn any_bytes_are_collected_within_the_bound(
            bytes in prop::collection::vec(prop::sample::select(&b"\"\\[]{},:a"[..]), 0..400),
            max_len in 0_usize..300,
        ) {
            let whole = collected(max_len, &[&bytes]);
            let bytewise: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(collected(max_len, &bytewise), whole);
        }
    }
}
