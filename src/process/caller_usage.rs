//! What callers use, counted by all workers together, and what their limits allow.

use std::time::SystemTime;

use serde::Serialize;

use super::caller_counters::{LocalCounters, caller_key, decode};
use super::counters::{Counters, Moment, Used};
use super::peers::Peers;
use super::reservations::Reserved;
use super::shared_data::{Contended, CorruptKeys, SharedData};
use crate::credential::Caller;
use crate::limit::{CallerLimits, Exceeded, Limit};
use crate::usage::{MicroUsd, Tally, Timestamp};

/// This worker's part in the counting.
///
/// A worker writes how many sessions it runs, never that there is one more or less: what could not be written, or was
/// lost, is put right by whatever is written next, at the latest by a tick.
#[derive(Debug, Default)]
pub struct CallerUsage {
    /// Callers that have open sessions here, or of which something is still to be written; by name.
    callers: Vec<LocalCounters>,
    corrupt_keys: CorruptKeys,
}

/// What a caller has used today, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DailyUsage {
    /// The caller's name.
    pub caller: String,
    /// The day, `2026-01-31`.
    pub date: String,
    /// Sessions that were opened.
    pub sessions: u64,
    /// What was used.
    pub usage: Tally,
    /// What it costs.
    pub cost_usd: MicroUsd,
    /// The caller's limits, those that it has.
    pub limits: CallerLimits,
    /// What is left of each now.
    pub remaining: CallerLimits,
}

/// When a start that could not be counted can be tried again.
const RETRY_CONTENDED: u64 = 1;

impl CallerUsage {
    /// Lets a session of a caller start, or says which limit is reached. Every start that is let through must be met by
    /// one [`end`](Self::end). A start that cannot be counted is refused, such as that of a worker without a slot.
    ///
    /// # Errors
    ///
    /// The limit of the caller's that leaves no room for one more session.
    pub fn start(&mut self, peers: Peers<'_>, caller: &Caller, now: SystemTime) -> Result<(), Exceeded> {
        let uncounted = Exceeded { limit: Limit::CallerConcurrentSessions, retry_after: RETRY_CONTENDED };
        let me = peers.me().ok_or(uncounted)?;
        let moment = Moment::from(now);
        let (local, corrupt_keys) = self.local(&caller.name);
        let mut checked = Ok(());
        let written = local.write(peers, corrupt_keys, moment, &mut |counters, open| {
            checked = counters.check(&caller.limits, moment);
            // A dead worker's sessions stand in nobody's way, and are looked for only where they would.
            if checked.is_err_and(|exceeded| exceeded.limit == Limit::CallerConcurrentSessions) {
                counters.forget(&|worker| peers.is_gone(worker));
                checked = counters.check(&caller.limits, moment);
            }
            if checked.is_ok() {
                counters.start(moment);
                counters.set_open(me, open.saturating_add(1));
            }
        });
        let started = written.map_err(|Contended| uncounted).and(checked);
        local.open = local.open.saturating_add(started.is_ok().into());
        started
    }

    /// Counts a session that was really opened, by the upstream's consent.
    pub fn opened(&mut self, caller: &str, now: SystemTime) {
        let (local, _) = self.local(caller);
        local.add(&Used { sessions: 1, ..Used::default() }, now.into());
    }

    /// A session that [`start`](Self::start) let through is over, however far it came.
    pub fn end(&mut self, peers: Peers<'_>, caller: &str, now: SystemTime) {
        let (local, corrupt_keys) = self.local(caller);
        local.open = local.open.saturating_sub(1);
        local.flush(peers, corrupt_keys, now.into());
    }

    /// Counts what a session or a REST exchange has used. Gives the limit of today's budget that is used up, if one is.
    pub fn add(
        &mut self,
        peers: Peers<'_>,
        caller: &Caller,
        (usage, cost): (&Tally, MicroUsd),
        now: SystemTime,
    ) -> Option<Limit> {
        let (local, corrupt_keys) = self.local(&caller.name);
        local.add(&Used { sessions: 0, usage: *usage, cost }, now.into());
        local.flush(peers, corrupt_keys, now.into());
        caller.limits.spent(&local.seen.usage, local.seen.cost)
    }

