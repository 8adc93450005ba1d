//! What responses under way may come to, by the budget that they draw on: each worker writes what its own reserve, never
//! that it is more or less, so that whatever was lost is put right by what is written next, and a dead worker's part is
//! forgotten with it.

use std::collections::BTreeMap;

use super::codec::{Corrupt, Reader, put_number};
use super::heartbeat::WorkerSlot;
use super::peers::Peers;
use super::shared_data::{Contended, CorruptKeys, SharedData, update};
use super::tally_page::TallyKey;
use crate::usage::MicroUsd;

/// What is reserved for responses under way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserved {
    /// How many of them go on. One that ends with its session goes on no more, and keeps what is reserved for it.
    pub responses: u64,
    /// Tokens.
    pub tokens: u64,
    /// What they cost.
    pub cost: MicroUsd,
}

/// This worker's part in the reserving.
#[derive(Debug, Default)]
pub struct Reservations {
    local: BTreeMap<TallyKey, Local>,
    corrupt_keys: CorruptKeys,
}

/// A budget, as this worker has to do with it.
#[derive(Debug, Default)]
struct Local {
    /// What is reserved here.
    own: Reserved,
    /// What is reserved elsewhere, as last seen.
    others: Reserved,
    /// What is written is something else.
    is_dirty: bool,
}

/// What stands on a page: which worker reserves how much of which budget; never nothing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Page(Vec<(TallyKey, WorkerSlot, Reserved)>);

/// The most that a page holds. What finds no room is known to its own worker only.
const CAPACITY: usize = 1024;

impl Reserved {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            responses: self.responses.saturating_add(other.responses),
            tokens: self.tokens.saturating_add(other.tokens),
            cost: MicroUsd(self.cost.0.saturating_add(other.cost.0)),
        }
    }

    /// What is left without that.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self {
            responses: self.responses.saturating_sub(other.responses),
            tokens: self.tokens.saturating_sub(other.tokens),
            cost: MicroUsd(self.cost.0.saturating_sub(other.cost.0)),
        }
    }
}

impl Reservations {
    /// One of this worker's sessions reserves so much `after` so much `before`. Gives what all sessions reserve now.
    pub fn change(&mut self, peers: Peers<'_>, key: TallyKey, before: Reserved, after: Reserved) -> Reserved {
        let Self { local, corrupt_keys } = self;
        let at = local.entry(key).or_default();
        at.own = at.own.without(before).and(after);
        at.write(peers, key, corrupt_keys);
        let all = at.own.and(at.others);
        local.retain(|_, local| local.is_kept());
        all
    }

    /// Writes what could not be written, and puts right what is wrong. To be called every second.
    pub fn tick(&mut self, peers: Peers<'_>) {
        let Self { local, corrupt_keys } = self;
        for (key, local) in local.iter_mut() {
            let page = read_page(peers.shared_data, *key, corrupt_keys);
            if local.is_dirty || peers.me().is_some_and(|me| page.of(*key, me) != local.own) {
                local.write(peers, *key, corrupt_keys);
            }
        }
        local.retain(|_, local| local.is_kept());
    }

    /// What all workers that are there reserve.
    pub fn read(&mut self, peers: Peers<'_>, key: TallyKey) -> Reserved {
        let mut page = read_page(peers.shared_data, key, &mut self.corrupt_keys);
        page.forget(key, &|worker| peers.is_gone(worker));
        page.all(key)
    }

    /// Keys that were damaged since this was last asked.
    pub fn take_corrupt_keys(&mut self) -> Vec<String> {
        self.corrupt_keys.take()
    }
}

impl Local {
    fn is_kept(&self) -> bool {
        self.own != Reserved::default() || self.is_dirty
    }

