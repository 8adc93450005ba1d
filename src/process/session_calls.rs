//! Sessions that are calls, and WebSockets that have joined one: both are one session, the call's.

use std::sync::Arc;
use std::time::SystemTime;

use super::call_part::{CallPart, PartKind};
use super::peers::Peers;
use super::registry::CallName;
use super::shared_calls::{CallKey, CallTerms, NotJoined, Role, SharedCall};
use super::shared_tally::Share;
use super::{SessionHandle, Sessions};
use crate::credential::Caller;
use crate::limit::{Ending, Exceeded, Limit};
use crate::metrics::SessionLabels;
use crate::usage::{Close, IdDigest, MicroUsd, Record, Tally};

impl SessionHandle {
    /// The call that it has joined.
    pub fn joined(&self) -> Option<CallKey> {
        self.call.filter(|part| part.kind != PartKind::Call).map(|part| part.key)
    }
}

impl Sessions {
    /// The upstream began a call, which from now on can be joined from any worker.
    pub fn call_opened(
        &mut self,
        handle: &mut SessionHandle,
        began: SessionLabels<'_>,
        (terms, record): (CallTerms, &Record),
        now: SystemTime,
    ) {
        self.opened(handle, began, &|| record.clone(), now);
        let id = record.upstream_id.as_deref().unwrap_or_default();
        let key = CallKey::of(CallName { provider: &record.provider, id });
        self.calls.begin(Peers::new(&*self.shared_data, &self.heartbeats), key, terms);
        handle.call = Some(CallPart { key, kind: PartKind::Call });
    }

    /// Lets a WebSocket of a caller in that joins a call: that counts already.
    ///
    /// # Errors
    ///
    /// If nobody knows the call, or it has as many sidebands as it may, or what it shares with others is used up.
    pub fn join(
        &mut self,
        caller: &Arc<Caller>,
        call: CallName<'_>,
        role: Role,
        now: SystemTime,
    ) -> Result<(SessionHandle, CallTerms), NotJoined> {
        let key = CallKey::of(call);
        self.heartbeats.join(&*self.shared_data);
        let joined = self.calls.join(Peers::new(&*self.shared_data, &self.heartbeats), key, role)?;
        let terms = joined.terms;
        let part = CallPart { key, kind: PartKind::Joined(role, false) };
        if let Some(share) = &terms.share
            && let Err(exceeded) = self.tallies.join(&*self.shared_data, share, now)
        {
            let handle = self.handle(caller, None, Some(part));
            self.leave_call(&handle, false);
            return Err(NotJoined::Spent(exceeded));
        }
        Ok((self.handle(caller, terms.share.as_ref(), Some(part)), terms))
    }

    /// Whether one may join a call who has a share in other limits than the call.
    ///
    /// # Errors
    ///
    /// The limit on tokens or dollars that is used up.
    pub fn check_share(&mut self, share: &Share, now: SystemTime) -> Result<(), Exceeded> {
        self.tallies.join(&*self.shared_data, share, now)?;
        self.tallies.end(&*self.shared_data, share, now);
        Ok(())
    }

    /// A WebSocket that has joined a call is open, and followed. Of one that nobody has followed so far it is not known
    /// how long it has been idle: that begins now.
    pub fn joined_opened(&mut self, handle: &mut SessionHandle, now: SystemTime) {
        if let Some(CallPart { key, kind: PartKind::Joined(_, is_followed @ false) }) = &mut handle.call {
            *is_followed = true;
            if !self.calls.get(*key).is_some_and(SharedCall::is_watched) {
                self.calls.moved(*key, now);
            }
            self.calls.follow(Peers::new(&*self.shared_data, &self.heartbeats), *key);
        }
    }

    /// Counts what one who has joined a call was told, for the call, unless another was told it before: says whether it
    /// was not.
    pub fn call_used(&mut self, call: CallKey, id: Option<IdDigest>, used: (&Tally, MicroUsd)) -> bool {
        self.calls.count(Peers::new(&*self.shared_data, &self.heartbeats), call, id, used)
    }

