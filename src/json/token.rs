//! What JSON is made of, as it comes.

/// What JSON is made of. Names, strings and numbers come in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'a> {
    /// An object or array begins.
    Open(Container),
    /// It ends.
    Close {
        /// Which of the two.
        container: Container,
        /// Whether nothing was in it.
        is_empty: bool,
    },
    /// More of a name, string or number, without escapes. A piece may end within a character.
    Piece {
        /// What it is a piece of.
        of: Part,
        /// The bytes, maybe none.
        bytes: &'a [u8],
        /// Whether that was all of it.
        ends: bool,
    },
    /// More of a name or string: the UTF-16 code unit of a `\u` escape.
    Unit {
        /// What it is a piece of.
        of: Part,
        /// Any, half a surrogate pair too.
        unit: u16,
    },
    /// `null`, `true` or `false`.
    Literal(Literal),
}

/// What holds other values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
}

/// What comes in pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The name of a member.
    Name,
    /// A string that is a value.
    String,
    /// A number, as it is written.
    Number,
}

/// Values that are words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`
    True,
    /// `false`
    False,
}

impl Literal {
    pub(super) fn word(self) -> &'static [u8] {
        match self {
            Self::Null => b"null",
            Self::True => b"true",
            Self::False => b"false",
        }
    }
}
