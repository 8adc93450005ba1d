//! Heartbeats: the workers of a process, and which of them are gone.
//!
//! A worker that runs sessions has a slot, a key of its own, at which its beat goes up with each of its ticks. A worker
//! is gone when its beat has stood still through several ticks of the one who asks: no clock is compared, so neither a
//! clock that jumps nor a process that was stopped makes a worker look dead. Who was taken for gone and comes back
//! notices, and takes another slot.

use std::time::{Duration, SystemTime};

use super::codec::{Corrupt, Reader, put_number};
use super::shared_data::{CorruptKeys, SharedData, key, update};

/// A worker at its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerSlot {
    /// Which slot it has.
    pub(crate) slot: u16,
    /// Random, not 0.
    pub(crate) id: u64,
}

/// What one worker knows of itself and of the others.
#[derive(Debug)]
pub struct Heartbeats {
    id: u64,
    slot: Option<u16>,
    beat: u64,
    ticked: Option<SystemTime>,
    /// By slot.
    seen: Vec<Seen>,
    corrupt_keys: CorruptKeys,
}

/// Slots of workers, at most: more than a machine has threads, times the plugins that share data.
pub(crate) const MAX_SLOTS: u16 = 1024;

/// Ticks through which a beat stands still until its worker is gone.
pub(crate) const GONE_AFTER: u8 = 4;

/// Whoever ticked much faster than the others would take them for gone.
const MIN_TICK: Duration = Duration::from_millis(900);

/// A slot, seen over some ticks.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    beat: Beat,
    /// For how many ticks it has not changed.
    unchanged: u8,
}

/// What stands at a slot's key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Beat {
    /// 0 if nobody has it.
    id: u64,
    beat: u64,
}

impl Heartbeats {
    /// A worker of this random id that has no slot yet, and knows of nobody.
    pub fn new(random: u64) -> Self {
        Self {
            id: random.max(1),
            slot: None,
            beat: 0,
            ticked: None,
            seen: Vec::new(),
            corrupt_keys: CorruptKeys::default(),
        }
    }

    /// Goes on: shows the others that this worker is there, if it has a slot, and looks who else is. To be called every
    /// second, before the ticks of what depends on it. False if it is called too early, by a second root context: then
    /// nothing was done, and there is nothing to do.
    pub fn tick(&mut self, shared_data: &dyn SharedData, now: SystemTime) -> bool {
        if self.ticked.and_then(|ticked| now.duration_since(ticked).ok()).is_some_and(|since| since < MIN_TICK) {
            return false;
        }
        self.ticked = Some(now);
        if self.slot.is_some() && !self.beat(shared_data) {
            self.slot = None;
            self.join(shared_data);
        }
        self.look(shared_data);
        true
    }

    /// Takes a slot unless this worker has one. `None` if there is none left.
    pub fn join(&mut self, shared_data: &dyn SharedData) -> Option<WorkerSlot> {
        for slot in 0..MAX_SLOTS {
            if self.slot.is_some() {
                break;
            }
            let entry = shared_data.read(&slot_key(slot));
            let vacant = entry.is_absent() || self.read_beat(slot, &entry.bytes).id == 0;
            let taken = Beat { id: self.id, beat: self.beat };
            if vacant && shared_data.write(&slot_key(slot), &taken.encode(), entry.cas).is_ok() {
                self.slot = Some(slot);
            }
        }
        self.me()
    }

    /// This worker, if it has a slot.
    pub fn me(&self) -> Option<WorkerSlot> {
        self.slot.map(|slot| WorkerSlot { slot, id: self.id })
    }

    /// Keys that were damaged since this was last asked.
    pub fn take_corrupt_keys(&mut self) -> Vec<String> {
        self.corrupt_keys.take()
    }

    /// Whether a worker is gone. This worker is not, whatever the others think.
    pub(crate) fn is_gone(&self, shared_data: &dyn SharedData, worker: WorkerSlot) -> bool {
        if self.me() == Some(worker) {
            return false;
        }
        let current = Beat::decode(&shared_data.read(&slot_key(worker.slot)).bytes).unwrap_or_default();
        current.id != worker.id || self.has_stood_still(worker.slot, current)
    }

    /// Everyone who has a slot, and whether they are gone.
    pub(crate) fn workers(&self, shared_data: &dyn SharedData) -> Vec<(WorkerSlot, bool)> {
        let mut workers = Vec::new();
        for slot in 0..MAX_SLOTS {
            let entry = shared_data.read(&slot_key(slot));
            if entry.is_absent() {
                break;
            }
            let current = Beat::decode(&entry.bytes).unwrap_or_default();
            if current.id != 0 {
                let worker = WorkerSlot { slot, id: current.id };
                workers.push((worker, self.me() != Some(worker) && self.has_stood_still(slot, current)));
            }
        }
        workers
    }

