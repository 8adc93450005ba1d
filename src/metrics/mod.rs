//! What is measured: names and labels, which a host gives to Envoy.
//!
//! Envoy never forgets a name. Those of callers, policies and providers are as many as the configuration has; models come
//! from strangers, so only the first [`MAX_MODELS`] of a VM are told apart.

mod families;
mod statistics;

use std::cmp::Ordering;

use crate::denial::DenialCode;
use crate::limit::Limit;
use crate::policy::Policy;
use crate::usage::{ClosedBy, MicroUsd, Record, Tally, Transport};

pub use families::{FAMILIES, Family, label_value};
use statistics::Statistics;
pub use statistics::{Change, Statistic, StatisticId, StatisticKind};

/// How many models are told apart; all others are `other`.
pub const MAX_MODELS: usize = 64;

/// How much of a model's name is kept, in characters.
const MAX_MODEL_NAME: usize = 64;

/// Something that is measured.
#[derive(Debug, Clone, Copy)]
pub enum Metric<'a> {
    /// `sessions_active`, a gauge.
    SessionsActive {
        /// Their policy.
        policy: &'a str,
        /// What carries them.
        kind: Transport,
    },
    /// `sessions_total`: a session that began.
    SessionBegan(SessionLabels<'a>),
    /// `ended_total`: a session that ended.
    SessionEnded {
        /// Whose token opened it.
        caller: &'a str,
        /// Its policy.
        policy: &'a str,
        /// The limit that it has reached, if it has one.
        limit: Option<Limit>,
        /// The error code of a limit, or Envoy's name for why it cut the connection; `client` or `upstream`, whichever
        /// closed it; `disconnected` where a side went without a Close frame.
        reason: &'a str,
    },
    /// `session_duration_ms`, a histogram: how long a session took, in milliseconds.
    SessionDuration {
        /// Its policy.
        policy: &'a str,
        /// What carried it.
        kind: Transport,
    },
    /// `tokens_total`.
    Tokens {
        /// Who pays for them.
        caller: &'a str,
        /// Which model took or made them.
        model: &'a str,
        /// `input`, `output`, or `transcription`, of which providers do not tell the direction.
        direction: &'static str,
        /// `text`, `audio` or `image`; `cached_` before it for what came from the provider's cache, and is then in no other.
        modality: &'static str,
    },
    /// `cost_micro_usd_total`, in millionths of a US dollar.
    Cost {
        /// Who pays it.
        caller: &'a str,
        /// For which model.
        model: &'a str,
    },
    /// `estimated_tokens_total`: those of `tokens_total` that no upstream told.
    EstimatedTokens {
        /// Who pays for them.
        caller: &'a str,
    },
    /// `unpriced_total`: a response or transcription that cost nothing, or too little, for want of a price.
    Unpriced {
        /// Of which model.
        model: &'a str,
    },
    /// `rejected_total`: a request that was refused here, or whose answer was.
    Rejected {
        /// Why.
        code: DenialCode,
        /// Whose it is, if that is known.
        caller: Option<&'a str>,
        /// The limit that is reached, if it is one.
        limit: Option<Limit>,
    },
    /// `memory_bytes`, a gauge: what the streams of all workers hold.
    Memory,
    /// `secrets_minted_total`.
    SecretMinted(MintedBy),
    /// `key_rests_total`: a key of a pool began to rest, since the provider had refused it.
    KeyRests {
        /// Whose it is.
        provider: &'a str,
        /// Its name in the pool.
        key: &'a str,
    },
    /// `upstream_rejected_total`: an upstream refused what a request was sent on with.
    UpstreamRejected {
        /// Which one.
        provider: &'a str,
        /// What it was sent on with.
        credential: Presented,
    },
}

/// A session that began.
#[derive(Debug, Clone, Copy)]
pub struct SessionLabels<'a> {
    /// Whose token opened it.
    pub caller: &'a str,
    /// Its policy.
    pub policy: &'a str,
    /// Where it goes.
    pub provider: &'a str,
    /// What carries it.
    pub kind: Transport,
}

