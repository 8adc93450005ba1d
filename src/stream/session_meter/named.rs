//! Names of models, as upstreams tell them.

/// A model's name without the date of its version, such as `gpt-realtime-2025-08-28` or `gpt-4-0613` has one.
pub(super) fn undated(model: &str) -> Option<&str> {
    let is_date = |date: &str, pattern: &str| {
        let fits = |(byte, pattern): (u8, u8)| if pattern == b'-' { byte == b'-' } else { byte.is_ascii_digit() };
        date.len() == pattern.len() && date.bytes().zip(pattern.bytes()).all(fits)
    };
    ["-0000-00-00", "-0000"].into_iter().find_map(|pattern| {
        let (name, date) = model.split_at_checked(model.len().checked_sub(pattern.len())?)?;
        (!name.is_empty() && is_date(date, pattern)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_date_is_taken_off() {
        for (model, want) in [
            ("gpt-realtime-2025-08-28", Some("gpt-realtime")),
            ("gpt-4-0613", Some("gpt-4")),
            ("gpt-5", None),
            ("gpt-realtime-2025-08-2x", None),
            ("gpt-realtime-mini", None),
            ("-2025-08-28", None),
            ("-0613", None),
            ("é-2025-08-28", Some("é")),
            ("ééééééééééé", None),
            ("", None),
        ] {
            assert_eq!(undated(model), want, "{model}");
        }
    }
}
