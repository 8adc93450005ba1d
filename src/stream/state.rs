//! One stream's life: what it is in.
//!
//! ```text
//! Arrived ─┬─ it is the control API's ──────────────────────────▶ Replied
//!          ├─ policy says auth off ─────────────────────────────▶ Untouched
//!          ├─ any check fails ──────────────────────────────────▶ Replied
//!          ├─ the body is needed ▶ WaitingForBody ─┬─ not fine ─▶ Replied
//!          │                                       ├─ fine ─────▶ Forwarded
//!          │                                       └─ it mints ─▶ Minting ─▶ Sealing ─▶ Untouched; locally Replied
//!          └─ all checks pass ──────────────────────────────────▶ Forwarded ─┬─ its key is refused ─▶ ResponseReplaced
//!                                                                            ├─ 101, and metered ───▶ Relaying ─ its time is up ▶ Cut
//!                                                                            ├─ it begins a call ───▶ CallStarted
//!                                                                            └─ a REST response ends ▶ Spent
//! ```

use std::sync::Arc;
use std::time::SystemTime;

use super::body::WaitingForBody;
use super::call::SidebandOf;
use super::forward::Forwarded;
use super::mint::{Minting, Sealing};
use super::redaction::Redaction;
use super::request_head::RequestHead;
use super::rest::{RestMeter, RestUsage};
use super::unnamed_call::UnnamedCall;
use super::websocket::WebSocketRelay;
use crate::config::{ConfigurationId, Plan, Standing};
use crate::credential::PresentedTokens;
use crate::denial::Denial;
use crate::http::Edits;
use crate::memory::{MemoryAccount, Reservation};
use crate::process::{SessionHandle, Sessions};
use crate::usage::{Record, Tally};

/// One HTTP stream.
pub struct Stream {
    pub(super) plan: Arc<Plan>,
    /// Which configuration that is of those that its worker had.
    configuration: ConfigurationId,
    /// What it stands on, being a session: kept until that is over.
    pub(super) standing: Option<Box<Standing>>,
    pub(super) state: State,
    /// Its handle among the sessions of the process, from its admission to its end.
    pub(super) handle: Option<SessionHandle>,
    /// Why it was denied, if it was.
    pub(super) denied: Option<Box<Denial>>,
    /// What its client presents, as long as trailers may follow, in which that could stand again.
    pub(super) presented: Option<Box<KeptTokens>>,
    /// What must not stand in what is left of its response.
    pub(super) redaction: Option<Redaction>,
    /// The edits of a response's head that is held back.
    pub(super) held_edits: Edits,
}

/// Tokens that outlast the head in which they were presented.
pub(super) struct KeptTokens {
    pub tokens: PresentedTokens<'static>,
    _reservation: Reservation,
}

/// What a stream is in.
pub(super) enum State {
    /// Nothing was seen yet.
    Arrived,
    /// The policy asks for nothing.
    Untouched,
    /// Admitted; the body must be seen before the headers go on.
    WaitingForBody(Box<(RequestHead, WaitingForBody)>),
    /// On its way to the upstream.
    Forwarded(Box<Forwarded>),
    /// A WebSocket that is followed, and the call that it has joined.
    Relaying(Box<WebSocketRelay>, Option<Box<SidebandOf>>),
    /// The same, when its connection is being reset because its time was up.
    Cut(Box<WebSocketRelay>, Option<Box<SidebandOf>>),
    /// The upstream began a call, which is kept among the calls; this is its record as it began.
    CallStarted(Box<Record>),
    /// The upstream began a call; the response's body, which names it, is gathered.
    CallUnnamed(Box<UnnamedCall>),
    /// A REST exchange whose usage was counted, and is over.
    Spent(Box<RestUsage>),
    /// On its way to the upstream, to mint; the answer is to be sealed.
    Minting(Box<Minting>),
    /// The answer's body is gathered.
    Sealing(Box<Sealing>),
    /// Its request was answered by the filter, or it is over: nothing of the request goes on, and what comes back is the
    /// filter's own reply.
    Replied,
    /// The upstream's response has given way to the filter's own. What is left of the request goes on as before.
    ResponseReplaced,
}

impl KeptTokens {
    pub(super) fn new(tokens: PresentedTokens<'_>, memory: &MemoryAccount) -> Box<Self> {
        let tokens = tokens.into_owned();
        let _reservation = memory.reserve(size_of::<Self>() + tokens.held());
        Box::new(Self { tokens, _reservation })
    }
}

impl Stream {
    /// A stream that nothing has been seen of, under the configuration of this moment.
    pub fn new(configuration: ConfigurationId, plan: Arc<Plan>) -> Self {
        Self {
            plan,
            configuration,
            standing: None,
            state: State::Arrived,
            handle: None,
            denied: None,
            presented: None,
            redaction: None,
            held_edits: Edits::default(),
        }
    }

    /// What holds for it.
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.clone()
    }

    /// The configuration under which it began.
    pub fn configuration(&self) -> ConfigurationId {
        self.configuration
    }

    /// The configuration under which it began has given way to this one.
    pub fn judge(&mut self, plan: &Plan) {
        if let Some(standing) = &mut self.standing {
            standing.judge(plan);
        }
    }

    /// A REST exchange is over, in whatever way: counts what it has used, once.
    pub(super) fn used(
        &self,
        rest: RestMeter,
        sessions: &mut Sessions,
        now: impl FnOnce() -> SystemTime,
    ) -> Box<RestUsage> {
        let used = rest.end(&self.plan.prices);
        let model = used.model.as_deref().unwrap_or_default();
        if used.is_unpriced && !self.plan.prices.is_empty() {
            sessions.metrics.unpriced(model);
        }
        sessions.metrics.estimated(&used.caller.name, used.estimated);
        if used.usage != Tally::default() {
            sessions.used(&used.caller, model, (&used.usage, used.cost), now());
        }
        Box::new(used)
    }
}
