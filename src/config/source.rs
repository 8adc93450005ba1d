//! The configuration's bytes: JSON from a `google.protobuf.StringValue`, or a serialized `google.protobuf.Struct`.

use prost::Message;
use prost_types::Struct;
use prost_types::value::Kind;
use serde_json::{Map, Number, Value};

use super::{Errors, Path};

/// Integers up to here survive the way through a double, the only number that a `Struct` has.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Decodes either form. JSON that begins with a line feed has the first byte of a serialized `Struct`, so what is JSON
/// is told by its first character that is no white space.
pub fn decode(configuration: &[u8]) -> Result<Value, Errors> {
    let refuse = |message: String| Errors::one(&Path::default(), message);
    if configuration.trim_ascii().is_empty() {
        return Err(refuse("empty; expected JSON in a StringValue, or a Struct".into()));
    }
    match serde_json::from_slice::<Value>(configuration) {
        Ok(value) => Ok(value),
        Err(error) if configuration.trim_ascii_start().first() == Some(&b'{') => {
            // Only where: serde_json's own words can quote a string, and with it a secret.
            Err(refuse(format!("not JSON, at line {} column {}", error.line(), error.column())))
        }
        Err(_) => Struct::decode(configuration)
            .map(object)
            .map_err(|_| refuse("neither JSON nor a google.protobuf.Struct".into())),
    }
}

fn object(fields: Struct) -> Value {
    // A loop, as collecting into a map would bring a sort into the module.
    let mut members = Map::new();
    for (name, field) in fields.fields {
        members.insert(name, value(field));
    }
    Value::Object(members)
}

fn value(value: prost_types::Value) -> Value {
    match value.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(flag)) => Value::Bool(flag),
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::NumberValue(number)) => self::number(number),
        Some(Kind::StructValue(fields)) => object(fields),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(self::value).collect()),
    }
}

fn number(number: f64) -> Value {
    if number.fract() == 0.0 && number.abs() <= EXACT {
        // In range and whole by the test above, so that the conversion is exact.
        Value::from(number as i64)
    } else {
        Number::from_f64(number).map_or(Value::Null, Value::Number)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

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
        assert_eq!(decode(&Struct { fields }.encode_to_vec()), Ok(want.clone()));
        assert_eq!(decode(want.to_string().as_bytes()), Ok(want.clone()));
        assert_eq!(decode(format!("\n {want}\n").as_bytes()), Ok(want));
    }

    #[test]
    fn what_is_neither_is_told_without_quoting_it() {
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
