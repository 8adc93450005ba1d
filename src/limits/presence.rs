//! Who is there: the workers of a process, and which of them are gone.
//!
//! A worker that runs sessions has a place, a key of its own, at which its beat goes up with each of its ticks. A worker
//! is gone when its beat has stood still through several ticks of the one who asks: no clock is compared, so neither a
//! clock that jumps nor a process that was stopped makes a worker look dead. Who was taken for gone and comes back
//! notices, and takes another place.

use super::codec::{Damaged, Reader, put_number};
use super::store::{Damage, Store, key, update};

/// A worker at its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Worker {
    /// Which place it has.
    pub(crate) place: u16,
    /// Random, not 0.
    pub(crate) id: u64,
}

/// What one worker knows of itself and of the others.
#[derive(Debug)]
pub struct Presence {
    id: u64,
    place: Option<u16>,
    beat: u64,
    /// By place.
    seen: Vec<Seen>,
    damage: Damage,
}

/// Places of workers, at most: more than a machine has threads, times the plugins that share data.
pub(crate) const MAX_PLACES: u16 = 1024;

/// Ticks through which a beat stands still until its worker is gone.
pub(crate) const GONE_AFTER: u8 = 4;

/// A place, seen over some ticks.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    place: Place,
    /// For how many ticks it has not changed.
    unchanged: u8,
}

/// What stands at a place's key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    /// 0 if nobody has it.
    id: u64,
    beat: u64,
}

impl Presence {
    /// A worker of this random id that has no place yet, and knows of nobody.
    pub fn new(random: u64) -> Self {
        Self { id: random.max(1), place: None, beat: 0, seen: Vec::new(), damage: Damage::default() }
    }

    /// Goes on: shows the others that this worker is there, if it has a place, and looks who else is. To be called every
    /// second, before the ticks of what depends on it.
    pub fn tick(&mut self, store: &dyn Store) {
        if self.place.is_some() && !self.beat(store) {
            self.place = None;
            self.join(store);
        }
        self.look(store);
    }

    /// Takes a place unless this worker has one. `None` if there is none left.
    pub fn join(&mut self, store: &dyn Store) -> Option<Worker> {
        for place in 0..MAX_PLACES {
            if self.place.is_some() {
                break;
            }
            let entry = store.read(&place_key(place));
            let vacant = entry.is_absent() || self.read_place(place, &entry.bytes).id == 0;
            let taken = Place { id: self.id, beat: self.beat };
            if vacant && store.write(&place_key(place), &taken.encode(), entry.cas).is_ok() {
                self.place = Some(place);
            }
        }
        self.me()
    }

    /// This worker, if it has a place.
    pub fn me(&self) -> Option<Worker> {
        self.place.map(|place| Worker { place, id: self.id })
    }

    /// Keys that were damaged since this was last asked.
    pub fn take_damaged(&mut self) -> Vec<String> {
        self.damage.take()
    }

    /// Whether a worker is gone. This worker is not, whatever the others think.
    pub(crate) fn is_gone(&self, store: &dyn Store, worker: Worker) -> bool {
        if self.me() == Some(worker) {
            return false;
        }
        let current = Place::decode(&store.read(&place_key(worker.place)).bytes).unwrap_or_default();
        current.id != worker.id || self.has_stood_still(worker.place, current)
    }

    /// Everyone who has a place, and whether they are gone.
    pub(crate) fn workers(&self, store: &dyn Store) -> Vec<(Worker, bool)> {
        let mut workers = Vec::new();
        for place in 0..MAX_PLACES {
            let entry = store.read(&place_key(place));
            if entry.is_absent() {
                break;
            }
            let current = Place::decode(&entry.bytes).unwrap_or_default();
            if current.id != 0 {
                let worker = Worker { place, id: current.id };
                workers.push((worker, self.me() != Some(worker) && self.has_stood_still(place, current)));
            }
        }
        workers
    }

    /// Those who are gone and still have a place.
    pub(crate) fn gone(&self, store: &dyn Store) -> Vec<Worker> {
        let still = (0..).zip(&self.seen).filter(|(_, seen)| seen.place.id != 0 && seen.unchanged >= GONE_AFTER);
        let mut workers: Vec<Worker> = still.map(|(place, seen)| Worker { place, id: seen.place.id }).collect();
        workers.retain(|worker| self.is_gone(store, *worker));
        workers
    }

    /// Frees the place of a worker that is gone, unless it has come back.
    pub(crate) fn vacate(&self, store: &dyn Store, worker: Worker) {
        // Another worker that does so at the same time does the same.
        let _ = update(store, &place_key(worker.place), &mut |bytes| {
            let current = Place::decode(bytes).unwrap_or_default();
            let is_gone = current.id == worker.id && self.has_stood_still(worker.place, current);
            is_gone.then(|| Place::default().encode())
        });
    }

    /// Writes the next beat; false if the place is another's by now.
    fn beat(&mut self, store: &dyn Store) -> bool {
        let Some(Worker { place, id }) = self.me() else { return false };
        let entry = store.read(&place_key(place));
        self.beat = self.beat.wrapping_add(1);
        self.read_place(place, &entry.bytes).id == id
            && store.write(&place_key(place), &Place { id, beat: self.beat }.encode(), entry.cas).is_ok()
    }