    /// Writes what is reserved here, and sees what is elsewhere; what cannot be written waits on.
    fn write(&mut self, peers: Peers<'_>, key: TallyKey, corrupt_keys: &mut CorruptKeys) {
        let Some(me) = peers.me() else {
            self.is_dirty = self.own != Reserved::default();
            return;
        };
        let (page_key, own) = (page_key(key), self.own);
        let mut others = self.others;
        let written = update(peers.shared_data, &page_key, &mut |bytes| {
            let mut page = decode(bytes, &page_key, corrupt_keys);
            page.forget(key, &|worker| worker != me && peers.is_gone(worker));
            page.set(key, me, Reserved::default());
            others = page.all(key);
            page.set(key, me, own);
            Some(page.encode())
        });
        self.is_dirty = written == Err(Contended);
        if !self.is_dirty {
            self.others = others;
        }
    }
}

impl Page {
    /// What a worker reserves.
    fn of(&self, key: TallyKey, worker: WorkerSlot) -> Reserved {
        let found = self.0.iter().find(|(of, at, _)| *of == key && *at == worker);
        found.map_or_else(Reserved::default, |(.., reserved)| *reserved)
    }

    fn all(&self, key: TallyKey) -> Reserved {
        let of = self.0.iter().filter(|(of, ..)| *of == key);
        of.fold(Reserved::default(), |all, (.., reserved)| all.and(*reserved))
    }

    /// Says what a worker reserves. Whoever was at its slot before is gone, and so is whatever it was itself at another.
    fn set(&mut self, key: TallyKey, worker: WorkerSlot, reserved: Reserved) {
        self.0.retain(|(of, at, _)| {
            let is_former = (at.slot == worker.slot) != (at.id == worker.id);
            !(is_former || (*of == key && *at == worker))
        });
        if reserved != Reserved::default() && self.0.len() < CAPACITY {
            self.0.push((key, worker, reserved));
        }
    }

    /// Forgets what workers reserve that are gone.
    fn forget(&mut self, key: TallyKey, is_gone: &dyn Fn(WorkerSlot) -> bool) {
        self.0.retain(|(of, at, _)| *of != key || !is_gone(*at));
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 + self.0.len() * 40);
        put_number(&mut out, self.0.len() as u64);
        for (key, worker, Reserved { responses, tokens, cost }) in &self.0 {
            key.put(&mut out);
            worker.put(&mut out);
            [*responses, *tokens, cost.0].into_iter().for_each(|number| put_number(&mut out, number));
        }
        out
    }

    fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes);
        let page = Self(reader.list(CAPACITY, |reader| {
            let (key, worker) = (TallyKey::read(reader)?, WorkerSlot::read(reader)?);
            let (responses, tokens, cost) = (reader.number()?, reader.number()?, MicroUsd(reader.number()?));
            Ok((key, worker, Reserved { responses, tokens, cost }))
        })?);
        reader.end().map(|()| page)
    }
}

fn page_key(key: TallyKey) -> String {
    key.page().key_of("reserved")
}

fn read_page(shared_data: &dyn SharedData, key: TallyKey, corrupt_keys: &mut CorruptKeys) -> Page {
    let page_key = page_key(key);
    decode(&shared_data.read(&page_key).bytes, &page_key, corrupt_keys)
}

