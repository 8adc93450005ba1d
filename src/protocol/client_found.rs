//! What was found so far of a client's message.

use super::client_field::{ClientField, Container, Part};
use super::kind::{ClientWords, Opening};
use super::lock::{Lock, TOOLS_PLACE, snake_case};
use crate::json::matcher::{self, Found as At, Kind, Value};

/// What a response is bound up with that is stored at the upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stored {
    /// It is made in the background.
    Background,
    /// It goes on from the response of this id.
    PreviousResponse(String),
    /// It is of a conversation.
    Conversation,
}

/// What was found of it.
#[derive(Debug)]
pub(super) struct Found {
    /// The objects that matter of a message of its type.
    pub(super) matters: &'static [Container],
    is_opening_type: bool,
    shapes: [Shape; Container::COUNT],
    /// By their places among those of the kind.
    pub(super) models: Vec<(usize, Model)>,
    /// The first locked path that is touched, in each of the objects.
    pub(super) locked: [Option<u16>; Container::COUNT],
    /// Of the tool that is being read.
    tool_type: ToolType,
    pub(super) stored: Option<Stored>,
    pub(super) id: Option<Box<str>>,
    /// Where its type ends, if that has come.
    type_end: Option<u64>,
    purpose: Purpose,
    pub(super) failure: Option<matcher::Unreadable>,
}

/// What it is read for.
#[derive(Debug)]
enum Purpose {
    /// Whether something that is locked is touched.
    Judge,
    /// What of it that is.
    Edit(Vec<(Container, Part)>),
}

/// Longer ids of events are not told again.
const MAX_ID: usize = 512;

/// What stands in the place of an object.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// It is not there, or null.
    #[default]
    Absent,
    Object,
    Other,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ToolType {
    #[default]
    Absent,
    Allowed,
    Forbidden,
}

/// What stands in the place of a model's name.
#[derive(Debug)]
pub(super) enum Model {
    Named(String),
    NotText,
}

impl Found {
    /// Nothing, of a message of this kind.
    pub(super) fn new(words: &ClientWords) -> Self {
        Self {
            matters: words.untyped,
            is_opening_type: false,
            shapes: Default::default(),
            models: Vec::new(),
            locked: Default::default(),
            tool_type: ToolType::default(),
            stored: None,
            id: None,
            type_end: None,
            purpose: Purpose::Judge,
            failure: None,
        }
    }

    /// Nothing yet, of a message from which what is locked is to be taken.
    pub(super) fn to_edit(words: &ClientWords) -> Self {
        Self { purpose: Purpose::Edit(Vec::new()), ..Self::new(words) }
    }

    /// What is locked in it, if that is to be taken out.
    pub(super) fn into_locked(self) -> impl Iterator<Item = Part> {
        let matters = self.matters;
        let parts = if let Purpose::Edit(parts) = self.purpose { parts } else { Vec::new() };
        parts.into_iter().filter_map(|(within, part)| matters.contains(&within).then_some(part))
    }

    /// Whether its type says that it changes nothing, and ends within so many bytes.
    pub(super) fn is_harmless(&self, within: u64) -> bool {
        self.matters.is_empty() && self.type_end.is_some_and(|end| end <= within)
    }

    /// Takes what stands at a path.
    pub(super) fn set(&mut self, at: &At<'_, ClientField>, words: &ClientWords, lock: &Lock) {
        let value = at.value;
        match at.tag {
            ClientField::EventId => {
                if let Value::Text(id) = value {
                    self.id = Some(id).filter(|id| id.len() <= MAX_ID).map(Box::from);
                }
            }
            ClientField::Type => {
                self.type_end = Some(at.span.end);
                let name = if let Value::Text(name) = value { name } else { "" };
                self.matters = (words.of_type)(name);
                self.is_opening_type = matches!(words.opening, Opening::Type(opening) if opening == name);
            }
            ClientField::Container(container) => {
                if let Some(shape) = self.shapes.get_mut(container as usize) {
                    *shape = match value {
                        Value::Null | Value::Blocked(Kind::Null) => Shape::Absent,
                        Value::Object { .. } => Shape::Object,
                        _ => Shape::Other,
                    };
                }
            }
            ClientField::Model(place) => match value {
                Value::Null | Value::Blocked(_) => {}
                Value::Text(name) => self.models.push((place, Model::Named(name.to_owned()))),
                _ => self.models.push((place, Model::NotText)),
            },
            ClientField::Locked(container, path) => self.touch(container, path, Part::Member(at.member.clone())),
            ClientField::Instructions => {
                if let Some(path) = lock.instructions() {
                    self.touch(Container::Appended, path, Part::Member(at.member.clone()));
                }
            }
            field @ (ClientField::Background | ClientField::PreviousResponse | ClientField::Conversation) => {
                self.store(field, value);
            }
            _ => self.set_tool(at, lock),
        }
    }

