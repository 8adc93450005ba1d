//! The response to a mint request where no upstream mints: made here, in the shape that belongs to the request's path.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::sealing::Sealed;

use crate::endpoint::Mint;
use crate::json::{for_each_member, quoted, string};

/// Members that the answer says itself, whatever was asked for.
const OWN: [&str; 5] = ["id", "object", "type", "expires_at", "client_secret"];

/// Answers a mint request: the sealed secret, and the session that was asked for.
///
/// `request` is the rewritten body of the request, `expires_at` is in Unix seconds, and `random` makes the session's id.
pub fn local_response(endpoint: Mint, request: &str, sealed: &Sealed, expires_at: u64, random: &[u8; 12]) -> String {
    let id = quoted(&format!("sess_{}", URL_SAFE_NO_PAD.encode(random)));
    let mut secret = Object::default();
    secret.push("value", &quoted(sealed.expose()));
    secret.push("expires_at", &expires_at.to_string());
    if endpoint.is_legacy() {
        let mut session = legacy_session(endpoint, request, &id);
        session.push("client_secret", &secret.end());
        session.end()
    } else {
        secret.push("session", &session(endpoint, request, &id).end());
        secret.end()
    }
}

/// A session that has not begun: its own `expires_at` is 0, as it is in a provider's answer.
fn session(endpoint: Mint, request: &str, id: &str) -> Object {
    let [asked, model] = members(request, ["session", "model"]);
    let asked = asked.unwrap_or("{}");
    let [kind, own_model, audio] = members(asked, ["type", "model", "audio"]);
    let kind = kind.and_then(|kind| string(kind).ok());
    let (kind, object) = match (endpoint, kind.as_deref()) {
        (Mint::TranslationClientSecrets, _) => ("translation", None),
        (_, Some("transcription")) => ("transcription", Some("realtime.transcription_session")),
        _ => ("realtime", Some("realtime.session")),
    };
    let mut session = Object::default();
    session.push("type", &quoted(kind));
    if let Some(object) = object {
        session.push("object", &quoted(object));
    }
    session.push("id", id);
    if let (None, Some(model)) = (own_model, model) {
        session.push("model", model);
    }
    if let (Mint::TranslationClientSecrets, None) = (endpoint, audio) {
        session.push("audio", "{}");
    }
    session.push("expires_at", "0");
    session.push_members_of(asked);
    session
}

fn legacy_session(endpoint: Mint, request: &str, id: &str) -> Object {
    let object = match endpoint {
        Mint::TranscriptionSessions => "realtime.transcription_session",
        _ => "realtime.session",
    };
    let mut session = Object::default();
    session.push("id", id);
    session.push("object", &quoted(object));
    session.push_members_of(request);
    session
}

/// The values of these members, but for those that are null, of an object that was read before.
fn members<'a, const N: usize>(object: &'a str, names: [&str; N]) -> [Option<&'a str>; N] {
    let mut values = [None; N];
    let _ = for_each_member(object, &mut |name, value| {
        let place = names.iter().position(|known| *known == name).and_then(|place| values.get_mut(place));
        if let Some(place) = place.filter(|_| value != "null") {
            *place = Some(value);
        }
    });
    values
}

/// A JSON object in the making.
#[derive(Default)]
struct Object(String);

impl Object {
    /// Appends a member; its value is JSON already.
    fn push(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&quoted(name));
        self.0.push(':');
        self.0.push_str(value);
    }

    /// Appends what was asked for and has a value, but for what the answer says itself.
    fn push_members_of(&mut self, asked: &str) {
        // What was asked for was read before, so there is nothing to report here.
        let _ = for_each_member(asked, &mut |name, value| {
            if !OWN.contains(&name) && value != "null" {
                self.push(name, value);
            }
        });
    }

    fn end(self) -> String {
        self.0 + "}"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_secret::sealed_for_tests;

    const RANDOM: &[u8; 12] = b"twelve bytes";

    #[test]
    fn an_answer_has_the_shape_of_its_path_and_holds_what_was_asked_for() {
        let sealed = sealed_for_tests();
        for (endpoint, request, want) in [
            (
                Mint::ClientSecrets,
                r#"{"expires_after":{"seconds":60},"session":{"type":"realtime", "model":"a","tools":[ ], "id":"mine"}}"#,
                r#"{"value":"EK","expires_at":99,"session":{"type":"realtime","object":"realtime.session",
                    "id":"sess_dHdlbHZlIGJ5dGVz","expires_at":0,"model":"a","tools":[ ]}}"#,
            ),
            (
                Mint::ClientSecrets,
                r#"{"session":{"type":"transcription","audio":{"input":{"transcription":{"model":"w"}}}}}"#,
                r#"{"value":"EK","expires_at":99,"session":{"type":"transcription",
                    "object":"realtime.transcription_session","id":"sess_dHdlbHZlIGJ5dGVz","expires_at":0,
                    "audio":{"input":{"transcription":{"model":"w"}}}}}"#,
            ),
            (
                Mint::ClientSecrets,
                r#"{"model":"a"}"#,
                r#"{"value":"EK","expires_at":99,"session":{"type":"realtime","object":"realtime.session",
                    "id":"sess_dHdlbHZlIGJ5dGVz","model":"a","expires_at":0}}"#,
            ),
            (
                Mint::TranslationClientSecrets,
                r#"{"session":{"model":"t"}}"#,
                r#"{"value":"EK","expires_at":99,"session":{"type":"translation","id":"sess_dHdlbHZlIGJ5dGVz","audio":{},
                    "expires_at":0,"model":"t"}}"#,
            ),
            (
                Mint::Sessions,
                r#"{"model":"a","voice":"ash","turn_detection":null,"client_secret":{"expires_after":{"seconds":60}}}"#,
                r#"{"id":"sess_dHdlbHZlIGJ5dGVz","object":"realtime.session","model":"a","voice":"ash",
                    "client_secret":{"value":"EK","expires_at":99}}"#,
            ),
            (
                Mint::TranscriptionSessions,
                r#"{"input_audio_transcription":{"model":"w"}}"#,
                r#"{"id":"sess_dHdlbHZlIGJ5dGVz","object":"realtime.transcription_session",
                    "input_audio_transcription":{"model":"w"},"client_secret":{"value":"EK","expires_at":99}}"#,
            ),
        ] {
            let want = want.replace("\n                    ", "").replace("EK", sealed.expose());
            assert_eq!(local_response(endpoint, request, &sealed, 99, RANDOM), want);
        }
    }
}
