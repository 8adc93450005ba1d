//! The types of tools that a policy allows, in clients' events.

use crate::json::matcher;
use crate::protocol::{ClientEvent, ClientMessage, Lock, SessionKind, Unreadable};

fn inspect(event: &[u8], lock: &Lock) -> Result<ClientEvent, Unreadable> {
    let mut message = ClientMessage::new(lock, SessionKind::Conversation);
    message.feed(event);
    message.finish()
}

#[test]
fn tools_of_a_type_that_is_not_allowed_are_locked_however_they_are_written() {
    let functions = Lock::default().with_tool_types(["function"]).unwrap();
    let mcp = Lock::new(["instructions"]).unwrap().with_tool_types(["mcp"]).unwrap();
    let none = Lock::default().with_tool_types([""; 0]).unwrap();
    for (tools, expected) in [
        (r#"[]"#, [false, false, false]),
        (r#"null"#, [false, false, false]),
        (r#"[{"type":"function","name":"f"}]"#, [false, true, true]),
        (r#"[{"name":"f"}]"#, [false, true, true]),
        (r#"[{}]"#, [false, true, true]),
        (r#"[{"type":"mcp","server_label":"s"}]"#, [true, false, true]),
        (r#"[{"ty\u0070e":"m\u0063p"}]"#, [true, false, true]),
        (r#"[{"type":"function"},{"type":"mcp"}]"#, [true, true, true]),
        (r#"[{"type":"mcp"},{"name":"f"}]"#, [true, true, true]),
        (r#"[{"type":"Function"}]"#, [true, true, true]),
        (r#"[{"type":null}]"#, [true, true, true]),
        (r#"[{"type":["function"]}]"#, [true, true, true]),
        (r#"[null]"#, [true, true, true]),
        (r#"["function"]"#, [true, true, true]),
        (r#"[[{"type":"function"}]]"#, [true, true, true]),
        (r#"{"type":"function"}"#, [true, true, true]),
        (r#""function""#, [true, true, true]),
    ] {
        for event in [
            format!(r#"{{"type":"session.update","session":{{"tools":{tools}}}}}"#),
            format!(r#"{{"session":{{"tools":{tools}}},"type":"transcription_session.update"}}"#),
            format!(r#"{{"type":"response.create","response":{{"tools":{tools}}}}}"#),
            format!(r#"{{"type":"response.create","tools":{tools}}}"#),
        ] {
            for (lock, is_locked) in [&functions, &mcp, &none].into_iter().zip(expected) {
                let want = Ok(is_locked.then(|| "tools".to_owned()));
                for cut in 0..event.len() {
                    let mut message = ClientMessage::new(lock, SessionKind::Conversation);
                    message.feed(&event.as_bytes()[..cut]);
                    message.feed(&event.as_bytes()[cut..]);
                    assert_eq!(message.finish().map(|found| found.locked), want, "{event} cut at {cut}");
                }
            }
        }
    }
}

#[test]
fn tool_types_are_kept_beside_locked_fields_and_those_of_a_secret() {
    let lock = Lock::new(["voice"]).unwrap().with_tool_types(["function"]).unwrap().with(["instructions"]).unwrap();
    let tools = r#""tools":[{"type":"mcp"}]"#;
    for (session, expected) in [
        (format!("{{{tools}}}"), Some("tools")),
        (format!(r#"{{{tools},"instructions":"x"}}"#), Some("instructions")),
        (r#"{"tools":[{"type":"function"}],"voice":"marin"}"#.to_owned(), Some("voice")),
        (r#"{"tools":[{"type":"function"}],"speed":1}"#.to_owned(), None),
    ] {
        let event = format!(r#"{{"type":"session.update","session":{session}}}"#);
        let found = inspect(event.as_bytes(), &lock).map(|found| found.locked);
        assert_eq!(found, Ok(expected.map(str::to_owned)), "{event}");
    }
    let twice = br#"{"type":"session.update","session":{"tools":[{"type":"function","type":"mcp"}]}}"#;
    let repeated = Unreadable::Json(matcher::Unreadable::Repeated("type".into()));
    assert_eq!(inspect(twice, &lock), Err(repeated));
    assert!(!Lock::default().with_tool_types(["function"]).unwrap().is_empty());
}

#[test]
fn tools_that_an_input_brings_are_tools_too() {
    let lock = Lock::default().with_tool_types(["function"]).unwrap();
    for (members, expected) in [
        (r#""input":"a text","tools":[{"name":"f"}]"#, None),
        (r#""input":null,"tools":[{}]"#, None),
        (r#""input":[{"type":"message","content":[]},"x",{"type":"additional_tools","tools":[{}]}]"#, None),
        (r#""input":[{"type":"additional_tools","tools":[{"type":"mcp"}]}]"#, Some("tools")),
        (r#""input":[{"type":"message"},{"tools":[{},{"type":"web_search"}]}]"#, Some("tools")),
        (r#""input":[{"tools":["mcp"]}]"#, Some("tools")),
    ] {
        let response = format!(r#"{{"type":"response.create","response":{{{members}}}}}"#);
        for event in [format!(r#"{{{members},"type":"response.create"}}"#), response] {
            let found = inspect(event.as_bytes(), &lock).map(|found| found.locked);
            assert_eq!(found, Ok(expected.map(str::to_owned)), "{event}");
        }
    }
}
