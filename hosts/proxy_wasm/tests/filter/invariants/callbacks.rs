//! Several streams of a VM under random callbacks, in random pieces, while any hostcall may fail: nothing traps, nothing
//! goes on without a valid credential, and no credential comes out.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_oneof};
use proptest::sample::select;
use proptest::test_runner::TestCaseError;
use serde_json::json;

use super::{GATEWAY, PROVIDER, Slot, check_unrecorded, holds};
use crate::fixture::{KEY, TOKEN, configuration, vm};
use crate::host::{ENVIRONMENT, Exchange, Fate, Lines, Request, Vm, golden};

/// What a client may hold: the caller's token, and what is worth nothing here.
const CREDENTIALS: [&str; 3] = [TOKEN, "sk-of-the-client-itself", "token-of-somebody-else"];
const OPERATOR: &str = "token-of-the-operator";

/// A request's head.
#[derive(Clone, Debug)]
struct Head {
    policy: &'static str,
    method: &'static str,
    path: &'static str,
    is_upgrade: bool,
    offers: Vec<(Slot, usize)>,
    lines: Vec<(&'static str, &'static str)>,
    ends: bool,
}

/// What happens next.
#[derive(Clone, Debug)]
enum Event {
    Begin(Head),
    RequestBody(Vec<u8>, bool),
    RequestTrailers(Vec<(Slot, usize)>),
    ResponseHeaders(u16, Vec<(&'static str, &'static str)>, bool),
    ResponseBody(Vec<u8>, bool),
    ResponseTrailers,
    Log,
    Close,
    Ticks(u8),
    Configure(usize),
    QueueReady,
    Answer(Option<u16>),
}

/// One event of one of the streams, and what the hostcalls in it return.
type Step = (usize, Event, Vec<u32>);

fn offers() -> impl Strategy<Value = Vec<(Slot, usize)>> {
    let slots = [&GATEWAY[..], &PROVIDER].concat();
    // Mostly the caller's token, so that much is let on.
    vec((select(slots), prop_oneof![6 => Just(0_usize), 1 => 1..CREDENTIALS.len()]), 0..3)
}

fn head() -> impl Strategy<Value = Head> {
    let paths = [
        "/v1/realtime?model=gpt",
        "/v1/realtime?model=azure/gpt&key=sk-of-the-client-itself",
        "/v1/realtime?call_id=rtc_1",
        "/v1/chat/completions",
        "/v1/responses",
        "/v1/realtime/calls?model=gpt",
        "/v1/realtime/calls/rtc_1/hangup",
        "/v1/realtime/client_secrets",
        "/realtime-byok/sessions",
        "/v1/%2e%2e/x",
    ];
    let lines = [
        ("content-type", "application/json"),
        ("content-type", "application/sdp"),
        ("content-length", "9"),
        ("cookie", "sk-of-the-client-itself"),
        ("openai-beta", "realtime=v1"),
        ("sec-websocket-protocol", "realtime"),
        ("authorization", "Bearer token-of-the-operator"),
        ("accept-encoding", "gzip"),
    ];
    let line = vec(select(lines.to_vec()), 0..4);
    let policy = select(vec!["", "plain", "plain", "locked", "brief"]);
    let method = select(vec!["GET", "POST", "POST", "DELETE", "TRACE"]);
    let request = (policy, method, select(paths.to_vec()), any::<bool>());
    (request, offers(), line, any::<bool>()).prop_map(|((policy, method, path, is_upgrade), offers, lines, ends)| {
        let method = if is_upgrade { "GET" } else { method };
        Head { policy, method, path, is_upgrade, offers, lines, ends: ends && !is_upgrade }
    })
}

/// Bytes of a body, or of a WebSocket of the client's or the upstream's.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let whole = [
        br#"{"model":"gpt","stream":true}"#.to_vec(),
        br#"{"model":"azure/gpt"}"#.to_vec(),
        br#"{"session":{"type":"realtime","model":"gpt"}}"#.to_vec(),
        br#"{"value":"ek_of-the-upstream","expires_at":1794702000}"#.to_vec(),
        b"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":2}}\n\n".to_vec(),
        [b"\x81\xa1\0\0\0\0".as_slice(), br#"{"type":"session.update","a":123}"#].concat(),
        [b"\x81\x19".as_slice(), br#"{"type":"session.created"}"#].concat(),
        [b"\x88\x82\0\0\0\0".as_slice(), b"\x03\xe8"].concat(),
        b"\x88\x02\x03\xe8".to_vec(),
    ];
    let piece = (select(whole.to_vec()), any::<proptest::sample::Index>()).prop_map(|(bytes, cut)| {
        let (head, _) = bytes.split_at(cut.index(bytes.len() + 1));
        head.to_vec()
    });
    prop_oneof![3 => select(whole.to_vec()), 2 => piece, 1 => vec(any::<u8>(), 0..48)]
}

