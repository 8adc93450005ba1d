//! Finds the values at some paths of a JSON object while it comes in pieces of any size, in bounded memory.
//!
//! All of it is read strictly, since who sends it may try to show its reader something else than the filter: a name that
//! a path inspects may stand only once, and where that is asked for, in no other case either.

use std::fmt;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use super::paths::{Paths, Tree};
use super::scanner::{Container, Literal, Part, ScanError, Scanner, Token};
use super::text::{Text, Whole};

/// Reads one JSON object and tells what stands at some paths.
///
/// It holds its place in the paths, and of the value that is read no more than one name, string or number up to a bound.
///
/// ```
/// use std::ops::ControlFlow;
/// use std::sync::Arc;
/// use realtime_byok::json::{matcher::{Bounds, Matcher, Value}, paths::Paths};
///
/// let paths = Arc::new(Paths::new(&[("type", "a type"), ("delta", "audio")]));
/// let mut matcher = Matcher::new(paths, Bounds::default());
/// let mut found = Vec::new();
/// for piece in [r#"{"delta":"AAAA","ty"#, r#"pe":"response.output_audio.delta"}"#] {
///     matcher.feed(piece.as_bytes(), &mut |at| {
///         if let Value::Text(text) = at.value {
///             found.push((at.tag, text.len()));
///         }
///         ControlFlow::Continue(())
///     })?;
/// }
/// matcher.finish()?;
/// assert_eq!(found, [("audio", 4), ("a type", 27)]);
/// # Ok::<(), realtime_byok::json::matcher::Unreadable>(())
/// ```
#[derive(Debug)]
pub struct Matcher<T> {
    paths: Arc<Paths<T>>,
    reader: Reader,
}

/// What is kept and accepted at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Objects and arrays that are open at once.
    pub depth: u16,
    /// Bytes of a name, string or number.
    pub text: usize,
    /// What becomes of an inspected name in another case.
    pub other_case: OtherCase,
}

/// What becomes of a name that is an inspected one but for the case of its letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherCase {
    /// Some readers take it for the same: what holds it is unreadable.
    Refused,
    /// It is another name.
    Ignored,
}

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

/// The part that is the same whatever the tags are.
#[derive(Debug)]
struct Reader {
    scanner: Scanner,
    /// Objects and arrays on the way to what is read, each at a node of the paths.
    frames: Vec<Frame>,
    /// For each of them, which of its node's names have come.
    seen: Vec<u64>,
    text: Text,
    /// The node of the member whose name came last, and where that member begins.
    node: usize,
    member: u64,
    other_case: OtherCase,
    failure: Option<Unreadable>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    node: usize,
    container: Container,
    /// Where its names begin in `seen`.
    seen: usize,
    start: u64,
    member: u64,
}

/// A value that has begun.
struct Place<'t> {
    tree: &'t Tree,
    node: usize,
    start: u64,
    member: u64,
}

