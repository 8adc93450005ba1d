//! One stream's life: what it is in, and what each of Envoy's callbacks does to it.
//!
//! ```text
//! Arrived ─┬─ policy says auth off ──────────────────────────▶ Untouched
//!          ├─ any check fails ────────────────────────────────▶ Refused
//!          ├─ the body's model is needed ─▶ Held ─┬─ it is fine ▶ Forwarded
//!          │                                      └─ it is not ─▶ Refused
//!          └─ all checks pass ────────────────────────────────▶ Forwarded ── upstream refuses our key ─▶ Refused
//! ```

use std::rc::Rc;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::auth::{Caller, FormError, Offered, TokenError};
use crate::config::Plan;
use crate::denial::{Denial, Reason};
use crate::http::{Edits, Fate, Headers, Param, Value, members, trim};
use crate::inbound::{BodyType, Exchange, Inbound};
use crate::policy::{
    BodyModel, Credential, Handling, Placement, Policy, Provider, Requested, Route, check_path, in_path, in_query,
};
use crate::secret::Secret;

/// The header by which routes can tell providers apart.
const PROVIDER_HEADER: &str = "x-realtime-byok-provider";

/// What a session asks of the world around it, each only when needed.
pub trait Surroundings {
    /// What the route says of its policy.
    fn route(&self) -> Route;
    /// The time.
    fn now(&self) -> SystemTime;
    /// Random bytes.
    fn random(&self) -> [u8; 16];
    /// Whether the client speaks HTTP/1.
    fn is_http1(&self) -> bool;
}

/// What a session asks of a response, each only when needed.
pub trait Response {
    /// `:status`.
    fn status(&self) -> Option<u16>;
    /// Whether the upstream sent it, rather than Envoy or one of its filters.
    fn is_from_upstream(&self) -> bool;
    /// All lines of `sec-websocket-protocol`, joined by commas; empty if there are none.
    fn subprotocols(&self) -> Vec<u8>;
}

/// What becomes of a request.
pub enum RequestStep {
    /// It goes on as it is.
    Pass,
    /// It waits until its body is complete.
    Hold,
    /// It goes on, edited; a body given here replaces the one that was waited for.
    Forward(Edits, Option<Vec<u8>>),
    /// It is answered here.
    Refuse(Denial),
}

/// What becomes of a response's headers.
pub enum ResponseStep {
    /// They go on as they are.
    Pass,
    /// They go on, edited.
    Edit(Edits),
    /// The response is replaced.
    Refuse(Denial),
}

/// The answer to a request that waits for a body that Envoy keeps back.
pub fn body_unavailable() -> Denial {
    let message = "The gateway cannot read request bodies: its plugin configuration lacks \
                   `allow_on_headers_stop_iteration: true`.";
    Denial::new(Reason::BodyUnavailable, message)
}

/// One HTTP stream.
pub struct Session {
    plan: Rc<Plan>,
    state: State,
}

enum State {
    /// Nothing was seen yet.
    Arrived,
    /// The policy asks for nothing.
    Untouched,
    /// Admitted; the body must tell the model before the headers go on.
    Held(Box<Held>),
    /// On its way to the upstream with the provider's key.
    Forwarded(Handshake),
    /// Answered by the filter: what comes back is its own reply.
    Refused,
}

struct Held {
    headers: Headers,
    policy: Rc<Policy>,
    caller: Rc<Caller>,
    need: BodyNeed,
}

/// Why a request waits for its body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyNeed {
    /// The model that it names must be known.
    Model,
    /// It must be empty: a model in it could not be read.
    Absence,
}

/// What is kept of a request for its response.
enum Handshake {
    /// It was no WebSocket's.
    None,
    /// A WebSocket's: what the client offered, in one line, credentials among it.
    Offered { subprotocols: Secret, key_supplied: bool },
}

impl Session {
    /// A stream that nothing has been seen of, under the configuration of this moment.
    pub fn new(plan: Rc<Plan>) -> Self {
        Self { plan, state: State::Arrived }
    }