fn event() -> impl Strategy<Value = Event> {
    let answers = [
        ("content-type", "application/json"),
        ("content-type", "text/event-stream"),
        ("content-encoding", "gzip"),
        ("location", "/v1/realtime/calls/rtc_1"),
        ("sec-websocket-protocol", "realtime"),
        ("x-request-id", "1"),
    ];
    let status = select(vec![101, 200, 200, 201, 307, 401, 403, 429, 500]);
    let answered = (status, vec(select(answers.to_vec()), 0..3), any::<bool>());
    prop_oneof![
        4 => head().prop_map(Event::Begin),
        3 => (bytes(), any::<bool>()).prop_map(|(bytes, ends)| Event::RequestBody(bytes, ends)),
        1 => offers().prop_map(Event::RequestTrailers),
        3 => answered.prop_map(|(status, lines, is_upstream)| Event::ResponseHeaders(status, lines, is_upstream)),
        3 => (bytes(), any::<bool>()).prop_map(|(bytes, ends)| Event::ResponseBody(bytes, ends)),
        1 => Just(Event::ResponseTrailers),
        1 => Just(Event::Log),
        1 => Just(Event::Close),
        2 => (1..5_u8).prop_map(Event::Ticks),
        1 => (0..4_usize).prop_map(Event::Configure),
        1 => Just(Event::QueueReady),
        1 => proptest::option::of(select(vec![200, 404, 503])).prop_map(Event::Answer),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // Hostcalls mostly do what they are for.
    let statuses = prop_oneof![3 => Just(Vec::new()), 1 => vec(prop_oneof![5 => Just(0_u32), 1 => Just(10)], 1..24)];
    vec((0..4_usize, event(), statuses), 1..24)
}

fn settings() -> serde_json::Value {
    json!({
        "providers": { "azure": { "kind": "azure_openai", "key": { "env": "AZURE_KEY" } } },
        "policies": {
            "default": { "provider": null, "providers": ["openai", "azure"], "models": ["gpt*"] },
            "plain": { "provider": "openai" },
            "locked": { "provider": "openai", "lock": ["instructions"] },
            "brief": { "provider": "openai", "session": { "max_duration": "3s", "idle_timeout": "2s" } },
        },
        "client_secrets": {
            "mode": "sealed",
            "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }],
        },
        "control": { "path": "/realtime-byok", "token": { "value": OPERATOR } },
    })
}

/// A stream, and whether its request was offered with the caller's token somewhere.
struct Stream {
    exchange: Exchange,
    is_offered: bool,
}

/// The streams of a VM.
struct Play<'a> {
    vm: &'a Vm,
    streams: [Option<Stream>; 4],
    answered: usize,
}

fn offer<'a>(request: Request<'a>, offers: &[(Slot, usize)]) -> Request<'a> {
    offers.iter().fold(request, |request, (slot, which)| {
        let (name, value) = line(*slot, CREDENTIALS[*which]);
        request.line(name, value)
    })
}

/// A header line that offers a credential.
fn line(slot: Slot, credential: &str) -> (&'static str, String) {
    use base64::Engine;
    match slot {
        Slot::Header(name, prefix) => (name, format!("{prefix}{credential}")),
        Slot::Subprotocol(prefix) => ("sec-websocket-protocol", format!("{prefix}{credential}")),
        Slot::Encoded => {
            let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(credential);
            ("sec-websocket-protocol", format!("cf-aig-authorization-base64url.{encoded}"))
        }
    }
}

impl Play<'_> {
    fn begin(&self, head: &Head) -> Stream {
        let request = match head.is_upgrade {
            true => self.vm.upgrade(head.path),
            false => self.vm.request(head.method, head.path),
        };
        let request = offer(request.lines(head.lines.iter().copied()), &head.offers).on_route(head.policy);
        let is_offered = head.offers.iter().any(|(_, which)| CREDENTIALS[*which] == TOKEN);
        Stream { exchange: request.send_headers(head.ends), is_offered }
    }

    /// Does what happens next, while hostcalls return these.
    fn step(&mut self, (which, event, statuses): &Step) {
        self.vm.fail(statuses);
        match event {
            Event::Begin(head) => {
                drop(self.streams[*which].take());
                self.vm.fail(statuses);
                self.streams[*which] = Some(self.begin(head));
            }
            Event::Close => drop(self.streams[*which].take()),
            Event::Ticks(count) => self.vm.wait(Duration::from_secs((*count).into())),
            Event::Configure(which) => {
                let good = configuration(settings()).to_string();
                let all = [good.as_bytes(), b"{}", &good.as_bytes()[..40], b""];
                self.vm.reconfigure(all[*which]);
            }
            Event::QueueReady => self.vm.queue_ready(),
            Event::Answer(status) => {
                let sent = self.vm.http_calls().len();
                if sent > self.answered {
                    self.answered = sent;
                    self.vm.answer_http_call(*status);
                }
            }
            event => {
                if let Some(stream) = &self.streams[*which] {
                    stream.play(event);
                }
            }
        }
        self.vm.fail(&[]);
    }

    fn judge(&self) -> Result<(), TestCaseError> {
        self.streams.iter().flatten().try_for_each(Stream::judge)?;
        let shown = self.vm.log().into_iter().map(|(_, line)| line).chain(self.vm.statistic_names());
        shown.into_iter().try_for_each(|text| assert_no_secret(text.as_bytes(), "the log or a statistic"))
    }
}

