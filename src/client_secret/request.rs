//! What a mint request asks for, and the body that goes on to the upstream.

use std::ops::{ControlFlow, Range};
use std::sync::{Arc, LazyLock};

use super::gateway_object::{GatewayObject, InvalidGatewayObject};
use crate::endpoint::Mint;
use crate::json::edit::Edits;
use crate::json::matcher::{Bounds, Matcher, Unreadable, Value};
use crate::json::paths::Paths;
use crate::json::quoted;

/// How long a client secret is good if the request does not say, in seconds: the provider's own default.
pub const DEFAULT_TTL: u64 = 600;

/// The shortest time that the provider accepts, in seconds.
const MIN_TTL: u64 = 10;

/// The body of a mint request, read.
pub struct MintRequest<'a> {
    /// What the `gateway` object says; nothing if there is none.
    pub gateway: GatewayObject,
    body: &'a str,
    /// The whole object.
    span: Range<u64>,
    /// The `gateway` member.
    gateway_member: Option<Range<u64>>,
    model: Option<(String, Range<u64>)>,
    transcription_model: Option<String>,
    /// How many seconds the secret should be good.
    ttl: Option<u64>,
    ttl_place: TtlPlace,
}

/// Where the body says how long the secret is good.
enum TtlPlace {
    /// In this object, or `null`.
    Stands(Range<u64>),
    /// Nowhere; a top-level `expires_after` would say it.
    Free,
    /// Nowhere, and the legacy shapes are left alone.
    Legacy,
}

/// Why a mint request is refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MintRequestError {
    /// The body is no JSON object, or a member that must be read is not what it should be, stands twice or in another case.
    Malformed {
        /// The member at fault, as a path from the body's top; none if it is the body.
        param: Option<&'static str>,
        /// What to do, for the client.
        message: &'static str,
    },
    /// The `gateway` object is wrong.
    InvalidGatewayObject(InvalidGatewayObject),
}

#[derive(Clone, Copy)]
enum Field {
    Body,
    Gateway,
    Object(Place),
    Model(Place),
    SessionType,
    Anchor(Expiry),
    Seconds(Expiry),
}

/// Objects that are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Top,
    Session,
    Audio,
    Input,
    Transcription,
    FormerTranscription,
    ClientSecret,
    Expiry(Expiry),
}

/// Where the time is told for which the secret is good.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expiry {
    Top,
    Sessions,
    TranscriptionSessions,
}

static PATHS: LazyLock<Arc<Paths<Field>>> = LazyLock::new(|| {
    let mut paths: Vec<(String, Field)> = [
        ("", Field::Body),
        ("gateway", Field::Gateway),
        ("model", Field::Model(Place::Top)),
        ("session.model", Field::Model(Place::Session)),
        ("session.type", Field::SessionType),
        ("session.audio.input.transcription.model", Field::Model(Place::Transcription)),
        ("input_audio_transcription.model", Field::Model(Place::FormerTranscription)),
    ]
    .map(|(path, field)| (path.to_owned(), field))
    .into();
    let objects = [
        Place::Session,
        Place::Audio,
        Place::Input,
        Place::Transcription,
        Place::FormerTranscription,
        Place::ClientSecret,
    ];
    paths.extend(objects.map(|place| (place.path().to_owned(), Field::Object(place))));
    for expiry in [Expiry::Top, Expiry::Sessions, Expiry::TranscriptionSessions] {
        let path = Place::Expiry(expiry).path();
        paths.push((path.to_owned(), Field::Object(Place::Expiry(expiry))));
        paths.push((format!("{path}.anchor"), Field::Anchor(expiry)));
        paths.push((format!("{path}.seconds"), Field::Seconds(expiry)));
    }
    Arc::new(Paths::new(&paths))
});

impl Place {
    fn path(self) -> &'static str {
        match self {
            Self::Top => "",
            Self::Session => "session",
            Self::Audio => "session.audio",
            Self::Input => "session.audio.input",
            Self::Transcription => "session.audio.input.transcription",
            Self::FormerTranscription => "input_audio_transcription",
            Self::ClientSecret => "client_secret",
            Self::Expiry(Expiry::Top) => "expires_after",
            Self::Expiry(Expiry::Sessions) => "client_secret.expires_after",
            Self::Expiry(Expiry::TranscriptionSessions) => "client_secret.expires_at",
        }
    }
}

