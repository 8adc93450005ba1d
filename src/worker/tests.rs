//! A worker's life against a host of the test's own: whole streams, ticks and callouts, without an ABI.

mod identities;
mod present;
mod revocation;

use serde_json::{Value, json};

use super::*;
use crate::host::fake::FakeHost;
use crate::host::{Attribute, HeaderMap};
use crate::http::Edit;
use crate::process::shared_data::memory::Memory;
use crate::stream::AccessLog;

const NUMBER: StreamNumber = StreamNumber(7);
const START: u64 = 1_800_000_000;

/// An upgrade of web-app's.
const UPGRADE: [(&str, &str); 7] = [
    (":method", "GET"),
    (":path", "/v1/realtime?model=gpt-realtime"),
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("authorization", "Bearer token-of-the-web-app"),
];

/// A worker, its host, and the configuration under which streams are opened.
struct Fixture {
    worker: Worker,
    host: FakeHost,
    configuration: Option<Configuration>,
    shared_data: Memory,
}

impl Fixture {
    /// One provider and one caller, whose policies are `default`, changed by `policy`, and none else.
    fn new(policy: &Value) -> Self {
        let configuration = json!({
            "providers": { "openai": { "kind": "openai", "key": { "env": "KEY" } } },
            "callers": { "web-app": { "tokens": [{ "env": "TOKEN" }] } },
            "policies": { "default": policy },
        });
        let shared_data = Memory::default();
        let mut worker = Worker::new(Box::new(shared_data.clone()), 1);
        let host = FakeHost::new().at(START);
        let variable = |name: &str| match name {
            "KEY" => Some("sk-provider".to_owned()),
            "TOKEN" => Some("token-of-the-web-app".to_owned()),
            _ => None,
        };
        let configuration = worker.configure("voice", configuration.to_string().as_bytes(), &variable, &host);
        assert!(configuration.is_some(), "{:?}", log(&mut worker));
        let mut fixture = Self { worker, host, configuration, shared_data };
        fixture.drain();
        fixture
    }

    /// A request of these lines, which `ends` without a body; the stream, and what becomes of it.
    fn request(&mut self, lines: &[(&str, &str)], ends: bool) -> (StreamId, RequestAction) {
        let id = self.worker.open(NUMBER, self.configuration.clone());
        let host = FakeHost::new().at(self.host.seconds);
        let host = lines.iter().fold(host, |host, (name, value)| host.line(HeaderMap::Request, name, value));
        let action = self.worker.request_headers(id, ends, &host);
        (id, action)
    }

    /// A WebSocket of web-app's that the upstream has accepted.
    fn websocket(&mut self) -> StreamId {
        let (id, action) = self.request(&UPGRADE, false);
        assert!(matches!(action, RequestAction::Forward(_, None)));
        let action = self.worker.response_headers(id, false, &self.response("101"));
        assert!(matches!(action, ResponseAction::Edit(_)));
        id
    }

    /// A call of web-app's that has begun, and whose stream is over.
    fn call(&mut self) {
        let lines = [
            (":method", "POST"),
            (":path", "/v1/realtime/calls?model=gpt-realtime"),
            ("content-type", "application/sdp"),
            ("authorization", "Bearer token-of-the-web-app"),
        ];
        let (id, action) = self.request(&lines, false);
        assert!(matches!(action, RequestAction::Hold));
        let mut offer = b"v=0".as_slice();
        let action = self.worker.request_body(id, &mut offer, true, &FakeHost::new().at(self.host.seconds));
        assert!(matches!(action, RequestAction::Forward(_, None)));
        let host = self.response("201").line(HeaderMap::Response, "location", "/v1/realtime/calls/rtc_1");
        let host = host.with(Attribute::Cluster, "openai").with(Attribute::Authority, "api.openai.com");
        let host = host.with(Attribute::Path, "/v1/realtime/calls?model=gpt-realtime");
        assert!(matches!(self.worker.response_headers(id, false, &host), ResponseAction::Pass));
        let logged = fields(&self.worker.end(id, &host));
        assert!(logged.contains(&("realtime_byok.model", "gpt-realtime".to_owned())));
        self.worker.close(id);
    }

    fn response(&self, status: &str) -> FakeHost {
        let host = FakeHost::new().at(self.host.seconds);
        host.with(Attribute::ResponseCodeDetails, "via_upstream").line(HeaderMap::Response, ":status", status)
    }

    /// A second passes.
    fn tick(&mut self) {
        self.host.seconds += 1;
        self.worker.tick(&mut self.host);
    }

