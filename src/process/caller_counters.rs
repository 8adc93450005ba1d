//! One caller at one worker: what is open here, what is still to be written, and what all have used.

use super::counters::{Counters, Moment, Used};
use super::peers::Peers;
use super::shared_data::{Contended, CorruptKeys, key, update};

/// What one caller does at this worker.
#[derive(Debug)]
pub(super) struct LocalCounters {
    pub(super) caller: String,
    /// Where all workers' counters of it stand.
    key: String,
    pub(super) open: u32,
    /// What is still to be written, and the latest moment that it is of.
    pub(super) unwritten: Used,
    pub(super) unwritten_at: Moment,
    /// What is written is not all.
    pub(super) is_dirty: bool,
    /// What all workers together have used today, as last seen. Two plugins, or two configurations of one, may limit a
    /// caller of this name in two ways, so what that comes to is each asker's own matter.
    pub(super) seen: Used,
}

impl LocalCounters {
    pub(super) fn new(caller: &str) -> Self {
        Self {
            caller: caller.to_owned(),
            key: caller_key(caller),
            open: 0,
            unwritten: Used::default(),
            unwritten_at: Moment::default(),
            is_dirty: false,
            seen: Used::default(),
        }
    }

    /// Keeps what was used until it is written. `now` may be behind what is unwritten from before.
    pub(super) fn add(&mut self, used: &Used, now: Moment) {
        if !self.unwritten_at.counts_on(now.day()) {
            self.unwritten = Used::default();
        }
        self.unwritten_at = self.unwritten_at.max(now);
        self.unwritten.add(used);
        self.is_dirty = true;
    }

    /// Writes all that is unwritten, and reads the rest; what cannot be written waits on.
    pub(super) fn flush(&mut self, peers: Peers<'_>, corrupt_keys: &mut CorruptKeys, now: Moment) {
        self.is_dirty = self.write(peers, corrupt_keys, now, &mut |_, _| ()).is_err();
    }

    /// Flushes if something is unwritten or what stands there is wrong, else only reads.
    pub(super) fn refresh(&mut self, peers: Peers<'_>, corrupt_keys: &mut CorruptKeys, now: Moment) {
        let mut counters = decode(&peers.shared_data.read(&self.key).bytes, &self.key, corrupt_keys);
        if self.is_dirty || peers.me().is_some_and(|me| counters.open_at(me) != self.open) {
            return self.flush(peers, corrupt_keys, now);
        }
        counters.advance(now);
        self.seen = *counters.used();
    }

    /// Writes how many sessions are open here and what is unwritten, and then what `change` adds, which gets how many are
    /// open.
    pub(super) fn write(
        &mut self,
        peers: Peers<'_>,
        corrupt_keys: &mut CorruptKeys,
        now: Moment,
        change: &mut dyn FnMut(&mut Counters, u32),
    ) -> Result<(), Contended> {
        let mut seen = self.seen;
        // What is of today must not be written to yesterday.
        let now = now.max(self.unwritten_at);
        update(peers.shared_data, &self.key, &mut |bytes| {
            let mut counters = decode(bytes, &self.key, corrupt_keys);
            counters.advance(now);
            if let Some(me) = peers.me() {
                counters.set_open(me, self.open);
            }
            counters.add(self.unwritten_at, &self.unwritten);
            change(&mut counters, self.open);
            seen = *counters.used();
            Some(counters.encode())
        })?;
        (self.unwritten, self.unwritten_at) = (Used::default(), Moment::default());
        self.is_dirty = false;
        self.seen = seen;
        Ok(())
    }
}

/// The counters in these bytes; anew if they are damaged.
pub(super) fn decode(bytes: &[u8], key: &str, corrupt_keys: &mut CorruptKeys) -> Counters {
    if bytes.is_empty() {
        return Counters::default();
    }
    Counters::decode(bytes).unwrap_or_else(|_| {
        corrupt_keys.note(key);
        Counters::default()
    })
}

pub(super) fn caller_key(caller: &str) -> String {
    key(format_args!("caller.{caller}"))
}
