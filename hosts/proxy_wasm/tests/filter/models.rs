//! Which model a WebSocket is for: prefixes, aliases, rules of policy and caller.

use serde_json::{Value, json};

use crate::fixture::{refusal, vm};
use crate::host::Vm;

/// Two providers, aliases; `models` are the policy's rule.
fn two_providers(models: Value) -> Vm {
    vm(json!({
        "providers": { "azure-eu": { "kind": "azure_openai", "key": { "env": "AZURE_KEY" } } },
        "callers": { "narrow": { "tokens": [{ "value": "token-of-narrow-caller" }], "models": ["*-mini"] } },
        "policies": { "default": {
            "provider": null,
            "providers": ["openai", "azure-eu"],
            "models": models,
            "aliases": { "voice": "gpt-realtime-2025-08-28", "eu": "azure-eu/gpt-eu" },
        } },
    }))
}

#[test]
fn the_models_name_picks_the_provider_and_is_rewritten_only_where_it_must_be() {
    let vm = two_providers(Value::Null);
    for (query, provider, want) in [
        ("", "openai", ""),
        ("?model=", "openai", "?model="),
        ("?model=gpt-realtime", "openai", "?model=gpt-realtime"),
        ("?x=%41&model=gpt%2Drealtime&y", "openai", "?x=%41&model=gpt%2Drealtime&y"),
        ("?model=openai/gpt-realtime", "openai", "?model=gpt-realtime"),
        ("?model=openai%2Fgpt-realtime&x=%41", "openai", "?model=gpt-realtime&x=%41"),
        ("?x=1&model=azure-eu/gpt-realtime&key=own", "azure-eu", "?x=1&model=gpt-realtime"),
        ("?deployment=azure-eu/gpt-realtime", "azure-eu", "?deployment=gpt-realtime"),
        ("?model=voice", "openai", "?model=gpt-realtime-2025-08-28"),
        ("?model=azure-eu/voice", "azure-eu", "?model=gpt-realtime-2025-08-28"),
        ("?model=eu", "azure-eu", "?model=gpt-eu"),
        ("?model=openai/eu", "azure-eu", "?model=gpt-eu"),
        ("?model=azure-us/gpt", "openai", "?model=azure-us/gpt"),
        ("?model=AZURE-EU/gpt", "openai", "?model=AZURE-EU/gpt"),
        ("?model=azure-eu/a/b", "azure-eu", "?model=a%2Fb"),
        ("?model=gpt%20realtime", "openai", "?model=gpt%20realtime"),
        ("?model=azure-eu/a&deployment=eu", "azure-eu", "?model=a&deployment=gpt-eu"),
        ("?deployment=azure-eu/a&model=voice", "azure-eu", "?deployment=a&model=gpt-realtime-2025-08-28"),
        ("?model=azure-eu/a&deployment=a", "azure-eu", "?model=a&deployment=a"),
    ] {
        let upstream = vm.upgrade(&format!("/v1/realtime{query}")).authenticated().send().upstream();
        assert_eq!(upstream.lines.all(":path"), [format!("/v1/realtime{want}")]);
        assert_eq!(upstream.lines.all("x-realtime-byok-provider"), [provider], "{query}");
        let (bearer, api_key) = (upstream.lines.all("authorization"), upstream.lines.all("api-key"));
        assert_eq!((bearer.len(), api_key.len()), if provider == "openai" { (1, 0) } else { (0, 1) }, "{query}");
    }
}

#[test]
fn a_model_that_some_upstream_would_read_on_is_malformed() {
    for vm in [two_providers(Value::Null), vm(json!({}))] {
        for model in
            ["m%0AHTTP/1.1%20200%20caller=forged", "a%26model=b", "a%3Bb", "a;model=b", "a%25", "a%2562", "a%00", "%7F"]
        {
            let exchange = vm.upgrade(&format!("/v1/realtime?model={model}")).authenticated().send();
            assert_eq!(exchange.refused(), refusal(400, "malformed_request"), "{model}");
        }
    }
}

