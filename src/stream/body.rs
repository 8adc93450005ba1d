//! A request whose headers wait for its body, and what comes of it once that is there.

use super::action::DetailedReply;
use super::admission::{Admission, BodyNeed};
use super::context::Context;
use super::denials::{route_not_allowed, unreadable_live_call};
use super::forward::{Awaited, Forwarded, Outgoing};
use super::mint::{self, Minted, Minting};
use super::pooled_key::PooledKey;
use super::request_head::RequestHead;
use super::rest::RestMeter;
use super::stream_options::{include_usage, read_body};
use super::upstream::{Upstream, check_price, named_in_query};
use crate::config::Plan;
use crate::credential::SubprotocolOffer;
use crate::denial::Denial;
use crate::endpoint::{CallPath, Mint, Path};
use crate::http::{Edits, HeaderValue};
use crate::local_reply::LocalReply;
use crate::memory::Reservation;
use crate::metrics::{Metric, MintedBy};
use crate::process::SessionHandle;
use crate::protocol::{LiveCallRequest, LiveModel, RequestBody};

/// Admitted but for the model that its body may name.
pub(crate) struct WaitingForBody {
    /// Who sent it, and what it addresses.
    pub admission: Admission,
    /// Its path.
    pub path: Path<'static>,
    /// The subprotocols that it offers.
    pub offer: SubprotocolOffer,
    /// Why its headers wait.
    pub need: BodyNeed,
    /// What it holds while they do.
    pub _reservation: Reservation,
}

/// What a request with a body comes to.
pub(crate) enum BodyDecision {
    /// It goes on, edited, maybe as one of the sessions of the process; a body given here replaces the one that was waited
    /// for.
    Forward(Box<Forwarded>, Edits, Option<Vec<u8>>, Option<SessionHandle>),
    /// It goes on, edited and with this body, to mint a client secret.
    Mint(Box<Minting>, Edits, Vec<u8>),
    /// A client secret was minted here.
    Reply(DetailedReply),
}

/// All of a body, and the head that waited for it.
pub(crate) struct WholeRequest<'a> {
    /// The configuration.
    pub plan: &'a Plan,
    /// The header lines.
    pub head: &'a RequestHead,
    /// The body, which may be empty; nothing of an offer, of which no more is awaited than that it comes.
    pub body: &'a [u8],
}