    /// What was measured since the last time: name and amount of each counter.
    fn drain(&mut self) -> Vec<(String, i64)> {
        let mut changes = Vec::new();
        self.worker.drain_statistics(|_, statistic, change| {
            if let Change::Add(amount) = change {
                changes.push((statistic.name.to_owned(), amount));
            }
        });
        changes
    }
}

/// The lines of the log; nothing else may be asked for.
fn log(worker: &mut Worker) -> Vec<(Level, String)> {
    let line = |command| match command {
        Command::Log(level, line) => (level, line),
        Command::Reset(_) | Command::Reply(..) => panic!("no stream is to be touched"),
    };
    worker.take_commands().into_iter().map(line).collect()
}

fn fields(log: &AccessLog) -> Vec<(&'static str, String)> {
    let mut fields = Vec::new();
    log.for_each(|field, value| fields.push((field, value.to_owned())));
    fields
}

#[test]
fn without_a_configuration_nothing_passes() {
    let mut fixture = Fixture::new(&json!({ "provider": "openai" }));
    let host = FakeHost::new();
    let id = fixture.worker.open(NUMBER, None);
    assert!(matches!(fixture.worker.request_headers(id, false, &host), RequestAction::Reset));
    assert!(matches!(fixture.worker.request_body(id, &mut b"{}".as_slice(), true, &host), RequestAction::Reset));
    assert!(matches!(fixture.worker.request_trailers(id, &mut b"".as_slice(), &host), (_, RequestAction::Reset)));
    assert!(fields(&fixture.worker.end(id, &host)).is_empty());
    fixture.worker.close(id);
    assert!(matches!(fixture.worker.request_headers(id, true, &host), RequestAction::Reset));
}

