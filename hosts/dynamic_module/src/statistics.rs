//! The workers' statistics as Envoy's.

use std::collections::BTreeSet;
use std::sync::{LazyLock, Mutex};

use realtime_byok::metrics::{Change, FAMILIES, Statistic, label_value};

use super::abi::{Config, Defined, Failed};
use super::process::lock;
use super::worker::WorkerThread;

/// Every statistic that there is, by its family and the values of its labels. Envoy forgets one when the last configuration
/// that has changed it is gone: each that comes has all of them from the one before.
static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);

type Known = BTreeSet<(usize, Vec<String>)>;

/// Makes all families while a configuration is created.
pub(crate) fn defined(config: &Config<'_>) -> Vec<Option<Defined>> {
    FAMILIES.iter().map(|family| config.define(family)).collect()
}

/// Makes all statistics known to a configuration that was created.
pub(crate) fn hand_on(config: &Config<'_>, families: &[Option<Defined>]) {
    for (family, values) in lock(&KNOWN).iter() {
        change(config, families, *family, (values, Change::Define));
    }
}

/// Makes what has changed on a worker.
pub(crate) fn drain(worker: &mut WorkerThread, config: &Config<'_>, families: &[Option<Defined>]) {
    let WorkerThread { worker, known_statistics, .. } = worker;
    worker.drain_statistics(|id, statistic, what| {
        let Some(family) = statistic.family() else { return };
        let values = values(statistic);
        change(config, families, family, (&values, what));
        if known_statistics.len() <= id.index() {
            known_statistics.resize(id.index() + 1, false);
        }
        if let Some(is_known) = known_statistics.get_mut(id.index()).filter(|is_known| !**is_known) {
            *is_known = true;
            lock(&KNOWN).insert((family, values));
        }
    });
}

fn change(config: &Config<'_>, families: &[Option<Defined>], family: usize, (values, change): (&[String], Change)) {
    if let Some(defined) = families.get(family).copied().flatten() {
        // What Envoy would not count is missing in its statistics, and nothing else.
        let _: Result<(), Failed> = config.change(defined, values, change);
    }
}

fn values(statistic: &Statistic) -> Vec<String> {
    statistic.labels.iter().map(|(_, value)| label_value(value).into_owned()).collect()
}
