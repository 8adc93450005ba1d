//! The configuration's bytes: JSON from a `google.protobuf.StringValue`, or a serialized `google.protobuf.Struct`.

use super::document::Document;
use super::error::Errors;
use super::path::Path;
use super::protobuf;

/// Makes a document of either form. A serialized `Struct` may begin as JSON does: with a line feed, and then a brace, if its
/// first member takes 123 bytes. So what is not JSON is tried as that before it is refused as JSON.
///
/// # Errors
///
/// That it is neither, or where JSON stops to be JSON.
pub(crate) fn decode(configuration: &[u8]) -> Result<Document, Errors> {
    let refuse = |message: String| Errors::one(&Path::default(), message);
    if configuration.trim_ascii().is_empty() {
        return Err(refuse("empty; expected JSON in a StringValue, or a Struct".into()));
    }
    match Document::from_json(configuration) {
        Ok(value) => Ok(value),
        Err(at) => protobuf::decode(configuration).map_err(|_| {
            let is_like_json = configuration.trim_ascii_start().first() == Some(&b'{');
            // Only where: what stands there may be a secret.
            let (line, column) = position(configuration, usize::try_from(at).unwrap_or(usize::MAX));
            refuse(match is_like_json {
                true => format!("not JSON, at line {line} column {column}"),
                false => "neither JSON nor a google.protobuf.Struct".into(),
            })
        }),
    }
}

/// The line of a byte, and its place there; where nothing is left, that of the last one.
fn position(text: &[u8], at: usize) -> (usize, usize) {
    let before = text.get(..=at).unwrap_or(text);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    (line, before.rsplit(|byte| *byte == b'\n').next().map_or(0, <[u8]>::len))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message;
    use prost_types::Struct;
    use prost_types::value::Kind;
    use serde_json::json;

    use super::*;

    fn field(kind: Kind) -> prost_types::Value {
        prost_types::Value { kind: Some(kind) }
    }

    #[test]
    fn json_and_struct_come_to_the_same() {
        let list =
            prost_types::ListValue { values: vec![field(Kind::NumberValue(3.0)), field(Kind::NumberValue(0.5))] };
        let inner = Struct { fields: BTreeMap::from([("l".into(), field(Kind::ListValue(list)))]) };
        let fields = BTreeMap::from([
            ("s".into(), field(Kind::StringValue("x".into()))),
            ("b".into(), field(Kind::BoolValue(true))),
            ("n".into(), field(Kind::NullValue(0))),
            ("o".into(), field(Kind::StructValue(inner))),
        ]);
        let want = json!({"s": "x", "b": true, "n": null, "o": {"l": [3, 0.5]}});
        let value = decode(&Struct { fields }.encode_to_vec());
        assert!(value.is_ok());
        assert_eq!(decode(want.to_string().as_bytes()), value);
        assert_eq!(decode(format!("\n {want}\n").as_bytes()), value);
    }

    #[test]
    fn what_is_neither_is_reported_without_quoting_it() {
        for (bytes, want) in [
            (b"".as_slice(), "configuration: empty; expected JSON in a StringValue, or a Struct"),
            (b" \n", "configuration: empty; expected JSON in a StringValue, or a Struct"),
            (b"{\"a\": sk-secret}", "configuration: not JSON, at line 1 column 7"),
            (b"providers: sk-secret", "configuration: neither JSON nor a google.protobuf.Struct"),
            (b"\xff\xfe", "configuration: neither JSON nor a google.protobuf.Struct"),
        ] {
            assert_eq!(decode(bytes).unwrap_err().to_string(), want);
        }
    }
}
