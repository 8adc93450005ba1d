//! Tallies of one worker and of several: what is let in, what is used up, what is kept and what is forgotten.

use std::time::{Duration, UNIX_EPOCH};

use super::*;
use crate::process::shared_data::memory::{Contested, Memory};
use crate::process::tally_page::CAPACITY;
use crate::usage::MicroUsd;

const EXPIRY: u64 = 1_000_600;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn now() -> SystemTime {
    at(1_000_000)
}

fn share(secret: &str, limits: SharedLimits) -> Share {
    Share { key: TallyKey::of(secret.as_bytes()), limits, kept_until: EXPIRY }
}

fn sessions(max_sessions: u64) -> Share {
    share("ek_1", SharedLimits { max_sessions: Some(max_sessions), ..SharedLimits::default() })
}

fn tokens(max_tokens: u64) -> Share {
    share("ek_1", SharedLimits { max_tokens: Some(max_tokens), ..SharedLimits::default() })
}

fn used(tokens: u64) -> Drawn {
    Drawn { sessions: 0, tokens, cost: MicroUsd(tokens * 10) }
}

fn limit(result: Result<(), Exceeded>) -> Option<Limit> {
    result.err().map(|exceeded| exceeded.limit)
}

#[test]
fn sessions_are_counted_over_all_workers_and_after_they_end() {
    let shared_data = Memory::default();
    let (mut one, mut other) = (SharedTallies::default(), SharedTallies::default());
    let share = sessions(2);
    assert_eq!(one.admit(&shared_data, &share, now()), Ok(()));
    one.end(&shared_data, &share, now());
    assert_eq!(other.check(&shared_data, &share, now()), Ok(()));
    assert_eq!(other.admit(&shared_data, &share, now()), Ok(()));
    let refused = Err(Exceeded { limit: Limit::SecretSessions, retry_after: 600 });
    assert_eq!(one.check(&shared_data, &share, now()), refused);
    assert_eq!(one.admit(&shared_data, &share, now()), refused);
    assert_eq!(one.read(&shared_data, share.key).sessions, 2);
    assert_eq!(one.admit(&shared_data, &Share { key: TallyKey::of(b"ek_2"), ..share }, now()), Ok(()));
}

#[test]
fn tokens_and_dollars_are_drawn_by_one_session_after_the_other() {
    let shared_data = Memory::default();
    let cost = SharedLimits { max_cost: Some(MicroUsd(15_000)), ..SharedLimits::default() };
    for (share, want) in [(tokens(1500), Limit::SecretTokens), (share("ek_2", cost), Limit::SecretCost)] {
        let mut workers = [SharedTallies::default(), SharedTallies::default()];
        for round in 0..5 {
            let worker = &mut workers[round % 2];
            let is_over = round >= 3;
            let admitted = worker.admit(&shared_data, &share, now());
            assert_eq!(limit(admitted), is_over.then_some(want), "session {round}");
            if !is_over {
                let spent = worker.add(&shared_data, &share, used(500), now());
                assert_eq!(spent, (round == 2).then_some(want), "session {round}");
                worker.end(&shared_data, &share, now());
            }
        }
        assert_eq!(workers[0].read(&shared_data, share.key), used(1500).and(Drawn { sessions: 3, ..Drawn::default() }));
    }
}

#[test]
fn a_session_of_another_worker_notices_at_its_next_tick() {
    let shared_data = Memory::default();
    let (mut one, mut other) = (SharedTallies::default(), SharedTallies::default());
    let share = tokens(1000);
    one.admit(&shared_data, &share, now()).unwrap();
    other.admit(&shared_data, &share, now()).unwrap();
    assert_eq!(one.add(&shared_data, &share, used(999), now()), None);
    assert_eq!(one.add(&shared_data, &share, used(1), now()), Some(Limit::SecretTokens));
    assert_eq!(one.spent(&share), Some(Limit::SecretTokens));
    assert_eq!(other.spent(&share), None);
    other.tick(&shared_data, at(1_000_001));
    assert_eq!(other.spent(&share), Some(Limit::SecretTokens));
}

#[test]
fn whoever_joins_is_not_counted_but_draws() {
    let shared_data = Memory::default();
    let mut worker = SharedTallies::default();
    let share =
        Share { limits: SharedLimits { max_sessions: Some(1), max_tokens: Some(100), max_cost: None }, ..tokens(100) };
    worker.admit(&shared_data, &share, now()).unwrap();
    assert_eq!(worker.join(&shared_data, &share, now()), Ok(()));
    assert_eq!(worker.read(&shared_data, share.key).sessions, 1);
    worker.end(&shared_data, &share, now());
    assert_eq!(worker.add(&shared_data, &share, used(100), now()), Some(Limit::SecretTokens));
    assert_eq!(limit(worker.join(&shared_data, &share, now())), Some(Limit::SecretTokens));
}

#[test]
fn what_cannot_be_written_refuses_who_comes_and_waits_for_what_runs() {
    let memory = Memory::default();
    let contested = Contested(memory.clone());
    let mut worker = SharedTallies::default();
    let share = tokens(100);
    let refused = worker.admit(&contested, &share, now());
    assert_eq!(refused, Err(Exceeded { limit: Limit::SecretSessions, retry_after: 1 }));

    worker.admit(&memory, &share, now()).unwrap();
    assert_eq!(worker.add(&contested, &share, used(60), now()), None);
    assert_eq!(worker.add(&contested, &share, used(40), now()), Some(Limit::SecretTokens));
    assert_eq!(limit(worker.admit(&memory, &share, now())), Some(Limit::SecretTokens));
    assert_eq!(limit(worker.join(&memory, &share, now())), Some(Limit::SecretTokens));
    worker.end(&contested, &share, now());
    worker.tick(&memory, at(1_000_001));
    assert_eq!(SharedTallies::default().read(&memory, share.key).tokens, 100);
    worker.tick(&memory, at(1_000_002));
    assert!(worker.open.is_empty());
}

