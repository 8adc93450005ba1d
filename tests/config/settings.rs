//! Settings that have the right shape and do not make sense.

use serde_json::{Value, json};

use super::{assert_errors, errors, warnings, with};

#[test]
fn the_configuration_that_the_others_are_made_from_is_good() {
    assert_eq!(warnings(&with([])), [""; 0]);
}

#[test]
fn names_that_nobody_has_are_reported_with_those_that_are_known() {
    assert_errors(
        [("policies.voice.providers", json!(["openai", "azure-us"]))],
        &["policies.voice.providers[1]: no provider is named \"azure-us\"; known: azure-eu, openai"],
    );
    assert_errors(
        [("policies.default.provider", json!("Openai"))],
        &["policies.default.provider: no provider is named \"Openai\"; known: azure-eu, openai"],
    );
    assert_errors(
        [("callers.web-app.policies", json!(["voice", "video"]))],
        &["callers.web-app.policies[1]: no policy is named \"video\"; known: default, voice"],
    );
    let none = with([("providers", json!({})), ("policies", json!({ "default": { "provider": "openai" } }))]);
    assert_eq!(errors(&none), ["policies.default.provider: no provider is named \"openai\"; known: none"]);
}

#[test]
fn a_name_that_is_declared_wrongly_is_reported_once() {
    let broken = json!({ "kind": "openai" });
    assert_errors([("providers.openai", broken)], &["providers.openai: needs one of key and keys"]);
}

#[test]
fn a_policy_has_one_provider_or_several_or_none_at_all() {
    let needs = "policies.voice: needs one of provider and providers, or auth: \"off\"";
    assert_errors([("policies.voice", json!({}))], &[needs]);
    assert_errors([("policies.voice.provider", json!("openai"))], &[needs]);
    assert_errors(
        [("policies.voice.providers", json!([]))],
        &["policies.voice.providers: found no provider, expected at least one"],
    );
    assert_errors(
        [("policies.voice.providers", json!(["openai", "azure-eu", "openai"]))],
        &["policies.voice.providers[2]: \"openai\" is listed already"],
    );
    let others = "policies.voice: with auth \"off\" requests pass as they are; remove the other settings";
    assert_errors([("policies.voice.auth", json!("off"))], &[others]);
    assert_errors([("policies.voice", json!({ "auth": "off", "models": [] }))], &[others]);
    assert_errors([("policies.voice", json!({ "auth": "off", "aliases": { "a": "b" } }))], &[others]);
    assert_eq!(errors(&with([("policies.voice", json!({ "auth": "off" }))])), [""; 0]);
}

#[test]
fn only_a_pool_of_keys_cools_down_and_no_longer_than_ten_minutes() {
    let pool = |span: &str| {
        let keys = json!([{ "name": "a", "key": { "env": "OPENAI_API_KEY" } }]);
        ("providers.openai", json!({ "kind": "openai", "keys": keys, "cool_down": span }))
    };
    assert_eq!(warnings(&with([pool("10m")])), [""; 0]);
    let long = "providers.openai.cool_down: longer than 10m, which is how long a key rests at most";
    assert_errors([pool("601s")], &[long]);
    let alone = "providers.openai.cool_down: only a pool of keys has this";
    assert_errors([("providers.openai.cool_down", json!("30s"))], &[alone]);
}

#[test]
fn a_provider_has_a_key_or_a_pool_of_keys() {
    let needs = "providers.openai: needs one of key and keys";
    let key = json!({ "env": "OPENAI_API_KEY" });
    assert_errors([("providers.openai.keys", json!([{ "name": "a", "key": key }]))], &[needs]);
    let pool = |keys: Value| [("providers.openai", json!({ "kind": "openai", "keys": keys }))];
    assert_errors(pool(json!([])), &["providers.openai.keys: found no key, expected at least one"]);
    assert_errors(
        pool(json!([
            { "name": "a", "key": key },
            { "name": "a", "key": key, "weight": 0 },
            { "name": "b", "key": "external", "weight": 4_294_967_296_u64 },
            { "name": "c", "key": "external" },
        ])),
        &[
            "providers.openai.keys[2].weight: found 4294967296, expected a whole number from 0",
            "providers.openai.keys[1].name: the pool has a key named \"a\" already",
            "providers.openai.keys[1].weight: found 0, expected at least 1",
            "providers.openai.keys[2].key: a key of a pool cannot be external",
            "providers.openai.keys[3].key: a key of a pool cannot be external",
        ],
    );
}

