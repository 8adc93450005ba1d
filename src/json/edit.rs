//! Changes to a JSON text that leave all other bytes as they are.

use std::borrow::Cow;
use std::ops::Range;

/// Changes at places that a [`Matcher`](super::matcher::Matcher) has found in one text. What stands in a part that is taken
/// out goes with that.
///
/// ```
/// use realtime_byok::json::edit::Edits;
///
/// let mut edits = Edits::default();
/// edits.remove(1..6);
/// edits.replace(12..13, "3");
/// edits.insert_first(0..14, r#""c":4"#);
/// assert_eq!(edits.apply(br#"{"a":1, "b":2}"#), br#"{"c":4, "b":3}"#);
/// ```
#[derive(Debug, Default)]
pub struct Edits<'t> {
    /// Few, in any order.
    all: Vec<(u64, Edit<'t>)>,
}

#[derive(Debug)]
enum Edit<'t> {
    Replace { end: u64, text: Cow<'t, str> },
    Remove { end: u64 },
    RemoveItem { end: u64 },
    Insert { member: Cow<'t, str> },
}

impl<'t> Edits<'t> {
    /// Puts `text` in the place of the value at `span`.
    pub fn replace(&mut self, span: Range<u64>, text: impl Into<Cow<'t, str>>) {
        self.all.push((span.start, Edit::Replace { end: span.end, text: text.into() }));
    }

    /// Takes out a member, and the comma that goes with it.
    pub fn remove(&mut self, member: Range<u64>) {
        self.all.push((member.start, Edit::Remove { end: member.end }));
    }

    /// Takes an item out of its array, and the comma that goes with it.
    pub fn remove_item(&mut self, item: Range<u64>) {
        self.all.push((item.start, Edit::RemoveItem { end: item.end }));
    }

    /// Puts a member, as it is to be written, before all others of the object at `span`.
    pub fn insert_first(&mut self, object: Range<u64>, member: impl Into<Cow<'t, str>>) {
        self.all.push((object.start.saturating_add(1), Edit::Insert { member: member.into() }));
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// `text` with all of them.
    pub fn apply(mut self, text: &[u8]) -> Vec<u8> {
        // What is inserted at the beginning of an object comes before its first member, whatever becomes of that.
        self.all.sort_by_key(|(start, edit)| (*start, !matches!(edit, Edit::Insert { .. })));
        let mut edited = Edited { from: text, kept: 0, to: Vec::with_capacity(text.len()), comma: None };
        for (start, edit) in &self.all {
            let start = place(*start, text);
            if edit.end().is_some_and(|end| place(end, text) <= edited.kept) {
                continue;
            }
            match edit {
                Edit::RemoveItem { .. } => edited.keep(comma_before(start, text)),
                Edit::Replace { .. } | Edit::Remove { .. } | Edit::Insert { .. } => edited.keep(start),
            }
            match edit {
                Edit::Replace { end, text: new } => {
                    edited.to.extend_from_slice(new.as_bytes());
                    edited.kept = place(*end, text).max(edited.kept);
                }
                Edit::Remove { end } | Edit::RemoveItem { end } => edited.remove(place(*end, text)),
                Edit::Insert { member } => {
                    edited.to.extend_from_slice(member.as_bytes());
                    edited.comma = Some(edited.to.len());
                }
            }
        }
        edited.keep(text.len());
        edited.to
    }
}

impl Edit<'_> {
    /// Where what it takes out ends, if it takes something out.
    fn end(&self) -> Option<u64> {
        match self {
            Self::Replace { end, .. } | Self::Remove { end } | Self::RemoveItem { end } => Some(*end),
            Self::Insert { .. } => None,
        }
    }
}

/// Where the comma stands before the item at `start`; without one, where the item begins.
fn comma_before(start: usize, text: &[u8]) -> usize {
    let before = text.get(..start).unwrap_or_default();
    match before.iter().rposition(|byte| !is_blank(*byte)) {
        Some(last) if before.get(last) == Some(&b',') => last,
        _ => start,
    }
}

/// A text as far as it is written anew.
struct Edited<'t> {
    from: &'t [u8],
    /// So much of it is done.
    kept: usize,
    to: Vec<u8>,
    /// Where a comma stands if a member follows.
    comma: Option<usize>,
}

