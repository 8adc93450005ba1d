//! What tokens cost, in whole numbers.
//!
//! One dollar per million tokens is one micro-dollar per token. A [`Rate`] holds millionths of that, so a price with up
//! to six decimals is exact, and so are all sums; only what is shown is rounded, to the nearest micro-dollar.

use std::cmp::Reverse;
use std::fmt;

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use super::tally::Tokens;
use crate::json::fraction::Fraction;

/// The price of one token in pico-dollars: 10⁻¹² dollars.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "f64")]
pub struct Rate(u64);

/// A number that is no price: negative, not finite, or over 10⁹ dollars.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InvalidRate(pub f64);

/// Prices of one model's tokens, in dollars per million as a configuration has them. `None` is a modality without a price.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Price {
    /// Text that is read.
    pub input_text: Option<Rate>,
    /// Text out of the upstream's cache; without it, as `input_text`.
    pub input_cached_text: Option<Rate>,
    /// Text that is written to the upstream's cache; without it, as `input_text`.
    pub input_cache_write_text: Option<Rate>,
    /// Audio that is read.
    pub input_audio: Option<Rate>,
    /// Audio out of the upstream's cache; without it, as `input_audio`.
    pub input_cached_audio: Option<Rate>,
    /// Images that are read.
    pub input_image: Option<Rate>,
    /// Images out of the upstream's cache; without it, as `input_image`.
    pub input_cached_image: Option<Rate>,
    /// Text that is written, reasoning among it.
    pub output_text: Option<Rate>,
    /// Audio that is written.
    pub output_audio: Option<Rate>,
    /// A minute of audio, in dollars, where the upstream tells durations.
    pub audio_minute: Option<Rate>,
}

/// Prices by model.
#[derive(Debug, Clone, Default)]
pub struct PriceList {
    /// The longest glob first; among equally long ones, the alphabetically first.
    prices: Vec<(WildMatch, Price)>,
}

/// An amount of money in pico-dollars, which adds up without rounding; saturating.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost(u128);

/// An amount of money in micro-dollars. As JSON, a number of dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MicroUsd(#[serde(with = "Fraction::<1_000_000>")] pub u64);

const PICO_PER_MICRO: u64 = 1_000_000;

impl TryFrom<f64> for Rate {
    type Error = InvalidRate;

    /// Dollars per million tokens, rounded to six decimals.
    fn try_from(usd_per_million: f64) -> Result<Self, InvalidRate> {
        if !(0.0..=1e9).contains(&usd_per_million) {
            return Err(InvalidRate(usd_per_million));
        }
        Ok(Self((usd_per_million * 1e6).round() as u64))
    }
}

impl fmt::Display for InvalidRate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected dollars per million tokens, 0 to 1000000000, found {}", self.0)
    }
}

impl std::error::Error for InvalidRate {}

impl Price {
    /// What these tokens cost, and whether every modality among them has a price; one without costs nothing.
    pub(crate) fn cost(&self, tokens: &Tokens) -> (Cost, bool) {
        let (input, output) = (&tokens.input, &tokens.output);
        let charges = [
            (input.text.saturating_sub(input.cached_text).saturating_sub(tokens.cache_write_text), self.input_text),
            (tokens.cache_write_text, self.input_cache_write_text.or(self.input_text)),
            (input.cached_text, self.input_cached_text.or(self.input_text)),
            (input.audio.saturating_sub(input.cached_audio), self.input_audio),
            (input.cached_audio, self.input_cached_audio.or(self.input_audio)),
            (input.image.saturating_sub(input.cached_image), self.input_image),
            (input.cached_image, self.input_cached_image.or(self.input_image)),
            (output.text, self.output_text),
            (output.audio, self.output_audio),
        ];
        let is_priced = charges.iter().all(|(tokens, rate)| *tokens == 0 || rate.is_some());
        let charge =
            |(tokens, rate): (u64, Option<Rate>)| u128::from(tokens) * u128::from(rate.map_or(0, |rate| rate.0));
        (Cost(charges.into_iter().map(charge).fold(0, u128::saturating_add)), is_priced)
    }
}

