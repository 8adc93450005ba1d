//! A page of this worker's sessions, and how it gets to shared data.

use std::borrow::Cow;

use super::page::Page;
use super::registry::{Ticked, page_key, read};
use super::stored::{hang_up, is_hung_up, is_same, is_stopping, stop};
use crate::limits::Worker;
use crate::limits::store::{Damage, Store, update};

/// A page of this worker's, as it is to be.
#[derive(Debug, Default)]
pub(super) struct OwnPage {
    /// At most [`SLOTS`].
    pub(super) slots: Vec<Own>,
    /// Records that are not written yet, the newest of a slot last.
    pub(super) pending: Vec<(u8, Vec<u8>)>,
}

/// What stands in a slot of this worker's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    Free,
    /// A session that runs, and by which name the host knows it.
    Open(u32),
    /// One that runs and was told to stop.
    Told(u32),
    /// One that has ended and is not in the ring yet.
    Ended,
}

impl OwnPage {
    /// Writes what has changed, and adds to `ticked` what it finds.
    pub(super) fn tick(
        &mut self,
        store: &dyn Store,
        me: Worker,
        number: usize,
        damage: &mut Damage,
        ticked: &mut Ticked,
    ) {
        let Noticed { marked, missing, hung_up } = self.write(store, me, number, damage);
        for (within, own) in self.slots.iter_mut().enumerate() {
            let is_in = |slots: u32| slots & (1 << within) != 0;
            if let Own::Open(session) = *own
                && is_in(marked)
            {
                *own = Own::Told(session);
                ticked.stops.push(session);
            }
            if let Own::Open(session) | Own::Told(session) = *own
                && is_in(missing)
            {
                ticked.missing.push(session);
            }
            if let Own::Open(session) | Own::Told(session) = *own
                && is_in(hung_up)
            {
                ticked.hung_up.push(session);
            }
        }
    }

    pub(super) fn write(&mut self, store: &dyn Store, me: Worker, number: usize, damage: &mut Damage) -> Noticed {
        let key = page_key(me.place, number);
        let mut noticed = Noticed::default();
        let written = update(store, &key, &mut |bytes| {
            let mut page = read(bytes, me, &key, damage);
            // Who reads stops at the first page that is not there.
            let has_changed = self.merge(&mut page) || bytes.is_empty();
            noticed = self.notice(&page);
            has_changed.then(|| page.encode())
        });
        if written.is_ok() {
            self.pending = Vec::new();
        }
        noticed
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

    fn notice(&self, page: &Page<'_>) -> Noticed {
        let mut noticed = Noticed::default();
        for within in (0_u8..).take(self.slots.len()) {
            match page.at(within) {
                Some(record) if is_stopping(record) => noticed.marked |= 1 << within,
                Some(record) if is_hung_up(record) => noticed.hung_up |= 1 << within,
                Some(_) => {}
                None => noticed.missing |= 1 << within,
            }
        }
        noticed
    }

    pub(super) fn is_taken(&self, within: u8) -> bool {
        self.slots.get(usize::from(within)).is_some_and(|own| *own != Own::Free)
    }
}

/// What stands on a page, as sets of slots.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Noticed {
    marked: u32,
    missing: u32,
    hung_up: u32,
}
