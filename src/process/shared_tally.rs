//! What several sessions draw on limits that they share, such as those of one client secret: counted by all workers
//! together.

use std::collections::BTreeMap;
use std::time::SystemTime;

use super::shared_data::{Contended, CorruptKeys, SharedData, update};
use super::tally_page::{Full, Page, PageNumber, TallyKey};
use crate::client_secret::claims::unix_seconds;
use crate::limit::{Drawn, Exceeded, Limit, SharedLimits};

/// A session's part in a tally, as whoever begins the session knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which tally.
    pub key: TallyKey,
    /// What all who share in it may draw together.
    pub limits: SharedLimits,
    /// Until when others may come to share in it, in Unix seconds. It is kept so long, and longer while sessions draw on
    /// it.
    pub kept_until: u64,
}

/// This worker's part in the counting.
#[derive(Debug, Default)]
pub struct SharedTallies {
    /// Those that sessions here may draw on, or of which something is still to be written.
    open: BTreeMap<TallyKey, OpenTally>,
    corrupt_keys: CorruptKeys,
}

/// A tally, as this worker has to do with it.
#[derive(Debug)]
struct OpenTally {
    /// How many sessions here may draw on it.
    sessions: u32,
    kept_until: u64,
    /// What all workers together have drawn, as last seen.
    seen: Drawn,
    /// What is still to be written.
    unwritten: Drawn,
}

/// When a session that could not be counted can be tried again.
const RETRY_CONTENDED: u64 = 1;

/// How long a tally is kept on by a worker whose sessions draw on it, in seconds. Half of that is how late a tick may be.
const PROLONGED: u64 = 120;

impl SharedTallies {
    /// Whether one more session may begin. Says nothing that holds for long: [`admit`](Self::admit) decides.
    ///
    /// # Errors
    ///
    /// The limit that leaves no room for it.
    pub fn check(&mut self, shared_data: &dyn SharedData, share: &Share, now: SystemTime) -> Result<(), Exceeded> {
        let drawn = self.read(shared_data, share.key);
        share.limits.reached(&drawn).map_or(Ok(()), |limit| Err(exceeded(limit, share.kept_until, now)))
    }

    /// Counts one more session, in one step for all workers. One that cannot be counted is refused: others were always
    /// faster, or the page is full. Whoever is let in is met by one [`end`](Self::end).
    ///
    /// # Errors
    ///
    /// The limit that leaves no room for it.
    pub fn admit(&mut self, shared_data: &dyn SharedData, share: &Share, now: SystemTime) -> Result<(), Exceeded> {
        let Self { open, corrupt_keys } = self;
        let local = open.get(&share.key);
        let (known, unwritten) = local.map_or_else(Default::default, |local| (local.seen, local.unwritten));
        let uncounted = Exceeded { limit: Limit::SecretSessions, retry_after: RETRY_CONTENDED };
        let mut admitted = Err(uncounted);
        let page_key = share.key.page().key();
        let written = update(shared_data, &page_key, &mut |bytes| {
            let mut page = decode(bytes, &page_key, corrupt_keys);
            let entry = match page.entry(share.key, known, unix_seconds(now)) {
                Ok(entry) => entry,
                Err(Full { until }) => {
                    admitted = Err(exceeded(Limit::SecretSessions, until, now));
                    return None;
                }
            };
            if let Some(limit) = share.limits.reached(&entry.drawn.and(unwritten)) {
                admitted = Err(exceeded(limit, share.kept_until, now));
                return None;
            }
            entry.drawn = entry.drawn.and(Drawn::session());
            entry.kept_until = entry.kept_until.max(share.kept_until);
            admitted = Ok(entry.drawn);
            Some(page.encode())
        });
        let seen = written.map_err(|Contended| uncounted).and(admitted)?;
        self.open(share, seen);
        Ok(())
    }

    /// Lets somebody draw on a tally who counts with another session. To be met by one [`end`](Self::end).
    ///
    /// # Errors
    ///
    /// The limit on tokens or dollars that is used up.
    pub fn join(&mut self, shared_data: &dyn SharedData, share: &Share, now: SystemTime) -> Result<(), Exceeded> {
        let (written, unwritten) = self.written(shared_data, share.key);
        if let Some(limit) = share.limits.spent(&written.and(unwritten)) {
            return Err(exceeded(limit, share.kept_until, now));
        }
        self.open(share, written);
        Ok(())
    }

    /// A session that [`admit`](Self::admit) or [`join`](Self::join) let in is over, however far it came.
    pub fn end(&mut self, shared_data: &dyn SharedData, share: &Share, now: SystemTime) {
        let Some(local) = self.open.get_mut(&share.key) else { return };
        local.sessions = local.sessions.saturating_sub(1);
        if local.unwritten != Drawn::default() {
            local.write(share.key, shared_data, &mut self.corrupt_keys, now);
        }
        if local.is_over() {
            self.open.remove(&share.key);
        }
    }