/// The page in these bytes; anew if they are damaged.
fn decode(bytes: &[u8], key: &str, corrupt_keys: &mut CorruptKeys) -> Page {
    Page::decode(bytes).unwrap_or_else(|Corrupt| {
        corrupt_keys.note(key);
        Page::default()
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::process::Heartbeats;
    use crate::process::heartbeat::GONE_AFTER;
    use crate::process::shared_data::memory::{Contested, Memory, next_second};

    fn reserved(tokens: u64) -> Reserved {
        Reserved { responses: 1, tokens, cost: MicroUsd(tokens * 2) }
    }

    fn key() -> TallyKey {
        TallyKey::of(b"web-app")
    }

    struct Worker<'a> {
        memory: &'a Memory,
        heartbeats: Heartbeats,
        reservations: Reservations,
    }

    impl<'a> Worker<'a> {
        fn new(memory: &'a Memory, id: u64) -> Self {
            let mut heartbeats = Heartbeats::new(id);
            heartbeats.join(memory);
            Self { memory, heartbeats, reservations: Reservations::default() }
        }

        fn change(&mut self, before: Reserved, after: Reserved) -> Reserved {
            self.reservations.change(Peers::new(self.memory, &self.heartbeats), key(), before, after)
        }

        fn tick(&mut self) {
            assert!(self.heartbeats.tick(self.memory, next_second()));
            self.reservations.tick(Peers::new(self.memory, &self.heartbeats));
        }
    }

    #[test]
    fn all_workers_see_what_all_reserve_and_each_gives_its_own_back() {
        let memory = Memory::default();
        let (mut one, mut other) = (Worker::new(&memory, 1), Worker::new(&memory, 2));
        let nothing = Reserved::default();
        assert_eq!(one.change(nothing, reserved(10)), reserved(10));
        assert_eq!(other.change(nothing, reserved(20)), reserved(10).and(reserved(20)));
        assert_eq!(one.change(nothing, reserved(1)).responses, 3);
        assert_eq!(one.change(reserved(10), nothing), reserved(1).and(reserved(20)));
        one.change(reserved(1), nothing);
        assert_eq!(other.change(reserved(20), nothing), nothing);
        assert!(one.reservations.local.is_empty() && other.reservations.local.is_empty());
    }

    #[test]
    fn a_dead_workers_reservations_are_forgotten() {
        let memory = Memory::default();
        let (mut dead, mut other) = (Worker::new(&memory, 1), Worker::new(&memory, 2));
        dead.change(Reserved::default(), reserved(10));
        (0..GONE_AFTER).for_each(|_| other.tick());
        assert_eq!(other.change(Reserved::default(), reserved(1)).tokens, 11);
        other.tick();
        assert_eq!(other.change(reserved(1), reserved(2)), reserved(2));
        dead.tick();
        assert_eq!(other.change(reserved(2), reserved(2)).tokens, 12, "it was not dead after all");
    }

    #[test]
    fn what_cannot_be_written_counts_here_and_is_written_later() {
        let memory = Memory::default();
        let mut worker = Worker::new(&memory, 1);
        let contested = Contested(memory.clone());
        let peers = Peers::new(&contested, &worker.heartbeats);
        let all = worker.reservations.change(peers, key(), Reserved::default(), reserved(5));
        assert_eq!(all, reserved(5));
        let mut other = Worker::new(&memory, 2);
        assert_eq!(other.change(Reserved::default(), Reserved::default()), Reserved::default());
        worker.tick();
        assert_eq!(other.change(Reserved::default(), reserved(1)).tokens, 6);
    }

    #[test]
    fn damage_is_noted_and_begins_anew() {
        let memory = Memory::default();
        let mut worker = Worker::new(&memory, 1);
        worker.change(Reserved::default(), reserved(5));
        memory.overwrite(&page_key(key()), b"\xff");
        worker.tick();
        assert_eq!(worker.reservations.take_corrupt_keys(), [page_key(key())]);
        let peers = Peers::new(&memory, &worker.heartbeats);
        assert_eq!(worker.reservations.read(peers, key()), reserved(5));
    }

    proptest! {
        #[test]
        fn a_page_is_read_as_it_was_written(entries in prop::collection::vec(any::<(u16, u64, u64, u64)>(), 0..50)) {
            let mut page = Page::default();
            for (slot, id, tokens, cost) in entries {
                let reserved = Reserved { responses: 1, tokens, cost: MicroUsd(cost) };
                page.set(TallyKey::of(&id.to_le_bytes()), WorkerSlot { slot, id }, reserved);
            }
            let bytes = page.encode();
            for end in 1..bytes.len() {
                prop_assert!(Page::decode(&bytes[..end]).is_err());
            }
            prop_assert_eq!(Page::decode(&bytes), Ok(page));
        }
    }
}