#[test]
fn a_providers_name_can_stand_before_a_slash() {
    let provider = json!({ "kind": "openai", "key": "external" });
    let message = "a provider's name stands before a slash in a model's: it must have characters, and no slash";
    assert_errors([("providers.a/b", provider.clone())], &[&format!("providers.a/b: {message}")]);
    let nameless = with([("providers", json!({ "": provider })), ("policies", json!({}))]);
    assert_eq!(errors(&nameless), [format!("providers.: {message}")]);
}

#[test]
fn settings_of_other_kinds_are_refused() {
    let custom = |more: Value| {
        let mut provider = json!({ "kind": "custom", "key": "external" });
        provider.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        [("providers.openai", provider)]
    };
    assert_errors(
        [("providers.azure-eu.organization", json!("org-1")), ("providers.azure-eu.project", json!("p"))],
        &[
            "providers.azure-eu.organization: only a provider of kind \"openai\" has this",
            "providers.azure-eu.project: only a provider of kind \"openai\" has this",
        ],
    );
    assert_errors(
        [("providers.openai.header", json!({ "name": "x" })), ("providers.openai.query", json!("q"))],
        &[
            "providers.openai.header: only a provider of kind \"custom\" has this",
            "providers.openai.query: only a provider of kind \"custom\" has this",
        ],
    );
    let needs = "providers.openai: a provider of kind \"custom\" needs one of header and query";
    assert_errors(custom(json!({})), &[needs]);
    assert_errors(custom(json!({ "header": { "name": "x" }, "query": "q" })), &[needs]);
    assert_errors(custom(json!({ "query": "" })), &["providers.openai.query: empty; expected a parameter's name"]);
    assert_errors(
        custom(json!({ "header": { "name": "x y", "prefix": "Token\n" } })),
        &[
            "providers.openai.header.name: not a header name (RFC 9110 section 5.1)",
            "providers.openai.header.prefix: holds a character that a header value cannot",
        ],
    );
    for value in ["", "org 1", "org-1\n", "\u{f6}rg"] {
        assert_errors(
            [("providers.openai.organization", json!(value))],
            &["providers.openai.organization: not an identifier such as org-a1b2"],
        );
    }
}

#[test]
fn headers_that_carry_the_message_itself_cannot_be_used() {
    for name in ["Host", "content-length", "upgrade", "Connection", "transfer-encoding", "sec-websocket-protocol"] {
        let said = format!("{name} carries the message itself, and cannot be used here");
        assert_errors([("gateway.header", json!(name))], &[&format!("gateway.header: {said}")]);
        assert_errors([("gateway.strip_headers", json!([name]))], &[&format!("gateway.strip_headers[0]: {said}")]);
        let custom = json!({ "kind": "custom", "key": "external", "header": { "name": name } });
        assert_errors([("providers.openai", custom)], &[&format!("providers.openai.header.name: {said}")]);
    }
    for name in ["Origin", "content-type", "Content-Encoding"] {
        let said = format!("gateway.header: {name} says something else, and cannot hold the token");
        assert_errors([("gateway.header", json!(name))], &[&said]);
        assert_errors([("gateway.strip_headers", json!([name]))], &[]);
    }
    for name in ["", ":path", "a b", "x\r\ny", "\u{e9}"] {
        assert_errors(
            [("gateway.header", json!(name)), ("gateway.subprotocol", json!(name))],
            &[
                "gateway.header: not a header name (RFC 9110 section 5.1)",
                "gateway.subprotocol: not a token (RFC 9110 section 5.6.2)",
            ],
        );
    }
}

#[test]
fn globs_and_aliases_have_characters() {
    assert_errors(
        [
            ("callers.web-app.models", json!(["gpt*", ""])),
            ("callers.web-app.origins", json!([""])),
            ("policies.voice.models", json!([""])),
            ("policies.voice.aliases", json!({ "": "a", "b": "" })),
        ],
        &[
            "policies.voice.aliases.: empty; expected a model's name on both sides",
            "policies.voice.aliases.b: empty; expected a model's name on both sides",
            "policies.voice.models[0]: empty; expected a glob such as gpt-realtime*",
            "callers.web-app.models[1]: empty; expected a glob such as gpt-realtime*",
            "callers.web-app.origins[0]: empty; expected a glob such as gpt-realtime*",
        ],
    );
}