/// Who made a client secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MintedBy {
    /// The provider, and the gateway sealed it: the mode `sealed`.
    Provider,
    /// The gateway alone: the mode `local`.
    Gateway,
}

/// What the upstream was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presented {
    /// A key of the provider's configuration.
    Key,
    /// A client secret that the upstream had minted.
    ClientSecret,
}

/// Where a session's statistics stand.
#[derive(Debug, Clone, Copy)]
pub struct SessionStatistics {
    total: StatisticId,
    active: StatisticId,
    duration: StatisticId,
}

/// What sessions of one kind, that are alike in all labels, are counted in.
#[derive(Debug)]
struct LabelledSessions {
    caller: String,
    policy: String,
    provider: String,
    kind: Transport,
    stats: SessionStatistics,
}

/// What one caller uses of one model is counted in.
#[derive(Debug)]
struct LabelledUse {
    caller: String,
    model: String,
    /// In the order of [`modalities`], those that were ever used.
    tokens: [Option<StatisticId>; 9],
    cost: Option<StatisticId>,
}

/// What this worker measures.
#[derive(Debug, Default)]
pub struct Metrics {
    stats: Statistics,
    /// Sorted by their labels, as `sessions` are.
    uses: Vec<LabelledUse>,
    /// Sorted by their labels: nearly every session is like one before it.
    sessions: Vec<LabelledSessions>,
    models: Vec<String>,
    /// What this worker's part of `memory_bytes` is.
    memory: u64,
}

impl Metrics {
    /// Counts one more.
    pub fn add(&mut self, metric: Metric<'_>) {
        self.add_all(metric, 1);
    }

    /// This worker's streams hold so many bytes.
    pub fn memory(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let before = std::mem::replace(&mut self.memory, bytes);
        let id = self.statistic_id(Metric::Memory);
        self.stats.add(id, in_envoy(bytes).saturating_sub(in_envoy(before)));
    }

    /// Makes due what has changed since the last time: one change of each counter and gauge, and each value of a histogram.
    pub fn flush(&mut self) {
        self.stats.flush();
    }

    /// Takes what is due.
    pub fn drain(&mut self, each: impl FnMut(StatisticId, &Statistic, Change)) {
        self.stats.drain(each);
    }

    /// Makes known what may happen under a policy, and should be noticed the first time.
    pub fn expect(&mut self, policy: &Policy) {
        for provider in policy.providers() {
            self.declare(Metric::UpstreamRejected { provider: &provider.name, credential: Presented::Key });
            let keys = provider.pooled_keys();
            keys.for_each(|key| self.declare(Metric::KeyRests { provider: &provider.name, key }));
        }
        self.declare(Metric::Memory);
        let policy = policy.name.as_str();
        self.declare(Metric::SessionsActive { policy, kind: Transport::WebSocket });
    }

    /// Makes something known that has not happened, so that its first time is an increase.
    fn declare(&mut self, metric: Metric<'_>) {
        let id = self.statistic_id(metric);
        self.stats.declare(id);
    }

    fn add_all(&mut self, metric: Metric<'_>, amount: u64) {
        let id = self.statistic_id(metric);
        self.stats.add(id, in_envoy(amount));
    }

    fn statistic_id(&mut self, metric: Metric<'_>) -> StatisticId {
        id_among(&mut self.stats, metric)
    }

    /// A session began. What is returned is for [`session_ended`](Self::session_ended).
    pub fn session_began(&mut self, began: SessionLabels<'_>) -> SessionStatistics {
        let stats = self.session_stats(began);
        self.stats.add(stats.total, 1);
        self.stats.add(stats.active, 1);
        stats
    }

    /// A session that began has ended; what it used was measured while it ran.
    pub fn session_ended(&mut self, stats: SessionStatistics, record: &Record) {
        let reason = record.close.as_ref().map_or("disconnected", |close| match close.by {
            ClosedBy::Client | ClosedBy::Upstream if close.is_abnormal() => "disconnected",
            ClosedBy::Client => "client",
            ClosedBy::Upstream => "upstream",
            ClosedBy::Gateway => &close.reason,
        });
        let limit = record.close.as_ref().and_then(|close| close.limit);
        self.add(Metric::SessionEnded { caller: &record.caller, policy: &record.policy, reason, limit });
        self.stats.add(stats.duration, in_envoy(record.duration_ms));
        self.stats.add(stats.active, -1);
    }

