//! A request whose headers wait for its body, and what comes of it once that is there.

use super::action::{DetailedReply, RequestAction};
use super::admission::{Admission, BodyNeed, passes_without_model};
use super::call::call_hung_up;
use super::denials::{credential_denial, route_not_allowed};
use super::forward::edits_of_denied;
use super::mint::Minted;
use super::request_head::RequestHead;
use super::rest::RestMeter;
use super::stream_options::{include_usage, read_body};
use super::upstream::Upstream;
use super::{Forwarded, State, forward, mint};
use crate::config::Plan;
use crate::credential::SubprotocolOffer;
use crate::denial::Denial;
use crate::endpoint::MintEndpoint;
use crate::host::{StreamHost, roll};
use crate::http::{Edits, HeaderValue, Headers};
use crate::local_reply::LocalReply;
use crate::metrics::{Metric, MintedBy};
use crate::protocol::RequestBody;

/// Admitted; the body must be seen before the headers go on.
pub struct WaitingForBody {
    /// The headers that wait.
    pub headers: Headers,
    /// What was found so far.
    pub admission: Admission,
    /// Why they wait.
    pub need: BodyNeed,
}

/// All of the body came.
pub fn complete(
    plan: &Plan,
    admission: Admission,
    headers: &Headers,
    need: BodyNeed,
    body: &[u8],
    host: &impl StreamHost,
) -> Result<(State, RequestAction), Denial> {
    match need {
        BodyNeed::Mint(endpoint) => mint(plan, admission, headers, endpoint, body, host),
        BodyNeed::Model | BodyNeed::Empty => forward(plan, admission, headers, body, host),
    }
}

/// Finds and resolves the model, and edits the request that waited for it.
fn forward(
    plan: &Plan,
    admission: Admission,
    headers: &Headers,
    body: &[u8],
    host: &impl StreamHost,
) -> Result<(State, RequestAction), Denial> {
    let head = RequestHead::read(headers, &plan.gateway, &plan.strip);
    let mut read = read_body(&admission, &head, body)?;
    let name = read.as_ref().and_then(RequestBody::model).map(str::to_owned);
    let needs_model = read.is_some() && !passes_without_model(&head);
    let upstream = admission.resolve_upstream(&head, name.as_deref(), needs_model)?;
    if let (Some(read), Some(resolved)) = (&mut read, upstream.model)
        && name.as_deref() != Some(resolved)
    {
        read.set_model(resolved);
    }
    let is_asked = include_usage(&admission, &head, upstream.provider, read.as_mut())?;
    let rest = RestMeter::new(&admission, &head, &upstream, is_asked);
    let rewritten = read.and_then(RequestBody::edited);
    let is_counted = rest.is_some();
    let edits = edits_with_body(plan, &admission, headers, &upstream, rewritten.as_deref(), is_counted, host)?;
    admission.start(host)?;
    let provider = upstream.provider.clone();
    let sent = Forwarded {
        admission,
        handshake: None,
        relay: None,
        sideband: None,
        rest,
        provider_key: None,
        hung_up: call_hung_up(&head),
        provider,
        model: None,
    };
    Ok((State::Forwarded(Box::new(sent)), RequestAction::Forward(edits, rewritten)))
}

/// The body says what secret to mint.
fn mint(
    plan: &Plan,
    admission: Admission,
    headers: &Headers,
    endpoint: MintEndpoint,
    body: &[u8],
    host: &impl StreamHost,
) -> Result<(State, RequestAction), Denial> {
    let secrets = plan.secrets.as_ref().ok_or_else(route_not_allowed)?;
    let request = mint::parse(endpoint, body)?;
    let head = RequestHead::read(headers, &plan.gateway, &plan.strip);
    let upstream = admission.resolve_upstream(&head, request.model(), true)?;
    admission.start(host)?;
    match mint::request(secrets, &admission, endpoint, &request, &upstream, host)? {
        Minted::Reply(body) => {
            host.sessions().borrow_mut().metrics.add(Metric::SecretMinted(MintedBy::Gateway));
            let answered =
                DetailedReply { reply: LocalReply::json(200, body.into_bytes()), details: "realtime_byok.minted" };
            Ok((State::Replied, RequestAction::Reply(answered, edits_of_denied(plan, headers))))
        }
        Minted::Forward(body, mint) => {
            let body = body.into_bytes();
            let mut edits = edits_with_body(plan, &admission, headers, &upstream, Some(&body), false, host)?;
            edits.set("accept-encoding", HeaderValue::Plain(b"identity".to_vec()));
            Ok((State::Minting(mint), RequestAction::Forward(edits, Some(body))))
        }
    }
}

/// The edits of a request whose body was held, and may be replaced.
fn edits_with_body(
    plan: &Plan,
    admission: &Admission,
    headers: &Headers,
    upstream: &Upstream<'_>,
    body: Option<&[u8]>,
    is_counted: bool,
    host: &impl StreamHost,
) -> Result<Edits, Denial> {
    let head = RequestHead::read(headers, &plan.gateway, &plan.strip);
    let offer = SubprotocolOffer::parse(&head.subprotocols, &plan.gateway).map_err(credential_denial)?;
    let credential = upstream.provider.credential(admission.upstream_secret(), || roll(host));
    let mut edits = forward::edits(plan, admission, head, &offer, upstream, credential.as_ref(), is_counted);
    if let Some(body) = body
        && headers.first(b"content-length").is_some()
    {
        edits.set("content-length", HeaderValue::Plain(body.len().to_string().into_bytes()));
    }
    Ok(edits)
}
