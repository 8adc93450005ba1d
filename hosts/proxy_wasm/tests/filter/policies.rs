//! Which policy holds on a route, and who may come in under it.

use std::time::Duration;

use serde_json::json;

use crate::fixture::{TOKEN, error, refusal, vm};
use crate::host::{Request, Vm};

/// Policies that can be told apart by the key that their requests get.
fn distinct_policies(with_default: bool) -> Vm {
    let provider = |key: &str| json!({ "kind": "openai", "key": { "value": key } });
    let default = if with_default { json!({ "provider": "of-default" }) } else { json!(null) };
    vm(json!({
        "providers": {
            "of-default": provider("default"), "of-route": provider("route"), "of-metadata": provider("metadata"),
        },
        "policies": {
            "default": default, "route": { "provider": "of-route" }, "metadata": { "provider": "of-metadata" },
        },
    }))
}

#[test]
fn metadata_decides_then_the_routes_name_then_default() {
    let vm = distinct_policies(true);
    let request = || vm.upgrade("/v1/realtime").authenticated();
    for (request, want) in [
        (request(), "default"),
        (request().on_route("other"), "default"),
        (request().on_route("route"), "route"),
        (request().on_route("default"), "default"),
        (request().on_route("Route"), "default"),
        (request().with_policy("metadata"), "metadata"),
        (request().with_policy("metadata").on_route("route"), "metadata"),
        (request().with_policy("default").on_route("route"), "default"),
    ] {
        assert_eq!(request.send().upstream().lines.all("authorization"), [format!("Bearer {want}")]);
    }
}

#[test]
fn a_route_without_a_policy_is_closed_even_to_those_who_have_a_token() {
    let (with_default, without) = (distinct_policies(true), distinct_policies(false));
    for request in [
        without.upgrade("/"),
        without.upgrade("/").on_route("other"),
        without.upgrade("/").with_policy("default"),
        with_default.upgrade("/").with_policy("other"),
        with_default.upgrade("/").with_policy("other").on_route("route"),
        with_default.upgrade("/").with_policy(""),
    ] {
        assert_eq!(request.authenticated().send().refused(), refusal(404, "no_policy"));
    }
    without.upgrade("/").authenticated().on_route("route").send().upstream();
}

/// The message of a refusal for want of a policy.
#[track_caller]
fn message(request: Request<'_>) -> String {
    let exchange = request.authenticated().send();
    let answer = exchange.refusal();
    exchange.log();
    assert_eq!(answer.status(), 404);
    error(&answer)["message"].as_str().unwrap().to_owned()
}

#[test]
fn who_finds_no_policy_is_told_what_was_looked_for_and_where() {
    let without = distinct_policies(false);
    let request = || without.upgrade("/");
    let misplaced = |request: Request<'_>, name: &str| {
        let exchange = request.open();
        exchange.property("xds\0route_metadata\0filter_metadata\0realtime-byok\0policy", name);
        exchange
    };
    let long = "p".repeat(99);
    let of_metadata = |name: &str| {
        format!(
            "The route's metadata names the policy `{name}`, and none has that name. Configure it, or name another as \
             `realtime_byok.policy`."
        )
    };
    let of_name = |name: &str| {
        format!(
            "No policy has the name of the route{name}, and its metadata names none. Name one there as \
             `realtime_byok.policy`, or configure `default`."
        )
    };
    for (request, want) in [
        (request().with_policy("vioce"), of_metadata("vioce")),
        (request().with_policy("vioce").on_route("other"), of_metadata("vioce")),
        (request().with_policy("a\r\nb\u{7f}"), of_metadata("ab")),
        (request().with_policy(&long), of_metadata(&long[..64])),
        (request().on_route("other"), of_name(", `other`")),
        (request(), of_name("")),
    ] {
        assert_eq!(message(request), want);
    }
    let exchange = misplaced(request().authenticated(), "voice");
    exchange.request_headers(&[(":method".into(), b"GET".to_vec()), (":path".into(), b"/".to_vec())], true);
    let told = error(&exchange.refusal())["message"].as_str().unwrap().to_owned();
    let want = "The route's metadata names the policy `voice` under `realtime-byok`, where nobody looks. Write \
                `realtime_byok`, with an underscore.";
    assert_eq!(told, want);
}