    /// The request's headers came. `ends` says that no body follows.
    pub fn request_headers(&mut self, headers: Headers, ends: bool, around: &impl Surroundings) -> RequestStep {
        let plan = self.plan.clone();
        let policy = match plan.policies.find(&around.route()) {
            Some(Handling::Untouched) => {
                self.state = State::Untouched;
                return RequestStep::Pass;
            }
            Some(Handling::Guarded(policy)) => policy,
            None => return self.refuse(no_policy()),
        };
        match admit(&plan, policy, &headers, ends, around) {
            Ok(Admitted::Forward(edits, handshake)) => {
                self.state = State::Forwarded(handshake);
                RequestStep::Forward(edits, None)
            }
            Ok(Admitted::Hold(caller, need)) => {
                self.state = State::Held(Box::new(Held { headers, policy: policy.clone(), caller, need }));
                RequestStep::Hold
            }
            Err(denial) => self.refuse(denial),
        }
    }

    /// More of the request's body came, `size` bytes so far, or its end did. `body` gives them; it is called only when
    /// they are needed and complete.
    pub fn request_body(
        &mut self,
        size: usize,
        ends: bool,
        around: &impl Surroundings,
        body: impl FnOnce() -> Vec<u8>,
    ) -> RequestStep {
        let State::Held(held) = &self.state else { return RequestStep::Pass };
        if held.need == BodyNeed::Absence && size > 0 {
            return self.refuse(unreadable_body());
        }
        if !ends {
            return RequestStep::Hold;
        }
        match held.complete(&self.plan, &body(), around) {
            Ok((edits, body)) => {
                self.state = State::Forwarded(Handshake::None);
                RequestStep::Forward(edits, body)
            }
            Err(denial) => self.refuse(denial),
        }
    }

    /// Whether the request waits for its body.
    pub fn is_held(&self) -> bool {
        matches!(self.state, State::Held(_))
    }

    /// The response's headers came.
    pub fn response_headers(&mut self, response: &impl Response) -> ResponseStep {
        let State::Forwarded(handshake) = &self.state else { return ResponseStep::Pass };
        match (response.status(), handshake) {
            (Some(401 | 403), _) if response.is_from_upstream() => {
                self.state = State::Refused;
                let message = "The provider refused the gateway's key. The gateway's operator must mend it; your own \
                               token is fine.";
                ResponseStep::Refuse(Denial::new(Reason::ProviderKeyRejected, message))
            }
            (Some(101), Handshake::Offered { subprotocols, key_supplied }) => {
                let edits = self.switch(subprotocols.expose(), *key_supplied, &response.subprotocols());
                ResponseStep::Edit(edits)
            }
            _ => ResponseStep::Pass,
        }
    }

    /// The edits of a 101: it selects a subprotocol that the client offered, or none if it offered none.
    fn switch(&self, offered: &[u8], key_supplied: bool, selected: &[u8]) -> Edits {
        let mut edits = Edits::default();
        if key_supplied {
            // RFC 8441 section 5: over HTTP/2, Sec-WebSocket-Accept is not used.
            edits.remove("sec-websocket-accept");
        }
        let lines = [offered];
        let fallback = Offered::parse(&lines, &self.plan.gateway).ok().and_then(|offered| offered.fallback());
        match fallback {
            None => edits.remove("sec-websocket-protocol"),
            Some(_) if members(offered).any(|name| name == trim(selected)) => {}
            Some(name) => {
                edits.set("sec-websocket-protocol", Value::Secret(Rc::new(Secret::new(name.to_vec()))));
            }
        }
        edits
    }

    fn refuse(&mut self, denial: Denial) -> RequestStep {
        self.state = State::Refused;
        RequestStep::Refuse(denial)
    }
}

enum Admitted {
    Forward(Edits, Handshake),
    Hold(Rc<Caller>, BodyNeed),
}

