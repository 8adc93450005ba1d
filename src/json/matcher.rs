//! Finds the values at some paths of a JSON object while it comes in pieces of any size, in bounded memory.
//!
//! All of it is read strictly, since who sends it may try to show its reader something else than the filter: a name that
//! a path inspects may stand only once, and where that is asked for, in no other case either.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

pub use super::found::{Found, Kind, Unreadable, Value};
use super::paths::{Node, Paths, Reach, Tree, is_same_name};
use super::scanner::{Container, Literal, Part, Scanner, Token};
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

/// The part that is the same whatever the tags are.
#[derive(Debug)]
struct Reader {
    scanner: Scanner,
    /// The object or array that is read, at a node of the paths, and those that it is in.
    innermost: Option<Frame>,
    outer: Vec<Frame>,
    /// Which names have come of objects with more than 64 of them.
    seen: Vec<u64>,
    text: Text,
    /// The node of the member whose name came last, and where that member begins.
    node: usize,
    member: u64,
    other_case: OtherCase,
    /// An object has begun.
    is_object: bool,
    failure: Option<Unreadable>,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    node: usize,
    container: Container,
    /// Which of its node's first 64 names have come, and where those of the others begin in `Reader::seen`.
    seen: u64,
    others: usize,
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

/// Gets the place of a tag and what stands at its path.
type Emit<'f> = &'f mut dyn FnMut(usize, Value<'_>, Range<u64>, Range<u64>) -> ControlFlow<()>;

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

    /// Begins another object, with the same paths and bounds.
    pub fn reset(&mut self) {
        self.reader.reset();
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// If what has come is not one object that is read in one way only.
    pub fn finish(&self) -> Result<(), Unreadable> {
        match &self.reader.failure {
            Some(failure) => Err(failure.clone()),
            None => match self.reader.scanner.finish() {
                Ok(()) if !self.reader.is_object => Err(Unreadable::NotAnObject),
                finished => Ok(finished?),
            },
        }
    }

    /// The tag of the object or array that is being read, if it has one: after an error, of that in which it shows.
    pub fn within(&self) -> Option<T> {
        let frame = self.reader.innermost.as_ref()?;
        let tag = self.paths.tree.node(frame.node)?.tags.first()?;
        self.paths.tags.get(*tag).copied()
    }

    /// Bytes that are held beside the matcher itself.
    pub fn held(&self) -> usize {
        let reader = &self.reader;
        let frames = reader.outer.capacity().saturating_mul(size_of::<Frame>());
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
        // A letter may come in three bytes where it has one: see `is_same_name`.
        let text = Text::new(bounds.text.max(tree.longest_name.saturating_mul(3)));
        Self {
            scanner: Scanner::new(bounds.depth),
            innermost: None,
            outer: Vec::new(),
            seen: Vec::new(),
            text,
            node: 0,
            member: 0,
            other_case: bounds.other_case,
            is_object: false,
            failure: None,
        }
    }

    fn reset(&mut self) {
        self.scanner.reset();
        self.text.clear();
        self.outer.clear();
        self.seen.clear();
        (self.innermost, self.is_object, self.failure) = (None, false, None);
    }

    fn feed(&mut self, tree: &Tree, bytes: &[u8], emit: Emit<'_>) -> Result<ControlFlow<()>, Unreadable> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone());
        }
        let read = self.read(tree, bytes, emit);
        if let Err(failure) = &read {
            self.failure = Some(failure.clone());
        }
        read
    }

    fn read(&mut self, tree: &Tree, bytes: &[u8], emit: Emit<'_>) -> Result<ControlFlow<()>, Unreadable> {
        let mut rest = bytes;
        while let Some(token) = self.scanner.next(&mut rest)? {
            if self.innermost.is_none() {
                match token {
                    Token::Open(Container::Object) => self.is_object = true,
                    // What it is a piece of may still turn out to be no JSON.
                    Token::Piece { ends: false, .. } | Token::Unit { .. } => continue,
                    _ => return Err(Unreadable::NotAnObject),
                }
            }
            let flow = match token {
                Token::Open(container) => {
                    self.open(tree, container);
                    ControlFlow::Continue(())
                }
                Token::Close { is_empty, .. } => self.close(tree, is_empty, emit),
                Token::Piece { of: Part::Name, bytes, ends: true } => self.name(tree, bytes, emit)?,
                Token::Piece { of, bytes, ends: true } => self.scalar(tree, of, bytes, emit),
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
                    self.place(tree).emit(value, kind, self.scanner.position(), emit)
                }
            };
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// A name has come to its end: only a value whose node is known gives tokens.
    fn name(&mut self, tree: &Tree, last: &[u8], emit: Emit<'_>) -> Result<ControlFlow<()>, Unreadable> {
        let Self { scanner, innermost, seen, text, other_case, .. } = self;
        self.member = scanner.member();
        let Some(frame) = innermost else { return Ok(ControlFlow::Continue(())) };
        let Some(node) = tree.node(frame.node) else { return Ok(ControlFlow::Continue(())) };
        let name = text.end_bytes(last);
        let found = match name {
            Whole::NotText => return Err(Unreadable::NotJson { at: scanner.start() }),
            Whole::Text(name) if tree.reach == Reach::Anywhere => Some(tree.anywhere(frame.node, name)),
            Whole::Long { .. } if tree.reach == Reach::Anywhere => Some(0),
            Whole::Text(name) => find(node, frame, name, seen, *other_case)?,
            Whole::Long { .. } => None,
        };
        let mut flow = ControlFlow::Continue(());
        match found {
            Some(node) => self.node = node,
            None => {
                scanner.skip_value();
                for &tag in &node.other_names {
                    let name = match name {
                        Whole::Text(name) => str::from_utf8(name).map_or(Value::NotText, Value::Name),
                        Whole::Long { bytes } => Value::Long { bytes },
                        Whole::NotText => Value::NotText,
                    };
                    let end = scanner.position();
                    flow = emit(tag, name, scanner.start()..end, self.member..end);
                    if flow.is_break() {
                        break;
                    }
                }
            }
        }
        text.clear();
        Ok(flow)
    }

    fn scalar(&mut self, tree: &Tree, of: Part, last: &[u8], emit: Emit<'_>) -> ControlFlow<()> {
        let place = self.place(tree);
        let kind = if of == Part::Number { Kind::Number } else { Kind::String };
        let value = match self.text.end(last) {
            Whole::Text(text) if of == Part::Number => Value::Number(text),
            Whole::Text(text) => Value::Text(text),
            Whole::Long { bytes } => Value::Long { bytes },
            Whole::NotText => Value::NotText,
        };
        let flow = place.emit(value, kind, self.scanner.position(), emit);
        self.text.clear();
        flow
    }

    /// An object or array begins. Where nothing in it is at a path, only its end gives a token.
    fn open(&mut self, tree: &Tree, container: Container) {
        let Place { node, start, member, .. } = self.place(tree);
        let Some(known) = tree.node(node) else { return };
        let names = known.names.len();
        let others = self.seen.len();
        let is_wanted = match container {
            // What stands at a path is found as a whole.
            _ if tree.reach == Reach::Anywhere => known.tags.is_empty(),
            Container::Object => names > 0 || !known.other_names.is_empty(),
            Container::Array => known.items.is_some(),
        };
        if !is_wanted {
            self.scanner.skip_inside();
        } else if names > 64 {
            self.seen.resize(others.saturating_add((names - 1) / 64), 0);
        }
        let frame = Frame { node, container, seen: 0, others, start, member };
        self.outer.extend(self.innermost.replace(frame));
    }

    fn close(&mut self, tree: &Tree, is_empty: bool, emit: Emit<'_>) -> ControlFlow<()> {
        let Some(Frame { node, container, others, start, member, .. }) = self.innermost.take() else {
            return ControlFlow::Continue(());
        };
        self.innermost = self.outer.pop();
        self.seen.truncate(others);
        let (value, kind) = match container {
            Container::Object => (Value::Object { is_empty }, Kind::Object),
            Container::Array => (Value::Array { is_empty }, Kind::Array),
        };
        Place { tree, node, start, member }.emit(value, kind, self.scanner.position(), emit)
    }

    /// Where the value stands that the scanner began last.
    fn place<'t>(&self, tree: &'t Tree) -> Place<'t> {
        let start = self.scanner.start();
        match &self.innermost {
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
    /// Hands over the value, and all that it leaves no place for.
    fn emit(&self, value: Value<'_>, kind: Kind, end: u64, emit: Emit<'_>) -> ControlFlow<()> {
        let Some(node) = self.tree.node(self.node) else { return ControlFlow::Continue(()) };
        for &tag in &node.tags {
            emit(tag, value, self.start..end, self.member..end)?;
        }
        if self.tree.reach == Reach::Anywhere {
            // A path that is left here begins elsewhere.
            return ControlFlow::Continue(());
        }
        let names = node.names.iter().map(|(_, child)| *child).filter(|_| kind != Kind::Object);
        for child in names.chain(node.items.filter(|_| kind != Kind::Array)) {
            self.block(child, kind, end, emit)?;
        }
        ControlFlow::Continue(())
    }

    fn block(&self, node: usize, kind: Kind, end: u64, emit: Emit<'_>) -> ControlFlow<()> {
        let Some(node) = self.tree.node(node) else { return ControlFlow::Continue(()) };
        for &tag in &node.tags {
            emit(tag, Value::Blocked(kind), self.start..end, self.member..end)?;
        }
        for child in node.names.iter().map(|(_, child)| *child).chain(node.items) {
            self.block(child, kind, end, emit)?;
        }
        ControlFlow::Continue(())
    }
}

/// The node of the member with this name, if its object's node has one.
fn find(
    node: &Node,
    frame: &mut Frame,
    name: &[u8],
    others: &mut [u64],
    other_case: OtherCase,
) -> Result<Option<usize>, Unreadable> {
    if let Some((index, (known, child))) =
        node.names.iter().enumerate().find(|(_, (known, _))| known.as_bytes() == name)
    {
        let seen = match index.checked_sub(64) {
            None => Some(&mut frame.seen),
            Some(index) => others.get_mut(frame.others.saturating_add(index / 64)),
        };
        let bit = 1 << (index % 64);
        if seen.is_none_or(|seen| std::mem::replace(seen, *seen | bit) & bit != 0) {
            return Err(Unreadable::Repeated(known.clone()));
        }
        return Ok(Some(*child));
    }
    if other_case == OtherCase::Ignored {
        return Ok(None);
    }
    match node.names.iter().find(|(known, _)| is_same_name(known, name)) {
        Some((known, _)) => Err(Unreadable::OtherCase(known.clone())),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests;
