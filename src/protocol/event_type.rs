//! Which of an upstream's events matter.

/// The type of an upstream's event, as far as it matters here.
///
/// It is the first `type` of the top-level object, in any key order and spelling. A later `type` changes nothing, so
/// that the answer does not depend on how much has been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventType {
    /// `session.created`: names the session and its model.
    SessionCreated,
    /// `session.updated`, `transcription_session.updated`: names the session and its models.
    SessionUpdated,
    /// `response.created`: a response has begun, asked for by the client or by the upstream's turn detection. A
    /// [`Meter`](crate::usage::Meter) reads nothing but its type, so it needs no collecting.
    ResponseCreated,
    /// `response.done`: a Realtime response has ended, in whatever way.
    ResponseDone,
    /// `response.completed`: a response of the Responses API has ended well.
    ResponseCompleted,
    /// `response.incomplete`: a response of the Responses API has been cut short.
    ResponseIncomplete,
    /// `response.failed`: a response of the Responses API has failed.
    ResponseFailed,
    /// `conversation.item.input_audio_transcription.completed`: a user's audio has been transcribed.
    InputAudioTranscriptionCompleted,
    /// `transcript.text.done`: a streamed transcription over REST has ended.
    TranscriptTextDone,
    /// Anything else, or no event at all.
    Other,
}

impl EventType {
    /// The type of this name.
    pub fn of(name: &str) -> Self {
        match name {
            "session.created" => Self::SessionCreated,
            "session.updated" | "transcription_session.updated" => Self::SessionUpdated,
            "response.created" => Self::ResponseCreated,
            "response.done" => Self::ResponseDone,
            "response.completed" => Self::ResponseCompleted,
            "response.incomplete" => Self::ResponseIncomplete,
            "response.failed" => Self::ResponseFailed,
            "conversation.item.input_audio_transcription.completed" => Self::InputAudioTranscriptionCompleted,
            "transcript.text.done" => Self::TranscriptTextDone,
            _ => Self::Other,
        }
    }
}
