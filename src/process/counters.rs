//! A caller's counters, for all workers, as they stand in shared data: sessions, starts of the last minute, usage of the day.

use std::time::SystemTime;

use super::codec::{Corrupt, Reader, put_number, put_usage};
use super::heartbeat::WorkerSlot;
use super::sliding_minute::SlidingMinute;
use crate::limit::{CallerLimits, Exceeded, Limit};
use crate::usage::{MicroUsd, Tally};

/// What a caller has used in a day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// Sessions that were opened.
    pub(super) sessions: u64,
    pub(super) usage: Tally,
    pub(super) cost: MicroUsd,
}

/// A moment, in whole seconds of Unix time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(u64);

/// A caller's counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counters {
    /// Who runs sessions, and how many; never none.
    open: Vec<(WorkerSlot, u32)>,
    starts: SlidingMinute,
    /// Days of Unix time.
    day: u64,
    used: Used,
}

/// In which time the sessions of a dead worker are freed.
const RETRY_SESSIONS: u64 = 5;

/// Room for the counters of a caller with a few workers and starts, encoded.
const USUAL_LENGTH: usize = 128;

const SECONDS_PER_DAY: u64 = 86_400;

/// Clocks of two threads, or one that is set back a little, must not end a day that has begun, nor lose what is used
/// meanwhile.
const CLOCK_SKEW: u64 = 60;

impl Used {
    pub(super) fn add(&mut self, other: &Self) {
        self.sessions = self.sessions.saturating_add(other.sessions);
        self.usage.add(&other.usage);
        self.cost = MicroUsd(self.cost.0.saturating_add(other.cost.0));
    }
}

impl Moment {
    pub(super) fn day(self) -> u64 {
        self.0 / SECONDS_PER_DAY
    }

    /// Whether what is used now counts on a day: it has begun, or some clock may say so already.
    pub(super) fn counts_on(self, day: u64) -> bool {
        self.0 + CLOCK_SKEW >= day * SECONDS_PER_DAY
    }

    fn until_midnight(self) -> u64 {
        SECONDS_PER_DAY - self.0 % SECONDS_PER_DAY
    }
}

impl From<SystemTime> for Moment {
    fn from(time: SystemTime) -> Self {
        Self(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
    }
}

impl Counters {
    /// Forgets what is over: yesterday, and starts of more than a minute ago.
    pub(super) fn advance(&mut self, now: Moment) {
        self.starts.advance(now.0);
        let is_behind = now.day() < self.day && now.counts_on(self.day);
        if now.day() != self.day && !is_behind {
            self.day = now.day();
            self.used = Used::default();
        }
    }

    /// Whether one more session can start.
    pub(super) fn check(&self, limits: &CallerLimits, now: Moment) -> Result<(), Exceeded> {
        self.check_budget(limits, now)?;
        if limits.concurrent_sessions.is_some_and(|limit| self.open() >= u64::from(limit)) {
            return Err(Exceeded { limit: Limit::CallerConcurrentSessions, retry_after: RETRY_SESSIONS });
        }
        match limits.sessions_per_minute.and_then(|limit| self.starts.wait(limit, now.0)) {
            Some(retry_after) => Err(Exceeded { limit: Limit::CallerSessionsPerMinute, retry_after }),
            None => Ok(()),
        }
    }

    /// Whether there is something left of the day's budget.
    pub(super) fn check_budget(&self, limits: &CallerLimits, now: Moment) -> Result<(), Exceeded> {
        match limits.spent(&self.used.usage, self.used.cost) {
            Some(limit) => Err(Exceeded { limit, retry_after: now.until_midnight() }),
            None => Ok(()),
        }
    }

