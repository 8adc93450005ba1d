//! What a request addresses: its method and its path, read once, and the closed list of what they come to.
//!
//! Upstreams differ in what they decode, and how often, in what they strip and what they fold. So a path has to be one
//! that all of them read alike ([`Path::decode`]), and every rule that depends on a path asks the [`Endpoint`] that was
//! made of it. Two mistakes are left, and each matters elsewhere: a path that mints or begins a call and is not seen to
//! would go on as any other, and a path that is taken for a call and is none would open other routes to a client
//! secret. So what only resembles such a path is refused, and allows nothing.

mod control;
mod path;

use crate::http::{Param, Target, trim};

pub use control::ControlResource;
pub use path::{InvalidPath, Path};

/// What a request addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// A WebSocket of a realtime session: `…/realtime`, and where else such live.
    Realtime {
        /// The call that it joins as a sideband, by `?call_id=rtc_…`.
        call_id: Option<CallId>,
    },
    /// A WebSocket of the Responses API: `…/responses`.
    Responses,
    /// A WebSocket anywhere else.
    WebSocket,
    /// Mints a client secret.
    Mint(Mint),
    /// Begins a WebRTC call: `POST …/realtime/calls`.
    StartCall,
    /// Does something to the call of this id: `POST …/realtime/calls/{id}/…`.
    Call(CallId, CallAction),
    /// Makes a completion, chat or not, of which a stream tells its usage only on request.
    Completions,
    /// Makes something else: a response, an embedding, an image, speech, or what is not known.
    Creation,
    /// Changes something that exists, or has a method that is not known.
    Update,
    /// Reads or deletes, with a method that needs no body: `GET`, `HEAD`, `OPTIONS` or `DELETE`.
    Retrieve,
    /// Hands out a provider's secret or begins a call in a way that is not treated here, or may be read so by some
    /// upstream.
    Forbidden,
}

/// The paths that mint client secrets, each with its shapes of request and response.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mint {
    /// `…/realtime/client_secrets`
    ClientSecrets,
    /// `…/realtime/translations/client_secrets`
    TranslationClientSecrets,
    /// `…/realtime/sessions`, the legacy shape; Azure's preview says `…/realtimeapi/sessions`.
    Sessions,
    /// `…/realtime/transcription_sessions`, the legacy shape.
    TranscriptionSessions,
}

impl Mint {
    /// Whether requests and responses have the legacy shape: the session at the top, the secret in `client_secret`.
    pub fn is_legacy(self) -> bool {
        matches!(self, Self::Sessions | Self::TranscriptionSessions)
    }
}

/// What can be done to a call, SIP or WebRTC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallAction {
    /// `…/accept`
    Accept,
    /// `…/reject`
    Reject,
    /// `…/refer`
    Refer,
    /// `…/hangup`
    HangUp,
}

/// The upstream's name for a call: letters, digits, `_` and `-`, at least one and at most [`CallId::MAX`] of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallId(String);

/// Why a request cannot be said to address anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoEndpoint {
    /// `TRACE` and `TRACK`: an upstream would send back the request, the provider's key with it.
    Echo,
    /// `CONNECT`, to a host rather than a path.
    Connect,
    /// An upgrade to something else than a WebSocket: a tunnel that the filter could not see into.
    Protocol,
    /// A WebSocket by another method than `GET`.
    UpgradeMethod,
    /// A path that cannot be read, or not in one way only.
    Path(InvalidPath),
}

