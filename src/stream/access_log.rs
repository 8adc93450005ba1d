//! The fields of the access log: what is known of a stream's session, call or REST exchange at its end.

use super::rest::RestUsage;
use crate::usage::{MicroUsd, Record};

/// Fields and their values. A field that is not known is not there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AccessLog(Vec<(&'static str, String)>);

impl AccessLog {
    /// What a session came to.
    pub(super) fn of_session(record: &Record) -> Self {
        let mut log = Self::of_call(record);
        if let Some(close) = &record.close {
            log.put("realtime_byok.code", close.code.to_string());
            log.put("realtime_byok.close", close.reason.clone());
        }
        log.put("realtime_byok.duration", record.duration_ms.to_string());
        log.put("realtime_byok.tokens", record.usage.total_tokens.to_string());
        log.put("realtime_byok.cost", dollars(record.cost_usd));
        log
    }

    /// What is known of a call that has begun.
    pub(super) fn of_call(record: &Record) -> Self {
        let mut log = Self::default();
        log.put("realtime_byok.id", record.id.to_string());
        log.put("realtime_byok.caller", record.caller.clone());
        log.put("realtime_byok.user", record.user.clone().unwrap_or_default());
        log.put("realtime_byok.policy", record.policy.clone());
        log.put("realtime_byok.provider", record.provider.clone());
        log.put("realtime_byok.model", record.model.clone().unwrap_or_default());
        log
    }

    /// What a REST exchange has used. Tokens and cost that were not reported are not known.
    pub(super) fn of_rest(used: &RestUsage) -> Self {
        let mut log = Self::default();
        log.put("realtime_byok.caller", used.caller.name.clone());
        log.put("realtime_byok.policy", used.policy.name.clone());
        log.put("realtime_byok.provider", used.provider.name.clone());
        log.put("realtime_byok.model", used.model.clone().unwrap_or_default());
        if used.is_reported() {
            log.put("realtime_byok.tokens", used.usage.total_tokens.to_string());
            log.put("realtime_byok.cost", dollars(used.cost));
        }
        log
    }

    fn put(&mut self, field: &'static str, value: String) {
        if !value.is_empty() {
            self.0.push((field, value));
        }
    }
}

impl IntoIterator for AccessLog {
    type Item = (&'static str, String);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// With six decimals: `0.000042`.
fn dollars(cost: MicroUsd) -> String {
    format!("{}.{:06}", cost.0 / 1_000_000, cost.0 % 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_have_six_decimals() {
        assert_eq!(dollars(MicroUsd(42)), "0.000042");
        assert_eq!(dollars(MicroUsd(12_345_678)), "12.345678");
    }
}
