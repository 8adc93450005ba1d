//! What the upstream sees: what is removed, what is added, and that the rest is as it was.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::fixture::{KEY, TOKEN, vm};
use crate::host::{Request, Vm};

const SUBPROTOCOLS: &str = "sec-websocket-protocol";

/// The lines of a name that the upstream gets, of a WebSocket and of a REST request alike.
#[track_caller]
fn left(vm: &Vm, name: &str, lines: &[(&str, &str)]) -> Vec<String> {
    let requests = [vm.upgrade("/v1/realtime"), vm.post("/v1/responses", "{}")];
    let [upgrade, rest] = requests.map(|request| {
        let lines = lines.iter().copied();
        request.authenticated().lines(lines).send().upstream().lines.all(name)
    });
    assert_eq!(upgrade, rest, "a WebSocket and REST get the same treatment");
    upgrade
}

fn path(request: Request<'_>) -> String {
    request.authenticated().send().upstream().lines.all(":path").concat()
}

#[test]
fn the_official_sdk_in_a_browser_is_forwarded_line_by_line() {
    let vm = vm(json!({}));
    let request = vm
        .upgrade("/v1/realtime?model=gpt-realtime")
        .line("origin", "https://app.example.com")
        .line("user-agent", "Mozilla/5.0")
        .line("cookie", "session=secret")
        .line("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")
        .line(
            SUBPROTOCOLS,
            format!(
                "realtime, openai-insecure-api-key.{TOKEN}, openai-organization.org-x, openai-project.proj-x, \
                 openai-beta.realtime-v1, openai-agents-sdk.0.1.0"
            ),
        )
        .line("x-request-id", "b1");
    assert_eq!(
        request.send().upstream().lines.text(),
        [
            ":authority: gateway.example.com",
            ":method: GET",
            ":scheme: https",
            ":path: /v1/realtime?model=gpt-realtime",
            "connection: Upgrade",
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
            "origin: https://app.example.com",
            "user-agent: Mozilla/5.0",
            "x-request-id: b1",
            "sec-websocket-protocol: realtime, openai-agents-sdk.0.1.0",
            "authorization: Bearer sk-openai-provider-key",
        ]
    );
}

#[test]
fn a_websocket_has_no_body_before_its_frames() {
    for patch in [json!({}), json!({ "policies": { "default": { "meter": false } } })] {
        let vm = vm(patch);
        let request = vm.upgrade("/v1/realtime").authenticated().line("content-length", "6");
        // An upstream that reads six bytes first would see other frames than were followed.
        assert_eq!(request.send_headers(false).upstream().lines.all("content-length"), [""; 0]);
    }
}

#[test]
fn a_chat_completion_is_forwarded_line_by_line_with_its_body() {
    let vm = vm(json!({}));
    let body = r#"{ "model":"gpt", "messages":[] }"#;
    let request = vm
        .post("/v1/chat/completions?stream=1&stream=2", body)
        .line("authorization", format!("Bearer {TOKEN}"))
        .line("openai-organization", "org-x")
        .line("openai-project", "proj-x")
        .line("openai-beta", "assistants=v2")
        .line("x-stainless-lang", "js");
    let upstream = request.send().upstream();
    assert_eq!(
        upstream.lines.text(),
        [
            ":authority: gateway.example.com",
            ":method: POST",
            ":scheme: https",
            ":path: /v1/chat/completions?stream=1&stream=2",
            "content-type: application/json",
            "content-length: 32",
            "openai-beta: assistants=v2",
            "x-stainless-lang: js",
            "authorization: Bearer sk-openai-provider-key",
        ]
    );
    assert_eq!(upstream.body, body.as_bytes());
}

#[test]
fn every_credential_and_account_header_is_removed_however_often_it_comes() {
    let vm = vm(json!({ "gateway": { "strip_headers": ["X-Internal"] } }));
    for name in [
        "cf-aig-authorization",
        "api-key",
        "api_key",
        "x-api-key",
        "x-goog-api-key",
        "openai-organization",
        "openai-project",
        "cookie",
        "x-realtime-byok-provider",
        "X-Internal",
    ] {
        let value = if name == "cf-aig-authorization" { TOKEN } else { "anything" };
        let lines = [(name, value), (name, value), (name, value)];
        assert_eq!(left(&vm, &name.to_ascii_lowercase(), &lines), [""; 0], "{name}");
    }
    let lines = [("authorization", "Bearer x"), ("authorization", "Basic eDp5")];
    assert_eq!(left(&vm, "authorization", &lines), [format!("Bearer {KEY}")]);
}

