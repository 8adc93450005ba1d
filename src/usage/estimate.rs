//! What was used that nobody told: text by its bytes, audio by how long it lasts, what was read by what the session's last
//! response read.

use super::tally::{Input, Output, Tally, Tokens};

/// OpenAI, "What are tokens and how to count them?": a token is about four characters of English.
const TEXT_BYTES_PER_TOKEN: u64 = 4;

/// RFC 4648 section 4: four characters are three bytes.
const BASE64: (u64, u64) = (3, 4);

/// What an event of OpenAI's has around the audio, whose ids are all of one length.
const AUDIO_EVENT: usize = concat!(
    r#"{"type":"response.output_audio.delta","event_id":"event_000000000000000000000","#,
    r#""response_id":"resp_000000000000000000000","item_id":"item_000000000000000000000","#,
    r#""output_index":0,"content_index":0,"delta":""}"#
)
.len();

/// What a client's event has around the audio.
const AUDIO_APPEND: usize = r#"{"type":"input_audio_buffer.append","audio":""}"#.len();

/// Text that a client sends in one message has fewer bytes: what has more is media, such as an image.
const TEXT_MAX: u64 = 64 * 1024;

/// How audio is encoded, as far as its duration depends on that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AudioFormat {
    bytes_per_second: u32,
}

/// How audio is charged of which nobody tells the usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AudioMeasure {
    /// In tokens: so many of what the client says and of what responses say, for each second.
    Tokens {
        /// Of what the client says.
        input: u64,
        /// Of what responses say.
        output: u64,
        /// The format of what the client says, unless the session tells another.
        format: AudioFormat,
    },
    /// By its duration: as long as what the client says.
    Duration,
}

/// Text and audio, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Said {
    /// Text, as it is in JSON.
    pub text: u64,
    /// Audio, decoded.
    pub audio: u64,
}

/// The formats that a session tells, where it does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AudioFormats {
    /// Of what the client says.
    pub input: Option<AudioFormat>,
    /// Of what responses say.
    pub output: Option<AudioFormat>,
}

/// What there is to estimate a session's responses by.
#[derive(Debug, Clone, Copy)]
pub struct Estimator {
    measure: AudioMeasure,
    formats: AudioFormats,
    /// What the client has said.
    said: Said,
    /// What responses have said that were not told.
    heard: Said,
    /// What the last response read that was told.
    last_input: Option<Input>,
}

impl AudioFormat {
    /// 16 bits a sample, 24,000 of them a second: what all sessions of OpenAI's begin with.
    pub const PCM16: Self = Self { bytes_per_second: 48_000 };

    /// 16 bits a sample, 16,000 of them a second: what Gemini Live hears.
    pub const PCM16_AT_16_KHZ: Self = Self { bytes_per_second: 32_000 };

    /// ITU-T G.711: 8 bits a sample, 8,000 of them a second.
    pub const G711: Self = Self { bytes_per_second: 8_000 };

    /// The format of this name, of the present shape (`audio/pcmu`) or of the former one (`g711_ulaw`).
    pub fn named(name: &str) -> Self {
        let is_g711 = matches!(name, "audio/pcmu" | "audio/pcma" | "g711_ulaw" | "g711_alaw");
        if is_g711 { Self::G711 } else { Self::PCM16 }
    }

    /// 16 bits a sample, this many of them a second.
    pub fn pcm16_at(samples_per_second: u32) -> Self {
        Self { bytes_per_second: samples_per_second.saturating_mul(2).max(1) }
    }

    /// The tokens of so many bytes.
    fn tokens(self, bytes: u64, tokens_per_second: u64) -> u64 {
        bytes.saturating_mul(tokens_per_second).div_ceil(u64::from(self.bytes_per_second))
    }
}

impl AudioMeasure {
    /// OpenAI, "Managing costs" of the Realtime API: the user's audio is a token for each 100 ms, the assistant's for each 50.
    pub const OPENAI: Self = Self::Tokens { input: 10, output: 20, format: AudioFormat::PCM16 };

