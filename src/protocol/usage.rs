//! Usage as upstreams report it, in five dialects, read into one form.
//!
//! | | Realtime | Responses | chat completions | Anthropic |
//! |---|---|---|---|---|
//! | read | `input_tokens` | `input_tokens` | `prompt_tokens` | `input_tokens`, and what is cached |
//! | of which | `input_token_details` | `input_tokens_details` | `prompt_tokens_details` | `cache_read_input_tokens`, `cache_creation_input_tokens` |
//! | written | `output_tokens` | `output_tokens` | `completion_tokens` | `output_tokens` |
//! | of which | `output_token_details` | `output_tokens_details` | `completion_tokens_details` | |
//!
//! Gemini Live's reads `promptTokenCount` and `toolUsePromptTokenCount`, and writes `responseTokenCount` and
//! `thoughtsTokenCount`; its details are lists, with an item for each modality.
//!
//! Tokens whose modality is not told count as text, cached ones first as text, then as audio, then as image, as far as
//! there are any. What `total_tokens` has beyond input and output is reasoning where some upstream counts that apart: it
//! counts as output text.
//!
//! Numbers that do not add up are counted all the same: input and output as told, what details have beyond them not at all,
//! and a flaw says so. Of details that are too many, the dearest modality is kept first.

mod gemini;
mod paths;

use crate::json::matcher::Value;
use crate::json::{Decimal, ONE};
use crate::usage::report::ReportedUsage;
use crate::usage::{Input, Output, Tokens, UsageError};

pub(super) use gemini::{GeminiField, GeminiFields, List};
pub(super) use paths::{gemini_usage_paths, usage_paths};

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
    /// Anthropic's, which are no part of its `input_tokens`.
    CacheRead,
    CacheCreation,
    /// Gemini's, which are no part of its `promptTokenCount`.
    ToolUse,
    /// Gemini's, which are no part of its `responseTokenCount`.
    Thoughts,
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
    CacheWrite,
}

/// A `usage` object as far as it has come. What is null is not there.
#[derive(Debug, Default)]
pub(super) struct UsageFields {
    is_there: bool,
    /// It, or details that count, are something else than an object.
    is_malformed: bool,
    kind: Option<UsageKind>,
    seconds: Option<Count>,
    sums: [Option<Count>; 9],
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
    parts: [Option<Count>; 9],
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

    /// As the usage of a response, and why that may not be all.
    pub(super) fn response(&self) -> (ReportedUsage, Option<UsageError>) {
        let (tokens, flaw) = self.tokens(Some(UsageError::Missing(OUTPUT)));
        (ReportedUsage::Response(tokens), flaw)
    }

    /// As the usage of what need not write anything.
    pub(super) fn reading(&self) -> (ReportedUsage, Option<UsageError>) {
        let (tokens, flaw) = self.tokens(None);
        (ReportedUsage::Response(tokens), flaw)
    }

    /// As the usage of a transcription, which is told in tokens or as a duration.
    ///
    /// # Errors
    /// If nothing of it can be read.
    pub(super) fn transcription(&self) -> Result<(ReportedUsage, Option<UsageError>), UsageError> {
        if self.is_malformed {
            return Err(UsageError::Malformed);
        }
        let is_duration = self.kind.map_or(self.seconds.is_some(), |kind| kind == UsageKind::Duration);
        if is_duration {
            let milliseconds = count(self.seconds, SECONDS)?.ok_or(UsageError::Missing(SECONDS))?;
            return Ok((ReportedUsage::TranscriptionDuration { milliseconds }, None));
        }
        let [_, input, prompt, output, completion, ..] = self.sums;
        if input.or(prompt).or(output).or(completion).is_none() {
            return Err(UsageError::Missing(INPUT));
        }
        let (tokens, flaw) = self.tokens(Some(UsageError::Missing(OUTPUT)));
        Ok((ReportedUsage::Transcription(tokens), flaw))
    }

    /// As the usage of a session of audio: how long it is, in milliseconds.
    ///
    /// # Errors
    /// If that cannot be read.
    pub(super) fn audio(&self) -> Result<u64, UsageError> {
        if self.is_malformed {
            return Err(UsageError::Malformed);
        }
        count(self.seconds, SECONDS)?.ok_or(UsageError::Missing(SECONDS))
    }

    /// A later report of the same response, in a stream whose counts only grow.
    pub(super) fn grow(&mut self, later: &Self) {
        self.is_there |= later.is_there;
        self.is_malformed |= later.is_malformed;
        for (sum, later) in self.sums.iter_mut().zip(later.sums) {
            *sum = match (*sum, later) {
                (Some(Count::Is(before)), Some(Count::Is(now))) => Some(Count::Is(before.max(now))),
                (before, now) => now.or(before),
            };
        }
    }

    fn details(&mut self, side: Side) -> &mut Details {
        match side {
            Side::Input => &mut self.input,
            Side::Output => &mut self.output,
        }
    }

