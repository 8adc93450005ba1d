//! Calls that begin, must end, are hung up, and are joined.

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::control::Request;
use crate::credential::Caller;
use crate::http::Target;
use crate::limit::{CallerLimits, Limit, SessionLimits};
use crate::metrics::SessionLabels;
use crate::process::shared_data::memory::Memory;
use crate::process::{CallTerms, Role};
use crate::secret::Secret;
use crate::testing::{caller, provider, record};
use crate::usage::{IdDigest, Input, MicroUsd, Output, Tally, Tokens, Transport};

/// One worker among those that share a store.
struct Worker {
    calls: Calls,
    sessions: Sessions,
    /// The hangups that were sent, by their paths.
    sent: Vec<String>,
}

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn name(id: &str) -> CallName<'_> {
    CallName { provider: "openai", id }
}

fn web_app() -> Arc<Caller> {
    let limits = CallerLimits { concurrent_sessions: Some(2), ..CallerLimits::default() };
    Arc::new(Caller { limits, ..caller() })
}

fn hangup(id: &str) -> Hangup {
    let provider = Arc::new(provider());
    let placement = provider.kind.placement();
    let key = ProviderKey { provider, placement, value: Arc::new(Secret::new(b"Bearer sk".to_vec())) };
    Hangup::new(id, "up".into(), "api".into(), &Target::parse(b"/v1/realtime/calls"), &key)
}

impl Worker {
    fn new(shared_data: &Memory, number: u64) -> Self {
        let mut sessions = Sessions::new(Box::new(shared_data.clone()), number);
        sessions.list_sessions();
        Self { calls: Calls::default(), sessions, sent: Vec::new() }
    }

    fn only() -> Self {
        Self::new(&Memory::default(), 1)
    }

    /// A call `rtc_{number}` of web-app's that begins at 100.
    fn call(&mut self, number: u128, max_duration: Option<u64>) -> Call {
        let max_duration = max_duration.map(Duration::from_secs);
        self.call_under(number, SessionLimits { max_duration, ..SessionLimits::default() })
    }

    /// The same, under these limits.
    fn call_under(&mut self, number: u128, limits: SessionLimits) -> Call {
        let record =
            Record { kind: Transport::WebRtc, upstream_id: Some(format!("rtc_{number}")), ..record(number, 100) };
        let record = Record { usage: Tally::default(), cost_usd: MicroUsd(0), ..record };
        let sessions = &mut self.sessions;
        let mut handle = sessions.admit(&web_app(), None, || at(100)).unwrap_or_else(|_| panic!("there is room"));
        let began = SessionLabels {
            caller: &record.caller,
            policy: &record.policy,
            provider: &record.provider,
            kind: record.kind,
        };
        let terms = CallTerms {
            record: record.id,
            started: at(100),
            policy: limits,
            secrets_max_duration: None,
            share: None,
            sidebands: 1,
        };
        sessions.call_opened(&mut handle, began, (terms, &record), at(100));
        let hangup = Some(hangup(record.upstream_id.as_deref().unwrap_or_default()));
        let mut call = Call::new(record, at(100), Watch::NotNeeded);
        (call.hangup, call.handle) = (hangup, Some(handle));
        call
    }

    fn begin(&mut self, number: u128, max_duration: Option<u64>) {
        let call = self.call(number, max_duration);
        self.calls.begin(call, &mut self.sessions);
    }

    /// What is kept of a call of which only a WebSocket is known that has joined it.
    fn joined(&self, number: u128) -> Call {
        let record = Record { kind: Transport::WebRtc, upstream_id: Some(format!("rtc_{number}")), ..record(77, 100) };
        let mut call = Call::new(record, at(101), Watch::NotNeeded);
        call.hangup = Some(hangup(&format!("rtc_{number}")));
        call
    }

    /// The WebSocket that has joined a call is ended at 101.
    fn end(&mut self, number: u128, close: Close) {
        let joined = self.joined(number);
        self.calls.end(joined, close, &mut self.sessions, at(101));
    }

    fn hung_up(&mut self, name: CallName<'_>, now: SystemTime) {
        self.calls.hung_up(name, &mut self.sessions, now);
    }

    fn has_room(&mut self, now: u64) -> bool {
        let sessions = &mut self.sessions;
        let handle = sessions.admit(&web_app(), None, || at(now));
        let has_room = handle.is_ok();
        if let Ok(handle) = handle {
            sessions.close(handle, None, at(now));
        }
        has_room
    }

