//! A serialized `google.protobuf.Struct`.

use super::value::{MAX_DEPTH, Value, insert};
use crate::json::{Decimal, ONE};

/// The bytes are no serialized `Struct`.
#[derive(Debug, PartialEq, Eq)]
pub struct NotAStruct;

/// Integers up to here survive the way through a double, the only number that a `Struct` has.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Decodes a `google.protobuf.Struct`; fields that it does not have are passed over.
pub fn decode(message: &[u8]) -> Result<Value, NotAStruct> {
    structure(message, MAX_DEPTH)
}

/// `Struct`: `map<string, Value> fields = 1`.
fn structure(message: &[u8], depth: usize) -> Result<Value, NotAStruct> {
    let mut members = Vec::new();
    each_field(message, &mut |field| {
        let (1, entry) = field else { return Ok(()) };
        let (mut name, mut member) = (String::new(), Value::Null);
        each_field(entry.bytes()?, &mut |field| {
            match field {
                (1, key) => name = key.text()?,
                (2, message) => member = value(message.bytes()?, depth)?,
                _ => {}
            }
            Ok(())
        })?;
        insert(&mut members, name, member);
        Ok(())
    })?;
    Ok(Value::Map(members))
}

/// `Value`: one of the fields `null_value = 1`, `number_value = 2`, `string_value = 3`, `bool_value = 4`,
/// `struct_value = 5` and `list_value = 6`.
fn value(message: &[u8], depth: usize) -> Result<Value, NotAStruct> {
    let depth = depth.checked_sub(1).ok_or(NotAStruct)?;
    let mut read = Value::Null;
    each_field(message, &mut |(number, payload)| {
        read = match number {
            1 => Value::Null,
            2 => payload.number()?,
            3 => Value::String(payload.text()?),
            4 => Value::Bool(payload.varint()? != 0),
            5 => structure(payload.bytes()?, depth)?,
            6 => list(payload.bytes()?, depth)?,
            _ => return Ok(()),
        };
        Ok(())
    })?;
    Ok(read)
}

/// `ListValue`: `repeated Value values = 1`.
fn list(message: &[u8], depth: usize) -> Result<Value, NotAStruct> {
    let mut values = Vec::new();
    each_field(message, &mut |field| {
        if let (1, element) = field {
            values.push(value(element.bytes()?, depth)?);
        }
        Ok(())
    })?;
    Ok(Value::List(values))
}

/// What stands in a field.
enum Payload<'a> {
    Varint(u64),
    Fixed64([u8; 8]),
    Bytes(&'a [u8]),
    Fixed32,
}

impl<'a> Payload<'a> {
    fn varint(&self) -> Result<u64, NotAStruct> {
        if let Self::Varint(number) = self { Ok(*number) } else { Err(NotAStruct) }
    }

    fn bytes(&self) -> Result<&'a [u8], NotAStruct> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(NotAStruct) }
    }

    fn text(&self) -> Result<String, NotAStruct> {
        str::from_utf8(self.bytes()?).map(str::to_owned).map_err(|_| NotAStruct)
    }

    fn number(&self) -> Result<Value, NotAStruct> {
        let Self::Fixed64(bytes) = self else { return Err(NotAStruct) };
        let number = f64::from_le_bytes(*bytes);
        if !number.is_finite() {
            return Ok(Value::Null);
        }
        // Casts of doubles saturate, and what is whole is in range.
        let (is_whole, scaled) = (number.fract() == 0.0 && number.abs() <= EXACT, number.abs() * 1e6);
        let millionths =
            if is_whole { u128::from(number.abs() as u64) * ONE } else { u128::from(scaled.round() as u64) };
        let is_exact = is_whole || (scaled.fract() == 0.0 && scaled <= EXACT);
        Ok(Value::Number(Decimal { is_negative: number < 0.0, millionths, is_exact }))
    }
}

/// Calls `each` with the number of every field of a message, and what stands in it.
fn each_field<'a>(
    mut message: &'a [u8],
    each: &mut dyn FnMut((u64, Payload<'a>)) -> Result<(), NotAStruct>,
) -> Result<(), NotAStruct> {
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let payload = match key & 7 {
            0 => Payload::Varint(varint(&mut message)?),
            1 => Payload::Fixed64(take(&mut message, 8)?.try_into().map_err(|_| NotAStruct)?),
            2 => {
                let len = usize::try_from(varint(&mut message)?).map_err(|_| NotAStruct)?;
                Payload::Bytes(take(&mut message, len)?)
            }
            5 => take(&mut message, 4).map(|_| Payload::Fixed32)?,
            _ => return Err(NotAStruct),
        };
        if key >> 3 == 0 {
            return Err(NotAStruct);
        }
        each((key >> 3, payload))?;
    }
    Ok(())
}

