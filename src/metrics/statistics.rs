//! Statistics, each made by its name once and found by its id from then on, and what of them the host has not got.

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
    /// Its name, labels included.
    pub name: String,
    /// Its kind.
    pub kind: StatisticKind,
    /// Envoy's id of it, once that was asked; none of one that Envoy would not make.
    pub id: Option<Option<u32>>,
    /// What is to be added to a counter or a gauge.
    sum: Option<i64>,
    is_waiting: bool,
}

/// Where a statistic stands among the [`Statistics`] that made it.
#[derive(Debug, Clone, Copy)]
pub struct StatisticId(usize);

/// All statistics that were ever used.
#[derive(Debug, Default)]
pub struct Statistics {
    all: Vec<Statistic>,
    /// Sorted by the lengths of their names, then by these: many begin alike.
    by_name: Vec<StatisticId>,
    /// Counters and gauges that are to be told, each once: ten thousand sessions that begin or speak within a second take no
    /// more room than one.
    waiting: Vec<StatisticId>,
    /// Values of histograms that are to be told.
    values: Vec<(StatisticId, i64)>,
}

impl Statistics {
    /// The place of the statistic of this name, which is made if there is none.
    pub fn id(&mut self, name: String, kind: StatisticKind) -> StatisticId {
        let sought = Some((name.len(), name.as_str()));
        let key = |&StatisticId(at): &StatisticId| self.all.get(at).map(|stat| (stat.name.len(), stat.name.as_str()));
        let at = self.by_name.partition_point(|id| key(id) < sought);
        match self.by_name.get(at) {
            Some(id) if key(id) == sought => *id,
            _ => {
                let id = StatisticId(self.all.len());
                self.by_name.insert(at, id);
                self.all.push(Statistic { name, kind, id: None, sum: None, is_waiting: false });
                id
            }
        }
    }

    /// Adds to a counter or a gauge; gives a histogram one more value.
    pub fn add(&mut self, id: StatisticId, amount: i64) {
        let Some(stat) = self.all.get_mut(id.0) else { return };
        if stat.kind == StatisticKind::Histogram {
            self.values.push((id, amount));
        } else if amount != 0 {
            stat.sum = Some(stat.sum.unwrap_or_default().saturating_add(amount));
            self.declare(id);
        }
    }

    /// Has a counter or a gauge told even if nothing is added to it.
    pub fn declare(&mut self, id: StatisticId) {
        if let Some(stat) = self.all.get_mut(id.0).filter(|stat| !stat.is_waiting) {
            stat.is_waiting = true;
            self.waiting.push(id);
        }
    }

    /// Tells what was measured since the last time: what is added to each counter and gauge, if anything, and each value of
    /// a histogram.
    pub fn drain(&mut self, mut each: impl FnMut(&mut Statistic, Option<i64>)) {
        for id in self.waiting.drain(..) {
            if let Some(stat) = self.all.get_mut(id.0) {
                stat.is_waiting = false;
                let sum = stat.sum.take();
                each(stat, sum);
            }
        }
        for (id, value) in self.values.drain(..) {
            if let Some(stat) = self.all.get_mut(id.0) {
                each(stat, Some(value));
            }
        }
    }
}
