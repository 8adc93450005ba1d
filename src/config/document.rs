//! The configuration as a document without types, whichever form it came in.

use crate::json::scanner::{Container, Literal, Part, ScanError, Scanner, Token};
use crate::json::text::{Text, Whole};
use crate::json::{Decimal, quoted};

/// A value of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Decimal),
    /// A string.
    String(String),
    /// A list.
    List(Vec<Self>),
    /// A map, in the order of its names.
    Map(Vec<(String, Self)>),
}

/// How deep maps and lists may stand in each other.
pub(crate) const MAX_DEPTH: u16 = 100;

impl Document {
    /// Reads JSON.
    ///
    /// # Errors
    /// Where the text is not JSON, or too deep: the offset of a byte, or the length of a text that ends too early.
    pub(crate) fn from_json(json: &[u8]) -> Result<Self, u64> {
        let (mut scanner, mut rest) = (Scanner::new(MAX_DEPTH), json);
        let mut building = Building { open: Vec::new(), names: Vec::new(), text: Text::new(usize::MAX), root: None };
        let position = |scanner: &Scanner, error| match error {
            ScanError::NotJson { at } => at,
            ScanError::TooDeep => scanner.position(),
        };
        while let Some(token) = scanner.next(&mut rest).map_err(|error| position(&scanner, error))? {
            building.add(token).map_err(|NotText| scanner.start())?;
        }
        scanner.finish().map_err(|error| position(&scanner, error))?;
        // A number at the top has no end but the text's.
        Ok(building.root.take().unwrap_or_else(|| building.number(b"")))
    }

    /// Appends it as JSON.
    pub(crate) fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(flag) => out.push_str(if *flag { "true" } else { "false" }),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::String(text) => out.push_str(&quoted(text)),
            Self::List(elements) => {
                out.push('[');
                for (index, element) in elements.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    element.write_json(out);
                }
                out.push(']');
            }
            Self::Map(members) => {
                out.push('{');
                for (index, (name, value)) in members.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    out.push_str(&quoted(name));
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }

    /// What it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
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
    pub(crate) fn member(&self, name: &str) -> Option<&Self> {
        let Self::Map(members) = self else { return None };
        let index = location(members, name).ok()?;
        members.get(index).map(|(_, value)| value)
    }
}

/// Puts a member into a map; of two with the same name, the later stays.
pub(crate) fn insert(members: &mut Vec<(String, Document)>, name: String, value: Document) {
    match location(members, &name) {
        Ok(index) => members.splice(index..=index, [(name, value)]).for_each(drop),
        Err(index) => members.insert(index, (name, value)),
    }
}

fn location(members: &[(String, Document)], name: &str) -> Result<usize, usize> {
    members.binary_search_by(|(known, _)| known.as_str().cmp(name))
}

/// A document of which some has been read.
struct Building {
    /// The maps and lists that are open.
    open: Vec<Document>,
    /// The names of the members that are being read.
    names: Vec<String>,
    text: Text,
    root: Option<Document>,
}

/// A name or string holds half a surrogate pair.
struct NotText;

impl Building {
    fn add(&mut self, token: Token<'_>) -> Result<(), NotText> {
        let value = match token {
            Token::Open(Container::Object) => {
                self.open.push(Document::Map(Vec::new()));
                return Ok(());
            }
            Token::Open(Container::Array) => {
                self.open.push(Document::List(Vec::new()));
                return Ok(());
            }
            Token::Close { .. } => self.open.pop().unwrap_or(Document::Null),
            Token::Piece { bytes, ends: false, .. } => {
                self.text.push(bytes);
                return Ok(());
            }
            Token::Unit { unit, .. } => {
                self.text.push_unit(unit);
                return Ok(());
            }
            Token::Piece { of: Part::Number, bytes, .. } => self.number(bytes),
            Token::Piece { of, bytes, .. } => {
                let text = match self.text.end(bytes) {
                    Whole::Text(text) => text.to_owned(),
                    Whole::Long { .. } | Whole::NotText => return Err(NotText),
                };
                self.text.clear();
                if of == Part::Name {
                    self.names.push(text);
                    return Ok(());
                }
                Document::String(text)
            }
            Token::Literal(Literal::Null) => Document::Null,
            Token::Literal(Literal::True) => Document::Bool(true),
            Token::Literal(Literal::False) => Document::Bool(false),
        };
        match self.open.last_mut() {
            Some(Document::Map(members)) => insert(members, self.names.pop().unwrap_or_default(), value),
            Some(Document::List(elements)) => elements.push(value),
            _ => self.root = Some(value),
        }
        Ok(())
    }

    /// The number whose last piece this is.
    fn number(&mut self, last: &[u8]) -> Document {
        let number = match self.text.end(last) {
            Whole::Text(number) => Decimal::parse(number),
            Whole::Long { .. } | Whole::NotText => None,
        };
        self.text.clear();
        number.map_or(Document::Null, Document::Number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_the_order_of_their_names_and_the_last_of_a_name_holds() {
        let value = Document::from_json(br#"{"b":[null,true,1.5,"x"],"a":{},"b":2,"\u0061":false}"#).unwrap();
        let two = Decimal::parse("2").unwrap();
        let want = vec![("a".to_owned(), Document::Bool(false)), ("b".to_owned(), Document::Number(two))];
        assert_eq!(value, Document::Map(want));
        assert_eq!(value.member("a").map(Document::kind), Some("a boolean"));
        assert_eq!(value.member("c"), None);
    }

    #[test]
    fn it_is_written_as_what_it_is() {
        let json = r#"{"a":[null,true,-1.5,0,12000000000000,{}],"b":"\"\\é\u0001","c":0.000001,"d":[]}"#;
        let mut written = String::new();
        Document::from_json(json.as_bytes()).unwrap().write_json(&mut written);
        assert_eq!(written, json);
    }

    #[test]
    fn depth_is_limited() {
        let deep = |depth: u16| [b"[".repeat(depth.into()), b"]".repeat(depth.into())].concat();
        assert!(Document::from_json(&deep(MAX_DEPTH)).is_ok());
        assert_eq!(Document::from_json(&deep(MAX_DEPTH + 1)), Err(MAX_DEPTH.into()));
    }

    #[test]
    fn a_scalar_alone_is_a_document_and_half_a_surrogate_pair_is_none() {
        for (json, want) in [
            ("12", Ok("a number")),
            (" -1.5e3 ", Ok("a number")),
            ("\"x\"", Ok("a string")),
            ("null", Ok("null")),
            (r#"{"a":"\ud800"}"#, Err(5)),
            (r#"{"\ud800":1}"#, Err(1)),
            ("{\"a\":1", Err(6)),
        ] {
            assert_eq!(
                Document::from_json(json.as_bytes()).as_ref().map(Document::kind),
                want.as_ref().map(|kind| *kind),
                "{json}"
            );
        }
    }
}