    /// Those who are gone and still have a slot.
    pub(crate) fn gone(&self, shared_data: &dyn SharedData) -> Vec<WorkerSlot> {
        let still = (0..).zip(&self.seen).filter(|(_, seen)| seen.beat.id != 0 && seen.unchanged >= GONE_AFTER);
        let mut workers: Vec<WorkerSlot> = still.map(|(slot, seen)| WorkerSlot { slot, id: seen.beat.id }).collect();
        workers.retain(|worker| self.is_gone(shared_data, *worker));
        workers
    }

    /// Frees the slot of a worker that is gone, unless it has come back.
    pub(crate) fn vacate(&self, shared_data: &dyn SharedData, worker: WorkerSlot) {
        // Another worker that does so at the same time does the same.
        let _ = update(shared_data, &slot_key(worker.slot), &mut |bytes| {
            let current = Beat::decode(bytes).unwrap_or_default();
            let is_gone = current.id == worker.id && self.has_stood_still(worker.slot, current);
            is_gone.then(|| Beat::default().encode())
        });
    }

    /// Writes the next beat; false if the slot is another's by now.
    fn beat(&mut self, shared_data: &dyn SharedData) -> bool {
        let Some(WorkerSlot { slot, id }) = self.me() else { return false };
        let key = slot_key(slot);
        let entry = shared_data.read(&key);
        self.beat = self.beat.wrapping_add(1);
        self.read_beat(slot, &entry.bytes).id == id
            && shared_data.write(&key, &Beat { id, beat: self.beat }.encode(), entry.cas).is_ok()
    }

    fn look(&mut self, shared_data: &dyn SharedData) {
        for slot in 0..MAX_SLOTS {
            let entry = shared_data.read(&slot_key(slot));
            if entry.is_absent() {
                break;
            }
            let current = self.read_beat(slot, &entry.bytes);
            match self.seen.get_mut(usize::from(slot)) {
                Some(seen) if seen.beat == current => seen.unchanged = seen.unchanged.saturating_add(1),
                Some(seen) => *seen = Seen { beat: current, unchanged: 0 },
                None => self.seen.push(Seen { beat: current, unchanged: 0 }),
            }
        }
    }

    fn has_stood_still(&self, slot: u16, current: Beat) -> bool {
        let seen = self.seen.get(usize::from(slot));
        seen.is_some_and(|seen| seen.beat == current && seen.unchanged >= GONE_AFTER)
    }

    /// A slot, vacant if it is damaged.
    fn read_beat(&mut self, slot: u16, bytes: &[u8]) -> Beat {
        Beat::decode(bytes).unwrap_or_else(|Corrupt| {
            self.corrupt_keys.note(&slot_key(slot));
            Beat::default()
        })
    }
}

impl Beat {
    fn encode(self) -> Vec<u8> {
        let mut out = Vec::new();
        put_number(&mut out, self.id);
        put_number(&mut out, self.beat);
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut reader = Reader::new(bytes);
        let beat = Self { id: reader.number()?, beat: reader.number()? };
        reader.end().map(|()| beat)
    }
}

impl WorkerSlot {
    pub(super) fn put(self, out: &mut Vec<u8>) {
        put_number(out, u64::from(self.slot));
        put_number(out, self.id);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let slot = u16::try_from(reader.number()?).map_err(|_| Corrupt)?;
        Ok(Self { slot, id: reader.number()? })
    }
}