#[test]
fn a_header_to_strip_is_stripped_even_if_the_filter_reads_it() {
    let names = ["Origin", "content-type", "content-encoding", "openai-beta", "x-a", "authorization"];
    let vm = vm(json!({
        "gateway": { "strip_headers": names },
        "callers": { "page": { "tokens": [{ "value": "token-of-a-single-page" }], "origins": ["https://app.example.com"] } },
    }));
    let request = |origin: &str| {
        let lines =
            [("origin", origin), ("openai-beta", "a, realtime=v1"), ("x-a", "1"), ("content-encoding", "identity")];
        vm.post("/v1/responses", "{}").lines(lines).line("api-key", "token-of-a-single-page").send()
    };
    let upstream = request("https://app.example.com").upstream();
    let left: Vec<_> = upstream.lines.text().into_iter().skip(4).collect();
    assert_eq!(left, ["content-length: 2", "authorization: Bearer sk-openai-provider-key"]);
    assert_eq!(request("https://evil.example.com").refusal().status(), 403);
}

#[test]
fn a_header_that_is_no_slot_is_left_alone() {
    let vm = vm(json!({}));
    for name in ["gateway", "x-gateway", "cf-aig-authorization2", "x-api-key2", "authentication", "forwarded"] {
        assert_eq!(left(&vm, name, &[(name, "a"), (name, "")]), ["a", ""], "{name}");
    }
}

#[test]
fn the_beta_shape_is_removed_from_openai_beta_and_nothing_else() {
    let vm = vm(json!({}));
    let name = "openai-beta";
    for (lines, want) in [
        (vec!["realtime=v1"], vec![]),
        (vec![" REALTIME=V1 ,, realtime=v1"], vec![]),
        (vec!["realtime=v1", "realtime=v1"], vec![]),
        (vec!["assistants=v2, realtime=v1"], vec!["assistants=v2"]),
        (vec!["a=1", "realtime=v1", "b=2,c=3"], vec!["a=1, b=2, c=3"]),
        (vec!["realtime=v2"], vec!["realtime=v2"]),
        (vec!["realtime=v1x,  a=1 ,", "", "b"], vec!["realtime=v1x,  a=1 ,", "", "b"]),
    ] {
        let lines: Vec<_> = lines.into_iter().map(|value| (name, value)).collect();
        assert_eq!(left(&vm, name, &lines), want, "{lines:?}");
    }
}

#[test]
fn credential_and_account_subprotocols_are_removed_by_their_prefixes() {
    let vm = vm(json!({}));
    let own = format!("cf-aig-authorization.{TOKEN}");
    for (lines, want) in [
        (vec!["realtime"], vec!["realtime"]),
        (vec![" realtime ,,v2 ", "", "v3"], vec![" realtime ,,v2 ", "", "v3"]),
        (vec![own.as_str()], vec![]),
        (vec!["a", own.as_str(), "b"], vec!["a, b"]),
        (vec!["openai-insecure-api-key.x", "xai-client-secret.x"], vec![]),
        (vec!["OPENAI-ORGANIZATION.o,Openai-Project.p,openai-BETA.anything"], vec![]),
        (vec!["openai-insecure-api-key.,openai-organization.,openai-project.,openai-beta.,r"], vec!["r"]),
        (
            vec!["openai-betas.x, xai-client-secrets.y, openai-insecure-api-key"],
            vec!["openai-betas.x, xai-client-secrets.y, openai-insecure-api-key"],
        ),
        (vec!["realtime, openai-beta.x", "v2"], vec!["realtime, v2"]),
    ] {
        let lines: Vec<_> = lines.into_iter().map(|value| (SUBPROTOCOLS, value)).collect();
        assert_eq!(left(&vm, SUBPROTOCOLS, &lines), want, "{lines:?}");
    }
}

