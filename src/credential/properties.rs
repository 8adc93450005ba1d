//! The properties of one request that say who sent it, each read at most once.

use crate::host::{Property, PropertyPath, StreamHost};

/// The longest value that is read, in bytes: SPIFFE IDs may be as long (SPIFFE-ID section 2.3), and little else is.
pub const LONGEST_PROPERTY: usize = 2048;

/// The properties of one request.
pub struct Properties<'a> {
    host: &'a dyn StreamHost,
    read: Vec<(PropertyPath, PropertyValue)>,
}

/// What stands at a property's path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PropertyValue {
    /// Nothing: the filter that would have written it did not, or wrote an empty string.
    Absent,
    /// No string, or one that is no name: not in UTF-8, with a control character, or too long.
    Unusable,
    /// A string.
    Text(String),
}

impl<'a> Properties<'a> {
    /// Those of the host's stream, of which none is read yet.
    pub fn new(host: &'a dyn StreamHost) -> Self {
        Self { host, read: Vec::new() }
    }

    /// What stands at a path.
    pub fn at(&mut self, path: &PropertyPath) -> &PropertyValue {
        let known = self.read.iter().position(|(known, _)| known == path).unwrap_or_else(|| {
            self.read.push((path.clone(), PropertyValue::of(self.host.property(path))));
            self.read.len() - 1
        });
        self.read.get(known).map_or(&PropertyValue::Absent, |(_, value)| value)
    }
}

impl PropertyValue {
    fn of(property: Option<Property>) -> Self {
        let bytes = match property {
            None => return Self::Absent,
            Some(Property::Other) => return Self::Unusable,
            Some(Property::String(bytes)) if bytes.is_empty() => return Self::Absent,
            Some(Property::String(bytes)) => bytes,
        };
        match String::from_utf8(bytes) {
            Ok(text) if is_name(&text) => Self::Text(text),
            _ => Self::Unusable,
        }
    }

    /// The string, if it is one.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Absent | Self::Unusable => None,
        }
    }
}

/// Whether a property of this value may be one.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST_PROPERTY && !text.contains(char::is_control)
}
