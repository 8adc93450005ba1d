//! Several encoded records under one key.

use std::borrow::Cow;

use crate::process::WorkerSlot;
use crate::process::codec::{Corrupt, Reader, put_bytes, put_number};
use crate::process::shared_data::{CorruptKeys, key};

/// Records in a page, at most: a change writes a few kilobytes, and ten thousand sessions are read in some hundred pages.
pub(super) const SLOTS: usize = 32;

/// A page: a label, and encoded records by slot.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page<'a> {
    /// Whose it is, or which it is.
    pub(super) label: u64,
    /// Below [`SLOTS`], ascending.
    entries: Vec<(u8, Cow<'a, [u8]>)>,
}

impl<'a> Page<'a> {
    /// A page without records.
    pub(super) fn new(label: u64) -> Self {
        Self { label, entries: Vec::new() }
    }

    /// The key of one of a worker's pages.
    pub(super) fn key(slot: u16, number: usize) -> String {
        key(format_args!("sessions.{slot}.{number}"))
    }

    /// The page of a worker in these bytes; empty if they are another's, or damaged.
    pub(super) fn of(bytes: &'a [u8], owner: WorkerSlot, key: &str, corrupt_keys: &mut CorruptKeys) -> Self {
        match Self::decode(bytes) {
            Ok(page) if page.label == owner.id => page,
            Err(_) if !bytes.is_empty() => {
                corrupt_keys.note(key);
                Self::new(owner.id)
            }
            _ => Self::new(owner.id),
        }
    }

    /// The page in these bytes. Its records are not looked at.
    pub(super) fn decode(bytes: &'a [u8]) -> Result<Self, Corrupt> {
        let mut reader = Reader::new(bytes);
        let mut page = Self::new(reader.number()?);
        while !reader.is_empty() {
            let slot = reader.byte()?;
            let is_next = page.entries.last().is_none_or(|(last, _)| *last < slot);
            if !is_next || usize::from(slot) >= SLOTS {
                return Err(Corrupt);
            }
            page.entries.push((slot, Cow::Borrowed(reader.bytes()?)));
        }
        Ok(page)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let len = self.entries.iter().map(|(_, record)| record.len() + 4).sum::<usize>();
        let mut out = Vec::with_capacity(10 + len);
        put_number(&mut out, self.label);
        for (slot, record) in &self.entries {
            out.push(*slot);
            put_bytes(&mut out, record);
        }
        out
    }

    /// The encoded records, in order.
    pub(super) fn records(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.entries.iter().map(|(_, record)| record.as_ref())
    }

    /// The encoded records, in order.
    pub(super) fn records_mut(&mut self) -> impl Iterator<Item = &mut Cow<'a, [u8]>> {
        self.entries.iter_mut().map(|(_, record)| record)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many records there is still room for behind the last.
    pub(super) fn room(&self) -> usize {
        SLOTS - self.entries.last().map_or(0, |(slot, _)| usize::from(*slot) + 1)
    }

    /// The record at a slot.
    pub(super) fn at(&self, slot: u8) -> Option<&[u8]> {
        let at = self.entries.binary_search_by_key(&slot, |(slot, _)| *slot).ok()?;
        self.entries.get(at).map(|(_, record)| record.as_ref())
    }

    /// Puts a record at a slot, which must be below [`SLOTS`].
    pub(super) fn put(&mut self, slot: u8, record: Cow<'a, [u8]>) {
        match self.entries.binary_search_by_key(&slot, |(slot, _)| *slot) {
            Ok(at) => self.entries.splice(at..=at, [(slot, record)]).for_each(drop),
            Err(at) => self.entries.insert(at, (slot, record)),
        }
    }

    /// Appends a record behind the last, if there is room.
    pub(super) fn push(&mut self, record: &'a [u8]) {
        if let Some(slot) = SLOTS.checked_sub(self.room()).filter(|slot| *slot < SLOTS) {
            self.entries.push((slot as u8, Cow::Borrowed(record)));
        }
    }

    /// Removes the records of slots that are not to stay; true if there were any.
    pub(super) fn retain(&mut self, stays: impl Fn(u8) -> bool) -> bool {
        let before = self.entries.len();
        self.entries.retain(|(slot, _)| stays(*slot));
        self.entries.len() < before
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(label: u64, entries: &[(u8, &'static [u8])]) -> Page<'static> {
        let mut page = Page::new(label);
        entries.iter().for_each(|(slot, record)| page.put(*slot, Cow::Borrowed(*record)));
        page
    }

    #[test]
    fn records_stand_in_the_order_of_their_slots() {
        let mut page = page(7, &[(5, b"five"), (0, b"zero"), (31, b"last"), (5, b"new")]);
        assert_eq!(page.records().collect::<Vec<_>>(), [&b"zero"[..], b"new", b"last"]);
        assert_eq!((page.at(5), page.at(6)), (Some(&b"new"[..]), None));
        assert!(page.retain(|slot| slot != 5));
        assert!(!page.retain(|slot| slot != 5));
        assert_eq!(page.at(5), None);
    }

    #[test]
    fn a_page_is_filled_from_behind_and_not_over_its_end() {
        let mut page = page(7, &[(29, b"a")]);
        for (room, record) in [(2, b"b"), (1, b"c"), (0, b"d")] {
            assert_eq!(page.room(), room);
            page.push(record);
        }
        assert_eq!(page.records().collect::<Vec<_>>(), [b"a", b"b", b"c"]);
        assert_eq!(Page::new(1).room(), SLOTS);
    }

    #[test]
    fn slots_out_of_order_or_out_of_range_are_damage() {
        for bad in
            [&[][..], &[1, 0, 1, b'a', 0, 1, b'b'], &[1, 1, 1, b'a', 0, 1, b'b'], &[1, 32, 1, b'a'], &[1, 0, 2, b'a']]
        {
            assert_eq!(Page::decode(bad), Err(Corrupt), "{bad:?}");
        }
        assert_eq!(Page::decode(&[1, 31, 1, b'a']), Ok(page(1, &[(31, b"a")])));
    }

    proptest! {
        #[test]
        fn a_page_is_read_as_it_was_written(
            label: u64,
            records in prop::collection::btree_map(0_u8..32, prop::collection::vec(any::<u8>(), 0..200), 0..32),
        ) {
            let mut page = Page::new(label);
            records.iter().for_each(|(slot, record)| page.put(*slot, Cow::Borrowed(record)));
            let bytes = page.encode();
            prop_assert_eq!(Page::decode(&bytes), Ok(page));
        }

        #[test]
        fn any_bytes_are_a_page_or_damage(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(page) = Page::decode(&bytes) {
                let again = page.encode();
                prop_assert_eq!(Page::decode(&again), Ok(page));
            }
        }
    }
}