#[test]
fn credential_parameters_are_removed_and_the_rest_of_the_query_stays() {
    let vm = vm(json!({}));
    for (sent, want) in [
        ("/v1/realtime", "/v1/realtime"),
        ("/v1/realtime?", "/v1/realtime?"),
        ("/v1/realtime?model=m&key=s", "/v1/realtime?model=m"),
        ("/v1/realtime?key=s", "/v1/realtime"),
        ("/v1/realtime?key", "/v1/realtime"),
        ("/v1/realtime?api_key=s&a=%2f+%41&api-key=s&&access_token=s&b", "/v1/realtime?a=%2f+%41&&b"),
        ("/v1/realtime?KEY=s&Api_Key=s&x=1", "/v1/realtime?x=1"),
        ("/v1/realtime?%6Bey=s&acc%65ss%5Ftoken=s&api%2dkey=s&x=1", "/v1/realtime?x=1"),
        ("/v1/realtime?monkey=1&keys=2&x=key=3", "/v1/realtime?monkey=1&keys=2&x=key=3"),
        ("/v1/key=1?q=?key=2", "/v1/key=1?q=?key=2"),
    ] {
        assert_eq!(path(vm.upgrade(sent)), want);
        assert_eq!(path(vm.request("GET", sent)), want);
    }
}

#[test]
fn each_kind_of_provider_gets_its_key_where_it_expects_it() {
    for (provider, want) in [
        (json!({ "kind": "openai" }), vec!["authorization: Bearer sk-openai-provider-key"]),
        (
            json!({ "kind": "openai", "organization": "org-1", "project": "proj-1" }),
            vec![
                "authorization: Bearer sk-openai-provider-key",
                "openai-organization: org-1",
                "openai-project: proj-1",
            ],
        ),
        (json!({ "kind": "azure_openai" }), vec!["api-key: sk-openai-provider-key"]),
        (json!({ "kind": "xai" }), vec!["authorization: Bearer sk-openai-provider-key"]),
        (json!({ "kind": "gemini" }), vec!["x-goog-api-key: sk-openai-provider-key"]),
        (json!({ "kind": "anthropic" }), vec!["x-api-key: sk-openai-provider-key"]),
        (
            json!({ "kind": "custom", "header": { "name": "X-Vendor", "prefix": "Token " } }),
            vec!["x-vendor: Token sk-openai-provider-key"],
        ),
        (json!({ "kind": "custom", "header": { "name": "x-vendor" } }), vec!["x-vendor: sk-openai-provider-key"]),
        (json!({ "kind": "openai", "key": "external" }), vec![]),
        (json!({ "kind": "azure_openai", "key": "external" }), vec![]),
    ] {
        let vm = vm(json!({ "providers": { "openai": provider } }));
        let request = vm.upgrade("/v1/realtime").authenticated().line("authorization", "Bearer clients-own-key");
        let upstream = request.line("openai-organization", "org-of-client").send().upstream();
        let added: Vec<_> = upstream.lines.text().into_iter().skip(8).collect();
        assert_eq!(added, want, "{provider}");
    }
}

#[test]
fn a_custom_provider_may_take_its_key_in_the_query() {
    let key = json!({ "env": null, "value": "k/e&y=" });
    let vm = vm(json!({ "providers": { "openai": { "kind": "custom", "query": "Token", "key": key } } }));
    for (sent, want) in [
        ("/v1/realtime", "/v1/realtime?Token=k%2Fe%26y%3D"),
        ("/v1/realtime?", "/v1/realtime?&Token=k%2Fe%26y%3D"),
        ("/v1/realtime?a=1", "/v1/realtime?a=1&Token=k%2Fe%26y%3D"),
        ("/v1/realtime?token=own&a=1&TOKEN=own&%54oken=own&key=own", "/v1/realtime?a=1&Token=k%2Fe%26y%3D"),
    ] {
        assert_eq!(path(vm.upgrade(sent)), want);
    }
}

