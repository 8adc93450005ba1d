//! Decoding settings out of a document: what fits is decoded, what does not is reported and left out.

use super::document::Document;
use super::error::Errors;
use super::omitted::Omitted;
use super::path::{Path, Step};

/// Errors beyond this many are not worth reading.
pub const MAX_ERRORS: usize = 100;

/// What a value can be read as.
pub trait Decode: Sized {
    /// Reads a value; none if it does not fit, of which the reader has been told.
    fn read(value: &Document, reader: &mut Decoder) -> Option<Self>;

    /// What holds where nothing is given; none if something must be.
    fn absent() -> Option<Self> {
        None
    }
}

/// Where in a tree is being read, and what did not fit so far.
#[derive(Default)]
pub struct Decoder {
    location: Path,
    /// What is wrong, in the order of the places.
    pub errors: Errors,
    /// What is left out for it.
    pub omitted: Omitted,
}

impl Decoder {
    /// Tells that `value` does not fit; never what it is, which may be a secret.
    pub fn unfit<T>(&mut self, value: &Document, expected: &str) -> Option<T> {
        self.report(self.location.clone(), format!("found {}, expected {expected}", value.kind()));
        None
    }

    /// The text of a string.
    pub fn text<'v>(&mut self, value: &'v Document, expected: &str) -> Option<&'v str> {
        if let Document::String(text) = value { Some(text) } else { self.unfit(value, expected) }
    }

    /// The index of a string among those that may stand there.
    pub fn choice(&mut self, value: &Document, names: &[&str]) -> Option<usize> {
        let found = match value {
            Document::String(text) => names.iter().position(|name| name == text),
            _ => None,
        };
        found.or_else(|| self.unfit(value, &format!("one of {}", names.join(", "))))
    }

    /// The members of a map that has no others than those that are known.
    pub fn map<'v>(&mut self, value: &'v Document, known: &[&str]) -> Option<&'v Document> {
        for (name, _) in self.members(value)? {
            if !known.contains(&name.as_str()) {
                let member = self.location.key(name);
                let shown = if holds_secret(&self.location) { self.location.clone() } else { member.clone() };
                self.report(shown, format!("unknown setting; known here: {}", known.join(", ")));
                self.omitted.add(member);
            }
        }
        Some(value)
    }

    /// The member `name` of a map, or what holds without it.
    pub fn member<T: Decode>(&mut self, map: &Document, name: &str) -> Option<T> {
        let read = map.member(name).and_then(|value| self.below(Step::Key(name.to_owned()), value));
        read.or_else(T::absent)
    }

    /// A member that must be given.
    pub fn given<T>(&mut self, name: &str, member: Option<T>) -> Option<T> {
        if member.is_none() {
            let location = self.location.key(name);
            // What was given and did not fit has been told.
            if !self.omitted.contains(&location) {
                self.report(location, "missing; it must be given".to_owned());
            }
        }
        member
    }

    /// All members of a map that fit, whatever their names.
    pub fn named<T: Decode>(&mut self, value: &Document) -> Option<Vec<(String, T)>> {
        let mut read = Vec::new();
        for (name, member) in self.members(value)? {
            read.extend(self.below(Step::Key(name.clone()), member).map(|member| (name.clone(), member)));
        }
        Some(read)
    }

    /// All elements of a list that fit.
    pub fn list<T: Decode>(&mut self, value: &Document) -> Option<Vec<T>> {
        let Document::List(elements) = value else { return self.unfit(value, "a list") };
        let mut read = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            read.extend(self.below::<T>(Step::Index(index), element));
        }
        Some(read)
    }

    fn members<'v>(&mut self, value: &'v Document) -> Option<&'v [(String, Document)]> {
        if let Document::Map(members) = value { Some(members) } else { self.unfit(value, "a map") }
    }

    fn below<T: Decode>(&mut self, step: Step, value: &Document) -> Option<T> {
        self.location.enter(step);
        let read = T::read(value, self);
        if read.is_none() {
            self.omitted.add(self.location.clone());
        }
        self.location.leave();
        read
    }

    fn report(&mut self, location: Path, message: String) {
        if self.errors.iter().count() < MAX_ERRORS {
            self.errors.insert(&self.location, location, message);
        }
    }
}

/// Whether a secret may stand there by mistake, even as a name.
fn holds_secret(location: &Path) -> bool {
    let names = ["key", "tokens", "token", "sealing_keys", "signing_key"];
    location.steps().iter().any(|step| matches!(step, Step::Key(name) if names.contains(&name.as_str())))
}