    /// Whether a REST exchange may begin.
    ///
    /// # Errors
    ///
    /// The budget of the day that is used up.
    pub fn check_budget(
        &mut self,
        shared_data: &dyn SharedData,
        caller: &Caller,
        now: SystemTime,
    ) -> Result<(), Exceeded> {
        let moment = Moment::from(now);
        self.read(shared_data, &caller.name, moment).check_budget(&caller.limits, moment)
    }

    /// The limit of today's budget that what is used and what is reserved are over, if one is.
    pub fn over(
        &mut self,
        shared_data: &dyn SharedData,
        caller: &Caller,
        reserved: &Reserved,
        now: SystemTime,
    ) -> Option<Limit> {
        let mut used = *self.read(shared_data, &caller.name, now.into()).used();
        if let Some(local) = self.callers.iter().find(|local| local.caller == caller.name) {
            used.add(&local.unwritten);
        }
        let tokens = crate::limit::tokens(&used.usage).saturating_add(reserved.tokens);
        caller.limits.over(tokens, used.cost.and(reserved.cost))
    }

    /// The limit of today's budget that was used up when the caller's use was last looked at: at the last tick, or since.
    /// Says nothing of callers without open sessions here.
    pub fn spent(&self, caller: &Caller) -> Option<Limit> {
        if caller.limits.has_budget() { self.spent_budget(caller) } else { None }
    }

    fn spent_budget(&self, caller: &Caller) -> Option<Limit> {
        let at = self.callers.binary_search_by(|local| local.caller.as_str().cmp(&caller.name));
        at.ok()
            .and_then(|at| self.callers.get(at))
            .and_then(|local| caller.limits.spent(&local.seen.usage, local.seen.cost))
    }

    /// Writes what is unwritten, puts right what is wrong, and looks at what was used. To be called every second.
    pub fn tick(&mut self, peers: Peers<'_>, now: SystemTime) {
        let Self { callers, corrupt_keys } = self;
        callers.retain_mut(|local| {
            local.refresh(peers, corrupt_keys, now.into());
            local.open > 0 || local.is_dirty
        });
    }

    /// What a caller has used today, and what is left of its limits.
    pub fn usage(&mut self, peers: Peers<'_>, caller: &str, limits: &CallerLimits, now: SystemTime) -> DailyUsage {
        let mut counters = self.read(peers.shared_data, caller, now.into());
        counters.forget(&|worker| peers.is_gone(worker));
        let remaining = counters.remaining(limits);
        let Used { sessions, usage, cost } = *counters.used();
        let date = Timestamp::from(now).to_string();
        let date = date.split_once('T').map_or_else(String::new, |(date, _)| date.to_owned());
        DailyUsage { caller: caller.to_owned(), date, sessions, usage, cost_usd: cost, limits: *limits, remaining }
    }

    /// Keys that were damaged since this was last asked.
    pub fn take_corrupt_keys(&mut self) -> Vec<String> {
        self.corrupt_keys.take()
    }

    fn read(&mut self, shared_data: &dyn SharedData, caller: &str, now: Moment) -> Counters {
        let key = caller_key(caller);
        let mut counters = decode(&shared_data.read(&key).bytes, &key, &mut self.corrupt_keys);
        counters.advance(now);
        counters
    }

    #[expect(clippy::indexing_slicing, reason = "the index was just found or filled")]
    fn local(&mut self, caller: &str) -> (&mut LocalCounters, &mut CorruptKeys) {
        let Self { callers, corrupt_keys } = self;
        let at = callers.binary_search_by(|local| local.caller.as_str().cmp(caller)).unwrap_or_else(|at| {
            callers.insert(at, LocalCounters::new(caller));
            at
        });
        (&mut callers[at], corrupt_keys)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::process::heartbeat::GONE_AFTER;
    use crate::process::heartbeat::Heartbeats;
    use crate::process::shared_data::memory::{Contested, Memory, next_second};
    use crate::testing;
    use crate::usage::{Input, Output, Tokens};

    const MIDNIGHT: u64 = 20_001 * 86_400;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn now() -> SystemTime {
        at(MIDNIGHT - 3600)
    }

    fn concurrent(sessions: u32) -> CallerLimits {
        CallerLimits { concurrent_sessions: Some(sessions), ..CallerLimits::default() }
    }

    fn tokens_per_day(tokens: u64) -> CallerLimits {
        CallerLimits { tokens_per_day: Some(tokens), ..CallerLimits::default() }
    }

    fn tokens(text: u64) -> Tally {
        Tally::response(Tokens {
            input: Input { text, ..Input::default() },
            output: Output::default(),
            ..Tokens::default()
        })
    }

    fn web(limits: &CallerLimits) -> Caller {
        Caller { name: "web".into(), limits: *limits, ..testing::caller() }
    }

    struct Worker<'a> {
        shared_data: &'a dyn SharedData,
        heartbeats: Heartbeats,
        callers: CallerUsage,
    }

