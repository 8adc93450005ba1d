//! One page of tallies that all workers share, as it stands in shared data: who has drawn how much, and until when that
//! matters.
//!
//! Shared data forgets no key, so there is a fixed number of pages, and each tally's key says which of them holds it.

use sha2::{Digest as _, Sha256};

use super::codec::{Corrupt, Reader, put_number};
use super::shared_data::key;
use crate::limit::Drawn;
use crate::usage::MicroUsd;

/// The most tallies that a page holds. With [`PAGES`] that is 131,072 in all, and hardly fewer before a page is full:
/// digests spread evenly, so that pages fill alike.
pub(super) const CAPACITY: usize = 128;

/// A clock that is set back a little must not let anybody draw anew, in seconds.
const SET_BACK: u64 = 60;

/// How many bits of a key say which page holds it.
const PAGE_BITS: u32 = 10;

/// How many pages there are.
#[cfg(test)]
pub(super) const PAGES: usize = 1 << PAGE_BITS;

/// What a tally is known by: the digest of something that is not shown, such as a client secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TallyKey([u8; 16]);

/// Which page; in the order of the keys that they hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageNumber(u16);

/// The tallies of a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Page(Vec<Entry>);

/// One tally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    key: TallyKey,
    /// Until when it matters, in Unix seconds.
    pub(super) kept_until: u64,
    pub(super) drawn: Drawn,
}

/// A page holds as many tallies as it can, and all still matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    /// When one will not matter any more, in Unix seconds.
    pub(super) until: u64,
}

impl TallyKey {
    /// The key of whatever these bytes are, which cannot be found out from it.
    pub fn of(secret: &[u8]) -> Self {
        let digest: [u8; 32] = Sha256::digest(secret).into();
        Self(*digest.first_chunk().unwrap_or(&[0; 16]))
    }

    /// A key that was told before.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key, to be told to another replica.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    pub(super) fn page(self) -> PageNumber {
        let Self([high, low, ..]) = self;
        PageNumber(u16::from_be_bytes([high, low]) >> (u16::BITS - PAGE_BITS))
    }

    pub(super) fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Corrupt> {
        reader.array().map(Self)
    }
}

impl PageNumber {
    /// The page's key in shared data.
    pub(super) fn key(self) -> String {
        self.key_of("tallies")
    }

    /// The key of a page of something else that is found by the same keys.
    pub(super) fn key_of(self, name: &str) -> String {
        key(format_args!("{name}.{}", self.0))
    }
}

impl Entry {
    fn forgotten_at(&self) -> u64 {
        self.kept_until.saturating_add(SET_BACK)
    }
}

impl Page {
    pub(super) fn find(&self, key: TallyKey) -> Option<&Entry> {
        self.0.iter().find(|entry| entry.key == key)
    }

    /// The tally of this key, begun with `drawn` if there is none. What matters no more at `now` makes room.
    pub(super) fn entry(&mut self, key: TallyKey, drawn: Drawn, now: u64) -> Result<&mut Entry, Full> {
        self.0.retain(|entry| entry.key == key || entry.forgotten_at() > now);
        let at = match self.0.iter().position(|entry| entry.key == key) {
            Some(at) => at,
            None if self.0.len() >= CAPACITY => {
                return Err(Full { until: self.0.iter().map(Entry::forgotten_at).min().unwrap_or(now) });
            }
            None => {
                self.0.push(Entry { key, kept_until: 0, drawn });
                self.0.len() - 1
            }
        };
        self.0.get_mut(at).ok_or(Full { until: now })
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 + self.0.len() * 32);
        put_number(&mut out, self.0.len() as u64);
        for Entry { key, kept_until, drawn } in &self.0 {
            key.put(&mut out);
            let numbers = [*kept_until, drawn.sessions, drawn.tokens, drawn.cost.0];
            numbers.into_iter().for_each(|number| put_number(&mut out, number));
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes);
        let page = Self(reader.list(CAPACITY, |reader| {
            Ok(Entry {
                key: TallyKey::read(reader)?,
                kept_until: reader.number()?,
                drawn: Drawn { sessions: reader.number()?, tokens: reader.number()?, cost: MicroUsd(reader.number()?) },
            })
        })?);
        reader.end().map(|()| page)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nth(number: u64) -> TallyKey {
        TallyKey::of(&number.to_be_bytes())
    }

    #[test]
    fn keys_spread_over_all_pages_in_their_order() {
        let mut keys: Vec<TallyKey> = (0..20_000).map(nth).collect();
        keys.sort_unstable();
        let mut pages: Vec<u16> = keys.iter().map(|key| key.page().0).collect();
        assert!(pages.is_sorted());
        pages.dedup();
        assert_eq!(pages.len(), PAGES);
    }

    #[test]
    fn a_full_page_takes_no_more_until_something_matters_no_more() {
        let mut page = Page::default();
        for number in 0..CAPACITY as u64 {
            page.entry(nth(number), Drawn::default(), 0).unwrap().kept_until = 100 + number;
        }
        let full = page.clone();
        assert_eq!(page.entry(nth(999), Drawn::default(), 159), Err(Full { until: 160 }));
        assert_eq!(page, full);
        assert!(page.entry(nth(5), Drawn::default(), 159).is_ok(), "what is there is found");
        let drawn = Drawn::session();
        assert_eq!(page.entry(nth(999), drawn, 160).unwrap().drawn, drawn);
        assert_eq!((page.find(nth(0)), page.0.len()), (None, CAPACITY));
    }

    #[test]
    fn a_tally_that_is_asked_for_is_not_forgotten_in_that_moment() {
        let mut page = Page::default();
        page.entry(nth(1), Drawn::session(), 0).unwrap().kept_until = 10;
        assert_eq!(page.entry(nth(1), Drawn::default(), 1000).unwrap().drawn, Drawn::session());
    }

    #[test]
    fn what_is_cut_or_counts_too_many_is_damage() {
        let mut page = Page::default();
        page.entry(nth(1), Drawn::session(), 0).unwrap().kept_until = 300;
        let bytes = page.encode();
        for end in 1..bytes.len() {
            assert_eq!(Page::decode(&bytes[..end]), Err(Corrupt), "{end}");
        }
        for bad in [&[bytes.as_slice(), &[0]].concat()[..], &[0xff, 0xff, 0x03], &[1], &[0x81, 0x01]] {
            assert_eq!(Page::decode(bad), Err(Corrupt), "{bad:?}");
        }
        assert_eq!(Page::decode(b""), Ok(Page::default()));
        assert!(!Page::default().encode().is_empty(), "nothing empty is written");
    }

    proptest! {
        #[test]
        fn a_page_is_read_as_it_was_written(entries in prop::collection::vec(any::<[u64; 5]>(), 0..=CAPACITY)) {
            let mut page = Page::default();
            for [number, kept_until, sessions, tokens, cost] in entries {
                let entry = page.entry(nth(number), Drawn::default(), 0).unwrap();
                (entry.kept_until, entry.drawn) = (kept_until.max(1), Drawn { sessions, tokens, cost: MicroUsd(cost) });
            }
            prop_assert_eq!(Page::decode(&page.encode()), Ok(page));
        }
    }
}
