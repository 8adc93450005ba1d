//! WebRTC calls: their media never passes the proxy, so all that can be kept of one is who began it, and how to end it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::control::{Process, Seat};
use crate::http::Target;
use crate::limits::Ending;
use crate::policy::Placement;
use crate::secret::Secret;
use crate::usage::{Close, Record, Status};

/// No provider lets a call last longer; what is older has ended.
const LONGEST: Duration = Duration::from_secs(2 * 60 * 60);

/// The most calls that one worker keeps.
const MAX_CALLS: usize = 10_000;

/// A call that an upstream began.
pub struct Call {
    /// Its record as it began, with the upstream's name for it, `rtc_…`.
    pub record: Record,
    /// When it began.
    pub started: SystemTime,
    /// How long it may last.
    pub max_duration: Option<Duration>,
    /// The request that ends it; none where the filter does not know the provider's key.
    pub hangup: Option<Hangup>,
    /// Its place among the sessions of the process.
    pub seat: Option<Seat>,
    /// It was to end, and there was no way to end it.
    pub is_told: bool,
}

/// `POST …/realtime/calls/{id}/hangup`, as it is sent to the upstream.
pub struct Hangup {
    /// Envoy's cluster of the upstream.
    pub cluster: String,
    /// `:authority`
    pub authority: String,
    /// `:path`, the query included.
    pub path: Vec<u8>,
    /// The header that holds the provider's key, unless the query does.
    pub credential: Option<(String, Rc<Secret>)>,
}

impl Hangup {
    /// The request that ends the call `id` of the upstream that `path` was asked for it.
    pub fn new(id: &str, cluster: String, authority: String, path: &[u8], credential: (Placement, Rc<Secret>)) -> Self {
        let plain = [Target::parse(path).path, b"/", id.as_bytes(), b"/hangup"].concat();
        let (placement, value) = credential;
        let (path, credential) = match placement {
            Placement::Header { name, .. } => (plain, Some((name.into_owned(), value))),
            Placement::Query(name) => (Target::parse(&plain).with(&name, value.expose()), None),
        };
        Self { cluster, authority, path, credential }
    }
}

/// The id that a `location` such as `/v1/realtime/calls/rtc_u1` ends with.
pub fn id_in(location: &[u8]) -> Option<&str> {
    let id = Target::parse(location).path.rsplit(|&byte| byte == b'/').next()?;
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (!id.is_empty() && id.len() <= 256 && id.iter().all(is_plain)).then(|| std::str::from_utf8(id).ok()).flatten()
}

/// The calls that began on one worker.
#[derive(Default)]
pub struct Calls(RefCell<Vec<Call>>);

impl Calls {
    /// Keeps a call; the oldest is forgotten if there are too many.
    pub fn begin(&self, call: Call, process: &RefCell<Process>) {
        let mut calls = self.0.borrow_mut();
        if calls.len() >= MAX_CALLS {
            let mut oldest = calls.remove(0);
            oldest.leave(&mut process.borrow_mut(), None, call.started);
        }
        calls.push(call);
    }

    /// Time passed: takes the calls that must end, forgets those that must have ended by themselves, and says of which
    /// the end cannot be told to the upstream.
    pub fn tick(&self, process: &mut Process, now: SystemTime) -> Overdue {
        let mut overdue = Overdue::default();
        let mut ended: Vec<Close> = Vec::new();
        let mut calls = self.0.borrow_mut();
        calls.retain_mut(|call| {
            let ending = call.ending(process, now);
            match (ending, call.hangup.take()) {
                (Some(ending), Some(hangup)) => {
                    let close = call.record.close.clone().unwrap_or_else(|| ending.close());
                    call.leave(process, Some(close.clone()), now);
                    overdue.hangups.push((call.id().to_owned(), hangup));
                    ended.push(close);
                    return false;
                }
                (Some(_), None) if !call.is_told => {
                    call.is_told = true;
                    overdue.endless.push(call.id().to_owned());
                }
                (_, hangup) => call.hangup = hangup,
            }
            let is_over = call.lasted(now) >= LONGEST;
            if is_over {
                call.leave(process, None, now);
            } else if let Some(seat) = &call.seat {
                process.update(seat, false, &|| call.record(Status::Open, now));
            }
            !is_over
        });
        // A call that was joined is here twice, and ends once.
        calls.retain_mut(|call| {
            let close = overdue.hangups.iter().zip(&ended).find(|((id, _), _)| id == call.id()).map(|(_, close)| close);
            if let Some(close) = close {
                call.leave(process, Some(close.clone()), now);
            }
            close.is_none()
        });
        overdue
    }
}

