//! Usage as upstreams report it, in three dialects, read into one form or rejected.
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

use crate::json::matcher::Value;
use crate::json::{Decimal, ONE};
use crate::usage::report::ReportedUsage;
use crate::usage::{Input, Output, Tokens, UsageError};

/// A member of a `usage` object.
#[derive(Debug, Clone, Copy)]
pub(super) enum UsageField {
    /// The object itself.
    Itself,
    Type,
    Seconds,
    Sum(Sum),
    /// An object of details, in this dialect.
    Details(Side, Dialect),
    Part(Side, Dialect, Part),
    /// The details of what was cached, an object.
    CachedDetails(Dialect),
}

/// Tokens of a whole direction, or of both.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sum {
    Total,
    Input,
    Prompt,
    Output,
    Completion,
}

/// What was read or what was written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Input,
    Output,
}

/// Whose words are used. Where several are, the first counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Dialect {
    Realtime,
    Responses,
    Chat,
}

/// Tokens of a direction that are something in particular.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Text,
    Audio,
    Image,
    Cached,
    Reasoning,
    CachedText,
    CachedAudio,
    CachedImage,
}

/// The members of a `usage` object, by their paths in it.
pub(super) fn usage_paths() -> Vec<(String, UsageField)> {
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

/// A `usage` object as far as it has come. What is null is not there.
#[derive(Debug, Default)]
pub(super) struct UsageFields {
    is_there: bool,
    /// It, or details that count, are something else than an object.
    is_malformed: bool,
    kind: Option<UsageKind>,
    seconds: Option<Count>,
    sums: [Option<Count>; 5],
    input: Details,
    output: Details,
}

/// What a usage is of, by its own word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum UsageKind {
    Tokens,
    Duration,
    Other,
}

/// The details of one direction, in the first dialect that has any.
#[derive(Debug, Default)]
struct Details {
    dialect: Option<Dialect>,
    is_malformed: bool,
    parts: [Option<Count>; 8],
}

/// What stands where a count should.
#[derive(Debug, Clone, Copy)]
enum Count {
    /// So many; of seconds, so many thousandths of one.
    Is(u64),
    NotANumber,
    Negative,
    TooLarge,
}

const INPUT: &str = "input_tokens";
const OUTPUT: &str = "output_tokens";
const TOTAL: &str = "total_tokens";
const CACHED: &str = "cached_tokens";
const SECONDS: &str = "seconds";

/// Beyond it, a JSON number is not exact for most who read and write it.
const MAX_COUNT: u64 = 1 << 53;

impl UsageFields {
    /// Takes what stands at a member's path.
    pub(super) fn set(&mut self, field: UsageField, value: Value<'_>) {
        if matches!(value, Value::Null | Value::Blocked(_)) {
            return;
        }
        let is_object = matches!(value, Value::Object { .. });
        match field {
            UsageField::Itself => {
                self.is_there = true;
                self.is_malformed |= !is_object;
            }
            UsageField::Type => {
                self.kind = Some(match value {
                    Value::Text("tokens") => UsageKind::Tokens,
                    Value::Text("duration") => UsageKind::Duration,
                    _ => UsageKind::Other,
                });
            }
            UsageField::Seconds => self.seconds = Some(Count::of(value, |seconds| Some(seconds.thousandths()))),
            UsageField::Sum(sum) => {
                if let Some(slot) = self.sums.get_mut(sum as usize) {
                    *slot = Some(Count::of(value, Decimal::whole));
                }
            }
            UsageField::Details(side, dialect) => self.details(side).note(dialect, is_object),
            UsageField::CachedDetails(dialect) => self.input.note(dialect, is_object),
            UsageField::Part(side, dialect, part) => {
                self.details(side).set(dialect, part, Count::of(value, Decimal::whole));
            }
        }
    }

    /// Whether there is any usage.
    pub(super) fn is_there(&self) -> bool {
        self.is_there
    }

    /// Whether there is any, as an object.
    pub(super) fn is_object(&self) -> bool {
        self.is_there && !self.is_malformed
    }

    /// Whether it says that it is of a transcription. Over REST, only such a usage has a type.
    pub(super) fn is_of_transcription(&self) -> bool {
        matches!(self.kind, Some(UsageKind::Tokens | UsageKind::Duration))
    }

    /// As the usage of a response.
    pub(super) fn response(&self) -> Result<ReportedUsage, UsageError> {
        let (input, output) = self.tokens()?;
        Ok(ReportedUsage::Response(Tokens { input, output: output.ok_or(UsageError::Missing(OUTPUT))? }))
    }

    /// As the usage of what need not write anything.
    pub(super) fn reading(&self) -> Result<ReportedUsage, UsageError> {
        let (input, output) = self.tokens()?;
        Ok(ReportedUsage::Response(Tokens { input, output: output.unwrap_or_default() }))
    }

