//! The edits that a decision makes to a message's header lines.

use std::ops::Deref;
use std::sync::Arc;

use crate::secret::Secret;

/// A value to set: plain bytes, or bytes that must not be shown.
pub enum HeaderValue {
    /// Bytes that may be logged.
    Plain(Vec<u8>),
    /// A credential, built once when the configuration was read.
    Secret(Arc<Secret>),
}

impl HeaderValue {
    /// The bytes to send.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Secret(secret) => secret.expose(),
        }
    }
}

/// A header's name, in lower case. Nearly all that are edited are known beforehand, and take no memory.
#[derive(Clone, Debug)]
pub enum HeaderName {
    /// One that is always known.
    Known(&'static str),
    /// One of the configuration's, or of a message's.
    Shared(Arc<str>),
}

impl Deref for HeaderName {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Known(name) => name,
            Self::Shared(name) => name,
        }
    }
}

impl PartialEq for HeaderName {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for HeaderName {}

impl From<&'static str> for HeaderName {
    fn from(name: &'static str) -> Self {
        Self::Known(name)
    }
}

impl From<Arc<str>> for HeaderName {
    fn from(name: Arc<str>) -> Self {
        Self::Shared(name)
    }
}

/// One change of a message's header lines.
pub enum Edit {
    /// Removes every line of the name.
    Remove(HeaderName),
    /// Replaces every line of the name by one, or adds it.
    Set(HeaderName, HeaderValue),
}

impl Edit {
    /// The name of the lines that it changes.
    pub fn name(&self) -> &str {
        match self {
            Self::Remove(name) | Self::Set(name, _) => name,
        }
    }
}

/// The changes of one message; at most one for a name, the last one asked for.
#[derive(Default)]
pub struct Edits(Vec<Edit>);

impl Edits {
    /// None yet, with room for so many.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    /// Removes every line of `name`.
    pub fn remove(&mut self, name: impl Into<HeaderName>) {
        self.put(Edit::Remove(name.into()));
    }

    /// Replaces every line of `name` by one of `value`.
    pub fn set(&mut self, name: impl Into<HeaderName>, value: HeaderValue) {
        self.put(Edit::Set(name.into(), value));
    }

    /// The changes, in the order in which their names were first mentioned.
    pub fn iter(&self) -> impl Iterator<Item = &Edit> {
        self.0.iter()
    }

    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keeps those changes of which `keep` says so, which may change them but for their names.
    pub fn retain_mut(&mut self, keep: impl FnMut(&mut Edit) -> bool) {
        self.0.retain_mut(keep);
    }

    fn put(&mut self, edit: Edit) {
        match self.0.iter_mut().find(|earlier| earlier.name() == edit.name()) {
            Some(earlier) => *earlier = edit,
            None => self.0.push(edit),
        }
    }
}

impl Extend<Edit> for Edits {
    fn extend<I: IntoIterator<Item = Edit>>(&mut self, edits: I) {
        edits.into_iter().for_each(|edit| self.put(edit));
    }
}

impl IntoIterator for Edits {
    type Item = Edit;
    type IntoIter = std::vec::IntoIter<Edit>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_edit_of_a_name_stands() {
        let mut edits = Edits::default();
        edits.remove("authorization");
        edits.remove("api-key");
        edits.set("authorization", HeaderValue::Secret(Arc::new(Secret::new(b"Bearer k".to_vec()))));
        let names: Vec<_> = edits.iter().map(Edit::name).collect();
        assert_eq!(names, ["authorization", "api-key"]);
        assert!(matches!(edits.iter().next(), Some(Edit::Set(_, value)) if value.as_bytes() == b"Bearer k"));
    }
}
