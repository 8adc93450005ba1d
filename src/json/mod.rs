//! JSON (RFC 8259), read strictly and in place: what is not asked for is only checked, and nothing is built.

pub(crate) mod collected;
mod decimal;
pub mod edit;
pub(crate) mod fraction;
pub mod matcher;
pub(crate) mod object;
pub mod paths;
mod reader;
pub(crate) mod scan;
pub mod scanner;
#[cfg(test)]
mod testing;
mod text;
mod utf8;
mod value;

use std::borrow::Cow;

pub use decimal::{Decimal, ONE};
pub use reader::{NotJson, Reader, Token};
pub use value::Value;

/// Calls `each` with every member of the object that `json` is: its name, and its value as it is written. Values that are
/// strings may hold surrogates without a partner; names may not.
pub fn for_each_member<'a>(json: &'a str, each: &mut dyn FnMut(Cow<'a, str>, &'a str)) -> Result<(), NotJson> {
    Value::parse(json)?.for_each_member(&mut |name, value| each(name, value.as_str()))
}

/// The text of the string that `json` is.
pub fn string(json: &str) -> Result<String, NotJson> {
    let value = Value::parse(json)?;
    value.text().map(Cow::into_owned).ok_or(NotJson { at: 0 })
}

/// `text` as a JSON string.
pub fn quoted(text: &str) -> String {
    // Text can always be written.
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::Value as Tree;

    use super::*;

    fn is_valid(json: &str) -> bool {
        Value::parse(json).is_ok()
    }

    fn members(json: &str) -> Result<Vec<(String, String)>, NotJson> {
        let mut members = Vec::new();
        for_each_member(json, &mut |name, value| members.push((name.into_owned(), value.to_owned())))?;
        Ok(members)
    }

    #[test]
    fn members_come_in_their_order_and_as_they_are_written() {
        let json = r#" { "a" : [1 , {"b":"]"}] , "\u0061":"\ud800","é":1e400,"":{ } } "#;
        let want = [("a", r#"[1 , {"b":"]"}]"#), ("a", r#""\ud800""#), ("é", "1e400"), ("", "{ }")];
        assert_eq!(members(json), Ok(want.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()));
    }

    #[test]
    fn depth_costs_no_stack() {
        let deep = |open: &str, close: &str| format!("{}{}", open.repeat(300_000), close.repeat(300_000));
        assert!(is_valid(&deep("[", "]")));
        assert!(is_valid(&deep(r#"{"a":["#, "]}")));
        assert!(!is_valid(&"[".repeat(1_000_000)));
    }

    #[test]
    fn surrogates_may_be_alone_only_where_nothing_reads_them() {
        let json = r#"{"a":"\ud800","b":["\uDC00\ud83d","\\ud800\uD83D\uDE00"],"\ud83d\ude00":1}"#;
        let values = [("a", r#""\ud800""#), ("b", r#"["\uDC00\ud83d","\\ud800\uD83D\uDE00"]"#), ("😀", "1")];
        assert_eq!(members(json), Ok(values.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec()));
        assert_eq!(string(r#""\\ud800\uD83D\uDE00""#).unwrap(), r"\ud800😀");
        assert_eq!(members(r#"{"a":1,"\ud800":1}"#), Err(NotJson { at: 7 }));
        for bad in [r#""\ud80""#, r#""\ud8g0""#, r#""\ud800"#, r#""\ud800\""#, r#""\\ud800""x"#, r#"\ud800"#] {
            assert!(!is_valid(bad), "{bad}");
        }
    }

    #[test]
    fn errors_say_where() {
        for (json, at) in [
            ("", 0),
            ("  ", 2),
            ("nul", 3),
            ("{} {}", 3),
            (r#"{"a": x}"#, 6),
            (r#"{"a""#, 4),
            (r#"{"a":1,}"#, 7),
            (r#"{a:1}"#, 1),
            ("[1 2]", 3),
            ("[1}", 2),
            ("\"a\nb\"", 2),
            (r#""\x""#, 1),
            (r#""\u00g0""#, 3),
            ("01", 1),
            ("-", 1),
            ("1.", 2),
            ("1e+", 3),
            (" [\"a", 4),
            ("[é]", 1),
            ("\u{feff}{}", 0),
        ] {
            let mut reader = Reader::new(json);
            assert_eq!(reader.value().and_then(|_| reader.end()), Err(NotJson { at }), "{json:?}");
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