    /// What has been read and written. `unwritten` is what it means that nothing is told of the latter.
    fn tokens(&self, unwritten: Option<UsageError>) -> (Tokens, Option<UsageError>) {
        let mut flaws = Flaws(self.is_malformed.then_some(UsageError::Malformed));
        let [total, input, prompt, output, completion, cache_read, cache_creation, tool_use, thoughts] = self.sums;
        let read = flaws.count(input.or(prompt), INPUT);
        let written = flaws.count(output.or(completion), OUTPUT);
        if read.is_none() {
            flaws.note(UsageError::Missing(INPUT));
        }
        if let (None, Some(unwritten)) = (written, unwritten) {
            flaws.note(unwritten);
        }
        // Whoever tells these beside `prompt_tokens` has them in there.
        let is_apart = input.is_some();
        let mut cache = |count, field| flaws.count(count, field).filter(|_| is_apart).unwrap_or(0);
        let (cached, cache_write) =
            (cache(cache_read, "cache_read_input_tokens"), cache(cache_creation, "cache_creation_input_tokens"));
        let tool_use = flaws.count(tool_use, INPUT).unwrap_or(0);
        let thoughts = flaws.count(thoughts, OUTPUT).unwrap_or(0);
        let (read, written) = (read.unwrap_or(0) + cached + cache_write + tool_use, written.unwrap_or(0) + thoughts);
        let apart = self.reasoning_apart(total, read + written, &mut flaws);
        let (input, written_to_cache) = self.input.input(read, cached, &mut flaws);
        let output = self.output.output(written + apart, &mut flaws);
        let room = input.text - input.cached_text;
        let cache_write_text = flaws.cut(cache_write + written_to_cache, room, "cache_write_tokens");
        (Tokens { input, output, cache_write_text }, flaws.0)
    }

    /// What the total has beyond what was told: reasoning, unless that is known to be something else.
    fn reasoning_apart(&self, total: Option<Count>, reported: u64, flaws: &mut Flaws) -> u64 {
        let Some(total) = flaws.count(total, TOTAL) else { return 0 };
        let Some(apart) = total.checked_sub(reported) else {
            flaws.note(UsageError::Exceeded(TOTAL));
            return 0;
        };
        let reasoning = self.output.part(Part::Reasoning);
        let [_, _, prompt, ..] = self.sums;
        let is_reasoning = match reasoning {
            Some(Count::Is(reasoning)) if reasoning > 0 => reasoning == apart,
            // Gemini tells its thoughts nowhere else.
            _ => prompt.is_some(),
        };
        if is_reasoning || apart == 0 {
            return apart;
        }
        flaws.note(UsageError::Short(TOTAL));
        0
    }
}

/// The first reason why a usage may not be all.
struct Flaws(Option<UsageError>);

impl Flaws {
    fn note(&mut self, flaw: UsageError) {
        self.0.get_or_insert(flaw);
    }

    /// So many, if that is told in a way that can be.
    fn count(&mut self, reported: Option<Count>, field: &'static str) -> Option<u64> {
        count(reported, field).unwrap_or_else(|flaw| {
            self.note(flaw);
            None
        })
    }

    /// So many of them as there is room for.
    fn cut(&mut self, reported: u64, room: u64, field: &'static str) -> u64 {
        if reported > room {
            self.note(UsageError::Exceeded(field));
        }
        reported.min(room)
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

    fn part(&self, part: Part) -> Option<Count> {
        self.parts.get(part as usize).copied().flatten()
    }

    /// So many of `room`, which then has less.
    fn take(&self, part: Part, room: &mut u64, (name, whole): (&'static str, &'static str), flaws: &mut Flaws) -> u64 {
        let reported = flaws.count(self.part(part), name).unwrap_or(0);
        let taken = flaws.cut(reported, *room, whole);
        *room -= taken;
        taken
    }

    fn note_shape(&self, flaws: &mut Flaws) {
        if self.is_malformed {
            flaws.note(UsageError::Malformed);
        }
    }

    /// By modality, `cached` of it told elsewhere; and how much of it was written to a cache.
    fn input(&self, total: u64, cached: u64, flaws: &mut Flaws) -> (Input, u64) {
        self.note_shape(flaws);
        let mut rest = total;
        let audio = self.take(Part::Audio, &mut rest, ("audio_tokens", INPUT), flaws);
        let image = self.take(Part::Image, &mut rest, ("image_tokens", INPUT), flaws);
        let mut unreported = rest;
        self.take(Part::Text, &mut unreported, ("text_tokens", INPUT), flaws);
        let input = Input { text: rest, audio, image, ..Input::default() };
        let written = flaws.count(self.part(Part::CacheWrite), "cache_write_tokens").unwrap_or(0);
        (self.cached(input, cached, flaws), written)
    }

    fn cached(&self, input: Input, cached: u64, flaws: &mut Flaws) -> Input {
        let reported = flaws.count(self.part(Part::Cached), CACHED).map(|reported| reported.saturating_add(cached));
        let total = reported.or((cached > 0).then_some(cached));
        let mut rest = total.unwrap_or(u64::MAX);
        let mut part = |part, name, all: u64, flaws: &mut Flaws| {
            let taken = self.take(part, &mut rest, (name, CACHED), flaws);
            flaws.cut(taken, all, name)
        };
        let cached_text = part(Part::CachedText, "cached text_tokens", input.text, flaws);
        let cached_audio = part(Part::CachedAudio, "cached audio_tokens", input.audio, flaws);
        let cached_image = part(Part::CachedImage, "cached image_tokens", input.image, flaws);
        let mut unreported = total.map_or(0, |total| total - (cached_text + cached_audio + cached_image).min(total));
        let mut fill = |cached: u64, all: u64| {
            let more = (all - cached).min(unreported);
            unreported -= more;
            cached + more
        };
        let input = Input {
            cached_text: fill(cached_text, input.text),
            cached_audio: fill(cached_audio, input.audio),
            cached_image: fill(cached_image, input.image),
            ..input
        };
        flaws.cut(unreported, 0, INPUT);
        input
    }

    fn output(&self, total: u64, flaws: &mut Flaws) -> Output {
        self.note_shape(flaws);
        let mut rest = total;
        let audio = self.take(Part::Audio, &mut rest, ("audio_tokens", OUTPUT), flaws);
        for (part, name) in [(Part::Text, "text_tokens"), (Part::Reasoning, "reasoning_tokens")] {
            let mut text = rest;
            self.take(part, &mut text, (name, OUTPUT), flaws);
        }
        Output { text: rest, audio }
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