#[test]
fn a_callers_identities_are_properties_that_no_client_writes() {
    let identity = |property: Value, equals: &str| json!([{ "property": property, "equals": equals }]);
    let peer = json!(["connection", "uri_san_peer_certificate"]);
    let only = |identities: Value| ("callers.mesh", json!({ "identities": identities }));
    assert_eq!(warnings(&with([only(identity(peer.clone(), "spiffe://a/b"))])), [""; 0]);
    let glob = json!([{ "property": peer, "glob": "spiffe://a/*" }]);
    assert_eq!(warnings(&with([only(glob)])), [""; 0]);
    let none = "expected 1 to 2048 bytes without control characters: no other value is read";
    for (identities, want) in [
        (identity(json!([]), "a"), "identities[0].property: empty; expected a path such as [connection, uri_san_peer_certificate]".to_owned()),
        (identity(json!(["metadata", ""]), "a"), "identities[0].property: a segment is empty or holds a NUL".to_owned()),
        (identity(json!(["a\0b"]), "a"), "identities[0].property: a segment is empty or holds a NUL".to_owned()),
        (
            identity(json!(["request", "headers", "x-tenant"]), "a"),
            "identities[0].property: clients write what stands below `request`, headers among it: it says nothing of who they \
             are"
            .to_owned(),
        ),
        (identity(peer.clone(), ""), format!("identities[0].equals: found \"\", {none}")),
        (json!([{ "property": peer, "glob": "a\n" }]), format!("identities[0].glob: found \"a\\n\", {none}")),
        (json!([{ "property": peer }]), "identities[0]: found none of equals and glob, expected one".to_owned()),
        (
            json!([{ "property": peer, "equals": "a", "glob": "b" }]),
            "identities[0]: found several of equals and glob, expected one".to_owned(),
        ),
        (
            json!([{ "property": peer, "equals": "a" }, { "property": peer, "equals": "a" }]),
            "identities[1]: caller \"mesh\" has this identity already".to_owned(),
        ),
    ] {
        assert_errors([only(identities)], &[&format!("callers.mesh.{want}")]);
    }
    let header = json!({ "property": ["request", "headers", "x-user"] });
    let want = "callers.web-app.user.property: clients write what stands below `request`, headers among it: it says nothing of \
                who they are";
    assert_errors([("callers.web-app.user", header)], &[want]);
    let warned = warnings(&with([only(identity(json!(["source", "address"]), "10.0.0.1:1"))]));
    assert!(warned.len() == 1 && warned[0].contains("`x-forwarded-for`, which clients can write"), "{warned:?}");
}

#[test]
fn a_callers_tokens_have_a_time_and_one_owner() {
    let digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_errors(
        [("callers.web-app.tokens", json!([]))],
        &["callers.web-app.tokens: found neither a token nor an identity, expected at least one of either"],
    );
    assert_errors(
        [
            ("callers.app.tokens", json!([{ "sha256": digest }, { "sha256": digest.to_uppercase() }])),
            ("callers.web-app.tokens", json!([{ "env": "TOKEN" }, { "value": "gateway-token-of-4242" }])),
            ("callers.zoo.tokens", json!([{ "base64": "Z2F0ZXdheS10b2tlbi1vZi00MjQy" }])),
        ],
        &[
            "callers.app.tokens[1]: caller \"app\" has this token already",
            "callers.web-app.tokens[1]: caller \"web-app\" has this token already",
            "callers.zoo.tokens[0]: caller \"web-app\" has this token already",
        ],
    );
    let window = |from: &str, to: &str| json!([{ "env": "TOKEN", "not_before": from, "not_after": to }]);
    let late = "callers.web-app.tokens[0]: not_after is not later than not_before";
    let (first, second) = ("2026-11-01T00:00:00Z", "2027-05-01T00:00:00Z");
    assert_errors([("callers.web-app.tokens", window(second, first))], &[late]);
    assert_errors([("callers.web-app.tokens", window(first, first))], &[late]);
    assert_errors([("callers.web-app.tokens", window(first, second))], &[]);
    for time in ["tomorrow", "2027-05-01", "2027-13-01T00:00:00Z", "2027-05-01T00:00:00+01:00", ""] {
        assert_errors(
            [("callers.web-app.tokens", window(first, time))],
            &[&format!(
                "callers.web-app.tokens[0].not_after: found {time:?}, expected a time such as 2027-05-01T00:00:00Z"
            )],
        );
    }
}

