//! A serialized `google.protobuf.Struct`.

use prost::{DecodeError, Message, Oneof};

use super::document::{Document, insert};
use crate::json::{Decimal, ONE};

/// Integers up to here survive the way through a double, the only number that a `Struct` has.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// Decodes a `google.protobuf.Struct`; fields that it does not have are passed over, and depth is limited by prost.
///
/// # Errors
///
/// That it is none.
pub(crate) fn decode(message: &[u8]) -> Result<Document, DecodeError> {
    Struct::decode(message).map(Document::from)
}

/// `google.protobuf.Struct`, its map as the entries that it is on the wire.
#[derive(Clone, PartialEq, Message)]
struct Struct {
    #[prost(message, repeated, tag = "1")]
    fields: Vec<Entry>,
}

#[derive(Clone, PartialEq, Message)]
struct Entry {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<Node>,
}

/// `google.protobuf.Value`.
#[derive(Clone, PartialEq, Message)]
struct Node {
    #[prost(oneof = "Kind", tags = "1, 2, 3, 4, 5, 6")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, Oneof)]
enum Kind {
    #[prost(int32, tag = "1")]
    Null(i32),
    #[prost(double, tag = "2")]
    Number(f64),
    #[prost(string, tag = "3")]
    String(String),
    #[prost(bool, tag = "4")]
    Bool(bool),
    #[prost(message, tag = "5")]
    Struct(Struct),
    #[prost(message, tag = "6")]
    List(List),
}

/// `google.protobuf.ListValue`.
#[derive(Clone, PartialEq, Message)]
struct List {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Node>,
}

impl From<Struct> for Document {
    fn from(read: Struct) -> Self {
        let mut members = Vec::new();
        for entry in read.fields {
            insert(&mut members, entry.key, entry.value.map_or(Self::Null, Self::from));
        }
        Self::Map(members)
    }
}

impl From<Node> for Document {
    fn from(read: Node) -> Self {
        match read.kind {
            None | Some(Kind::Null(_)) => Self::Null,
            Some(Kind::Number(double)) => number(double),
            Some(Kind::String(text)) => Self::String(text),
            Some(Kind::Bool(flag)) => Self::Bool(flag),
            Some(Kind::Struct(fields)) => fields.into(),
            Some(Kind::List(list)) => Self::List(list.values.into_iter().map(Self::from).collect()),
        }
    }
}

fn number(double: f64) -> Document {
    if !double.is_finite() {
        return Document::Null;
    }
    // Casts of doubles saturate, and what is whole is in range.
    let (is_whole, scaled) = (double.fract() == 0.0 && double.abs() <= EXACT, double.abs() * 1e6);
    let millionths = if is_whole { u128::from(double.abs() as u64) * ONE } else { u128::from(scaled.round() as u64) };
    let is_exact = is_whole || (scaled.fract() == 0.0 && scaled <= EXACT);
    Document::Number(Decimal { is_negative: double < 0.0, millionths, is_exact })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use prost::Message;
    use prost_types::value::Kind;
    use prost_types::{ListValue, Struct};

    use super::{Document, decode};
    use crate::config::document::MAX_DEPTH;
    use crate::json::Decimal;

    fn field(kind: Kind) -> prost_types::Value {
        prost_types::Value { kind: Some(kind) }
    }

    fn number(number: f64) -> Document {
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
            assert_eq!(number(double), Document::Number(Decimal::parse(want).unwrap()), "{want}");
        }
        assert_eq!([f64::NAN, f64::INFINITY].map(number), [Document::Null, Document::Null]);
        let Document::Number(large) = number(1e300) else { panic!("a number") };
        assert_eq!(large.whole(), None);
    }

    #[test]
    fn depth_is_limited() {
        let deep = |depth: usize| {
            let inner = (1..depth)
                .fold(field(Kind::NullValue(0)), |inner, _| field(Kind::ListValue(ListValue { values: vec![inner] })));
            decode(&Struct { fields: BTreeMap::from([("d".into(), inner)]) }.encode_to_vec())
        };
        assert!(deep(40).is_ok());
        assert!(deep(MAX_DEPTH.into()).is_err());
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
            prop_assert_eq!(decode(&Struct { fields }.encode_to_vec()), Ok(Document::from_json(want.as_bytes()).unwrap()));
        }

        #[test]
        fn arbitrary_bytes_are_judged_as_the_well_known_type_judges_them(
            bytes in prop::collection::vec(0_u8..64, 0..24),
        ) {
            // prost reads a map's entries of any wire type, a repeated message's only of the right one.
            let has_entries_of_another_type = bytes.iter().any(|byte| byte >> 3 == 1 && byte & 7 != 2);
            let (ours, theirs) = (decode(&bytes).is_ok(), Struct::decode(bytes.as_slice()).is_ok());
            prop_assert!(ours == theirs || (theirs && has_entries_of_another_type), "{} is not {}", ours, theirs);
        }
    }
}
