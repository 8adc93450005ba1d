//! WebRTC calls: their media never passes the proxy, so all that can be kept of one is who began it, and how to end it.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use crate::http::Target;
use crate::policy::Placement;
use crate::secret::Secret;

/// No provider lets a call last longer; what is older has ended.
const LONGEST: Duration = Duration::from_secs(2 * 60 * 60);

/// The most calls that one worker keeps.
const MAX_CALLS: usize = 10_000;

/// A call that an upstream began.
pub struct Call {
    /// The upstream's name for it: `rtc_…`.
    pub id: String,
    /// The caller's name.
    pub caller: String,
    /// The caller's name for the person behind the client.
    pub user: Option<String>,
    /// The model, if it is known.
    pub model: Option<String>,
    /// When it began.
    pub started: SystemTime,
    /// How long it may last.
    pub max_duration: Option<Duration>,
    /// The request that ends it; none where the filter does not know the provider's key.
    pub hangup: Option<Hangup>,
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
    /// Keeps a call; the oldest goes if there are too many.
    pub fn begin(&self, call: Call) {
        let mut calls = self.0.borrow_mut();
        if calls.len() >= MAX_CALLS {
            calls.remove(0);
        }
        calls.push(call);
    }

    /// Takes the calls whose time is up, and forgets those that must have ended by themselves.
    pub fn overdue(&self, now: SystemTime) -> Vec<Call> {
        let lasted = |call: &Call| now.duration_since(call.started).unwrap_or_default();
        let is_overdue = |call: &mut Call| call.max_duration.is_some_and(|limit| lasted(call) >= limit);
        let mut calls = self.0.borrow_mut();
        let overdue = calls.extract_if(.., is_overdue).collect();
        calls.retain(|call| lasted(call) < LONGEST);
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn call(id: &str, max_duration: Option<u64>) -> Call {
        Call {
            id: id.into(),
            caller: "web-app".into(),
            user: None,
            model: None,
            started: at(100),
            max_duration: max_duration.map(Duration::from_secs),
            hangup: None,
        }
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
        let header = Placement::Header { name: "authorization".into(), prefix: "Bearer ".into() };
        let hangup = Hangup::new("rtc_1", "up".into(), "api".into(), b"/v1/realtime/calls?model=m", (header, key()));
        assert_eq!(hangup.path, b"/v1/realtime/calls/rtc_1/hangup");
        assert!(hangup.credential.is_some_and(|(name, value)| name == "authorization" && value == key()));
        let query = Placement::Query("key".into());
        let hangup = Hangup::new("rtc_1", "up".into(), "api".into(), b"/v1/realtime/calls", (query, key()));
        assert_eq!(hangup.path, b"/v1/realtime/calls/rtc_1/hangup?key=Bearer%20sk");
        assert!(hangup.credential.is_none());
    }

    #[test]
    fn a_call_is_overdue_once_and_one_without_a_limit_is_forgotten_in_time() {
        let calls = Calls::default();
        calls.begin(call("a", Some(5)));
        calls.begin(call("b", None));
        let ids = |now| calls.overdue(at(now)).into_iter().map(|call| call.id).collect::<Vec<_>>();
        assert!(ids(104).is_empty());
        assert_eq!(ids(105), ["a"]);
        assert!(ids(106).is_empty());
        assert_eq!(calls.0.borrow().len(), 1);
        assert!(ids(100 + 7_200).is_empty());
        assert!(calls.0.borrow().is_empty());
    }

    #[test]
    fn too_many_calls_push_the_oldest_out() {
        let calls = Calls::default();
        for n in 0..=MAX_CALLS {
            calls.begin(call(&n.to_string(), None));
        }
        let kept = calls.0.borrow();
        assert_eq!((kept.len(), kept[0].id.as_str()), (MAX_CALLS, "1"));
    }
}
