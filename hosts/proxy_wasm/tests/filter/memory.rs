//! What a worker's streams hold together: beyond it new work is refused, what runs goes on, and all of it is given back.
//! Nothing is recorded: how many are let in depends on the sizes of the filter's own types.

use std::time::Duration;

use serde_json::json;

use crate::fixture::{ACCEPTED, TOKEN, error, vm};
use crate::host::{Answer, Exchange, Fate, Vm, golden};

/// What a worker's streams may hold.
const LIMIT: usize = 64 << 20;

/// The longest headers that Envoy takes, as long as nobody changes its default.
const HEADERS: usize = 54 << 10;

/// A plugin with a policy that reads bodies, one that reads answers, and one that reads nothing.
fn mixed() -> Vm {
    let models = json!(["gpt*"]);
    vm(json!({
        "client_secrets": {
            "mode": "sealed", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }],
        },
        "policies": {
            "reading": { "provider": "openai", "models": models, "lock": ["instructions"] },
            "unmetered": { "provider": "openai", "meter": false },
        },
    }))
}

fn held(vm: &Vm) -> usize {
    let held = vm.statistics("memory_bytes");
    usize::try_from(held.iter().map(|(_, bytes)| bytes).sum::<i64>()).expect("no less than nothing")
}

/// A request that waits for its body.
fn waiting(vm: &Vm) -> Exchange {
    let request = vm.post("/v1/chat/completions", "").with_policy("reading").authenticated();
    request.line("x-padding", "x".repeat(HEADERS)).send_headers(false)
}

/// As many as are let in.
fn all(begin: impl Fn() -> Exchange) -> Vec<Exchange> {
    let mut all = Vec::new();
    loop {
        let exchange = begin();
        if let Fate::Answered(_) = exchange.fate() {
            assert_overloaded(&exchange);
            return all;
        }
        all.push(exchange);
    }
}

/// As many requests that wait as are let in, and as many WebSockets beside them.
fn fill(vm: &Vm) -> Vec<Exchange> {
    let mut waiting = all(|| waiting(vm));
    waiting.extend(all(|| vm.upgrade("/v1/realtime?model=gpt").authenticated().send()));
    waiting
}

#[track_caller]
fn assert_overloaded(exchange: &Exchange) {
    assert_is_overloaded(&exchange.refusal());
}

#[track_caller]
fn assert_is_overloaded(refusal: &Answer) {
    assert_eq!((refusal.status(), refusal.details.as_str()), (503, "realtime_byok.overloaded"));
    let error = error(refusal);
    assert_eq!((&error["type"], &error["code"]), (&"server_error".into(), &"overloaded".into()));
    assert_eq!(refusal.lines.all("retry-after"), ["1"]);
}

fn open(vm: &Vm) -> Exchange {
    let exchange = vm.upgrade("/v1/realtime?model=gpt").with_policy("reading").authenticated().send();
    exchange.respond(101, ACCEPTED);
    exchange
}

