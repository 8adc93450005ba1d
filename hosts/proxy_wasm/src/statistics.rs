//! Envoy's statistics, and their names.
//!
//! A name carries its labels in front of what is measured, as those of Istio do:
//! `realtime_byok.caller=.=web-app;.;model=.=gpt-4.1;.;cost_micro_usd_total`. The `stats_tags` of the shipped Envoy
//! configurations take them out again, so that Prometheus sees `realtime_byok_cost_micro_usd_total` with the labels
//! `caller` and `model`, whose values may hold dots.

use std::borrow::Cow;

use log::warn;
use proxy_wasm::types::{MetricType, Status};
use realtime_byok::metrics::{Change, Statistic, StatisticId, StatisticKind};

use super::abi;

/// How long most names are at most, in bytes.
const USUAL_NAME: usize = 128;

/// Envoy's ids of the worker's statistics, by the worker's.
#[derive(Debug, Default)]
pub struct StatisticIds(Vec<Known>);

#[derive(Debug, Clone, Copy, Default)]
enum Known {
    #[default]
    NotYet,
    As(u32),
    /// Envoy does not take its name.
    Never,
}

impl StatisticIds {
    /// Makes a change, and the statistic before that if Envoy has none yet.
    pub fn change(&mut self, id: StatisticId, statistic: &Statistic, change: Change) {
        if self.0.len() <= id.index() {
            self.0.resize(id.index() + 1, Known::NotYet);
        }
        let Some(known) = self.0.get_mut(id.index()) else { return };
        if let Known::NotYet = known {
            *known = defined(statistic);
        }
        let Known::As(id) = *known else { return };
        // What Envoy would not count is missing in its statistics, and nothing else.
        let _: Result<(), Status> = match change {
            Change::Define => Ok(()),
            Change::Add(amount) => abi::increment_metric(id, amount),
            Change::Record(value) => abi::record_metric(id, value),
        };
    }
}

/// Makes a statistic; a name that Envoy does not take is logged once.
fn defined(statistic: &Statistic) -> Known {
    let kind = match statistic.kind {
        StatisticKind::Counter => MetricType::Counter,
        StatisticKind::Gauge => MetricType::Gauge,
        StatisticKind::Histogram => MetricType::Histogram,
    };
    let name = name(statistic.name, &statistic.labels);
    match abi::define_metric(kind, &name) {
        Ok(id) => Known::As(id),
        Err(status) => {
            warn!("realtime_byok: Envoy does not count {name}; status {}", status as u32);
            Known::Never
        }
    }
}

/// Envoy's name of what is measured, with labels.
fn name(measured: &str, labels: &[(&'static str, String)]) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_its_labels_in_front() {
        let labels = [("provider", "azure-eu".to_owned()), ("credential", "key".to_owned())];
        let want = "realtime_byok.provider=.=azure-eu;.;credential=.=key;.;upstream_rejected_total";
        assert_eq!(name("upstream_rejected_total", &labels), want);
    }

    #[test]
    fn no_value_ends_its_label() {
        let labels = [("caller", "a;.;caller=.=b\n".to_owned()), ("model", "m;.;".to_owned())];
        let want = "realtime_byok.caller=.=a_._caller=.=b_;.;model=.=m_._;.;cost_micro_usd_total";
        assert_eq!(name("cost_micro_usd_total", &labels), want);
    }
}
