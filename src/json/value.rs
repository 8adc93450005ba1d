//! Values that are known to be JSON, so that walking them takes no more than their brackets and quotes.

use std::borrow::Cow;

use super::reader::{NotJson, Reader, is_between, unquoted};

/// One JSON value as it is written, without white space around it. Strings in it may hold surrogates without a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Value<'a>(&'a str);

impl<'a> Value<'a> {
    /// An object without members.
    pub const EMPTY: Self = Self("{}");

    /// The only value in `text`.
    pub fn parse(text: &'a str) -> Result<Self, NotJson> {
        let mut reader = Reader::new(text);
        let value = reader.value()?;
        reader.end()?;
        Ok(Self(value))
    }

    /// As it is written.
    pub fn as_str(self) -> &'a str {
        self.0
    }

    /// Whether it is an object.
    pub fn is_object(self) -> bool {
        self.0.starts_with('{')
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        self.0 == "null"
    }

    /// The text of a string. Every surrogate must have its partner.
    pub fn text(self) -> Option<Cow<'a, str>> {
        unquoted(self.0)
    }

    /// Calls `each` with the name and the value of every member, if it is an object and its names are text.
    pub fn for_each_member(self, each: &mut dyn FnMut(Cow<'a, str>, Value<'a>)) -> Result<(), NotJson> {
        if !self.is_object() {
            return Err(NotJson { at: 0 });
        }
        let mut at = 1;
        while let Some(name) = self.next_from(&mut at) {
            let behind = at;
            let name = unquoted(name).ok_or(NotJson { at: behind - name.len() })?;
            each(name, Self(self.next_from(&mut at).ok_or(NotJson { at: behind })?));
        }
        Ok(())
    }

    /// The object's next name or value from `at` on, which moves behind it; `None` behind the last.
    fn next_from(self, at: &mut usize) -> Option<&'a str> {
        let bytes = self.0.as_bytes();
        while is_between(*bytes.get(*at)?) {
            *at += 1;
        }
        let start = *at;
        *at = match bytes.get(start)? {
            b'"' => string_end(bytes, start)?,
            b'{' | b'[' => nested_end(bytes, start)?,
            b'}' => return None,
            _ => start + bytes.get(start..)?.iter().position(|&byte| is_between(byte) || byte == b'}')?,
        };
        self.0.get(start..*at)
    }
}

/// Behind the object or array that begins at `start`.
fn nested_end(bytes: &[u8], start: usize) -> Option<usize> {
    let (mut depth, mut at) = (0_usize, start);
    loop {
        match bytes.get(at)? {
            b'"' => {
                at = string_end(bytes, at)?;
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// Behind the string that begins at `start`.
fn string_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut rest = bytes.get(start + 1..)?.iter();
    loop {
        match rest.next()? {
            b'"' => return Some(bytes.len() - rest.len()),
            b'\\' => {
                rest.next();
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value as Tree;

    use super::*;

    /// White space of any kind.
    fn space() -> impl Strategy<Value = String> {
        "[ \t\r\n]{0,3}"
    }

    /// A string as some writer would write it: plain, escaped where it need not be, or with what would mislead a walk.
    fn string() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            3 => "[a-z{}\\[\\],:é\u{1f600}/ ]{1,4}",
            1 => prop::sample::select(vec![
                r#"\""#, r"\\", r"\/", r"\n", r"\u0022", r"\u005c", r"\u007b", r"\u00e9", r"\ud83d\ude00",
            ]).prop_map(str::to_owned),
        ];
        prop::collection::vec(piece, 0..5).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
    }

    fn json() -> impl Strategy<Value = String> {
        let plain = prop::sample::select(vec!["null", "true", "false", "0", "-1", "12.50", "-0.0e-3", "1E+2"]);
        let leaf = prop_oneof![string(), plain.prop_map(str::to_owned)];
        leaf.prop_recursive(4, 32, 5, |inner| {
            let values = prop::collection::vec((space(), inner.clone(), space()), 0..5);
            let members = prop::collection::vec((space(), string(), space(), space(), inner, space()), 0..5);
            let listed =
                |items: Vec<String>, space: &str| if items.is_empty() { space.to_owned() } else { items.join(",") };
            prop_oneof![
                1 => (values, space()).prop_map(move |(values, space)| {
                    let values = values.into_iter().map(|(a, value, b)| [a, value, b].concat()).collect();
                    format!("[{}]", listed(values, &space))
                }),
                2 => (members, space()).prop_map(move |(members, space)| {
                    let member = |(a, name, b, c, value, d)| [a, name, b, ":".into(), c, value, d].concat();
                    format!("{{{}}}", listed(members.into_iter().map(member).collect(), &space))
                }),
            ]
        })
    }

    /// The members of an object, in order and as often as they stand there.
    struct Members(Vec<(String, Tree)>);

    impl<'de> serde::Deserialize<'de> for Members {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Members;

                fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    formatter.write_str("an object")
                }

                fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                    let mut members = Vec::new();
                    while let Some(member) = map.next_entry()? {
                        members.push(member);
                    }
                    Ok(Members(members))
                }
            }
            from.deserialize_map(Visitor)
        }
    }

    fn agree(value: Value<'_>) {
        let written = value.as_str();
        let want = serde_json::from_str::<String>(written).ok();
        assert_eq!(value.text().map(Cow::into_owned), want, "{written}");
        let mut members = Vec::new();
        let read = value.for_each_member(&mut |name, member| {
            members.push((name.into_owned(), serde_json::from_str(member.as_str()).unwrap()));
            agree(member);
        });
        let want = serde_json::from_str::<Members>(written).ok().map(|members| members.0);
        assert_eq!(read.is_ok().then_some(members), want, "{written}");
    }

    proptest! {
        #[test]
        fn members_are_those_that_another_parser_reads((before, json, after) in (space(), json(), space())) {
            let text = [before, json.clone(), after].concat();
            let value = Value::parse(&text).unwrap();
            prop_assert_eq!(value.as_str(), json);
            agree(value);
        }

        #[test]
        fn what_is_cut_or_spoilt_is_refused_where_another_parser_refuses_it(
            json in json(), at in any::<prop::sample::Index>(), put in "[\"\\\\{}\\[\\],:a0. ]{0,2}", cut in 0..3_usize,
        ) {
            let mut chars: Vec<char> = json.chars().collect();
            let at = at.index(chars.len());
            chars.splice(at..(at + cut).min(chars.len()), put.chars());
            let text: String = chars.into_iter().collect();
            match (Value::parse(&text), serde_json::from_str::<Tree>(&text)) {
                (Ok(value), Ok(_)) => agree(value),
                (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("surrogate") || error.to_string().contains("hex escape"), "{}: {}", text, error),
                (Err(_), read) => prop_assert!(read.is_err(), "{}", text),
            }
        }
    }
}
