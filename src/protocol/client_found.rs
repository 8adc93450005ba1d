//! What was found so far of a client's message.

use super::client_field::{ClientField, Container};
use super::kind::{ClientWords, Opening};
use super::lock::{Lock, TOOLS_PLACE, snake_case};
use crate::json::matcher::{self, Kind, Value};

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
    pub(super) locked: [Option<usize>; Container::COUNT],
    /// Of the tool that is being read.
    tool_type: ToolType,
    pub(super) stored: Option<Stored>,
    pub(super) failure: Option<matcher::Unreadable>,
}

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
            failure: None,
        }
    }

    /// Takes what stands at a path.
    pub(super) fn set(&mut self, field: ClientField, value: Value<'_>, words: &ClientWords, lock: &Lock) {
        match field {
            ClientField::Type => {
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
            ClientField::Locked(container, path) => self.touch(container, path),
            ClientField::Instructions => {
                if let Some(path) = lock.instructions() {
                    self.touch(Container::Appended, path);
                }
            }
            ClientField::Background | ClientField::PreviousResponse | ClientField::Conversation => {
                self.store(field, value);
            }
            _ => self.set_tool(field, value, lock),
        }
    }

    fn set_tool(&mut self, field: ClientField, value: Value<'_>, lock: &Lock) {
        let allowed = |is_allowed| if is_allowed { ToolType::Allowed } else { ToolType::Forbidden };
        match field {
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
                let tool_type = std::mem::take(&mut self.tool_type);
                let is_allowed = match value {
                    Value::Object { .. } if tool_type == ToolType::Absent => lock.allows_tools_of("function"),
                    Value::Object { .. } => tool_type == ToolType::Allowed,
                    Value::Blocked(Kind::Null) => true,
                    _ => false,
                };
                if !is_allowed {
                    self.touch(container, TOOLS_PLACE);
                }
            }
            _ => {}
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
    fn touch(&mut self, container: Container, path: usize) {
        if let Some(locked) = self.locked.get_mut(container as usize) {
            *locked = Some(locked.map_or(path, |first| first.min(path)));
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
