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
