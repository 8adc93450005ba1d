//! WebRTC calls, as the streams see them that begin one, join one or end one.

use std::rc::Rc;
use std::time::SystemTime;

use super::admission::Admission;
use super::denials::{limit_denial, route_not_allowed};
use super::request_head::RequestHead;
use super::upstream::Upstream;
use crate::call::{Call, Hangup, ProviderKey, id_in};
use crate::denial::Denial;
use crate::endpoint::{Endpoint, Match, endpoint};
use crate::host::{StreamHost, UpstreamRequest, roll};
use crate::http::Target;
use crate::policy::{Placement, Provider};
use crate::process::{CallName, SessionHandle};
use crate::secret::Secret;
use crate::usage::{Record, SessionKind};

/// A call that begins, and what ends it.
pub struct StartedCall {
    call: Call,
    provider_key: Option<ProviderKey>,
}

/// A call that a WebSocket has joined, and what ends it.
pub struct SidebandOf {
    id: String,
    provider_key: Option<ProviderKey>,
}

/// The call that a realtime WebSocket asks to join, by `?call_id=rtc_…`: its model was judged when it began. Elsewhere
/// the parameter would mean nothing, and excuse nothing.
pub fn call_joined(target: &Target<'_>) -> Option<String> {
    let mut ids = target.params().filter(|param| param.is("call_id"));
    let (id, other) = (ids.next()?.value()?, ids.next());
    let is_one = other.is_none() && id_in(id.as_bytes()) == Some(&*id);
    let is_realtime = || matches!(endpoint(target.path), Some((Endpoint::Socket, Match::Exact)));
    (is_one && is_realtime()).then(|| id.into_owned())
}

/// The call that a request asks the upstream to end.
pub fn call_hung_up(head: &RequestHead<'_>) -> Option<String> {
    if head.method != b"POST" {
        return None;
    }
    match endpoint(head.target.path)? {
        (Endpoint::Hangup(id), _) => Some(id.to_owned()),
        _ => None,
    }
}

/// Whether a WebSocket may join a call, as the last of all checks. A call that is known is its caller's and its user's,
/// and counts as the one session that both are.
pub fn join(
    call: CallName<'_>,
    admission: &Admission,
    host: &impl StreamHost,
) -> Result<Option<SessionHandle>, Denial> {
    let known = host.sessions().borrow_mut().find_call(call);
    let Some(known) = known else { return admission.start(host) };
    let user = admission.client_secret.as_ref().and_then(|client_secret| client_secret.user.as_ref());
    let is_users = user.zip(known.user.as_ref()).is_none_or(|(user, known)| user == known);
    if known.caller != admission.caller.name || !is_users {
        return Err(route_not_allowed());
    }
    host.sessions().borrow_mut().join(&admission.caller, || host.now()).map(Some).map_err(limit_denial)
}

/// The key that ends a call which a request begins or joins: the one that the request goes on with. If that is the
/// upstream's own secret, which can end nothing, it is a key of the provider's.
pub fn provider_key(
    admission: &Admission,
    upstream: &Upstream<'_>,
    sent: Option<(Placement, Rc<Secret>)>,
    host: &impl StreamHost,
) -> Option<ProviderKey> {
    let has_own = admission.upstream_secret().is_some();
    let (placement, value) = if has_own { upstream.provider.credential(None, || roll(host)) } else { sent }?;
    Some(ProviderKey { provider: upstream.provider.clone(), placement, value })
}

impl StartedCall {
    /// The upstream began the call `id` that was asked for.
    pub fn new(
        id: &str,
        admission: &Admission,
        provider: &Provider,
        model: Option<String>,
        provider_key: Option<ProviderKey>,
        host: &impl StreamHost,
    ) -> Self {
        let started = host.now();
        let record = Record {
            kind: SessionKind::WebRtc,
            upstream_id: Some(id.to_owned()),
            model,
            ..admission.record(host.random().map_or(0, u128::from_le_bytes), provider.name.clone(), started)
        };
        Self { call: Call::new(record, started, admission.limits().max_duration), provider_key }
    }

    /// Its record as it begins.
    pub fn record(&self) -> &Record {
        &self.call.record
    }

    /// The stream that began it is over, and tells what ends the call.
    pub fn into_call(self, handle: Option<SessionHandle>, request: &impl UpstreamRequest) -> Call {
        let Self { mut call, provider_key } = self;
        call.hangup = hangup(call.id(), b"", provider_key, request);
        call.handle = handle;
        call
    }
}

impl SidebandOf {
    /// The call of this id.
    pub fn new(id: String, provider_key: Option<ProviderKey>) -> Self {
        Self { id, provider_key }
    }

    /// The WebSocket that joined it was ended here, and the call must end with it.
    pub fn end(self, record: &Record, request: &impl UpstreamRequest, now: SystemTime) -> Call {
        let hangup = hangup(&self.id, b"/calls", self.provider_key, request);
        let record = Record { kind: SessionKind::WebRtc, upstream_id: Some(self.id), ..record.clone() };
        let mut call = Call::new(record, now, None);
        call.hangup = hangup;
        call
    }
}

/// What ends a call, by what was told of the request that began or joined it; `below` is where calls are below its path.
fn hangup(id: &str, below: &[u8], key: Option<ProviderKey>, request: &impl UpstreamRequest) -> Option<Hangup> {
    let key = key?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
    let (cluster, authority) = (request.cluster().and_then(text)?, request.authority().and_then(text)?);
    let path = request.path()?;
    let target = Target::parse(&path);
    let calls = [target.path.strip_suffix(b"/").unwrap_or(target.path), below].concat();
    Some(Hangup::new(id, cluster, authority, &Target { path: &calls, ..target }, &key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_joined_by_one_plain_id() {
        for (path, id) in [
            ("/v1/realtime?call_id=rtc_u1-A", Some("rtc_u1-A")),
            ("/v1/realtime?model=m&call%5Fid=rtc_1", Some("rtc_1")),
            ("/v1/realtime?call_id=", None),
            ("/v1/realtime?call_id=a/b", None),
            ("/v1/realtime?call_id=a%3Fb", None),
            ("/v1/realtime?call_id=rtc_1&call_id=rtc_2", None),
            ("/v1/realtime?model=m", None),
            ("/v1/responses?call_id=rtc_1", None),
        ] {
            assert_eq!(call_joined(&Target::parse(path.as_bytes())).as_deref(), id, "{path}");
        }
    }
}
