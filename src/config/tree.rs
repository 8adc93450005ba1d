//! Reading settings out of a tree of values: what fits is read, what does not is told and left out.

use super::cuts::Cuts;
use super::value::Value;
use super::{Errors, Path, Step};

/// Errors beyond this many are not worth reading.
pub const MAX_ERRORS: usize = 100;

/// What a value can be read as.
pub trait Setting: Sized {
    /// Reads a value; none if it does not fit, of which the reader has been told.
    fn read(value: &Value, reader: &mut Reader) -> Option<Self>;

    /// What holds where nothing is given; none if something must be.
    fn absent() -> Option<Self> {
        None
    }
}

/// Where in a tree is being read, and what did not fit so far.
#[derive(Default)]
pub struct Reader {
    place: Path,
    /// What is wrong, in the order of the places.
    pub errors: Errors,
    /// What is left out for it.
    pub cuts: Cuts,
}

impl Reader {
    /// Tells that `value` does not fit; never what it is, which may be a secret.
    pub fn unfit<T>(&mut self, value: &Value, expected: &str) -> Option<T> {
        self.tell(self.place.clone(), format!("found {}, expected {expected}", value.kind()));
        None
    }

    /// The text of a string.
    pub fn text<'v>(&mut self, value: &'v Value, expected: &str) -> Option<&'v str> {
        if let Value::String(text) = value { Some(text) } else { self.unfit(value, expected) }
    }

    /// The index of a string among those that may stand there.
    pub fn choice(&mut self, value: &Value, names: &[&str]) -> Option<usize> {
        let found = match value {
            Value::String(text) => names.iter().position(|name| name == text),
            _ => None,
        };
        found.or_else(|| self.unfit(value, &format!("one of {}", names.join(", "))))
    }

    /// The members of a map that has no others than those that are known.
    pub fn map<'v>(&mut self, value: &'v Value, known: &[&str]) -> Option<&'v Value> {
        for (name, _) in self.members(value)? {
            if !known.contains(&name.as_str()) {
                let member = self.place.key(name);
                let shown = if holds_secret(&self.place) { self.place.clone() } else { member.clone() };
                self.tell(shown, format!("unknown setting; known here: {}", known.join(", ")));
                self.cuts.add(member);
            }
        }
        Some(value)
    }

    /// The member `name` of a map, or what holds without it.
    pub fn member<T: Setting>(&mut self, map: &Value, name: &str) -> Option<T> {
        let read = map.member(name).and_then(|value| self.below(Step::Key(name.to_owned()), value));
        read.or_else(T::absent)
    }

    /// A member that must be given.
    pub fn given<T>(&mut self, name: &str, member: Option<T>) -> Option<T> {
        if member.is_none() {
            let place = self.place.key(name);
            // What was given and did not fit has been told.
            if !self.cuts.contains(&place) {
                self.tell(place, "missing; it must be given".to_owned());
            }
        }
        member
    }

    /// All members of a map that fit, whatever their names.
    pub fn named<T: Setting>(&mut self, value: &Value) -> Option<Vec<(String, T)>> {
        let mut read = Vec::new();
        for (name, member) in self.members(value)? {
            read.extend(self.below(Step::Key(name.clone()), member).map(|member| (name.clone(), member)));
        }
        Some(read)
    }

    /// All elements of a list that fit.
    pub fn list<T: Setting>(&mut self, value: &Value) -> Option<Vec<T>> {
        let Value::List(elements) = value else { return self.unfit(value, "a list") };
        let mut read = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            read.extend(self.below::<T>(Step::Index(index), element));
        }
        Some(read)
    }

    fn members<'v>(&mut self, value: &'v Value) -> Option<&'v [(String, Value)]> {
        if let Value::Map(members) = value { Some(members) } else { self.unfit(value, "a map") }
    }

    fn below<T: Setting>(&mut self, step: Step, value: &Value) -> Option<T> {
        self.place.enter(step);
        let read = T::read(value, self);
        if read.is_none() {
            self.cuts.add(self.place.clone());
        }
        self.place.leave();
        read
    }

    fn tell(&mut self, place: Path, message: String) {
        if self.errors.iter().count() < MAX_ERRORS {
            self.errors.insert(&self.place, place, message);
        }
    }
}

/// Whether a secret may stand there by mistake, even as a name.
fn holds_secret(place: &Path) -> bool {
    let names = ["key", "tokens", "token", "sealing_keys", "signing_key"];
    place.steps().iter().any(|step| matches!(step, Step::Key(name) if names.contains(&name.as_str())))
}
