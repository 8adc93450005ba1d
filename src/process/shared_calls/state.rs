//! What all workers know of one call, as it stands in shared data.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

use crate::limit::{Ending, Limit, Progress, SessionBounds, SessionLimits, SharedLimits};
use crate::process::codec::{Corrupt, Reader, put_bytes, put_number, put_usage};
use crate::process::heartbeat::WorkerSlot;
use crate::process::registry::CallName;
use crate::process::registry::record_codec::{close, put_close, put_text, text};
use crate::process::shared_tally::Share;
use crate::process::tally_page::TallyKey;
use crate::usage::{Close, IdDigest, MicroUsd, RecordId, Tally};

/// By what a call is found: a digest of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallKey([u8; KEY]);

/// What a call begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTerms {
    /// Its record's id.
    pub record: RecordId,
    /// When it began.
    pub started: SystemTime,
    /// What its policy lets it use up.
    pub policy: SessionLimits,
    /// How long the client secret that it began with lets it last.
    pub secrets_max_duration: Option<Duration>,
    /// Its part in what all sessions of that may use.
    pub share: Option<Share>,
    /// How many sidebands it may have at a time.
    pub sidebands: u32,
}

/// How a WebSocket joins a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// As one of its sidebands.
    Sideband,
    /// To hear what happens, and to say nothing.
    Watcher,
}

/// A call: what it began with, who has joined it, and what all of them have told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedCall {
    pub(super) key: CallKey,
    /// Where it runs; none once it has ended.
    pub(super) owner: Option<WorkerSlot>,
    /// What it began with.
    pub terms: CallTerms,
    /// Never nobody.
    pub(super) joined: Vec<(WorkerSlot, Joined)>,
    /// When a message last passed on a WebSocket that has joined it, or the first of those that follow it came.
    pub last_activity: Option<SystemTime>,
    /// What it has used.
    pub usage: Tally,
    /// What that costs.
    pub cost: MicroUsd,
    /// The model that the upstream tells.
    pub model: Option<String>,
    /// Something was told that could not be counted.
    pub is_incomplete: bool,
    /// How it must end, if it must.
    pub ending: Option<Close>,
    /// What was counted last, the newest last.
    pub(super) counted: Vec<IdDigest>,
}

/// The WebSockets of one worker that have joined a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Joined {
    /// Its sidebands, those among them whose upstream has not answered.
    pub(super) sidebands: u32,
    /// Watchers, likewise.
    pub(super) watchers: u32,
    /// Those of both that are followed.
    pub(super) followed: u32,
}

const KEY: usize = 16;

/// 1,024 pages.
const PAGE_BITS: u32 = 10;

/// So many ids stay known: an upstream tells several sidebands the same within moments.
const COUNTED: usize = 64;

impl CallKey {
    /// The key of a call.
    pub fn of(name: CallName<'_>) -> Self {
        let mut hasher = Sha256::new();
        // No name of a provider holds a NUL.
        [name.provider.as_bytes(), b"\0", name.id.as_bytes()].iter().for_each(|part| hasher.update(part));
        let mut key = [0; KEY];
        key.iter_mut().zip(hasher.finalize()).for_each(|(to, from)| *to = from);
        Self(key)
    }

    /// The number of the page on which it stands: its first bits, so that keys of one page are neighbours.
    pub(super) fn page(self) -> u16 {
        let [first, second, ..] = self.0;
        u16::from_be_bytes([first, second]) >> (u16::BITS - PAGE_BITS)
    }
}

impl CallTerms {
    fn bounds(&self) -> SessionBounds {
        SessionBounds::new(&self.policy, self.secrets_max_duration)
    }
}

impl Joined {
    pub(super) fn count(&mut self, role: Role) -> &mut u32 {
        match role {
            Role::Sideband => &mut self.sidebands,
            Role::Watcher => &mut self.watchers,
        }
    }

    pub(super) fn is_nobody(self) -> bool {
        self == Self::default()
    }
}

