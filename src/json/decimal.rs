//! Numbers, exact to six decimals: all that counts, prices and seconds need, without floating point.

use std::fmt;

/// A number in millionths, rounded to the nearest of them, half away from zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decimal {
    /// Whether it is below zero.
    pub is_negative: bool,
    /// How many millionths it is, apart from its sign; `u128::MAX` if more.
    pub millionths: u128,
    /// Whether it is so many exactly.
    pub is_exact: bool,
}

/// One, in millionths.
pub const ONE: u128 = 1_000_000;

impl Decimal {
    /// Reads a number as JSON has it; none if `number` is something else.
    pub fn parse(number: &str) -> Option<Self> {
        if let Some(whole) = few_digits(number) {
            return Some(Self { is_negative: false, millionths: u128::from(whole) * ONE, is_exact: true });
        }
        let (magnitude, is_minus) = number.strip_prefix('-').map_or((number, false), |rest| (rest, true));
        let (mantissa, exponent) = magnitude.split_once(['e', 'E']).unwrap_or((magnitude, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if !whole.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        // What does not fit is far beyond all that is told apart here.
        let limit = if exponent.starts_with('-') { i32::MIN } else { i32::MAX };
        let mut shift = exponent.parse().unwrap_or(limit).saturating_add(6);
        let (mut value, mut is_exact) = (0_u128, true);
        for digit in whole.bytes().chain(fraction.bytes()) {
            let digit = u128::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?);
            match value.checked_mul(10).and_then(|value| value.checked_add(digit)) {
                Some(longer) => value = longer,
                None => {
                    shift = shift.saturating_add(1);
                    is_exact &= digit == 0;
                }
            }
        }
        shift = shift.saturating_sub(i32::try_from(fraction.len()).unwrap_or(i32::MAX));
        let is_negative = is_minus && value > 0;
        let mut rounds_up = false;
        while shift < 0 && (value > 0 || rounds_up) {
            is_exact &= value.is_multiple_of(10);
            rounds_up = value % 10 >= 5;
            value /= 10;
            shift += 1;
        }
        while shift > 0 && (1..u128::MAX).contains(&value) {
            value = value.saturating_mul(10);
            shift -= 1;
        }
        Some(Self { is_negative, millionths: value.saturating_add(u128::from(rounds_up)), is_exact })
    }

    /// The whole number from 0 that it is.
    pub fn whole(self) -> Option<u64> {
        let (whole, rest) = divided(self.millionths, ONE);
        u64::try_from(whole).ok().filter(|_| self.is_exact && !self.is_negative && rest == 0)
    }

    /// The nearest whole number of thousandths, apart from its sign; `u64::MAX` if more.
    pub fn thousandths(self) -> u64 {
        u64::try_from(self.millionths.saturating_add(500) / 1000).unwrap_or(u64::MAX)
    }

    /// The nearest double.
    pub fn to_f64(self) -> f64 {
        let magnitude = self.millionths as f64 / ONE as f64;
        if self.is_negative { -magnitude } else { magnitude }
    }
}

/// What nearly all numbers are: digits alone, and so few that they fit.
fn few_digits(number: &str) -> Option<u64> {
    let digits = number.as_bytes();
    let is_short = (1..=18).contains(&digits.len());
    (is_short && digits.iter().all(u8::is_ascii_digit))
        .then(|| digits.iter().fold(0, |whole, digit| whole * 10 + u64::from(digit & 0xf)))
}

/// How often `by` is in a number, and what is left. Most numbers are small, and are divided many times faster.
fn divided(number: u128, by: u128) -> (u128, u128) {
    match (u64::try_from(number), u64::try_from(by)) {
        (Ok(number), Ok(by)) => ((number / by).into(), (number % by).into()),
        _ => (number / by, number % by),
    }
}

impl fmt::Display for Decimal {
    /// As JSON has it, with just the decimals that it has.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = divided(self.millionths, ONE);
        let sign = if self.is_negative { "-" } else { "" };
        write!(formatter, "{sign}{whole}")?;
        if rest > 0 {
            let decimals = format!("{rest:06}");
            write!(formatter, ".{}", decimals.trim_end_matches('0'))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_exact_to_six_decimals() {
        for (number, is_negative, millionths, is_exact) in [
            ("0", false, 0, true),
            ("-0", false, 0, true),
            ("-0.0e7", false, 0, true),
            ("1", false, 1_000_000, true),
            ("0.4", false, 400_000, true),
            ("4e-7", false, 0, false),
            ("-4e-7", true, 0, false),
            ("5e-7", false, 1, false),
            ("0.00000149999999999999999999999999999999999999999999999", false, 1, false),
            ("1.5E2", false, 150_000_000, true),
            ("150.000000000e+0", false, 150_000_000, true),
            ("0.0000015", false, 2, false),
            ("18446744073709551615", false, 18_446_744_073_709_551_615_000_000, true),
            ("1e400", false, u128::MAX, true),
            ("1e99999999999", false, u128::MAX, true),
            ("0e99999999999", false, 0, true),
            ("1e-99999999999", false, 0, false),
            ("-1e-400", true, 0, false),
        ] {
            assert_eq!(Decimal::parse(number), Some(Decimal { is_negative, millionths, is_exact }), "{number}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "-", "null", "true", "\"1\"", "[1]", "{}", "+1", ".5", "NaN", "inf", "1x", "1.-5"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn whole_numbers_are_from_zero_and_without_fraction() {
        for (number, whole) in [
            ("20", Some(20)),
            ("2e1", Some(20)),
            ("20.0", Some(20)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", None),
            ("20.5", None),
            ("20.00000000001", None),
            ("-20", None),
        ] {
            assert_eq!(Decimal::parse(number).and_then(Decimal::whole), whole, "{number}");
        }
    }

    proptest! {
        #[test]
        fn numbers_are_near_their_doubles(number in "-?(0|[1-9][0-9]{0,9})(\\.[0-9]{1,9})?([eE][+-]?[0-3])?") {
            let double: f64 = number.parse().unwrap();
            let read = Decimal::parse(&number).unwrap().to_f64();
            prop_assert!((read - double).abs() <= 5.000_001e-7 + double.abs() * 1e-15, "{read} for {double}");
        }
    }
}