#[test]
fn what_any_custom_provider_uses_is_removed_from_every_request() {
    let custom = json!({
        "a": { "kind": "custom", "header": { "name": "x-vendor" }, "key": "external" },
        "b": { "kind": "custom", "query": "token", "key": "external" },
    });
    let vm = vm(json!({ "providers": custom }));
    assert_eq!(left(&vm, "x-vendor", &[("x-vendor", "own"), ("X-VENDOR", "own")]), [""; 0]);
    assert_eq!(path(vm.post("/v1/responses?token=own&t=1", "{}")), "/v1/responses?t=1");
}

#[test]
fn the_keys_of_a_pool_are_drawn_by_their_weights() {
    let vm = vm(json!({ "providers": { "openai": { "kind": "azure_openai", "key": null, "keys": [
        { "name": "a", "key": { "env": "AZURE_KEY" }, "weight": 1 },
        { "name": "b", "key": { "env": "AZURE_KEY_B" }, "weight": 3 },
    ] } } }));
    let draw = || vm.upgrade("/v1/realtime").authenticated().send().upstream().lines.all("api-key").concat();
    let drawn: Vec<_> = (0..400).map(|_| draw()).collect();
    let count = |key: &str| drawn.iter().filter(|drawn| *drawn == key).count();
    let (a, b) = (count("azure-provider-key"), count("azure-provider-key-b"));
    assert_eq!(a + b, 400);
    // Seven standard deviations around 300.
    assert!((240..=360).contains(&b), "{b} of 400");
}

#[test]
fn an_upgrade_over_http2_gets_the_key_that_http1_upstreams_insist_on() {
    let vm = vm(json!({}));
    let key = || {
        let exchange = vm.upgrade("/v1/realtime").over_http2().authenticated().send();
        let keys = exchange.upstream().lines.all("sec-websocket-key");
        assert_eq!(keys.len(), 1);
        assert_eq!(STANDARD.decode(&keys[0]).unwrap().len(), 16);
        let answer = exchange.respond(101, [("sec-websocket-accept", "x"), ("upgrade", "websocket")]);
        assert_eq!(answer.lines.text(), [":status: 101", "upgrade: websocket"]);
        keys.concat()
    };
    assert_ne!(key(), key(), "RFC 6455 section 4.1: a nonce, selected randomly for each connection");
}

#[test]
fn an_upgrade_over_http1_keeps_its_own_key_and_its_accept() {
    let vm = vm(json!({}));
    let exchange = vm.upgrade("/v1/realtime").authenticated().send();
    assert_eq!(exchange.upstream().lines.all("sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
    let answer = exchange.respond(101, [("sec-websocket-accept", "x")]);
    assert_eq!(answer.lines.all("sec-websocket-accept"), ["x"]);
    let without = vm.upgrade("/v1/realtime").without("sec-websocket-key").authenticated().send();
    assert_eq!(without.upstream().lines.all("sec-websocket-key"), [""; 0], "a client's mistake is not mended");
}

#[test]
fn the_bytes_of_the_stream_are_not_touched_after_the_handshake() {
    let vm = vm(json!({ "policies": { "default": { "provider": "openai", "meter": false } } }));
    let frames: Vec<Vec<u8>> = vec![vec![], vec![0x81, 0x85], vec![0; 70_000], vec![0xff]];
    let exchange = vm.upgrade("/v1/realtime").authenticated().chunks(&frames).send();
    assert_eq!(exchange.upstream().body, frames.concat());
}

#[test]
fn a_provider_is_named_to_the_routes_only_where_there_is_a_choice() {
    let azure = json!({ "kind": "azure_openai", "key": { "env": "AZURE_KEY" } });
    let several =
        |providers: Value| vm(json!({ "providers": { "azure": azure }, "policies": { "default": providers } }));
    let one = several(json!({}));
    let two = several(json!({ "provider": null, "providers": ["openai", "azure"] }));
    let named = |vm: &Vm, path: &str| {
        let request = vm.upgrade(path).authenticated().line("x-realtime-byok-provider", "forged");
        request.send().upstream().lines.all("x-realtime-byok-provider")
    };
    assert_eq!(named(&one, "/v1/realtime?model=gpt"), [""; 0]);
    assert_eq!(named(&two, "/v1/realtime?model=gpt"), ["openai"]);
    assert_eq!(named(&two, "/v1/realtime?model=azure/gpt"), ["azure"]);
    assert_eq!(named(&two, "/v1/realtime"), ["openai"]);
}
