//! What does not fit, and is left out.

use super::path::{Path, Step};

/// Places of a configuration, as it was written, that are left out of what was read of it.
#[derive(Default)]
pub(crate) struct Omitted(Vec<Path>);

impl Omitted {
    /// Notes one.
    pub(crate) fn add(&mut self, location: Path) {
        self.0.push(location);
    }

    /// Whether this very place is left out.
    pub(crate) fn contains(&self, location: &Path) -> bool {
        self.0.contains(location)
    }

    /// Whether something right below this place is left out.
    pub(crate) fn are_below(&self, location: &Path) -> bool {
        self.0.iter().any(|cut| cut.parent() == *location)
    }

    /// A place in what was read, as a place in what was written: an index counts the elements that were left out.
    pub(crate) fn original(&self, location: &Path) -> Path {
        location.steps().iter().fold(Path::default(), |above, step| match step {
            Step::Key(_) => above.join(step.clone()),
            Step::Index(index) => above.index(self.original_index(&above, *index)),
        })
    }

    fn original_index(&self, list: &Path, index: usize) -> usize {
        let is_cut = |index: &usize| {
            self.0.iter().any(|cut| cut.parent() == *list && cut.steps().last() == Some(&Step::Index(*index)))
        };
        (0..).filter(|index| !is_cut(index)).nth(index).unwrap_or(index)
    }
}
