//! The members of objects of usage, by their paths.

use super::{Dialect, GeminiField, List, Part, Side, Sum, UsageField};

/// The members of a `usage` object, by their paths in it.
pub(in crate::protocol) fn usage_paths() -> Vec<(String, UsageField)> {
    let mut paths = vec![
        (String::new(), UsageField::Itself),
        ("type".into(), UsageField::Type),
        ("seconds".into(), UsageField::Seconds),
    ];
    let sums = [
        ("total_tokens", Sum::Total),
        ("input_tokens", Sum::Input),
        ("prompt_tokens", Sum::Prompt),
        ("output_tokens", Sum::Output),
        ("completion_tokens", Sum::Completion),
        ("cache_read_input_tokens", Sum::CacheRead),
        ("cache_creation_input_tokens", Sum::CacheCreation),
    ];
    paths.extend(sums.map(|(name, sum)| (name.to_owned(), UsageField::Sum(sum))));
    let details = [
        ("input_token_details", Side::Input, Dialect::Realtime),
        ("input_tokens_details", Side::Input, Dialect::Responses),
        ("prompt_tokens_details", Side::Input, Dialect::Chat),
        ("output_token_details", Side::Output, Dialect::Realtime),
        ("output_tokens_details", Side::Output, Dialect::Responses),
        ("completion_tokens_details", Side::Output, Dialect::Chat),
    ];
    for (name, side, dialect) in details {
        paths.push((name.to_owned(), UsageField::Details(side, dialect)));
        let parts: &[(&str, Part)] = match side {
            Side::Input => &[
                ("text_tokens", Part::Text),
                ("audio_tokens", Part::Audio),
                ("image_tokens", Part::Image),
                ("cached_tokens", Part::Cached),
                ("cache_write_tokens", Part::CacheWrite),
                ("cached_tokens_details.text_tokens", Part::CachedText),
                ("cached_tokens_details.audio_tokens", Part::CachedAudio),
                ("cached_tokens_details.image_tokens", Part::CachedImage),
            ],
            Side::Output => {
                &[("text_tokens", Part::Text), ("audio_tokens", Part::Audio), ("reasoning_tokens", Part::Reasoning)]
            }
        };
        paths.extend(parts.iter().map(|(part, tag)| (format!("{name}.{part}"), UsageField::Part(side, dialect, *tag))));
        if let Side::Input = side {
            paths.push((format!("{name}.cached_tokens_details"), UsageField::CachedDetails(dialect)));
        }
    }
    paths
}

/// The members of a `usageMetadata` of Gemini Live's, by their paths in it.
pub(in crate::protocol) fn gemini_usage_paths() -> Vec<(String, GeminiField)> {
    let sums = [
        ("promptTokenCount", Sum::Prompt),
        ("toolUsePromptTokenCount", Sum::ToolUse),
        ("responseTokenCount", Sum::Completion),
        ("thoughtsTokenCount", Sum::Thoughts),
        ("totalTokenCount", Sum::Total),
    ];
    let mut paths = vec![
        (String::new(), GeminiField::Plain(UsageField::Itself)),
        (
            "cachedContentTokenCount".into(),
            GeminiField::Plain(UsageField::Part(Side::Input, Dialect::Chat, Part::Cached)),
        ),
    ];
    paths.extend(sums.map(|(name, sum)| (name.to_owned(), GeminiField::Plain(UsageField::Sum(sum)))));
    let lists = [
        ("promptTokensDetails", List::Input),
        ("toolUsePromptTokensDetails", List::Input),
        ("cacheTokensDetails", List::Cached),
        ("responseTokensDetails", List::Output),
    ];
    for (name, list) in lists {
        paths.push((format!("{name}[]"), GeminiField::Item(list)));
        paths.push((format!("{name}[].modality"), GeminiField::Modality));
        paths.push((format!("{name}[].tokenCount"), GeminiField::Count));
    }
    paths
}