/// What was found in a body.
#[derive(Default)]
struct Found {
    span: Range<u64>,
    /// The member and the value.
    gateway: Option<(Range<u64>, Range<u64>)>,
    /// The objects that are there; of those that are something else, only where.
    objects: Vec<(Place, Shape, Range<u64>)>,
    /// The models that are named; of those that are no text, only where.
    models: Vec<(Place, Option<String>, Range<u64>)>,
    is_realtime: bool,
    ttls: Vec<(Expiry, Ttl)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Null,
    Object,
    Other,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ttl {
    Seconds(u64),
    /// It is no number of seconds, or counts from something else than the secret's creation.
    Invalid,
}

impl Found {
    fn set(&mut self, field: Field, value: Value<'_>, span: Range<u64>, member: Range<u64>) {
        match (field, value) {
            (_, Value::Blocked(_)) => {}
            (Field::Body, _) => self.span = span,
            (Field::Gateway, _) => self.gateway = Some((member, span)),
            (Field::Object(place), _) => {
                let shape = match value {
                    Value::Null => Shape::Null,
                    Value::Object { .. } => Shape::Object,
                    _ => Shape::Other,
                };
                self.objects.push((place, shape, span));
            }
            (Field::Model(_) | Field::Seconds(_), Value::Null) => {}
            (Field::Anchor(_), Value::Null | Value::Text("created_at")) => {}
            (Field::Model(place), Value::Text(name)) => self.models.push((place, Some(name.to_owned()), span)),
            (Field::Model(place), _) => self.models.push((place, None, span)),
            (Field::SessionType, _) => self.is_realtime = value == Value::Text("realtime"),
            (Field::Anchor(expiry), _) => self.ttls.push((expiry, Ttl::Invalid)),
            (Field::Seconds(expiry), Value::Number(seconds)) => {
                let seconds = seconds.parse().ok().filter(|seconds| *seconds > 0);
                self.ttls.push((expiry, seconds.map_or(Ttl::Invalid, Ttl::Seconds)));
            }
            (Field::Seconds(expiry), _) => self.ttls.push((expiry, Ttl::Invalid)),
        }
    }

    /// What stands at `place`, where an object should or nothing.
    fn shape(&self, place: Place) -> Option<(Shape, Range<u64>)> {
        self.objects.iter().find(|(at, ..)| *at == place).map(|(_, shape, span)| (*shape, span.clone()))
    }

    fn check_object(&self, place: Place) -> Result<(), MintRequestError> {
        match self.shape(place) {
            Some((Shape::Other, _)) => Err(not_an_object(place.path())),
            _ => Ok(()),
        }
    }

    fn model_at(&self, place: Place) -> Option<&(Place, Option<String>, Range<u64>)> {
        self.models.iter().find(|(at, ..)| *at == place)
    }

    /// The model as it is written: `session.model` or `model`, else the one that a transcription session is for.
    ///
    /// A realtime session may name a transcription model beside its own, and a translation session must not be taken for
    /// that one's.
    fn model(&self, endpoint: Mint) -> Result<Option<(String, Range<u64>)>, MintRequestError> {
        self.check_object(Place::Session)?;
        let mut found = match (self.model_at(Place::Session), self.model_at(Place::Top)) {
            (Some(_), Some(_)) => return Err(malformed("model", "Name the model once: in session.model.")),
            (one, other) => one.or(other),
        };
        if found.is_none() && !self.is_realtime && endpoint != Mint::TranslationClientSecrets {
            [Place::Audio, Place::Input, Place::Transcription]
                .iter()
                .try_for_each(|place| self.check_object(*place))?;
            found = self.model_at(Place::Transcription);
        }
        if found.is_none() && endpoint == Mint::TranscriptionSessions {
            self.check_object(Place::FormerTranscription)?;
            found = self.model_at(Place::FormerTranscription);
        }
        let Some((_, name, span)) = found else { return Ok(None) };
        let name = name.clone().ok_or(malformed("model", "A model's name must be a string."))?;
        Ok((!name.is_empty()).then(|| (name, span.clone())))
    }

    /// The model that is to transcribe beside the session's own.
    fn transcription_model(&self, endpoint: Mint) -> Option<String> {
        let place = if endpoint.is_legacy() { Place::FormerTranscription } else { Place::Transcription };
        self.model_at(place).and_then(|(_, name, _)| name.clone()).filter(|name| !name.is_empty())
    }