impl Price {
    /// What this much audio costs, and whether that has a price.
    pub(crate) fn cost_of_audio(&self, milliseconds: u64) -> (Cost, bool) {
        const MILLISECONDS: u128 = 60_000;
        let micro_per_minute = u128::from(self.audio_minute.map_or(0, |rate| rate.0));
        let pico_minutes =
            u128::from(milliseconds).saturating_mul(micro_per_minute).saturating_mul(u128::from(PICO_PER_MICRO));
        (Cost(pico_minutes / MILLISECONDS), milliseconds == 0 || self.audio_minute.is_some())
    }

    /// Whether anything has a price.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl PriceList {
    /// Prices by glob over models' names, where `*` stands for any characters and `?` for one.
    pub fn new(prices: impl IntoIterator<Item = (String, Price)>) -> Self {
        let mut prices: Vec<_> = prices.into_iter().collect();
        prices.sort_by_cached_key(|(glob, _)| (Reverse(glob.chars().count()), glob.clone()));
        Self { prices: prices.into_iter().map(|(glob, price)| (WildMatch::new(&glob), price)).collect() }
    }

    /// Whether nothing has a price.
    pub fn is_empty(&self) -> bool {
        self.prices.is_empty()
    }

    /// The price under the longest glob that matches; among equally long ones, the alphabetically first.
    pub fn price_of(&self, model: &str) -> Option<&Price> {
        self.prices.iter().find(|(glob, _)| glob.matches(model)).map(|(_, price)| price)
    }
}

impl MicroUsd {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Cost {
    pub(crate) fn add(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }

