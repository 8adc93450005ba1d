//! An instance in front, which copies credentials into a header and lets everything else be.

use super::*;
use crate::http::Edit;

/// What becomes of a request of these lines: the header's value, or the denial's details.
fn presented(worker: &mut Worker, configuration: &Configuration, lines: &[(&str, &str)]) -> Result<String, String> {
    let id = worker.open(NUMBER, Some(configuration.clone()));
    let head = [(":method", "POST"), (":path", "/v1/chat/completions")];
    let is_given = |name: &str| lines.iter().any(|(given, _)| *given == name);
    let head = head.iter().filter(|(name, _)| !is_given(name)).chain(lines);
    let host = head.fold(FakeHost::new().at(START), |host, (name, value)| host.line(HeaderMap::Request, name, value));
    let action = worker.request_headers(id, false, &host);
    let more = worker.request_body(id, &mut b"{}".as_slice(), true, &host);
    let logged = fields(&worker.end(id, &host));
    let result = match action {
        RequestAction::Forward(edits, None) => {
            assert!(matches!(more, RequestAction::Pass) && logged.is_empty());
            let edits: Vec<_> = edits.iter().collect();
            assert!(edits.iter().all(|edit| edit.name() == "x-gateway-token"));
            assert_eq!(edits.len(), 1);
            Ok(match edits[0] {
                Edit::Set(_, value) => String::from_utf8(value.as_bytes().to_vec()).unwrap(),
                Edit::Remove(_) => String::new(),
            })
        }
        RequestAction::Reply(reply, _) => {
            assert!(matches!(more, RequestAction::Hold));
            assert!(logged.iter().any(|(name, _)| *name == "realtime_byok.code"));
            Err(reply.details.into_owned())
        }
        _ => panic!("neither goes on nor is answered"),
    };
    assert!(matches!(worker.response_headers(id, true, &host), ResponseAction::Pass));
    worker.close(id);
    result
}

#[test]
fn an_instance_in_front_copies_the_credential_of_any_slot() {
    let mut fixture = Fixture::new(&json!({ "provider": "openai" }));
    let bytes = json!({ "present": { "header": "X-Gateway-Token" } }).to_string();
    let configured = fixture.worker.configure("voice", bytes.as_bytes(), &|_| None, &fixture.host).unwrap();
    let conflicting = || Err("realtime_byok.conflicting_credentials".to_owned());
    let malformed = || Err("realtime_byok.malformed_credentials".to_owned());
    let copied = |token: &str| Ok(token.to_owned());
    for (lines, want) in [
        (&[("authorization", "Bearer a.b.c")][..], copied("a.b.c")),
        (&[("cf-aig-authorization", "a.b.c")], copied("a.b.c")),
        (&[("x-api-key", "a.b.c"), ("x-gateway-token", "own")], copied("a.b.c")),
        (&[("sec-websocket-protocol", "realtime, cf-aig-authorization.a.b.c, openai-beta.x")], copied("a.b.c")),
        (&[("sec-websocket-protocol", "cf-aig-authorization-base64url.YS5iLmM")], copied("a.b.c")),
        (&[("sec-websocket-protocol", "openai-insecure-api-key.a.b.c")], copied("a.b.c")),
        (&[(":path", "/v1beta/models?key=a.b.c")], copied("a.b.c")),
        (&[(":path", "/v1/models?key=a.b.c")], copied("")),
        (&[("cf-aig-authorization", "a"), ("authorization", "Bearer b")], copied("a")),
        (&[("authorization", "Basic YTpi"), ("x-gateway-token", "own")], copied("")),
        (&[("x-gateway-token", "own"), ("x-gateway-token", "own")], copied("")),
        (&[], copied("")),
        (&[("authorization", "Bearer a"), ("api-key", "b")], conflicting()),
        (&[("authorization", "Bearer ")], malformed()),
        (&[("sec-websocket-protocol", "realtime, realtime")], malformed()),
    ] {
        assert_eq!(presented(&mut fixture.worker, &configured, lines), want, "{lines:?}");
    }
}

#[test]
fn one_of_the_gateways_own_name_ends_no_session() {
    let mut fixture = Fixture::new(&json!({ "provider": "openai" }));
    let id = fixture.websocket();
    let bytes = json!({ "present": { "header": "x-gateway-token" } }).to_string();
    assert!(fixture.worker.configure("voice", bytes.as_bytes(), &|_| None, &fixture.host).is_some());
    fixture.tick();
    let mut message: &[u8] = b"\x81\x02{}";
    let action = fixture.worker.response_body(id, &mut message, false, &fixture.host);
    assert!(matches!(action, ResponseAction::Pass));
}