#[test]
fn what_an_operator_should_know_of_is_a_warning() {
    let held = json!({ "kind": "custom", "query": "key", "key": { "env": "OPENAI_API_KEY" } });
    assert_eq!(
        warnings(&with([("providers.elsewhere", held)])),
        ["providers.elsewhere.query: Envoy's own logs of :path show this key; log it without its query"]
    );
    assert_eq!(
        warnings(&with([("policies.default", json!({ "auth": "off" }))])),
        ["policies.default: every route that has no other policy passes requests as they are, those to a provider too"]
    );
    let external = json!({ "kind": "custom", "query": "key", "key": "external" });
    assert!(warnings(&with([("providers.elsewhere", external)])).is_empty());
    let gemini = json!({ "kind": "gemini", "key": { "env": "OPENAI_API_KEY" } });
    for (limits, want) in [
        (
            json!({ "max_tokens": 5 }),
            vec![
                "policies.live.session: what sessions use at \"google\" is not known, so that its tokens and dollars \
                 limit nothing",
            ],
        ),
        (json!({ "max_duration": "5m" }), vec![]),
    ] {
        let policy = json!({ "provider": "google", "session": limits });
        assert_eq!(warnings(&with([("providers.google", gemini.clone()), ("policies.live", policy)])), want);
    }
}

#[test]
fn a_glob_that_looks_like_a_regular_expression_is_good_with_a_warning() {
    let models = json!(["gpt-realtime*", "gpt-4.1*", "o?", "*/gpt", "gpt-realtime.*", "^gpt", "gpt-(a|b)", "gpt-[45]"]);
    let said = "looks like a regular expression; this is a glob: * stands for any characters, ? for one, all others for \
                themselves";
    for (location, shown) in
        [("policies.voice.models", true), ("callers.web-app.models", true), ("callers.web-app.origins", false)]
    {
        let want = [(4, "gpt-realtime.*"), (5, "^gpt"), (6, "gpt-(a|b)"), (7, "gpt-[45]")];
        let want = want.map(|(index, glob)| format!("{location}[{index}]: {glob:?} {said}"));
        assert_eq!(warnings(&with([(location, models.clone())])), if shown { want.to_vec() } else { vec![] });
    }
}

#[test]
fn a_limit_in_dollars_needs_prices() {
    let session = ("policies.voice.session", json!({ "max_cost_usd": 1.5, "max_tokens": 9 }));
    let limits = ("callers.web-app.limits", json!({ "cost_usd_per_day": 25, "tokens_per_day": 9 }));
    let said = "needs prices; without them no model's cost is known";
    let errors = [
        &*format!("policies.voice.session.max_cost_usd: {said}"),
        &format!("callers.web-app.limits.cost_usd_per_day: {said}"),
    ];
    assert_errors([session.clone(), limits.clone()], &errors);
    assert_errors([session.clone(), limits.clone(), ("prices", json!({}))], &errors);
    assert_errors([session.clone(), limits.clone(), ("prices", json!({ "gpt*": { "input_text": 4 } }))], &[]);
    // Prices that are wrong have their own errors.
    assert_errors([session, limits, ("prices", json!(["gpt*"]))], &["prices: found a list, expected a map"]);
}

#[test]
fn a_price_names_a_rate() {
    let want = "prices.gpt*: names no rate, such as input_text; a model of this price would cost nothing";
    assert_errors([("prices", json!({ "gpt*": {} }))], &[want]);
    for rate in ["input_text", "input_cache_write_text", "audio_minute"] {
        assert_errors([("prices", json!({ "gpt*": { rate: 0 } }))], &[]);
    }
    let too_low = json!({ "whisper-1": { "audio_minute": -1 } });
    assert_errors(
        [("prices", too_low)],
        &["prices.whisper-1.audio_minute: found -1, expected US dollars for a minute of audio, from 0"],
    );
}

