//! JSON objects, read member by member and edited without touching another byte.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::{self, NotJson, for_each_member};

/// Text that is not one JSON object, or has a member twice that must be known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NotReadable;

/// The values of the named members, as they are written. A name that stands twice is refused, since readers differ on
/// which one counts.
pub(super) fn members<'a, const N: usize>(
    object: &'a str,
    names: [&str; N],
) -> Result<[Option<&'a str>; N], NotReadable> {
    let mut values = [None; N];
    let mut repeated = false;
    for_each_member(object, &mut |key, value| {
        if let Some(found) = names.iter().position(|name| *name == key).and_then(|index| values.get_mut(index)) {
            repeated |= found.replace(value).is_some();
        }
    })?;
    if repeated { Err(NotReadable) } else { Ok(values) }
}

/// A value, unless it is `null`.
pub(super) fn not_null(value: Option<&str>) -> Option<&str> {
    value.filter(|&value| value != "null")
}

/// A JSON string's content.
pub(super) fn string(value: &str) -> Result<String, NotReadable> {
    Ok(json::string(value)?)
}

/// Where `part`, a slice of `text`, is in it.
pub(super) fn span(text: &str, part: &str) -> Result<Range<usize>, NotReadable> {
    let start = part.as_ptr().addr().checked_sub(text.as_ptr().addr()).ok_or(NotReadable)?;
    Ok(start..start + part.len())
}

/// Where the member of this value is in `text`, with the comma that goes when it goes. Its name must hold no quote.
pub(super) fn member_span(text: &str, value: &str) -> Result<Range<usize>, NotReadable> {
    let Range { start, end } = span(text, value)?;
    let (before, after) = (text.get(..start).ok_or(NotReadable)?, text.get(end..).ok_or(NotReadable)?);
    let name =
        trim_end(before).strip_suffix(':').and_then(|name| trim_end(name).strip_suffix('"')).ok_or(NotReadable)?;
    let (before, _) = name.rsplit_once('"').ok_or(NotReadable)?;
    if let Some(before) = trim_end(before).strip_suffix(',') {
        return Ok(before.len()..end);
    }
    let rest = after.trim_start_matches(WHITE_SPACE);
    Ok(before.len()..text.len() - rest.strip_prefix(',').unwrap_or(rest).len())
}

/// `text` with some parts replaced, none of which overlap. They are few.
pub(super) fn edited(text: &str, mut edits: Vec<(Range<usize>, Cow<'_, str>)>) -> String {
    let mut out = String::with_capacity(text.len() + edits.iter().map(|(_, new)| new.len()).sum::<usize>());
    let mut kept = 0;
    while let Some((first, _)) = edits.iter().enumerate().min_by_key(|(_, (span, _))| span.start) {
        let (span, new) = edits.swap_remove(first);
        out.push_str(text.get(kept..span.start).unwrap_or_default());
        out.push_str(&new);
        kept = span.end;
    }
    out.push_str(text.get(kept..).unwrap_or_default());
    out
}

impl From<NotJson> for NotReadable {
    fn from(_: NotJson) -> Self {
        Self
    }
}

const WHITE_SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

fn trim_end(text: &str) -> &str {
    text.trim_end_matches(WHITE_SPACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_as_they_are_written() {
        for (object, want) in [
            (r#"{}"#, [None, None]),
            (r#" { "a" : [1, {"b":2}] , "c":{} } "#, [Some(r#"[1, {"b":2}]"#), None]),
            (r#"{"\u0061":"x\u0041","b":null}"#, [Some(r#""x\u0041""#), Some("null")]),
            (r#"{"c":1,"c":2,"b":1e400}"#, [None, Some("1e400")]),
        ] {
            assert_eq!(members(object, ["a", "b"]), Ok(want), "{object}");
        }
    }

    #[test]
    fn what_is_no_object_or_repeats_a_name_is_refused() {
        let deep = format!("{{\"a\":{}}}", "[".repeat(1_000_000));
        for text in [
            "",
            "null",
            r#"["a"]"#,
            r#""a""#,
            r#"{"a":1"#,
            r#"{"a":1}x"#,
            r#"{"a":1}{}"#,
            r#"{a:1}"#,
            r#"{"a":1,}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            "\u{feff}{}",
            &deep,
        ] {
            assert_eq!(members(text, ["a"]), Err(NotReadable), "{:.40}", text);
        }
    }

    #[test]
    fn a_member_goes_with_its_comma() {
        for (object, want) in [
            (r#"{"g":1}"#, r#"{}"#),
            (r#"{ "g" : 1 }"#, r#"{ }"#),
            (r#"{"g":{"a":[]},"b":2}"#, r#"{"b":2}"#),
            (r#"{"g":1 , "b":2}"#, r#"{ "b":2}"#),
            (r#"{"a":"}","g":1}"#, r#"{"a":"}"}"#),
            ("{\"a\":1\n,\t\"\\u0067\" :\n\"\\\"\", \"b\":2}", "{\"a\":1\n, \"b\":2}"),
        ] {
            let [value] = members(object, ["g"]).unwrap();
            let span = member_span(object, value.unwrap()).unwrap();
            assert_eq!(edited(object, vec![(span, "".into())]), want, "{object}");
        }
    }

    #[test]
    fn edits_apply_in_the_order_of_the_text() {
        assert_eq!(edited("abcdef", vec![(4..5, "E!".into()), (0..0, ">".into()), (1..3, "".into())]), ">adE!f");
        assert_eq!(edited("", vec![]), "");
    }
}
