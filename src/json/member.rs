//! The members of a short JSON object, and the text of a string, as they are written in a text that is held whole.

use super::scanner::{Part, ScanError, Scanner, Token};
use super::text::{Text, Whole};

/// Calls `each` with every member of the object that `json` is: its name, and its value as it is written. Strings among the
/// values may hold halves of surrogate pairs; names may not.
///
/// # Errors
/// If it is no object, or a name is no text.
pub fn for_each_member<'a>(json: &'a str, each: &mut dyn FnMut(&str, &'a str)) -> Result<(), ScanError> {
    let (mut scanner, mut rest) = (Scanner::new(u16::MAX), json.as_bytes());
    let (mut depth, mut text, mut start) = (0_u32, Text::new(usize::MAX), 0);
    let mut name = String::new();
    while let Some(token) = scanner.next(&mut rest)? {
        let is_value = match token {
            Token::Open(_) => {
                depth += 1;
                start = if depth == 2 { scanner.start() } else { start };
                false
            }
            Token::Close { .. } => {
                depth -= 1;
                depth == 1
            }
            _ if depth > 1 => false,
            Token::Piece { of: Part::Name, bytes, ends: true } => {
                let Whole::Text(whole) = text.end(bytes) else { return Err(not_json(scanner.start())) };
                name = whole.to_owned();
                text.clear();
                false
            }
            Token::Piece { of: Part::Name, bytes, ends: false } => {
                text.push(bytes);
                false
            }
            Token::Unit { of: Part::Name, unit } => {
                text.push_unit(unit);
                false
            }
            Token::Piece { ends, .. } => {
                start = scanner.start();
                ends
            }
            Token::Unit { .. } => false,
            Token::Literal(_) => {
                start = scanner.start();
                true
            }
        };
        if is_value && depth == 0 {
            return Err(not_json(0));
        }
        if is_value {
            each(&name, part(json, start, scanner.position()));
        }
    }
    scanner.finish()?;
    if json.trim_start_matches(BLANK).starts_with('{') { Ok(()) } else { Err(not_json(0)) }
}

/// The text of the string that `json` is.
///
/// # Errors
/// If it is something else, or holds half a surrogate pair.
pub fn string(json: &str) -> Result<String, ScanError> {
    let (mut scanner, mut rest, mut text) = (Scanner::new(0), json.as_bytes(), Text::new(usize::MAX));
    let mut read = None;
    while let Some(token) = scanner.next(&mut rest)? {
        match token {
            Token::Piece { of: Part::String, bytes, ends: true } => {
                let Whole::Text(whole) = text.end(bytes) else { return Err(not_json(0)) };
                read = Some(whole.to_owned());
            }
            Token::Piece { of: Part::String, bytes, ends: false } => text.push(bytes),
            Token::Unit { unit, .. } => text.push_unit(unit),
            _ => return Err(not_json(0)),
        }
    }
    scanner.finish()?;
    read.ok_or(not_json(0))
}

const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

fn not_json(at: u64) -> ScanError {
    ScanError::NotJson { at }
}

fn part(json: &str, start: u64, end: u64) -> &str {
    let place = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
    json.get(place(start)..place(end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value as Tree;

    use super::*;
    use crate::json::quoted;

    fn is_valid(json: &str) -> bool {
        for_each_member(&format!("{{\"a\":{json}}}"), &mut |_, _| {}).is_ok()
    }

    fn members(json: &str) -> Result<Vec<(String, String)>, ScanError> {
        let mut members = Vec::new();
        for_each_member(json, &mut |name, value| members.push((name.to_owned(), value.to_owned())))?;
        Ok(members)
    }

    #[test]
    fn members_come_in_their_order_and_as_they_are_written() {
        let json = r#" { "a" : [1 , {"b":"]"}] , "\u0061":"\ud800","é":1e400,"":{ } } "#;
        let want = [("a", r#"[1 , {"b":"]"}]"#), ("a", r#""\ud800""#), ("é", "1e400"), ("", "{ }")];
        assert_eq!(members(json), Ok(want.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()));
    }

    #[test]
    fn what_is_no_object_has_no_members_and_depth_costs_no_stack() {
        let deep = |depth| format!(r#"{{"a":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
        assert!(members(&deep(60_000)).is_ok());
        for json in ["", "1", " null", "\"a\"", "[]", "[{}]", "{}{}", "{", &deep(70_000)] {
            assert!(members(json).is_err(), "{json:.20}");
        }
    }

    #[test]
    fn surrogates_may_be_alone_only_where_nothing_reads_them() {
        let json = r#"{"a":"\ud800","b":["\uDC00\ud83d","\\ud800\uD83D\uDE00"],"\ud83d\ude00":1}"#;
        let values = [("a", r#""\ud800""#), ("b", r#"["\uDC00\ud83d","\\ud800\uD83D\uDE00"]"#), ("😀", "1")];
        assert_eq!(members(json), Ok(values.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()));
        assert_eq!(string(r#""\\ud800\uD83D\uDE00""#).unwrap(), r"\ud800😀");
        assert_eq!(members(r#"{"a":1,"\ud800":1}"#), Err(ScanError::NotJson { at: 7 }));
        for bad in [r#""\ud80""#, r#""\ud8g0""#, r#""\ud800"#, r#""\ud800\""#, r#""\\ud800""x"#, r#"\ud800"#] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn a_string_is_one_string() {
        assert_eq!(string(r#" "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é" "#).unwrap(), "\"\\/\u{8}\u{c}\n\r\té😀é");
        for bad in [r#""\ud800""#, r#""\ud800\u0041""#, r#""\udc00""#, r#""a"b"#, r#""a"#, "a", "1", r#"["a"]"#] {
            assert!(string(bad).is_err(), "{bad}");
        }
    }

    fn value() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            Just(Tree::Null),
            any::<bool>().prop_map(Tree::from),
            any::<i64>().prop_map(Tree::from),
            any::<i32>().prop_map(|eighths| Tree::from(f64::from(eighths) / 8.0)),
            any::<String>().prop_map(Tree::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Tree::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|members| Tree::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(value in value(), pretty in any::<bool>()) {
            let json = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert!(is_valid(&json));
            match &value {
                Tree::String(text) => prop_assert_eq!(&string(&json).unwrap(), text),
                Tree::Object(object) => {
                    let read: BTreeMap<_, Tree> = members(&json)
                        .unwrap()
                        .into_iter()
                        .map(|(name, value)| (name, serde_json::from_str(&value).unwrap()))
                        .collect();
                    prop_assert_eq!(read, object.clone().into_iter().collect());
                }
                _ => prop_assert!(string(&json).is_err() && members(&json).is_err()),
            }
        }

        #[test]
        fn what_is_nearly_json_is_judged_as_serde_json_does(
            json in r#"([\[\]{},:" \n\\]|\\u[0-9a-f]{3,4}|[0-9.eE+-]{1,4}|true|null|fals|a|é|\x01){0,12}"#,
            inside in any::<bool>(),
        ) {
            let json = if inside { format!("[\"{json}\"]") } else { json };
            let ignored = serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok();
            prop_assert_eq!(is_valid(&json), ignored, "{}", json);
            prop_assert_eq!(string(&json).ok(), serde_json::from_str::<String>(&json).ok(), "{}", json);
        }

        #[test]
        fn strings_end_where_they_end(text in "[ -~é\u{0}-\u{1f}]{0,40}") {
            let json = format!("\"{text}\"");
            prop_assert_eq!(string(&json).ok(), serde_json::from_str::<String>(&json).ok());
            prop_assert_eq!(string(&quoted(&text)), Ok(text));
        }
    }
}