#[test]
fn rules_for_calls_are_words_and_a_number_of_sidebands() {
    for calls in
        [json!({}), json!({ "raw_ids": "allow" }), json!({ "unwatched": "allow", "raw_ids": "refuse", "sidebands": 3 })]
    {
        assert_errors([("policies.voice.calls", calls)], &[]);
    }
    for (member, value, error) in [
        ("raw_ids", json!("allowed"), "found \"allowed\", expected one of refuse, allow"),
        ("unwatched", json!(true), "found true, expected one of refuse, allow"),
        ("sidebands", json!(0), "found 0, expected at least 1"),
        ("sidebands", json!(-1), "found -1, expected a whole number from 0"),
        ("side_bands", json!(1), "unknown setting; known here: unwatched, raw_ids, sidebands; did you mean sidebands?"),
    ] {
        let calls = json!({ member: value });
        assert_errors([("policies.voice.calls", calls)], &[&format!("policies.voice.calls.{member}: {error}")]);
    }
    let off = json!({ "auth": "off", "calls": {} });
    assert_errors(
        [("policies.voice", off)],
        &["policies.voice: with auth \"off\" requests pass as they are; remove the other settings"],
    );
}

#[test]
fn a_locked_field_is_one_of_a_known_session() {
    for field in [
        "instructions",
        "tools",
        "voice",
        "audio.output.voice",
        "audio.input",
        "input_audio_transcription.model",
        "max_response_output_tokens",
        "tools.0.parameters",
        "prompt.variables.name",
        "previous_response_id",
        "delegation.responses.instructions",
        "systemInstruction",
        "generationConfig.speechConfig",
    ] {
        assert_eq!(warnings(&with([("policies.voice.lock", json!([field]))])), [""; 0], "{field}");
    }
    for field in ["colour", "audio.output.colour", "tools_of_mine", "output.voice", "voice.id.x"] {
        assert_eq!(
            warnings(&with([("policies.voice.lock", json!(["tools", field]))])),
            [format!("policies.voice.lock[1]: no kind of session that is known has a field \"{field}\"")]
        );
    }
    for (field, meant) in [
        ("instruction", "instructions"),
        ("Instructions", "instructions"),
        ("toolChoice", "tool_choice"),
        ("tool", "tools"),
        ("audio.output.voise", "audio.output.voice"),
        ("audio.ouput.voice", "audio.output.voice"),
        ("adio.ouput", "audio.output"),
        ("system_instruction", "systemInstruction"),
    ] {
        assert_errors(
            [("policies.voice.lock", json!(["tools", field]))],
            &[&format!("policies.voice.lock[1]: no session has a field \"{field}\"; did you mean {meant}?")],
        );
    }
}

#[test]
fn a_lock_is_a_list_or_says_what_happens() {
    for lock in [
        json!({}),
        json!({ "fields": ["tools"] }),
        json!({ "on_change": "drop" }),
        json!({ "fields": ["tools", "audio.output.voice"], "on_change": "refuse" }),
        json!({ "fields": ["tools"], "on_change": "end" }),
    ] {
        assert_eq!(warnings(&with([("policies.voice.lock", lock.clone())])), [""; 0], "{lock}");
    }
    for (lock, error) in [
        (
            json!({ "fields": ["tools", "instruction"], "on_change": "drop" }),
            "policies.voice.lock.fields[1]: no session has a field \"instruction\"; did you mean instructions?",
        ),
        (
            json!({ "fields": ["audio..voice"] }),
            "policies.voice.lock.fields: \"audio..voice\" is no field such as instructions or audio.output.voice",
        ),
        (
            json!({ "on_change": "droop" }),
            "policies.voice.lock.on_change: found \"droop\", expected one of end, refuse, drop; did you mean drop?",
        ),
        (
            json!({ "field": [] }),
            "policies.voice.lock.field: unknown setting; known here: fields, on_change; did you mean fields?",
        ),
        (
            json!("instructions"),
            "policies.voice.lock: found \"instructions\", expected a list of fields, or a map of fields and on_change",
        ),
    ] {
        assert_errors([("policies.voice.lock", lock)], &[error]);
    }
}