    /// Google, "Live API best practices": audio is about 25 tokens a second.
    pub const GEMINI: Self = Self::Tokens { input: 25, output: 25, format: AudioFormat::PCM16_AT_16_KHZ };
}

impl Default for AudioFormat {
    fn default() -> Self {
        Self::PCM16
    }
}

impl Said {
    /// Text of so many bytes.
    pub fn text(bytes: u64) -> Self {
        Self { text: bytes, audio: 0 }
    }

    /// An upstream's event of so many bytes, which is audio but for what all such events have around it.
    pub fn audio_event(length: u64) -> Self {
        Self { text: 0, audio: decoded(length, AUDIO_EVENT) }
    }

    /// A client's message of so many bytes, which appends audio.
    pub fn audio_append(length: u64) -> Self {
        Self { text: 0, audio: decoded(length, AUDIO_APPEND) }
    }

    /// A client's message of so many bytes, which says something else.
    pub fn message(length: u64) -> Self {
        if length <= TEXT_MAX { Self::text(length) } else { Self { text: 0, audio: decoded(length, 0) } }
    }

    /// The same, and audio in so many characters of base64.
    #[must_use]
    pub fn with_base64(self, length: u64) -> Self {
        Self { audio: self.audio.saturating_add(decoded(length, 0)), ..self }
    }

    /// Adds what else was said.
    pub fn add(&mut self, other: Self) {
        self.text = self.text.saturating_add(other.text);
        self.audio = self.audio.saturating_add(other.audio);
    }
}

/// The bytes in a message's base64.
fn decoded(length: u64, envelope: usize) -> u64 {
    let (bytes, characters) = BASE64;
    length.saturating_sub(u64::try_from(envelope).unwrap_or(u64::MAX)).saturating_mul(bytes) / characters
}

impl Estimator {
    /// Nothing was said yet.
    pub fn new(measure: AudioMeasure) -> Self {
        let (formats, said, heard) = (AudioFormats::default(), Said::default(), Said::default());
        Self { measure, formats, said, heard, last_input: None }
    }

    /// How long the audio is that the client has said, in milliseconds, where audio is charged by that.
    pub fn duration(&self) -> Option<u64> {
        (self.measure == AudioMeasure::Duration).then(|| self.input_format().tokens(self.said.audio, 1000))
    }

    /// The session tells its formats.
    pub fn set_formats(&mut self, formats: AudioFormats) {
        self.formats.input = formats.input.or(self.formats.input);
        self.formats.output = formats.output.or(self.formats.output);
    }

    /// The client said something.
    pub fn say(&mut self, said: Said) {
        self.said.add(said);
    }

    /// A response said something.
    pub fn hear(&mut self, heard: Said) {
        self.heard.add(heard);
    }

    /// Whether responses that were not told have said anything.
    pub fn has_heard(&self) -> bool {
        self.heard != Said::default()
    }

    /// A response was told. What it said is not to be estimated any more; it was all that was said if it `is_last`.
    pub fn reported(&mut self, response: &Tally, is_last: bool) {
        self.last_input = Some(response.input);
        let format = self.formats.output.unwrap_or_default();
        let audio = response.output.audio.saturating_mul(u64::from(format.bytes_per_second));
        self.heard.text = self.heard.text.saturating_sub(response.output.text.saturating_mul(TEXT_BYTES_PER_TOKEN));
        self.heard.audio = self.heard.audio.saturating_sub(audio.checked_div(self.rates().1).unwrap_or_default());
        if is_last {
            self.forget();
        }
    }

    /// Nothing that was said so far is to be estimated any more.
    pub fn forget(&mut self) {
        self.heard = Said::default();
    }

    /// What a response reads: as much as the last one, or all that the client has said.
    pub fn input(&self) -> Input {
        self.last_input.unwrap_or_else(|| Input {
            text: self.said.text.div_ceil(TEXT_BYTES_PER_TOKEN),
            audio: self.input_format().tokens(self.said.audio, self.rates().0),
            ..Input::default()
        })
    }

