//! What a mint request asks for, and the body that goes on to the upstream.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::quoted;

use super::gateway_object::{GatewayObject, InvalidGatewayObject};
use super::json::{NotReadable, edited, member_span, members, not_null, span, string};
use crate::endpoint::Mint;

/// How long a client secret is good if the request does not say, in seconds: the provider's own default.
pub const DEFAULT_TTL: u64 = 600;

/// The shortest time that the provider accepts, in seconds.
const MIN_TTL: u64 = 10;

/// The body of a mint request, read.
pub struct MintRequest<'a> {
    /// What the `gateway` object says; nothing if there is none.
    pub gateway: GatewayObject,
    body: &'a str,
    /// The `gateway` member, with its comma.
    gateway_span: Option<Range<usize>>,
    model: Option<(String, Range<usize>)>,
    /// How many seconds the secret should be good.
    ttl: Option<u64>,
    ttl_position: TtlPosition,
}

/// Where the body says how long the secret is good.
enum TtlPosition {
    /// In this object, or `null`.
    Stands(Range<usize>),
    /// Nowhere; a top-level `expires_after` would say it.
    Free,
    /// Nowhere, and the legacy shapes are left alone.
    Legacy,
}

/// Why a mint request is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MintRequestError {
    /// The body is no JSON object, or a member that must be read is not what it should be or stands twice.
    Malformed {
        /// The member at fault, as a path from the body's top; none if it is the body.
        param: Option<&'static str>,
        /// What to do, for the client.
        message: &'static str,
    },
    /// The `gateway` object is wrong.
    InvalidGatewayObject(InvalidGatewayObject),
}

impl<'a> MintRequest<'a> {
    /// Reads the body of a `POST` to `endpoint`.
    pub fn parse(endpoint: Mint, body: &'a [u8]) -> Result<Self, MintRequestError> {
        let body = str::from_utf8(body).map_err(|_| NotReadable)?;
        let names = ["gateway", "model", "session", "input_audio_transcription", "expires_after", "client_secret"];
        let [gateway, model, session, transcription, expires_after, client_secret] = members(body, names)?;

        let model = match (find_model(endpoint, not_null(model), session)?, endpoint) {
            (None, Mint::TranscriptionSessions) => member(transcription, "input_audio_transcription", "model")?,
            (found, _) => found,
        };
        let (expiry, param) = match endpoint {
            Mint::ClientSecrets | Mint::TranslationClientSecrets => (expires_after, "expires_after"),
            Mint::Sessions => (member(client_secret, "client_secret", "expires_after")?, "client_secret.expires_after"),
            Mint::TranscriptionSessions => {
                (member(client_secret, "client_secret", "expires_at")?, "client_secret.expires_at")
            }
        };
        Ok(Self {
            gateway: gateway.map(GatewayObject::parse).transpose()?.unwrap_or_default(),
            body,
            gateway_span: gateway.map(|value| member_span(body, value)).transpose()?,
            model: model.map(|value| read_model(body, value)).transpose()?.filter(|(name, _)| !name.is_empty()),
            ttl: not_null(expiry).map_or(Ok(None), |value| read_ttl(value, param))?,
            ttl_position: match expiry {
                Some(value) => TtlPosition::Stands(span(body, value)?),
                None if endpoint.is_legacy() => TtlPosition::Legacy,
                None => TtlPosition::Free,
            },
        })
    }

    /// The model's name as the backend wrote it.
    pub fn model(&self) -> Option<&str> {
        self.model.as_ref().map(|(name, _)| name.as_str())
    }

    /// When the secret should expire if it is minted at `now`, both in Unix seconds: as asked for, or
    /// [`DEFAULT_TTL`] on, but no more than `max_ttl` seconds on.
    pub fn expires_at(&self, now: u64, max_ttl: u64) -> u64 {
        now.saturating_add(self.ttl.unwrap_or(DEFAULT_TTL).min(max_ttl))
    }

    /// The body that goes on: without `gateway`, with `model` for the name that stands there, if one does, and with a
    /// life of at most `max_ttl` seconds where the shape can say so. All other bytes are as they were.
    pub fn rewrite(&self, model: Option<&str>, max_ttl: u64) -> String {
        let mut edits: Vec<(Range<usize>, Cow<'_, str>)> = Vec::new();
        if let Some(span) = &self.gateway_span {
            edits.push((span.clone(), Cow::Borrowed("")));
        }
        if let (Some((name, span)), Some(model)) = (&self.model, model)
            && name != model
        {
            edits.push((span.clone(), quoted(model).into()));
        }
        let too_long = self.ttl.unwrap_or(DEFAULT_TTL) > max_ttl;
        let ttl = format!(r#"{{"anchor":"created_at","seconds":{}}}"#, max_ttl.max(MIN_TTL));
        match &self.ttl_position {
            TtlPosition::Stands(span) if too_long => edits.push((span.clone(), ttl.into())),
            TtlPosition::Free if too_long => return with_expires_after(&edited(self.body, edits), &ttl),
            _ => {}
        }
        edited(self.body, edits)
    }
}

/// The model as it is written: `session.model` or `model`, else the one that a transcription session is for.
///
/// A realtime session may name a transcription model beside its own, and a translation session must not be taken for
/// that one's.
fn find_model<'a>(
    endpoint: Mint,
    model: Option<&'a str>,
    session: Option<&'a str>,
) -> Result<Option<&'a str>, MintRequestError> {
    let [in_session, kind, audio] = match not_null(session) {
        Some(session) => {
            members(session, ["model", "type", "audio"]).map_err(|NotReadable| not_an_object("session"))?
        }
        None => [None; 3],
    };
    match (not_null(in_session), model) {
        (Some(_), Some(_)) => Err(malformed("model", "Name the model once: in session.model.")),
        (Some(model), None) | (None, Some(model)) => Ok(Some(model)),
        (None, None) => {
            let realtime = kind.is_some_and(|kind| string(kind).as_deref() == Ok("realtime"));
            if realtime || endpoint == Mint::TranslationClientSecrets {
                return Ok(None);
            }
            let input = member(audio, "session.audio", "input")?;
            let transcription = member(input, "session.audio.input", "transcription")?;
            member(transcription, "session.audio.input.transcription", "model")
        }
    }
}