    fn session_stats(&mut self, began: SessionLabels<'_>) -> SessionStatistics {
        let found = self.sessions.binary_search_by(|entry| entry.cmp(&began));
        if let Some(entry) = found.ok().and_then(|at| self.sessions.get(at)) {
            return entry.stats;
        }
        let entry = self.labelled(began);
        let stats = entry.stats;
        self.sessions.insert(found.unwrap_or_else(|at| at), entry);
        stats
    }

    fn labelled(&mut self, began: SessionLabels<'_>) -> LabelledSessions {
        let SessionLabels { caller, policy, provider, kind } = began;
        let stats = SessionStatistics {
            total: self.statistic_id(Metric::SessionBegan(began)),
            active: self.statistic_id(Metric::SessionsActive { policy, kind }),
            duration: self.statistic_id(Metric::SessionDuration { policy, kind }),
        };
        LabelledSessions {
            caller: caller.to_owned(),
            policy: policy.to_owned(),
            provider: provider.to_owned(),
            kind,
            stats,
        }
    }

    /// A caller has used this of a model, which may be empty if it is not known.
    pub fn used(&mut self, caller: &str, model: &str, (usage, cost): (&Tally, MicroUsd)) {
        let model = self.model(model);
        let at = self.uses.binary_search_by(|known| known.cmp(caller, model)).unwrap_or_else(|at| {
            self.uses.insert(at, LabelledUse::new(caller, model));
            at
        });
        let Self { stats, uses, .. } = self;
        let Some(LabelledUse { tokens, cost: cost_id, .. }) = uses.get_mut(at) else { return };
        let mut add = |id: &mut Option<StatisticId>, metric, amount| {
            let id = *id.get_or_insert_with(|| id_among(stats, metric));
            stats.add(id, in_envoy(amount));
        };
        for (id, (direction, modality, amount)) in tokens.iter_mut().zip(modalities(usage)) {
            if amount > 0 {
                add(id, Metric::Tokens { caller, model, direction, modality }, amount);
            }
        }
        if cost.0 > 0 {
            add(cost_id, Metric::Cost { caller, model }, cost.0);
        }
    }

    /// So many of a caller's tokens were not told.
    pub fn estimated(&mut self, caller: &str, tokens: u64) {
        if tokens > 0 {
            self.add_all(Metric::EstimatedTokens { caller }, tokens);
        }
    }

    /// Something was used of a model that has no price, or not for all of it.
    pub fn unpriced(&mut self, model: &str) {
        let model = self.model(model);
        self.add(Metric::Unpriced { model });
    }

    /// The label of a model.
    fn model<'a>(&mut self, model: &'a str) -> &'a str {
        if model.is_empty() {
            return "unknown";
        }
        let end = model.char_indices().nth(MAX_MODEL_NAME).map_or(model.len(), |(at, _)| at);
        let model = model.get(..end).unwrap_or_default();
        if !self.models.iter().any(|known| known == model) {
            if self.models.len() == MAX_MODELS {
                return "other";
            }
            self.models.push(model.to_owned());
        }
        model
    }
}

impl LabelledSessions {
    fn cmp(&self, began: &SessionLabels<'_>) -> Ordering {
        let callers = self.caller.as_str().cmp(began.caller);
        let policies = || self.policy.as_str().cmp(began.policy);
        let providers = || self.provider.as_str().cmp(began.provider);
        let kinds = || carrier(self.kind).cmp(carrier(began.kind));
        callers.then_with(policies).then_with(providers).then_with(kinds)
    }
}

impl LabelledUse {
    fn new(caller: &str, model: &str) -> Self {
        Self { caller: caller.to_owned(), model: model.to_owned(), tokens: [None; 9], cost: None }
    }

    /// Names are compared by their lengths first: many begin alike.
    fn cmp(&self, caller: &str, model: &str) -> Ordering {
        let lengths = (self.caller.len(), self.model.len()).cmp(&(caller.len(), model.len()));
        lengths.then_with(|| (self.caller.as_str(), self.model.as_str()).cmp(&(caller, model)))
    }
}

