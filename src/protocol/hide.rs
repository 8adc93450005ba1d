//! Session fields that a client does not get to see, and an upstream's event without them.
//!
//! An upstream may tell a session's fields in any event, in one of today or of tomorrow: in its `session`, as
//! `session.created` does, in its `response`, as `response.done` does, or in either of these within something else. So they
//! are looked for everywhere, whatever the event. No case, escape, order or repetition of names hides one.

use std::ops::ControlFlow;
use std::sync::{Arc, LazyLock};

use crate::json::edit::Edits;
use crate::json::matcher::{Bounds, Matcher, Unreadable};
use crate::json::paths::{InvalidPath, Paths};

/// The objects that tell a session's fields.
const SESSION_OBJECTS: [&str; 2] = ["session", "response"];

/// Session fields that are taken out of what the upstream says: by name, or by dotted path such as `audio.output.voice`.
///
/// ```
/// use realtime_byok::protocol::Hide;
///
/// let hide = Hide::new(["instructions"])?;
/// let event = br#"{"type":"session.created","session":{"id":"sess_1","instructions":"Sell shoes."}}"#;
/// assert_eq!(hide.shown(event)?, br#"{"type":"session.created","session":{"id":"sess_1"}}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Hide {
    hidden: Arc<HiddenFields>,
}

#[derive(Debug)]
struct HiddenFields {
    names: Vec<String>,
    paths: Arc<Paths<()>>,
}

/// An upstream's event as far as it has come, which is searched for hidden fields.
#[derive(Debug)]
pub struct HiddenSearch {
    matcher: Matcher<()>,
    outcome: Result<Hidden, Unreadable>,
}

/// Whether an event tells a hidden field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// None.
    Absent,
    /// One at least.
    Present,
}

/// Of none.
static NOTHING: LazyLock<Arc<HiddenFields>> = LazyLock::new(|| Arc::new(HiddenFields::of(Vec::new(), no_paths())));

fn no_paths() -> Paths<()> {
    Paths::new::<&str>(&[]).anywhere()
}

impl HiddenFields {
    fn of(names: Vec<String>, paths: Paths<()>) -> Self {
        Self { names, paths: Arc::new(paths) }
    }
}

impl Hide {
    /// Hides these paths.
    ///
    /// # Errors
    /// If one has an empty name in it, or is of more than one field.
    pub fn new<S: AsRef<str>>(paths: impl IntoIterator<Item = S>) -> Result<Self, InvalidPath> {
        let names: Vec<String> = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        let mut compiled = no_paths();
        for name in &names {
            if name.is_empty() || name.contains(['*', '[', ']']) {
                return Err(InvalidPath(name.clone()));
            }
            for within in SESSION_OBJECTS {
                compiled = compiled.with(&format!("{within}.{name}"), ()).map_err(|_| InvalidPath(name.clone()))?;
            }
        }
        Ok(Self { hidden: Arc::new(HiddenFields::of(names, compiled)) })
    }

    /// These paths are hidden too.
    ///
    /// # Errors
    /// If one is no path of a single field.
    pub fn with<'a>(&'a self, paths: impl IntoIterator<Item = &'a str>) -> Result<Self, InvalidPath> {
        Self::new(self.hidden.names.iter().map(String::as_str).chain(paths))
    }

    /// Whether nothing is hidden.
    pub fn is_empty(&self) -> bool {
        self.hidden.names.is_empty()
    }

    /// An upstream's event without what is hidden.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn shown(&self, event: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let (mut matcher, mut edits) = (self.matcher(), Edits::default());
        let read = matcher.feed(event, &mut |at| {
            edits.remove(at.member);
            ControlFlow::Continue(())
        });
        read.and_then(|_| matcher.finish())?;
        Ok(edits.apply(event))
    }

    fn matcher(&self) -> Matcher<()> {
        Matcher::new(self.hidden.paths.clone(), Bounds { text: 0, ..Bounds::default() })
    }
}

