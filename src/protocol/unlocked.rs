//! A client's event without what is locked in it.

use std::ops::ControlFlow;

use super::client_event::Unreadable;
use super::client_field::Part;
use super::client_found::Found;
use super::kind::SessionKind;
use super::lock::Lock;
use crate::json::edit::Edits;
use crate::json::matcher::{Bounds, Matcher};

impl Lock {
    /// A client's event without what is locked in it: members go, and tools of a type that is not allowed go one by one.
    ///
    /// # Errors
    /// If it cannot be read, or could be read in two ways.
    ///
    /// ```
    /// use realtime_byok::protocol::{Lock, SessionKind};
    ///
    /// let lock = Lock::new(["instructions"])?;
    /// let event = br#"{"type":"session.update","session":{"instructions":"Be rude.","type":"realtime"}}"#;
    /// assert_eq!(lock.unlocked(event, SessionKind::Conversation)?, br#"{"type":"session.update","session":{"type":"realtime"}}"#);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn unlocked(&self, event: &[u8], kind: SessionKind) -> Result<Vec<u8>, Unreadable> {
        let words = &kind.row().client;
        let mut matcher = Matcher::new(self.paths(kind), Bounds::default());
        let mut found = Found::to_edit(words);
        let read = matcher.feed(event, &mut |at| {
            found.set(&at, words, self);
            ControlFlow::Continue(())
        });
        read.and_then(|_| matcher.finish()).map_err(Unreadable::Json)?;
        let mut edits = Edits::default();
        found.into_locked().for_each(|part| match part {
            Part::Member(member) => edits.remove(member),
            Part::Item(item) => edits.remove_item(item),
        });
        Ok(edits.apply(event))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::protocol::{ClientEvent, ClientMessage};

    fn lock() -> Lock {
        let lock = Lock::new(["instructions", "audio.output.voice", "audio", "tracing"]).unwrap();
        lock.with_tool_types(["function"]).unwrap()
    }

    fn unlocked(event: &str) -> String {
        String::from_utf8(lock().unlocked(event.as_bytes(), SessionKind::Conversation).unwrap()).unwrap()
    }

    fn judged(event: &[u8]) -> ClientEvent {
        let mut message = ClientMessage::new(&lock(), SessionKind::Conversation);
        message.feed(event);
        message.finish().unwrap()
    }

    #[test]
    fn what_is_locked_goes_and_everything_else_stays_to_the_byte() {
        for (event, want) in [
            (
                r#"{ "type":"session.update", "session": { "instructions" : "x" , "voice":1.50 } }"#,
                r#"{ "type":"session.update", "session": {  "voice":1.50 } }"#,
            ),
            (
                r#"{"session":{"a":1,"\u0069nstructions":null},"type":"session.update"}"#,
                r#"{"session":{"a":1},"type":"session.update"}"#,
            ),
            (r#"{"type":"session.update","session":{"instructions":""}}"#, r#"{"type":"session.update","session":{}}"#),
            (
                r#"{"type":"session.update","session":{"audio":{"output":{"voice":"x"}},"tracing":"auto","b":[]}}"#,
                r#"{"type":"session.update","session":{"b":[]}}"#,
            ),
            (
                r#"{"type":"response.create","response":{"instructions":"a","b":1},"instructions":"c","audio":2}"#,
                r#"{"type":"response.create","response":{"b":1}}"#,
            ),
            (
                r#"{"type":"session.update","session":{"tools":[{"type":"mcp"}, {"type":"function","name":"f"} ,{"type":"mcp"},3,null]}}"#,
                r#"{"type":"session.update","session":{"tools":[ {"type":"function","name":"f"} ]}}"#,
            ),
            (
                r#"{"type":"session.update","session":{"tools":[ {"type":"mcp"} , {"type":"mcp"} , {"a":"]"}]}}"#,
                r#"{"type":"session.update","session":{"tools":[  {"a":"]"}]}}"#,
            ),
            (
                r#"{"type":"session.update","session":{"tools":[{"type":"mcp"},{"type":"mcp"}],"a":1}}"#,
                r#"{"type":"session.update","session":{"tools":[],"a":1}}"#,
            ),
            (
                r#"{"type":"session.update","session":{"tools":"mcp","a":1}}"#,
                r#"{"type":"session.update","session":{"a":1}}"#,
            ),
            (
                r#"{"type":"response.create","input":[{"tools":[{"type":"mcp"}]},"x"]}"#,
                r#"{"type":"response.create","input":[{"tools":[]},"x"]}"#,
            ),
            (r#"{"type":"x","session":{"instructions":1}}"#, r#"{"type":"x","session":{"instructions":1}}"#),
            (r#"{"session":{"instructions":1}}"#, r#"{"session":{"instructions":1}}"#),
        ] {
            assert_eq!(unlocked(event), want, "{event}");
        }
        assert!(lock().unlocked(br#"{"type":"session.update","type":"x"}"#, SessionKind::Conversation).is_err());
        assert!(lock().unlocked(b"{", SessionKind::Conversation).is_err());
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), any::<i8>().prop_map(Value::from), "[a-z\"]{0,3}".prop_map(Value::from)];
        let tool = prop_oneof![
            Just(json!({"type": "function"})),
            Just(json!({"type": "mcp", "a": []})),
            Just(json!({})),
            Just(json!(1)),
            Just(json!({"type": null})),
        ];
        let tools = prop::collection::vec(tool, 0..6).prop_map(Value::from);
        let key = prop::sample::select(vec!["audio", "output", "voice", "tools", "instructions", "other"]);
        let leaf = prop_oneof![2 => leaf, 1 => tools];
        leaf.prop_recursive(4, 24, 5, move |inner| {
            prop::collection::btree_map(key.clone(), inner, 0..5)
                .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        })
    }

    proptest! {
        #[test]
        fn nothing_that_is_locked_is_left_and_what_is_not_stays(tree in tree(), update in any::<bool>(), pretty in any::<bool>()) {
            prop_assume!(tree.is_object());
            let event = match update {
                true => json!({"type": "session.update", "session": tree}),
                false => json!({"type": "response.create", "response": tree, "tools": [1, {"type": "function"}, 2]}),
            };
            let text = if pretty { format!("{event:#}") } else { event.to_string() };
            let left = unlocked(&text);
            prop_assert_eq!(judged(left.as_bytes()), ClientEvent::default());
            if judged(text.as_bytes()).locked.is_none() {
                prop_assert_eq!(&left, &text);
            }
            let left: Value = serde_json::from_str(&left).unwrap();
            let within = if update { "session" } else { "response" };
            prop_assert_eq!(left[within].get("other"), event[within].get("other"));
        }
    }
}
