//! What a request addresses: its method and its path, read once, and the closed list of what they come to.
//!
//! Upstreams differ in what they decode, and how often, in what they strip and what they fold. So a path has to be one
//! that all of them read alike ([`Path::decode`]), and every rule that depends on a path asks the [`Endpoint`] that was
//! made of it. Two mistakes are left, and each matters elsewhere: a path that mints or begins a call and is not seen to
//! would go on as any other, and a path that is taken for a call and is none would open other routes to a client
//! secret. So what only resembles such a path is refused, and allows nothing.

mod calls;
mod control;
mod path;

use crate::http::{Param, Target, trim};
use crate::protocol::{ModelPlace, SessionKind};

use calls::Joined;

use path::{Tail, is_normal, with_normal};

pub use calls::{CallAction, CallId, CallPath, SidebandPath};
pub use control::ControlResource;
pub use path::{InvalidPath, Path};

/// What a request addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// A WebSocket that begins a session of this kind.
    WebSocket(SessionKind),
    /// A WebSocket that joins the call of this id.
    Sideband(CallId, SidebandPath),
    /// A WebSocket that goes on from the session of this id, in one of its own: `…/live/sessions/{id}/fork`.
    Fork(CallId),
    /// Mints a client secret.
    Mint(Mint),
    /// Begins a WebRTC call.
    StartCall(CallPath),
    /// Does something to the call of this id: `POST …/realtime/calls/{id}/…`.
    Call(CallId, CallAction),
    /// Makes a completion, chat or not, of which a stream tells its usage only on request.
    Completions,
    /// Makes something else: a response, an embedding, an image, speech, or what is not known.
    Creation,
    /// Makes something later, of which the response can tell no usage: a batch, a run, a fine-tuning job, a video.
    Deferred,
    /// Changes something that exists, stores a file, or has a method that is not known.
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
    /// use realtime_byok::endpoint::{CallPath, Endpoint, InvalidPath, NoEndpoint};
    /// use realtime_byok::http::Target;
    ///
    /// let read = |method: &[u8], path: &[u8]| Endpoint::read(method, &Target::parse(path), None).map(|(read, _)| read);
    /// assert_eq!(read(b"POST", b"/v1/realtime/calls?model=m"), Ok(Endpoint::StartCall(CallPath::Realtime)));
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
        let tail = path.tail();
        let found = Resource::of(&path, tail);
        let endpoint = if upgrade.is_some() {
            Self::of_upgrade(found, target, tail)
        } else {
            Self::of_request(method, found, tail)
        };
        Ok((endpoint, path))
    }

    /// Whether it is a WebSocket.
    pub fn is_websocket(&self) -> bool {
        self.kind().is_some()
    }

    /// The kind of session that its WebSocket is of, if it is one.
    pub fn kind(&self) -> Option<SessionKind> {
        match self {
            Self::WebSocket(kind) => Some(*kind),
            Self::Sideband(_, SidebandPath::Realtime) => Some(SessionKind::Conversation),
            Self::Sideband(_, SidebandPath::Translations) => Some(SessionKind::Translation),
            Self::Sideband(_, SidebandPath::Attach) => Some(SessionKind::Live),
            Self::Fork(_) => Some(SessionKind::LiveFork),
            _ => None,
        }
    }

    /// Whether it begins a session, to be listed and limited as one: a WebSocket or a call.
    pub fn begins_session(&self) -> bool {
        self.is_websocket() || matches!(self, Self::StartCall(_))
    }

    /// Whether a client secret opens it: what a realtime session begins with.
    pub fn takes_client_secrets(&self) -> bool {
        let is_realtime = |kind: &SessionKind| match kind {
            SessionKind::Conversation
            | SessionKind::Transcription
            | SessionKind::Translation
            | SessionKind::GeminiLive => true,
            SessionKind::Responses | SessionKind::Live | SessionKind::LiveFork | SessionKind::Other => false,
        };
        match self {
            Self::WebSocket(kind) => is_realtime(kind),
            Self::Sideband(..) | Self::StartCall(_) => true,
            _ => false,
        }
    }

    /// Whether its response may tell usage that was not told before. Reading what was made before, or changing it,
    /// tells the same usage again.
    pub fn creates(&self) -> bool {
        match self {
            Self::Call(_, action) => *action != CallAction::Download,
            Self::Completions | Self::Creation | Self::Deferred => true,
            _ => false,
        }
    }

    /// Whether a streamed response tells its usage only to those who ask.
    pub fn tells_usage_on_request(&self) -> bool {
        *self == Self::Completions
    }

    /// Whether a request, with a body or without one, is subject to a rule on models even if it names none.
    pub fn must_name_model(&self, has_body: bool) -> bool {
        match self {
            // Where messages name it, they are judged.
            Self::WebSocket(kind) => kind.row().model == ModelPlace::Query,
            Self::Mint(_) | Self::StartCall(_) => true,
            // The model of a call was judged when it began, and that of a fork is told by the upstream.
            Self::Sideband(..) | Self::Fork(_) | Self::Call(_, CallAction::Download) => false,
            Self::Call(..) | Self::Completions | Self::Creation | Self::Deferred | Self::Update => has_body,
            Self::Retrieve | Self::Forbidden => false,
        }
    }

    /// The call that it names, by the id that the client knows.
    pub fn call(&self) -> Option<&CallId> {
        match self {
            Self::Sideband(id, _) | Self::Call(id, _) | Self::Fork(id) => Some(id),
            _ => None,
        }
    }

    /// Whether the upstream is asked to end the call that it names.
    pub fn hangs_up(&self) -> bool {
        matches!(self, Self::Call(_, CallAction::HangUp))
    }

    fn of_upgrade(found: Option<(Resource, Match)>, target: &Target<'_>, tail: Tail<'_>) -> Self {
        match (found, Joined::read(target)) {
            (Some((Resource::Realtime(SessionKind::Conversation), Match::Exact)), Joined::Nothing)
                if is_to_transcribe(target) =>
            {
                Self::WebSocket(SessionKind::Transcription)
            }
            (Some((Resource::Realtime(kind), Match::Exact)), Joined::Nothing) => Self::WebSocket(kind),
            (Some((Resource::Realtime(kind), Match::Exact)), Joined::Call(id)) => match kind {
                SessionKind::Conversation => Self::Sideband(id, SidebandPath::Realtime),
                SessionKind::Translation => Self::Sideband(id, SidebandPath::Translations),
                _ => Self::Forbidden,
            },
            (Some((Resource::Attach, Match::Exact)), Joined::Nothing) => {
                CallId::above(tail).map_or(Self::Forbidden, |id| Self::Sideband(id, SidebandPath::Attach))
            }
            (Some((Resource::Fork, Match::Exact)), Joined::Nothing) => {
                CallId::above(tail).map_or(Self::Forbidden, Self::Fork)
            }
            // What could be read as one call or another, and what stands below a call.
            (_, Joined::Call(_) | Joined::Unclear) => Self::Forbidden,
            (Some((Resource::Attach | Resource::Fork | Resource::Call(_) | Resource::OtherOfCall, _)), _) => {
                Self::Forbidden
            }
            (Some((Resource::Responses, Match::Exact)), _) => Self::WebSocket(SessionKind::Responses),
            (Some((Resource::Calls(CallPath::Live), Match::Exact)), _) => Self::WebSocket(SessionKind::Live),
            _ => Self::WebSocket(SessionKind::Other),
        }
    }

    fn of_request(method: Method, found: Option<(Resource, Match)>, tail: Tail<'_>) -> Self {
        let is_post = method == Method::Post;
        match found {
            Some((Resource::Mint(mint), Match::Exact)) if is_post => Self::Mint(mint),
            Some((Resource::Mint(_) | Resource::Secrets, _)) => Self::Forbidden,
            Some((Resource::Calls(path), Match::Exact)) if is_post => Self::StartCall(path),
            // OpenAI's former API began WebRTC calls by a POST to the WebSocket's path.
            Some((Resource::Calls(_) | Resource::Realtime(_), _)) if is_post => Self::Forbidden,
            Some((Resource::Call(action), Match::Exact)) if method.does(action) => {
                CallId::above(tail).map_or(Self::Forbidden, |id| Self::Call(id, action))
            }
            // Below a call nothing is done to it without looking at whose it is.
            Some((Resource::Attach | Resource::Fork | Resource::Call(_) | Resource::OtherOfCall, _)) => Self::Forbidden,
            _ => Self::of_rest(method, tail),
        }
    }

    fn of_rest(method: Method, tail: Tail<'_>) -> Self {
        match method {
            Method::Get | Method::Retrieve => Self::Retrieve,
            Method::Post => with_normal(tail, made_at_end),
            Method::Echo | Method::Connect | Method::Other => Self::Update,
        }
    }
}

