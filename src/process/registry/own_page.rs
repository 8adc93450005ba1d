//! A page of this worker's sessions, and how it gets to shared data.

use std::borrow::Cow;

use super::page::Page;
use super::record_codec::{hang_up, is_hung_up, is_same, is_stopping, stop};
use crate::process::WorkerSlot;
use crate::process::shared_data::{CorruptKeys, SharedData, update};

/// A page of this worker's, as it is to be.
#[derive(Debug, Default)]
pub(super) struct OwnPage {
    /// At most [`SLOTS`](super::page::SLOTS).
    pub(super) slots: Vec<SlotState>,
    /// Records that are not written yet, the newest of a slot last.
    pub(super) pending: Vec<(u8, Vec<u8>)>,
}

/// What stands in a slot of this worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SlotState {
    Free,
    /// A session that runs, and by which name the host knows it.
    Open(u32),
    /// One that runs and was marked to stop.
    Stopping(u32),
    /// One that has ended and is not in the ring yet.
    Ended,
}

/// What a tick asks of the host.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Notices {
    /// Sessions that are to stop, each named once, by what [`Registry::begin`](super::Registry::begin) was given.
    pub stops: Vec<u32>,
    /// Sessions whose records were lost, and are to be [updated](super::Registry::update) whether they have changed or not.
    pub missing: Vec<u32>,
    /// Calls that others than their workers have ended.
    pub hung_up: Vec<u32>,
}

impl OwnPage {
    /// Adds what was found on the page, each stop once.
    pub(super) fn notice(&mut self, Marks { marked, missing, hung_up }: Marks, notices: &mut Notices) {
        for (within, state) in self.slots.iter_mut().enumerate() {
            let is_in = |slots: u32| slots & (1 << within) != 0;
            if let SlotState::Open(session) = *state
                && is_in(marked)
            {
                *state = SlotState::Stopping(session);
                notices.stops.push(session);
            }
            if let SlotState::Open(session) | SlotState::Stopping(session) = *state
                && is_in(missing)
            {
                notices.missing.push(session);
            }
            if let SlotState::Open(session) | SlotState::Stopping(session) = *state
                && is_in(hung_up)
            {
                notices.hung_up.push(session);
            }
        }
    }

    /// Writes what has changed, and says what stands on the page.
    pub(super) fn write(
        &mut self,
        shared_data: &dyn SharedData,
        me: WorkerSlot,
        number: usize,
        corrupt_keys: &mut CorruptKeys,
    ) -> Marks {
        let key = Page::key(me.slot, number);
        let mut marks = Marks::default();
        let written = update(shared_data, &key, &mut |bytes| {
            let mut page = Page::of(bytes, me, &key, corrupt_keys);
            // Who reads stops at the first page that is not there.
            let has_changed = self.merge(&mut page) || bytes.is_empty();
            marks = self.marks(&page);
            has_changed.then(|| page.encode())
        });
        if written.is_ok() {
            self.pending = Vec::new();
        }
        marks
    }

    /// Brings a page up to date; false if it is.
    fn merge<'a>(&'a self, page: &mut Page<'a>) -> bool {
        let mut has_changed = page.retain(|slot| self.is_taken(slot));
        for (slot, record) in &self.pending {
            if self.is_taken(*slot) {
                let old = page.at(*slot).filter(|old| is_same(old, record));
                let (is_marked, is_hung_up) = (old.is_some_and(is_stopping), old.is_some_and(is_hung_up));
                let mut record = Cow::Borrowed(record.as_slice());
                if is_marked {
                    stop(record.to_mut());
                } else if is_hung_up {
                    hang_up(record.to_mut());
                }
                page.put(*slot, record);
                has_changed = true;
            }
        }
        has_changed
    }

    fn marks(&self, page: &Page<'_>) -> Marks {
        let mut marks = Marks::default();
        for within in (0_u8..).take(self.slots.len()) {
            match page.at(within) {
                Some(record) if is_stopping(record) => marks.marked |= 1 << within,
                Some(record) if is_hung_up(record) => marks.hung_up |= 1 << within,
                Some(_) => {}
                None => marks.missing |= 1 << within,
            }
        }
        marks
    }

    pub(super) fn is_taken(&self, within: u8) -> bool {
        self.slots.get(usize::from(within)).is_some_and(|state| *state != SlotState::Free)
    }
}

/// What stands on a page, as sets of slots.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks {
    marked: u32,
    missing: u32,
    hung_up: u32,
}