/// The checks of a guarded request, in the order of their precedence.
fn admit(
    plan: &Plan,
    policy: &Rc<Policy>,
    headers: &Headers,
    ends: bool,
    around: &impl Surroundings,
) -> Result<Admitted, Denial> {
    let inbound = Inbound::read(headers, &plan.gateway, &plan.strip);
    let offered = Offered::parse(&inbound.subprotocols, &plan.gateway).map_err(form_denial)?;
    let token = inbound.slots.token(&offered, &plan.gateway).map_err(form_denial)?;
    let exchange = inbound.exchange()?;
    let token = token.ok_or_else(|| missing_token(plan))?;
    let caller = plan.callers.find(&token, around.now()).map_err(token_denial)?;
    check_route(policy, caller)?;
    check_path(&inbound.target)?;
    check_origins(&inbound, caller)?;
    let requested = match exchange {
        Exchange::WebSocket => in_query(&inbound.target, policy)?,
        Exchange::Rest => match body_need(policy, caller, &inbound, ends)? {
            Some(need) => return Ok(Admitted::Hold(caller.clone(), need)),
            None => Requested::Nothing,
        },
    };
    let model = match &requested {
        Requested::Model(name) => Some(name.as_str()),
        Requested::Nothing => None,
    };
    let is_named = model.is_some() || exchange == Exchange::WebSocket;
    let choice = choose(policy, caller, &inbound, model, is_named)?;
    let handshake = match exchange {
        Exchange::WebSocket => Handshake::Offered {
            subprotocols: Secret::new(inbound.subprotocols.join(b",".as_slice())),
            key_supplied: !inbound.has_websocket_key && !around.is_http1(),
        },
        Exchange::Rest => Handshake::None,
    };
    let mut edits = forward(plan, policy, exchange, inbound, &offered, &choice, around);
    if let Handshake::Offered { key_supplied: true, .. } = handshake {
        edits.set("sec-websocket-key", Value::Plain(STANDARD.encode(around.random()).into_bytes()));
    }
    Ok(Admitted::Forward(edits, handshake))
}

impl Held {
    /// The body came: finds and resolves its model, and edits the request that waited for it.
    fn complete(
        &self,
        plan: &Plan,
        body: &[u8],
        around: &impl Surroundings,
    ) -> Result<(Edits, Option<Vec<u8>>), Denial> {
        let Self { headers, policy, caller, .. } = self;
        let inbound = Inbound::read(headers, &plan.gateway, &plan.strip);
        let offered = Offered::parse(&inbound.subprotocols, &plan.gateway).map_err(form_denial)?;
        let model = if body.is_empty() { None } else { BodyModel::find(body).map_err(|_| unreadable_body())? };
        let name = model.as_ref().map(|model| model.name.as_str());
        let choice = choose(policy, caller, &inbound, name, !body.is_empty() && !passes_without_model(&inbound))?;
        let rewritten = match (&model, choice.model) {
            (Some(named), Some(resolved)) if named.name != resolved => named.replace(body, resolved),
            _ => None,
        };
        let mut edits = forward(plan, policy, Exchange::Rest, inbound, &offered, &choice, around);
        if let Some(body) = &rewritten
            && headers.first(b"content-length").is_some()
        {
            edits.set("content-length", Value::Plain(body.len().to_string().into_bytes()));
        }
        Ok((edits, rewritten))
    }
}

/// Who serves a request, and by which name the model is known there.
struct Choice<'a> {
    provider: &'a Rc<Provider>,
    model: Option<&'a str>,
}

/// Resolves the model that a request names in its query or body, and checks it and those that its path names.
/// `is_subject` says that a request without a model is subject to a rule on models.
fn choose<'a>(
    policy: &'a Policy,
    caller: &Caller,
    inbound: &Inbound<'_>,
    named: Option<&'a str>,
    is_subject: bool,
) -> Result<Choice<'a>, Denial> {
    let choice = match named.map(|name| policy.resolve(name)) {
        Some(resolved) => Choice { provider: resolved.provider, model: Some(resolved.model) },
        None => Choice { provider: &policy.default_provider, model: None },
    };
    let in_path = in_path(&inbound.target, &choice.provider.kind)?;
    for model in &in_path {
        policy.check_model(Some(model), &caller.models)?;
    }
    if choice.model.is_some() || (is_subject && in_path.is_empty()) {
        policy.check_model(choice.model, &caller.models)?;
    }
    Ok(choice)
}

/// All edits of a request that goes on: what is removed, then what is added.
fn forward(
    plan: &Plan,
    policy: &Policy,
    exchange: Exchange,
    inbound: Inbound<'_>,
    offered: &Offered<'_>,
    choice: &Choice<'_>,
    around: &impl Surroundings,
) -> Edits {
    let target = inbound.target;
    let mut edits = inbound.strip(offered);
    let mut added = None;
    if let Credential::Keys(placement, pool) = &choice.provider.credential {
        let key = pool.pick(|| u64::from_le_bytes(first_half(around.random())));
        match placement {
            Placement::Header { name, .. } => edits.set(name.clone(), Value::Secret(key.clone())),
            Placement::Query(name) => added = Some((name.as_str(), key.expose())),
        }
    }
    for (name, value) in &choice.provider.account {
        edits.set(*name, Value::Plain(value.clone().into_bytes()));
    }
    if policy.has_choice() {
        edits.set(PROVIDER_HEADER, Value::Plain(choice.provider.name.clone().into_bytes()));
    }
    let model = choice.model.filter(|_| exchange == Exchange::WebSocket);
    let fate = |param: &Param<'_>| match model {
        _ if plan.strip.takes(param) => Fate::Drop,
        Some(model) if policy.is_model_param(param) && param.value().as_deref() != Some(model) => {
            Fate::Value(model.as_bytes())
        }
        _ => Fate::Keep,
    };
    if let Some(path) = target.rewrite(fate, added) {
        edits.set(":path", Value::Secret(Rc::new(Secret::new(path))));
    }
    edits
}

