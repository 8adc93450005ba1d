//! What was measured, into Envoy's statistics.

use log::warn;
use proxy_wasm::types::MetricType;

use super::abi;
use realtime_byok::metrics::{Metrics, StatisticKind};

/// Takes what was measured since the last time, and makes it so in Envoy.
pub fn flush(metrics: &mut Metrics) {
    metrics.drain(|stat, amount| {
        let id = *stat.id.get_or_insert_with(|| defined(stat.kind, &stat.name));
        let (Some(id), Some(amount)) = (id, amount) else { return };
        // What Envoy would not count is missing in its statistics, and nothing else.
        let _ = match stat.kind {
            StatisticKind::Counter | StatisticKind::Gauge => abi::increment_metric(id, amount),
            StatisticKind::Histogram => abi::record_metric(id, u64::try_from(amount).unwrap_or_default()),
        };
    });
}

/// The id of a statistic; a name that Envoy does not take is told once.
fn defined(kind: StatisticKind, name: &str) -> Option<u32> {
    let kind = match kind {
        StatisticKind::Counter => MetricType::Counter,
        StatisticKind::Gauge => MetricType::Gauge,
        StatisticKind::Histogram => MetricType::Histogram,
    };
    let id = abi::define_metric(kind, name);
    if let Err(status) = id {
        warn!("realtime_byok: Envoy does not count {name}; status {}", status as u32);
    }
    id.ok()
}