#[test]
fn a_wrong_configuration_is_logged_with_every_error() {
    let mut worker = Worker::new(Box::new(Memory::default()), 1);
    assert!(worker.configure("", br#"{"polices":{}}"#, &|_| None, &FakeHost::new()).is_none());
    let log = log(&mut worker);
    assert!(!log.is_empty());
    assert!(log.iter().all(|(level, line)| *level == Level::Error && line.starts_with("realtime_byok: ")), "{log:?}");
}

#[test]
fn an_identity_that_the_host_cannot_read_is_an_error() {
    for (of, is_readable) in [("connection", true), ("unreadable", false)] {
        let identities = json!([{ "property": [of, "name"], "equals": "x" }]);
        let configuration = json!({
            "providers": { "openai": { "kind": "openai", "key": { "value": "sk-provider" } } },
            "callers": { "web-app": { "identities": identities } },
            "policies": { "default": { "provider": "openai" } },
        });
        let mut worker = Worker::new(Box::new(Memory::default()), 1);
        let bytes = configuration.to_string();
        assert_eq!(worker.configure("", bytes.as_bytes(), &|_| None, &FakeHost::new()).is_some(), is_readable);
        let says = "realtime_byok: callers: the property unreadable.name cannot be read in this host";
        assert_eq!(log(&mut worker).contains(&(Level::Error, says.to_owned())), !is_readable);
    }
}

#[test]
fn a_host_that_hands_over_all_bodies_hurries_nobody() {
    let mut fixture = Fixture::new(&json!({ "provider": "openai", "models": ["gpt-5*"] }));
    fixture.worker = fixture.worker.with_all_bodies();
    let lines = [
        (":method", "POST"),
        (":path", "/v1/responses"),
        ("content-type", "application/json"),
        ("authorization", "Bearer token-of-the-web-app"),
    ];
    assert!(matches!(fixture.request(&lines, false).1, RequestAction::Hold));
    (0..9).for_each(|_| fixture.tick());
    assert!(fixture.worker.take_commands().is_empty());
}

#[test]
fn a_request_whose_body_envoy_keeps_back_is_answered_after_three_seconds() {
    let mut fixture = Fixture::new(&json!({ "provider": "openai", "models": ["gpt-5*"] }));
    let lines = [
        (":method", "POST"),
        (":path", "/v1/responses?api_key=sk-of-the-client"),
        ("content-type", "application/json"),
        ("authorization", "Bearer token-of-the-web-app"),
    ];
    let (waiting, action) = fixture.request(&lines, false);
    assert!(matches!(action, RequestAction::Hold));
    fixture.tick();
    fixture.tick();
    assert!(fixture.worker.take_commands().is_empty());
    fixture.tick();
    let commands = fixture.worker.take_commands();
    let [Command::Log(Level::Error, line), Command::Reply(NUMBER, edits, reply)] = commands.as_slice() else {
        panic!("{} commands", commands.len())
    };
    assert!(line.contains("the bodies of 1 waiting requests"), "{line}");
    assert_eq!((reply.reply.status, &*reply.details), (500, "realtime_byok.body_unavailable"));
    let path = edits.iter().find_map(|edit| match edit {
        Edit::Set(name, value) if &**name == ":path" => Some(value.as_bytes()),
        _ => None,
    });
    assert_eq!(path, Some(b"/v1/responses".as_slice()), "a credential of the client's comes into the access log");
    let (memory, others): (Vec<_>, Vec<_>) = fixture.drain().into_iter().partition(|(name, _)| name == "memory_bytes");
    assert_eq!(others, [("rejected_total".to_owned(), 1)]);
    assert!(
        matches!(memory.as_slice(), [(_, taken), (_, returned)] if *taken > 0 && *taken == -*returned),
        "{memory:?}"
    );
    fixture.worker.end(waiting, &FakeHost::new());
    fixture.worker.close(waiting);

    let (other, _) = fixture.request(&lines, false);
    let host = FakeHost::new();
    assert!(matches!(fixture.worker.request_body(other, &mut b"{".as_slice(), false, &host), RequestAction::Hold));
    (0..9).for_each(|_| fixture.tick());
    assert!(fixture.worker.take_commands().is_empty(), "Envoy has handed a body over");
}

#[test]
fn a_session_whose_time_is_up_is_reset_once_and_logged_as_it_ended() {
    let mut fixture = Fixture::new(&json!({ "provider": "openai", "session": { "max_duration": "2s" } }));
    let id = fixture.websocket();
    let mut resets = 0;
    for _ in 0..9 {
        fixture.tick();
        for command in fixture.worker.take_commands() {
            assert!(matches!(command, Command::Reset(NUMBER)));
            resets += 1;
        }
    }
    assert_eq!(resets, 1);
    let host = fixture.response("101");
    let log = fixture.worker.end(id, &host);
    let fields: Vec<_> = fields(&log).into_iter().filter(|(name, _)| *name != "realtime_byok.id").collect();
    let want = [
        ("realtime_byok.caller", "web-app"),
        ("realtime_byok.policy", "default"),
        ("realtime_byok.provider", "openai"),
        ("realtime_byok.model", "gpt-realtime"),
        ("realtime_byok.code", "4408"),
        ("realtime_byok.limit", "session.max_duration"),
        ("realtime_byok.close", "gateway"),
        ("realtime_byok.reason", "max_duration_exceeded"),
        ("realtime_byok.duration", "9000"),
        ("realtime_byok.tokens", "0"),
        ("realtime_byok.cost", "0.000000"),
    ];
    assert_eq!(fields, want.map(|(name, value)| (name, value.to_owned())));
    fixture.worker.plugin_done(fixture.configuration.as_ref());
    assert!(fixture.drain().contains(&("ended_total".to_owned(), 1)));
}

#[test]
fn a_call_that_is_over_its_time_is_hung_up_until_its_provider_agrees() {
    let mut fixture = Fixture::new(&json!({ "provider": "openai", "session": { "max_duration": "2s" } }));
    fixture.call();
    fixture.tick();
    assert!(fixture.host.sent.is_empty());
    fixture.tick();
    assert_eq!(fixture.host.sent, [b"/v1/realtime/calls/rtc_1/hangup"]);
    fixture.worker.callout_answered(CalloutId(1), Some(b"503"), &fixture.host);
    let refused = "the provider has not ended call rtc_1 yet, and is asked again; its status: 503";
    assert_eq!(log(&mut fixture.worker), [(Level::Warn, format!("realtime_byok: {refused}"))]);
    (0..3).for_each(|_| fixture.tick());
    fixture.worker.callout_answered(CalloutId(2), None, &fixture.host);
    (0..3).for_each(|_| fixture.tick());
    fixture.worker.callout_answered(CalloutId(3), Some(b"200"), &fixture.host);
    (0..60).for_each(|_| fixture.tick());
    assert_eq!((fixture.host.sent.len(), log(&mut fixture.worker)), (3, vec![]), "a fault is logged once");
}

#[test]
fn a_hangup_that_cannot_be_sent_is_logged_once() {
    let mut fixture = Fixture::new(&json!({ "provider": "openai", "session": { "max_duration": "1s" } }));
    fixture.host.sends_nothing = true;
    fixture.call();
    (0..9).for_each(|_| fixture.tick());
    let unsent = "cannot end call rtc_1 yet: its cluster takes no request; it is tried again";
    assert_eq!(log(&mut fixture.worker), [(Level::Warn, format!("realtime_byok: {unsent}"))]);
}

#[test]
fn corrupt_shared_data_is_named() {
    let mut fixture = Fixture::new(&json!({ "provider": "openai" }));
    fixture.worker.state.sessions.list_sessions();
    fixture.websocket();
    fixture.shared_data.overwrite("realtime_byok.3.worker.0", b"\xff");
    fixture.tick();
    let log = log(&mut fixture.worker);
    let [(Level::Error, line)] = log.as_slice() else { panic!("{log:?}") };
    assert!(line.contains("cannot be read; what was counted there begins anew"), "{line}");
}

#[test]
fn a_second_tick_within_a_second_does_nothing() {
    let mut fixture = Fixture::new(&json!({ "provider": "openai", "session": { "max_duration": "2s" } }));
    fixture.websocket();
    fixture.tick();
    let (_, writes) = fixture.shared_data.operations();
    fixture.worker.tick(&mut fixture.host);
    assert_eq!(fixture.shared_data.operations().1, writes);
    assert!(fixture.worker.take_commands().is_empty());
}

const COMPLETION: [(&str, &str); 4] = [
    (":method", "POST"),
    (":path", "/v1/chat/completions"),
    ("content-type", "application/json"),
    ("authorization", "Bearer token-of-the-web-app"),
];

/// A buffer that has bytes and cannot be read, or gives fewer than it has.
struct Unreadable(Option<Vec<u8>>);

impl ReadBuffer for Unreadable {
    fn size(&self) -> usize {
        9
    }

    fn read(&mut self, _: usize, _: usize) -> Option<Vec<u8>> {
        self.0.clone()
    }
}

#[test]
fn a_body_that_cannot_be_read_is_not_taken_for_none() {
    let host = FakeHost::new();
    for mut body in [Unreadable(None), Unreadable(Some(vec![])), Unreadable(Some(b"{}".to_vec()))] {
        let mut fixture = Fixture::new(&json!({ "provider": "openai", "models": ["gpt-5*"] }));
        let (id, action) = fixture.request(&COMPLETION, false);
        assert!(matches!(action, RequestAction::Hold));
        let RequestAction::Reply(reply, _) = fixture.worker.request_body(id, &mut body, true, &host) else {
            panic!("it went on, and nobody knows for which model")
        };
        assert_eq!((reply.reply.status, &*reply.details), (500, "realtime_byok.body_unavailable"));
    }
    let mut fixture = Fixture::new(&json!({ "provider": "openai", "models": ["gpt-5*"] }));
    let (id, _) = fixture.request(&COMPLETION, false);
    let (_, action) = fixture.worker.request_trailers(id, &mut Unreadable(None), &host);
    assert!(matches!(action, RequestAction::Reply(..)));
}

#[test]
fn of_a_request_that_was_answered_or_not_checked_nothing_goes_on() {
    let mut fixture = Fixture::new(&json!({ "provider": "openai" }));
    let host = FakeHost::new();
    let unchecked = fixture.worker.open(NUMBER, fixture.configuration.clone());
    let (denied, action) = fixture.request(&COMPLETION[..3], false);
    assert!(matches!(action, RequestAction::Reply(..)));
    for id in [unchecked, denied] {
        let action = fixture.worker.request_body(id, &mut b"{}".as_slice(), true, &host);
        assert!(matches!(action, RequestAction::Hold | RequestAction::Reset));
        let (_, action) = fixture.worker.request_trailers(id, &mut b"".as_slice(), &host);
        assert!(matches!(action, RequestAction::Hold | RequestAction::Reset));
    }
}

#[test]
fn a_request_whose_response_gave_way_goes_on_without_credentials_in_its_trailers() {
    let mut fixture = Fixture::new(&json!({ "provider": "openai" }));
    let (id, _) = fixture.request(&COMPLETION, false);
    let host = fixture.response("401").line(HeaderMap::RequestTrailers, "api-key", "t");
    assert!(matches!(fixture.worker.response_headers(id, true, &host), ResponseAction::Reply(_)));
    assert!(matches!(fixture.worker.request_body(id, &mut b"{}".as_slice(), false, &host), RequestAction::Pass));
    let (edits, action) = fixture.worker.request_trailers(id, &mut b"".as_slice(), &host);
    assert!(matches!(action, RequestAction::Pass));
    assert_eq!(edits.iter().map(Edit::name).collect::<Vec<_>>(), ["api-key"]);
}