    fn ttl(&self, endpoint: Mint) -> Result<(Option<u64>, TtlPlace), MintRequestError> {
        let expiry = match endpoint {
            Mint::ClientSecrets | Mint::TranslationClientSecrets => Expiry::Top,
            Mint::Sessions => Expiry::Sessions,
            Mint::TranscriptionSessions => Expiry::TranscriptionSessions,
        };
        if endpoint.is_legacy() {
            self.check_object(Place::ClientSecret)?;
        }
        let place = match self.shape(Place::Expiry(expiry)) {
            None | Some((Shape::Null, _)) if endpoint.is_legacy() => return Ok((None, TtlPlace::Legacy)),
            None => return Ok((None, TtlPlace::Free)),
            Some((Shape::Other, _)) => return Err(not_a_ttl(expiry)),
            Some((Shape::Null | Shape::Object, span)) => TtlPlace::Stands(span),
        };
        let mut ttls = self.ttls.iter().filter(|(at, _)| *at == expiry).map(|(_, ttl)| ttl);
        match (ttls.next(), ttls.next()) {
            (None, _) => Ok((None, place)),
            (Some(Ttl::Seconds(seconds)), None) => Ok((Some(*seconds), place)),
            _ => Err(not_a_ttl(expiry)),
        }
    }
}

impl<'a> MintRequest<'a> {
    /// Reads the body of a `POST` to `endpoint`.
    ///
    /// # Errors
    /// If it is no JSON object, or what must be read of it is not what it should be, or could be read in two ways.
    pub fn parse(endpoint: Mint, body: &'a [u8]) -> Result<Self, MintRequestError> {
        let body = str::from_utf8(body).map_err(|_| MintRequestError::body())?;
        let (mut matcher, mut found) = (Matcher::new(PATHS.clone(), Bounds::default()), Found::default());
        let read = matcher.feed(body.as_bytes(), &mut |at| {
            found.set(at.tag, at.value, at.span, at.member);
            ControlFlow::Continue(())
        });
        if let Err(unreadable) = read.and_then(|_| matcher.finish()) {
            let place = match matcher.within() {
                Some(Field::Object(place)) => place,
                _ => Place::Top,
            };
            return Err(match unreadable {
                Unreadable::Repeated(_) => place.names_twice(),
                Unreadable::OtherCase(_) => place.names_in_other_case(),
                _ => MintRequestError::body(),
            });
        }
        let model = found.model(endpoint)?;
        let transcription_model = found.transcription_model(endpoint);
        let (ttl, ttl_place) = found.ttl(endpoint)?;
        let (gateway_member, gateway) = found.gateway.unzip();
        let place = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
        let gateway = gateway.and_then(|span| body.get(place(span.start)..place(span.end)));
        let gateway = gateway.map(GatewayObject::parse).transpose()?.unwrap_or_default();
        Ok(Self { gateway, body, span: found.span, gateway_member, model, transcription_model, ttl, ttl_place })
    }

    /// The model's name as the backend wrote it.
    pub fn model(&self) -> Option<&str> {
        self.model.as_ref().map(|(name, _)| name.as_str())
    }

    /// The name of the model that is to transcribe, if the session has another of its own.
    pub fn transcription_model(&self) -> Option<&str> {
        self.transcription_model.as_deref().filter(|name| Some(*name) != self.model())
    }

    /// When the secret should expire if it is minted at `now`, both in Unix seconds: as asked for, or
    /// [`DEFAULT_TTL`] on, but no more than `max_ttl` seconds on.
    pub fn expires_at(&self, now: u64, max_ttl: u64) -> u64 {
        now.saturating_add(self.ttl.unwrap_or(DEFAULT_TTL).min(max_ttl))
    }

    /// The body that goes on: without `gateway`, with `model` for the name that stands there, if one does, and with a
    /// life of at most `max_ttl` seconds where the shape can say so. All other bytes are as they were.
    pub fn rewrite(&self, model: Option<&str>, max_ttl: u64) -> String {
        let mut edits = Edits::default();
        if let Some(member) = &self.gateway_member {
            GatewayObject::remove(member, &mut edits);
        }
        if let (Some((name, span)), Some(model)) = (&self.model, model)
            && name != model
        {
            edits.replace(span.clone(), quoted(model));
        }
        let is_too_long = self.ttl.unwrap_or(DEFAULT_TTL) > max_ttl;
        let ttl = format!(r#"{{"anchor":"created_at","seconds":{}}}"#, max_ttl.max(MIN_TTL));
        match &self.ttl_place {
            TtlPlace::Stands(span) if is_too_long => edits.replace(span.clone(), ttl),
            TtlPlace::Free if is_too_long => {
                edits.insert_first(self.span.clone(), format!("\"expires_after\":{ttl}"));
            }
            _ => {}
        }
        // Places in a text are between its characters.
        String::from_utf8(edits.apply(self.body.as_bytes())).unwrap_or_default()
    }
}

impl Place {
    /// Why an object is refused that names something twice.
    fn names_twice(self) -> MintRequestError {
        match self {
            Self::Top => MintRequestError::body(),
            Self::Expiry(expiry) => not_a_ttl(expiry),
            place => not_an_object(place.path()),
        }
    }

    /// Why an object is refused that names something in other capitals than the API does.
    fn names_in_other_case(self) -> MintRequestError {
        MintRequestError::Malformed {
            param: Some(self.path()).filter(|path| !path.is_empty()),
            message: "Names must be in lowercase, as the API writes them.",
        }
    }
}

fn malformed(param: &'static str, message: &'static str) -> MintRequestError {
    MintRequestError::Malformed { param: Some(param), message }
}

fn not_an_object(param: &'static str) -> MintRequestError {
    malformed(param, "It must be an object that names nothing twice.")
}

fn not_a_ttl(expiry: Expiry) -> MintRequestError {
    let expected = "It must be an object of the anchor \"created_at\" and a whole number of seconds above zero.";
    malformed(Place::Expiry(expiry).path(), expected)
}

impl MintRequestError {
    /// The body is at fault.
    fn body() -> Self {
        let message = "The body must be one JSON object that names nothing twice.";
        Self::Malformed { param: None, message }
    }
}

impl From<InvalidGatewayObject> for MintRequestError {
    fn from(error: InvalidGatewayObject) -> Self {
        Self::InvalidGatewayObject(error)
    }
}

#[cfg(test)]
mod tests;