fn slot_key(slot: u16) -> String {
    key(format_args!("worker.{slot}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::process::shared_data::memory::{Contested, Memory, next_second};

    fn joined(shared_data: &Memory, id: u64) -> Heartbeats {
        let mut heartbeats = Heartbeats::new(id);
        heartbeats.join(shared_data).unwrap();
        heartbeats
    }

    #[test]
    fn each_worker_has_a_slot_of_its_own_and_keeps_it() {
        let shared_data = Memory::default();
        let (mut one, mut other) = (joined(&shared_data, 7), joined(&shared_data, 8));
        for _ in 0..10 {
            assert!(one.tick(&shared_data, next_second()));
            assert!(other.tick(&shared_data, next_second()));
            assert_eq!(one.join(&shared_data), Some(WorkerSlot { slot: 0, id: 7 }));
            assert_eq!(other.me(), Some(WorkerSlot { slot: 1, id: 8 }));
        }
        let both = [(one.me().unwrap(), false), (other.me().unwrap(), false)];
        assert_eq!(one.workers(&shared_data), both);
    }

    #[test]
    fn a_worker_that_does_not_run_sessions_takes_no_slot() {
        let shared_data = Memory::default();
        let mut heartbeats = Heartbeats::new(0);
        assert!(heartbeats.tick(&shared_data, next_second()));
        assert_eq!((heartbeats.me(), shared_data.size().0), (None, 0));
        assert_eq!(heartbeats.join(&shared_data), Some(WorkerSlot { slot: 0, id: 1 }));
    }

    #[test]
    fn a_worker_whose_beat_stands_still_is_gone_and_its_slot_is_taken_again() {
        let shared_data = Memory::default();
        let dead = joined(&shared_data, 7).me().unwrap();
        let mut other = Heartbeats::new(8);
        for _ in 0..GONE_AFTER {
            assert!(other.tick(&shared_data, next_second()));
            other.vacate(&shared_data, dead);
            assert_eq!(other.workers(&shared_data), [(dead, false)]);
        }
        assert!(other.tick(&shared_data, next_second()));
        assert_eq!(other.workers(&shared_data), [(dead, true)]);
        assert!(other.is_gone(&shared_data, dead));
        other.vacate(&shared_data, dead);
        assert_eq!(other.workers(&shared_data), []);
        assert!(other.is_gone(&shared_data, dead));
        assert_eq!(other.join(&shared_data), Some(WorkerSlot { slot: 0, id: 8 }));
    }

    #[test]
    fn one_beat_is_enough_to_be_there() {
        let shared_data = Memory::default();
        let (mut slow, mut other) = (joined(&shared_data, 7), Heartbeats::new(8));
        let worker = slow.me().unwrap();
        (0..=GONE_AFTER).for_each(|_| assert!(other.tick(&shared_data, next_second())));
        assert!(slow.tick(&shared_data, next_second()));
        assert!(!other.is_gone(&shared_data, worker));
        other.vacate(&shared_data, worker);
        assert_eq!(slow.me(), Some(worker));
        assert_eq!(other.workers(&shared_data), [(worker, false)]);
    }

    #[test]
    fn ticks_that_come_too_early_are_none() {
        let shared_data = Memory::default();
        let (worker, mut other) = (joined(&shared_data, 7).me().unwrap(), Heartbeats::new(8));
        let start = next_second();
        let ticks = (0..100).filter(|tenth| other.tick(&shared_data, start + Duration::from_millis(tenth * 100)));
        assert_eq!(ticks.count(), 12);
        assert!(other.is_gone(&shared_data, worker));
        assert!(other.tick(&shared_data, start - Duration::from_secs(3600)), "a clock that is set back");
        assert!(!other.tick(&shared_data, start - Duration::from_millis(3_599_900)));
    }

    #[test]
    fn who_lost_its_slot_takes_another() {
        let shared_data = Memory::default();
        let (mut slow, mut other) = (joined(&shared_data, 7), Heartbeats::new(8));
        (0..=GONE_AFTER).for_each(|_| assert!(other.tick(&shared_data, next_second())));
        other.vacate(&shared_data, slow.me().unwrap());
        other.join(&shared_data).unwrap();
        assert!(slow.tick(&shared_data, next_second()));
        assert_eq!(slow.me(), Some(WorkerSlot { slot: 1, id: 7 }));
        assert!(other.is_gone(&shared_data, WorkerSlot { slot: 0, id: 7 }));
        assert!(!slow.is_gone(&shared_data, slow.me().unwrap()));
    }

    #[test]
    fn a_corrupt_slot_is_taken_and_named() {
        let shared_data = Memory::default();
        let mut heartbeats = joined(&shared_data, 7);
        shared_data.overwrite(&slot_key(0), b"\x80");
        assert!(heartbeats.tick(&shared_data, next_second()));
        assert_eq!(heartbeats.me(), Some(WorkerSlot { slot: 0, id: 7 }));
        assert_eq!(heartbeats.take_corrupt_keys(), [slot_key(0)]);
    }

    #[test]
    fn slots_are_bounded() {
        let shared_data = Memory::default();
        (0..u64::from(MAX_SLOTS)).for_each(|id| drop(joined(&shared_data, id + 1)));
        assert_eq!(Heartbeats::new(9999).join(&shared_data), None);
        assert_eq!(Heartbeats::new(9999).join(&Contested(Memory::default())), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_beat_or_corrupt(bytes in prop::collection::vec(any::<u8>(), 0..24)) {
            if let Ok(slot) = Beat::decode(&bytes) {
                prop_assert_eq!(Beat::decode(&slot.encode()), Ok(slot));
            }
        }
    }
}
