//! Counts of fractions of a unit, as JSON numbers of that unit.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// For `#[serde(with)]` on a `u64` that counts fractions, `PER_UNIT` of which are one: written as an integer when it
/// is whole, else with just the decimals it has, exactly below 10¹⁵.
pub(crate) struct Fraction<const PER_UNIT: u32>;

impl<const PER_UNIT: u32> Fraction<PER_UNIT> {
    pub(crate) fn serialize<S: Serializer>(count: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        let per_unit = u64::from(PER_UNIT);
        if count.is_multiple_of(per_unit) {
            return serializer.serialize_u64(count / per_unit);
        }
        serializer.serialize_f64(*count as f64 / f64::from(PER_UNIT))
    }

    pub(crate) fn deserialize<'a, D: Deserializer<'a>>(deserializer: D) -> Result<u64, D::Error> {
        let units = f64::deserialize(deserializer)?;
        if !(0.0..=MAX_UNITS).contains(&units) {
            return Err(D::Error::custom(format_args!("expected a number from 0 to {MAX_UNITS:e}, found {units}")));
        }
        Ok((units * f64::from(PER_UNIT)).round() as u64)
    }
}

/// The whole of a `u64`, for units that come in no fractions.
const MAX_UNITS: f64 = u64::MAX as f64;

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Micro(#[serde(with = "Fraction::<1_000_000>")] u64);

    #[test]
    fn numbers_have_the_decimals_they_need() {
        for (micro, json) in [
            (0, "0"),
            (410_000, "0.41"),
            (1, "1e-6"),
            (2_000_000, "2"),
            (1_234_567, "1.234567"),
            (999_999_999_999_999, "999999999.999999"),
        ] {
            assert_eq!(serde_json::to_string(&Micro(micro)).unwrap(), json);
            assert_eq!(serde_json::from_str::<Micro>(json).unwrap(), Micro(micro));
        }
        assert_eq!(serde_json::from_str::<Micro>("1e19").unwrap(), Micro(u64::MAX));
        for bad in ["-1", "-0.5", "1e20", "\"1\"", "null"] {
            assert!(serde_json::from_str::<Micro>(bad).is_err(), "{bad}");
        }
    }
}
