//! Where in a configuration something stands: `policies.voice.providers[1]`.

use std::fmt;

/// One step of a path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Step {
    /// Into the member of this name.
    Key(String),
    /// Into the element of this index, from 0.
    Index(usize),
}

/// A place in a configuration.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Path(Vec<Step>);

impl Path {
    /// The member of this name below.
    pub fn key(&self, name: &str) -> Self {
        self.join(Step::Key(name.to_owned()))
    }

    /// The element of this index below.
    pub fn index(&self, index: usize) -> Self {
        self.join(Step::Index(index))
    }

    /// The place one `step` further down.
    pub fn join(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }

    /// Goes one step down.
    pub fn enter(&mut self, step: Step) {
        self.0.push(step);
    }

    /// Goes one step up.
    pub fn leave(&mut self) {
        self.0.pop();
    }

    /// The steps from the top.
    pub fn steps(&self) -> &[Step] {
        &self.0
    }

    /// Whether this place is `above`, or anywhere below it.
    pub fn is_inside(&self, above: &Self) -> bool {
        self.0.starts_with(&above.0)
    }

    /// The place one step up; the top is its own.
    pub fn parent(&self) -> Self {
        Self(self.0.split_last().map(|(_, above)| above.to_vec()).unwrap_or_default())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("configuration");
        }
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(name) if depth == 0 => formatter.write_str(name)?,
                Step::Key(name) => write!(formatter, ".{name}")?,
                Step::Index(index) => write!(formatter, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_read_as_people_write_them() {
        assert_eq!(Path::default().to_string(), "configuration");
        assert_eq!(
            Path::default().key("policies").key("voice").key("providers").index(1).to_string(),
            "policies.voice.providers[1]"
        );
    }
}
