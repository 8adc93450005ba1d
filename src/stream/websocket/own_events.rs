//! What the gateway says to either side of a session that goes on: the preset, and that a message was refused.
//!
//! Bytes can be written to the client only in the place of the upstream's, which may be silent. So the first message that is
//! refused gives way to a question, whose answer is prompt and changes nothing: for an item that there cannot be. The client
//! hears of what was refused where the upstream says its next word, and gets no answer to what it has not asked.

use crate::json::quoted;
use crate::limit::Ending;
use crate::protocol::{Answer, LastEvent, OnChange, Preset, Question, SessionKind};
use crate::usage::RecordId;
use crate::ws::text_frame;

/// How many refusals wait for a chance to be told. Of more the client hears nothing.
const WAITING_MAX: usize = 64;

/// The gateway's own events of a session.
pub(super) struct OwnEvents {
    kind: SessionKind,
    preset: PresetProgress,
    /// What was refused and not told: the field, and the id of the client's event if it had one.
    refusals: Vec<(String, Option<String>)>,
    /// Questions that are not answered.
    questions: u32,
    /// How many refusals were reported.
    reported: u64,
}

/// How far a preset has come.
enum PresetProgress {
    /// There is none, or it is in force.
    Done,
    Due(Preset),
    Sent,
}

/// What becomes of an upstream's event that may answer one of the gateway's own.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is the client's.
    Passes,
    /// It was the gateway's, and goes no further.
    Gone,
    /// So was it, and the session cannot go on.
    Ends(Ending),
}

impl OwnEvents {
    /// Those of a session with this preset, and whose client's messages have this effect where they would change what is
    /// locked; `None` if there can be none.
    pub(super) fn new(kind: SessionKind, preset: Option<&Preset>, on_change: Option<OnChange>) -> Option<Self> {
        let refuses = on_change == Some(OnChange::Refuse);
        let progress = preset.map_or(PresetProgress::Done, |preset| PresetProgress::Due(preset.clone()));
        let own_events = Self { kind, preset: progress, refusals: Vec::new(), questions: 0, reported: 0 };
        (refuses || preset.is_some()).then_some(own_events)
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        let texts = |(field, id): &(String, Option<String>)| field.capacity() + id.as_ref().map_or(0, String::capacity);
        let waiting = self.refusals.capacity().saturating_mul(size_of::<(String, Option<String>)>());
        self.refusals.iter().map(texts).fold(size_of::<Self>().saturating_add(waiting), usize::saturating_add)
    }

    /// The event that goes up before all that the client says, the first time that it is asked for.
    pub(super) fn preset(&mut self, id: RecordId) -> Option<String> {
        match std::mem::replace(&mut self.preset, PresetProgress::Sent) {
            PresetProgress::Due(preset) => Some(preset.session_update(&preset_id(id))),
            other => {
                self.preset = other;
                None
            }
        }
    }

    /// A message of the client's is refused for this field. Gives what goes up in its place, if something must.
    pub(super) fn refuse(&mut self, id: RecordId, field: String, event_id: Option<String>) -> Option<String> {
        let is_first = self.refusals.is_empty();
        if self.refusals.len() < WAITING_MAX {
            self.refusals.push((field, event_id));
        }
        // Where there is no such question, the client hears of it when the upstream says something next.
        (is_first && self.kind.row().question == Question::Item).then(|| {
            self.questions = self.questions.saturating_add(1);
            let question = quoted(&question_id(id));
            format!(r#"{{"type":"conversation.item.retrieve","event_id":{question},"item_id":"realtime_byok_none"}}"#)
        })
    }

    /// What is to be told between two of the upstream's messages, as frames.
    pub(super) fn tell(&mut self, id: RecordId) -> Vec<u8> {
        let mut frames = Vec::new();
        let refusals = std::mem::take(&mut self.refusals).into_iter();
        let has_event = self.kind.row().last_event == LastEvent::Error;
        for (field, refused) in refusals.filter(|_| has_event) {
            self.reported = self.reported.saturating_add(1);
            let event = Ending::refusal(field, refused.as_deref(), &format!("event_{id}_{}", self.reported));
            frames.extend(text_frame(&String::from_utf8_lossy(&event)));
        }
        frames
    }

    /// Whether an answer is to come.
    pub(super) fn awaits_answer(&self) -> bool {
        self.questions > 0 || matches!(self.preset, PresetProgress::Sent)
    }

    /// The upstream has answered something.
    pub(super) fn meet(&mut self, id: RecordId, answer: Answer) -> Outcome {
        match answer {
            Answer::Refused(event) if event == preset_id(id) => Outcome::Ends(Ending::PresetRefused),
            Answer::Refused(event) if event == question_id(id) => {
                self.questions = self.questions.saturating_sub(1);
                Outcome::Gone
            }
            Answer::Updated => {
                if matches!(self.preset, PresetProgress::Sent) {
                    self.preset = PresetProgress::Done;
                }
                Outcome::Passes
            }
            Answer::Refused(_) | Answer::Other => Outcome::Passes,
        }
    }
}

fn preset_id(id: RecordId) -> String {
    format!("event_{id}_preset")
}

fn question_id(id: RecordId) -> String {
    format!("event_{id}_refused")
}
