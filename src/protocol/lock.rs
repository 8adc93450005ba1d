//! Session fields that a policy locks, as dotted paths, the types of tools that it allows, and what becomes of a message
//! that would change one of them.

use std::sync::{Arc, LazyLock, OnceLock};

use super::client_field::ClientField;
use super::kind::{SessionKind, Spelling};
use crate::json::paths::{InvalidPath, Paths};

/// The place of tools that are of no allowed type: behind all locked fields.
pub(super) const TOOLS_PLACE: u16 = u16::MAX;

/// What becomes of a client's message that would change what is locked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnChange {
    /// It ends the session.
    #[default]
    End,
    /// It goes no further, and the client is told.
    Refuse,
    /// It goes on without what is locked.
    Drop,
}

/// What is inspected of messages, by their kind.
type ByKind = [OnceLock<Arc<Paths<ClientField>>>; SessionKind::ALL.len()];

/// Session fields that a client may not change: by name, or by dotted path such as `audio.output.voice`. Tools of types that
/// are not allowed count as one of them.
#[derive(Debug, Clone)]
pub struct Lock {
    rules: Arc<Rules>,
}

#[derive(Debug, Default)]
struct Rules {
    written: Written,
    /// What is inspected of a client's messages: these, and what every one is judged by.
    compiled: ByKind,
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Written {
    names: Vec<String>,
    /// The types that tools may have; without this, all.
    tool_types: Option<Vec<String>>,
    on_change: OnChange,
}

/// The rules that lock nothing.
static NOTHING: LazyLock<Arc<Rules>> = LazyLock::new(Arc::default);

impl Lock {
    /// A lock on these paths.
    ///
    /// # Errors
    /// If one has an empty name in it, or is of more than one field.
    pub fn new<S: AsRef<str>>(paths: impl IntoIterator<Item = S>) -> Result<Self, InvalidPath> {
        let names = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        Self::of(Written { names, ..Written::default() })
    }

    /// A lock of this, if it can be.
    fn of(written: Written) -> Result<Self, InvalidPath> {
        let is_bad = |path: &&String| path.contains(['*', '[', ']']) || path.split('.').any(str::is_empty);
        match written.names.iter().find(is_bad) {
            Some(path) => Err(InvalidPath(path.clone())),
            None => Ok(Self { rules: Arc::new(Rules { written, compiled: ByKind::default() }) }),
        }
    }

    /// What is inspected of messages of this kind.
    fn compile(&self, kind: SessionKind) -> Paths<ClientField> {
        let (words, written) = (&kind.row().client, &self.rules.written);
        let mut paths = vec![("type".to_owned(), ClientField::Type)];
        let mut add = |path: &str, field| paths.push((path.to_owned(), field));
        if written.on_change == OnChange::Refuse {
            add("event_id", ClientField::EventId);
        }
        for (container, path) in words.containers.iter().filter(|(_, path)| !path.is_empty()) {
            add(path, ClientField::Container(*container));
        }
        words.models.iter().enumerate().for_each(|(place, (path, ..))| add(path, ClientField::Model(place)));
        words.others.iter().for_each(|(path, field)| add(path, *field));
        for (tools, field) in words.tools.iter().filter(|_| written.tool_types.is_some()) {
            add(tools, *field);
            match field {
                ClientField::MemberTool(_) => add(&format!("{tools}.*"), ClientField::MemberToolType),
                _ => add(&format!("{tools}.type"), ClientField::ToolType),
            }
        }
        for (place, name) in written.names.iter().enumerate() {
            for name in spellings(name, words.spelling) {
                for (container, path) in words.containers {
                    let dot = if path.is_empty() { "" } else { "." };
                    add(&format!("{path}{dot}{name}"), ClientField::Locked(*container, place));
                }
            }
        }
        Paths::new(&paths)
    }

    /// These paths are locked too.
    ///
    /// # Errors
    /// If one is no path of a single field.
    pub fn with<'a>(&'a self, paths: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPath> {
        let mut written = self.rules.written.clone();
        written.names.extend(paths.into_iter().map(str::to_owned));
        Self::of(written)
    }

    /// Tools of other types than these are locked too.
    ///
    /// # Errors
    /// None: what is locked already is known to be good.
    pub fn with_tool_types<S: AsRef<str>>(&self, types: impl IntoIterator<Item = S>) -> Result<Self, InvalidPath> {
        let types = types.into_iter().map(|name| name.as_ref().to_owned());
        Self::of(Written { tool_types: Some(types.collect()), ..self.rules.written.clone() })
    }

    /// The same, and what becomes of messages that would change what is locked.
    ///
    /// # Errors
    /// None: what is locked already is known to be good.
    pub fn on_change(&self, on_change: OnChange) -> Result<Self, InvalidPath> {
        Self::of(Written { on_change, ..self.rules.written.clone() })
    }

    /// What becomes of messages that would change what is locked, if something is.
    pub fn reaction(&self) -> Option<OnChange> {
        (!self.is_empty()).then_some(self.rules.written.on_change)
    }

    /// Whether nothing is locked.
    pub fn is_empty(&self) -> bool {
        self.rules.written.names.is_empty() && self.rules.written.tool_types.is_none()
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.rules.written.names.iter().map(String::as_str)
    }

    pub(super) fn path(&self, place: u16) -> Option<&str> {
        let name = || self.rules.written.names.get(usize::from(place)).map(String::as_str);
        if place == TOOLS_PLACE { Some("tools") } else { name() }
    }

    /// Whether tools may be of this type.
    pub(super) fn allows_tools_of(&self, name: &str) -> bool {
        self.rules.written.tool_types.as_ref().is_none_or(|types| types.iter().any(|allowed| allowed == name))
    }

    /// The place of `instructions`, if they are locked.
    pub(super) fn instructions(&self) -> Option<usize> {
        self.rules.written.names.iter().position(|name| name == "instructions")
    }

    /// What is inspected of a message of this kind.
    pub(super) fn paths(&self, kind: SessionKind) -> Arc<Paths<ClientField>> {
        let of_kind = self.rules.compiled.get(kind as usize);
        let known = of_kind.map(|paths| paths.get_or_init(|| Arc::new(self.compile(kind))).clone());
        known.unwrap_or_else(|| Arc::new(self.compile(kind)))
    }
}

/// How a path may be written.
fn spellings(path: &str, spelling: Spelling) -> Vec<String> {
    let mut all = vec![String::new()];
    for name in path.split('.') {
        let snake = match spelling {
            Spelling::CamelOrSnake => Some(snake_case(name)).filter(|snake| snake != name),
            Spelling::Exact => None,
        };
        let spelled = |start: &String| {
            let dot = if start.is_empty() { "" } else { "." };
            let spelled = |name: &str| format!("{start}{dot}{name}");
            std::iter::once(spelled(name)).chain(snake.as_deref().map(spelled)).collect::<Vec<_>>()
        };
        all = all.iter().flat_map(spelled).collect();
    }
    all
}

/// `systemInstruction` as `system_instruction`.
pub(super) fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len());
    for character in name.chars() {
        if character.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

impl Default for Lock {
    /// Nothing is locked.
    fn default() -> Self {
        Self { rules: NOTHING.clone() }
    }
}

impl PartialEq for Lock {
    fn eq(&self, other: &Self) -> bool {
        self.rules.written == other.rules.written
    }
}

impl Eq for Lock {}