impl Endpoint {
    /// Reads what a request addresses, and its path, by which some providers name models. `upgrade` is the header of
    /// that name.
    ///
    /// # Errors
    ///
    /// If method, upgrade and path, looked at in this order, cannot stand there.
    ///
    /// ```
    /// use realtime_byok::endpoint::{Endpoint, InvalidPath, NoEndpoint};
    /// use realtime_byok::http::Target;
    ///
    /// let read = |method: &[u8], path: &[u8]| Endpoint::read(method, &Target::parse(path), None).map(|(read, _)| read);
    /// assert_eq!(read(b"POST", b"/v1/realtime/calls?model=m"), Ok(Endpoint::StartCall));
    /// assert_eq!(read(b"POST", b"/v1/Realtime/calls/"), Ok(Endpoint::Forbidden));
    /// assert_eq!(read(b"POST", b"/v1/calls;x"), Err(NoEndpoint::Path(InvalidPath::Character)));
    /// ```
    pub fn read<'a>(
        method: &[u8],
        target: &Target<'a>,
        upgrade: Option<&[u8]>,
    ) -> Result<(Self, Path<'a>), NoEndpoint> {
        let method = Method::parse(method);
        let upgrade = upgrade.map(trim);
        match (method, upgrade) {
            (Method::Echo, _) => return Err(NoEndpoint::Echo),
            (_, Some(protocol)) if !protocol.eq_ignore_ascii_case(b"websocket") => return Err(NoEndpoint::Protocol),
            (Method::Get, Some(_)) => {}
            (_, Some(_)) => return Err(NoEndpoint::UpgradeMethod),
            (Method::Connect, None) => return Err(NoEndpoint::Connect),
            (_, None) => {}
        }
        let path = Path::decode(target.path).map_err(NoEndpoint::Path)?;
        let endpoint =
            if upgrade.is_some() { Self::of_upgrade(&path, target) } else { Self::of_request(method, &path) };
        Ok((endpoint, path))
    }

    /// Whether it is a WebSocket.
    pub fn is_websocket(&self) -> bool {
        matches!(self, Self::Realtime { .. } | Self::Responses | Self::WebSocket)
    }

    /// Whether it begins a session, to be listed and limited as one: a WebSocket or a call.
    pub fn begins_session(&self) -> bool {
        self.is_websocket() || *self == Self::StartCall
    }

    /// Whether a client secret opens it: what a realtime session begins with.
    pub fn takes_client_secrets(&self) -> bool {
        matches!(self, Self::Realtime { .. } | Self::StartCall)
    }

    /// Whether its response may tell usage that was not told before. Reading what was made before, or changing it,
    /// tells the same usage again.
    pub fn creates(&self) -> bool {
        matches!(self, Self::Completions | Self::Creation | Self::Call(..))
    }

    /// Whether a streamed response tells its usage only to those who ask.
    pub fn tells_usage_on_request(&self) -> bool {
        *self == Self::Completions
    }

    /// Whether a request, with a body or without one, is subject to a rule on models even if it names none.
    pub fn must_name_model(&self, has_body: bool) -> bool {
        match self {
            // The model of a call was judged when it began.
            Self::Realtime { call_id } => call_id.is_none(),
            Self::Responses | Self::WebSocket | Self::Mint(_) | Self::StartCall => true,
            Self::Call(..) | Self::Completions | Self::Creation | Self::Update => has_body,
            Self::Retrieve | Self::Forbidden => false,
        }
    }

    /// The call that a WebSocket joins as its sideband.
    pub fn sideband_of(&self) -> Option<&CallId> {
        match self {
            Self::Realtime { call_id } => call_id.as_ref(),
            _ => None,
        }
    }

    /// The call that the upstream is asked to end.
    pub fn hung_up(&self) -> Option<&CallId> {
        match self {
            Self::Call(id, CallAction::HangUp) => Some(id),
            _ => None,
        }
    }

    fn of_upgrade(path: &Path<'_>, target: &Target<'_>) -> Self {
        match path.resource() {
            Some((Resource::Realtime, Match::Exact)) => Self::Realtime { call_id: CallId::joined(target) },
            Some((Resource::Responses, Match::Exact)) => Self::Responses,
            _ => Self::WebSocket,
        }
    }

    fn of_request(method: Method, path: &Path<'_>) -> Self {
        let is_post = method == Method::Post;
        match path.resource() {
            Some((Resource::Mint(mint), Match::Exact)) if is_post => Self::Mint(mint),
            Some((Resource::Mint(_) | Resource::Secrets, _)) => Self::Forbidden,
            Some((Resource::Calls, Match::Exact)) if is_post => Self::StartCall,
            // OpenAI's former API began WebRTC calls by a POST to the WebSocket's path.
            Some((Resource::Calls | Resource::OtherCalls | Resource::Realtime, _)) if is_post => Self::Forbidden,
            Some((Resource::Call(action), spelling)) if is_post => match (path.call_id(), spelling) {
                (Some(id), Match::Exact) => Self::Call(id, action),
                _ => Self::Forbidden,
            },
            _ => Self::of_rest(method, path),
        }
    }

    fn of_rest(method: Method, path: &Path<'_>) -> Self {
        match method {
            Method::Get | Method::Retrieve => Self::Retrieve,
            Method::Post if path.addresses_existing() => Self::Update,
            Method::Post if path.makes_completions() => Self::Completions,
            Method::Post => Self::Creation,
            Method::Echo | Method::Connect | Method::Other => Self::Update,
        }
    }
}