    /// Rounded to the nearest micro-dollar, halves up.
    pub(crate) fn to_micro_usd(self) -> MicroUsd {
        let pico = self.0.saturating_add(u128::from(PICO_PER_MICRO / 2));
        // Nearly all costs fit, and are asked for of each session each second: a wide division takes a call.
        let micro = u64::try_from(pico).map(|pico| pico / PICO_PER_MICRO);
        MicroUsd(micro.or_else(|_| u64::try_from(pico / u128::from(PICO_PER_MICRO))).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::tally::{Input, Output};

    fn rate(usd: f64) -> Option<Rate> {
        Some(Rate::try_from(usd).unwrap())
    }

    #[test]
    fn rates_are_exact_to_six_decimals() {
        for (usd, pico) in
            [(0.0, 0), (0.4, 400_000), (1e-6, 1), (4e-7, 0), (5e-7, 1), (0.1 + 0.2, 300_000), (1e9, 10_u64.pow(15))]
        {
            assert_eq!(Rate::try_from(usd), Ok(Rate(pico)), "{usd}");
        }
        for usd in [-0.1, f64::NAN, f64::INFINITY, 1.1e9] {
            assert!(Rate::try_from(usd).is_err(), "{usd}");
        }
    }

    #[test]
    fn a_price_reads_as_a_configuration_has_it() {
        let price: Price = serde_json::from_str(r#"{"input_text":4,"input_cached_text":0.4}"#).unwrap();
        assert_eq!(price, Price { input_text: rate(4.0), input_cached_text: rate(0.4), ..Price::default() });
        for bad in [r#"{"input_txt":4}"#, r#"{"input_text":-1}"#, r#"{"input_text":"4"}"#] {
            assert!(serde_json::from_str::<Price>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn cached_tokens_are_a_part_and_cost_their_own_price_or_the_uncached_one() {
        let tokens = Tokens {
            input: Input { text: 100, audio: 1000, image: 10, cached_text: 60, cached_audio: 400, cached_image: 5 },
            output: Output { text: 7, audio: 3 },
            cache_write_text: 0,
        };
        let mut price = Price {
            input_text: rate(4.0),
            input_cached_text: rate(0.4),
            input_audio: rate(32.0),
            input_image: rate(5.0),
            input_cached_image: rate(0.5),
            output_text: rate(16.0),
            output_audio: rate(64.0),
            ..Price::default()
        };
        // 40·4 + 60·0.4 + 1000·32 + 5·5 + 5·0.5 + 7·16 + 3·64 = 32515.5
        assert_eq!(price.cost(&tokens), (Cost(32_515_500_000), true));
        assert_eq!(price.cost(&tokens).0.to_micro_usd(), MicroUsd(32_516));
        price.input_cached_audio = rate(0.4);
        assert_eq!(price.cost(&tokens).0, Cost(19_875_500_000));
        price.output_audio = None;
        assert_eq!(price.cost(&tokens), (Cost(19_683_500_000), false));
    }

    #[test]
    fn what_is_written_to_a_cache_is_a_part_and_costs_its_own_price_or_that_of_text() {
        let input = Input { text: 2512, cached_text: 2000, ..Input::default() };
        let tokens = Tokens { input, output: Output::default(), cache_write_text: 500 };
        let mut price = Price { input_text: rate(3.0), input_cached_text: rate(0.3), ..Price::default() };
        // 12·3 + 2000·0.3 + 500·3
        assert_eq!(price.cost(&tokens), (Cost(2_136_000_000), true));
        price.input_cache_write_text = rate(3.75);
        assert_eq!(price.cost(&tokens), (Cost(2_511_000_000), true));
    }

    #[test]
    fn audio_that_is_told_in_seconds_costs_by_the_minute() {
        let price = Price { audio_minute: rate(0.006), ..Price::default() };
        for (milliseconds, pico) in [(60_000, 6_000_000_000), (1, 100_000), (0, 0)] {
            assert_eq!(price.cost_of_audio(milliseconds), (Cost(pico), true));
        }
        assert_eq!(Price::default().cost_of_audio(1), (Cost(0), false));
        assert_eq!(price.cost_of_audio(u64::MAX).0.to_micro_usd(), MicroUsd(1_844_674_407_370_955_162));
    }

    #[test]
    fn a_million_small_charges_do_not_drift() {
        let price = Price { input_text: rate(0.1), ..Price::default() };
        let one =
            Tokens { input: Input { text: 1, ..Input::default() }, output: Output::default(), cache_write_text: 0 };
        let mut cost = Cost::default();
        for _ in 0..1_000_000 {
            cost.add(price.cost(&one).0);
        }
        assert_eq!(cost.to_micro_usd(), MicroUsd(100_000));
    }

    #[test]
    fn sums_saturate() {
        let price = Price { input_text: rate(1e9), output_text: rate(1e9), ..Price::default() };
        let all = Tokens {
            input: Input { text: u64::MAX, ..Input::default() },
            output: Output { text: u64::MAX, audio: 0 },
            cache_write_text: 0,
        };
        let mut cost = price.cost(&all).0;
        assert_eq!(cost.to_micro_usd(), MicroUsd(u64::MAX));
        cost.0 = u128::MAX;
        cost.add(price.cost(&all).0);
        assert_eq!(cost.to_micro_usd(), MicroUsd(u64::MAX));
    }

    #[test]
    fn the_longest_glob_wins() {
        let priced = |usd| Price { input_text: rate(usd), ..Price::default() };
        let globs = [
            ("*", 1.0),
            ("gpt-realtime*", 2.0),
            ("gpt-realtime-mini*", 3.0),
            ("gpt-realtime", 4.0),
            ("gpt-?-x", 5.0),
            ("gpt-*-x", 6.0),
        ];
        let list = PriceList::new(globs.map(|(glob, usd)| (glob.to_owned(), priced(usd))));
        for (model, usd) in [
            ("whisper-1", 1.0),
            ("gpt-realtime", 2.0),
            ("gpt-realtime-2025-08-28", 2.0),
            ("gpt-realtime-mini-2025", 3.0),
            ("gpt-5-x", 6.0),
        ] {
            assert_eq!(list.price_of(model), Some(&priced(usd)), "{model}");
        }
        assert_eq!(PriceList::default().price_of("gpt-realtime"), None);
    }
}
