//! What the workers of one process share: bytes by key, as proxy-wasm's shared data has them.

use std::fmt::Write as _;

/// Shared data. A key cannot be deleted, and keys cannot be listed.
pub trait SharedData {
    /// What stands at a key, and its version; [`Entry::absent`] when nothing was ever written there.
    fn read(&self, key: &str) -> Entry;

    /// Writes, if the version at the key is still `cas`. A key that is absent takes any `cas`.
    ///
    /// # Errors
    ///
    /// Where the value has another version by now, and so may have changed.
    fn write(&self, key: &str, bytes: &[u8], cas: u32) -> Result<(), CasMismatch>;
}

/// What stands at a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The bytes; none at an absent key.
    pub bytes: Vec<u8>,
    /// The version that they have, to be given back when they are replaced.
    pub cas: u32,
}

/// The version at the key is another by now: nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CasMismatch;

/// Other workers always came in between: nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contended;

/// Keys whose bytes could not be read: what stood there was started anew. An operator should know.
#[derive(Debug, Default)]
pub struct CorruptKeys {
    keys: Vec<String>,
}

/// How often a change is tried. Whoever loses a try lost it to another who won, so that losing all is hardly possible.
const ATTEMPTS: u32 = 32;

/// More damaged keys at a time are not named.
const MAX_CORRUPT_KEYS: usize = 8;

/// What all keys begin with. A number that changes with the encodings keeps an old and a new module, which run side by
/// side while the old one drains, out of each other's data.
const PREFIX: &str = "realtime_byok.3.";

/// As long as nearly every key is at most.
const KEY_LENGTH: usize = 64;

impl Entry {
    /// Nothing was ever written at the key.
    ///
    /// Its version is not 0, which would overwrite whatever another worker may have written in between, but one that no
    /// entry has before the four billionth write: the first of two who write is the only one.
    pub fn absent() -> Self {
        Self { bytes: Vec::new(), cas: u32::MAX }
    }

    /// Whether nothing was ever written at the key. Nothing empty is ever written.
    pub(crate) fn is_absent(&self) -> bool {
        self.bytes.is_empty()
    }
}

impl CorruptKeys {
    pub(crate) fn note(&mut self, key: &str) {
        if self.keys.len() < MAX_CORRUPT_KEYS && !self.keys.iter().any(|known| known == key) {
            self.keys.push(key.to_owned());
        }
    }

    /// The keys since this was last asked, eight at most.
    pub fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.keys)
    }
}

/// The full name of a key.
pub(crate) fn key(name: std::fmt::Arguments<'_>) -> String {
    // One allocation: such a name is made for every look at what is shared.
    let mut key = String::with_capacity(KEY_LENGTH);
    key.push_str(PREFIX);
    match name.as_str() {
        Some(name) => key.push_str(name),
        // Writing to a String cannot fail.
        None => drop(key.write_fmt(name)),
    }
    key
}

/// Replaces what stands at a key by what `change` makes of it, in one step for all workers; `None` leaves it. Nothing
/// that `change` has done counts but in its last call.
pub(crate) fn update(
    shared_data: &dyn SharedData,
    key: &str,
    change: &mut dyn FnMut(&[u8]) -> Option<Vec<u8>>,
) -> Result<(), Contended> {
    for _ in 0..ATTEMPTS {
        let entry = shared_data.read(key);
        let Some(bytes) = change(&entry.bytes) else { return Ok(()) };
        if shared_data.write(key, &bytes, entry.cas).is_ok() {
            return Ok(());
        }
    }
    Err(Contended)
}

#[cfg(test)]
pub(crate) mod memory {
    use std::collections::HashMap;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::*;

    /// Shared data as Envoy has it, with its quirks. Clones share it.
    #[derive(Clone, Default)]
    pub(crate) struct Memory(Arc<Mutex<Inner>>);

    #[derive(Default)]
    struct Inner {
        entries: HashMap<String, (Vec<u8>, u32)>,
        last_cas: u32,
        writes: usize,
        reads: usize,
    }

