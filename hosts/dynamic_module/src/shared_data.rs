//! What the workers of the process share, in its memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex};

use realtime_byok::process::{CasMismatch, Entry, SharedData};

use super::process::lock;

/// Bytes by key, in parts, each under a lock of its own: who reads one key seldom waits for who writes another. Clones share
/// them.
#[derive(Clone, Default)]
pub(crate) struct ProcessData(Arc<Parts>);

#[derive(Default)]
struct Parts {
    hasher: RandomState,
    parts: [Mutex<Part>; 16],
}

#[derive(Default)]
struct Part {
    entries: HashMap<String, Entry>,
    /// The last version that was given.
    cas: u32,
}

impl Parts {
    fn part(&self, key: &str) -> &Mutex<Part> {
        let [first, ..] = &self.parts;
        let at = usize::try_from(self.hasher.hash_one(key) & 0xf).unwrap_or_default();
        self.parts.get(at).unwrap_or(first)
    }
}

impl SharedData for ProcessData {
    fn read(&self, key: &str) -> Entry {
        lock(self.0.part(key)).entries.get(key).cloned().unwrap_or_else(Entry::absent)
    }

    fn write(&self, key: &str, bytes: &[u8], cas: u32) -> Result<(), CasMismatch> {
        let mut part = lock(self.0.part(key));
        let Part { entries, cas: last } = &mut *part;
        // The version of what is absent is none that was ever given.
        *last = if *last >= u32::MAX - 1 { 1 } else { *last + 1 };
        match entries.get_mut(key) {
            Some(entry) if entry.cas != cas => return Err(CasMismatch),
            Some(entry) => {
                entry.bytes.clear();
                entry.bytes.extend_from_slice(bytes);
                entry.cas = *last;
            }
            None => {
                entries.insert(key.to_owned(), Entry { bytes: bytes.to_vec(), cas: *last });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn the_first_of_two_who_find_nothing_is_the_only_one() {
        let data = ProcessData::default();
        let (one, other) = (data.read("k"), data.clone().read("k"));
        assert_eq!(data.write("k", b"one", one.cas), Ok(()));
        assert_eq!(data.write("k", b"other", other.cas), Err(CasMismatch));
        assert_eq!(data.read("k").bytes, b"one");
    }

    #[test]
    fn no_change_of_many_threads_is_lost() {
        const THREADS: u64 = 8;
        const CHANGES: u64 = 2000;
        let data = ProcessData::default();
        let count = |key: &str| data.read(key).bytes.try_into().map_or(0, u64::from_le_bytes);
        thread::scope(|scope| {
            for thread in 0..THREADS {
                let data = data.clone();
                scope.spawn(move || {
                    for change in 0..CHANGES {
                        let key = format!("key {}", (thread + change) % 3);
                        loop {
                            let Entry { bytes, cas } = data.read(&key);
                            let next = bytes.try_into().map_or(0, u64::from_le_bytes) + 1;
                            if data.write(&key, &next.to_le_bytes(), cas).is_ok() {
                                break;
                            }
                        }
                    }
                });
            }
        });
        assert_eq!((0..3).map(|key| count(&format!("key {key}"))).sum::<u64>(), THREADS * CHANGES);
    }
}