/// Is told the place of a tag and what stands at its path.
type Tell<'f> = &'f mut dyn FnMut(usize, Value<'_>, Range<u64>, Range<u64>) -> ControlFlow<()>;

impl<T: Copy> Matcher<T> {
    /// At the beginning of an object.
    pub fn new(paths: Arc<Paths<T>>, bounds: Bounds) -> Self {
        let reader = Reader::new(&paths.tree, bounds);
        Self { paths, reader }
    }

    /// Reads more of it. `found` hears of each value at a path when that has ended, and may break off: then the rest of
    /// these bytes is not read, and nothing more can be.
    ///
    /// # Errors
    /// If what has come cannot begin an object that is read in one way only; then every call says so.
    pub fn feed(
        &mut self,
        bytes: &[u8],
        found: &mut dyn FnMut(Found<'_, T>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Unreadable> {
        let Self { paths, reader } = self;
        reader.feed(&paths.tree, bytes, &mut |tag, value, span, member| match paths.tags.get(tag) {
            Some(&tag) => found(Found { tag, value, span, member }),
            None => ControlFlow::Continue(()),
        })
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// If what has come is not one object that is read in one way only.
    pub fn finish(&self) -> Result<(), Unreadable> {
        match &self.reader.failure {
            Some(failure) => Err(failure.clone()),
            None => Ok(self.reader.scanner.finish()?),
        }
    }

    /// Bytes that are held beside the matcher itself.
    pub fn held(&self) -> usize {
        let reader = &self.reader;
        let frames = reader.frames.capacity().saturating_mul(size_of::<Frame>());
        let seen = reader.seen.capacity().saturating_mul(size_of::<u64>());
        frames.saturating_add(seen).saturating_add(reader.text.held()).saturating_add(reader.scanner.held())
    }
}

impl Default for Bounds {
    /// Deeper and longer than any message of an official client, and strict with names.
    fn default() -> Self {
        Self { depth: 1024, text: 2048, other_case: OtherCase::Refused }
    }
}

impl Reader {
    fn new(tree: &Tree, bounds: Bounds) -> Self {
        // A letter may come in three bytes where it has one: see `folded`.
        let text = Text::new(bounds.text.max(tree.longest_name.saturating_mul(3)));
        Self {
            scanner: Scanner::new(bounds.depth),
            frames: Vec::new(),
            seen: Vec::new(),
            text,
            node: 0,
            member: 0,
            other_case: bounds.other_case,
            failure: None,
        }
    }

    fn feed(&mut self, tree: &Tree, bytes: &[u8], tell: Tell<'_>) -> Result<ControlFlow<()>, Unreadable> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let read = self.read(tree, bytes, tell);
        if let Err(failure) = &read {
            self.failure = Some(failure.clone());
        }
        read
    }

    fn read(&mut self, tree: &Tree, bytes: &[u8], tell: Tell<'_>) -> Result<ControlFlow<()>, Unreadable> {
        let mut rest = bytes;
        while let Some(token) = self.scanner.next(&mut rest)? {
            if self.frames.is_empty() && !matches!(token, Token::Open(Container::Object)) {
                return Err(Unreadable::NotAnObject);
            }
            let told = match token {
                Token::Open(container) => {
                    self.open(tree, container);
                    ControlFlow::Continue(())
                }
                Token::Close { is_empty, .. } => self.close(tree, is_empty, tell),
                Token::Piece { of: Part::Name, bytes, ends: true } => {
                    self.name(tree, bytes)?;
                    ControlFlow::Continue(())
                }
                Token::Piece { of, bytes, ends: true } => self.scalar(tree, of, bytes, tell),
                Token::Piece { bytes, ends: false, .. } => {
                    self.text.push(bytes);
                    ControlFlow::Continue(())
                }
                Token::Unit { unit, .. } => {
                    self.text.push_unit(unit);
                    ControlFlow::Continue(())
                }
                Token::Literal(literal) => {
                    let (value, kind) = match literal {
                        Literal::Null => (Value::Null, Kind::Null),
                        Literal::True => (Value::Bool(true), Kind::Bool),
                        Literal::False => (Value::Bool(false), Kind::Bool),
                    };
                    self.place(tree).tell(value, kind, self.scanner.position(), tell)
                }
            };
            if told.is_break() {
                return Ok(told);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A name has come to its end: only a value whose node is known gives tokens.
    fn name(&mut self, tree: &Tree, last: &[u8]) -> Result<(), Unreadable> {
        self.member = self.scanner.member();
        let at = self.scanner.start();
        let name = self.text.end(last);
        let found = match (name, self.frames.last()) {
            (Whole::NotText, _) => return Err(Unreadable::NotJson { at }),
            (Whole::Text(name), Some(frame)) => find(tree, frame, name, &mut self.seen, self.other_case)?,
            (Whole::Long { .. }, _) | (_, None) => None,
        };
        self.text.clear();
        match found {
            Some(node) => self.node = node,
            None => self.scanner.skip_value(),
        }
        Ok(())
    }

    fn scalar(&mut self, tree: &Tree, of: Part, last: &[u8], tell: Tell<'_>) -> ControlFlow<()> {
        let place = self.place(tree);
        let kind = if of == Part::Number { Kind::Number } else { Kind::String };
        let value = match self.text.end(last) {
            Whole::Text(text) if of == Part::Number => Value::Number(text),
            Whole::Text(text) => Value::Text(text),
            Whole::Long { bytes } => Value::Long { bytes },
            Whole::NotText => Value::NotText,
        };
        let told = place.tell(value, kind, self.scanner.position(), tell);
        self.text.clear();
        told
    }

    /// An object or array begins. Where nothing in it is at a path, only its end gives a token.
    fn open(&mut self, tree: &Tree, container: Container) {
        let Place { node, start, member, .. } = self.place(tree);
        let (names, has_items) = tree.node(node).map_or((0, false), |node| (node.names.len(), node.items.is_some()));
        let seen = self.seen.len();
        let is_wanted = match container {
            Container::Object => names > 0,
            Container::Array => has_items,
        };
        if is_wanted {
            self.seen.resize(seen.saturating_add(names.div_ceil(64)), 0);
        } else {
            self.scanner.skip_inside();
        }
        self.frames.push(Frame { node, container, seen, start, member });
    }

    fn close(&mut self, tree: &Tree, is_empty: bool, tell: Tell<'_>) -> ControlFlow<()> {
        let Some(Frame { node, container, seen, start, member }) = self.frames.pop() else {
            return ControlFlow::Continue(());
        };
        self.seen.truncate(seen);
        let (value, kind) = match container {
            Container::Object => (Value::Object { is_empty }, Kind::Object),
            Container::Array => (Value::Array { is_empty }, Kind::Array),
        };
        Place { tree, node, start, member }.tell(value, kind, self.scanner.position(), tell)
    }

    /// Where the value stands that the scanner began last.
    fn place<'t>(&self, tree: &'t Tree) -> Place<'t> {
        let start = self.scanner.start();
        match self.frames.last() {
            None => Place { tree, node: 0, start, member: start },
            Some(Frame { container: Container::Object, .. }) => {
                Place { tree, node: self.node, start, member: self.member }
            }
            Some(Frame { node, container: Container::Array, member, .. }) => {
                let items = tree.node(*node).and_then(|node| node.items).unwrap_or_default();
                Place { tree, node: items, start, member: *member }
            }
        }
    }
}

impl Place<'_> {
    /// Tells of the value, and of all that it leaves no place for.
    fn tell(&self, value: Value<'_>, kind: Kind, end: u64, tell: Tell<'_>) -> ControlFlow<()> {
        let Some(node) = self.tree.node(self.node) else { return ControlFlow::Continue(()) };
        for &tag in &node.tags {
            tell(tag, value, self.start..end, self.member..end)?;
        }
        let names = node.names.iter().map(|(_, child)| *child).filter(|_| kind != Kind::Object);
        for child in names.chain(node.items.filter(|_| kind != Kind::Array)) {
            self.block(child, kind, end, tell)?;
        }
        ControlFlow::Continue(())
    }

    fn block(&self, node: usize, kind: Kind, end: u64, tell: Tell<'_>) -> ControlFlow<()> {
        let Some(node) = self.tree.node(node) else { return ControlFlow::Continue(()) };
        for &tag in &node.tags {
            tell(tag, Value::Blocked(kind), self.start..end, self.member..end)?;
        }
        for child in node.names.iter().map(|(_, child)| *child).chain(node.items) {
            self.block(child, kind, end, tell)?;
        }
        ControlFlow::Continue(())
    }
}

/// The node of the member with this name, if its object has one.
fn find(
    tree: &Tree,
    frame: &Frame,
    name: &str,
    seen: &mut [u64],
    other_case: OtherCase,
) -> Result<Option<usize>, Unreadable> {
    let Some(node) = tree.node(frame.node) else { return Ok(None) };
    if let Some((index, (known, child))) = node.names.iter().enumerate().find(|(_, (known, _))| **known == *name) {
        let bit = 1 << (index % 64);
        if let Some(bits) = seen.get_mut(frame.seen.saturating_add(index / 64)) {
            if *bits & bit != 0 {
                return Err(Unreadable::Repeated(known.clone()));
            }
            *bits |= bit;
        }
        return Ok(Some(*child));
    }
    let is_other_case = |known: &str| known.chars().map(folded).eq(name.chars().map(folded));
    match node.names.iter().find(|(known, _)| other_case == OtherCase::Refused && is_other_case(known)) {
        Some((known, _)) => Err(Unreadable::OtherCase(known.clone())),
        None => Ok(None),
    }
}

/// A character whatever its case. Go's readers, among others, take the long s and the Kelvin sign for letters of ASCII.
fn folded(character: char) -> char {
    match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => character.to_ascii_lowercase(),
    }
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

#[cfg(test)]
mod tests;