    /// A tick. Gives what it tells, and the paths of the hangups that it sent; each has the number of all sent so far.
    fn tick(&mut self, now: u64) -> (Overdue, Vec<String>) {
        let Self { calls, sessions, sent } = self;
        let before = sent.len();
        sessions.tick(at(now));
        sessions.sync();
        let overdue = calls.tick(sessions, at(now), &mut |hangup| {
            sent.push(String::from_utf8(hangup.path.clone()).unwrap());
            Some(CalloutId(sent.len() as u32))
        });
        (overdue, sent[before..].to_vec())
    }

    /// A tick at which no hangup can be sent.
    fn tick_unsent(&mut self, now: u64) -> Overdue {
        self.calls.tick(&mut self.sessions, at(now), &mut |_| None)
    }

    fn answered(&mut self, number: u32, status: Option<u16>, now: u64) -> Option<String> {
        self.calls.answered(CalloutId(number), status, &mut self.sessions, at(now))
    }

    /// What the control API answers.
    fn ask(&mut self, method: &str, query: &str, now: u64) -> Value {
        let path = format!("/sessions{query}");
        let request = Request::read("", method.as_bytes(), &Target::parse(path.as_bytes()), || true).unwrap();
        let answer = request.unwrap_or_else(|answer| panic!("{}", answer.status));
        serde_json::from_slice(&answer.run(&mut self.sessions, at(now)).body).unwrap()
    }

    /// Upstream's name and status of every session, the newest first, and how it was closed.
    fn listed(&mut self, now: u64) -> Vec<(String, String, Value)> {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let shown = |record: &Value| (text(&record["upstream_id"]), text(&record["status"]), record["close"].clone());
        self.ask("GET", "", now)["data"].as_array().unwrap().iter().map(shown).collect()
    }
}

fn closed(by: &str, code: u16, reason: &str) -> Value {
    json!({ "by": by, "code": code, "reason": reason })
}

fn overdue() -> Value {
    json!({ "by": "gateway", "code": 4408, "reason": "max_duration_exceeded", "limit": "session.max_duration" })
}

fn one(id: &str, status: &str, close: Value) -> Vec<(String, String, Value)> {
    vec![(id.into(), status.into(), close)]
}

const HANGUP: &str = "/v1/realtime/calls/rtc_1/hangup";

#[test]
fn a_call_is_stopping_and_counts_until_its_provider_has_ended_it() {
    for ended in [200, 204, 404] {
        let mut worker = Worker::only();
        worker.begin(1, Some(5));
        worker.begin(2, None);
        assert_eq!(worker.tick(104), (Overdue::default(), vec![]));
        assert_eq!(worker.tick(105), (Overdue::default(), vec![HANGUP.to_owned()]));
        worker.tick(106);
        let states = [("rtc_2".into(), "open".into(), Value::Null), ("rtc_1".into(), "stopping".into(), Value::Null)];
        assert_eq!(worker.listed(106), states);
        assert!(!worker.has_room(106));
        assert_eq!(worker.answered(1, Some(ended), 107), None);
        assert!(worker.has_room(107));
        let record = &worker.ask("GET", "?status=closed", 108)["data"][0];
        assert_eq!((&record["upstream_id"], &record["kind"]), (&"rtc_1".into(), &"webrtc".into()));
        assert_eq!(record["duration_ms"], 7_000);
        assert_eq!(record["close"], overdue());
        assert_eq!(worker.tick(200), (Overdue::default(), vec![]));
    }
}

#[test]
fn a_call_that_is_not_ended_is_tried_again_ever_later_and_reported_once() {
    let mut worker = Worker::only();
    worker.begin(1, Some(0));
    let mut asked = Vec::new();
    let mut reported = Vec::new();
    for now in 100..220 {
        if !worker.tick(now).1.is_empty() {
            asked.push(now - 100);
            let token = asked.len() as u32;
            reported.extend(worker.answered(token, [Some(503), None, Some(401)][asked.len() % 3], now));
            assert_eq!(worker.answered(token, Some(200), now), None, "an answer counts once");
        }
    }
    assert_eq!(asked, [0, 1, 3, 7, 15, 31, 61, 91]);
    assert_eq!(reported, ["rtc_1"]);
    assert_eq!(worker.listed(220), one("rtc_1", "stopping", Value::Null));
}