    /// What responses have said that were not told.
    pub fn output(&self) -> Output {
        let format = self.formats.output.unwrap_or_default();
        Output {
            text: self.heard.text.div_ceil(TEXT_BYTES_PER_TOKEN),
            audio: format.tokens(self.heard.audio, self.rates().1),
        }
    }

    /// The tokens of a second of what the client says, and of what responses say.
    fn rates(&self) -> (u64, u64) {
        match self.measure {
            AudioMeasure::Tokens { input, output, .. } => (input, output),
            AudioMeasure::Duration => (0, 0),
        }
    }

    fn input_format(&self) -> AudioFormat {
        self.formats.input.unwrap_or(match self.measure {
            AudioMeasure::Tokens { format, .. } => format,
            AudioMeasure::Duration => AudioFormat::PCM16,
        })
    }

    /// What so many responses have used that were not told.
    pub fn responses(&self, count: u32) -> Tokens {
        let one = self.input();
        let times = |tokens: u64| tokens.saturating_mul(count.into());
        let input = Input {
            text: times(one.text),
            audio: times(one.audio),
            image: times(one.image),
            cached_text: times(one.cached_text),
            cached_audio: times(one.cached_audio),
            cached_image: times(one.cached_image),
        };
        Tokens { input, output: self.output(), ..Tokens::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_estimated_by_its_bytes_and_audio_by_how_long_it_lasts() {
        let second = 48_000 * 4 / 3;
        for (format, heard, want) in [
            (None, Said::text(400), (100, 0)),
            (None, Said::text(1), (1, 0)),
            (None, Said::audio_event(AUDIO_EVENT as u64 + second), (0, 20)),
            (Some("audio/pcm"), Said::audio_event(AUDIO_EVENT as u64 + second), (0, 20)),
            (Some("pcm16"), Said::audio_event(AUDIO_EVENT as u64 + second), (0, 20)),
            (Some("g711_ulaw"), Said::audio_event(AUDIO_EVENT as u64 + second), (0, 120)),
            (Some("audio/pcma"), Said::audio_event(AUDIO_EVENT as u64 + second), (0, 120)),
            (None, Said::audio_event(3), (0, 0)),
        ] {
            let mut estimator = Estimator::new(AudioMeasure::OPENAI);
            estimator.set_formats(AudioFormats { input: None, output: format.map(AudioFormat::named) });
            estimator.hear(heard);
            assert_eq!(estimator.output(), Output { text: want.0, audio: want.1 }, "{format:?} {heard:?}");
        }
        assert_eq!(AudioFormat::pcm16_at(24_000), AudioFormat::PCM16);
    }

    #[test]
    fn what_was_read_is_as_much_as_the_last_time_or_what_the_client_has_said() {
        let mut estimator = Estimator::new(AudioMeasure::OPENAI);
        estimator.say(Said::message(400));
        estimator.say(Said::audio_append(AUDIO_APPEND as u64 + 64_000 * 3));
        estimator.say(Said::message(640_000));
        assert_eq!(estimator.input(), Input { text: 100, audio: 30 + 100, ..Input::default() });
        let told = Tally::response(Tokens {
            input: Input { text: 50, cached_text: 20, ..Input::default() },
            output: Output { text: 5, audio: 20 },
            ..Tokens::default()
        });
        estimator.hear(Said { text: 30, audio: 100_000 });
        estimator.reported(&told, false);
        let left = Tokens { input: told.input, output: Output { text: 3, audio: 22 }, cache_write_text: 0 };
        assert_eq!(estimator.responses(1), left);
        assert_eq!(estimator.responses(2).input, Input { text: 100, cached_text: 40, ..Input::default() });
        estimator.reported(&told, true);
        assert!(!estimator.has_heard());
    }
}