    /// What one who has joined a call has heard of it.
    pub fn call_reported(&mut self, call: CallKey, model: Option<&str>, is_incomplete: bool) {
        self.calls.tell(call, model, is_incomplete);
    }

    /// How long the audio of a call is, in milliseconds, as far as one of this worker's sessions that has joined it knows.
    pub fn audio_of_call(&self, call: CallKey) -> u64 {
        self.calls.get(call).map_or(0, |call| call.usage.audio.milliseconds)
    }

    /// A message passed at `now` on a WebSocket; a call that it has joined is not idle either.
    pub fn moved(&mut self, handle: &SessionHandle, now: SystemTime) {
        if let Some(call) = handle.joined() {
            self.calls.moved(call, now);
        }
    }

    /// The limit on tokens or dollars that is used up of a call that one of this worker's sessions has joined.
    pub fn spent_by_call(&self, call: CallKey) -> Option<Limit> {
        self.calls.get(call)?.spent()
    }

    /// What all know of a session that is a call, as it was at the last tick, and what came since.
    pub fn shared_call_of(&self, handle: &SessionHandle) -> Option<&SharedCall> {
        handle.call.filter(|part| part.kind == PartKind::Call).and_then(|part| self.calls.get(part.key))
    }

    /// The same, as it is now.
    pub fn latest_of_call(&mut self, handle: &SessionHandle) -> Option<&SharedCall> {
        let part = handle.call.filter(|part| part.kind == PartKind::Call)?;
        self.calls.look(Peers::new(&*self.shared_data, &self.heartbeats), part.key)
    }

    /// Tells everyone who has joined a call, and the worker that it runs at, how it must end; false if no worker that is
    /// there runs it.
    pub fn end_call(&mut self, call: CallName<'_>, close: &Close) -> bool {
        self.calls.end(Peers::new(&*self.shared_data, &self.heartbeats), CallKey::of(call), close)
    }

    /// The record of a call of any worker's that has not ended.
    pub fn find_call(&mut self, call: CallName<'_>) -> Option<Record> {
        self.registry.find_call(Peers::new(&*self.shared_data, &self.heartbeats), call)
    }

    /// Tells the worker of a call that others have ended it, which sees it at its next tick.
    pub fn hung_up(&mut self, call: CallName<'_>) {
        self.registry.hung_up(Peers::new(&*self.shared_data, &self.heartbeats), call);
    }

    /// Whether others have ended a call.
    pub fn is_hung_up(&self, handle: &SessionHandle) -> bool {
        self.notices.hung_up.binary_search(&handle.number).is_ok()
    }

    /// Why one must end that has joined a call: for a limit of the call's, which is judged wherever it is known, or
    /// because the call ends.
    pub fn ending_of_joined(&self, handle: &SessionHandle, now: SystemTime) -> Option<Ending> {
        let call = self.calls.get(handle.joined()?)?;
        call.limit(now).or_else(|| match &call.ending {
            Some(Close { limit: Some(limit), .. }) => Some(Ending::Limit(*limit)),
            Some(close) if close.reason == Ending::Stopped.code() => Some(Ending::Stopped),
            Some(close) if close.reason == Ending::TokenRevoked.code() => Some(Ending::TokenRevoked),
            Some(_) => Some(Ending::CallEnded),
            None => call.has_ended().then_some(Ending::CallEnded),
        })
    }

    /// A session is over that is a call, or has joined one; `is_incomplete` says that more was told than it could count.
    pub(super) fn leave_call(&mut self, handle: &SessionHandle, is_incomplete: bool) {
        let peers = Peers::new(&*self.shared_data, &self.heartbeats);
        match handle.call {
            Some(CallPart { key, kind: PartKind::Call }) => self.calls.close(peers, key),
            Some(CallPart { key, kind: PartKind::Joined(role, was_followed) }) => {
                let followed = if was_followed { Some(is_incomplete) } else { None };
                self.calls.leave(peers, key, role, followed);
            }
            None => {}
        }
    }
}