    /// Counts what a session has drawn, and gives the limit that is used up by now, if one is.
    pub fn add(&mut self, shared_data: &dyn SharedData, share: &Share, drawn: Drawn, now: SystemTime) -> Option<Limit> {
        let Self { open, corrupt_keys } = self;
        let local = open.entry(share.key).or_insert_with(|| OpenTally::new(share));
        local.unwritten = local.unwritten.and(drawn);
        local.write(share.key, shared_data, corrupt_keys, now);
        share.limits.spent(&local.drawn())
    }

    /// The limit on tokens or dollars that was used up when the tally was last looked at: at the last tick, or since. Says
    /// nothing of tallies that nobody here draws on.
    pub fn spent(&self, share: &Share) -> Option<Limit> {
        self.open.get(&share.key).and_then(|local| share.limits.spent(&local.drawn()))
    }

    /// What all workers together have drawn.
    pub fn read(&mut self, shared_data: &dyn SharedData, key: TallyKey) -> Drawn {
        let (written, unwritten) = self.written(shared_data, key);
        written.and(unwritten)
    }

    /// Writes what is unwritten, looks at what others have drawn, and keeps what is drawn on here. To be called every
    /// second. Reads no page twice, however many tallies it holds.
    pub fn tick(&mut self, shared_data: &dyn SharedData, now: SystemTime) {
        let Self { open, corrupt_keys } = self;
        let seconds = unix_seconds(now);
        let mut read: Option<(PageNumber, Page)> = None;
        for (key, local) in open.iter_mut() {
            let number = key.page();
            let page = match read.take() {
                Some((last, page)) if last == number => page,
                _ => read_page(shared_data, number, corrupt_keys),
            };
            let kept = page.find(*key).filter(|entry| entry.kept_until >= seconds.saturating_add(PROLONGED / 2));
            match kept {
                Some(entry) if local.unwritten == Drawn::default() => local.seen = entry.drawn,
                _ => local.write(*key, shared_data, corrupt_keys, now),
            }
            read = Some((number, page));
        }
        open.retain(|_, local| !local.is_over());
    }

    /// Keys that were damaged since this was last asked.
    pub fn take_corrupt_keys(&mut self) -> Vec<String> {
        self.corrupt_keys.take()
    }

    /// What all workers together have written, and what this one has yet to.
    fn written(&mut self, shared_data: &dyn SharedData, key: TallyKey) -> (Drawn, Drawn) {
        let page = read_page(shared_data, key.page(), &mut self.corrupt_keys);
        let written = page.find(key).map(|entry| entry.drawn);
        let local = self.open.get(&key);
        let (seen, unwritten) = local.map_or_else(Default::default, |local| (local.seen, local.unwritten));
        (written.unwrap_or(seen), unwritten)
    }

    /// Only what can be used up while a session runs must be looked at again.
    fn open(&mut self, share: &Share, seen: Drawn) {
        if share.limits.has_budget() {
            let local = self.open.entry(share.key).or_insert_with(|| OpenTally::new(share));
            local.sessions = local.sessions.saturating_add(1);
            local.seen = seen;
        }
    }
}

impl OpenTally {
    fn new(share: &Share) -> Self {
        Self { sessions: 0, kept_until: share.kept_until, seen: Drawn::default(), unwritten: Drawn::default() }
    }

    fn drawn(&self) -> Drawn {
        self.seen.and(self.unwritten)
    }

    fn is_over(&self) -> bool {
        self.sessions == 0 && self.unwritten == Drawn::default()
    }

    /// Writes what is unwritten, and sees what others have drawn. What cannot be written waits on. A tally that is not
    /// there any more goes on as it was last seen.
    fn write(&mut self, key: TallyKey, shared_data: &dyn SharedData, corrupt_keys: &mut CorruptKeys, now: SystemTime) {
        let now = unix_seconds(now);
        let kept_until = self.kept_until.max(now.saturating_add(PROLONGED));
        let page_key = key.page().key();
        let mut written = None;
        let done = update(shared_data, &page_key, &mut |bytes| {
            let mut page = decode(bytes, &page_key, corrupt_keys);
            let entry = page.entry(key, self.seen, now).ok()?;
            entry.drawn = entry.drawn.and(self.unwritten);
            entry.kept_until = entry.kept_until.max(kept_until);
            written = Some(entry.drawn);
            Some(page.encode())
        });
        if let (Ok(()), Some(drawn)) = (done, written) {
            (self.seen, self.unwritten) = (drawn, Drawn::default());
        }
    }
}

/// Nothing can begin until another secret is minted, or room is made; a limit that is reached stays so.
fn exceeded(limit: Limit, until: u64, now: SystemTime) -> Exceeded {
    Exceeded { limit, retry_after: until.saturating_sub(unix_seconds(now)).max(1) }
}

fn read_page(shared_data: &dyn SharedData, number: PageNumber, corrupt_keys: &mut CorruptKeys) -> Page {
    let key = number.key();
    decode(&shared_data.read(&key).bytes, &key, corrupt_keys)
}

/// The page in these bytes; anew if they are damaged.
fn decode(bytes: &[u8], key: &str, corrupt_keys: &mut CorruptKeys) -> Page {
    Page::decode(bytes).unwrap_or_else(|_| {
        corrupt_keys.note(key);
        Page::default()
    })
}

#[cfg(test)]
mod tests;
