//! The configuration as a tree, whichever form it came in.

use crate::json::{Decimal, NotJson, Reader};

/// A value of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Decimal),
    /// A string.
    String(String),
    /// A list.
    List(Vec<Value>),
    /// A map, in the order of its names.
    Map(Vec<(String, Value)>),
}

/// How deep maps and lists may stand in each other.
pub const MAX_DEPTH: usize = 100;

impl Value {
    /// Reads JSON.
    pub fn from_json(json: &str) -> Result<Self, NotJson> {
        let mut reader = Reader::new(json);
        let value = read(&mut reader, MAX_DEPTH)?;
        reader.end()?;
        Ok(value)
    }

    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }

    /// The member of this name, if it is a map that has one.
    pub fn member(&self, name: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        let index = place(members, name).ok()?;
        members.get(index).map(|(_, value)| value)
    }
}

/// Puts a member into a map; of two with the same name, the later stays.
pub fn insert(members: &mut Vec<(String, Value)>, name: String, value: Value) {
    match place(members, &name) {
        Ok(index) => members.splice(index..=index, [(name, value)]).for_each(drop),
        Err(index) => members.insert(index, (name, value)),
    }
}

fn place(members: &[(String, Value)], name: &str) -> Result<usize, usize> {
    members.binary_search_by(|(known, _)| known.as_str().cmp(name))
}

fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Value, NotJson> {
    match reader.peek() {
        Some(b'{' | b'[') if depth == 0 => reader.fail(),
        Some(b'{') => {
            let mut members = Vec::new();
            reader.object(&mut |reader, name| {
                let value = read(reader, depth - 1)?;
                insert(&mut members, name.into_owned(), value);
                Ok(())
            })?;
            Ok(Value::Map(members))
        }
        Some(b'[') => {
            let mut elements = Vec::new();
            reader.array(&mut |reader, _| {
                elements.push(read(reader, depth - 1)?);
                Ok(())
            })?;
            Ok(Value::List(elements))
        }
        Some(b'"') => Ok(Value::String(reader.string()?.into_owned())),
        _ => Ok(match reader.skip()? {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            number => Decimal::parse(number).map_or(Value::Null, Value::Number),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_the_order_of_their_names_and_the_last_of_a_name_holds() {
        let value = Value::from_json(r#"{"b":[null,true,1.5,"x"],"a":{},"b":2,"\u0061":false}"#).unwrap();
        let two = Decimal::parse("2").unwrap();
        let want = vec![("a".to_owned(), Value::Bool(false)), ("b".to_owned(), Value::Number(two))];
        assert_eq!(value, Value::Map(want));
        assert_eq!(value.member("a").map(Value::kind), Some("a boolean"));
        assert_eq!(value.member("c"), None);
    }

    #[test]
    fn depth_is_limited() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Value::from_json(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(Value::from_json(&deep(MAX_DEPTH + 1)), Err(NotJson { at: MAX_DEPTH }));
    }
}