#[test]
fn what_is_preset_or_hidden_is_of_a_known_session() {
    let preset = json!({
        "instructions": "Sell shoes.",
        "audio": { "output": { "voice": "marin", "speed": "1.1" }, "input": { "turn_detection": null } },
        "tools": [{ "type": "function", "name": "f", "parameters": { "anything": [1.5, {}] } }],
    });
    assert_eq!(warnings(&with([("policies.voice.preset", preset)])), [""; 0]);
    assert_eq!(warnings(&with([("policies.voice.hide", json!(["instructions", "audio.output.voice"]))])), [""; 0]);
    assert_eq!(
        warnings(&with([
            ("policies.voice.preset", json!({ "colour": { "a": 1 }, "audio": { "colour": 1 } })),
            ("policies.voice.hide", json!(["colour"])),
        ])),
        [
            "policies.voice.preset.audio.colour: no kind of session that is known has a field \"audio.colour\"",
            "policies.voice.preset.colour: no kind of session that is known has a field \"colour\"",
            "policies.voice.hide[0]: no kind of session that is known has a field \"colour\"",
        ]
    );
    for (location, value, error) in [
        (
            "policies.voice.preset",
            json!({ "audio": { "ouput": {} } }),
            "policies.voice.preset.audio.ouput: no session has a field \"audio.ouput\"; did you mean audio.output?",
        ),
        ("policies.voice.preset", json!({}), "policies.voice.preset: found no field, expected at least one"),
        (
            "policies.voice.preset",
            json!(["tools"]),
            "policies.voice.preset: found a list, expected a map of session fields",
        ),
        (
            "policies.voice.hide",
            json!(["instruction"]),
            "policies.voice.hide[0]: no session has a field \"instruction\"; did you mean instructions?",
        ),
        (
            "policies.voice.hide",
            json!(["a..b"]),
            "policies.voice.hide: \"a..b\" is no field such as instructions or audio.output.voice",
        ),
    ] {
        assert_errors([(location, value)], &[error]);
    }
}

#[test]
fn a_type_of_tools_is_a_known_one() {
    for types in [json!([]), json!(["function"]), json!(["function", "mcp", "web_search"])] {
        assert_eq!(warnings(&with([("policies.voice.tool_types", types.clone())])), [""; 0], "{types}");
    }
    assert_eq!(
        warnings(&with([("policies.voice.tool_types", json!(["function", "telepathy"]))])),
        ["policies.voice.tool_types[1]: no tool that is known is of type \"telepathy\""]
    );
    for (name, meant) in [("functions", "function"), ("Function", "function"), ("webSearch", "web_search")] {
        assert_errors(
            [("policies.voice.tool_types", json!(["mcp", name]))],
            &[&format!("policies.voice.tool_types[1]: no tool is of type \"{name}\"; did you mean {meant}?")],
        );
    }
}

#[test]
fn without_callers_a_warning_says_that_nobody_can_come_in() {
    assert_eq!(
        warnings(&with([("callers", json!({}))])),
        ["callers: there are none, so that every request is refused"]
    );
}

#[test]
fn an_instance_in_front_has_nothing_but_its_header() {
    let present = |header: &str| json!({ "present": { "header": header } });
    assert_eq!(warnings(&present("x-gateway-token")), [""; 0]);
    let slot = |name| {
        format!("present.header: {name} is where clients put it; expected a name of its own such as x-gateway-token")
    };
    for (header, want) in [
        ("Authorization", slot("authorization")),
        ("cf-aig-authorization", slot("cf-aig-authorization")),
        ("x-api-key", slot("x-api-key")),
        ("x token", "present.header: not a header name (RFC 9110 section 5.1)".into()),
        (":path", "present.header: not a header name (RFC 9110 section 5.1)".into()),
        ("upgrade", "present.header: upgrade carries the message itself, and cannot be used here".into()),
        ("origin", "present.header: origin says something else, and cannot hold the token".into()),
    ] {
        assert_eq!(errors(&present(header)), [want]);
    }
    let beside = |name| {
        format!(
            "{name}: stands beside present, which is all that the configuration of an instance in front has; remove it"
        )
    };
    let whole = with([("present", json!({ "header": "x-gateway-token" })), ("callers.web-app.tokens", json!([]))]);
    assert_eq!(errors(&whole), ["callers", "policies", "providers"].map(beside));
    assert_eq!(errors(&json!({ "present": {} })), ["present.header: missing; it must be given"]);
}
