//! The upstream's response to a request that went on: what of it the client gets.

use super::action::ResponseAction;
use super::admission::Purpose;
use super::call::StartedCall;
use super::denials::{invalid_mint_response, provider_key_rejected, route_not_allowed, upstream_secret_rejected};
use super::mint::Minting;
use super::{Context, Forwarded, State, Stream};
use crate::call::id_in;
use crate::client_secret::{InvalidMintResponse, MAX_RESPONSE};
use crate::config::Plan;
use crate::denial::Denial;
use crate::host::{Attribute, HeaderMap, StreamHost};
use crate::http::{Edits, HeaderValue, decoded};
use crate::metrics::{Metric, MintedBy, Presented};
use crate::process::CallName;
use crate::usage::{SessionKind, Status};
use crate::ws::ReadBuffer;

/// A response's headers, each read only when needed.
pub struct UpstreamResponse<'a>(pub &'a dyn StreamHost);

/// A mint request's response on its way back.
pub struct Sealing {
    minting: Box<Minting>,
    content_encoding: Vec<u8>,
    body: Vec<u8>,
}

impl UpstreamResponse<'_> {
    /// `:status`.
    pub fn status(&self) -> Option<u16> {
        str::from_utf8(&self.0.header(HeaderMap::Response, ":status")?).ok()?.parse().ok()
    }

    /// Whether the upstream sent it, rather than Envoy or one of its filters.
    pub fn is_from_upstream(&self) -> bool {
        self.0.attribute(Attribute::ResponseCodeDetails).is_some_and(|details| details == b"via_upstream")
    }

    /// All lines of `sec-websocket-protocol`, joined by commas; empty if there are none.
    pub fn subprotocols(&self) -> Vec<u8> {
        self.0.attribute(Attribute::ResponseHeader("sec-websocket-protocol")).unwrap_or_default()
    }

    /// `content-type`; empty if there is none.
    pub fn content_type(&self) -> Vec<u8> {
        self.0.header(HeaderMap::Response, "content-type").unwrap_or_default()
    }

    /// All lines of `content-encoding`, joined by commas; empty if there are none.
    pub fn content_encoding(&self) -> Vec<u8> {
        self.0.attribute(Attribute::ResponseHeader("content-encoding")).unwrap_or_default()
    }

    /// `location`.
    pub fn location(&self) -> Option<Vec<u8>> {
        self.0.header(HeaderMap::Response, "location")
    }
}

impl Stream {
    /// The response's headers came. `ends` says that neither body nor trailers follow.
    pub fn response_headers(&mut self, ends: bool, cx: &mut Context<'_>) -> ResponseAction {
        match self.state {
            State::Forwarded(_) => self.response_to_forwarded(cx),
            State::Minting(_) => self.response_to_mint(ends, cx),
            _ => ResponseAction::Pass,
        }
    }

    /// More of the response's body came, or its end.
    pub fn response_body(&mut self, body: &mut dyn ReadBuffer, ends: bool, cx: &mut Context<'_>) -> ResponseAction {
        let now = cx.worker.clock;
        match &mut self.state {
            State::Relaying(relay, _) | State::Cut(relay, _) if body.size() > 0 => {
                relay.upstream_bytes(body, &self.plan.prices, &mut cx.worker.sessions, now).into()
            }
            State::Forwarded(_) => self.metered_body(body, ends, cx),
            State::Sealing(_) => {
                let size = body.size();
                self.gather_minted(&body.read(0, size).unwrap_or_default(), ends, cx)
            }
            _ => ResponseAction::Pass,
        }
    }

    /// The response's trailers came, which end it.
    pub fn response_trailers(&mut self, cx: &mut Context<'_>) -> ResponseAction {
        match self.state {
            State::Sealing(_) => self.gather_minted(&[], true, cx),
            _ => ResponseAction::Pass,
        }
    }

    fn response_to_forwarded(&mut self, cx: &mut Context<'_>) -> ResponseAction {
        let State::Forwarded(sent) = &mut self.state else { return ResponseAction::Pass };
        let response = UpstreamResponse(cx.host);
        let status = response.status();
        match (status, &sent.handshake) {
            (Some(401 | 403), _) if response.is_from_upstream() => {
                let (provider, credential) = (sent.provider.name.as_str(), sent.presented());
                cx.worker.sessions.metrics.add(Metric::UpstreamRejected { provider, credential });
                let denial = match credential {
                    Presented::ClientSecret => upstream_secret_rejected(),
                    Presented::Key => provider_key_rejected(),
                };
                self.replace(denial, cx)
            }
            (Some(101), Some(handshake)) => {
                let edits = handshake.answer(&response);
                self.start_relay(edits, cx)
            }
            (Some(201), None) if sent.admission.purpose == Purpose::Call => {
                self.start_call(&response.location().unwrap_or_default(), cx);
                ResponseAction::Pass
            }
            _ => {
                if let (Some(200..=299), Some(id)) = (status, &sent.hung_up)
                    && response.is_from_upstream()
                {
                    let call = CallName { provider: &sent.provider.name, id };
                    cx.worker.calls.hung_up(call, &mut cx.worker.sessions, cx.host.now());
                }
                sent.rest.as_mut().map_or(ResponseAction::Pass, |rest| rest.answered(status, &response))
            }
        }
    }