impl SharedCall {
    pub(super) fn new(key: CallKey, terms: CallTerms) -> Self {
        Self {
            key,
            owner: None,
            terms,
            joined: Vec::new(),
            last_activity: None,
            usage: Tally::default(),
            cost: MicroUsd(0),
            model: None,
            is_incomplete: false,
            ending: None,
            counted: Vec::new(),
        }
    }

    /// Whether somebody follows what it uses.
    pub fn is_watched(&self) -> bool {
        self.followed() > 0
    }

    /// How many follow it.
    pub(super) fn followed(&self) -> u32 {
        self.joined.iter().fold(0, |sum, (_, joined)| sum.saturating_add(joined.followed))
    }

    /// Whether it has ended, and others only finish what they say of it.
    pub fn has_ended(&self) -> bool {
        self.owner.is_none()
    }

    /// The limit that it has reached, if it has. Whether it is idle is known only of one that is watched.
    pub fn limit(&self, now: SystemTime) -> Option<Ending> {
        let last_activity = self.last_activity.filter(|_| self.is_watched()).unwrap_or(now);
        let progress = Progress { started: self.terms.started, last_activity, usage: &self.usage, cost: self.cost };
        self.terms.bounds().check(&progress, now)
    }

    /// The limit on its tokens or dollars that is used up.
    pub fn spent(&self) -> Option<Limit> {
        self.terms.bounds().spent(&self.usage, self.cost)
    }

    pub(super) fn sidebands(&self) -> u32 {
        self.joined.iter().fold(0, |sum, (_, joined)| sum.saturating_add(joined.sidebands))
    }

    pub(super) fn joined_at(&self, worker: WorkerSlot) -> Joined {
        self.joined.iter().find(|(at, _)| *at == worker).map_or_else(Joined::default, |(_, joined)| *joined)
    }

    /// Says what has joined at a worker. Whoever was at its place before is gone, and so is whatever it was itself at
    /// another place.
    pub(super) fn set_joined(&mut self, worker: WorkerSlot, joined: Joined) {
        self.joined.retain(|(at, _)| at.slot != worker.slot && at.id != worker.id);
        if !joined.is_nobody() {
            self.joined.push((worker, joined));
        }
    }

    /// Forgets what has joined at workers that are gone.
    pub(super) fn forget(&mut self, is_gone: &dyn Fn(WorkerSlot) -> bool) {
        self.joined.retain(|(at, _)| !is_gone(*at));
    }

    /// Counts what was told, unless that was counted before: says whether it was not.
    pub(super) fn count(&mut self, id: Option<IdDigest>, usage: &Tally, cost: MicroUsd) -> bool {
        if let Some(id) = id {
            if self.counted.contains(&id) {
                return false;
            }
            if self.counted.len() >= COUNTED {
                self.counted.remove(0);
            }
            self.counted.push(id);
        }
        self.add(usage, cost);
        true
    }

    pub(super) fn add(&mut self, usage: &Tally, cost: MicroUsd) {
        self.usage.add(usage);
        self.cost = MicroUsd(self.cost.0.saturating_add(cost.0));
    }

