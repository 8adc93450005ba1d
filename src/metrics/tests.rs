//! Names and values of statistics, as hosts get them.

use super::*;
use crate::testing;
use crate::usage::{Close, Input, Output, Tokens, Transcription};

fn changes(metrics: &mut Metrics) -> Vec<(String, StatisticKind, Option<i64>)> {
    let mut changes = Vec::new();
    metrics.flush();
    metrics.drain(|_, statistic, change| {
        let amount = match change {
            Change::Define => None,
            Change::Add(amount) => Some(amount),
            Change::Record(value) => Some(i64::try_from(value).unwrap()),
        };
        changes.push((joined(statistic), statistic.kind, amount));
    });
    changes
}

/// Labels and name in one, as short as it can be told apart.
fn joined(statistic: &Statistic) -> String {
    let family = statistic.family().map(|family| &FAMILIES[family]);
    assert_eq!(family.map(|family| family.kind), Some(statistic.kind), "{} is in no family", statistic.name);
    let labels: String = statistic.labels.iter().map(|(label, value)| format!("{label}={value};")).collect();
    format!("{labels}{}", statistic.name)
}

/// The one change that there is.
fn change(metrics: &mut Metrics) -> (String, StatisticKind, Option<i64>) {
    let mut changes = changes(metrics);
    assert_eq!(changes.len(), 1);
    changes.remove(0)
}

fn began(kind: Transport) -> SessionLabels<'static> {
    SessionLabels { caller: "web-app", policy: "voice", provider: "openai", kind }
}

fn record(close: Option<Close>) -> Record {
    Record { duration_ms: 1500, close, ..testing::record(1, 0) }
}

#[test]
fn a_name_has_its_labels_in_front() {
    use StatisticKind::Counter;
    for (metric, stat) in [
        (Metric::Rejected { code: DenialCode::NoPolicy, caller: None, limit: None }, "code=no_policy;rejected_total"),
        (
            Metric::Rejected { code: DenialCode::RouteNotAllowed, caller: Some("web-app"), limit: None },
            "code=route_not_allowed;caller=web-app;rejected_total",
        ),
        (
            Metric::Rejected {
                code: DenialCode::BudgetExceeded,
                caller: Some("web-app"),
                limit: Some(Limit::CallerTokensPerDay),
            },
            "code=budget_exceeded;caller=web-app;limit=caller.tokens_per_day;rejected_total",
        ),
        (
            Metric::Rejected {
                code: DenialCode::SessionLimitExceeded,
                caller: None,
                limit: Some(Limit::SecretSessions),
            },
            "code=session_limit_exceeded;limit=secret.max_sessions;rejected_total",
        ),
        (Metric::Unpriced { model: "m" }, "model=m;unpriced_total"),
        (Metric::EstimatedTokens { caller: "web-app" }, "caller=web-app;estimated_tokens_total"),
        (Metric::KeyRests { provider: "openai", key: "a" }, "provider=openai;key=a;key_rests_total"),
        (Metric::SecretMinted(MintedBy::Provider), "mode=sealed;secrets_minted_total"),
        (Metric::SecretMinted(MintedBy::Gateway), "mode=local;secrets_minted_total"),
        (
            Metric::UpstreamRejected { provider: "azure-eu", credential: Presented::Key },
            "provider=azure-eu;credential=key;upstream_rejected_total",
        ),
        (
            Metric::UpstreamRejected { provider: "openai", credential: Presented::ClientSecret },
            "provider=openai;credential=client_secret;upstream_rejected_total",
        ),
    ] {
        let mut metrics = Metrics::default();
        metrics.add(metric);
        assert_eq!(changes(&mut metrics), [(stat.to_owned(), Counter, Some(1))]);
        assert!(changes(&mut metrics).is_empty());
    }
}

#[test]
fn a_session_counts_where_it_begins_and_where_it_ends() {
    let mut metrics = Metrics::default();
    let stats = metrics.session_began(began(Transport::WebRtc));
    let labels = "caller=web-app;policy=voice;provider=openai;kind=webrtc;";
    let active = || "policy=voice;kind=webrtc;sessions_active".to_owned();
    let began = [
        (format!("{labels}sessions_total"), StatisticKind::Counter, Some(1)),
        (active(), StatisticKind::Gauge, Some(1)),
    ];
    assert_eq!(changes(&mut metrics), began);
    metrics.session_ended(stats, &record(None));
    let duration = "policy=voice;kind=webrtc;session_duration_ms".to_owned();
    let ended = [
        ("caller=web-app;policy=voice;reason=disconnected;ended_total".into(), StatisticKind::Counter, Some(1)),
        (active(), StatisticKind::Gauge, Some(-1)),
        (duration, StatisticKind::Histogram, Some(1500)),
    ];
    assert_eq!(changes(&mut metrics), ended);
}

#[test]
fn only_the_gateways_own_words_become_a_reason() {
    let limit = Some(Limit::SecretTokens);
    for (by, code, limit, labels) in [
        (ClosedBy::Client, 1000, None, "reason=client;"),
        (ClosedBy::Upstream, 1000, None, "reason=upstream;"),
        (ClosedBy::Client, 1006, None, "reason=disconnected;"),
        (ClosedBy::Upstream, 1006, None, "reason=disconnected;"),
        (ClosedBy::Gateway, 4429, limit, "reason=budget_exceeded;limit=secret.max_tokens;"),
        (ClosedBy::Gateway, 1006, None, "reason=budget_exceeded;"),
    ] {
        let mut metrics = Metrics::default();
        let stats = metrics.session_began(began(Transport::WebSocket));
        metrics.session_ended(stats, &record(Some(Close { by, code, reason: "budget_exceeded".into(), limit })));
        let stat = format!("caller=web-app;policy=voice;{labels}ended_total");
        assert!(changes(&mut metrics).contains(&(stat, StatisticKind::Counter, Some(1))), "{labels}");
    }
}