#[test]
fn a_hangup_without_an_answer_is_sent_again() {
    let mut worker = Worker::only();
    worker.begin(1, Some(0));
    let asked: Vec<_> = (100..125).filter(|now| !worker.tick(*now).1.is_empty()).collect();
    assert_eq!(asked, [100, 110, 120]);
    assert_eq!(worker.answered(1, Some(200), 125), None);
    assert_eq!(worker.listed(125), one("rtc_1", "stopping", Value::Null), "the first is not waited for any more");
    assert_eq!(worker.answered(3, Some(200), 125), None);
    assert_eq!(worker.listed(126)[0].1, "closed");
}

#[test]
fn a_hangup_that_cannot_be_sent_is_reported_once_and_tried_again() {
    let mut worker = Worker::only();
    worker.begin(1, Some(0));
    let unsent = || Overdue { unsent: vec!["rtc_1".into()], ..Overdue::default() };
    assert_eq!(worker.tick_unsent(100), unsent());
    assert_eq!(worker.tick_unsent(101), Overdue::default());
    assert_eq!(worker.tick(102).1.len(), 0);
    assert_eq!(worker.tick(103).1, [HANGUP]);
}

#[test]
fn a_call_that_outlives_what_any_may_is_forgotten() {
    let mut worker = Worker::only();
    worker.begin(1, None);
    worker.begin(2, Some(7_199));
    worker.tick(7_299);
    worker.answered(1, Some(503), 7_299);
    assert_eq!(worker.tick(7_300).1.len(), 0);
    assert!(worker.calls.0.is_empty());
    let want = [("rtc_2", overdue()), ("rtc_1", Value::Null)];
    assert_eq!(worker.listed(7_300), want.map(|(id, close)| (id.to_owned(), "closed".to_owned(), close)));
}

#[test]
fn the_operator_ends_a_call() {
    let mut worker = Worker::only();
    worker.begin(1, None);
    worker.ask("DELETE", "?caller=web-app", 101);
    assert_eq!(worker.tick(102).1, [HANGUP]);
    worker.answered(1, Some(200), 102);
    assert_eq!(worker.listed(103), one("rtc_1", "closed", closed("gateway", 4410, "session_stopped")));
}

#[test]
fn a_call_that_nothing_here_can_end_is_reported_once_and_stays_stopping() {
    let mut worker = Worker::only();
    let mut call = worker.call(1, Some(5));
    call.hangup = None;
    worker.calls.begin(call, &mut worker.sessions);
    let keyless = Overdue { keyless: vec!["rtc_1".into()], ..Overdue::default() };
    for (now, reported) in [(105, keyless), (106, Overdue::default()), (500, Overdue::default())] {
        assert_eq!(worker.tick(now), (reported, vec![]));
    }
    assert_eq!(worker.listed(501), one("rtc_1", "stopping", Value::Null));
}

#[test]
fn a_call_that_others_end_is_over_at_once_on_its_worker_and_at_the_next_tick_of_another() {
    let shared_data = Memory::default();
    let mut workers = [Worker::new(&shared_data, 1), Worker::new(&shared_data, 2)];
    workers[0].begin(1, None);
    workers[0].begin(2, Some(5));
    workers[0].hung_up(name("rtc_1"), at(102));
    assert!(workers[0].has_room(102));
    workers[0].tick(106);
    workers[0].tick(107);
    workers[1].hung_up(CallName { provider: "azure", id: "rtc_2" }, at(108));
    assert_eq!(workers[0].tick(108).1.len(), 0);
    assert_eq!(workers[0].calls.0.len(), 1);
    workers[1].hung_up(name("rtc_2"), at(109));
    assert_eq!(workers[1].listed(109)[0].1, "stopping");
    workers[0].tick(109);
    assert!(workers[0].calls.0.is_empty());
    let closes = workers[1].listed(110).into_iter().map(|(id, _, close)| (id, close)).collect::<Vec<_>>();
    let want = [("rtc_2", overdue()), ("rtc_1", closed("client", 1000, ""))];
    assert_eq!(closes, want.map(|(id, close)| (id.to_owned(), close)));
}