impl WholeRequest<'_> {
    /// What becomes of the request.
    ///
    /// # Errors
    ///
    /// If the body cannot be read, or names what is not allowed.
    pub(crate) fn complete(&self, waiting: WaitingForBody, cx: &mut Context<'_>) -> Result<BodyDecision, Denial> {
        match waiting.need {
            BodyNeed::Mint(mint) => self.mint(&waiting, mint, cx),
            BodyNeed::LiveModels => self.live_call(waiting, cx),
            BodyNeed::Offer(path) => self.call(waiting, path, cx),
            BodyNeed::Model | BodyNeed::Empty | BodyNeed::Nothing => self.forward(waiting, cx),
        }
    }

    /// Finds and resolves the model, and edits the request that waited for it.
    fn forward(&self, waiting: WaitingForBody, cx: &mut Context<'_>) -> Result<BodyDecision, Denial> {
        let Self { plan, head, body } = *self;
        let WaitingForBody { admission, path, offer, .. } = waiting;
        let mut read = read_body(&admission, body)?;
        let name = read.as_ref().and_then(RequestBody::model).map(str::to_owned);
        let upstream = Upstream::resolve(&admission, &path, name.as_deref(), read.is_some())?;
        if let (Some(read), Some(resolved)) = (&mut read, upstream.model)
            && name.as_deref() != Some(resolved)
        {
            read.set_model(resolved);
        }
        let asked = include_usage(&admission, &head.target(), upstream.provider, read.as_mut())?;
        let mut meter = RestMeter::new(&admission, &upstream, asked, &cx.worker.memory);
        if let Some(meter) = &mut meter {
            meter.ask(u64::try_from(body.len()).unwrap_or(u64::MAX));
        }
        let replaced = read.and_then(RequestBody::edited);
        let credential = admission.credential(upstream.provider, cx);
        let presented = head.presented(&plan.gateway);
        let outgoing =
            Outgoing { plan, head, presented: &presented, offer: &offer, admission: &admission, upstream: &upstream };
        let edits = outgoing.edits_with_body(credential.as_ref(), replaced.as_deref());
        let reservation = admission.reserve(Forwarded::size(&admission, 0), 0, &cx.worker.memory)?;
        admission.start(cx).map_err(|denial| denial.of(upstream.subject()))?;
        let provider = upstream.provider.clone();
        let awaited = Awaited::of_rest(&admission, meter);
        let key = PooledKey::of(&provider, credential.as_ref());
        let forwarded = Forwarded { admission, provider, awaited, key, reservation };
        Ok(BodyDecision::Forward(Box::new(forwarded), edits, replaced, None))
    }

    /// Finds and resolves the model in the query, and edits the request that begins a call.
    fn call(&self, waiting: WaitingForBody, at: CallPath, cx: &mut Context<'_>) -> Result<BodyDecision, Denial> {
        let Self { plan, head, .. } = *self;
        let WaitingForBody { admission, path, offer, .. } = waiting;
        let named = named_in_query(&head.target(), &admission)?;
        let upstream = Upstream::of_query(&admission, &path, &named)?;
        let reservation = admission.reserve(Forwarded::size(&admission, 0), 0, &cx.worker.memory)?;
        let handle = admission.start(cx).map_err(|denial| denial.of(upstream.subject()))?;
        let presented = head.presented(&plan.gateway);
        let outgoing =
            Outgoing { plan, head, presented: &presented, offer: &offer, admission: &admission, upstream: &upstream };
        let (awaited, key, edits) = outgoing.call(at, None, cx);
        let forwarded = Forwarded { awaited, provider: upstream.provider.clone(), key, admission, reservation };
        Ok(BodyDecision::Forward(Box::new(forwarded), edits, None, handle))
    }

    /// Finds and resolves the models of a call of Live, and edits the request that begins it.
    fn live_call(&self, waiting: WaitingForBody, cx: &mut Context<'_>) -> Result<BodyDecision, Denial> {
        let Self { plan, head, body } = *self;
        let WaitingForBody { admission, path, offer, .. } = waiting;
        let mut read = LiveCallRequest::read(body).map_err(|_| unreadable_live_call())?;
        if named_in_query(&head.target(), &admission)?.named.is_some() {
            return Err(unreadable_live_call());
        }
        let name = read.model(LiveModel::Session).map(str::to_owned);
        let upstream = Upstream::resolve(&admission, &path, name.as_deref(), true)?;
        if name.is_none() && admission.binding_models().is_some_and(|minted| minted.session.is_some()) {
            // The upstream would choose one.
            return Err(unreadable_live_call());
        }
        if let Some(delegate) = read.model(LiveModel::Delegate).map(str::to_owned) {
            let resolved = upstream.resolve_beside(&admission, &delegate)?;
            if resolved != delegate {
                read.set_model(LiveModel::Delegate, resolved);
            }
        }
        if let Some(resolved) = upstream.model
            && name.as_deref() != Some(resolved)
        {
            read.set_model(LiveModel::Session, resolved);
        }
        let replaced = read.edited();
        let reservation = admission.reserve(Forwarded::size(&admission, 0), 0, &cx.worker.memory)?;
        let handle = admission.start(cx).map_err(|denial| denial.of(upstream.subject()))?;
        let presented = head.presented(&plan.gateway);
        let outgoing =
            Outgoing { plan, head, presented: &presented, offer: &offer, admission: &admission, upstream: &upstream };
        let (awaited, key, edits) = outgoing.call(CallPath::Live, replaced.as_deref(), cx);
        let forwarded = Forwarded { awaited, provider: upstream.provider.clone(), key, admission, reservation };
        Ok(BodyDecision::Forward(Box::new(forwarded), edits, replaced, handle))
    }

    /// The body says what secret to mint.
    fn mint(&self, waiting: &WaitingForBody, mint: Mint, cx: &mut Context<'_>) -> Result<BodyDecision, Denial> {
        let Self { plan, head, body } = *self;
        let WaitingForBody { admission, path, offer, .. } = waiting;
        let secrets = plan.secrets.as_ref().ok_or_else(route_not_allowed)?;
        let request = mint::parse(mint, body)?;
        let upstream = Upstream::resolve(admission, path, request.model(), true)?;
        let denied = |denial: Denial| denial.of(upstream.subject());
        if request.gateway.limits.max_cost_micro_usd.is_some() {
            check_price(Some(&plan.prices), upstream.model).map_err(denied)?;
        }
        admission.start(cx).map_err(denied)?;
        match mint::request(secrets, admission, &request, &upstream, cx).map_err(denied)? {
            Minted::Reply(body) => {
                cx.worker.sessions.metrics.add(Metric::SecretMinted(MintedBy::Gateway));
                let reply = LocalReply::json(200, body.into_bytes());
                Ok(BodyDecision::Reply(DetailedReply { reply, details: "realtime_byok.minted".into() }))
            }
            Minted::Forward(body, mut minting) => {
                let body = body.into_bytes();
                let credential = admission.credential(upstream.provider, cx);
                minting.set_key(credential.as_ref());
                let presented = head.presented(&plan.gateway);
                let outgoing = Outgoing { plan, head, presented: &presented, offer, admission, upstream: &upstream };
                let mut edits = outgoing.edits_with_body(credential.as_ref(), Some(&body));
                edits.set("accept-encoding", HeaderValue::Plain(b"identity".to_vec()));
                Ok(BodyDecision::Mint(minting, edits, body))
            }
        }
    }
}
