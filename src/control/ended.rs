//! The sessions that ended last, of all workers: a ring of pages.
//!
//! Pages are numbered on and on, and the page of a number stands at the key of its remainder. Only the page of the head's
//! number grows; when it is full, the head goes on to the next, which overwrites the oldest.

use crate::limits::codec::{Reader, put_number};
use crate::limits::store::{Contended, Damage, Store, key, update};

use super::page::Page;

/// So many ended sessions stay listed.
pub(super) const LISTED: usize = 1000;

/// Room for those that are listed, for some that stand there twice, and for a page that is not full.
const PAGES: u64 = 40;

/// Nobody counts so far.
const TOO_LARGE: u64 = 1 << 62;

/// No append goes further than once around.
const MAX_STEPS: u64 = 2 * PAGES;

/// Appends encoded records, the oldest first. Of more than are listed, the oldest are dropped.
pub(super) fn append(store: &dyn Store, records: &[Vec<u8>], damage: &mut Damage) -> Result<(), Contended> {
    let mut rest = records.get(records.len().saturating_sub(LISTED)..).unwrap_or_default();
    for _ in 0..MAX_STEPS {
        if rest.is_empty() {
            return Ok(());
        }
        let number = head(store, damage);
        let (taken, next) = append_to(store, number, rest, damage)?;
        rest = rest.get(taken..).unwrap_or_default();
        if !rest.is_empty() {
            go_on(store, number, next)?;
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(Contended) }
}

/// Shows the encoded records that are listed, the newest first.
pub(super) fn for_each(store: &dyn Store, damage: &mut Damage, mut each: impl FnMut(&[u8])) {
    let head = head(store, damage);
    let mut left = LISTED;
    for number in (0..=head).rev().take(PAGES as usize) {
        let bytes = store.read(&page_key(number)).bytes;
        let page = read(&bytes, number, damage);
        if page.label == number {
            page.records().rev().take(left).for_each(&mut each);
            left = left.saturating_sub(page.records().count());
        }
    }
}

/// Puts as many records as there is room for on the page of this number. Returns how many, and the number that comes
/// next.
fn append_to(
    store: &dyn Store,
    number: u64,
    records: &[Vec<u8>],
    damage: &mut Damage,
) -> Result<(usize, u64), Contended> {
    let (mut taken, mut next) = (0, number + 1);
    update(store, &page_key(number), &mut |bytes| {
        let mut page = read(bytes, number, damage);
        if page.label > number {
            // The head was behind.
            (taken, next) = (0, page.label);
            return None;
        }
        if page.label < number {
            page = Page::new(number);
        }
        taken = page.room().min(records.len());
        records.iter().take(taken).for_each(|record| page.push(record));
        (taken > 0).then(|| page.encode())
    })?;
    Ok((taken, next))
}

/// The number of the page that grows.
fn head(store: &dyn Store, damage: &mut Damage) -> u64 {
    let bytes = store.read(&head_key()).bytes;
    if bytes.is_empty() {
        return 0;
    }
    read_number(&bytes).unwrap_or_else(|| {
        damage.note(&head_key());
        0
    })
}

/// Moves the head, unless another worker has done so.
fn go_on(store: &dyn Store, from: u64, to: u64) -> Result<(), Contended> {
    update(store, &head_key(), &mut |bytes| {
        let is_there = read_number(bytes).unwrap_or_default() == from;
        is_there.then(|| {
            let mut out = Vec::new();
            put_number(&mut out, to);
            out
        })
    })
}

/// The page in these bytes; empty if they are damaged.
fn read<'a>(bytes: &'a [u8], number: u64, damage: &mut Damage) -> Page<'a> {
    if bytes.is_empty() {
        return Page::default();
    }
    let is_possible = |page: &Page<'_>| page.label % PAGES == number % PAGES && page.label < TOO_LARGE;
    Page::decode(bytes).ok().filter(is_possible).unwrap_or_else(|| {
        damage.note(&page_key(number));
        Page::default()
    })
}

fn read_number(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader::new(bytes);
    reader.number().ok().filter(|number| reader.is_empty() && *number < TOO_LARGE)
}

fn head_key() -> String {
    key(format_args!("ended.head"))
}

fn page_key(number: u64) -> String {
    key(format_args!("ended.{}", number % PAGES))
}

#[cfg(test)]
mod tests {
    use super::super::page::SLOTS;
    use super::*;
    use crate::limits::store::memory::{Contested, Memory};

    fn records(numbers: std::ops::Range<usize>) -> Vec<Vec<u8>> {
        numbers.map(|number| number.to_string().into_bytes()).collect()
    }

    fn listed(store: &Memory) -> Vec<usize> {
        let mut listed = Vec::new();
        for_each(store, &mut Damage::default(), |record| {
            listed.push(String::from_utf8(record.to_vec()).unwrap().parse().unwrap());
        });
        listed
    }

    #[test]
    fn the_last_thousand_are_listed_newest_first() {
        for batch in [1, 7, SLOTS, 500, 5000] {
            let store = Memory::default();
            assert!(listed(&store).is_empty());
            for start in (0..5000).step_by(batch) {
                append(&store, &records(start..(start + batch).min(5000)), &mut Damage::default()).unwrap();
            }
            assert_eq!(listed(&store), (4000..5000).rev().collect::<Vec<_>>(), "{batch}");
            assert!(store.size().0 <= 41);
        }
    }

    #[test]
    fn fewer_than_a_thousand_are_all_listed() {
        let store = Memory::default();
        append(&store, &records(0..100), &mut Damage::default()).unwrap();
        append(&store, &[], &mut Damage::default()).unwrap();
        assert_eq!(listed(&store), (0..100).rev().collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_appended_is_told() {
        assert_eq!(append(&Contested(Memory::default()), &records(0..1), &mut Damage::default()), Err(Contended));
    }

    #[test]
    fn after_damage_to_any_key_new_ones_are_listed() {
        for broken in
            [&b"\x80"[..], &[0xff; 9], &[0], &[200, 1], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            let full = Memory::default();
            append(&full, &records(0..1500), &mut Damage::default()).unwrap();
            for damaged in full.keys() {
                let store = Memory::default();
                append(&store, &records(0..1500), &mut Damage::default()).unwrap();
                store.overwrite(&damaged, broken);
                for start in (5000..8000).step_by(50) {
                    append(&store, &records(start..start + 50), &mut Damage::default()).unwrap();
                }
                assert_eq!(listed(&store).first(), Some(&7999), "{damaged} {broken:?}");
                assert!(listed(&store).len() >= 900);
            }
        }
    }
}