impl HiddenSearch {
    /// Nothing has come yet of an event.
    pub fn new(hide: &Hide) -> Self {
        Self { matcher: hide.matcher(), outcome: Ok(Hidden::Absent) }
    }

    /// Reads more of it.
    pub fn feed(&mut self, bytes: &[u8]) {
        let outcome = &mut self.outcome;
        let read = self.matcher.feed(bytes, &mut |_| {
            *outcome = Ok(Hidden::Present);
            ControlFlow::Continue(())
        });
        if let Err(unreadable) = read {
            self.outcome = Err(unreadable);
        }
    }

    /// Bytes that are held beside the search itself.
    pub fn held(&self) -> usize {
        self.matcher.held()
    }

    /// What the whole tells.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn finish(self) -> Result<Hidden, Unreadable> {
        self.matcher.finish()?;
        self.outcome
    }
}

impl Default for Hide {
    /// Nothing is hidden.
    fn default() -> Self {
        Self { hidden: NOTHING.clone() }
    }
}

impl PartialEq for Hide {
    fn eq(&self, other: &Self) -> bool {
        self.hidden.names == other.hidden.names
    }
}

impl Eq for Hide {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Tree, json};

    use super::*;
    use crate::json::testing::{is_accepted_elsewhere, json, pieces};

    fn hide() -> Hide {
        Hide::new(["instructions", "tools", "audio.output.voice"]).unwrap()
    }

    fn shown(event: &str) -> String {
        String::from_utf8(hide().shown(event.as_bytes()).unwrap()).unwrap()
    }

    fn searched(event: &[u8]) -> Result<Hidden, Unreadable> {
        let mut search = HiddenSearch::new(&hide());
        search.feed(event);
        search.finish()
    }

    #[test]
    fn what_is_hidden_goes_wherever_it_is_told_and_the_rest_stays_to_the_byte() {
        for (event, want) in [
            (
                r#"{"type":"session.created", "session":{ "id":"s" , "instructions":"\"}" , "a":1.50 } }"#,
                r#"{"type":"session.created", "session":{ "id":"s"  , "a":1.50 } }"#,
            ),
            (r#"{"session":{"tools":[{"session":{}}],"id":"s"},"type":"x"}"#, r#"{"session":{"id":"s"},"type":"x"}"#),
            (r#"{"session":{"instructions":""}}"#, r#"{"session":{}}"#),
            (r#"{"session":{"\u0069nstructions":1,"Instructions":2,"tools":3,"TOOLS":4}}"#, r#"{"session":{}}"#),
            (
                r#"{"Session":{"a":1,"tool\u017f":2},"s\u0065ssion":{"b":[],"tools":3}}"#,
                r#"{"Session":{"a":1},"s\u0065ssion":{"b":[]}}"#,
            ),
            (
                r#"{"response":{"instructions":{},"output":[{"instructions":1}]}}"#,
                r#"{"response":{"output":[{"instructions":1}]}}"#,
            ),
            (
                r#"{"event":{"response":{"session":{"tools":1,"x":2}}},"a":[[{"session":{"tools":1}}]]}"#,
                r#"{"event":{"response":{"session":{"x":2}}},"a":[[{"session":{}}]]}"#,
            ),
            (
                r#"{"session":{"audio":{"output":{"voice":"ash","speed":1},"input":{"voice":1}},"voice":2}}"#,
                r#"{"session":{"audio":{"output":{"speed":1},"input":{"voice":1}},"voice":2}}"#,
            ),
            (r#"{"session":{"audio":{"session":{"tools":1}}}}"#, r#"{"session":{"audio":{"session":{}}}}"#),
            (
                r#"{"instructions":"quoted","session":null,"response":[]}"#,
                r#"{"instructions":"quoted","session":null,"response":[]}"#,
            ),
            (r#"{"session":[{"tools":1}],"item":{"tools":[]}}"#, r#"{"session":[{"tools":1}],"item":{"tools":[]}}"#),
            (r#"{"session":"{\"tools\":1}"}"#, r#"{"session":"{\"tools\":1}"}"#),
        ] {
            assert_eq!(shown(event), want, "{event}");
            let told = if event == want { Hidden::Absent } else { Hidden::Present };
            assert_eq!(searched(event.as_bytes()), Ok(told), "{event}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_shown() {
        let deep = format!("{{\"a\":{}", "[".repeat(2000));
        for event in ["", "[]", "\"x\"", "{", "{}{}", r#"{"a":1,}"#, r#"{"\ud800":1}"#, "{\"a\":\"\u{1}\"}", &deep] {
            assert!(hide().shown(event.as_bytes()).is_err() && searched(event.as_bytes()).is_err(), "{event:.20}");
        }
    }

    #[test]
    fn paths_are_those_of_locks() {
        for bad in ["", ".", "a.", "a..b", "a.*", "a[].b"] {
            assert_eq!(Hide::new(["tools", bad]), Err(InvalidPath(bad.to_owned())));
        }
        assert!(Hide::default().is_empty() && !hide().is_empty());
        assert_eq!(Hide::new(["a"]).unwrap().with(["b"]), Hide::new(["a", "b"]));
        assert_eq!(Hide::default().shown(b"{\"session\":{\"tools\":1}}").unwrap(), b"{\"session\":{\"tools\":1}}");
    }

    /// An event in which hidden fields stand in many places and spellings, each with `SECRET` in it.
    fn event() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![3 => json(), 1 => Just("\"plain\"".to_owned())];
        leaf.prop_recursive(5, 40, 4, |inner| {
            let name = prop::sample::select(vec![
                "session",
                "Session",
                "s\\u0065ssion",
                "response",
                "RE\u{17f}PON\\u0073E",
                "audio",
                "output",
                "other",
                "item",
            ]);
            let hidden =
                prop::sample::select(vec!["instructions", "TOOLS", "tool\u{17f}", "\\u0074ools", "Instructions"]);
            let secret = prop::sample::select(vec!["\"SECRET\"", "[\"SECRET\",{}]", "{\"SECRET\":{\"session\":1}}"]);
            let hidden = (hidden, secret).prop_map(|(name, secret)| format!("\"{name}\" : {secret}"));
            let member = (name, inner).prop_map(|(name, value)| format!("\"{name}\":{value}"));
            let members = prop::collection::vec(prop_oneof![2 => member, 1 => hidden], 0..5);
            members.prop_map(|members| format!("{{{}}}", members.join(" ,")))
        })
    }

    /// All hidden fields in a parsed event, in whatever spelling; a tree keeps only the last of a name.
    fn tells(value: &Tree) -> bool {
        let named = |known: &'static str| move |name: &str| name.to_lowercase().replace('\u{17f}', "s") == known;
        match value {
            Tree::Array(items) => items.iter().any(tells),
            Tree::Object(members) => members.iter().any(|(name, value)| {
                let is_told_in = named("session")(name) || named("response")(name);
                let fields = value.as_object().filter(|_| is_told_in);
                let is_hidden = |name: &String| named("instructions")(name) || named("tools")(name);
                fields.is_some_and(|fields| fields.keys().any(is_hidden)) || tells(value)
            }),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn nothing_hidden_is_left_and_what_is_shown_is_json(event in event(), cuts in any::<[prop::sample::Index; 3]>()) {
            let event = format!("{{\"type\":\"x\",\"session\":{event}}}");
            prop_assume!(is_accepted_elsewhere(event.as_bytes()));
            let left = shown(&event);
            let tree: Tree = serde_json::from_str(&left).unwrap();
            prop_assert!(!tells(&tree), "{}", left);
            prop_assert_eq!(searched(left.as_bytes()), Ok(Hidden::Absent));
            prop_assert_eq!(&tree["type"], &json!("x"));
            let mut search = HiddenSearch::new(&hide());
            for piece in pieces(event.as_bytes(), &cuts) {
                search.feed(piece);
            }
            let told = if left == event { Hidden::Absent } else { Hidden::Present };
            prop_assert_eq!(search.finish(), Ok(told));
        }
    }
}
