//! Requests of the control API, and what they answer.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::*;
use crate::credential::Caller;
use crate::limit::{CallerLimits, Ending};
use crate::metrics::SessionLabels;
use crate::process::SessionHandle;
use crate::process::shared_data::key;
use crate::process::shared_data::memory::Memory;
use crate::testing::{self, record};
use crate::usage::{MicroUsd, Record, Tally};

const PATH: &str = "/realtime-byok";

fn read(method: &str, target: &str) -> Option<Result<Request, u16>> {
    let read = Request::read(PATH, method.as_bytes(), &Target::parse(target.as_bytes()), || true);
    read.map(|request| request.map_err(|answer| answer.status))
}

fn filter(caller: Option<&str>, user: Option<&str>, is_closed: Option<bool>) -> Filter {
    Filter { id: None, caller: caller.map(str::to_owned), user: user.map(str::to_owned), is_closed }
}

/// What a query asks for that names neither `limit` nor `after`.
fn listing(filter: Filter) -> Listing {
    let mut all = Listing::read(&Target::parse(b"/")).unwrap_or_else(|_| panic!("it is empty"));
    all.filter = filter;
    all
}

fn id() -> RecordId {
    RecordId::new(0xab)
}

#[test]
fn requests_are_distinguished_by_method_and_whole_segments() {
    let session = format!("{PATH}/sessions/{}", id());
    for (method, target, want) in [
        ("GET", "/realtime-byok/sessions", Some(Ok(Request::List(listing(Filter::default()))))),
        ("GET", session.as_str(), Some(Ok(Request::Find(id())))),
        ("DELETE", session.as_str(), Some(Ok(Request::Stop(id())))),
        ("GET", "/realtime-byok/usage", Some(Ok(Request::Usage))),
        ("GET", "/realtime-byok/usage?", Some(Ok(Request::Usage))),
        ("GET", "/realtime-byok", Some(Err(404))),
        ("GET", "/realtime-byok/", Some(Err(404))),
        ("GET", "/realtime-byok/sessions/", Some(Err(404))),
        ("GET", "/realtime-byok/sessions/rb_1", Some(Err(404))),
        ("GET", &format!("{session}/"), Some(Err(404))),
        ("GET", &format!("{session}/x"), Some(Err(404))),
        ("GET", "/realtime-byok/session", Some(Err(404))),
        ("GET", "/realtime-byok/usage/x", Some(Err(404))),
        ("GET", "/realtime-byok/%73essions", Some(Err(404))),
        ("GET", "/realtime-byok//sessions", Some(Err(404))),
        ("POST", "/realtime-byok/sessions", Some(Err(405))),
        ("get", "/realtime-byok/sessions", Some(Err(405))),
        ("PUT", session.as_str(), Some(Err(405))),
        ("DELETE", "/realtime-byok/usage", Some(Err(405))),
        ("GET", "/realtime-byok2/sessions", None),
        ("GET", "/realtime-byo", None),
        ("GET", "/v1/realtime-byok/sessions", None),
        ("GET", "/v1/realtime", None),
    ] {
        assert_eq!(read(method, target), want, "{method} {target}");
    }
}

#[test]
fn queries_are_read_strictly() {
    for (query, want) in [
        ("?", Ok(filter(None, None, None))),
        ("?caller=web-app&", Ok(filter(Some("web-app"), None, None))),
        ("?user=u%20%C3%A9&status=open", Ok(filter(None, Some("u é"), Some(false)))),
        ("?user=a+b&status=closed", Ok(filter(None, Some("a+b"), Some(true)))),
        ("?c%61ller=a", Ok(filter(Some("a"), None, None))),
        ("?status=stopping", Err(400)),
        ("?status=", Err(400)),
        ("?caller=", Err(400)),
        ("?caller", Err(400)),
        ("?caller=a&caller=a", Err(400)),
        ("?user=%ff", Err(400)),
        ("?user=%4", Err(400)),
        ("?limit=0", Err(400)),
        ("?after=rb_1", Err(400)),
        ("?=5", Err(400)),
    ] {
        let want = want.map(|filter| Request::List(listing(filter)));
        assert_eq!(read("GET", &format!("{PATH}/sessions{query}")), Some(want), "{query}");
    }
    for (query, want) in [
        ("?caller=a", Ok(filter(Some("a"), None, None))),
        ("?user=u&caller=a", Ok(filter(Some("a"), Some("u"), None))),
        ("", Err(400)),
        ("?caller=", Err(400)),
        ("?caller=a&status=open", Err(400)),
    ] {
        let want = want.map(Request::StopAll);
        assert_eq!(read("DELETE", &format!("{PATH}/sessions{query}")), Some(want), "{query}");
    }
    for target in [format!("{PATH}/usage?caller=a"), format!("{PATH}/sessions/{}?x", id())] {
        assert_eq!(read("GET", &target), Some(Err(400)), "{target}");
    }
}

