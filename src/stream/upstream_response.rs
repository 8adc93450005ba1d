//! The upstream's response to a request that went on: what of it the client gets.

use super::action::ResponseAction;
use super::context::{Context, WorkerState};
use super::denials::{invalid_mint_response, provider_key_rejected, unreadable_response, upstream_secret_rejected};
use super::forward::{Awaited, FollowedWebSocket};
use super::mint::Sealing;
use super::pooled_key::PooledKey;
use super::redaction::Redaction;
use super::response_head::UpstreamResponse;
use super::state::{State, Stream};
use crate::client_secret::InvalidMintResponse;
use crate::denial::{Denial, Subject};
use crate::host::HeaderMap;
use crate::http::{Edits, HeaderValue};
use crate::metrics::{Metric, MintedBy, Presented};
use crate::process::CallName;
use crate::usage::{Status, Transport};
use crate::ws::ReadBuffer;

impl Stream {
    /// The response's headers came. `ends` says that neither body nor trailers follow.
    pub fn response_headers(&mut self, ends: bool, cx: &mut Context<'_>) -> ResponseAction {
        let redaction = match &self.state {
            State::Forwarded(sent) => Redaction::new(&sent.provider, &sent.admission),
            State::Minting(minting) => minting.redaction(),
            _ => return ResponseAction::Pass,
        };
        let response = UpstreamResponse::read(cx.host);
        let Some(status) = response.status() else { return self.replace(unreadable_response(), cx) };
        let edits = redaction.edits(&response.lines);
        let action = match self.state {
            State::Minting(_) => self.response_to_mint(status, ends, &response, cx),
            _ => self.response_to_forwarded(status, ends, &response, cx),
        };
        if let ResponseAction::Hold = action {
            (self.held_edits, self.redaction) = (edits, Some(redaction));
            return action;
        }
        let action = redaction.applied(edits, action);
        // A WebSocket has no trailers.
        self.redaction = (status != 101).then_some(redaction);
        action
    }

    /// More of the response's body came, or its end.
    pub fn response_body(&mut self, body: &mut dyn ReadBuffer, ends: bool, cx: &mut Context<'_>) -> ResponseAction {
        let action = self.passing_body(body, ends, cx);
        self.released(action)
    }

    /// The key that the request went on with, if it is one of several and what the body says becomes of it.
    fn refused_key(&mut self) -> Option<&mut PooledKey> {
        let key = match &mut self.state {
            State::Forwarded(sent) => sent.key.as_deref_mut(),
            State::Minting(minting) => minting.key(),
            _ => None,
        };
        key.filter(|key| key.reads_body())
    }

    /// The response is over, in whatever way.
    pub(super) fn end_refusal(&mut self, worker: &mut WorkerState) {
        if let Some(key) = self.refused_key() {
            key.end(worker);
        }
    }

    fn passing_body(&mut self, body: &mut dyn ReadBuffer, ends: bool, cx: &mut Context<'_>) -> ResponseAction {
        let now = cx.worker.clock;
        if let Some(key) = self.refused_key() {
            let size = body.size();
            key.body(&body.read(0, size).unwrap_or_default(), ends, cx.worker);
        }
        match &mut self.state {
            State::Relaying(relay, _) | State::Cut(relay, _) if body.size() > 0 => {
                relay.upstream_bytes(body, &self.plan.prices, &mut cx.worker.sessions, now).into()
            }
            State::Forwarded(_) => self.metered_body(body, ends, cx),
            State::Sealing(_) => {
                let size = body.size();
                self.gather_minted(&body.read(0, size).unwrap_or_default(), ends, cx)
            }
            State::CallUnnamed(_) => {
                let size = body.size();
                self.gather_call(&body.read(0, size).unwrap_or_default(), ends, cx)
            }
            _ => ResponseAction::Pass,
        }
    }

    /// The response's trailers came, which end it: what may not stand in its head may not stand there either.
    pub fn response_trailers(&mut self, cx: &mut Context<'_>) -> (Edits, ResponseAction) {
        let edits = match &self.redaction {
            Some(redaction) => redaction.edits(&cx.host.headers(HeaderMap::ResponseTrailers)),
            None => Edits::default(),
        };
        let action = match self.state {
            State::Sealing(_) => self.gather_minted(&[], true, cx),
            State::CallUnnamed(_) => self.gather_call(&[], true, cx),
            _ => ResponseAction::Pass,
        };
        (edits, self.released(action))
    }

    /// An action with the edits of a head that was held back.
    fn released(&mut self, action: ResponseAction) -> ResponseAction {
        match (&self.redaction, &action) {
            (Some(redaction), ResponseAction::Release(..)) => {
                redaction.applied(std::mem::take(&mut self.held_edits), action)
            }
            _ => action,
        }
    }