/// How a path spells what it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    Calls(CallPath),
    Call(CallAction),
    /// Where a WebSocket joins a call of Live.
    Attach,
    /// Where one goes on from a session of Live.
    Fork,
    /// Below a call, what is not treated here.
    OtherOfCall,
    /// Where such sessions begin.
    Realtime(SessionKind),
    Responses,
}

impl Resource {
    /// What a path names that ends in these segments, and how.
    fn of(path: &Path<'_>, tail: Tail<'_>) -> Option<(Self, Match)> {
        if path.is_gemini_live() {
            return Some((Self::Realtime(SessionKind::GeminiLive), Match::Exact));
        }
        if path.is_literal {
            if let Some(resource) = Self::at_end(tail) {
                return Some((resource, Match::Exact));
            }
            if is_normal(tail) {
                return None;
            }
        }
        let resource = with_normal(tail, |tail| match tail {
            [last, ..] if last.ends_with(".bidigeneratecontent") => Some(Self::Realtime(SessionKind::GeminiLive)),
            tail => Self::at_end(tail),
        })?;
        Some((resource, Match::Lookalike))
    }

    /// What ends in these segments, the very last first. The list of all ends that matter, but for those with capitals.
    fn at_end(tail: Tail<'_>) -> Option<Self> {
        Some(match tail {
            ["client_secrets", "realtime", ..] => Self::Mint(Mint::ClientSecrets),
            ["client_secrets", "translations", "realtime", ..] => Self::Mint(Mint::TranslationClientSecrets),
            ["transcription_sessions", "realtime", ..] => Self::Mint(Mint::TranscriptionSessions),
            ["sessions", "realtime" | "realtimeapi", ..] => Self::Mint(Mint::Sessions),
            ["sessions", "chatkit", ..] => Self::Secrets,
            // Gemini's.
            ["auth_tokens", ..] => Self::Secrets,
            ["calls", "realtime", ..] => Self::Calls(CallPath::Realtime),
            ["calls", "translations", "realtime", ..] => Self::Calls(CallPath::Translations),
            ["realtimertc", ..] => Self::Calls(CallPath::Azure),
            ["sessions", "live", ..] => Self::Calls(CallPath::Live),
            [below, _, "calls", "realtime", _] | [below, _, "calls", "translations", "realtime"] => {
                CallAction::named(below).map_or(Self::OtherOfCall, Self::Call)
            }
            ["attach", _, "sessions", "live", _] => Self::Attach,
            ["fork", _, "sessions", "live", _] => Self::Fork,
            ["content", _, "sessions", "live", _] => Self::Call(CallAction::Download),
            [below, _, "sessions", "live", _] => CallAction::named(below).map_or(Self::OtherOfCall, Self::Call),
            [_, "calls", "realtime", ..]
            | [_, "calls", "translations", "realtime", _]
            | [_, "sessions", "live", ..] => Self::OtherOfCall,
            ["translations", "realtime", ..] => Self::Realtime(SessionKind::Translation),
            ["realtime", ..] => Self::Realtime(SessionKind::Conversation),
            // Gateways whose paths end with the provider's name.
            ["openai", ..] => Self::Realtime(SessionKind::Conversation),
            ["responses", ..] => Self::Responses,
            _ => return None,
        })
    }
}