    /// As the usage of a transcription, which is told in tokens or as a duration.
    pub(super) fn transcription(&self) -> Result<ReportedUsage, UsageError> {
        let is_duration = self.kind.map_or(self.seconds.is_some(), |kind| kind == UsageKind::Duration);
        if is_duration && !self.is_malformed {
            let milliseconds = count(self.seconds, SECONDS)?.ok_or(UsageError::Missing(SECONDS))?;
            return Ok(ReportedUsage::TranscriptionDuration { milliseconds });
        }
        let (input, output) = self.tokens()?;
        Ok(ReportedUsage::Transcription(Tokens { input, output: output.ok_or(UsageError::Missing(OUTPUT))? }))
    }

    fn details(&mut self, side: Side) -> &mut Details {
        match side {
            Side::Input => &mut self.input,
            Side::Output => &mut self.output,
        }
    }

    /// What has been read and, if that is told, written.
    fn tokens(&self) -> Result<(Input, Option<Output>), UsageError> {
        if self.is_malformed {
            return Err(UsageError::Malformed);
        }
        let [total, input, prompt, output, completion] = self.sums;
        let input = count(input.or(prompt), INPUT)?.ok_or(UsageError::Missing(INPUT))?;
        let output = count(output.or(completion), OUTPUT)?;
        let reported = input + output.unwrap_or(0);
        let apart =
            count(total, TOTAL)?.unwrap_or(reported).checked_sub(reported).ok_or(UsageError::Exceeded(TOTAL))?;
        let output = output.map(|output| self.output.output(output + apart)).transpose()?;
        Ok((self.input.input(input)?, output))
    }
}

impl Details {
    /// An object of details, or of those of what is cached, has ended, or something else stands in its place.
    fn note(&mut self, dialect: Dialect, is_object: bool) {
        if self.is_of(dialect) {
            self.is_malformed |= !is_object;
        }
    }

    fn set(&mut self, dialect: Dialect, part: Part, count: Count) {
        if self.is_of(dialect)
            && let Some(slot) = self.parts.get_mut(part as usize)
        {
            *slot = Some(count);
        }
    }

    /// Whether details in this dialect count; then those in a later one count no more.
    fn is_of(&mut self, dialect: Dialect) -> bool {
        if self.dialect.is_none_or(|known| dialect < known) {
            *self = Self { dialect: Some(dialect), ..Self::default() };
        }
        self.dialect == Some(dialect)
    }

    fn part(&self, part: Part, name: &'static str) -> Result<Option<u64>, UsageError> {
        count(self.parts.get(part as usize).copied().flatten(), name)
    }

    fn input(&self, total: u64) -> Result<Input, UsageError> {
        if self.is_malformed {
            return Err(UsageError::Malformed);
        }
        let text = self.part(Part::Text, "text_tokens")?.unwrap_or(0);
        let audio = self.part(Part::Audio, "audio_tokens")?.unwrap_or(0);
        let image = self.part(Part::Image, "image_tokens")?.unwrap_or(0);
        let unreported = total.checked_sub(text + audio + image).ok_or(UsageError::Exceeded(INPUT))?;
        self.cached(Input { text: text + unreported, audio, image, ..Input::default() })
    }

    fn cached(&self, input: Input) -> Result<Input, UsageError> {
        let total = self.part(Part::Cached, CACHED)?;
        let text = self.part(Part::CachedText, "cached text_tokens")?.unwrap_or(0);
        let audio = self.part(Part::CachedAudio, "cached audio_tokens")?.unwrap_or(0);
        let image = self.part(Part::CachedImage, "cached image_tokens")?.unwrap_or(0);
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

    fn output(&self, total: u64) -> Result<Output, UsageError> {
        if self.is_malformed {
            return Err(UsageError::Malformed);
        }
        let text = self.part(Part::Text, "text_tokens")?.unwrap_or(0);
        let audio = self.part(Part::Audio, "audio_tokens")?.unwrap_or(0);
        let reasoning = self.part(Part::Reasoning, "reasoning_tokens")?.unwrap_or(0);
        let unreported = total.checked_sub(text + audio).ok_or(UsageError::Exceeded(OUTPUT))?;
        let text = text + unreported;
        if reasoning > text {
            return Err(UsageError::Exceeded(OUTPUT));
        }
        Ok(Output { text, audio })
    }
}

impl Count {
    /// A number from 0 to [`MAX_COUNT`], of which `read` says how many it is.
    fn of(value: Value<'_>, read: fn(Decimal) -> Option<u64>) -> Self {
        let Value::Number(number) = value else { return Self::NotANumber };
        match Decimal::parse(number) {
            None => Self::NotANumber,
            Some(number) if number.is_negative => Self::Negative,
            Some(number) if number.millionths > u128::from(MAX_COUNT) * ONE => Self::TooLarge,
            Some(number) => read(number).map_or(Self::NotANumber, Self::Is),
        }
    }
}

fn count(count: Option<Count>, field: &'static str) -> Result<Option<u64>, UsageError> {
    match count {
        None => Ok(None),
        Some(Count::Is(count)) => Ok(Some(count)),
        Some(Count::NotANumber) => Err(UsageError::NotANumber(field)),
        Some(Count::Negative) => Err(UsageError::Negative(field)),
        Some(Count::TooLarge) => Err(UsageError::TooLarge(field)),
    }
}

#[cfg(test)]
mod tests;
