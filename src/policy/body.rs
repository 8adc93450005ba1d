//! The `model` member of a JSON body: found, and replaced without touching another byte.

use std::ops::Range;

use crate::json;

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
        let text = std::str::from_utf8(body).map_err(|_| NotReadable)?;
        let (mut model, mut is_repeated) = (None, false);
        json::for_each_member(text, &mut |name, value| {
            if name == "model" {
                is_repeated |= model.replace(value).is_some();
            }
        })
        .map_err(|_| NotReadable)?;
        let Some(value) = model else { return Ok(None) };
        let name = json::string(value).ok().filter(|_| !is_repeated).ok_or(NotReadable)?;
        let start = value.as_ptr().addr().checked_sub(text.as_ptr().addr()).ok_or(NotReadable)?;
        Ok((!name.is_empty()).then(|| Self { name, span: start..start + value.len() }))
    }

    /// `body` with its model's name replaced.
    pub fn replace(&self, body: &[u8], name: &str) -> Option<Vec<u8>> {
        let (before, after) = (body.get(..self.span.start)?, body.get(self.span.end..)?);
        Some([before, json::quoted(name).as_bytes(), after].concat())
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