/// Why the headers must wait for the body, if they must: it may name a model that decides the provider, has another name
/// there, or is not allowed.
fn body_need(policy: &Policy, caller: &Caller, inbound: &Inbound<'_>, ends: bool) -> Result<Option<BodyNeed>, Denial> {
    let has_rule = policy.models.is_restricted() || caller.models.is_restricted();
    let has_names = policy.has_choice() || !policy.aliases.is_empty();
    if ends || !(has_rule || (has_names && !passes_without_model(inbound))) {
        return Ok(None);
    }
    match inbound.body_type() {
        BodyType::Json => Ok(Some(BodyNeed::Model)),
        BodyType::CodedJson => Err(unreadable_body()),
        BodyType::Other => Ok(has_rule.then_some(BodyNeed::Absence)),
    }
}

/// Whether a request of this method need not name a model.
fn passes_without_model(inbound: &Inbound<'_>) -> bool {
    matches!(inbound.method, b"GET" | b"HEAD" | b"DELETE" | b"OPTIONS")
}

fn check_route(policy: &Policy, caller: &Caller) -> Result<(), Denial> {
    if caller.policies.allows(&policy.name) {
        return Ok(());
    }
    Err(Denial::new(Reason::RouteNotAllowed, "This gateway token may not be used on this route."))
}

/// RFC 6454 section 7.3: a request has one Origin at most; of several, each must be allowed. Envoy joins lines by commas,
/// which no origin has, and which no glob may match over.
fn check_origins(inbound: &Inbound<'_>, caller: &Caller) -> Result<(), Denial> {
    let is_allowed = |origin: &&[u8]| {
        std::str::from_utf8(origin).is_ok_and(|origin| !origin.contains(',') && caller.origins.allows(origin))
    };
    if !caller.origins.is_restricted() || inbound.origins.iter().all(is_allowed) {
        return Ok(());
    }
    Err(Denial::new(Reason::OriginNotAllowed, "This gateway token may not be used from this page's origin."))
}

fn no_policy() -> Denial {
    let message = "This route has no policy. Name one in the route's metadata, name a policy like the route, or \
                   configure `default`.";
    Denial::new(Reason::NoPolicy, message)
}

fn missing_token(plan: &Plan) -> Denial {
    let (header, subprotocol) = (&plan.gateway.header, &plan.gateway.subprotocol);
    let sdk = if plan.gateway.accept_provider_slot { ", or give it to your SDK as its API key" } else { "" };
    let message = format!(
        "No gateway token. Send it as the header `{header}: Bearer <token>` or as the WebSocket subprotocol \
         `{subprotocol}.<token>`{sdk}."
    );
    Denial::new(Reason::MissingGatewayToken, message)
}

fn token_denial(error: TokenError) -> Denial {
    match error {
        TokenError::Invalid => Denial::new(
            Reason::InvalidGatewayToken,
            "This gateway token is not known here. A provider's own key is no gateway token.",
        ),
        TokenError::Expired => {
            Denial::new(Reason::ExpiredGatewayToken, "This gateway token has expired. Get a new one.")
        }
    }
}

fn form_denial(error: FormError) -> Denial {
    match error {
        FormError::Malformed(what) => {
            Denial::new(Reason::MalformedCredentials, format!("The credentials cannot be read: {what}."))
        }
        FormError::Conflicting => Denial::new(
            Reason::ConflictingCredentials,
            "The request offers two different tokens. Send one, in as many places as you like.",
        ),
    }
}

fn unreadable_body() -> Denial {
    let message =
        "The body must be one JSON object, without a content coding, that names its model once and by a string.";
    Denial::new(Reason::MalformedRequest, message)
}

fn first_half(bytes: [u8; 16]) -> [u8; 8] {
    let (half, _) = bytes.split_first_chunk().unwrap_or((&[0; 8], &[]));
    *half
}