#[test]
fn every_token_counts_once() {
    let mut usage = Tally::response(Tokens {
        input: Input { text: 7, audio: 15, image: 3, cached_text: 6, cached_audio: 4, cached_image: 2 },
        output: Output { text: 11, audio: 13 },
        ..Tokens::default()
    });
    usage.add(&Tally::transcription(Transcription { tokens: 9, milliseconds: 0 }));
    let mut metrics = Metrics::default();
    metrics.used("web-app", "gpt-4.1", (&usage, MicroUsd(42)));
    let changes = changes(&mut metrics);
    let tokens: i64 =
        changes.iter().filter(|(stat, ..)| stat.ends_with(";tokens_total")).filter_map(|(.., amount)| *amount).sum();
    assert_eq!(tokens, 7 + 15 + 3 + 11 + 13 + 9);
    let labels = "caller=web-app;model=gpt-4.1;";
    for (stat, amount) in [
        ("direction=input;modality=text;tokens_total", 1),
        ("direction=input;modality=audio;tokens_total", 11),
        ("direction=input;modality=cached_audio;tokens_total", 4),
        ("direction=output;modality=audio;tokens_total", 13),
        ("direction=transcription;modality=audio;tokens_total", 9),
        ("cost_micro_usd_total", 42),
    ] {
        assert!(changes.contains(&(format!("{labels}{stat}"), StatisticKind::Counter, Some(amount))), "{stat}");
    }
}

#[test]
fn nothing_used_is_nothing_measured_unless_it_is_to_be_known() {
    let mut metrics = Metrics::default();
    metrics.used("web-app", "gpt-realtime", (&Tally::default(), MicroUsd(0)));
    assert!(changes(&mut metrics).is_empty());
    for metric in [Metric::SessionsActive { policy: "voice", kind: Transport::WebSocket }, Metric::Memory] {
        metrics.declare(metric);
        let (_, kind, amount) = change(&mut metrics);
        assert_eq!((kind, amount), (StatisticKind::Gauge, None));
    }
}

#[test]
fn equal_changes_are_one_and_values_stay_apart() {
    let mut metrics = Metrics::default();
    let stats = metrics.session_began(began(Transport::WebSocket));
    for _ in 1..10_000 {
        metrics.session_began(began(Transport::WebSocket));
    }
    metrics.session_ended(stats, &record(None));
    metrics.session_ended(stats, &Record { duration_ms: 7, ..record(None) });
    metrics.declare(Metric::SessionsActive { policy: "voice", kind: Transport::WebSocket });
    let changes = changes(&mut metrics);
    let amounts = |measured: &str| -> Vec<_> {
        changes.iter().filter(|(stat, ..)| stat.ends_with(measured)).filter_map(|(.., amount)| *amount).collect()
    };
    assert_eq!((amounts(";sessions_total"), amounts(";sessions_active")), (vec![10_000], vec![9_998]));
    assert_eq!((amounts(";ended_total"), amounts(";session_duration_ms")), (vec![2], vec![1500, 7]));
    assert_eq!(changes.len(), 5);
}

#[test]
fn strangers_make_no_more_than_so_many_names() {
    let mut metrics = Metrics::default();
    let mut stats = std::collections::HashSet::new();
    for index in 0..10 * MAX_MODELS {
        metrics.used("web-app", &format!("{index}-{}", "x".repeat(index)), (&Tally::default(), MicroUsd(1)));
        stats.insert(change(&mut metrics).0);
    }
    assert_eq!(stats.len(), MAX_MODELS + 1);
    assert!(stats.iter().all(|stat| stat.len() < 160));
    metrics.used("web-app", "0-", (&Tally::default(), MicroUsd(1)));
    assert!(change(&mut metrics).0.contains("model=0-;"), "a known model was forgotten");
    metrics.used("web-app", "", (&Tally::default(), MicroUsd(1)));
    assert!(change(&mut metrics).0.contains("model=unknown;"));
}

#[test]
fn amounts_beyond_envoys_are_cut() {
    let mut metrics = Metrics::default();
    metrics.used("web-app", "m", (&Tally::default(), MicroUsd(u64::MAX)));
    metrics.used("web-app", "m", (&Tally::default(), MicroUsd(1)));
    assert_eq!(change(&mut metrics).2, Some(i64::MAX));
}

#[test]
fn sessions_are_distinguished_by_every_label() {
    let mut metrics = Metrics::default();
    let like = began(Transport::WebSocket);
    let others = [
        SessionLabels { caller: "b", ..like },
        SessionLabels { policy: "p", ..like },
        SessionLabels { provider: "x", ..like },
        began(Transport::WebRtc),
    ];
    for began in others.into_iter().chain([like]).chain(others) {
        metrics.session_began(began);
    }
    let totals = changes(&mut metrics).into_iter().filter(|(stat, ..)| stat.ends_with(";sessions_total"));
    let mut amounts: Vec<_> = totals.filter_map(|(.., amount)| amount).collect();
    amounts.sort_unstable();
    assert_eq!(amounts, [1, 2, 2, 2, 2]);
}