    fn set_tool(&mut self, at: &At<'_, ClientField>, lock: &Lock) {
        let value = at.value;
        let allowed = |is_allowed| if is_allowed { ToolType::Allowed } else { ToolType::Forbidden };
        match at.tag {
            ClientField::ToolType => {
                self.tool_type = match value {
                    Value::Blocked(_) => ToolType::Absent,
                    Value::Text(name) => allowed(lock.allows_tools_of(name)),
                    _ => ToolType::Forbidden,
                }
            }
            ClientField::MemberToolType => match value {
                Value::Blocked(_) => {}
                Value::Name(name) if self.tool_type != ToolType::Forbidden => {
                    self.tool_type = allowed(lock.allows_tools_of(member_tool_type(&snake_case(name))));
                }
                _ => self.tool_type = ToolType::Forbidden,
            },
            // An input may be a text, and most of its items have no tools.
            ClientField::InputTool(_) if matches!(value, Value::Blocked(_)) => {}
            ClientField::Tool(container) | ClientField::InputTool(container) | ClientField::MemberTool(container) => {
                self.tool(container, at, lock);
            }
            _ => {}
        }
    }

    /// A tool has ended, or something stands where a list of them would have to.
    fn tool(&mut self, container: Container, at: &At<'_, ClientField>, lock: &Lock) {
        let tool_type = std::mem::take(&mut self.tool_type);
        let (is_allowed, part) = match at.value {
            Value::Object { .. } if tool_type == ToolType::Absent => {
                (lock.allows_tools_of("function"), Part::Item(at.span.clone()))
            }
            Value::Object { .. } => (tool_type == ToolType::Allowed, Part::Item(at.span.clone())),
            Value::Blocked(kind) => (kind == Kind::Null, Part::Member(at.member.clone())),
            _ => (false, Part::Item(at.span.clone())),
        };
        if !is_allowed {
            self.touch(container, usize::from(TOOLS_PLACE), part);
        }
    }

    /// Something that is stored at the upstream is named. One that is made in the background matters more than what it
    /// goes on from.
    fn store(&mut self, field: ClientField, value: Value<'_>) {
        let stored = match (field, value) {
            (_, Value::Null | Value::Blocked(_)) | (ClientField::Background, Value::Bool(false)) => return,
            (ClientField::Background, _) => Stored::Background,
            (ClientField::PreviousResponse, Value::Text(id)) => Stored::PreviousResponse(id.to_owned()),
            _ => Stored::Conversation,
        };
        if !matches!(self.stored, Some(Stored::Background | Stored::Conversation)) {
            self.stored = Some(stored);
        }
    }

    /// Something that is locked stands in this object.
    fn touch(&mut self, container: Container, path: usize, part: Part) {
        // Tools stand behind all that is locked by name, and so does what has no place.
        let path = u16::try_from(path).unwrap_or(u16::MAX);
        if let Some(locked) = self.locked.get_mut(container as usize) {
            *locked = Some(locked.map_or(path, |first| first.min(path)));
        }
        if let Purpose::Edit(parts) = &mut self.purpose {
            parts.push((container, part));
        }
    }

    /// What stands in the place of an object.
    pub(super) fn shape(&self, container: Container) -> Shape {
        match self.shapes.get(container as usize) {
            _ if container.is_always_there() => Shape::Object,
            shape => shape.copied().unwrap_or_default(),
        }
    }

    /// Whether it sets a session up.
    pub(super) fn opens(&self, words: &ClientWords) -> bool {
        match words.opening {
            Opening::Type(_) => self.is_opening_type,
            Opening::Object(container) => self.shape(container) != Shape::Absent,
            Opening::None => false,
        }
    }
}

/// The type of a tool of Gemini's that has a member of this name.
fn member_tool_type(name: &str) -> &str {
    if name == "function_declarations" { "function" } else { name }
}