#[test]
fn a_call_ends_as_the_session_did_that_joined_it_wherever_it_began() {
    let shared_data = Memory::default();
    let mut workers = [Worker::new(&shared_data, 1), Worker::new(&shared_data, 2)];
    for number in [1, 2] {
        workers[0].begin(number, None);
    }
    let budget = Ending::Limit(Limit::SessionTokens).close();
    workers[0].end(1, budget.clone());
    workers[1].end(2, budget.clone());
    workers[1].end(3, budget);
    assert_eq!(workers[1].tick(102).1, ["/v1/realtime/calls/rtc_3/hangup"], "no worker knows that call");
    assert_eq!(workers[0].tick(102).1, [HANGUP, "/v1/realtime/calls/rtc_2/hangup"]);
    for token in [1, 2] {
        workers[0].answered(token, Some(200), 103);
    }
    let closes = workers[0].listed(104).into_iter().map(|(id, _, close)| (id, close)).collect::<Vec<_>>();
    let spent = || json!({ "by": "gateway", "code": 4429, "reason": "budget_exceeded", "limit": "session.max_tokens" });
    let want = [("rtc_2", spent()), ("rtc_1", spent())];
    assert_eq!(closes, want.map(|(id, close)| (id.to_owned(), close)));
}

#[test]
fn a_session_that_joins_a_call_counts_as_that() {
    let mut worker = Worker::only();
    worker.begin(1, None);
    worker.begin(2, None);
    assert!(!worker.has_room(100));
    let found = worker.sessions.find_call(name("rtc_1"));
    assert_eq!(found.map(|record| record.caller), Some("web-app".into()));
    let sessions = &mut worker.sessions;
    let joined = sessions.join(&web_app(), name("rtc_1"), Role::Sideband, at(100));
    let (handle, _) = joined.unwrap_or_else(|_| panic!("it does not count"));
    sessions.close(handle, None, at(100));
    assert!(!worker.has_room(100), "and gives none back");
}

#[test]
fn of_too_many_calls_the_oldest_must_end() {
    let mut worker = Worker::only();
    let call = |number: usize| {
        let record = Record { upstream_id: Some(format!("rtc_{number}")), ..record(1, 1) };
        let mut call = Call::new(record, at(100), Watch::NotNeeded);
        call.hangup = Some(hangup(&format!("rtc_{number}")));
        call
    };
    for number in 1..=MAX_CALLS + 2 {
        worker.calls.begin(call(number), &mut worker.sessions);
    }
    assert_eq!(worker.tick(101).1, [HANGUP, "/v1/realtime/calls/rtc_2/hangup"]);
    for number in 1..=MAX_KEPT - MAX_CALLS {
        worker.calls.begin(call(number), &mut worker.sessions);
    }
    assert_eq!(worker.calls.0.len(), MAX_KEPT);
}

/// A call `rtc_1` that must be watched, and one who joins it at a worker.
fn watched(worker: &mut Worker) {
    let mut call = worker.call(1, None);
    call.watch = Watch::UnwatchedSince(at(100));
    worker.calls.begin(call, &mut worker.sessions);
}

fn join(worker: &mut Worker) -> SessionHandle {
    let joined = worker.sessions.join(&web_app(), name("rtc_1"), Role::Sideband, at(100));
    let (mut handle, _) = joined.unwrap_or_else(|_| panic!("there is room"));
    worker.sessions.joined_opened(&mut handle, at(100));
    handle
}

#[test]
fn a_call_that_must_be_watched_and_is_not_is_hung_up() {
    let mut worker = Worker::only();
    watched(&mut worker);
    assert!((101..110).all(|now| worker.tick(now).1.is_empty()));
    assert_eq!(worker.tick(110).1, [HANGUP]);
    worker.answered(1, Some(200), 110);
    assert_eq!(worker.listed(111), one("rtc_1", "closed", closed("gateway", 1005, "unwatched")));
}

#[test]
fn a_sideband_of_any_worker_watches_while_it_stays() {
    let shared_data = Memory::default();
    let mut workers = [Worker::new(&shared_data, 1), Worker::new(&shared_data, 2)];
    watched(&mut workers[0]);
    assert!((101..110).all(|now| workers[0].tick(now).1.is_empty()));
    let handle = join(&mut workers[1]);
    for now in 110..150 {
        workers.iter_mut().for_each(|worker| assert_eq!(worker.tick(now).1.len(), 0));
    }
    workers[1].sessions.close(handle, None, at(150));
    assert!((150..160).all(|now| workers[0].tick(now).1.is_empty()), "another may come");
    assert_eq!(workers[0].tick(160).1, [HANGUP]);
}