#[test]
fn the_log_is_told_once_a_minute_that_a_route_has_no_policy() {
    let vm = distinct_policies(false);
    let lines = || {
        vm.log().into_iter().filter(|(_, line)| line.contains("no_policy")).map(|(_, line)| line).collect::<Vec<_>>()
    };
    (0..50).for_each(|_| drop(message(vm.upgrade("/").with_policy("vioce"))));
    let mended = "and none has that name. Configure it, or name another as `realtime_byok.policy`.";
    let first = format!(
        "realtime_byok: a request was answered 404 no_policy. The route's metadata names the policy `vioce`, {mended}"
    );
    assert_eq!(lines(), [first]);
    vm.wait(Duration::from_secs(59));
    message(vm.upgrade("/").with_policy("vioce"));
    assert_eq!(lines().len(), 1);
    vm.wait(Duration::from_secs(1));
    message(vm.upgrade("/").with_policy("other"));
    assert_eq!(lines().len(), 2);
    let untold = "50 more requests had none since the last time.";
    assert!(lines()[1].ends_with(&format!("`other`, {mended} {untold}")));
}

#[test]
fn with_auth_off_a_request_passes_byte_for_byte() {
    let vm = vm(json!({ "policies": { "health": { "auth": "off" } } }));
    let request = vm
        .post("/healthz?key=own&model=a&model=b", "{not json")
        .line("authorization", "Bearer own")
        .line("cf-aig-authorization", "")
        .line("cookie", "a=b")
        .line("upgrade", "h2c")
        .line("sec-websocket-protocol", "a, a, openai-insecure-api-key.own")
        .line("x-realtime-byok-provider", "own")
        .on_route("health");
    let exchange = request.send();
    let upstream = exchange.upstream();
    assert_eq!(
        upstream.lines.text(),
        [
            ":authority: gateway.example.com",
            ":method: POST",
            ":scheme: https",
            ":path: /healthz?key=own&model=a&model=b",
            "content-type: application/json",
            "content-length: 9",
            "authorization: Bearer own",
            "cf-aig-authorization: ",
            "cookie: a=b",
            "upgrade: h2c",
            "sec-websocket-protocol: a, a, openai-insecure-api-key.own",
            "x-realtime-byok-provider: own",
        ]
    );
    assert_eq!(upstream.body, b"{not json");
    assert_eq!(exchange.respond(101, [("upgrade", "h2c")]).lines.text(), [":status: 101", "upgrade: h2c"]);
}

#[test]
fn a_caller_may_use_the_policies_it_names_or_all() {
    let vm = vm(json!({
        "callers": {
            "narrow": { "tokens": [{ "value": "token-of-narrow-caller" }], "policies": ["voice"] },
            "locked-out": { "tokens": [{ "value": "token-of-a-locked-out-one" }], "policies": [] },
        },
        "policies": { "voice": { "provider": "openai" } },
    }));
    let allowed = |token: &str, policy: &str| {
        let exchange = vm.upgrade("/v1/realtime").line("cf-aig-authorization", token).with_policy(policy).send();
        exchange.upstream_or_refused().map_err(|refused| assert_eq!(refused, refusal(403, "route_not_allowed"))).is_ok()
    };
    for (token, voice, default) in
        [(TOKEN, true, true), ("token-of-narrow-caller", true, false), ("token-of-a-locked-out-one", false, false)]
    {
        assert_eq!((allowed(token, "voice"), allowed(token, "default")), (voice, default), "{token}");
    }
}