fn read_model(body: &str, value: &str) -> Result<(String, Range<usize>), MintRequestError> {
    let name = string(value).map_err(|NotReadable| malformed("model", "A model's name must be a string."))?;
    Ok((name, span(body, value)?))
}

fn read_ttl(value: &str, param: &'static str) -> Result<Option<u64>, MintRequestError> {
    let expected = "It must be an object of the anchor \"created_at\" and a whole number of seconds above zero.";
    let [anchor, seconds] = members(value, ["anchor", "seconds"]).map_err(|NotReadable| malformed(param, expected))?;
    if not_null(anchor).is_some_and(|anchor| string(anchor).as_deref() != Ok("created_at")) {
        return Err(malformed(param, expected));
    }
    let seconds = not_null(seconds).map(str::parse::<u64>).transpose();
    seconds.ok().filter(|seconds| *seconds != Some(0)).ok_or(malformed(param, expected))
}

/// The member `name` of an object that stands at `path`; none if there is no object.
fn member<'a>(object: Option<&'a str>, path: &'static str, name: &str) -> Result<Option<&'a str>, MintRequestError> {
    let Some(object) = not_null(object) else { return Ok(None) };
    let [value] = members(object, [name]).map_err(|NotReadable| not_an_object(path))?;
    Ok(not_null(value))
}

fn with_expires_after(body: &str, ttl: &str) -> String {
    let (before, members) = body.split_once('{').unwrap_or_default();
    let comma = if members.trim_start().starts_with('}') { "" } else { "," };
    format!(r#"{before}{{"expires_after":{ttl}{comma}{members}"#)
}

fn malformed(param: &'static str, message: &'static str) -> MintRequestError {
    MintRequestError::Malformed { param: Some(param), message }
}

fn not_an_object(param: &'static str) -> MintRequestError {
    malformed(param, "It must be an object that names nothing twice.")
}

impl From<NotReadable> for MintRequestError {
    fn from(_: NotReadable) -> Self {
        Self::Malformed { param: None, message: "The body must be one JSON object that names nothing twice." }
    }
}

impl From<InvalidGatewayObject> for MintRequestError {
    fn from(error: InvalidGatewayObject) -> Self {
        Self::InvalidGatewayObject(error)
    }
}

#[cfg(test)]
mod tests {
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
            (
                ClientSecrets,
                r#"{"session":{"type":"realtime","audio":{"input":{"transcription":{"model":"w"}}}}}"#,
                None,
            ),
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
        let body =
            "{\r\n \"session\" : {\"model\":\"\\u0061\", \"x\":[1.0, {}]} ,\t\"expires_after\":{\"seconds\":60}}\n";
        let request = parse(ClientSecrets, body).unwrap();
        for model in [None, Some("a")] {
            assert_eq!(request.rewrite(model, 60), body);
        }
    }

    #[test]
    fn a_secret_lives_no_longer_than_the_policy_says() {
        for (endpoint, body, max_ttl, want, ttl) in [
            (ClientSecrets, r#"{"expires_after":{"seconds":60}}"#, 60, r#"{"expires_after":{"seconds":60}}"#, 60),
            (
                ClientSecrets,
                r#"{"a":1,"expires_after":{"seconds":61},"b":2}"#,
                60,
                r#"{"a":1,"expires_after":{"anchor":"created_at","seconds":60},"b":2}"#,
                60,
            ),
            (
                ClientSecrets,
                r#"{"expires_after":{"anchor":"created_at"}}"#,
                60,
                r#"{"expires_after":{"anchor":"created_at","seconds":60}}"#,
                60,
            ),
            (
                ClientSecrets,
                r#"{"expires_after":null}"#,
                60,
                r#"{"expires_after":{"anchor":"created_at","seconds":60}}"#,
                60,
            ),
            (ClientSecrets, r#"{}"#, 60, r#"{"expires_after":{"anchor":"created_at","seconds":60}}"#, 60),
            (
                ClientSecrets,
                r#" {"gateway":{} } "#,
                60,
                r#" {"expires_after":{"anchor":"created_at","seconds":60}} "#,
                60,
            ),
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
}