#[test]
fn rules_hold_for_the_name_that_the_upstream_gets() {
    let vm = two_providers(json!(["gpt-realtime*"]));
    for (query, want) in [
        ("?model=gpt-realtime", Ok(())),
        ("?model=azure-eu/gpt-realtime-mini", Ok(())),
        ("?model=voice", Ok(())),
        ("?model=gpt%2drealtime", Ok(())),
        ("?model=eu", Err(refusal(403, "model_not_allowed"))),
        ("?model=o3", Err(refusal(403, "model_not_allowed"))),
        ("?model=azure-us/gpt-realtime", Err(refusal(403, "model_not_allowed"))),
        ("?model=GPT-realtime", Err(refusal(403, "model_not_allowed"))),
        ("?model=openai/", Err(refusal(403, "model_not_allowed"))),
        ("?model=", Err(refusal(400, "model_required"))),
        ("?x=model", Err(refusal(400, "model_required"))),
        ("", Err(refusal(400, "model_required"))),
        ("?model=gpt-realtime&model=o3", Err(refusal(400, "malformed_request"))),
        ("?model=gpt-realtime&%6Dodel=o3", Err(refusal(400, "malformed_request"))),
        ("?model=gpt-realtime&deployment=o3", Err(refusal(403, "model_not_allowed"))),
        ("?model=gpt-realtime&deployment=gpt-realtime", Ok(())),
        ("?model=gpt-realtime%", Err(refusal(400, "malformed_request"))),
        ("?model=gpt-realtime%zz", Err(refusal(400, "malformed_request"))),
    ] {
        let exchange = vm.upgrade(&format!("/v1/realtime{query}")).authenticated().send();
        assert_eq!(exchange.upstream_or_refused().map(drop), want, "{query}");
    }
}

#[test]
fn the_callers_rule_holds_beside_the_policys() {
    let ruled = two_providers(json!(["gpt-*"]));
    let free = two_providers(Value::Null);
    let sent = |vm: &Vm, model: &str| {
        let request =
            vm.upgrade(&format!("/v1/realtime?model={model}")).line("cf-aig-authorization", "token-of-narrow-caller");
        request.send().upstream_or_refused().map(drop).map_err(|(_, code)| code)
    };
    let refused = |code: &str| Err(code.to_owned());
    assert_eq!(sent(&ruled, "gpt-mini"), Ok(()));
    assert_eq!(sent(&ruled, "o3-mini"), refused("model_not_allowed"));
    assert_eq!(sent(&ruled, "gpt"), refused("model_not_allowed"));
    assert_eq!(sent(&free, "o3-mini"), Ok(()));
    assert_eq!(sent(&free, "gpt"), refused("model_not_allowed"));
    assert_eq!(sent(&free, ""), refused("model_required"));
}

#[test]
fn a_websocket_whose_messages_name_the_model_is_refused_where_they_are_not_read() {
    let gateway = |meter: bool, models: Value| {
        vm(json!({ "policies": { "default": { "provider": "openai", "meter": meter, "models": models } } }))
    };
    for (meter, models, want) in [
        (false, json!(["gpt-*"]), Some(refusal(403, "route_not_allowed"))),
        (false, Value::Null, None),
        (true, json!(["gpt-*"]), None),
    ] {
        let vm = gateway(meter, models);
        let refused = |path| vm.upgrade(path).authenticated().send().upstream_or_refused().err();
        assert_eq!(refused("/v1/responses?model=gpt-5"), want);
        assert_eq!(refused("/v1/realtime?model=gpt-realtime"), None);
    }
}

#[test]
fn a_model_that_the_provider_reads_in_the_path_is_checked_there() {
    let provider = |kind: &str| json!({ "kind": kind, "key": { "env": "AZURE_KEY" } });
    let vm = vm(json!({
        "providers": { "azure": provider("azure_openai"), "gemini": provider("gemini") },
        "policies": {
            "azure": { "provider": "azure", "models": ["gpt-4*"] },
            "gemini": { "provider": "gemini", "models": ["gemini-2*"] },
        },
    }));
    let body = r#"{"messages":[]}"#;
    for (policy, path, want) in [
        ("azure", "/openai/deployments/gpt-4o/chat/completions", Ok(())),
        ("azure", "/openai/deployments/o3/chat/completions", Err(refusal(403, "model_not_allowed"))),
        ("azure", "/openai/%64eployments/o3/chat", Err(refusal(403, "model_not_allowed"))),
        ("azure", "/openai/deployments/gpt-4o/deployments/o3", Err(refusal(403, "model_not_allowed"))),
        ("azure", "/openai/deployments/gpt-4o/../o3/chat", Err(refusal(400, "malformed_request"))),
        ("azure", "/openai/deployments/gpt-4o/%2e%2E/o3/chat", Err(refusal(400, "malformed_request"))),
        ("azure", "/openai/responses", Err(refusal(400, "model_required"))),
        ("gemini", "/v1beta/models/gemini-2.5-pro:generateContent", Ok(())),
        ("gemini", "/v1beta/models/gemini-1:generateContent", Err(refusal(403, "model_not_allowed"))),
    ] {
        let exchange = vm.post(path, body).authenticated().with_policy(policy).send();
        assert_eq!(exchange.upstream_or_refused().map(drop), want, "{path}");
    }
}
