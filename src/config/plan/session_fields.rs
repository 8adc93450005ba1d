//! What policies say of the fields of sessions: which are locked, preset or hidden, and which types of tools are allowed.

use super::Builder;
use crate::config::document::{self, Document};
use crate::config::{Path, raw};
use crate::json::Decimal;
use crate::json::paths::InvalidPath;
use crate::protocol::{Hide, Lock, OnChange, Preset, SessionField};
use crate::spelling::{did_you_mean, meant};

/// The types of tools of OpenAI's Realtime, Live and Responses APIs, and of xAI's.
const TOOL_TYPES: [&str; 17] = [
    "apply_patch",
    "code_interpreter",
    "computer",
    "computer_use_preview",
    "custom",
    "file_search",
    "function",
    "image_generation",
    "local_shell",
    "mcp",
    "namespace",
    "programmatic_tool_calling",
    "shell",
    "tool_search",
    "web_search",
    "web_search_preview",
    "x_search",
];

/// Fields whose values may be fractions. What is one in Envoy's YAML is a string in the Struct that Envoy makes of it.
const FRACTIONS: [&str; 5] = ["retention_ratio", "speed", "temperature", "threshold", "top_p"];

fn reaction(raw: raw::OnChange) -> OnChange {
    match raw {
        raw::OnChange::End => OnChange::End,
        raw::OnChange::Refuse => OnChange::Refuse,
        raw::OnChange::Drop => OnChange::Drop,
    }
}

impl Builder<'_> {
    pub(super) fn lock(&mut self, path: &Path, raw: &raw::Policy) -> Lock {
        let locked = path.key("lock");
        let (locked, fields, on_change) = match &raw.lock {
            Some(raw::Lock::Rules(raw::LockRules { fields, on_change })) => {
                (locked.key("fields"), &**fields, *on_change)
            }
            Some(raw::Lock::Fields(fields)) => (locked, &**fields, raw::OnChange::End),
            None => (locked, &[][..], raw::OnChange::End),
        };
        for (index, field) in fields.iter().enumerate() {
            self.session_field(&locked.index(index), field);
        }
        let types = path.key("tool_types");
        for (index, name) in raw.tool_types.iter().flatten().enumerate() {
            self.tool_type(&types.index(index), name);
        }
        let lock = Lock::new(fields).and_then(|lock| lock.on_change(reaction(on_change)));
        let lock = lock.and_then(|lock| match &raw.tool_types {
            Some(types) => lock.with_tool_types(types),
            None => Ok(lock),
        });
        lock.unwrap_or_else(|InvalidPath(field)| {
            self.error(&locked, format!("\"{field}\" is no field such as instructions or audio.output.voice"));
            Lock::default()
        })
    }

    pub(super) fn hide(&mut self, path: &Path, raw: Option<&Vec<String>>) -> Hide {
        let hidden = path.key("hide");
        for (index, field) in raw.into_iter().flatten().enumerate() {
            self.session_field(&hidden.index(index), field);
        }
        Hide::new(raw.into_iter().flatten()).unwrap_or_else(|InvalidPath(field)| {
            self.error(&hidden, format!("\"{field}\" is no field such as instructions or audio.output.voice"));
            Hide::default()
        })
    }

    pub(super) fn preset(&mut self, path: &Path, raw: Option<&raw::Preset>) -> Option<Preset> {
        let raw::Preset(session) = raw?;
        let path = path.key("preset");
        let Document::Map(fields) = session else { return None };
        if fields.is_empty() {
            self.error(&path, "found no field, expected at least one".to_owned());
        }
        self.preset_fields(&path, "", fields);
        let mut fields = with_fractions(fields);
        if session.member("type").is_none() {
            document::insert(&mut fields, "type".to_owned(), Document::String("realtime".to_owned()));
        }
        let mut json = String::new();
        Document::Map(fields).write_json(&mut json);
        Some(Preset::new(json))
    }

    /// Each field, and each of those in it that is known.
    fn preset_fields(&mut self, path: &Path, within: &str, fields: &[(String, Document)]) {
        for (name, value) in fields {
            let (path, field) = (path.key(name), format!("{within}{name}"));
            self.session_field(&path, &field);
            if let (Document::Map(fields), SessionField::Known) = (value, SessionField::of(&field)) {
                self.preset_fields(&path, &format!("{field}."), fields);
            }
        }
    }

    /// A slip would lock nothing; what no session is known to have may be new.
    fn session_field(&mut self, path: &Path, field: &str) {
        match SessionField::of(field) {
            SessionField::Known => {}
            SessionField::SlipOf(meant) => {
                self.error(path, format!("no session has a field \"{field}\"; did you mean {meant}?"));
            }
            SessionField::Unknown => {
                self.warn(path, format!("no kind of session that is known has a field \"{field}\""));
            }
        }
    }

    /// A slip would forbid what it was to allow.
    fn tool_type(&mut self, path: &Path, name: &str) {
        if TOOL_TYPES.contains(&name) {
            return;
        }
        match meant(name, TOOL_TYPES) {
            Some(meant) => self.error(path, format!("no tool is of type \"{name}\"{}", did_you_mean(meant))),
            None => self.warn(path, format!("no tool that is known is of type \"{name}\"")),
        }
    }
}

/// The same fields, with numbers for the strings that Envoy makes of fractions.
fn with_fractions(fields: &[(String, Document)]) -> Vec<(String, Document)> {
    let mended = |(name, value): &(String, Document)| {
        let value = match value {
            Document::Map(fields) => Document::Map(with_fractions(fields)),
            Document::String(text) if FRACTIONS.contains(&name.as_str()) => {
                Decimal::parse(text).map_or_else(|| value.clone(), Document::Number)
            }
            _ => value.clone(),
        };
        (name.clone(), value)
    };
    fields.iter().map(mended).collect()
}
