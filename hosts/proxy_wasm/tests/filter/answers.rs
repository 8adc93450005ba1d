//! What the client gets back: every row of errors, the subprotocol that is selected, and the upstream's refusals.

use serde_json::json;

use crate::fixture::{KEY, TOKEN, error, refusal, vm};
use crate::host::{Exchange, Vm};

const SUBPROTOCOLS: &str = "sec-websocket-protocol";

/// A plugin in which every row can happen: `old` is expired, `new` not good yet, `narrow` may do little.
fn strict() -> Vm {
    vm(json!({
        "callers": {
            "old": { "tokens": [{ "value": "token-that-has-expired", "not_after": "2026-11-15T00:00:00Z" }] },
            "new": { "tokens": [{ "value": "token-of-another-time", "not_before": "2026-11-15T00:00:01Z" }] },
            "narrow": {
                "tokens": [{ "value": "token-of-narrow-caller" }],
                "policies": ["voice"], "models": ["gpt-realtime"], "origins": ["https://app.example.com"],
            },
        },
        "policies": { "voice": { "provider": "openai", "models": ["gpt-realtime*"] } },
    }))
}

struct Row {
    sent: fn(&Vm) -> Exchange,
    status: u16,
    kind: &'static str,
    code: &'static str,
    param: Option<&'static str>,
}

