//! The fields of sessions, as clients of the providers' APIs write them.

use crate::spelling::meant;

/// What a dotted path, such as `audio.output.voice`, is to sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionField {
    /// A field of some kind of session.
    Known,
    /// None, but nearly this one.
    SlipOf(String),
    /// None that is known.
    Unknown,
}

/// All fields that hold no others, and those that hold anything: these end with `.*`.
const FIELDS: [&[&str]; 5] = [&REALTIME, &REALTIME_BEFORE_AUDIO, &RESPONSES, &LIVE, &GEMINI_LIVE];

/// Of OpenAI's Realtime API: conversations, transcriptions and translations.
const REALTIME: [&str; 47] = [
    "audio.input.format.rate",
    "audio.input.format.type",
    "audio.input.noise_reduction.strength",
    "audio.input.noise_reduction.type",
    "audio.input.transcription.delay",
    "audio.input.transcription.keywords",
    "audio.input.transcription.language",
    "audio.input.transcription.languages",
    "audio.input.transcription.model",
    "audio.input.transcription.prompt",
    "audio.input.turn_detection.create_response",
    "audio.input.turn_detection.eagerness",
    "audio.input.turn_detection.idle_timeout_ms",
    "audio.input.turn_detection.interrupt_response",
    "audio.input.turn_detection.prefix_padding_ms",
    "audio.input.turn_detection.silence_duration_ms",
    "audio.input.turn_detection.threshold",
    "audio.input.turn_detection.type",
    "audio.output.format.rate",
    "audio.output.format.type",
    "audio.output.language",
    "audio.output.speed",
    "audio.output.voice.id",
    "expires_at",
    "id",
    "include",
    "instructions",
    "max_output_tokens",
    "model",
    "object",
    "output_modalities",
    "parallel_tool_calls",
    "prompt.id",
    "prompt.variables.*",
    "prompt.version",
    "reasoning.effort",
    "tool_choice.name",
    "tool_choice.server_label",
    "tool_choice.type",
    "tools.*",
    "tracing.group_id",
    "tracing.metadata.*",
    "tracing.workflow_name",
    "truncation.retention_ratio",
    "truncation.token_limits.post_instructions",
    "truncation.type",
    "type",
];

/// Of the Realtime API as it was before its fields of audio stood below `audio`; Azure and xAI have some of them.
const REALTIME_BEFORE_AUDIO: [&str; 19] = [
    "input_audio_format",
    "input_audio_noise_reduction.type",
    "input_audio_transcription.language",
    "input_audio_transcription.model",
    "input_audio_transcription.prompt",
    "max_response_output_tokens",
    "modalities",
    "output_audio_format",
    "speed",
    "temperature",
    "turn_detection.create_response",
    "turn_detection.eagerness",
    "turn_detection.idle_timeout_ms",
    "turn_detection.interrupt_response",
    "turn_detection.prefix_padding_ms",
    "turn_detection.silence_duration_ms",
    "turn_detection.threshold",
    "turn_detection.type",
    "voice",
];

