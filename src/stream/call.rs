//! WebRTC calls, as the streams see them that begin one, join one or end one.

use std::sync::Arc;
use std::time::SystemTime;

use super::Context;
use super::admission::Admission;
use super::denials::limit_denial;
use super::joined_call::JoinedCall;
use super::upstream::Upstream;
use crate::call::{Call, Hangup, ProviderKey, Watch};
use crate::denial::Denial;
use crate::endpoint::{CallId, CallPath, SidebandPath};
use crate::host::{Attribute, StreamHost};
use crate::http::Target;
use crate::limit::{Ending, Exceeded, Limit};
use crate::policy::{Permission, Placement, Provider};
use crate::process::{CallName, CallTerms, NotJoined, Role, SessionHandle};
use crate::secret::Secret;
use crate::usage::{Close, ClosedBy, Record, Transport};

/// A call that begins, and what ends it.
pub(crate) struct StartedCall {
    call: Call,
    path: CallPath,
    provider_key: Option<ProviderKey>,
}

/// What is kept of a request that begins a call until a response names it.
pub(crate) struct CallRequest {
    /// Where it was sent.
    pub path: CallPath,
    /// The model, as the provider calls it, if the request names one.
    pub model: Option<String>,
    /// What ends the call; none where the filter does not know the provider's key.
    pub provider_key: Option<ProviderKey>,
}

/// A call that a WebSocket has joined, and what ends it.
pub(crate) struct SidebandOf {
    id: CallId,
    path: SidebandPath,
    role: Role,
    provider_key: Option<ProviderKey>,
}

/// Whether the caller may join a call of its own, as the last of all checks. One that is known counts as the one session
/// that both are.
pub(crate) fn join(
    call: CallName<'_>,
    role: Role,
    admission: &Admission,
    cx: &mut Context<'_>,
) -> Result<(Option<SessionHandle>, Option<JoinedCall>), Denial> {
    let alone = |cx: &mut Context<'_>| admission.start(cx).map(|handle| (handle, None));
    if cx.worker.sessions.find_call(call).is_none() {
        return alone(cx);
    }
    let now = cx.host.now();
    let sessions = &mut cx.worker.sessions;
    sessions.check_budget(&admission.caller, || now).map_err(limit_denial)?;
    if let Some(share) = admission.share.as_deref() {
        sessions.check_share(share, now).map_err(limit_denial)?;
    }
    match sessions.join(&admission.caller, call, role, now) {
        Ok((handle, terms)) => {
            let joined = handle.joined().map(|key| JoinedCall::new(key, terms));
            Ok((Some(handle), joined))
        }
        // Nobody knows when one leaves.
        Err(NotJoined::Full) => Err(limit_denial(Exceeded { limit: Limit::CallSidebands, retry_after: 5 })),
        Err(NotJoined::Spent(exceeded)) => Err(limit_denial(exceeded)),
        Err(NotJoined::Unknown) => alone(cx),
    }
}

/// The key that ends a call which a request begins or joins: the one that the request goes on with. If that is the
/// upstream's own secret, which can end nothing, it is a key of the provider's.
pub(crate) fn provider_key(
    admission: &Admission,
    upstream: &Upstream<'_>,
    sent: Option<(Placement, Arc<Secret>)>,
    cx: &Context<'_>,
) -> Option<ProviderKey> {
    let has_own = admission.upstream_secret().is_some();
    let (placement, value) = if has_own { admission.provider_key(upstream.provider, cx) } else { sent }?;
    Some(ProviderKey { provider: upstream.provider.clone(), placement, value })
}

impl StartedCall {
    /// The upstream began the call `id` that was asked for.
    pub(crate) fn new(
        id: &CallId,
        request: CallRequest,
        admission: &Admission,
        provider: &Provider,
        host: &dyn StreamHost,
    ) -> Self {
        let started = host.now();
        let CallRequest { path, model, provider_key } = request;
        let record = Record {
            kind: Transport::WebRtc,
            upstream_id: Some(id.as_str().to_owned()),
            model,
            ..admission.record(host.random_bytes().map_or(0, u128::from_le_bytes), provider.name.clone(), started)
        };
        let watch = if needs_watching(admission) { Watch::UnwatchedSince(started) } else { Watch::NotNeeded };
        Self { call: Call::new(record, started, watch), path, provider_key }
    }

