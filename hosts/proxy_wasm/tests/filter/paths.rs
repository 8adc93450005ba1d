//! What methods, upgrades and paths are served at all, and before anything else is looked at.

use serde_json::json;

use crate::fixture::{TOKEN, error, refusal, vm};
use crate::host::Vm;

fn strict() -> Vm {
    vm(json!({
        "callers": { "web-app": { "limits": { "tokens_per_day": 1_000 } } },
        "policies": { "health": { "auth": "off" } },
    }))
}

#[test]
fn a_method_that_echoes_is_405_and_says_which_are_served() {
    let vm = strict();
    for method in ["TRACE", "TRACK", "trace"] {
        let request = || vm.request(method, "/v1/models?key=sk-of-a-client");
        for request in [request(), request().authenticated(), request().authenticated().with_policy("none")] {
            let exchange = request.send();
            assert_eq!(exchange.refused(), refusal(405, "method_not_allowed"), "{method}");
            let reply = exchange.refusal();
            assert_eq!(reply.lines.all("allow"), ["GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"]);
            assert_eq!(error(&reply)["type"], "invalid_request_error");
            assert_eq!(exchange.logged_path(), "/v1/models");
        }
    }
    vm.request("TRACE", "/healthz").with_policy("health").send().upstream();
}

#[test]
fn an_upgrade_by_another_method_is_malformed() {
    let vm = strict();
    for method in ["POST", "PUT", "HEAD", "OPTIONS", "get"] {
        let upgrade = vm.request(method, "/v1/realtime?model=gpt-realtime").line("upgrade", "websocket");
        assert_eq!(upgrade.authenticated().send().refused(), refusal(400, "malformed_request"), "{method}");
    }
}

#[test]
fn the_form_is_judged_before_the_policy_and_whoever_asks() {
    let vm = strict();
    for path in ["/v1/x/../realtime", "/v1/chat/completions/;x"] {
        for request in [
            vm.post(path, "{}"),
            vm.post(path, "{}").line("cf-aig-authorization", "nobodys"),
            vm.post(path, "{}").line("cf-aig-authorization", format!("{TOKEN}, other")),
            vm.post(path, "{}").authenticated().with_policy("none"),
        ] {
            assert_eq!(request.send().refused(), refusal(400, "malformed_request"), "{path}");
        }
        vm.post(path, "{}").with_policy("health").send().upstream();
    }
    let no_policy = vm.request("GET", "/v1/models").with_policy("none").send();
    assert_eq!(no_policy.refused(), refusal(404, "no_policy"));
}

#[test]
fn no_spelling_dodges_what_a_path_is_counted_or_refused_for() {
    let vm = strict();
    let malformed = || Err(refusal(400, "malformed_request"));
    let refused = || Err(refusal(403, "route_not_allowed"));
    for (path, want) in [
        ("/v1/chat/completions/;x", malformed()),
        ("/v1/chat/completions/%3bx", malformed()),
        ("/v1/chat/completions/%20", malformed()),
        ("/v1/chat/completions/%252e", malformed()),
        ("/v1/realtime/%252e%252e/chat/completions", malformed()),
        ("/v1/realtime/..%3b/chat/completions", malformed()),
        ("/v1/realtime/..%09/chat/completions", malformed()),
        ("/v1/realtime%2fcalls", malformed()),
        ("/v1/realtime\\calls", malformed()),
        ("/v1/account/gateway/openai", refused()),
        ("/v1/account/gateway/openai/", refused()),
        ("/v1/account/gateway/%6Fpenai", refused()),
        ("/v1/realtime/", refused()),
        ("/v1/realtime/calls/", refused()),
        ("/v1/realtime/calls/rtc_1//hangup", refused()),
        ("/v1/realtime/translations/calls/", refused()),
        ("/openai/v1/RealtimeRTC", refused()),
        ("/v1/live//sessions", refused()),
        ("/v1/live/sessions/live_1/fork", refused()),
        ("/v1/chatkit/sessions", refused()),
        ("/v1alpha/auth_tokens", refused()),
        ("/v1/chat/%63ompletions/", Ok(())),
        ("//v1/embeddings", Ok(())),
        ("/v1/files/a..b/-_~!$&'()*+,=:@", Ok(())),
    ] {
        let exchange = vm.request("POST", path).authenticated().send();
        assert_eq!(exchange.upstream_or_refused().map(|_| ()), want, "{path}");
    }
}
