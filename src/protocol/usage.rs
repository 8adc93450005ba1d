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
mod tests {
    use std::ops::ControlFlow;
    use std::sync::Arc;

    use super::*;
    use crate::json::matcher::{Bounds, Matcher, OtherCase};
    use crate::json::paths::Paths;
    use crate::usage::{Tally, Transcription};

    /// The members of a usage object that stands in this body.
    fn fields(usage: &str) -> Result<UsageFields, UsageError> {
        let paths: Vec<_> = usage_paths()
            .into_iter()
            .map(|(name, field)| (format!("usage.{name}").trim_end_matches('.').to_owned(), field))
            .collect();
        let bounds = Bounds { other_case: OtherCase::Ignored, ..Bounds::default() };
        let (mut matcher, mut fields) = (Matcher::new(Arc::new(Paths::new(&paths)), bounds), UsageFields::default());
        let read = matcher.feed(format!(r#"{{"usage":{usage}}}"#).as_bytes(), &mut |found| {
            fields.set(found.tag, found.value);
            ControlFlow::Continue(())
        });
        read.and_then(|_| matcher.finish()).map(|()| fields).map_err(|_| UsageError::Malformed)
    }

    fn read(json: &str) -> Result<([u64; 6], [u64; 2]), UsageError> {
        let ReportedUsage::Response(Tokens { input: i, output: o }) = fields(json)?.response()? else {
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
        let used = fields(by_tokens).unwrap().transcription().unwrap();
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
            let milliseconds = fields(json)
                .and_then(|fields| fields.transcription())
                .map(|used| used.tally().transcription.milliseconds);
            assert_eq!(milliseconds, expected, "{json}");
        }
    }
}
