//! Usage as upstreams report it, in three protocols, read into one form or rejected.
//!
//! | | Realtime | Responses | chat completions |
//! |---|---|---|---|
//! | read | `input_tokens` | `input_tokens` | `prompt_tokens` |
//! | of which | `input_token_details` | `input_tokens_details` | `prompt_tokens_details` |
//! | written | `output_tokens` | `output_tokens` | `completion_tokens` |
//! | of which | `output_token_details` | `output_tokens_details` | `completion_tokens_details` |
//!
//! Tokens whose modality is not told count as text, cached ones first as text, then as audio, then as image, as far as
//! there are any. What `total_tokens` has beyond input and output is reasoning that some upstreams count apart: it
//! counts as output text.

use std::borrow::Cow;

use crate::json::{self, Decimal, Value};

use crate::json::object::pick;
use crate::usage::report::ReportedUsage;
use crate::usage::{Input, Output, Tokens, UsageError};

/// The JSON that an upstream has sent.
pub(crate) fn parsed(text: &str) -> Result<Value<'_>, UsageError> {
    Value::parse(text).map_err(|_| UsageError::Malformed)
}

/// The values of `keys` in an object, without those that are null.
pub(crate) fn fields<'a, const N: usize>(
    json: Value<'a>,
    keys: [&str; N],
) -> Result<[Option<Value<'a>>; N], UsageError> {
    let values = pick(json, keys).map_err(|_| UsageError::Malformed)?;
    Ok(values.map(|value| value.filter(|value| !value.is_null())))
}

impl ReportedUsage {
    /// Reads the usage of a response.
    pub(crate) fn response(usage: Value<'_>) -> Result<Self, UsageError> {
        let (input, output) = tokens(usage)?;
        Ok(Self::Response(Tokens { input, output: output.ok_or(UsageError::Missing(OUTPUT))? }))
    }

    /// Reads the usage of what need not write anything.
    pub(crate) fn reading(usage: Value<'_>) -> Result<Self, UsageError> {
        let (input, output) = tokens(usage)?;
        Ok(Self::Response(Tokens { input, output: output.unwrap_or_default() }))
    }

    /// Reads the usage of a transcription, which is told in tokens or as a duration.
    pub(crate) fn transcription(usage: Value<'_>) -> Result<Self, UsageError> {
        let [kind, seconds] = fields(usage, ["type", "seconds"])?;
        let is_duration = kind.map_or(seconds.is_some(), |_| text(kind).as_deref() == Some("duration"));
        if is_duration {
            let seconds = number(seconds.ok_or(UsageError::Missing(SECONDS))?, SECONDS)?;
            return Ok(Self::TranscriptionDuration { milliseconds: seconds.thousandths() });
        }
        let (input, output) = tokens(usage)?;
        Ok(Self::Transcription(Tokens { input, output: output.ok_or(UsageError::Missing(OUTPUT))? }))
    }
}

