//! What is inspected of a client's messages.

use std::ops::Range;

/// What a model is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRole {
    /// Respond.
    Response,
    /// Transcribe the user's audio.
    Transcription,
}

/// What is inspected of a message.
#[derive(Debug, Clone, Copy)]
pub(super) enum ClientField {
    Type,
    EventId,
    Container(Container),
    /// Where a model is named: its place among those of the kind.
    Model(usize),
    /// A locked field, by its place in the lock, in this object.
    Locked(Container, usize),
    /// An item of the `tools` in this object.
    Tool(Container),
    /// An item of the `tools` of an item of the `input` in this object.
    InputTool(Container),
    /// The type of such an item.
    ToolType,
    /// An item of the `tools` in this object whose types are the names of its members.
    MemberTool(Container),
    /// The name of such a member.
    MemberToolType,
    /// What is added to the instructions.
    Instructions,
    /// Whether a response is made in the background.
    Background,
    /// The response that one goes on from.
    PreviousResponse,
    /// The stored conversation that a response is of.
    Conversation,
}

/// Something that is locked, as it stands in a message.
#[derive(Debug)]
pub(super) enum Part {
    /// A member with this place.
    Member(Range<u64>),
    /// An item of a list with this one.
    Item(Range<u64>),
}

/// The objects that matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Container {
    Session,
    /// What works for a session of Live.
    Delegate,
    /// All of a session of Gemini's.
    Setup,
    Response,
    /// An item of the input.
    Item,
    /// What is added to the instructions: the message itself.
    Appended,
    Top,
}

impl Container {
    /// How many there are.
    pub(super) const COUNT: usize = Self::Top as usize + 1;

    /// Whether it is the message itself, or a part of it that nothing is locked in.
    pub(super) fn is_always_there(self) -> bool {
        matches!(self, Self::Top | Self::Appended | Self::Item)
    }
}
