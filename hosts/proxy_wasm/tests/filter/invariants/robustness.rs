//! No input and no order of callbacks traps the VM, lets anything through, or makes it worse for others.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof};
use serde_json::{Value, json};

use super::{admitted, check, header_name, value};
use crate::fixture::vm;
use crate::host::{Exchange, Fate, Vm};

type Lines = Vec<(String, Vec<u8>)>;

fn lines() -> impl Strategy<Value = Lines> {
    vec((header_name(), value()), 0..8)
}

/// One callback.
#[derive(Clone, Debug)]
enum Event {
    RequestHeaders(Lines, bool),
    RequestBody(Vec<u8>, bool),
    RequestTrailers(Lines),
    ResponseHeaders(Lines, bool),
    ResponseBody(Vec<u8>, bool),
    ResponseTrailers(Lines),
    Ticks(u8),
}

fn event() -> impl Strategy<Value = Event> {
    let bytes = || vec(any::<u8>(), 0..64);
    prop_oneof![
        (lines(), any::<bool>()).prop_map(|(lines, ends)| Event::RequestHeaders(lines, ends)),
        (bytes(), any::<bool>()).prop_map(|(bytes, ends)| Event::RequestBody(bytes, ends)),
        lines().prop_map(Event::RequestTrailers),
        (lines(), any::<bool>()).prop_map(|(lines, is_upstream)| Event::ResponseHeaders(lines, is_upstream)),
        (bytes(), any::<bool>()).prop_map(|(bytes, ends)| Event::ResponseBody(bytes, ends)),
        lines().prop_map(Event::ResponseTrailers),
        (0..5_u8).prop_map(Event::Ticks),
    ]
}

fn play(vm: &Vm, exchange: &Exchange, event: &Event) {
    match event {
        Event::RequestHeaders(lines, ends) => exchange.request_headers(lines, *ends),
        Event::RequestBody(bytes, ends) => exchange.send_chunk(bytes, *ends),
        Event::RequestTrailers(lines) => exchange.request_trailers(lines),
        Event::ResponseHeaders(lines, is_upstream) => exchange.response_headers(lines, *is_upstream),
        Event::ResponseBody(bytes, ends) => exchange.response_body(bytes, *ends),
        Event::ResponseTrailers(lines) => exchange.response_trailers(lines),
        Event::Ticks(count) => vm.wait(Duration::from_secs((*count).into())),
    }
}

/// A policy under which bodies are read, and one under which they are not.
fn vms() -> [Vm; 2] {
    let azure = json!({ "kind": "azure_openai", "key": { "env": "AZURE_KEY" } });
    let plain = vm(json!({}));
    let reading = vm(json!({
        "providers": { "azure": azure },
        "policies": { "default": { "provider": Value::Null, "providers": ["openai", "azure"], "models": ["gpt*"] } },
    }));
    [plain, reading]
}

#[test]
fn any_callbacks_in_any_order_do_no_harm_and_let_nothing_through() {
    let vms = vms();
    check((0..2_usize, vec(event(), 1..8)), |(index, events)| {
        let vm = &vms[index];
        let exchange = vm.request("GET", "/").open();
        events.iter().for_each(|event| play(vm, &exchange, event));
        prop_assert!(!matches!(exchange.fate(), Fate::Forwarded(_)), "{:?}", exchange.fate());
        vm.upgrade("/v1/realtime?model=gpt").authenticated().send().upstream();
        Ok(())
    });
}

#[test]
fn an_admitted_stream_survives_any_callbacks_too() {
    let vms = vms();
    let body = prop_oneof![Just(br#"{"model":"azure/gpt"}"#.to_vec()), vec(any::<u8>(), 0..64)];
    let stream = (0..2_usize, any::<bool>(), lines(), option::of(body), vec(event(), 0..8));
    check(stream, |(index, is_upgrade, lines, body, events)| {
        let vm = &vms[index];
        let request = if is_upgrade { vm.upgrade("/v1/realtime?model=gpt") } else { vm.post("/v1/responses", "") };
        let request = admitted(request).lines(lines.iter().map(|(name, value)| (name, value)));
        let exchange = request.send_headers(body.is_none());
        body.iter().for_each(|body| exchange.send_chunk(body, true));
        events.iter().for_each(|event| play(vm, &exchange, event));
        vm.upgrade("/v1/realtime?model=gpt").authenticated().send().upstream();
        Ok(())
    });
}

#[test]
fn any_bytes_in_every_header_get_an_answer_or_go_on() {
    let vms = vms();
    let path = vec(any::<u8>().prop_filter("Envoy refuses these", |byte| !b"\0\r\n".contains(byte)), 0..40);
    check((0..2_usize, path, any::<bool>(), lines()), |(index, path, is_http2, lines)| {
        let request = vms[index].request("GET", [b"/", path.as_slice()].concat());
        let request = admitted(request).lines(lines.iter().map(|(name, value)| (name, value)));
        let request = if is_http2 { request.over_http2() } else { request };
        let exchange = request.send();
        prop_assert!(matches!(exchange.fate(), Fate::Forwarded(_) | Fate::Answered(_)), "{:?}", exchange.fate());
        Ok(())
    });
}

#[test]
fn whatever_an_upstream_selects_the_client_gets_one_of_its_offers_or_none() {
    let vm = vm(json!({}));
    let name = || "[a-c.]{1,3}";
    let selected = vec(prop_oneof![vec(name(), 0..3).prop_map(|names| names.join(",").into_bytes()), value()], 0..3);
    let offered = proptest::collection::btree_set(name(), 0..4);
    check((offered, selected), |(offered, selected)| {
        let lines = offered.iter().map(|name| ("sec-websocket-protocol", name));
        let exchange = vm.upgrade("/").authenticated().lines(lines).send();
        let answer = exchange.respond(101, selected.iter().map(|line| ("sec-websocket-protocol", line)));
        let got = answer.lines.all("sec-websocket-protocol");
        prop_assert_eq!(got.len(), usize::from(!offered.is_empty()), "{:?}", got);
        prop_assert!(got.iter().all(|name| offered.contains(name.trim())), "{got:?}");
        Ok(())
    });
}