    /// What is left of each limit now.
    pub(super) fn remaining(&self, limits: &CallerLimits) -> CallerLimits {
        let left = |limit: u32, used: u64| limit.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX));
        let day = limits.remaining(&self.used.usage, self.used.cost);
        CallerLimits {
            concurrent_sessions: limits.concurrent_sessions.map(|limit| left(limit, self.open())),
            sessions_per_minute: limits.sessions_per_minute.map(|limit| left(limit, self.starts.count())),
            ..day
        }
    }

    /// Counts a start.
    pub(super) fn start(&mut self, now: Moment) {
        self.starts.add(now.0);
    }

    /// Counts what was used until `moment`. Nobody asks for a day that is over.
    pub(super) fn add(&mut self, moment: Moment, used: &Used) {
        if moment.counts_on(self.day) {
            self.used.add(used);
        }
    }

    /// How many sessions are open.
    pub(super) fn open(&self) -> u64 {
        self.open.iter().map(|(_, open)| u64::from(*open)).sum()
    }

    /// How many of them a worker runs.
    pub(super) fn open_at(&self, worker: WorkerSlot) -> u32 {
        self.open.iter().find(|(at, _)| *at == worker).map_or(0, |(_, open)| *open)
    }

    /// Says how many sessions a worker runs. Whoever was at its place before is gone, and so is whatever it was itself at
    /// another place.
    pub(super) fn set_open(&mut self, worker: WorkerSlot, open: u32) {
        self.open.retain(|(at, _)| at.slot != worker.slot && at.id != worker.id);
        if open > 0 {
            self.open.push((worker, open));
        }
    }

    /// Forgets the sessions of workers that are gone.
    pub(super) fn forget(&mut self, is_gone: &dyn Fn(WorkerSlot) -> bool) {
        self.open.retain(|(at, _)| !is_gone(*at));
    }

    pub(super) fn used(&self) -> &Used {
        &self.used
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(USUAL_LENGTH);
        put_number(&mut out, self.open.len() as u64);
        for (worker, open) in &self.open {
            worker.put(&mut out);
            put_number(&mut out, u64::from(*open));
        }
        self.starts.put(&mut out);
        put_number(&mut out, self.day);
        put_number(&mut out, self.used.sessions);
        put_usage(&mut out, &self.used.usage, self.used.cost);
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let mut reader = Reader::new(bytes);
        let open = reader.growing(|reader| Ok((WorkerSlot::read(reader)?, reader.small()?)))?;
        let starts = SlidingMinute::read(&mut reader)?;
        let day = reader.small()?.into();
        let sessions = reader.number()?;
        let (usage, cost) = reader.usage()?;
        reader.end().map(|()| Self { open, starts, day, used: Used { sessions, usage, cost } })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::usage::{Input, Output, Tokens, Transcription};

    const NONE: CallerLimits =
        CallerLimits { concurrent_sessions: None, sessions_per_minute: None, tokens_per_day: None, cost_per_day: None };

    fn worker(slot: u16, id: u64) -> WorkerSlot {
        WorkerSlot { slot, id }
    }

    fn used(tokens: u64, cost: u64) -> Used {
        let tokens = Tokens {
            input: Input { text: tokens, ..Input::default() },
            output: Output::default(),
            ..Tokens::default()
        };
        Used { sessions: 0, usage: Tally::response(tokens), cost: MicroUsd(cost) }
    }

    /// A quarter to midnight of day 20,000.
    const NOW: Moment = Moment(20_000 * 86_400 + 86_400 - 900);

    fn counters() -> Counters {
        let mut counters = Counters::default();
        counters.advance(NOW);
        counters.set_open(worker(0, 7), 2);
        counters.set_open(worker(1, 8), 1);
        counters.start(NOW);
        counters.start(NOW);
        counters.add(NOW, &used(100, 5000));
        counters
    }

    #[test]
    fn each_limit_is_reached_when_nothing_is_left_of_it() {
        let exceeded = |limit, retry_after| Err(Exceeded { limit, retry_after });
        for (limits, want) in [
            (NONE, Ok(())),
            (CallerLimits { concurrent_sessions: Some(4), ..NONE }, Ok(())),
            (CallerLimits { concurrent_sessions: Some(3), ..NONE }, exceeded(Limit::CallerConcurrentSessions, 5)),
            (CallerLimits { concurrent_sessions: Some(0), ..NONE }, exceeded(Limit::CallerConcurrentSessions, 5)),
            (CallerLimits { sessions_per_minute: Some(3), ..NONE }, Ok(())),
            (CallerLimits { sessions_per_minute: Some(2), ..NONE }, exceeded(Limit::CallerSessionsPerMinute, 60)),
            (CallerLimits { tokens_per_day: Some(101), ..NONE }, Ok(())),
            (CallerLimits { tokens_per_day: Some(100), ..NONE }, exceeded(Limit::CallerTokensPerDay, 900)),
            (CallerLimits { cost_per_day: Some(MicroUsd(5001)), ..NONE }, Ok(())),
            (CallerLimits { cost_per_day: Some(MicroUsd(5000)), ..NONE }, exceeded(Limit::CallerCostPerDay, 900)),
            (
                CallerLimits { concurrent_sessions: Some(1), tokens_per_day: Some(1), ..NONE },
                exceeded(Limit::CallerTokensPerDay, 900),
            ),
        ] {
            assert_eq!(counters().check(&limits, NOW), want, "{limits:?}");
        }
    }

    #[test]
    fn tokens_of_transcriptions_are_tokens() {
        let mut counters = counters();
        let usage = Tally::transcription(Transcription { tokens: 50, milliseconds: 0 });
        counters.add(NOW, &Used { usage, ..Used::default() });
        let limits = |tokens| CallerLimits { tokens_per_day: Some(tokens), ..NONE };
        assert_eq!(counters.check(&limits(151), NOW), Ok(()));
        assert!(counters.check(&limits(150), NOW).is_err());
    }

    #[test]
    fn a_day_ends_at_midnight_utc_and_no_clock_that_is_late_brings_it_back() {
        let limits = CallerLimits { tokens_per_day: Some(100), ..NONE };
        for (seconds, is_spent) in [(0, true), (899, true), (900, false), (86_400 * 3, false)] {
            let mut counters = counters();
            let now = Moment(NOW.0 + seconds);
            counters.advance(now);
            assert_eq!(counters.check(&limits, now).is_err(), is_spent, "{seconds}");
            assert_eq!(counters.open(), 3);
        }
        let mut counters = counters();
        let (after, before) = (Moment(NOW.0 + 901), Moment(NOW.0 + 899));
        counters.advance(after);
        counters.add(after, &Used { sessions: 1, ..Used::default() });
        for (moment, cost) in [(before, 1), (Moment(NOW.0 + 840), 1), (Moment(NOW.0 + 839), 0)] {
            let earlier = counters.used().cost;
            counters.advance(moment.max(before));
            counters.add(moment, &Used { cost: MicroUsd(1), ..Used::default() });
            assert_eq!((counters.used().sessions, counters.used().cost.0 - earlier.0), (1, cost), "{moment:?}");
        }
        counters.advance(Moment(NOW.0 - 600));
        assert_eq!(counters.used(), &Used::default());
    }

    #[test]
    fn sessions_are_counted_by_worker() {
        let mut counters = counters();
        assert_eq!((counters.open(), counters.open_at(worker(0, 7)), counters.open_at(worker(0, 8))), (3, 2, 0));
        counters.set_open(worker(0, 9), 4);
        assert_eq!((counters.open(), counters.open_at(worker(0, 7))), (5, 0));
        counters.forget(&|worker| worker.id == 9);
        assert_eq!(counters.open(), 1);
        counters.set_open(worker(2, 8), 3);
        assert_eq!(counters.open(), 3);
        counters.set_open(worker(2, 8), 0);
        assert_eq!(counters.open, []);
    }

    #[test]
    fn a_moment_is_never_before_1970() {
        assert_eq!(Moment::from(SystemTime::UNIX_EPOCH - Duration::from_secs(9)), Moment(0));
        assert_eq!(Moment::from(SystemTime::UNIX_EPOCH + Duration::from_millis(86_400_999)).day(), 1);
    }

    proptest! {
        #[test]
        fn counters_are_read_as_they_were_written(
            open in prop::collection::btree_map(any::<u16>(), 1_u32.., 0..20),
            starts in prop::collection::vec(0_u64..50, 0..50),
            day in 0_u64..100_000,
            sessions: u64,
            tokens: u64,
            cost: u64,
        ) {
            let mut counters = Counters::default();
            let now = Moment(day * 86_400 + 50);
            counters.advance(now);
            open.into_iter().for_each(|(slot, open)| counters.set_open(worker(slot, u64::MAX - u64::from(slot)), open));
            starts.into_iter().for_each(|before| counters.start(Moment(now.0 - before)));
            counters.add(now, &Used { sessions, ..used(tokens, cost) });
            let bytes = counters.encode();
            prop_assert_eq!(Counters::decode(&bytes), Ok(counters));
            for len in 0..bytes.len() {
                prop_assert_eq!(Counters::decode(&bytes[..len]), Err(Corrupt));
            }
        }

        #[test]
        fn damage_is_found_or_is_harmless(bytes in prop::collection::vec(any::<u8>(), 0..200), second in 0_u64..1 << 40) {
            if let Ok(mut counters) = Counters::decode(&bytes) {
                counters.advance(Moment(second));
                counters.start(Moment(second));
                let _ = counters.check(&CallerLimits { sessions_per_minute: Some(1), ..NONE }, Moment(second));
                prop_assert!(Counters::decode(&counters.encode()).is_ok());
            }
        }
    }
}
