//! Sessions whose tokens are over, or that a new configuration has no more.

use super::*;

const TOKENS: [(&str, &str); 2] = [("KEY", "sk-provider"), ("TOKEN", "token-of-the-web-app")];

/// web-app with this token, under `default`, which has this session.
fn configuration(token: &Value, session: &Value) -> Value {
    json!({
        "providers": { "openai": { "kind": "openai", "key": { "env": "KEY" } } },
        "callers": { "web-app": { "tokens": [token] } },
        "policies": { "default": { "provider": "openai", "session": session } },
    })
}

fn kept() -> Value {
    json!({ "value": "token-of-the-web-app" })
}

fn another() -> Value {
    json!({ "value": "token-of-nobody-known" })
}

impl Fixture {
    fn configured(&mut self, name: &str, configuration: &Value) -> Configuration {
        let variable =
            |name: &str| TOKENS.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let configuration = self.worker.configure(name, configuration.to_string().as_bytes(), &variable, &self.host);
        self.worker.take_commands();
        configuration.unwrap()
    }

    /// A worker of this configuration.
    fn of(configuration: &Value) -> Self {
        let mut fixture = Self::new(&json!({ "provider": "openai" }));
        fixture.worker.plugin_done(fixture.configuration.as_ref());
        fixture.configuration = Some(fixture.configured("gateway", configuration));
        fixture
    }

    /// Whether the session of a stream is reset within so many ticks.
    fn is_reset_within(&mut self, ticks: u64) -> bool {
        (0..ticks).any(|_| {
            self.tick();
            self.worker.take_commands().iter().any(|command| matches!(command, Command::Reset(_)))
        })
    }