/// A string of at most [`MAX_NAME_LEN`] bytes; nothing when something else stands there.
pub(crate) fn text(value: Option<Value<'_>>) -> Option<Cow<'_, str>> {
    // Escapes make it longer, at most six times.
    let value = value.filter(|value| value.as_str().len() <= 2 + 6 * MAX_NAME_LEN)?;
    value.text().filter(|text| text.len() <= MAX_NAME_LEN)
}

/// Longer ids and names of models are not kept.
const MAX_NAME_LEN: usize = 256;

const INPUT: &str = "input_tokens";
const OUTPUT: &str = "output_tokens";
const TOTAL: &str = "total_tokens";
const CACHED: &str = "cached_tokens";
const SECONDS: &str = "seconds";

/// Beyond it, a JSON number is not exact for most who read and write it.
const MAX_COUNT: u64 = 1 << 53;

/// What has been read and, if that is told, written.
fn tokens(usage: Value<'_>) -> Result<(Input, Option<Output>), UsageError> {
    let [
        total,
        input,
        prompt,
        output,
        completion,
        realtime_input,
        responses_input,
        chat_input,
        realtime_output,
        responses_output,
        chat_output,
    ] = fields(
        usage,
        [
            "total_tokens",
            "input_tokens",
            "prompt_tokens",
            "output_tokens",
            "completion_tokens",
            "input_token_details",
            "input_tokens_details",
            "prompt_tokens_details",
            "output_token_details",
            "output_tokens_details",
            "completion_tokens_details",
        ],
    )?;
    let input = count(input.or(prompt), INPUT)?.ok_or(UsageError::Missing(INPUT))?;
    let output = count(output.or(completion), OUTPUT)?;
    let reported = input + output.unwrap_or(0);
    let apart = count(total, TOTAL)?.unwrap_or(reported).checked_sub(reported).ok_or(UsageError::Exceeded(TOTAL))?;
    let output_details = realtime_output.or(responses_output).or(chat_output);
    let output = output.map(|output| output_by_modality(output + apart, output_details)).transpose()?;
    Ok((input_by_modality(input, realtime_input.or(responses_input).or(chat_input))?, output))
}

fn input_by_modality(total: u64, details: Option<Value<'_>>) -> Result<Input, UsageError> {
    let details = details.unwrap_or(Value::EMPTY);
    let [text, audio, image, cached, cached_details] =
        fields(details, ["text_tokens", "audio_tokens", "image_tokens", "cached_tokens", "cached_tokens_details"])?;
    let text = count(text, "text_tokens")?.unwrap_or(0);
    let audio = count(audio, "audio_tokens")?.unwrap_or(0);
    let image = count(image, "image_tokens")?.unwrap_or(0);
    let unreported = total.checked_sub(text + audio + image).ok_or(UsageError::Exceeded(INPUT))?;
    let input = Input { text: text + unreported, audio, image, ..Input::default() };
    cached_by_modality(input, count(cached, CACHED)?, cached_details)
}

fn cached_by_modality(input: Input, total: Option<u64>, details: Option<Value<'_>>) -> Result<Input, UsageError> {
    let details = details.unwrap_or(Value::EMPTY);
    let [text, audio, image] = fields(details, ["text_tokens", "audio_tokens", "image_tokens"])?;
    let text = count(text, "cached text_tokens")?.unwrap_or(0);
    let audio = count(audio, "cached audio_tokens")?.unwrap_or(0);
    let image = count(image, "cached image_tokens")?.unwrap_or(0);
    let reported = text + audio + image;
    let mut unreported = total.unwrap_or(reported).checked_sub(reported).ok_or(UsageError::Exceeded(CACHED))?;
    let mut fill = |cached: u64, all: u64, field: &'static str| {
        let room = all.checked_sub(cached).ok_or(UsageError::Exceeded(field))?;
        let more = room.min(unreported);
        unreported -= more;
        Ok(cached + more)
    };
    let (cached_text, cached_audio, cached_image) = (
        fill(text, input.text, "text_tokens")?,
        fill(audio, input.audio, "audio_tokens")?,
        fill(image, input.image, "image_tokens")?,
    );
    if unreported > 0 {
        return Err(UsageError::Exceeded(INPUT));
    }
    Ok(Input { cached_text, cached_audio, cached_image, ..input })
}

fn output_by_modality(total: u64, details: Option<Value<'_>>) -> Result<Output, UsageError> {
    let details = details.unwrap_or(Value::EMPTY);
    let [text, audio, reasoning] = fields(details, ["text_tokens", "audio_tokens", "reasoning_tokens"])?;
    let text = count(text, "text_tokens")?.unwrap_or(0);
    let audio = count(audio, "audio_tokens")?.unwrap_or(0);
    let reasoning = count(reasoning, "reasoning_tokens")?.unwrap_or(0);
    let unreported = total.checked_sub(text + audio).ok_or(UsageError::Exceeded(OUTPUT))?;
    let text = text + unreported;
    if reasoning > text {
        return Err(UsageError::Exceeded(OUTPUT));
    }
    Ok(Output { text, audio })
}

fn count(value: Option<Value<'_>>, field: &'static str) -> Result<Option<u64>, UsageError> {
    let Some(value) = value else { return Ok(None) };
    number(value, field)?.whole().ok_or(UsageError::NotANumber(field)).map(Some)
}

