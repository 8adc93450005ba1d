//! Envoy's header map.

use std::fmt;

/// Headers whose repeated lines Envoy joins by a comma before any filter sees them, of those that matter here.
const JOINED: [&str; 7] =
    ["authorization", "connection", "content-encoding", "content-type", "origin", "upgrade", "user-agent"];

/// Header lines in order; names repeat, values are bytes.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Lines(Vec<(String, Vec<u8>)>);

impl Lines {
    /// Adds a line that a peer sent.
    pub fn add(&mut self, name: &str, value: impl AsRef<[u8]>) {
        let (name, value) = (name.to_ascii_lowercase(), value.as_ref());
        let known = self.0.iter_mut().find(|(known, _)| *known == name && JOINED.contains(&name.as_str()));
        match known {
            Some((_, joined)) => *joined = [joined, b",".as_slice(), value].concat(),
            None => self.insert(name, value.to_vec()),
        }
    }

    /// All lines.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// How many lines there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The value of the first line of a name.
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The values of all lines of a name, as text.
    pub fn all(&self, name: &str) -> Vec<String> {
        let lines = self.iter().filter(|(known, _)| *known == name);
        lines.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    }

    /// The values of all lines of a name, joined as Envoy's property `request.headers` has them.
    pub fn joined(&self, name: &str) -> Option<Vec<u8>> {
        let values: Vec<_> = self.iter().filter(|(known, _)| *known == name).map(|(_, value)| value).collect();
        (!values.is_empty()).then(|| values.join(b",".as_slice()))
    }

    /// Removes all lines of a name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(known, _)| known != name);
    }

    /// Removes all lines of a name and adds one, which Envoy puts at the end.
    pub fn replace(&mut self, name: &str, value: &[u8]) {
        self.remove(name);
        self.insert(name.to_owned(), value.to_vec());
    }

    /// Every line as `name: value`.
    pub fn text(&self) -> Vec<String> {
        self.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect()
    }

    /// The ABI's serialization.
    pub fn serialized(&self) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        let mut bytes = u32::try_from(self.count()).unwrap().to_le_bytes().to_vec();
        for (name, value) in self.iter() {
            bytes.extend(length(name.as_bytes()));
            bytes.extend(length(value));
        }
        for part in self.iter().flat_map(|(name, value)| [name.as_bytes(), value]) {
            bytes.extend(part);
            bytes.push(0);
        }
        bytes
    }

    /// Reads the ABI's serialization.
    pub fn parse(bytes: &[u8]) -> Self {
        let word = |index: usize| u32::from_le_bytes(bytes[index * 4..][..4].try_into().unwrap()) as usize;
        let mut lines = Self::default();
        let mut at = 4 + 8 * word(0);
        let mut part = |length: usize| {
            let part = &bytes[at..][..length];
            assert_eq!(bytes[at + length], 0, "a NUL stands behind each name and value");
            at += length + 1;
            part
        };
        for index in 0..word(0) {
            let (name, value) = (part(word(1 + 2 * index)), part(word(2 + 2 * index)));
            lines.insert(String::from_utf8(name.to_vec()).unwrap(), value.to_vec());
        }
        lines
    }

    /// Envoy keeps pseudo-headers before all others.
    fn insert(&mut self, name: String, value: Vec<u8>) {
        let is_pseudo = |name: &str| name.starts_with(':');
        let end =
            if is_pseudo(&name) { self.0.iter().take_while(|(name, _)| is_pseudo(name)).count() } else { self.count() };
        self.0.insert(end, (name, value));
    }
}

impl<N: AsRef<str>, V: AsRef<[u8]>> FromIterator<(N, V)> for Lines {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(all: I) -> Self {
        let mut lines = Self::default();
        all.into_iter().for_each(|(name, value)| lines.add(name.as_ref(), value));
        lines
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.text()).finish()
    }
}
