//! Where a client may put its gateway token, and what is refused there.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use crate::fixture::{KEY, TOKEN, refusal, vm};
use crate::host::{Request, Vm};

type Lines<'a> = &'a [(&'a str, &'a str)];

const GATEWAY: &str = "cf-aig-authorization";
const SUBPROTOCOLS: &str = "sec-websocket-protocol";

/// A WebSocket and a REST request with the same lines.
fn both<'a>(vm: &'a Vm, lines: Lines<'_>) -> [Request<'a>; 2] {
    [vm.upgrade("/v1/realtime?model=gpt-realtime"), vm.post("/v1/chat/completions", r#"{"model":"gpt"}"#)]
        .map(|request| request.lines(lines.iter().copied()))
}

#[track_caller]
fn assert_admitted(vm: &Vm, lines: Lines<'_>) {
    for request in both(vm, lines) {
        let upstream = request.send().upstream();
        assert_eq!(upstream.lines.all("authorization"), [format!("Bearer {KEY}")], "{lines:?}");
        let left = upstream.lines.text().join("\n").to_ascii_lowercase();
        for credential in [TOKEN, "clients-own-key", &URL_SAFE_NO_PAD.encode(TOKEN)] {
            assert!(!left.contains(&credential.to_ascii_lowercase()), "{lines:?} left {left}");
        }
    }
}

#[track_caller]
fn assert_refused(vm: &Vm, lines: Lines<'_>, status: u16, code: &str) {
    for request in both(vm, lines) {
        assert_eq!(request.send().refused(), refusal(status, code), "{lines:?}");
    }
}

#[test]
fn a_token_is_taken_from_every_slot() {
    let vm = vm(json!({}));
    let encoded = URL_SAFE_NO_PAD.encode(TOKEN);
    for (name, value) in [
        (GATEWAY, format!("Bearer {TOKEN}")),
        (GATEWAY, TOKEN.to_owned()),
        (GATEWAY, format!("  bEARER \t {TOKEN}\t")),
        ("CF-AIG-Authorization", format!("BEARER {TOKEN}")),
        (SUBPROTOCOLS, format!("{GATEWAY}.{TOKEN}")),
        (SUBPROTOCOLS, format!("realtime, Cf-Aig-Authorization.{TOKEN}, openai-beta.realtime-v1")),
        (SUBPROTOCOLS, format!("{GATEWAY}-base64url.{encoded}")),
        (SUBPROTOCOLS, format!("{GATEWAY}-BASE64URL.{encoded}, realtime")),
        ("authorization", format!("Bearer {TOKEN}")),
        ("authorization", format!("bearer   {TOKEN}")),
        ("api-key", TOKEN.to_owned()),
        ("api_key", TOKEN.to_owned()),
        ("API_Key", format!(" {TOKEN}")),
        ("x-api-key", TOKEN.to_owned()),
        ("X-Goog-Api-Key", format!(" {TOKEN} ")),
        (SUBPROTOCOLS, format!("openai-insecure-api-key.{TOKEN}")),
        (SUBPROTOCOLS, format!("realtime,OpenAI-Insecure-Api-Key.{TOKEN}")),
        (SUBPROTOCOLS, format!("xai-client-secret.{TOKEN}")),
    ] {
        assert_admitted(&vm, &[(name, &value)]);
    }
}

#[test]
fn a_token_that_no_subprotocol_may_hold_comes_in_base64url() {
    let token = "tok/en with=\"signs\"";
    let vm = vm(json!({ "callers": { "other": { "tokens": [{ "value": token }] } } }));
    let offer = format!("realtime, {GATEWAY}-base64url.{}", URL_SAFE_NO_PAD.encode(token));
    let upstream = vm.upgrade("/v1/realtime").line(SUBPROTOCOLS, offer).send().upstream();
    assert_eq!(upstream.lines.all(SUBPROTOCOLS), ["realtime"]);
    assert_eq!(vm.upgrade("/").line(GATEWAY, token).send().upstream().lines.all(GATEWAY), [""; 0]);
}

#[test]
fn the_same_token_may_stand_in_many_slots() {
    let vm = vm(json!({}));
    let (bearer, offer) = (format!("Bearer {TOKEN}"), format!("{GATEWAY}.{TOKEN}"));
    let encoded = format!("{GATEWAY}-base64url.{}", URL_SAFE_NO_PAD.encode(TOKEN));
    let (openai, xai) = (format!("openai-insecure-api-key.{TOKEN}"), format!("xai-client-secret.{TOKEN}"));
    assert_admitted(&vm, &[(GATEWAY, TOKEN), (GATEWAY, &bearer), (SUBPROTOCOLS, &offer), (SUBPROTOCOLS, &encoded)]);
    assert_admitted(&vm, &[("authorization", &bearer), ("authorization", &bearer), ("api-key", TOKEN)]);
    assert_admitted(&vm, &[("x-api-key", TOKEN), (SUBPROTOCOLS, &openai), (SUBPROTOCOLS, &xai)]);
}

#[test]
fn every_line_counts_and_empty_members_do_not() {
    let vm = vm(json!({}));
    let offer = format!(",, ,\t, {GATEWAY}.{TOKEN} ,,");
    let request = vm.upgrade("/").line(SUBPROTOCOLS, "realtime").line(SUBPROTOCOLS, "").line(SUBPROTOCOLS, offer);
    assert_eq!(request.line(SUBPROTOCOLS, ",v2,").send().upstream().lines.all(SUBPROTOCOLS), ["realtime, v2"]);
}

#[test]
fn a_gateway_slot_wins_and_the_clients_own_key_goes_nowhere() {
    let vm = vm(json!({}));
    let (header, offer) = ((GATEWAY, TOKEN), format!("{GATEWAY}.{TOKEN}"));
    for own in [
        ("authorization", "Bearer clients-own-key"),
        ("authorization", "Basic clients-own-key"),
        ("authorization", ""),
        ("api-key", "clients-own-key"),
        ("x-api-key", "clients-own-key"),
        ("x-goog-api-key", "clients-own-key"),
        (SUBPROTOCOLS, "openai-insecure-api-key.clients-own-key"),
        (SUBPROTOCOLS, "xai-client-secret.clients-own-key, realtime"),
        (SUBPROTOCOLS, "openai-insecure-api-key., xai-client-secret."),
    ] {
        assert_admitted(&vm, &[header, own]);
        assert_admitted(&vm, &[own, (SUBPROTOCOLS, &offer)]);
    }
    assert_refused(
        &vm,
        &[(GATEWAY, "wrong"), ("authorization", "Bearer token-of-web-app")],
        401,
        "invalid_gateway_token",
    );
}

const LIVE: &str = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent";

/// A plugin whose default policy has a provider of Google's, beside OpenAI; `openai` has only that.
fn googles(gateway: serde_json::Value) -> Vm {
    vm(json!({
        "gateway": gateway,
        "providers": { "gemini": { "kind": "gemini", "key": { "env": "AZURE_KEY" } } },
        "policies": {
            "default": { "provider": null, "providers": ["gemini", "openai"] }, "openai": { "provider": "openai" },
        },
    }))
}

#[test]
fn googles_clients_put_the_token_into_the_query() {
    let vm = googles(json!({}));
    for path in [
        LIVE,
        &format!("/{LIVE}"),
        "/ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContent",
        "/gateway/v1beta/models/gemini-3-pro:generateContent",
        "/v1alpha/models",
        "/%761beta/models",
    ] {
        for query in [
            format!("?key={TOKEN}"),
            format!("?alt=sse&key={}", TOKEN.replace('-', "%2D")),
            format!("?KEY={TOKEN}&k%65y={TOKEN}"),
        ] {
            for request in [vm.upgrade(&format!("{path}{query}")), vm.request("GET", format!("{path}{query}"))] {
                let upstream = request.send().upstream();
                assert_eq!(upstream.lines.all("x-goog-api-key"), ["azure-provider-key"], "{path}{query}");
                let want = format!("{path}{}", if query.contains("alt") { "?alt=sse" } else { "" });
                assert_eq!(upstream.lines.all(":path"), [want]);
            }
        }
    }
}

#[test]
fn a_key_in_the_query_is_one_of_the_provider_slots() {
    let vm = googles(json!({}));
    let sent = |query: &str, lines: Lines<'_>| {
        let request = vm.upgrade(&format!("{LIVE}?{query}")).lines(lines.iter().copied());
        request.send().upstream_or_refused().map(|upstream| upstream.lines.all(":path").concat())
    };
    let key = format!("key={TOKEN}");
    assert_eq!(sent(&key, &[("x-goog-api-key", TOKEN)]), Ok(LIVE.into()));
    assert_eq!(sent("key=clients-own-key", &[(GATEWAY, TOKEN), ("x-a", "clients-own-key")]), Ok(LIVE.into()));
    assert_eq!(sent("key=", &[(GATEWAY, TOKEN)]), Ok(LIVE.into()));
    for (query, lines, status, code) in [
        (format!("{key}&key=other"), vec![], 400, "conflicting_credentials"),
        (format!("{key}&%6bey=other"), vec![], 400, "conflicting_credentials"),
        (key.clone(), vec![("x-goog-api-key", "other")], 400, "conflicting_credentials"),
        (key.clone(), vec![(SUBPROTOCOLS, "openai-insecure-api-key.other")], 400, "conflicting_credentials"),
        ("key=".into(), vec![], 400, "malformed_credentials"),
        ("key".into(), vec![], 400, "malformed_credentials"),
        (format!("{key}%0A"), vec![], 400, "malformed_credentials"),
        ("key=wrong".into(), vec![], 401, "invalid_gateway_token"),
        (format!("api_key={TOKEN}"), vec![], 401, "missing_gateway_token"),
        (key.clone(), vec![(GATEWAY, "wrong")], 401, "invalid_gateway_token"),
    ] {
        assert_eq!(sent(&query, &lines), Err(refusal(status, code)), "{query} {lines:?}");
    }
}

#[test]
fn a_key_in_the_query_is_no_slot_elsewhere_and_goes_nowhere() {
    let vm = googles(json!({}));
    let key = format!("?key={TOKEN}");
    let missing = refusal(401, "missing_gateway_token");
    for path in ["/v1/realtime", "/v1beta", "/v1beta2/models", "/V1beta/models", "/ws/google.ai.x"] {
        assert_eq!(vm.upgrade(&format!("{path}{key}")).send().refused(), missing, "{path}");
    }
    assert_eq!(vm.upgrade(&format!("{LIVE}{key}")).with_policy("openai").send().refused(), missing);
    let closed = googles(json!({ "accept_provider_slot": false }));
    let refused = closed.upgrade(&format!("{LIVE}{key}")).send();
    assert_eq!((refused.refused(), refused.logged_path()), (missing, LIVE.into()));
}

#[test]
fn the_names_of_the_gateway_slots_are_configurable() {
    let vm = vm(json!({ "gateway": { "header": "X-Gate", "subprotocol": "gate" } }));
    let (header, offer) = (("x-gate", TOKEN), format!("GATE.{TOKEN}, realtime"));
    assert_admitted(&vm, &[header]);
    assert_admitted(&vm, &[(SUBPROTOCOLS, &offer)]);
    assert_admitted(&vm, &[(SUBPROTOCOLS, &format!("gate-base64url.{}", URL_SAFE_NO_PAD.encode(TOKEN)))]);
    // The default names are other headers and subprotocols now.
    assert_refused(&vm, &[(GATEWAY, TOKEN)], 401, "missing_gateway_token");
    let plain = format!("{GATEWAY}.x");
    let upstream = vm.upgrade("/").lines([header, (SUBPROTOCOLS, &plain)]).send().upstream();
    assert_eq!(upstream.lines.all(SUBPROTOCOLS), [plain]);
}

#[test]
fn provider_slots_can_be_closed_and_are_emptied_all_the_same() {
    let vm = vm(json!({ "gateway": { "accept_provider_slot": false } }));
    let openai = format!("openai-insecure-api-key.{TOKEN}");
    for slot in [("authorization", "Bearer token-of-web-app"), ("api-key", TOKEN), (SUBPROTOCOLS, &openai)] {
        assert_refused(&vm, &[slot], 401, "missing_gateway_token");
        assert_admitted(&vm, &[slot, (GATEWAY, TOKEN)]);
    }
}

#[test]
fn two_different_tokens_conflict() {
    let vm = vm(json!({}));
    let offer = format!("{GATEWAY}.{TOKEN}");
    let encoded = format!("{GATEWAY}-base64url.{}", URL_SAFE_NO_PAD.encode("other"));
    let openai = format!("openai-insecure-api-key.{TOKEN}");
    for lines in [
        [(GATEWAY, TOKEN), (GATEWAY, "other")],
        [(GATEWAY, "token-of-web-app, other"), ("a", "b")],
        [(GATEWAY, "token-of-web-ap"), (SUBPROTOCOLS, &offer)],
        [(SUBPROTOCOLS, &offer), (SUBPROTOCOLS, &encoded)],
        [("authorization", "Bearer token-of-web-app"), ("authorization", "Bearer other")],
        [("authorization", "Bearer token-of-web-app"), ("api-key", "other")],
        [("x-api-key", "other"), (SUBPROTOCOLS, &openai)],
        [("x-goog-api-key", TOKEN), (SUBPROTOCOLS, "xai-client-secret.other")],
        [("api_key", TOKEN), ("api-key", "other")],
        [("authorization", "Bearer token-of-web-app"), ("api_key", "other")],
    ] {
        assert_refused(&vm, &lines, 400, "conflicting_credentials");
    }
}

#[test]
fn what_cannot_be_a_credential_or_a_list_of_subprotocols_is_malformed() {
    let vm = vm(json!({}));
    let long = format!("{GATEWAY}.{}", "x".repeat(16 * 1024));
    let half = format!("{GATEWAY}.{TOKEN}, {}", "x".repeat(9 * 1024));
    for lines in [
        [(GATEWAY, ""), ("a", "b")],
        [(GATEWAY, "Bearer"), ("a", "b")],
        [(GATEWAY, "Bearer \t"), ("a", "b")],
        [(GATEWAY, "to\tken"), ("a", "b")],
        [(GATEWAY, "to\u{1}ken"), ("a", "b")],
        [(GATEWAY, "token\u{7f}"), ("a", "b")],
        [("authorization", "Bearer "), ("a", "b")],
        [("authorization", "Bearer to\u{b}ken"), ("a", "b")],
        [("api-key", ""), ("a", "b")],
        [("x-api-key", " "), ("a", "b")],
        [("x-goog-api-key", "\u{1f}"), ("a", "b")],
        [(SUBPROTOCOLS, "cf-aig-authorization."), ("a", "b")],
        [(SUBPROTOCOLS, "cf-aig-authorization-base64url."), ("a", "b")],
        [(SUBPROTOCOLS, "cf-aig-authorization-base64url.a"), ("a", "b")],
        [(SUBPROTOCOLS, "cf-aig-authorization-base64url.dG9rZW4="), ("a", "b")],
        [(SUBPROTOCOLS, "cf-aig-authorization-base64url.dG9rCmVu"), ("a", "b")],
        [(SUBPROTOCOLS, "openai-insecure-api-key."), ("a", "b")],
        [(SUBPROTOCOLS, "xai-client-secret."), ("a", "b")],
        [(SUBPROTOCOLS, "real time"), (GATEWAY, TOKEN)],
        [(SUBPROTOCOLS, "realtime;v=1"), (GATEWAY, TOKEN)],
        [(SUBPROTOCOLS, "r\u{e9}altime"), (GATEWAY, TOKEN)],
        [(SUBPROTOCOLS, "cf-aig-authorization.tok/en"), (GATEWAY, TOKEN)],
        [(SUBPROTOCOLS, "realtime, realtime"), (GATEWAY, TOKEN)],
        [(SUBPROTOCOLS, &long), ("a", "b")],
        [(SUBPROTOCOLS, &half), (SUBPROTOCOLS, &"y".repeat(9 * 1024))],
    ] {
        assert_refused(&vm, &lines, 400, "malformed_credentials");
    }
    let repeated = vm.upgrade("/").authenticated().line(SUBPROTOCOLS, "realtime").line(SUBPROTOCOLS, "realtime");
    assert_eq!(repeated.send().refused(), refusal(400, "malformed_credentials"));
}

#[test]
fn big_and_odd_input_within_the_bounds_is_read() {
    let vm = vm(json!({}));
    let many: Vec<_> = (0..500).map(|number| format!("p{number}")).collect();
    let upstream = vm.upgrade("/").authenticated().line(SUBPROTOCOLS, many.join(",")).send().upstream();
    assert_eq!(upstream.lines.all(SUBPROTOCOLS), [many.join(",")]);
    let odd: Vec<u8> = (0x80..=0xff).cycle().take(60 * 1024).collect();
    let upstream = vm.upgrade("/").authenticated().line("x-odd", &odd).send().upstream();
    assert_eq!(upstream.lines.first("x-odd"), Some(odd.as_slice()));
    let request = vm.upgrade("/").line(GATEWAY, &odd);
    assert_eq!(request.send().refused(), refusal(401, "invalid_gateway_token"));
}

#[test]
fn only_the_whole_token_in_its_own_case_lets_anyone_in() {
    let vm = vm(json!({}));
    for token in [&TOKEN[1..], &TOKEN[..5], &format!("{TOKEN}x"), &TOKEN.to_uppercase(), KEY, "Bearerx", "\u{e9}"] {
        assert_refused(&vm, &[(GATEWAY, token)], 401, "invalid_gateway_token");
        assert_refused(&vm, &[("api-key", token)], 401, "invalid_gateway_token");
    }
}

#[test]
fn another_scheme_is_no_token() {
    let vm = vm(json!({}));
    assert_refused(&vm, &[("authorization", "Basic dG9rZW4tb2Ytd2ViLWFwcA==")], 401, "missing_gateway_token");
    assert_refused(&vm, &[], 401, "missing_gateway_token");
    assert_admitted(&vm, &[("authorization", "Basic YTpi"), ("x-api-key", TOKEN)]);
}