    fn response_to_forwarded(
        &mut self,
        status: u16,
        ends: bool,
        response: &UpstreamResponse<'_>,
        cx: &mut Context<'_>,
    ) -> ResponseAction {
        let State::Forwarded(sent) = &mut self.state else { return ResponseAction::Pass };
        if let Some(key) = &mut sent.key {
            key.answered(status, ends, response, cx.worker);
        }
        match (status, &mut sent.awaited) {
            (401 | 403, _) if response.is_from_upstream() => {
                let (provider, credential) = (sent.provider.name.as_str(), sent.presented());
                cx.worker.sessions.metrics.add(Metric::UpstreamRejected { provider, credential });
                let denial = match credential {
                    Presented::ClientSecret => upstream_secret_rejected(),
                    Presented::Key => provider_key_rejected(),
                };
                self.replace(denial, cx)
            }
            (101, Awaited::WebSocket(handshake, _)) => {
                let edits = handshake.answer(response);
                self.start_relay(edits, response, cx)
            }
            (200..=299, Awaited::Call(request)) => {
                let path = request.path;
                self.response_to_call(path, ends, response, cx)
            }
            (_, awaited) => {
                if let (200..=299, Awaited::HangUp(id, _)) = (status, &*awaited)
                    && response.is_from_upstream()
                {
                    let call = CallName { provider: &sent.provider.name, id: id.as_str() };
                    cx.worker.calls.hung_up(call, &mut cx.worker.sessions, cx.host.now());
                }
                awaited.meter().map_or(ResponseAction::Pass, |meter| meter.answered(status, response))
            }
        }
    }

    fn response_to_mint(
        &mut self,
        status: u16,
        ends: bool,
        response: &UpstreamResponse<'_>,
        cx: &mut Context<'_>,
    ) -> ResponseAction {
        let State::Minting(minting) = &mut self.state else { return ResponseAction::Pass };
        if let Some(key) = minting.key() {
            key.answered(status, ends, response, cx.worker);
        }
        match status {
            401 | 403 if response.is_from_upstream() => {
                let metric = Metric::UpstreamRejected { provider: minting.provider(), credential: Presented::Key };
                cx.worker.sessions.metrics.add(metric);
                self.replace(provider_key_rejected(), cx)
            }
            200..=299 if ends => self.replace(invalid_mint_response(InvalidMintResponse::NotReadable), cx),
            200..=299 => {
                let content_encoding = response.content_encoding().into_owned();
                if let State::Minting(minting) = std::mem::replace(&mut self.state, State::Replied) {
                    self.state = State::Sealing(Box::new(Sealing::new(minting, content_encoding)));
                }
                ResponseAction::Hold
            }
            _ => ResponseAction::Pass,
        }
    }

    /// A WebSocket is open: it is followed from now on if it is metered.
    fn start_relay(
        &mut self,
        mut edits: Edits,
        response: &UpstreamResponse<'_>,
        cx: &mut Context<'_>,
    ) -> ResponseAction {
        if let State::Forwarded(sent) = &mut self.state
            && let Awaited::WebSocket(_, followed) = &mut sent.awaited
            && let Some(FollowedWebSocket { mut relay, sideband }) = followed.take()
        {
            let now = cx.host.now();
            relay.start(now);
            match &mut self.handle {
                Some(handle) if handle.joined().is_some() => cx.worker.sessions.joined_opened(handle, now),
                Some(handle) => {
                    let began = sent.admission.began(&sent.provider, Transport::WebSocket);
                    cx.worker.sessions.opened(handle, began, &|| relay.record(Status::Open, now), now);
                }
                None => {}
            }
            self.state = State::Relaying(relay, sideband);
            if response.has(b"sec-websocket-extensions") {
                edits.remove("sec-websocket-extensions");
            }
        } else if let State::Forwarded(sent) = &mut self.state {
            // A session that is not metered.
            sent.forget();
        }
        ResponseAction::Edit(edits)
    }

    /// Reads what a REST response tells of its usage, as it passes.
    fn metered_body(&mut self, body: &mut dyn ReadBuffer, ends: bool, cx: &mut Context<'_>) -> ResponseAction {
        let State::Forwarded(sent) = &mut self.state else { return ResponseAction::Pass };
        let Some(meter) = sent.awaited.meter().filter(|meter| meter.is_read()) else { return ResponseAction::Pass };
        let size = body.size();
        let action = meter.pass(&body.read(0, size).unwrap_or_default(), ends, &self.plan.prices);
        if ends && let Some(meter) = sent.awaited.take_meter() {
            let now = cx.worker.clock;
            self.state = State::Spent(self.used(*meter, &mut cx.worker.sessions, || now));
        }
        action.into()
    }

    /// Gathers a mint response, which is taken out of Envoy's hands: what Envoy holds back is bounded by its own limit,
    /// beyond which it answers by itself.
    fn gather_minted(&mut self, chunk: &[u8], ends: bool, cx: &mut Context<'_>) -> ResponseAction {
        let State::Sealing(sealing) = &mut self.state else { return ResponseAction::Pass };
        if let Err(denial) = sealing.gather(chunk) {
            return self.replace(denial, cx);
        }
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

    pub(super) fn replace(&mut self, denial: Denial, cx: &mut Context<'_>) -> ResponseAction {
        let subject = match &self.state {
            State::Forwarded(sent) => sent.subject(),
            State::Minting(minting) => minting.subject(),
            State::Sealing(sealing) => sealing.subject(),
            State::CallUnnamed(call) => call.subject(),
            _ => Subject::default(),
        };
        self.state = State::ResponseReplaced;
        ResponseAction::Reply(Box::new(self.deny(denial.of(subject), cx.worker)))
    }
}
