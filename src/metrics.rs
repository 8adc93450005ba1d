//! What is measured, and Envoy's names for it.
//!
//! A name carries its labels in front of what is measured, as those of Istio do:
//! `realtime_byok.caller=.=web-app;.;model=.=gpt-4.1;.;cost_micro_usd_total`. The `stats_tags` of the shipped Envoy
//! configurations take them out again, so that Prometheus sees `realtime_byok_cost_micro_usd_total` with the labels
//! `caller` and `model`, whose values may hold dots.
//!
//! Envoy never forgets a name. Those of callers, policies and providers are as many as the configuration has; models come
//! from strangers, so only the first [`MAX_MODELS`] of a VM are told apart.

use std::borrow::Cow;

use crate::denial::Reason;
use crate::limits::Ending;
use crate::policy::Policy;
use crate::usage::{ClosedBy, Kind, MicroUsd, Record, Tally};

/// How many models are told apart; all others are `other`.
pub const MAX_MODELS: usize = 64;

/// How much of a model's name is kept, in characters.
const MAX_MODEL_NAME: usize = 64;

/// How long most names are at most, in bytes.
const USUAL_NAME: usize = 128;

/// Something to be measured.
#[derive(Debug, Clone, Copy)]
pub enum Metric<'a> {
    /// `sessions_active`, a gauge: so many sessions more, or fewer.
    SessionsActive {
        /// Their policy.
        policy: &'a str,
        /// What carries them.
        kind: Kind,
        /// How many.
        change: i64,
    },
    /// `sessions_total`: a session that began.
    SessionBegan {
        /// Whose token opened it.
        caller: &'a str,
        /// Its policy.
        policy: &'a str,
        /// Where it goes.
        provider: &'a str,
        /// What carries it.
        kind: Kind,
    },
    /// `ended_total`: a session that ended.
    SessionEnded {
        /// Its policy.
        policy: &'a str,
        /// The error code of a limit; else `client` or `upstream`, whichever closed it; else `disconnected`.
        reason: &'a str,
    },
    /// `session_duration_ms`, a histogram: how long a session took.
    SessionDuration {
        /// Its policy.
        policy: &'a str,
        /// What carried it.
        kind: Kind,
        /// In milliseconds.
        millis: u64,
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
        /// How many.
        amount: u64,
    },
    /// `cost_micro_usd_total`.
    Cost {
        /// Who pays it.
        caller: &'a str,
        /// For which model.
        model: &'a str,
        /// In millionths of a US dollar.
        micro_usd: u64,
    },
    /// `rejected_total`: a request that was refused here, or whose answer was.
    Rejected(Reason),
    /// `secrets_minted_total`.
    SecretMinted(MintedBy),
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
pub struct Began<'a> {
    /// Its policy.
    pub policy: &'a str,
    /// Where it goes.
    pub provider: &'a str,
    /// What carries it.
    pub kind: Kind,
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

/// Envoy's kinds of statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatKind {
    /// Goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Keeps how often which values came.
    Histogram,
}

/// One change of one of Envoy's statistics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The statistic's name, labels included.
    pub stat: String,
    /// Its kind.
    pub kind: StatKind,
    /// What is added to a counter or a gauge; the value of a histogram. None makes the statistic known, and no more.
    pub amount: Option<i64>,
}

/// What was measured since it was last taken.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Counters and gauges, sorted by name, with the sum of what is added to each: ten thousand sessions that begin or speak
    /// within a second take no more room than one.
    sums: Vec<Change>,
    /// Values of histograms.
    values: Vec<Change>,
    models: Vec<String>,
}

impl Metrics {
    /// Measures something.
    pub fn add(&mut self, metric: Metric<'_>) {
        let (stat, kind, amount) = self.stat(metric);
        // Envoy takes nothing above this; such amounts do not come about.
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        if kind == StatKind::Histogram {
            self.values.push(Change { stat, kind, amount: Some(amount) });
        } else if amount != 0 {
            let sum = self.sum(stat, kind);
            *sum = Some(sum.unwrap_or_default().saturating_add(amount));
        }
    }

    /// Makes known what may happen under a policy, and should be noticed the first time.
    pub fn expect(&mut self, policy: &Policy) {
        for provider in policy.providers() {
            self.declare(Metric::UpstreamRejected { provider: &provider.name, credential: Presented::Key });
        }
        let policy = policy.name.as_str();
        self.declare(Metric::SessionsActive { policy, kind: Kind::WebSocket, change: 0 });
        self.declare(Metric::SessionEnded { policy, reason: Ending::Budget.code() });
    }

    /// Makes something known that has not happened, so that its first time is an increase.
    fn declare(&mut self, metric: Metric<'_>) {
        let (stat, kind, _) = self.stat(metric);
        self.sum(stat, kind);
    }