    fn put(&self, out: &mut Vec<u8>) {
        let Self { key, owner, terms, joined, last_activity, usage, cost, model, is_incomplete, ending, counted } =
            self;
        put_bytes(out, &key.0);
        put_optional(out, owner.as_ref(), |out, owner| owner.put(out));
        put_text(out, Some(&terms.record.to_string()));
        put_time(out, terms.started);
        put_limits(out, &terms.policy);
        put_optional(out, terms.secrets_max_duration, |out, limit| put_number(out, millis(limit)));
        put_optional(out, terms.share.as_ref(), put_share);
        put_number(out, terms.sidebands.into());
        put_number(out, joined.len() as u64);
        for (worker, joined) in joined {
            worker.put(out);
            for count in [joined.sidebands, joined.watchers, joined.followed] {
                put_number(out, count.into());
            }
        }
        put_optional(out, *last_activity, put_time);
        put_usage(out, usage, *cost);
        put_text(out, model.as_deref());
        out.push((*is_incomplete).into());
        put_close(out, ending.as_ref());
        put_number(out, counted.len() as u64);
        counted.iter().for_each(|IdDigest(id)| out.extend_from_slice(&id.to_le_bytes()));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, Corrupt> {
        let key = CallKey(reader.bytes()?.try_into().map_err(|_| Corrupt)?);
        let owner = optional(reader, WorkerSlot::read)?;
        let record = text(reader)?.and_then(|id| id.parse().ok()).ok_or(Corrupt)?;
        let started = time(reader)?;
        let terms = CallTerms {
            record,
            started,
            policy: limits(reader)?,
            secrets_max_duration: optional(reader, Reader::number)?.map(Duration::from_millis),
            share: optional(reader, share)?,
            sidebands: reader.small()?,
        };
        let mut joined = Vec::new();
        for _ in 0..reader.number()? {
            let worker = WorkerSlot::read(reader)?;
            let (sidebands, watchers, followed) = (reader.small()?, reader.small()?, reader.small()?);
            joined.push((worker, Joined { sidebands, watchers, followed }));
        }
        let last_activity = optional(reader, time)?;
        let (usage, cost) = reader.usage()?;
        let model = text(reader)?;
        let is_incomplete = reader.byte()? != 0;
        let ending = close(reader)?;
        let mut counted = Vec::new();
        for _ in 0..reader.number()? {
            let mut id = [0; 8];
            for byte in &mut id {
                *byte = reader.byte()?;
            }
            counted.push(IdDigest(u64::from_le_bytes(id)));
        }
        Ok(Self { key, owner, terms, joined, last_activity, usage, cost, model, is_incomplete, ending, counted })
    }
}

/// The calls of a page.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<SharedCall>, Corrupt> {
    let mut reader = Reader::new(bytes);
    let calls = (0..reader.number()?).map(|_| SharedCall::read(&mut reader)).collect::<Result<_, _>>()?;
    reader.end().map(|()| calls)
}

/// A page of these calls. It is never empty: nothing empty stands in shared data.
pub(super) fn encode(calls: &[SharedCall]) -> Vec<u8> {
    let mut out = Vec::new();
    put_number(&mut out, calls.len() as u64);
    calls.iter().for_each(|call| call.put(&mut out));
    out
}

fn put_limits(out: &mut Vec<u8>, limits: &SessionLimits) {
    let SessionLimits { max_duration, idle_timeout, max_tokens, max_cost } = *limits;
    put_optional(out, max_duration, |out, limit| put_number(out, millis(limit)));
    put_optional(out, idle_timeout, |out, limit| put_number(out, millis(limit)));
    put_optional(out, max_tokens, put_number);
    put_optional(out, max_cost, |out, limit| put_number(out, limit.0));
}

fn limits(reader: &mut Reader<'_>) -> Result<SessionLimits, Corrupt> {
    Ok(SessionLimits {
        max_duration: optional(reader, Reader::number)?.map(Duration::from_millis),
        idle_timeout: optional(reader, Reader::number)?.map(Duration::from_millis),
        max_tokens: optional(reader, Reader::number)?,
        max_cost: optional(reader, Reader::number)?.map(MicroUsd),
    })
}

fn put_share(out: &mut Vec<u8>, Share { key, limits, kept_until }: &Share) {
    key.put(out);
    let SharedLimits { max_sessions, max_tokens, max_cost } = *limits;
    put_optional(out, max_sessions, put_number);
    put_optional(out, max_tokens, put_number);
    put_optional(out, max_cost, |out, limit| put_number(out, limit.0));
    put_number(out, *kept_until);
}

fn share(reader: &mut Reader<'_>) -> Result<Share, Corrupt> {
    let key = TallyKey::read(reader)?;
    let limits = SharedLimits {
        max_sessions: optional(reader, Reader::number)?,
        max_tokens: optional(reader, Reader::number)?,
        max_cost: optional(reader, Reader::number)?.map(MicroUsd),
    };
    Ok(Share { key, limits, kept_until: reader.number()? })
}