    /// Its record as it begins.
    pub(crate) fn record(&self) -> &Record {
        &self.call.record
    }

    /// It must end as soon as it is known how.
    pub(crate) fn stop(&mut self, now: SystemTime) {
        self.call.stop(Ending::Stopped.close(), now);
    }

    /// What it begins with, for those who join it.
    pub(crate) fn terms(&self, admission: &Admission) -> CallTerms {
        let Call { record, started, .. } = &self.call;
        let (policy, secrets_max_duration) = admission.limits();
        let (share, sidebands) = (admission.share.as_deref().copied(), admission.policy.calls.sidebands);
        CallTerms { record: record.id, started: *started, policy, secrets_max_duration, share, sidebands }
    }

    /// The call, to be kept among others, and what ends it, which the stream that began it tells.
    pub(crate) fn into_call(self, handle: Option<SessionHandle>, host: &dyn StreamHost) -> Call {
        let Self { mut call, path, provider_key } = self;
        call.hangup = hangup(call.id(), &|of| path.collection(of), provider_key, host);
        call.handle = handle;
        call
    }
}

impl SidebandOf {
    /// The call of this upstream's id, joined at this path.
    pub(crate) fn new(id: CallId, path: SidebandPath, role: Role, provider_key: Option<ProviderKey>) -> Self {
        Self { id, path, role, provider_key }
    }

    /// Whether the call ends with a WebSocket that has ended in this way; `is_joined` says that the call is known here. A
    /// watcher's faults are its own, and so is the token of whoever joins a call that has one too.
    pub(crate) fn ends_call(&self, close: &Close, is_joined: bool) -> bool {
        let is_revoked = close.reason == Ending::TokenRevoked.code();
        let is_own = match self.role {
            Role::Sideband => is_revoked && is_joined,
            Role::Watcher => is_revoked || close.reason == Ending::ProtocolError("".into()).code(),
        };
        close.by == ClosedBy::Gateway && close.reason != Ending::CallEnded.code() && !is_own
    }

    /// The WebSocket that joined it was ended here, and the call must end with it.
    pub(crate) fn end(self, record: &Record, host: &dyn StreamHost, now: SystemTime) -> Call {
        let hangup = hangup(self.id.as_str(), &|path| self.path.collection(path), self.provider_key, host);
        let record =
            Record { kind: Transport::WebRtc, upstream_id: Some(self.id.as_str().to_owned()), ..record.clone() };
        let mut call = Call::new(record, now, Watch::NotNeeded);
        call.hangup = hangup;
        call
    }
}

/// Whether a call has a limit that only those can keep who hear what it uses: its media passes the gateway by.
fn needs_watching(admission: &Admission) -> bool {
    let of_secret = admission.share.as_ref().is_some_and(|share| share.limits.has_budget());
    let has_budget = of_secret || admission.policy.limits.has_budget() || admission.caller.limits.has_budget();
    has_budget && admission.policy.is_metered && admission.policy.calls.unwatched == Permission::Refused
}

/// What ends a call, by what is known of the request that began or joined it; `collection` says of its path below which
/// one the call stands.
fn hangup(
    id: &str,
    collection: &dyn Fn(&[u8]) -> Vec<u8>,
    key: Option<ProviderKey>,
    host: &dyn StreamHost,
) -> Option<Hangup> {
    let key = key?;
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).ok();
    let (cluster, authority) =
        (host.attribute(Attribute::Cluster).and_then(text)?, host.attribute(Attribute::Authority).and_then(text)?);
    let path = host.attribute(Attribute::Path)?;
    let target = Target::parse(&path);
    let calls = collection(target.path);
    Some(Hangup::new(id, cluster, authority, &Target { path: &calls, ..target }, &key))
}
