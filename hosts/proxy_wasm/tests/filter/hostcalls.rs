//! What is asked of Envoy: each hostcall takes longer than most of what is done between two.

use serde_json::json;

use crate::fixture::{ACCEPTED, vm};

#[test]
fn a_rest_request_takes_five_hostcalls_its_response_among_them() {
    let vm = vm(json!({}));
    let (exchange, request) = vm.hostcalls(|| vm.request("GET", "/v1/models").authenticated().send());
    exchange.upstream();
    let ((), response) = vm.hostcalls(|| {
        exchange.respond(200, [("content-type", "application/json")]);
        exchange.response_body(b"{}", true);
        drop(exchange);
    });
    let edits = ["remove_header_map_value", "replace_header_map_value"];
    assert_eq!(request, [["get_header_map_pairs", "get_property"], edits].concat());
    assert_eq!(response, ["get_header_map_pairs"]);
}

#[test]
fn a_handshake_takes_as_many_and_the_time() {
    let vm = vm(json!({}));
    let (exchange, request) = vm.hostcalls(|| vm.upgrade("/v1/realtime?model=gpt-realtime").authenticated().send());
    exchange.upstream();
    let (_, response) = vm.hostcalls(|| exchange.respond(101, ACCEPTED));
    let ((), end) = vm.hostcalls(|| drop(exchange));
    let edits = ["remove_header_map_value", "replace_header_map_value"];
    assert_eq!(request, [["get_header_map_pairs", "get_property"], edits].concat());
    assert_eq!(response, ["get_header_map_pairs", "get_current_time_nanoseconds"]);
    // Each field of the access log is a property of its own.
    let asked = ["get_current_time_nanoseconds", "get_property"];
    assert_eq!(end, [asked.as_slice(), &["set_property"; 10]].concat());
}

#[test]
fn a_limit_of_its_caller_is_read_and_written_once_at_either_end() {
    let limited = json!({ "callers": { "web-app": { "limits": { "concurrent_sessions": 2 } } } });
    let vm = vm(limited);
    let begin = || vm.upgrade("/v1/realtime?model=gpt-realtime").authenticated().send();
    // The first session of a worker tells the others that it is there.
    begin().respond(101, ACCEPTED);
    let shared = |hostcalls: Vec<&'static str>| -> Vec<_> {
        hostcalls.into_iter().filter(|name| name.ends_with("_shared_data")).collect()
    };
    let (exchange, request) = vm.hostcalls(begin);
    assert_eq!(shared(request), ["get_shared_data", "set_shared_data"]);
    let (_, response) = vm.hostcalls(|| exchange.respond(101, ACCEPTED));
    assert!(shared(response).is_empty());
    let ((), end) = vm.hostcalls(|| drop(exchange));
    assert_eq!(shared(end), ["get_shared_data", "set_shared_data"]);
}
