//! Envoy's statistics.

use std::collections::BTreeMap;

use super::golden;

/// What all streams hold together, in bytes: how large the filter's own types are is nothing to record.
pub const MEMORY: &str = "realtime_byok.memory_bytes";

/// What was added to each; of a histogram, the sum.
#[derive(Default)]
pub struct Statistics {
    names: Vec<String>,
    values: BTreeMap<String, i64>,
}

impl Statistics {
    /// The id of a statistic, made if there is none.
    pub fn define(&mut self, name: &str) -> u32 {
        let known = self.names.iter().position(|known| known == name);
        let id = known.unwrap_or_else(|| {
            record(name, 0);
            self.names.push(name.to_owned());
            self.values.insert(name.to_owned(), 0);
            self.names.len() - 1
        });
        u32::try_from(id).unwrap()
    }

    /// Adds to one that was defined.
    pub fn add(&mut self, id: u32, amount: i64) {
        let name = &self.names[usize::try_from(id).unwrap()];
        record(name, amount);
        *self.values.get_mut(name).unwrap() += amount;
    }

    /// The value of each.
    pub fn values(&self) -> &BTreeMap<String, i64> {
        &self.values
    }
}

fn record(name: &str, amount: i64) {
    if name != MEMORY {
        golden::counted(name, amount);
    }
}
