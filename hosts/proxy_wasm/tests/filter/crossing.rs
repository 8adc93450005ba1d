//! What must not cross: a client's token on its way up, wherever it stands; a provider's key on its way down.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::fixture::{ACCEPTED, KEY, TOKEN, refusal, vm};
use crate::host::{Exchange, Request, Vm};

const SUBPROTOCOLS: &str = "sec-websocket-protocol";
const OWN_KEY: &str = "clients-own-provider-key";

/// A WebSocket and a REST request of this query, with the token.
fn both<'a>(vm: &'a Vm, query: &str) -> [Request<'a>; 2] {
    [vm.upgrade(&format!("/v1/realtime{query}")), vm.post(&format!("/v1/responses{query}"), r#"{"model":"gpt"}"#)]
        .map(Request::authenticated)
}

#[test]
fn a_line_in_which_a_token_stands_is_removed_whatever_its_name() {
    let vm = vm(json!({}));
    let percent: String = TOKEN.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for value in [
        TOKEN.to_owned(),
        format!("Bearer {TOKEN}"),
        format!("https://app.example.com/?a=1&token={TOKEN}#x"),
        format!("https://app.example.com/?next=%2F%3Ft%3D{}", TOKEN.replace('-', "%252D")),
        percent,
        format!("Basic {}", STANDARD.encode(format!("user:{TOKEN}"))),
        format!("basic {}", STANDARD.encode(format!("{TOKEN}:")).trim_end_matches('=')),
        format!("a={OWN_KEY}; b"),
    ] {
        for name in ["referer", "x-unknown", "user-agent", "x-forwarded-uri", "tracestate", "if-none-match", "origin"] {
            for request in both(&vm, "?model=gpt") {
                let request = request.line("api-key", OWN_KEY).line("x-kept", "1").line(name, &value);
                let upstream = request.send().upstream();
                assert_eq!(upstream.lines.all(name), [""; 0], "{name}: {value}");
                assert_eq!(upstream.lines.all("x-kept"), ["1"]);
            }
        }
    }
}

#[test]
fn the_other_lines_of_a_name_stay() {
    let vm = vm(json!({}));
    for request in both(&vm, "") {
        let lines = [("x-list", "one"), ("x-list", TOKEN), ("x-list", "two,  three"), ("x-near", &TOKEN[1..])];
        let upstream = request.lines(lines).send().upstream();
        assert_eq!(upstream.lines.all("x-list"), ["one, two,  three"]);
        assert_eq!(upstream.lines.all("x-near"), [&TOKEN[1..]]);
    }
}

#[test]
fn what_an_sdk_is_given_for_want_of_a_key_takes_nothing_with_it() {
    let vm = vm(json!({}));
    let request = vm.post("/v1/responses", "{}").authenticated().line("api-key", "none").line("x-a", "none");
    assert_eq!(request.send().upstream().lines.all("x-a"), ["none"]);
}

#[test]
fn proxy_authorization_goes_no_further_whatever_it_holds() {
    let vm = vm(json!({}));
    for value in ["Basic dXNlcjpwYXNz", "Bearer other", ""] {
        for request in both(&vm, "") {
            let upstream = request.line("Proxy-Authorization", value).send().upstream();
            assert_eq!(upstream.lines.all("proxy-authorization"), [""; 0]);
        }
    }
}

#[test]
fn a_member_of_a_list_in_which_a_token_stands_is_removed() {
    let vm = vm(json!({}));
    let request = vm.upgrade("/v1/realtime").line(SUBPROTOCOLS, format!("realtime, v2.{TOKEN}, v3"));
    let request = request.line("openai-beta", format!("a=1, b={TOKEN}")).authenticated();
    let upstream = request.send().upstream();
    assert_eq!(upstream.lines.all(SUBPROTOCOLS), ["realtime, v3"]);
    assert_eq!(upstream.lines.all("openai-beta"), ["a=1"]);
}

#[test]
fn a_token_in_the_query_goes_no_further_whatever_its_name() {
    let vm = vm(json!({}));
    let encoded = TOKEN.replace('o', "%6F").replace('-', "%2d");
    for (query, want) in [
        (format!("?token={TOKEN}&model=gpt"), "?model=gpt"),
        (format!("?model=gpt&x=a{TOKEN}b&y=1"), "?model=gpt&y=1"),
        (format!("?model=gpt&x={encoded}"), "?model=gpt"),
        (format!("?model=gpt&{TOKEN}"), "?model=gpt"),
        (format!("?model=gpt&{encoded}=1"), "?model=gpt"),
        (format!("?model=gpt&a=1;key={TOKEN}"), "?model=gpt"),
        (format!("?model=gpt&next=%2F%3Ft%3D{}", encoded.replace('%', "%25")), "?model=gpt"),
        (format!("?model=gpt&x={OWN_KEY}"), "?model=gpt"),
        (format!("?model=gpt&x={}", &TOKEN[1..]), "?model=gpt&x=oken-of-web-app"),
    ] {
        for request in both(&vm, &query) {
            let path = request.line("x-api-key", OWN_KEY).send().upstream().lines.all(":path").concat();
            assert!(path.ends_with(want) && path.matches('?').count() == 1, "{query} went on as {path}");
        }
    }
}

#[test]
fn where_a_token_cannot_be_taken_out_the_request_is_refused() {
    let vm = vm(json!({ "providers": { "azure": { "kind": "azure_openai", "key": { "env": "AZURE_KEY" } } },
        "policies": { "azure": { "provider": "azure" } } }));
    let want = refusal(400, "malformed_credentials");
    for path in [
        format!("/v1/{TOKEN}/realtime"),
        format!("/v1/{}/realtime", TOKEN.replace('t', "%74")),
        format!("/v1/realtime?model={TOKEN}"),
        format!("/v1/realtime?call_id={TOKEN}"),
        format!("/v1/realtime?c%61ll_id={TOKEN}"),
        format!("/v1/realtime?model=gpt&intent={TOKEN}"),
        // What is judged here must be what the upstream judges, and what is in these slots is made up.
        "/v1/realtime?model=gpt-realtime".into(),
        "/v1/realtime?call_id=rtc_12345678".into(),
    ] {
        let lines = [("api-key", "gpt-realtime"), ("x-api-key", "rtc_12345678")];
        assert_eq!(vm.upgrade(&path).authenticated().lines(lines).send().refused(), want, "{path}");
    }
    let deployment = format!("/openai/realtime?deployment={TOKEN}");
    assert_eq!(vm.upgrade(&deployment).with_policy("azure").authenticated().send().refused(), want);
    let lines = [("content-type", "application/sdp"), ("api-key", "application/sdp")];
    assert_eq!(
        vm.request("POST", "/v1/realtime/calls").authenticated().lines(lines).body("v=0").send().refused(),
        want
    );
    let host = vm.upgrade("/").without(":authority").line(":authority", format!("{TOKEN}.example.com"));
    assert_eq!(host.authenticated().send().refused(), want);
}

#[test]
fn what_is_nominated_without_an_upgrade_holds_no_token() {
    let vm = vm(json!({}));
    for (nominated, want) in [("keep-alive", &["keep-alive"][..]), (TOKEN, &[])] {
        let request = vm.post("/v1/responses", "{}").authenticated().line("connection", nominated);
        assert_eq!(request.send().upstream().lines.all("connection"), want);
    }
}

#[test]
fn trailers_hold_no_token_either() {
    let vm = vm(json!({ "policies": { "ruled": { "provider": "openai", "models": ["gpt"] } } }));
    for policy in ["default", "ruled"] {
        let request = vm.post("/v1/responses", r#"{"model":"gpt"}"#).with_policy(policy).authenticated();
        let request = request.trailer("x-last", "1").trailer("x-token", TOKEN).trailer("x-token", "2");
        let request = request.trailer("api_key", "x").trailer("proxy-authorization", "x");
        let request = request.trailer("connection", TOKEN).trailer("upgrade", TOKEN).trailer(SUBPROTOCOLS, TOKEN);
        assert_eq!(request.send().upstream().trailers.text(), ["x-last: 1", "x-token: 2"], "{policy}");
    }
}

#[test]
fn nothing_follows_a_websocket() {
    let vm = vm(json!({}));
    for is_open in [false, true] {
        let exchange = vm.upgrade("/v1/realtime?model=gpt-realtime").authenticated().send();
        exchange.upstream();
        if is_open {
            exchange.respond(101, ACCEPTED);
        }
        exchange.request_trailers(&[("x-last".into(), b"1".to_vec()), ("x-token".into(), TOKEN.into())]);
        assert!(exchange.trailers().unwrap().text().is_empty());
    }
}

#[test]
fn more_tokens_than_there_are_places_for_are_refused_before_they_are_looked_for() {
    let vm = vm(json!({}));
    for (count, want) in [(15, None), (16, Some(refusal(400, "malformed_credentials")))] {
        let keys: Vec<_> = (0..count).map(|number| format!("a-key-of-{number}")).collect();
        let request = vm.request("GET", "/v1/models").authenticated().line("x-api-key", keys.join(","));
        let exchange = request.line("x-other", "a-key-of-3").send();
        match want {
            None => assert!(exchange.upstream().lines.all("x-other").is_empty()),
            Some(want) => assert_eq!(exchange.refused(), want),
        }
    }
}

#[test]
fn a_refused_requests_path_is_logged_without_what_it_presents() {
    let vm = vm(json!({}));
    let wrong = "some-wrong-token";
    for (name, value) in [
        ("cf-aig-authorization", wrong.to_owned()),
        (SUBPROTOCOLS, format!("realtime realtime, openai-insecure-api-key.{wrong}")),
        (SUBPROTOCOLS, format!("cf-aig-authorization-base64url.{}", URL_SAFE_NO_PAD.encode(wrong))),
    ] {
        let exchange = vm.upgrade(&format!("/v1/realtime?a={wrong}&b=1")).line(name, value).send();
        assert!(exchange.refusal().status() >= 400);
        assert_eq!(exchange.logged_path(), "/v1/realtime?b=1");
    }
}

#[test]
fn a_forwarded_upgrade_nominates_nothing_else() {
    let vm = vm(json!({}));
    for (sent, want) in [
        ("Upgrade", "Upgrade"),
        ("upgrade", "upgrade"),
        ("keep-alive, Upgrade", "upgrade"),
        ("Upgrade, authorization, openai-project", "upgrade"),
        ("upgrade,", "upgrade"),
    ] {
        let request = vm.upgrade("/v1/realtime").without("connection").line("connection", sent).authenticated();
        assert_eq!(request.send().upstream().lines.all("connection"), [want], "{sent}");
    }
    let over_http2 = vm.upgrade("/v1/realtime").over_http2().authenticated().send().upstream();
    assert_eq!(over_http2.lines.all("connection"), ["upgrade"]);
}

/// A provider of this kind, alone.
fn keyed(provider: Value) -> Vm {
    vm(json!({ "providers": { "openai": provider } }))
}

#[test]
fn no_line_of_a_response_holds_the_key() {
    let value = "sk/key+of=the-provider";
    let encoded = "sk%2Fkey%2bof%3Dthe%2Dprovider";
    let kinds = [
        json!({ "kind": "custom", "query": "subscription-key", "key": { "env": null, "value": value } }),
        json!({ "kind": "openai", "key": { "env": null, "value": value } }),
        json!({ "kind": "gemini", "key": { "env": null, "value": value } }),
        json!({ "kind": "custom", "header": { "name": "x-vendor", "prefix": "Token " }, "key": { "env": null, "value": value } }),
    ];
    for provider in kinds {
        let vm = keyed(provider);
        for status in [101, 200, 201, 204, 302, 307, 400, 404, 429, 500, 503] {
            for request in both(&vm, "") {
                let answer = request.send().respond(
                    status,
                    [
                        ("location", format!("https://a.test/v1?subscription-key={encoded}&x=1").as_str()),
                        ("link", &format!("<https://a.test/?k={value}>; rel=next, <{encoded}>")),
                        ("link", "<https://a.test/>; rel=prev"),
                        (
                            "www-authenticate",
                            &format!("Bearer error=\"{}\"", encoded.to_lowercase().replace("%2d", "%252D")),
                        ),
                        ("x-echo", value),
                        (value, "1"),
                        ("content-type", "application/json"),
                        ("x-other", "sk/key"),
                    ],
                );
                let rest: Vec<_> = answer.lines.text().into_iter().skip(1).collect();
                assert_eq!(
                    rest,
                    [
                        "content-type: application/json",
                        "x-other: sk/key",
                        "location: https://a.test/v1?subscription-key=redacted&x=1",
                        "link: <https://a.test/?k=redacted>; rel=next, <redacted>, <https://a.test/>; rel=prev",
                        "www-authenticate: Bearer error=\"redacted\"",
                        "x-echo: redacted",
                    ],
                    "{status}"
                );
            }
        }
    }
}

#[test]
fn no_key_of_a_pool_comes_down() {
    let vm = keyed(json!({ "kind": "azure_openai", "key": null, "keys": [
        { "name": "a", "key": { "env": "AZURE_KEY" } }, { "name": "b", "key": { "env": "AZURE_KEY_B" } },
    ] }));
    for request in both(&vm, "") {
        let answer = request.send().respond(302, [("location", "/?a=azure-provider-key&b=azure-provider-key%2Db")]);
        assert_eq!(answer.lines.all("location"), ["/?a=redacted&b=redacted"]);
    }
}

#[test]
fn a_key_stays_hidden_when_envoy_itself_answers_or_the_filter_edits_the_answer() {
    let vm = vm(json!({}));
    let exchange = vm.upgrade("/v1/realtime").authenticated().line(SUBPROTOCOLS, "realtime").send();
    let lines = [("x-echo", KEY), (SUBPROTOCOLS, "other")];
    let answer = exchange.respond(101, lines);
    assert_eq!(answer.lines.text(), [":status: 101", "x-echo: redacted", "sec-websocket-protocol: realtime"]);
    let exchange = vm.upgrade("/v1/realtime").authenticated().send();
    exchange.response_headers(&[(":status".into(), b"301".to_vec()), ("location".into(), KEY.into())], false);
    assert_eq!(exchange.answer().lines.all("location"), ["redacted"]);
    for status in [401, 403] {
        let answer = vm.upgrade("/v1/realtime").authenticated().send().respond(status, [("x-echo", KEY)]);
        assert_eq!((answer.status(), answer.lines.all("x-echo")), (502, vec![]));
    }
}

#[test]
fn a_response_whose_head_cannot_be_read_does_not_pass() {
    let vm = vm(json!({}));
    let exchange = vm.post("/v1/responses", "{}").authenticated().send();
    exchange.response_headers(&[("x-echo".into(), KEY.into())], true);
    let answer = exchange.answer();
    assert_eq!((answer.status(), answer.lines.all("x-echo")), (502, vec![]));
}

#[test]
fn cookies_and_the_providers_account_stay_there() {
    let vm = vm(json!({}));
    for status in [101, 200, 302, 500] {
        for request in both(&vm, "") {
            let lines = [
                ("set-cookie", "__cf_bm=a; Secure"),
                ("Set-Cookie", "b=c"),
                ("openai-organization", "org-1"),
                ("openai-project", "proj_1"),
                ("openai-version", "2020-10-01"),
            ];
            let answer = request.send().respond(status, lines);
            assert_eq!(answer.lines.text(), [&format!(":status: {status}"), "openai-version: 2020-10-01"]);
        }
    }
}

#[test]
fn trailers_of_a_response_hold_no_key_either() {
    let vm = vm(json!({}));
    let exchange = vm.post("/v1/responses", "{}").authenticated().send();
    exchange.respond(200, [("content-type", "application/json")]);
    exchange.response_body(b"{}", false);
    let trailers = [("x-last", "1"), ("x-key", &format!("a {KEY}")), ("set-cookie", "a=b")];
    exchange.response_trailers(&trailers.map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec())));
    assert_eq!(exchange.received_trailers(), ["x-last: 1", "x-key: a redacted"]);
}

/// A plugin that seals, and the answer to a mint request whose upstream's secret is this.
fn minted(vm: &Vm, lines: &[(&str, &str)], secret: &str) -> Exchange {
    let body = r#"{"session":{"type":"realtime","model":"gpt-realtime"}}"#;
    let exchange = vm.post("/v1/realtime/client_secrets", body).authenticated().send();
    let lines = [(":status", "200"), ("content-type", "application/json")].iter().chain(lines);
    let lines: Vec<_> = lines.map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    exchange.response_headers(&lines, true);
    exchange.response_body(format!(r#"{{"value":"{secret}","expires_at":4070908800}}"#).as_bytes(), true);
    exchange
}

#[test]
fn neither_the_key_nor_a_sealed_secret_comes_down() {
    let vm = vm(json!({ "client_secrets": {
        "mode": "sealed", "max_ttl": "5m", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }],
    } }));
    let own = "ek_68af296e8e408191a1120a7f3fb";
    let exchange = minted(&vm, &[("x-echo", KEY), ("set-cookie", "a=b"), ("openai-project", "p")], own);
    let lines = exchange.answer().lines.text().join("\n");
    assert!(
        lines.contains("x-echo: redacted") && !lines.contains("set-cookie") && !lines.contains("project"),
        "{lines}"
    );
    let answer: Value = serde_json::from_slice(&exchange.received()).unwrap();
    let sealed = answer["value"].as_str().unwrap();
    let request = vm.upgrade("/v1/realtime").line("authorization", format!("Bearer {sealed}"));
    let exchange = request.line("referer", format!("https://a.test/?{sealed}")).send();
    let upstream = exchange.upstream();
    assert_eq!(upstream.lines.all("authorization"), [format!("Bearer {own}")]);
    assert_eq!(upstream.lines.all("referer"), [""; 0]);
    let answer = exchange.respond(307, [("location", format!("/?a={own}&b={KEY}&c={}", own.replace('_', "%5f")))]);
    assert_eq!(answer.lines.all("location"), ["/?a=redacted&b=redacted&c=redacted"]);
}

#[test]
fn a_mint_response_that_is_no_success_is_redacted_too() {
    let vm = vm(json!({ "client_secrets": {
        "mode": "sealed", "sealing_keys": [{ "value": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" }],
    } }));
    let body = r#"{"session":{"type":"realtime","model":"gpt-realtime"}}"#;
    let exchange = vm.post("/v1/realtime/client_secrets", body).authenticated().send();
    let answer = exchange.respond(307, [("location", format!("/?{KEY}").as_str()), ("set-cookie", "a=b")]);
    assert_eq!(answer.lines.text(), [":status: 307", "location: /?redacted"]);
}