    impl<'a> Worker<'a> {
        fn new(shared_data: &'a dyn SharedData, id: u64) -> Self {
            Self { shared_data, heartbeats: Heartbeats::new(id), callers: CallerUsage::default() }
        }

        fn start(&mut self, limits: &CallerLimits) -> Result<(), Limit> {
            self.heartbeats.join(self.shared_data);
            let peers = Peers::new(self.shared_data, &self.heartbeats);
            self.callers.start(peers, &web(limits), now()).map_err(|exceeded| exceeded.limit)
        }

        fn end(&mut self) {
            self.callers.end(Peers::new(self.shared_data, &self.heartbeats), "web", now());
        }

        fn add(&mut self, limits: &CallerLimits, usage: u64) -> Option<Limit> {
            let used = (&tokens(usage), MicroUsd(usage * 10));
            self.callers.add(Peers::new(self.shared_data, &self.heartbeats), &web(limits), used, now())
        }

        fn tick(&mut self) {
            self.tick_at(now());
        }

        fn tick_at(&mut self, now: SystemTime) {
            assert!(self.heartbeats.tick(self.shared_data, next_second()));
            self.callers.tick(Peers::new(self.shared_data, &self.heartbeats), now);
        }

        fn open(&mut self) -> u64 {
            self.callers.read(self.shared_data, "web", now().into()).open()
        }

        fn usage(&mut self) -> DailyUsage {
            self.usage_at(now())
        }

        fn usage_at(&mut self, now: SystemTime) -> DailyUsage {
            self.remaining(&CallerLimits::default(), now)
        }

        fn remaining(&mut self, limits: &CallerLimits, now: SystemTime) -> DailyUsage {
            self.callers.usage(Peers::new(self.shared_data, &self.heartbeats), "web", limits, now)
        }
    }

    #[test]
    fn concurrency_is_counted_over_all_workers() {
        let shared_data = Memory::default();
        let (mut one, mut other) = (Worker::new(&shared_data, 1), Worker::new(&shared_data, 2));
        assert_eq!(one.start(&concurrent(2)), Ok(()));
        assert_eq!(other.start(&concurrent(2)), Ok(()));
        assert_eq!(one.start(&concurrent(2)), Err(Limit::CallerConcurrentSessions));
        other.end();
        assert_eq!(one.start(&concurrent(2)), Ok(()));
        assert_eq!(other.start(&concurrent(2)), Err(Limit::CallerConcurrentSessions));
    }

    #[test]
    fn a_dead_workers_sessions_are_freed_and_a_live_ones_never() {
        let shared_data = Memory::default();
        let (mut dead, mut idle, mut new) =
            (Worker::new(&shared_data, 1), Worker::new(&shared_data, 2), Worker::new(&shared_data, 3));
        dead.start(&concurrent(2)).unwrap();
        idle.start(&concurrent(2)).unwrap();
        for _ in 0..GONE_AFTER {
            idle.tick();
            new.tick();
            assert_eq!(new.start(&concurrent(2)), Err(Limit::CallerConcurrentSessions));
        }
        new.tick();
        assert_eq!(new.start(&concurrent(2)), Ok(()));
        for _ in 0..10 {
            idle.tick();
            new.tick();
            assert_eq!(new.start(&concurrent(2)), Err(Limit::CallerConcurrentSessions));
        }
    }

    #[test]
    fn who_was_taken_for_dead_counts_again_when_it_comes_back() {
        let shared_data = Memory::default();
        let (mut slow, mut other) = (Worker::new(&shared_data, 1), Worker::new(&shared_data, 2));
        slow.start(&concurrent(1)).unwrap();
        (0..=GONE_AFTER).for_each(|_| other.tick());
        other.start(&concurrent(1)).unwrap();
        slow.tick();
        assert_eq!(slow.open(), 2);
        other.end();
        assert_eq!(other.start(&concurrent(1)), Err(Limit::CallerConcurrentSessions));
        slow.end();
        assert_eq!(other.start(&concurrent(1)), Ok(()));
    }