#[test]
fn a_tally_is_kept_while_sessions_draw_on_it_and_forgotten_then() {
    let shared_data = Memory::default();
    let mut worker = SharedTallies::default();
    let share = tokens(1000);
    worker.admit(&shared_data, &share, now()).unwrap();
    worker.add(&shared_data, &share, used(10), now());
    let page_mate = (0_u64..).map(|number| TallyKey::of(&number.to_be_bytes()));
    let mut page_mate = page_mate.filter(|key| key.page() == share.key.page());
    for second in (1_000_001..EXPIRY + 500).step_by(7) {
        worker.tick(&shared_data, at(second));
        let other = Share { key: page_mate.next().unwrap(), kept_until: second + 1, ..share };
        SharedTallies::default().admit(&shared_data, &other, at(second)).unwrap();
        assert_eq!(worker.read(&shared_data, share.key).tokens, 10, "{second}");
    }
    worker.end(&shared_data, &share, at(EXPIRY + 500));
    let last = Share { key: page_mate.next().unwrap(), kept_until: EXPIRY + 2000, ..share };
    worker.admit(&shared_data, &last, at(EXPIRY + 1000)).unwrap();
    assert_eq!(worker.read(&shared_data, share.key), Drawn::default());
}

#[test]
fn what_was_drawn_outlives_a_damaged_page_where_a_session_draws() {
    let shared_data = Memory::default();
    let mut worker = SharedTallies::default();
    let share = tokens(1000);
    worker.admit(&shared_data, &share, now()).unwrap();
    worker.add(&shared_data, &share, used(10), now());
    let page = share.key.page().key();
    shared_data.overwrite(&page, b"\xff");
    worker.tick(&shared_data, at(1_000_001));
    assert_eq!(SharedTallies::default().read(&shared_data, share.key).tokens, 10);
    assert_eq!(worker.take_corrupt_keys(), [page]);
}

#[test]
fn memory_is_bounded_whatever_the_number_of_secrets_and_who_does_not_fit_is_refused() {
    let shared_data = Memory::default();
    let mut worker = SharedTallies::default();
    let first = sessions(1);
    let keys = (0_u64..).map(|number| TallyKey::of(&number.to_be_bytes()));
    let mut keys = keys.filter(|key| key.page() == first.key.page());
    for _ in 0..CAPACITY {
        worker.admit(&shared_data, &Share { key: keys.next().unwrap(), ..first }, now()).unwrap();
    }
    let (_, bytes) = shared_data.size();
    assert!(bytes < CAPACITY * 40, "{bytes}");
    let refused = Err(Exceeded { limit: Limit::SecretSessions, retry_after: 660 });
    for _ in 0..10 {
        assert_eq!(worker.admit(&shared_data, &Share { key: keys.next().unwrap(), ..first }, now()), refused);
    }
    assert_eq!(shared_data.size(), (1, bytes));
    assert_eq!(worker.admit(&shared_data, &first, at(EXPIRY + 60)), Ok(()), "what expired makes room");
    assert!(shared_data.size().1 < 100);
}

#[test]
fn a_tick_reads_each_page_once_and_writes_nothing_that_has_not_changed() {
    let shared_data = Memory::default();
    let mut worker = SharedTallies::default();
    let keys = (0_u64..).map(|number| TallyKey::of(&number.to_be_bytes()));
    let first = tokens(100);
    let keys: Vec<_> = keys.filter(|key| key.page() == first.key.page()).take(20).collect();
    for key in keys {
        worker.admit(&shared_data, &Share { key, ..first }, now()).unwrap();
    }
    let (reads, writes) = shared_data.operations();
    worker.tick(&shared_data, at(1_000_001));
    assert_eq!(shared_data.operations(), (reads + 1, writes));
    assert_eq!(SharedTallies::default().open.len(), 0);
}

#[test]
fn a_clock_that_is_set_back_lets_nobody_in_again() {
    let shared_data = Memory::default();
    let mut worker = SharedTallies::default();
    let (single, other) = (sessions(1), share("ek_2", sessions(1).limits));
    worker.admit(&shared_data, &single, now()).unwrap();
    let page_mate = (0_u64..).map(|number| TallyKey::of(&number.to_be_bytes()));
    let key = page_mate.into_iter().find(|key| key.page() == single.key.page()).unwrap();
    worker.admit(&shared_data, &Share { key, ..other }, at(EXPIRY + 30)).unwrap();
    assert_eq!(limit(worker.admit(&shared_data, &single, at(EXPIRY - 1))), Some(Limit::SecretSessions));
}

#[test]
fn a_number_of_sessions_alone_is_not_looked_at_again() {
    let shared_data = Memory::default();
    let mut worker = SharedTallies::default();
    worker.admit(&shared_data, &sessions(1), now()).unwrap();
    let operations = shared_data.operations();
    worker.tick(&shared_data, at(1_000_001));
    worker.end(&shared_data, &sessions(1), now());
    assert_eq!(shared_data.operations(), operations);
}
