//! The matcher of JSON paths against serde_json, whole and cut.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use realtime_byok::json::matcher::{Bounds, Matcher, OtherCase, Unreadable, Value};
use realtime_byok::json::paths::Paths;

const PATHS: [&str; 10] = [
    "",
    "type",
    "model",
    "session.model",
    "session.tools[]",
    "session.audio.output.voice",
    "choices",
    "a",
    "a.a",
    "a[].a",
];

static COMPILED: LazyLock<Arc<Paths<usize>>> = LazyLock::new(|| {
    let paths: Vec<(&str, usize)> = PATHS.iter().enumerate().map(|(tag, path)| (*path, tag)).collect();
    Arc::new(Paths::new(&paths))
});

/// Bytes of a scalar that are kept.
const TEXT: usize = 64;

/// A path's place in the list, what stands there, and where it and its member do.
type Seen = (usize, String, [u64; 4]);

/// Whole, byte by byte, and cut once at every place (of what is long, at some), the same must come of it.
pub fn run(bytes: &[u8]) {
    let whole = read([bytes], OtherCase::Refused);
    compare(bytes, &whole);
    assert_eq!(read(bytes.chunks(1), OtherCase::Refused), whole);
    for cut in (0..=bytes.len()).step_by(1 + bytes.len() / 512) {
        let (head, tail) = bytes.split_at(cut);
        assert_eq!(read([head, tail], OtherCase::Refused), whole, "cut at {cut}");
    }
    let other_case = read([bytes], OtherCase::Ignored);
    assert!(whole.is_err() || other_case == whole);
    assert!(!matches!(other_case, Err(Unreadable::OtherCase(_))));
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, other_case: OtherCase) -> Result<Vec<Seen>, Unreadable> {
    let mut matcher = Matcher::new(COMPILED.clone(), Bounds { depth: 1000, text: TEXT, other_case });
    let mut all = Vec::new();
    for piece in pieces {
        let _ = matcher.feed(piece, &mut |found| {
            let places = [found.span.start, found.span.end, found.member.start, found.member.end];
            all.push((found.tag, format!("{:?}", found.value), places));
            if let Value::Text(text) | Value::Number(text) = found.value {
                assert!(text.len() <= TEXT);
            }
            ControlFlow::Continue(())
        })?;
        assert!(matcher.held() <= 4096, "{}", matcher.held());
    }
    matcher.finish().map(|()| all)
}

/// What was found, against what another parser says of the same bytes.
fn compare(bytes: &[u8], found: &Result<Vec<Seen>, Unreadable>) {
    let is_json =
        std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
    let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
    match found {
        Ok(_) => assert!(is_json && is_object),
        Err(Unreadable::NotAnObject) => assert!(!is_object),
        // A name that is no text is not JSON for us.
        Err(Unreadable::NotJson { .. }) => assert!(!is_json || has_half_pair(bytes)),
        Err(Unreadable::TooDeep) => assert!(bytes.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() > 1000),
        Err(Unreadable::Repeated(_) | Unreadable::OtherCase(_)) => {}
    }
    let Ok(found) = found else { return };
    // It refuses halves of surrogate pairs, numbers over the greatest double, and more than 128 levels.
    let Ok(tree) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    for (tag, path) in PATHS.iter().enumerate().filter(|(_, path)| !path.contains("[]")) {
        let pointer: String = path.split('.').filter(|name| !name.is_empty()).map(|name| format!("/{name}")).collect();
        let span = found.iter().find(|(seen, value, _)| *seen == tag && !value.starts_with("Blocked"));
        let written = span
            .and_then(|(_, _, [start, end, ..])| bytes.get(usize::try_from(*start).ok()?..usize::try_from(*end).ok()?));
        let read = written.and_then(|written| serde_json::from_slice::<serde_json::Value>(written).ok());
        assert_eq!(read.as_ref(), tree.pointer(&pointer), "{path}");
    }
}

/// Whether there may be an escape of half a surrogate pair.
fn has_half_pair(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|three| three.eq_ignore_ascii_case(b"\\ud"))
}