/// Calls that must end now.
#[derive(Default)]
pub struct Overdue {
    /// The requests that end them, with their ids.
    pub hangups: Vec<(String, Hangup)>,
    /// The ids of those that nothing here can end; each is told once.
    pub endless: Vec<String>,
}

impl Call {
    /// The upstream's name for it.
    pub fn id(&self) -> &str {
        self.record.upstream_id.as_deref().unwrap_or_default()
    }

    fn lasted(&self, now: SystemTime) -> Duration {
        now.duration_since(self.started).unwrap_or_default()
    }

    fn ending(&self, process: &Process, now: SystemTime) -> Option<Ending> {
        let told = self.seat.as_ref().and_then(|seat| process.ending(seat));
        let is_overdue = self.max_duration.is_some_and(|limit| self.lasted(now) >= limit);
        told.or(is_overdue.then_some(Ending::MaxDuration))
    }

    fn leave(&mut self, process: &mut Process, close: Option<Close>, now: SystemTime) {
        if let Some(seat) = self.seat.take() {
            let record = Record { close, ..self.record(Status::Closed, now) };
            process.leave(seat, Some(&record), now);
        }
    }

    fn record(&self, status: Status, now: SystemTime) -> Record {
        let duration_ms = u64::try_from(self.lasted(now).as_millis()).unwrap_or(u64::MAX);
        Record { status, duration_ms, ..self.record.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::{Access, Caller};
    use crate::control::Request;
    use crate::control::stored::tests::record;
    use crate::glob::Globs;
    use crate::limits::CallerLimits;
    use crate::limits::store::memory::Memory;
    use crate::usage::Kind;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn process() -> RefCell<Process> {
        let mut process = Process::new(Box::new(Memory::default()), 1);
        process.list_sessions();
        RefCell::new(process)
    }

    fn hangup() -> Hangup {
        let placement = Placement::Header { name: "authorization".into(), prefix: "Bearer ".into() };
        let key = Rc::new(Secret::new(b"Bearer sk".to_vec()));
        Hangup::new("rtc_1", "up".into(), "api".into(), b"/v1/realtime/calls?model=m", (placement, key))
    }

    /// A call of web-app's that has begun.
    fn call(number: u128, max_duration: Option<u64>, process: &RefCell<Process>) -> Call {
        let record = Record { kind: Kind::WebRtc, upstream_id: Some(format!("rtc_{number}")), ..record(number, 100) };
        let mut seat = process.borrow_mut().admit(&web_app(), at(100)).unwrap_or_else(|_| panic!("there is room"));
        process.borrow_mut().opened(&mut seat, &|| record.clone(), at(100));
        let max_duration = max_duration.map(Duration::from_secs);
        Call { record, started: at(100), max_duration, hangup: Some(hangup()), seat: Some(seat), is_told: false }
    }

    fn web_app() -> Rc<Caller> {
        let limits = CallerLimits { concurrent_sessions: Some(20_000), ..CallerLimits::default() };
        let (policies, models, origins) = (Access::All, Globs::All, Globs::All);
        Rc::new(Caller { name: "web-app".into(), policies, models, origins, limits })
    }

    /// What the control API answers.
    fn listed(process: &RefCell<Process>, method: &str, query: &str, now: u64) -> serde_json::Value {
        let path = format!("/sessions{query}");
        let request = Request::read("", method.as_bytes(), &Target::parse(path.as_bytes()), || true).unwrap();
        let answer = request.unwrap_or_else(|answer| panic!("{}", answer.status));
        serde_json::from_slice(&answer.run(&mut process.borrow_mut(), at(now)).body).unwrap()
    }

    #[test]
    fn a_location_ends_with_the_calls_id() {
        for (location, id) in [
            ("/v1/realtime/calls/rtc_u1-A", Some("rtc_u1-A")),
            ("https://api.openai.com/v1/realtime/calls/rtc_1?x=/y", Some("rtc_1")),
            ("rtc_1", Some("rtc_1")),
            ("/v1/realtime/calls/", None),
            ("/v1/realtime/calls/a%2Fb", None),
            ("", None),
        ] {
            assert_eq!(id_in(location.as_bytes()), id, "{location}");
        }
    }

    #[test]
    fn a_hangup_goes_where_the_call_came_from_with_the_key() {
        let key = || Rc::new(Secret::new(b"Bearer sk".to_vec()));
        let hangup = hangup();
        assert_eq!(hangup.path, b"/v1/realtime/calls/rtc_1/hangup");
        assert!(hangup.credential.is_some_and(|(name, value)| name == "authorization" && value == key()));
        let query = Placement::Query("key".into());
        let hangup = Hangup::new("rtc_1", "up".into(), "api".into(), b"/v1/realtime/calls", (query, key()));
        assert_eq!(hangup.path, b"/v1/realtime/calls/rtc_1/hangup?key=Bearer%20sk");
        assert!(hangup.credential.is_none());
    }

    #[test]
    fn a_call_is_ended_once_and_one_without_a_limit_is_forgotten_in_time() {
        let (calls, process) = (Calls::default(), process());
        calls.begin(call(1, Some(5), &process), &process);
        calls.begin(call(2, None, &process), &process);
        let ended = |now| {
            let overdue = calls.tick(&mut process.borrow_mut(), at(now));
            overdue.hangups.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert!(ended(104).is_empty());
        assert_eq!(ended(105), ["rtc_1"]);
        assert!(ended(106).is_empty());
        let closed = &listed(&process, "GET", "?status=closed", 106)["data"][0];
        assert_eq!((&closed["upstream_id"], &closed["kind"]), (&"rtc_1".into(), &"webrtc".into()));
        assert_eq!((&closed["duration_ms"], &closed["close"]["code"]), (&5_000.into(), &4408.into()));
        assert_eq!(listed(&process, "GET", "?status=open", 106)["data"][0]["upstream_id"], "rtc_2");
        assert!(ended(100 + 7_200).is_empty());
        assert!(calls.0.borrow().is_empty());
        assert_eq!(listed(&process, "GET", "?status=open", 7_300)["data"], serde_json::json!([]));
    }

    #[test]
    fn the_operator_ends_a_call() {
        let (calls, process) = (Calls::default(), process());
        calls.begin(call(1, None, &process), &process);
        listed(&process, "DELETE", "?caller=web-app", 101);
        assert!(process.borrow_mut().exchange());
        let overdue = calls.tick(&mut process.borrow_mut(), at(102));
        assert_eq!(overdue.hangups.len(), 1);
        assert_eq!(listed(&process, "GET", "", 103)["data"][0]["close"]["reason"], "session_stopped");
    }

    #[test]
    fn a_call_ends_with_the_session_that_joined_it_and_is_hung_up_once() {
        let (calls, process) = (Calls::default(), process());
        calls.begin(call(1, None, &process), &process);
        let joined = Call { seat: None, max_duration: Some(Duration::ZERO), ..call(1, None, &process) };
        let record = Record { close: Some(Ending::Budget.close()), ..joined.record.clone() };
        calls.begin(Call { record, ..joined }, &process);
        assert_eq!(calls.tick(&mut process.borrow_mut(), at(101)).hangups.len(), 1);
        assert!(calls.0.borrow().is_empty());
        assert_eq!(listed(&process, "GET", "?status=closed", 103)["data"][0]["close"]["code"], 4429);
    }

    #[test]
    fn a_call_that_nothing_here_can_end_is_told_of_once_and_goes_on() {
        let (calls, process) = (Calls::default(), process());
        calls.begin(Call { hangup: None, ..call(1, Some(5), &process) }, &process);
        for (now, endless) in [(105, vec!["rtc_1".to_owned()]), (106, vec![])] {
            let overdue = calls.tick(&mut process.borrow_mut(), at(now));
            assert_eq!((overdue.hangups.len(), overdue.endless), (0, endless));
        }
        assert_eq!(listed(&process, "GET", "?status=open", 107)["data"][0]["upstream_id"], "rtc_1");
    }

    #[test]
    fn too_many_calls_push_the_oldest_out() {
        let (calls, process) = (Calls::default(), process());
        for number in 0..=MAX_CALLS {
            let record = Record { upstream_id: Some(number.to_string()), ..record(1, 1) };
            let (max_duration, hangup, seat, is_told) = (None, None, None, false);
            calls.begin(Call { record, started: at(100), max_duration, hangup, seat, is_told }, &process);
        }
        let kept = calls.0.borrow();
        assert_eq!((kept.len(), kept[0].id()), (MAX_CALLS, "1"));
    }
}