impl Edited<'_> {
    /// Keeps what stands up to `end`.
    fn keep(&mut self, end: usize) {
        let kept = self.from.get(self.kept..end).unwrap_or_default();
        let first = kept.iter().find(|byte| !is_blank(**byte));
        if let (Some(first), Some(at)) = (first, self.comma) {
            if *first == b'"' {
                self.to.insert(at.min(self.to.len()), b',');
            }
            self.comma = None;
        }
        self.to.extend_from_slice(kept);
        self.kept = end.max(self.kept);
    }

    /// Drops the member that stands from here to `end`: with the comma before it, or behind it if it is the first left.
    fn remove(&mut self, end: usize) {
        let is_first = self.from.get(self.kept) != Some(&b',');
        self.kept = end.max(self.kept);
        if is_first {
            let rest = self.from.get(self.kept..).unwrap_or_default();
            let blank = rest.iter().take_while(|byte| is_blank(**byte)).count();
            let comma = usize::from(rest.get(blank) == Some(&b','));
            self.kept = self.kept.saturating_add(blank).saturating_add(comma);
        }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// An offset, within the text.
fn place(offset: u64, text: &[u8]) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX).min(text.len())
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;
    use std::sync::Arc;

    use super::super::matcher::{Bounds, Matcher};
    use super::super::paths::Paths;
    use super::*;

    /// The edits that `choose` makes of what stands at these paths, the object itself among them as "".
    fn edited(text: &str, paths: &[&'static str], choose: fn(&mut Edits<'_>, &str, Range<u64>, Range<u64>)) -> String {
        let paths: Vec<_> = paths.iter().map(|path| (*path, *path)).collect();
        let mut matcher = Matcher::new(Arc::new(Paths::new(&paths)), Bounds::default());
        let mut edits = Edits::default();
        let read = matcher.feed(text.as_bytes(), &mut |found| {
            choose(&mut edits, found.tag, found.span, found.member);
            ControlFlow::Continue(())
        });
        assert!(read.is_ok() && matcher.finish().is_ok(), "{text}");
        String::from_utf8(edits.apply(text.as_bytes())).unwrap()
    }

    #[test]
    fn a_member_goes_with_its_comma() {
        for (object, want) in [
            (r#"{"g":1}"#, r#"{}"#),
            (r#"{ "g" : 1 }"#, r#"{ }"#),
            (r#"{"g":{"a":[]},"b":2}"#, r#"{"b":2}"#),
            (r#"{"g":1 , "b":2}"#, r#"{ "b":2}"#),
            (r#"{"a":"}","g":1}"#, r#"{"a":"}"}"#),
            (r#"{"a":"}","g":-1.5e3}"#, r#"{"a":"}"}"#),
            (r#"{"g":1,"h":2}"#, r#"{}"#),
            (r#"{"g":1, "h":2, "i":3}"#, r#"{ "i":3}"#),
            (r#"{"a":1,"g":1, "h":2, "i":3}"#, r#"{"a":1, "i":3}"#),
            ("{\"a\":1\n,\t\"\\u0067\" :\n\"\\\"\", \"b\":2}", "{\"a\":1\n, \"b\":2}"),
        ] {
            assert_eq!(edited(object, &["g", "h"], |edits, _, _, member| edits.remove(member)), want, "{object}");
        }
    }

    #[test]
    fn a_value_is_replaced_where_it_stands() {
        for (object, want) in [
            (r#"{"a":1}"#, r#"{"a":X}"#),
            (r#" { "b" : [1, {"a":0}] , "\u0061" : "\"\u00e9" } "#, r#" { "b" : X , "\u0061" : X } "#),
            (r#"{"c":[{"d": true },{"d":"x"},{}],"a":{ }}"#, r#"{"c":[{"d": X },{"d":X},{}],"a":X}"#),
        ] {
            let replace = |edits: &mut Edits<'_>, _: &str, span, _| edits.replace(span, "X");
            assert_eq!(edited(object, &["a", "b", "c[].d"], replace), want, "{object}");
        }
    }

    #[test]
    fn a_member_is_put_first_with_a_comma_if_another_follows() {
        for (object, want) in [
            (r#"{}"#, r#"{"x":0}"#),
            (" { } ", r#" {"x":0 } "#),
            (r#"{ "a":1}"#, r#"{"x":0, "a":1}"#),
            (r#"{"g":1}"#, r#"{"x":0}"#),
            (r#"{"g":1 , "a":2}"#, r#"{"x":0, "a":2}"#),
            (r#"{"a":2, "g":1}"#, r#"{"x":0,"a":2}"#),
        ] {
            let change = |edits: &mut Edits<'_>, path: &str, span, member| match path {
                "" => edits.insert_first(span, "\"x\":0"),
                _ => edits.remove(member),
            };
            assert_eq!(edited(object, &["", "g"], change), want, "{object}");
        }
    }

    #[test]
    fn places_beyond_the_text_change_nothing_else() {
        let mut edits = Edits::default();
        edits.replace(7..u64::MAX, "!");
        edits.remove(100..200);
        edits.insert_first(u64::MAX..u64::MAX, "?");
        assert_eq!(edits.apply(b"abc"), b"abc!?");
        assert_eq!(Edits::default().apply(b"abc"), b"abc");
    }
}