    /// What the client gets in the place of a message of the upstream's.
    fn client_hears(&mut self, id: StreamId) -> Option<String> {
        let mut message: &[u8] = b"\x81\x02{}";
        match self.worker.response_body(id, &mut message, false, &self.host) {
            ResponseAction::Replace(_, bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            _ => None,
        }
    }
}

#[test]
fn a_session_ends_with_its_token_and_its_client_is_told() {
    // 1,800,000,003 seconds after 1970.
    let token = json!({ "value": "token-of-the-web-app", "not_after": "2027-01-15T08:00:03Z" });
    for (session, ends) in [(json!({}), true), (json!({ "outlive_token": true }), false)] {
        let mut fixture = Fixture::of(&configuration(&token, &session));
        let id = fixture.websocket();
        (0..2).for_each(|_| fixture.tick());
        assert_eq!(fixture.client_hears(id), None);
        fixture.tick();
        let heard = fixture.client_hears(id);
        assert_eq!(heard.is_some(), ends, "{session}");
        if let Some(heard) = heard {
            assert!(heard.contains(r#""type":"error""#) && heard.contains(r#""code":"token_revoked""#), "{heard}");
            // 4401 in two bytes, and why.
            assert!(heard.ends_with("\u{11}1token_revoked"), "{heard}");
            let logged = fields(&fixture.worker.end(id, &FakeHost::new().at(START + 4)));
            assert!(logged.contains(&("realtime_byok.code", "4401".to_owned())), "{logged:?}");
        }
    }
}

#[test]
fn a_silent_session_is_cut_within_two_seconds() {
    let mut fixture = Fixture::of(&configuration(&kept(), &json!({})));
    fixture.websocket();
    fixture.configured("gateway", &configuration(&another(), &json!({})));
    assert!(fixture.is_reset_within(2));
}

#[test]
fn a_new_configuration_ends_the_sessions_whose_tokens_it_lacks() {
    for (token, session, ends) in [
        (another(), json!({}), true),
        (another(), json!({ "outlive_token": true }), false),
        (kept(), json!({}), false),
        (json!({ "env": "TOKEN" }), json!({}), false),
    ] {
        let mut fixture = Fixture::of(&configuration(&kept(), &json!({})));
        let id = fixture.websocket();
        fixture.configured("gateway", &configuration(&token, &session));
        fixture.tick();
        assert_eq!(fixture.client_hears(id).is_some(), ends, "{token} {session}");
    }
}

#[test]
fn a_session_whose_upstream_answers_only_then_ends_too() {
    let mut fixture = Fixture::of(&configuration(&kept(), &json!({})));
    let (id, _) = fixture.request(&UPGRADE, false);
    fixture.configured("gateway", &configuration(&another(), &json!({})));
    fixture.tick();
    fixture.worker.response_headers(id, false, &fixture.response("101"));
    fixture.tick();
    assert!(fixture.client_hears(id).is_some());
}

#[test]
fn one_that_is_not_followed_is_cut() {
    let unmetered = |token: &Value| {
        let mut configuration = configuration(token, &json!({}));
        configuration["policies"] = json!({ "default": { "provider": "openai", "meter": false } });
        configuration
    };
    for (token, ends) in [(another(), true), (kept(), false)] {
        let mut fixture = Fixture::of(&unmetered(&kept()));
        fixture.websocket();
        fixture.configured("gateway", &unmetered(&token));
        assert_eq!(fixture.is_reset_within(1), ends, "{token}");
        assert!(!fixture.is_reset_within(3), "it is said once");
    }
}

#[test]
fn a_call_is_hung_up() {
    for (token, ends) in [(another(), true), (kept(), false)] {
        let mut fixture = Fixture::of(&configuration(&kept(), &json!({})));
        fixture.call();
        let old = fixture.configuration.take();
        fixture.configuration = Some(fixture.configured("gateway", &configuration(&token, &json!({}))));
        fixture.worker.plugin_done(old.as_ref());
        fixture.tick();
        assert_eq!(fixture.host.sent.len(), usize::from(ends), "{token}");
    }
}

#[test]
fn a_hangup_that_was_sent_by_a_plugin_that_ends_is_sent_again() {
    let mut fixture = Fixture::of(&configuration(&kept(), &json!({})));
    fixture.call();
    let old = fixture.configuration.take();
    fixture.configured("gateway", &configuration(&another(), &json!({})));
    fixture.tick();
    fixture.worker.plugin_done(old.as_ref());
    fixture.tick();
    assert_eq!(fixture.host.sent.len(), 2, "its answer would have gone to the plugin that is gone");
    fixture.worker.callout_answered(CalloutId(2), Some(b"404"), &fixture.host);
    (0..60).for_each(|_| fixture.tick());
    assert_eq!(fixture.host.sent.len(), 2);
}

#[test]
fn a_call_that_one_update_has_kept_the_next_can_end() {
    let mut fixture = Fixture::of(&configuration(&kept(), &json!({})));
    fixture.call();
    for (token, sent) in [(kept(), 0), (kept(), 0), (another(), 1)] {
        let old = fixture.configuration.take();
        // A plugin of the same configuration is the same to Envoy.
        let session = json!({ "max_tokens": 1000 + fixture.host.seconds });
        fixture.configuration = Some(fixture.configured("gateway", &configuration(&token, &session)));
        fixture.worker.plugin_done(old.as_ref());
        fixture.tick();
        assert_eq!(fixture.host.sent.len(), sent);
    }
}

#[test]
fn another_plugin_ends_nothing() {
    let mut fixture = Fixture::of(&configuration(&kept(), &json!({})));
    let id = fixture.websocket();
    let other = fixture.configured("another", &configuration(&another(), &json!({})));
    fixture.configured("another", &configuration(&json!({ "value": "token-of-tomorrow" }), &json!({})));
    fixture.worker.plugin_done(Some(&other));
    fixture.tick();
    assert_eq!(fixture.client_hears(id), None);
}

#[test]
fn of_two_ports_of_one_name_only_the_sessions_of_the_one_that_is_configured_anew_end() {
    let mut fixture = Fixture::of(&configuration(&kept(), &json!({})));
    let first = fixture.configuration.clone();
    let second = fixture.configured("gateway", &configuration(&another(), &json!({})));
    let stream = |fixture: &mut Fixture, configuration: Option<Configuration>, port: &str, token: &str| {
        let id = fixture.worker.open(NUMBER, configuration);
        let lines =
            [(":method", "GET"), (":path", "/v1/realtime?model=m"), ("upgrade", "websocket"), ("authorization", token)];
        let host = FakeHost::new().at(fixture.host.seconds).with(Attribute::LocalPort, port);
        let host = lines.iter().fold(host, |host, (name, value)| host.line(HeaderMap::Request, name, value));
        assert!(matches!(fixture.worker.request_headers(id, false, &host), RequestAction::Forward(..)));
        fixture.worker.response_headers(id, false, &fixture.response("101"));
        id
    };
    let one = stream(&mut fixture, first, "80", "Bearer token-of-the-web-app");
    let other = stream(&mut fixture, Some(second), "81", "Bearer token-of-nobody-known");
    let third = json!({ "value": "token-of-tomorrow" });
    let third = fixture.configured("gateway", &configuration(&third, &json!({})));
    fixture.tick();
    assert_eq!((fixture.client_hears(one), fixture.client_hears(other)), (None, None));
    stream(&mut fixture, Some(third), "81", "Bearer token-of-tomorrow");
    fixture.tick();
    assert_eq!(fixture.client_hears(one), None);
    assert!(fixture.client_hears(other).is_some());
}