fn put_optional<T>(out: &mut Vec<u8>, value: Option<T>, put: impl FnOnce(&mut Vec<u8>, T)) {
    out.push(value.is_some().into());
    if let Some(value) = value {
        put(out, value);
    }
}

fn optional<'a, T>(
    reader: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Corrupt>,
) -> Result<Option<T>, Corrupt> {
    match reader.byte()? {
        0 => Ok(None),
        1 => read(reader).map(Some),
        _ => Err(Corrupt),
    }
}

fn put_time(out: &mut Vec<u8>, time: SystemTime) {
    put_number(out, millis(time.duration_since(UNIX_EPOCH).unwrap_or_default()));
}

fn time(reader: &mut Reader<'_>) -> Result<SystemTime, Corrupt> {
    UNIX_EPOCH.checked_add(Duration::from_millis(reader.number()?)).ok_or(Corrupt)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn call() -> SharedCall {
        let limits = SessionLimits {
            max_duration: Some(Duration::from_secs(60)),
            idle_timeout: None,
            max_tokens: Some(0),
            max_cost: Some(MicroUsd(7)),
        };
        let shared = SharedLimits { max_sessions: Some(1), max_tokens: None, max_cost: Some(MicroUsd(9)) };
        let terms = CallTerms {
            record: RecordId::new(7),
            started: UNIX_EPOCH,
            policy: limits,
            secrets_max_duration: Some(Duration::from_secs(5)),
            share: Some(Share { key: TallyKey::of(b"ek_1"), limits: shared, kept_until: 77 }),
            sidebands: 3,
        };
        let joined = Joined { sidebands: 2, watchers: 1, followed: 3 };
        SharedCall {
            owner: Some(WorkerSlot { slot: 1, id: 9 }),
            joined: vec![(WorkerSlot { slot: 0, id: 8 }, joined)],
            last_activity: Some(UNIX_EPOCH + Duration::from_millis(5)),
            model: Some("m".into()),
            is_incomplete: true,
            ending: Some(Ending::Limit(Limit::SecretTokens).close()),
            counted: vec![IdDigest(1), IdDigest(u64::MAX)],
            ..SharedCall::new(CallKey::of(CallName { provider: "openai", id: "rtc_1" }), terms)
        }
    }

    #[test]
    fn a_call_is_read_as_it_was_written() {
        let bare = SharedCall::new(CallKey::of(CallName { provider: "p", id: "i" }), call().terms);
        for calls in [vec![], vec![bare.clone()], vec![call(), bare]] {
            assert_eq!(decode(&encode(&calls)), Ok(calls));
        }
    }

    #[test]
    fn what_was_counted_stays_known_for_a_while() {
        let mut call = call();
        call.counted.clear();
        let ids = || (0..COUNTED as u64).map(|id| Some(IdDigest(id)));
        assert!(ids().all(|id| call.count(id, &Tally::default(), MicroUsd(1))));
        assert!(!ids().any(|id| call.count(id, &Tally::default(), MicroUsd(1))));
        assert!(call.count(None, &Tally::default(), MicroUsd(1)));
        assert!(call.count(Some(IdDigest(9999)), &Tally::default(), MicroUsd(1)));
        assert_eq!((call.counted.len(), call.cost), (COUNTED, MicroUsd(COUNTED as u64 + 2)));
    }

    #[test]
    fn a_calls_name_is_its_providers_and_its_own() {
        let key = |provider, id| CallKey::of(CallName { provider, id });
        assert_ne!(key("a", "bc"), key("ab", "c"));
        assert_ne!(key("a", "b"), key("b", "b"));
        assert_eq!(key("a", "b"), key("a", "b"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_calls_or_corrupt(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(calls) = decode(&bytes) {
                prop_assert_eq!(decode(&encode(&calls)), Ok(calls));
            }
        }

        #[test]
        fn cut_bytes_are_corrupt(cut in 0_usize..150) {
            let bytes = encode(&[call()]);
            let cut = cut.min(bytes.len() - 1);
            prop_assert_eq!(decode(&bytes[..cut]), Err(Corrupt));
        }
    }
}