/// Of OpenAI's Responses API.
const RESPONSES: [&str; 31] = [
    "access_programs.*",
    "background",
    "context_management.*",
    "conversation.id",
    "image.*",
    "input.*",
    "max_tool_calls",
    "metadata.*",
    "moderation.*",
    "previous_response_id",
    "prompt_cache_key",
    "prompt_cache_options.*",
    "prompt_cache_retention",
    "reasoning.context",
    "reasoning.generate_summary",
    "reasoning.mode",
    "reasoning.summary",
    "safety_identifier",
    "service_tier",
    "store",
    "stream",
    "stream_options.*",
    "temperature",
    "text.format.*",
    "text.verbosity",
    "tool_choice.mode",
    "tool_choice.tools.*",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// Of OpenAI Live.
const LIVE: [&str; 9] = [
    "audio.format.rate",
    "audio.format.type",
    "client.data_channel.allowed_client_events",
    "client.data_channel.allowed_server_events",
    "delegation.acknowledgement_delay_ms",
    "delegation.decisions.*",
    "delegation.responses.*",
    "delegation.type",
    "triggers.*",
];

/// Of Gemini Live: the fields of its `setup`.
const GEMINI_LIVE: [&str; 34] = [
    "contextWindowCompression.slidingWindow.targetTokens",
    "contextWindowCompression.triggerTokens",
    "explicitVadSignal",
    "generationConfig.candidateCount",
    "generationConfig.enableAffectiveDialog",
    "generationConfig.frequencyPenalty",
    "generationConfig.maxOutputTokens",
    "generationConfig.mediaResolution",
    "generationConfig.presencePenalty",
    "generationConfig.responseModalities",
    "generationConfig.seed",
    "generationConfig.speechConfig.languageCode",
    "generationConfig.speechConfig.multiSpeakerVoiceConfig.*",
    "generationConfig.speechConfig.voiceConfig.*",
    "generationConfig.stopSequences",
    "generationConfig.temperature",
    "generationConfig.thinkingConfig.includeThoughts",
    "generationConfig.thinkingConfig.thinkingBudget",
    "generationConfig.thinkingConfig.thinkingLevel",
    "generationConfig.topK",
    "generationConfig.topP",
    "historyConfig.*",
    "inputAudioTranscription.*",
    "outputAudioTranscription.*",
    "proactivity.proactiveAudio",
    "realtimeInputConfig.activityHandling",
    "realtimeInputConfig.automaticActivityDetection.*",
    "realtimeInputConfig.turnCoverage",
    "safetySettings.*",
    "sessionResumption.handle",
    "sessionResumption.transparent",
    "systemInstruction.parts.*",
    "systemInstruction.role",
    "toolConfig.*",
];

impl SessionField {
    /// Looks a path up among the fields of every kind of session.
    ///
    /// ```
    /// use realtime_byok::protocol::SessionField;
    ///
    /// assert_eq!(SessionField::of("audio.output.voice"), SessionField::Known);
    /// assert_eq!(SessionField::of("instruction"), SessionField::SlipOf("instructions".to_owned()));
    /// assert_eq!(SessionField::of("colour"), SessionField::Unknown);
    /// ```
    pub fn of(path: &str) -> Self {
        // Every field of which what was looked at is the beginning, after that beginning.
        let mut below: Vec<&str> = FIELDS.iter().flat_map(|fields| fields.iter().copied()).collect();
        let mut corrected: Vec<&str> = Vec::new();
        let mut is_slip = false;
        for name in path.split('.') {
            if below.contains(&"*") {
                corrected.push(name);
                continue;
            }
            let names = || below.iter().map(|rest| rest.split_once('.').map_or(*rest, |(first, _)| first));
            let known = match names().find(|known| *known == name) {
                Some(known) => known,
                None => {
                    let Some(meant) = meant(name, names()) else { return Self::Unknown };
                    is_slip = true;
                    meant
                }
            };
            corrected.push(known);
            let rest = |field: &&'static str| field.strip_prefix(known)?.strip_prefix('.');
            below = below.iter().filter_map(rest).collect();
        }
        if is_slip { Self::SlipOf(corrected.join(".")) } else { Self::Known }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_known_and_so_is_what_it_stands_in() {
        for field in FIELDS.iter().flat_map(|fields| fields.iter()) {
            for (end, _) in field.match_indices('.').chain([(field.len(), "")]) {
                assert_eq!(SessionField::of(&field[..end]), SessionField::Known, "{field}");
            }
        }
        assert_eq!(SessionField::of("tools.0.name.of.a.parameter"), SessionField::Known);
    }

    #[test]
    fn what_no_session_has_is_unknown_and_what_one_nearly_has_is_a_slip() {
        for path in ["", "colour", "voice.id", "audio.voice", "turn_detection.type.of", "audio.output.voice.name"] {
            assert_eq!(SessionField::of(path), SessionField::Unknown, "{path}");
        }
        for (path, meant) in [
            ("turnDetection.treshold", "turn_detection.threshold"),
            ("generation_config.top_k", "generationConfig.topK"),
            ("tols.0", "tools.0"),
            ("max_output_token", "max_output_tokens"),
        ] {
            assert_eq!(SessionField::of(path), SessionField::SlipOf(meant.to_owned()), "{path}");
        }
    }
}
