//! Session fields that a policy locks, as dotted paths.

use std::sync::Arc;

use super::client_field::{ClientField, Container, EVERY};
use crate::json::paths::{InvalidPath, Paths};

/// Session fields that a client may not change: by name, or by dotted path such as `audio.output.voice`.
#[derive(Debug, Clone)]
pub struct Lock {
    names: Arc<[String]>,
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
        let mut compiled = Paths::clone(&EVERY);
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
        Ok(Self { names: names.into(), paths: Arc::new(compiled) })
    }

    /// These paths are locked too.
    ///
    /// # Errors
    /// If one is no path of a single field.
    pub fn with<'a>(&'a self, paths: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPath> {
        Self::new(self.names.iter().map(String::as_str).chain(paths))
    }

    /// Whether nothing is locked.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    pub(super) fn path(&self, place: usize) -> Option<&str> {
        self.names.get(place).map(String::as_str)
    }

    pub(super) fn paths(&self) -> &Arc<Paths<ClientField>> {
        &self.paths
    }
}

impl Default for Lock {
    /// Nothing is locked.
    fn default() -> Self {
        Self { names: Arc::default(), paths: EVERY.clone() }
    }
}

impl PartialEq for Lock {
    fn eq(&self, other: &Self) -> bool {
        self.names == other.names
    }
}

impl Eq for Lock {}
