//! A serde `Deserializer` over a JSON tree that knows where it is.
//!
//! serde_json's own says what is wrong by quoting what it found, which may be a secret, and not where. The error here has
//! the place, the kind of value found, and what was expected; never the value.

use std::cell::RefCell;
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, Expected, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Map, Value};

use super::Path;

/// Where a tree does not have the shape that it should.
#[derive(Debug)]
pub struct Misfit {
    /// The place. For an unknown setting, that of the setting; for a missing one, that where it is missed.
    pub path: Path,
    /// What is wrong there.
    pub fault: Fault,
}

/// What is wrong at a place.
#[derive(Debug)]
pub enum Fault {
    /// A value of the wrong kind, or one that is not among those expected; says what was expected.
    Unfit(String),
    /// A setting that nobody knows, and those that are known.
    Unknown(&'static [&'static str]),
    /// A setting that must be given.
    Missing(&'static str),
}

/// Reads a `T` from `tree`.
pub fn read<'a, T: serde::Deserialize<'a>>(tree: &'a Value) -> Result<T, Misfit> {
    let place = RefCell::new(Path::default());
    T::deserialize(Node { value: tree, place: &place })
        .map_err(|Stop(fault)| Misfit { path: place.into_inner(), fault })
}

/// A value, and the place that is being read. An error leaves the place as it is.
#[derive(Clone, Copy)]
struct Node<'a, 'p> {
    value: &'a Value,
    place: &'p RefCell<Path>,
}

/// Reading stops here.
#[derive(Debug)]
struct Stop(Fault);

impl Stop {
    fn unfit(expected: &dyn Expected) -> Self {
        Self(Fault::Unfit(expected.to_string()))
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the tree does not fit")
    }
}

impl std::error::Error for Stop {}

impl Error for Stop {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(Fault::Unfit(message.to_string()))
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::unfit(expected)
    }

    fn invalid_value(_: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::unfit(expected)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self(Fault::Unfit(format!("one of {}", expected.join(", "))))
    }

    fn unknown_field(_: &str, expected: &'static [&'static str]) -> Self {
        Self(Fault::Unknown(expected))
    }

    fn missing_field(name: &'static str) -> Self {
        Self(Fault::Missing(name))
    }
}

impl<'de> Deserializer<'de> for Node<'de, '_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.value {
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Object(members) => visitor.visit_map(Members::new(members, self.place)),
            _ => Err(Stop::unfit(&visitor)),
        }
    }

    // Each kind asks only for what it can take, so that a visitor's other methods need no code in the module.

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.value {
            Value::Bool(flag) => visitor.visit_bool(*flag),
            _ => Err(Stop::unfit(&visitor)),
        }
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.value.as_u64() {
            Some(number) => visitor.visit_u64(number),
            None => Err(Stop::unfit(&visitor)),
        }
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        // What is a fraction in Envoy's YAML is a string in the Struct that Envoy makes of it.
        let number = match self.value {
            Value::String(text) => serde_json::from_slice::<Value>(text.as_bytes()).ok().and_then(|read| read.as_f64()),
            value => value.as_f64(),
        };
        match number {
            Some(number) => visitor.visit_f64(number),
            None => Err(Stop::unfit(&visitor)),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.value {
            Value::String(text) => visitor.visit_borrowed_str(text),
            _ => Err(Stop::unfit(&visitor)),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.deserialize_str(visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.value {
            Value::Array(elements) => {
                visitor.visit_seq(Elements { elements: elements.iter().enumerate(), place: self.place })
            }
            _ => Err(Stop::unfit(&visitor)),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        match self.value {
            Value::Object(members) => visitor.visit_map(Members::new(members, self.place)),
            _ => Err(Stop::unfit(&visitor)),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        self.deserialize_map(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_some(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.value {
            Value::String(name) => visitor.visit_enum(Variant(name)),
            _ => Err(Stop::unknown_variant("", variants)),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 char bytes byte_buf unit unit_struct newtype_struct tuple tuple_struct
        identifier ignored_any
    }
}

/// The name of a variant that holds nothing.
struct Variant<'a>(&'a str);

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Stop> {
        let name: StrDeserializer<'_, Stop> = self.0.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, _: S) -> Result<S::Value, Stop> {
        Err(Stop::custom("a map"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Stop> {
        Err(Stop::invalid_type(Unexpected::UnitVariant, &visitor))
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Stop> {
        Err(Stop::invalid_type(Unexpected::UnitVariant, &visitor))
    }
}

struct Elements<'a, 'p> {
    elements: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
    place: &'p RefCell<Path>,
}

impl<'de> SeqAccess<'de> for Elements<'de, '_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Stop> {
        let Some((index, value)) = self.elements.next() else { return Ok(None) };
        self.place.borrow_mut().enter(super::Step::Index(index));
        let element = seed.deserialize(Node { value, place: self.place })?;
        self.place.borrow_mut().leave();
        Ok(Some(element))
    }
}

struct Members<'a, 'p> {
    members: serde_json::map::Iter<'a>,
    value: Option<&'a Value>,
    place: &'p RefCell<Path>,
}

impl<'a, 'p> Members<'a, 'p> {
    fn new(members: &'a Map<String, Value>, place: &'p RefCell<Path>) -> Self {
        Self { members: members.iter(), value: None, place }
    }
}

impl<'de> MapAccess<'de> for Members<'de, '_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Stop> {
        let Some((name, value)) = self.members.next() else { return Ok(None) };
        self.value = Some(value);
        self.place.borrow_mut().enter(super::Step::Key(name.clone()));
        let name: StrDeserializer<'_, Stop> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        let value = self.value.take().unwrap_or(&Value::Null);
        let value = seed.deserialize(Node { value, place: self.place })?;
        self.place.borrow_mut().leave();
        Ok(value)
    }
}
