//! The configuration as a document without types, whichever form it came in.

use crate::json::{Decimal, NotJson, Reader, Token};

/// A value of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Decimal),
    /// A string.
    String(String),
    /// A list.
    List(Vec<Document>),
    /// A map, in the order of its names.
    Map(Vec<(String, Document)>),
}

/// How deep maps and lists may stand in each other.
pub const MAX_DEPTH: usize = 100;

impl Document {
    /// Reads JSON.
    pub fn from_json(json: &str) -> Result<Self, NotJson> {
        let mut reader = Reader::new(json);
        let first = reader.token()?;
        let value = read(&mut reader, first, MAX_DEPTH)?;
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
        let index = location(members, name).ok()?;
        members.get(index).map(|(_, value)| value)
    }
}

/// Puts a member into a map; of two with the same name, the later stays.
pub fn insert(members: &mut Vec<(String, Document)>, name: String, value: Document) {
    match location(members, &name) {
        Ok(index) => members.splice(index..=index, [(name, value)]).for_each(drop),
        Err(index) => members.insert(index, (name, value)),
    }
}

fn location(members: &[(String, Document)], name: &str) -> Result<usize, usize> {
    members.binary_search_by(|(known, _)| known.as_str().cmp(name))
}

/// The value that begins with `first`.
fn read(reader: &mut Reader<'_>, first: Token<'_>, depth: usize) -> Result<Document, NotJson> {
    Ok(match first {
        Token::Object | Token::Array if depth == 0 => return reader.fail(),
        Token::Object => {
            let mut members = Vec::new();
            while let Token::Name(name) = reader.token()? {
                let name = reader.unquoted(name)?.into_owned();
                let first = reader.token()?;
                insert(&mut members, name, read(reader, first, depth - 1)?);
            }
            Document::Map(members)
        }
        Token::Array => {
            let mut elements = Vec::new();
            loop {
                match reader.token()? {
                    Token::Close => break Document::List(elements),
                    first => elements.push(read(reader, first, depth - 1)?),
                }
            }
        }
        Token::String(written) => Document::String(reader.unquoted(written)?.into_owned()),
        Token::Plain("true") => Document::Bool(true),
        Token::Plain("false") => Document::Bool(false),
        Token::Plain(plain) => Decimal::parse(plain).map_or(Document::Null, Document::Number),
        Token::Close | Token::Name(_) | Token::End => return reader.fail(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_the_order_of_their_names_and_the_last_of_a_name_holds() {
        let value = Document::from_json(r#"{"b":[null,true,1.5,"x"],"a":{},"b":2,"\u0061":false}"#).unwrap();
        let two = Decimal::parse("2").unwrap();
        let want = vec![("a".to_owned(), Document::Bool(false)), ("b".to_owned(), Document::Number(two))];
        assert_eq!(value, Document::Map(want));
        assert_eq!(value.member("a").map(Document::kind), Some("a boolean"));
        assert_eq!(value.member("c"), None);
    }

    #[test]
    fn depth_is_limited() {
        let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Document::from_json(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(Document::from_json(&deep(MAX_DEPTH + 1)), Err(NotJson { at: MAX_DEPTH }));
    }
}