impl CallId {
    /// The longest, in bytes.
    pub const MAX: usize = 256;

    /// Takes a text for an id if it can be one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        let is_id = (1..=Self::MAX).contains(&text.len()) && text.bytes().all(is_plain);
        is_id.then(|| Self(text.to_owned()))
    }

    /// The id that a `location` such as `/v1/realtime/calls/rtc_u1` ends with.
    pub fn in_location(location: &[u8]) -> Option<Self> {
        let last = Target::parse(location).path.rsplit(|&byte| byte == b'/').next()?;
        Self::parse(str::from_utf8(last).ok()?)
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one id in the query of a WebSocket.
    fn joined(target: &Target<'_>) -> Option<Self> {
        let mut ids = target.params().filter(|param: &Param<'_>| param.is("call_id"));
        let (id, other) = (ids.next()?.value()?, ids.next());
        if other.is_some() { None } else { Self::parse(&id) }
    }
}

/// What a path ends with.
impl Path<'_> {
    fn resource(&self) -> Option<(Resource, Match)> {
        let tail = self.tail();
        let (resource, spelling) =
            RESOURCES.iter().find_map(|(names, resource)| Some((*resource, end_spelling(&tail, names)?)))?;
        Some((resource, if self.is_literal { spelling } else { Match::Lookalike }))
    }

    /// The id in `…/calls/{id}/{action}`.
    fn call_id(&self) -> Option<CallId> {
        let [_, id, ..] = self.tail();
        CallId::parse(id)
    }

    /// Whether something that exists is addressed.
    fn addresses_existing(&self) -> bool {
        let [last, second, third, _] = self.tail();
        (is_one_of(second, &COLLECTIONS) && !is_one_of(last, &MAKERS))
            || (is_one_of(third, &COLLECTIONS) && is_one_of(last, &CHANGES))
    }

    fn makes_completions(&self) -> bool {
        let [last, ..] = self.tail();
        spelling(last, "completions").is_some()
    }
}

/// How a segment, or all of a path, was written. The worse one is the greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Match {
    /// Byte for byte as documented, after any prefix.
    Exact,
    /// Some upstream could read it so: percent-encoded, with empty segments, capitals or dots at a segment's end. Good
    /// enough to be restricted, not to be allowed.
    Lookalike,
}

/// What a path names, whatever is done to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Resource {
    Mint(Mint),
    /// Where provider secrets are handed out in ways that are not treated here.
    Secrets,
    Calls,
    /// Where calls begin in ways that are not treated here.
    OtherCalls,
    Call(CallAction),
    Realtime,
    Responses,
}

