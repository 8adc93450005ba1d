//! Picking members out of a JSON object, strictly: the whole text must be JSON, and a picked key may stand only once.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Why members could not be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PickError<'k> {
    /// The text is not JSON, or something follows it.
    NotJson,
    /// The text is JSON of another kind.
    NotAnObject,
    /// This key, one of those to pick, stands more than once.
    Duplicate(&'k str),
}

/// The values of `keys` in an object, undecoded, in one pass and without allocation. Keys compare after unescaping.
pub(super) fn pick<'a, 'k, const N: usize>(
    json: &'a str,
    keys: [&'k str; N],
) -> Result<[Option<&'a RawValue>; N], PickError<'k>> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    if !json.trim_ascii_start().starts_with('{') {
        let parsed = IgnoredAny::deserialize(&mut deserializer).and_then(|_| deserializer.end());
        return Err(parsed.map_or(PickError::NotJson, |()| PickError::NotAnObject));
    }
    let mut members = Members { keys, values: [None; N], duplicate: None };
    let parsed = deserializer.deserialize_map(&mut members).and_then(|()| deserializer.end());
    match (parsed, members.duplicate) {
        (Err(_), _) => Err(PickError::NotJson),
        (Ok(()), Some(key)) => Err(PickError::Duplicate(key)),
        (Ok(()), None) => Ok(members.values),
    }
}

struct Members<'a, 'k, const N: usize> {
    keys: [&'k str; N],
    values: [Option<&'a RawValue>; N],
    duplicate: Option<&'k str>,
}

impl<'a, const N: usize> Visitor<'a> for &mut Members<'a, '_, N> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(known) = map.next_key_seed(Key(&self.keys))? {
            let slot = known.and_then(|index| Some((self.keys.get(index)?, self.values.get_mut(index)?)));
            let Some((key, value)) = slot else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if value.replace(map.next_value()?).is_some() {
                self.duplicate = Some(key);
            }
        }
        Ok(())
    }
}

/// Reads a key as its place among those to pick.
struct Key<'s, 'k>(&'s [&'k str]);

impl<'a> DeserializeSeed<'a> for Key<'_, '_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_, '_> {
    type Value = Option<usize>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(json: &str) -> Result<[Option<&str>; 2], PickError<'static>> {
        pick(json, ["a", "b"]).map(|values| values.map(|value| value.map(RawValue::get)))
    }

    #[test]
    fn members_are_picked_undecoded() {
        assert_eq!(picked(r#" {"b": [1, 2] ,"c":{"a":0},"\u0061":null}"#), Ok([Some("null"), Some("[1, 2]")]));
        assert_eq!(picked("{}"), Ok([None, None]));
    }

    #[test]
    fn other_keys_may_repeat_and_picked_ones_may_not() {
        assert_eq!(picked(r#"{"c":1,"c":2,"a":3}"#), Ok([Some("3"), None]));
        assert_eq!(picked(r#"{"a":1,"\u0061":2}"#), Err(PickError::Duplicate("a")));
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for json in ["[]", " 1", "\"{}\"", "null"] {
            assert_eq!(picked(json), Err(PickError::NotAnObject), "{json}");
        }
        for json in
            ["", "{", "{}{}", "{} x", "\u{feff}{}", "{\"a\":1,}", "{'a':1}", "{\"c\":NaN}", "[", "{\"\\ud800\":1}"]
        {
            assert_eq!(picked(json), Err(PickError::NotJson), "{json}");
        }
    }

    #[test]
    fn deep_nesting_is_no_danger() {
        let deep = format!("{{\"c\":{}{},\"a\":1}}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(picked(&deep), Ok([Some("1"), None]));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
        assert!(picked(&deep).is_ok());
    }
}