#[test]
fn without_the_token_nothing_is_shown() {
    for (method, path) in [("GET", "/sessions"), ("GET", "/nothing"), ("POST", "/sessions"), ("DELETE", "/sessions?x")]
    {
        let target = format!("{PATH}{path}");
        let answer = Request::read(PATH, method.as_bytes(), &Target::parse(target.as_bytes()), || false);
        let answer = answer.unwrap().unwrap_err();
        assert_eq!(answer.status, 401);
        assert!(answer.headers.contains(&("www-authenticate", r#"Bearer realm="realtime-byok""#.into())));
        assert_eq!(
            String::from_utf8(answer.body).unwrap(),
            concat!(
                r#"{"error":{"message":"Send the control token as `authorization: Bearer <token>`.","#,
                r#""type":"authentication_error","param":null,"code":"invalid_control_token"}}"#
            )
        );
    }
    assert_eq!(Request::read(PATH, b"GET", &Target::parse(b"/v1/realtime"), || false), None);
}

#[test]
fn an_error_has_its_code_and_a_405_the_methods() {
    for (method, path, status, code, allow) in [
        ("GET", "/sessions?x=1", 400, "malformed_request", None),
        ("DELETE", "/sessions", 400, "malformed_request", None),
        ("GET", "/sessions/x", 404, "session_not_found", None),
        ("GET", "/x", 404, "not_found", None),
        ("POST", "/sessions", 405, "method_not_allowed", Some("GET, DELETE")),
        ("POST", "/sessions/x", 405, "method_not_allowed", Some("GET, DELETE")),
        ("POST", "/usage", 405, "method_not_allowed", Some("GET")),
    ] {
        let target = format!("{PATH}{path}");
        let read = Request::read(PATH, method.as_bytes(), &Target::parse(target.as_bytes()), || true);
        let answer = read.unwrap().unwrap_err();
        let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((answer.status, &body["error"]["code"]), (status, &code.into()), "{method} {path}");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        let found = answer.headers.iter().find(|(name, _)| *name == "allow").map(|(_, value)| &**value);
        assert_eq!(found, allow);
        assert!(answer.headers.contains(&("content-type", "application/json".into())));
    }
}

struct World {
    shared_data: Memory,
    sessions: Sessions,
}

fn began(record: &Record) -> SessionLabels<'_> {
    SessionLabels { caller: &record.caller, policy: &record.policy, provider: &record.provider, kind: record.kind }
}

impl World {
    fn new() -> Self {
        let shared_data = Memory::default();
        let mut sessions = Sessions::new(Box::new(shared_data.clone()), 1);
        sessions.list_sessions();
        let limits =
            CallerLimits { concurrent_sessions: Some(3), tokens_per_day: Some(100), ..CallerLimits::default() };
        sessions
            .add_callers([("web-app", CallerLimits::default()), ("other", limits), ("web-app", limits)].into_iter());
        Self { shared_data, sessions }
    }

    fn open(&mut self, record: &Record) -> SessionHandle {
        let mut handle = self.sessions.admit(&caller(), None, now).unwrap_or_else(|_| panic!("there is room"));
        self.sessions.opened(&mut handle, began(record), &|| record.clone(), now());
        handle
    }

    fn ask(&mut self, method: &str, path: &str) -> (u16, serde_json::Value) {
        let target = format!("{PATH}{path}");
        let read = Request::read(PATH, method.as_bytes(), &Target::parse(target.as_bytes()), || true).unwrap();
        let request = read.unwrap_or_else(|answer| panic!("{method} {path}: {}", answer.status));
        let answer = request.run(&mut self.sessions, now());
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }
}

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(100)
}

fn caller() -> Arc<Caller> {
    Arc::new(testing::caller())
}

#[test]
fn a_session_is_shown_stopped_and_shown_as_closed() {
    let mut world = World::new();
    let handle = world.open(&record(0xab, 50));
    let session = format!("/sessions/{}", id());
    let (status, body) = world.ask("GET", &session);
    assert_eq!((status, &body["status"], &body["duration_ms"]), (200, &"open".into(), &50_000.into()));
    assert_eq!(serde_json::from_value::<Record>(body).unwrap().id, id());
    assert_eq!(world.ask("GET", "/sessions").1["data"][0]["id"], id().to_string());
    assert_eq!(world.sessions.ending(&handle), None);
    let (status, body) = world.ask("DELETE", &session);
    assert_eq!((status, &body["status"]), (202, &"stopping".into()));
    assert!(world.sessions.sync());
    assert_eq!(world.sessions.ending(&handle), Some(Ending::Stopped));
    assert_eq!(world.ask("DELETE", &session).0, 202);
    let (_, body) = world.ask("GET", "/sessions?status=open");
    assert_eq!((&body["object"], &body["data"][0]["status"]), (&"list".into(), &"stopping".into()));
    let closed = Record { close: Some(Ending::Stopped.close()), ..record(0xab, 50) };
    world.sessions.close(handle, Some(&closed), now());
    let (status, body) = world.ask("DELETE", &session);
    assert_eq!((status, &body["status"], &body["close"]["code"]), (200, &"closed".into(), &4410.into()));
    for method in ["GET", "DELETE"] {
        let (status, body) = world.ask(method, &format!("/sessions/{}", RecordId::new(1)));
        assert_eq!((status, &body["error"]["code"]), (404, &"session_not_found".into()));
    }
}

#[test]
fn what_runs_elsewhere_is_listed_though_nobody_there_was_configured_to() {
    let shared_data = Memory::default();
    let mut elsewhere = Sessions::new(Box::new(shared_data.clone()), 2);
    let open = |sessions: &mut Sessions, id| {
        let mut handle = sessions.admit(&caller(), None, now).unwrap_or_else(|_| panic!("there is room"));
        sessions.opened(&mut handle, began(&record(id, 50)), &|| record(id, 50), now());
        handle
    };
    let _before = open(&mut elsewhere, 1);
    let mut world = World { sessions: Sessions::new(Box::new(shared_data.clone()), 1), shared_data };
    world.sessions.list_sessions();
    assert!(elsewhere.tick(now()));
    let handle = open(&mut elsewhere, 0xab);
    let (_, body) = world.ask("DELETE", "/sessions?caller=web-app");
    assert_eq!((body["data"].as_array().unwrap().len(), &body["data"][0]["id"]), (1, &id().to_string().into()));
    assert!(elsewhere.sync());
    assert_eq!(elsewhere.ending(&handle), Some(Ending::Stopped));
    elsewhere.add_callers(["web-app", "never-seen"].map(|name| (name, CallerLimits::default())).into_iter());
    elsewhere.used(&caller(), "gpt-realtime", (&Tally { responses: 1, ..Tally::default() }, MicroUsd(410_000)), now());
    let (_, body) = world.ask("GET", "/usage");
    assert_eq!((body["data"].as_array().unwrap().len(), &body["data"][0]["cost_usd"]), (1, &0.41.into()));
}

#[test]
fn stopping_all_of_a_caller_answers_with_those_that_were_not_closed() {
    let mut world = World::new();
    for id in 1..=3 {
        let handle = world.open(&record(id, id.try_into().unwrap()));
        if id == 2 {
            world.sessions.close(handle, Some(&record(2, 2)), now());
        }
    }
    let (status, body) = world.ask("DELETE", "/sessions?caller=web-app");
    let stopped = body["data"].as_array().unwrap();
    assert_eq!((status, &body["object"], stopped.len()), (202, &"list".into(), 2));
    assert!(stopped.iter().all(|record| record["status"] == "stopping"));
    assert_eq!(world.ask("DELETE", "/sessions?user=nobody").1["data"], serde_json::json!([]));
}

#[test]
fn each_session_is_stopped_once_and_listed_again_wherever_it_is() {
    let mut world = World::new();
    let first = world.open(&record(1, 1));
    let mut handles: Vec<SessionHandle> = (2..=40).map(|id| world.open(&record(id, 1))).collect();
    world.sessions.close(first, Some(&record(1, 1)), now());
    // Its slot is the first one's: sessions do not stand there in the order of their numbers.
    handles.push(world.open(&record(41, 1)));
    handles.push(world.open(&Record { caller: "other".into(), ..record(42, 1) }));
    let reported = |world: &World, handles: &[SessionHandle]| {
        handles.iter().filter(|handle| world.sessions.ending(handle) == Some(Ending::Stopped)).count()
    };
    world.ask("DELETE", "/sessions?caller=web-app");
    assert!(world.sessions.sync());
    assert_eq!((reported(&world, &handles), world.sessions.ending(&handles[40])), (40, None));
    world.shared_data.overwrite(&key(format_args!("sessions.0.0")), b"");
    assert!(world.sessions.tick(now()));
    assert_eq!(reported(&world, &handles), 0);
    assert!(!world.sessions.sync());
    for (id, handle) in (2..).zip(&handles) {
        world.sessions.update(handle, false, &|| record(id, 1));
    }
    world.sessions.sync();
    assert_eq!(world.ask("GET", "/sessions?status=open&limit=100").1["data"].as_array().unwrap().len(), 41);
}

#[test]
fn a_list_is_read_page_by_page_though_its_sessions_end() {
    let mut world = World::new();
    let mut handles: Vec<SessionHandle> = (1..=45).map(|id| world.open(&record(id, 1 + id as u64 % 7))).collect();
    let all = world.ask("GET", "/sessions?limit=100").1;
    assert_eq!((&all["has_more"], all["data"].as_array().unwrap().len()), (&false.into(), 45));
    let (mut seen, mut query) = (Vec::new(), "/sessions?status=open".to_owned());
    loop {
        let page = world.ask("GET", &query).1;
        let data = page["data"].as_array().unwrap().clone();
        assert_eq!((&page["object"], &page["first_id"]), (&"list".into(), &data[0]["id"]));
        assert_eq!(page["last_id"], data.last().unwrap()["id"]);
        query = format!("/sessions?status=open&after={}", page["last_id"].as_str().unwrap());
        let last: Record = serde_json::from_value(data.last().unwrap().clone()).unwrap();
        seen.extend(data);
        if page["has_more"] == false {
            break;
        }
        // The session of `after` is over before the next page is asked for.
        let at = (1..=45).position(|id| RecordId::new(id) == last.id).unwrap();
        let gone = std::mem::replace(&mut handles[at], world.open(&record(100 + seen.len() as u128, 99)));
        world.sessions.close(gone, Some(&last), now());
    }
    assert_eq!(seen.iter().map(|record| &record["id"]).collect::<Vec<_>>(), {
        all["data"].as_array().unwrap().iter().map(|record| &record["id"]).collect::<Vec<_>>()
    });
    let empty = world.ask("GET", "/sessions?user=nobody").1;
    let null = serde_json::Value::Null;
    assert_eq!((&empty["first_id"], &empty["last_id"], &empty["has_more"]), (&null, &null, &false.into()));
    let (status, body) = world.ask("GET", &format!("/sessions?after={}", RecordId::new(7777)));
    assert_eq!((status, &body["error"]["code"]), (400, &"malformed_request".into()));
}

#[test]
fn usage_is_listed_by_caller_for_today() {
    let mut world = World::new();
    world.open(&record(1, 1));
    let used = (&Tally { responses: 1, ..Tally::default() }, MicroUsd(410_000));
    assert_eq!(world.sessions.used(&caller(), "gpt-realtime", used, now()), None);
    let (status, body) = world.ask("GET", "/usage");
    assert_eq!((status, &body["object"], body["data"].as_array().unwrap().len()), (200, &"list".into(), 2));
    let row = &body["data"][1];
    assert_eq!((&row["caller"], &row["date"]), (&"web-app".into(), &"1970-01-01".into()));
    assert_eq!((&row["sessions"], &row["cost_usd"], &row["usage"]["responses"]), (&1.into(), &0.41.into(), &1.into()));
    assert_eq!((&body["data"][0]["caller"], &body["data"][0]["sessions"]), (&"other".into(), &0.into()));
    let limits = serde_json::json!({ "concurrent_sessions": 3, "tokens_per_day": 100 });
    assert_eq!((&row["limits"], &row["remaining"]), (&limits, &limits));
}