    fn look(&mut self, store: &dyn Store) {
        for place in 0..MAX_PLACES {
            let entry = store.read(&place_key(place));
            if entry.is_absent() {
                break;
            }
            let current = self.read_place(place, &entry.bytes);
            match self.seen.get_mut(usize::from(place)) {
                Some(seen) if seen.place == current => seen.unchanged = seen.unchanged.saturating_add(1),
                Some(seen) => *seen = Seen { place: current, unchanged: 0 },
                None => self.seen.push(Seen { place: current, unchanged: 0 }),
            }
        }
    }

    fn has_stood_still(&self, place: u16, current: Place) -> bool {
        let seen = self.seen.get(usize::from(place));
        seen.is_some_and(|seen| seen.place == current && seen.unchanged >= GONE_AFTER)
    }

    /// A place, vacant if it is damaged.
    fn read_place(&mut self, place: u16, bytes: &[u8]) -> Place {
        Place::decode(bytes).unwrap_or_else(|Damaged| {
            self.damage.note(&place_key(place));
            Place::default()
        })
    }
}

impl Place {
    fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, self.id);
        put_number(&mut out, self.beat);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes);
        let place = Self { id: reader.number()?, beat: reader.number()? };
        reader.end().map(|()| place)
    }
}

impl Worker {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_number(out, u64::from(self.place));
        put_number(out, self.id);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Damaged> {
        let place = u16::try_from(reader.number()?).map_err(|_| Damaged)?;
        Ok(Self { place, id: reader.number()? })
    }
}

fn place_key(place: u16) -> String {
    key(format_args!("worker.{place}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::store::memory::{Contested, Memory};
    use super::*;

    fn joined(store: &Memory, id: u64) -> Presence {
        let mut presence = Presence::new(id);
        presence.join(store).unwrap();
        presence
    }

    #[test]
    fn each_worker_has_a_place_of_its_own_and_keeps_it() {
        let store = Memory::default();
        let (mut one, mut other) = (joined(&store, 7), joined(&store, 8));
        for _ in 0..10 {
            one.tick(&store);
            other.tick(&store);
            assert_eq!(one.join(&store), Some(Worker { place: 0, id: 7 }));
            assert_eq!(other.me(), Some(Worker { place: 1, id: 8 }));
        }
        let both = [(one.me().unwrap(), false), (other.me().unwrap(), false)];
        assert_eq!(one.workers(&store), both);
    }

    #[test]
    fn a_worker_that_does_not_run_sessions_takes_no_place() {
        let store = Memory::default();
        let mut presence = Presence::new(0);
        presence.tick(&store);
        assert_eq!((presence.me(), store.size().0), (None, 0));
        assert_eq!(presence.join(&store), Some(Worker { place: 0, id: 1 }));
    }

    #[test]
    fn a_worker_whose_beat_stands_still_is_gone_and_its_place_is_taken_again() {
        let store = Memory::default();
        let dead = joined(&store, 7).me().unwrap();
        let mut other = Presence::new(8);
        for _ in 0..GONE_AFTER {
            other.tick(&store);
            other.vacate(&store, dead);
            assert_eq!(other.workers(&store), [(dead, false)]);
        }
        other.tick(&store);
        assert_eq!(other.workers(&store), [(dead, true)]);
        assert!(other.is_gone(&store, dead));
        other.vacate(&store, dead);
        assert_eq!(other.workers(&store), []);
        assert!(other.is_gone(&store, dead));
        assert_eq!(other.join(&store), Some(Worker { place: 0, id: 8 }));
    }

    #[test]
    fn one_beat_is_enough_to_be_there() {
        let store = Memory::default();
        let (mut slow, mut other) = (joined(&store, 7), Presence::new(8));
        let worker = slow.me().unwrap();
        (0..=GONE_AFTER).for_each(|_| other.tick(&store));
        slow.tick(&store);
        assert!(!other.is_gone(&store, worker));
        other.vacate(&store, worker);
        assert_eq!(slow.me(), Some(worker));
        assert_eq!(other.workers(&store), [(worker, false)]);
    }

    #[test]
    fn who_lost_its_place_takes_another() {
        let store = Memory::default();
        let (mut slow, mut other) = (joined(&store, 7), Presence::new(8));
        (0..=GONE_AFTER).for_each(|_| other.tick(&store));
        other.vacate(&store, slow.me().unwrap());
        other.join(&store).unwrap();
        slow.tick(&store);
        assert_eq!(slow.me(), Some(Worker { place: 1, id: 7 }));
        assert!(other.is_gone(&store, Worker { place: 0, id: 7 }));
        assert!(!slow.is_gone(&store, slow.me().unwrap()));
    }

    #[test]
    fn a_damaged_place_is_taken_and_named() {
        let store = Memory::default();
        let mut presence = joined(&store, 7);
        store.overwrite(&place_key(0), b"\x80");
        presence.tick(&store);
        assert_eq!(presence.me(), Some(Worker { place: 0, id: 7 }));
        assert_eq!(presence.take_damaged(), [place_key(0)]);
    }

    #[test]
    fn places_are_bounded() {
        let store = Memory::default();
        (0..u64::from(MAX_PLACES)).for_each(|id| drop(joined(&store, id + 1)));
        assert_eq!(Presence::new(9999).join(&store), None);
        assert_eq!(Presence::new(9999).join(&Contested(Memory::default())), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_place_or_damage(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            if let Ok(place) = Place::decode(&bytes) {
                prop_assert_eq!(Place::decode(&place.encode()), Ok(place));
            }
        }
    }
}
