//! Statistics, each made by its name once and found by its place from then on, and what is to be told of them.

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

/// One of Envoy's statistics.
#[derive(Debug)]
pub struct Stat {
    /// Its name, labels included.
    pub name: String,
    /// Its kind.
    pub kind: StatKind,
    /// Envoy's id of it, once that was asked; none of one that Envoy would not make.
    pub id: Option<Option<u32>>,
    /// What is to be added to a counter or a gauge.
    sum: Option<i64>,
    is_waiting: bool,
}

/// Where a statistic stands among the [`Stats`] that made it.
#[derive(Debug, Clone, Copy)]
pub struct Place(usize);

/// All statistics that were ever used.
#[derive(Debug, Default)]
pub struct Stats {
    all: Vec<Stat>,
    /// Sorted by the lengths of their names, then by these: many begin alike.
    places: Vec<Place>,
    /// Counters and gauges that are to be told, each once: ten thousand sessions that begin or speak within a second take no
    /// more room than one.
    waiting: Vec<Place>,
    /// Values of histograms that are to be told.
    values: Vec<(Place, i64)>,
}

impl Stats {
    /// The place of the statistic of this name, which is made if there is none.
    pub fn place(&mut self, name: String, kind: StatKind) -> Place {
        let sought = Some((name.len(), name.as_str()));
        let key = |&Place(at): &Place| self.all.get(at).map(|stat| (stat.name.len(), stat.name.as_str()));
        let at = self.places.partition_point(|place| key(place) < sought);
        match self.places.get(at) {
            Some(place) if key(place) == sought => *place,
            _ => {
                let place = Place(self.all.len());
                self.places.insert(at, place);
                self.all.push(Stat { name, kind, id: None, sum: None, is_waiting: false });
                place
            }
        }
    }

    /// Adds to a counter or a gauge; gives a histogram one more value.
    pub fn add(&mut self, place: Place, amount: i64) {
        let Some(stat) = self.all.get_mut(place.0) else { return };
        if stat.kind == StatKind::Histogram {
            self.values.push((place, amount));
        } else if amount != 0 {
            stat.sum = Some(stat.sum.unwrap_or_default().saturating_add(amount));
            self.declare(place);
        }
    }

    /// Has a counter or a gauge told even if nothing is added to it.
    pub fn declare(&mut self, place: Place) {
        if let Some(stat) = self.all.get_mut(place.0).filter(|stat| !stat.is_waiting) {
            stat.is_waiting = true;
            self.waiting.push(place);
        }
    }

    /// Tells what was measured since the last time: what is added to each counter and gauge, if anything, and each value of
    /// a histogram.
    pub fn tell(&mut self, mut told: impl FnMut(&mut Stat, Option<i64>)) {
        for place in self.waiting.drain(..) {
            if let Some(stat) = self.all.get_mut(place.0) {
                stat.is_waiting = false;
                let sum = stat.sum.take();
                told(stat, sum);
            }
        }
        for (place, value) in self.values.drain(..) {
            if let Some(stat) = self.all.get_mut(place.0) {
                told(stat, Some(value));
            }
        }
    }
}
