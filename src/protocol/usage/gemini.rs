//! Usage as Gemini Live reports it: details are lists, with an item for each modality.

use super::{Count, Dialect, Part, Side, UsageField, UsageFields};
use crate::json::Decimal;
use crate::json::matcher::Value;

/// A member of an object of usage of Gemini's.
#[derive(Debug, Clone, Copy)]
pub(in crate::protocol) enum GeminiField {
    Plain(UsageField),
    /// Of an item of a list of details: its modality, and how many tokens are of it.
    Modality,
    Count,
    /// Such an item has ended.
    Item(List),
}

/// A list of details, each of one modality: Gemini's.
#[derive(Debug, Clone, Copy)]
pub(in crate::protocol) enum List {
    Input,
    Cached,
    Output,
}

/// An object of usage of Gemini's as far as it has come.
#[derive(Debug, Default)]
pub(in crate::protocol) struct GeminiFields {
    pub(in crate::protocol) usage: UsageFields,
    /// The item of a list that is being read.
    item: (Option<Modality>, Option<Count>),
}

#[derive(Debug, Clone, Copy)]
enum Modality {
    Text,
    Audio,
    Image,
}

impl GeminiFields {
    /// Takes what stands at a member's path.
    pub(in crate::protocol) fn set(&mut self, field: GeminiField, value: Value<'_>) {
        match field {
            GeminiField::Plain(field) => self.usage.set(field, value),
            _ if matches!(value, Value::Null | Value::Blocked(_)) => {}
            GeminiField::Modality => {
                self.item.0 = Some(match value {
                    Value::Text("AUDIO") => Modality::Audio,
                    Value::Text("IMAGE" | "VIDEO") => Modality::Image,
                    _ => Modality::Text,
                });
            }
            GeminiField::Count => self.item.1 = Some(Count::of(value, Decimal::whole)),
            GeminiField::Item(list) => {
                if let (Some(modality), Some(count)) = std::mem::take(&mut self.item) {
                    self.usage.add(list, modality, count);
                }
            }
        }
    }
}

impl UsageFields {
    /// A modality may stand in a list more than once, and in that of what tools were asked.
    fn add(&mut self, list: List, modality: Modality, count: Count) {
        let part = match (list, modality) {
            (List::Cached, Modality::Text) => Part::CachedText,
            (List::Cached, Modality::Audio) => Part::CachedAudio,
            (List::Cached, Modality::Image) => Part::CachedImage,
            (_, Modality::Text) => Part::Text,
            (_, Modality::Audio) => Part::Audio,
            (_, Modality::Image) => Part::Image,
        };
        let side = if matches!(list, List::Output) { Side::Output } else { Side::Input };
        let details = self.details(side);
        let sum = match (details.part(part), count) {
            (Some(Count::Is(before)), Count::Is(more)) => Count::Is(before.saturating_add(more)),
            (_, count) => count,
        };
        details.set(Dialect::Chat, part, sum);
    }
}
