//! The fields of the access log: what is known of a stream's session, call or REST exchange at its end.

use super::rest::RestUsage;
use crate::denial::{Denial, Subject};
use crate::usage::{ClosedBy, Limit, MicroUsd, Record};

/// What a stream came to, as the access log shows it.
pub enum AccessLog {
    /// Nothing is known of it but what Envoy knows.
    Nothing,
    /// A request that was denied, or whose response was.
    Denied(Box<Denial>),
    /// A session that is over.
    Session(Box<Record>),
    /// A call that has begun, and goes on.
    Call(Box<Record>),
    /// A REST exchange whose usage was to be counted. Tokens and cost that were not reported are not known.
    Rest(Box<RestUsage>),
}

/// What stands in the place of a control character.
const REPLACEMENT: &str = "\u{fffd}";

impl AccessLog {
    /// Gives each field that is known, and its value.
    pub fn for_each(&self, mut put: impl FnMut(&'static str, &str)) {
        let put = &mut |field, value: &str| match value {
            "" => {}
            // Whoever named it, a client or an upstream, could forge lines of a log.
            _ if !is_printable(value) && value.contains(breaks_lines) => {
                put(field, &value.replace(breaks_lines, REPLACEMENT))
            }
            _ => put(field, value),
        };
        match self {
            Self::Nothing => {}
            Self::Denied(denial) => denied(denial, put),
            Self::Call(record) => names(record, put),
            Self::Session(record) => {
                names(record, put);
                if let Some(close) = &record.close {
                    put("realtime_byok.code", &close.code.to_string());
                    put("realtime_byok.limit", close.limit.map(Limit::as_str).unwrap_or_default());
                    put("realtime_byok.close", close.by.as_str());
                    put("realtime_byok.reason", &close.reason);
                }
                put("realtime_byok.duration", &record.duration_ms.to_string());
                amounts(record.usage.total_tokens, record.cost_usd, put);
            }
            Self::Rest(used) => {
                put("realtime_byok.caller", &used.caller.name);
                put("realtime_byok.user", used.user.as_deref().unwrap_or_default());
                put("realtime_byok.policy", &used.policy.name);
                put("realtime_byok.provider", &used.provider.name);
                put("realtime_byok.model", used.model.as_deref().unwrap_or_default());
                if used.is_reported() {
                    amounts(used.usage.total_tokens, used.cost, put);
                }
            }
        }
    }
}

fn denied(denial: &Denial, put: &mut dyn FnMut(&'static str, &str)) {
    if let Some(Subject { caller, user, policy, provider, model }) = denial.subject() {
        put("realtime_byok.caller", caller.as_deref().unwrap_or_default());
        put("realtime_byok.user", user.as_deref().unwrap_or_default());
        put("realtime_byok.policy", policy.as_deref().unwrap_or_default());
        put("realtime_byok.provider", provider.as_deref().unwrap_or_default());
        put("realtime_byok.model", model.as_deref().unwrap_or_default());
    }
    put("realtime_byok.code", denial.code.as_str());
    put("realtime_byok.limit", denial.reached().map(Limit::as_str).unwrap_or_default());
    put("realtime_byok.close", ClosedBy::Gateway.as_str());
}

fn names(record: &Record, put: &mut dyn FnMut(&'static str, &str)) {
    put("realtime_byok.id", &record.id.to_string());
    put("realtime_byok.caller", &record.caller);
    put("realtime_byok.user", record.user.as_deref().unwrap_or_default());
    put("realtime_byok.policy", &record.policy);
    put("realtime_byok.provider", &record.provider);
    put("realtime_byok.model", record.model.as_deref().unwrap_or_default());
}

fn amounts(tokens: u64, cost: MicroUsd, put: &mut dyn FnMut(&'static str, &str)) {
    put("realtime_byok.tokens", &tokens.to_string());
    put("realtime_byok.cost", &dollars(cost));
}

/// Whether nothing is in it but what ASCII prints, as in most values.
fn is_printable(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, b' '..=b'~'))
}

/// Whether a character is a control, or ends a line in another way.
fn breaks_lines(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// With six decimals: `0.000042`.
fn dollars(cost: MicroUsd) -> String {
    let mut dollars = (cost.0 / 1_000_000).to_string();
    // With a one before them, all of their zeros are written.
    let decimals = (1_000_000 + cost.0 % 1_000_000).to_string();
    dollars.push('.');
    dollars.push_str(decimals.get(1..).unwrap_or_default());
    dollars
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::endpoint::Endpoint;
    use crate::protocol::SessionKind;
    use crate::stream::admission::testing;
    use crate::testing::policy;
    use crate::usage::{Close, ClosedBy};

    #[test]
    fn no_value_holds_a_control_character() {
        let admission = testing::admission(policy(), Endpoint::WebSocket(SessionKind::Other));
        let mut record = admission.record(1, "openai".into(), SystemTime::UNIX_EPOCH);
        record.model = Some("m\nHTTP/1.1 200 caller=forged".into());
        record.user = Some("u\u{85}\u{2028}\u{7f}\u{1b}[2J\u{e9}".into());
        let close = Close { by: ClosedBy::Client, code: 1000, limit: None, reason: "bye\r\n\0\t".into() };
        record.close = Some(close);
        let mut shown = Vec::new();
        AccessLog::Session(Box::new(record)).for_each(|field, value| shown.push((field, value.to_owned())));
        let value = |name| shown.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_str());
        assert_eq!(value("realtime_byok.model"), Some("m\u{fffd}HTTP/1.1 200 caller=forged"));
        assert_eq!(value("realtime_byok.user"), Some("u\u{fffd}\u{fffd}\u{fffd}\u{fffd}[2J\u{e9}"));
        assert_eq!(value("realtime_byok.reason"), Some("bye\u{fffd}\u{fffd}\u{fffd}\u{fffd}"));
    }

    #[test]
    fn dollars_have_six_decimals() {
        assert_eq!(dollars(MicroUsd(42)), "0.000042");
        assert_eq!(dollars(MicroUsd(12_345_678)), "12.345678");
    }
}