#[test]
fn what_sidebands_tell_is_the_calls_and_ends_it() {
    let shared_data = Memory::default();
    let mut workers = [Worker::new(&shared_data, 1), Worker::new(&shared_data, 2)];
    let limits = SessionLimits { max_tokens: Some(300), ..SessionLimits::default() };
    let call = workers[0].call_under(1, limits);
    let Worker { calls, sessions, .. } = &mut workers[0];
    calls.begin(call, sessions);
    let handle = join(&mut workers[1]);
    let key = handle.joined().unwrap();
    let used = Tally::response(Tokens {
        input: Input { text: 200, ..Input::default() },
        output: Output::default(),
        ..Tokens::default()
    });
    for (id, is_new, is_spent) in [(7, true, false), (7, false, false), (8, true, true)] {
        assert_eq!(workers[1].sessions.call_used(key, Some(IdDigest(id)), (&used, MicroUsd(5))), is_new);
        assert_eq!(workers[1].sessions.spent_by_call(key).is_some(), is_spent);
    }
    workers[1].sessions.call_reported(key, Some("gpt-realtime-2025-08-28"), false);
    workers[1].sessions.moved(&handle, at(103));
    workers[1].tick(103);
    assert_eq!(workers[1].sessions.ending_of_joined(&handle, at(103)), Some(Ending::Limit(Limit::SessionTokens)));
    assert_eq!(workers[0].tick(104).1, [HANGUP]);
    workers[0].answered(1, Some(200), 105);
    let record = &workers[0].ask("GET", "", 106)["data"][0];
    assert_eq!((&record["usage"]["total_tokens"], &record["usage"]["responses"]), (&400.into(), &2.into()));
    assert_eq!((&record["cost_usd"], &record["idle_ms"]), (&json!(0.00001), &2000.into()));
    assert_eq!((&record["model"], &record["kind"]), (&"gpt-realtime-2025-08-28".into(), &"webrtc".into()));
    assert_eq!(record["close"]["limit"], "session.max_tokens");
}

#[test]
fn what_was_told_since_the_last_tick_is_in_the_record_of_a_call_that_ends() {
    let shared_data = Memory::default();
    let mut workers = [Worker::new(&shared_data, 1), Worker::new(&shared_data, 2)];
    workers[0].begin(1, None);
    let handle = join(&mut workers[1]);
    workers[0].tick(101);
    let used = Tally::response(Tokens {
        input: Input { text: 253, ..Input::default() },
        output: Output::default(),
        ..Tokens::default()
    });
    workers[1].sessions.call_used(handle.joined().unwrap(), Some(IdDigest(7)), (&used, MicroUsd(5)));
    workers[0].hung_up(name("rtc_1"), at(101));
    assert_eq!(workers[0].ask("GET", "", 102)["data"][0]["usage"]["total_tokens"], 253);
}

#[test]
fn the_sidebands_of_a_call_end_with_it() {
    for (stopped, want) in [(true, Ending::Stopped), (false, Ending::CallEnded)] {
        let shared_data = Memory::default();
        let mut workers = [Worker::new(&shared_data, 1), Worker::new(&shared_data, 2)];
        workers[0].begin(1, None);
        let handle = join(&mut workers[1]);
        workers[1].tick(101);
        assert_eq!(workers[1].sessions.ending_of_joined(&handle, at(101)), None);
        if stopped {
            workers[1].ask("DELETE", "?caller=web-app", 101);
            workers[0].tick(102);
        } else {
            workers[0].hung_up(name("rtc_1"), at(101));
        }
        workers[1].tick(102);
        assert_eq!(workers[1].sessions.ending_of_joined(&handle, at(102)), Some(want));
    }
}

#[test]
fn a_call_is_idle_when_those_who_watch_it_hear_nothing() {
    let mut worker = Worker::only();
    let limits = SessionLimits { idle_timeout: Some(Duration::from_secs(5)), ..SessionLimits::default() };
    let call = worker.call_under(1, limits);
    worker.calls.begin(call, &mut worker.sessions);
    assert!((101..120).all(|now| worker.tick(now).1.is_empty()), "nobody knows");
    let handle = join(&mut worker);
    worker.sessions.moved(&handle, at(120));
    assert!((121..125).all(|now| worker.tick(now).1.is_empty()));
    assert_eq!(worker.sessions.ending_of_joined(&handle, at(125)), Some(Ending::Limit(Limit::SessionIdle)));
    assert_eq!(worker.tick(125).1, [HANGUP]);
}
