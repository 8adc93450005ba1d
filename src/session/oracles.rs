//! The readers of paths that stood here before, as oracles of [`Endpoint`], on paths that it takes.

use proptest::prelude::*;

use super::asking::must_ask;
use super::called::call_joined;
use super::exchange::is_counted;
use super::exchange::tests::{admission, with_inbound};
use crate::call::id_in;
use crate::endpoint::{CallAction, CallId, Endpoint, Mint, Path};
use crate::http::Target;
use crate::mint::{self, MintEndpoint, Spelling, endpoint};
use crate::policy::{Kind, check_path, in_path};

fn paths() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/v1",
        "/realtime",
        "/Realtime",
        "/%72ealtime",
        "/calls",
        "/cal%6cs",
        "/client_secrets",
        "/client%5fsecrets",
        "/translations",
        "/sessions",
        "/realtimeapi",
        "/transcription_sessions",
        "/rtc_1",
        "/rtc%5F1",
        "/hangup",
        "/openai",
        "/ws/g.BidiGenerateContent",
        "/chat",
        "/completions",
        "/%63ompletions",
        "/COMPLETIONS",
        "/responses",
        "/compact",
        "/runs",
        "/cancel",
        "/deployments",
        "/models",
        "/Deployments",
        "/embeddings",
        "/x",
        "/",
        "//",
        "/..",
        "%2e",
        ";x",
        "%20",
        "%2f",
        "x",
        ":y",
        "%3A",
        "?call_id=rtc_1",
        "?call_id=a.b",
        "&call_id=1",
    ]);
    prop::collection::vec(piece, 1..7).prop_map(|pieces| pieces.concat())
}

fn minted(mint: Mint) -> MintEndpoint {
    match mint {
        Mint::ClientSecrets => MintEndpoint::ClientSecrets,
        Mint::TranslationClientSecrets => MintEndpoint::TranslationClientSecrets,
        Mint::Sessions => MintEndpoint::Sessions,
        Mint::TranscriptionSessions => MintEndpoint::TranscriptionSessions,
    }
}

/// What was not asked about before: other ways to hand out secrets or to begin calls, other actions on calls.
fn is_new(path: &str) -> bool {
    let path = path.trim_end_matches('/');
    ["translations/calls", "/accept", "/reject", "/refer"].iter().any(|end| path.ends_with(end))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]

    #[test]
    fn old_readers_and_the_new_one_say_the_same(target in paths()) {
        let target = Target::parse(target.as_bytes());
        let Ok((seen, path)) = Endpoint::read(b"POST", &target, None) else { return Ok(()) };
        prop_assert!(check_path(&target).is_ok());
        let old = endpoint(target.path);
        let folded: String = path.clone().into_decoded().unwrap_or_else(|| String::from_utf8(target.path.to_vec()).unwrap())
            .split('/').filter(|segment| !segment.is_empty()).map(|segment| format!("/{}", segment.trim_end_matches('.')))
            .collect::<String>().to_ascii_lowercase();
        match (&seen, old) {
            (Endpoint::Mint(mint), old) => {
                prop_assert_eq!(old, Some((mint::Endpoint::Mint(minted(*mint)), Spelling::Plain)));
            }
            (Endpoint::StartCall, old) => prop_assert_eq!(old, Some((mint::Endpoint::Calls, Spelling::Plain))),
            (Endpoint::Call(id, CallAction::HangUp), old) => {
                prop_assert_eq!(old, Some((mint::Endpoint::Hangup(id.as_str()), Spelling::Plain)));
            }
            // The old reader knew no hang-up that is not spelled plainly, and no socket but one.
            (Endpoint::Forbidden, None) => prop_assert!(
                is_new(&folded) || folded.ends_with("/hangup") || folded.ends_with("/openai")
                || folded.ends_with("/realtime/translations") || folded.ends_with(".bidigeneratecontent"), "{folded}"),
            (Endpoint::Forbidden, Some((mint::Endpoint::Hangup(id), _))) => prop_assert!(CallId::parse(id).is_none()),
            (Endpoint::Forbidden, Some(_)) => {}
            // The old reader took a path for another where its names stood anywhere in it.
            (_, Some((mint::Endpoint::Mint(_) | mint::Endpoint::Calls, Spelling::Loose))) => {
                let ends = ["client_secrets", "sessions", "realtime/calls"];
                prop_assert!(!ends.iter().any(|end| folded.ends_with(&format!("/realtime/{end}"))), "{folded}");
            }
            (_, old) => prop_assert_eq!(old, None),
        }
        let (counted, asked) = with_inbound("POST", str::from_utf8(target.path).unwrap(), |inbound| {
            let admission = admission(true);
            (is_counted(&admission, inbound), must_ask(&admission, inbound))
        });
        let is_rest = matches!(seen, Endpoint::Completions | Endpoint::Creation | Endpoint::Update);
        if is_rest && !target.path.contains(&b'.') && !target.path.windows(3).any(|end| end == b"%2e") {
            prop_assert_eq!((seen.creates(), seen.tells_usage_on_request()), (counted, asked), "{}", folded);
        }
        for (kind, folder) in [(Kind::AzureOpenAi, "deployments"), (Kind::Gemini, "models")] {
            let models: Vec<String> =
                path.below(folder).map(|model| model.split(':').next().unwrap_or_default().to_owned()).collect();
            prop_assert_eq!(in_path(&target, &kind).unwrap(), models);
        }
        let id = CallId::in_location(target.path);
        prop_assert_eq!(id.as_ref().map(CallId::as_str), id_in(target.path));
    }

    #[test]
    fn old_and_new_open_the_same_websockets(target in paths()) {
        let target = Target::parse(target.as_bytes());
        let Ok((seen, _)) = Endpoint::read(b"GET", &target, Some(b"websocket")) else { return Ok(()) };
        let is_realtime = matches!(endpoint(target.path), Some((mint::Endpoint::Socket, Spelling::Plain)));
        prop_assert_eq!(matches!(seen, Endpoint::Realtime { .. }), is_realtime);
        let joined = match &seen {
            Endpoint::Realtime { call_id } => call_id.as_ref().map(|id| id.as_str().to_owned()),
            _ => None,
        };
        prop_assert_eq!(joined, call_joined(&target));
    }
}

#[test]
fn only_paths_that_the_old_check_took_are_taken() {
    for path in ["/v1/realtime/./x", "/v1/x/%2E./realtime", "/v1\\..\\x", "/v1/realtime/sessions/.."] {
        assert!(check_path(&Target::parse(path.as_bytes())).is_err() && Path::decode(path.as_bytes()).is_err());
    }
}