#[test]
fn requests_that_wait_are_let_in_until_three_quarters_are_taken() {
    golden::unrecorded(|| {
        let vm = mixed();
        let all = all(|| waiting(&vm));
        assert!((LIMIT * 3 / 4 - 2 * HEADERS..=LIMIT * 3 / 4).contains(&held(&vm)), "{} bytes are held", held(&vm));
        assert!(all.len() > 800, "no more is counted than is held: {} requests wait", all.len());
        all[0].send_chunk(br#"{"model":"gpt-5"}"#, true);
        assert_eq!(all[0].upstream().body, br#"{"model":"gpt-5"}"#, "what waited goes on");
        drop(all);
        assert_eq!(held(&vm), 0);
        assert_eq!(waiting(&vm).fate(), Fate::Waiting);
    });
}

#[test]
fn in_a_full_account_nothing_begins_that_would_hold_more_and_all_else_goes_on() {
    golden::unrecorded(|| {
        let vm = mixed();
        let session = open(&vm);
        let rest = vm.post("/v1/responses", "{}").authenticated().send();
        let all = fill(&vm);
        assert_overloaded(&vm.upgrade("/v1/realtime").authenticated().send());
        assert_overloaded(&vm.upgrade("/v1/realtime").with_policy("unmetered").authenticated().send());
        assert_overloaded(&vm.post("/v1/responses", "{}").authenticated().send());
        assert_overloaded(&vm.post("/v1/realtime/client_secrets", "{}").authenticated().send());
        let sdp = vm.request("POST", "/v1/realtime/calls").line("content-type", "application/sdp");
        assert_overloaded(&sdp.authenticated().body("v=0").send());
        vm.request("GET", "/v1/models").authenticated().send().upstream();
        vm.post("/v1/responses", "{}").with_policy("unmetered").authenticated().send().upstream();
        assert_eq!(vm.upgrade("/v1/realtime").line("cf-aig-authorization", "Bearer no").send().refused().0, 401);

        session.send_chunk(b"\x81\x82\0\0\0\0{}", false);
        session.send_upstream(b"\x81\x02{}");
        assert_eq!(session.closed_with(), None);
        rest.respond(200, [("content-type", "application/json")]);
        let usage = br#"{"object":"response","usage":{"input_tokens":9,"output_tokens":4,"total_tokens":13}}"#;
        usage.chunks(7).for_each(|piece| rest.response_body(piece, false));
        rest.response_body(b"", true);
        rest.log();
        assert_eq!(rest.access_log_field("tokens"), "13");
        drop((session, rest, all));
        assert_eq!(held(&vm), 0);
        open(&vm);
    });
}

#[test]
fn a_call_can_be_hung_up_in_a_full_account() {
    golden::unrecorded(|| {
        let vm = vm(json!({ "policies": { "reading": { "provider": "openai", "models": ["gpt*"] } } }));
        let _all = fill(&vm);
        vm.request("POST", "/v1/realtime/calls/rtc_1/hangup").authenticated().send().upstream();
        let told = vm.post("/v1/realtime/calls/rtc_1/hangup", r#"{"model":"gpt"}"#);
        told.with_policy("reading").authenticated().send().upstream();
    });
}

#[test]
fn tokens_that_are_kept_for_a_request_that_does_not_end_count() {
    golden::unrecorded(|| {
        let vm = mixed();
        let unended = || {
            let request = vm.post("/v1/files", "").with_policy("unmetered").authenticated();
            request.line("x-api-key", "k".repeat(HEADERS)).send_headers(false)
        };
        let all = all(unended);
        assert!((LIMIT / 2 / HEADERS..LIMIT / HEADERS).contains(&all.len()), "{}", all.len());
        all[0].send_chunk(b"", true);
        drop(unended());
        drop(all);
        vm.wait(Duration::from_secs(1));
        assert_eq!(held(&vm), 0);
    });
}

#[test]
fn answers_that_are_gathered_are_refused_when_all_is_taken() {
    golden::unrecorded(|| {
        let vm = mixed();
        let json = [(":status", "200"), ("content-type", "application/json")];
        let json = json.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()));
        let mint = || {
            let exchange = vm.post("/v1/realtime/client_secrets", "{}").authenticated().send();
            exchange.upstream();
            exchange.response_headers(&json, true);
            exchange
        };
        let all: Vec<_> = (0..80).map(|_| mint()).collect();
        all.iter().for_each(|exchange| exchange.response_body(&[b' '; 1 << 20], false));
        assert!((LIMIT - (2 << 20)..=LIMIT).contains(&held(&vm)), "{} bytes are held", held(&vm));
        all.iter().for_each(|exchange| exchange.response_body(b"", true));
        assert!(held(&vm) < LIMIT / 1000);
        let (refused, gathered): (Vec<_>, Vec<_>) = all.iter().partition(|exchange| exchange.answer().status() == 503);
        assert!((60..=64).contains(&gathered.len()), "{} answers were gathered", gathered.len());
        refused.into_iter().for_each(|exchange| assert_is_overloaded(&exchange.answer()));
        drop(all);
        assert_eq!(held(&vm), 0);
    });
}

#[test]
fn what_a_websocket_offers_counts_until_its_101() {
    golden::unrecorded(|| {
        let vm = mixed();
        let offer = (0..2500).map(|number| format!("p{number}")).collect::<Vec<_>>().join(",");
        let request = vm.upgrade("/v1/realtime").with_policy("unmetered").line("sec-websocket-protocol", offer);
        let request = request.line("authorization", format!("Bearer {TOKEN}"));
        let exchange = request.clone().send();
        assert!(held(&vm) > 40_000, "{} bytes are held", held(&vm));
        exchange.respond(101, ACCEPTED);
        assert!(held(&vm) < 1000, "{} bytes are held", held(&vm));
        let all = all(|| request.clone().send());
        assert!(all.len() > 200 && held(&vm) <= LIMIT * 3 / 4, "{} WebSockets hold {}", all.len(), held(&vm));
    });
}