    /// What is added to a counter or gauge so far.
    #[expect(clippy::indexing_slicing, reason = "the place was just found or filled")]
    fn sum(&mut self, stat: String, kind: StatKind) -> &mut Option<i64> {
        let at = self.sums.binary_search_by(|change| change.stat.cmp(&stat)).unwrap_or_else(|at| {
            self.sums.insert(at, Change { stat, kind, amount: None });
            at
        });
        &mut self.sums[at].amount
    }

    /// A session of a caller's began.
    pub fn session_began(&mut self, caller: &str, Began { policy, provider, kind }: Began<'_>) {
        self.add(Metric::SessionBegan { caller, policy, provider, kind });
        self.add(Metric::SessionsActive { policy, kind, change: 1 });
    }

    /// A session that began has ended; what it used was measured while it ran.
    pub fn session_ended(&mut self, record: &Record) {
        let (policy, kind) = (record.policy.as_str(), record.kind);
        let reason = record.close.as_ref().map_or("disconnected", |close| match close.by {
            ClosedBy::Client => "client",
            ClosedBy::Upstream => "upstream",
            ClosedBy::Gateway => &close.reason,
        });
        self.add(Metric::SessionEnded { policy, reason });
        self.add(Metric::SessionDuration { policy, kind, millis: record.duration_ms });
        self.add(Metric::SessionsActive { policy, kind, change: -1 });
    }

    /// A caller has used this of a model, which may be empty if it is not known.
    pub fn used(&mut self, caller: &str, model: &str, (usage, cost): (&Tally, MicroUsd)) {
        for (direction, modality, amount) in modalities(usage) {
            self.add(Metric::Tokens { caller, model, direction, modality, amount });
        }
        self.add(Metric::Cost { caller, model, micro_usd: cost.0 });
    }

    /// Takes what was measured: one change of each counter and gauge, and each value of a histogram.
    pub fn take(&mut self) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.sums);
        changes.append(&mut self.values);
        changes
    }

    fn stat(&mut self, metric: Metric<'_>) -> (String, StatKind, i128) {
        use StatKind::{Counter, Gauge, Histogram};
        match metric {
            Metric::SessionsActive { policy, kind, change } => {
                (name("sessions_active", &[("policy", policy), ("kind", carrier(kind))]), Gauge, change.into())
            }
            Metric::SessionBegan { caller, policy, provider, kind } => {
                let labels = [("caller", caller), ("policy", policy), ("provider", provider), ("kind", carrier(kind))];
                (name("sessions_total", &labels), Counter, 1)
            }
            Metric::SessionEnded { policy, reason } => {
                (name("ended_total", &[("policy", policy), ("reason", reason)]), Counter, 1)
            }
            Metric::SessionDuration { policy, kind, millis } => {
                let labels = [("policy", policy), ("kind", carrier(kind))];
                (name("session_duration_ms", &labels), Histogram, millis.into())
            }
            Metric::Tokens { caller, model, direction, modality, amount } => {
                let model = self.model(model);
                let labels = [("caller", caller), ("model", &model), ("direction", direction), ("modality", modality)];
                (name("tokens_total", &labels), Counter, amount.into())
            }
            Metric::Cost { caller, model, micro_usd } => {
                let model = self.model(model);
                (name("cost_micro_usd_total", &[("caller", caller), ("model", &model)]), Counter, micro_usd.into())
            }
            Metric::Rejected(reason) => (name("rejected_total", &[("code", reason.code())]), Counter, 1),
            Metric::SecretMinted(by) => {
                let mode = match by {
                    MintedBy::Provider => "sealed",
                    MintedBy::Gateway => "local",
                };
                (name("secrets_minted_total", &[("mode", mode)]), Counter, 1)
            }
            Metric::UpstreamRejected { provider, credential } => {
                let credential = match credential {
                    Presented::Key => "key",
                    Presented::ClientSecret => "client_secret",
                };
                let labels = [("provider", provider), ("credential", credential)];
                (name("upstream_rejected_total", &labels), Counter, 1)
            }
        }
    }

    /// The label of a model.
    fn model(&mut self, model: &str) -> String {
        if model.is_empty() {
            return "unknown".to_owned();
        }
        let model: String = model.chars().take(MAX_MODEL_NAME).collect();
        if !self.models.contains(&model) {
            if self.models.len() == MAX_MODELS {
                return "other".to_owned();
            }
            self.models.push(model.clone());
        }
        model
    }
}

/// Envoy's name of what is measured, with labels.
fn name(measured: &str, labels: &[(&str, &str)]) -> String {
    let mut name = String::with_capacity(USUAL_NAME);
    name.push_str("realtime_byok.");
    for (label, value) in labels {
        name.push_str(label);
        name.push_str("=.=");
        name.push_str(&plain(value));
        name.push_str(";.;");
    }
    name.push_str(measured);
    name
}

