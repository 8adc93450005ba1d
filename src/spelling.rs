//! Which known name somebody meant who wrote another.

/// The longest name that is looked at.
const LONGEST: usize = 64;

/// The one of the `known` names that `written` is a slip of: the same but for case, underscores and hyphens, or a letter
/// away (two, in names of eight letters and more), where a letter is too many, missing, wrong, or swapped with the next.
///
/// ```
/// use realtime_byok::spelling::meant;
///
/// let known = ["instructions", "tools", "tool_choice"];
/// assert_eq!(meant("instruction", known), Some("instructions"));
/// assert_eq!(meant("toolChoice", known), Some("tool_choice"));
/// assert_eq!(meant("voice", known), None);
/// ```
pub fn meant<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    if written.len() > LONGEST {
        return None;
    }
    let letters = plain(written);
    let most = match letters.len() {
        ..=3 => 0,
        4..=7 => 1,
        _ => 2,
    };
    let distance = |name: &str| (0..=most).find(|edits| is_within(*edits, &letters, &plain(name)));
    let near = known.into_iter().filter_map(|name| Some((distance(name)?, name)));
    near.min_by_key(|(edits, _)| *edits).map(|(_, name)| name)
}

fn plain(name: &str) -> Vec<char> {
    name.chars().filter(|letter| !matches!(letter, '_' | '-')).map(|letter| letter.to_ascii_lowercase()).collect()
}

/// Whether so many edits make one of the other.
fn is_within(edits: usize, one: &[char], other: &[char]) -> bool {
    match (one, other) {
        ([], rest) | (rest, []) => rest.len() <= edits,
        ([first, one @ ..], [second, other @ ..]) if first == second => is_within(edits, one, other),
        _ if edits == 0 => false,
        ([first, without @ ..], [second, without_other @ ..]) => {
            let swapped = match (without, without_other) {
                ([third, one @ ..], [fourth, other @ ..]) if first == fourth && second == third => Some((one, other)),
                _ => None,
            };
            swapped.is_some_and(|(one, other)| is_within(edits - 1, one, other))
                || is_within(edits - 1, without, without_other)
                || is_within(edits - 1, without, other)
                || is_within(edits - 1, one, without_other)
        }
    }
}

/// What an error says of a name that was meant.
pub(crate) fn did_you_mean(name: &str) -> String {
    format!("; did you mean {name}?")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_near_one_name() {
        let known = ["kind", "key", "keys", "azure_openai", "openai", "max_duration", "voice"];
        for (written, want) in [
            ("openia", Some("openai")),
            ("opena", Some("openai")),
            ("openaii", Some("openai")),
            ("opemai", Some("openai")),
            ("AzureOpenAI", Some("azure_openai")),
            ("azure-opnai", Some("azure_openai")),
            ("maxduratoin", Some("max_duration")),
            ("max_durations", Some("max_duration")),
            ("KEY", Some("key")),
            ("kye", None),
            ("cohere", None),
            ("", None),
            ("voices", Some("voice")),
            ("choice", None),
        ] {
            assert_eq!(meant(written, known), want, "{written}");
        }
        assert_eq!(meant(&"k".repeat(10_000), known), None);
    }

    #[test]
    fn the_nearest_is_meant() {
        assert_eq!(meant("max_tokens", ["max_token", "max_tokens"]), Some("max_tokens"));
        assert_eq!(meant("maxx_tokenss", ["maxi_tokensi", "max_tokenss"]), Some("max_tokenss"));
    }
}