const ROWS: [Row; 20] = [
    row(|vm| vm.upgrade("/").send(), 401, "authentication_error", "missing_gateway_token"),
    row(|vm| with_token(vm, "nobodys"), 401, "authentication_error", "invalid_gateway_token"),
    row(|vm| with_token(vm, "token-of-another-time"), 401, "authentication_error", "invalid_gateway_token"),
    row(|vm| with_token(vm, "token-that-has-expired"), 401, "authentication_error", "expired_gateway_token"),
    row(|vm| with_token(vm, "a, b"), 400, "invalid_request_error", "conflicting_credentials"),
    row(|vm| with_token(vm, ""), 400, "invalid_request_error", "malformed_credentials"),
    row(|vm| with_token(vm, "token-of-narrow-caller"), 403, "permission_error", "route_not_allowed"),
    row(
        |vm| voice(vm, "?model=gpt-realtime", "https://evil.example.com"),
        403,
        "permission_error",
        "origin_not_allowed",
    ),
    row(
        |vm| voice(vm, "?model=gpt-realtime-mini", "https://app.example.com"),
        403,
        "permission_error",
        "model_not_allowed",
    )
    .of("model"),
    row(|vm| voice(vm, "", "https://app.example.com"), 400, "invalid_request_error", "model_required").of("model"),
    row(
        |vm| voice(vm, "?model=gpt-realtime&model=gpt-realtime", "https://app.example.com"),
        400,
        "invalid_request_error",
        "malformed_request",
    )
    .of("model"),
    row(|vm| voice(vm, "?model=%ff", "https://app.example.com"), 400, "invalid_request_error", "malformed_request")
        .of("model"),
    row(
        |vm| vm.post("/v1/responses", r#"{"model":"gpt-realtime""#).with_policy("voice").authenticated().send(),
        400,
        "invalid_request_error",
        "malformed_request",
    ),
    row(
        |vm| {
            let twice = r#"{"model":"gpt-realtime","model":"gpt-realtime"}"#;
            vm.post("/v1/responses", twice).with_policy("voice").authenticated().send()
        },
        400,
        "invalid_request_error",
        "malformed_request",
    ),
    row(
        |vm| vm.upgrade("/").without("upgrade").line("upgrade", "h2c").authenticated().send(),
        400,
        "invalid_request_error",
        "malformed_request",
    ),
    row(
        |vm| vm.post("/v1/realtime/client_secrets", "{}").authenticated().send(),
        403,
        "permission_error",
        "route_not_allowed",
    ),
    row(|vm| vm.upgrade("/").authenticated().with_policy("none").send(), 404, "invalid_request_error", "no_policy"),
    row(|vm| answered(vm, 401), 502, "upstream_error", "provider_key_rejected"),
    row(|vm| answered(vm, 403), 502, "upstream_error", "provider_key_rejected"),
    row(|vm| vm.request("CONNECT", "").authenticated().send(), 400, "invalid_request_error", "malformed_request"),
];

const fn row(sent: fn(&Vm) -> Exchange, status: u16, kind: &'static str, code: &'static str) -> Row {
    Row { sent, status, kind, code, param: None }
}

impl Row {
    const fn of(self, param: &'static str) -> Self {
        Self { param: Some(param), ..self }
    }
}

fn with_token(vm: &Vm, token: &str) -> Exchange {
    vm.upgrade("/v1/realtime?model=gpt-realtime").line("cf-aig-authorization", token).send()
}

fn voice(vm: &Vm, query: &str, origin: &str) -> Exchange {
    let request = vm.upgrade(&format!("/v1/realtime{query}")).line("origin", origin).on_route("voice");
    request.line("cf-aig-authorization", "token-of-narrow-caller").send()
}

/// An upstream that refuses the key, and quotes it.
fn answered(vm: &Vm, status: u16) -> Exchange {
    let exchange = vm.upgrade("/v1/realtime").authenticated().send();
    exchange.respond(status, [("x-quote", KEY), ("www-authenticate", "Bearer realm=\"OpenAI\"")]);
    exchange
}

#[test]
fn every_situation_has_its_status_type_and_code() {
    let vm = strict();
    for (index, row) in ROWS.iter().enumerate() {
        let exchange = (row.sent)(&vm);
        let answer = exchange.answer();
        let error = error(&answer);
        assert_eq!(
            (answer.status(), error["type"].as_str(), error["code"].as_str(), error["param"].as_str()),
            (row.status, Some(row.kind), Some(row.code), row.param),
            "row {index}"
        );
        assert_eq!(answer.details, format!("realtime_byok.{}", row.code));
        let challenge = (row.status == 401).then_some("Bearer realm=\"realtime-byok\"");
        assert_eq!(answer.lines.all("www-authenticate"), Vec::from_iter(challenge), "row {index}");
    }
}

#[test]
fn no_answer_and_no_log_line_holds_a_credential() {
    let vm = strict();
    for row in &ROWS {
        let answer = (row.sent)(&vm).answer();
        let all = format!("{:?} {}", answer.lines, String::from_utf8_lossy(&answer.body));
        for secret in
            [TOKEN, KEY, "token-that-has-expired", "token-of-another-time", "token-of-narrow-caller", "nobodys"]
        {
            assert!(!all.contains(secret), "{} shows {secret}: {all}", row.code);
            assert!(!format!("{:?}", vm.log()).contains(secret), "the log shows {secret}");
        }
    }
}

#[test]
fn the_first_check_that_fails_answers() {
    let vm = strict();
    // Each of these has all the faults that follow it, too.
    let bad = |policy: &str, tokens: &[&str], origin: &str, model: &str| {
        let request = vm.upgrade(&format!("/v1/realtime?model={model}")).with_policy(policy).line("origin", origin);
        let lines = tokens.iter().map(|token| ("cf-aig-authorization", *token));
        request.lines(lines).line("openai-beta", "realtime=v1").send().refused()
    };
    let evil = "https://evil.example.com";
    assert_eq!(bad("none", &["a", "b"], evil, "other"), refusal(404, "no_policy"));
    assert_eq!(bad("default", &["", "b"], evil, "other"), refusal(400, "malformed_credentials"));
    assert_eq!(
        bad("default", &["token-that-has-expired", "b"], evil, "other"),
        refusal(400, "conflicting_credentials")
    );
    assert_eq!(bad("default", &["token-that-has-expired"], evil, "other"), refusal(401, "expired_gateway_token"));
    assert_eq!(bad("default", &["token-of-narrow-caller"], evil, "other"), refusal(403, "route_not_allowed"));
    assert_eq!(bad("voice", &["token-of-narrow-caller"], evil, "other"), refusal(403, "origin_not_allowed"));
    assert_eq!(
        bad("voice", &["token-of-narrow-caller"], "https://app.example.com", "other"),
        refusal(403, "model_not_allowed")
    );
}

#[test]
fn the_101_selects_a_subprotocol_that_the_client_offered() {
    let vm = vm(json!({}));
    let own = format!("cf-aig-authorization.{TOKEN}");
    let key = "openai-insecure-api-key.sk-own";
    for (offered, selected, want) in [
        // What the upstream selects of the offer stays.
        (vec![format!("{own}, realtime, v2")], vec!["v2"], vec!["v2"]),
        (vec!["realtime".into(), "v2".into()], vec!["realtime"], vec!["realtime"]),
        // None selected: the first that is no credential, else the gateway's, else the first.
        (vec![format!("{own}, {key}, realtime, v2")], vec![], vec!["realtime"]),
        (vec![format!("{key}, {own}")], vec![], vec![own.as_str()]),
        (vec![key.into(), own.clone()], vec![], vec![own.as_str()]),
        (vec![format!("{own}, openai-beta.realtime-v1")], vec![], vec!["openai-beta.realtime-v1"]),
        // Something else selected.
        (vec![format!("{own}, realtime")], vec!["other"], vec!["realtime"]),
        (vec![format!("{own}, realtime")], vec!["realtime", "v2"], vec!["realtime"]),
        // Nothing offered: none, whatever the upstream says.
        (vec![], vec![], vec![]),
        (vec![], vec!["realtime"], vec![]),
        (vec![" , ".into()], vec!["realtime"], vec![]),
    ] {
        let lines = offered.iter().map(|line| (SUBPROTOCOLS, line.as_str()));
        let exchange = vm.upgrade("/v1/realtime").authenticated().lines(lines).send();
        let answer = exchange.respond(101, selected.iter().map(|line| (SUBPROTOCOLS, line)));
        assert_eq!(answer.lines.all(SUBPROTOCOLS), want, "{offered:?} {selected:?}");
    }
    let only_key = vm.upgrade("/").line(SUBPROTOCOLS, format!("openai-project.p, openai-insecure-api-key.{TOKEN}"));
    let answer = only_key.send().respond(101, [("upgrade", "websocket")]);
    assert_eq!(answer.lines.all(SUBPROTOCOLS), ["openai-project.p"]);
}

#[test]
fn a_switch_of_something_that_was_no_websocket_is_left_alone() {
    let vm = vm(json!({}));
    let exchange = vm.post("/v1/responses", "{}").line(SUBPROTOCOLS, "realtime").authenticated().send();
    assert_eq!(exchange.respond(101, [(SUBPROTOCOLS, "other")]).lines.all(SUBPROTOCOLS), ["other"]);
}

#[test]
fn an_answer_of_the_upstream_that_is_no_refusal_of_the_key_passes_untouched() {
    let vm = vm(json!({}));
    for status in [200, 201, 400, 402, 404, 426, 429, 500, 502, 503] {
        for request in [vm.upgrade("/v1/realtime"), vm.post("/v1/responses", "{}")] {
            let exchange = request.authenticated().send();
            let answer = exchange.respond(status, [("x-a", "1"), ("x-b", "a=b"), ("x-a", "2")]);
            assert_eq!(answer.lines.text(), [&format!(":status: {status}"), "x-a: 1", "x-b: a=b", "x-a: 2"]);
        }
    }
}

#[test]
fn a_refusal_by_envoy_itself_passes_untouched() {
    let vm = vm(json!({}));
    for status in [401, 403] {
        let exchange = vm.upgrade("/v1/realtime").authenticated().send();
        let answer = exchange.respond_as_envoy("rbac_access_denied_matched_policy[none]", status);
        assert_eq!((answer.status(), answer.details.as_str()), (status, "rbac_access_denied_matched_policy[none]"));
    }
}

#[test]
fn a_route_without_auth_hands_the_upstreams_401_on() {
    let vm = vm(json!({ "policies": { "open": { "auth": "off" } } }));
    let exchange = vm.request("GET", "/healthz").with_policy("open").send();
    assert_eq!(exchange.respond(401, [("x-a", "1")]).lines.text(), [":status: 401", "x-a: 1"]);
}

#[test]
fn the_message_of_a_missing_token_names_the_slots_that_are_open() {
    let message = |gateway| {
        let exchange = vm(json!({ "gateway": gateway })).upgrade("/").send();
        error(&exchange.refusal())["message"].as_str().unwrap().to_owned()
    };
    let open = message(json!({ "header": "x-gate", "subprotocol": "gate" }));
    assert!(open.contains("`x-gate: Bearer <token>`") && open.contains("`gate.<token>`"), "{open}");
    assert!(open.contains("SDK"), "{open}");
    assert!(!message(json!({ "accept_provider_slot": false })).contains("SDK"));
}

#[test]
fn the_paths_that_mint_are_closed() {
    let vm = vm(json!({}));
    for path in [
        "/v1/realtime/client_secrets",
        "/v1/realtime/sessions",
        "/v1/realtime/transcription_sessions",
        "/v1/realtime/translations/client_secrets",
        "/openai/v1/realtime/client_secrets",
        "/v1/account/gateway/openai/v1/realtime/sessions",
        "/v1/realtime/client_secrets?x=1",
        "/v1/realtime/client%5Fsecrets",
        "/v1/realtime/client_secrets/",
        "//v1//realtime//client_secrets",
    ] {
        let exchange = vm.post(path, "{}").authenticated().send();
        assert_eq!(exchange.refused(), refusal(403, "route_not_allowed"), "{path}");
    }
    for path in ["/v1/realtime/calls", "/v1/sessions", "/v1/responses", "/client_secrets"] {
        vm.post(path, "{}").authenticated().send().upstream();
    }
    let unknown = vm.post("/v1/realtime/client_secrets", "{}").line("api-key", "nobodys").send();
    assert_eq!(unknown.refused(), refusal(401, "invalid_gateway_token"), "who asks is checked before where to");
}
