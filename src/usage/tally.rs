//! Counters of one session, by direction and modality.

use serde::{Deserialize, Serialize};

use crate::json::fraction::Fraction;

/// What has been counted; as JSON, the `usage` of a record. All sums saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Responses that have ended, also those that were cancelled, cut short or failed.
    pub responses: u64,
    /// Tokens that responses have read, cached ones among them.
    pub input_tokens: u64,
    /// Tokens that responses have written.
    pub output_tokens: u64,
    /// Both together. Tokens of transcriptions are not among them.
    pub total_tokens: u64,
    /// `input_tokens` by modality.
    pub input: Input,
    /// `output_tokens` by modality.
    pub output: Output,
    /// Transcriptions of the user's audio, by a model of their own.
    pub transcription: Transcription,
    /// Audio of sessions that are priced by its duration. As JSON, left out where there is none.
    #[serde(default, skip_serializing_if = "Audio::is_nothing")]
    pub audio: Audio,
}

/// Input tokens by modality: `text + audio + image` is all of them, and each `cached_…` is a part of its modality.
///
/// Tokens of which an upstream does not tell the modality count as text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Text tokens.
    pub text: u64,
    /// Audio tokens.
    pub audio: u64,
    /// Image tokens.
    pub image: u64,
    /// Those of `text` that came from the upstream's cache.
    pub cached_text: u64,
    /// Those of `audio` that came from the upstream's cache.
    pub cached_audio: u64,
    /// Those of `image` that came from the upstream's cache.
    pub cached_image: u64,
}

/// Output tokens by modality; reasoning is text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Text tokens.
    pub text: u64,
    /// Audio tokens.
    pub audio: u64,
}

/// What transcriptions have used, in the unit that their model is billed by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transcription {
    /// Input and output tokens.
    pub tokens: u64,
    /// The duration of the audio. As JSON, a number of seconds.
    #[serde(rename = "seconds", with = "Fraction::<1_000>")]
    pub milliseconds: u64,
}

/// Audio that no tokens are told of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audio {
    /// Its duration. As JSON, a number of seconds.
    #[serde(rename = "seconds", with = "Fraction::<1_000>")]
    pub milliseconds: u64,
}

/// Tokens of one response or transcription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// What was read.
    pub input: Input,
    /// What was written.
    pub output: Output,
    /// Those of the input's text that were written to the upstream's cache, which some charge apart.
    pub cache_write_text: u64,
}

impl Input {
    /// All input tokens.
    pub fn tokens(&self) -> u64 {
        self.text.saturating_add(self.audio).saturating_add(self.image)
    }
}

impl Output {
    /// All output tokens.
    pub fn tokens(&self) -> u64 {
        self.text.saturating_add(self.audio)
    }
}

impl Audio {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Tally {
    /// One response.
    pub fn response(tokens: Tokens) -> Self {
        let (input_tokens, output_tokens) = (tokens.input.tokens(), tokens.output.tokens());
        Self {
            responses: 1,
            input_tokens,
            output_tokens,
            total_tokens: input_tokens.saturating_add(output_tokens),
            input: tokens.input,
            output: tokens.output,
            transcription: Transcription::default(),
            audio: Audio::default(),
        }
    }

    /// One transcription.
    pub fn transcription(transcription: Transcription) -> Self {
        Self { transcription, ..Self::default() }
    }

    /// Audio of a session.
    pub fn audio(audio: Audio) -> Self {
        Self { audio, ..Self::default() }
    }

    /// Adds what another tally has counted.
    pub fn add(&mut self, other: &Self) {
        let mut other = *other;
        for (sum, more) in self.counters_mut().into_iter().zip(other.counters_mut()) {
            *sum = sum.saturating_add(*more);
        }
    }

    fn counters_mut(&mut self) -> [&mut u64; 15] {
        let Self { responses, input_tokens, output_tokens, total_tokens, input, output, transcription, audio } = self;
        [
            responses,
            input_tokens,
            output_tokens,
            total_tokens,
            &mut input.text,
            &mut input.audio,
            &mut input.image,
            &mut input.cached_text,
            &mut input.cached_audio,
            &mut input.cached_image,
            &mut output.text,
            &mut output.audio,
            &mut transcription.tokens,
            &mut transcription.milliseconds,
            &mut audio.milliseconds,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_tokens() -> Tokens {
        Tokens {
            input: Input { text: 7, audio: 5, image: 3, cached_text: 6, cached_audio: 4, cached_image: 2 },
            output: Output { text: 11, audio: 13 },
            cache_write_text: 0,
        }
    }

    #[test]
    fn tallies_add_up_and_saturate() {
        let mut tally = Tally::response(some_tokens());
        tally.add(&Tally::transcription(Transcription { tokens: 9, milliseconds: 1500 }));
        tally.add(&Tally::response(some_tokens()));
        assert_eq!((tally.responses, tally.input_tokens, tally.output_tokens, tally.total_tokens), (2, 30, 48, 78));
        assert_eq!(tally.input.cached_audio, 8);
        assert_eq!(tally.transcription, Transcription { tokens: 9, milliseconds: 1500 });

        tally.total_tokens = u64::MAX - 1;
        tally.add(&Tally::response(some_tokens()));
        assert_eq!(tally.total_tokens, u64::MAX);
        assert_eq!(tally.input_tokens, 45);
    }

    #[test]
    fn json_has_the_names_and_the_order_of_a_record() {
        let mut tally = Tally::response(some_tokens());
        tally.add(&Tally::transcription(Transcription { tokens: 9, milliseconds: 1500 }));
        let json = concat!(
            r#"{"responses":1,"input_tokens":15,"output_tokens":24,"total_tokens":39,"#,
            r#""input":{"text":7,"audio":5,"image":3,"cached_text":6,"cached_audio":4,"cached_image":2},"#,
            r#""output":{"text":11,"audio":13},"transcription":{"tokens":9,"seconds":1.5}}"#
        );
        assert_eq!(serde_json::to_string(&tally).unwrap(), json);
        assert_eq!(serde_json::from_str::<Tally>(json).unwrap(), tally);
    }
}
