//! All that is ever measured, for hosts that must know it before anything is.

use std::borrow::Cow;

use super::Statistic;
use super::statistics::StatisticKind::{self, Counter, Gauge, Histogram};

/// Statistics of one name and kind that have the same labels, whatever their values.
#[derive(Debug, PartialEq, Eq)]
pub struct Family {
    /// What is measured, such as `tokens_total`.
    pub name: &'static str,
    /// Their kind.
    pub kind: StatisticKind,
    /// The labels, in the order of [`Statistic::labels`].
    pub labels: &'static [&'static str],
}

/// Every family. A name stands here once for each set of labels that it may have.
pub const FAMILIES: &[Family] = &[
    family("sessions_active", Gauge, &["policy", "kind"]),
    family("sessions_total", Counter, &["caller", "policy", "provider", "kind"]),
    family("ended_total", Counter, &["caller", "policy", "reason"]),
    family("ended_total", Counter, &["caller", "policy", "reason", "limit"]),
    family("session_duration_ms", Histogram, &["policy", "kind"]),
    family("tokens_total", Counter, &["caller", "model", "direction", "modality"]),
    family("cost_micro_usd_total", Counter, &["caller", "model"]),
    family("estimated_tokens_total", Counter, &["caller"]),
    family("unpriced_total", Counter, &["model"]),
    family("rejected_total", Counter, &["code"]),
    family("rejected_total", Counter, &["code", "caller"]),
    family("rejected_total", Counter, &["code", "limit"]),
    family("rejected_total", Counter, &["code", "caller", "limit"]),
    family("memory_bytes", Gauge, &[]),
    family("key_rests_total", Counter, &["provider", "key"]),
    family("secrets_minted_total", Counter, &["mode"]),
    family("upstream_rejected_total", Counter, &["provider", "credential"]),
];

impl Statistic {
    /// Which of [`FAMILIES`] it is one of.
    pub fn family(&self) -> Option<usize> {
        let labels = || self.labels.iter().map(|(label, _)| *label);
        FAMILIES.iter().position(|family| family.name == self.name && labels().eq(family.labels.iter().copied()))
    }
}

/// A label's value as Envoy gets it: without a semicolon, it cannot end a label in a statistic's name, and without a control
/// character no line.
pub fn label_value(value: &str) -> Cow<'_, str> {
    if value.bytes().all(|byte| matches!(byte, b' '..=b':' | b'<'..=b'~')) {
        return Cow::Borrowed(value);
    }
    value.chars().map(|char| if char == ';' || char.is_control() { '_' } else { char }).collect()
}

const fn family(name: &'static str, kind: StatisticKind, labels: &'static [&'static str]) -> Family {
    Family { name, kind, labels }
}