    #[test]
    fn what_cannot_be_counted_is_denied_and_what_is_unwritten_is_written_later() {
        let shared_data = Memory::default();
        let mut worker = Worker::new(&shared_data, 1);
        worker.start(&concurrent(2)).unwrap();
        worker.start(&concurrent(2)).unwrap();
        worker.callers.opened("web", now());
        let contested = Contested(shared_data.clone());
        let peers = Peers::new(&contested, &worker.heartbeats);
        let refused = worker.callers.start(peers, &web(&concurrent(9)), now());
        assert_eq!(refused, Err(Exceeded { limit: Limit::CallerConcurrentSessions, retry_after: 1 }));
        worker.callers.end(peers, "web", now());
        let used = (&tokens(7), MicroUsd(1));
        worker.callers.add(peers, &web(&concurrent(2)), used, now());
        assert_eq!((worker.open(), worker.usage().sessions, worker.usage().usage.responses), (2, 0, 0));
        worker.tick();
        assert_eq!((worker.open(), worker.usage().sessions, worker.usage().usage), (1, 1, tokens(7)));
    }

    #[test]
    fn a_worker_without_a_slot_starts_nothing() {
        let contested = Contested(Memory::default());
        let mut worker = Worker::new(&contested, 1);
        assert_eq!(worker.start(&CallerLimits::default()), Err(Limit::CallerConcurrentSessions));
    }

    #[test]
    fn a_budget_is_used_up_for_the_sessions_of_every_worker_until_midnight() {
        let shared_data = Memory::default();
        let (mut one, mut other) = (Worker::new(&shared_data, 1), Worker::new(&shared_data, 2));
        let limits = tokens_per_day(100);
        one.start(&limits).unwrap();
        other.start(&limits).unwrap();
        assert_eq!(one.add(&limits, 60), None);
        other.tick();
        assert_eq!(other.callers.spent(&web(&limits)), None);
        assert_eq!(one.add(&limits, 40), Some(Limit::CallerTokensPerDay));
        other.tick();
        assert_eq!(other.callers.spent(&web(&limits)), Some(Limit::CallerTokensPerDay));
        assert_eq!(one.callers.spent(&web(&limits)), Some(Limit::CallerTokensPerDay));
        assert_eq!(one.start(&limits), Err(Limit::CallerTokensPerDay));
        let refused = other.callers.check_budget(&shared_data, &web(&limits), now()).unwrap_err();
        assert_eq!(refused, Exceeded { limit: Limit::CallerTokensPerDay, retry_after: 3600 });
        other.tick_at(at(MIDNIGHT));
        assert_eq!(other.callers.spent(&web(&limits)), None);
        assert_eq!(other.usage_at(at(MIDNIGHT)).usage, Tally::default());
    }

    #[test]
    fn each_session_of_a_name_is_held_to_the_limits_that_it_came_with() {
        let shared_data = Memory::default();
        let mut worker = Worker::new(&shared_data, 1);
        let (old, new) = (tokens_per_day(100), tokens_per_day(1000));
        worker.start(&old).unwrap();
        worker.start(&new).unwrap();
        assert_eq!(worker.add(&new, 500), None, "the old limits cut a new session");
        assert!(worker.add(&old, 1).is_some(), "the new limits spare an old session");
        worker.tick();
        let is_over = |worker: &Worker<'_>, limits: &CallerLimits| worker.callers.spent(&web(limits)).is_some();
        assert!(is_over(&worker, &old) && !is_over(&worker, &new));
        assert!(!is_over(&worker, &concurrent(1)));
        assert_eq!((worker.start(&old), worker.start(&new)), (Err(Limit::CallerTokensPerDay), Ok(())));
        assert!(is_over(&worker, &old) && !is_over(&worker, &new));
    }