    impl Memory {
        /// Reads and writes so far.
        pub(crate) fn operations(&self) -> (usize, usize) {
            let inner = self.0.lock().unwrap();
            (inner.reads, inner.writes)
        }

        /// Keys that exist, and the bytes in them.
        pub(crate) fn size(&self) -> (usize, usize) {
            let inner = self.0.lock().unwrap();
            (inner.entries.len(), inner.entries.values().map(|(bytes, _)| bytes.len()).sum())
        }

        /// All keys.
        pub(crate) fn keys(&self) -> Vec<String> {
            self.0.lock().unwrap().entries.keys().cloned().collect()
        }

        /// Writes whatever stands there.
        pub(crate) fn overwrite(&self, key: &str, bytes: &[u8]) {
            self.write(key, bytes, 0).unwrap();
        }
    }

    impl SharedData for Memory {
        fn read(&self, key: &str) -> Entry {
            let mut inner = self.0.lock().unwrap();
            inner.reads += 1;
            match inner.entries.get(key) {
                Some((bytes, cas)) => Entry { bytes: bytes.clone(), cas: *cas },
                None => Entry::absent(),
            }
        }

        fn write(&self, key: &str, bytes: &[u8], cas: u32) -> Result<(), CasMismatch> {
            let mut inner = self.0.lock().unwrap();
            inner.writes += 1;
            if inner.entries.get(key).is_some_and(|(_, current)| cas != 0 && cas != *current) {
                return Err(CasMismatch);
            }
            inner.last_cas += 1;
            let cas = inner.last_cas;
            inner.entries.insert(key.to_owned(), (bytes.to_vec(), cas));
            Ok(())
        }
    }

    /// A second after the last one that anybody has got.
    pub(crate) fn next_second() -> SystemTime {
        static SECONDS: AtomicU64 = AtomicU64::new(1_000_000_000);
        UNIX_EPOCH + Duration::from_secs(SECONDS.fetch_add(1, Ordering::Relaxed))
    }

    /// A store in which every write comes too late.
    pub(crate) struct Contested(pub(crate) Memory);

    impl SharedData for Contested {
        fn read(&self, key: &str) -> Entry {
            self.0.read(key)
        }

        fn write(&self, _: &str, _: &[u8], _: u32) -> Result<(), CasMismatch> {
            Err(CasMismatch)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::memory::{Contested, Memory};
    use super::*;

    #[test]
    fn of_two_who_find_nothing_one_writes() {
        let shared_data = Memory::default();
        let (one, other) = (shared_data.read("k"), shared_data.read("k"));
        assert_eq!(shared_data.write("k", b"one", one.cas), Ok(()));
        assert_eq!(shared_data.write("k", b"other", other.cas), Err(CasMismatch));
        assert_eq!(shared_data.read("k").bytes, b"one");
    }

    #[test]
    fn a_change_that_came_too_late_is_made_again() {
        let shared_data = Memory::default();
        shared_data.overwrite("k", b"1");
        let mut tries = 0;
        let done = update(&shared_data, "k", &mut |bytes| {
            tries += 1;
            if tries == 1 {
                shared_data.overwrite("k", b"5");
            }
            Some(vec![bytes[0] + 1])
        });
        assert_eq!((done, tries), (Ok(()), 2));
        assert_eq!(shared_data.read("k").bytes, b"6");
    }

    #[test]
    fn a_change_that_always_comes_too_late_is_given_up() {
        let mut tries = 0;
        let done = update(&Contested(Memory::default()), "k", &mut |_| {
            tries += 1;
            Some(vec![1])
        });
        assert_eq!((done, tries), (Err(Contended), ATTEMPTS));
    }

    #[test]
    fn damaged_keys_are_named_once_and_not_without_end() {
        let mut corrupt_keys = CorruptKeys::default();
        (0..100).for_each(|key| corrupt_keys.note(&(key / 2).to_string()));
        assert_eq!(corrupt_keys.take(), ["0", "1", "2", "3", "4", "5", "6", "7"]);
        assert_eq!(corrupt_keys.take(), Vec::<String>::new());
    }
}
