//! Picking members out of a JSON object, strictly: the whole text must be JSON, and a picked key may stand only once.

use super::value::Value;

/// Why members could not be picked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PickError<'k> {
    /// The text is not JSON, something follows it, or a name is not text.
    NotJson,
    /// The text is JSON of another kind.
    NotAnObject,
    /// This key, one of those to pick, stands more than once.
    Duplicate(&'k str),
}

/// The values of `keys` in the object that `text` is.
pub(crate) fn pick_from<'a, 'k, const N: usize>(
    text: &'a str,
    keys: [&'k str; N],
) -> Result<[Option<Value<'a>>; N], PickError<'k>> {
    pick(Value::parse(text).map_err(|_| PickError::NotJson)?, keys)
}

/// The values of `keys` in an object, in one pass and without allocation. Keys compare after unescaping.
pub(crate) fn pick<'a, 'k, const N: usize>(
    json: Value<'a>,
    keys: [&'k str; N],
) -> Result<[Option<Value<'a>>; N], PickError<'k>> {
    if !json.is_object() {
        return Err(PickError::NotAnObject);
    }
    let (mut values, mut duplicate) = ([None; N], None);
    let read = json.for_each_member(&mut |name, value| {
        let index = keys.iter().position(|key| *key == name);
        if let Some((key, slot)) = index.and_then(|index| Some((keys.get(index)?, values.get_mut(index)?)))
            && slot.replace(value).is_some()
        {
            duplicate = Some(*key);
        }
    });
    match (read, duplicate) {
        (Err(_), _) => Err(PickError::NotJson),
        (Ok(()), Some(key)) => Err(PickError::Duplicate(key)),
        (Ok(()), None) => Ok(values),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picked(json: &str) -> Result<[Option<&str>; 2], PickError<'static>> {
        let values = pick_from(json, ["a", "b"])?;
        Ok(values.map(|value| value.map(Value::as_str)))
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