/// The statistic of a metric, which is made if there is none.
fn id_among(stats: &mut Statistics, metric: Metric<'_>) -> StatisticId {
    let (name, kind, labels) = statistic(metric);
    stats.id(name, kind, &labels)
}

/// Envoy takes nothing above this; such amounts do not come about.
fn in_envoy(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX)
}

/// What a metric is measured by: name, kind and labels.
fn statistic(metric: Metric<'_>) -> (&'static str, StatisticKind, Vec<(&'static str, &str)>) {
    use StatisticKind::{Counter, Gauge, Histogram};
    match metric {
        Metric::SessionsActive { policy, kind } => {
            ("sessions_active", Gauge, vec![("policy", policy), ("kind", carrier(kind))])
        }
        Metric::SessionBegan(SessionLabels { caller, policy, provider, kind }) => {
            let labels = vec![("caller", caller), ("policy", policy), ("provider", provider), ("kind", carrier(kind))];
            ("sessions_total", Counter, labels)
        }
        Metric::SessionEnded { caller, policy, reason, limit } => {
            let labels = [("caller", caller), ("policy", policy), ("reason", reason)];
            ("ended_total", Counter, labels.into_iter().chain(limit.map(of_limit)).collect())
        }
        Metric::SessionDuration { policy, kind } => {
            ("session_duration_ms", Histogram, vec![("policy", policy), ("kind", carrier(kind))])
        }
        Metric::Tokens { caller, model, direction, modality } => {
            let labels = vec![("caller", caller), ("model", model), ("direction", direction), ("modality", modality)];
            ("tokens_total", Counter, labels)
        }
        Metric::Cost { caller, model } => ("cost_micro_usd_total", Counter, vec![("caller", caller), ("model", model)]),
        Metric::EstimatedTokens { caller } => ("estimated_tokens_total", Counter, vec![("caller", caller)]),
        Metric::Unpriced { model } => ("unpriced_total", Counter, vec![("model", model)]),
        Metric::Rejected { code, caller, limit } => {
            let labels = [Some(("code", code.as_str())), caller.map(|caller| ("caller", caller)), limit.map(of_limit)];
            ("rejected_total", Counter, labels.into_iter().flatten().collect())
        }
        Metric::Memory => ("memory_bytes", Gauge, vec![]),
        Metric::SecretMinted(by) => {
            let mode = match by {
                MintedBy::Provider => "sealed",
                MintedBy::Gateway => "local",
            };
            ("secrets_minted_total", Counter, vec![("mode", mode)])
        }
        Metric::KeyRests { provider, key } => ("key_rests_total", Counter, vec![("provider", provider), ("key", key)]),
        Metric::UpstreamRejected { provider, credential } => {
            let credential = match credential {
                Presented::Key => "key",
                Presented::ClientSecret => "client_secret",
            };
            ("upstream_rejected_total", Counter, vec![("provider", provider), ("credential", credential)])
        }
    }
}

fn of_limit(limit: Limit) -> (&'static str, &'static str) {
    ("limit", limit.as_str())
}

fn carrier(kind: Transport) -> &'static str {
    match kind {
        Transport::WebSocket => "websocket",
        Transport::WebRtc => "webrtc",
    }
}

/// All tokens of a tally, each once, by direction and modality.
fn modalities(usage: &Tally) -> [(&'static str, &'static str, u64); 9] {
    let (input, output) = (usage.input, usage.output);
    [
        ("input", "text", input.text.saturating_sub(input.cached_text)),
        ("input", "audio", input.audio.saturating_sub(input.cached_audio)),
        ("input", "image", input.image.saturating_sub(input.cached_image)),
        ("input", "cached_text", input.cached_text),
        ("input", "cached_audio", input.cached_audio),
        ("input", "cached_image", input.cached_image),
        ("output", "text", output.text),
        ("output", "audio", output.audio),
        ("transcription", "audio", usage.transcription.tokens),
    ]
}

#[cfg(test)]
mod tests;
