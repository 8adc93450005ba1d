//! The sessions that ended last, of all workers: a ring of pages.
//!
//! Pages are numbered on and on, and the page of a number stands at the key of its remainder. Only the page of the head's
//! number grows; when it is full, the head goes on to the next, which overwrites the oldest.

use crate::process::codec::{Reader, put_number};
use crate::process::shared_data::{Contended, CorruptKeys, SharedData, key, update};

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
pub(super) fn append(
    shared_data: &dyn SharedData,
    records: &[Vec<u8>],
    corrupt_keys: &mut CorruptKeys,
) -> Result<(), Contended> {
    let mut rest = records.get(records.len().saturating_sub(LISTED)..).unwrap_or_default();
    for _ in 0..MAX_STEPS {
        if rest.is_empty() {
            return Ok(());
        }
        let number = head(shared_data, corrupt_keys);
        let (taken, next) = append_to(shared_data, number, rest, corrupt_keys)?;
        rest = rest.get(taken..).unwrap_or_default();
        if !rest.is_empty() {
            go_on(shared_data, number, next)?;
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(Contended) }
}

/// Shows the encoded records that are listed, the newest first.
pub(super) fn for_each(shared_data: &dyn SharedData, corrupt_keys: &mut CorruptKeys, mut each: impl FnMut(&[u8])) {
    let head = head(shared_data, corrupt_keys);
    let mut left = LISTED;
    for number in (0..=head).rev().take(PAGES as usize) {
        let bytes = shared_data.read(&page_key(number)).bytes;
        let page = read(&bytes, number, corrupt_keys);
        if page.label == number {
            page.records().rev().take(left).for_each(&mut each);
            left = left.saturating_sub(page.records().count());
        }
    }
}

/// Puts as many records as there is room for on the page of this number. Returns how many, and the number that comes
/// next.
fn append_to(
    shared_data: &dyn SharedData,
    number: u64,
    records: &[Vec<u8>],
    corrupt_keys: &mut CorruptKeys,
) -> Result<(usize, u64), Contended> {
    let (mut taken, mut next) = (0, number + 1);
    update(shared_data, &page_key(number), &mut |bytes| {
        let mut page = read(bytes, number, corrupt_keys);
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
fn head(shared_data: &dyn SharedData, corrupt_keys: &mut CorruptKeys) -> u64 {
    let bytes = shared_data.read(&head_key()).bytes;
    if bytes.is_empty() {
        return 0;
    }
    read_number(&bytes).unwrap_or_else(|| {
        corrupt_keys.note(&head_key());
        0
    })
}

/// Moves the head, unless another worker has done so.
fn go_on(shared_data: &dyn SharedData, from: u64, to: u64) -> Result<(), Contended> {
    update(shared_data, &head_key(), &mut |bytes| {
        let is_there = read_number(bytes).unwrap_or_default() == from;
        is_there.then(|| {
            let mut out = Vec::new();
            put_number(&mut out, to);
            out
        })
    })
}

/// The page in these bytes; empty if they are damaged.
fn read<'a>(bytes: &'a [u8], number: u64, corrupt_keys: &mut CorruptKeys) -> Page<'a> {
    if bytes.is_empty() {
        return Page::default();
    }
    let is_possible = |page: &Page<'_>| page.label % PAGES == number % PAGES && page.label < TOO_LARGE;
    Page::decode(bytes).ok().filter(is_possible).unwrap_or_else(|| {
        corrupt_keys.note(&page_key(number));
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
    use super::*;
    use crate::process::registry::page::SLOTS;
    use crate::process::shared_data::memory::{Contested, Memory};

    fn records(numbers: std::ops::Range<usize>) -> Vec<Vec<u8>> {
        numbers.map(|number| number.to_string().into_bytes()).collect()
    }

    fn listed(shared_data: &Memory) -> Vec<usize> {
        let mut listed = Vec::new();
        for_each(shared_data, &mut CorruptKeys::default(), |record| {
            listed.push(String::from_utf8(record.to_vec()).unwrap().parse().unwrap());
        });
        listed
    }

    #[test]
    fn the_last_thousand_are_listed_newest_first() {
        for batch in [1, 7, SLOTS, 500, 5000] {
            let shared_data = Memory::default();
            assert!(listed(&shared_data).is_empty());
            for start in (0..5000).step_by(batch) {
                append(&shared_data, &records(start..(start + batch).min(5000)), &mut CorruptKeys::default()).unwrap();
            }
            assert_eq!(listed(&shared_data), (4000..5000).rev().collect::<Vec<_>>(), "{batch}");
            assert!(shared_data.size().0 <= 41);
        }
    }

    #[test]
    fn fewer_than_a_thousand_are_all_listed() {
        let shared_data = Memory::default();
        append(&shared_data, &records(0..100), &mut CorruptKeys::default()).unwrap();
        append(&shared_data, &[], &mut CorruptKeys::default()).unwrap();
        assert_eq!(listed(&shared_data), (0..100).rev().collect::<Vec<_>>());
    }

    #[test]
    fn what_cannot_be_appended_is_reported() {
        assert_eq!(append(&Contested(Memory::default()), &records(0..1), &mut CorruptKeys::default()), Err(Contended));
    }

    #[test]
    fn after_damage_to_any_key_new_ones_are_listed() {
        for broken in
            [&b"\x80"[..], &[0xff; 9], &[0], &[200, 1], &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]]
        {
            let full = Memory::default();
            append(&full, &records(0..1500), &mut CorruptKeys::default()).unwrap();
            for damaged in full.keys() {
                let shared_data = Memory::default();
                append(&shared_data, &records(0..1500), &mut CorruptKeys::default()).unwrap();
                shared_data.overwrite(&damaged, broken);
                for start in (5000..8000).step_by(50) {
                    append(&shared_data, &records(start..start + 50), &mut CorruptKeys::default()).unwrap();
                }
                assert_eq!(listed(&shared_data).first(), Some(&7999), "{damaged} {broken:?}");
                assert!(listed(&shared_data).len() >= 900);
            }
        }
    }
}