#[test]
fn the_origin_is_checked_where_there_is_one() {
    let caller = json!({ "tokens": [{ "value": "token-of-a-single-page" }], "origins": ["https://app.example.com", "https://*.test"] });
    let vm = vm(json!({ "callers": { "page": caller } }));
    for (origins, is_allowed) in [
        (vec![], true),
        (vec!["https://app.example.com"], true),
        (vec!["https://a.b.test"], true),
        (vec!["https://evil.example.com"], false),
        (vec!["http://app.example.com"], false),
        (vec!["https://app.example.com:8443"], false),
        (vec!["https://app.example.com.evil.example"], false),
        (vec!["null"], false),
        (vec![""], false),
        (vec!["\u{e9}"], false),
        (vec!["https://app.example.com", "https://evil.example.com"], false),
        (vec!["https://evil.example.com", "https://a.b.test"], false),
    ] {
        let lines = origins.iter().map(|origin| ("origin", origin));
        let exchange =
            vm.upgrade("/").line("cf-aig-authorization", "token-of-a-single-page").lines(lines.clone()).send();
        let want = if is_allowed { Ok(()) } else { Err(refusal(403, "origin_not_allowed")) };
        assert_eq!(exchange.upstream_or_refused().map(drop), want, "{origins:?}");
        vm.upgrade("/").authenticated().lines(lines).send().upstream();
    }
    let odd =
        vm.upgrade("/").line("cf-aig-authorization", "token-of-a-single-page").line("origin", [0xff, 0xfe]).send();
    assert_eq!(odd.refused(), refusal(403, "origin_not_allowed"));
}

#[test]
fn tokens_are_rotated_by_their_windows() {
    let vm = vm(json!({ "callers": { "rotating": { "tokens": [
        { "value": "old-token-of-rotating", "not_after": "2026-11-15T00:00:10Z" },
        { "value": "new-token-of-rotating", "not_before": "2026-11-15T00:00:05Z", "not_after": "2026-11-15T00:00:15Z" },
        { "value": "spare-token-of-rotating" },
    ] } } }));
    let at = |token: &str| {
        let sent = vm.upgrade("/").line("cf-aig-authorization", format!("{token}-token-of-rotating")).send();
        sent.upstream_or_refused().map(drop).map_err(|(_, code)| code)
    };
    let (invalid, expired) = (Err("invalid_gateway_token".to_owned()), Err("expired_gateway_token".to_owned()));
    assert_eq!((at("old"), at("new"), at("spare")), (Ok(()), invalid, Ok(())));
    vm.wait(Duration::from_secs(5));
    assert_eq!((at("old"), at("new"), at("spare")), (Ok(()), Ok(()), Ok(())));
    vm.wait(Duration::from_secs(5));
    assert_eq!((at("old"), at("new"), at("spare")), (expired.clone(), Ok(()), Ok(())));
    vm.wait(Duration::from_secs(5));
    assert_eq!((at("old"), at("new"), at("spare")), (expired.clone(), expired, Ok(())));
}

#[test]
fn a_token_may_be_known_by_its_digest_only() {
    let digest = "9F86D081884C7D659A2FEAA0C55AD015A3BF4F1B2B0B822CD15D6C15B0F00A08";
    for digest in [digest.to_owned(), digest.to_lowercase()] {
        let vm = vm(json!({ "callers": { "hashed": { "tokens": [{ "sha256": digest }] } } }));
        vm.upgrade("/").line("cf-aig-authorization", "test").send().upstream();
        let with_digest = vm.upgrade("/").line("cf-aig-authorization", &digest).send();
        assert_eq!(with_digest.refused(), refusal(401, "invalid_gateway_token"));
    }
}

#[test]
fn without_callers_nobody_comes_in() {
    let vm = vm(json!({ "callers": null }));
    assert_eq!(vm.upgrade("/").authenticated().send().refused(), refusal(401, "invalid_gateway_token"));
    assert_eq!(vm.log().len(), 1, "a warning");
}

#[test]
fn a_new_configuration_holds_for_new_streams() {
    let (old, new) = (distinct_policies(true), vm(json!({})));
    let key = |vm: &Vm| vm.upgrade("/").authenticated().send().upstream().lines.all("authorization").concat();
    assert_eq!((key(&old), key(&new)), ("Bearer default".into(), "Bearer sk-openai-provider-key".into()));
}
