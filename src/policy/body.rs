//! The `model` member of a JSON body: found, and replaced without touching another byte.

use std::fmt;
use std::ops::Range;

use serde::de::{Error, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// Where a body names its model.
#[derive(Debug, PartialEq, Eq)]
pub struct BodyModel {
    /// The name.
    pub name: String,
    span: Range<usize>,
}

/// A body that is not one JSON object, or names its model more than once or by something else than a string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotReadable;

impl BodyModel {
    /// Finds the top-level `model` of a JSON object, however its key is written. An empty name is none.
    pub fn find(body: &[u8]) -> Result<Option<Self>, NotReadable> {
        // serde_json does not look into the strings that it skips.
        let text = std::str::from_utf8(body).map_err(|_| NotReadable)?;
        let Model(raw) = serde_json::from_str(text).map_err(|_| NotReadable)?;
        let Some(raw) = raw else { return Ok(None) };
        let name: String = serde_json::from_str(raw.get()).map_err(|_| NotReadable)?;
        let start = (raw.get().as_ptr() as usize).checked_sub(body.as_ptr() as usize).ok_or(NotReadable)?;
        Ok((!name.is_empty()).then(|| Self { name, span: start..start + raw.get().len() }))
    }

    /// `body` with its model's name replaced.
    pub fn replace(&self, body: &[u8], name: &str) -> Option<Vec<u8>> {
        let value = serde_json::to_vec(name).ok()?;
        let (before, after) = (body.get(..self.span.start)?, body.get(self.span.end..)?);
        Some([before, &value, after].concat())
    }
}

struct Model<'a>(Option<&'a RawValue>);

impl<'de> Deserialize<'de> for Model<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ModelVisitor)
    }
}

struct ModelVisitor;

impl<'de> Visitor<'de> for ModelVisitor {
    type Value = Model<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut model = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "model" {
                map.next_value::<IgnoredAny>()?;
            } else if model.replace(map.next_value()?).is_some() {
                return Err(A::Error::duplicate_field("model"));
            }
        }
        Ok(Model(model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_found_wherever_it_stands_and_only_its_bytes_change() {
        for (body, name, rewritten) in [
            (r#"{"model":"a"}"#, "a", r#"{"model":"x\"y"}"#),
            (
                r#" { "b" : [{"model":"no"}] , "model" :  "a/b" , "é":1e400 } "#,
                "a/b",
                r#" { "b" : [{"model":"no"}] , "model" :  "x\"y" , "é":1e400 } "#,
            ),
            (r#"{"mod\u0065l":"\u0061"}"#, "a", r#"{"mod\u0065l":"x\"y"}"#),
        ] {
            let model = BodyModel::find(body.as_bytes()).unwrap().unwrap();
            assert_eq!(model.name, name);
            assert_eq!(model.replace(body.as_bytes(), "x\"y").unwrap(), rewritten.as_bytes());
        }
    }

    #[test]
    fn no_model_is_none_and_what_is_no_object_or_names_it_twice_is_not_readable() {
        for (body, want) in [
            (r#"{}"#, Ok(None)),
            (r#"{"model":""}"#, Ok(None)),
            (r#"{"Model":"a"}"#, Ok(None)),
            (r#"{"model":"a","model":"a"}"#, Err(NotReadable)),
            (r#"{"model":"a","mod\u0065l":"b"}"#, Err(NotReadable)),
            (r#"{"model":1}"#, Err(NotReadable)),
            (r#"{"model":null}"#, Err(NotReadable)),
            (r#"["model"]"#, Err(NotReadable)),
            (r#"{"model":"a"} {}"#, Err(NotReadable)),
            (r#"{"model":"a""#, Err(NotReadable)),
            ("\u{feff}{}", Err(NotReadable)),
            ("", Err(NotReadable)),
        ] {
            assert_eq!(BodyModel::find(body.as_bytes()), want, "{body}");
        }
        assert_eq!(BodyModel::find(b"{\"model\":\"\xff\"}"), Err(NotReadable));
        assert_eq!(BodyModel::find(b"{\"model\":\"a\",\"x\":\"\xff\"}"), Err(NotReadable));
        let deep = format!("{{\"a\":{}}}", "[".repeat(1_000_000));
        assert_eq!(BodyModel::find(deep.as_bytes()), Err(NotReadable));
    }
}