/// Whether a session's query asks for one that transcribes, in the one way that all upstreams read.
fn is_to_transcribe(target: &Target<'_>) -> bool {
    const PLAIN: &[u8] = b"intent=transcription";
    // Most queries are shorter, and none of it.
    if !target.query.unwrap_or_default().windows(PLAIN.len()).any(|part| part == PLAIN) {
        return false;
    }
    let mut intents = target.params().filter(|param| param.is("intent"));
    let is_meant = |param: Param<'_>| param.is_exactly("intent") && param.raw() == PLAIN;
    intents.next().is_some_and(is_meant) && intents.next().is_none()
}

/// The endpoint of a `POST` that names nothing which is listed, by what its path ends in.
fn made_at_end(tail: Tail<'_>) -> Endpoint {
    let [last, second, third, ..] = tail;
    // Below these something that exists already is addressed: what it has used was counted when it was made.
    let is_collection = |segment| matches!(segment, "completions" | "responses" | "runs" | "batches");
    // These can stand in the place of an id below those and make something, whatever the segments before are called:
    // gateways and deployments may have any name.
    let makes = matches!(
        last,
        "completions"
            | "responses"
            | "compact"
            | "runs"
            | "embeddings"
            | "transcriptions"
            | "translations"
            | "speech"
            | "generations"
            | "edits"
    );
    let changes = matches!(last, "cancel" | "submit_tool_outputs");
    match last {
        _ if is_collection(second) && !makes => Endpoint::Update,
        _ if is_collection(third) && changes => Endpoint::Update,
        "completions" => Endpoint::Completions,
        "batches" | "runs" | "videos" => Endpoint::Deferred,
        "jobs" if second == "fine_tuning" => Endpoint::Deferred,
        "files" | "uploads" | "parts" => Endpoint::Update,
        _ => Endpoint::Creation,
    }
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

    /// Whether it does this to a call.
    fn does(self, action: CallAction) -> bool {
        self == if action == CallAction::Download { Self::Get } else { Self::Post }
    }
}

#[cfg(test)]
mod tests;