    fn response_to_mint(&mut self, ends: bool, cx: &mut Context<'_>) -> ResponseAction {
        let State::Minting(minting) = &self.state else { return ResponseAction::Pass };
        let response = UpstreamResponse(cx.host);
        match response.status() {
            Some(401 | 403) if response.is_from_upstream() => {
                let metric = Metric::UpstreamRejected { provider: minting.provider(), credential: Presented::Key };
                cx.worker.sessions.metrics.add(metric);
                self.replace(provider_key_rejected(), cx)
            }
            Some(200..=299) if ends => self.replace(invalid_mint_response(InvalidMintResponse::NotReadable), cx),
            Some(200..=299) => {
                let content_encoding = response.content_encoding();
                if let State::Minting(minting) = std::mem::replace(&mut self.state, State::Replied) {
                    self.state = State::Sealing(Box::new(Sealing { minting, content_encoding, body: Vec::new() }));
                }
                ResponseAction::Hold
            }
            _ => ResponseAction::Pass,
        }
    }

    /// A WebSocket is open: it is followed from now on if it is metered.
    fn start_relay(&mut self, mut edits: Edits, cx: &mut Context<'_>) -> ResponseAction {
        if let State::Forwarded(sent) = &mut self.state
            && let Some(mut relay) = sent.relay.take()
        {
            let now = cx.host.now();
            relay.start(now);
            if let Some(handle) = &mut self.handle {
                let began = sent.admission.began(&sent.provider, SessionKind::WebSocket);
                cx.worker.sessions.opened(handle, began, &|| relay.record(Status::Open, now), now);
            }
            let sideband = sent.sideband.take();
            self.state = State::Relaying(relay, sideband);
            edits.remove("sec-websocket-extensions");
        }
        ResponseAction::Edit(edits)
    }

    /// Keeps the call that a 201's `location` names.
    fn start_call(&mut self, location: &[u8], cx: &mut Context<'_>) {
        let State::Forwarded(sent) = std::mem::replace(&mut self.state, State::CallUnnamed) else { return };
        let Some(id) = id_in(location) else { return };
        let Forwarded { admission, provider_key, provider, model, .. } = *sent;
        let started_call = StartedCall::new(id, &admission, &provider, model, provider_key, cx.host);
        if let Some(handle) = &mut self.handle {
            let began = admission.began(&provider, SessionKind::WebRtc);
            cx.worker.sessions.opened(handle, began, &|| started_call.record().clone(), cx.host.now());
        }
        self.state = State::CallStarted(Box::new(started_call));
    }

    /// Reads what a REST response tells of its usage, as it passes.
    fn metered_body(&mut self, body: &mut dyn ReadBuffer, ends: bool, cx: &mut Context<'_>) -> ResponseAction {
        let State::Forwarded(sent) = &mut self.state else { return ResponseAction::Pass };
        let Some(mut rest) = sent.rest.take_if(|rest| rest.is_read()) else { return ResponseAction::Pass };
        let size = body.size();
        let action = rest.pass(&body.read(0, size).unwrap_or_default(), ends, &self.plan.prices);
        if ends {
            let now = cx.worker.clock;
            self.state = State::Spent(self.used(*rest, &mut cx.worker.sessions, || now));
        } else {
            sent.rest = Some(rest);
        }
        action.into()
    }

    /// Gathers a mint response, which is taken out of Envoy's hands: what Envoy holds back is bounded by its own limit,
    /// beyond which it answers by itself.
    fn gather_minted(&mut self, chunk: &[u8], ends: bool, cx: &mut Context<'_>) -> ResponseAction {
        let State::Sealing(sealing) = &mut self.state else { return ResponseAction::Pass };
        if sealing.body.len().saturating_add(chunk.len()) > MAX_RESPONSE {
            return self.replace(invalid_mint_response(InvalidMintResponse::TooLong), cx);
        }
        sealing.body.extend_from_slice(chunk);
        if !ends {
            return if chunk.is_empty() { ResponseAction::Hold } else { ResponseAction::Withhold };
        }
        match sealing.seal(&self.plan, cx.host) {
            Ok(body) => {
                self.state = State::Untouched;
                cx.worker.sessions.metrics.add(Metric::SecretMinted(MintedBy::Provider));
                let mut edits = Edits::default();
                edits.remove("content-encoding");
                edits.set("content-length", HeaderValue::Plain(body.len().to_string().into_bytes()));
                ResponseAction::Release(edits, body)
            }
            Err(denial) => self.replace(denial, cx),
        }
    }

    fn replace(&mut self, denial: Denial, cx: &mut Context<'_>) -> ResponseAction {
        cx.worker.sessions.metrics.add(Metric::Rejected(denial.code));
        self.state = State::Replied;
        ResponseAction::Reply(denial.into())
    }
}

impl Forwarded {
    /// What it was sent on with.
    fn presented(&self) -> Presented {
        if self.admission.upstream_secret().is_some() { Presented::ClientSecret } else { Presented::Key }
    }
}

impl Sealing {
    fn seal(&self, plan: &Plan, host: &dyn StreamHost) -> Result<Vec<u8>, Denial> {
        let secrets = plan.secrets.as_ref().ok_or_else(route_not_allowed)?;
        let body = decoded(Some(&self.content_encoding), &self.body, MAX_RESPONSE);
        let body = body.map_err(|error| invalid_mint_response(error.into()))?;
        self.minting.answer(secrets, &body, host)
    }
}