impl Stream {
    fn play(&self, event: &Event) {
        let exchange = &self.exchange;
        match event {
            Event::RequestBody(bytes, ends) => exchange.send_chunk(bytes, *ends),
            Event::RequestTrailers(offers) => {
                let lines: Vec<_> = offers
                    .iter()
                    .map(|(slot, which)| line(*slot, CREDENTIALS[*which]))
                    .map(|(name, value)| (name.to_owned(), value.into_bytes()))
                    .collect();
                exchange.request_trailers(&lines);
            }
            Event::ResponseHeaders(status, lines, is_upstream) => {
                let lines = lines.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec()));
                let status = (":status".to_owned(), status.to_string().into_bytes());
                exchange.response_headers(&Vec::from_iter([status].into_iter().chain(lines)), *is_upstream);
            }
            Event::ResponseBody(bytes, ends) => exchange.response_body(bytes, *ends),
            Event::ResponseTrailers => exchange.response_trailers(&[]),
            Event::Log => exchange.log(),
            _ => {}
        }
    }

    fn judge(&self) -> Result<(), TestCaseError> {
        if let Fate::Forwarded(message) = self.exchange.fate() {
            prop_assert!(self.is_offered, "goes on without a credential: {message:?}");
            let keys = ENVIRONMENT.iter().filter(|(name, _)| name.ends_with("KEY"));
            let has_key = keys.into_iter().any(|(_, key)| message.lines.text().join("\n").contains(key));
            prop_assert!(has_key, "goes on without a key: {message:?}");
            assert_stripped(&message.lines)?;
        }
        self.exchange.trailers().map_or(Ok(()), |trailers| assert_stripped(&trailers))?;
        if let Some(answer) = self.exchange.answer_if_any() {
            // A client that offers nothing but credentials is answered with the one that it offered.
            let lines = answer.lines.iter().filter(|(name, _)| *name != "sec-websocket-protocol");
            lines.into_iter().try_for_each(|(_, value)| assert_no_secret(value, "an answer"))?;
            assert_no_secret(&answer.body, "an answer")?;
        }
        assert_no_secret(&self.exchange.received(), "an answer")?;
        let state = self.exchange.filter_state();
        state.iter().try_for_each(|(_, value)| assert_no_secret(value, "the filter state"))
    }
}

/// Nothing that the client holds goes up.
fn assert_stripped(lines: &Lines) -> Result<(), TestCaseError> {
    use base64::Engine;
    for (name, value) in lines.iter() {
        for credential in CREDENTIALS {
            let encoded = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(credential);
            prop_assert!(!holds(value, credential) && !holds(value, &encoded), "{name} holds {credential}");
        }
    }
    Ok(())
}

/// Nothing that the gateway holds comes out, nor what clients gave it.
fn assert_no_secret(shown: &[u8], place: &str) -> Result<(), TestCaseError> {
    let keys = ENVIRONMENT.iter().map(|(_, value)| value.trim()).filter(|value| !value.is_empty());
    for secret in keys.chain(CREDENTIALS).chain([KEY, OPERATOR]) {
        prop_assert!(!holds(shown, secret), "{place} shows {secret}");
    }
    Ok(())
}

#[test]
fn whatever_is_called_and_fails_nothing_traps_passes_or_comes_out() {
    check_unrecorded(steps(), |steps| {
        let vm = vm(settings());
        let mut play = Play { vm: &vm, streams: [None, None, None, None], answered: vm.http_calls().len() };
        vm.trying(format!("{steps:#?}"));
        for step in &steps {
            play.step(step);
            play.judge()?;
        }
        Ok(())
    });
}

#[test]
fn what_could_not_be_read_or_edited_never_goes_on() {
    // Each hostcall of a request's head, or of its trailers, fails in turn, alone and with all that follow it.
    golden::unrecorded(|| {
        let vm = vm(settings());
        let failures = |number: usize, count| [vec![0; number], vec![10; count]].concat();
        let numbers = (0..64).flat_map(|number| [(number, 1), (number, 64)]);
        for ((number, count), in_trailers) in numbers.flat_map(|failing| [(failing, false), (failing, true)]) {
            let request = vm.upgrade("/v1/realtime?model=gpt").on_route("plain").authenticated();
            let exchange = request.open();
            vm.fail(&failures(number, if in_trailers { 0 } else { count }));
            exchange.request_headers(&request.all_lines(), false);
            exchange.send_chunk(b"", false);
            vm.fail(&failures(number, if in_trailers { count } else { 0 }));
            exchange.request_trailers(&[("authorization".to_owned(), format!("Bearer {TOKEN}").into_bytes())]);
            vm.fail(&[]);
            exchange.send_chunk(b"", false);
            Stream { exchange, is_offered: true }.judge().unwrap_or_else(|failure| panic!("{number}: {failure}"));
        }
    });
}