fn take<'a>(message: &mut &'a [u8], len: usize) -> Result<&'a [u8], NotAStruct> {
    let (taken, rest) = message.split_at_checked(len).ok_or(NotAStruct)?;
    *message = rest;
    Ok(taken)
}

fn varint(message: &mut &[u8]) -> Result<u64, NotAStruct> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first().ok_or(NotAStruct)?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(NotAStruct)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use prost::Message;
    use prost_types::value::Kind;
    use prost_types::{ListValue, Struct};

    use super::*;

    fn field(kind: Kind) -> prost_types::Value {
        prost_types::Value { kind: Some(kind) }
    }

    fn number(number: f64) -> Value {
        let fields = BTreeMap::from([("n".into(), field(Kind::NumberValue(number)))]);
        decode(&Struct { fields }.encode_to_vec()).unwrap().member("n").unwrap().clone()
    }

    #[test]
    fn doubles_become_the_numbers_that_they_were() {
        for (double, want) in [
            (0.0, "0"),
            (3.0, "3"),
            (-2.0, "-2"),
            (0.1 + 0.2, "0.3000000000000000444"),
            (-0.000_000_1, "-0.0000001"),
            (9_007_199_254_740_992.0, "9007199254740992"),
        ] {
            assert_eq!(number(double), Value::Number(Decimal::parse(want).unwrap()), "{want}");
        }
        assert_eq!([f64::NAN, f64::INFINITY].map(number), [Value::Null, Value::Null]);
        let Value::Number(large) = number(1e300) else { panic!("a number") };
        assert_eq!(large.whole(), None);
    }

    #[test]
    fn depth_is_limited() {
        let deep = |depth: usize| {
            let inner = (1..depth)
                .fold(field(Kind::NullValue(0)), |inner, _| field(Kind::ListValue(ListValue { values: vec![inner] })));
            decode(&Struct { fields: BTreeMap::from([("d".into(), inner)]) }.encode_to_vec())
        };
        assert!(deep(MAX_DEPTH).is_ok());
        assert_eq!(deep(MAX_DEPTH + 1), Err(NotAStruct));
    }

    fn value() -> impl Strategy<Value = prost_types::Value> {
        let leaf = prop_oneof![
            Just(field(Kind::NullValue(0))),
            any::<bool>().prop_map(|flag| field(Kind::BoolValue(flag))),
            any::<i32>().prop_map(|number| field(Kind::NumberValue(number.into()))),
            any::<String>().prop_map(|text| field(Kind::StringValue(text))),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4)
                    .prop_map(|values| field(Kind::ListValue(ListValue { values }))),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|fields| field(Kind::StructValue(Struct { fields }))),
            ]
        })
    }

    fn json(value: &prost_types::Value) -> serde_json::Value {
        match value.kind.as_ref().unwrap() {
            Kind::NullValue(_) => serde_json::Value::Null,
            Kind::BoolValue(flag) => (*flag).into(),
            Kind::NumberValue(number) => (*number as i64).into(),
            Kind::StringValue(text) => text.as_str().into(),
            Kind::ListValue(list) => list.values.iter().map(json).collect(),
            Kind::StructValue(fields) => {
                fields.fields.iter().map(|(name, value)| (name.clone(), json(value))).collect()
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(fields in prop::collection::btree_map(any::<String>(), value(), 0..4)) {
            let want = json(&field(Kind::StructValue(Struct { fields: fields.clone() }))).to_string();
            prop_assert_eq!(decode(&Struct { fields }.encode_to_vec()), Ok(Value::from_json(&want).unwrap()));
        }

        #[test]
        fn arbitrary_bytes_are_judged_as_prost_does(bytes in prop::collection::vec(0_u8..32, 0..24)) {
            // Groups, which no `Struct` has, are refused.
            if Struct::decode(bytes.as_slice()).is_err() {
                prop_assert_eq!(decode(&bytes), Err(NotAStruct));
            }
        }
    }
}
