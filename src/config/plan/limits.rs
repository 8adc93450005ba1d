//! What sessions and callers may use up, and what models cost.

use super::Builder;
use crate::config::{Path, raw};
use crate::limit::{CallerLimits, SessionLimits};
use crate::usage::{MicroUsd, Price, PriceList, Rate};

impl Builder<'_> {
    pub(super) fn session_limits(&mut self, path: &Path, raw: Option<&raw::SessionLimits>) -> SessionLimits {
        let Some(raw) = raw else { return SessionLimits::default() };
        if raw.max_tokens == Some(0) {
            self.error(&path.key("max_tokens"), "found 0, expected at least 1");
        }
        let max_cost = raw.max_cost_usd.and_then(|usd| self.micro_usd(&path.key("max_cost_usd"), usd));
        SessionLimits {
            max_duration: raw.max_duration.map(|span| span.0),
            idle_timeout: raw.idle_timeout.map(|span| span.0),
            max_tokens: raw.max_tokens,
            max_cost,
        }
    }

    pub(super) fn caller_limits(&mut self, path: &Path, raw: Option<&raw::CallerLimits>) -> CallerLimits {
        let Some(raw) = raw else { return CallerLimits::default() };
        for (name, is_zero) in [
            ("concurrent_sessions", raw.concurrent_sessions == Some(0)),
            ("sessions_per_minute", raw.sessions_per_minute == Some(0)),
            ("tokens_per_day", raw.tokens_per_day == Some(0)),
        ] {
            if is_zero {
                self.error(&path.key(name), "found 0, expected at least 1");
            }
        }
        CallerLimits {
            concurrent_sessions: raw.concurrent_sessions,
            sessions_per_minute: raw.sessions_per_minute,
            tokens_per_day: raw.tokens_per_day,
            cost_per_day: raw.cost_usd_per_day.and_then(|usd| self.micro_usd(&path.key("cost_usd_per_day"), usd)),
        }
    }

    fn micro_usd(&mut self, path: &Path, usd: f64) -> Option<MicroUsd> {
        let micros = (usd * 1e6).round();
        if !(1.0..=1e15).contains(&micros) {
            self.error(path, format!("found {usd}, expected an amount of US dollars above zero"));
            return None;
        }
        if !self.declared.has_prices {
            self.error(path, "needs prices; without them no model's cost is known");
        }
        // In range and whole by the test above.
        Some(MicroUsd(micros as u64))
    }

    pub(super) fn prices(&mut self, path: &Path, raw: Option<&raw::Named<raw::Price>>) -> PriceList {
        let entries = raw.into_iter().flat_map(|prices| &prices.0);
        let prices: Vec<_> = entries.map(|(glob, price)| (glob.clone(), self.price(&path.key(glob), price))).collect();
        PriceList::new(prices)
    }

    fn price(&mut self, path: &Path, raw: &raw::Price) -> Price {
        let mut is_given = false;
        let mut rate_of = |name: &str, usd: Option<f64>, what: &str| {
            let usd = usd?;
            is_given = true;
            let rate = Rate::try_from(usd).ok();
            if rate.is_none() {
                self.error(&path.key(name), format!("found {usd}, expected US dollars for {what}, from 0"));
            }
            rate
        };
        let audio_minute = rate_of("audio_minute", raw.audio_minute, "a minute of audio");
        let mut rate = |name: &str, usd: Option<f64>| rate_of(name, usd, "a million tokens");
        let price = Price {
            input_text: rate("input_text", raw.input_text),
            input_cached_text: rate("input_cached_text", raw.input_cached_text),
            input_cache_write_text: rate("input_cache_write_text", raw.input_cache_write_text),
            input_audio: rate("input_audio", raw.input_audio),
            input_cached_audio: rate("input_cached_audio", raw.input_cached_audio),
            input_image: rate("input_image", raw.input_image),
            input_cached_image: rate("input_cached_image", raw.input_cached_image),
            output_text: rate("output_text", raw.output_text),
            output_audio: rate("output_audio", raw.output_audio),
            audio_minute,
        };
        if !is_given {
            self.error(path, "names no rate, such as input_text; a model of this price would cost nothing");
        }
        price
    }
}
