//! Statistics, each made once by its name and labels and found by its id from then on, and what has changed in them.

use std::cmp::Ordering;

/// Envoy's kinds of statistics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatisticKind {
    /// Goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Keeps how often which values came.
    Histogram,
}

/// One of Envoy's statistics.
#[derive(Debug)]
pub struct Statistic {
    /// What is measured, such as `tokens_total`.
    pub name: &'static str,
    /// Labels and their values, in an order that depends on the name alone. Values may hold any characters.
    pub labels: Vec<(&'static str, String)>,
    /// Its kind.
    pub kind: StatisticKind,
    /// What is to be added to a counter or a gauge.
    sum: Option<i64>,
    is_waiting: bool,
}

/// What becomes of a statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is to be known, and nothing is added to it: its first time will be an increase.
    Define,
    /// This is added to a counter or a gauge; only gauges get less than nothing.
    Add(i64),
    /// A histogram gets this value.
    Record(u64),
}

/// Which statistic of the [`Statistics`] that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatisticId(usize);

/// All statistics that were ever used.
#[derive(Debug, Default)]
pub(crate) struct Statistics {
    all: Vec<Statistic>,
    /// Sorted by what [`Statistic::cmp`] compares.
    sorted: Vec<StatisticId>,
    /// Counters and gauges that have changed, each once: ten thousand sessions that begin or speak within a second take no
    /// more room than one.
    waiting: Vec<StatisticId>,
    /// Values that histograms are to get.
    values: Vec<(StatisticId, i64)>,
    /// What the host is to do next.
    due: Vec<(StatisticId, Change)>,
}

impl StatisticId {
    /// Its number: the first is 0, the next 1.
    pub fn index(self) -> usize {
        self.0
    }
}

impl Statistics {
    /// The statistic of this name and these labels, which is made if there is none.
    pub(crate) fn id(
        &mut self,
        name: &'static str,
        kind: StatisticKind,
        labels: &[(&'static str, &str)],
    ) -> StatisticId {
        let compare = |&StatisticId(at): &StatisticId| {
            self.all.get(at).map_or(Ordering::Less, |statistic| statistic.cmp(name, labels))
        };
        match self.sorted.binary_search_by(compare) {
            Ok(at) => self.sorted.get(at).copied().unwrap_or(StatisticId(usize::MAX)),
            Err(at) => {
                let id = StatisticId(self.all.len());
                self.sorted.insert(at, id);
                let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
                self.all.push(Statistic { name, labels, kind, sum: None, is_waiting: false });
                id
            }
        }
    }

    /// Adds to a counter or a gauge; gives a histogram one more value.
    pub(crate) fn add(&mut self, id: StatisticId, amount: i64) {
        let Some(statistic) = self.all.get_mut(id.0) else { return };
        if statistic.kind == StatisticKind::Histogram {
            self.values.push((id, amount));
        } else if amount != 0 {
            statistic.sum = Some(statistic.sum.unwrap_or_default().saturating_add(amount));
            self.declare(id);
        }
    }

    /// Has a counter or a gauge known even if nothing is added to it.
    pub(crate) fn declare(&mut self, id: StatisticId) {
        if let Some(statistic) = self.all.get_mut(id.0).filter(|statistic| !statistic.is_waiting) {
            statistic.is_waiting = true;
            self.waiting.push(id);
        }
    }

    /// Makes due what has changed since the last time: one change of each counter and gauge, and each value of a histogram.
    pub(crate) fn flush(&mut self) {
        for id in self.waiting.drain(..) {
            if let Some(statistic) = self.all.get_mut(id.0) {
                statistic.is_waiting = false;
                self.due.push((id, statistic.sum.take().map_or(Change::Define, Change::Add)));
            }
        }
        let values = self.values.drain(..);
        self.due.extend(values.map(|(id, value)| (id, Change::Record(u64::try_from(value).unwrap_or_default()))));
    }

    /// Takes what is due.
    pub(crate) fn drain(&mut self, mut each: impl FnMut(StatisticId, &Statistic, Change)) {
        for (id, change) in self.due.drain(..) {
            if let Some(statistic) = self.all.get(id.0) {
                each(id, statistic, change);
            }
        }
    }
}

impl Statistic {
    /// Values are compared by their lengths first: many begin alike.
    fn cmp(&self, name: &str, labels: &[(&'static str, &str)]) -> Ordering {
        let values = self.labels.iter().map(|(_, value)| (value.len(), value.as_str()));
        self.name.cmp(name).then_with(|| values.cmp(labels.iter().map(|(_, value)| (value.len(), *value))))
    }
}
