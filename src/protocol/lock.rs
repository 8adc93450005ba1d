//! Session fields that a policy locks, as dotted paths.

use std::fmt;

/// Session fields that a client may not change: by name, or by dotted path such as `audio.output.voice`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    pub(super) paths: Vec<String>,
}

/// A path with an empty name in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidPath(pub String);

impl Lock {
    /// A lock on these paths.
    pub fn new<S: AsRef<str>>(paths: impl IntoIterator<Item = S>) -> Result<Self, InvalidPath> {
        let paths = paths.into_iter().map(|path| match path.as_ref() {
            path if path.split('.').any(str::is_empty) => Err(InvalidPath(path.to_owned())),
            path => Ok(path.to_owned()),
        });
        Ok(Self { paths: paths.collect::<Result<_, _>>()? })
    }

    /// Whether nothing is locked.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }
}

impl fmt::Display for InvalidPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected names with dots between them, found {:?}", self.0)
    }
}

impl std::error::Error for InvalidPath {}
