//! The worker's statistics as Envoy's.

use proxy_wasm::types::MetricType;
use realtime_byok::host::Level;
use realtime_byok::metrics::{Change, Statistic, StatisticId, StatisticKind};

use super::abi::{self, Status};

/// Envoy's ids of the worker's statistics, by the worker's.
#[derive(Debug, Default)]
pub(crate) struct StatisticIds(Vec<Known>);

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
    pub(crate) fn change(&mut self, id: StatisticId, statistic: &Statistic, change: Change) {
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
    let name = abi::statistic_name(statistic.name, &statistic.labels);
    match abi::define_metric(kind, &name) {
        Ok(id) => Known::As(id),
        Err(status) => {
            abi::log(Level::Warn, &format!("realtime_byok: Envoy does not count {name}; status {status}"));
            Known::Never
        }
    }
}
