//! A message of the upstream's, as far as it has come: what it tells of usage, whether it answers the gateway, and whether it
//! tells what its client does not get to see.

use crate::json::matcher::Unreadable;
use crate::protocol::{
    Answer, AnswerMessage, EventType, Hidden, HiddenSearch, Hide, Relevance, SessionKind, UpstreamMessage,
};
use crate::usage::{Reported, Said};
use crate::ws::Interest;

/// What is read of it.
pub(super) struct UpstreamMessageRead {
    kind: SessionKind,
    message: Option<Box<UpstreamMessage>>,
    search: Option<Box<HiddenSearch>>,
    answer: Option<Box<AnswerMessage>>,
    /// What is wanted of it for what it tells of usage.
    metered: Interest,
    has_begun: bool,
}

/// What messages are read for.
#[derive(Clone, Copy)]
pub(super) struct Listening<'a> {
    /// What responses say, for estimates.
    pub(super) hears: bool,
    /// What is hidden.
    pub(super) hide: &'a Hide,
    /// An answer to an event of the gateway's own.
    pub(super) awaits_answer: bool,
}

/// What a whole message says.
pub(super) struct UpstreamSays {
    pub(super) reported: Reported,
    pub(super) answer: Answer,
    pub(super) hidden: Result<Hidden, Unreadable>,
}

impl UpstreamMessageRead {
    /// Nothing has come yet of messages of this kind.
    pub(super) fn new(kind: SessionKind) -> Self {
        Self { kind, message: None, search: None, answer: None, metered: Interest::Stream, has_begun: false }
    }

    /// Reads more of it, as long as that may matter.
    pub(super) fn feed(&mut self, piece: &[u8], listening: Listening<'_>) -> Interest {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        if is_first {
            let leading = self.kind.leading(piece);
            self.listen(leading, listening);
            self.metered = self.meter(leading, piece, listening.hears);
        } else if self.metered == Interest::Stream {
            self.metered = self.meter(None, piece, listening.hears);
        }
        if let Some(search) = &mut self.search {
            search.feed(piece);
        }
        if self.answer.as_mut().is_some_and(|answer| !answer.feed(piece)) {
            self.answer = None;
        }
        match (&self.search, &self.answer, self.metered) {
            (None, None, Interest::Skip) => {
                self.has_begun = false;
                Interest::Skip
            }
            (None, None, metered) => metered,
            _ => Interest::Withhold,
        }
    }

    /// What the whole says, which has so many bytes. Another may follow.
    pub(super) fn end(&mut self, length: u64) -> UpstreamSays {
        self.has_begun = false;
        let reported = match (std::mem::replace(&mut self.metered, Interest::Stream), &mut self.message) {
            (Interest::Skip, _) => Reported::Nothing,
            (_, Some(message)) if message.has_begun() => message.end_event(),
            _ => Reported::Output(Said::audio_event(length)),
        };
        let answer = self.answer.take().map_or(Answer::Other, |answer| answer.finish());
        let hidden = self.search.take().map_or(Ok(Hidden::Absent), |search| search.finish());
        UpstreamSays { reported, answer, hidden }
    }

    /// A read is over: between two messages nothing is held.
    pub(super) fn rest(&mut self) {
        self.message.take_if(|message| !message.has_begun());
    }

    /// Bytes that are held.
    pub(super) fn held(&self) -> usize {
        let message = self.message.as_ref().map_or(0, |message| size_of::<UpstreamMessage>() + message.held());
        let search = self.search.as_ref().map_or(0, |search| size_of::<HiddenSearch>() + search.held());
        let answer = self.answer.as_ref().map_or(0, |answer| size_of::<AnswerMessage>() + answer.held());
        [message, search, answer].into_iter().fold(0, usize::saturating_add)
    }

    /// A message begins, with its type if it begins with that.
    fn listen(&mut self, leading: Option<EventType>, listening: Listening<'_>) {
        // Audio tells no fields. There is much of it, and it passes as it comes.
        if !listening.hide.is_empty() && leading != Some(EventType::AudioDelta) {
            self.search = Some(Box::new(HiddenSearch::new(listening.hide)));
        }
        // What errors are of no type that has a name of its own.
        let may_answer = matches!(leading, None | Some(EventType::Other | EventType::SessionUpdated));
        if listening.awaits_answer && may_answer {
            self.answer = Some(Box::default());
        }
    }

    /// Reads more of it for what it tells of usage; what responses say matters only where that is heard.
    fn meter(&mut self, leading: Option<EventType>, piece: &[u8], hears: bool) -> Interest {
        match leading {
            Some(EventType::Other) => return Interest::Skip,
            Some(EventType::AudioDelta) if hears => return Interest::Measure,
            Some(EventType::AudioDelta | EventType::TextDelta) if !hears => return Interest::Skip,
            _ => {}
        }
        let message = self.message.get_or_insert_with(|| Box::new(UpstreamMessage::of(self.kind)));
        let interest = match message.feed_event(piece) {
            Relevance::Open => return Interest::Stream,
            Relevance::Text if hears => return Interest::Stream,
            Relevance::Length if hears => Interest::Measure,
            Relevance::Text | Relevance::Length | Relevance::None => Interest::Skip,
        };
        message.reset();
        interest
    }
}