/// The ends of paths that matter, none of which ends with another. A star is any segment, or any beginning of one.
const RESOURCES: [(&[&str], Resource); 20] = [
    (&["realtime", "client_secrets"], Resource::Mint(Mint::ClientSecrets)),
    (&["realtime", "translations", "client_secrets"], Resource::Mint(Mint::TranslationClientSecrets)),
    (&["realtime", "transcription_sessions"], Resource::Mint(Mint::TranscriptionSessions)),
    (&["realtime", "sessions"], Resource::Mint(Mint::Sessions)),
    (&["realtimeapi", "sessions"], Resource::Mint(Mint::Sessions)),
    (&["chatkit", "sessions"], Resource::Secrets),
    // Gemini's.
    (&["auth_tokens"], Resource::Secrets),
    (&["realtime", "calls"], Resource::Calls),
    (&["realtime", "calls", "*", "accept"], Resource::Call(CallAction::Accept)),
    (&["realtime", "calls", "*", "reject"], Resource::Call(CallAction::Reject)),
    (&["realtime", "calls", "*", "refer"], Resource::Call(CallAction::Refer)),
    (&["realtime", "calls", "*", "hangup"], Resource::Call(CallAction::HangUp)),
    (&["realtime", "translations", "calls"], Resource::OtherCalls),
    // Azure's.
    (&["realtimertc"], Resource::OtherCalls),
    (&["live", "sessions"], Resource::OtherCalls),
    (&["realtime"], Resource::Realtime),
    (&["realtime", "translations"], Resource::Realtime),
    // Gateways whose paths end with the provider's name.
    (&["openai"], Resource::Realtime),
    // Gemini's.
    (&["*.BidiGenerateContent"], Resource::Realtime),
    (&["responses"], Resource::Responses),
];

/// Segments below which something that exists already is addressed: what it has used was counted when it was made.
const COLLECTIONS: [&str; 4] = ["completions", "responses", "runs", "batches"];

/// What can stand in the place of an id below those and makes something, whatever the segments before are called:
/// gateways and deployments may have any name.
const MAKERS: [&str; 10] = [
    "completions",
    "responses",
    "compact",
    "runs",
    "embeddings",
    "transcriptions",
    "translations",
    "speech",
    "generations",
    "edits",
];

/// What can be done to something that exists.
const CHANGES: [&str; 2] = ["cancel", "submit_tool_outputs"];

/// How a path whose last segments are `tail`, the very last first, spells the names that it ends with.
fn end_spelling(tail: &[&str], names: &[&str]) -> Option<Match> {
    let mut pairs = tail.iter().zip(names.iter().rev());
    pairs.try_fold(Match::Exact, |all, (segment, name)| Some(all.max(spelling(segment, name)?)))
}

/// How a segment spells a name.
fn spelling(segment: &str, name: &str) -> Option<Match> {
    let has_end = |segment: &str, end: &str| {
        let start = segment.len().checked_sub(end.len());
        start.and_then(|start| segment.get(start..)).is_some_and(|tail| tail.eq_ignore_ascii_case(end))
    };
    // Some file systems do not know dots at a name's end.
    let undotted = segment.trim_end_matches('.');
    let (is_exact, is_lookalike) = match name.strip_prefix('*') {
        Some(end) => (segment.ends_with(end), has_end(undotted, end)),
        None => (segment == name, undotted.eq_ignore_ascii_case(name)),
    };
    if is_exact { Some(Match::Exact) } else { is_lookalike.then_some(Match::Lookalike) }
}

fn is_one_of(segment: &str, names: &[&str]) -> bool {
    names.iter().any(|name| spelling(segment, name).is_some())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Method {
    Get,
    Post,
    /// One of the others that need no body, and so no model.
    Retrieve,
    Echo,
    Connect,
    Other,
}

impl Method {
    /// RFC 9110 section 9.1: a method's name is case-sensitive. Not every upstream knows, so what is restricted is
    /// found in any case, and what is allowed is not.
    fn parse(name: &[u8]) -> Self {
        let is = |method: &[u8]| name.eq_ignore_ascii_case(method);
        match name {
            b"GET" => Self::Get,
            b"HEAD" | b"OPTIONS" | b"DELETE" => Self::Retrieve,
            _ if is(b"POST") => Self::Post,
            _ if is(b"TRACE") || is(b"TRACK") => Self::Echo,
            _ if is(b"CONNECT") => Self::Connect,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests;
