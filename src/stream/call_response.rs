//! The upstream's response to a request that begins a call: what names the call, sealed for the client.

use std::sync::Arc;

use super::action::ResponseAction;
use super::call::StartedCall;
use super::context::Context;
use super::denials::{unnamed_call, unsealable_call};
use super::forward::{Awaited, Forwarded};
use super::response_head::UpstreamResponse;
use super::state::{State, Stream};
use super::unnamed_call::UnnamedCall;
use crate::call::sealed_id::CallClaims;
use crate::client_secret::claims::unix_seconds;
use crate::config::Plan;
use crate::denial::Denial;
use crate::endpoint::{CallId, CallPath};
use crate::host::{HeaderMap, Level, StreamHost};
use crate::http::{Edits, HeaderValue};
use crate::protocol::LiveCallResponse;
use crate::usage::Transport;

impl Stream {
    /// The headers of a success came, in answer to a request that begins a call.
    pub(super) fn response_to_call(
        &mut self,
        path: CallPath,
        ends: bool,
        response: &UpstreamResponse<'_>,
        cx: &mut Context<'_>,
    ) -> ResponseAction {
        if path == CallPath::Live && !ends {
            let content_encoding = response.content_encoding().into_owned();
            if let State::Forwarded(sent) = std::mem::replace(&mut self.state, State::Replied) {
                self.state = State::CallUnnamed(Box::new(UnnamedCall::new(sent, content_encoding)));
            }
            return ResponseAction::Hold;
        }
        let location = response.location().unwrap_or_default();
        match CallId::in_location(location).filter(|_| path != CallPath::Live) {
            Some(id) => self.start_call(&id, cx),
            None => self.unnamed_call(cx),
        }
    }

    /// More of the body came that names a call.
    pub(super) fn gather_call(&mut self, chunk: &[u8], ends: bool, cx: &mut Context<'_>) -> ResponseAction {
        let State::CallUnnamed(call) = &mut self.state else { return ResponseAction::Pass };
        if !call.gather(chunk) {
            return self.unnamed_call(cx);
        }
        if !ends {
            return if chunk.is_empty() { ResponseAction::Hold } else { ResponseAction::Withhold };
        }
        let State::CallUnnamed(call) = std::mem::replace(&mut self.state, State::Replied) else {
            return ResponseAction::Pass;
        };
        let (sent, body) = call.complete();
        self.state = State::Forwarded(sent);
        let read = body.as_deref().and_then(LiveCallResponse::read);
        let Some((read, id)) = read.and_then(|read| CallId::of_upstream(&read.id).map(|id| (read, id))) else {
            return self.unnamed_call(cx);
        };
        match self.name_call(&id, cx) {
            Err(denial) => ResponseAction::Reply(Box::new(self.deny(denial, cx.worker))),
            Ok(sealed) => {
                let (mut edits, body) = match &sealed {
                    Some(sealed) => (renamed(&id, sealed, cx.host), read.with_id(sealed.as_str())),
                    None => (Edits::default(), body.clone().unwrap_or_default()),
                };
                edits.remove("content-encoding");
                edits.set("content-length", HeaderValue::Plain(body.len().to_string().into_bytes()));
                ResponseAction::Release(edits, body)
            }
        }
    }

    /// Keeps a call that the response's headers name.
    fn start_call(&mut self, id: &CallId, cx: &mut Context<'_>) -> ResponseAction {
        match self.name_call(id, cx) {
            Ok(Some(sealed)) => ResponseAction::Edit(renamed(id, &sealed, cx.host)),
            Ok(None) => ResponseAction::Pass,
            Err(denial) => ResponseAction::Reply(Box::new(self.deny(denial, cx.worker))),
        }
    }

