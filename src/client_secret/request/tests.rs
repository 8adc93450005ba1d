//! Bodies of mint requests of each shape: what is read of them, and what goes on.

use proptest::prelude::*;

use super::*;

const ENDPOINTS: [Mint; 4] =
    [Mint::ClientSecrets, Mint::TranslationClientSecrets, Mint::Sessions, Mint::TranscriptionSessions];
use Mint::{ClientSecrets, Sessions, TranscriptionSessions, TranslationClientSecrets};

fn parse(endpoint: Mint, body: &str) -> Result<MintRequest<'_>, MintRequestError> {
    MintRequest::parse(endpoint, body.as_bytes())
}

/// What is at fault; `Err(None)` is the body.
fn fault(endpoint: Mint, body: &str) -> Result<(), Option<String>> {
    match parse(endpoint, body) {
        Ok(_) => Ok(()),
        Err(MintRequestError::Malformed { param, .. }) => Err(param.map(str::to_owned)),
        Err(MintRequestError::InvalidGatewayObject(error)) => Err(Some(error.param.into_owned())),
    }
}

#[test]
fn the_model_is_found_where_each_shape_has_it() {
    for (endpoint, body, want) in [
        (ClientSecrets, r#"{}"#, None),
        (ClientSecrets, r#"{"session":null,"model":null}"#, None),
        (ClientSecrets, r#"{"session":{"type":"realtime","model":"a"}}"#, Some("a")),
        (ClientSecrets, r#"{"session":{"type":"realtime","model":""}}"#, None),
        (ClientSecrets, r#"{"model":"a"}"#, Some("a")),
        (ClientSecrets, r#"{"model":"a","session":{"model":null}}"#, Some("a")),
        (
            ClientSecrets,
            r#"{"session":{"type":"realtime","model":"a","audio":{"input":{"transcription":{"model":"w"}}}}}"#,
            Some("a"),
        ),
        (
            ClientSecrets,
            r#"{"session":{"type":"transcription","audio":{"input":{"transcription":{"model":"w"}}}}}"#,
            Some("w"),
        ),
        (ClientSecrets, r#"{"session":{"audio":{"input":{"transcription":{"model":"w"}}}}}"#, Some("w")),
        (ClientSecrets, r#"{"session":{"type":"realtime","audio":{"input":{"transcription":{"model":"w"}}}}}"#, None),
        (ClientSecrets, r#"{"session":{"audio":{"input":{"transcription":null}}}}"#, None),
        (ClientSecrets, r#"{"input_audio_transcription":{"model":"w"}}"#, None),
        (TranslationClientSecrets, r#"{"session":{"model":"t"}}"#, Some("t")),
        (TranslationClientSecrets, r#"{"session":{"audio":{"input":{"transcription":{"model":"w"}}}}}"#, None),
        (Sessions, r#"{"model":"a","input_audio_transcription":{"model":"w"}}"#, Some("a")),
        (Sessions, r#"{"input_audio_transcription":{"model":"w"}}"#, None),
        (TranscriptionSessions, r#"{"input_audio_transcription":{"model":"w"}}"#, Some("w")),
        (TranscriptionSessions, r#"{"input_audio_transcription":null}"#, None),
        (ClientSecrets, r#"{"s\u0065ssion":{"mod\u0065l":"\u0061"}}"#, Some("a")),
    ] {
        assert_eq!(parse(endpoint, body).unwrap().model(), want, "{body}");
    }
}

#[test]
fn a_model_that_transcribes_beside_the_sessions_own_is_found() {
    let both = r#"{"session":{"type":"realtime","model":"a","audio":{"input":{"transcription":{"model":"w"}}}}}"#;
    let legacy = r#"{"model":"a","input_audio_transcription":{"model":"w"}}"#;
    for (endpoint, body, want) in [
        (ClientSecrets, both, Some("w")),
        (TranslationClientSecrets, both, Some("w")),
        (Sessions, legacy, Some("w")),
        (ClientSecrets, legacy, None),
        (ClientSecrets, r#"{"session":{"model":"a"}}"#, None),
        (ClientSecrets, r#"{"session":{"model":"w","audio":{"input":{"transcription":{"model":"w"}}}}}"#, None),
        (ClientSecrets, r#"{"session":{"audio":{"input":{"transcription":{"model":"w"}}}}}"#, None),
        (TranscriptionSessions, r#"{"input_audio_transcription":{"model":"w"}}"#, None),
    ] {
        assert_eq!(parse(endpoint, body).unwrap().transcription_model(), want, "{body}");
    }
}

#[test]
fn what_cannot_be_read_or_stands_twice_is_refused() {
    for (endpoint, body, param) in [
        (ClientSecrets, "", None),
        (ClientSecrets, "null", None),
        (ClientSecrets, "[]", None),
        (ClientSecrets, "{}{}", None),
        (ClientSecrets, r#"{"session":{}"#, None),
        (ClientSecrets, r#"{"model":"a","model":"a"}"#, None),
        (ClientSecrets, r#"{"gateway":{},"gateway":{}}"#, None),
        (ClientSecrets, r#"{"session":{},"s\u0065ssion":{}}"#, None),
        (ClientSecrets, r#"{"expires_after":{},"expires_after":{}}"#, None),
        (ClientSecrets, r#"{"Model":"a"}"#, None),
        (ClientSecrets, r#"{"gateway":{},"GATEWAY":{}}"#, None),
        (ClientSecrets, r#"{"session":{"model":"a","Model":"b"}}"#, Some("session")),
        (ClientSecrets, r#"{"session":{"audio":{"Input":{}}}}"#, Some("session.audio")),
        (ClientSecrets, r#"{"expires_after":{"Seconds":60}}"#, Some("expires_after")),
        (ClientSecrets, r#"{"session":[]}"#, Some("session")),
        (ClientSecrets, r#"{"session":"realtime"}"#, Some("session")),
        (ClientSecrets, r#"{"session":{"model":"a","model":"b"}}"#, Some("session")),
        (ClientSecrets, r#"{"session":{"type":"realtime","type":"transcription"}}"#, Some("session")),
        (ClientSecrets, r#"{"session":{"model":"a"},"model":"a"}"#, Some("model")),
        (Sessions, r#"{"session":{"model":"a"},"model":"b"}"#, Some("model")),
        (ClientSecrets, r#"{"session":{"model":1}}"#, Some("model")),
        (ClientSecrets, r#"{"session":{"audio":1}}"#, Some("session.audio")),
        (ClientSecrets, r#"{"session":{"audio":{"input":[]}}}"#, Some("session.audio.input")),
        (
            ClientSecrets,
            r#"{"session":{"audio":{"input":{"transcription":"w"}}}}"#,
            Some("session.audio.input.transcription"),
        ),
        (TranscriptionSessions, r#"{"input_audio_transcription":"w"}"#, Some("input_audio_transcription")),
        (ClientSecrets, r#"{"expires_after":60}"#, Some("expires_after")),
        (ClientSecrets, r#"{"expires_after":{"seconds":"60"}}"#, Some("expires_after")),
        (ClientSecrets, r#"{"expires_after":{"seconds":0}}"#, Some("expires_after")),
        (ClientSecrets, r#"{"expires_after":{"seconds":-1}}"#, Some("expires_after")),
        (ClientSecrets, r#"{"expires_after":{"seconds":60,"seconds":9999}}"#, Some("expires_after")),
        (ClientSecrets, r#"{"expires_after":{"anchor":"now","seconds":60}}"#, Some("expires_after")),
        (Sessions, r#"{"client_secret":1}"#, Some("client_secret")),
        (Sessions, r#"{"client_secret":{"expires_after":1}}"#, Some("client_secret.expires_after")),
        (TranscriptionSessions, r#"{"client_secret":{"expires_at":1}}"#, Some("client_secret.expires_at")),
        (ClientSecrets, r#"{"gateway":null}"#, Some("gateway")),
        (ClientSecrets, r#"{"gateway":{"max_tokens":"1"}}"#, Some("gateway.max_tokens")),
    ] {
        assert_eq!(fault(endpoint, body), Err(param.map(str::to_owned)), "{body}");
    }
    assert!(MintRequest::parse(ClientSecrets, b"{\"a\":\"\xff\"}").is_err());
}

#[test]
fn the_gateway_object_goes_and_the_bare_model_stays() {
    for (body, want) in [
        (
            r#"{ "gateway": {"user":"u"}, "session": { "model" : "azure\/gpt", "é":1e400 } }"#,
            r#"{  "session": { "model" : "bare\"", "é":1e400 } }"#,
        ),
        (r#"{"model":"x","gateway":{}}"#, r#"{"model":"bare\""}"#),
        (r#"{"gateway":{}}"#, r#"{}"#),
        (r#"{"session":{"voice":"ash"}}"#, r#"{"session":{"voice":"ash"}}"#),
    ] {
        assert_eq!(parse(ClientSecrets, body).unwrap().rewrite(Some("bare\""), 600), want, "{body}");
    }
}

#[test]
fn a_body_with_nothing_to_change_goes_on_as_it_came() {
    let body = "{\r\n \"session\" : {\"model\":\"\\u0061\", \"x\":[1.0, {}]} ,\t\"expires_after\":{\"seconds\":60}}\n";
    let request = parse(ClientSecrets, body).unwrap();
    for model in [None, Some("a")] {
        assert_eq!(request.rewrite(model, 60), body);
    }
}

#[test]
fn a_secret_lives_no_longer_than_the_policy_says() {
    let minute = r#"{"expires_after":{"anchor":"created_at","seconds":60}}"#;
    for (endpoint, body, max_ttl, want, ttl) in [
        (ClientSecrets, r#"{"expires_after":{"seconds":60}}"#, 60, r#"{"expires_after":{"seconds":60}}"#, 60),
        (
            ClientSecrets,
            r#"{"a":1,"expires_after":{"seconds":61},"b":2}"#,
            60,
            r#"{"a":1,"expires_after":{"anchor":"created_at","seconds":60},"b":2}"#,
            60,
        ),
        (ClientSecrets, r#"{"expires_after":{"anchor":"created_at"}}"#, 60, minute, 60),
        (ClientSecrets, r#"{"expires_after":null}"#, 60, minute, 60),
        (ClientSecrets, r#"{}"#, 60, minute, 60),
        (ClientSecrets, r#" {"gateway":{} } "#, 60, r#" {"expires_after":{"anchor":"created_at","seconds":60}} "#, 60),
        (
            TranslationClientSecrets,
            r#"{"gateway":{},"session":{}}"#,
            60,
            r#"{"expires_after":{"anchor":"created_at","seconds":60},"session":{}}"#,
            60,
        ),
        (ClientSecrets, r#"{"session":{}}"#, 600, r#"{"session":{}}"#, 600),
        (ClientSecrets, r#"{"session":{}}"#, 7200, r#"{"session":{}}"#, 600),
        (
            ClientSecrets,
            r#"{"expires_after":{"seconds":60}}"#,
            5,
            r#"{"expires_after":{"anchor":"created_at","seconds":10}}"#,
            5,
        ),
        (
            Sessions,
            r#"{"client_secret":{"expires_after":{"anchor":"created_at","seconds":7200}}}"#,
            900,
            r#"{"client_secret":{"expires_after":{"anchor":"created_at","seconds":900}}}"#,
            900,
        ),
        (
            TranscriptionSessions,
            r#"{"client_secret":{"expires_at":{"seconds":7200}}}"#,
            900,
            r#"{"client_secret":{"expires_at":{"anchor":"created_at","seconds":900}}}"#,
            900,
        ),
        (Sessions, r#"{"model":"a"}"#, 60, r#"{"model":"a"}"#, 60),
        (Sessions, r#"{"expires_after":{"seconds":9999}}"#, 60, r#"{"expires_after":{"seconds":9999}}"#, 60),
    ] {
        let request = parse(endpoint, body).unwrap();
        assert_eq!(request.rewrite(None, max_ttl), want, "{body}");
        assert_eq!(request.expires_at(1000, max_ttl), 1000 + ttl, "{body}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bodies_do_no_harm(body in prop::collection::vec(any::<u8>(), 0..100)) {
        for endpoint in ENDPOINTS {
            let _ = MintRequest::parse(endpoint, &body);
        }
    }

    #[test]
    fn what_goes_on_is_json_without_gateway(
        parts in prop::collection::vec(
            prop::sample::select(vec![
                r#""gateway":{"user":"a,}\"b"}"#,
                r#""\u0067ateway" :{}"#,
                r#""session": {"model" :"m","gateway":1}"#,
                r#""model":"m""#,
                r#""expires_after":{"seconds":9000}"#,
                r#""x" : [",", {"gateway":{}}]"#,
                r#""y":"}""#,
            ]),
            0..5,
        ),
        endpoint in prop::sample::select(ENDPOINTS.to_vec()),
        max_ttl in 1..10_000_u64,
    ) {
        let body = format!("{{ {} }}", parts.join(" , "));
        if let Ok(request) = parse(endpoint, &body) {
            let rewritten = request.rewrite(Some("bare"), max_ttl);
            let value: serde_json::Value = serde_json::from_str(&rewritten).unwrap();
            prop_assert!(value.get("gateway").is_none(), "{}", rewritten);
            let again = parse(endpoint, &rewritten).unwrap();
            prop_assert_eq!(again.model(), request.model().map(|_| "bare"));
            prop_assert_eq!(again.rewrite(Some("bare"), max_ttl), rewritten);
        }
    }
}
