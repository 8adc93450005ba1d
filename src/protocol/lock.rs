//! Session fields that a policy locks, as dotted paths, the types of tools that it allows, and what becomes of a message
//! that would change one of them.

use std::sync::Arc;

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
    names: Arc<[String]>,
    /// The types that tools may have; without this, all.
    tool_types: Option<Arc<[String]>>,
    on_change: OnChange,
    /// What is inspected of a client's events: these, and what every event is judged by.
    paths: Arc<Paths<ClientField>>,
}

impl Lock {
    /// A lock on these paths.
    ///
    /// # Errors
    /// If one has an empty name in it, or is of more than one field.
    pub fn new<S: AsRef<str>>(paths: impl IntoIterator<Item = S>) -> Result<Self, InvalidPath> {
        let names: Vec<String> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        Self { names: names.into(), ..Self::default() }.compile()
    }

    fn compile(self) -> Result<Self, InvalidPath> {
        let Self { names, tool_types, on_change, .. } = self;
        let mut compiled = Paths::clone(&EVERY);
        if on_change == OnChange::Refuse {
            compiled = compiled.with("event_id", ClientField::EventId)?;
        }
        for (place, name) in names.iter().enumerate() {
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
        for (tools, field) in TOOLS.into_iter().filter(|_| tool_types.is_some()) {
            compiled = compiled.with(tools, field)?;
            compiled = compiled.with(&format!("{tools}.type"), ClientField::ToolType)?;
        }
        Ok(Self { names, tool_types, on_change, paths: Arc::new(compiled) })
    }

    /// These paths are locked too.
    ///
    /// # Errors
    /// If one is no path of a single field.
    pub fn with<'a>(&'a self, paths: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPath> {
        let names = self.names.iter().cloned().chain(paths.into_iter().map(str::to_owned));
        Self { names: names.collect(), ..self.clone() }.compile()
    }

    /// Tools of other types than these are locked too.
    ///
    /// # Errors
    /// None: what is locked already is known to be good.
    pub fn with_tool_types<S: AsRef<str>>(&self, types: impl IntoIterator<Item = S>) -> Result<Self, InvalidPath> {
        let types = types.into_iter().map(|name| name.as_ref().to_owned());
        Self { tool_types: Some(types.collect()), ..self.clone() }.compile()
    }

    /// The same, and what becomes of messages that would change what is locked.
    ///
    /// # Errors
    /// None: what is locked already is known to be good.
    pub fn on_change(self, on_change: OnChange) -> Result<Self, InvalidPath> {
        Self { on_change, ..self }.compile()
    }

    /// What becomes of messages that would change what is locked, if something is.
    pub fn reaction(&self) -> Option<OnChange> {
        (!self.is_empty()).then_some(self.on_change)
    }

    /// Whether nothing is locked.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty() && self.tool_types.is_none()
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(super) fn path(&self, place: usize) -> Option<&str> {
        if place == TOOLS_PLACE { Some("tools") } else { self.names.get(place).map(String::as_str) }
    }

    /// Whether tools may be of this type.
    pub(super) fn allows_tools_of(&self, name: &str) -> bool {
        self.tool_types.as_ref().is_none_or(|types| types.iter().any(|allowed| allowed == name))
    }

    pub(super) fn paths(&self) -> &Arc<Paths<ClientField>> {
        &self.paths
    }
}

impl Default for Lock {
    /// Nothing is locked.
    fn default() -> Self {
        Self { names: Arc::default(), tool_types: None, on_change: OnChange::End, paths: EVERY.clone() }
    }
}

impl PartialEq for Lock {
    fn eq(&self, other: &Self) -> bool {
        let parts = |lock: &Self| (lock.names.clone(), lock.tool_types.clone(), lock.on_change);
        parts(self) == parts(other)
    }
}

impl Eq for Lock {}
