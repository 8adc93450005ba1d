//! What is wrong with a configuration: every error, each with its place.

use std::fmt;

use super::path::Path;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// Where.
    pub path: Path,
    /// What was found, and what was expected; never a secret.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.path, self.message)
    }
}

/// Everything that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Errors(Vec<ConfigError>);

impl Errors {
    /// Adds one.
    pub fn add(&mut self, path: &Path, message: impl Into<String>) {
        self.0.push(ConfigError { path: path.clone(), message: message.into() });
    }

    /// Puts one in the order of the places, after those inside `place`.
    pub fn insert(&mut self, location: &Path, path: Path, message: String) {
        let comes_before = |error: &ConfigError| error.path <= path || error.path.is_inside(location);
        self.0.insert(self.0.partition_point(comes_before), ConfigError { path, message });
    }

    /// One error alone.
    pub fn one(path: &Path, message: impl Into<String>) -> Self {
        Self(vec![ConfigError { path: path.clone(), message: message.into() }])
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The errors.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            write!(formatter, "{error}")?;
        }
        Ok(())
    }
}