    #[test]
    fn nothing_is_lost_when_the_day_turns_for_one_clock_before_another() {
        let shared_data = Memory::default();
        let mut worker = Worker::new(&shared_data, 1);
        let limits = tokens_per_day(100);
        let used = |worker: &mut Worker<'_>, seconds| {
            let Worker { callers, heartbeats, .. } = worker;
            callers.add(Peers::new(&shared_data, heartbeats), &web(&limits), (&tokens(1), MicroUsd(1)), at(seconds))
        };
        used(&mut worker, MIDNIGHT - 600);
        worker.callers.opened("web", at(MIDNIGHT));
        used(&mut worker, MIDNIGHT - 1);
        used(&mut worker, MIDNIGHT);
        used(&mut worker, MIDNIGHT - 1);
        let today = worker.usage_at(at(MIDNIGHT + 1));
        assert_eq!((today.sessions, today.usage.responses, today.cost_usd), (1, 3, MicroUsd(3)));
    }

    #[test]
    fn what_is_unwritten_of_another_day_is_not_of_this_one() {
        let shared_data = Memory::default();
        let mut worker = Worker::new(&shared_data, 1);
        worker.callers.opened("web", at(MIDNIGHT - 61));
        worker.callers.opened("web", at(MIDNIGHT + 1));
        worker.tick_at(at(MIDNIGHT + 1));
        assert_eq!(worker.usage_at(at(MIDNIGHT + 1)).sessions, 1);
    }

    #[test]
    fn usage_is_summed_over_all_workers_with_rest_among_it() {
        let shared_data = Memory::default();
        let (mut one, mut other) = (Worker::new(&shared_data, 1), Worker::new(&shared_data, 2));
        one.start(&CallerLimits::default()).unwrap();
        one.callers.opened("web", now());
        one.add(&CallerLimits::default(), 5);
        other.add(&CallerLimits::default(), 6);
        one.end();
        assert_eq!(one.open(), 0);
        let mut usage = tokens(5);
        usage.add(&tokens(6));
        let (limits, remaining) = (CallerLimits::default(), CallerLimits::default());
        let (caller, date) = ("web".to_owned(), "2024-10-04".to_owned());
        let want = DailyUsage { caller, date, sessions: 1, usage, cost_usd: MicroUsd(110), limits, remaining };
        assert_eq!(other.usage(), want);
        let peers = Peers::new(&shared_data, &other.heartbeats);
        assert_eq!(other.callers.usage(peers, "nobody", &limits, now()).usage, Tally::default());
    }

    #[test]
    fn what_is_left_of_a_limit_is_never_below_nothing() {
        let shared_data = Memory::default();
        let (mut one, mut other) = (Worker::new(&shared_data, 1), Worker::new(&shared_data, 2));
        let all = |sessions, minute, tokens, cost| CallerLimits {
            concurrent_sessions: Some(sessions),
            sessions_per_minute: Some(minute),
            tokens_per_day: Some(tokens),
            cost_per_day: Some(MicroUsd(cost)),
        };
        let limits = all(3, 60, 1000, 900);
        assert_eq!(other.remaining(&limits, now()).remaining, limits);
        one.start(&limits).unwrap();
        one.start(&limits).unwrap();
        one.end();
        one.add(&limits, 80);
        assert_eq!(other.remaining(&limits, now()).remaining, all(2, 58, 920, 100));
        let spent = other.remaining(&all(0, 1, 80, 799), now());
        assert_eq!((spent.limits, spent.remaining), (all(0, 1, 80, 799), all(0, 0, 0, 0)));
        // A worker that is gone runs nothing.
        (0..=GONE_AFTER).for_each(|_| other.tick());
        assert_eq!(other.remaining(&limits, now()).remaining, all(3, 58, 920, 100));
        assert_eq!(other.remaining(&concurrent(1), now()).remaining, concurrent(1));
        assert_eq!(other.remaining(&limits, at(MIDNIGHT)).remaining, limits);
    }

    #[test]
    fn damaged_counters_start_anew_and_are_named() {
        let shared_data = Memory::default();
        let mut worker = Worker::new(&shared_data, 1);
        worker.start(&concurrent(1)).unwrap();
        let key = caller_key("web");
        shared_data.overwrite(&key, b"\xff");
        worker.tick();
        assert_eq!(worker.callers.take_corrupt_keys(), [key]);
        assert_eq!(worker.open(), 1);
        assert_eq!(worker.start(&concurrent(1)), Err(Limit::CallerConcurrentSessions));
    }

    #[test]
    fn a_caller_without_sessions_is_not_kept() {
        let shared_data = Memory::default();
        let mut worker = Worker::new(&shared_data, 1);
        assert_eq!(worker.start(&concurrent(0)), Err(Limit::CallerConcurrentSessions));
        worker.add(&CallerLimits::default(), 1);
        worker.start(&concurrent(1)).unwrap();
        worker.tick();
        assert_eq!(worker.callers.callers.len(), 1);
        worker.end();
        worker.tick();
        assert_eq!(worker.callers.callers.len(), 0);
    }
}
