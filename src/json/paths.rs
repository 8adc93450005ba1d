//! What to find in JSON: paths to members and items, each with a tag, compiled into one tree.

use std::fmt;

/// Paths such as `session.audio.output.voice` and `choices[].delta.content`: names with dots between them, and `[]` for
/// every item of an array. The empty path is the whole value. A last name of `*` stands for all names that no path has
/// there; their values are not read.
///
/// Every name of a path is inspected: it may stand only once in its object.
///
/// ```
/// use realtime_byok::json::paths::Paths;
///
/// #[derive(Clone, Copy)]
/// enum Field { Type, Content }
///
/// let paths = Paths::new(&[("type", Field::Type), ("choices[].delta.content", Field::Content)]);
/// assert!(paths.with("choices..delta", Field::Content).is_err());
/// ```
#[derive(Debug, Clone)]
pub struct Paths<T> {
    pub(super) tree: Tree,
    pub(super) tags: Vec<T>,
}

/// A path with an empty name in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPath(pub String);

/// The paths without what the tags are, so that all users share the code that walks it.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    /// The first is the whole value.
    nodes: Vec<Node>,
    /// Bytes of the longest name.
    pub(super) longest_name: usize,
    pub(super) reach: Reach,
}

/// Where paths begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// At the whole value.
    Whole,
    /// At any object in it. Names are the same whatever their case, and may stand in an object as often as they like.
    Anywhere,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    /// Places among the tags.
    pub(super) tags: Vec<usize>,
    /// Names of members, each with its node.
    pub(super) names: Vec<(Box<str>, usize)>,
    /// Places among the tags that hear of other names.
    pub(super) other_names: Vec<usize>,
    /// The node of an array's items.
    pub(super) items: Option<usize>,
}

impl<T: Copy> Paths<T> {
    /// Compiles paths that are known to be good. What is no path is left out.
    pub fn new<S: AsRef<str>>(paths: &[(S, T)]) -> Self {
        let tree = Tree { nodes: vec![Node::default()], longest_name: 0, reach: Reach::Whole };
        let mut compiled = Self { tree, tags: Vec::with_capacity(paths.len()) };
        for (path, tag) in paths {
            let added = compiled.add(path.as_ref(), *tag);
            debug_assert!(added.is_ok(), "{added:?}");
        }
        compiled
    }

    /// The same, at any object of the value, however deep. Names are the same whatever their case, and may stand in an
    /// object as often as they like.
    ///
    /// ```
    /// use std::ops::ControlFlow;
    /// use std::sync::Arc;
    /// use realtime_byok::json::{matcher::{Bounds, Matcher}, paths::Paths};
    ///
    /// let paths = Arc::new(Paths::new(&[("session.tools", ())]).anywhere());
    /// let mut found = 0;
    /// Matcher::new(paths, Bounds::default()).feed(br#"{"a":[{"Session":{"tools":1,"TOOLS":2}}]}"#, &mut |_| {
    ///     found += 1;
    ///     ControlFlow::Continue(())
    /// })?;
    /// assert_eq!(found, 2);
    /// # Ok::<(), realtime_byok::json::matcher::Unreadable>(())
    /// ```
    #[must_use]
    pub fn anywhere(mut self) -> Self {
        self.tree.reach = Reach::Anywhere;
        self
    }

    /// These and one more.
    ///
    /// # Errors
    /// If `path` has an empty name in it, or ends with one.
    pub fn with(mut self, path: &str, tag: T) -> Result<Self, InvalidPath> {
        self.add(path, tag)?;
        Ok(self)
    }

    fn add(&mut self, path: &str, tag: T) -> Result<(), InvalidPath> {
        let (path, is_of_others) = match path.strip_suffix('*') {
            Some("") => ("", true),
            Some(object) => (object.strip_suffix('.').ok_or_else(|| InvalidPath(path.to_owned()))?, true),
            None => (path, false),
        };
        let mut node = 0;
        for segment in path.split('.').filter(|_| !path.is_empty()) {
            let name = segment.trim_end_matches("[]");
            if name.is_empty() {
                return Err(InvalidPath(path.to_owned()));
            }
            node = self.tree.member(node, name);
            for _ in 0..(segment.len() - name.len()) / 2 {
                node = self.tree.item(node);
            }
        }
        if let Some(node) = self.tree.nodes.get_mut(node) {
            let tags = if is_of_others { &mut node.other_names } else { &mut node.tags };
            tags.push(self.tags.len());
            self.tags.push(tag);
        }
        Ok(())
    }
}

impl Tree {
    pub(super) fn node(&self, node: usize) -> Option<&Node> {
        self.nodes.get(node)
    }

    /// The node of a member of this name of an object at `node`, where paths begin at any object. What has no node of its
    /// own is at the first: a path may begin in it.
    pub(super) fn anywhere(&self, node: usize, name: &[u8]) -> usize {
        let known = |node: usize| {
            let names = self.node(node)?.names.iter();
            names.into_iter().find(|(known, _)| is_same_name(known, name)).map(|(_, child)| *child)
        };
        known(node).or_else(|| known(0)).unwrap_or_default()
    }

    fn member(&mut self, parent: usize, name: &str) -> usize {
        self.longest_name = self.longest_name.max(name.len());
        let next = self.nodes.len();
        let Some(parent) = self.nodes.get_mut(parent) else { return 0 };
        if let Some((_, known)) = parent.names.iter().find(|(known, _)| **known == *name) {
            return *known;
        }
        parent.names.push((name.into(), next));
        self.nodes.push(Node::default());
        next
    }

    fn item(&mut self, parent: usize) -> usize {
        let next = self.nodes.len();
        let Some(parent) = self.nodes.get_mut(parent) else { return 0 };
        let items = *parent.items.get_or_insert(next);
        if items == next {
            self.nodes.push(Node::default());
        }
        items
    }
}

/// Whether two names are the same whatever their case. Go's readers, among others, take the long s and the Kelvin sign for
/// letters of ASCII too.
pub(super) fn is_same_name(known: &str, name: &[u8]) -> bool {
    if name.len() == known.len() {
        return known.as_bytes().eq_ignore_ascii_case(name);
    }
    let folded = |character: char| match character {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        _ => character.to_ascii_lowercase(),
    };
    let name = str::from_utf8(name).unwrap_or_default();
    !name.is_ascii() && known.chars().map(folded).eq(name.chars().map(folded))
}

impl fmt::Display for InvalidPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected names with dots between them, found {:?}", self.0)
    }
}

impl std::error::Error for InvalidPath {}
