//! What stands at the paths of a matcher, and why it cannot be read.

use std::fmt;
use std::ops::Range;

use super::scanner::ScanError;

/// A value at one of the paths.
#[derive(Debug)]
pub struct Found<'a, T> {
    /// The path's tag.
    pub tag: T,
    /// The value, which has just ended.
    pub value: Value<'a>,
    /// Where it stands, in bytes from the beginning.
    pub span: Range<u64>,
    /// Where the member stands whose value it is: from the comma before it on, or from its name on if it is the first
    /// of its object. Of an item, the member that holds its array.
    pub member: Range<u64>,
}

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it is written.
    Number(&'a str),
    /// A string.
    Text(&'a str),
    /// A string or number over the bound, with its length in UTF-8.
    Long {
        /// So many bytes.
        bytes: u64,
    },
    /// A string with half a surrogate pair in it.
    NotText,
    /// An object.
    Object {
        /// Whether it has no members.
        is_empty: bool,
    },
    /// An array.
    Array {
        /// Whether it has no items.
        is_empty: bool,
    },
    /// Of `*`: a member has this name, which no path knows.
    Name(&'a str),
    /// Nothing, since a value of this kind stands on the way to it, where an object or array would have to.
    Blocked(Kind),
}

/// A kind of JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number
    Number,
    /// A string
    String,
    /// An object
    Object,
    /// An array
    Array,
}

/// Why a value cannot be read, or could be read in two ways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// It is not one JSON value in UTF-8, or an inspected object has a name that is no text.
    NotJson {
        /// Where that shows: the offset of a byte, or the length of what ends too early.
        at: u64,
    },
    /// It is JSON of another kind.
    NotAnObject,
    /// This inspected name stands more than once in an object.
    Repeated(Box<str>),
    /// This inspected name stands there in another case.
    OtherCase(Box<str>),
    /// Too many objects and arrays are in each other.
    TooDeep,
}

impl From<ScanError> for Unreadable {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::NotJson { at } => Self::NotJson { at },
            ScanError::TooDeep => Self::TooDeep,
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson { at } => write!(formatter, "not JSON, at byte {at}"),
            Self::NotAnObject => formatter.write_str("not an object"),
            Self::Repeated(name) => write!(formatter, "{name} stands more than once"),
            Self::OtherCase(name) => write!(formatter, "{name} is written in another case"),
            Self::TooDeep => formatter.write_str("nested too deep"),
        }
    }
}

impl std::error::Error for Unreadable {}