    /// Keeps the call of this upstream's id; gives the sealed one, where there are keys to seal it with.
    fn name_call(&mut self, id: &CallId, cx: &mut Context<'_>) -> Result<Option<CallId>, Denial> {
        let State::Forwarded(sent) = std::mem::replace(&mut self.state, State::Replied) else {
            return Err(unnamed_call());
        };
        let subject = sent.subject();
        let Forwarded { admission, provider, awaited: Awaited::Call(request), .. } = *sent else {
            return Err(unnamed_call());
        };
        let now = cx.host.now();
        let claims = CallClaims {
            caller: &admission.caller.name,
            provider: &provider.name,
            policy: &admission.policy.name,
            began_at: unix_seconds(now),
            id: id.as_str(),
            user: admission.user.as_deref(),
            key: request.provider_key.as_ref().and_then(|key| key.provider.key_name(&key.value)),
            max_duration: admission.client_secret.as_ref().and_then(|client_secret| client_secret.limits.max_duration),
            share: admission.share.as_deref().copied(),
        };
        let sealed = seal(&self.plan, &claims, cx.host);
        let mut started = StartedCall::new(id, request, &admission, &provider, cx.host);
        if let Some(handle) = &mut self.handle {
            let began = admission.began(&provider, Transport::WebRtc);
            let call = (started.terms(&admission), started.record());
            cx.worker.sessions.call_opened(handle, began, call, now);
        }
        if sealed.is_err() {
            started.stop(now);
        }
        // Kept from now on: when its stream ends is up to the client, which may leave a part of the answer unread.
        let mut call = started.into_call(self.handle.take(), cx.host);
        call.standing = self.standing.take().map(|standing| (self.configuration(), standing));
        self.state = State::CallStarted(Box::new(call.record.clone()));
        cx.worker.calls.begin(call, &mut cx.worker.sessions);
        sealed.map_err(|denial| denial.of(subject))
    }

    /// Without its answer, a client can say nothing in a call; and one without a name could not be ended.
    fn unnamed_call(&mut self, cx: &mut Context<'_>) -> ResponseAction {
        let message = "a call has begun whose answer names none, in `location` or `session.id`: it is not passed on";
        cx.worker.log(Level::Warn, format_args!("{message}"));
        self.replace(unnamed_call(), cx)
    }
}

fn seal(plan: &Plan, claims: &CallClaims<'_>, host: &dyn StreamHost) -> Result<Option<CallId>, Denial> {
    let Some(secrets) = &plan.secrets else { return Ok(None) };
    let nonce = host.random_bytes().ok_or_else(unsealable_call)?;
    claims.seal(&secrets.keys, &nonce).map(Some).map_err(|_| unsealable_call())
}

/// The edits by which every header line that names a call names it as it is sealed.
fn renamed(id: &CallId, sealed: &CallId, host: &dyn StreamHost) -> Edits {
    let mut edits = Edits::default();
    let (id, sealed) = (id.as_str().as_bytes(), sealed.as_str().as_bytes());
    let lines = host.headers(HeaderMap::Response);
    for (name, value) in lines.iter() {
        if let (Ok(text), Some(_)) = (str::from_utf8(name), with_word(value, id, sealed)) {
            // RFC 9110 section 5.3: lines of one name may be joined.
            let shown = |value: &[u8]| with_word(value, id, sealed).unwrap_or_else(|| value.to_vec());
            let values: Vec<_> = lines.all(name).map(shown).collect();
            edits.set(Arc::<str>::from(text), HeaderValue::Plain(values.join(b", ".as_slice())));
        }
    }
    edits
}

/// A text with another word wherever this one stands, which is one of letters, digits, `_` and `-`; `None` if it stands
/// nowhere.
fn with_word(text: &[u8], word: &[u8], other: &[u8]) -> Option<Vec<u8>> {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut is_changed = false;
    let mut changed = Vec::with_capacity(text.len());
    for piece in text.chunk_by(|one, next| is_part(one) == is_part(next)) {
        is_changed |= piece == word;
        changed.extend_from_slice(if piece == word { other } else { piece });
    }
    is_changed.then_some(changed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_way_wherever_it_stands_and_no_part_of_one_does() {
        let changed =
            |text: &str| with_word(text.as_bytes(), b"rtc_1", b"x").map(|text| String::from_utf8(text).unwrap());
        for (text, want) in [
            ("/v1/realtime/calls/rtc_1", Some("/v1/realtime/calls/x")),
            ("https://a/rtc_1?b=rtc_1, c", Some("https://a/x?b=x, c")),
            ("rtc_1", Some("x")),
            ("rtc_12/art_rtc_1/rtc_1-", None),
            ("", None),
        ] {
            assert_eq!(changed(text).as_deref(), want, "{text}");
        }
    }
}
