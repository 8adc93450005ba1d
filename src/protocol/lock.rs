//! Session fields that a policy locks, as dotted paths, the types of tools that it allows, and what becomes of a message
//! that would change one of them.

use std::sync::{Arc, LazyLock};

use super::client_field::{ClientField, Container, EVERY};
use crate::json::paths::{InvalidPath, Paths};

/// The place of tools that are of no allowed type: behind all locked fields.
pub(super) const TOOLS_PLACE: usize = usize::MAX;

/// Where tools are listed.
const TOOLS: [(&str, ClientField); 5] = [
    ("session.tools[]", ClientField::Tool(Container::Session)),
    ("response.tools[]", ClientField::Tool(Container::Response)),
    ("response.input[].tools[]", ClientField::InputTool(Container::Response)),
    ("tools[]", ClientField::Tool(Container::Top)),
    ("input[].tools[]", ClientField::InputTool(Container::Top)),
];

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

/// Session fields that a client may not change: by name, or by dotted path such as `audio.output.voice`. Tools of types that
/// are not allowed count as one of them.
#[derive(Debug, Clone)]
pub struct Lock {
    rules: Arc<Rules>,
}

#[derive(Debug)]
struct Rules {
    written: Written,
    /// What is inspected of a client's events: these, and what every event is judged by.
    paths: Arc<Paths<ClientField>>,
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Written {
    names: Vec<String>,
    /// The types that tools may have; without this, all.
    tool_types: Option<Vec<String>>,
    on_change: OnChange,
}

impl Lock {
    /// A lock on these paths.
    ///
    /// # Errors
    /// If one has an empty name in it, or is of more than one field.
    pub fn new<S: AsRef<str>>(paths: impl IntoIterator<Item = S>) -> Result<Self, InvalidPath> {
        let names = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        Self::compile(Written { names, ..Written::default() })
    }

    fn compile(written: Written) -> Result<Self, InvalidPath> {
        let mut compiled = Paths::clone(&EVERY);
        if written.on_change == OnChange::Refuse {
            compiled = compiled.with("event_id", ClientField::EventId)?;
        }
        for (place, name) in written.names.iter().enumerate() {
            if name.is_empty() || name.contains(['*', '[', ']']) {
                return Err(InvalidPath(name.clone()));
            }
            let within = [("session.", Container::Session), ("response.", Container::Response), ("", Container::Top)];
            for (prefix, container) in within {
                compiled = compiled
                    .with(&format!("{prefix}{name}"), ClientField::Locked(container, place))
                    .map_err(|_| InvalidPath(name.clone()))?;
            }
        }
        for (tools, field) in TOOLS.into_iter().filter(|_| written.tool_types.is_some()) {
            compiled = compiled.with(tools, field)?;
            compiled = compiled.with(&format!("{tools}.type"), ClientField::ToolType)?;
        }
        Ok(Self { rules: Arc::new(Rules { written, paths: Arc::new(compiled) }) })
    }

    /// These paths are locked too.
    ///
    /// # Errors
    /// If one is no path of a single field.
    pub fn with<'a>(&'a self, paths: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPath> {
        let mut written = self.rules.written.clone();
        written.names.extend(paths.into_iter().map(str::to_owned));
        Self::compile(written)
    }

    /// Tools of other types than these are locked too.
    ///
    /// # Errors
    /// None: what is locked already is known to be good.
    pub fn with_tool_types<S: AsRef<str>>(&self, types: impl IntoIterator<Item = S>) -> Result<Self, InvalidPath> {
        let types = types.into_iter().map(|name| name.as_ref().to_owned());
        Self::compile(Written { tool_types: Some(types.collect()), ..self.rules.written.clone() })
    }

    /// The same, and what becomes of messages that would change what is locked.
    ///
    /// # Errors
    /// None: what is locked already is known to be good.
    pub fn on_change(&self, on_change: OnChange) -> Result<Self, InvalidPath> {
        Self::compile(Written { on_change, ..self.rules.written.clone() })
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

    pub(super) fn path(&self, place: usize) -> Option<&str> {
        let name = || self.rules.written.names.get(place).map(String::as_str);
        if place == TOOLS_PLACE { Some("tools") } else { name() }
    }

    /// Whether tools may be of this type.
    pub(super) fn allows_tools_of(&self, name: &str) -> bool {
        self.rules.written.tool_types.as_ref().is_none_or(|types| types.iter().any(|allowed| allowed == name))
    }

    pub(super) fn paths(&self) -> &Arc<Paths<ClientField>> {
        &self.rules.paths
    }
}

/// The rules that lock nothing.
static NOTHING: LazyLock<Arc<Rules>> =
    LazyLock::new(|| Arc::new(Rules { written: Written::default(), paths: EVERY.clone() }));

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