/// A label's value: without a semicolon, it cannot end the label.
fn plain(value: &str) -> Cow<'_, str> {
    if value.bytes().all(|byte| matches!(byte, b' '..=b':' | b'<'..=b'~')) {
        return Cow::Borrowed(value);
    }
    value.chars().map(|char| if char == ';' || char.is_control() { '_' } else { char }).collect()
}

fn carrier(kind: Kind) -> &'static str {
    match kind {
        Kind::WebSocket => "websocket",
        Kind::WebRtc => "webrtc",
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
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::usage::{Close, Input, Output, RecordId, Status, Timestamp, Tokens, Traffic, Transcription};

    fn changes(metrics: &mut Metrics) -> Vec<(String, StatKind, Option<i64>)> {
        metrics.take().into_iter().map(|change| (change.stat, change.kind, change.amount)).collect()
    }

    fn record(close: Option<Close>) -> Record {
        Record {
            id: RecordId::new(1),
            kind: Kind::WebSocket,
            status: Status::Closed,
            upstream_id: None,
            caller: "web-app".into(),
            user: None,
            policy: "voice".into(),
            provider: "openai".into(),
            model: None,
            started_at: Timestamp::from(SystemTime::UNIX_EPOCH),
            duration_ms: 1500,
            idle_ms: 0,
            usage: Tally::default(),
            cost_usd: MicroUsd(0),
            frames: Traffic::default(),
            bytes: Traffic::default(),
            close,
            incomplete: false,
        }
    }

    #[test]
    fn a_name_has_its_labels_in_front() {
        use StatKind::Counter;
        for (metric, stat) in [
            (Metric::Rejected(Reason::NoPolicy), "code=.=no_policy;.;rejected_total"),
            (Metric::SecretMinted(MintedBy::Provider), "mode=.=sealed;.;secrets_minted_total"),
            (Metric::SecretMinted(MintedBy::Gateway), "mode=.=local;.;secrets_minted_total"),
            (
                Metric::UpstreamRejected { provider: "azure-eu", credential: Presented::Key },
                "provider=.=azure-eu;.;credential=.=key;.;upstream_rejected_total",
            ),
            (
                Metric::UpstreamRejected { provider: "openai", credential: Presented::ClientSecret },
                "provider=.=openai;.;credential=.=client_secret;.;upstream_rejected_total",
            ),
        ] {
            let mut metrics = Metrics::default();
            metrics.add(metric);
            assert_eq!(changes(&mut metrics), [(format!("realtime_byok.{stat}"), Counter, Some(1))]);
            assert!(metrics.take().is_empty());
        }
    }

    #[test]
    fn a_session_counts_where_it_begins_and_where_it_ends() {
        let mut metrics = Metrics::default();
        metrics.session_began("web-app", Began { policy: "voice", provider: "openai", kind: Kind::WebRtc });
        let labels = "caller=.=web-app;.;policy=.=voice;.;provider=.=openai;.;kind=.=webrtc;.;";
        let active = |kind: &str| format!("realtime_byok.policy=.=voice;.;kind=.={kind};.;sessions_active");
        let began = [
            (format!("realtime_byok.{labels}sessions_total"), StatKind::Counter, Some(1)),
            (active("webrtc"), StatKind::Gauge, Some(1)),
        ];
        assert_eq!(changes(&mut metrics), began);
        metrics.session_ended(&record(None));
        let duration = "realtime_byok.policy=.=voice;.;kind=.=websocket;.;session_duration_ms".to_owned();
        let ended = [
            (active("websocket"), StatKind::Gauge, Some(-1)),
            ("realtime_byok.policy=.=voice;.;reason=.=disconnected;.;ended_total".into(), StatKind::Counter, Some(1)),
            (duration, StatKind::Histogram, Some(1500)),
        ];
        assert_eq!(changes(&mut metrics), ended);
    }

    #[test]
    fn only_the_gateways_own_words_become_a_reason() {
        for (by, reason) in
            [(ClosedBy::Client, "client"), (ClosedBy::Upstream, "upstream"), (ClosedBy::Gateway, "budget_exceeded")]
        {
            let mut metrics = Metrics::default();
            metrics.session_ended(&record(Some(Close { by, code: 1000, reason: "budget_exceeded".into() })));
            let stat = format!("realtime_byok.policy=.=voice;.;reason=.={reason};.;ended_total");
            assert!(changes(&mut metrics).contains(&(stat, StatKind::Counter, Some(1))), "{reason}");
        }
    }

    #[test]
    fn every_token_counts_once() {
        let mut usage = Tally::response(Tokens {
            input: Input { text: 7, audio: 15, image: 3, cached_text: 6, cached_audio: 4, cached_image: 2 },
            output: Output { text: 11, audio: 13 },
        });
        usage.add(&Tally::transcription(Transcription { tokens: 9, milliseconds: 0 }));
        let mut metrics = Metrics::default();
        metrics.used("web-app", "gpt-4.1", (&usage, MicroUsd(42)));
        let changes = metrics.take();
        let tokens: i64 =
            changes.iter().filter(|change| change.stat.ends_with(";.;tokens_total")).filter_map(|one| one.amount).sum();
        assert_eq!(tokens, 7 + 15 + 3 + 11 + 13 + 9);
        let labels = "realtime_byok.caller=.=web-app;.;model=.=gpt-4.1;.;";
        for (stat, amount) in [
            ("direction=.=input;.;modality=.=text;.;tokens_total", 1),
            ("direction=.=input;.;modality=.=audio;.;tokens_total", 11),
            ("direction=.=input;.;modality=.=cached_audio;.;tokens_total", 4),
            ("direction=.=output;.;modality=.=audio;.;tokens_total", 13),
            ("direction=.=transcription;.;modality=.=audio;.;tokens_total", 9),
            ("cost_micro_usd_total", 42),
        ] {
            let kind = StatKind::Counter;
            assert!(
                changes.contains(&Change { stat: format!("{labels}{stat}"), kind, amount: Some(amount) }),
                "{stat}"
            );
        }
    }

    #[test]
    fn nothing_used_is_nothing_measured_unless_it_is_to_be_known() {
        let mut metrics = Metrics::default();
        metrics.used("web-app", "gpt-realtime", (&Tally::default(), MicroUsd(0)));
        assert!(metrics.take().is_empty());
        metrics.declare(Metric::SessionsActive { policy: "voice", kind: Kind::WebSocket, change: 0 });
        let known = metrics.take().remove(0);
        assert_eq!((known.kind, known.amount), (StatKind::Gauge, None));
    }

    #[test]
    fn equal_changes_are_one_and_values_stay_apart() {
        let mut metrics = Metrics::default();
        for _ in 0..10_000 {
            metrics.session_began("web-app", Began { policy: "voice", provider: "openai", kind: Kind::WebSocket });
        }
        metrics.session_ended(&record(None));
        metrics.session_ended(&Record { duration_ms: 7, ..record(None) });
        metrics.declare(Metric::SessionsActive { policy: "voice", kind: Kind::WebSocket, change: 0 });
        let changes = changes(&mut metrics);
        let amounts = |measured: &str| -> Vec<_> {
            changes.iter().filter(|(stat, ..)| stat.ends_with(measured)).filter_map(|(.., amount)| *amount).collect()
        };
        assert_eq!((amounts(";.;sessions_total"), amounts(";.;sessions_active")), (vec![10_000], vec![9_998]));
        assert_eq!((amounts(";.;ended_total"), amounts(";.;session_duration_ms")), (vec![2], vec![1500, 7]));
        assert_eq!(changes.len(), 5);
    }

    #[test]
    fn strangers_make_no_more_than_so_many_names() {
        let mut metrics = Metrics::default();
        let mut stats = std::collections::HashSet::new();
        for index in 0..10 * MAX_MODELS {
            metrics.used("web-app", &format!("{index}-{}", "x".repeat(index)), (&Tally::default(), MicroUsd(1)));
            stats.insert(metrics.take().remove(0).stat);
        }
        assert_eq!(stats.len(), MAX_MODELS + 1);
        assert!(stats.iter().all(|stat| stat.len() < 160));
        metrics.used("web-app", "0-", (&Tally::default(), MicroUsd(1)));
        assert!(metrics.take().remove(0).stat.contains("model=.=0-;.;"), "a known model was forgotten");
        metrics.used("web-app", "", (&Tally::default(), MicroUsd(1)));
        assert!(metrics.take().remove(0).stat.contains("model=.=unknown;.;"));
    }

    #[test]
    fn no_value_ends_its_label() {
        let mut metrics = Metrics::default();
        metrics.used("a;.;caller=.=b\n", "m;.;", (&Tally::default(), MicroUsd(1)));
        let stat = metrics.take().remove(0).stat;
        assert_eq!(stat, "realtime_byok.caller=.=a_._caller=.=b_;.;model=.=m_._;.;cost_micro_usd_total");
    }

    #[test]
    fn amounts_beyond_envoys_are_cut() {
        let mut metrics = Metrics::default();
        metrics.used("web-app", "m", (&Tally::default(), MicroUsd(u64::MAX)));
        metrics.used("web-app", "m", (&Tally::default(), MicroUsd(1)));
        assert_eq!(metrics.take().remove(0).amount, Some(i64::MAX));
    }
}