/// A number from 0 to [`MAX_COUNT`].
fn number(value: Value<'_>, field: &'static str) -> Result<Decimal, UsageError> {
    let number = Decimal::parse(value.as_str()).ok_or(UsageError::NotANumber(field))?;
    if number.is_negative {
        return Err(UsageError::Negative(field));
    }
    if number.millionths > u128::from(MAX_COUNT) * json::ONE {
        return Err(UsageError::TooLarge(field));
    }
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::{Tally, Transcription};

    fn read(json: &str) -> Result<([u64; 6], [u64; 2]), UsageError> {
        let ReportedUsage::Response(Tokens { input: i, output: o }) = ReportedUsage::response(parsed(json)?)? else {
            panic!("expected a response");
        };
        Ok(([i.text, i.audio, i.image, i.cached_text, i.cached_audio, i.cached_image], [o.text, o.audio]))
    }

    #[test]
    fn all_protocols_read_the_same() {
        for (json, expected) in [
            (
                r#"{"total_tokens":253,"input_tokens":132,"output_tokens":121,
                    "input_token_details":{"text_tokens":110,"audio_tokens":13,"image_tokens":9,"cached_tokens":70,
                        "cached_tokens_details":{"text_tokens":64,"audio_tokens":2,"image_tokens":4}},
                    "output_token_details":{"text_tokens":30,"audio_tokens":91}}"#,
                ([110, 13, 9, 64, 2, 4], [30, 91]),
            ),
            (
                r#"{"input_tokens":75,"input_tokens_details":{"cached_tokens":32,"cache_write_tokens":0},
                    "output_tokens":1186,"output_tokens_details":{"reasoning_tokens":1024},"total_tokens":1261}"#,
                ([75, 0, 0, 32, 0, 0], [1186, 0]),
            ),
            (
                r#"{"prompt_tokens":50,"completion_tokens":40,"total_tokens":90,
                    "prompt_tokens_details":{"cached_tokens":10,"audio_tokens":30},
                    "completion_tokens_details":{"reasoning_tokens":5,"audio_tokens":20,
                        "accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#,
                ([20, 30, 0, 10, 0, 0], [20, 20]),
            ),
        ] {
            assert_eq!(read(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn tokens_of_unreported_modality_are_text() {
        for (json, expected) in [
            (r#"{"input_tokens":9,"output_tokens":4}"#, ([9, 0, 0, 0, 0, 0], [4, 0])),
            (
                r#"{"input_tokens":9,"output_tokens":4,"total_tokens":null,"input_token_details":null,
                    "output_token_details":{"audio_tokens":3,"text_tokens":null}}"#,
                ([9, 0, 0, 0, 0, 0], [1, 3]),
            ),
            // More is cached than there is text: the rest was audio, then images.
            (
                r#"{"input_tokens":30,"output_tokens":0,"input_token_details":
                    {"text_tokens":5,"audio_tokens":15,"image_tokens":10,"cached_tokens":22}}"#,
                ([5, 15, 10, 5, 15, 2], [0, 0]),
            ),
            (
                r#"{"input_tokens":30,"output_tokens":0,"input_token_details":
                    {"audio_tokens":20,"cached_tokens_details":{"audio_tokens":8}}}"#,
                ([10, 20, 0, 0, 8, 0], [0, 0]),
            ),
            // Reasoning counted apart from the completion.
            (
                r#"{"prompt_tokens":32,"completion_tokens":9,"total_tokens":135,
                    "completion_tokens_details":{"reasoning_tokens":94}}"#,
                ([32, 0, 0, 0, 0, 0], [103, 0]),
            ),
            (r#"{"input_tokens":9007199254740992,"output_tokens":1.0e1}"#, ([1 << 53, 0, 0, 0, 0, 0], [10, 0])),
        ] {
            assert_eq!(read(json), Ok(expected), "{json}");
        }
    }

    #[test]
    fn usage_that_cannot_be_is_rejected() {
        use UsageError::*;
        for (json, expected) in [
            (r#"[1,2,3]"#, Malformed),
            (r#""tokens""#, Malformed),
            (r#"{"input_tokens":1,"output_tokens":1,"input_token_details":[1]}"#, Malformed),
            (r#"{"input_tokens":1,"input_tokens":2,"output_tokens":1}"#, Malformed),
            (r#"{}"#, Missing(INPUT)),
            (r#"{"total_tokens":5,"output_tokens":5}"#, Missing(INPUT)),
            (r#"{"input_tokens":null,"output_tokens":5}"#, Missing(INPUT)),
            (r#"{"input_tokens":5,"total_tokens":5}"#, Missing(OUTPUT)),
            (r#"{"input_tokens":"5","output_tokens":5}"#, NotANumber(INPUT)),
            (r#"{"input_tokens":5,"output_tokens":true}"#, NotANumber(OUTPUT)),
            (r#"{"input_tokens":5.5,"output_tokens":5}"#, NotANumber(INPUT)),
            (r#"{"input_tokens":{},"output_tokens":5}"#, NotANumber(INPUT)),
            (r#"{"input_tokens":-5,"output_tokens":5}"#, Negative(INPUT)),
            (r#"{"input_tokens":5,"output_tokens":-0.5}"#, Negative(OUTPUT)),
            (r#"{"input_tokens":9007199254740993,"output_tokens":5}"#, TooLarge(INPUT)),
            (r#"{"input_tokens":5,"output_tokens":1e300}"#, TooLarge(OUTPUT)),
            (r#"{"input_tokens":5,"output_tokens":1e999}"#, TooLarge(OUTPUT)),
            (r#"{"input_tokens":5,"output_tokens":5,"total_tokens":-1}"#, Negative(TOTAL)),
            (r#"{"input_tokens":5,"output_tokens":5,"total_tokens":9}"#, Exceeded(TOTAL)),
            (
                r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"text_tokens":3,"audio_tokens":3}}"#,
                Exceeded(INPUT),
            ),
            (r#"{"input_tokens":5,"output_tokens":5,"output_token_details":{"audio_tokens":6}}"#, Exceeded(OUTPUT)),
            (
                r#"{"input_tokens":5,"output_tokens":5,"output_tokens_details":{"reasoning_tokens":6}}"#,
                Exceeded(OUTPUT),
            ),
            (r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"cached_tokens":6}}"#, Exceeded(INPUT)),
            (
                r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"audio_tokens":2,
                "cached_tokens_details":{"audio_tokens":3}}}"#,
                Exceeded("audio_tokens"),
            ),
            (
                r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"cached_tokens":2,
                "cached_tokens_details":{"text_tokens":3}}}"#,
                Exceeded(CACHED),
            ),
            (
                r#"{"input_tokens":5,"output_tokens":5,"input_token_details":{"image_tokens":"2"}}"#,
                NotANumber("image_tokens"),
            ),
        ] {
            assert_eq!(read(json), Err(expected), "{json}");
        }
    }

    #[test]
    fn transcriptions_are_billed_by_tokens_or_by_seconds() {
        let by_tokens = r#"{"type":"tokens","total_tokens":22,"input_tokens":13,
            "input_token_details":{"text_tokens":0,"audio_tokens":13},"output_tokens":9}"#;
        let used = ReportedUsage::transcription(parsed(by_tokens).unwrap()).unwrap();
        let tokens =
            Tokens { input: Input { audio: 13, ..Input::default() }, output: Output { text: 9, ..Output::default() } };
        assert_eq!(used, ReportedUsage::Transcription(tokens));
        assert_eq!(used.tally(), Tally::transcription(Transcription { tokens: 22, milliseconds: 0 }));

        for (json, expected) in [
            (r#"{"type":"duration","seconds":3}"#, Ok(3000)),
            (r#"{"type":"duration","seconds":2.7255}"#, Ok(2726)),
            (r#"{"seconds":0.001}"#, Ok(1)),
            (r#"{"type":"duration"}"#, Err(UsageError::Missing(SECONDS))),
            (r#"{"type":"duration","seconds":"3"}"#, Err(UsageError::NotANumber(SECONDS))),
            (r#"{"type":"duration","seconds":-1}"#, Err(UsageError::Negative(SECONDS))),
            (r#"{"type":"duration","seconds":1e17}"#, Err(UsageError::TooLarge(SECONDS))),
            (r#"{"type":"other","seconds":3}"#, Err(UsageError::Missing(INPUT))),
        ] {
            let milliseconds =
                parsed(json).and_then(ReportedUsage::transcription).map(|used| used.tally().transcription.milliseconds);
            assert_eq!(milliseconds, expected, "{json}");
        }
    }

    #[test]
    fn names_are_bounded_strings() {
        let longest = "n".repeat(MAX_NAME_LEN);
        let read = |json: &str| text(Value::parse(json).ok()).map(Cow::into_owned);
        assert_eq!(read(&format!("\"{longest}\"")), Some(longest.clone()));
        assert_eq!(read(&format!("\"{longest}n\"")), None);
        assert_eq!(read(r#""\u0061""#), Some("a".into()));
        assert_eq!(read("12"), None);
        assert_eq!(text(None), None);
    }
}
